//! Checks any segment against a model: rows as plain values, tested and filtered one by one. Behind feature `testing`.
//!
//! The model shares no code with what it checks: it compares by `Value::order` alone.

use super::{ScanColumn, ScanRequest, ScanStats, SegmentScan};
use crate::segment::Segment;
use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{Float32Type, Float64Type, Int32Type, Int64Type, TimestampMillisecondType},
};
use proptest::prelude::*;
use roaring::RoaringBitmap;
use std::{cmp::Ordering, ops::Bound, ops::Range, sync::Arc};
use weir_indexes::{Filter, Predicate};
use weir_types::{Column, ColumnName, DataType, FieldKind, FieldSpec, RowBatch, Schema, SchemaVersion, Stored, Value};

/// One cell: the stored values (one for single-value columns) and whether it was null.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// It was null; `values` holds the default.
    pub null: bool,
    /// Never empty.
    pub values: Vec<Value>,
}

/// Rows of a schema.
#[derive(Debug, Clone)]
pub struct Model {
    /// The columns.
    pub schema: Arc<Schema>,
    /// Row by row, a cell for each field.
    pub rows: Vec<Vec<Cell>>,
}

impl Model {
    /// A range of rows as a batch; each row is a message of its own, numbered from 0.
    #[must_use]
    pub fn batch(&self, rows: Range<usize>) -> RowBatch {
        let mut batch = RowBatch::new(&self.schema);
        for (message, row) in self.rows[rows].iter().enumerate() {
            for (column, cell) in batch.columns.iter_mut().zip(row) {
                if cell.null {
                    column.push_null(&cell.values[0]);
                } else {
                    cell.values.iter().for_each(|value| column.data.push(value));
                    if column.ends.is_some() {
                        column.end_row();
                    }
                }
            }
            batch.message_of_row.push(message as u32);
        }
        batch
    }

    /// The first rows only.
    #[must_use]
    pub fn head(&self, rows: usize) -> Self {
        Self { schema: self.schema.clone(), rows: self.rows[..rows].to_vec() }
    }

    /// A request for every column.
    #[must_use]
    pub fn request(&self, filter: Filter, nulls: bool) -> ScanRequest {
        let columns = self
            .schema
            .fields()
            .iter()
            .map(|field| ScanColumn {
                name: field.name.clone(),
                data_type: field.data_type,
                single_value: field.single_value,
                default: field.default_null.clone(),
            })
            .collect();
        ScanRequest { columns, filter_columns: vec![], filter, nulls, host: "here".into() }
    }

    fn passes(&self, row: usize, filter: &Filter) -> bool {
        match filter {
            Filter::All => true,
            Filter::None => false,
            Filter::And(filters) => filters.iter().all(|filter| self.passes(row, filter)),
            Filter::Or(filters) => filters.iter().any(|filter| self.passes(row, filter)),
            Filter::Not(filter) => !self.passes(row, filter),
            Filter::Column { column, predicate } => {
                let at = self.schema.position(column.as_str()).expect("filters of the model name its columns");
                cell_passes(&self.rows[row][at], predicate)
            }
        }
    }
}

fn cell_passes(cell: &Cell, predicate: &Predicate) -> bool {
    let any = |test: &dyn Fn(&Value) -> bool| cell.values.iter().any(test);
    match predicate {
        Predicate::Eq(literal) => any(&|v| v.order(literal) == Ordering::Equal),
        Predicate::NotEq(literal) => !any(&|v| v.order(literal) == Ordering::Equal),
        Predicate::In(literals) => any(&|v| literals.iter().any(|l| v.order(l) == Ordering::Equal)),
        Predicate::NotIn(literals) => !any(&|v| literals.iter().any(|l| v.order(l) == Ordering::Equal)),
        Predicate::Range { lower, upper } => any(&|v| {
            let from = match lower {
                Bound::Included(l) => v.order(l) != Ordering::Less,
                Bound::Excluded(l) => v.order(l) == Ordering::Greater,
                Bound::Unbounded => true,
            };
            let to = match upper {
                Bound::Included(l) => v.order(l) != Ordering::Greater,
                Bound::Excluded(l) => v.order(l) == Ordering::Less,
                Bound::Unbounded => true,
            };
            from && to
        }),
        Predicate::IsNull => cell.null,
        Predicate::IsNotNull => !cell.null,
    }
}

