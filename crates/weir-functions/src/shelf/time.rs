//! Times: milliseconds since the epoch in UTC where no zone is given. Each has a twin for arrays, whose name ends in `MV`.

use super::{
    Function, Ready,
    gives::{INT, LONG, LONGS, STRING, STRINGS, TIMESTAMP},
};
use crate::{
    date_pattern::{
        Conversion, Pattern, Zone, bin, instant_of_local,
        parts::{self, Part, Unit},
        period_ms, zone_named,
    },
    datum::{Datum, Fault, list, text},
};
use bumpalo::Bump;

/// A function that is given what its constants were made into, and the arguments.
struct With<T>(T, for<'a> fn(&T, &[Datum<'a>], &'a Bump) -> Result<Datum<'a>, Fault>);

impl<T: Send + Sync> Ready for With<T> {
    fn call<'a>(&self, args: &[Datum<'a>], arena: &'a Bump) -> Result<Datum<'a>, Fault> {
        (self.1)(&self.0, args, arena)
    }
}

fn with<T: Send + Sync + 'static>(
    made: T,
    call: for<'a> fn(&T, &[Datum<'a>], &'a Bump) -> Result<Datum<'a>, Fault>,
) -> Result<Box<dyn Ready>, Fault> {
    Ok(Box::new(With(made, call)))
}

/// The constant text at a position.
fn constant<'a>(constants: &[Option<Datum<'a>>], at: usize, what: &str) -> Result<&'a str, Fault> {
    match constants.get(at) {
        Some(Some(Datum::Text(text))) => Ok(text),
        _ => Err(Fault::new(format!("{what} (argument {}) must be a text that is the same for every row", at + 1))),
    }
}

fn zone(constants: &[Option<Datum<'_>>], at: usize) -> Result<Zone, Fault> {
    if constants.len() > at { Ok(zone_named(constant(constants, at, "the time zone")?)?) } else { Ok(Zone::UTC) }
}

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

fn size(datum: Datum<'_>) -> Result<i64, Fault> {
    match datum.long()? {
        size if size > 0 => Ok(size),
        size => Err(Fault::new(format!("a bucket of {size} units cannot be; its size is a whole number above 0"))),
    }
}

fn far(datum: Datum<'_>) -> Fault {
    Fault::new(format!("{} is beyond the times that can be counted", datum.shown()))
}

fn to_epoch<'a>(args: &[Datum<'a>], unit: i64) -> Result<Datum<'a>, Fault> {
    Ok(Datum::Long(args[0].millis()? / unit))
}

fn rounded<'a>(args: &[Datum<'a>], unit: i64) -> Result<Datum<'a>, Fault> {
    let size = size(args[1])?;
    Ok(Datum::Long(args[0].millis()? / unit / size * size))
}

fn bucket<'a>(args: &[Datum<'a>], unit: i64) -> Result<Datum<'a>, Fault> {
    Ok(Datum::Long(args[0].millis()? / unit / size(args[1])?))
}

fn from_epoch<'a>(args: &[Datum<'a>], unit: i64) -> Result<Datum<'a>, Fault> {
    args[0].long()?.checked_mul(unit).map(Datum::Long).ok_or_else(|| far(args[0]))
}

fn from_bucket<'a>(args: &[Datum<'a>], unit: i64) -> Result<Datum<'a>, Fault> {
    let ms = args[0].long()?.checked_mul(size(args[1])?).and_then(|count| count.checked_mul(unit));
    ms.map(Datum::Long).ok_or_else(|| far(args[0]))
}

/// A function of one value for each element of an array.
fn each<'a>(
    args: &[Datum<'a>],
    arena: &'a Bump,
    call: for<'b> fn(&[Datum<'b>], i64) -> Result<Datum<'b>, Fault>,
    unit: i64,
) -> Result<Datum<'a>, Fault> {
    let of = |item: &Datum<'a>| {
        let rest = args.get(1).copied();
        call(&[*item, rest.unwrap_or(Datum::Null)], unit)
    };
    let made: Result<Vec<Datum<'a>>, Fault> = args[0].items(arena).iter().map(of).collect();
    Ok(list(made?, arena))
}

