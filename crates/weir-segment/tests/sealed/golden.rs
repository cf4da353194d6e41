//! The example file of each format version, opened for ever.

use crate::{
    check_values, open,
    rows::{Dice, frozen, name, schema},
    spec,
};
use std::collections::{BTreeMap, HashSet};
use weir_base::Mapped;
use weir_segment::{BuildSpec, BuiltSegment, STREAM_OFFSET, SealedSegment, Segment, build};
use weir_types::{Column, FieldIndexes, SchemaVersion, Value};

/// The input of version 1's example; never to be changed.
fn version_1() -> (BuiltSegment, Vec<Column>) {
    let schema = schema();
    let raw: HashSet<_> = ["json_sv", "double_sv", "timestamp_sv", "int_mv", "map_sv"].into_iter().map(name).collect();
    let mut indexes = BTreeMap::new();
    for column in &raw {
        indexes.insert(column.clone(), FieldIndexes { no_dictionary: true, inverted: false, range: false });
    }
    indexes.insert(name("string_mv"), FieldIndexes { inverted: true, ..FieldIndexes::default() });
    indexes.insert(name("long_sv"), FieldIndexes { range: true, ..FieldIndexes::default() });
    let spec = BuildSpec { sorted_column: Some(name("string_sv")), indexes, ..spec(&schema) };
    let (snapshot, appended) = frozen(&schema, raw, &[700, 500], 90, &mut Dice(20_261_124));
    (build(&*snapshot, &spec).expect("good rows build"), appended)
}

const VERSION_1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/segment-v1.weir");

#[test]
fn version_1_opens_with_the_values_it_was_written_with() {
    let (mut built, appended) = version_1();
    built.pieces = vec![std::fs::read(VERSION_1).unwrap()];
    let sealed = SealedSegment::open(Mapped::new(built.bytes())).unwrap();
    let meta = sealed.meta();
    assert_eq!((&*meta.name, meta.rows), ("all__0__0__20261124T0000Z", 1200));
    assert_eq!((meta.schema_version, meta.created_ms), (SchemaVersion(3), 1_700_000_000_123));
    assert_eq!(meta.crc, Some(VERSION_1_CRC));
    check_values(&sealed, &built, &schema(), &appended, 100);
    let at = |column: &str| sealed.column(column).unwrap().at;
    assert!(sealed.stats(at("string_sv")).sorted);
    let text = sealed.dictionary(at("string_sv")).unwrap();
    assert_eq!((text.value(0), text.value(1)), (Value::Str("null".into()), Value::Str("wert-0-".into())));
    let offsets = sealed.stats(at(STREAM_OFFSET));
    assert_eq!(offsets.min_max, Some((Value::Long(1000), Value::Long(2204))));
}

const VERSION_1_CRC: u32 = 0x136d_cd81;

/// Writes the example of the current version; run once when the version is made:
/// `cargo test -p weir-segment --test sealed -- --ignored write_example`.
#[test]
#[ignore = "writes the example file of a new format version"]
fn write_example() {
    let (built, _) = version_1();
    open(&built);
    std::fs::write(VERSION_1, built.bytes()).unwrap();
    println!("crc {:#010x}, {} bytes", built.crc, built.bytes().len());
}