/// Checks everything that a segment shows against the model: statistics, values, nulls, ids, dictionaries.
///
/// # Panics
/// Where they differ.
pub fn check_columns(segment: &dyn Segment, model: &Model) {
    let rows = model.rows.len() as u32;
    assert_eq!(segment.meta().rows, rows);
    for (at, field) in model.schema.fields().iter().enumerate() {
        let name = field.name.as_str();
        let info = segment.column(name).expect("a segment has the columns of its schema");
        assert_eq!((info.data_type, info.single_value), (field.data_type, field.single_value), "{name}");
        let cells: Vec<&Cell> = model.rows.iter().map(|row| &row[at]).collect();
        let values: Vec<&Value> = cells.iter().flat_map(|cell| &cell.values).collect();
        let stats = segment.stats(info.at);
        let min = values.iter().copied().min_by(|a, b| a.order(b)).cloned();
        let max = values.iter().copied().max_by(|a, b| a.order(b)).cloned();
        assert_eq!(stats.min_max, min.zip(max), "{name}");
        assert_eq!(stats.nulls as usize, cells.iter().filter(|cell| cell.null).count(), "{name}");
        assert_eq!(stats.values as usize, values.len(), "{name}");
        if let Some(cardinality) = stats.cardinality {
            let mut distinct: Vec<&Value> = values.clone();
            distinct.sort_by(|a, b| a.order(b));
            distinct.dedup_by(|a, b| a.order(b) == Ordering::Equal);
            assert_eq!(cardinality as usize, distinct.len(), "{name}");
        }
        for range in [0..rows, rows / 3..rows - rows / 4, rows / 2..rows / 2] {
            check_range(segment, name, &cells, range);
        }
        check_dictionary(segment, name);
    }
}

fn check_range(segment: &dyn Segment, name: &str, cells: &[&Cell], range: Range<u32>) {
    let info = segment.column(name).expect("the caller found it");
    let wanted = &cells[range.start as usize..range.end as usize];
    let mut column = Column::new(info.data_type.stored(), info.single_value);
    // Twice: reading appends.
    for _ in 0..2 {
        segment.read_values(info.at, range.clone(), &mut column);
    }
    assert_eq!(column.rows(), 2 * wanted.len(), "{name} {range:?}");
    for (row, cell) in wanted.iter().chain(wanted).enumerate() {
        let got: Vec<Value> = column.values_of(row).map(|at| column.data.get(at)).collect();
        assert_eq!(got, cell.values, "{name} row {row} of {range:?}");
    }
    let mut nulls = vec![];
    segment.read_nulls(info.at, range.clone(), &mut nulls);
    let wanted_nulls: Vec<u32> = range.clone().filter(|row| cells[*row as usize].null).collect();
    assert_eq!(nulls, wanted_nulls, "{name} {range:?}");
    let mut ids = vec![77];
    if info.single_value && segment.read_ids(info.at, range, &mut ids) {
        let dictionary = segment.dictionary(info.at).expect("rows with ids have a dictionary");
        assert_eq!(ids.len(), wanted.len());
        for (id, cell) in ids.iter().zip(wanted) {
            assert_eq!(dictionary.value(*id), cell.values[0], "{name}");
        }
    } else if info.single_value {
        assert!(ids.is_empty(), "{name}: ids are emptied where there are none");
    }
}

fn check_dictionary(segment: &dyn Segment, name: &str) {
    let info = segment.column(name).expect("the caller found it");
    let Some(dictionary) = segment.dictionary(info.at) else { return };
    let values: Vec<Value> = (0..dictionary.len()).map(|id| dictionary.value(id)).collect();
    let array = dictionary.arrow();
    assert_eq!(array.len(), values.len(), "{name}");
    for (row, value) in values.iter().enumerate() {
        assert_eq!(cell_of(&array, row), Some(vec![value.clone()]), "{name} id {row}");
    }
    if dictionary.sorted() {
        assert!(values.is_sorted_by(|a, b| a.order(b) == Ordering::Less), "{name}");
    }
    let Some(middle) = values.get(values.len() / 2) else { return };
    for predicate in [
        Predicate::Eq(middle.clone()),
        Predicate::NotEq(middle.clone()),
        Predicate::Range { lower: Bound::Excluded(middle.clone()), upper: Bound::Unbounded },
    ] {
        let passing = |value: &&Value| cell_passes(&Cell { null: false, values: vec![(*value).clone()] }, &predicate);
        let wanted: RoaringBitmap = (0..).zip(&values).filter(|(_, v)| passing(v)).map(|(id, _)| id).collect();
        assert_eq!(dictionary.matching(&predicate), wanted, "{name} {predicate:?}");
    }
}

