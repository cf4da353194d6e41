//! From what a node says of a partition to the way of one of its messages. Pure: what was asked for goes in, steps come out.

use serde_json::Value as Json;

/// What the node said.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// The message's offset.
    pub(super) offset: u64,
    /// The partition's row of `system.partitions`; null where the table does not read it now.
    pub(super) partition: Json,
    /// Rows of `system.skips` of the partition, in the order of time.
    pub(super) skips: Vec<Json>,
    /// Rows of `system.segments` of the partition.
    pub(super) segments: Vec<Json>,
    /// The answer about the offset in quarantine.
    pub(super) quarantine: Json,
    /// Whether every rejected message of the table is in quarantine: none was dropped, evicted or deleted.
    pub(super) all_kept: bool,
}

/// One step of the way, or the answer at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// What was looked at.
    pub(super) step: &'static str,
    /// One word for programs.
    pub(super) verdict: &'static str,
    /// For people.
    pub(super) detail: String,
}

fn step(step: &'static str, verdict: &'static str, detail: impl Into<String>) -> Step {
    Step { step, verdict, detail: detail.into() }
}

fn number(row: &Json, key: &str) -> Option<u64> {
    row[key].as_u64()
}

fn word<'a>(row: &'a Json, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_default()
}

/// Milliseconds since the epoch as text in UTC.
pub(super) fn time(row: &Json, key: &str) -> String {
    let Some(ms) = row[key].as_i64() else { return "an unknown time".to_owned() };
    match time_text(ms) {
        Some(text) => text,
        None => format!("{ms} ms"),
    }
}

/// `2026-01-31T12:00:00.123Z`, for times of this era.
fn time_text(ms: i64) -> Option<String> {
    let (days, of_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    // Days since 0000-03-01, so that a leap day ends its year; eras of 400 years are alike.
    let days = u64::try_from(days + 719_468).ok()?;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, milli) = (of_day / 1000 % 60, of_day % 1000);
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"))
}

/// The range of a segment's offsets that were read; an open one ends where the partition stands.
fn range(segment: &Json, next: Option<u64>) -> Option<(u64, u64)> {
    let start = number(segment, "startOffset")?;
    let end = number(segment, "endOffset").or(next).unwrap_or(start);
    Some((start, end))
}

/// The way of the message; the last step is the answer. Where the topic was made anew, it is the message of the log that is read
/// now: what had its offset in the log of before is told beside it.
pub(super) fn way(facts: &Facts) -> Vec<Step> {
    let next = number(&facts.partition, "nextOffset");
    let anew = facts.skips.iter().rfind(|row| word(row, "kind") == "RESTART");
    let holds = |segment: &&Json| range(segment, next).is_some_and(|(start, end)| (start..end).contains(&facts.offset));
    let (replays, segments): (Vec<&Json>, Vec<&Json>) =
        facts.segments.iter().filter(holds).partition(|segment| word(segment, "sealReason") == "replay");
    let (before, segments): (Vec<&Json>, Vec<&Json>) =
        segments.into_iter().partition(|segment| anew.is_some_and(|anew| is_before(segment, anew)));
    let entry = facts.quarantine["entries"].get(0);
    let (entry_before, entry) = match (entry, anew) {
        (Some(entry), Some(anew)) if entry["timeMs"].as_i64() < anew["atMs"].as_i64() => (Some(entry), None),
        (entry, _) => (None, entry),
    };
    let start = anew.and_then(|anew| number(anew, "toOffset")).or_else(|| number(&facts.partition, "startOffset"));
    let mut steps = vec![position(facts, start, !segments.is_empty())];
    let skip = skipped(facts, &mut steps);
    for segment in before {
        let held = in_segment(segment, next).detail;
        steps.push(step(
            "segment",
            "OF_BEFORE",
            format!("in the log of before, that offset was another message: {held}"),
        ));
    }
    if let Some(entry) = entry_before {
        let text = format!("in the log of before, that offset was another message: {}", rejection(entry));
        steps.push(step("quarantine", "OF_BEFORE", text));
    }
    for segment in &segments {
        steps.push(in_segment(segment, next));
    }
    if let Some(entry) = entry {
        steps.push(step("quarantine", "KEPT", rejection(entry)));
    }
    steps.push(answer(facts, &steps[0], skip, segments.last().copied(), &replays, entry));
    steps
}

