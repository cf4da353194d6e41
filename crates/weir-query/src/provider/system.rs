//! Tables of the database `system` as in-memory tables: nulls come as nulls whatever the query says, they are rare news.

use super::pinot_field;
use crate::source::SystemTable;
use arrow::{
    array::{ArrayRef, BooleanArray},
    compute::nullif,
    datatypes::Schema,
    record_batch::{RecordBatch, RecordBatchOptions},
};
use datafusion::{catalog::MemTable, common::Result, error::DataFusionError};
use std::{collections::BTreeSet, sync::Arc};
use weir_segment::scan::values_array;
use weir_types::{Column, DataType};

/// The rows of a system table; single-value columns only.
pub(crate) fn system_table(table: SystemTable) -> Result<MemTable> {
    let rows = table.columns.first().map_or(0, Column::rows);
    let fields: Vec<_> =
        table.fields.iter().map(|(name, data_type)| pinot_field(name, *data_type, true, true)).collect();
    let arrays: Vec<ArrayRef> = table
        .columns
        .into_iter()
        .zip(&table.fields)
        .map(|(column, (name, data_type))| array(column, name, *data_type))
        .collect::<Result<_>>()?;
    let schema = Arc::new(Schema::new(fields));
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(schema.clone(), arrays, &options)?;
    MemTable::try_new(schema, vec![vec![batch]])
}

fn array(column: Column, name: &str, data_type: DataType) -> Result<ArrayRef> {
    let rows = column.rows();
    if column.ends.is_some() || column.data.stored() != data_type.stored() {
        let what = format!("column '{name}' of a system table does not hold one {data_type} a row");
        return Err(DataFusionError::Internal(what));
    }
    let values = values_array(column.data, data_type);
    if column.nulls.is_empty() {
        return Ok(values);
    }
    let nulls: BTreeSet<usize> = column.nulls.iter().map(|row| *row as usize).collect();
    let hidden: BooleanArray = (0..rows).map(|row| Some(nulls.contains(&row))).collect();
    Ok(nullif(&values, &hidden)?)
}
