//! Stages on small batches: what is cut, refused, removed, and that columns stay in step.

use super::*;
use weir_types::{FieldKind, SchemaVersion};

fn field(name: &str, data_type: DataType, exceed: ExceedStrategy) -> FieldSpec {
    let mut field = FieldSpec::new(ColumnName::parse(name).unwrap(), data_type, FieldKind::Dimension);
    field.max_length = 4;
    field.exceed = exceed;
    field
}

/// One STRING column with a row per text, message numbers from 10, and a multi-value LONG column beside it.
fn batch(exceed: ExceedStrategy, texts: &[&str]) -> (Schema, RowBatch) {
    let mut numbers = field("n", DataType::Long, ExceedStrategy::NoAction);
    numbers.single_value = false;
    let schema = Schema::new("t", SchemaVersion(1), vec![field("s", DataType::String, exceed), numbers]);
    let mut rows = RowBatch::new(&schema);
    for (at, text) in texts.iter().enumerate() {
        let ColumnData::Str(values) = &mut rows.columns[0].data else { unreachable!() };
        values.push(text.as_bytes());
        if at % 2 == 0 {
            rows.columns[1].push_null(&Value::Long(-1));
        } else {
            let ColumnData::Long(values) = &mut rows.columns[1].data else { unreachable!() };
            values.extend([at as i64, at as i64 * 10]);
            rows.columns[1].end_row();
        }
        rows.message_of_row.push(10 + at as u32);
    }
    (schema, rows)
}

fn texts(rows: &RowBatch) -> Vec<String> {
    (0..rows.rows()).map(|at| rows.columns[0].data.get(at).to_string()).collect()
}

#[test]
fn removing_messages_keeps_values_ends_and_nulls_in_step() {
    let (_, mut rows) = batch(ExceedStrategy::NoAction, &["a", "b", "c", "d", "e"]);
    rows.message_of_row[2] = 11;
    remove_messages(&mut rows, &[14, 11, 99]);
    assert_eq!(rows.message_of_row, [10, 13]);
    assert_eq!(texts(&rows), ["a", "d"]);
    assert_eq!(rows.columns[1].nulls, [0]);
    assert_eq!(rows.columns[1].ends, Some(vec![0, 1, 3]));
    assert_eq!(rows.columns[1].data, ColumnData::Long(vec![-1, 3, 30]));
    let before = rows.clone();
    remove_messages(&mut rows, &[]);
    assert_eq!(rows, before);
    remove_messages(&mut rows, &[10, 13]);
    assert_eq!((rows.rows(), rows.columns[1].rows(), rows.columns[0].rows()), (0, 0, 0));
}

#[test]
fn long_texts_are_cut_replaced_refused_or_kept() {
    let long = ["abcd", "abcde", "ab\0c", "a\u{1f600}b\u{1f600}", "ééééé"];
    let run = |exceed| {
        let (schema, mut rows) = batch(exceed, &long);
        let report = sanitise(&schema, &mut rows);
        (texts(&rows), report.cut, report.rejects.iter().map(|reject| reject.message).collect::<Vec<_>>(), rows)
    };
    let (cut, count, rejects, _) = run(ExceedStrategy::TrimLength);
    assert_eq!(cut, ["abcd", "abcd", "ab", "a\u{1f600}b", "éééé"]);
    assert_eq!((count, rejects), (4, vec![]));
    let (substituted, count, ..) = run(ExceedStrategy::SubstituteDefault);
    assert_eq!((substituted, count), (["abcd", "null", "null", "null", "null"].map(str::to_owned).to_vec(), 4));
    let (kept, count, ..) = run(ExceedStrategy::NoAction);
    assert_eq!((kept, count), (["abcd", "abcde", "ab", long[3], long[4]].map(str::to_owned).to_vec(), 1));
    let (left, count, rejects, rows) = run(ExceedStrategy::Error);
    assert_eq!((left, count, rejects), (vec!["abcd".to_owned()], 0, vec![11, 12, 13, 14]));
    assert_eq!((rows.rows(), rows.columns[1].rows()), (1, 1));
}

