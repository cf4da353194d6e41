//! Values of records and expressions by the rules that decoders have: into their columns, and from one type to another.

use super::{Refusal, Stage};
use crate::{
    coerce::{self, Fit, Source},
    json::{
        cell::{Cell, Scratch, fill},
        scan::Scan,
    },
};
use bumpalo::Bump;
use weir_functions::datum::Datum;
use weir_types::{Column, ColumnData, DataType, ExceedStrategy, FieldSpec};

/// Bytes that an UTF-16 unit takes at most in UTF-8, and one more: what is cut to so many is cut again, to the unit.
const BYTES_A_UNIT: usize = 4;

/// Brings a field's value to a type: what it is then, and whether it was altered. `holder` is an empty column of the type.
pub(super) fn convert<'a>(
    field: &FieldSpec,
    value: Datum<'a>,
    holder: &mut Column,
    scratch: &mut Scratch,
    bytes: &mut Vec<u8>,
    arena: &'a Bump,
) -> Result<(Datum<'a>, bool), Refusal> {
    let cell = typed(field, value, holder, scratch, bytes);
    let made = match cell {
        Cell::Stored | Cell::Altered => Ok((held(field.data_type, &holder.data, arena), cell == Cell::Altered)),
        Cell::Null => Ok((Datum::Null, false)),
        Cell::Unfit(unfit) => Err(unfit_of(field, unfit, value)),
    };
    holder.truncate(0);
    made
}

/// The value that a column of a type holds.
fn held<'a>(data_type: DataType, data: &ColumnData, arena: &'a Bump) -> Datum<'a> {
    match data {
        ColumnData::Int(values) if data_type == DataType::Boolean => Datum::Bool(values[0] != 0),
        ColumnData::Int(values) => Datum::Long(i64::from(values[0])),
        ColumnData::Long(values) if data_type == DataType::Timestamp => Datum::Timestamp(values[0]),
        ColumnData::Long(values) => Datum::Long(values[0]),
        ColumnData::Float(values) => Datum::Float(values[0]),
        ColumnData::Double(values) => Datum::Double(values[0]),
        ColumnData::Str(values) => {
            let bytes = arena.alloc_slice_copy(values.get(0));
            let text = std::str::from_utf8(bytes).expect("what was pushed there is UTF-8");
            match data_type {
                DataType::BigDecimal => Datum::Decimal(text),
                DataType::Map => Datum::Json(text),
                _ => Datum::Text(text),
            }
        }
        ColumnData::Bytes(values) => match values.get(0).try_into() {
            Ok(uuid) if data_type == DataType::Uuid => Datum::Uuid(uuid),
            _ => Datum::Bytes(arena.alloc_slice_copy(values.get(0))),
        },
    }
}

/// Why a message is rejected whose value does not fit.
#[cold]
pub(super) fn unfit_of(field: &FieldSpec, unfit: coerce::Unfit, value: Datum<'_>) -> Refusal {
    let reason = format!("{} takes {}, got {}", field.data_type, unfit.0, value.shown());
    Refusal { stage: Stage::DataType, column: Some(field.name.as_str().into()), reason }
}

/// One value into its column, by the rules that decoders have.
pub(super) fn typed(
    field: &FieldSpec,
    value: Datum<'_>,
    column: &mut Column,
    scratch: &mut Scratch,
    bytes: &mut Vec<u8>,
) -> Cell {
    let source = match value {
        Datum::Null => return Cell::Null,
        Datum::Bool(truth) => Source::Bool(truth),
        Datum::Long(number) => Source::Integer(number),
        Datum::Float(number) => Source::Float(number),
        Datum::Double(number) => Source::Double(number),
        Datum::Decimal(text) => Source::Decimal(text),
        Datum::Timestamp(ms) => Source::Timestamp(ms),
        Datum::Text(text) => Source::Text(beginning(field, text)),
        Datum::Bytes(bytes) => Source::Bytes(bytes),
        Datum::Uuid(uuid) => Source::Uuid(uuid),
        Datum::Json(text) => return json(field.data_type, text.as_bytes(), column, scratch),
        Datum::List(_) => {
            let mut text = vec![];
            value.write_json(&mut text);
            return json(field.data_type, &text, column, scratch);
        }
    };
    match coerce::push(field.data_type, source, &mut column.data, bytes) {
        Err(unfit) => Cell::Unfit(unfit),
        Ok(Fit::Null) => Cell::Null,
        Ok(fit) => {
            if column.ends.is_some() {
                column.end_row();
            }
            if fit == Fit::Altered { Cell::Altered } else { Cell::Stored }
        }
    }
}

/// As much of a text as its column will keep, and a little more, where that cuts it anyway.
fn beginning<'a>(field: &FieldSpec, text: &'a str) -> &'a str {
    let most = (field.max_length as usize).saturating_add(1).saturating_mul(BYTES_A_UNIT);
    let cuts = field.data_type == DataType::String && field.exceed == ExceedStrategy::TrimLength;
    if cuts && text.len() > most { &text[..text.floor_char_boundary(most)] } else { text }
}

fn json(data_type: DataType, text: &[u8], column: &mut Column, scratch: &mut Scratch) -> Cell {
    let broken = coerce::Unfit("a value that can be written as JSON of at most 128 levels");
    fill(&mut Scan::new(text), data_type, column, scratch).unwrap_or(Cell::Unfit(broken))
}
