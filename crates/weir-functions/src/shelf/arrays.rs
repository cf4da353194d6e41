//! Arrays. A single value stands for an array of itself.

use super::{
    Function, Gives, MANY, Ready,
    gives::{BOOLEAN, DOUBLES, INT, INTS, LONG, LONGS, STRING},
};
use crate::{
    datum::{Datum, Fault, list, text},
    expression::Expression,
};
use bumpalo::Bump;
use std::{cmp::Ordering, collections::HashSet};

/// Elements that a generated array may have: a record is no place for more.
const GENERATED_MOST: i64 = 10_000;

fn order<'a>(a: Datum<'a>, b: Datum<'a>, arena: &'a Bump) -> Ordering {
    a.compare(b, arena).ok().flatten().unwrap_or(Ordering::Equal)
}

fn equal<'a>(a: Datum<'a>, b: Datum<'a>, arena: &'a Bump) -> bool {
    matches!(a.compare(b, arena), Ok(Some(Ordering::Equal)))
}

fn holds<'a>(items: &[Datum<'a>], wanted: Datum<'a>, arena: &'a Bump) -> bool {
    items.iter().any(|item| equal(*item, wanted, arena))
}

/// Pairs that one row may compare where its values cannot be hashed: some tenths of a second.
const PAIRS_MOST: usize = 10_000_000;

fn comparable(one: usize, other: usize) -> Result<(), Fault> {
    if one.saturating_mul(other) <= PAIRS_MOST {
        return Ok(());
    }
    Err(Fault::new(format!("arrays of {one} and {other} values of several types are too long to be compared")))
}

/// What two values have in common exactly if they are equal, among values of one type.
#[derive(PartialEq, Eq, Hash)]
enum Key<'a> {
    Truth(bool),
    Whole(i64),
    Real(u64),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// It is equal to nothing.
    Alone(usize),
}

/// The keys of values of one type, after each other.
fn keys<'a>(items: impl Iterator<Item = Datum<'a>>) -> Option<Vec<Key<'a>>> {
    let mut kind = None;
    let mut keys = vec![];
    for (at, item) in items.enumerate() {
        let key = match item {
            Datum::Null => Key::Alone(at),
            Datum::Double(number) if number.is_nan() => Key::Alone(at),
            Datum::Bool(truth) => Key::Truth(truth),
            Datum::Long(number) | Datum::Timestamp(number) => Key::Whole(number),
            // Zero has one sign.
            Datum::Double(number) => Key::Real((number + 0.0).to_bits()),
            Datum::Text(text) => Key::Text(text),
            Datum::Bytes(bytes) => Key::Bytes(bytes),
            _ => return None,
        };
        if !matches!(key, Key::Alone(_))
            && *kind.get_or_insert(std::mem::discriminant(&item)) != std::mem::discriminant(&item)
        {
            return None;
        }
        keys.push(key);
    }
    Some(keys)
}

fn distinct<'a>(items: &[Datum<'a>], arena: &'a Bump) -> Result<Vec<Datum<'a>>, Fault> {
    if let Some(keys) = keys(items.iter().copied()) {
        let mut seen = HashSet::with_capacity(keys.len());
        let first = keys.into_iter().map(|key| seen.insert(key));
        return Ok(items.iter().zip(first).filter(|(_, first)| *first).map(|(item, _)| *item).collect());
    }
    comparable(items.len(), items.len())?;
    let mut kept: Vec<Datum<'a>> = vec![];
    for item in items {
        if !holds(&kept, *item, arena) {
            kept.push(*item);
        }
    }
    Ok(kept)
}

fn overlap<'a>(one: &[Datum<'a>], other: &[Datum<'a>], arena: &'a Bump) -> Result<bool, Fault> {
    if let Some(keys) = keys(one.iter().chain(other).copied()) {
        let (one, other) = keys.split_at(one.len());
        let seen: HashSet<&Key<'_>> = one.iter().collect();
        return Ok(other.iter().any(|key| seen.contains(key)));
    }
    comparable(one.len(), other.len())?;
    Ok(one.iter().any(|item| holds(other, *item, arena)))
}

