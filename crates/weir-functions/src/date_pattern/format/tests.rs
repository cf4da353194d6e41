//! Formats in both spellings, read and written.

use super::*;
use proptest::prelude::*;

fn format(text: &str) -> DateTimeFormat {
    DateTimeFormat::parse(text).unwrap()
}

/// 2026-01-31T12:34:56.789Z.
const SAMPLE: i64 = 1_769_862_896_789;

#[test]
fn epochs_have_units_and_sizes() {
    for (text, number, ms) in [
        ("1:MILLISECONDS:EPOCH", SAMPLE, SAMPLE),
        ("EPOCH|MILLISECONDS|1", SAMPLE, SAMPLE),
        ("EPOCH", SAMPLE, SAMPLE),
        ("EPOCH|SECONDS", 1_769_862_896, 1_769_862_896_000),
        ("5:MINUTES:EPOCH", 10, 3_000_000),
        ("1:HOURS:EPOCH", -1, -3_600_000),
        ("1:DAYS:EPOCH", 20_484, 1_769_817_600_000),
        ("1:MICROSECONDS:EPOCH", 1_769_862_896_789_123, SAMPLE),
        ("1:NANOSECONDS:EPOCH", 1_769_862_896_789_123_456, SAMPLE),
        ("1:MILLISECONDS:TIMESTAMP", SAMPLE, SAMPLE),
        ("TIMESTAMP", SAMPLE, SAMPLE),
    ] {
        assert_eq!(format(text).to_millis(&Value::Long(number)), Some(ms), "{text}");
        assert_eq!(format(text).to_millis(&Value::Str(number.to_string().into())), Some(ms), "{text}");
    }
    assert_eq!(format("5:MINUTES:EPOCH").from_millis(3_299_999, Stored::Int), Some(Value::Int(10)));
    assert_eq!(format("1:DAYS:EPOCH").to_millis(&Value::Long(i64::MAX)), None);
    assert_eq!(format("1:DAYS:EPOCH").to_millis(&Value::Str("x".into())), None);
    assert_eq!(
        format("TIMESTAMP").from_millis(SAMPLE, Stored::Str),
        Some(Value::Str("2026-01-31 12:34:56.789".into()))
    );
    assert_eq!(format("EPOCH").from_millis(SAMPLE, Stored::Int), None, "does not fit 32 bits");
}

#[test]
fn patterns_read_and_write_the_same_text() {
    for (text, written, ms) in [
        ("1:DAYS:SIMPLE_DATE_FORMAT:yyyyMMdd", "20260131", 1_769_817_600_000),
        ("1:DAYS:SIMPLE_DATE_FORMAT:yyyy-MM-dd tz(America/Los_Angeles)", "2026-01-31", 1_769_846_400_000),
        ("SIMPLE_DATE_FORMAT|yyyy-MM-dd|UTC", "2026-01-31", 1_769_817_600_000),
        ("SIMPLE_DATE_FORMAT|yyyy-MM-dd HH:mm|Asia/Kolkata", "2026-01-31 18:04", 1_769_862_840_000),
        ("SIMPLE_DATE_FORMAT|yyyy-MM-dd'T'HH:mm:ss.SSS'Z'", "2026-01-31T12:34:56.789Z", SAMPLE),
        ("1:SECONDS:SIMPLE_DATE_FORMAT:yyyy-MM-dd HH:mm:ss", "2026-01-31 12:34:56", 1_769_862_896_000),
        (
            "1:SECONDS:SIMPLE_DATE_FORMAT:EEE MMM dd HH:mm:ss Z yyyy",
            "Sat Jan 31 12:34:56 +0000 2026",
            1_769_862_896_000,
        ),
        ("SIMPLE_DATE_FORMAT|EEEE, d MMMM yyyy h:mm a", "Saturday, 31 January 2026 12:34 PM", 1_769_862_840_000),
        ("SIMPLE_DATE_FORMAT|yyyy-MM-dd'T'HH:mm:ssZZ|Asia/Kolkata", "2026-01-31T18:04:56+05:30", 1_769_862_896_000),
        ("SIMPLE_DATE_FORMAT|yyyyDDD", "2026031", 1_769_817_600_000),
        ("SIMPLE_DATE_FORMAT|xxxx-'W'ww-e", "2026-W05-6", 1_769_817_600_000),
        ("SIMPLE_DATE_FORMAT|yyMMdd kk", "260131 24", 1_769_817_600_000),
        ("SIMPLE_DATE_FORMAT", "2026-01-31T12:34:56.789+00:00", SAMPLE),
        ("SIMPLE_DATE_FORMAT|yyyy 'o''clock'", "2026 o'clock", 1_767_225_600_000),
    ] {
        let parsed = format(text);
        assert_eq!(parsed.to_millis(&Value::Str(written.into())), Some(ms), "{text}");
        assert_eq!(parsed.from_millis(ms, Stored::Str), Some(Value::Str(written.into())), "{text}");
    }
    let days = format("1:DAYS:SIMPLE_DATE_FORMAT:yyyyMMdd");
    assert_eq!(days.to_millis(&Value::Int(20_260_131)), Some(1_769_817_600_000));
    assert_eq!(days.from_millis(1_769_817_600_000, Stored::Int), Some(Value::Int(20_260_131)));
    for bad in ["2026013", "20260231", "2026-01-31", "", "x"] {
        assert_eq!(days.to_millis(&Value::Str(bad.into())), None, "{bad}");
    }
}

