//! What is wrong with a table: its streams, its partitions, what it rejected, what it passed over.

use crate::{
    cli::{
        ControllerAddress, Failure,
        apply::texts,
        doctor::{ASKS_OTHERS, unmatched},
        shell_word,
        try_records::cuts,
    },
    client::Client,
    node::{Check, Grade},
};
use hyper::Method;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// Partitions and places that are named; of more there is a count.
const NAMED: usize = 5;

/// Looks at a table.
pub(super) async fn checks(client: &Client, address: &ControllerAddress, name: &str) -> Result<Vec<Check>, Failure> {
    let config = client.get(&format!("/tableConfigs/{name}")).await?;
    if !config.is_success() {
        let check = Check::ok("table", name, config.error());
        return Ok(vec![check.wrong(format!("`{}` lists those there are", address.same("weir lag")))]);
    }
    let mut checks = streams(client, name, &config.json()).await?;
    let partitions = client.get(&format!("/tables/{name}/partitions")).await?;
    let partitions = partitions.json();
    checks.extend(states(name, client.base(), &partitions));
    checks.extend(unexplained(name, &partitions));
    checks.extend(altered(client, name, &partitions).await);
    if checks.iter().all(|check| check.name != "streams" || check.grade != Grade::Wrong) {
        checks.extend(newest(client, name, &config.json(), &partitions).await?);
    }
    let kept = client.get(&format!("/tables/{name}/quarantine?limit=1")).await?.json();
    let there = |verb: &str| address.same(&format!("weir quarantine {verb} {name}"));
    checks.push(quarantine(name, &kept, &there("list"), &there("replay")));
    let skips = client.get(&format!("/tables/{name}/skips")).await?;
    checks.extend(skipped(name, &skips.json()));
    Ok(checks)
}

/// What the table makes of the newest records: nothing but rejects, or nothing but defaults.
async fn newest(client: &Client, name: &str, config: &Json, partitions: &Json) -> Result<Vec<Check>, Failure> {
    let patient = client.giving_up_after(ASKS_OTHERS);
    let answer = patient.send_json(Method::POST, &format!("/tableConfigs/try?records={LOOKED_AT}"), config).await?;
    if !answer.is_success() {
        // What keeps its streams from being read was said of them.
        return Ok(vec![]);
    }
    let tried = answer.json();
    let mut checks = unmatched(name, &tried);
    checks.extend(all_rejected(name, partitions, &tried));
    Ok(checks)
}

/// That every message was rejected, how many there are, and why most of the newest are.
fn all_rejected(name: &str, partitions: &Json, tried: &Json) -> Option<Check> {
    let sum = |key: &str| partitions.as_array().into_iter().flatten().filter_map(|row| row[key].as_u64()).sum::<u64>();
    let (rejected, rows) = (sum("rejected"), sum("rows"));
    if rejected == 0 || rows > 0 {
        return None;
    }
    let mut reasons: BTreeMap<(&str, &str), (usize, &Json)> = BTreeMap::new();
    let records = tried["records"].as_array().into_iter().flatten().filter(|record| record["fate"] == "REJECTED");
    for record in records {
        let place = |key: &str| record[key].as_str().unwrap_or_default();
        reasons.entry((place("stage"), place("column"))).or_insert((0, record)).0 += 1;
    }
    let most = reasons.into_iter().max_by_key(|(_, (count, _))| *count);
    let why = most.map(|((stage, column), (count, record))| {
        let column = if column.is_empty() { String::new() } else { format!(" column {column}:") };
        let text = |key: &str| record[key].as_str().unwrap_or_default();
        format!(
            "; of the newest, {count} for the same reason, as {}/{}@{}: {stage}{column} {}",
            text("topic"),
            record["partition"],
            record["offset"],
            text("reason")
        )
    });
    let detail = format!("all {rejected} messages that could have been rows were rejected{}", why.unwrap_or_default());
    Some(Check::ok("records", name, detail).wrong(
        "mend the table's decoder or its other settings, or how the records are written; then `weir quarantine replay` makes rows of \
         what is kept. The type of a column changes only with the table: `weir drop` and `weir apply` it, and its stream is read again",
    ))
}

