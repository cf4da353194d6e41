//! Every index, over random columns of single and multiple values, against a scan.

use proptest::prelude::*;
use roaring::RoaringBitmap;
use std::ops::Bound;
use weir_indexes::{
    Answer, InvertedIndex, KeyRange, Predicate, RangeIndex, SortedRanges,
    conformance::{check, predicates, scan},
    order_key,
};
use weir_types::{Column, ColumnData, Stored, Value};

/// A column of ids, as a column of INT.
fn column(rows: &[Vec<i32>], single_value: bool) -> Column {
    let mut column = Column::new(Stored::Int, single_value);
    for row in rows {
        let taken = if single_value { 1 } else { row.len() };
        row[..taken].iter().for_each(|value| column.data.push(&Value::Int(*value)));
        if !single_value {
            column.end_row();
        }
    }
    column
}

fn ids(column: &Column) -> Vec<u32> {
    let ColumnData::Int(values) = &column.data else { unreachable!("made as INT") };
    values.iter().map(|value| *value as u32).collect()
}

fn some_rows(most: i32) -> impl Strategy<Value = Vec<Vec<i32>>> {
    prop::collection::vec(prop::collection::vec(0..most, 1..4), 0..400)
}

proptest! {
    #[test]
    fn inverted_answers_as_a_scan_does(rows in some_rows(30), single_value in any::<bool>()) {
        let column = column(&rows, single_value);
        let bytes = InvertedIndex::build(30, &ids(&column), column.ends.as_deref()).unwrap();
        let index = InvertedIndex::open(&bytes).unwrap();
        for id in 0..31 {
            let answer = Answer::Exact(index.rows_of(id).unwrap());
            check(&column, &Predicate::Eq(Value::Int(id as i32)), &answer);
        }
        let several = Predicate::In(vec![Value::Int(3), Value::Int(17), Value::Int(29)]);
        check(&column, &several, &Answer::Exact(index.rows_of_any([3, 17, 29]).unwrap()));
    }

    #[test]
    fn ranges_answer_as_a_scan_does(
        rows in some_rows(3000), single_value in any::<bool>(), values in prop::collection::vec(-5i32..3005, 3),
    ) {
        let column = column(&rows, single_value);
        let keys: Vec<i64> = ids(&column).iter().map(|id| i64::from(*id)).collect();
        let bytes = RangeIndex::build(&keys, column.ends.as_deref()).unwrap();
        let index = RangeIndex::open(&bytes).unwrap();
        let values: Vec<Value> = values.into_iter().map(Value::Int).collect();
        for predicate in predicates(&values) {
            if let Some(range) = KeyRange::of(&predicate) {
                check(&column, &predicate, &index.answer(range).unwrap());
            }
        }
    }

    #[test]
    fn ranges_of_few_values_are_exact(rows in some_rows(40), single_value in any::<bool>(), a in 0i32..40, b in 0i32..40) {
        let column = column(&rows, single_value);
        let keys: Vec<i64> = ids(&column).iter().map(|id| i64::from(*id)).collect();
        let bytes = RangeIndex::build(&keys, column.ends.as_deref()).unwrap();
        let predicate =
            Predicate::Range { lower: Bound::Included(Value::Int(a.min(b))), upper: Bound::Included(Value::Int(a.max(b))) };
        let answer = RangeIndex::open(&bytes).unwrap().answer(KeyRange::of(&predicate).unwrap()).unwrap();
        prop_assert_eq!(answer, Answer::Exact(scan(&column, &predicate)));
    }

    #[test]
    fn sorted_ranges_answer_as_a_scan_does(mut rows in some_rows(25), chosen in prop::collection::btree_set(0u32..27, 0..9)) {
        rows.sort_by_key(|row| row[0]);
        let column = column(&rows, true);
        let bytes = SortedRanges::build(25, &ids(&column)).unwrap();
        let ranges = SortedRanges::open(&bytes, 25, rows.len() as u32).unwrap();
        let wanted = Predicate::In(chosen.iter().map(|id| Value::Int(*id as i32)).collect());
        let chosen: RoaringBitmap = chosen.into_iter().filter(|id| *id < 25).collect();
        check(&column, &wanted, &Answer::Exact(ranges.rows_of_all(&chosen)));
    }

    #[test]
    fn order_keys_order_like_values(a in any::<f64>(), b in any::<f64>(), c in any::<f32>(), d in any::<f32>()) {
        let ordered = |a: Value, b: Value| order_key(&a).cmp(&order_key(&b)) == a.order(&b);
        prop_assert!(ordered(Value::Double(a), Value::Double(b)));
        prop_assert!(ordered(Value::Float(c), Value::Float(d)));
        prop_assert!(ordered(Value::Double(-0.0), Value::Double(0.0)));
    }

    #[test]
    fn corrupt_bytes_never_panic(
        rows in some_rows(30), at in any::<prop::sample::Index>(), mask in 1u8.., cut in any::<prop::sample::Index>(),
    ) {
        let column = column(&rows, false);
        let keys: Vec<i64> = ids(&column).iter().map(|id| i64::from(*id)).collect();
        let mut inverted = InvertedIndex::build(30, &ids(&column), column.ends.as_deref()).unwrap();
        let mut range = RangeIndex::build(&keys, column.ends.as_deref()).unwrap();
        for bytes in [&mut inverted, &mut range] {
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
            let most = bytes.len() + 1;
            bytes.truncate(cut.index(most).max(most / 2));
        }
        let count = rows.len() as u64;
        // What is read from wrong bytes is refused or stays among the rows that the index says it has.
        if let Ok(index) = InvertedIndex::open(&inverted) {
            for id in 0..30 {
                let found = index.rows_of(id).map_or(0, |rows| rows.len());
                prop_assert!(found <= u64::from(index.rows()).max(count));
            }
        }
        if let Ok(index) = RangeIndex::open(&range)
            && let Ok(Answer::Exact(found) | Answer::Superset(found)) = index.answer(KeyRange { lower: 3, upper: 20 })
        {
            prop_assert!(found.max().is_none_or(|row| row < index.rows()));
        }
    }
}

