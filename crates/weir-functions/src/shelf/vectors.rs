//! Arrays of numbers: their sums and bounds, and vectors' distances.

use super::{
    Function,
    gives::{DOUBLE, INT},
};
use crate::datum::{Datum, Fault};
use bumpalo::Bump;

fn numbers<'a>(datum: Datum<'a>, arena: &'a Bump) -> Result<Vec<f64>, Fault> {
    datum.items(arena).iter().map(|item| item.double()).collect()
}

/// A number of the numbers of one array. Nulls among them do not count: a column's arrays have none.
macro_rules! of_one {
    ($names:expr, $gives:expr, $call:expr) => {
        Function::plain($names, 1, 1, $gives, |args, arena| {
            let call: fn(&[f64]) -> f64 = $call;
            let items = args[0].items(arena).iter().filter(|item| !item.is_null());
            let numbers: Result<Vec<f64>, Fault> = items.map(|item| item.double()).collect();
            Ok(Datum::Double(call(&numbers?)))
        })
    };
}

fn pairs<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Result<Vec<(f64, f64)>, Fault> {
    let (one, other) = (numbers(args[0], arena)?, numbers(args[1], arena)?);
    if one.len() != other.len() {
        return Err(Fault::new(format!("vectors of {} and {} numbers have no distance", one.len(), other.len())));
    }
    Ok(one.into_iter().zip(other).collect())
}

/// A number of the pairs of two vectors.
macro_rules! of_two {
    ($names:expr, $call:expr) => {
        Function::plain($names, 2, 2, DOUBLE, |args, arena| {
            let call: fn(&[(f64, f64)]) -> f64 = $call;
            Ok(Datum::Double(call(&pairs(args, arena)?)))
        })
    };
}

fn product(pairs: &[(f64, f64)]) -> f64 {
    pairs.iter().map(|(a, b)| a * b).sum()
}

fn norm(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.map(|number| number * number).sum::<f64>().sqrt()
}

fn cosine_distance<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    let pairs = pairs(args, arena)?;
    let norms = norm(pairs.iter().map(|pair| pair.0)) * norm(pairs.iter().map(|pair| pair.1));
    match args.get(2) {
        Some(default) if norms == 0.0 => default.double().map(Datum::Double),
        _ => Ok(Datum::Double(1.0 - product(&pairs) / norms)),
    }
}

pub(super) const FUNCTIONS: &[Function] = &[
    of_one!(&["arraySum"], DOUBLE, |numbers| numbers.iter().sum()),
    of_one!(&["arrayMin"], DOUBLE, |numbers| numbers.iter().copied().fold(f64::INFINITY, f64::min)),
    of_one!(&["arrayMax"], DOUBLE, |numbers| numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
    of_one!(&["arrayAverage"], DOUBLE, |numbers| numbers.iter().sum::<f64>() / numbers.len() as f64),
    of_one!(&["vectorNorm"], DOUBLE, |numbers| norm(numbers.iter().copied())),
    Function::plain(&["vectorDims"], 1, 1, INT, |args, arena| Ok(Datum::Long(args[0].items(arena).len() as i64))),
    of_two!(&["innerProduct", "dotProduct"], product),
    of_two!(&["l1Distance"], |pairs| pairs.iter().map(|(a, b)| (a - b).abs()).sum()),
    of_two!(&["l2Distance"], |pairs| norm(pairs.iter().map(|(a, b)| a - b))),
    // Pinot's has no root.
    of_two!(&["euclideanDistance"], |pairs| pairs.iter().map(|(a, b)| (a - b) * (a - b)).sum()),
    Function::plain(&["cosineDistance"], 2, 3, DOUBLE, cosine_distance),
];
