//! Joda's date-time patterns: read and written to the millisecond.

use super::{
    error::DateError,
    timestamp::{number, offset_from_text},
    zone::{Zone, instant_of_local, short_named, zone_named},
};
use chrono::{DateTime, Datelike as _, NaiveDate, Offset as _, TimeZone as _, Timelike as _, Weekday};
use std::fmt::Write as _;

/// A pattern made ready.
///
/// It has Joda's letters `y Y x M d D e E w a h H k K m s S Z z` and text, between quotes where it has letters; names
/// are English. A zone is an offset (`Z` is `+0200`, `ZZ` is `+02:00`; both read either, and a Z for UTC), an id (`ZZZ`,
/// `Europe/Berlin`) or a short name (`z`, `CET`, of which Joda reads those of UTC and of the United States).
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern(Vec<Item>);

#[derive(Debug, Clone, PartialEq)]
enum Item {
    Literal(String),
    Field { letter: char, count: usize },
}

/// What was read: a clock's milliseconds since 1970, and the offset or the zone that the text named.
struct Local {
    ms: i64,
    offset_seconds: Option<i64>,
    zone: Option<Zone>,
}

const LETTERS: &str = "yYxMdDeEwahHkKmsSZz";
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

/// The fields that a text named.
#[derive(Debug, Default)]
struct Fields {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    week_year: Option<i32>,
    week: Option<u32>,
    weekday: Option<u32>,
    hour: Option<u32>,
    half_hour: Option<u32>,
    afternoon: Option<bool>,
    minute: u32,
    second: u32,
    millis: u32,
    offset_seconds: Option<i64>,
    zone: Option<Zone>,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// If it has a letter that means nothing, or a quote that is not closed.
    pub fn parse(text: &str) -> Result<Self, DateError> {
        let refuse = |reason: String| DateError::Pattern { pattern: text.to_owned(), reason };
        let mut items = vec![];
        let mut chars = text.chars().peekable();
        while let Some(first) = chars.next() {
            match first {
                '\'' => {
                    let mut quoted = String::new();
                    loop {
                        match chars.next() {
                            Some('\'') if chars.peek() == Some(&'\'') => {
                                chars.next();
                                quoted.push('\'');
                            }
                            Some('\'') => break,
                            Some(other) => quoted.push(other),
                            None => return Err(refuse("a quote is not closed".to_owned())),
                        }
                    }
                    // Two quotes with nothing between are one.
                    items.push(Item::Literal(if quoted.is_empty() { "'".to_owned() } else { quoted }));
                }
                letter if letter.is_ascii_alphabetic() => {
                    if !LETTERS.contains(letter) {
                        return Err(refuse(format!(
                            "the letter '{letter}' is none of {LETTERS}; put text between single quotes"
                        )));
                    }
                    let mut count = 1;
                    while chars.next_if_eq(&letter).is_some() {
                        count += 1;
                    }
                    if letter == 'z' && count >= 4 {
                        return Err(refuse(format!(
                            "'{}' is the long name of a zone, which is not known here: z is its short name, ZZZ its id, Z \
                             its offset",
                            "z".repeat(count)
                        )));
                    }
                    items.push(Item::Field { letter, count });
                }
                other => match items.last_mut() {
                    Some(Item::Literal(text)) => text.push(other),
                    _ => items.push(Item::Literal(other.to_string())),
                },
            }
        }
        Ok(Self(items))
    }

    /// Milliseconds since the epoch of a text that has exactly this form; `None` where it has not. What the text names no
    /// zone or offset for is in `zone`.
    #[must_use]
    pub fn read(&self, text: &str, zone: Zone) -> Option<i64> {
        let local = self.read_local(text)?;
        match local.offset_seconds {
            Some(seconds) => local.ms.checked_sub(seconds * 1000),
            None => instant_of_local(local.ms, local.zone.unwrap_or(zone)),
        }
    }

