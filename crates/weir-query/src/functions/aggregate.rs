//! Aggregates that DataFusion lacks: exact percentiles, the mode, distinct values of multi-value columns. They keep the
//! values of a group; the memory pool of queries bounds that.

use super::convert;
use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array},
    datatypes::{DataType, Field, FieldRef, Float64Type},
};
use datafusion::{
    common::{Result, ScalarValue, exec_err, plan_err},
    logical_expr::{
        Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
        function::{AccumulatorArgs, StateFieldsArgs},
    },
    physical_expr::expressions::Literal,
};
use std::{
    collections::{HashMap, HashSet},
    mem::size_of_val,
    sync::Arc,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// (number, percent)
    Percentile,
    /// (number[, 'MIN' | 'MAX' | 'AVG'])
    Mode,
    /// (multi-value column)
    DistinctMv,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Aggregate {
    kind: Kind,
    signature: Signature,
}

/// All of them.
pub(super) fn udafs() -> Vec<AggregateUDF> {
    [Kind::Percentile, Kind::Mode, Kind::DistinctMv]
        .into_iter()
        .map(|kind| {
            AggregateUDF::new_from_impl(Aggregate { kind, signature: Signature::user_defined(Volatility::Immutable) })
        })
        .collect()
}

impl AggregateUDFImpl for Aggregate {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Percentile => "w_percentile",
            Kind::Mode => "w_mode",
            Kind::DistinctMv => "w_distinct_mv",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        match (self.kind, arg_types.len()) {
            (Kind::Percentile, 2) | (Kind::Mode | Kind::DistinctMv, 1) | (Kind::Mode, 2) => Ok(arg_types.to_vec()),
            (_, count) => {
                plan_err!("function {} does not take {count} arguments", super::spelled::spelled(self.name()))
            }
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(if self.kind == Kind::DistinctMv { DataType::Int64 } else { DataType::Float64 })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let item = match (self.kind, args.input_fields.first().map(|field| field.data_type())) {
            (Kind::DistinctMv, Some(DataType::List(item))) => item.data_type().clone(),
            (Kind::DistinctMv, other) => return plan_err!("a multi-value column is expected, not {other:?}"),
            _ => DataType::Float64,
        };
        let list = DataType::List(Arc::new(Field::new_list_field(item, true)));
        Ok(vec![Arc::new(Field::new(format!("{}[values]", args.name), list, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let literal = || args.exprs.get(1).and_then(|expr| expr.downcast_ref::<Literal>()).map(Literal::value);
        Ok(match self.kind {
            Kind::Percentile => {
                let percent = match literal() {
                    Some(percent) => convert::doubles(&percent.to_array()?)?.value(0),
                    None => return exec_err!("the percent of a percentile has to be a literal"),
                };
                if !(0.0..=100.0).contains(&percent) {
                    return exec_err!("{percent} is not a percent: 0 to 100 are");
                }
                Box::new(Numbers { values: vec![], finish: Finish::Percentile(percent) })
            }
            Kind::Mode => {
                let choice = match literal() {
                    Some(choice) => convert::texts(&choice.to_array()?)?.value(0).to_ascii_uppercase(),
                    None => "MIN".to_owned(),
                };
                let choice = match choice.as_str() {
                    "MIN" => Choice::Min,
                    "MAX" => Choice::Max,
                    "AVG" => Choice::Avg,
                    other => return exec_err!("'{other}' does not choose a mode: 'MIN', 'MAX' and 'AVG' do"),
                };
                Box::new(Numbers { values: vec![], finish: Finish::Mode(choice) })
            }
            Kind::DistinctMv => {
                let item = match args.expr_fields.first().map(|field| field.data_type()) {
                    Some(DataType::List(item)) => item.data_type().clone(),
                    other => return exec_err!("a multi-value column is expected, not {other:?}"),
                };
                Box::new(Distinct { item, seen: HashSet::new(), byte_count: 0 })
            }
        })
    }
}

/// Which of several modes.
#[derive(Debug, Clone, Copy)]
enum Choice {
    Min,
    Max,
    Avg,
}

#[derive(Debug, Clone, Copy)]
enum Finish {
    Percentile(f64),
    Mode(Choice),
}

/// All numbers of a group.
#[derive(Debug)]
struct Numbers {
    values: Vec<f64>,
    finish: Finish,
}

impl Accumulator for Numbers {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.values.extend(convert::doubles(&values[0])?.iter().flatten());
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for list in states[0].as_list::<i32>().iter().flatten() {
            self.values.extend(list.as_primitive::<Float64Type>().iter().flatten());
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values: ArrayRef = Arc::new(Float64Array::from(std::mem::take(&mut self.values)));
        Ok(vec![ScalarValue::List(Arc::new(
            datafusion::common::utils::SingleRowListArrayBuilder::new(values).build_list_array(),
        ))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.values.is_empty() {
            return Ok(ScalarValue::Float64(None));
        }
        Ok(ScalarValue::Float64(Some(match self.finish {
            Finish::Percentile(percent) => percentile(&mut self.values, percent),
            Finish::Mode(choice) => mode(&self.values, choice),
        })))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<f64>()
    }
}

/// The element at floor(n * percent / 100) of the sorted values, the last one for 100. `values` is not empty.
fn percentile(values: &mut [f64], percent: f64) -> f64 {
    let at = ((values.len() as f64 * percent / 100.0) as usize).min(values.len() - 1);
    *values.select_nth_unstable_by(at, f64::total_cmp).1
}

/// The most frequent value. `values` is not empty.
fn mode(values: &[f64], choice: Choice) -> f64 {
    let mut counts: HashMap<u64, u64> = HashMap::new();
    for value in values {
        *counts.entry(value.to_bits()).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or_default();
    let modes = counts.iter().filter(|(_, count)| **count == most).map(|(bits, _)| f64::from_bits(*bits));
    match choice {
        Choice::Min => modes.fold(f64::INFINITY, f64::min),
        Choice::Max => modes.fold(f64::NEG_INFINITY, f64::max),
        Choice::Avg => {
            let (sum, count) = modes.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
            sum / count
        }
    }
}

/// Distinct values of arrays.
#[derive(Debug)]
struct Distinct {
    item: DataType,
    seen: HashSet<ScalarValue>,
    /// What the values hold outside of themselves.
    byte_count: usize,
}

impl Distinct {
    fn see(&mut self, lists: &ArrayRef) -> Result<()> {
        for list in lists.as_list::<i32>().iter().flatten() {
            for at in (0..list.len()).filter(|at| list.is_valid(*at)) {
                let value = ScalarValue::try_from_array(&list, at)?;
                let byte_count = value.size();
                if self.seen.insert(value) {
                    self.byte_count += byte_count;
                }
            }
        }
        Ok(())
    }
}

impl Accumulator for Distinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.see(&values[0])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.see(&states[0])
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values: Vec<ScalarValue> = self.seen.drain().collect();
        Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&values, &self.item))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(Some(i64::try_from(self.seen.len()).unwrap_or(i64::MAX))))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.byte_count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_pick_an_element() {
        let mut values: Vec<f64> = (1..=10).map(f64::from).collect();
        for (percent, value) in [(0.0, 1.0), (50.0, 6.0), (95.0, 10.0), (100.0, 10.0)] {
            assert_eq!(percentile(&mut values, percent), value);
        }
    }

    #[test]
    fn several_modes_are_chosen_from() {
        let values = [3.0, 1.0, 3.0, 1.0, 2.0];
        assert_eq!([Choice::Min, Choice::Max, Choice::Avg].map(|choice| mode(&values, choice)), [1.0, 3.0, 2.0]);
    }
}
