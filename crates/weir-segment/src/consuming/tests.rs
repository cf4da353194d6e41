//! Appends and snapshots against a model of plain rows.

use super::*;
use crate::{
    scan::{
        ScanColumn, ScanRequest, ScanStats, SegmentScan,
        testing::{Cell, Model, check_columns, check_scan, model_and_filters},
    },
    segment::Segment,
};
use proptest::prelude::*;
use weir_indexes::{Filter, Predicate};
use weir_types::{FieldKind, FieldSpec, SchemaVersion, Value};

pub(super) fn segment(schema: &Arc<Schema>, no_dictionary: HashSet<ColumnName>) -> ConsumingSegment {
    ConsumingSegment::new(ConsumingSpec {
        name: "model__0__0__20260101T0000Z".into(),
        schema: schema.clone(),
        no_dictionary,
        keep_offsets: true,
        created_ms: 7,
    })
}

fn field(name: &str, data_type: DataType) -> FieldSpec {
    FieldSpec::new(ColumnName::parse(name).unwrap(), data_type, FieldKind::Dimension)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn snapshots_equal_the_rows_before_them_and_stay(
        (model, filters, valid) in model_and_filters(60),
        raw in any::<u8>(),
        cuts in prop::collection::vec((1_usize..9, any::<bool>()), 60),
        block_rows in prop_oneof![Just(BLOCK_ROWS), 1_u32..20],
    ) {
        let named = |at: &usize| raw & (1 << at) != 0;
        let fields = model.schema.fields();
        let no_dictionary = (0..fields.len()).filter(named).map(|at| fields[at].name.clone()).collect();
        let mut segment = segment(&model.schema, no_dictionary).with_block_rows(block_rows);
        let mut snapshots = vec![];
        let mut done = 0;
        for (count, publish) in cuts {
            let end = (done + count).min(model.rows.len());
            let range = segment.append(&model.batch(done..end), &|at| NextOffset::new((done as u64 + u64::from(at)) * 2));
            prop_assert_eq!(range, done as u32..end as u32);
            done = end;
            if publish {
                snapshots.push((done, segment.snapshot()));
            }
        }
        segment.append(&model.batch(done..model.rows.len()), &|at| NextOffset::new((done as u64 + u64::from(at)) * 2));
        snapshots.push((model.rows.len(), segment.freeze().snapshot()));
        // Checked after all appends: nothing a snapshot shows has moved.
        for (rows, snapshot) in &snapshots {
            check_columns(&**snapshot, &model.head(*rows));
            let info = snapshot.column(STREAM_OFFSET).unwrap();
            let mut offsets = weir_types::Column::new(info.data_type.stored(), true);
            snapshot.read_values(info.at, 0..*rows as u32, &mut offsets);
            prop_assert_eq!(offsets.data, ColumnData::Long((0..*rows as i64).map(|at| at * 2).collect()));
        }
        let (first, last) = (&snapshots[0], &snapshots[snapshots.len() - 1]);
        for filter in &filters {
            // The later one first: what readers remember for it must not show in the earlier one.
            for (rows, snapshot) in [last, first] {
                let snapshot: Arc<dyn Segment> = snapshot.clone();
                let head = model.head(*rows);
                check_scan(&snapshot, &head, filter, None);
                check_scan(&snapshot, &head, filter, Some(&valid));
            }
        }
    }
}

/// Rows of `k` INT (few values), `u` LONG (all distinct), `t` STRING (all distinct), `m` INT multi-value.
pub(super) fn wide_model(rows: usize) -> Model {
    let fields = vec![
        field("k", DataType::Int),
        field("u", DataType::Long),
        field("t", DataType::String),
        FieldSpec { single_value: false, ..field("m", DataType::Int) },
    ];
    let cell = |values: Vec<Value>| Cell { null: false, values };
    let row = |at: usize| {
        let null = at % 1000 == 7;
        vec![
            Cell { null, values: vec![if null { Value::Int(i32::MIN) } else { Value::Int((at / 50 % 300) as i32) }] },
            cell(vec![Value::Long(at as i64 * 3)]),
            cell(vec![Value::Str(format!("text number {at}").into())]),
            cell((0..at % 3 + 1).map(|n| Value::Int((at % 7 + n) as i32)).collect()),
        ]
    };
    Model { schema: Arc::new(Schema::new("wide", SchemaVersion(3), fields)), rows: (0..rows).map(row).collect() }
}