/// Records that are looked at for values that are cut.
const LOOKED_AT: u64 = 200;
/// More rows than one in so many are worth a look.
const SELDOM: u64 = 100;

/// Rows of which a value was cut, or is null because it could not be read: how many, and which columns of the newest.
async fn altered(client: &Client, name: &str, partitions: &Json) -> Option<Check> {
    let sum = |key: &str| partitions.as_array().into_iter().flatten().filter_map(|row| row[key].as_u64()).sum::<u64>();
    let (altered, rows) = (sum("altered"), sum("rows"));
    if altered == 0 {
        return None;
    }
    let asked = json!({"table": name, "from": format!("last:{LOOKED_AT}"), "once": true, "limit": LOOKED_AT});
    let mut newest = vec![];
    // Where as many watch already as may, or a broker is away, the counts alone are told.
    let patient = client.giving_up_after(ASKS_OTHERS);
    if let Ok(Ok(mut lines)) = patient.post_for_lines("/tail", &asked).await {
        let reading = async {
            while let Ok(Some(line)) = lines.next().await {
                newest.extend(serde_json::from_slice::<Json>(&line).ok().filter(|told| told["kind"] == "record"));
            }
        };
        tokio::time::timeout(ASKS_OTHERS, reading).await.ok();
    }
    Some(grade_altered(name, altered, rows, &cuts(&newest)))
}

fn grade_altered(name: &str, altered: u64, rows: u64, cuts: &[String]) -> Check {
    let detail = format!(
        "{altered} values of {rows} rows were cut, wrapped, or made null because they could not be read{}",
        if cuts.is_empty() { String::new() } else { format!("; of the newest messages, {}", cuts.join("; ")) }
    );
    let check = Check::ok("values", name, detail);
    if cuts.is_empty() && altered.saturating_mul(SELDOM) < rows {
        return check;
    }
    check.look(if cuts.is_empty() {
        format!("`weir tail {name} --from last:{LOOKED_AT} --once --json` tells which: those with `altered`")
    } else {
        "give those columns a greater maxLength (or maxLengthExceedStrategy ERROR, which keeps such records in quarantine); \
         what was cut stays as it is"
            .to_owned()
    })
}

/// Whether the streams of a config answer, and the schema registries that their messages need.
pub(super) async fn streams(client: &Client, subject: &str, config: &Json) -> Result<Vec<Check>, Failure> {
    let patient = client.giving_up_after(ASKS_OTHERS);
    let answer = patient.send_json(Method::POST, "/tableConfigs/validate", config).await?;
    if !answer.is_success() {
        let remedy = "mend what it names; brokers are asked from the node, not from here";
        return Ok(vec![Check::ok("streams", subject, answer.error()).wrong(remedy)]);
    }
    let notes = texts(&answer.json()["notes"]);
    let odd = |note: String| Check::ok("streams", subject, note).look("look whether the pattern is the right one");
    let mut checks = vec![Check::ok("streams", subject, "brokers, topics and partitions answer as the config says")];
    checks.extend(notes.into_iter().map(odd));
    Ok(checks)
}

