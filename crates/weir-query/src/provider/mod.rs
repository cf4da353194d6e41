//! A snapshot as a DataFusion table: its columns with Pinot's types in their metadata, filters that the scan decides
//! exactly, and the scan itself.

mod filter;
mod known;
mod queue;
mod scan_exec;
mod system;
mod work;

pub(crate) use known::Missed;
pub(crate) use scan_exec::{SegmentScanExec, counters};
pub(crate) use system::system_table;
pub(crate) use work::Work;

use arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::Result,
    error::DataFusionError,
    logical_expr::{Expr, TableProviderFilterPushDown, TableType, utils::conjunction},
    physical_plan::ExecutionPlan,
};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};
use weir_indexes::Filter;
use weir_segment::{ScanColumn, ScanRequest, arrow_type};
use weir_table::TableSnapshot;
use weir_types::{ColumnName, DataType, FieldKind, Value};

/// Metadata key of a field: Pinot's name of its type.
pub(crate) const PINOT_TYPE: &str = "pinot.type";

/// Prefix of the hidden columns that tell which rows of a column were null.
pub(crate) const NULL_FLAG: &str = "$isNull$";

/// The virtual columns of every table.
pub(crate) const VIRTUAL: [(&str, DataType); 3] =
    [("$docId", DataType::Int), ("$segmentName", DataType::String), ("$hostName", DataType::String)];

/// Pinot's name of a column's type.
pub(crate) fn pinot_type(data_type: DataType, single_value: bool) -> String {
    if single_value { data_type.to_string() } else { format!("{data_type}_ARRAY") }
}

/// An Arrow field for a column, with Pinot's type noted.
pub(crate) fn pinot_field(name: &str, data_type: DataType, single_value: bool, nullable: bool) -> Field {
    let metadata = HashMap::from([(PINOT_TYPE.to_owned(), pinot_type(data_type, single_value))]);
    Field::new(name, arrow_type(data_type, single_value), nullable).with_metadata(metadata)
}

/// A column that a scan can give.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Output {
    /// Values.
    Column(ScanColumn),
    /// Whether the row of this column was null.
    NullFlag(ColumnName),
}

/// What a scan has to do.
struct Known {
    filters: Vec<Expr>,
    limit: Option<usize>,
    work: Work,
}

/// A table as of one snapshot.
pub(crate) struct SnapshotTable {
    snapshot: Arc<TableSnapshot>,
    /// Where scans say what they could not open.
    missed: Missed,
    outputs: Vec<Output>,
    schema: SchemaRef,
    nulls: bool,
    host: Arc<str>,
    /// What was last found out about a scan: it is asked for before operators are made, and then by the scan.
    last_work: Mutex<Option<Known>>,
}

impl std::fmt::Debug for SnapshotTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SnapshotTable({})", self.snapshot.table)
    }
}

fn named(name: &str) -> ColumnName {
    ColumnName::parse(name).expect("the names of virtual columns are column names")
}

impl SnapshotTable {
    /// With the columns that are `asked` for by name. `nulls`: null rows come as nulls, else as their defaults.
    pub(crate) fn new(
        snapshot: Arc<TableSnapshot>,
        missed: Missed,
        nulls: bool,
        host: Arc<str>,
        asked: &dyn Fn(&str) -> bool,
    ) -> Self {
        let fields = snapshot.schema.fields();
        let columns = fields.iter().filter(|field| asked(field.name.as_str())).map(|field| {
            Output::Column(ScanColumn {
                name: field.name.clone(),
                data_type: field.data_type,
                single_value: field.single_value,
                default: field.default_null.clone(),
            })
        });
        let virtuals = VIRTUAL.into_iter().filter(|(name, _)| asked(name)).map(|(name, data_type)| {
            let default = data_type.default_null(FieldKind::Dimension);
            Output::Column(ScanColumn { name: named(name), data_type, single_value: true, default })
        });
        let flagged = |name: &str| asked(name) && asked(&format!("{NULL_FLAG}{name}"));
        let flags = fields.iter().filter(|field| flagged(field.name.as_str()));
        let flags = flags.map(|field| Output::NullFlag(field.name.clone()));
        let outputs: Vec<Output> = columns.chain(virtuals).chain(flags).collect();
        let field = |output: &Output| match output {
            Output::Column(column) => {
                let nullable = nulls && !column.name.as_str().starts_with('$');
                pinot_field(column.name.as_str(), column.data_type, column.single_value, nullable)
            }
            Output::NullFlag(column) => pinot_field(&format!("{NULL_FLAG}{column}"), DataType::Boolean, true, false),
        };
        let schema = Arc::new(Schema::new(outputs.iter().map(field).collect::<Vec<_>>()));
        Self { snapshot, missed, outputs, schema, nulls, host, last_work: Mutex::default() }
    }

    /// A column by exact name.
    pub(crate) fn column(&self, name: &str) -> Option<&Output> {
        self.schema.index_of(name).ok().map(|at| &self.outputs[at])
    }

    /// Null rows come as nulls.
    pub(crate) fn nulls(&self) -> bool {
        self.nulls
    }

