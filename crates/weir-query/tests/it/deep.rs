//! Texts that are long or deep: answered or refused in time, and never the end of the process.

use crate::{
    engine::{code, long},
    fixture::{Fixed, ask, engine, numbers},
};

fn chain(term: &str, operator: &str, count: usize) -> String {
    let terms: Vec<String> = (0..count).map(|at| term.replace('#', &at.to_string())).collect();
    terms.join(operator)
}

#[tokio::test]
async fn a_thousand_conditions_are_answered() {
    let engine = engine(Fixed(vec![numbers(2_000)]), 256 << 20);
    let any = format!("SELECT COUNT(*) FROM numbers WHERE {}", chain("n = #", " OR ", 1_000));
    assert_eq!(long(&ask(&engine, &any).await, 0), 1_000);
    let none = format!("SELECT COUNT(*) FROM numbers WHERE {}", chain("n <> #", " AND ", 1_000));
    assert_eq!(long(&ask(&engine, &none).await, 0), 1_000);
    let sum = format!("SELECT {} FROM numbers WHERE n = 3 LIMIT 1", chain("n", " + ", 300));
    assert!(ask(&engine, &sum).await.exceptions.is_empty());
    let all =
        format!("SET useMultistageEngine = true; {}", chain("SELECT n FROM numbers WHERE n = #", " UNION ALL ", 100));
    let answer = ask(&engine, &all).await;
    assert_eq!(answer.rows.iter().map(|rows| rows.num_rows()).sum::<usize>(), 100, "{:?}", answer.exceptions);
}

#[tokio::test]
async fn what_is_too_deep_is_refused_and_the_engine_lives() {
    let engine = engine(Fixed(vec![numbers(10)]), 64 << 20);
    for sql in [
        format!("SELECT {} FROM numbers", chain("n", "+", 100_000)),
        format!("SELECT COUNT(*) FROM numbers WHERE {}", chain("n = #", " OR ", 100_000)),
        format!("SET useMultistageEngine = true; {}", chain("SELECT n FROM numbers", " UNION ALL ", 10_000)),
        format!("SELECT {}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("SELECT n{} FROM numbers", "::INT".repeat(100_000)),
    ] {
        let answer = ask(&engine, &sql).await;
        assert_eq!(code(&answer), 150, "{:?}", answer.exceptions);
    }
    assert_eq!(long(&ask(&engine, "SELECT COUNT(*) FROM numbers").await, 0), 10);
}
