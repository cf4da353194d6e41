//! The schema registry of a table: what it knows is asked for once and kept.
//!
//! Decoders are synchronous and ask for nothing: before a batch is decoded, its ids are compared with those that the decoder
//! knows ([`crate::Decoder::wants`]), and whoever has the batch awaits [`SchemaRegistry::get`] for the others. A registry that
//! does not answer is an error of the whole batch, to be tried again; one that says it has no such schema makes rejects of
//! the messages that name it. All decoders with the same settings share one registry, and so one cache.

mod client;
mod known;
mod settings;

use crate::error::FormatError;
use client::{Answer, Client};
use hashbrown::HashMap;
pub(crate) use known::Known;
use parking_lot::Mutex;
use serde::Deserialize;
pub use settings::KEYS;
use settings::Settings;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, LazyLock, Weak},
    time::Duration,
};
use weir_base::{SharedClock, SystemClock};

/// A schema that was missing is asked for again after this: it may have been registered since, and a topic full of ids that
/// are nowhere must not become a request per batch.
const MISSING_FOR: Duration = Duration::from_secs(10);
/// Schemas that one may refer to, directly or not: a bound for references that lead in circles of versions.
const MOST_REFERENCES: usize = 256;

/// What a message calls its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SchemaId {
    /// The registry's number.
    Number(u32),
    /// The MD5 of the schema.
    Hash([u8; 16]),
}

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Hash(hash) => hash.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

/// What language a schema is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaKind {
    /// Avro.
    Avro,
    /// JSON schema.
    Json,
    /// Protobuf, as source or as a descriptor.
    Protobuf,
}

/// A schema with all that it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredSchema {
    /// Its language.
    pub kind: SchemaKind,
    /// As it was registered.
    pub text: String,
    /// The schemas that it refers to, directly or not, by the names under which it does; each after those that it refers to.
    pub references: Vec<(String, String)>,
}

/// What a registry says of an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// It has the schema.
    Found(Arc<RegisteredSchema>),
    /// It has no such schema: why, for people.
    Missing(String),
}

/// A registry and what it has said.
pub struct SchemaRegistry {
    client: Client,
    capacity: usize,
    clock: SharedClock,
    cache: Mutex<HashMap<SchemaId, (Lookup, Duration)>>,
    /// Who asks: the others wait for what it learns.
    turn: tokio::sync::Mutex<()>,
    /// When the registry last gave no answer, and why.
    failed: Mutex<Option<(Duration, String)>>,
}

impl fmt::Debug for SchemaRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SchemaRegistry({})", self.client)
    }
}

/// Registries that some decoder has, by their settings as they were given: secrets are not looked up in them.
static SHARED: LazyLock<Mutex<HashMap<Settings, Weak<SchemaRegistry>>>> = LazyLock::new(Mutex::default);

impl SchemaRegistry {
    /// The registry of `decoder.prop.` settings, shared with all who have the same. `hashed`: it is asked by the MD5 of a
    /// schema, and for the newest of `topic` where it does not know that. Nothing is asked yet.
    ///
    /// # Errors
    /// A setting that cannot be used.
    pub fn shared(given: &BTreeMap<String, String>, topic: &str, hashed: bool) -> Result<Arc<Self>, FormatError> {
        let settings = Settings::read(given, topic, hashed)?;
        let mut shared = SHARED.lock();
        shared.retain(|_, registry| registry.strong_count() > 0);
        if let Some(registry) = shared.get(&settings).and_then(Weak::upgrade) {
            return Ok(registry);
        }
        let registry = Arc::new(Self {
            capacity: settings.capacity,
            client: Client::new(settings.clone()),
            clock: SystemClock::shared(),
            cache: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            failed: Mutex::default(),
        });
        shared.insert(settings, Arc::downgrade(&registry));
        Ok(registry)
    }

    /// How many schemas are kept.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// What the registry has said of an id, however long ago.
    #[must_use]
    pub fn said(&self, id: SchemaId) -> Option<Lookup> {
        self.cache.lock().get(&id).map(|(said, _)| said.clone())
    }

    fn cached(&self, id: SchemaId) -> Option<Lookup> {
        let now = self.clock.monotonic();
        let cache = self.cache.lock();
        cache.get(&id).filter(|(_, until)| now < *until).map(|(said, _)| said.clone())
    }

    /// What the registry says of an id.
    ///
    /// # Errors
    /// It does not answer, or not as a registry does: which one, and why. To be tried again.
    pub async fn get(&self, id: SchemaId) -> Result<Lookup, String> {
        if let Some(said) = self.cached(id) {
            return Ok(said);
        }
        let since = self.clock.monotonic();
        let _turn = self.turn.lock().await;
        if let Some(said) = self.cached(id) {
            return Ok(said);
        }
        // Who waited while another got no answer has it too: a registry that hangs must not be waited for in turns.
        if let Some((_, why)) = self.failed.lock().as_ref().filter(|(at, _)| *at >= since) {
            return Err(why.clone());
        }
        let asked = match id {
            SchemaId::Number(number) => self.numbered(number).await,
            SchemaId::Hash(_) => self.hashed(id).await,
        };
        let (said, for_good) =
            asked.inspect_err(|why| *self.failed.lock() = Some((self.clock.monotonic(), why.clone())))?;
        let until = if for_good { Duration::MAX } else { self.clock.monotonic() + MISSING_FOR };
        let mut cache = self.cache.lock();
        if cache.len() >= self.capacity {
            // Which are still in use is not known; those are asked for again.
            cache.clear();
        }
        cache.insert(id, (said.clone(), until));
        Ok(said)
    }

