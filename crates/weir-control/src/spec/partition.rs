//! Which rows belong to a partition: `dropRecordOnPartitionMismatch` with the columns of `segmentPartitionConfig`.

use crate::spec::read::{At, Findings};
use weir_types::{ColumnName, DataType, PartitionFunction, PartitionedBy, Schema};

/// Partitions that a table may have: more would be a slip of the key.
const MOST: u64 = 100_000;

/// The column by which rows are dropped that come from another partition than theirs, where that is asked for.
pub(super) fn partitioned_by(root: &At<'_>, schema: Option<&Schema>, findings: &mut Findings) -> Option<PartitionedBy> {
    let drops_at = root.keys("ingestionConfig.streamIngestionConfig.dropRecordOnPartitionMismatch");
    if findings.boolean(&drops_at) != Some(true) {
        return None;
    }
    let map_at = root.keys("tableIndexConfig.segmentPartitionConfig.columnPartitionMap");
    let columns = findings.object(&map_at, "columns, each with its functionName and numPartitions");
    let [(name, at)] = columns.as_slice() else {
        if map_at.value.is_none_or(serde_json::Value::is_object) {
            let reason = "needs one column in tableIndexConfig.segmentPartitionConfig.columnPartitionMap, or set false";
            findings.wrong(&drops_at, reason);
        }
        return None;
    };
    let (function, partitions) =
        (function(&at.key("functionName"), findings), partitions(&at.key("numPartitions"), findings));
    let column = match ColumnName::parse(name) {
        Ok(column) => column,
        Err(error) => {
            findings.wrong(at, error.reason);
            return None;
        }
    };
    let (function, partitions) = (function?, partitions?);
    match schema.map(|schema| schema.field(name)) {
        None => {}
        Some(None) => findings.wrong(at, "the schema has no such column: correct the name or remove it"),
        Some(Some(field)) if !field.single_value => {
            findings.wrong(at, "has several values in a row: a row belongs to one partition by a single value");
        }
        Some(Some(field)) => {
            let whole = matches!(field.data_type, DataType::Int | DataType::Long);
            let fits = whole || (field.data_type == DataType::String);
            if !fits {
                let reason = format!("is {}: rows are told apart by an INT, LONG or STRING column", field.data_type);
                findings.wrong(at, reason);
            } else if function == PartitionFunction::Modulo && !whole {
                findings.wrong(&at.key("functionName"), "takes whole numbers, and the column holds texts: use Murmur");
            }
        }
    }
    Some(PartitionedBy { column, function, partitions })
}

fn function(at: &At<'_>, findings: &mut Findings) -> Option<PartitionFunction> {
    if at.is_absent() {
        findings.wrong(at, "must be Modulo, Murmur, HashCode or ByteArray");
    }
    let name = findings.words(at)?;
    match name.trim().to_ascii_lowercase().as_str() {
        "modulo" => Some(PartitionFunction::Modulo),
        "murmur" | "murmur2" => Some(PartitionFunction::Murmur),
        "hashcode" => Some(PartitionFunction::HashCode),
        "bytearray" => Some(PartitionFunction::ByteArray),
        _ => {
            let reason = "is no function that rows are told apart by: Modulo, Murmur, HashCode and ByteArray are";
            findings.wrong(at, reason);
            None
        }
    }
}

fn partitions(at: &At<'_>, findings: &mut Findings) -> Option<u32> {
    if at.is_absent() {
        findings.wrong(at, "must say how many partitions there are");
    }
    let count = findings.count(at, 1)?;
    let fits = u32::try_from(count).ok().filter(|_| count <= MOST);
    if fits.is_none() {
        findings.wrong(at, format!("must be at most {MOST}"));
    }
    fits
}