#[test]
fn clocks_that_skip_or_repeat_have_an_answer() {
    let berlin = format("SIMPLE_DATE_FORMAT|yyyy-MM-dd HH:mm|Europe/Berlin");
    let ms = |text: &str| berlin.to_millis(&Value::Str(text.into())).unwrap();
    assert_eq!(ms("2026-03-29 02:30"), ms("2026-03-29 03:30"), "skipped: as if the clock had not moved yet");
    assert_eq!(ms("2026-10-25 02:30") + 2 * 3_600_000, ms("2026-10-25 03:30"), "twice: the earlier");
}

#[test]
fn what_is_wrong_is_named() {
    for (text, word) in [
        ("1:DAYS", "kind"),
        ("", "kind"),
        ("FOO|x", "FOO"),
        ("1:FORTNIGHTS:EPOCH", "FORTNIGHTS"),
        ("0:DAYS:EPOCH", "'0'"),
        ("1:DAYS:SIMPLE_DATE_FORMAT:yyyy tz(Mars/Base)", "Mars/Base"),
        ("SIMPLE_DATE_FORMAT|yyyy-MM-ddTHH", "'T'"),
        ("SIMPLE_DATE_FORMAT|yyyy'x", "quote"),
    ] {
        let error = DateTimeFormat::parse(text).unwrap_err().to_string();
        assert!(error.contains(word), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn written_times_are_read_back(ms in -2_000_000_000_000i64..4_000_000_000_000, zone in prop_oneof!["UTC", "Asia/Tokyo"]) {
        let format = format(&format!("SIMPLE_DATE_FORMAT|yyyy-MM-dd'T'HH:mm:ss.SSS|{zone}"));
        let text = format.from_millis(ms, Stored::Str).unwrap();
        prop_assert_eq!(format.to_millis(&text), Some(ms));
    }

    #[test]
    fn no_text_makes_it_panic(pattern in "[yMdHhmsSaZzEDwxe' :-]{0,12}", text in ".{0,20}") {
        if let Ok(format) = DateTimeFormat::parse(&format!("SIMPLE_DATE_FORMAT|{pattern}")) {
            // A text is read or not; what is written by the pattern itself always has a text.
            std::hint::black_box(format.to_millis(&Value::Str(text.into())));
            prop_assert!(format.from_millis(SAMPLE, Stored::Str).is_some());
        }
        prop_assert!(DateTimeFormat::parse(&pattern).is_err());
    }
}
