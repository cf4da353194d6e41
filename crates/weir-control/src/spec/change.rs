//! Which changes of a schema old segments can live with: new columns; nothing else about the columns that are there.

use crate::spec::error::{SpecError, SpecErrors};
use weir_types::{FieldKind, FieldSpec, Schema};

/// Refuses what would make stored values unreadable or mean something else; says all of it.
pub fn check_schema_change(old: &Schema, new: &Schema) -> Result<(), SpecErrors> {
    let mut errors = vec![];
    for before in old.fields() {
        let path = format!("{}.{}", list_of(before.kind), before.name);
        let mut wrong = |value: String, reason: String| errors.push(SpecError { path: path.clone(), value, reason });
        let Some(after) = new.field(before.name.as_str()) else {
            wrong("absent".into(), "a column cannot be removed, segments hold it: keep it in the schema".into());
            continue;
        };
        let arity = |field: &FieldSpec| if field.single_value { "one value" } else { "several values" };
        if after.data_type != before.data_type {
            let reason =
                format!("the type of a column cannot change, it is {}: add a column instead", before.data_type);
            wrong(after.data_type.to_string(), reason);
        }
        if after.single_value != before.single_value {
            let reason = format!("a column with {} in a row cannot change: add a column instead", arity(before));
            wrong(arity(after).into(), reason);
        }
        if after.kind != before.kind {
            let reason = format!("a column cannot leave {}: keep it there", list_of(before.kind));
            wrong(list_of(after.kind).into(), reason);
        }
        if after.format != before.format && before.kind == FieldKind::DateTime {
            let was = before.format.as_deref().unwrap_or_default();
            let reason =
                format!("the format of a time column cannot change, stored values have {was}: add a column instead");
            wrong(after.format.as_deref().unwrap_or("absent").into(), reason);
        }
    }
    if old.primary_key != new.primary_key {
        errors.push(SpecError {
            path: "primaryKeyColumns".into(),
            value: format!("{:?}", new.primary_key),
            reason: format!("the primary key cannot change, it is {:?}", old.primary_key),
        });
    }
    if errors.is_empty() { Ok(()) } else { Err(SpecErrors(errors)) }
}

pub(super) fn list_of(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Dimension => "dimensionFieldSpecs",
        FieldKind::Metric => "metricFieldSpecs",
        FieldKind::DateTime => "dateTimeFieldSpecs",
        FieldKind::Complex => "complexFieldSpecs",
    }
}
