//! Joda date patterns: the letters that dates are written with, both ways.

use chrono::{DateTime, Datelike, NaiveDate, Offset, TimeZone, Timelike};
use chrono_tz::Tz;
use datafusion::common::{Result, exec_datafusion_err};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    /// A letter and how often it stands there.
    Field(char, usize),
    Text(String),
}

/// A pattern made ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Item>);

impl Pattern {
    /// Reads a pattern.
    pub(super) fn parse(pattern: &str) -> Result<Self> {
        let mut items: Vec<Item> = vec![];
        let mut letters = pattern.chars().peekable();
        let text = |items: &mut Vec<Item>, letter: char| match items.last_mut() {
            Some(Item::Text(text)) => text.push(letter),
            _ => items.push(Item::Text(letter.to_string())),
        };
        while let Some(letter) = letters.next() {
            if letter == '\'' {
                if letters.next_if_eq(&'\'').is_some() {
                    text(&mut items, '\'');
                    continue;
                }
                while let Some(quoted) = letters.next() {
                    if quoted == '\'' && letters.next_if_eq(&'\'').is_none() {
                        break;
                    }
                    text(&mut items, quoted);
                }
            } else if letter.is_ascii_alphabetic() {
                if !"yYxMdDHhkKmsSaEewzZ".contains(letter) {
                    return Err(exec_datafusion_err!(
                        "date pattern '{pattern}' has the letter '{letter}', which means nothing"
                    ));
                }
                let mut count = 1;
                while letters.next_if_eq(&letter).is_some() {
                    count += 1;
                }
                items.push(Item::Field(letter, count));
            } else {
                text(&mut items, letter);
            }
        }
        Ok(Self(items))
    }

    /// Writes a time.
    pub(super) fn write(&self, ms: i64, zone: Tz) -> Option<String> {
        let time = zone.timestamp_millis_opt(ms).single()?;
        let mut out = String::new();
        for item in &self.0 {
            match item {
                Item::Text(text) => out.push_str(text),
                Item::Field(letter, count) => field(&mut out, &time, *letter, *count),
            }
        }
        Some(out)
    }

    /// Reads a time; what the pattern does not name is that of the epoch.
    pub(super) fn read(&self, text: &str, zone: Tz) -> Option<i64> {
        let mut read = Read { rest: text, year: 1970, month: 1, day: 1, ..Read::default() };
        for (at, item) in self.0.iter().enumerate() {
            // A number runs into the next one: it may not take that one's digits.
            let tight = matches!(self.0.get(at + 1), Some(Item::Field(letter, _)) if !"aEzZ".contains(*letter));
            match item {
                Item::Text(expected) => read.rest = read.rest.strip_prefix(expected.as_str())?,
                Item::Field(letter, count) => read.field(*letter, *count, tight)?,
            }
        }
        if read.rest.is_empty() { read.ms(zone) } else { None }
    }
}

fn field(out: &mut String, time: &DateTime<Tz>, letter: char, count: usize) {
    let number = |value: i64| format!("{value:0count$}");
    out.push_str(&match letter {
        'y' | 'Y' if count == 2 => format!("{:02}", time.year().rem_euclid(100)),
        'y' | 'Y' => number(time.year().into()),
        'x' => number(time.iso_week().year().into()),
        'M' if count >= 3 => cut(MONTHS[time.month0() as usize], count).to_owned(),
        'M' => number(time.month().into()),
        'd' => number(time.day().into()),
        'D' => number(time.ordinal().into()),
        'H' => number(time.hour().into()),
        'k' => number(if time.hour() == 0 { 24 } else { time.hour() }.into()),
        'h' => number(time.hour12().1.into()),
        'K' => number((time.hour() % 12).into()),
        'm' => number(time.minute().into()),
        's' => number(time.second().into()),
        'S' => format!("{:0<count$.count$}", format!("{:09}", time.nanosecond())),
        'a' => if time.hour() < 12 { "AM" } else { "PM" }.to_owned(),
        'E' => cut(DAYS[time.weekday().num_days_from_monday() as usize], count).to_owned(),
        'e' => number(time.weekday().number_from_monday().into()),
        'w' => number(time.iso_week().week().into()),
        'z' => time.format("%Z").to_string(),
        _ => {
            let minutes = time.offset().fix().local_minus_utc() / 60;
            let (sign, minutes) = if minutes < 0 { ('-', -minutes) } else { ('+', minutes) };
            let colon = if count > 1 { ":" } else { "" };
            format!("{sign}{:02}{colon}{:02}", minutes / 60, minutes % 60)
        }
    });
}

/// A name, or its first three letters.
fn cut(name: &str, count: usize) -> &str {
    if count >= 4 { name } else { &name[..3] }
}

#[derive(Default)]
struct Read<'a> {
    rest: &'a str,
    year: i32,
    month: u32,
    day: u32,
    ordinal: Option<u32>,
    hour: u32,
    /// The hour was one of twelve.
    twelve: bool,
    afternoon: bool,
    minute: u32,
    second: u32,
    ms: u32,
    offset_minutes: Option<i32>,
}

