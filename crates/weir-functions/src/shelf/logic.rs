//! Comparing, choosing, and truth of three values. `and`, `or` and `case` are evaluated by the expression itself, which
//! looks at no more arguments than it must; here they stand for calls by name.

use super::{
    Function, Gives, MANY,
    gives::{BOOLEAN, INT},
};
use crate::datum::{Datum, Fault};
use bumpalo::Bump;
use std::cmp::Ordering;

/// A comparison: which orders are true.
macro_rules! compares {
    ($names:expr, $holds:expr) => {
        Function::plain($names, 2, 2, BOOLEAN, |args, arena| {
            let holds: fn(Ordering) -> bool = $holds;
            Ok(args[0].compare(args[1], arena)?.map_or(Datum::Null, |order| Datum::Bool(holds(order))))
        })
    };
}

/// Whether two values are the same, nothing being the same as nothing.
fn same<'a>(args: &[Datum<'a>], arena: &'a Bump) -> Result<bool, Fault> {
    Ok(match (args[0].is_null(), args[1].is_null()) {
        (true, true) => true,
        (false, false) => args[0].compare(args[1], arena)? == Some(Ordering::Equal),
        _ => false,
    })
}

/// Truth of several: decided as soon as one is `decides`; else unknown where one is nothing.
fn several<'a>(args: &[Datum<'a>], decides: bool) -> Result<Datum<'a>, Fault> {
    let mut unknown = false;
    for arg in args {
        if arg.is_null() {
            unknown = true;
        } else if arg.truth()? == decides {
            return Ok(Datum::Bool(decides));
        }
    }
    Ok(if unknown { Datum::Null } else { Datum::Bool(!decides) })
}

pub(super) const FUNCTIONS: &[Function] = &[
    compares!(&["equals"], Ordering::is_eq),
    compares!(&["notEquals"], Ordering::is_ne),
    compares!(&["greaterThan"], Ordering::is_gt),
    compares!(&["greaterThanOrEqual"], Ordering::is_ge),
    compares!(&["lessThan"], Ordering::is_lt),
    compares!(&["lessThanOrEqual"], Ordering::is_le),
    Function::plain(&["between"], 3, 3, BOOLEAN, |args, arena| {
        let low = args[0].compare(args[1], arena)?.is_some_and(Ordering::is_ge);
        Ok(Datum::Bool(low && args[0].compare(args[2], arena)?.is_some_and(Ordering::is_le)))
    }),
    Function::plain(&["and"], 1, MANY, BOOLEAN, |args, _| several(args, false)).with_nulls(),
    Function::plain(&["or"], 1, MANY, BOOLEAN, |args, _| several(args, true)).with_nulls(),
    Function::plain(&["not"], 1, 1, BOOLEAN, |args, _| Ok(Datum::Bool(!args[0].truth()?))),
    Function::plain(&["isNull"], 1, 1, BOOLEAN, |args, _| Ok(Datum::Bool(args[0].is_null()))).with_nulls(),
    Function::plain(&["isNotNull"], 1, 1, BOOLEAN, |args, _| Ok(Datum::Bool(!args[0].is_null()))).with_nulls(),
    Function::plain(&["isDistinctFrom"], 2, 2, BOOLEAN, |args, arena| Ok(Datum::Bool(!same(args, arena)?)))
        .with_nulls(),
    Function::plain(&["isNotDistinctFrom"], 2, 2, BOOLEAN, |args, arena| Ok(Datum::Bool(same(args, arena)?)))
        .with_nulls(),
    Function::plain(&["coalesce"], 1, MANY, Gives::Like(0), |args, _| {
        Ok(args.iter().copied().find(|arg| !arg.is_null()).unwrap_or(Datum::Null))
    })
    .with_nulls(),
    Function::plain(&["nullIf"], 2, 2, Gives::Like(0), |args, arena| {
        Ok(if same(args, arena)? { Datum::Null } else { args[0] })
    })
    .with_nulls(),
    Function::plain(&["case", "caseWhen"], 2, MANY, Gives::Like(1), |args, _| {
        let (pairs, otherwise) = args.as_chunks::<2>();
        for [condition, value] in pairs {
            if !condition.is_null() && condition.truth()? {
                return Ok(*value);
            }
        }
        Ok(otherwise.first().copied().unwrap_or(Datum::Null))
    })
    .with_nulls(),
    Function::plain(&["strcmp"], 2, 2, INT, |args, arena| {
        Ok(Datum::Long(args[0].text(arena).cmp(args[1].text(arena)) as i64))
    }),
];
