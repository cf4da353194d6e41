//! Columns written under another type than they are asked for: the schema changed since.

use weir_types::{BytesColumn, Column, ColumnData, DataType, Stored, Value};

/// Whether values keep their order when they are converted, so that a least value stays the least.
pub(super) fn keeps_order(from: Stored, to: Stored) -> bool {
    use Stored::{Double, Float, Int, Long};
    from == to || matches!((from, to), (Int, Long | Float | Double) | (Long, Float | Double) | (Float, Double))
}

/// Values in the stored form of `to`. Widening is exact or rounds to nearest; a value that the new type cannot hold,
/// or text that does not spell one, becomes `default`.
pub(super) fn convert(data: ColumnData, from: DataType, to: DataType, default: &Value) -> ColumnData {
    if from.stored() == to.stored() {
        return data;
    }
    match (data, to.stored()) {
        (ColumnData::Int(v), Stored::Long) => ColumnData::Long(v.into_iter().map(i64::from).collect()),
        (ColumnData::Int(v), Stored::Float) => ColumnData::Float(v.into_iter().map(|v| v as f32).collect()),
        (ColumnData::Int(v), Stored::Double) => ColumnData::Double(v.into_iter().map(f64::from).collect()),
        (ColumnData::Long(v), Stored::Float) => ColumnData::Float(v.into_iter().map(|v| v as f32).collect()),
        (ColumnData::Long(v), Stored::Double) => ColumnData::Double(v.into_iter().map(|v| v as f64).collect()),
        (ColumnData::Float(v), Stored::Double) => ColumnData::Double(v.into_iter().map(f64::from).collect()),
        (data, _) => {
            let mut out = ColumnData::new(to.stored());
            for at in 0..data.len() {
                let value = one(&data.get(at), from, to).filter(|value| value.stored() == to.stored());
                out.push(value.as_ref().unwrap_or(default));
            }
            out
        }
    }
}

/// A whole column, ends kept.
pub(super) fn convert_column(column: Column, from: DataType, to: DataType, default: &Value) -> Column {
    Column { data: convert(column.data, from, to, default), ends: column.ends, nulls: column.nulls }
}

fn one(value: &Value, from: DataType, to: DataType) -> Option<Value> {
    let integer = |v: i64| match to.stored() {
        Stored::Int => i32::try_from(v).ok().map(Value::Int),
        Stored::Long => Some(Value::Long(v)),
        Stored::Float => Some(Value::Float(v as f32)),
        Stored::Double => Some(Value::Double(v as f64)),
        Stored::Str | Stored::Bytes => None,
    };
    let float = |v: f64| match to.stored() {
        Stored::Float => Some(Value::Float(v as f32)),
        Stored::Double => Some(Value::Double(v)),
        // Whole numbers only, and only where a double is exact.
        _ if v.fract() == 0.0 && v.abs() <= 9_007_199_254_740_992.0 => integer(v as i64),
        _ => None,
    };
    if to.stored() == Stored::Str {
        return Some(Value::Str(spell(value, from).into()));
    }
    match value {
        Value::Int(v) => integer((*v).into()),
        Value::Long(v) => integer(*v),
        Value::Float(v) => float((*v).into()),
        Value::Double(v) => float(*v),
        Value::Str(text) => parse(text, to),
        Value::Bytes(_) => None,
    }
}

fn spell(value: &Value, from: DataType) -> String {
    match (value, from) {
        (Value::Int(v), DataType::Boolean) => (*v != 0).to_string(),
        _ => value.to_string(),
    }
}

fn parse(text: &str, to: DataType) -> Option<Value> {
    let text = text.trim();
    match (to, to.stored()) {
        (DataType::Boolean, _) => match text {
            "true" | "1" => Some(Value::Int(1)),
            "false" | "0" => Some(Value::Int(0)),
            _ => None,
        },
        (_, Stored::Int) => text.parse().ok().map(Value::Int),
        (_, Stored::Long) => text.parse().ok().map(Value::Long),
        (_, Stored::Float) => text.parse().ok().map(Value::Float),
        (_, Stored::Double) => text.parse().ok().map(Value::Double),
        (_, Stored::Str | Stored::Bytes) => None,
    }
}

/// A column that holds `rows` times the same value.
pub(super) fn repeated(value: &Value, rows: usize, single_value: bool) -> Column {
    let mut column = Column::new(value.stored(), single_value);
    column.data = match value {
        Value::Int(v) => ColumnData::Int(vec![*v; rows]),
        Value::Long(v) => ColumnData::Long(vec![*v; rows]),
        Value::Float(v) => ColumnData::Float(vec![*v; rows]),
        Value::Double(v) => ColumnData::Double(vec![*v; rows]),
        Value::Str(v) => ColumnData::Str(repeated_bytes(v.as_bytes(), rows)),
        Value::Bytes(v) => ColumnData::Bytes(repeated_bytes(v, rows)),
    };
    if let Some(ends) = &mut column.ends {
        ends.extend(1..=u32::try_from(rows).expect("a batch holds less than 4 G rows"));
    }
    column
}

fn repeated_bytes(value: &[u8], rows: usize) -> BytesColumn {
    let mut column = BytesColumn::default();
    (0..rows).for_each(|_| column.push(value));
    column
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widens_spells_and_falls_back_to_the_default() {
        let long = convert(ColumnData::Int(vec![-1, 7]), DataType::Int, DataType::Long, &Value::Long(0));
        assert_eq!(long, ColumnData::Long(vec![-1, 7]));
        let narrowed = convert(ColumnData::Long(vec![1 << 40, 7]), DataType::Long, DataType::Int, &Value::Int(-9));
        assert_eq!(narrowed, ColumnData::Int(vec![-9, 7]));
        let spelled = convert(ColumnData::Int(vec![1]), DataType::Boolean, DataType::String, &Value::Str("".into()));
        assert_eq!(spelled.get(0), Value::Str("true".into()));
        let mut text = ColumnData::new(Stored::Str);
        text.push(&Value::Str(" 2.5".into()));
        text.push(&Value::Str("x".into()));
        let parsed = convert(text, DataType::String, DataType::Double, &Value::Double(0.0));
        assert_eq!(parsed, ColumnData::Double(vec![2.5, 0.0]));
        let relabelled = convert(ColumnData::Long(vec![5]), DataType::Long, DataType::Timestamp, &Value::Long(0));
        assert_eq!(relabelled, ColumnData::Long(vec![5]));
    }
}
