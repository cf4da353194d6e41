//! What must hold at the end: counts exact at once, every message accounted for, offsets dense, segments uploaded.

use super::{
    chaos::{AGAIN_PARTITIONS, Chaos},
    log::{Log, Logged, Totals},
    tables::{AGAIN, Extra, MAIN},
    watch::{Findings, States, brief},
};
use crate::{node::Answer, odd::Fate};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

type Failure = Box<dyn std::error::Error>;

/// A count is exact within this after the last message.
const EXACT: Duration = Duration::from_secs(1);
/// How long the usual pace is kept before that, with nothing broken.
const CALM: Duration = Duration::from_secs(3);
/// Rows of all partitions at once need longer than a query usually has.
const LONG: &str = "SET timeoutMs = 120000; ";

/// What the checks found, for the summary.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// From the end of sending to an exact count.
    pub(super) exact_after: Option<Duration>,
    /// What the main table's topic held in the end.
    pub(super) totals: Totals,
    /// Messages of it that were there twice.
    pub(super) doubled: u64,
    /// Offsets of topics made anew that are lost on the record.
    pub(super) lost: u64,
}

/// Makes all checks; what does not hold is a finding, an error ends them.
pub(super) fn all(chaos: &mut Chaos, checked: &mut Checked) -> Result<(), Failure> {
    println!("{:7.1} s  faults end", chaos.findings.seconds());
    chaos.calm()?;
    consuming(chaos)?;
    chaos.main.steady();
    std::thread::sleep(CALM);
    chaos.main.finish()?;
    let (answer, after) = count_in_time(chaos)?;
    println!("{:7.1} s  the last message was acknowledged; everything is checked", chaos.findings.seconds());
    if let Some(mut again) = chaos.again.take() {
        again.finish()?;
    }
    let broker = chaos.broker.address();
    let partitions = chaos.main.plan.partitions.load(Ordering::SeqCst) as usize;
    let main = Log::read(&broker, &chaos.main.plan.topic, partitions)?;
    let again = Log::read(&broker, &chaos.again_topic(), AGAIN_PARTITIONS as usize)?;
    (checked.totals, checked.doubled) = (main.totals(), main.doubled());
    checked.exact_after = exact(chaos, &checked.totals, &answer, after);
    uploaded(chaos)?;
    for once_more in [false, true] {
        if once_more {
            chaos.kill_node()?;
            println!("{:7.1} s  once more after a kill", chaos.findings.seconds());
            consuming(chaos)?;
        }
        main_table(chaos, &main)?;
        again_table(chaos, &again)?;
    }
    checked.lost = chaos.lost_of_again()?;
    Ok(())
}

/// Waits until all partitions of the main table are known and consume.
fn consuming(chaos: &mut Chaos) -> Result<(), Failure> {
    let partitions = chaos.main.plan.partitions.load(Ordering::SeqCst) as usize;
    chaos.wait_for("partitions that all consume", |chaos| {
        let states = States::of(&chaos.node()?.get(&format!("/tables/{MAIN}/partitions"))?);
        let there = states.all("CONSUMING") && states.by_partition.len() == partitions;
        Ok(if there { Ok(()) } else { Err(format!("{states:?} of {partitions}")) })
    })?;
    Ok(())
}

fn count(chaos: &Chaos) -> Result<Answer, Failure> {
    chaos.node()?.query(&format!("SELECT COUNT(*), SUM(number) FROM {MAIN}"))
}

/// The count right after the last message was acknowledged, and how long after: the first one that has all that was
/// acknowledged, else that of a second later.
fn count_in_time(chaos: &Chaos) -> Result<(Answer, Duration), Failure> {
    let (stopped, (good, sum)) = (Instant::now(), chaos.main.ledger.acknowledged_good());
    loop {
        let asked = stopped.elapsed();
        let answer = count(chaos)?;
        let all = (answer.number(0), answer.number(1)) == (good as f64, sum as f64) && answer.exceptions.is_empty();
        if all || asked >= EXACT {
            return Ok((answer, asked));
        }
        std::thread::sleep((EXACT - asked).min(Duration::from_millis(5)));
    }
}