/// Whether a segment holds messages of the log that was there before the topic was made anew.
fn is_before(segment: &Json, anew: &Json) -> bool {
    // As in Pinot, a segment is called by table, partition, sequence and time.
    let sequence = word(segment, "segment").rsplit("__").nth(1).and_then(|sequence| sequence.parse::<u64>().ok());
    sequence.zip(number(anew, "beforeSequence")).is_some_and(|(sequence, first)| sequence < first)
}

fn position(facts: &Facts, start: Option<u64>, in_segment: bool) -> Step {
    let (offset, row) = (facts.offset, &facts.partition);
    let (Some(start), Some(next)) = (start, number(row, "nextOffset")) else {
        return step("position", "NOT_A_PARTITION", "the table does not read this partition now");
    };
    let doing = match word(row, "reason") {
        "" => word(row, "state").to_owned(),
        reason => format!("{}: {reason}", word(row, "state")),
    };
    let end = number(row, "highWatermark");
    if offset >= next && !in_segment {
        return match end.filter(|end| offset >= *end) {
            Some(end) => {
                step("position", "NOT_WRITTEN", format!("the log ended at {end} when it was last asked ({doing})"))
            }
            None => {
                let behind = offset - next;
                step(
                    "position",
                    "NOT_READ_YET",
                    format!("the next offset to read is {next}, {behind} before it ({doing})"),
                )
            }
        };
    }
    if offset < start && !in_segment {
        return step("position", "BEFORE_START", format!("the table reads this partition from {start} on ({doing})"));
    }
    step("position", "READ", format!("the partition was read from {start} and stands at {next} ({doing})"))
}

/// The skip or loss that the offset lies in, where it was not gone back to since.
fn skipped<'a>(facts: &'a Facts, steps: &mut Vec<Step>) -> Option<&'a Json> {
    let mut skipped = None;
    for row in &facts.skips {
        let (Some(from), Some(to)) = (number(row, "fromOffset"), number(row, "toOffset")) else { continue };
        let kind = word(row, "kind");
        let inside = (from.min(to)..from.max(to)).contains(&facts.offset);
        let (when, why) = (time(row, "atMs"), word(row, "reason"));
        match kind {
            "RESTART" => {
                skipped = None;
                let text =
                    format!("at {when} the topic was found made anew: offsets before that counted in another log");
                steps.push(step("skips", "RESTARTED", text));
            }
            "REWIND" if inside => {
                skipped = None;
                steps.push(step(
                    "skips",
                    "READ_AGAIN",
                    format!("reading went back from {from} to {to} at {when}: {why}"),
                ));
            }
            _ if inside => {
                // What was visible and is passed over is both.
                let is_lost = |row: &&Json| word(row, "kind") == "LOSS";
                skipped = skipped.filter(is_lost).or(Some(row));
                let verdict = if kind == "LOSS" { "LOST" } else { "SKIPPED" };
                steps.push(step("skips", verdict, format!("[{from}, {to}) at {when}: {why}")));
            }
            _ => {}
        }
    }
    skipped
}

fn in_segment(segment: &Json, next: Option<u64>) -> Step {
    let (start, end) = range(segment, next).unwrap_or((0, 0));
    let name = word(segment, "segment");
    let made = time(segment, "createdMs");
    match word(segment, "state") {
        "CONSUMING" => {
            step("segment", "OPEN", format!("{name} holds [{start}, {end}) and grows; it was begun at {made}"))
        }
        "COMMITTING" => step(
            "segment",
            "SEALED",
            format!("{name} holds [{start}, {end}); sealed at {}, not committed yet", time(segment, "sealedMs")),
        ),
        _ => step(
            "segment",
            "COMMITTED",
            format!(
                "{name} holds [{start}, {end}); sealed at {}, kept at {}",
                time(segment, "sealedMs"),
                word(segment, "location")
            ),
        ),
    }
}

fn rejection(entry: &Json) -> String {
    let column = match word(entry, "column") {
        "" => String::new(),
        column => format!(" in column {column}"),
    };
    format!("rejected at {}, stage {}{column}: {}", time(entry, "timeMs"), word(entry, "stage"), word(entry, "reason"))
}