    /// Whether the registry answers now, whatever it has said before: it is asked as it is for a message's schema.
    ///
    /// # Errors
    /// It does not answer, or refuses: which one, and why.
    pub async fn answers(&self) -> Result<(), String> {
        // The first number is as good as any: that there is no such schema is an answer too.
        let hashed = !self.client.subject().is_empty();
        let path: &[&str] = if hashed { &["id=00000000000000000000000000000000"] } else { &["schemas", "ids", "1"] };
        self.client.get(path).await.map(drop)
    }

    async fn numbered(&self, number: u32) -> Result<(Lookup, bool), String> {
        let id = number.to_string();
        let body = match self.client.get(&["schemas", "ids", &id]).await? {
            Answer::Body(body) => body,
            Answer::Missing => {
                let why = format!("the schema registry {} has no schema {number}: register it there", self.client);
                return Ok((Lookup::Missing(why), false));
            }
        };
        let body: Body = self.read(&body)?;
        let kind = match body.schema_type.as_deref().unwrap_or("AVRO").to_ascii_uppercase().as_str() {
            "AVRO" => SchemaKind::Avro,
            "JSON" => SchemaKind::Json,
            "PROTOBUF" => SchemaKind::Protobuf,
            other => {
                return Ok((
                    Lookup::Missing(format!("schema {number} is of the type {other}, which is not read")),
                    true,
                ));
            }
        };
        match self.references(body.references).await? {
            Ok(references) => {
                let schema = RegisteredSchema { kind, text: body.schema, references };
                Ok((Lookup::Found(Arc::new(schema)), true))
            }
            Err(missing) => Ok((Lookup::Missing(format!("schema {number} refers to {missing}")), false)),
        }
    }

    /// All that schemas refer to, or what of it the registry does not have.
    async fn references(&self, wanted: Vec<Reference>) -> Result<Result<Vec<(String, String)>, String>, String> {
        let mut found: Vec<(String, String)> = vec![];
        let mut seen: BTreeSet<(String, i64)> = BTreeSet::new();
        let mut open = wanted;
        while let Some(reference) = open.pop() {
            if !seen.insert((reference.subject.clone(), reference.version)) {
                continue;
            }
            if seen.len() > MOST_REFERENCES {
                return Ok(Err(format!("more than {MOST_REFERENCES} others")));
            }
            let version = reference.version.to_string();
            match self.client.get(&["subjects", &reference.subject, "versions", &version]).await? {
                Answer::Body(body) => {
                    let body: Body = self.read(&body)?;
                    open.extend(body.references);
                    found.push((reference.name, body.schema));
                }
                Answer::Missing => {
                    return Ok(Err(format!(
                        "version {version} of {}, which the schema registry {} does not have",
                        reference.subject, self.client
                    )));
                }
            }
        }
        found.reverse();
        Ok(Ok(found))
    }

    fn read<'b, T: Deserialize<'b>>(&self, body: &'b [u8]) -> Result<T, String> {
        serde_json::from_slice(body).map_err(|error| {
            format!("schema registry {}: its answer is not a registry's ({error}): check the URL's path", self.client)
        })
    }

    async fn hashed(&self, id: SchemaId) -> Result<(Lookup, bool), String> {
        let found = |body: Vec<u8>| {
            let schema = |text| RegisteredSchema { kind: SchemaKind::Avro, text, references: vec![] };
            match String::from_utf8(body) {
                Ok(text) => Lookup::Found(Arc::new(schema(text))),
                Err(_) => Lookup::Missing(format!("the schema {id} is not UTF-8 in the schema registry")),
            }
        };
        if let Answer::Body(body) = self.client.get(&[&format!("id={id}")]).await? {
            return Ok((found(body), true));
        }
        let latest = format!("latest_with_type={}", self.client.subject());
        match self.client.get(&[&latest]).await? {
            Answer::Body(body) => Ok((found(body), false)),
            Answer::Missing => {
                let why = format!("the schema registry {} has neither a schema {id} nor {latest}", self.client);
                Ok((Lookup::Missing(why), false))
            }
        }
    }
}

#[derive(Deserialize)]
struct Body {
    schema: String,
    #[serde(rename = "schemaType")]
    schema_type: Option<String>,
    #[serde(default)]
    references: Vec<Reference>,
}

#[derive(Deserialize)]
struct Reference {
    name: String,
    subject: String,
    version: i64,
}

#[cfg(any(test, feature = "testing"))]
pub mod stand_in;
#[cfg(test)]
mod tests;
