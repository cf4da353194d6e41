//! The table of all runs, as it is at one time: columns come, indexes and limits change while it is read.

use crate::world::TOPIC;
use serde_json::json;
use weir_base::Chance;
use weir_control::{NewTable, spec};
use weir_segment::Segment;
use weir_types::{Column, ColumnData};

/// A column that a table gets later. Every message has a value for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Added {
    Level,
    Note,
    Nums,
}

impl Added {
    pub(crate) const ALL: [Self; 3] = [Self::Level, Self::Note, Self::Nums];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Level => "level",
            Self::Note => "note",
            Self::Nums => "nums",
        }
    }

    /// What the message of that number has for it.
    pub(crate) fn value(self, id: i64) -> String {
        match self {
            Self::Level => (id * 3 + 1).to_string(),
            Self::Note => format!("x{id}"),
            Self::Nums => format!("{id},{}", id + 1),
        }
    }

    /// What a row has that was read without the column.
    pub(crate) fn default(self) -> &'static str {
        match self {
            Self::Level => "-7",
            Self::Note => "none",
            Self::Nums => "-1",
        }
    }

    fn spec(self) -> serde_json::Value {
        match self {
            Self::Level => json!({"name": "level", "dataType": "LONG", "defaultNullValue": -7}),
            Self::Note => json!({"name": "note", "dataType": "STRING", "defaultNullValue": "none"}),
            Self::Nums => {
                json!({"name": "nums", "dataType": "LONG", "singleValueField": false, "defaultNullValue": -1})
            }
        }
    }

    /// The values of all rows of a segment, as text.
    pub(crate) fn read(self, segment: &dyn Segment) -> Vec<String> {
        let rows = segment.meta().rows;
        let Some(info) = segment.column(self.name()) else { return vec![self.default().into(); rows as usize] };
        let mut values = Column::new(info.data_type.stored(), info.single_value);
        segment.read_values(info.at, 0..rows, &mut values);
        let text = |at: usize| match &values.data {
            ColumnData::Long(values) => values[at].to_string(),
            ColumnData::Str(values) => String::from_utf8_lossy(values.get(at)).into_owned(),
            other => panic!("{self:?} is not {:?}", other.stored()),
        };
        match &values.ends {
            None => (0..rows as usize).map(text).collect(),
            Some(ends) => {
                let of_row =
                    |pair: &[u32]| (pair[0] as usize..pair[1] as usize).map(text).collect::<Vec<_>>().join(",");
                ends.windows(2).map(of_row).collect()
            }
        }
    }
}

/// How a table is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) segment_rows: u64,
    /// What cannot be typed is stored as null, not rejected.
    pub(crate) lenient: bool,
    pub(crate) added: Vec<Added>,
    /// Which of some sets of indexes it has.
    pub(crate) indexes: usize,
}

/// Sets of indexes; none of them changes an answer.
const INDEXES: [&str; 4] = [
    r#"{"invertedIndexColumns": ["name"], "sortedColumn": ["name"]}"#,
    r#"{"invertedIndexColumns": ["id", "name"], "rangeIndexColumns": ["amount"]}"#,
    r#"{"noDictionaryColumns": ["id", "amount"]}"#,
    "{}",
];

impl Shape {
    pub(crate) fn new(segment_rows: u64) -> Self {
        Self { segment_rows, lenient: false, added: vec![], indexes: 0 }
    }

    /// One thing is another; says what. Columns come and stay.
    pub(crate) fn changed(&self, chance: &mut Chance) -> (Self, &'static str) {
        let mut after = self.clone();
        let what = match chance.below(6) {
            0 => match Added::ALL.into_iter().find(|column| !self.added.contains(column)) {
                Some(column) => {
                    after.added.push(column);
                    match column {
                        Added::Nums => "column with several values added",
                        _ => "column added",
                    }
                }
                None => return self.with_limit(chance),
            },
            1 => {
                after.indexes = (self.indexes + 1 + chance.below(INDEXES.len() as u64 - 1) as usize) % INDEXES.len();
                "indexes changed"
            }
            2 => return self.with_limit(chance),
            _ => {
                after.lenient = chance.hit(0.5);
                "error handling changed"
            }
        };
        (after, what)
    }

    fn with_limit(&self, chance: &mut Chance) -> (Self, &'static str) {
        (Self { segment_rows: 20 + chance.below(60), ..self.clone() }, "flush limit changed")
    }

    pub(crate) fn table(&self) -> NewTable {
        let mut dimensions =
            vec![json!({"name": "id", "dataType": "LONG"}), json!({"name": "name", "dataType": "STRING"})];
        dimensions.extend(self.added.iter().map(|column| column.spec()));
        let schema = json!({
            "schemaName": "events",
            "dimensionFieldSpecs": dimensions,
            "metricFieldSpecs": [{"name": "amount", "dataType": "LONG"}],
        });
        let indexes: serde_json::Value = serde_json::from_str(INDEXES[self.indexes]).expect("written above");
        let config = json!({
            "tableName": "events",
            "tableType": "REALTIME",
            "segmentsConfig": {"replication": "1"},
            "tenants": {},
            "tableIndexConfig": indexes,
            "ingestionConfig": {"continueOnError": self.lenient, "streamIngestionConfig": {"streamConfigMaps": [{
                "streamType": "memory",
                "stream.memory.topic.name": TOPIC,
                "stream.memory.decoder.class.name": "org.apache.pinot.plugin.inputformat.json.JSONMessageDecoder",
                "stream.memory.consumer.prop.auto.offset.reset": "smallest",
                "realtime.segment.flush.threshold.segment.rows": self.segment_rows.to_string(),
                "realtime.segment.flush.threshold.time": "6h",
            }]}},
            "metadata": {},
        });
        let capabilities = spec::Capabilities {
            stream_types: &["memory"],
            decoder: |_| spec::DecoderKnown::Yes("json"),
            decoder_key: |_, _| true,
            expression: |_| Ok(weir_types::ExpressionFacts::default()),
        };
        let schema = spec::parse_schema(&schema).expect("the schema is right");
        let parsed = spec::parse_table(&config, Some(&schema.schema), &capabilities).expect("the table is right");
        NewTable::from_parsed(parsed, schema)
    }
}