fn answer(
    facts: &Facts,
    position: &Step,
    skip: Option<&Json>,
    segment: Option<&Json>,
    replays: &[&Json],
    entry: Option<&Json>,
) -> Step {
    let said = |verdict, detail: String| step("answer", verdict, detail);
    if let Some(entry) = entry {
        let remedy = if word(entry, "stage") == "DECODE" {
            "what cannot be decoded has to be written to the stream anew"
        } else {
            "mend the table, then `weir quarantine replay` makes a row of it"
        };
        return said("REJECTED", format!("{}; {remedy}", rejection(entry)));
    }
    if let Some(skip) = skip {
        let reason = word(skip, "reason");
        return if word(skip, "kind") == "LOSS" {
            said("LOST", format!("it was read once, its rows were visible, and it could not be read again: {reason}"))
        } else {
            said("SKIPPED", format!("its offset was passed over and never became a row: {reason}"))
        };
    }
    let Some(segment) = segment else {
        return match position.verdict {
            "READ" => said(
                "REMOVED",
                "it was read, and no segment holds it any more: its segment was dropped or is past the table's retention"
                    .to_owned(),
            ),
            verdict => said(verdict, position.detail.clone()),
        };
    };
    if let Some(replay) = replays.first() {
        let text = format!(
            "it is a row, or was rejected and became one in {}, which holds replayed rows around it",
            word(replay, "segment")
        );
        return said("ROW_OR_REPLAYED", text);
    }
    row_or_not(facts, segment)
}

/// A message inside a segment and not in quarantine: a row, unless something there gave no row.
fn row_or_not(facts: &Facts, segment: &Json) -> Step {
    let row = &facts.partition;
    let next = number(row, "nextOffset");
    let seen = match (segment["sealedMs"].as_i64(), word(segment, "state")) {
        (_, "CONSUMING") => format!("visible since it was read, after {}", time(segment, "createdMs")),
        (Some(_), _) => {
            format!("visible since it was read, from {} to {}", time(segment, "createdMs"), time(segment, "sealedMs"))
        }
        (None, _) => "visible".to_owned(),
    };
    let (start, end) = range(segment, next).unwrap_or((0, 0));
    let every = number(segment, "rows") == Some(end - start);
    let none = ["filtered", "tombstones", "rejected", "gaps"];
    let none = none.iter().filter(|key| !(facts.all_kept && **key == "rejected"));
    let counted: Vec<(&str, u64)> = none.map(|key| (*key, number(row, key).unwrap_or(0))).collect();
    let gone = |key: &str| number(&facts.quarantine, key).unwrap_or(0);
    if every || (row.is_object() && counted.iter().all(|(_, count)| *count == 0)) {
        return step("answer", "ROW", format!("it is a row of {}, {seen}", word(segment, "segment")));
    }
    let mut others: Vec<String> =
        counted.iter().filter(|(_, count)| *count > 0).map(|(key, count)| format!("{count} {key}")).collect();
    others.extend(
        ["evicted", "deleted"]
            .iter()
            .filter(|key| gone(key) > 0)
            .map(|key| format!("{} {key} from the table's quarantine", gone(key))),
    );
    let text = format!(
        "its offset lies in {} and it is not in quarantine: it is a row, {seen}, unless it is among what gave none in this \
         partition ({})",
        word(segment, "segment"),
        others.join(", ")
    );
    step("answer", "ROW_OR_NONE", text)
}

