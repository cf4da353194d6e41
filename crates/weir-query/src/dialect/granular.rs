//! The columns of a timestamp index: `"$ts$DAY"` is the column `ts` cut to its day. They are worked out in the query, so
//! every TIMESTAMP column has them, and they take no room.

use super::{
    build::{call, text},
    lower::Lower,
    scope::{Col, Meaning, resolve},
};
use crate::functions::cast_to;
use datafusion::sql::sqlparser::ast::{Expr, Ident};
use weir_types::DataType;

/// What a time may be cut to.
const UNITS: [&str; 9] = ["MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR"];

/// The column and the unit of a name such as `$ts$DAY`.
fn parts(name: &str) -> Option<(&str, &'static str)> {
    let (base, unit) = name.strip_prefix('$')?.rsplit_once('$')?;
    let unit = UNITS.into_iter().find(|known| known.eq_ignore_ascii_case(unit))?;
    (!base.is_empty()).then_some((base, unit))
}

impl Lower<'_> {
    /// The column that such a name is, as the query has it.
    pub(super) fn granular_column(&self, expr: &Expr) -> Option<Col> {
        let (qualifier, name) = match expr {
            Expr::Identifier(name) => (None, name),
            Expr::CompoundIdentifier(names) => match names.as_slice() {
                [qualifier, name] => (Some(&*qualifier.value), name),
                _ => return None,
            },
            _ => return None,
        };
        self.granular(qualifier, &name.value)?;
        Some(Col { name: name.value.clone(), kind: Some((DataType::Timestamp, true)), hidden: false })
    }

    /// What a name means that is one of these; `None` for others.
    pub(super) fn granular(&self, qualifier: Option<&str>, name: &str) -> Option<Expr> {
        let (base, unit) = parts(name)?;
        // A relation that has the name itself wins.
        if let Ok(Meaning::Column { .. }) = resolve(&self.scopes, qualifier, name) {
            return None;
        }
        match resolve(&self.scopes, qualifier, base) {
            Ok(Meaning::Column { column, .. }) if column.kind == Some((DataType::Timestamp, true)) => {}
            _ => return None,
        }
        let time = self.name(qualifier, Ident::new(base)).ok()?;
        Some(call(cast_to(DataType::Timestamp), vec![call("w_date_trunc", vec![text(unit), time])]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_column_and_a_unit() {
        assert_eq!(parts("$ts$DAY"), Some(("ts", "DAY")));
        assert_eq!(parts("$a$b$month"), Some(("a$b", "MONTH")));
        for other in ["ts", "$ts", "$ts$", "$$DAY", "$ts$FORTNIGHT", "ts$DAY", "$docId"] {
            assert_eq!(parts(other), None, "{other}");
        }
    }
}
