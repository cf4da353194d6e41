//! Texts that are long or deep: answered or refused in time, and never the end of the process.

use crate::{
    engine::{code, long},
    fixture::{Fixed, ask, engine, engine_of, numbers, orders},
};
use std::time::{Duration, Instant};

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
    let engine = engine(Fixed(vec![numbers(10)]), 512 << 20);
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

#[tokio::test]
async fn chains_at_the_bound_are_answered_or_late_and_the_engine_lives() {
    let engine = engine(Fixed(vec![numbers(10_000)]), 256 << 20);
    for sql in [
        format!("SELECT {} FROM numbers LIMIT 1", chain("n", "+", 501)),
        format!("SELECT {} FROM numbers LIMIT 1", chain("n", "*", 501)),
        format!("SELECT {} FROM numbers LIMIT 1", chain("t", "||", 501)),
        format!("SELECT n{} FROM numbers LIMIT 1", "::INT".repeat(50)),
        format!("SELECT COUNT(*) FROM numbers WHERE {}", chain("n = #", " OR ", 5_001)),
        format!("SELECT COUNT(*) FROM numbers WHERE {}", chain("t LIKE '%#%'", " OR ", 5_001)),
        format!("SET useMultistageEngine = true; {}", chain("SELECT n FROM numbers LIMIT 1", " UNION ALL ", 501)),
        format!("SET useMultistageEngine = true; SELECT COUNT(*) FROM {}", chain("numbers n#", ", ", 500)),
    ] {
        let started = Instant::now();
        let answer = ask(&engine, &format!("SET timeoutMs = 2000; {sql}")).await;
        assert!([0, 150, 240, 250, 700].contains(&code(&answer)), "{:?}", answer.exceptions);
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn long_lists_take_time_in_proportion() {
    let engine = engine(Fixed(vec![numbers(2_000)]), 256 << 20);
    let started = Instant::now();
    let sql = format!("SELECT COUNT(*) FROM numbers WHERE n IN ({})", chain("#", ",", 100_000));
    assert_eq!(long(&ask(&engine, &sql).await, 0), 2_000);
    // In a build without optimisation it takes two seconds; work in proportion to the square takes minutes.
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}

/// However long a text takes to be read and planned on the only thread, its deadline is seen.
#[tokio::test]
async fn the_deadline_comes_while_a_text_is_planned() {
    let engine = engine_of(1, Fixed(vec![numbers(10)]), 512 << 20);
    let slow = format!("SET timeoutMs = 50; SELECT COUNT(*) FROM numbers WHERE n IN ({})", chain("#", ",", 200_000));
    let request = |sql: &str| {
        let options = weir_query::QueryRequest::options_of("timeoutMs=50");
        weir_query::QueryRequest { sql: sql.to_owned(), options, ..Default::default() }
    };
    let started = Instant::now();
    let answer = engine.execute(request(&slow)).await;
    assert!([240, 250].contains(&code(&answer)), "{:?}", answer.exceptions);
    let seen = started.elapsed();
    assert!(seen < Duration::from_secs(1), "{seen:?}");
    // It was answered before the work had ended, or this would be no test of it: the thread that reads is still taken. Long
    // texts wait for it; short ones are read by whoever asks.
    let short = "SET timeoutMs = 50; SELECT COUNT(*) FROM numbers";
    let answer = engine.execute(request(&format!("{short}{}", " ".repeat(2_000)))).await;
    assert!([240, 250].contains(&code(&answer)), "{:?}", answer.exceptions);
    assert_eq!(long(&engine.execute(request(short)).await, 0), 10);
    for sql in ["SELECT COUNT(*) FROM numbers", "SET timeoutMs = 60000; SELECT COUNT(*) FROM numbers"] {
        assert_eq!(long(&ask(&engine, sql).await, 0), 10);
    }
}

/// What takes the square of a text's length looks at the deadline within one row, and while it is planned.
#[tokio::test]
async fn the_deadline_comes_within_one_row() {
    let engine = engine_of(1, Fixed(vec![numbers(3_000)]), 256 << 20);
    for call in [
        "SELECT MAX(levenshtein(repeat(t, 50000), repeat(concat(t, 'x'), 50000))) FROM numbers WHERE n < 2",
        "SELECT MAX(levenshtein(repeat('ab', 400000), repeat('abc', 400000))) FROM numbers",
        "SELECT COUNT(*) FROM numbers WHERE \
         array_has_any(split(repeat(concat(t, ' '), 400), ' '), split(repeat('none ', 1200), ' '))",
        "SELECT MAX(arrayLength(uniqueNgrams(repeat(t, 100), 1, 100))) FROM numbers",
    ] {
        let started = Instant::now();
        let answer = ask(&engine, &format!("SET timeoutMs = 300; {call}")).await;
        assert_eq!(code(&answer), 250, "{call}: {:?}", answer.exceptions);
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        // The only thread is free again soon: the work itself was stopped.
        let answer = ask(&engine, "SET timeoutMs = 20000; SELECT COUNT(*) FROM numbers").await;
        assert_eq!(long(&answer, 0), 3_000);
    }
}

#[tokio::test]
async fn copies_of_expressions_are_bounded() {
    let engine = engine(Fixed(vec![orders()]), 64 << 20);
    let nested = (0..40).fold("qty".to_owned(), |inner, _| format!("toEpochSecondsRounded(qty, {inner})"));
    for sql in [
        format!("SELECT COUNT(*) FROM orders WHERE qty {}", "BETWEEN 0 AND 1 ".repeat(60)),
        format!("SELECT {nested} FROM orders"),
    ] {
        let answer = ask(&engine, &sql).await;
        assert!(answer.exceptions[0].message.contains("10000"), "{:?}", answer.exceptions);
    }
}

#[tokio::test]
async fn values_and_batches_that_functions_make_are_bounded() {
    let engine = engine(Fixed(vec![orders(), numbers(20_000)]), 256 << 20);
    let doubled = (0..8).fold("repeat(t, 100000)".to_owned(), |inner, _| format!("concat({inner}, {inner})"));
    let replaced =
        (0..6).fold("repeat('a', 100)".to_owned(), |inner, _| format!("replace({inner}, 'a', '{}')", "a".repeat(100)));
    for call in [
        "repeat('a', 2000000000)",
        "repeat(t, 2000000000)",
        "repeat(t, n)",
        "repeat(t, 100000)",
        "lpad(t, 2000000000, 'b')",
        "rpad(t, 2000000000, 'b')",
        "lpad(t, 100000, 'b')",
        "regexp_replace(repeat('a', 10000000), '', repeat('b', 10000000))",
        "repeat(t, 50000) || repeat(t, 50000)",
        "repeat(t, '-', 2000000000)",
        "space(n * 10)",
        "arrayToString(uniqueNgrams(repeat(t, 1000), 1, 17000), '')",
        &doubled,
        &replaced,
    ] {
        let sql = format!("SELECT SUM(length({call})) FROM numbers WHERE n > 5000");
        let answer = ask(&engine, &sql).await;
        assert_eq!(code(&answer), 245, "{call}: {:?}", answer.exceptions);
        assert!(answer.exceptions[0].message.contains("MiB"), "{:?}", answer.exceptions);
    }
    let pairs = "array_has_any(split(repeat(concat(t, ' '), 80000), ' '), split(repeat('none ', 80000), ' '))";
    let answer = ask(&engine, &format!("SELECT {pairs} FROM numbers LIMIT 1")).await;
    assert_eq!(code(&answer), 245, "{:?}", answer.exceptions);
    assert!(answer.exceptions[0].message.contains("comparisons"), "{:?}", answer.exceptions);
    for call in ["range(1, 2000000000)", "array_repeat('a', 2000000000)", "generate_series(1, 2000000000)"] {
        assert_eq!(code(&ask(&engine, &format!("SELECT {call} FROM numbers")).await), 700, "{call}");
    }
    // A pattern that is too large is an error of the query, in words of some length.
    for test in [format!("t LIKE '{}'", "_%a".repeat(200_000)), format!("REGEXP_LIKE(t, '{}')", "a.*".repeat(200_000))]
    {
        let answer = ask(&engine, &format!("SELECT COUNT(*) FROM numbers WHERE {test}")).await;
        assert!([200, 700].contains(&code(&answer)), "{:?}", answer.exceptions);
        assert!(answer.exceptions[0].message.len() < 5_000);
    }
    // What is within the bounds is what it was: the estimate is above them, what comes out is not.
    let set = "SET useMultistageEngine = true; SELECT";
    for (call, length) in [
        ("repeat('ab', 3)", 6),
        ("regexp_replace(repeat(t, 30), 'z', repeat('b', 100))", 30 * 17),
        ("replace(repeat(t, 100), 'z', repeat('b', 10000))", 1_700),
        ("concat(t, t)", 34),
        ("t || t || 'x'", 35),
        ("lpad(t, 2000, 'ab')", 2_000),
    ] {
        let sql = format!("{set} SUM(length({call})) FROM numbers WHERE n >= 10000");
        assert_eq!(long(&ask(&engine, &sql).await, 0), 10_000 * length, "{call}");
    }
    assert_eq!(code(&ask(&engine, "SELECT t || CAST(NULL AS STRING) FROM numbers LIMIT 1").await), 0);
}

/// However forms are nested and wherever the fault is, a text is read in time: the parser has one reading of each word.
#[tokio::test]
async fn nested_forms_are_read_once() {
    let engine = engine_of(1, Fixed(vec![numbers(10)]), 64 << 20);
    let forms = [
        "CAST($ AS INT)",
        "TRY_CAST($ AS INT)",
        "CASE WHEN n > 1 THEN 1 ELSE $ END",
        "CASE $ WHEN 1 THEN 2 END",
        "case(n > 1, 1, $)",
        "floor($)",
        "EXTRACT(DAY FROM $)",
        "substring($, 1, 2)",
        "substring($ FROM 1)",
        "trim($)",
        "overlay($ PLACING 'a' FROM 1)",
        "position('a', $)",
        "position($, 'a')",
        "position($ IN 'a')",
        "position('a' IN $)",
        "ARRAY[$]",
        "array($)",
        "NOT ($)",
        "NOT $",
        "-($)",
        "($, 1)",
        "abs($)",
        "convert($, INT)",
        "INTERVAL ($) DAY",
        "EXISTS (SELECT $)",
        "(SELECT $)",
        "n IN ($)",
        "n BETWEEN $ AND 5",
        "$ IS NULL",
        "n LIKE $",
        "match($)",
        "STRUCT($)",
        "f(DISTINCT $)",
        "f($) OVER (ORDER BY 1)",
        "$::INT",
        "a[$]",
        "DATE_TRUNC('day', $)",
        "coalesce($, 1)",
        "coalesce(1, $)",
        "upper(coalesce($, 'a'))",
        "nvl($, 'a')",
        "nullif($, 1)",
        "greatest($, 1)",
        "concat($, 'a')",
        "($ || 'a')",
        "left($, 2)",
        "replace($, 'a', 'b')",
        "regexp_replace($, 'a', 'b')",
        "{fn f($)}",
        "MAP {'a': $}",
    ];
    for form in forms {
        for depth in [8, 24, 48] {
            for inner in ["n", "1 2 3", "FROM", ")"] {
                let nested = (0..depth).fold(inner.to_owned(), |inner, _| form.replace('$', &inner));
                let started = Instant::now();
                let answer = ask(&engine, &format!("SET timeoutMs = 5000; SELECT {nested} FROM numbers LIMIT 1")).await;
                let took = started.elapsed();
                assert!(![240, 250].contains(&code(&answer)), "{form} {depth} times around {inner}: {took:?}");
            }
        }
    }
    for depth in [8, 48] {
        let from = format!("{}numbers{}", "(".repeat(depth), " JOIN numbers b ON 1 = )".repeat(depth));
        let tables = format!("{}numbers{}", "(".repeat(depth), ")".repeat(depth - 1));
        for from in [from, tables] {
            let sql = format!("SET timeoutMs = 5000; SET useMultistageEngine = true; SELECT 1 FROM {from}");
            assert_eq!(code(&ask(&engine, &sql).await), 150);
        }
    }
}