fn filled(model: &Model, batch: usize) -> ConsumingSegment {
    filled_in_blocks(model, batch, BLOCK_ROWS)
}

fn filled_in_blocks(model: &Model, batch: usize, block_rows: u32) -> ConsumingSegment {
    let mut segment = segment(&model.schema, HashSet::new()).with_block_rows(block_rows);
    for start in (0..model.rows.len()).step_by(batch) {
        let end = (start + batch).min(model.rows.len());
        segment.append(&model.batch(start..end), &|at| NextOffset::new(start as u64 + u64::from(at)));
        segment.snapshot();
    }
    segment
}

#[test]
fn columns_whose_values_hardly_repeat_go_raw_and_nothing_is_lost() {
    let model = wide_model(75_000);
    let mut early = filled(&model.head(8_000), 500);
    let early = early.snapshot();
    assert_eq!(early.stats(early.column("u").unwrap().at).cardinality, Some(8_000));
    let mut segment = filled(&model, 500);
    let snapshot = segment.snapshot();
    check_columns(&*snapshot, &model);
    let has_ids = |name: &str| snapshot.dictionary(snapshot.column(name).unwrap().at).is_some();
    assert!(has_ids("k") && has_ids("m"));
    assert!(!has_ids("u") && !has_ids("t"), "once the first block is frozen raw its dictionary goes");
    let column = |name: &str, predicate| Filter::Column { column: ColumnName::parse(name).unwrap(), predicate };
    let snapshot: Arc<dyn Segment> = snapshot;
    let k = column("k", Predicate::In(vec![Value::Int(3), Value::Int(299)]));
    let u = column("u", Predicate::Eq(Value::Long(30_000)));
    let t = column("t", Predicate::Eq(Value::Str("text number 70000".into())));
    let null = column("k", Predicate::IsNull);
    for filter in [k.clone(), u.clone(), t.clone(), null, Filter::Or(vec![u, t]), Filter::Not(Box::new(k))] {
        check_scan(&snapshot, &model, &filter, None);
    }
}

#[test]
fn the_byte_count_follows_the_rows() {
    let model = wide_model(20_000);
    let mut segment = filled(&model, 700);
    let count = segment.byte_count();
    // Per row: k 2, u 8, t 4 + 17, m 2 + 4, offset 8.
    assert!((45 * 20_000..90 * 20_000).contains(&count), "{count}");
    let before = segment.snapshot();
    assert!(Arc::ptr_eq(&before, &segment.snapshot()), "without new rows it is the same snapshot");
}

