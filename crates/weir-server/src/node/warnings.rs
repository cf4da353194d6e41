//! What is allowed in a config and hardly meant: a name in an expression that is nearly a column's, a login that no connection
//! uses. It is said where a config is checked and where a table is made, and keeps nothing from being made.

use crate::node::TableConfigs;
use serde_json::Value as Json;
use std::collections::BTreeSet;
use weir_control::NewTable;
use weir_formats::transform::read_expression;
use weir_ingest::{Fate, Tried};
use weir_types::{Column, MessageField, Schema, StreamSpec, TableSpec};

/// Letters in which a name may differ from another to be taken for a slip of it.
const SLIPS: usize = 2;

impl TableConfigs {
    /// What is hardly meant, with its place.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        warnings(&self.realtime.spec, &self.schema.schema)
    }
}

/// What is hardly meant in a table's config.
#[must_use]
pub fn warnings(spec: &TableSpec, schema: &Schema) -> Vec<String> {
    let mut found = expressions(spec, schema);
    let streams = spec.streams.iter().chain(spec.patterns.iter().map(|pattern| pattern.asked()));
    found.extend(streams.filter_map(unused_login));
    found.dedup();
    found
}

/// Fields that are named; of more there is a count.
const FIELDS_NAMED: usize = 20;

/// That no record which was tried fills any column that is filled from a field: names of columns that match nothing in the
/// messages, which makes rows of nothing but defaults.
#[must_use]
pub fn unmatched(new: &NewTable, tried: &[Tried]) -> Option<String> {
    let all = &new.spec.expressions;
    let derived: BTreeSet<&str> = [&all.before.enrichments, &all.after.enrichments, &all.transforms]
        .into_iter()
        .flatten()
        .map(|derived| derived.column.as_str())
        .collect();
    let mut from_fields = vec![];
    for (at, field) in new.schema.fields().iter().enumerate() {
        let name = field.name.as_str();
        if field.transform.is_none() && !derived.contains(name) && MessageField::of(name).is_none() {
            from_fields.push((at, name));
        }
    }
    let (mut rows, mut seen) = (0, BTreeSet::new());
    for one in tried {
        let Fate::Rows { columns, .. } = &one.fate else { continue };
        rows += columns.first().map_or(0, Column::rows);
        if from_fields.iter().any(|(at, _)| columns[*at].nulls.len() < columns[*at].rows()) {
            return None;
        }
        let value = one.value.as_deref().and_then(|value| serde_json::from_slice::<Json>(value).ok());
        seen.extend(value.iter().filter_map(Json::as_object).flat_map(|record| record.keys().cloned()));
    }
    if rows == 0 || from_fields.is_empty() {
        return None;
    }
    let names: Vec<&str> = from_fields.iter().map(|(_, name)| *name).collect();
    let fields = match seen.len() {
        0 => "`weir tail` shows which fields the messages have".to_owned(),
        _ => format!("the records have the fields {}", some(seen.iter().map(String::as_str))),
    };
    let near = names.iter().filter_map(|name| Some(format!("{name} could be {}", nearest(name, &seen)?)));
    let near: Vec<String> = near.take(FIELDS_NAMED).collect();
    let near = if near.is_empty() { String::new() } else { format!("; {}", near.join(", ")) };
    Some(format!(
        "none of the {rows} rows that were tried has a value in any of the columns {}: they hold nothing but defaults; {fields}{near}. \
         Give the columns the names of the fields, letter for letter, or add transformConfigs that read them",
        some(names.iter().copied())
    ))
}

fn some<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(FIELDS_NAMED);
    let named = names.take(FIELDS_NAMED).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{named} and {more} more") } else { named }
}

/// The field that is most like a name: the same but for case and punctuation, or for some letters.
fn nearest<'a>(name: &str, fields: &'a BTreeSet<String>) -> Option<&'a str> {
    let plain =
        |text: &str| text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    let wanted = plain(name);
    let far = |field: &'a String| (distance(&wanted, &plain(field)), field.as_str());
    let (slips, field) = fields.iter().map(far).min()?;
    (slips * 3 <= wanted.chars().count()).then_some(field)
}

/// Fields that expressions read and that are no column, where a column has nearly that name. A field that only the records
/// have is none of these.
fn expressions(spec: &TableSpec, schema: &Schema) -> Vec<String> {
    let all = &spec.expressions;
    let derived: Vec<(String, &str)> = [&all.before.enrichments, &all.after.enrichments, &all.transforms]
        .into_iter()
        .flatten()
        .map(|derived| (format!("the expression of {}", derived.column), &*derived.function))
        .collect();
    let mut known: BTreeSet<&str> = schema.fields().iter().map(|field| field.name.as_str()).collect();
    known.extend(
        all.before.enrichments.iter().chain(&all.after.enrichments).chain(&all.transforms).map(|d| d.column.as_str()),
    );
    known.extend(all.before.types.iter().chain(&all.after.types).map(|source| source.field.as_str()));
    let filter = all.filter.as_deref().map(|filter| ("filterFunction".to_owned(), filter));
    let mut found = vec![];
    for (place, text) in derived.into_iter().chain(filter) {
        let Ok(facts) = read_expression(text) else { continue };
        for field in facts.fields.iter().filter(|field| !known.contains(field.as_str())) {
            // What a message brings around its value is no field of it.
            if MessageField::of(field).is_some() {
                continue;
            }
            let near = known.iter().map(|name| (distance(name, field), *name)).min();
            if let Some((1..=SLIPS, name)) = near.filter(|(slips, _)| slips * 3 <= field.chars().count()) {
                found.push(format!(
                    "{place} reads '{field}', which is no column, and there is one named '{name}': where the records have no \
                     field '{field}', it is null in each of them"
                ));
            }
        }
    }
    found
}