#[test]
fn a_range_that_cuts_a_bucket_is_a_small_superset() {
    let keys: Vec<i64> = (0..100_000).map(|row| (row * 7919) % 100_000).collect();
    let bytes = RangeIndex::build(&keys, None).unwrap();
    let index = RangeIndex::open(&bytes).unwrap();
    let Answer::Superset(rows) = index.answer(KeyRange { lower: 25_001, upper: 50_001 }).unwrap() else {
        panic!("two buckets are cut")
    };
    assert!((25_001..25_001 + 3 * 1600).contains(&rows.len()), "{} rows", rows.len());
    assert!(bytes.len() < 100_000 * 5 / 2, "{} bytes", bytes.len());
    assert_eq!(index.answer(KeyRange { lower: 5, upper: 4 }).unwrap(), Answer::Exact(RoaringBitmap::new()));
}

#[test]
fn indexes_of_no_rows_open() {
    let bytes = InvertedIndex::build(0, &[], None).unwrap();
    assert!(InvertedIndex::open(&bytes).unwrap().rows_of(0).unwrap().is_empty());
    let bytes = RangeIndex::build(&[], None).unwrap();
    let answer = RangeIndex::open(&bytes).unwrap().answer(KeyRange { lower: i64::MIN, upper: i64::MAX });
    assert_eq!(answer.unwrap(), Answer::Exact(RoaringBitmap::new()));
    let bytes = SortedRanges::build(0, &[]).unwrap();
    assert!(SortedRanges::open(&bytes, 0, 0).unwrap().rows_of(0).is_empty());
}

#[test]
fn ids_beyond_the_dictionary_are_named() {
    let error = InvertedIndex::build(2, &[0, 2], None).unwrap_err();
    assert!(error.to_string().contains("id 2 of 2"), "{error}");
    let error = SortedRanges::build(3, &[0, 2, 1]).unwrap_err();
    assert!(error.to_string().contains("row 2"), "{error}");
}