#[test]
fn columns_of_another_schema_come_as_asked_for() {
    let model = wide_model(3_000);
    let mut segment = filled(&model, 1_000);
    let snapshot: Arc<dyn Segment> = segment.snapshot();
    let wanted = |name: &str, data_type: DataType, default: Value| ScanColumn {
        name: ColumnName::parse(name).unwrap(),
        data_type,
        single_value: true,
        default,
    };
    let above = Predicate::Range {
        lower: std::ops::Bound::Included(Value::Double(7_500.5)),
        upper: std::ops::Bound::Unbounded,
    };
    let scan = |filter: Filter, nulls: bool| {
        let request = ScanRequest {
            columns: vec![
                wanted("k", DataType::String, Value::Str("none".into())),
                wanted("u", DataType::Double, Value::Double(0.0)),
                wanted("new", DataType::Int, Value::Int(-5)),
                wanted("m", DataType::Int, Value::Int(9)),
                wanted("$docId", DataType::Int, Value::Int(0)),
                wanted("$segmentName", DataType::String, Value::Str("".into())),
                wanted("$hostName", DataType::String, Value::Str("".into())),
            ],
            filter_columns: vec![wanted("later", DataType::Long, Value::Long(1))],
            filter,
            nulls,
            host: "here".into(),
        };
        SegmentScan::new(snapshot.clone(), None, Arc::new(request))
    };
    let column = |name: &str, predicate| Filter::Column { column: ColumnName::parse(name).unwrap(), predicate };
    let plain = scan(column("u", above), false);
    assert_eq!(plain.count_all(), None);
    let batches = plain.read(0..3_000, &mut ScanStats::default()).unwrap();
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 499);
    let cell = |at: usize, row| crate::scan::testing::cell_of(batches[0].column(at), row).unwrap().remove(0);
    assert_eq!(cell(0, 0), Value::Str("50".into()));
    assert_eq!(cell(1, 0), Value::Double(7_503.0));
    assert_eq!((cell(2, 0), cell(3, 0), cell(4, 0)), (Value::Int(-5), Value::Int(9), Value::Int(2_501)));
    assert_eq!((cell(5, 0), cell(6, 0)), (Value::Str("model__0__0__20260101T0000Z".into()), Value::Str("here".into())));

    assert!(scan(column("new", Predicate::Eq(Value::Int(5))), false).pruned());
    assert_eq!(scan(column("later", Predicate::Eq(Value::Long(1))), false).count_all(), Some(3_000));
    assert_eq!(scan(column("new", Predicate::IsNotNull), true).count_all(), Some(0));
    let nulls = scan(Filter::All, true);
    assert_eq!(nulls.min_max("u"), Some((Value::Double(0.0), Value::Double(8_997.0))));
    assert_eq!((nulls.min_max("k"), nulls.min_max("new")), (None, None));
    assert_eq!(scan(Filter::All, false).min_max("new"), Some((Value::Int(-5), Value::Int(-5))));
    let batch = nulls.read(0..10, &mut ScanStats::default()).unwrap().remove(0);
    assert_eq!((batch.column(0).null_count(), batch.column(2).null_count()), (1, 10));

    let unknown = scan(column("nobody", Predicate::IsNull), false);
    let error = unknown.read(0..10, &mut ScanStats::default()).unwrap_err().to_string();
    assert!(error.contains("'nobody'") && error.contains("filter_columns"), "{error}");
}

#[test]
fn doc_ids_filter_and_morsels_without_candidates_are_left_out() {
    let model = wide_model(70_000);
    let mut segment = filled(&model, 7_000);
    let snapshot: Arc<dyn Segment> = segment.snapshot();
    let filter =
        Filter::Column { column: ColumnName::parse("$docId").unwrap(), predicate: Predicate::Eq(Value::Int(69_999)) };
    let scan = SegmentScan::new(snapshot, None, Arc::new(model.request(filter, false)));
    assert_eq!((scan.count_all(), scan.morsels().as_slice()), (Some(1), std::slice::from_ref(&(65_536..70_000))));
    let mut stats = ScanStats::default();
    let batches = scan.read(65_536..70_000, &mut stats).unwrap();
    assert_eq!(
        (batches.len(), batches[0].num_rows(), stats.entries_in_filter, stats.entries_post_filter),
        (1, 1, 0, 4)
    );
}

