//! Fuzz targets for whatever reads bytes or text that others wrote. One binary: `WEIR_FUZZ_TARGET` names the target, the
//! arguments are libFuzzer's. `scripts/fuzz.sh` builds and runs it; without a name it lists the targets.
//!
//! A target is a closure over bytes that panics where a promise is broken. Beside those of each target: nothing panics
//! (in any thread; caught or not, but for [`caught`]), nothing takes more memory than [`memory`] allows, and nothing takes longer than libFuzzer's
//! `-timeout`.

#![no_main]

mod config;
mod decoders;
mod expression;
mod files;
mod memory;
mod mutate;
mod path;
mod segments;
mod tables;

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    process::exit,
    sync::OnceLock,
};

#[global_allocator]
static MEMORY: memory::Counted = memory::Counted;

/// Tries one input.
type Target = Box<dyn FnMut(&[u8])>;

/// The targets by name, and what makes each ready.
const TARGETS: &[(&str, fn() -> Target)] = &[
    ("arrow", || caught(decoders::arrow())),
    ("avro", decoders::avro),
    ("avro-confluent", decoders::avro_confluent),
    ("avro-hashed", decoders::avro_hashed),
    ("avro-schema", decoders::avro_schema),
    ("bson", decoders::bson),
    ("chunk", files::chunk),
    ("clp", decoders::clp),
    ("config", config::table_and_schema),
    ("csv", decoders::csv),
    ("expression", expression::expression),
    ("json", decoders::json),
    ("json-binary", decoders::json_binary),
    ("json-confluent", decoders::json_confluent),
    ("protobuf", decoders::protobuf),
    ("protobuf-confluent", decoders::protobuf_confluent),
    ("protobuf-schema", decoders::protobuf_schema),
    ("quarantine", files::quarantine),
    ("segment", files::segment),
];

/// The same target, for code that catches the panics of a library on purpose: only one that gets out is a finding. The
/// engine's own hook ends the process before anybody can catch.
fn caught(mut target: Target) -> Target {
    std::panic::set_hook(Box::new(|panic| {
        let told = format!("{panic}\n{}", std::backtrace::Backtrace::force_capture());
        TOLD.with_borrow_mut(|last| *last = told);
    }));
    Box::new(move |data| {
        if catch_unwind(AssertUnwindSafe(|| target(data))).is_err() {
            TOLD.with_borrow(|told| eprintln!("{told}"));
            std::process::abort();
        }
    })
}

static CHOSEN: OnceLock<fn() -> Target> = OnceLock::new();

thread_local! {
    // Inputs come from one thread, and what a target keeps need not leave it.
    static TARGET: RefCell<Option<Target>> = const { RefCell::new(None) };
    // What the last panic said.
    static TOLD: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Before the first input: finds the target of that name.
fn choose() {
    for decoder in weir_formats::registry::names() {
        assert!(TARGETS.iter().any(|(target, _)| *target == decoder), "the decoder '{decoder}' has no target: add one");
    }
    let name = std::env::var("WEIR_FUZZ_TARGET").unwrap_or_default();
    match TARGETS.iter().find(|(target, _)| *target == name) {
        Some((_, make)) => drop(CHOSEN.set(*make)),
        None => {
            TARGETS.iter().for_each(|(target, _)| println!("{target}"));
            exit(if name.is_empty() { 0 } else { 2 });
        }
    }
}

libfuzzer_sys::fuzz_target!(init: choose(), |data: &[u8]| {
    TARGET.with_borrow_mut(|target| {
        let target = target.get_or_insert_with(|| CHOSEN.get().expect("a target was chosen")());
        memory::bounded(|| target(data));
    });
});

/// Targets whose inputs begin with JSON.
const JSON: &[&str] = &["avro-schema", "clp", "config", "json"];

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, most: usize, seed: u32| {
    static READS_JSON: OnceLock<bool> = OnceLock::new();
    let json = READS_JSON.get_or_init(|| std::env::var("WEIR_FUZZ_TARGET").is_ok_and(|name| JSON.contains(&&*name)));
    mutate::mutate(*json, data, size, most, seed)
});