/// The element at a position from 1, as Pinot counts.
fn element<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let at = usize::try_from(args[1].long()?).ok().and_then(|at| at.checked_sub(1));
    Ok(at.and_then(|at| args[0].items(arena).get(at).copied()).unwrap_or(Datum::Null))
}

fn generate_int<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let cut: Result<Vec<Datum<'_>>, Fault> = args.iter().map(|arg| Ok(Datum::Long(arg.int()?.into()))).collect();
    generate(&cut?, arena)
}

fn generate<'a>(args: &[Datum<'_>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let (from, to) = (args[0].long()?, args[1].long()?);
    let step = args.get(2).map_or(Ok(1), |step| step.long())?;
    if step == 0 {
        return Err(Fault::new("a step of 0 leads nowhere"));
    }
    let count = (i128::from(to) - i128::from(from)) / i128::from(step);
    if count >= i128::from(GENERATED_MOST) {
        return Err(Fault::new(format!("an array of more than {GENERATED_MOST} elements is too long")));
    }
    // Each lies between the two ends, though what is added to the first need not be a number of 64 bits.
    let at = |at: i64| Datum::Long(from.wrapping_add(at.wrapping_mul(step)));
    Ok(list((0..=count.max(-1) as i64).map(at), arena))
}

fn generate_real<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let (from, to) = (args[0].double()?, args[1].double()?);
    let step = args.get(2).map_or(Ok(1.0), |step| step.double())?;
    let count = ((to - from) / step).floor();
    if !count.is_finite() {
        return Err(Fault::new(format!("steps of {step} do not lead from {from} to {to}")));
    }
    if count >= GENERATED_MOST as f64 {
        return Err(Fault::new(format!("an array of more than {GENERATED_MOST} elements is too long")));
    }
    Ok(list((0..=count.max(-1.0) as i64).map(|at| Datum::Double(from + at as f64 * step)), arena))
}

/// An element: arrays do not hold arrays.
fn single(datum: Datum<'_>) -> Result<Datum<'_>, Fault> {
    match datum {
        Datum::List(_) => Err(Fault::new(format!("one value is expected, got {}", datum.shown()))),
        one => Ok(one),
    }
}

/// Of two arrays of rising positions those that are in both.
fn intersect_indices<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let positions = |datum: Datum<'a>| {
        datum.items(arena).iter().map(|at| at.int().map(i64::from)).collect::<Result<Vec<i64>, Fault>>()
    };
    let (one, other) = (positions(args[0])?, positions(args[1])?);
    let (mut found, mut next) = (vec![], other.iter().peekable());
    for at in one {
        // What the other array has and this one passed over is in this one no more.
        while next.next_if(|other| **other < at).is_some() {}
        if next.next_if_eq(&&at).is_some() {
            found.push(Datum::Long(at));
        }
    }
    Ok(list(found, arena))
}

/// A condition on each value of an array, which is called `v` in it.
struct Condition(Expression);

/// What a condition may make of values for one array: each makes its own, and thousands of long ones take seconds.
const CONDITION_MOST: usize = 256 << 20;
/// What it made of one value is given up before the next once it is this much.
const CONDITION_HELD: usize = 1 << 20;