#[test]
fn frozen_blocks_in_which_no_value_can_pass_are_not_read() {
    let model = wide_model(70_000);
    let mut segment = filled(&model, 7_000);
    assert_eq!(segment.frozen_rows(), 63_000, "three blocks of 21,000 rows");
    let snapshot: Arc<dyn Segment> = segment.snapshot();
    let column = |name: &str, predicate| Filter::Column { column: ColumnName::parse(name).unwrap(), predicate };
    let looked_at = |filter: &Filter| {
        check_scan(&snapshot, &model, filter, None);
        let scan = SegmentScan::new(snapshot.clone(), None, Arc::new(model.request(filter.clone(), false)));
        let mut stats = ScanStats::default();
        for morsel in scan.morsels() {
            scan.read(morsel, &mut stats).unwrap();
        }
        stats.entries_in_filter
    };
    // Steps of 8,192 rows: those that touch what is not frozen, and those that touch the block.
    let tail = 8_192 + 4_464;
    let at = |row: i64| column("u", Predicate::Eq(Value::Long(row * 3)));
    assert_eq!(looked_at(&at(69_999)), tail);
    assert_eq!(looked_at(&at(30_000)), tail + 4 * 8_192, "raw numbers");
    looked_at(&Filter::Or(vec![at(30_000), at(69_999), Filter::Not(Box::new(at(5)))]));
    let k = |value| column("k", Predicate::Eq(Value::Int(value)));
    assert_eq!(looked_at(&k(299)), 70_000, "values that come again are in each block");

    // Values that come in their order have ids in that order; null rows would have an early one.
    let mut model = model.head(14_000);
    for (at, row) in model.rows.iter_mut().enumerate() {
        row[0] = Cell { null: false, values: vec![Value::Int((at / 50) as i32)] };
    }
    let mut segment = filled_in_blocks(&model, 500, 1_000);
    let snapshot: Arc<dyn Segment> = segment.snapshot();
    let scan = SegmentScan::new(snapshot, None, Arc::new(model.request(k(100), false)));
    let mut stats = ScanStats::default();
    let rows: usize = scan.read(0..14_000, &mut stats).unwrap().iter().map(|batch| batch.num_rows()).sum();
    assert_eq!((rows, stats.entries_in_filter), (50, 8_192));
}

/// The first look sees few rows, in which values that come again are mostly new: text goes raw there only where it is nearly
/// unique. Later looks are stricter.
#[test]
fn a_first_look_lets_text_that_may_come_again_stay_in_the_dictionary() {
    /// Whether rows of the last batch have ids, where so many of a thousand texts are new.
    fn keeps_ids(per_mille: &[u32]) -> bool {
        let schema = Arc::new(Schema::new("t", SchemaVersion(1), vec![field("text", DataType::String)]));
        let mut segment = segment(&schema, HashSet::new());
        let (mut row, mut texts) = (0_u32, 0_u32);
        for share in per_mille {
            // As many as are appended between two looks.
            let count = if row == 0 { FIRST_LOOK } else { LATER_LOOK };
            let mut batch = weir_types::RowBatch::new(&schema);
            for at in 0..count {
                // New ones lie evenly among those that were there.
                let known = u64::from(at) * u64::from(*share) / 1000;
                if (u64::from(at) + 1) * u64::from(*share) / 1000 > known || texts == 0 {
                    texts += 1;
                    batch.columns[0].data.push(&Value::Str(format!("text {texts}").into()));
                } else {
                    batch.columns[0].data.push(&Value::Str(format!("text {}", at % texts).into()));
                }
                batch.message_of_row.push(at);
                row += 1;
            }
            segment.append(&batch, &|message| NextOffset::new(message.into()));
        }
        // Rows that come after the last look show what it decided.
        let mut batch = weir_types::RowBatch::new(&schema);
        batch.columns[0].data.push(&Value::Str("text 1".into()));
        batch.message_of_row.push(0);
        segment.append(&batch, &|_| NextOffset::ZERO);
        let snapshot = segment.snapshot();
        let at = snapshot.column("text").unwrap().at;
        let mut ids = vec![];
        snapshot.read_ids(at, row..row + 1, &mut ids)
    }
    assert!(keeps_ids(&[800]), "at the first look four in five may be new");
    assert!(!keeps_ids(&[950]), "nearly all are too many");
    assert!(keeps_ids(&[800, 500]), "half of them later");
    assert!(!keeps_ids(&[800, 700]), "and not more than three in five");
}
