//! Decimals in plans. They are text there, which neither orders nor is equal as numbers are: what compares them compares
//! their keys (`weir_functions::decimal_key`), which are bytes. Sums keep every digit.

use super::{
    convert::{self, shared},
    fun::{Args, Fun, Gives},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryViewArray, BinaryViewBuilder, StringViewArray, StringViewBuilder},
    datatypes::DataType as ArrowType,
};
use datafusion::common::{Result, exec_datafusion_err, exec_err};
use weir_functions::{decimal::Decimal, decimal_key};
use weir_types::DataType;

const DECIMAL: Gives = Gives::One(DataType::BigDecimal);
const KEY: Gives = Gives::One(DataType::Bytes);

/// All of the family.
pub(super) const FUNS: [Fun; 8] = [
    // What a number is compared, ordered and counted by.
    Fun::new("w_decimal_key", (1, 1), KEY, |args| Ok(shared(keys(args, 0)?))),
    // The same as text.
    Fun::new("w_decimal_text_key", (1, 1), Gives::One(DataType::String), |args| {
        let keys = keys(args, 0)?;
        Ok(shared(keys.iter().map(|key| key.map(convert::hex_text)).collect::<StringViewArray>()))
    }),
    // The same with the zeros that the text ends in, for the least and the greatest; and the text of that.
    Fun::new("w_decimal_whole_key", (1, 1), KEY, |args| made(&args.texts(0)?, decimal_key::whole_key).map(shared)),
    Fun::new("w_decimal_of_key", (1, 1), DECIMAL, |args| {
        let keys = arrow::compute::cast(args.array(0), &ArrowType::BinaryView)?;
        let text = |key| {
            decimal_key::text_of(key)
                .ok_or_else(|| exec_datafusion_err!("{key:?} is no key of a decimal: this is a fault of ours"))
        };
        let texts = keys.as_binary_view().iter().map(|key| key.map(text).transpose());
        Ok(shared(texts.collect::<Result<StringViewArray>>()?))
    }),
    // Equal numbers as one text, for groups.
    Fun::new("w_decimal_group", (1, 1), DECIMAL, |args| each(&args.texts(0)?, |number| Ok(number.stripped()))),
    Fun::new("w_decimal_least", (2, usize::MAX), DECIMAL, |args| extreme(args, |key, best| key < best)),
    Fun::new("w_decimal_greatest", (2, usize::MAX), DECIMAL, |args| extreme(args, |key, best| key > best)),
    // To so many digits, and so many behind the point.
    Fun::new("w_decimal_round", (2, 3), DECIMAL, |args| {
        let digits = args.constant_long(1, "the digits")?;
        let scale = if args.len() > 2 { Some(args.constant_long(2, "the digits behind the point")?) } else { None };
        let Some(digits) = u64::try_from(digits).ok().and_then(std::num::NonZeroU64::new) else {
            return exec_err!("{digits} is no count of digits: 1 and more are");
        };
        each(&args.texts(0)?, |number| number.rounded(digits, scale).map_err(|fault| exec_datafusion_err!("{fault}")))
    }),
];

/// The keys of an argument: of texts that are decimals, or of numbers and times.
fn keys(args: &Args, at: usize) -> Result<BinaryViewArray> {
    let array = args.array(at);
    match array.data_type() {
        ArrowType::Float16 | ArrowType::Float32 | ArrowType::Float64 => {
            let mut out = BinaryViewBuilder::with_capacity(array.len());
            let mut key = vec![];
            for number in &args.doubles(at)? {
                key.clear();
                out.append_option(number.map(|number| {
                    decimal_key::key_of_double(number, &mut key);
                    &key
                }));
            }
            Ok(out.finish())
        }
        ArrowType::Boolean | ArrowType::Timestamp(..) | ArrowType::Date32 | ArrowType::Date64 => {
            made(&convert::texts(&shared(args.longs(at)?))?, decimal_key::key)
        }
        _ => made(&args.texts(at)?, |text, key| {
            // What a real number is called that is none.
            decimal_key::key(text, key).or_else(|| {
                let number = convert::java_double(text.trim()).filter(|number| !number.is_finite())?;
                text.trim()
                    .ends_with(|letter: char| letter.is_ascii_alphabetic())
                    .then(|| decimal_key::key_of_double(number, key))
            })
        }),
    }
}

fn made(texts: &StringViewArray, make: fn(&str, &mut Vec<u8>) -> Option<()>) -> Result<BinaryViewArray> {
    let mut out = BinaryViewBuilder::with_capacity(texts.len());
    let mut key = vec![];
    for text in texts {
        key.clear();
        match text {
            None => out.append_null(),
            Some(text) => {
                make(text, &mut key).ok_or_else(|| not_one(text))?;
                out.append_value(&key);
            }
        }
    }
    Ok(out.finish())
}

fn not_one(text: &str) -> datafusion::error::DataFusionError {
    exec_datafusion_err!(
        "'{}' cannot be read as BIG_DECIMAL: a number of at most 4096 digits can",
        convert::shown(text)
    )
}

/// A function of each decimal.
fn each(texts: &StringViewArray, call: impl Fn(Decimal) -> Result<Decimal>) -> Result<ArrayRef> {
    let mut out = StringViewBuilder::with_capacity(texts.len());
    for text in texts {
        match text {
            None => out.append_null(),
            Some(text) => out.append_value(call(Decimal::parse(text).ok_or_else(|| not_one(text))?)?.plain()),
        }
    }
    Ok(shared(out.finish()))
}

/// The first argument in each row that is better than the others; nulls are left out.
fn extreme(args: &Args, better: fn(&[u8], &[u8]) -> bool) -> Result<ArrayRef> {
    let keys: Vec<BinaryViewArray> = (0..args.len()).map(|at| keys(args, at)).collect::<Result<_>>()?;
    let texts: Vec<StringViewArray> = (0..args.len()).map(|at| args.texts(at)).collect::<Result<_>>()?;
    let best = |row: usize| {
        let known = (0..keys.len()).filter(|at| keys[*at].is_valid(row));
        known.reduce(|best, at| if better(keys[at].value(row), keys[best].value(row)) { at } else { best })
    };
    let chosen = (0..args.rows()).map(|row| best(row).map(|at| texts[at].value(row)));
    Ok(shared(chosen.collect::<StringViewArray>()))
}