/// The answer where the message, or the next one that there is, was read again and went the way that the table now says.
pub(super) fn again(open: &Step, told: &Json, offset: u64) -> Option<Step> {
    if number(told, "offset")? != offset {
        let text = format!("the stream has no message at {offset}: the next one is at {}", told["offset"]);
        return Some(step("answer", "NO_MESSAGE", text));
    }
    let why = match (word(told, "stage"), word(told, "reason")) {
        ("", "") => String::new(),
        (stage, reason) => format!(" (stage {stage}: {reason})"),
    };
    let now = "read again with the table as it is now";
    match word(told, "fate") {
        "FILTERED" => Some(step("answer", "FILTERED", format!("{now}, it gives no row{why}"))),
        "TOMBSTONE" => Some(step("answer", "TOMBSTONE", format!("it has no value, so it gives no row ({now})"))),
        "ROW" => Some(step("answer", "ROW", format!("{}; {now}, it gives a row", open.detail))),
        "REJECTED" => {
            Some(step("answer", "REJECTED", format!("{now}, it would be rejected{why}, and it is not in quarantine")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn facts(offset: u64) -> Facts {
        Facts {
            offset,
            partition: json!({"state": "CONSUMING", "reason": "", "startOffset": 10, "nextOffset": 40,
                "highWatermark": 50, "filtered": 0, "tombstones": 0, "rejected": 0, "gaps": 0}),
            skips: vec![],
            segments: vec![
                json!({"segment": "a", "state": "DONE", "startOffset": 10, "endOffset": 20, "rows": 10,
                    "sealReason": "rows", "createdMs": 0, "sealedMs": 1000, "location": "file:///a"}),
                json!({"segment": "b", "state": "CONSUMING", "startOffset": 30, "endOffset": null, "rows": null,
                    "sealReason": null, "createdMs": 2000, "sealedMs": null}),
            ],
            quarantine: json!({"entries": [], "evicted": 0, "deleted": 0}),
            all_kept: false,
        }
    }

    fn answered(facts: &Facts) -> Step {
        way(facts).pop().unwrap()
    }

    #[test]
    fn a_row_is_told_with_its_segment_and_its_time() {
        let steps = way(&facts(12));
        let verdicts: Vec<&str> = steps.iter().map(|step| step.verdict).collect();
        assert_eq!(verdicts, ["READ", "COMMITTED", "ROW"]);
        let end = &steps[2].detail;
        assert!(end.contains("a row of a, visible since it was read, from 1970-01-01T00:00:00.000Z"), "{end}");
        let open = answered(&facts(30));
        assert_eq!(open.verdict, "ROW");
        assert!(open.detail.contains("after 1970-01-01T00:00:02.000Z"), "{}", open.detail);
    }

    #[test]
    fn a_message_that_is_read_again_says_what_it_is() {
        let mut mixed = facts(30);
        mixed.partition["filtered"] = json!(3);
        let open = answered(&mixed);
        assert_eq!(open.verdict, "ROW_OR_NONE");
        let told = |at: u64, fate: &str| json!({"offset": at, "fate": fate, "stage": "FILTER", "reason": "r"});
        let filtered = again(&open, &told(30, "FILTERED"), 30).unwrap();
        assert_eq!(filtered.verdict, "FILTERED");
        assert!(filtered.detail.ends_with("it gives no row (stage FILTER: r)"), "{}", filtered.detail);
        assert_eq!(again(&open, &told(30, "ROW"), 30).unwrap().verdict, "ROW");
        assert_eq!(again(&open, &told(31, "ROW"), 30).unwrap().verdict, "NO_MESSAGE");
        assert_eq!(again(&open, &json!({}), 30), None);
    }

    #[test]
    fn what_was_not_read_says_how_far_reading_is() {
        assert_eq!(answered(&facts(45)).verdict, "NOT_READ_YET");
        assert!(answered(&facts(45)).detail.contains("next offset to read is 40, 5 before it"));
        assert_eq!(answered(&facts(50)).verdict, "NOT_WRITTEN");
        assert_eq!(answered(&facts(9)).verdict, "BEFORE_START");
        let unknown = Facts { partition: Json::Null, segments: vec![], ..facts(12) };
        assert_eq!(answered(&unknown).verdict, "NOT_A_PARTITION");
    }

    #[test]
    fn skips_and_losses_are_told_unless_reading_went_back() {
        let skip = json!({"kind": "SKIP", "fromOffset": 20, "toOffset": 30, "reason": "RETENTION", "atMs": 5});
        let skipped = Facts { skips: vec![skip.clone()], ..facts(25) };
        assert_eq!(answered(&skipped).verdict, "SKIPPED");
        assert!(answered(&skipped).detail.contains("RETENTION"));
        let back = json!({"kind": "REWIND", "fromOffset": 40, "toOffset": 20, "reason": "RESET", "atMs": 6});
        let mut again = Facts { skips: vec![skip, back], ..facts(25) };
        again.segments[1]["startOffset"] = json!(20);
        assert_eq!(answered(&again).verdict, "ROW");
        assert_eq!(answered(&facts(25)).verdict, "REMOVED");
        let loss = json!({"kind": "LOSS", "fromOffset": 11, "toOffset": 13, "reason": "RETENTION", "atMs": 5});
        let passed = json!({"kind": "SKIP", "fromOffset": 11, "toOffset": 20, "reason": "RETENTION", "atMs": 6});
        for skips in [vec![loss.clone()], vec![loss, passed]] {
            assert_eq!(answered(&Facts { skips, ..facts(12) }).verdict, "LOST");
        }
    }

    #[test]
    fn of_a_topic_that_was_made_anew_the_message_of_now_is_told() {
        let mut anew = facts(12);
        anew.skips = vec![
            json!({"kind": "SKIP", "fromOffset": 0, "toOffset": 3, "reason": "RETENTION", "atMs": 1}),
            json!({"kind": "RESTART", "fromOffset": 20, "toOffset": 0, "reason": "RECREATED", "atMs": 2000,
                "beforeSequence": 1}),
        ];
        anew.segments = vec![
            json!({"segment": "t__0__0__20260101T0000Z", "state": "DONE", "startOffset": 10, "endOffset": 20, "rows": 10,
                "sealReason": "rows", "createdMs": 0, "sealedMs": 1000, "location": "file:///a"}),
            json!({"segment": "t__0__1__20260102T0000Z", "state": "CONSUMING", "startOffset": 0, "endOffset": null,
                "rows": null, "sealReason": null, "createdMs": 2000, "sealedMs": null}),
        ];
        anew.partition["nextOffset"] = json!(5);
        let of_before = |steps: &[Step]| steps.iter().any(|step| step.verdict == "OF_BEFORE");
        let steps = way(&anew);
        assert_eq!(steps.last().unwrap().verdict, "NOT_READ_YET", "{steps:?}");
        assert!(of_before(&steps), "{steps:?}");
        // What was passed over in the log of before is there in the log of now.
        let steps = way(&Facts { offset: 2, ..anew.clone() });
        let end = steps.last().unwrap();
        assert_eq!((end.verdict, of_before(&steps)), ("ROW", false), "{steps:?}");
        assert!(end.detail.contains("t__0__1__"), "{}", end.detail);
        anew.partition["nextOffset"] = json!(15);
        let end = answered(&anew);
        assert!(end.verdict == "ROW" && end.detail.contains("t__0__1__"), "{end:?}");
        let entry = |ms: i64| json!([{"timeMs": ms, "stage": "DECODE", "column": null, "reason": "no JSON"}]);
        anew.quarantine["entries"] = entry(1999);
        assert_eq!((answered(&anew).verdict, of_before(&way(&anew))), ("ROW", true));
        anew.quarantine["entries"] = entry(2001);
        assert_eq!(answered(&anew).verdict, "REJECTED");
    }

    #[test]
    fn a_rejected_record_is_told_with_its_reason() {
        let mut rejected = facts(31);
        rejected.quarantine["entries"] =
            json!([{"timeMs": 0, "stage": "DATA_TYPE", "column": "amount", "reason": "\"x\" is no number"}]);
        let end = answered(&rejected);
        assert_eq!(end.verdict, "REJECTED");
        assert!(end.detail.contains("stage DATA_TYPE in column amount: \"x\" is no number"), "{}", end.detail);
    }

    #[test]
    fn doubt_is_said() {
        let mut doubtful = facts(31);
        doubtful.partition["tombstones"] = json!(2);
        doubtful.quarantine["evicted"] = json!(3);
        let end = answered(&doubtful);
        assert_eq!(end.verdict, "ROW_OR_NONE");
        assert!(end.detail.contains("2 tombstones, 3 evicted from the table's quarantine"), "{}", end.detail);
        let mut rejected = facts(31);
        rejected.partition["rejected"] = json!(2);
        assert_eq!(answered(&rejected).verdict, "ROW_OR_NONE");
        assert_eq!(answered(&Facts { all_kept: true, ..rejected }).verdict, "ROW", "those are all known");
        let mut replayed = facts(12);
        replayed.segments.push(json!({"segment": "r", "state": "DONE", "startOffset": 11, "endOffset": 35, "rows": 2,
            "sealReason": "replay", "createdMs": 0, "sealedMs": 0, "location": "file:///r"}));
        assert_eq!(answered(&replayed).verdict, "ROW_OR_REPLAYED");
    }

    #[test]
    fn times_read_as_people_write_them() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_709_210_096_789, "2024-02-29T12:34:56.789Z"),
            (1_795_564_800_000, "2026-11-25T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(time_text(ms).as_deref(), Some(text));
        }
    }
}
