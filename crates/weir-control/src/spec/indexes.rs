//! How columns are stored and indexed: the old lists of `tableIndexConfig` and the new `fieldConfigList`, together.

use crate::spec::{
    keys::is_index_off,
    read::{At, Findings},
};
use std::collections::BTreeMap;
use weir_types::{ColumnName, DataType, FieldIndexes, FieldSpec, Schema, Stored};

/// What a time may be cut to (`timestampConfig.granularities`).
const GRANULARITIES: [&str; 9] = ["MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR"];

/// What a config says of its columns' storage.
#[derive(Default)]
pub(super) struct Indexes {
    pub(super) columns: BTreeMap<ColumnName, FieldIndexes>,
    pub(super) sorted_column: Option<ColumnName>,
}

/// Reads both forms; a column may be named in both as long as they agree.
pub(super) fn indexes(root: &At<'_>, schema: Option<&Schema>, findings: &mut Findings) -> Indexes {
    let mut reader =
        Reader { schema, findings, found: Indexes::default(), inverted: vec![], range: vec![], sorted_at: None };
    reader.old_lists(&root.key("tableIndexConfig"));
    let mut seen = std::collections::BTreeSet::new();
    for field in root.key("fieldConfigList").items() {
        let name_at = field.key("name");
        if name_at.is_absent() {
            reader.findings.wrong(&name_at, "must name a column");
        }
        let Some(name) = reader.findings.text(&name_at) else { continue };
        let Some(column) = reader.column(&name_at, &name) else { continue };
        if !seen.insert(column.clone()) {
            reader.findings.wrong(&name_at, "the column has a field config already: put both into one");
        }
        reader.field(&field, &column);
    }
    reader.check();
    reader.found
}

