//! The date functions.

use super::refused;
use crate::functions::{
    convert::shared,
    fun::{Args, Fun, Gives},
};
use arrow::array::{ArrayRef, Int32Array, Int64Array, StringViewArray};
use datafusion::{
    common::{Result, exec_datafusion_err},
    error::DataFusionError,
};
use weir_functions::date_pattern::{
    Conversion, Pattern, Zone,
    parts::{self, Part, Unit},
    zone_named,
};
use weir_types::DataType;

const LONG: Gives = Gives::One(DataType::Long);
const TEXT: Gives = Gives::One(DataType::String);

/// All of the family.
pub(in crate::functions) const FUNS: [Fun; 13] = [
    Fun::new("w_date_trunc", (2, 5), LONG, date_trunc),
    Fun::new("w_date_part", (2, 3), Gives::One(DataType::Int), date_part),
    Fun::new("w_time_convert", (3, 3), LONG, time_convert),
    Fun::new("w_convert_to_long", (4, 5), LONG, |args| {
        let conversion = conversion(args)?;
        let number = |ms: i64| conversion.number(ms).unwrap_or(farthest(ms));
        let numbers = starts(&conversion, args)?.into_iter().map(|ms| ms.map(number));
        Ok(shared(numbers.collect::<Int64Array>()))
    }),
    Fun::new("w_convert_to_text", (4, 5), TEXT, |args| {
        let conversion = conversion(args)?;
        let text = |ms: i64| conversion.text(ms).ok_or_else(|| unwritable(ms));
        let texts = starts(&conversion, args)?.into_iter().map(|ms| ms.map(text).transpose());
        Ok(shared(StringViewArray::from_iter(texts.collect::<Result<Vec<Option<String>>>>()?)))
    }),
    Fun::new("w_to_date_time", (2, 3), TEXT, |args| {
        let (pattern, zone) = pattern_and_zone(args)?;
        let text = |ms: i64| pattern.write(ms, zone);
        Ok(shared(StringViewArray::from_iter(args.millis(0)?.iter().map(|ms| ms.and_then(text)))))
    }),
    Fun::new("w_from_date_time", (2, 4), LONG, from_date_time),
    Fun::new("w_bucket", (2, 2), LONG, |args| {
        // Towards zero, before 1970 too, as Java divides.
        each(args, 0, 1, |number, size| Some(number - number.checked_rem(size)?))
    }),
    Fun::new("w_to_epoch", (3, 3), LONG, |args| {
        // Milliseconds, milliseconds of the unit, buckets: how many buckets.
        let (unit, size) = (args.constant_long(1, "the unit")?, args.constant_long(2, "the bucket")?);
        let of = |ms: i64| ms.checked_div(unit)?.checked_div(size);
        Ok(shared(args.millis(0)?.iter().map(|ms| ms.and_then(of)).collect::<Int64Array>()))
    }),
    Fun::new("w_timestamp_add", (3, 3), LONG, |args| {
        let unit = Unit::parse(&args.constant_text(0, "the unit")?).map_err(refused)?;
        let (counts, times) = (args.longs(1)?, args.millis(2)?);
        counted(&times, &counts, |ms, count| parts::add(ms, unit, count).ok_or_else(|| far(ms)))
    }),
    Fun::new("w_timestamp_diff", (3, 3), LONG, |args| {
        let unit = Unit::parse(&args.constant_text(0, "the unit")?).map_err(refused)?;
        let (from, to) = (args.millis(1)?, args.millis(2)?);
        counted(&from, &to, |from, to| parts::difference(from, to, unit).ok_or_else(|| far(to)))
    }),
    Fun::new("w_to_iso8601", (1, 1), TEXT, |args| {
        let pattern = Pattern::parse("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'").map_err(refused)?;
        let text = |ms: i64| pattern.write(ms, Zone::UTC);
        Ok(shared(StringViewArray::from_iter(args.millis(0)?.iter().map(|ms| ms.and_then(text)))))
    }),
    Fun::new("w_from_iso8601", (1, 1), LONG, |args| {
        Ok(shared(
            crate::functions::convert::timestamps(args.array(0))?.reinterpret_cast::<arrow::datatypes::Int64Type>(),
        ))
    }),
];

fn each(args: &Args, a: usize, b: usize, call: fn(i64, i64) -> Option<i64>) -> Result<ArrayRef> {
    let (left, right) = (args.millis(a)?, args.longs(b)?);
    Ok(shared(left.iter().zip(&right).map(|(left, right)| call(left?, right?)).collect::<Int64Array>()))
}

/// Counts of two times, or of a time and a count; null where one of them is.
fn counted(left: &Int64Array, right: &Int64Array, call: impl Fn(i64, i64) -> Result<i64>) -> Result<ArrayRef> {
    let one = |(left, right): (Option<i64>, Option<i64>)| match (left, right) {
        (Some(left), Some(right)) => call(left, right).map(Some),
        _ => Ok(None),
    };
    Ok(shared(left.iter().zip(right).map(one).collect::<Result<Int64Array>>()?))
}

/// A time that a LONG does not hold once it is counted from; ingestion says the same.
fn far(ms: i64) -> DataFusionError {
    exec_datafusion_err!("{ms} is beyond the times that can be counted")
}

fn optional_zone(args: &Args, at: usize) -> Result<Zone> {
    if args.len() > at { zone_named(&args.constant_text(at, "the time zone")?).map_err(refused) } else { Ok(Zone::UTC) }
}

