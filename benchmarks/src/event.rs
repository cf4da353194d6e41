//! The common event of all measurements: 13 fields, about 300 bytes of JSON, a pure function of its number.

use std::io::Write;

/// One event, by its number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event {
    /// Milliseconds since the epoch.
    pub(crate) ts: i64,
    user_id: u64,
    session: u128,
    country: u64,
    city: u64,
    device: u64,
    event_type: u64,
    url: u64,
    referrer: u64,
    status: u64,
    /// Milliseconds.
    pub(crate) latency: i64,
    price_cents: u64,
    /// Pieces.
    pub(crate) quantity: i64,
}

/// Mixes a number into 64 well spread bits (the finaliser of SplitMix64).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Small numbers are more frequent: the square of a uniform share.
fn skewed(bits: u64, below: u64) -> u64 {
    let share = (bits >> 11) as f64 / (1_u64 << 53) as f64;
    ((share * share) * below as f64) as u64
}

/// A field's value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Field {
    /// A LONG.
    Long(i64),
    /// An INT.
    Int(i32),
    /// A DOUBLE.
    Double(f64),
    /// A STRING.
    Text(String),
}

const START_MS: i64 = 1_767_225_600_000;
const DEVICES: [&str; 5] = ["phone", "tablet", "desktop", "television", "watch"];
const STATUSES: [u64; 8] = [200, 201, 204, 301, 302, 400, 404, 500];

impl Event {
    /// Event `number`; its time runs a millisecond every ten events.
    #[must_use]
    pub(crate) fn new(number: u64) -> Self {
        let r = |salt: u64| mix(number.wrapping_mul(31).wrapping_add(salt << 56));
        Self {
            ts: START_MS + (number / 10) as i64,
            user_id: skewed(r(1), 2_000_000),
            session: u128::from(r(2)) << 64 | u128::from(r(3)),
            country: skewed(r(4), 200),
            city: skewed(r(5), 5_000),
            device: r(6) % 5,
            event_type: skewed(r(7), 30),
            url: skewed(r(8), 20_000),
            referrer: skewed(r(9), 2_000),
            status: STATUSES[skewed(r(10), 8) as usize],
            latency: (r(11) % 3_000) as i64,
            price_cents: r(12) % 100_000,
            quantity: 1 + (r(13) % 9) as i64,
        }
    }

    fn uuid(&self) -> String {
        let session = self.session;
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            (session >> 96) as u32,
            (session >> 80) as u16,
            (session >> 64) as u16,
            (session >> 48) as u16,
            session as u64 & 0xFFFF_FFFF_FFFF
        )
    }

    /// Its fields, in their order.
    pub(crate) fn fields(&self) -> [(&'static str, Field); 13] {
        [
            ("ts", Field::Long(self.ts)),
            ("user_id", Field::Long(self.user_id as i64)),
            ("session", Field::Text(self.uuid())),
            ("country", Field::Text(format!("country-{:03}", self.country))),
            ("city", Field::Text(format!("city-{:04}", self.city))),
            ("device", Field::Text(DEVICES[self.device as usize].to_owned())),
            ("event_type", Field::Text(format!("type-{:02}", self.event_type))),
            ("url", Field::Text(format!("https://shop.example.com/products/page-{:05}", self.url))),
            ("referrer", Field::Text(format!("https://search.example.org/r/{:04}", self.referrer))),
            ("status", Field::Int(self.status as i32)),
            ("latency", Field::Long(self.latency)),
            ("price", Field::Double(self.price_cents as f64 / 100.0)),
            ("quantity", Field::Int(self.quantity as i32)),
        ]
    }

    /// Writes the event as JSON; `ts` may be another time than the event's own, for freshness.
    pub(crate) fn write(&self, ts: i64, out: &mut Vec<u8>) {
        let uuid = self.uuid();
        let written = write!(
            out,
            r#"{{"ts":{ts},"user_id":{},"session":"{uuid}","country":"country-{:03}","city":"city-{:04}","device":"{}","event_type":"type-{:02}","url":"https://shop.example.com/products/page-{:05}","referrer":"https://search.example.org/r/{:04}","status":{},"latency":{},"price":{}.{:02},"quantity":{}}}"#,
            self.user_id,
            self.country,
            self.city,
            DEVICES[self.device as usize],
            self.event_type,
            self.url,
            self.referrer,
            self.status,
            self.latency,
            self.price_cents / 100,
            self.price_cents % 100,
            self.quantity,
        );
        written.expect("writing into memory cannot fail");
    }
}