/// What partitions are doing, one finding for all in the same state.
fn states(name: &str, controller: &str, partitions: &Json) -> Vec<Check> {
    let mut by_state: BTreeMap<&str, Vec<&Json>> = BTreeMap::new();
    for partition in partitions.as_array().into_iter().flatten() {
        by_state.entry(partition["state"].as_str().unwrap_or("?")).or_default().push(partition);
    }
    if by_state.is_empty() {
        return vec![Check::ok("partitions", name, "it reads no partition").look("look whether its topics are there")];
    }
    let of = |(state, list): (&str, Vec<&Json>)| {
        let behind = behind(state, &list);
        let reason = list.iter().filter_map(|partition| partition["reason"].as_str()).find(|reason| !reason.is_empty());
        let places = listed(list.iter().map(|partition| {
            format!("{}/{}", partition["topic"].as_str().unwrap_or_default(), partition["partition"])
        }));
        let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        let check = Check::ok("partitions", name, format!("{} {state} ({places}), {behind}{why}", list.len()));
        let resume = format!("curl -X POST {}", shell_word(&format!("{controller}/tables/{name}/resumeConsumption")));
        match state {
            "CONSUMING" => check,
            "STARTING" | "RECOVERING" => {
                check.look("answers say what they lack until it has caught up: ask again in a moment")
            }
            "LAGGING" => {
                check.look("it reads slower than is written: more partitions, or fewer indexes and expressions")
            }
            "PAUSED" if reason.is_some_and(|reason| reason.contains("DISABLED")) => check.wrong(format!(
                "somebody disabled the table, which answers no query; `curl -X PUT {}` enables it",
                shell_word(&format!("{controller}/tables/{name}/state?state=enable"))
            )),
            "PAUSED" => check.look(format!("somebody paused it; `{resume}` goes on")),
            "GONE" => check.look("the topic has these partitions no more; their rows stay, and there is nothing to do"),
            "RETRYING" => {
                check.wrong("it goes on by itself once the reason is gone; no row is lost while the stream keeps them")
            }
            "HALTED" if reason.is_some_and(|reason| reason.contains("consumeFrom")) => check.wrong(format!(
                "as the reason says; the body goes with `{resume} -H 'Content-Type: application/json' -d BODY`"
            )),
            "HALTED" => check.wrong(format!("mend the table or the stream, then `{resume}`")),
            "RECREATED" if reason.is_some_and(|reason| reason.contains("cut back")) => check.wrong(format!(
                "`curl -X POST {}` reads what comes from now on; rows that were read stay",
                shell_word(&format!("{controller}/tables/{name}/resumeConsumption?consumeFrom=largest"))
            )),
            "RECREATED" => check.wrong(format!(
                "`curl -X POST {}` reads what the topic holds now from its beginning, consumeFrom=largest only what comes",
                shell_word(&format!("{controller}/tables/{name}/resumeConsumption?consumeFrom=smallest"))
            )),
            _ => check.look("this command does not know the state: use the command of the node's version"),
        }
    };
    let mut checks: Vec<Check> = by_state.into_iter().map(of).collect();
    checks.sort_by_key(|check| std::cmp::Reverse(check.grade));
    checks
}

/// Partitions whose counts do not explain their offsets.
fn unexplained(name: &str, partitions: &Json) -> Vec<Check> {
    let told = partitions.as_array().into_iter().flatten().filter_map(|partition| {
        let found = partition["unexplained"].as_str()?;
        let place = format!("{}/{}", partition["topic"].as_str().unwrap_or_default(), partition["partition"]);
        let check = Check::ok("accounts", name, format!("messages of {place} are not accounted for: {found}"));
        Some(check.wrong(
            "where the stream lost its end, resumeConsumption with consumeFrom reads on; else it is a fault of Weir's: report it",
        ))
    });
    told.take(NAMED).collect()
}

/// How far partitions in one state are behind. What was heard of the end of a log before its broker went away says
/// nothing about now.
fn behind(state: &str, list: &[&Json]) -> String {
    let ms = list.iter().filter_map(|partition| partition["lagMs"].as_u64()).max().unwrap_or(0);
    let offsets: Option<Vec<u64>> = list.iter().map(|partition| partition["lagOffsets"].as_u64()).collect();
    match offsets.and_then(|offsets| offsets.into_iter().max()).filter(|_| state != "RETRYING") {
        Some(offsets) => format!("at most {offsets} offsets and {ms} ms behind"),
        None => format!("at most {ms} ms behind, in offsets it is unknown"),
    }
}

/// Some of many.
fn listed(all: impl ExactSizeIterator<Item = String>) -> String {
    let left = all.len().saturating_sub(NAMED);
    let named: Vec<String> = all.take(NAMED).collect();
    let more = if left > 0 { format!(" and {left} more") } else { String::new() };
    format!("{}{more}", named.join(", "))
}

