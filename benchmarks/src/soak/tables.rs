//! The configs of the soak's tables, as they change on the way.

use crate::event::table_configs;
use serde_json::{Value, json};

/// The table whose counts are watched.
pub(super) const MAIN: &str = "soak";
/// The table whose topic is made anew.
pub(super) const AGAIN: &str = "soak_again";
/// A partition that is further behind says LAGGING: half of the second in which acknowledged messages must be visible.
const LAGGING_AFTER_MS: u32 = 500;
/// The default that a column of `Extra::WithDefault` names.
pub(super) const GIVEN_DEFAULT: i64 = -7;

/// What kind of column the `n`th added one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extra {
    /// A LONG with the type's own default.
    Plain,
    /// A LONG with a default that the schema names.
    WithDefault,
    /// A LONG of several values.
    Several,
}

impl Extra {
    /// Of column `extra_{number}`, from 1 on.
    pub(super) fn of(number: u32) -> Self {
        match number % 3 {
            1 => Self::Plain,
            2 => Self::WithDefault,
            _ => Self::Several,
        }
    }
}

/// What changes about the main table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    /// Columns `extra_1` to this one.
    pub(super) extras: u32,
    /// Rows at which a segment is sealed.
    pub(super) segment_rows: u64,
    /// Seconds after which it is.
    pub(super) segment_seconds: u64,
    /// Columns with an inverted index.
    pub(super) inverted: Vec<&'static str>,
    /// Columns with a range index.
    pub(super) range: Vec<&'static str>,
}

impl Shape {
    /// That of the beginning.
    pub(super) fn first() -> Self {
        Self {
            extras: 0,
            segment_rows: 10_000,
            segment_seconds: 3600,
            inverted: vec!["country", "event_type"],
            range: vec!["latency"],
        }
    }

    /// The main table in this shape.
    pub(super) fn configs(&self, broker: &str, topic: &str) -> Value {
        let mut configs = table(MAIN, broker, topic, self.segment_rows);
        let dimensions = configs["schema"]["dimensionFieldSpecs"].as_array_mut().expect("the schema has dimensions");
        for number in 1..=self.extras {
            let mut column = json!({"name": format!("extra_{number}"), "dataType": "LONG"});
            match Extra::of(number) {
                Extra::Plain => {}
                Extra::WithDefault => column["defaultNullValue"] = GIVEN_DEFAULT.into(),
                Extra::Several => column["singleValueField"] = false.into(),
            }
            dimensions.push(column);
        }
        let indexes = &mut configs["realtime"]["tableIndexConfig"];
        indexes["invertedIndexColumns"] = json!(self.inverted);
        indexes["rangeIndexColumns"] = json!(self.range);
        stream(&mut configs)["realtime.segment.flush.threshold.time"] = format!("{}s", self.segment_seconds).into();
        configs
    }
}

/// The table whose topic is made anew. Few rows make a segment, so that some are sealed in each life of the topic.
pub(super) fn again(broker: &str, topic: &str) -> Value {
    table(AGAIN, broker, topic, 500)
}

fn stream(configs: &mut Value) -> &mut Value {
    &mut configs["realtime"]["ingestionConfig"]["streamIngestionConfig"]["streamConfigMaps"][0]
}

/// A table of events that tells where its rows come from.
fn table(name: &str, broker: &str, topic: &str, segment_rows: u64) -> Value {
    let mut configs = table_configs(name, broker, topic, segment_rows);
    let dimensions = configs["schema"]["dimensionFieldSpecs"].as_array_mut().expect("the schema has dimensions");
    for (column, data_type) in
        [("number", "LONG"), ("incarnation", "INT"), ("__metadata$offset", "LONG"), ("__metadata$partition", "INT")]
    {
        dimensions.push(json!({"name": column, "dataType": data_type}));
    }
    let map = stream(&mut configs);
    map["stream.kafka.metadata.populate"] = "true".into();
    map["stream.kafka.lagging.after"] = LAGGING_AFTER_MS.to_string().into();
    configs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_columns_are_in_the_schema() {
        let shape = Shape { extras: 3, segment_rows: 77, ..Shape::first() };
        let configs = shape.configs("b:1", "t");
        let columns = configs["schema"]["dimensionFieldSpecs"].as_array().unwrap();
        let extra = |number: u32| columns.iter().find(|column| column["name"] == format!("extra_{number}")).unwrap();
        assert_eq!(extra(2)["defaultNullValue"], GIVEN_DEFAULT);
        assert_eq!(extra(3)["singleValueField"], false);
        let map = &configs["realtime"]["ingestionConfig"]["streamIngestionConfig"]["streamConfigMaps"][0];
        assert_eq!(map["realtime.segment.flush.threshold.segment.rows"], "77");
        assert_eq!(map["stream.kafka.lagging.after"], "500");
    }
}