/// What a table of the first `count` events must answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Rows.
    pub(crate) count: u64,
    /// Sum of `latency`.
    pub(crate) latency: i64,
    /// Sum of `quantity`.
    pub(crate) quantity: i64,
}

impl Expected {
    /// Of the first `count` events.
    #[must_use]
    pub(crate) fn of(count: u64) -> Self {
        let add = |sum: Self, number| {
            let event = Event::new(number);
            Self { count: sum.count + 1, latency: sum.latency + event.latency, quantity: sum.quantity + event.quantity }
        };
        (0..count).fold(Self { count: 0, latency: 0, quantity: 0 }, add)
    }
}

/// Schema and table config of the events, consuming `topic` of the broker, sealing after `segment_rows`.
#[must_use]
pub(crate) fn table_configs(table: &str, broker: &str, topic: &str, segment_rows: u64) -> serde_json::Value {
    let dimension = |name: &str, data_type: &str| serde_json::json!({"name": name, "dataType": data_type});
    serde_json::json!({
        "tableName": table,
        "schema": {
            "schemaName": table,
            "dimensionFieldSpecs": [
                dimension("user_id", "LONG"), dimension("session", "STRING"), dimension("country", "STRING"),
                dimension("city", "STRING"), dimension("device", "STRING"), dimension("event_type", "STRING"),
                dimension("url", "STRING"), dimension("referrer", "STRING"), dimension("status", "INT"),
            ],
            "metricFieldSpecs": [
                {"name": "latency", "dataType": "LONG"}, {"name": "price", "dataType": "DOUBLE"},
                {"name": "quantity", "dataType": "INT"},
            ],
            "dateTimeFieldSpecs": [
                {"name": "ts", "dataType": "LONG", "format": "1:MILLISECONDS:EPOCH", "granularity": "1:MILLISECONDS"},
            ],
        },
        "realtime": {
            "tableName": table,
            "tableType": "REALTIME",
            "segmentsConfig": {"timeColumnName": "ts", "replication": "1", "schemaName": table},
            "tenants": {},
            "tableIndexConfig": {
                "loadMode": "MMAP",
                "invertedIndexColumns": ["country", "event_type"],
                "rangeIndexColumns": ["latency"],
                "noDictionaryColumns": ["session", "price"],
            },
            "ingestionConfig": {"streamIngestionConfig": {"streamConfigMaps": [{
                "streamType": "kafka",
                "stream.kafka.topic.name": topic,
                "stream.kafka.broker.list": broker,
                "stream.kafka.consumer.type": "lowlevel",
                "stream.kafka.consumer.prop.auto.offset.reset": "smallest",
                "stream.kafka.consumer.factory.class.name": "org.apache.pinot.plugin.stream.kafka30.KafkaConsumerFactory",
                "stream.kafka.decoder.class.name": "org.apache.pinot.plugin.inputformat.json.JSONMessageDecoder",
                "realtime.segment.flush.threshold.segment.rows": segment_rows.to_string(),
                "realtime.segment.flush.threshold.time": "6h",
            }]}},
            "metadata": {},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_json_of_about_300_bytes() {
        let mut total = 0;
        for number in 0..1000 {
            let mut out = vec![];
            let event = Event::new(number);
            event.write(event.ts, &mut out);
            let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(json.as_object().unwrap().len(), 13);
            assert_eq!(json["latency"], event.latency);
            total += out.len();
        }
        assert!((280..330).contains(&(total / 1000)), "{}", total / 1000);
    }
}
