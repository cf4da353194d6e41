//! What the node says about itself, once: the tables of the database `system`, and the REST answers made of the same
//! rows, so that SQL, REST and the command line cannot disagree.

pub mod audit;
pub mod columns;
pub mod partitions;
pub mod quarantine;
pub mod segments;
pub mod skips;
pub mod tables;

use serde_json::{Map, Value as Json};
use weir_query::SystemTable;
use weir_types::{Column, ColumnData, DataType, Value};

/// A cell of a system table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Text.
    Text(String),
    /// A number.
    Long(i64),
    /// Not known, or nothing to say.
    Null,
}

impl Cell {
    /// A number that fits in practice: offsets and counts stay below 2^63.
    #[must_use]
    pub fn count(value: u64) -> Self {
        Self::Long(i64::try_from(value).unwrap_or(i64::MAX))
    }

    /// A number that may be unknown.
    #[must_use]
    pub fn maybe(value: Option<u64>) -> Self {
        value.map_or(Self::Null, Self::count)
    }
}

/// One column: its name, its type, and how it is read from a row's source.
pub struct Field<T: 'static> {
    /// Its name in SQL and JSON.
    pub name: &'static str,
    /// STRING or LONG.
    pub data_type: DataType,
    /// Its value.
    pub read: fn(&T) -> Cell,
}

/// Short for a text column.
const fn text<T>(name: &'static str, read: fn(&T) -> Cell) -> Field<T> {
    Field { name, data_type: DataType::String, read }
}

/// Short for a number column.
const fn long<T>(name: &'static str, read: fn(&T) -> Cell) -> Field<T> {
    Field { name, data_type: DataType::Long, read }
}

/// The names and types of a table's columns.
pub type Described = Vec<(&'static str, DataType)>;

/// The tables of the database `system`, and what they are made of.
#[must_use]
pub fn described() -> [(&'static str, Described); 7] {
    fn of<T>(fields: &[Field<T>]) -> Described {
        fields.iter().map(|field| (field.name, field.data_type)).collect()
    }
    [
        ("partitions", of(partitions::FIELDS)),
        ("segments", of(segments::FIELDS)),
        ("quarantine", of(quarantine::FIELDS)),
        ("skips", of(skips::FIELDS)),
        ("audit", of(audit::FIELDS)),
        ("tables", of(tables::FIELDS)),
        ("columns", of(columns::FIELDS)),
    ]
}

/// The rows as a table for the query engine.
#[must_use]
pub fn table<T>(fields: &[Field<T>], rows: &[T]) -> SystemTable {
    let column = |field: &Field<T>| {
        let stored = field.data_type.stored();
        let default = field.data_type.default_null(weir_types::FieldKind::Dimension);
        let mut column = Column::new(stored, true);
        for row in rows {
            match (&mut column.data, (field.read)(row)) {
                (ColumnData::Str(texts), Cell::Text(text)) => texts.push(text.as_bytes()),
                (ColumnData::Long(numbers), Cell::Long(number)) => numbers.push(number),
                (_, Cell::Null) => column.push_null(&default),
                (data, Cell::Text(text)) => data.push(&Value::Str(text.into())),
                (data, Cell::Long(number)) => data.push(&Value::Long(number)),
            }
        }
        column
    };
    SystemTable {
        fields: fields.iter().map(|field| (field.name.to_owned(), field.data_type)).collect(),
        columns: fields.iter().map(column).collect(),
    }
}

/// A row as a JSON object, fields in the table's order.
#[must_use]
pub fn object<T>(fields: &[Field<T>], row: &T) -> Json {
    let value = |cell| match cell {
        Cell::Text(text) => Json::String(text),
        Cell::Long(number) => Json::from(number),
        Cell::Null => Json::Null,
    };
    let pairs: Map<String, Json> =
        fields.iter().map(|field| (field.name.to_owned(), value((field.read)(row)))).collect();
    Json::Object(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const FIELDS: &[Field<(i64, Option<&'static str>)>] = &[
        long("n", |row| Cell::Long(row.0)),
        text("t", |row| row.1.map_or(Cell::Null, |text| Cell::Text(text.to_owned()))),
    ];

    #[test]
    fn table_and_objects_show_the_same_rows() {
        let rows = [(1, Some("a")), (2, None)];
        let made = table(FIELDS, &rows);
        assert_eq!(made.fields, [("n".to_owned(), DataType::Long), ("t".to_owned(), DataType::String)]);
        assert_eq!(made.columns[0].data, ColumnData::Long(vec![1, 2]));
        assert_eq!((made.columns[1].rows(), &made.columns[1].nulls), (2, &vec![1]));
        assert_eq!(object(FIELDS, &rows[0]), json!({"n": 1, "t": "a"}));
        assert_eq!(object(FIELDS, &rows[1]).to_string(), r#"{"n":2,"t":null}"#);
    }

    #[test]
    fn the_page_of_sql_lists_every_column_of_every_table() {
        let page = include_str!("../../../../docs/reference/sql.md");
        let tables = described();
        let count = tables.len();
        for (name, columns) in tables {
            let (_, section) = page.split_once(&format!("\n### `system.{name}`\n")).expect("the table has a section");
            let section = section.split("\n#").next().unwrap_or_default();
            let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
            assert_eq!(rows.len(), columns.len(), "{name}: {rows:#?}");
            for (row, (column, data_type)) in rows.iter().zip(&columns) {
                let begin = format!("| `{column}` | {data_type} |");
                assert!(row.starts_with(&begin), "{name}: {row} should begin with {begin}");
            }
        }
        let named = page.lines().filter(|line| line.starts_with("### `system.")).count();
        assert_eq!(named, count, "every section is of a table that there is");
    }

    #[test]
    fn a_count_beyond_a_long_is_the_greatest_long() {
        assert_eq!(Cell::count(u64::MAX), Cell::Long(i64::MAX));
        assert_eq!(Cell::maybe(None), Cell::Null);
    }
}