/// Whether that count was that of the log.
fn exact(chaos: &Chaos, totals: &Totals, answer: &Answer, after: Duration) -> Option<Duration> {
    let found = (answer.number(0), answer.number(1));
    if found == (totals.good as f64, totals.sum_of_numbers as f64) && answer.exceptions.is_empty() {
        return Some(after);
    }
    let exceptions = &answer.exceptions;
    chaos.findings.add(format!(
        "{after:?} after the last message count and sum of numbers are {found:?} ({exceptions:?}), the topic holds \
         {totals:?}\n{}",
        partitions(chaos, MAIN).unwrap_or_else(|error| error.to_string())
    ));
    None
}

/// All partitions of a table, one a line.
fn partitions(chaos: &Chaos, table: &str) -> Result<String, Failure> {
    let shown = chaos.node()?.get(&format!("/tables/{table}/partitions"))?;
    let lines: Vec<String> =
        shown.as_array().into_iter().flatten().map(|one| format!("      {}", brief(one))).collect();
    Ok(lines.join("\n"))
}

/// All that is open is sealed on request, every sealed segment reaches the deep store and has the indexes of now.
fn uploaded(chaos: &mut Chaos) -> Result<(), Failure> {
    for table in [MAIN, AGAIN] {
        chaos.node()?.post(&format!("/tables/{table}/forceCommit"))?;
    }
    let sql = "SELECT segment, state, lastError FROM system.segments WHERE state = 'COMMITTING' OR (state = 'CONSUMING' \
               AND \"rows\" > 0) LIMIT 1000";
    chaos.wait_for("upload of all segments", |chaos| {
        let left = chaos.node()?.query(sql)?;
        Ok(if left.rows.is_empty() && left.exceptions.is_empty() { Ok(()) } else { Err(format!("{left:?}")) })
    })?;
    let sql = "SELECT segment, missingIndexes FROM system.segments WHERE missingIndexes IS NOT NULL LIMIT 1000";
    chaos.wait_for("indexes that were asked for last", |chaos| {
        let left = chaos.node()?.query(sql)?;
        Ok(if left.rows.is_empty() && left.exceptions.is_empty() { Ok(()) } else { Err(format!("{left:?}")) })
    })?;
    Ok(())
}

fn main_table(chaos: &Chaos, log: &Log) -> Result<(), Failure> {
    let (findings, node, totals) = (&chaos.findings, chaos.node()?, log.totals());
    let sql = format!("{LONG}SELECT COUNT(*), SUM(number), DISTINCTCOUNT(number) FROM {MAIN}");
    let answer = node.query(&sql)?;
    let found = (answer.number(0), answer.number(1), answer.number(2));
    let distinct = totals.good - log.doubled();
    if found != (totals.good as f64, totals.sum_of_numbers as f64, distinct as f64) || !answer.exceptions.is_empty() {
        findings.add(format!("count, sum and distinct count of numbers are {answer:?}, the topic holds {totals:?}, {distinct} of them once"));
    }
    let counted = accounts(chaos, MAIN, log)?;
    if (counted[0], counted[1], counted[2], counted[3])
        != (totals.good as i64, totals.rejected as i64, totals.tombstones as i64, totals.altered as i64)
    {
        let names = "stored, rejected, tombstones, altered";
        findings.add(format!("({names}) are {counted:?}, the topic holds {totals:?}"));
    }
    for (partition, logged) in log.partitions.iter().enumerate() {
        dense(chaos, partition, logged)?;
    }
    contiguous(chaos)?;
    columns(chaos)
}

