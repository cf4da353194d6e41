//! Arrays. A single value stands for an array of itself.

use super::{Function, MANY};
use crate::datum::{Datum, Fault, list, text};
use bumpalo::Bump;
use std::cmp::Ordering;

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

fn distinct<'a>(items: &[Datum<'a>], arena: &'a Bump) -> Vec<Datum<'a>> {
    let mut kept: Vec<Datum<'a>> = vec![];
    for item in items {
        if !holds(&kept, *item, arena) {
            kept.push(*item);
        }
    }
    kept
}

/// The element at a position from 1, as Pinot counts.
fn element<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let at = usize::try_from(args[1].long()?).ok().and_then(|at| at.checked_sub(1));
    Ok(at.and_then(|at| args[0].items(arena).get(at).copied()).unwrap_or(Datum::Null))
}

fn generate<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let (from, to) = (args[0].long()?, args[1].long()?);
    let step = args.get(2).map_or(Ok(1), |step| step.long())?;
    if step == 0 {
        return Err(Fault::new("a step of 0 leads nowhere"));
    }
    let count = (i128::from(to) - i128::from(from)) / i128::from(step);
    if count >= i128::from(GENERATED_MOST) {
        return Err(Fault::new(format!("an array of more than {GENERATED_MOST} elements is too long")));
    }
    Ok(list((0..=count.max(-1) as i64).map(|at| Datum::Long(from + at * step)), arena))
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function::plain(&["array", "arrayValueConstructor"], 0, MANY, |args, arena| Ok(list(args.iter().copied(), arena)))
        .with_nulls(),
    Function::plain(&["arrayLength", "cardinality"], 1, 1, |args, arena| {
        Ok(Datum::Long(args[0].items(arena).len() as i64))
    }),
    Function::plain(&["arrayReverse", "arrayReverseInt", "arrayReverseString"], 1, 1, |args, arena| {
        Ok(list(args[0].items(arena).iter().rev().copied(), arena))
    }),
    Function::plain(&["arraySort", "arraySortInt", "arraySortString"], 1, 1, |args, arena| {
        let mut items = args[0].items(arena).to_vec();
        items.sort_by(|a, b| order(*a, *b, arena));
        Ok(list(items, arena))
    }),
    Function::plain(&["arrayIndexOf", "arrayIndexOfInt", "arrayIndexOfString"], 2, 2, |args, arena| {
        let at = args[0].items(arena).iter().position(|item| equal(*item, args[1], arena));
        Ok(Datum::Long(at.map_or(-1, |at| at as i64)))
    }),
    Function::plain(&["arrayContains", "arrayContainsInt", "arrayContainsString"], 2, 2, |args, arena| {
        Ok(Datum::Bool(holds(args[0].items(arena), args[1], arena)))
    }),
    Function::plain(&["arraySlice", "arraySliceInt", "arraySliceString"], 3, 3, |args, arena| {
        let items = args[0].items(arena);
        let bound = |at: i64| usize::try_from(at.max(0)).unwrap_or(usize::MAX).min(items.len());
        let (from, to) = (bound(args[1].long()?), bound(args[2].long()?));
        Ok(list(items.get(from..to).unwrap_or_default().iter().copied(), arena))
    }),
    Function::plain(&["arrayDistinct", "arrayDistinctInt", "arrayDistinctString"], 1, 1, |args, arena| {
        Ok(list(distinct(args[0].items(arena), arena), arena))
    }),
    Function::plain(&["arrayRemove", "arrayRemoveInt", "arrayRemoveString"], 2, 2, |args, arena| {
        let mut items = args[0].items(arena).to_vec();
        if let Some(at) = items.iter().position(|item| equal(*item, args[1], arena)) {
            items.remove(at);
        }
        Ok(list(items, arena))
    }),
    Function::plain(&["arrayUnion", "arrayUnionInt", "arrayUnionString"], 2, 2, |args, arena| {
        let both: Vec<Datum<'_>> = args[0].items(arena).iter().chain(args[1].items(arena)).copied().collect();
        Ok(list(distinct(&both, arena), arena))
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
        element,
    ),
    Function::plain(&["arraysOverlap"], 2, 2, |args, arena| {
        let other = args[1].items(arena);
        Ok(Datum::Bool(args[0].items(arena).iter().any(|item| holds(other, *item, arena))))
    }),
    Function::plain(&["arraySumInt", "arraySumLong"], 1, 1, |args, arena| {
        let sum = args[0].items(arena).iter().try_fold(0i64, |sum, item| item.long().map(|n| sum.wrapping_add(n)));
        sum.map(Datum::Long)
    }),
    Function::plain(&["arrayToString"], 2, 3, |args, arena| {
        let (between, null) = (args[1].text(arena), args.get(2).map(|null| null.text(arena)));
        let items = args[0].items(arena).iter();
        let texts = items.filter_map(|item| if item.is_null() { null } else { Some(item.text(arena)) });
        let texts: Vec<&str> = texts.collect();
        if texts.iter().map(|text| text.len() + between.len()).sum::<usize>() > super::MADE_MOST {
            return Err(super::too_long());
        }
        Ok(text(&texts.join(between), arena))
    }),
    Function::plain(&["generateIntArray", "generateLongArray"], 2, 3, generate),
];