impl Condition {
    fn made(constants: &[Option<Datum<'_>>]) -> Result<Box<dyn Ready>, Fault> {
        let Some(Some(Datum::Text(condition))) = constants.get(1) else {
            return Err(Fault::new("the condition (argument 2) must be a text that is the same for every row"));
        };
        let expression = Expression::parse(condition).map_err(|error| Fault::new(error.to_string()))?;
        // A few in one another would be asked for every value of every value.
        if condition.to_ascii_lowercase().contains("filtermv") {
            return Err(Fault::new(format!("'{condition}': a condition of filterMv cannot have another in it")));
        }
        match expression.fields().iter().find(|field| !field.eq_ignore_ascii_case("v")) {
            Some(field) => Err(Fault::new(format!("'{condition}' reads '{field}'; the values are called v"))),
            None => Ok(Box::new(Self(expression))),
        }
    }
}

impl Ready for Condition {
    fn call<'a>(&self, args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
        let (mut kept, mut made, mut all) = (vec![], Bump::new(), 0_usize);
        for item in args[0].items(arena) {
            if made.allocated_bytes() > CONDITION_HELD {
                all = all.saturating_add(made.allocated_bytes());
                if all > CONDITION_MOST {
                    return Err(Fault::new("the condition of filterMv makes more than 256 MiB of values".to_owned()));
                }
                made = Bump::new();
            }
            let read = |_: usize| *item;
            let holds = self.0.value(&read, &made)?;
            if !holds.is_null() && holds.truth()? {
                kept.push(*item);
            }
        }
        Ok(list(kept, arena))
    }
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function::made(&["filterMv"], 2, 2, Gives::ListOf(0), Condition::made),
    Function::plain(&["array", "arrayValueConstructor"], 0, MANY, Gives::ListOfAll, |args, arena| {
        Ok(list(args.iter().copied(), arena))
    })
    .with_nulls(),
    Function::plain(&["arrayLength", "cardinality"], 1, 1, INT, |args, arena| {
        Ok(Datum::Long(args[0].items(arena).len() as i64))
    }),
    Function::plain(
        &["arrayReverse", "arrayReverseInt", "arrayReverseString"],
        1,
        1,
        Gives::ListOf(0),
        |args, arena| Ok(list(args[0].items(arena).iter().rev().copied(), arena)),
    ),
    Function::plain(&["arraySort", "arraySortInt", "arraySortString"], 1, 1, Gives::ListOf(0), |args, arena| {
        let mut items = args[0].items(arena).to_vec();
        // Nulls come last, as they do in an answer.
        items.sort_by(|a, b| a.is_null().cmp(&b.is_null()).then_with(|| order(*a, *b, arena)));
        Ok(list(items, arena))
    }),
    Function::plain(&["arrayIndexOf", "arrayIndexOfInt", "arrayIndexOfString"], 2, 2, INT, |args, arena| {
        let at = args[0].items(arena).iter().position(|item| equal(*item, args[1], arena));
        Ok(Datum::Long(at.map_or(-1, |at| at as i64)))
    }),
    Function::plain(&["arrayContains", "arrayContainsInt", "arrayContainsString"], 2, 2, BOOLEAN, |args, arena| {
        Ok(Datum::Bool(holds(args[0].items(arena), args[1], arena)))
    }),
    Function::plain(
        &["arraySlice", "arraySliceInt", "arraySliceLong", "arraySliceString"],
        3,
        3,
        Gives::ListOf(0),
        |args, arena| {
            let items = args[0].items(arena);
            let bound = |at: i64| usize::try_from(at.max(0)).unwrap_or(usize::MAX).min(items.len());
            let (from, to) = (bound(args[1].long()?), bound(args[2].long()?));
            Ok(list(items.get(from..to).unwrap_or_default().iter().copied(), arena))
        },
    ),
    Function::plain(
        &["arrayDistinct", "arrayDistinctInt", "arrayDistinctString"],
        1,
        1,
        Gives::ListOf(0),
        |args, arena| Ok(list(distinct(args[0].items(arena), arena)?, arena)),
    ),
    Function::plain(&["arrayRemove", "arrayRemoveInt", "arrayRemoveString"], 2, 2, Gives::ListOf(0), |args, arena| {
        let mut items = args[0].items(arena).to_vec();
        if let Some(at) = items.iter().position(|item| equal(*item, args[1], arena)) {
            items.remove(at);
        }
        Ok(list(items, arena))
    }),
    Function::plain(&["arrayUnion", "arrayUnionInt", "arrayUnionString"], 2, 2, Gives::ListOfAll, |args, arena| {
        let both: Vec<Datum<'_>> = args[0].items(arena).iter().chain(args[1].items(arena)).copied().collect();
        Ok(list(distinct(&both, arena)?, arena))
    }),
    Function::plain(
        &[
            "arrayConcat",
            "arrayConcatInt",
            "arrayConcatLong",
            "arrayConcatFloat",
            "arrayConcatDouble",
            "arrayConcatString",
        ],
        2,
        MANY,
        Gives::ListOfAll,
        |args, arena| Ok(list(args.iter().flat_map(|arg| arg.items(arena)).copied(), arena)),
    ),
    Function::plain(
        &[
            "arrayElementAt",
            "arrayElementAtInt",
            "arrayElementAtLong",
            "arrayElementAtFloat",
            "arrayElementAtDouble",
            "arrayElementAtString",
        ],
        2,
        2,
        Gives::ItemOf(0),
        element,
    ),
    Function::plain(&["arraysOverlap"], 2, 2, BOOLEAN, |args, arena| {
        overlap(args[0].items(arena), args[1].items(arena), arena).map(Datum::Bool)
    }),
    Function::plain(&["arraySumInt", "arraySumLong"], 1, 1, LONG, |args, arena| {
        let mut items = args[0].items(arena).iter().filter(|item| !item.is_null());
        let sum = items.try_fold(0i64, |sum, item| item.long().map(|n| sum.wrapping_add(n)));
        sum.map(Datum::Long)
    }),
    Function::plain(&["arrayToString"], 2, 3, STRING, |args, arena| {
        let (between, null) = (args[1].text(arena), args.get(2).map(|null| null.text(arena)));
        let items = args[0].items(arena).iter();
        let texts = items.filter_map(|item| if item.is_null() { null } else { Some(item.text(arena)) });
        let texts: Vec<&str> = texts.collect();
        if texts.iter().map(|text| text.len() + between.len()).sum::<usize>() > super::MADE_MOST {
            return Err(super::too_long());
        }
        Ok(text(&texts.join(between), arena))
    }),
    Function::plain(&["generateIntArray"], 2, 3, INTS, generate_int),
    Function::plain(&["generateLongArray"], 2, 3, LONGS, generate),
    Function::plain(&["generateFloatArray", "generateDoubleArray"], 2, 3, DOUBLES, generate_real),
    Function::plain(
        &[
            "arrayIndexesOf",
            "arrayIndexesOfInt",
            "arrayIndexesOfLong",
            "arrayIndexesOfFloat",
            "arrayIndexesOfDouble",
            "arrayIndexesOfString",
        ],
        2,
        2,
        INTS,
        |args, arena| {
            let found = args[0].items(arena).iter().enumerate().filter(|(_, item)| equal(**item, args[1], arena));
            Ok(list(found.map(|(at, _)| Datum::Long(at as i64)), arena))
        },
    ),
    Function::plain(&["intersectIndices"], 2, 2, INTS, intersect_indices),
    Function::plain(
        &[
            "arrayPushBack",
            "arrayPushBackInt",
            "arrayPushBackLong",
            "arrayPushBackFloat",
            "arrayPushBackDouble",
            "arrayPushBackString",
        ],
        2,
        2,
        Gives::ListOfAll,
        |args, arena| Ok(list(args[0].items(arena).iter().copied().chain([single(args[1])?]), arena)),
    ),
    Function::plain(
        &[
            "arrayPushFront",
            "arrayPushFrontInt",
            "arrayPushFrontLong",
            "arrayPushFrontFloat",
            "arrayPushFrontDouble",
            "arrayPushFrontString",
        ],
        2,
        2,
        Gives::ListOfAll,
        |args, arena| Ok(list([single(args[1])?].into_iter().chain(args[0].items(arena).iter().copied()), arena)),
    ),
];

