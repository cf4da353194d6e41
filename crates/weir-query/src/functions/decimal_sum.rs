//! The sum and the average of decimals, exact: DataFusion has them of numbers of at most 76 digits, of one scale. They are
//! windows too: what leaves one is taken away again.

use super::convert;
use crate::provider::pinot_field;
use arrow::{
    array::{ArrayRef, AsArray, StringArray},
    datatypes::{DataType, Field, FieldRef, Int64Type},
};
use datafusion::{
    common::{Result, ScalarValue, exec_datafusion_err, plan_err},
    logical_expr::{
        Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
        function::{AccumulatorArgs, StateFieldsArgs},
    },
};
use std::{collections::HashSet, mem::size_of_val, sync::Arc};
use weir_functions::{
    datum::Fault,
    decimal::{Decimal, Operator},
    decimal_sum::DecimalSum,
};

#[derive(Debug, PartialEq, Eq, Hash)]
struct Aggregate {
    average: bool,
    signature: Signature,
}

/// Both.
pub(super) fn udafs() -> impl Iterator<Item = AggregateUDF> {
    [false, true].into_iter().map(|average| {
        AggregateUDF::new_from_impl(Aggregate { average, signature: Signature::user_defined(Volatility::Immutable) })
    })
}

fn refused(fault: Fault) -> datafusion::error::DataFusionError {
    exec_datafusion_err!("{fault}")
}

impl AggregateUDFImpl for Aggregate {
    fn name(&self) -> &str {
        if self.average { "w_decimal_avg" } else { "w_decimal_sum" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        match arg_types {
            [DataType::Utf8View | DataType::Utf8 | DataType::LargeUtf8 | DataType::Null] => Ok(arg_types.to_vec()),
            [other] => plan_err!("the sum of {other} is not one of decimals"),
            others => plan_err!("function sum takes 1 argument, not {}", others.len()),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn return_field(&self, _: &[FieldRef]) -> Result<FieldRef> {
        Ok(Arc::new(pinot_field(self.name(), weir_types::DataType::BigDecimal, true, true)))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field = |name: &str, data_type| Arc::new(Field::new(format!("{}[{name}]", args.name), data_type, true));
        if args.is_distinct {
            let list = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
            return Ok(vec![field("values", list)]);
        }
        Ok(vec![field("sum", DataType::Utf8), field("count", DataType::Int64)])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(if args.is_distinct {
            Box::new(Distinct { average: self.average, seen: HashSet::new(), byte_count: 0 })
        } else {
            Box::new(Sum { average: self.average, sum: DecimalSum::default(), count: 0 })
        })
    }
}

/// A decimal as a result: the sum, or the sum by the count.
fn result(sum: &DecimalSum, count: i64, average: bool) -> Result<ScalarValue> {
    if count == 0 {
        return Ok(ScalarValue::Utf8View(None));
    }
    let total = sum.total().map_err(refused)?;
    let total = if average {
        let by = Decimal::parse(&count.to_string()).expect("a count is a decimal");
        total.computed(Operator::Divide, &by).map_err(refused)?
    } else {
        total
    };
    Ok(ScalarValue::Utf8View(Some(total.plain())))
}

#[derive(Debug)]
struct Sum {
    average: bool,
    sum: DecimalSum,
    count: i64,
}

impl Sum {
    fn take(&mut self, values: &ArrayRef, away: bool) -> Result<()> {
        let texts = convert::texts(values)?;
        for text in texts.iter().flatten() {
            self.sum.add(text, away).map_err(refused)?;
            self.count += if away { -1 } else { 1 };
        }
        Ok(())
    }
}

impl Accumulator for Sum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.take(&values[0], false)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.take(&values[0], true)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (sums, counts) = (convert::texts(&states[0])?, states[1].as_primitive::<Int64Type>());
        for (sum, count) in sums.iter().zip(counts) {
            self.sum.add(sum.unwrap_or("0"), false).map_err(refused)?;
            self.count += count.unwrap_or(0);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let total = self.sum.total().map_err(refused)?.plain();
        Ok(vec![ScalarValue::Utf8(Some(total)), ScalarValue::Int64(Some(self.count))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        result(&self.sum, self.count, self.average)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.sum.bytes_held()
    }
}

/// Each number once: of a group all that differ are kept, which the memory pool of queries bounds.
#[derive(Debug)]
struct Distinct {
    average: bool,
    seen: HashSet<String>,
    byte_count: usize,
}

impl Distinct {
    fn take(&mut self, values: &ArrayRef) -> Result<()> {
        for text in convert::texts(values)?.iter().flatten() {
            let number =
                Decimal::parse(text).ok_or_else(|| exec_datafusion_err!("'{}' is no decimal", convert::shown(text)))?;
            let plain = number.stripped().plain();
            let byte_count = plain.len() + size_of::<String>();
            if self.seen.insert(plain) {
                self.byte_count += byte_count;
            }
        }
        Ok(())
    }
}

impl Accumulator for Distinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.take(&values[0])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        states[0].as_list::<i32>().iter().flatten().try_for_each(|list| self.take(&list))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let texts: ArrayRef = Arc::new(self.seen.drain().map(Some).collect::<StringArray>());
        let list = datafusion::common::utils::SingleRowListArrayBuilder::new(texts).build_list_array();
        Ok(vec![ScalarValue::List(Arc::new(list))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut sum = DecimalSum::default();
        self.seen.iter().try_for_each(|text| sum.add(text, false)).map_err(refused)?;
        result(&sum, i64::try_from(self.seen.len()).unwrap_or(i64::MAX), self.average)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.byte_count
    }
}
