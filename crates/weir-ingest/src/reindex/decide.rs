//! Which committed segments are to get another file, because the table asks for other storage or indexes than theirs has.
//! Pure: records, files and settings in, an answer out.

use std::collections::BTreeMap;
use weir_control::{Artifact, TableRecord};
use weir_segment::{STREAM_OFFSET, SealedSegment, Segment};
use weir_types::{ColumnName, FieldIndexes, IndexKind};

/// Attempts that met a fault of ours, or of the rows, after which a segment is left as it is until the settings change.
pub(super) const FAULTS_MOST: u32 = 3;

/// Earlier attempts at a segment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Attempts {
    /// The index settings that they were made for.
    pub(super) settings: u64,
    /// How many.
    pub(super) count: u32,
    /// Those of them that another attempt will not better.
    pub(super) faults: u32,
    /// How the last one failed.
    pub(super) why: String,
}

impl Attempts {
    /// Whether nothing is tried any more with these settings.
    pub(super) fn are_over(&self, settings: u64) -> bool {
        self.settings == settings && self.faults >= FAULTS_MOST
    }
}

/// Whether a segment's file has to be looked at: its record does not say that it was made with these settings. An index that
/// could not be built with them is not tried again, but where somebody asks for it.
pub(super) fn is_to_be_looked_at(artifact: &Artifact, settings: u64, asked: bool) -> bool {
    artifact.settings != Some(settings) || (asked && !artifact.missing_indexes.is_empty())
}

/// What is to be done about a file that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is as the settings ask: its record is to say so.
    Note,
    /// It is to be made anew.
    Make,
    /// It has a column that the schema does not have: made anew it would lose it.
    Leave,
}

/// What becomes of a segment by its file.
pub(super) fn verdict(artifact: &Artifact, file: &SealedSegment, table: &TableRecord) -> Verdict {
    let known = |name: &str| name == STREAM_OFFSET || table.schema.field(name).is_some();
    if differs(file, table, artifact.settings.is_some()) {
        return if file.column_names().all(|name| known(name)) { Verdict::Make } else { Verdict::Leave };
    }
    Verdict::Note
}

/// Whether a file made with the table's settings could be another one. `known` says that the file's own settings are known, and
/// are others: a column without a dictionary may have been asked to have none then. Where they are not known it is believed
/// that values were fewer bytes than ids.
fn differs(file: &SealedSegment, table: &TableRecord, known: bool) -> bool {
    let indexes = &table.spec.indexes;
    let column_differs = |column: &ColumnName| {
        let Some(info) = file.column(column.as_str()) else { return false };
        let FieldIndexes { no_dictionary, inverted, range } = indexes.get(column).cloned().unwrap_or_default();
        let has = |kind| file.has_index(info.at, kind);
        let unasked = (has(IndexKind::Inverted) && !inverted) || (has(IndexKind::Range) && !range);
        let storage = match file.dictionary(info.at) {
            Some(_) => no_dictionary,
            None => known && !no_dictionary,
        };
        unasked || storage
    };
    !lacking(indexes, file).is_empty() || table.schema.fields().iter().any(|field| column_differs(&field.name))
}

/// Indexes that a table asks for and that a file lacks; why is not known from it. A sorted column needs none.
pub(crate) fn lacking(indexes: &BTreeMap<ColumnName, FieldIndexes>, file: &dyn Segment) -> Vec<String> {
    let mut missing = vec![];
    for (column, wanted) in indexes {
        let Some(info) = file.column(column.as_str()) else { continue };
        let needs_none = file.stats(info.at).sorted && file.dictionary(info.at).is_some();
        for (kind, wanted, what) in
            [(IndexKind::Inverted, wanted.inverted, "inverted"), (IndexKind::Range, wanted.range, "range")]
        {
            if wanted && !needs_none && !file.has_index(info.at, kind) {
                missing.push(format!("column {column}: no {what} index"));
            }
        }
    }
    missing
}

/// What a segment lacks of the indexes that the settings ask for now. `file` is its file, where it is open.
pub(super) fn missing(
    artifact: &Artifact,
    file: Option<&dyn Segment>,
    indexes: &BTreeMap<ColumnName, FieldIndexes>,
    settings: u64,
) -> Vec<String> {
    match file {
        _ if artifact.settings == Some(settings) => artifact.missing_indexes.clone(),
        Some(file) => lacking(indexes, file),
        None if indexes.values().all(|wanted| !wanted.inverted && !wanted.range) => vec![],
        None => vec!["made with other settings, and not looked at yet".into()],
    }
}

#[cfg(test)]
mod tests;
