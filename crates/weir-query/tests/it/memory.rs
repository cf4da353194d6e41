//! What a query may hold: whatever its operators keep is counted, and what is too much is refused in words that help.

use crate::{
    engine::{code, long},
    fixture::{Fixed, ask, engine, engine_of, numbers},
};

/// Bytes that the queries below have: each of them needs many times more.
const BUDGET: u64 = 8 << 20;

/// Queries that keep much, in different operators. `$t` is a text of 1,600 bytes and more.
const GREEDY: [&str; 17] = [
    "SELECT DISTINCT n FROM numbers ORDER BY n LIMIT 2000000000",
    "SELECT DISTINCT n FROM numbers ORDER BY n DESC LIMIT 2000000000",
    "SELECT n, MAX(n) FROM numbers GROUP BY n ORDER BY MAX(n) DESC LIMIT 2000000000",
    "SELECT DISTINCT $t FROM numbers LIMIT 1000000",
    "SELECT DISTINCT $t FROM numbers ORDER BY $t LIMIT 900000",
    "SELECT DISTINCT $t FROM numbers ORDER BY $t LIMIT 20000",
    "SELECT n, $t FROM numbers ORDER BY $t LIMIT 1000000",
    "SELECT n, $t FROM numbers ORDER BY n LIMIT 1000000",
    "SELECT $t, COUNT(*) FROM numbers GROUP BY $t LIMIT 5",
    "SELECT n, MINSTRING($t) FROM numbers GROUP BY n LIMIT 5",
    "SELECT n, FIRSTWITHTIME($t, n, 'STRING') FROM numbers GROUP BY n LIMIT 5",
    "SELECT COUNT(DISTINCT $t) FROM numbers",
    "SELECT ARRAY_AGG($t) FROM numbers",
    "SELECT n % 10, ARRAY_AGG($t) FROM numbers GROUP BY n % 10",
    "SELECT ARRAY_AGG(DISTINCT $t) FROM numbers",
    "SELECT LISTAGG($t, ',') FROM numbers",
    "SELECT $t FROM numbers LIMIT 1000000",
];

/// Likewise, of the multi-stage engine.
const GREEDY_STAGES: [&str; 6] = [
    "SELECT n, SUM(n) OVER (), $t FROM numbers",
    "SELECT MAX(r) FROM (SELECT ROW_NUMBER() OVER (ORDER BY n % 2) AS r, $t AS t FROM numbers) WHERE t <> 'a'",
    "SELECT MAX(r) FROM (SELECT SUM(n) OVER (ORDER BY n - n) AS r, $t AS t FROM numbers) WHERE t <> 'a'",
    "SELECT n, $t FROM numbers UNION SELECT n + 1000000, $t FROM numbers",
    "SELECT COUNT(*) FROM (SELECT n, $t AS t FROM numbers) a JOIN (SELECT n, $t AS t FROM numbers) b ON a.n = b.n \
     WHERE a.t <> b.t",
    "SELECT t, COUNT(*) FROM (SELECT $t AS t FROM numbers) GROUP BY t ORDER BY t",
];

#[tokio::test]
async fn whatever_a_query_keeps_is_counted() {
    for threads in [1, 2] {
        let engine = engine_of(threads, Fixed(vec![numbers(40_000)]), BUDGET);
        let stages = GREEDY_STAGES.map(|sql| format!("SET useMultistageEngine = true; {sql}"));
        for sql in GREEDY.into_iter().map(str::to_owned).chain(stages) {
            let sql = sql.replace("$t", "repeat(concat(t, n), 100)");
            // The first three need no more than there is, once they do not make room for two thousand million groups.
            let fits = sql.contains("2000000000");
            let answer = ask(&engine, &format!("SET timeoutMs = 120000; {sql}")).await;
            let expected = if fits { 0 } else { 245 };
            assert_eq!(code(&answer), expected, "{threads} threads, {sql}: {:?}", answer.exceptions);
            if fits {
                assert_eq!(answer.rows.iter().map(|rows| rows.num_rows()).sum::<usize>(), 40_000, "{sql}");
                continue;
            }
            let message = &answer.exceptions[0].message;
            assert!(message.contains("more memory than queries may use") && message.contains("narrow"), "{message}");
        }
        assert_eq!(long(&ask(&engine, "SELECT COUNT(*) FROM numbers").await, 0), 40_000);
    }
}

#[tokio::test]
async fn what_is_within_the_budget_is_answered() {
    let engine = engine(Fixed(vec![numbers(100_000)]), 32 << 20);
    // A large result of one piece of memory counts once, not for each of its parts.
    let answer = ask(&engine, "SELECT n, t FROM numbers ORDER BY n DESC LIMIT 50000").await;
    assert_eq!(answer.rows.iter().map(|rows| rows.num_rows()).sum::<usize>(), 50_000, "{:?}", answer.exceptions);
    for (sql, first) in [
        ("SELECT DISTINCT n FROM numbers ORDER BY n DESC LIMIT 3", 99_999),
        ("SELECT n, MIN(n) FROM numbers GROUP BY n ORDER BY MIN(n) LIMIT 1000", 0),
        (
            "SET useMultistageEngine = true; SELECT MAX(r) FROM (SELECT ROW_NUMBER() OVER (ORDER BY n) AS r FROM numbers)",
            100_000,
        ),
        (
            "SET useMultistageEngine = true; SELECT MAX(r) FROM (SELECT COUNT(*) OVER (PARTITION BY n % 7) AS r FROM numbers)",
            14_286,
        ),
    ] {
        let answer = ask(&engine, sql).await;
        assert!(answer.exceptions.is_empty(), "{sql}: {:?}", answer.exceptions);
        let shown = arrow::util::display::array_value_to_string(answer.rows[0].column(0), 0).unwrap();
        assert_eq!(shown.parse::<i64>().unwrap(), first, "{sql}");
    }
    assert_eq!(engine.memory_held(), 0);
}