/// Every message of a partition's log is a row, in quarantine, or a tombstone; none is twice, and nothing else is there.
fn dense(chaos: &Chaos, partition: usize, logged: &[Logged]) -> Result<(), Failure> {
    let (node, findings, topic) = (chaos.node()?, &chaos.findings, &chaos.main.plan.topic);
    let sql = format!(
        "{LONG}SELECT \"__metadata$offset\", number FROM {MAIN} WHERE \"__metadata$partition\" = {partition} LIMIT 100000000"
    );
    let rows = node.query(&sql)?;
    let sql = format!(
        "SELECT \"offset\", stage FROM system.quarantine WHERE \"table\" = '{MAIN}' AND \"partition\" = {partition} LIMIT \
         1000000"
    );
    let kept = node.query(&sql)?;
    if !rows.exceptions.is_empty() || !kept.exceptions.is_empty() {
        findings.add(format!("rows of {topic}/{partition}: {:?} {:?}", rows.exceptions, kept.exceptions));
    }
    let mut places: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for (answer, what) in [(&rows, "row"), (&kept, "quarantine")] {
        for row in &answer.rows {
            let text = row[1].as_str().map_or_else(|| row[1].to_string(), str::to_owned);
            places.entry(row[0].as_u64().unwrap_or(u64::MAX)).or_default().push(format!("{what} {text}"));
        }
    }
    let mut wrong = vec![];
    for (offset, logged) in (0..).zip(logged) {
        let wanted = match logged.fate {
            Fate::Row | Fate::Altered => vec![format!("row {}", logged.number)],
            Fate::Rejected(stage) => vec![format!("quarantine {stage}")],
            Fate::Tombstone => vec![],
        };
        let found = places.remove(&offset).unwrap_or_default();
        if found != wanted {
            wrong.push(format!("offset {offset}: {found:?} in place of {wanted:?}"));
        }
    }
    wrong.extend(places.iter().map(|(offset, found)| format!("offset {offset}: {found:?}, which nobody sent")));
    if !wrong.is_empty() {
        let shown: Vec<String> = wrong.iter().take(10).cloned().collect();
        findings.add(format!("{} of {topic}/{partition} are wrong:\n    {}", wrong.len(), shown.join("\n    ")));
    }
    Ok(())
}

/// The accounts of each partition balance; gives (stored, rejected, tombstones, altered) of all.
fn accounts(chaos: &Chaos, table: &str, log: &Log) -> Result<[i64; 4], Failure> {
    let sql = format!(
        "SELECT \"partition\", startOffset, nextOffset, fetched, stored, filtered, tombstones, rejected, replayed, gaps, \
         skipped, rewound, altered, state FROM system.partitions WHERE \"table\" = '{table}' LIMIT 1000"
    );
    let answer = chaos.node()?.query(&sql)?;
    let mut sums = [0; 4];
    for row in &answer.rows {
        let n: Vec<i64> = row.iter().map(|cell| cell.as_i64().unwrap_or(0)).collect();
        if n[3] != n[4..=8].iter().sum::<i64>() || n[2] - n[1] + n[11] != n[3] + n[9] + n[10] {
            chaos.findings.add(format!("messages of {table}/{} do not add up: {row:?} of {sql}", n[0]));
        }
        for (sum, at) in sums.iter_mut().zip([4, 7, 6, 12]) {
            *sum += n[at];
        }
        let (partition, next) = (n[0] as usize, n[2]);
        if log.partitions.get(partition).is_none_or(|logged| logged.len() as i64 != next) {
            chaos.findings.add(format!("{table}/{partition} is read to {next}, which is not the end"));
        }
    }
    if answer.rows.is_empty() || !answer.exceptions.is_empty() {
        chaos.findings.add(format!("system.partitions answers {answer:?}"));
    }
    Ok(sums)
}

/// Segments follow each other without a hole, from 0 on: nothing of this topic was ever passed over.
fn contiguous(chaos: &Chaos) -> Result<(), Failure> {
    let sql = format!(
        "SELECT \"partition\", startOffset, endOffset, segment FROM system.segments WHERE \"table\" = '{MAIN}' ORDER BY \
         \"partition\", startOffset LIMIT 1000000"
    );
    let mut ends: BTreeMap<i64, Option<i64>> = BTreeMap::new();
    for row in chaos.node()?.query(&sql)?.rows {
        let partition = row[0].as_i64().unwrap_or(-1);
        let start = ends.insert(partition, row[2].as_i64()).unwrap_or(Some(0));
        if start != row[1].as_i64() {
            chaos.findings.add(format!("segment {} starts at {}, not at {start:?}", row[3], row[1]));
        }
    }
    let skips = chaos.node()?.query(&format!("SELECT * FROM system.skips WHERE \"table\" = '{MAIN}' LIMIT 100"))?;
    if !skips.rows.is_empty() {
        chaos.findings.add(format!("offsets were passed over or lost: {:?}", skips.rows));
    }
    Ok(())
}