    fn read_local(&self, text: &str) -> Option<Local> {
        let mut rest = text;
        let mut fields = Fields::default();
        for (at, item) in self.0.iter().enumerate() {
            match item {
                Item::Literal(literal) => rest = rest.strip_prefix(literal.as_str())?,
                Item::Field { letter, count } => {
                    // Fields that touch are told apart by their count of digits alone.
                    let tight = self.0.get(at + 1).is_some_and(Item::is_numeric);
                    let touches = tight || (at > 0 && self.0[at - 1].is_numeric());
                    let least = if touches { *count } else { 1 };
                    fields.read(*letter, *count, least, tight, &mut rest)?;
                }
            }
        }
        if rest.is_empty() { fields.local() } else { None }
    }

    /// The text of a time, in milliseconds since the epoch, in a zone; `None` out of the calendar's range.
    #[must_use]
    pub fn write(&self, ms: i64, zone: Zone) -> Option<String> {
        let time = &zone.from_utc_datetime(&DateTime::from_timestamp_millis(ms)?.naive_utc());
        let mut out = String::new();
        for item in &self.0 {
            match item {
                Item::Literal(literal) => out.push_str(literal),
                Item::Field { letter, count } => write_field(*letter, *count, time, &mut out),
            }
        }
        Some(out)
    }
}

impl Item {
    fn is_numeric(&self) -> bool {
        match self {
            Self::Literal(_) => false,
            Self::Field { letter: 'M', count } => *count < 3,
            Self::Field { letter, .. } => !"EaZz".contains(*letter),
        }
    }
}

impl Fields {
    fn read(&mut self, letter: char, count: usize, least: usize, tight: bool, rest: &mut &str) -> Option<()> {
        let short = |most: usize| if tight { count.min(most) } else { most };
        let least = least.min(if "yYx".contains(letter) {
            9
        } else if letter == 'D' {
            3
        } else {
            2
        });
        match letter {
            'y' | 'Y' | 'x' => {
                let sign = if let Some(after) = rest.strip_prefix('-') {
                    *rest = after;
                    -1
                } else {
                    1
                };
                let before = rest.len();
                let value = i32::try_from(number(rest, least, if tight { count } else { 9 })?).ok()?;
                // Two digits are a year from 1970 to 2069.
                let two = count == 2 && before - rest.len() == 2;
                let value = sign * if two { if value < 70 { 2000 + value } else { 1900 + value } } else { value };
                if letter == 'x' { self.week_year = Some(value) } else { self.year = Some(value) }
            }
            'M' if count >= 3 => self.month = Some(name(rest, &MONTHS)?),
            'E' => self.weekday = Some(name(rest, &DAYS)?),
            'M' => self.month = Some(number(rest, least, short(2))?),
            'd' => self.day = Some(number(rest, least, short(2))?),
            'D' => self.day_of_year = Some(number(rest, least, short(3))?),
            'e' => self.weekday = Some(number(rest, 1, 1)?),
            'w' => self.week = Some(number(rest, least, short(2))?),
            'a' => {
                let word = rest.get(..2)?;
                self.afternoon = Some(if word.eq_ignore_ascii_case("pm") {
                    true
                } else if word.eq_ignore_ascii_case("am") {
                    false
                } else {
                    return None;
                });
                *rest = &rest[2..];
            }
            'H' => self.hour = Some(number(rest, least, short(2))?),
            'k' => self.hour = Some(number(rest, least, short(2)).filter(|hour| (1..=24).contains(hour))? % 24),
            'K' => self.half_hour = Some(number(rest, least, short(2)).filter(|hour| *hour < 12)?),
            'h' => self.half_hour = Some(number(rest, least, short(2)).filter(|hour| (1..=12).contains(hour))? % 12),
            'm' => self.minute = number(rest, least, short(2))?,
            's' => self.second = number(rest, least, short(2))?,
            'S' => {
                let digits = rest.bytes().take(count).take_while(u8::is_ascii_digit).count();
                if digits != count {
                    return None;
                }
                self.millis =
                    rest.bytes().take(count).chain(*b"00").take(3).fold(0, |ms, b| ms * 10 + u32::from(b - b'0'));
                *rest = &rest[count..];
            }
            'Z' if count < 3 => {
                let word = word(rest, |letter| letter.is_ascii_digit() || "+-:Zz".contains(letter));
                self.offset_seconds = Some(offset_from_text(word)?);
            }
            'Z' => {
                let id = word(rest, |letter| letter.is_ascii_alphanumeric() || "/_+-".contains(letter));
                let named = |zone: &Zone| matches!(zone, Zone::Named(_)) && id != "Z";
                self.zone = Some(zone_named(id).ok().filter(named)?);
            }
            _ => self.zone = Some(short_named(word(rest, |letter| letter.is_ascii_alphabetic()))?),
        }
        Some(())
    }

