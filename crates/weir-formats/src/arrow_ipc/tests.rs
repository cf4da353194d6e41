//! The decoder against the library's own writer, and against bent bytes.

use super::*;
use crate::{
    conformance::{Sample, conformance},
    decoder::Stage,
};
use ::arrow_ipc::writer::StreamWriter;
use arrow::{
    array::*,
    buffer::OffsetBuffer,
    datatypes::{DataType as Arrow, Field, Fields, Int32Type, Schema as ArrowSchema},
};
use proptest::prelude::*;
use std::sync::Arc;
use weir_types::{ColumnName, DataType, FieldKind, FieldSpec, Schema, SchemaVersion};

fn stream(batches: &[RecordBatch]) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(vec![], &batches[0].schema()).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.into_inner().unwrap()
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Fields =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), arrays).unwrap()
}

fn decode(columns: &[(&str, DataType, bool)], settings: &[(&str, &str)], messages: &[Vec<u8>]) -> (RowBatch, Decoded) {
    let field = |(name, data_type, single_value): &(&str, DataType, bool)| FieldSpec {
        single_value: *single_value,
        ..FieldSpec::new(ColumnName::parse(name).unwrap(), *data_type, FieldKind::Dimension)
    };
    let schema = Arc::new(Schema::new("t", SchemaVersion(1), columns.iter().map(field).collect()));
    let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let spec = DecodeSpec { schema: schema.clone(), continue_on_error: false, topic: "t".into(), raw: 0 };
    let mut decoder = ArrowDecoder::new(&settings, &spec).unwrap();
    let mut rows = RowBatch::new(&schema);
    let mut payloads = (0u32..).zip(messages).map(|(message, value)| Payload { message, value, key: None });
    let decoded = decoder.decode(&mut payloads, &mut rows);
    assert!(rows.columns.iter().all(|column| column.rows() == rows.rows()));
    (rows, decoded)
}

/// The values of a column, row by row, or why there are none.
fn cells(array: ArrayRef, data_type: DataType, single: bool) -> Vec<String> {
    let (rows, decoded) = decode(&[("c", data_type, single)], &[], &[stream(&[batch(vec![("c", array)])])]);
    if let Some(reject) = decoded.rejects.first() {
        return vec![reject.reason.clone()];
    }
    let column = &rows.columns[0];
    let cell = |row: usize| {
        let values: Vec<String> = column.values_of(row).map(|at| column.data.get(at).to_string()).collect();
        if column.nulls.contains(&(row as u32)) { "NULL".to_owned() } else { values.join("|") }
    };
    (0..rows.rows()).map(cell).collect()
}

fn encode(sample: &Sample) -> Vec<u8> {
    let mut tags = ListBuilder::new(StringBuilder::new());
    tags.append_value(sample.tags.iter().map(Some));
    stream(&[batch(vec![
        ("other", Arc::new(StringArray::from(vec!["x"])) as ArrayRef),
        ("id", Arc::new(Int64Array::from(vec![sample.id]))),
        ("name", Arc::new(StringArray::from(vec![sample.name.as_deref()]))),
        ("score", Arc::new(Float64Array::from(vec![sample.score]))),
        ("tags", Arc::new(tags.finish())),
    ])])
}

#[test]
fn conforms() {
    conformance(&|spec| Box::new(ArrowDecoder::new(&BTreeMap::new(), &spec).unwrap()), &encode);
}

