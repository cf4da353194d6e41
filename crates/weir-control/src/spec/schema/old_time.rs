//! The time column of old schemas (`timeFieldSpec`): a granularity of what comes in, and perhaps another of what is stored. It
//! becomes a date-time column, derived where the two differ.

use super::{column, data_type, default_null};
use crate::spec::{
    date_format::{FORMAT_REMEDY, is_format},
    read::{At, Findings},
};
use std::{collections::BTreeSet, sync::Arc};
use weir_types::{ColumnName, DataType, FieldKind, FieldSpec};

/// One of the two.
struct Granularity {
    name: ColumnName,
    data_type: DataType,
    format: String,
    unit: String,
}

/// Reads `timeFieldSpec`.
pub(super) fn field(at: &At<'_>, seen: &mut BTreeSet<ColumnName>, findings: &mut Findings) -> Option<FieldSpec> {
    at.value?;
    let (incoming_at, outgoing_at) = (at.key("incomingGranularitySpec"), at.key("outgoingGranularitySpec"));
    if incoming_at.is_absent() {
        findings.wrong(
            &incoming_at,
            "must say the time column's name, dataType and timeType, or move it to dateTimeFieldSpecs",
        );
        return None;
    }
    let derived = outgoing_at.value.is_some() && outgoing_at.value != incoming_at.value;
    let stored_at = if derived { &outgoing_at } else { &incoming_at };
    let stored = granularity(stored_at, seen, findings);
    let transform = if derived {
        // What comes in is a field of the record, and no column.
        let incoming = granularity(&incoming_at, &mut BTreeSet::new(), findings)?;
        let outgoing = stored.as_ref()?;
        if incoming.name == outgoing.name {
            let reason = format!(
                "differs from the incoming one, and both are called {}: give it a name of its own",
                outgoing.name
            );
            findings.wrong(&outgoing_at.key("name"), reason);
            return None;
        }
        Some(conversion(&incoming, outgoing))
    } else {
        None
    };
    let Granularity { name, data_type, format, unit } = stored?;
    let mut field = FieldSpec::new(name, data_type, FieldKind::DateTime);
    field.format = Some(if data_type == DataType::Timestamp { "TIMESTAMP".into() } else { format.into() });
    field.granularity = Some(unit.into());
    field.transform = transform;
    default_null(at, &mut field, findings);
    Some(field)
}

fn granularity(at: &At<'_>, seen: &mut BTreeSet<ColumnName>, findings: &mut Findings) -> Option<Granularity> {
    let name = column(at, seen, findings);
    let data_type = data_type(&at.key("dataType"), FieldKind::DateTime, findings);
    let unit = findings.text(&at.key("timeType")).unwrap_or_else(|| "MILLISECONDS".into());
    let size = findings.count(&at.key("timeUnitSize"), 1).unwrap_or(1);
    let written = findings.text(&at.key("timeFormat")).unwrap_or_else(|| "EPOCH".into());
    let format = format!("{size}:{unit}:{written}");
    if !is_format(&format) {
        findings.wrong(&at.key("timeType"), FORMAT_REMEDY);
    }
    Some(Granularity { name: name?, data_type: data_type?, format, unit: format!("{size}:{unit}") })
}

/// The expression that makes what is stored of what comes in.
fn conversion(incoming: &Granularity, outgoing: &Granularity) -> Arc<str> {
    let quoted = |text: &str| text.replace('\'', "''");
    let name = incoming.name.as_str().replace('"', "\"\"");
    let (from, to) = (quoted(&incoming.format), quoted(&outgoing.format));
    format!("dateTimeConvert(\"{name}\", '{from}', '{to}', '{}')", quoted(&outgoing.unit)).into()
}