/// A message that was sent after a column was added has its value.
fn columns(chaos: &Chaos) -> Result<(), Failure> {
    for added in &chaos.added {
        let column = format!("extra_{}", added.number);
        let wrong = match Extra::of(added.number) {
            Extra::Plain | Extra::WithDefault => format!("{column} <> number"),
            Extra::Several => format!("ARRAYLENGTH({column}) <> 2"),
        };
        let sql = format!(
            "{LONG}SELECT COUNT(*), MIN(number), MAX(number) FROM {MAIN} WHERE number >= {} AND {wrong}",
            added.from
        );
        let answer = chaos.node()?.query(&sql)?;
        if answer.number(0) != 0.0 || !answer.exceptions.is_empty() {
            chaos.findings.add(format!("{sql}: {answer:?}"));
        }
    }
    Ok(())
}

/// Rows of all topics of one name: of the last one all, of earlier ones all that are not lost on the record.
fn again_table(chaos: &mut Chaos, last: &Log) -> Result<(), Failure> {
    let (lost, held) = (chaos.lost_of_again()?, [&chaos.earlier[..], &[last.totals().good]].concat());
    let due: u64 = held.iter().sum();
    chaos.wait_for("complete count of the table whose topic was made anew", |chaos| {
        let count = chaos.node()?.query(&format!("SELECT COUNT(*) FROM {AGAIN}"))?;
        let there = count.exceptions.is_empty() && count.number(0) as u64 + lost == due;
        Ok(if there { Ok(()) } else { Err(format!("{count:?}, {due} were sent, {lost} are lost on the record")) })
    })?;
    let sql = format!(
        "{LONG}SELECT incarnation, COUNT(*), DISTINCTCOUNT(number), MIN(number), MAX(number) FROM {AGAIN} GROUP BY \
         incarnation LIMIT 1000"
    );
    let answer = chaos.node()?.query(&sql)?;
    let mut found_of = BTreeMap::new();
    for row in &answer.rows {
        let n: Vec<u64> = row.iter().map(|cell| cell.as_f64().unwrap_or(-1.0) as u64).collect();
        // A message that the broker has twice is there twice; of earlier topics that is not known.
        let doubled = if n[0] as usize + 1 == held.len() { last.doubled() } else { 0 };
        if n[1] != n[2] + doubled {
            chaos.findings.add(format!("rows of topic {} are there twice: {row:?}, {doubled} were sent twice", n[0]));
        }
        found_of.insert(n[0] as usize, n[1]);
    }
    for (incarnation, sent) in held.iter().enumerate() {
        let found = found_of.remove(&incarnation).unwrap_or(0);
        let is_last = incarnation + 1 == held.len();
        if found > *sent || (is_last && found != *sent) {
            chaos.findings.add(format!("topic {incarnation} of {AGAIN} holds {sent} messages and gives {found} rows"));
        }
    }
    if !found_of.is_empty() {
        chaos.findings.add(format!("rows of topics that never were: {found_of:?}"));
    }
    accounts(chaos, AGAIN, last)?;
    again_dense(chaos, last)
}

/// The last topic's rows lie at its offsets.
fn again_dense(chaos: &Chaos, last: &Log) -> Result<(), Failure> {
    let incarnation = chaos.earlier.len();
    for (partition, logged) in last.partitions.iter().enumerate() {
        let sql = format!(
            "{LONG}SELECT \"__metadata$offset\", number FROM {AGAIN} WHERE \"__metadata$partition\" = {partition} AND \
             incarnation = {incarnation} LIMIT 100000000"
        );
        let mut found: Vec<(u64, u64)> = chaos
            .node()?
            .query(&sql)?
            .rows
            .iter()
            .map(|row| (row[0].as_u64().unwrap_or(u64::MAX), row[1].as_u64().unwrap_or(u64::MAX)))
            .collect();
        found.sort_unstable();
        let wanted: Vec<(u64, u64)> = (0..).zip(logged.iter().map(|logged| logged.number)).collect();
        if found != wanted {
            let at = found.iter().zip(&wanted).position(|(found, wanted)| found != wanted);
            chaos.findings.add(format!(
                "rows of {AGAIN}/{partition} are not those of its last topic: {} for {}, first other one at {at:?}",
                found.len(),
                wanted.len()
            ));
        }
    }
    Ok(())
}

/// The node's log tells of no panic.
pub(super) fn log(path: &Path, findings: &Findings) {
    let Ok(file) = File::open(path) else { return };
    let panics: Vec<String> =
        BufReader::new(file).lines().map_while(Result::ok).filter(|line| line.contains("panicked at")).collect();
    if let Some(first) = panics.first() {
        findings.add(format!("the node's log tells of {} panics, the first one: {first}", panics.len()));
    }
}