/// The stored values of a cell of an array that a scan returned; `None` for an Arrow null.
#[must_use]
pub fn cell_of(array: &ArrayRef, row: usize) -> Option<Vec<Value>> {
    use arrow::datatypes::DataType as Arrow;
    if array.is_null(row) {
        return None;
    }
    let one = match array.data_type() {
        Arrow::Boolean => Value::Int(array.as_boolean().value(row).into()),
        Arrow::Int32 => Value::Int(array.as_primitive::<Int32Type>().value(row)),
        Arrow::Int64 => Value::Long(array.as_primitive::<Int64Type>().value(row)),
        Arrow::Timestamp(..) => Value::Long(array.as_primitive::<TimestampMillisecondType>().value(row)),
        Arrow::Float32 => Value::Float(array.as_primitive::<Float32Type>().value(row)),
        Arrow::Float64 => Value::Double(array.as_primitive::<Float64Type>().value(row)),
        Arrow::Utf8View => Value::Str(array.as_string_view().value(row).into()),
        Arrow::BinaryView => Value::Bytes(array.as_binary_view().value(row).into()),
        Arrow::List(_) => {
            let list = array.as_list::<i32>().value(row);
            return Some((0..list.len()).flat_map(|at| cell_of(&list, at).expect("elements are not null")).collect());
        }
        other => panic!("a scan does not return {other}"),
    };
    Some(vec![one])
}

/// Checks a scan of every column, with and without nulls, against the model.
///
/// # Panics
/// Where they differ.
pub fn check_scan(segment: &Arc<dyn Segment>, model: &Model, filter: &Filter, validity: Option<&RoaringBitmap>) {
    let seen = |row: usize| validity.is_none_or(|valid| valid.contains(row as u32)) && model.passes(row, filter);
    let wanted: Vec<&Vec<Cell>> = (0..model.rows.len()).filter(|row| seen(*row)).map(|row| &model.rows[row]).collect();
    for nulls in [false, true] {
        let request = Arc::new(model.request(filter.clone(), nulls));
        let scan = SegmentScan::new(segment.clone(), validity.cloned().map(Arc::new), request.clone());
        if scan.pruned() {
            assert!(wanted.is_empty() && scan.morsels().is_empty(), "pruned with {} rows: {filter:?}", wanted.len());
        }
        if let Some(count) = scan.count_all() {
            assert_eq!(count as usize, wanted.len(), "{filter:?}");
        }
        let mut stats = ScanStats::default();
        let mut row = 0;
        for morsel in scan.morsels() {
            for batch in scan.read(morsel, &mut stats).expect("the scan names known columns") {
                assert_eq!(batch.schema(), request.arrow_schema());
                assert!(batch.num_rows() <= 8192);
                for at in 0..batch.num_rows() {
                    for (column, cell) in batch.columns().iter().zip(wanted[row]) {
                        let expected = (!(nulls && cell.null)).then(|| cell.values.clone());
                        assert_eq!(cell_of(column, at), expected, "row {row} of {filter:?}");
                    }
                    row += 1;
                }
            }
        }
        assert_eq!((row, stats.docs_scanned), (wanted.len(), wanted.len() as u64), "{filter:?}");
        for field in model.schema.fields() {
            let at = model.schema.position(field.name.as_str()).expect("its own field");
            if let Some((min, max)) = scan.min_max(field.name.as_str()) {
                let values = || wanted.iter().flat_map(|row| &row[at].values);
                assert_eq!(values().min_by(|a, b| a.order(b)), Some(&min), "{}", field.name);
                assert_eq!(values().max_by(|a, b| a.order(b)), Some(&max), "{}", field.name);
            }
        }
    }
}