fn quarantine(name: &str, answer: &Json, list: &str, replay: &str) -> Check {
    let number = |key: &str| answer[key].as_u64().unwrap_or(0);
    let (kept, evicted) = (number("kept"), number("evicted"));
    let check = Check::ok("quarantine", name, format!("{kept} records are kept that could not become rows"));
    if kept == 0 && evicted == 0 {
        return check;
    }
    let lost =
        if evicted > 0 { format!(", {evicted} more were given up for want of room or time") } else { String::new() };
    let first = &answer["entries"][0];
    let why = first["reason"].as_str().map(|reason| format!("; one of them: {reason}")).unwrap_or_default();
    // What cannot be decoded stays so, unless the decoder's settings are to blame.
    let remedy = match first["stage"].as_str() {
        Some("DECODE") => format!(
            "`{list}` shows them; what is damaged has to be written to the stream anew, and where the decoder's settings are \
             wrong, mend them, then `{replay}` makes rows of them"
        ),
        _ => format!("`{list}` shows them; mend the table, then `{replay}` makes rows of them"),
    };
    Check { detail: format!("{}{lost}{why}", check.detail), ..check }.look(remedy)
}

/// Offsets that were passed over or lost, by their reason.
fn skipped(name: &str, skips: &Json) -> Vec<Check> {
    let mut by_reason: BTreeMap<(String, String), (u64, Vec<String>)> = BTreeMap::new();
    for skip in skips.as_array().into_iter().flatten() {
        let text = |key: &str| skip[key].as_str().unwrap_or_default().to_owned();
        let (kind, reason) = (text("kind"), text("reason"));
        let (from, to) = (skip["fromOffset"].as_u64().unwrap_or(0), skip["toOffset"].as_u64().unwrap_or(0));
        let entry = by_reason.entry((kind, reason)).or_default();
        entry.0 += to.saturating_sub(from);
        entry.1.push(format!("{}/{} [{from}, {to})", text("topic"), skip["partition"]));
    }
    if by_reason.is_empty() {
        return vec![Check::ok("skips", name, "every offset was read")];
    }
    let of = |((kind, reason), (offsets, places)): ((String, String), (u64, Vec<String>))| {
        let places = listed(places.into_iter());
        let check = Check::ok("skips", name, format!("{kind} of {offsets} offsets for {reason}: {places}"));
        // What somebody asked for is on the record, and is no finding.
        match (kind.as_str(), reason.as_str()) {
            ("LOSS", _) | ("SKIP", "RETENTION" | "AUTO_RESET") => {
                check.look("those rows are not in the table; where they matter, write them to the topic again")
            }
            _ => check,
        }
    };
    by_reason.into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_in_one_state_are_one_finding() {
        let partition = |number: u32, state: &str, reason: &str| json!({"topic": "t", "partition": number, "state": state, "reason": reason, "lagOffsets": number, "lagMs": 5});
        let mut all: Vec<Json> = (0..7).map(|number| partition(number, "CONSUMING", "")).collect();
        all.push(partition(7, "RETRYING", "connection refused"));
        all.push(partition(8, "PAUSED", "by ann"));
        let checks = states("orders", "http://c:9000", &json!(all));
        let grades: Vec<Grade> = checks.iter().map(|check| check.grade).collect();
        assert_eq!(grades, [Grade::Wrong, Grade::Look, Grade::Ok]);
        assert_eq!(
            checks[0].detail,
            "1 RETRYING (t/7), at most 5 ms behind, in offsets it is unknown: connection refused"
        );
        assert!(
            checks[1].remedy.as_ref().unwrap().contains("curl -X POST http://c:9000/tables/orders/resumeConsumption")
        );
        assert!(checks[2].detail.starts_with("7 CONSUMING (t/0, t/1, t/2, t/3, t/4 and 2 more), at most 6 offsets"));
        let unheard = json!([{"topic": "t", "partition": 0, "state": "STARTING", "lagOffsets": null, "lagMs": 9}]);
        assert!(states("orders", "c", &unheard)[0].detail.contains("at most 9 ms behind, in offsets it is unknown"));
        assert_eq!(states("orders", "c", &json!([]))[0].grade, Grade::Look);
        for (state, reason, remedy) in [
            ("HALTED", "", "mend the table"),
            ("HALTED", "resumeConsumption with the body {\"consumeFrom\": ..}", "the body goes with"),
            ("RECREATED", "", "consumeFrom=smallest"),
            ("RECREATED", "its log was cut back", "consumeFrom=largest"),
        ] {
            let found = states("t", "c", &json!([partition(0, state, reason)])).remove(0);
            assert!(found.grade == Grade::Wrong && found.remedy.as_ref().unwrap().contains(remedy), "{found:?}");
        }
    }

    #[test]
    fn a_table_that_rejects_all_says_why() {
        let partitions =
            |rejected: u64, rows: u64| json!([{"rejected": rejected, "rows": rows}, {"rejected": 2, "rows": 0}]);
        let record = |offset: u64, stage: &str, column: Option<&str>| {
            json!({"fate": "REJECTED", "topic": "t", "partition": 1, "offset": offset, "stage": stage, "column": column,
                   "reason": format!("because of {offset}")})
        };
        let tried = json!({"records": [
            record(6, "DECODE", None), record(7, "DATA_TYPE", Some("id")), record(8, "DATA_TYPE", Some("id")), {"fate": "FILTERED"}]});
        assert!(all_rejected("t", &partitions(5, 1), &tried).is_none());
        assert!(all_rejected("t", &json!([{"rejected": 0, "rows": 0}]), &tried).is_none());
        let found = all_rejected("t", &partitions(5, 0), &tried).unwrap();
        assert_eq!(found.grade, Grade::Wrong);
        assert_eq!(
            found.detail,
            "all 7 messages that could have been rows were rejected; of the newest, 2 for the same reason, as t/1@7: \
             DATA_TYPE column id: because of 7"
        );
        assert!(all_rejected("t", &partitions(5, 0), &json!({})).unwrap().detail.ends_with("were rejected"));
    }

    #[test]
    fn cut_values_are_looked_at() {
        let cut = "column note: 3 of 9 records have values of up to 700 characters".to_owned();
        let found = grade_altered("t", 3, 1000, std::slice::from_ref(&cut));
        assert!(
            found.grade == Grade::Look && found.detail.contains(&cut) && found.remedy.unwrap().contains("maxLength")
        );
        assert_eq!(
            (grade_altered("t", 3, 1000, &[]).grade, grade_altered("t", 10, 1000, &[]).grade),
            (Grade::Ok, Grade::Look)
        );
    }

    #[test]
    fn rejects_and_skips_are_looked_at() {
        assert_eq!(quarantine("t", &json!({"kept": 0, "evicted": 0}), "l", "r").grade, Grade::Ok);
        let kept = quarantine(
            "t",
            &json!({"kept": 3, "evicted": 2, "entries": [{"reason": "no JSON"}]}),
            "weir quarantine list t",
            "weir quarantine replay t --controller c",
        );
        assert!(kept.remedy.as_ref().unwrap().contains("then `weir quarantine replay t --controller c` makes"));
        assert_eq!(kept.grade, Grade::Look);
        assert!(
            kept.detail.contains("3 records")
                && kept.detail.contains("2 more were given up")
                && kept.detail.ends_with("no JSON")
        );
        assert_eq!(skipped("t", &json!([]))[0].grade, Grade::Ok);
        let skip = |kind: &str, reason: &str, from: u64, to: u64| json!({"kind": kind, "reason": reason, "topic": "t", "partition": 0, "fromOffset": from, "toOffset": to});
        let found = skipped(
            "t",
            &json!([
                skip("SKIP", "RETENTION", 10, 20),
                skip("SKIP", "RETENTION", 30, 35),
                skip("SKIP", "REQUEST", 1, 2)
            ]),
        );
        assert_eq!(found.len(), 2);
        let retention = found.iter().find(|check| check.grade == Grade::Look).unwrap();
        assert_eq!(retention.detail, "SKIP of 15 offsets for RETENTION: t/0 [10, 20), t/0 [30, 35)");
    }
}