/// A function that counts one unit.
macro_rules! one {
    ($name:expr, $call:expr, $count:expr, $unit:expr) => {
        Function::plain(&[$name], $count, $count, LONG, |args, _| $call(args, $unit))
    };
}

/// Its twin for arrays.
macro_rules! many {
    ($name:expr, $call:expr, $count:expr, $unit:expr) => {
        Function::plain(&[$name], $count, $count, LONGS, |args, arena| each(args, arena, $call, $unit))
    };
}

/// One part of a time, with a zone where one is given.
macro_rules! part {
    ($names:expr, $part:expr) => {
        Function::made($names, 1, 2, INT, |constants| {
            with(zone(constants, 1)?, |zone, args, _| {
                let part = $part.of(args[0].millis()?, *zone);
                part.map(|part| Datum::Long(part.into())).ok_or_else(|| far(args[0]))
            })
        })
    };
}

fn to_date_time<'a>(
    (pattern, zone): &(Pattern, Zone),
    args: &[Datum<'a>],
    arena: &'a Bump,
) -> Result<Datum<'a>, Fault> {
    let written = pattern.write(args[0].millis()?, *zone);
    written.map(|written| text(&written, arena)).ok_or_else(|| far(args[0]))
}

fn from_date_time<'a>(
    (pattern, zone): &(Pattern, Zone),
    args: &[Datum<'a>],
    arena: &'a Bump,
) -> Result<Datum<'a>, Fault> {
    match (pattern.read(args[0].text(arena), *zone), args.get(3)) {
        (Some(ms), _) => Ok(Datum::Long(ms)),
        (None, Some(default)) => Ok(Datum::Long(default.long()?)),
        (None, None) => Err(Fault::new(format!("{} is not written in the given date pattern", args[0].shown()))),
    }
}

