//! What a decoder has made of the schemas that it knows.

use super::{Lookup, RegisteredSchema, SchemaId};
use crate::decoder::Payload;
use hashbrown::HashMap;

/// Schemas as a decoder uses them, or why it cannot.
#[derive(Debug)]
pub(crate) struct Known<T> {
    made: Vec<(SchemaId, Result<T, String>)>,
    position: HashMap<SchemaId, usize>,
    /// The position that was used last: messages of one schema come one after the other.
    last: usize,
    /// Missing ones, to be asked for again with the next batch.
    passing: Vec<SchemaId>,
    capacity: usize,
}

impl<T> Known<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { made: vec![], position: HashMap::new(), last: 0, passing: vec![], capacity }
    }

    /// The ids of these messages that are not known. At most as many schemas are kept as were asked for, or one batch needs.
    pub(crate) fn wants(
        &mut self,
        payloads: &mut dyn Iterator<Item = Payload<'_>>,
        id: impl Fn(&[u8]) -> Option<SchemaId>,
    ) -> Vec<SchemaId> {
        let passing = std::mem::take(&mut self.passing);
        if !passing.is_empty() {
            self.retain(|id| !passing.contains(id));
        }
        let mut in_batch: Vec<SchemaId> = vec![];
        let mut last = None;
        for found in payloads.filter_map(|payload| id(payload.value)) {
            if last.replace(found) != Some(found) && !in_batch.contains(&found) {
                in_batch.push(found);
            }
        }
        let known = in_batch.iter().filter(|id| self.position.contains_key(*id)).count();
        if self.made.len() + in_batch.len() - known > self.capacity {
            self.retain(|id| in_batch.contains(id));
        }
        in_batch.retain(|id| !self.position.contains_key(id));
        in_batch
    }

    fn retain(&mut self, keep: impl Fn(&SchemaId) -> bool) {
        self.made.retain(|(id, _)| keep(id));
        self.position = self.made.iter().enumerate().map(|(at, (id, _))| (*id, at)).collect();
    }

    /// Keeps what `make` makes of what the registry said.
    pub(crate) fn learn(
        &mut self,
        id: SchemaId,
        said: &Lookup,
        make: impl FnOnce(&RegisteredSchema) -> Result<T, String>,
    ) {
        let made = match said {
            Lookup::Found(schema) => make(schema).map_err(|why| format!("schema {id} cannot be used: {why}")),
            Lookup::Missing(why) => {
                self.passing.push(id);
                Err(why.clone())
            }
        };
        match self.position.get(&id) {
            Some(at) => self.made[*at].1 = made,
            None => {
                self.position.insert(id, self.made.len());
                self.made.push((id, made));
            }
        }
    }

    #[inline]
    pub(crate) fn get(&mut self, id: SchemaId) -> Result<&mut T, String> {
        if self.made.get(self.last).is_none_or(|(last, _)| *last != id) {
            match self.position.get(&id) {
                Some(at) => self.last = *at,
                None => return Err(format!("schema {id} was not asked for")),
            }
        }
        match &mut self.made[self.last].1 {
            Ok(made) => Ok(made),
            Err(why) => Err(why.clone()),
        }
    }
}
