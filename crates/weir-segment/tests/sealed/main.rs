//! Sealed segments: what was appended comes back, in any order and encoding; indexes tell the truth; corrupt files are
//! refused; the example file of every format version opens for ever.

mod golden;
mod rows;

use proptest::prelude::*;
use rows::{Dice, frozen, name, schema};
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};
use weir_base::Mapped;
use weir_indexes::{Answer, Predicate, conformance};
use weir_segment::{BuildSpec, BuiltSegment, STREAM_OFFSET, SealedSegment, Segment, SegmentError, build};
use weir_types::{Column, ColumnName, DataType, FieldIndexes, IndexKind, Schema, Value};

fn spec(schema: &Arc<Schema>) -> BuildSpec {
    BuildSpec {
        name: "all__0__0__20261124T0000Z".into(),
        schema: schema.clone(),
        sorted_column: None,
        indexes: BTreeMap::new(),
        keep_offsets: true,
        time_column: None,
    }
}

fn open(built: &BuiltSegment) -> Arc<SealedSegment> {
    let sealed = SealedSegment::open(Mapped::new(built.bytes())).expect("what was built opens");
    assert_eq!((sealed.crc(), sealed.meta().rows), (built.crc, built.rows));
    sealed
}

/// All rows of a column, read in pieces.
fn read(segment: &dyn Segment, column: &str, step: u32) -> Column {
    let info = segment.column(column).unwrap_or_else(|| panic!("no column {column}"));
    let mut out = Column::new(info.data_type.stored(), info.single_value);
    let rows = segment.meta().rows;
    for start in (0..rows).step_by(step as usize) {
        segment.read_values(info.at, start..rows.min(start + step), &mut out);
    }
    segment.read_nulls(info.at, 0..rows, &mut out.nulls);
    out
}

fn row_values(column: &Column, row: usize) -> Vec<Value> {
    column.values_of(row).map(|at| column.data.get(at)).collect()
}

/// Compares a sealed segment with the appended columns, through the row map of the build.
fn check_values(sealed: &SealedSegment, built: &BuiltSegment, schema: &Schema, appended: &[Column], step: u32) {
    let new_row = |old: usize| built.old_to_new.as_ref().map_or(old, |map| map[old] as usize);
    for (field, expected) in schema.fields().iter().zip(appended) {
        let found = read(sealed, field.name.as_str(), step);
        assert_eq!(found.rows(), expected.rows(), "{}", field.name);
        for old in 0..expected.rows() {
            assert_eq!(row_values(&found, new_row(old)), row_values(expected, old), "{} row {old}", field.name);
        }
        let mut nulls: Vec<u32> = expected.nulls.iter().map(|old| new_row(*old as usize) as u32).collect();
        nulls.sort_unstable();
        assert_eq!(found.nulls, nulls, "{}", field.name);
        check_stats(sealed, field.name.as_str(), &found);
    }
}

fn check_stats(sealed: &SealedSegment, column: &str, values: &Column) {
    let info = sealed.column(column).expect("the column was built");
    let stats = sealed.stats(info.at);
    let mut all: Vec<Value> = (0..values.data.len()).map(|at| values.data.get(at)).collect();
    let ascends = all.windows(2).all(|pair| pair[0].order(&pair[1]).is_le());
    all.sort_by(Value::order);
    let min_max = all.first().cloned().zip(all.last().cloned());
    assert_eq!(stats.min_max, min_max, "{column}");
    assert_eq!((stats.values, stats.nulls), (all.len() as u64, values.nulls.len() as u32), "{column}");
    if stats.sorted {
        assert!(ascends && info.single_value, "{column}");
    }
    let Some(dictionary) = sealed.dictionary(info.at) else { return };
    all.dedup();
    assert_eq!(stats.cardinality, Some(all.len() as u32), "{column}");
    let known: Vec<Value> = (0..dictionary.len()).map(|id| dictionary.value(id)).collect();
    assert_eq!(known, all, "{column}: a sorted dictionary of just the values");
    assert_eq!(dictionary.arrow().len(), all.len());
    let mut ids = vec![];
    if info.single_value {
        assert!(sealed.read_ids(info.at, 0..sealed.meta().rows, &mut ids), "{column}");
        let by_id: Vec<Value> = ids.iter().map(|id| dictionary.value(*id)).collect();
        let plain: Vec<Value> = (0..values.data.len()).map(|at| values.data.get(at)).collect();
        assert_eq!(by_id, plain, "{column}");
    }
}

