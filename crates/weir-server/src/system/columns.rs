//! `system.columns`: the columns of all tables, those of the database `system` too, as `DESCRIBE` tells those of one.

use crate::system::{Cell, Field, long, text};
use weir_types::{ColumnName, DataType, FieldKind, FieldSpec};

/// A column, its table, and its place in the schema.
pub struct Row {
    /// The table.
    pub table: String,
    /// Its place, from 1.
    pub position: u64,
    /// The column.
    pub field: FieldSpec,
    /// Whether it is the table's time.
    pub is_time: bool,
    /// Whether it is part of the primary key.
    pub in_key: bool,
    /// Whether it is of a system table: such a column takes no records, so that nothing of how it does is told.
    pub of_system: bool,
}

impl Row {
    /// Those of the system tables.
    pub fn of_system_tables() -> impl Iterator<Item = Self> {
        super::described().into_iter().flat_map(|(table, fields)| {
            fields.into_iter().zip(1..).map(move |((name, data_type), position)| Self {
                table: format!("system.{table}"),
                position,
                field: FieldSpec::new(
                    ColumnName::parse(name).expect("columns of system tables have names of columns"),
                    data_type,
                    FieldKind::Dimension,
                ),
                is_time: false,
                in_key: false,
                of_system: true,
            })
        })
    }
}

fn kind(row: &Row) -> &'static str {
    match row.field.kind {
        FieldKind::Dimension => "DIMENSION",
        FieldKind::Metric => "METRIC",
        FieldKind::DateTime => "DATE_TIME",
        FieldKind::Complex => "COMPLEX",
    }
}

/// Its columns.
pub const FIELDS: &[Field<Row>] = &[
    text("tableName", |r| Cell::Text(r.table.clone())),
    text("columnName", |r| Cell::Text(r.field.name.to_string())),
    text("dataType", |r| {
        let several = if r.field.single_value { "" } else { "[]" };
        Cell::Text(format!("{}{several}", r.field.data_type))
    }),
    text("fieldType", |r| if r.of_system { Cell::Null } else { Cell::Text(kind(r).to_owned()) }),
    text("format", |r| r.field.format.as_ref().map_or(Cell::Null, |format| Cell::Text(format.to_string()))),
    text("defaultNullValue", |r| match r.of_system {
        true => Cell::Null,
        false => Cell::Text(r.field.default_null.to_string()),
    }),
    long("maxLength", |r| match r.field.data_type {
        DataType::String | DataType::Json | DataType::Bytes if !r.of_system => Cell::Long(r.field.max_length.into()),
        _ => Cell::Null,
    }),
    text("role", |r| match (r.is_time, r.in_key) {
        (true, _) => Cell::Text("TIME".to_owned()),
        (_, true) => Cell::Text("PRIMARY_KEY".to_owned()),
        _ => Cell::Null,
    }),
    long("position", |r| Cell::count(r.position)),
];