#[test]
fn bytes_are_cut_at_bytes_and_other_types_never() {
    let schema = Schema::new(
        "t",
        SchemaVersion(1),
        vec![
            field("b", DataType::Bytes, ExceedStrategy::TrimLength),
            field("d", DataType::BigDecimal, ExceedStrategy::TrimLength),
        ],
    );
    let mut rows = RowBatch::new(&schema);
    rows.columns[0].data.push(&Value::Bytes(Arc::new([0xff, 0, 2, 3, 4])));
    rows.columns[1].data.push(&Value::Str("123456".into()));
    rows.message_of_row.push(0);
    assert_eq!(sanitise(&schema, &mut rows).cut, 1);
    assert_eq!(rows.columns[0].data.get(0), Value::Bytes(Arc::new([0xff, 0, 2, 3])));
    assert_eq!(rows.columns[1].data.get(0), Value::Str("123456".into()));
}

fn time_rows(format: &str, data_type: DataType, values: &[Option<Value>]) -> (Schema, RowBatch) {
    let mut field = FieldSpec::new(ColumnName::parse("t").unwrap(), data_type, FieldKind::DateTime);
    field.format = Some(format.into());
    let schema = Schema::new("t", SchemaVersion(1), vec![field]);
    let mut rows = RowBatch::new(&schema);
    for (at, value) in (0u32..).zip(values) {
        match value {
            Some(value) => rows.columns[0].data.push(value),
            None => rows.columns[0].push_null(&schema.fields()[0].default_null),
        }
        rows.message_of_row.push(at);
    }
    (schema, rows)
}

const NOW: i64 = 1_769_862_896_000;