/// Every predicate on every column against a scan; returns how many were answered exactly.
fn check_indexes(sealed: &SealedSegment, schema: &Schema, dice: &mut Dice) -> usize {
    let mut exact = 0;
    for field in schema.fields() {
        let column = read(sealed, field.name.as_str(), 1000);
        if column.data.is_empty() {
            continue;
        }
        let mut some: Vec<Value> =
            (0..3).map(|_| column.data.get(dice.below(column.data.len() as u64) as usize)).collect();
        some.push(field.default_null.clone());
        for predicate in conformance::predicates(&some) {
            let info = sealed.column(field.name.as_str()).expect("the column was built");
            let answer = sealed.index_answer(info.at, &predicate);
            conformance::check(&column, &predicate, &answer);
            exact += usize::from(matches!(answer, Answer::Exact(_)));
        }
    }
    exact
}

fn sortable() -> impl Strategy<Value = Option<DataType>> {
    prop_oneof![Just(None), prop::sample::select(DataType::ALL.to_vec()).prop_map(Some)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn what_was_appended_comes_back(
        seed in any::<u64>(),
        batches in prop::collection::vec(0u64..700, 0..4),
        spread in prop_oneof![Just(1u64), Just(3), Just(60), Just(5000)],
        sorted in sortable(),
        raw in 0u64..4,
        step in prop_oneof![Just(1u32 << 16), 1u32..300],
    ) {
        let (schema, mut dice) = (schema(), Dice(seed));
        let mut spec = spec(&schema);
        let mut no_dictionary = HashSet::new();
        for field in schema.fields() {
            let no_dict = raw == 0 || (raw == 1 && dice.below(2) == 0);
            if no_dict {
                no_dictionary.insert(field.name.clone());
            }
            let indexes =
                FieldIndexes { no_dictionary: no_dict, inverted: dice.below(2) == 0, range: dice.below(2) == 0 };
            spec.indexes.insert(field.name.clone(), indexes);
        }
        spec.sorted_column = sorted.map(|data_type| name(&format!("{}_sv", data_type.as_str().to_lowercase())));
        let (snapshot, appended) = frozen(&schema, no_dictionary, &batches, spread, &mut dice);
        let built = build(&*snapshot, &spec).unwrap();
        prop_assert_eq!(&built.bytes(), &build(&*snapshot, &spec).unwrap().bytes(), "equal input gives equal bytes");
        let sealed = open(&built);
        check_values(&sealed, &built, &schema, &appended, step);
        check_indexes(&sealed, &schema, &mut dice);
        if let Some(column) = &spec.sorted_column {
            let info = sealed.column(column.as_str()).unwrap();
            prop_assert!(sealed.stats(info.at).sorted || built.rows == 0);
        }
        for (name, min, max) in &built.columns {
            let info = sealed.column(name.as_str()).unwrap();
            prop_assert_eq!(&sealed.stats(info.at).min_max, &Some((min.clone(), max.clone())));
        }
    }

    #[test]
    fn flipped_bytes_are_refused(seed in any::<u64>(), flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4)) {
        let built = small(seed);
        let mut bytes = built.bytes();
        let mut places = HashSet::new();
        for (at, mask) in &flips {
            let at = at.index(bytes.len());
            if places.insert(at) {
                bytes[at] ^= mask;
            }
        }
        let refused = SealedSegment::open(Mapped::new(bytes.clone())).unwrap_err();
        let kind = matches!(refused, SegmentError::Corrupt { .. } | SegmentError::Version { .. });
        prop_assert!(kind, "{refused}");
        // With a right checksum over wrong bytes, opening may succeed or fail but never panics.
        let crc = crc32c::crc32c(&bytes[16..]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        if let Err(error) = SealedSegment::open(Mapped::new(bytes)) {
            prop_assert!(matches!(error, SegmentError::Corrupt { .. } | SegmentError::Version { .. }), "{error}");
        }
    }
}

fn small(seed: u64) -> BuiltSegment {
    let schema = schema();
    let mut spec = spec(&schema);
    for field in schema.fields() {
        spec.indexes.insert(field.name.clone(), FieldIndexes { no_dictionary: false, inverted: true, range: true });
    }
    let (snapshot, _) = frozen(&schema, HashSet::new(), &[40, 30], 20, &mut Dice(seed));
    build(&*snapshot, &spec).expect("good rows build")
}

#[test]
fn a_cut_file_is_refused_wherever_it_is_cut() {
    let built = small(1);
    for length in (0..built.bytes().len()).step_by(37) {
        let error = SealedSegment::open(Mapped::new(built.bytes()[..length].to_vec())).unwrap_err();
        assert!(matches!(error, SegmentError::Corrupt { .. }), "{error}");
    }
}

#[test]
fn a_later_version_is_named() {
    let mut bytes = small(2).bytes();
    bytes[8] = 9;
    let error = SealedSegment::open(Mapped::new(bytes)).unwrap_err();
    assert!(error.to_string().contains("format version 9"), "{error}");
}

#[test]
fn offsets_follow_their_rows_through_sorting() {
    let schema = schema();
    let mut spec = spec(&schema);
    spec.sorted_column = Some(name("string_sv"));
    let (snapshot, _) = frozen(&schema, HashSet::new(), &[500, 700], 40, &mut Dice(5));
    let built = build(&*snapshot, &spec).unwrap();
    let sealed = open(&built);
    let before = read(&*snapshot, STREAM_OFFSET, 64);
    let after = read(&*sealed, STREAM_OFFSET, 64);
    let map = built.old_to_new.as_ref().unwrap();
    assert_eq!(map.len(), 1200);
    for (old, new) in map.iter().enumerate() {
        assert_eq!(before.data.get(old), after.data.get(*new as usize));
    }
    // Stable: offsets ascend among rows of one value.
    let text = read(&*sealed, "string_sv", 64);
    for row in 1..1200 {
        if text.data.get(row) == text.data.get(row - 1) {
            assert!(after.data.get(row).order(&after.data.get(row - 1)).is_gt());
        }
    }
}

#[test]
fn indexes_answer_where_they_were_asked_for() {
    let schema = schema();
    let mut spec = spec(&schema);
    for field in schema.fields() {
        spec.indexes.insert(field.name.clone(), FieldIndexes { no_dictionary: false, inverted: true, range: true });
    }
    let (snapshot, _) = frozen(&schema, HashSet::new(), &[3000], 50, &mut Dice(6));
    let built = build(&*snapshot, &spec).unwrap();
    assert_eq!(built.index_failures, Vec::<String>::new());
    let sealed = open(&built);
    let exact = check_indexes(&sealed, &schema, &mut Dice(7));
    assert!(exact > 24 * 20, "{exact} exact answers");
}

#[test]
fn raw_numbers_have_range_indexes_and_no_inverted_ones() {
    let schema = schema();
    let mut spec = spec(&schema);
    let raw = FieldIndexes { no_dictionary: true, inverted: true, range: true };
    let columns: Vec<ColumnName> = ["long_sv", "double_mv", "string_sv"].into_iter().map(name).collect();
    spec.indexes.extend(columns.iter().map(|column| (column.clone(), raw.clone())));
    let (snapshot, _) = frozen(&schema, columns.iter().cloned().collect(), &[3000], 900, &mut Dice(8));
    let built = build(&*snapshot, &spec).unwrap();
    assert_eq!(built.index_failures.len(), 4, "{:?}", built.index_failures);
    assert!(built.index_failures.iter().any(|failure| failure.contains("string_sv: no range index")));
    let sealed = open(&built);
    check_indexes(&sealed, &schema, &mut Dice(9));
    let long = sealed.column("long_sv").unwrap();
    let has = |column: &str, kind| sealed.has_index(sealed.column(column).unwrap().at, kind);
    assert!(has("long_sv", IndexKind::Range) && !has("long_sv", IndexKind::Inverted));
    assert!(!has("string_sv", IndexKind::Range) && !has("string_sv", IndexKind::Inverted));
    let low = Predicate::Range {
        lower: std::ops::Bound::Included(Value::Long(1_700_000_100_000)),
        upper: std::ops::Bound::Excluded(Value::Long(1_700_000_300_000)),
    };
    let Answer::Superset(rows) = sealed.index_answer(long.at, &low) else { panic!("bucket edges are not met") };
    assert!(rows.len() < 1000, "{} rows for about 650", rows.len());
}

#[test]
fn columns_that_hardly_repeat_are_raw_unless_an_index_needs_ids() {
    let schema = schema();
    let mut spec = spec(&schema);
    let inverted = FieldIndexes { inverted: true, ..FieldIndexes::default() };
    spec.indexes.insert(name("string_mv"), inverted);
    let (snapshot, _) = frozen(&schema, HashSet::new(), &[20_000], 1 << 40, &mut Dice(10));
    let sealed = open(&build(&*snapshot, &spec).unwrap());
    let has = |column: &str| sealed.dictionary(sealed.column(column).unwrap().at).is_some();
    assert!(!has("string_sv") && !has("uuid_sv") && !has("long_sv") && !has("bytes_mv"));
    assert!(has("string_mv") && has("boolean_sv") && has("boolean_mv"));
}

#[test]
fn rows_without_offsets_cannot_keep_them() {
    let schema = schema();
    let (snapshot, _) = frozen(&schema, HashSet::new(), &[3], 3, &mut Dice(11));
    let built = build(&*snapshot, &BuildSpec { keep_offsets: false, ..spec(&schema) }).unwrap();
    let sealed = open(&built);
    assert!(sealed.column(STREAM_OFFSET).is_none());
    let error = build(&*sealed, &spec(&schema)).unwrap_err();
    assert!(error.to_string().contains("stream offsets"), "{error}");
    // A sealed segment is itself a source of rows: building from it gives the same bytes.
    let again = build(&*sealed, &BuildSpec { keep_offsets: false, ..spec(&schema) }).unwrap();
    assert_eq!(again.bytes(), built.bytes());
}
