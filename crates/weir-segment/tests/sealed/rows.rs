//! Random rows of every type, appended to a consuming segment in several batches.

use std::{collections::HashSet, sync::Arc};
use weir_segment::{ConsumingSegment, ConsumingSnapshot, ConsumingSpec};
use weir_types::{
    Column, ColumnName, DataType, FieldKind, FieldSpec, NextOffset, RowBatch, Schema, SchemaVersion, Stored, Value,
};

/// A small reproducible generator.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.roll() % most
    }
}

pub(crate) fn name(text: &str) -> ColumnName {
    ColumnName::parse(text).expect("a good name")
}

/// One single-value and one multi-value column of every type.
pub(crate) fn schema() -> Arc<Schema> {
    let mut fields = vec![];
    for data_type in DataType::ALL {
        for single_value in [true, false] {
            let text = format!("{}_{}", data_type.as_str().to_lowercase(), if single_value { "sv" } else { "mv" });
            let mut field = FieldSpec::new(name(&text), data_type, FieldKind::Dimension);
            field.single_value = single_value;
            field.not_null = single_value && data_type == DataType::Map;
            fields.push(field);
        }
    }
    Arc::new(Schema::new("all", SchemaVersion(3), fields))
}

/// A value of a type: number `number` of about `spread` different ones.
fn value(data_type: DataType, number: u64) -> Value {
    match data_type {
        DataType::Boolean => Value::Int((number % 2) as i32),
        DataType::Uuid => {
            let mut bytes = [7u8; 16];
            bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
            Value::Bytes(Arc::new(bytes))
        }
        // Ids of equal length.
        DataType::Map => Value::Str(format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).into()),
        _ => match data_type.stored() {
            Stored::Int => Value::Int(number as i32 - 50),
            Stored::Long if number.is_multiple_of(97) => Value::Long(i64::MIN + number as i64),
            Stored::Long => Value::Long(1_700_000_000_000 + number as i64 * 1000),
            Stored::Float => Value::Float(number as f32 * 0.25 - 10.0),
            Stored::Double if number == 3 => Value::Double(f64::NAN),
            Stored::Double => Value::Double(number as f64 * -0.01),
            Stored::Str => Value::Str(format!("wert-{number}-{}", "x".repeat((number % 7) as usize)).into()),
            Stored::Bytes => Value::Bytes(number.to_be_bytes()[(number % 8) as usize..].into()),
        },
    }
}

/// Rows with values from `spread` different ones; one in twelve is null, where nulls are allowed.
pub(crate) fn batch(schema: &Schema, rows: u64, spread: u64, dice: &mut Dice) -> RowBatch {
    let mut batch = RowBatch::new(schema);
    for (field, column) in schema.fields().iter().zip(&mut batch.columns) {
        for _ in 0..rows {
            if !field.not_null && dice.below(12) == 0 {
                column.push_null(&field.default_null);
                continue;
            }
            let count = if field.single_value { 1 } else { 1 + dice.below(4) };
            for _ in 0..count {
                column.data.push(&value(field.data_type, dice.below(spread)));
            }
            if !field.single_value {
                column.end_row();
            }
        }
    }
    batch.message_of_row = (0..rows as u32).collect();
    batch
}

/// Joins batches into one column each.
fn join(all: &mut [Column], batch: &RowBatch) {
    for (column, part) in all.iter_mut().zip(&batch.columns) {
        let rows = column.rows() as u32;
        column.nulls.extend(part.nulls.iter().map(|row| row + rows));
        for at in 0..part.data.len() {
            column.data.push(&part.data.get(at));
        }
        if let (Some(ends), Some(more)) = (&mut column.ends, &part.ends) {
            let base = *ends.last().expect("ends start with 0");
            ends.extend(more[1..].iter().map(|end| base + end));
        }
    }
}

/// A frozen segment, and its columns as they were appended.
pub(crate) fn frozen(
    schema: &Arc<Schema>,
    no_dictionary: HashSet<ColumnName>,
    batches: &[u64],
    spread: u64,
    dice: &mut Dice,
) -> (Arc<ConsumingSnapshot>, Vec<Column>) {
    let spec = ConsumingSpec {
        name: "all__0__0__20261124T0000Z".into(),
        schema: schema.clone(),
        no_dictionary,
        keep_offsets: true,
        created_ms: 1_700_000_000_123,
    };
    let mut segment = ConsumingSegment::new(spec);
    let mut all = RowBatch::new(schema).columns;
    let mut offset = 1000;
    for rows in batches {
        let batch = batch(schema, *rows, spread, dice);
        join(&mut all, &batch);
        segment.append(&batch, &|message| NextOffset::new(offset + u64::from(message)));
        offset += rows + 5;
        segment.snapshot();
    }
    (segment.freeze().snapshot(), all)
}
