//! What a record costs in a component beside the same part in Rust (`examples/own-parts`): `./dev wasm cost` prints it.
#![expect(clippy::unwrap_used, reason = "what fails here is what the measurement lacks")]

// The parts in Rust name what they need as a binary around `weir-server` does.
extern crate self as weir_server;

#[path = "../../../examples/own-parts/src/card.rs"]
mod card;
#[path = "../../../examples/own-parts/src/pairs.rs"]
mod pairs;
#[expect(dead_code, reason = "what else the tests of parts need")]
mod support;

/// What `weir_server::parts` has of what those two need.
mod parts {
    pub(crate) use weir_formats::{
        coerce::Source,
        own::{MessageReader, OwnDecoder, Rows},
    };
    pub(crate) use weir_functions::{
        datum::{Arena, Datum, Fault},
        shelf::{Body, Function, Gives},
    };
    pub(crate) use weir_types::DataType;
}

use std::time::{Duration, Instant};
use weir_formats::{Payload, registry};
use weir_functions::{
    datum::{Arena, Datum},
    shelf::{Function, Prepared, function},
};
use weir_types::RowBatch;

/// Messages of one fetch, and fetches of one round.
const MESSAGES: usize = 500;
const FETCHES: usize = 100;
/// The quickest round counts: others were disturbed.
const ROUNDS: usize = 7;

/// Nanoseconds for each of so many things.
fn quickest(things: usize, mut round: impl FnMut()) -> f64 {
    let time = |_| {
        let start = Instant::now();
        round();
        start.elapsed()
    };
    let best: Duration = (0..ROUNDS).map(time).min().unwrap();
    best.as_nanos() as f64 / things as f64
}

fn decoding(name: &str) -> f64 {
    let message =
        |n: usize| format!("n={n} text=u{n} real={n}.5 tags=a,b card=400000000000{n:04} unread=some-other-text");
    let messages: Vec<String> = (0..MESSAGES).map(message).collect();
    let spec = support::spec();
    let mut decoder = registry::decoder(name, &support::settings(&[]), spec.clone()).unwrap();
    quickest(MESSAGES * FETCHES, || {
        for _ in 0..FETCHES {
            let mut rows = RowBatch::new(&spec.schema);
            let mut payloads =
                (0u32..).zip(&messages).map(|(message, value)| Payload { message, value: value.as_bytes(), key: None });
            let decoded = decoder.decode(&mut payloads, &mut rows);
            assert_eq!((rows.rows(), decoded.rejects.len()), (MESSAGES, 0));
        }
    })
}

fn calling(name: &str) -> f64 {
    let prepared = Prepared::new(function(name).unwrap(), &[None]).unwrap();
    let cards: Vec<String> = (0..MESSAGES).map(|n| format!("400000000000{n:04}")).collect();
    let mut arena = Arena::new();
    quickest(MESSAGES * FETCHES, || {
        for _ in 0..FETCHES {
            for card in &cards {
                let masked = prepared.call(&[Datum::Text(card)], &arena).unwrap();
                assert!(matches!(masked, Datum::Text(text) if text.len() == card.len()));
            }
            arena.reset();
        }
    })
}

/// The same as SQL calls, which has many rows at hand.
fn calling_rows(name: &str) -> f64 {
    let prepared = Prepared::new(function(name).unwrap(), &[None]).unwrap();
    let cards: Vec<String> = (0..MESSAGES).map(|n| format!("400000000000{n:04}")).collect();
    let cards: Vec<Datum<'_>> = cards.iter().map(|card| Datum::Text(card)).collect();
    quickest(MESSAGES * FETCHES, || {
        for _ in 0..FETCHES {
            let arena = Arena::new();
            let masked = prepared.call_rows(&cards, cards.len(), &arena);
            assert!(masked.iter().all(|masked| matches!(masked, Ok(Datum::Text(text)) if text.len() == 16)));
        }
    })
}

#[test]
#[ignore = "a measurement"]
fn cost_of_a_record() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["pairs.wasm", "card.wasm"] {
        std::fs::copy(support::built().join(name), folder.path().join(name)).unwrap();
    }
    let start = Instant::now();
    let mut loaded = weir_wasm::load(folder.path()).unwrap();
    println!("two components are loaded in {} ms", start.elapsed().as_millis());
    loaded.decoders.push(parts::OwnDecoder { name: "pairs-rust", ..pairs::DECODER }.into());
    loaded.functions.push(Function { names: &["maskCardRust"], ..card::FUNCTION });
    weir_formats::own::add(loaded.decoders).unwrap();
    weir_functions::shelf::add(loaded.functions).unwrap();
    for (what, component, rust) in [
        ("a message through `pairs`", decoding("pairs"), decoding("pairs-rust")),
        ("a row of `maskCard` in SQL", calling_rows("maskCard"), calling_rows("maskCardRust")),
        ("a call of `maskCard` in a record's expression", calling("maskCard"), calling("maskCardRust")),
    ] {
        println!("{what}: {component:.0} ns in a component, {rust:.0} ns in Rust, {:.1} times", component / rust);
    }
}
