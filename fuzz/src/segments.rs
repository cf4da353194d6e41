//! Segments with a few rows, in columns of every type.

use crate::{
    path::{Path, Table},
    tables::{Asks, table},
};
use std::{collections::HashSet, sync::Arc};
use weir_segment::{BuildSpec, BuiltSegment, ConsumingSegment, ConsumingSpec, build};
use weir_types::{FieldIndexes, NextOffset, RowBatch, Schema};

/// When they were made, and what `now()` is: time stands still.
pub(crate) const NOW_MS: i64 = 1_767_312_000_000;

/// Rows of the table with columns of every type.
const MESSAGES: [&[u8]; 3] = [
    include_bytes!("../corpus/json/good"),
    include_bytes!("../corpus/json/nulls"),
    br#"{"i":-3,"l":9,"f":0.5,"d":1e10,"b":false,"ts":0,"at":1767225600000,"s":"Berlin","ss":["b","c"],"is":[5],"j":"[1]"}"#,
];

/// The rows as the pipeline makes them.
pub(crate) fn rows() -> (Arc<Schema>, RowBatch) {
    let mut path = Path::new(&Table::new(Asks::Types), MESSAGES[0], |spec| {
        weir_formats::registry::decoder("json", &Default::default(), spec).unwrap_or_else(|error| panic!("{error}"))
    });
    let prepared = path.prepare(&MESSAGES);
    assert_eq!(prepared.counts.stored, MESSAGES.len() as u64, "they are good: {:?}", prepared.rejects);
    (table(Asks::Types).0, prepared.rows)
}

/// A segment that holds them.
pub(crate) fn consuming(schema: &Arc<Schema>, rows: &RowBatch) -> ConsumingSegment {
    let mut segment = ConsumingSegment::new(spec(schema));
    segment.append(rows, &|message| NextOffset::new(u64::from(message)));
    segment
}

pub(crate) fn spec(schema: &Arc<Schema>) -> ConsumingSpec {
    ConsumingSpec {
        name: "t__0__0__20260101T0000Z".into(),
        schema: schema.clone(),
        no_dictionary: HashSet::new(),
        keep_offsets: true,
        created_ms: NOW_MS,
    }
}

/// The same, built, with every index.
pub(crate) fn built(schema: &Arc<Schema>, rows: &RowBatch) -> BuiltSegment {
    let spec = BuildSpec {
        name: "t__0__1__20260101T0000Z".into(),
        schema: schema.clone(),
        sorted_column: None,
        indexes: schema
            .fields()
            .iter()
            .filter(|field| field.single_value)
            .map(|field| (field.name.clone(), FieldIndexes { inverted: true, range: true, no_dictionary: false }))
            .collect(),
        keep_offsets: true,
        time_column: None,
    };
    build(&*consuming(schema, rows).freeze().snapshot(), &spec).unwrap_or_else(|error| panic!("{error}"))
}
