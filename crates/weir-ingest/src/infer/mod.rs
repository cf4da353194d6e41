//! What a topic holds, before there is a table for it: a sample is read, its format guessed, its fields walked, and each guess
//! has its reason.
//!
//! `sample.rs` reads, `shape.rs` guesses the format, `field.rs` and `time.rs` say what a field is, `avro.rs` takes what a
//! registered schema says. The table config that follows is written by whoever asks: this room knows no config.

mod avro;
mod field;
mod look;
mod registered;
mod sample;
mod shape;
mod time;

pub use field::{Field, Index, Role};
pub(crate) use look::Looker;
pub use sample::{ROWS as INFER_ROWS, ROWS_MOST as INFER_ROWS_MOST, Sample, Sampled};

use crate::{
    dry_run::{Fate, fates},
    pipeline::settings_decoder,
};
use field::Stats;
use registered::{plain_avro, registered};
use sample::{Batch, sample};
use serde_json::Value as Json;
use shape::{Record, Shape, percent};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
};
use weir_base::SharedClock;
use weir_control::NewTable;
use weir_formats::decoder::told;
use weir_streams::{ProbeError, SharedSource, StreamError};
use weir_types::{DataType, MessageField, StreamPartition, StreamSpec};

/// Fields of a topic that become columns at most: more are keys that are data, as in `{"user-17": ..}`.
const FIELDS_MOST: usize = 500;

/// What is wanted.
#[derive(Debug, Clone, Default)]
pub struct InferRequest {
    /// Messages that are looked at.
    pub rows: usize,
    /// The format, where it is not to be guessed: `json`, `csv`, `avro`, `avro-confluent`, `json-confluent`.
    pub format: Option<String>,
    /// Names of the cells of CSV, between its delimiter.
    pub header: Option<String>,
    /// The field that is the table's time, where it is not to be guessed.
    pub time: Option<String>,
    /// Settings of the decoder: those of a schema registry, or the `schema` that plain Avro was written with.
    pub decoder_settings: BTreeMap<String, String>,
}

impl InferRequest {
    /// Whether a schema registry is named.
    fn names_registry(&self) -> bool {
        self.decoder_settings.contains_key("schema.registry.rest.url")
    }

    /// The schema of all messages, where one was given.
    fn schema(&self) -> Option<&String> {
        self.decoder_settings.get("schema").filter(|text| !text.trim().is_empty())
    }

