//! The value of a compiled expression.

use super::{Call, Fields, Node};
use crate::{
    datum::{Datum, Fault},
    shelf::{MADE_MOST, too_long},
};
use bumpalo::Bump;

/// Arguments that need no list of their own.
const FEW: usize = 6;

pub(super) fn value<'a>(node: &'a Node, fields: &dyn Fields<'a>, arena: &'a Bump) -> Result<Datum<'a>, Fault> {
    match node {
        Node::Field(at) => Ok(fields.field(*at)),
        Node::Constant(constant) => Ok(constant.datum()),
        Node::Call { name, call, nulls, args } => {
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
                if value_of.is_null() && !nulls {
                    return Ok(Datum::Null);
                }
            }
            let called = match call {
                Call::Plain(call) => call(values, arena),
                Call::Ready(call) => call.call(values, arena),
            };
            called.and_then(bounded).map_err(|fault| within(name, &fault))
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

/// What a function has made, unless it is too long to be a value of a record.
fn bounded(made: Datum<'_>) -> Result<Datum<'_>, Fault> {
    let length = match made {
        Datum::Text(text) | Datum::Json(text) | Datum::Decimal(text) => text.len(),
        Datum::Bytes(bytes) => bytes.len(),
        _ => 0,
    };
    if length > MADE_MOST { Err(too_long()) } else { Ok(made) }
}

#[cold]
fn within(name: &str, fault: &Fault) -> Fault {
    let text = fault.to_string();
    // The innermost function is the one that cannot.
    if text.starts_with(|c: char| c.is_ascii_lowercase()) && text.contains("(..):") {
        fault.clone()
    } else {
        Fault::new(format!("{name}(..): {text}"))
    }
}