#[test]
fn each_type_meets_its_columns() {
    use DataType::{BigDecimal, Boolean, Bytes, Double, Int, Json, Long, String as Text, Timestamp};
    let decimals = Decimal128Array::from(vec![-12345]).with_precision_and_scale(10, 2).unwrap();
    // More digits than the type says.
    let beyond = Decimal128Array::from(vec![-12345]).with_precision_and_scale(3, 2).unwrap();
    let far_beyond = Decimal128Array::from(vec![12345]).with_precision_and_scale(2, 2).unwrap();
    let words: DictionaryArray<Int32Type> = vec![Some("a"), None, Some("b"), Some("a")].into_iter().collect();
    let point = StructArray::from(vec![
        (Arc::new(Field::new("x", Arrow::Int32, true)), Arc::new(Int32Array::from(vec![Some(1), None])) as ArrayRef),
        (
            Arc::new(Field::new("b", Arrow::Binary, true)),
            Arc::new(BinaryArray::from(vec![&b"\x01\xff"[..], b""])) as ArrayRef,
        ),
    ]);
    let mut map = MapBuilder::new(None, Int32Builder::new(), StringBuilder::new());
    map.keys().append_value(5);
    map.values().append_value("v");
    map.append(true).unwrap();
    let items = Arc::new(Field::new("item", Arrow::Int32, true));
    let values = Arc::new(Int32Array::from(vec![Some(1), None, Some(2)]));
    let list = ListArray::new(items, OffsetBuffer::from_lengths([2, 0, 1]), values, None);
    for (array, data_type, single, expected) in [
        (Arc::new(BooleanArray::from(vec![true])) as ArrayRef, Boolean, true, vec!["1"]),
        (Arc::new(Int8Array::from(vec![Some(-1), None])), Int, true, vec!["-1", "NULL"]),
        (Arc::new(UInt64Array::from(vec![7, u64::MAX])), Text, true, vec!["7", "18446744073709551615"]),
        (Arc::new(Float32Array::from(vec![0.1, f32::NAN])), Text, true, vec!["0.1", "NULL"]),
        (Arc::new(Float64Array::from(vec![0.5])), Double, true, vec!["0.5"]),
        (Arc::new(LargeStringArray::from(vec!["é"])), Text, true, vec!["é"]),
        (
            Arc::new(StringViewArray::from(vec!["view, long enough to be one"])),
            Text,
            true,
            vec!["view, long enough to be one"],
        ),
        (Arc::new(BinaryArray::from(vec![&b"\x01\xff"[..]])), Bytes, true, vec!["01ff"]),
        (Arc::new(TimestampMicrosecondArray::from(vec![-1])), Timestamp, true, vec!["-1"]),
        (Arc::new(TimestampSecondArray::from(vec![2])), Long, true, vec!["2000"]),
        (Arc::new(Date32Array::from(vec![20_484])), Text, true, vec!["2026-01-31"]),
        (Arc::new(Date64Array::from(vec![86_400_000])), Int, true, vec!["1"]),
        (Arc::new(Time64MicrosecondArray::from(vec![45_000_000_001])), Text, true, vec!["12:30:00.000001"]),
        (Arc::new(decimals), BigDecimal, true, vec!["-123.45"]),
        (Arc::new(beyond), BigDecimal, true, vec!["-123.45"]),
        (Arc::new(far_beyond), BigDecimal, true, vec!["123.45"]),
        (Arc::new(words), Text, true, vec!["a", "NULL", "b", "a"]),
        (Arc::new(point), Json, true, vec!["{\"x\":1,\"b\":\"Af8=\"}", "{\"x\":null,\"b\":\"\"}"]),
        (Arc::new(map.finish()), Json, true, vec!["{\"5\":\"v\"}"]),
        (Arc::new(list.clone()), Int, false, vec!["1", "NULL", "2"]),
        (Arc::new(list), Json, true, vec!["[1,null]", "[]", "[2]"]),
        (Arc::new(NullArray::new(2)), Int, true, vec!["NULL", "NULL"]),
        (
            Arc::new(StringArray::from(vec!["x"])),
            Int,
            true,
            vec!["INT takes an integer within the type's range, got x"],
        ),
    ] {
        let kind = array.data_type().clone();
        assert_eq!(cells(array, data_type, single), expected, "{kind}");
    }
}

#[test]
fn a_message_of_many_rows_is_stored_whole_or_not_at_all() {
    let ids = |values: Vec<&str>| batch(vec![("id", Arc::new(StringArray::from(values)) as ArrayRef)]);
    let messages = [
        stream(&[ids(vec!["1", "2"]), ids(vec!["3"])]),
        stream(&[ids(vec!["4", "x", "5"])]),
        stream(&[ids(vec![])]),
        stream(&[ids(vec!["6"])]),
    ];
    let (rows, decoded) = decode(&[("id", DataType::Long, true)], &[], &messages);
    assert_eq!(rows.message_of_row, [0, 0, 0, 3]);
    assert_eq!((decoded.empty, decoded.rejects.len()), (1, 1));
    assert_eq!((decoded.rejects[0].message, decoded.rejects[0].stage), (1, Stage::DataType));
}

#[test]
fn compressed_batches_are_read_within_the_limit() {
    use ::arrow_ipc::{CompressionType, writer::IpcWriteOptions};
    let texts: Vec<String> = (0..1000).map(|at| format!("the same text over and over, number {}", at % 3)).collect();
    let batch = batch(vec![("c", Arc::new(StringArray::from(texts)) as ArrayRef)]);
    for kind in [CompressionType::LZ4_FRAME, CompressionType::ZSTD] {
        let options = IpcWriteOptions::default().try_with_compression(Some(kind)).unwrap();
        let mut writer = StreamWriter::try_new_with_options(vec![], &batch.schema(), options).unwrap();
        writer.write(&batch).unwrap();
        let message = writer.into_inner().unwrap();
        assert!(message.len() < 10_000, "it is compressed");
        let column = [("c", DataType::String, true)];
        let (rows, decoded) = decode(&column, &[], std::slice::from_ref(&message));
        assert_eq!((rows.rows(), decoded.rejects.len()), (1000, 0), "{kind:?}");
        let (_, decoded) = decode(&column, &[("arrow.allocator.limit", "20000")], &[message]);
        assert!(decoded.rejects[0].reason.contains("arrow.allocator.limit allows 20000"), "{:?}", decoded.rejects);
    }
}