    /// What messages look like: as the request says, or as they look.
    fn shape_of(&self, values: &[&Sample], notes: &mut Vec<String>) -> Result<Shape, String> {
        match self.format.as_deref() {
            None if self.schema().is_some() => Ok(Shape::Avro),
            None => Ok(shape::guess(values, self.header.as_deref(), notes)),
            Some(format) => named(format, values, self, notes),
        }
    }
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum InferError {
    /// The stream cannot be reached.
    #[error("topic {topic}: {source}")]
    Probed {
        /// The topic.
        topic: String,
        /// The step at which it ended.
        source: ProbeError,
    },
    /// It stopped answering.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// There is nothing to look at.
    #[error("topic {topic} is empty ({partitions} partitions): write some messages to it, then ask again")]
    Empty {
        /// The topic.
        topic: String,
        /// How many partitions it has.
        partitions: usize,
    },
    /// The messages are of no format that can be read so.
    #[error("topic {topic}: {reason}")]
    Unreadable {
        /// The topic.
        topic: String,
        /// What was seen and what to do.
        reason: String,
    },
}

/// What a topic holds.
#[derive(Debug)]
pub struct Inferred {
    /// The decoder by our name.
    pub decoder: &'static str,
    /// Its settings, as they are set in a stream config below `decoder.prop.`.
    pub decoder_settings: BTreeMap<String, String>,
    /// The fields in the order in which they were met.
    pub fields: Vec<Field>,
    /// The table's time column.
    pub time: Option<String>,
    /// The field that is the same as the message's key in every message.
    pub key: Option<String>,
    /// Reasons and doubts about the whole.
    pub notes: Vec<String>,
    /// What was read.
    pub sampled: Sampled,
}

/// Looks at a topic.
///
/// # Errors
/// It cannot be read, is empty, or holds what cannot be understood.
pub async fn infer(
    spec: &StreamSpec,
    source: &SharedSource,
    clock: &SharedClock,
    request: &InferRequest,
) -> Result<Inferred, InferError> {
    let topic = spec.topic.to_string();
    let probed = source.probe(spec.only_partitions.as_deref()).await;
    let partitions = probed.map_err(|source| InferError::Probed { topic: topic.clone(), source })?;
    let sampled = sample(source, clock, partitions, request.rows.clamp(1, INFER_ROWS_MOST)).await?;
    let values: Vec<&Sample> = sampled.samples.iter().filter(|sample| sample.value.is_some()).collect();
    if values.is_empty() {
        let (partitions, tombstones) = (sampled.partitions.len(), sampled.samples.len());
        return Err(match (tombstones, &sampled.cut) {
            (0, Some(cut)) => InferError::Unreadable {
                topic,
                reason: format!(
                    "no message came, although offsets say that there are some ({cut}): try again, or look \
                                 whether a transaction is open"
                ),
            },
            (0, None) => InferError::Empty { topic, partitions },
            _ => InferError::Unreadable {
                topic,
                reason: format!("all {tombstones} messages that were read have no value"),
            },
        });
    }
    let mut notes = vec![];
    let shape = request.shape_of(&values, &mut notes).map_err(|reason| unreadable(&topic, reason))?;
    notes.extend(check_header(request, &shape).map_err(|reason| unreadable(&topic, reason))?);
    let read = match shape {
        Shape::Json => Read::json(&values),
        Shape::Csv { delimiter, in_message, names, named } => {
            if !named {
                notes.push("rename the columns in the schema and in decoder.prop.header alike".to_owned());
            }
            Read::csv(&values, delimiter, in_message, &names)
        }
        Shape::Avro => plain_avro(&topic, &values, request).await.map_err(|reason| unreadable(&topic, reason))?,
        Shape::Registered { ids } => {
            registered(&topic, &values, &ids, request, &mut notes).await.map_err(|reason| unreadable(&topic, reason))?
        }
        Shape::Other(seen) => return Err(unreadable(&topic, format!("its messages are {seen}"))),
    };
    if read.records.is_empty() {
        let reason = format!("none of {} values can be read as {}: name another --format", values.len(), read.decoder);
        return Err(unreadable(&topic, reason));
    }
    if let Some(odd) = read.odd.first() {
        notes.push(format!(
            "{} of {} lines have more or fewer cells than the others: cells that are missing are null, those beyond are left \
             out, the first at {topic}/{}/{}",
            read.odd.len(),
            values.len(),
            odd.partition,
            odd.offset
        ));
    }
    if let Some(bad) = read.unreadable.first() {
        let count = read.unreadable.len();
        notes.push(format!(
            "{count} of {} values cannot be read as {} and will be kept in quarantine, the first at {topic}/{}/{}",
            values.len(),
            read.decoder,
            bad.partition,
            bad.offset
        ));
    }
    let tombstones = sampled.samples.len() - values.len();
    if tombstones > 0 {
        notes.push(format!("{tombstones} messages have no value: they are counted as tombstones and give no row"));
    }
    if let Some(cut) = &sampled.cut {
        notes.push(format!("fewer messages were looked at than were asked for: {cut}"));
    }
    let (fields, time, key) = fields(&read, request, &mut notes).map_err(|reason| unreadable(&topic, reason))?;
    let (decoder, decoder_settings) = (read.decoder, read.settings);
    Ok(Inferred { decoder, decoder_settings, fields, time, key, notes, sampled })
}

fn unreadable(topic: &str, reason: String) -> InferError {
    InferError::Unreadable { topic: topic.to_owned(), reason }
}

/// Whether the names of cells that were given are as many as the cells; what they do not matter for is said.
fn check_header(request: &InferRequest, shape: &Shape) -> Result<Option<String>, String> {
    let Some(header) = request.header.as_deref() else { return Ok(None) };
    match shape {
        Shape::Csv { in_message: true, names, .. } => {
            Ok(Some(format!("--header is passed over: each message names its cells itself ({})", names.join(", "))))
        }
        Shape::Csv { delimiter, names, .. } => {
            let given = shape::cells(header, *delimiter).len();
            if given == names.len() {
                return Ok(None);
            }
            let cells = |count: usize| if count == 1 { "1 name".to_owned() } else { format!("{count} names") };
            Err(format!(
                "--header {header:?} has {} between {delimiter:?}, and the messages have {} cells between it: name each of \
                 them, with the delimiter of the messages",
                cells(given),
                names.len()
            ))
        }
        Shape::Other(_) => Ok(None),
        _ => Ok(Some("--header is passed over: it names the cells of CSV, and the messages are none".to_owned())),
    }
}

/// The shape of a format that was named.
fn named(format: &str, values: &[&Sample], request: &InferRequest, notes: &mut Vec<String>) -> Result<Shape, String> {
    match format.to_ascii_lowercase().as_str() {
        "json" => Ok(Shape::Json),
        "csv" => match shape::guess_csv(values, request.header.as_deref(), notes) {
            Some(shape) => Ok(shape),
            None => Err("its values are no lines of cells between , ; | or tabs".to_owned()),
        },
        "avro" if request.schema().is_some() => Ok(Shape::Avro),
        "avro" | "avro-confluent" | "json-confluent" => {
            let ids: BTreeSet<u32> =
                values.iter().filter_map(|sample| shape::schema_id(sample.value.as_deref()?)).collect();
            if ids.is_empty() && format.eq_ignore_ascii_case("avro") {
                return Err(
                    "its values do not begin with a zero byte and the number of a schema, as those of a registry \
                            (avro-confluent) do: plain Avro needs the schema that it was written with, --schema FILE"
                        .to_owned(),
                );
            }
            Ok(Shape::Registered { ids })
        }
        other => Err(format!(
            "format {other} cannot be looked into: json, csv, avro, avro-confluent and json-confluent can; for others \
             describe the table by hand and look at its records with `weir try`"
        )),
    }
}

/// Records with their messages.
struct Read<'a> {
    decoder: &'static str,
    settings: BTreeMap<String, String>,
    records: Vec<(Record, &'a Sample)>,
    unreadable: Vec<&'a Sample>,
    /// Lines with another number of cells, which say nothing of the others' fields.
    odd: Vec<&'a Sample>,
    /// What a schema says of fields: type, arrays, and the reason.
    declared: HashMap<String, (DataType, bool, String)>,
}

impl<'a> Read<'a> {
    fn new(
        decoder: &'static str,
        settings: BTreeMap<String, String>,
        values: &[&'a Sample],
        record: impl Fn(&[u8]) -> Option<Record>,
    ) -> Self {
        let (mut records, mut unreadable) = (vec![], vec![]);
        for sample in values {
            match sample.value.as_deref().and_then(&record) {
                Some(record) => records.push((record, *sample)),
                None => unreadable.push(*sample),
            }
        }
        Self { decoder, settings, records, unreadable, odd: vec![], declared: HashMap::new() }
    }

    fn json(values: &[&'a Sample]) -> Self {
        Self::new("json", BTreeMap::new(), values, shape::json_object)
    }

    fn csv(values: &[&'a Sample], delimiter: char, in_message: bool, names: &[String]) -> Self {
        let mut settings = BTreeMap::new();
        if !in_message {
            settings.insert("header".to_owned(), names.join(&delimiter.to_string()));
        }
        if delimiter != ',' {
            settings.insert("delimiter".to_owned(), delimiter.to_string());
        }
        let mut read =
            Self::new("csv", settings, values, |bytes| shape::csv_record(bytes, delimiter, in_message, names));
        for sample in std::mem::take(&mut read.unreadable) {
            match sample.value.as_deref().map_or(0, |bytes| shape::csv_cells(bytes, delimiter, in_message)) {
                0 => read.unreadable.push(sample),
                // The names of the cells, of which is said what becomes of them.
                cells if cells == names.len() => {}
                _ => read.odd.push(sample),
            }
        }
        read
    }
}

/// The columns, the time column and the primary key.
type Columns = (Vec<Field>, Option<String>, Option<String>);

/// Walks the records: their fields, the name of the time column, the field that is the key.
fn fields(read: &Read<'_>, request: &InferRequest, notes: &mut Vec<String>) -> Result<Columns, String> {
    let (mut stats, mut at): (Vec<Stats>, HashMap<String, usize>) = (vec![], HashMap::new());
    let (mut keyed, mut as_key, mut left_out): (usize, HashMap<String, usize>, usize) = (0, HashMap::new(), 0);
    let (mut quoted, mut around): (usize, BTreeSet<&str>) = (0, BTreeSet::new());
    let mut first_left_out: Option<&str> = None;
    for (record, sample) in &read.records {
        let key = sample.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
        // A serializer of JSON puts a text in quotes, as a key too.
        let unquoted = key.filter(|key| key.starts_with('"')).and_then(|key| serde_json::from_str::<String>(key).ok());
        quoted += usize::from(unquoted.is_some());
        let key = unquoted.as_deref().or(key);
        keyed += usize::from(sample.key.is_some());
        for (name, value) in record {
            if MessageField::of(name).is_some() {
                around.insert(name);
                continue;
            }
            let position = match at.get(name) {
                Some(position) => *position,
                None if stats.len() >= FIELDS_MOST || !can_be_column(name) => {
                    left_out += 1;
                    first_left_out.get_or_insert(name);
                    continue;
                }
                None => {
                    stats.push(Stats::new(name));
                    at.insert(name.clone(), stats.len() - 1);
                    stats.len() - 1
                }
            };
            stats[position].add(value, sample.timestamp_ms);
            if key.is_some_and(|key| as_text(value) == key) {
                *as_key.entry(name.clone()).or_default() += 1;
            }
        }
    }
    for name in around {
        notes.push(format!(
            "{name} is left out: a column of that name holds what is around a message's value (its key, headers or place), and \
             not the field; to have the field, derive a column of another name: transformFunction \"{name}\""
        ));
    }
    if let Some(name) = first_left_out {
        notes.push(format!(
            "{left_out} values are left out, as of the field {name:?}: a table has {FIELDS_MOST} columns at most here, and a \
             name must not be empty, begin with $ or hold control characters"
        ));
    }
    let records = read.records.len();
    let wanted = request.time.as_deref();
    let times: Vec<Option<time::Found>> = stats
        .iter()
        .map(|field| {
            let declared = read.declared.get(&field.name);
            let share = field.filled() as f64 / records as f64;
            if let Some((DataType::Timestamp, false, _)) = declared {
                return Some(field.times.declared(&field.name, share));
            }
            // A number that a schema calls a time comes as one; other types of a schema hold.
            let fits =
                declared.is_none_or(|(kind, many, _)| !many && matches!(kind, DataType::Long | DataType::String));
            let found = fits.then(|| field.times.found(&field.name, share)).flatten();
            found.or_else(|| field.times.mostly(&field.name).filter(|_| fits && wanted == Some(field.name.as_str())))
        })
        .collect();
    let are_times = || (0..stats.len()).filter(|at| times[*at].is_some());
    let best = match &request.time {
        None => {
            are_times().max_by_key(|at| (times[*at].as_ref().map_or(0, |found| found.rank), std::cmp::Reverse(*at)))
        }
        Some(name) => match are_times().find(|at| stats[*at].name == *name) {
            Some(at) => Some(at),
            None => {
                let known: Vec<&str> = are_times().map(|at| stats[at].name.as_str()).collect();
                let known = if known.is_empty() { "none is".to_owned() } else { known.join(", ") };
                let seen = if at.contains_key(name) {
                    "is a field, but too many of its values are no times"
                } else {
                    "is no field"
                };
                return Err(format!("time {name} {seen}; fields that are times: {known}"));
            }
        },
    };
    let rank = |at: usize| times[at].as_ref().map_or(0, |found| found.rank);
    match best {
        Some(best) if request.time.is_some() => {
            notes.push(format!("{} is the table's time, as was asked for", stats[best].name));
        }
        Some(best) => {
            let name = &stats[best].name;
            let equals: Vec<&str> = (0..stats.len())
                .filter(|at| *at != best && times[*at].is_some() && rank(*at) == rank(best))
                .map(|at| stats[at].name.as_str())
                .collect();
            notes.push(match equals.is_empty() {
                true => format!("{name} is the table's time"),
                false => {
                    format!("{name} is the table's time; {} would do as well: say which with --time", equals.join(", "))
                }
            });
        }
        None => notes.push(
            "no field is surely a time: the table has no time column, so that nothing can be removed by age".to_owned(),
        ),
    }
    let time = best.map(|best| stats[best].name.clone());
    let key = as_key.into_iter().filter(|(_, count)| *count == records).map(|(name, _)| name).min();
    notes.push(match (&key, keyed) {
        (Some(key), _) if quoted > 0 => format!(
            "the message's key is {key} in every message, as JSON in quotes: it is the primary key; a column named __key would \
             hold the quotes too"
        ),
        (Some(key), _) => format!("the message's key is {key} in every message: it is the primary key"),
        (None, 0) => "the messages have no keys".to_owned(),
        (None, keyed) if quoted > 0 => format!(
            "{} of the messages have keys, which are no field of theirs (a column named __key would hold them, with the quotes \
             in which they are written)",
            percent(keyed, records)
        ),
        (None, keyed) => format!(
            "{} of the messages have keys, which are no field of theirs (a column named __key would hold them)",
            percent(keyed, records)
        ),
    });
    let declared = |mut field: Field| {
        if let Some((data_type, multi_value, why)) = read.declared.get(&field.name) {
            (field.data_type, field.multi_value, field.doubt) = (*data_type, *multi_value, None);
            if let Role::Time { .. } = field.role {
                field.why = format!("{why}; {}", field.why);
            } else {
                field.why.clone_from(why);
                field.settle_role();
            }
        }
        field
    };
    let found = stats.into_iter().zip(&times).map(|(stats, time)| declared(stats.field(records, time.as_ref())));
    let found: Vec<Field> = found.collect();
    for field in &found {
        if let Some(length) = field.max_length {
            notes.push(format!(
                "{}: there are values beyond the usual maxLength 512, which would be cut: it is {length} in the schema",
                field.name
            ));
        }
    }
    Ok((found, time, key))
}

fn as_text(value: &Json) -> Cow<'_, str> {
    value.as_str().map_or_else(|| value.to_string().into(), Cow::from)
}

/// Whether a column of that name may hold the field: some names are those of what is around a message's value.
fn can_be_column(name: &str) -> bool {
    MessageField::of(name).is_none()
        && !name.is_empty()
        && !name.starts_with('$')
        && !name.chars().any(char::is_control)
}

/// What a table would make of messages that were read.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Messages that would give rows.
    pub rows: usize,
    /// Messages of whose values some would be altered, or null.
    pub altered: usize,
    /// Messages that would be rejected.
    pub rejected: usize,
    /// Messages that would give none: filtered, or without a value.
    pub others: usize,
    /// Why the first was rejected, with its place.
    pub first: Option<String>,
}

/// Sends what was read the way of a table's records.
///
/// # Errors
/// The decoder cannot be made, or its registry does not answer.
pub async fn verify(new: &NewTable, stream: &StreamSpec, sampled: &Sampled, now_ms: i64) -> Result<Verified, String> {
    let table = new.draft();
    let mut verified = Verified::default();
    for samples in sampled.samples.chunk_by(|a, b| a.partition == b.partition) {
        let partition = samples[0].partition;
        let mut decoder = settings_decoder(&table, stream, partition, now_ms)?;
        let place = StreamPartition { topic: stream.topic.clone(), partition };
        let batch = Batch(samples);
        decoder.ready(&batch, 0, samples.len()).await?;
        for tried in fates(&mut decoder, &batch, &place) {
            match tried.fate {
                Fate::Rows { altered, .. } => {
                    verified.rows += 1;
                    verified.altered += usize::from(altered);
                }
                Fate::Rejected { stage, column, reason } => {
                    verified.rejected += 1;
                    let told = told(stage, column.as_deref(), &reason);
                    verified.first.get_or_insert_with(|| format!("{place}/{}: {told}", tried.offset));
                }
                Fate::Filtered(_) | Fate::Tombstone => verified.others += 1,
            }
        }
    }
    Ok(verified)
}

#[cfg(test)]
mod tests;