    /// Fields that are not named are those of 1970-01-01 at midnight; a month or day without a year is in 2000.
    fn local(&self) -> Option<Local> {
        let date = if self.week_year.is_some() || self.week.is_some() {
            let weekday = Weekday::try_from(u8::try_from(self.weekday.unwrap_or(1).checked_sub(1)?).ok()?).ok()?;
            NaiveDate::from_isoywd_opt(self.week_year.or(self.year).unwrap_or(1970), self.week.unwrap_or(1), weekday)?
        } else if let Some(day) = self.day_of_year {
            NaiveDate::from_yo_opt(self.year.unwrap_or(2000), day)?
        } else {
            let fallback = if self.month.or(self.day).is_some() { 2000 } else { 1970 };
            NaiveDate::from_ymd_opt(self.year.unwrap_or(fallback), self.month.unwrap_or(1), self.day.unwrap_or(1))?
        };
        let half = if self.afternoon == Some(true) { 12 } else { 0 };
        let hour = self.hour.unwrap_or(self.half_hour.unwrap_or(0) + half);
        let time = date.and_hms_milli_opt(hour, self.minute, self.second, self.millis)?;
        Some(Local { ms: time.and_utc().timestamp_millis(), offset_seconds: self.offset_seconds, zone: self.zone })
    }
}

/// Takes letters off the front.
fn word<'a>(rest: &mut &'a str, of: impl Fn(char) -> bool) -> &'a str {
    let (word, after) = rest.split_at(rest.find(|letter| !of(letter)).unwrap_or(rest.len()));
    *rest = after;
    word
}

/// Takes a name (whole, or its first three letters) off the front; its position from 1.
fn name(rest: &mut &str, names: &[&str]) -> Option<u32> {
    for length in [usize::MAX, 3] {
        for (at, name) in (1..).zip(names) {
            let name = &name[..name.len().min(length)];
            if rest.get(..name.len()).is_some_and(|word| word.eq_ignore_ascii_case(name)) {
                *rest = &rest[name.len()..];
                return Some(at);
            }
        }
    }
    None
}

