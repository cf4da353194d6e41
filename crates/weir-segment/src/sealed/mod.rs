//! A sealed segment: a mapped file, verified when it is opened, read in place.

mod answer;
mod column;
mod dictionary;

use crate::{ColumnAt, ColumnInfo, ColumnStats, Dictionary, Segment, SegmentError, SegmentMeta, layout::directory};
use column::{SealedColumn, Storage};
use std::{collections::HashMap, ops::Range, sync::Arc};
use weir_base::Mapped;
use weir_indexes::{Answer, Predicate};
use weir_types::{Column, IndexKind};

/// A built segment, opened.
pub struct SealedSegment {
    meta: SegmentMeta,
    crc: u32,
    columns: Vec<SealedColumn>,
    by_name: HashMap<Arc<str>, ColumnAt>,
    file: Mapped,
}

impl std::fmt::Debug for SealedSegment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealedSegment({}, {} rows)", self.meta.name, self.meta.rows)
    }
}

impl SealedSegment {
    /// Opens a file: verifies its checksum, and that all of its parts lie where they should.
    ///
    /// # Errors
    /// `Corrupt` with the place, `Version` for a file of a later release.
    pub fn open(mapped: Mapped) -> Result<Arc<Self>, SegmentError> {
        Self::verify(&mapped)?;
        Self::open_verified(mapped)
    }

    /// Verifies the checksum of a file's bytes, and says it.
    ///
    /// # Errors
    /// As `open`.
    pub fn verify(bytes: &[u8]) -> Result<u32, SegmentError> {
        directory::verify(bytes)
    }

    /// Opens a file whose bytes were verified before, or were built just now: of its pages only those are read that say
    /// where the parts lie.
    ///
    /// # Errors
    /// As `open`, but for the checksum, which is believed.
    pub fn open_verified(mapped: Mapped) -> Result<Arc<Self>, SegmentError> {
        let contents = directory::read(&mapped)?;
        let mut columns = Vec::with_capacity(contents.columns.len());
        let mut by_name = HashMap::new();
        for entry in &contents.columns {
            by_name.insert(entry.name.clone(), ColumnAt(columns.len()));
            columns.push(SealedColumn::open(&mapped, entry, contents.rows)?);
        }
        let meta = SegmentMeta {
            name: contents.name,
            rows: contents.rows,
            schema_version: contents.schema_version,
            consuming: false,
            created_ms: contents.created_ms,
            crc: Some(contents.crc),
        };
        // What was cut meanwhile would have been found out of order, but where it was read in time.
        match mapped.damage() {
            Some(what) => Err(SegmentError::Damaged { what }),
            None => Ok(Arc::new(Self { meta, crc: contents.crc, columns, by_name, file: mapped })),
        }
    }

    /// Its name, as written in the file.
    #[must_use]
    pub fn segment_name(&self) -> &Arc<str> {
        &self.meta.name
    }

    /// Its checksum.
    #[must_use]
    pub fn crc(&self) -> u32 {
        self.crc
    }

    /// Its columns, in the order of the file; hidden ones too.
    pub fn column_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.columns.iter().map(|column| &column.name)
    }

    /// Bytes of the file that a column takes, indexes included.
    #[must_use]
    pub fn byte_count(&self, column: ColumnAt) -> usize {
        self.at(column).byte_count
    }

    fn at(&self, column: ColumnAt) -> &SealedColumn {
        &self.columns[column.0]
    }
}

impl Segment for SealedSegment {
    fn meta(&self) -> &SegmentMeta {
        &self.meta
    }

    fn column(&self, name: &str) -> Option<ColumnInfo> {
        let at = *self.by_name.get(name)?;
        let column = self.at(at);
        Some(ColumnInfo { at, data_type: column.data_type, single_value: column.single_value })
    }

    fn stats(&self, column: ColumnAt) -> &ColumnStats {
        &self.at(column).stats
    }

    fn dictionary(&self, column: ColumnAt) -> Option<Arc<dyn Dictionary>> {
        match &self.at(column).storage {
            Storage::Ids { dictionary, .. } => Some(dictionary.clone()),
            _ => None,
        }
    }

    fn read_ids(&self, column: ColumnAt, rows: Range<u32>, ids: &mut Vec<u32>) -> bool {
        self.at(column).read_ids(rows, ids)
    }

    fn read_values(&self, column: ColumnAt, rows: Range<u32>, out: &mut Column) {
        self.at(column).read_values(rows, out);
    }

    fn read_nulls(&self, column: ColumnAt, rows: Range<u32>, out: &mut Vec<u32>) {
        out.extend(self.at(column).nulls.range(rows));
    }

    fn index_answer(&self, column: ColumnAt, predicate: &Predicate) -> Answer {
        answer::answer(self.at(column), self.meta.rows, predicate)
    }

    fn has_index(&self, column: ColumnAt, kind: IndexKind) -> bool {
        match kind {
            IndexKind::Inverted => self.at(column).inverted.is_some(),
            IndexKind::Range => self.at(column).range.is_some(),
        }
    }

    fn damage(&self) -> Option<String> {
        self.file.damage()
    }

    /// Reads the whole file.
    fn look_again(&self) -> Option<String> {
        let read = Self::verify(&self.file);
        let otherwise = || match read {
            Ok(found) if found == self.crc => None,
            Ok(found) => Some(format!("its checksum is {found:08x}, and {:08x} was read before", self.crc)),
            Err(error) => Some(error.to_string()),
        };
        self.damage().or_else(otherwise)
    }
}