/// Letters to be added, removed or changed to make one of the other; a letter of another case is half of nothing.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (at, left) in a.iter().enumerate() {
        let mut before = row[0];
        row[0] = at + 1;
        for (to, right) in b.iter().enumerate() {
            let changed = before + usize::from(left != right);
            before = row[to + 1];
            row[to + 1] = changed.min(row[to] + 1).min(before + 1);
        }
    }
    row[b.len()]
}

/// A login or certificates beside a protocol that uses none.
fn unused_login(stream: &StreamSpec) -> Option<String> {
    if &*stream.stream_type != "kafka" {
        return None;
    }
    let protocol = stream.settings.get("security.protocol").map(|text| text.trim().to_ascii_uppercase());
    let uses = protocol.as_deref().unwrap_or("PLAINTEXT");
    // What stands elsewhere is not known here.
    if uses.contains(':') {
        return None;
    }
    let first = |prefix: &str| stream.settings.keys().find(|key| key.starts_with(prefix));
    let said = if protocol.is_some() { format!("is {uses}") } else { "is not set, which means PLAINTEXT".to_owned() };
    let warning = |key: &str, what: &str, wanted: &str| {
        format!("stream {}: {key} is set, and security.protocol {said}: {what}; set it to {wanted}", stream.topic)
    };
    match (first("sasl."), first("ssl.").or_else(|| first("stream.kafka.ssl."))) {
        (Some(key), _) if !uses.starts_with("SASL_") => {
            Some(warning(key, "nobody logs in", "SASL_SSL, or SASL_PLAINTEXT where the port has no encryption"))
        }
        (_, Some(key)) if !uses.ends_with("SSL") => {
            Some(warning(key, "the connection is not encrypted", "SSL, or SASL_SSL with a login"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn warned(transform: &str, filter: &str, settings: &[(&str, &str)]) -> Vec<String> {
        let mut map = json!({
            "streamType": "kafka", "stream.kafka.topic.name": "t", "stream.kafka.broker.list": "localhost:9092",
            "stream.kafka.decoder.class.name": "json",
        });
        settings.iter().for_each(|(key, value)| map[*key] = json!(value));
        let document = json!({
            "tableName": "t",
            "schema": {"schemaName": "t", "dimensionFieldSpecs": [
                {"name": "country", "dataType": "STRING"}, {"name": "land", "dataType": "STRING"}]},
            "realtime": {"tableName": "t", "tableType": "REALTIME", "ingestionConfig": {
                "streamIngestionConfig": {"streamConfigMaps": [map]},
                "filterConfig": {"filterFunction": filter},
                "transformConfigs": [{"columnName": "land", "transformFunction": transform}]}},
        });
        TableConfigs::parse(&document).unwrap().warnings()
    }

    #[test]
    fn the_nearest_field_is_found_by_letters() {
        let fields = ["orderId", "Country", "total_amount", "x"].map(str::to_owned).into();
        for (name, field) in [
            ("order_id", Some("orderId")),
            ("country", Some("Country")),
            ("contry", Some("Country")),
            ("totalAmount", Some("total_amount")),
            ("price", None),
            ("y", None),
        ] {
            assert_eq!(nearest(name, &fields), field, "{name}");
        }
        let many: Vec<String> = (0..22).map(|at| format!("f{at}")).collect();
        assert!(some(many.iter().map(String::as_str)).ends_with("f19 and 2 more"));
    }

    #[test]
    fn slips_in_expressions_are_said_and_fields_of_records_are_not() {
        let said = warned("upper(contry)", "", &[]);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with(
            "the expression of land reads 'contry', which is no column, and there is one named 'country'"
        ));
        let said = warned("upper(country)", "Country = 'DE'", &[]);
        assert!(said.len() == 1 && said[0].starts_with("filterFunction reads 'Country'"), "{said:?}");
        assert!(warned("upper(region)", "age > 5", &[]).is_empty());
        assert!(warned("upper(__key)", "", &[]).is_empty());
        for (a, b, slips) in [("a", "a", 0), ("ab", "ba", 2), ("", "abc", 3), ("kitten", "sitting", 3)] {
            assert_eq!(distance(a, b), slips, "{a} {b}");
        }
    }

    #[test]
    fn a_login_that_no_connection_uses_is_said() {
        let login = (
            "sasl.jaas.config",
            "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"u\" password=\"hunter2\";",
        );
        let said = warned("upper(country)", "", &[login]);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(
            said[0].contains("sasl.jaas.config is set, and security.protocol is not set")
                && !said[0].contains("hunter2"),
            "{said:?}"
        );
        assert!(warned("upper(country)", "", &[login, ("security.protocol", "SASL_SSL")]).is_empty());
        let said =
            warned("upper(country)", "", &[("ssl.truststore.location", "/x.jks"), ("security.protocol", "plaintext")]);
        assert!(said.len() == 1 && said[0].contains("is PLAINTEXT: the connection is not encrypted"), "{said:?}");
        assert!(warned("upper(country)", "", &[login, ("security.protocol", "env:PROTOCOL")]).is_empty());
    }
}