#[cfg(test)]
mod tests {
    use crate::expression::value_text as eval;

    #[test]
    fn values() {
        for (call, expected) in [
            ("arrayDistinct(array(3, 1, 3, NULL, NULL))", "[3,1,null,null]"),
            ("arrayDistinct(array(1, '1', 1.0))", "[1]"),
            ("arrayUnion(array('b', 'a'), array('a', 'c'))", r#"["b","a","c"]"#),
            ("arraysOverlap(array(1, 2), array(3, 2))", "true"),
            ("arraysOverlap(array(1, 2), array('3', '4'))", "false"),
            ("arraysOverlap(array(NULL), array(NULL))", "false"),
            ("arrayIndexesOf(array('a', 'b', 'a'), 'a')", "[0,2]"),
            ("intersectIndices(array(0, 2, 5), array(2, 3, 5))", "[2,5]"),
            ("arrayPushBack(array(1), 2)", "[1,2]"),
            ("arrayPushFront(array(1), 2)", "[2,1]"),
            ("arrayLength(arrayPushBack(array(1, 2), 3))", "3"),
            ("arraySumInt(array(1, NULL, 3))", "4"),
            ("arraySum(array(1, NULL, 3))", "4.0"),
            ("arrayMin(array(NULL, 3))", "3.0"),
            ("arrayAverage(array(1, NULL, 3))", "2.0"),
            ("arraySort(array('b', NULL, 'a'))", r#"["a","b",null]"#),
            ("filterMv(array(3, 7, NULL, 9), 'v > 5')", "[7,9]"),
            ("filterMv(array('ab', 'c'), 'length(v) = 1 OR v LIKE ''x%''')", r#"["c"]"#),
            ("filterMv(5, 'v BETWEEN 1 AND 5')", "[5]"),
            ("generateDoubleArray(1, 2, 0.5)", "[1.0,1.5,2.0]"),
            ("generateIntArray(3, 1, -1)", "[3,2,1]"),
            (
                "generateLongArray(-9223372036854775808, 9223372036854775807, 9223372036854775807)",
                "[-9223372036854775808,-1,9223372036854775806]",
            ),
            (
                "generateLongArray(9223372036854775807, -9223372036854775808, -9223372036854775808)",
                "[9223372036854775807,-1]",
            ),
        ] {
            assert_eq!(eval(call).as_deref(), Ok(expected), "{call}");
        }
        let long = "split(repeat('ab,cd,', 200000), ',')";
        assert_eq!(eval(&format!("arrayDistinct({long})")).as_deref(), Ok(r#"["ab","cd"]"#));
        let mixed = eval(&format!("arraysOverlap({long}, generateLongArray(1, 9000))")).unwrap_err();
        assert!(mixed.contains("too long to be compared"), "{mixed}");
        let nested = eval("arrayPushBack(array(1), array(2, 3))").unwrap_err();
        assert!(nested.contains("one value is expected, got [2,3]"), "{nested}");
        let endless = eval("generateDoubleArray(0, 1, 0)").unwrap_err();
        assert!(endless.contains("do not lead from 0 to 1"), "{endless}");
        for (bad, why) in [
            ("filterMv(array(1), 'w > 5')", "reads 'w'; the values are called v"),
            ("filterMv(array(1), 'v >')", "cannot be evaluated"),
            ("filterMv(generateIntArray(0, 999), 'length(repeat(''a'', 15000000)) > v')", "more than 256 MiB"),
            ("filterMv(array(1), 'arrayLength(filterMv(array(2), ''v > 1'')) > v')", "cannot have another in it"),
            ("filterMv(array(1), concat('v', ' > 5'))", "must be a text that is the same for every row"),
        ] {
            let fault = eval(bad).unwrap_err();
            assert!(fault.contains(why), "{bad}: {fault}");
        }
    }
}