fn pattern_and_zone(constants: &[Option<Datum<'_>>]) -> Result<(Pattern, Zone), Fault> {
    Ok((Pattern::parse(constant(constants, 1, "the date pattern")?)?, zone(constants, 2)?))
}

struct Trunc {
    unit: Unit,
    from: Unit,
    zone: Zone,
    to: Unit,
}

fn date_trunc(constants: &[Option<Datum<'_>>]) -> Result<Box<dyn Ready>, Fault> {
    let unit = Unit::parse(constant(constants, 0, "the unit")?)?;
    let or = |at, or: Unit| {
        if constants.len() > at {
            Unit::parse(constant(constants, at, "the unit")?).map_err(Fault::from)
        } else {
            Ok(or)
        }
    };
    let from = or(2, Unit::Millisecond)?;
    let trunc = Trunc { unit, from, zone: zone(constants, 3)?, to: or(4, from)? };
    with(trunc, |Trunc { unit, from, zone, to }, args, _| {
        let start = parts::truncate(from.to_ms(args[1].millis()?)?, *unit, *zone).ok_or_else(|| far(args[1]))?;
        Ok(Datum::Long(to.of_ms(start)?))
    })
}

/// `dateTimeConvert`: from one format to another, in buckets.
fn conversion(constants: &[Option<Datum<'_>>]) -> Result<Box<dyn Ready>, Fault> {
    let text_at = |at, what| constant(constants, at, what);
    let (from, to) = (text_at(1, "the input's format")?, text_at(2, "the output's format")?);
    let zone = if constants.len() > 4 { Some(text_at(4, "the time zone")?) } else { None };
    let conversion = Conversion::parse(from, to, text_at(3, "the granularity")?, zone)?;
    with(conversion, |conversion, args, arena| {
        let start = match args[0] {
            time if conversion.reads_text() => conversion.start_of_text(time.text(arena)),
            Datum::Text(time) => conversion.start_of_text(time),
            time => conversion.start_of_number(time.long()?),
        };
        let start =
            start.ok_or_else(|| Fault::new(format!("{} is not written in its time format", args[0].shown())))?;
        if conversion.writes_text() {
            return conversion.text(start).map(|written| text(&written, arena)).ok_or_else(|| far(args[0]));
        }
        conversion.number(start).map(Datum::Long).ok_or_else(|| far(args[0]))
    })
}

const ISO: &str = "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'";

pub(super) const FUNCTIONS: &[Function] = &[
    one!("toEpochSeconds", to_epoch, 1, SECOND),
    many!("toEpochSecondsMV", to_epoch, 1, SECOND),
    one!("toEpochMinutes", to_epoch, 1, MINUTE),
    many!("toEpochMinutesMV", to_epoch, 1, MINUTE),
    one!("toEpochHours", to_epoch, 1, HOUR),
    many!("toEpochHoursMV", to_epoch, 1, HOUR),
    one!("toEpochDays", to_epoch, 1, DAY),
    many!("toEpochDaysMV", to_epoch, 1, DAY),
    one!("toEpochSecondsRounded", rounded, 2, SECOND),
    many!("toEpochSecondsRoundedMV", rounded, 2, SECOND),
    one!("toEpochMinutesRounded", rounded, 2, MINUTE),
    many!("toEpochMinutesRoundedMV", rounded, 2, MINUTE),
    one!("toEpochHoursRounded", rounded, 2, HOUR),
    many!("toEpochHoursRoundedMV", rounded, 2, HOUR),
    one!("toEpochDaysRounded", rounded, 2, DAY),
    many!("toEpochDaysRoundedMV", rounded, 2, DAY),
    one!("toEpochSecondsBucket", bucket, 2, SECOND),
    many!("toEpochSecondsBucketMV", bucket, 2, SECOND),
    one!("toEpochMinutesBucket", bucket, 2, MINUTE),
    many!("toEpochMinutesBucketMV", bucket, 2, MINUTE),
    one!("toEpochHoursBucket", bucket, 2, HOUR),
    many!("toEpochHoursBucketMV", bucket, 2, HOUR),
    one!("toEpochDaysBucket", bucket, 2, DAY),
    many!("toEpochDaysBucketMV", bucket, 2, DAY),
    one!("fromEpochSeconds", from_epoch, 1, SECOND),
    many!("fromEpochSecondsMV", from_epoch, 1, SECOND),
    one!("fromEpochMinutes", from_epoch, 1, MINUTE),
    many!("fromEpochMinutesMV", from_epoch, 1, MINUTE),
    one!("fromEpochHours", from_epoch, 1, HOUR),
    many!("fromEpochHoursMV", from_epoch, 1, HOUR),
    one!("fromEpochDays", from_epoch, 1, DAY),
    many!("fromEpochDaysMV", from_epoch, 1, DAY),
    one!("fromEpochSecondsBucket", from_bucket, 2, SECOND),
    many!("fromEpochSecondsBucketMV", from_bucket, 2, SECOND),
    one!("fromEpochMinutesBucket", from_bucket, 2, MINUTE),
    many!("fromEpochMinutesBucketMV", from_bucket, 2, MINUTE),
    one!("fromEpochHoursBucket", from_bucket, 2, HOUR),
    many!("fromEpochHoursBucketMV", from_bucket, 2, HOUR),
    one!("fromEpochDaysBucket", from_bucket, 2, DAY),
    many!("fromEpochDaysBucketMV", from_bucket, 2, DAY),
    one!("toEpochMillis", to_epoch, 1, 1),
    many!("toEpochMillisMV", to_epoch, 1, 1),
    one!("fromEpochMillis", from_epoch, 1, 1),
    many!("fromEpochMillisMV", from_epoch, 1, 1),
    one!("round", rounded, 2, 1),
    many!("roundMV", rounded, 2, 1),
    one!("toEpochMillisBucket", bucket, 2, 1),
    many!("toEpochMillisBucketMV", bucket, 2, 1),
    Function::plain(&["toTimestamp"], 1, 1, TIMESTAMP, |args, _| args[0].millis().map(Datum::Timestamp)),
    Function::plain(&["fromTimestamp"], 1, 1, LONG, |args, _| args[0].millis().map(Datum::Long)),
    Function::made(&["toIso8601"], 1, 1, STRING, |_| with((Pattern::parse(ISO)?, Zone::UTC), to_date_time)),
    Function::plain(&["fromIso8601"], 1, 1, LONG, |args, _| args[0].millis().map(Datum::Long)),
    Function::made(&["toDateTime"], 2, 3, STRING, |constants| with(pattern_and_zone(constants)?, to_date_time)),
    Function::made(&["toDateTimeMV"], 2, 3, STRINGS, |constants| {
        with(pattern_and_zone(constants)?, |made, args, arena| {
            let items = args[0].items(arena);
            let texts: Result<Vec<Datum<'_>>, Fault> =
                items.iter().map(|item| to_date_time(made, &[*item], arena)).collect();
            Ok(list(texts?, arena))
        })
    }),
    Function::made(&["fromDateTime"], 2, 4, LONG, |constants| with(pattern_and_zone(constants)?, from_date_time)),
    Function::made(&["dateTrunc"], 2, 5, LONG, date_trunc),
    Function::made(&["dateTimeConvert"], 4, 5, STRING, conversion),
    Function::made(&["dateBin"], 3, 3, TIMESTAMP, |constants| {
        with(period_ms(constant(constants, 0, "the length of a bin")?)?, |length, args, _| {
            let start = bin(*length, args[1].millis()?, args[2].millis()?);
            start.map(Datum::Timestamp).ok_or_else(|| far(args[1]))
        })
    }),
    Function::made(&["timestampAdd", "dateAdd"], 3, 3, LONG, |constants| {
        with(Unit::parse(constant(constants, 0, "the unit")?)?, |unit, args, _| {
            let sum = parts::add(args[2].millis()?, *unit, args[1].long()?);
            sum.map(Datum::Long).ok_or_else(|| far(args[2]))
        })
    }),
    Function::made(&["timestampDiff", "dateDiff"], 3, 3, LONG, |constants| {
        with(Unit::parse(constant(constants, 0, "the unit")?)?, |unit, args, _| {
            let difference = parts::difference(args[1].millis()?, args[2].millis()?, *unit);
            difference.map(Datum::Long).ok_or_else(|| far(args[2]))
        })
    }),
    Function::made(&["extract"], 2, 2, INT, |constants| {
        with(Part::parse(constant(constants, 0, "the part")?)?, |part, args, _| {
            let part = part.of(args[1].millis()?, Zone::UTC);
            part.map(|part| Datum::Long(part.into())).ok_or_else(|| far(args[1]))
        })
    }),
    Function::made(&["timezoneHour"], 1, 1, INT, |constants| {
        with(Offset(zone(constants, 0)?), |offset, _, _| Ok(Datum::Long(offset.ms() / HOUR)))
    }),
    Function::made(&["timezoneMinute"], 1, 1, INT, |constants| {
        with(Offset(zone(constants, 0)?), |offset, _, _| Ok(Datum::Long(offset.ms() / MINUTE % 60)))
    }),
    part!(&["year"], Part::Year),
    part!(&["yearOfWeek", "yow"], Part::YearOfWeek),
    part!(&["quarter"], Part::Quarter),
    part!(&["month", "monthOfYear"], Part::Month),
    part!(&["week", "weekOfYear"], Part::Week),
    part!(&["dayOfYear", "doy"], Part::DayOfYear),
    part!(&["dayOfMonth", "day"], Part::Day),
    part!(&["dayOfWeek", "dow"], Part::DayOfWeek),
    part!(&["hour"], Part::Hour),
    part!(&["minute"], Part::Minute),
    part!(&["second"], Part::Second),
    part!(&["millisecond"], Part::Millisecond),
];

/// A zone's distance from UTC at the epoch.
struct Offset(Zone);

impl Offset {
    fn ms(&self) -> i64 {
        -instant_of_local(0, self.0).unwrap_or(0)
    }
}