struct Reader<'r, 'a> {
    schema: Option<&'r Schema>,
    findings: &'r mut Findings,
    found: Indexes,
    /// Where each index was asked for, to name the place when it cannot be.
    inverted: Vec<(At<'a>, ColumnName)>,
    range: Vec<(At<'a>, ColumnName)>,
    sorted_at: Option<At<'a>>,
}

impl<'a> Reader<'_, 'a> {
    /// A column that the schema has.
    fn column(&mut self, at: &At<'_>, name: &str) -> Option<ColumnName> {
        let column = match ColumnName::parse(name) {
            Ok(column) => column,
            Err(error) => {
                self.findings.wrong(at, error.reason);
                return None;
            }
        };
        if self.schema.is_some_and(|schema| schema.field(name).is_none()) {
            self.findings.wrong(at, "the schema has no such column: correct the name or remove it");
            return None;
        }
        Some(column)
    }

    fn spec(&self, column: &ColumnName) -> Option<&FieldSpec> {
        self.schema?.field(column.as_str())
    }

    fn entry(&mut self, column: &ColumnName) -> &mut FieldIndexes {
        self.found.columns.entry(column.clone()).or_default()
    }

    fn listed(&mut self, list: &At<'a>) -> Vec<(At<'a>, ColumnName)> {
        let names = self.findings.texts(list);
        names.into_iter().filter_map(|(at, name)| self.column(&at, &name).map(|column| (at, column))).collect()
    }

    fn old_lists(&mut self, config: &At<'a>) {
        for (at, column) in self.listed(&config.key("invertedIndexColumns")) {
            self.inverted(at, column);
        }
        for (at, column) in self.listed(&config.key("rangeIndexColumns")) {
            self.range(at, column);
        }
        for (_, column) in self.listed(&config.key("noDictionaryColumns")) {
            self.entry(&column).no_dictionary = true;
        }
        for (name, at) in config.key("noDictionaryConfig").entries() {
            if let Some(column) = self.column(&at, name) {
                self.entry(&column).no_dictionary = true;
            }
        }
        let sorted_at = config.key("sortedColumn");
        let sorted = self.listed(&sorted_at);
        if sorted.len() > 1 {
            self.findings.wrong(&sorted_at, "rows can be sorted by one column only: name one");
        }
        if let Some((at, column)) = sorted.into_iter().next() {
            self.sorted(at, column);
        }
    }

    fn inverted(&mut self, at: At<'a>, column: ColumnName) {
        self.entry(&column).inverted = true;
        self.inverted.push((at, column));
    }

    fn range(&mut self, at: At<'a>, column: ColumnName) {
        self.entry(&column).range = true;
        self.range.push((at, column));
    }

    fn sorted(&mut self, at: At<'a>, column: ColumnName) {
        match &self.found.sorted_column {
            Some(other) if *other != column => {
                self.findings.wrong(&at, format!("rows can be sorted by one column only, {other} is given already"));
            }
            _ => {
                self.found.sorted_column = Some(column);
                self.sorted_at = Some(at);
            }
        }
    }

    fn field(&mut self, field: &At<'a>, column: &ColumnName) {
        let encoding_at = field.key("encodingType");
        let old_raw = self.found.columns.get(column).is_some_and(|indexes| indexes.no_dictionary);
        match self.findings.text(&encoding_at).map(|text| text.trim().to_ascii_uppercase()).as_deref() {
            None => {}
            Some("RAW") => self.entry(column).no_dictionary = true,
            Some("DICTIONARY") if old_raw => {
                let reason =
                    "contradicts tableIndexConfig.noDictionaryColumns, which names the column: remove one of them";
                self.findings.wrong(&encoding_at, reason);
            }
            Some("DICTIONARY") => {}
            Some(_) => self.findings.wrong(&encoding_at, "must be DICTIONARY or RAW"),
        }
        let indexes = field.key("indexes");
        let wanted = |at: &At<'_>| at.value.is_some_and(|options| !is_index_off(options));
        let (inverted, range, dictionary) = (indexes.key("inverted"), indexes.key("range"), indexes.key("dictionary"));
        if wanted(&inverted) {
            self.inverted(inverted, column.clone());
        }
        if wanted(&range) {
            self.range(range, column.clone());
        }
        if dictionary.value.is_some_and(is_index_off) {
            self.entry(column).no_dictionary = true;
        }
        self.granularities(&field.key("timestampConfig").key("granularities"), column);
        for key in ["indexType", "indexTypes"] {
            for (at, name) in self.findings.texts(&field.key(key)) {
                self.index_type(at, &name, column);
            }
        }
    }

    /// Columns such as `$ts$DAY`, which a query works out of the time itself.
    fn granularities(&mut self, at: &At<'a>, column: &ColumnName) {
        let granularities = self.findings.texts(at);
        if !granularities.is_empty()
            && let Some(field) = self.spec(column)
            && (field.data_type != DataType::Timestamp || !field.single_value)
        {
            let kind =
                if field.single_value { field.data_type.to_string() } else { "several values in a row".to_owned() };
            self.findings
                .wrong(at, format!("needs a TIMESTAMP column, and {column} is {kind}: use dateTrunc in queries"));
        }
        for (at, granularity) in granularities {
            if !GRANULARITIES.contains(&granularity.trim().to_ascii_uppercase().as_str()) {
                self.findings.wrong(&at, format!("must be one of {}", GRANULARITIES.join(", ")));
            }
        }
    }

    fn index_type(&mut self, at: At<'a>, name: &str, column: &ColumnName) {
        match name.trim().to_ascii_uppercase().as_str() {
            "INVERTED" => self.inverted(at, column.clone()),
            "RANGE" => self.range(at, column.clone()),
            "SORTED" => self.sorted(at, column.clone()),
            // Its columns are worked out in queries.
            "TIMESTAMP" => {}
            "FST" | "IFST" | "H3" | "BLOOM" => self.findings.not_yet(at.path),
            "TEXT" | "JSON" | "VECTOR" | "OPEN_STRUCT" => {
                self.findings.wrong(&at, "this index is not built yet and queries would depend on it: remove it");
            }
            _ => self.findings.wrong(
                &at,
                "is not an index: INVERTED, RANGE, SORTED, FST, IFST, H3, TIMESTAMP, TEXT, JSON, VECTOR are",
            ),
        }
    }

    /// What an index needs of its column.
    fn check(&mut self) {
        for (at, column) in std::mem::take(&mut self.inverted) {
            if self.found.columns.get(&column).is_some_and(|indexes| indexes.no_dictionary) {
                let reason = format!(
                    "an inverted index needs a dictionary and {column} has none: give it one, or use a range index"
                );
                self.findings.wrong(&at, reason);
            }
        }
        for (at, column) in std::mem::take(&mut self.range) {
            let raw = self.found.columns.get(&column).is_some_and(|indexes| indexes.no_dictionary);
            let stored = self.spec(&column).map(|spec| spec.data_type.stored());
            if raw && stored.is_some_and(|stored| matches!(stored, Stored::Str | Stored::Bytes)) {
                let reason = format!("a range index on {column}, which is no number, needs a dictionary: give it one");
                self.findings.wrong(&at, reason);
            }
        }
        let sorted_at = self.sorted_at.take();
        let multi = |column: &ColumnName| self.spec(column).is_some_and(|spec| !spec.single_value);
        if let Some((column, at)) = self.found.sorted_column.clone().zip(sorted_at)
            && multi(&column)
        {
            self.findings.wrong(&at, "has several values in a row: rows can be sorted by a single-value column only");
        }
    }
}
