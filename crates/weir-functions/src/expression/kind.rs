//! What an expression gives, as far as that can be told before there is a record.

use super::{Constant, Expression, Node};
use crate::{datum::Datum, shelf::Gives};
use weir_types::DataType;

impl Expression {
    /// Its type, where that is known and never true or false, for people. Fields may bring anything, so may what is taken
    /// out of JSON.
    #[must_use]
    pub fn never_a_truth(&self) -> Option<String> {
        match kind(&self.root)? {
            Known::One(DataType::Boolean) => None,
            Known::One(data_type) => Some(data_type.to_string()),
            Known::Number => Some("a number".to_owned()),
            Known::Several => Some("several values".to_owned()),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    One(DataType),
    Number,
    Several,
}

fn kind(node: &Node) -> Option<Known> {
    match node {
        Node::Field(_) | Node::Constant(Constant::Null) => None,
        Node::Constant(constant) => Some(match constant.datum() {
            Datum::Bool(_) => Known::One(DataType::Boolean),
            Datum::Text(_) => Known::One(DataType::String),
            _ => Known::Number,
        }),
        Node::Decide { .. } => Some(Known::One(DataType::Boolean)),
        // One branch that may be a truth is enough.
        Node::Case { branches, otherwise } => {
            let nodes = branches.iter().map(|(_, value)| value).chain(otherwise.as_deref());
            let mut kinds = nodes.map(kind);
            let first = kinds.next()??;
            kinds.all(|kind| kind.is_some_and(|kind| kind != Known::One(DataType::Boolean))).then_some(first)
        }
        Node::Call { function, args } => {
            let function = function.function();
            match function.gives {
                _ if function.name() == "cast" => match args.get(1) {
                    Some(Node::Constant(Constant::Text(to))) => DataType::parse(to).map(Known::One),
                    _ => None,
                },
                // SQL has it as text.
                _ if function.name() == "jsonPath" => None,
                // They say yes as 1.
                _ if ["isNaN", "isFinite", "isInfinite"].contains(&function.name()) => None,
                Gives::One(data_type) if data_type != DataType::Json => Some(Known::One(data_type)),
                Gives::Number | Gives::Real => Some(Known::Number),
                Gives::Many(_) | Gives::ListOf(_) | Gives::ListOfAll => Some(Known::Several),
                Gives::Like(at) => kind(args.get(at)?),
                _ => None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_never_a_truth_is_known() {
        for (text, gives) in [
            ("a", None),
            ("NULL", None),
            ("true", None),
            ("a = 1", None),
            ("a IN (1, 2)", None),
            ("NOT a", None),
            ("a IS NULL AND b", None),
            ("coalesce(a > 1, false)", None),
            ("CAST(a AS BOOLEAN)", None),
            ("startsWith(a, 'x')", None),
            ("jsonPath(a, '$.deleted')", None),
            ("CASE WHEN a > 1 THEN true ELSE b END", None),
            ("CASE WHEN a > 1 THEN 1 ELSE b END", None),
            ("5", Some("a number")),
            ("'true'", Some("STRING")),
            ("a + 1", Some("a number")),
            ("lower(a)", Some("STRING")),
            ("length(a)", Some("INT")),
            ("split(a, ',')", Some("several values")),
            ("CAST(a AS VARCHAR)", None),
            ("CAST(a AS LONG)", Some("LONG")),
            ("jsonPathString(a, '$.deleted', 'false')", Some("STRING")),
            ("coalesce(lower(a), 'x')", Some("STRING")),
            ("CASE WHEN a > 1 THEN 'drop' ELSE 'keep' END", Some("STRING")),
        ] {
            assert_eq!(Expression::parse(text).unwrap().never_a_truth().as_deref(), gives, "{text}");
        }
    }
}
