//! Which rows belong to a partition: `dropRecordOnPartitionMismatch` with the columns of `segmentPartitionConfig`.

use crate::spec::{
    keys::is_harmless,
    read::{At, Findings},
};
use weir_types::{ColumnName, DataType, PartitionFunction, PartitionedBy, Schema};

/// Partitions that a table may have: more would be a slip of the key.
const MOST: u64 = 100_000;

/// Where the columns stand.
const CONFIG: &str = "tableIndexConfig.segmentPartitionConfig";

/// The column by which rows are dropped that come from another partition than theirs, where that is asked for.
pub(super) fn partitioned_by(root: &At<'_>, schema: Option<&Schema>, findings: &mut Findings) -> Option<PartitionedBy> {
    let drops_at = root.keys("ingestionConfig.streamIngestionConfig.dropRecordOnPartitionMismatch");
    if findings.boolean(&drops_at) != Some(true) {
        // No query leaves segments out by it.
        let config_at = root.keys(CONFIG);
        if config_at.value.is_some_and(|value| !is_harmless(value)) {
            findings.not_yet(config_at.path);
        }
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
    let (function, partitions) = (function(at, findings), partitions(&at.key("numPartitions"), findings));
    let column = match ColumnName::parse(name) {
        Ok(column) => column,
        Err(error) => {
            findings.wrong(at, error.reason);
            return None;
        }
    };
    let (function, partitions) = (function?, partitions?);
    if let PartitionFunction::BoundedColumnValue(values) = &function
        && values.len() + 1 != partitions as usize
    {
        let reason = format!("must be {}: one for each of the columnValues, and one for all others", values.len() + 1);
        findings.wrong(&at.key("numPartitions"), reason);
    }
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

fn function(column: &At<'_>, findings: &mut Findings) -> Option<PartitionFunction> {
    const NAMES: &str = "Modulo, Murmur, Murmur3, HashCode, ByteArray";
    let at = &column.key("functionName");
    if at.is_absent() {
        findings.wrong(at, format!("must be {NAMES} or BoundedColumnValue"));
    }
    let name = findings.words(at)?;
    let config = column.key("functionConfig");
    match name.trim().to_ascii_lowercase().as_str() {
        "modulo" => Some(PartitionFunction::Modulo),
        "murmur" | "murmur2" => Some(PartitionFunction::Murmur),
        "murmur3" => murmur3(&config, findings),
        "hashcode" => Some(PartitionFunction::HashCode),
        "bytearray" => Some(PartitionFunction::ByteArray),
        "boundedcolumnvalue" => listed(&config, findings),
        _ => {
            findings
                .wrong(at, format!("is no function that rows are told apart by: {NAMES} and BoundedColumnValue are"));
            None
        }
    }
}

/// What a text of a function's settings says, where there is one that is not empty.
fn setting(at: &At<'_>, findings: &mut Findings) -> Option<String> {
    if at.is_absent() {
        return None;
    }
    findings.words(at).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn murmur3(config: &At<'_>, findings: &mut Findings) -> Option<PartitionFunction> {
    let (seed_at, variant_at) = (config.key("seed"), config.key("variant"));
    let seed = match setting(&seed_at, findings).map(|text| text.parse::<i32>()) {
        None => 0,
        Some(Ok(seed)) => seed,
        Some(Err(_)) => {
            findings.wrong(&seed_at, "must be a whole number of 32 bits");
            return None;
        }
    };
    let x64 = match setting(&variant_at, findings).as_deref() {
        None | Some("x86_32") => false,
        Some("x64_32") => true,
        Some(_) => {
            findings.wrong(&variant_at, "must be x86_32 or x64_32");
            return None;
        }
    };
    Some(PartitionFunction::Murmur3 { seed, x64 })
}

fn listed(config: &At<'_>, findings: &mut Findings) -> Option<PartitionFunction> {
    let (values_at, between_at) = (config.key("columnValues"), config.key("columnValuesDelimiter"));
    for (at, needed) in [(&values_at, "must name the values"), (&between_at, "must say what stands between the values")]
    {
        if at.is_absent() {
            findings.wrong(at, needed);
        }
    }
    let (values, between) = (findings.words(&values_at), findings.words(&between_at));
    let (values, between) = (values?, between?);
    // Any of its letters stands between two, as in Java's StringUtils.
    let values = values.split(|letter| between.contains(letter)).filter(|value| !value.is_empty());
    Some(PartitionFunction::BoundedColumnValue(values.map(str::to_owned).collect()))
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
