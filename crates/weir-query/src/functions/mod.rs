//! The functions that DataFusion lacks or knows by other rules, one room per family.
//!
//! Users never see these names: the dialect maps what Pinot calls a function to one of these or one of DataFusion's.

mod aggregate;
mod bounded;
mod cast;
mod convert;
mod decimal;
mod decimal_sum;
mod fun;
mod json;
mod math;
mod mv;
mod regexp;
mod shelf;
mod spelled;
mod text;
mod time;

pub(crate) use bounded::{REMOVED, TooLarge, in_place_of};
pub(crate) use cast::{cast_to, try_cast_to, type_of};
pub(crate) use convert::{hex, java_double};
pub(crate) use fun::Gives;
pub(crate) use mv::{MV_TESTS, MvTest};
pub(crate) use regexp::{fault_of, replacement};
pub(crate) use shelf::{kind_of as kind_on_shelf, plan_name};
pub(crate) use spelled::in_users_words;
pub(crate) use time::{ago, timestamp_of};

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use std::{collections::HashMap, sync::LazyLock};

/// What the names of our functions begin with.
pub(crate) const PREFIX: &str = "w_";

fn all() -> impl Iterator<Item = &'static fun::Fun> {
    let families: [&'static [fun::Fun]; 8] =
        [&cast::FUNS, &decimal::FUNS, &json::FUNS, &math::FUNS, &mv::FUNS, &regexp::FUNS, &text::FUNS, &time::FUNS];
    families.into_iter().flatten()
}

/// All scalar functions.
pub(crate) fn scalars() -> Vec<ScalarUDF> {
    all().map(|fun| fun::udf(*fun)).chain(shelf::udfs()).collect()
}

/// What a scalar function of ours gives, by its name in plans.
pub(crate) fn gives(name: &str) -> Option<Gives> {
    static ALL: LazyLock<HashMap<&str, Gives>> = LazyLock::new(|| all().map(|fun| (fun.name, fun.gives)).collect());
    ALL.get(name).copied()
}

/// All aggregates.
pub(crate) fn aggregates() -> Vec<AggregateUDF> {
    aggregate::udafs().into_iter().chain(decimal_sum::udafs()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_distinct_and_ours() {
        let functions = scalars();
        let names: HashSet<&str> = functions.iter().map(|function| function.name()).collect();
        assert_eq!(names.len(), functions.len());
        assert!(names.iter().all(|name| name.starts_with(PREFIX)));
        assert!(MV_TESTS.iter().all(|test| names.contains(test.name())));
    }
}
