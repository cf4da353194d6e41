//! `EXPLAIN PLAN FOR`: the physical plan as Pinot's rows, or the logical plan as text for the multi-stage engine.

use crate::answer::ResultColumn;
use arrow::{
    array::{Int32Array, StringArray},
    record_batch::RecordBatch,
};
use datafusion::{
    common::Result,
    logical_expr::LogicalPlan,
    physical_plan::{ExecutionPlan, displayable},
};
use std::sync::Arc;

fn column(name: &str, pinot_type: &str) -> ResultColumn {
    ResultColumn { name: name.to_owned(), pinot_type: pinot_type.to_owned() }
}

/// One row per operator: what it does, its number, its parent's number.
pub(crate) fn operators(plan: &Arc<dyn ExecutionPlan>) -> Result<(Vec<ResultColumn>, RecordBatch)> {
    let mut rows = vec![("BROKER_REDUCE".to_owned(), 1, 0)];
    walk(plan, 1, &mut rows);
    let texts: StringArray = rows.iter().map(|row| Some(row.0.as_str())).collect();
    let (numbers, parents): (Vec<i32>, Vec<i32>) = rows.iter().map(|row| (row.1, row.2)).unzip();
    let batch = RecordBatch::try_from_iter([
        ("Operator", Arc::new(texts) as _),
        ("Operator_Id", Arc::new(Int32Array::from(numbers)) as _),
        ("Parent_Id", Arc::new(Int32Array::from(parents)) as _),
    ])?;
    Ok((vec![column("Operator", "STRING"), column("Operator_Id", "INT"), column("Parent_Id", "INT")], batch))
}

fn walk(plan: &Arc<dyn ExecutionPlan>, parent: i32, rows: &mut Vec<(String, i32, i32)>) {
    let number = rows.last().map_or(1, |row| row.1 + 1);
    rows.push((displayable(plan.as_ref()).one_line().to_string().trim_end().to_owned(), number, parent));
    plan.children().into_iter().for_each(|child| walk(child, number, rows));
}

/// The text and its plan in one row.
pub(crate) fn text(sql: &str, plan: &LogicalPlan) -> Result<(Vec<ResultColumn>, RecordBatch)> {
    let batch = RecordBatch::try_from_iter([
        ("SQL", Arc::new(StringArray::from(vec![sql.trim()])) as _),
        ("PLAN", Arc::new(StringArray::from(vec![format!("Execution Plan\n{}\n", plan.display_indent())])) as _),
    ])?;
    Ok((vec![column("SQL", "STRING"), column("PLAN", "STRING")], batch))
}