#[test]
fn lengths_that_lie_are_refused_before_they_are_believed() {
    let good = encode(&Sample { id: 1, name: Some("n".to_owned()), score: None, tags: vec![] });
    let columns = [("id", DataType::Long, true)];
    let reason = |message: Vec<u8>, settings: &[(&str, &str)]| {
        let (_, decoded) = decode(&columns, settings, &[message]);
        decoded.rejects.first().map_or_else(String::new, |reject| reject.reason.clone())
    };
    assert_eq!(reason(good.clone(), &[]), "");
    let limited = reason(good.clone(), &[("arrow.allocator.limit", "16")]);
    assert!(limited.contains("arrow.allocator.limit allows 16"), "{limited}");
    let mut long = good.clone();
    long[4..8].copy_from_slice(&i32::MAX.to_le_bytes());
    assert_eq!(reason(long, &[]), format!("this is no Arrow stream, or it ends too early (byte 0 of {})", good.len()));
    let nulls = stream(&[batch(vec![("id", Arc::new(NullArray::new(1 << 20)) as ArrayRef)])]);
    assert!(reason(nulls, &[]).starts_with("it has more rows than its bytes can hold"));
    let settings = BTreeMap::from([("arrow.allocator.limit".to_owned(), "none".to_owned())]);
    let schema = Arc::new(Schema::new("t", SchemaVersion(1), vec![]));
    let spec = DecodeSpec { schema, continue_on_error: false, topic: "t".into(), raw: 0 };
    assert!(ArrowDecoder::new(&settings, &spec).is_err());
}

/// A small message that stands for many long texts: written out, each way to say so would take gigabytes.
#[test]
fn what_is_shared_in_a_message_is_not_written_out_beyond_the_limit() {
    const LONG: usize = 1 << 20;
    const ROWS: usize = 8_000;
    // A number in hex, for bytes.
    let long = "ab".repeat(LONG / 2);
    let texts = || Arc::new(StringArray::from(vec![long.as_str()])) as ArrayRef;
    let dictionary = DictionaryArray::<Int32Type>::new(Int32Array::from(vec![0; ROWS]), texts());
    let runs = RunArray::<Int32Type>::try_new(&Int32Array::from(vec![ROWS as i32]), &texts()).unwrap();
    let item = Arc::new(Field::new("item", Arrow::Utf8, true));
    let lists =
        ListViewArray::try_new(item.clone(), vec![0; ROWS].into(), vec![1; ROWS].into(), texts(), None).unwrap();
    let views = StringViewArray::from_iter_values([long.as_str()]);
    let view = views.views()[0];
    let views = StringViewArray::try_new(vec![view; ROWS].into(), views.data_buffers().to_vec(), None).unwrap();
    let inside = ListArray::try_new(item, OffsetBuffer::new(vec![0, 1].into()), texts(), None).unwrap();
    let nested = DictionaryArray::<Int32Type>::new(Int32Array::from(vec![0; ROWS]), Arc::new(inside));
    let shared: [(&str, ArrayRef, bool); 5] = [
        ("a dictionary", Arc::new(dictionary), true),
        ("runs", Arc::new(runs), true),
        ("lists of the same item", Arc::new(lists), false),
        ("views of one text", Arc::new(views), true),
        ("a dictionary of lists", Arc::new(nested), false),
    ];
    // Keys of nulls stand for nothing.
    let keys: Int32Array = (0..ROWS).map(|at| (at == 0).then_some(0)).collect();
    let nulls = DictionaryArray::<Int32Type>::new(keys, texts());
    let message = stream(&[batch(vec![("c", Arc::new(nulls) as ArrayRef)])]);
    let limited = [("arrow.allocator.limit", "20000000")];
    let (rows, decoded) = decode(&[("c", DataType::Bytes, true)], &limited, &[message]);
    assert_eq!((rows.rows(), decoded.rejects.len()), (ROWS, 0), "{:?}", decoded.rejects);
    for (what, array, single_value) in shared {
        let message = stream(&[batch(vec![("c", array)])]);
        assert!(message.len() < 2 * LONG, "{what}: {}", message.len());
        let started = std::time::Instant::now();
        // Bytes are not cut at a greatest length.
        let (rows, decoded) = decode(&[("c", DataType::Bytes, single_value)], &limited, &[message]);
        assert_eq!(rows.rows(), 0, "{what}");
        let reason = &decoded.rejects[0].reason;
        assert!(reason.contains("arrow.allocator.limit"), "{what}: {reason}");
        assert!(started.elapsed().as_secs() < 20, "{what}: nothing of it is written out");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn bent_bytes_are_a_row_or_a_reject(flips in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4)) {
        let mut message = encode(&Sample { id: 9, name: Some("n".to_owned()), score: Some(1.0), tags: vec!["a".to_owned(), "b".to_owned()] });
        for (at, flip) in flips {
            let at = at % message.len();
            message[at] ^= flip;
        }
        decode(&[("id", DataType::Long, true), ("name", DataType::String, true), ("tags", DataType::Json, true)], &[], &[message]);
    }
}
