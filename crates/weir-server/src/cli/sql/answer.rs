//! What is shown of a query's answer.

use crate::cli::table_text::Grid;
use serde_json::Value as Json;

/// An answer, ready to be shown.
pub(super) struct Shown {
    /// The rows, where there is a result table.
    pub(super) grid: Option<Grid>,
    /// What went wrong or is lacking.
    pub(super) exceptions: Vec<String>,
    /// One line about time, freshness and work.
    pub(super) summary: String,
}

impl Shown {
    /// Reads an answer; `now_ms` is wall time.
    pub(super) fn of(answer: &Json, now_ms: i64) -> Self {
        let table = &answer["resultTable"];
        let names = table["dataSchema"]["columnNames"].as_array();
        let grid = names.map(|names| {
            let names = names.iter().map(|name| name.as_str().unwrap_or_default().to_owned());
            let mut grid = Grid::new(names.collect());
            for row in table["rows"].as_array().into_iter().flatten() {
                grid.push(row.as_array().cloned().unwrap_or_default());
            }
            grid
        });
        let exceptions = answer["exceptions"].as_array().into_iter().flatten();
        let exceptions = exceptions
            .map(|exception| {
                let message = exception["message"].as_str().unwrap_or_default();
                format!("exception {}: {message}", exception["errorCode"])
            })
            .collect();
        let rows = grid.as_ref().map_or(0, Grid::len);
        Self { exceptions, summary: summary(answer, rows, now_ms), grid }
    }
}

fn summary(answer: &Json, rows: usize, now_ms: i64) -> String {
    let number = |name: &str| answer[name].as_i64().unwrap_or(0);
    let mut text = format!("{rows} {} in {} ms", if rows == 1 { "row" } else { "rows" }, number("timeUsedMs"));
    let fresh = number("minConsumingFreshnessTimeMs");
    if fresh > 0 {
        text.push_str(&format!("; data up to {} ms ago", (now_ms - fresh).max(0)));
    }
    if number("numSegmentsQueried") > 0 {
        let (matched, segments) = (number("numSegmentsMatched"), number("numSegmentsQueried"));
        let (scanned, total) = (number("numDocsScanned"), number("totalDocs"));
        text.push_str(&format!("; {scanned} of {total} rows in {matched} of {segments} segments"));
    }
    if answer["partialResult"] == true {
        text.push_str("; the answer is not complete");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::table_text::Format;
    use serde_json::json;

    #[test]
    fn rows_keep_their_numbers_as_written() {
        let text = r#"{"resultTable":{"dataSchema":{"columnNames":["a"],"columnDataTypes":["LONG"]},"rows":[[9007199254740993]]},
            "exceptions":[],"timeUsedMs":3,"minConsumingFreshnessTimeMs":90,"numSegmentsQueried":2,"numSegmentsMatched":1,
            "numDocsScanned":5,"totalDocs":9}"#;
        let shown = Shown::of(&serde_json::from_str(text).unwrap(), 100);
        let written = String::from_utf8(shown.grid.unwrap().write(Format::Jsonl)).unwrap();
        assert_eq!(written, "{\"a\":9007199254740993}\n");
        assert_eq!(shown.summary, "1 row in 3 ms; data up to 10 ms ago; 5 of 9 rows in 1 of 2 segments");
    }

    #[test]
    fn exceptions_are_told_with_their_code() {
        let answer =
            json!({"exceptions": [{"errorCode": 190, "message": "no table"}], "partialResult": true, "timeUsedMs": 1});
        let shown = Shown::of(&answer, 0);
        assert!(shown.grid.is_none());
        assert_eq!(shown.exceptions, ["exception 190: no table"]);
        assert!(shown.summary.ends_with("not complete"));
    }
}