#[test]
fn times_out_of_range_are_refused_or_nulled() {
    let values = [Some(Value::Long(1_769_862_896)), None, Some(Value::Long(NOW)), Some(Value::Long(31_535_999))];
    let (schema, rows) = time_rows("1:SECONDS:EPOCH", DataType::Long, &values);
    let run = |check, continue_on_error| {
        let name = ColumnName::parse("t").unwrap();
        let time = TimeCheck::new(&schema, &name, check, continue_on_error, NOW).unwrap();
        let mut rows = rows.clone();
        let report = check_time(&time, &mut rows);
        (rows, report)
    };
    let seconds = NOW / 1000;
    let (left, report) = run(true, false);
    assert_eq!(left.columns[0].data, ColumnData::Long(vec![seconds, seconds]));
    assert_eq!((&left.columns[0].nulls, &left.message_of_row), (&vec![1], &vec![0, 1]));
    assert_eq!(report.rejects.iter().map(|reject| reject.message).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(report.rejects[0].reason, "the time 1769862896000 is not between 1971 and 2071");
    let (left, report) = run(true, true);
    assert_eq!(left.columns[0].data, ColumnData::Long(vec![seconds; 4]));
    assert_eq!((left.columns[0].nulls.clone(), report.nulled, report.rejects), (vec![1, 2, 3], 2, vec![]));
    let (left, report) = run(false, false);
    assert_eq!(left.columns[0].data, ColumnData::Long(vec![seconds, seconds, NOW, 31_535_999]));
    assert_eq!(report, TimeReport::default());
}

#[test]
fn text_times_are_checked_by_their_pattern() {
    let values = [Some(Value::Str("2026-01-31".into())), Some(Value::Str("yesterday".into())), None];
    let (schema, mut rows) = time_rows("1:DAYS:SIMPLE_DATE_FORMAT:yyyy-MM-dd", DataType::String, &values);
    let time = TimeCheck::new(&schema, &ColumnName::parse("t").unwrap(), true, false, NOW).unwrap();
    assert_eq!(check_time(&time, &mut rows).rejects.len(), 1);
    assert_eq!(texts(&rows), ["2026-01-31", "2026-01-31"]);
    let name = ColumnName::parse("other").unwrap();
    assert!(TimeCheck::new(&schema, &name, true, false, NOW).is_err());
}

#[test]
fn json_is_kept_unless_it_is_told_otherwise_and_each_value_of_several_is_looked_at() {
    let run = |data_type, exceed: Option<ExceedStrategy>, single_value, values: &[&str]| {
        let mut of = field("s", data_type, ExceedStrategy::NoAction);
        of.exceed = exceed.unwrap_or(FieldSpec::new(of.name.clone(), data_type, FieldKind::Dimension).exceed);
        of.single_value = single_value;
        let schema = Schema::new("t", SchemaVersion(1), vec![of]);
        let mut rows = RowBatch::new(&schema);
        values.iter().for_each(|value| rows.columns[0].data.push(&Value::Str((*value).into())));
        if !single_value {
            rows.columns[0].end_row();
        }
        rows.message_of_row = if single_value { (0u32..).take(values.len()).collect() } else { vec![0] };
        let report = sanitise(&schema, &mut rows);
        let left: Vec<String> =
            (0..rows.columns[0].data.len()).map(|at| rows.columns[0].data.get(at).to_string()).collect();
        (left.join(" "), report.cut, report.rejects.len())
    };
    let found = |left: &str, cut, rejects| (left.to_owned(), cut, rejects);
    let json = ["{\"a\":1}", "12\0"];
    // A NUL ends texts, and nothing else.
    assert_eq!(run(DataType::Json, None, true, &json), found("{\"a\":1} 12\0", 0, 0));
    assert_eq!(run(DataType::Json, Some(ExceedStrategy::TrimLength), true, &json), found("{\"a\" 12\0", 1, 0));
    assert_eq!(run(DataType::Json, Some(ExceedStrategy::SubstituteDefault), true, &json), found("null 12\0", 1, 0));
    assert_eq!(run(DataType::Json, Some(ExceedStrategy::Error), true, &json), found("12\0", 0, 1));
    let several = ["ab", "abcdef", "a\0b"];
    assert_eq!(run(DataType::String, None, false, &several), found("ab abcd a", 2, 0));
    assert_eq!(
        run(DataType::String, Some(ExceedStrategy::SubstituteDefault), false, &several),
        found("ab null null", 2, 0)
    );
    assert_eq!(run(DataType::String, Some(ExceedStrategy::Error), false, &several), found("", 0, 1));
    assert_eq!(run(DataType::Map, None, true, &["{\"a\":1}"]), found("{\"a\":1}", 0, 0));
}

#[test]
fn bytes_are_kept_replaced_or_refused_by_their_strategy() {
    for (exceed, left, cut, rejects) in [
        (
            FieldSpec::new(ColumnName::parse("b").unwrap(), DataType::Bytes, FieldKind::Dimension).exceed,
            "0102030405",
            0,
            0,
        ),
        (ExceedStrategy::SubstituteDefault, "", 1, 0),
        (ExceedStrategy::Error, "-", 0, 1),
    ] {
        let schema = Schema::new("t", SchemaVersion(1), vec![field("b", DataType::Bytes, exceed)]);
        let mut rows = RowBatch::new(&schema);
        rows.columns[0].data.push(&Value::Bytes(Arc::new([1, 2, 3, 4, 5])));
        rows.message_of_row.push(0);
        let report = sanitise(&schema, &mut rows);
        let found = if rows.rows() == 0 { "-".to_owned() } else { rows.columns[0].data.get(0).to_string() };
        assert_eq!((&*found, report.cut, report.rejects.len()), (left, cut, rejects), "{exceed:?}");
    }
}

#[test]
fn the_first_and_the_last_believable_times_are() {
    let (first, last) = (31_536_000_000, 3_187_296_000_000);
    let values: Vec<_> = [first - 1, first, last, last + 1].into_iter().map(|ms| Some(Value::Long(ms))).collect();
    for (format, data_type) in [("TIMESTAMP", DataType::Timestamp), ("1:MILLISECONDS:EPOCH", DataType::Long)] {
        let (schema, mut rows) = time_rows(format, data_type, &values);
        let time = TimeCheck::new(&schema, &ColumnName::parse("t").unwrap(), true, false, NOW).unwrap();
        let rejects: Vec<u32> = check_time(&time, &mut rows).rejects.iter().map(|reject| reject.message).collect();
        assert_eq!((rejects, &rows.message_of_row), (vec![0, 3], &vec![1, 2]));
    }
    // A null is stored as the column's default where that is a believable time, and is never rejected.
    let (schema, mut rows) = time_rows("1:MILLISECONDS:EPOCH", DataType::Long, &[None]);
    let mut field = schema.fields()[0].clone();
    field.default_null = Value::Long(first);
    let schema = Schema::new("t", SchemaVersion(1), vec![field]);
    let time = TimeCheck::new(&schema, &ColumnName::parse("t").unwrap(), true, false, NOW).unwrap();
    assert_eq!(check_time(&time, &mut rows), TimeReport::default());
    assert_eq!((rows.columns[0].data.get(0), &rows.columns[0].nulls), (Value::Long(first), &vec![0]));
}