impl Read<'_> {
    fn number(&mut self, count: usize, tight: bool) -> Option<u32> {
        let most = if tight { count } else { 9 };
        let digits = self.rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        number.parse().ok()
    }

    fn name(&mut self, names: &[&str]) -> Option<u32> {
        let starts = |name: &str| self.rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        let (at, length) = names.iter().enumerate().find_map(|(at, name)| {
            if starts(name) { Some((at, name.len())) } else { starts(&name[..3]).then_some((at, 3)) }
        })?;
        self.rest = &self.rest[length..];
        u32::try_from(at).ok()
    }

    fn field(&mut self, letter: char, count: usize, tight: bool) -> Option<()> {
        match letter {
            'y' | 'Y' => {
                let short = count == 2;
                let year = i32::try_from(self.number(count.max(if short { 2 } else { 4 }), tight)?).ok()?;
                // Two digits lie within fifty years of 2000.
                self.year = if !short || year > 99 {
                    year
                } else if year < 50 {
                    2000 + year
                } else {
                    1900 + year
                };
            }
            'M' if count >= 3 => self.month = self.name(&MONTHS)? + 1,
            'M' => self.month = self.number(count, tight)?,
            'd' => self.day = self.number(count, tight)?,
            'D' => self.ordinal = Some(self.number(count, tight)?),
            'H' => self.hour = self.number(count, tight)?,
            'k' => self.hour = self.number(count, tight)? % 24,
            'h' | 'K' => (self.hour, self.twelve) = (self.number(count, tight)? % 12, true),
            'm' => self.minute = self.number(count, tight)?,
            's' => self.second = self.number(count, tight)?,
            'S' => {
                let digits =
                    self.rest.bytes().take(if tight { count } else { 9 }).take_while(u8::is_ascii_digit).count();
                let (fraction, rest) = self.rest.split_at(digits);
                self.rest = rest;
                self.ms = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
            }
            'a' => {
                self.afternoon = self.rest.get(..2)?.eq_ignore_ascii_case("PM");
                self.rest = &self.rest[2..];
            }
            'E' => drop(self.name(&DAYS)?),
            'Z' => self.offset_minutes = Some(self.offset()?),
            _ => return None,
        }
        Some(())
    }

    fn offset(&mut self) -> Option<i32> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Some(0);
        }
        let sign = if self.rest.starts_with('-') { -1 } else { 1 };
        self.rest = self.rest.strip_prefix(['+', '-'])?;
        let hours = self.number(2, true)?;
        self.rest = self.rest.strip_prefix(':').unwrap_or(self.rest);
        let minutes = self.number(2, true)?;
        i32::try_from(hours * 60 + minutes).ok().map(|minutes| sign * minutes)
    }

    fn ms(&self, zone: Tz) -> Option<i64> {
        let date = match self.ordinal {
            Some(ordinal) => NaiveDate::from_yo_opt(self.year, ordinal)?,
            None => NaiveDate::from_ymd_opt(self.year, self.month, self.day)?,
        };
        let hour = if self.twelve && self.afternoon { self.hour + 12 } else { self.hour };
        let local = date.and_hms_milli_opt(hour, self.minute, self.second, self.ms)?;
        match self.offset_minutes {
            Some(minutes) => Some(local.and_utc().timestamp_millis() - i64::from(minutes) * 60_000),
            None => super::parts::ms_of(local, zone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_read_what_they_write() {
        let ms = 1_771_934_401_234;
        for (pattern, text) in [
            ("yyyy-MM-dd'T'HH:mm:ss.SSSZ", "2026-02-24T12:00:01.234+0000"),
            ("yyyyMMddHHmmssSSS", "20260224120001234"),
            ("EEE MMM d yyyy h:mm:ss.SSS a", "Tue Feb 24 2026 12:00:01.234 PM"),
            ("yyyy-DDD HH:mm:ss.SSS", "2026-055 12:00:01.234"),
            ("MMMM d, yyyy HH 'o''clock' mm ss SSS", "February 24, 2026 12 o'clock 00 01 234"),
        ] {
            let made = Pattern::parse(pattern).unwrap();
            assert_eq!(made.write(ms, Tz::UTC).unwrap(), text);
            assert_eq!(made.read(text, Tz::UTC), Some(ms), "{pattern}");
        }
    }

    #[test]
    fn zones_shift_and_bad_text_is_refused() {
        let pattern = Pattern::parse("yyyy-MM-dd HH").unwrap();
        let zone = "Europe/Berlin".parse().unwrap();
        assert_eq!(pattern.write(0, zone).unwrap(), "1970-01-01 01");
        assert_eq!(pattern.read("1970-01-01 01", zone), Some(0));
        for bad in ["1970-13-01 00", "1970-01-01", "x", "1970-01-01 00 "] {
            assert_eq!(pattern.read(bad, Tz::UTC), None, "{bad}");
        }
        assert!(Pattern::parse("yyyy-Q").is_err());
    }
}
