//! How long rows and removed objects are kept: `retentionTimeUnit`, `retentionTimeValue`, `deletedSegmentsRetentionPeriod`.

use crate::spec::{
    period::period,
    read::{At, Findings},
};
use std::time::Duration;
use weir_types::RetentionSpec;

/// Units as Java names them, with their milliseconds.
const UNITS: [(&str, u64); 5] =
    [("DAYS", 86_400_000), ("HOURS", 3_600_000), ("MINUTES", 60_000), ("SECONDS", 1000), ("MILLISECONDS", 1)];

/// Reads what a table keeps. Without a time column, or with a unit or a value alone, nothing is ever removed, and the keys
/// are listed as not effective.
pub(super) fn retention(root: &At<'_>, has_time_column: bool, findings: &mut Findings) -> RetentionSpec {
    let segments = root.key("segmentsConfig");
    let (unit_at, value_at) = (segments.key("retentionTimeUnit"), segments.key("retentionTimeValue"));
    let unit = given(&unit_at, findings);
    let value = given(&value_at, findings);
    let keep = match (unit, value) {
        (Some(unit), Some(_)) => keep(&unit, &unit_at, &value_at, findings).filter(|_| {
            if !has_time_column {
                findings.not_yet(unit_at.path.clone());
                findings.not_yet(value_at.path.clone());
            }
            has_time_column
        }),
        (Some(_), None) => {
            findings.not_yet(unit_at.path);
            None
        }
        (None, Some(_)) => {
            findings.not_yet(value_at.path);
            None
        }
        (None, None) => None,
    };
    let default = RetentionSpec::default();
    let objects_kept = objects_kept(&segments.key("deletedSegmentsRetentionPeriod"), findings);
    RetentionSpec { keep, objects_kept: objects_kept.unwrap_or(default.objects_kept) }
}

/// Text that is not empty.
fn given(at: &At<'_>, findings: &mut Findings) -> Option<String> {
    findings.text(at).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn keep(unit: &str, unit_at: &At<'_>, value_at: &At<'_>, findings: &mut Findings) -> Option<Duration> {
    let found = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
    if found.is_none() {
        findings.wrong(unit_at, "must be one of DAYS, HOURS, MINUTES, SECONDS, MILLISECONDS");
    }
    let value = findings.count(value_at, 1)?;
    let millis = found?.1.checked_mul(value).filter(|millis| i64::try_from(*millis).is_ok());
    if millis.is_none() {
        findings.wrong(value_at, "is longer than time is counted: remove it to keep everything");
    }
    millis.map(Duration::from_millis)
}

/// A period; one below zero means at once, as zero does.
fn objects_kept(at: &At<'_>, findings: &mut Findings) -> Option<Duration> {
    let text = given(at, findings)?;
    let found = period(text.strip_prefix('-').unwrap_or(&text));
    if found.is_none() {
        findings.wrong(at, "must be a period such as 7d or 12h; 0d removes objects at once");
    }
    found.map(|period| if text.starts_with('-') { Duration::ZERO } else { period })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    const WEEK: Duration = Duration::from_secs(7 * 86_400);

    fn read(segments: Json, has_time_column: bool) -> (RetentionSpec, Findings) {
        let config = json!({"segmentsConfig": segments});
        let mut findings = Findings::default();
        let found = retention(&At::root(&config), has_time_column, &mut findings);
        (found, findings)
    }

    #[test]
    fn units_and_periods() {
        for (given, keep, objects_kept) in [
            (json!({}), None, WEEK),
            (json!({"retentionTimeUnit": "", "retentionTimeValue": ""}), None, WEEK),
            (json!({"retentionTimeUnit": "DAYS", "retentionTimeValue": "7"}), Some(WEEK), WEEK),
            (json!({"retentionTimeUnit": "hours", "retentionTimeValue": 168}), Some(WEEK), WEEK),
            (json!({"deletedSegmentsRetentionPeriod": "12h"}), None, WEEK / 14),
            (json!({"deletedSegmentsRetentionPeriod": "0d"}), None, Duration::ZERO),
            (json!({"deletedSegmentsRetentionPeriod": "-1d"}), None, Duration::ZERO),
        ] {
            let (found, findings) = read(given.clone(), true);
            assert_eq!((found.keep, found.objects_kept), (keep, objects_kept), "{given}");
            assert!(findings.errors.is_empty() && findings.not_yet_effective.is_empty(), "{given}");
        }
    }

    #[test]
    fn what_cannot_have_an_effect_is_listed() {
        let whole = json!({"retentionTimeUnit": "DAYS", "retentionTimeValue": "7"});
        for (given, has_time_column, listed) in [
            (whole, false, vec!["segmentsConfig.retentionTimeUnit", "segmentsConfig.retentionTimeValue"]),
            (json!({"retentionTimeUnit": "DAYS"}), true, vec!["segmentsConfig.retentionTimeUnit"]),
            (json!({"retentionTimeValue": 5}), true, vec!["segmentsConfig.retentionTimeValue"]),
        ] {
            let (found, findings) = read(given.clone(), has_time_column);
            assert_eq!(found.keep, None, "{given}");
            assert_eq!(
                (findings.not_yet_effective, findings.errors.len()),
                (listed.iter().map(ToString::to_string).collect(), 0)
            );
        }
    }

    #[test]
    fn wrong_values_are_named_with_a_remedy() {
        for (unit, value, period, path, remedy) in [
            ("FORTNIGHTS", "7", "7d", "segmentsConfig.retentionTimeUnit", "must be one of DAYS"),
            ("DAYS", "0", "7d", "segmentsConfig.retentionTimeValue", "at least 1"),
            ("DAYS", "-1", "7d", "segmentsConfig.retentionTimeValue", "at least 1"),
            ("DAYS", "999999999999999", "7d", "segmentsConfig.retentionTimeValue", "remove it to keep everything"),
            ("DAYS", "7", "soon", "segmentsConfig.deletedSegmentsRetentionPeriod", "must be a period"),
        ] {
            let given = json!({
                "retentionTimeUnit": unit, "retentionTimeValue": value, "deletedSegmentsRetentionPeriod": period,
            });
            let (_, findings) = read(given, true);
            let [error] = &findings.errors[..] else { panic!("{:?}", findings.errors) };
            assert_eq!(error.path, path);
            assert!(error.reason.contains(remedy), "{error}");
        }
    }
}