    fn filter(&self, filters: &[Expr]) -> Result<Filter> {
        let Some(expr) = conjunction(filters.iter().cloned()) else { return Ok(Filter::All) };
        filter::translate(&expr, self).ok_or_else(|| {
            DataFusionError::Internal(format!("a filter that the scan cannot decide was given to it: {expr}"))
        })
    }

    /// What a scan with these filters has to do.
    pub(crate) fn work(&self, filters: &[Expr], limit: Option<usize>) -> Result<Work> {
        let mut last = self.last_work.lock();
        if let Some(known) = last.as_ref().filter(|known| known.filters == filters && known.limit == limit) {
            return Ok(known.work);
        }
        let work = Work::of(&self.snapshot, &self.request(&[], self.filter(filters)?), limit);
        *last = Some(Known { filters: filters.to_vec(), limit, work });
        Ok(work)
    }

    fn request(&self, outputs: &[Output], filter: Filter) -> ScanRequest {
        let mut columns: Vec<ScanColumn> = outputs
            .iter()
            .filter_map(|output| match output {
                Output::Column(column) => Some(column.clone()),
                Output::NullFlag(_) => None,
            })
            .collect();
        if columns.len() < outputs.len() {
            // Flags are looked up by row number, which comes last.
            let default = Value::Int(0);
            columns.push(ScanColumn { name: named("$docId"), data_type: DataType::Int, single_value: true, default });
        }
        let mut named_by_filter = vec![];
        filter::columns(&filter, &mut named_by_filter);
        let filter_columns = named_by_filter
            .into_iter()
            .filter_map(|name| match self.column(name.as_str()) {
                Some(Output::Column(column)) => Some(column.clone()),
                _ => None,
            })
            .collect();
        ScanRequest { columns, filter_columns, filter, nulls: self.nulls, host: self.host.clone() }
    }
}

#[async_trait]
impl TableProvider for SnapshotTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|expr| match filter::translate(expr, self) {
                Some(_) => TableProviderFilterPushDown::Exact,
                None => TableProviderFilterPushDown::Unsupported,
            })
            .collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (filter, work) = (self.filter(filters)?, self.work(filters, limit)?);
        let (outputs, schema) = match projection {
            None => (self.outputs.clone(), self.schema.clone()),
            Some(chosen) => {
                let outputs = chosen.iter().map(|at| self.outputs[*at].clone()).collect();
                (outputs, Arc::new(self.schema.project(chosen)?))
            }
        };
        let request = self.request(&outputs, filter);
        let partitions = state.config().target_partitions();
        let held = (self.snapshot.clone(), self.missed.clone());
        Ok(Arc::new(SegmentScanExec::new(held, outputs, request, schema, limit, work, partitions)))
    }
}

/// Pinot's name of the type of a result's field: what its metadata says if that fits, else what its Arrow type says.
pub(crate) fn pinot_type_of(field: &Field) -> String {
    let noted = field.metadata().get(PINOT_TYPE).filter(|noted| {
        let (one, single_value) = match noted.strip_suffix("_ARRAY") {
            Some(one) => (one, false),
            None => (noted.as_str(), true),
        };
        DataType::parse(one).is_some_and(|data_type| same_kind(&arrow_type(data_type, single_value), field.data_type()))
    });
    noted.cloned().unwrap_or_else(|| by_arrow(field.data_type()))
}

/// Types that hold the same values in other layouts.
fn same_kind(a: &ArrowType, b: &ArrowType) -> bool {
    by_arrow(a) == by_arrow(b)
}

fn by_arrow(data_type: &ArrowType) -> String {
    match data_type {
        ArrowType::Null => "UNKNOWN",
        ArrowType::Boolean => "BOOLEAN",
        ArrowType::Int8 | ArrowType::Int16 | ArrowType::Int32 | ArrowType::UInt8 | ArrowType::UInt16 => "INT",
        ArrowType::Int64 | ArrowType::UInt32 | ArrowType::UInt64 | ArrowType::Duration(_) => "LONG",
        ArrowType::Float16 | ArrowType::Float32 => "FLOAT",
        ArrowType::Float64 => "DOUBLE",
        ArrowType::Decimal32(..) | ArrowType::Decimal64(..) | ArrowType::Decimal128(..) | ArrowType::Decimal256(..) => {
            "BIG_DECIMAL"
        }
        ArrowType::Timestamp(..) | ArrowType::Date32 | ArrowType::Date64 => "TIMESTAMP",
        ArrowType::Binary | ArrowType::LargeBinary | ArrowType::BinaryView | ArrowType::FixedSizeBinary(_) => "BYTES",
        ArrowType::List(item) | ArrowType::LargeList(item) | ArrowType::FixedSizeList(item, _) => {
            return format!("{}_ARRAY", by_arrow(item.data_type()));
        }
        ArrowType::Dictionary(_, values) => return by_arrow(values),
        _ => "STRING",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noted_types_hold_only_where_they_fit() {
        let json = pinot_field("j", DataType::Json, true, false);
        assert_eq!(pinot_type_of(&json), "JSON");
        assert_eq!(pinot_type_of(&json.clone().with_data_type(ArrowType::Int64)), "LONG");
        assert_eq!(pinot_type_of(&pinot_field("m", DataType::Int, false, true)), "INT_ARRAY");
        assert_eq!(pinot_type_of(&Field::new("x", ArrowType::Utf8, true)), "STRING");
    }
}
