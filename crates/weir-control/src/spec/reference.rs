//! The reference page of table-config keys, written from the table of keys.

use crate::spec::keys::{CLIENT_KEYS, KINESIS_KEYS, Key, STREAM_KEYS, TABLE_KEYS};
use std::fmt::Write;

const HEAD: &str = "\
# Table config keys

Weir reads Apache Pinot's table-config JSON. What becomes of each key:

- **read**: it has its effect.
- **refused**: it would change rows or answers and is not built; the table is not made, and the error says what to do.
  A value that asks for nothing (`false`, `null`, an empty list, `NONE`) is accepted.
- **listed**: it would change speed or placement only; it is accepted and listed under `notYetEffective`.
- **ignored**: it means nothing here.

Any other key is kept and reported under `unrecognizedProperties`. A value of another kind than its key holds is
refused, also where the key has no effect; as in Pinot a number or a truth may be written as text, a text as a number or a
truth, and a list of one text as that text.

Seven keys are Weir's own, all in the stream map:

- `stream.<type>.topic.pattern`: in place of `topic.name`: a regular expression over whole topic names. Every topic that
  matches is read as the map says: those that are there when the table is made start as
  `consumer.prop.auto.offset.reset` says, those that are found later at their oldest message.
- `stream.<type>.error.policy`: what happens with a record that cannot be read or typed: `quarantine` (default: kept with
  its bytes and reason), `drop` (counted), `halt` (the partition stops in front of it; `stopOnDecodeError=true` means the
  same), `haltAbove:N` (kept, but the partition stops in front of the first beyond N rejects within a minute of reading).
- `stream.<type>.quarantine.max.age`: how long a rejected record is kept; a period or milliseconds, default 7d.
- `stream.<type>.quarantine.max.size`: bytes of the table's quarantine file; beyond half of it the oldest records go, at
  most 100,000 are kept; a size, default 256M.
- `stream.<type>.lagging.after`: a partition that is behind its stream by more than this is LAGGING; a period (`30s`) or
  milliseconds, default 10 s.
- `stream.local.partitions`, `stream.memory.partitions`: partitions of the topic, which the table makes (default 1); a
  topic that is there gains those it lacks and keeps those it has.

The offset criterion `stream.<type>.consumer.prop.auto.offset.reset` takes `smallest` or `earliest`, `largest` or `latest`
(default), a period (`2d`: that long ago), an ISO-8601 instant, or offsets by partition (`{\"0\": 1500, \"1\": 0}`): what these do
not name starts at its oldest message.

Partitions of a table do not all seal at once: each reaches `flush.threshold.time` up to a tenth earlier, by its number.

What `decoder.class.name` may be, and the `decoder.prop.*` of each decoder: [decoders.md](decoders.md).

Values of client settings may refer to secrets that are kept on the node: `env:NAME`, `file:/path`, and inside a text
`${env:NAME}`, `${file:/path}`, `${file:/path:key}`; literal secrets are shown as `*****`: [secrets.md](secrets.md).

What the keys of `ingestionConfig` make of a record: [ingestion.md](ingestion.md). `timestampConfig.granularities` of a TIMESTAMP
column `ts` stands for columns such as `$ts$DAY`: queries work them out of `ts`, whether they are listed or not, so they take
no room; `dateTrunc` is as fast without them.

What the keys of a stream mean: [kafka.md](kafka.md), [pulsar.md](pulsar.md), [kinesis.md](kinesis.md).

This page is written from the table in `crates/weir-control/src/spec/keys.rs`; `WEIR_BLESS=1 cargo test -p weir-control
key_reference` writes it again.
";

/// The page's text.
#[must_use]
pub fn key_reference() -> String {
    let mut page = HEAD.to_owned();
    table(&mut page, "Table", TABLE_KEYS, |path| path.replace(".[]", "[]"));
    table(&mut page, "Stream map", STREAM_KEYS, |path| path.replace("stream.T.", "stream.<type>."));
    // Writing to a String does not fail.
    writeln!(page, "| {CLIENT_KEYS} | text | read | handed to the client |").ok();
    table(&mut page, "Stream map of Kinesis", KINESIS_KEYS, str::to_owned);
    page
}

fn table(page: &mut String, title: &str, keys: &[Key], shown: impl Fn(&str) -> String) {
    writeln!(page, "\n## {title}\n\n| key | holds | is | because |\n|---|---|---|---|").ok();
    for (path, kind, treatment) in keys {
        writeln!(page, "| `{}` | {} | {} | {} |", shown(path), kind.expected(), treatment.word(), treatment.note())
            .ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn key_reference_is_as_the_page_says() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/table-config.md");
        if std::env::var_os("WEIR_BLESS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, key_reference()).unwrap();
        }
        let page = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(page == key_reference(), "{} is not up to date: run with WEIR_BLESS=1", path.display());
    }
}