/// Values of a kind from a small set, so that they repeat, edges included.
pub fn value(data_type: DataType) -> BoxedStrategy<Value> {
    let text = prop_oneof![
        Just(""),
        Just("a"),
        Just("thirteen bytes"),
        Just("grün"),
        Just("a text that is longer than a view")
    ];
    match (data_type, data_type.stored()) {
        (DataType::Boolean, _) => (0..2).prop_map(Value::Int).boxed(),
        (_, Stored::Int) => prop_oneof![-3..4, Just(i32::MIN), Just(i32::MAX)].prop_map(Value::Int).boxed(),
        (_, Stored::Long) => prop_oneof![-3_i64..4, Just(i64::MIN), Just(i64::MAX)].prop_map(Value::Long).boxed(),
        (_, Stored::Float) => {
            prop_oneof![Just(-1.5_f32), Just(-0.0), Just(0.0), Just(f32::NAN), Just(f32::NEG_INFINITY), Just(2.25)]
                .prop_map(Value::Float)
                .boxed()
        }
        (_, Stored::Double) => {
            prop_oneof![Just(-1.5), Just(-0.0), Just(0.0), Just(f64::NAN), Just(f64::INFINITY), Just(0.1)]
                .prop_map(Value::Double)
                .boxed()
        }
        (_, Stored::Str) => text.prop_map(|text| Value::Str(text.into())).boxed(),
        (_, Stored::Bytes) => prop::collection::vec(0_u8..3, 0..3).prop_map(|bytes| Value::Bytes(bytes.into())).boxed(),
    }
}

fn cell(field: &FieldSpec) -> BoxedStrategy<Cell> {
    let default = field.default_null.clone();
    let most = if field.single_value { 1 } else { 3 };
    prop_oneof![
        1 => Just(Cell { null: true, values: vec![default] }),
        6 => prop::collection::vec(value(field.data_type), 1..=most).prop_map(|values| Cell { null: false, values }),
    ]
    .boxed()
}

fn schema() -> impl Strategy<Value = Arc<Schema>> {
    prop::collection::vec((prop::sample::select(DataType::ALL.to_vec()), prop::bool::weighted(0.7)), 1..6).prop_map(
        |fields| {
            let field = |(at, (data_type, single_value)): (usize, (DataType, bool))| {
                let name = ColumnName::parse(&format!("c{at}")).expect("a good name");
                FieldSpec { single_value, ..FieldSpec::new(name, data_type, FieldKind::Dimension) }
            };
            Arc::new(Schema::new("model", SchemaVersion(1), fields.into_iter().enumerate().map(field).collect()))
        },
    )
}

/// A random schema with up to `rows` rows.
pub fn model(rows: usize) -> impl Strategy<Value = Model> {
    schema().prop_flat_map(move |schema| {
        let row: Vec<BoxedStrategy<Cell>> = schema.fields().iter().map(cell).collect();
        prop::collection::vec(row, 0..rows).prop_map(move |rows| Model { schema: schema.clone(), rows })
    })
}

fn predicate(data_type: DataType) -> BoxedStrategy<Predicate> {
    let bound = || {
        prop_oneof![
            value(data_type).prop_map(Bound::Included),
            value(data_type).prop_map(Bound::Excluded),
            Just(Bound::Unbounded)
        ]
    };
    prop_oneof![
        value(data_type).prop_map(Predicate::Eq),
        value(data_type).prop_map(Predicate::NotEq),
        prop::collection::vec(value(data_type), 0..4).prop_map(Predicate::In),
        prop::collection::vec(value(data_type), 0..4).prop_map(Predicate::NotIn),
        (bound(), bound()).prop_map(|(lower, upper)| Predicate::Range { lower, upper }),
        Just(Predicate::IsNull),
        Just(Predicate::IsNotNull),
    ]
    .boxed()
}

/// A random filter over a schema's columns.
pub fn filter(schema: &Arc<Schema>) -> BoxedStrategy<Filter> {
    let leaves: Vec<BoxedStrategy<Filter>> = schema
        .fields()
        .iter()
        .map(|field| {
            let column = field.name.clone();
            predicate(field.data_type)
                .prop_map(move |predicate| Filter::Column { column: column.clone(), predicate })
                .boxed()
        })
        .collect();
    let leaf = prop_oneof![8 => prop::strategy::Union::new(leaves), 1 => Just(Filter::All), 1 => Just(Filter::None)];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Filter::And),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Filter::Or),
            inner.prop_map(|filter| Filter::Not(Box::new(filter))),
        ]
    })
    .boxed()
}

/// A model, filters over it and rows that a validity set shows.
pub fn model_and_filters(rows: usize) -> impl Strategy<Value = (Model, Vec<Filter>, RoaringBitmap)> {
    model(rows).prop_flat_map(|model| {
        let filters = prop::collection::vec(filter(&model.schema), 1..5);
        let valid = prop::collection::vec(any::<bool>(), model.rows.len());
        (Just(model), filters, valid).prop_map(|(model, filters, valid)| {
            let valid = (0..).zip(valid).filter_map(|(row, valid)| valid.then_some(row)).collect();
            (model, filters, valid)
        })
    })
}