fn date_trunc(args: &Args) -> Result<ArrayRef> {
    let unit = Unit::parse(&args.constant_text(0, "the unit")?).map_err(refused)?;
    let from = if args.len() > 2 {
        Unit::parse(&args.constant_text(2, "the input's unit")?).map_err(refused)?
    } else {
        Unit::Millisecond
    };
    let zone = optional_zone(args, 3)?;
    let to =
        if args.len() > 4 { Unit::parse(&args.constant_text(4, "the output's unit")?).map_err(refused)? } else { from };
    let start = |count: Option<i64>| -> Result<Option<i64>> {
        let Some(count) = count else { return Ok(None) };
        parts::truncate(from.to_ms(count).map_err(refused)?, unit, zone)
            .map(|ms| to.of_ms(ms).map_err(refused))
            .transpose()
    };
    Ok(shared(args.millis(1)?.iter().map(start).collect::<Result<Int64Array>>()?))
}

fn date_part(args: &Args) -> Result<ArrayRef> {
    let part = Part::parse(&args.constant_text(0, "the part")?).map_err(refused)?;
    let zone = optional_zone(args, 2)?;
    Ok(shared(args.millis(1)?.iter().map(|ms| part.of(ms?, zone)).collect::<Int32Array>()))
}

fn time_convert(args: &Args) -> Result<ArrayRef> {
    let from = Unit::parse(&args.constant_text(1, "the input's unit")?).map_err(refused)?;
    let to = Unit::parse(&args.constant_text(2, "the output's unit")?).map_err(refused)?;
    let convert = |count: Option<i64>| {
        count.map(|count| from.to_ms(count).and_then(|ms| to.of_ms(ms)).map_err(refused)).transpose()
    };
    Ok(shared(args.longs(0)?.iter().map(convert).collect::<Result<Int64Array>>()?))
}

fn pattern_and_zone(args: &Args) -> Result<(Pattern, Zone)> {
    let pattern = Pattern::parse(&args.constant_text(1, "the pattern")?).map_err(refused)?;
    Ok((pattern, optional_zone(args, 2)?))
}

fn from_date_time(args: &Args) -> Result<ArrayRef> {
    let (pattern, zone) = pattern_and_zone(args)?;
    let fallback = if args.len() > 3 { Some(args.constant_long(3, "the default")?) } else { None };
    let read = |text: Option<&str>| -> Result<Option<i64>> {
        let Some(text) = text else { return Ok(None) };
        match pattern.read(text, zone).or(fallback) {
            Some(ms) => Ok(Some(ms)),
            None => Err(exec_datafusion_err!("'{text}' is not written in the given date pattern")),
        }
    };
    Ok(shared(args.texts(0)?.iter().map(read).collect::<Result<Int64Array>>()?))
}

/// `dateTimeConvert`: from one format to another, in buckets.
fn conversion(args: &Args) -> Result<Conversion> {
    let (from, to) = (args.constant_text(1, "the input's format")?, args.constant_text(2, "the output's format")?);
    let zone = if args.len() > 4 { Some(args.constant_text(4, "the time zone")?) } else { None };
    let granularity = args.constant_text(3, "the granularity")?;
    Conversion::parse(&from, &to, &granularity, zone.as_deref()).map_err(refused)
}

/// The start of the bucket of each time.
fn starts(conversion: &Conversion, args: &Args) -> Result<Vec<Option<i64>>> {
    if conversion.reads_text() || crate::functions::convert::strings(args.array(0))?.is_some() {
        let wrong = |text| exec_datafusion_err!("'{text}' is not written in its time format");
        let start = |text| conversion.start_of_text(text).ok_or_else(|| wrong(text));
        return args.texts(0)?.iter().map(|text| text.map(start).transpose()).collect();
    }
    let start = |count| conversion.start_of_number(count).ok_or_else(|| unwritable(count));
    args.longs(0)?.iter().map(|count| count.map(start).transpose()).collect()
}

/// What stands for a count beyond what 64 bits hold, such as days from the default of null rows.
fn farthest(count: i64) -> i64 {
    if count < 0 { i64::MIN } else { i64::MAX }
}

/// A time that a format has no way to write.
fn unwritable(ms: i64) -> DataFusionError {
    exec_datafusion_err!("{ms} is beyond the times that can be written")
}

/// The time that lies an ISO 8601 period (`P1DT2H`) before `now_ms`.
pub(crate) fn ago(now_ms: i64, period: &str) -> Option<i64> {
    let upper = period.trim().to_ascii_uppercase();
    let (sign, rest) = match upper.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, upper.as_str()),
    };
    let (days, times) = rest.strip_prefix('P')?.split_once('T').unwrap_or((rest.strip_prefix('P')?, ""));
    if days.is_empty() && times.is_empty() {
        return None;
    }
    let day = sum(days, &[('W', 604_800_000.0), ('D', 86_400_000.0)])?;
    let time = sum(times, &[('H', 3_600_000.0), ('M', 60_000.0), ('S', 1_000.0)])?;
    now_ms.checked_sub(sign * (day + time))
}

fn sum(text: &str, units: &[(char, f64)]) -> Option<i64> {
    let (mut total, mut number) = (0.0, String::new());
    for letter in text.chars() {
        match units.iter().find(|(unit, _)| *unit == letter) {
            Some((_, ms)) => {
                total += number.parse::<f64>().ok()? * ms;
                number.clear();
            }
            None => number.push(letter),
        }
    }
    number.is_empty().then_some(total as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_iso_8601() {
        for (period, ms) in
            [("P1D", 86_400_000), ("PT1H30M", 5_400_000), ("PT0.5S", 500), ("P1DT1S", 86_401_000), ("-PT1S", -1000)]
        {
            assert_eq!(ago(0, period), Some(-ms), "{period}");
        }
        for bad in ["", "P", "1D", "PT5", "P5H"] {
            assert_eq!(ago(0, bad), None, "{bad}");
        }
    }
}