fn write_field(letter: char, count: usize, time: &DateTime<Zone>, out: &mut String) {
    let padded = |value: i64| {
        let sign = if value < 0 { "-" } else { "" };
        format!("{sign}{:0count$}", value.unsigned_abs())
    };
    let named = |name: &str| if count >= 4 { name.to_owned() } else { name[..3].to_owned() };
    let year = |year: i32| padded(if count == 2 { i64::from(year.rem_euclid(100)) } else { i64::from(year) });
    let half = i64::from(time.hour() % 12);
    let text = match letter {
        'y' | 'Y' => year(time.year()),
        'x' => year(time.iso_week().year()),
        'M' if count >= 3 => named(MONTHS[time.month0() as usize]),
        'M' => padded(i64::from(time.month())),
        'E' => named(DAYS[time.weekday().num_days_from_monday() as usize]),
        'e' => padded(i64::from(time.weekday().number_from_monday())),
        'w' => padded(i64::from(time.iso_week().week())),
        'd' => padded(i64::from(time.day())),
        'D' => padded(i64::from(time.ordinal())),
        'a' => if time.hour() < 12 { "AM" } else { "PM" }.to_owned(),
        'H' => padded(i64::from(time.hour())),
        'k' => padded(if time.hour() == 0 { 24 } else { i64::from(time.hour()) }),
        'K' => padded(half),
        'h' => padded(if half == 0 { 12 } else { half }),
        'm' => padded(i64::from(time.minute())),
        's' => padded(i64::from(time.second())),
        'S' => {
            let millis = format!("{:03}", time.timestamp_subsec_millis());
            millis.chars().chain(std::iter::repeat('0')).take(count).collect()
        }
        'Z' if count >= 3 => time.timezone().to_string(),
        'z' => time.format("%Z").to_string(),
        _ => {
            let seconds = time.offset().fix().local_minus_utc();
            let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.abs() / 60);
            let colon = if count == 2 { ":" } else { "" };
            format!("{sign}{:02}{colon}{:02}", minutes / 60, minutes % 60)
        }
    };
    out.write_str(&text).expect("a String takes every text");
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
            assert_eq!(made.write(ms, Zone::UTC).unwrap(), text);
            assert_eq!(made.read(text, Zone::UTC), Some(ms), "{pattern}");
        }
    }

    #[test]
    fn zones_shift_and_bad_text_is_refused() {
        let pattern = Pattern::parse("yyyy-MM-dd HH").unwrap();
        let zone = Zone::Named(chrono_tz::Tz::Europe__Berlin);
        assert_eq!(pattern.write(0, zone).unwrap(), "1970-01-01 01");
        assert_eq!(pattern.read("1970-01-01 01", zone), Some(0));
        for bad in ["1970-13-01 00", "1970-01-01", "x", "1970-01-01 00 "] {
            assert_eq!(pattern.read(bad, Zone::UTC), None, "{bad}");
        }
        assert!(Pattern::parse("yyyy-Q").is_err());
        for far in [i64::MIN, i64::MAX] {
            assert_eq!(pattern.write(far, zone), None);
        }
    }

    #[test]
    fn a_zone_in_the_text_wins() {
        for (pattern, text, ms) in [
            ("yyyy-MM-dd HH Z", "1970-01-01 00 +0200", -7_200_000),
            ("yyyy-MM-dd HHZ", "1970-01-01 00+02:00", -7_200_000),
            ("yyyy-MM-dd HHZZ", "1970-01-01 00Z", 0),
            ("yyyy-MM-dd HH ZZZ", "1970-01-01 00 Asia/Tokyo", -32_400_000),
            ("yyyy-MM-dd HH '['ZZZ']'", "1970-01-01 00 [UTC]", 0),
            ("yyyy-MM-dd HH z", "1970-01-01 00 PST", 28_800_000),
            ("HH z yyyy", "00 GMT 1970", 0),
        ] {
            let made = Pattern::parse(pattern).unwrap();
            assert_eq!(made.read(text, Zone::Named(chrono_tz::Tz::Europe__Berlin)), Some(ms), "{pattern} {text}");
        }
    }

    #[test]
    fn letters_of_zones_mean_one_thing_each() {
        let ms = 1_771_934_401_234;
        for (letters, shown, others) in [
            ("Z", "+0100", ["CET", "Europe/Berlin"]),
            ("ZZ", "+01:00", ["CET", "Europe/Berlin"]),
            ("ZZZ", "Europe/Berlin", ["+01:00", "Z"]),
            ("z", "CET", ["+0100", "Europe/Berlin"]),
        ] {
            let made = Pattern::parse(&format!("yyyy {letters}")).unwrap();
            assert_eq!(made.write(ms, Zone::Named(chrono_tz::Tz::Europe__Berlin)).unwrap(), format!("2026 {shown}"));
            for other in others {
                assert_eq!(made.read(&format!("2026 {other}"), Zone::UTC), None, "{letters} {other}");
            }
        }
        // Joda writes any short name, and reads those that it knows a zone for.
        assert_eq!(Pattern::parse("yyyy z").unwrap().read("2026 CET", Zone::UTC), None);
        let long = Pattern::parse("yyyy zzzz").unwrap_err().to_string();
        assert!(long.contains("zzzz") && long.contains("ZZZ its id"), "{long}");
    }
}
