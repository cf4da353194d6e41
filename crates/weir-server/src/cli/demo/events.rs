//! The sample stream: orders of a web shop, some thousand kinds of them, with a few countries far ahead of the rest.

use serde_json::json;
use weir_base::Chance;

/// The table and its topic.
pub(super) const TABLE: &str = "demo";
/// Partitions of the topic: the least at which order across partitions is seen to be free.
pub(super) const PARTITIONS: u32 = 2;

const COUNTRIES: [(&str, &[&str]); 10] = [
    ("US", &["New York", "Chicago", "Austin", "Seattle"]),
    ("DE", &["Berlin", "Hamburg", "Leipzig"]),
    ("IN", &["Mumbai", "Bengaluru", "Pune", "Delhi"]),
    ("BR", &["São Paulo", "Recife"]),
    ("JP", &["Tokyo", "Osaka", "Sapporo"]),
    ("FR", &["Paris", "Lyon"]),
    ("GB", &["London", "Leeds"]),
    ("KE", &["Nairobi", "Mombasa"]),
    ("AU", &["Sydney", "Perth"]),
    ("NO", &["Oslo", "Bergen"]),
];
const DEVICES: [&str; 4] = ["phone", "desktop", "tablet", "console"];
const CHANNELS: [&str; 5] = ["search", "direct", "mail", "social", "partner"];
const STATUSES: [&str; 4] = ["placed", "paid", "shipped", "returned"];
const PRODUCTS: [(&str, &str, u64); 12] = [
    ("kettle", "kitchen", 39),
    ("knife", "kitchen", 59),
    ("lamp", "home", 45),
    ("chair", "home", 129),
    ("novel", "books", 14),
    ("atlas", "books", 49),
    ("tent", "outdoor", 219),
    ("stove", "outdoor", 79),
    ("headset", "electronics", 99),
    ("camera", "electronics", 649),
    ("puzzle", "toys", 19),
    ("blocks", "toys", 34),
];
const TAGS: [&str; 5] = ["gift", "sale", "first", "bulk", "loyal"];

/// The tableConfigs document of the table.
pub(super) fn table_configs() -> serde_json::Value {
    let dimension = |name: &str, data_type: &str| json!({ "name": name, "dataType": data_type });
    json!({
        "tableName": TABLE,
        "schema": {
            "schemaName": TABLE,
            "dimensionFieldSpecs": [
                dimension("orderId", "STRING"),
                dimension("userId", "LONG"),
                dimension("country", "STRING"),
                dimension("city", "STRING"),
                dimension("device", "STRING"),
                dimension("channel", "STRING"),
                dimension("product", "STRING"),
                dimension("category", "STRING"),
                dimension("status", "STRING"),
                dimension("express", "BOOLEAN"),
                { "name": "tags", "dataType": "STRING", "singleValueField": false },
            ],
            "metricFieldSpecs": [
                { "name": "quantity", "dataType": "INT" },
                { "name": "price", "dataType": "DOUBLE" },
                { "name": "amount", "dataType": "DOUBLE" },
            ],
            "dateTimeFieldSpecs": [
                { "name": "ts", "dataType": "TIMESTAMP", "format": "1:MILLISECONDS:EPOCH", "granularity": "1:MILLISECONDS" },
            ],
        },
        "realtime": {
            "tableName": TABLE,
            "tableType": "REALTIME",
            "segmentsConfig": { "timeColumnName": "ts", "replication": "1" },
            "tenants": {},
            "tableIndexConfig": {
                "invertedIndexColumns": ["country", "category"],
                "rangeIndexColumns": ["amount"],
                "noDictionaryColumns": ["orderId"],
            },
            "ingestionConfig": { "streamIngestionConfig": { "streamConfigMaps": [{
                "streamType": "local",
                "stream.local.topic.name": TABLE,
                "stream.local.partitions": PARTITIONS.to_string(),
                "stream.local.decoder.class.name": "org.apache.pinot.plugin.inputformat.json.JSONMessageDecoder",
                "stream.local.consumer.prop.auto.offset.reset": "smallest",
                "realtime.segment.flush.threshold.segment.rows": "20000",
                "realtime.segment.flush.threshold.time": "1h",
            }] } },
            "metadata": {},
        },
    })
}

/// One event with its key.
pub(super) struct Event {
    pub(super) key: String,
    pub(super) value: String,
}

/// Makes events; the same seed makes the same ones.
pub(super) struct Orders {
    chance: Chance,
    made: u64,
}

impl Orders {
    pub(super) fn new(chance: Chance) -> Self {
        Self { chance, made: 0 }
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.chance.below(choices.len() as u64) as usize]
    }

    /// A position that is small more often than great.
    fn skewed(&mut self, len: usize) -> usize {
        let unit = self.chance.unit();
        ((unit * unit * len as f64) as usize).min(len - 1)
    }

    /// The next event, at a wall time in milliseconds.
    pub(super) fn next(&mut self, now_ms: i64) -> Event {
        self.made += 1;
        let country = self.skewed(COUNTRIES.len());
        let (country, cities) = COUNTRIES[country];
        let city = self.one_of(cities);
        let product = self.skewed(PRODUCTS.len());
        let (product, category, euros) = PRODUCTS[product];
        let quantity = 1 + self.skewed(5) as u64;
        let cents = euros * 100 - self.chance.below(euros * 10);
        let user = self.chance.below(5_000);
        let tags: Vec<&str> = TAGS.into_iter().filter(|_| self.chance.hit(0.2)).collect();
        let value = json!({
            "orderId": format!("o-{:08x}-{}", self.chance.below(1 << 32), self.made),
            "userId": user,
            "country": country,
            "city": city,
            "device": self.one_of(&DEVICES),
            "channel": self.one_of(&CHANNELS),
            "product": product,
            "category": category,
            "status": self.one_of(&STATUSES),
            "express": self.chance.hit(0.3),
            "tags": tags,
            "quantity": quantity,
            "price": cents as f64 / 100.0,
            "amount": (cents * quantity) as f64 / 100.0,
            "ts": now_ms,
        });
        Event { key: user.to_string(), value: value.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::TableConfigs;
    use std::collections::BTreeSet;

    #[test]
    fn the_table_takes_what_the_stream_gives() {
        let configs = TableConfigs::parse(&table_configs()).unwrap_or_else(|errors| panic!("{errors}"));
        assert!(configs.unrecognized.is_empty(), "{:?}", configs.unrecognized);
        assert!(configs.realtime.not_yet_effective.is_empty(), "{:?}", configs.realtime.not_yet_effective);
        let columns: BTreeSet<String> = configs.schema.schema.fields().iter().map(|f| f.name.to_string()).collect();
        let mut orders = Orders::new(Chance::seeded(1));
        for _ in 0..100 {
            let event: serde_json::Value = serde_json::from_str(&orders.next(5).value).unwrap();
            let fields: BTreeSet<String> = event.as_object().unwrap().keys().cloned().collect();
            assert_eq!(fields, columns);
        }
    }

    #[test]
    fn a_seed_makes_the_same_events() {
        let made = |seed| {
            let mut orders = Orders::new(Chance::seeded(seed));
            (0..10).map(|_| orders.next(1).value).collect::<Vec<_>>()
        };
        assert_eq!(made(3), made(3));
        assert_ne!(made(3), made(4));
    }
}
