//! The value of a compiled expression.

use super::{Fields, Node};
use crate::datum::{Datum, Fault};
use bumpalo::Bump;

/// Arguments that need no list of their own.
const FEW: usize = 6;

pub(super) fn value<'a>(node: &'a Node, fields: &dyn Fields<'a>, arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    match node {
        Node::Field(at) => Ok(fields.field(*at)),
        Node::Constant(constant) => Ok(constant.datum()),
        Node::Call { function, args } => {
            let mut few = [Datum::Null; FEW];
            let mut many;
            let values = if args.len() <= FEW {
                &mut few[..args.len()]
            } else {
                many = vec![Datum::Null; args.len()];
                &mut many[..]
            };
            for (value_of, arg) in values.iter_mut().zip(args) {
                *value_of = value(arg, fields, arena)?;
                if value_of.is_null() && function.passes_nulls() {
                    return Ok(Datum::Null);
                }
            }
            function.call(values, arena)
        }
        Node::Decide { by, args } => {
            let mut unknown = false;
            for arg in args {
                match value(arg, fields, arena)? {
                    Datum::Null => unknown = true,
                    decided if decided.truth()? == *by => return Ok(Datum::Bool(*by)),
                    _ => {}
                }
            }
            Ok(if unknown { Datum::Null } else { Datum::Bool(!*by) })
        }
        Node::Case { branches, otherwise } => {
            for (condition, then) in branches {
                let holds = value(condition, fields, arena)?;
                if !holds.is_null() && holds.truth()? {
                    return value(then, fields, arena);
                }
            }
            otherwise.as_ref().map_or(Ok(Datum::Null), |otherwise| value(otherwise, fields, arena))
        }
    }
}
