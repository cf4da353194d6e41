//! Components that are built here and now, good ones and bad ones, behind the same doors as the parts that are compiled in.
#![expect(clippy::unwrap_used, reason = "what fails here is what the test is for")]

mod support;

use std::{collections::BTreeMap, fs, path::Path};
use support::{Outcome, built, decode, decoder, settings};
use weir_formats::{
    FormatError,
    decoder::{DecodeSpec, Stage},
    registry,
};
use weir_functions::{
    datum::{Arena, Datum, Fault, list},
    shelf::{Prepared, function},
};

const MEMORY: &str = "component 'faulty' takes more than 64 MiB of memory";
const INSTRUCTIONS: &str = "component 'faulty' takes more than 100 million instructions";

fn faulty() -> Box<dyn weir_formats::Decoder> {
    decoder("faulty", &[]).unwrap()
}

#[test]
fn a_decoder_is_one_like_others() {
    support::load();
    assert!(registry::knows("pairs", "separator") && !registry::knows("pairs", "divider"));
    assert_eq!(registry::resolve("pairs"), Some("pairs"));
    let mut pairs = decoder("pairs", &[("separator", ":")]).unwrap();
    let outcome = decode(
        &mut *pairs,
        &[
            "n:1 text:ada tags:a,b real:0.5",
            "n:2 text:x text:y other:z\n\nn:3",
            "",
            "n:4 broken",
            "n:five",
            "n:6 tags:c",
        ],
    );
    assert_eq!(
        outcome.rows,
        [
            "0: n=1 text=ada real=0.5 tags=[a, b]",
            "1: n=2 text=y real=null tags=[]",
            "1: n=null text=null real=null tags=[]",
            "1: n=3 text=null real=null tags=[]",
            "5: n=6 text=null real=null tags=[c]",
        ]
    );
    let rejects: Vec<_> =
        outcome.rejects.iter().map(|(message, stage, reason)| (*message, *stage, &**reason)).collect();
    assert_eq!(rejects[0], (3, Stage::Decode, "'broken' has no ':'"));
    assert_eq!((rejects[1].0, rejects[1].1, rejects.len()), (4, Stage::DataType, 2));
    assert_eq!(outcome.empty, 1);
    let error = decoder("pairs", &[("separator", "==")]).err().unwrap().to_string();
    assert_eq!(error, "decoder 'pairs': separator cannot be '==': one character stands between name and value");
}

/// A bad message among others costs itself alone, says why, and does so wherever it stands.
#[track_caller]
fn costs_itself_alone(command: &str, why: &str) {
    let mut decoder = faulty();
    let good: Vec<String> = (0..40).map(|n| format!("ok {n}")).collect();
    let mut messages: Vec<&str> = good.iter().map(String::as_str).collect();
    messages[7] = command;
    messages[39] = command;
    let among = decode(&mut *decoder, &messages);
    let rows = (0..40).filter(|n| ![7, 39].contains(n)).map(|n| format!("{n}: n={n} text=null real=null tags=[]"));
    assert_eq!(among.rows, rows.collect::<Vec<_>>());
    let [(7, Stage::Decode, first), (39, Stage::Decode, last)] = &among.rejects[..] else {
        panic!("{command}: {:?}", among.rejects);
    };
    assert!(first.contains(why), "{command}: {first}");
    // The same alone, and in another instance.
    for decoder in [&mut decoder, &mut faulty()] {
        let alone = decode(&mut **decoder, &[command]);
        assert_eq!((alone.rows.len(), &alone.rejects[0].2), (0, last));
    }
    assert_eq!(first, last);
    assert_eq!(decode(&mut *decoder, &["ok 5"]).rows, ["0: n=5 text=null real=null tags=[]"]);
}

#[test]
fn a_message_that_runs_for_ever_is_rejected() {
    costs_itself_alone("loop", INSTRUCTIONS);
    // Few instructions that take long: copies count by their length.
    costs_itself_alone("copy", INSTRUCTIONS);
}

#[test]
fn a_message_that_takes_all_memory_is_rejected() {
    costs_itself_alone("bomb", MEMORY);
    costs_itself_alone("hoard 100", MEMORY);
}

#[test]
fn a_message_that_fails_is_rejected_with_what_the_part_says() {
    costs_itself_alone("panic", "component 'faulty' gave up: panicked at for-tests/faulty/src/lib.rs:");
    costs_itself_alone("panic", ": by intent");
    costs_itself_alone("exit", "component 'faulty' failed: it calls wasi:cli/exit");
    costs_itself_alone("deep", "component 'faulty' failed: wasm trap: call stack exhausted");
    costs_itself_alone("reject", "as it was told");
}

#[test]
fn there_are_no_files_and_no_clock() {
    costs_itself_alone("file", "component 'faulty' failed: it calls wasi:filesystem/");
    costs_itself_alone("clock", "component 'faulty' failed: it calls wasi:clocks/");
}

#[test]
fn what_a_part_gives_is_looked_at() {
    costs_itself_alone("lie message", "component 'faulty' gives rows of messages that do not ascend, or lie behind");
    costs_itself_alone("lie column", "component 'faulty' gives values of rows that do not ascend, or lie behind");
    costs_itself_alone("lie text", "component 'faulty' gives ends of texts or bytes that do not ascend");
}

#[test]
fn a_value_that_is_none_costs_its_message() {
    let outcome = decode(&mut *faulty(), &["ok 1", "lie json", "ok 2"]);
    assert_eq!(outcome.rows.len(), 2);
    assert!(outcome.rejects[0].2.contains("gives JSON that is none"), "{:?}", outcome.rejects);
}

#[test]
fn chance_is_the_same_each_time_and_the_environment_empty() {
    let chance = |decoder: &mut dyn weir_formats::Decoder| decode(decoder, &["chance 1", "chance 2"]).rows;
    let (mut first, mut second) = (faulty(), faulty());
    assert_eq!(chance(&mut *first)[0], chance(&mut *second)[0]);
    assert_eq!(decode(&mut *first, &["environment"]).rows, ["0: n=0 text=null real=null tags=[]"]);
}

#[test]
fn what_earlier_messages_left_behind_costs_no_later_one() {
    // 300 MiB in all, where there are 64.
    let outcome = decode(&mut *faulty(), &["hoard 1"; 300]);
    assert_eq!((outcome.rows.len(), outcome.rejects.len()), (300, 0));
    let outcome = decode(&mut *faulty(), &["hoard 30"; 10]);
    assert_eq!((outcome.rows.len(), outcome.rejects.len()), (10, 0));
}

#[test]
fn a_part_that_fails_at_its_settings_refuses_the_table() {
    for (command, why) in [("loop", INSTRUCTIONS), ("bomb", MEMORY), ("reject", "as it was told"), ("file", "wasi:")] {
        let error = decoder("faulty", &[("start", command)]).err().unwrap();
        assert!(matches!(error, FormatError::Own { .. }) && error.to_string().contains(why), "{error}");
    }
}

#[test]
fn long_messages_may_take_longer() {
    let long = "text=x ".repeat(300_000);
    let outcome = decode(&mut *decoder("pairs", &[]).unwrap(), &[&long, "n=1"]);
    assert_eq!((outcome.rows.len(), outcome.rejects), (2, vec![]));
}

/// The value of a call.
fn called<'a>(name: &str, args: &[Datum<'a>], arena: &'a Arena) -> Result<Datum<'a>, Fault> {
    support::load();
    let constants = vec![None; args.len()];
    // It may be gone before its value.
    Prepared::new(function(name).unwrap(), &constants).unwrap().call(args, arena).map(|made| made.copied(arena))
}

#[test]
fn values_of_all_kinds_cross_the_border_and_come_back() {
    let arena = Arena::new();
    let several = list([Datum::Text("a"), Datum::Text("")], &arena);
    for value in [
        Datum::Null,
        Datum::Bool(true),
        Datum::Long(i64::MIN),
        Datum::Float(0.1),
        Datum::Double(f64::MAX),
        Datum::Decimal("123456789012345678901234567890.5"),
        Datum::Timestamp(-1),
        Datum::Text("zażółć 🦀"),
        Datum::Text(""),
        Datum::Bytes(&[0, 255]),
        Datum::Uuid([7; 16]),
        Datum::Json("{\"a\": [1]}"),
        several,
        list([], &arena),
        list([Datum::Bool(true), Datum::Bool(false)], &arena),
    ] {
        assert_eq!(called("partSame", &[value], &arena), Ok(value), "{value:?}");
    }
    let shown = called("part_shown", &[Datum::Long(1), Datum::Null, several], &arena).unwrap();
    assert_eq!(shown, Datum::Text(r#"[One(Integer(1)), Null, Many([Text("a"), Text("")])]"#));
    let mixed = list([Datum::Long(1), Datum::Double(0.5), Datum::Null], &arena);
    assert_eq!(called("partSame", &[mixed], &arena), Ok(list([Datum::Double(1.0), Datum::Double(0.5)], &arena)));
}

#[test]
fn a_function_keeps_its_card_to_itself() {
    let arena = Arena::new();
    let mask = |card| called("MASK_CARD", &[card], &arena);
    assert_eq!(mask(Datum::Text("4111111111111111")), Ok(Datum::Text("************1111")));
    assert_eq!(mask(Datum::Null), Ok(Datum::Null));
    let fault = mask(Datum::Long(5)).unwrap_err().to_string();
    assert_eq!(fault, "maskCard(..): a card number as text is expected, got One(Integer(5))");
}

#[test]
fn a_function_that_fails_is_a_fault() {
    let arena = Arena::new();
    for (command, why) in [
        ("loop", INSTRUCTIONS),
        ("bomb", MEMORY),
        ("panic", "by intent"),
        ("file", "wasi:filesystem/"),
        ("reject", "as it was told"),
    ] {
        let fault = called("partTold", &[Datum::Text(command)], &arena).unwrap_err().to_string();
        assert!(fault.starts_with("partTold(..): ") && fault.contains(why), "{fault}");
        assert_eq!(called("partTold", &[Datum::Text("ok 7")], &arena), Ok(Datum::Long(7)));
    }
    let lists = list([list([], &arena)], &arena);
    assert!(called("partSame", &[lists], &arena).unwrap_err().to_string().contains("no lists of lists"));
}

#[test]
fn many_rows_are_called_together_and_each_has_its_own_value() {
    let arena = Arena::new();
    support::load();
    let called = |name: &str, args: &[Datum<'static>], rows: usize| {
        let prepared = Prepared::new(function(name).unwrap(), &vec![None; args.len() / rows]).unwrap();
        assert!(prepared.at_a_time() > 1);
        let made = prepared.call_rows(args, rows, &arena);
        made.into_iter().map(|made| made.map(|made| made.text(&arena).to_owned())).collect::<Vec<_>>()
    };
    let ok = |text: &str| Ok(text.to_owned());
    // One of them fails, and fails the call: each is called again.
    let told = called("partTold", &["ok 1", "loop", "ok 3", "reject", "panic", "ok 6"].map(Datum::Text), 6);
    assert_eq!([&told[0], &told[2], &told[5]], [&ok("1"), &ok("3"), &ok("6")]);
    let why = |at: usize| told[at].as_ref().unwrap_err().to_string();
    assert!(why(1).contains(INSTRUCTIONS), "{}", why(1));
    assert_eq!(why(3), "partTold(..): as it was told");
    assert!(why(4).contains("by intent"), "{}", why(4));
    // A fault of one alone leaves the others as they are.
    let told = called("partTold", &["reject", "ok 2"].map(Datum::Text), 2);
    assert_eq!(told[1], ok("2"));
    // Nulls are not asked for, where the function does not want them.
    let masked = called("maskCard", &[Datum::Text("12345"), Datum::Null, Datum::Text("x")], 3);
    assert_eq!(masked, [ok("*2345"), ok("null"), ok("x")]);
    // Several arguments, lists among them, and rows of several kinds.
    let rows = [Datum::Long(1), Datum::Null, Datum::Long(2), Datum::List(&[Datum::Text("a")])];
    assert_eq!(
        called("partShown", &rows, 2),
        [ok("[One(Integer(1)), Many([])]"), ok("[One(Integer(2)), Many([Text(\"a\")])]")]
    );
    assert_eq!(called("partSame", &[Datum::Long(1), Datum::Text("x")], 2), [ok("1"), ok("x")]);
}

#[test]
fn many_threads_call_at_once() {
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                let arena = Arena::new();
                for n in 0..200 {
                    let text = format!("ok {}", thread * 1000 + n);
                    let told = called("partTold", &[Datum::Text(&text)], &arena);
                    assert_eq!(told, Ok(Datum::Long(thread * 1000 + n)));
                }
            });
        }
    });
}

#[track_caller]
fn refused(folder: &Path, why: &[&str]) {
    let error = weir_wasm::load(folder).unwrap_err();
    for why in why {
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn what_is_no_part_is_named_with_its_file_and_the_reason() {
    let place = tempfile::tempdir().unwrap();
    refused(&place.path().join("absent"), &["the folder of parts ", "absent cannot be read: "]);
    assert_eq!(weir_wasm::load(place.path()).unwrap().decoders.len(), 0);
    let with = |name: &str, bytes: &[u8]| {
        let folder = tempfile::tempdir_in(place.path()).unwrap().keep();
        fs::write(folder.join(name), bytes).unwrap();
        folder
    };
    let good = fs::read(built().join("pairs.wasm")).unwrap();
    refused(&with("text.wasm", b"not a component"), &["text.wasm: it is no component: "]);
    refused(&with("half.wasm", &good[..good.len() / 2]), &["half.wasm: it is no component: "]);
    refused(&with("empty.wasm", b""), &["empty.wasm: it is no component: "]);
    refused(&with("core.wasm", b"\0asm\x01\0\0\0"), &["core.wasm: it is a core module, ", "wasm32-wasip2"]);
    refused(&with("my part.wasm", &good), &["my part.wasm: letters, digits, '-' and '_'"]);
    let stranger = fs::read(built().join("stranger.wasm")).unwrap();
    refused(
        &with("greeting.wasm", &stranger),
        &["greeting.wasm: it exports other:parts/greeting@1.0.0: ", "weir:parts/decoder", "weir:parts/functions"],
    );
    // Another file beside it, and one that is still being written, are nobody's.
    let folder = with("pairs-2.wasm", &good);
    fs::write(folder.join("README.md"), "text").unwrap();
    fs::write(folder.join(".pairs.wasm"), "half").unwrap();
    let loaded = weir_wasm::load(&folder).unwrap();
    assert_eq!(loaded.decoders.iter().map(|decoder| decoder.name).collect::<Vec<_>>(), ["pairs-2"]);
}

#[test]
fn a_name_that_is_taken_is_said() {
    support::load();
    let place = tempfile::tempdir().unwrap();
    fs::copy(built().join("pairs.wasm"), place.path().join("json.wasm")).unwrap();
    let error = weir_formats::own::add(weir_wasm::load(place.path()).unwrap().decoders).unwrap_err();
    assert!(error.contains("a decoder named 'json' is there already"), "{error}");
}

#[test]
fn settings_are_given_as_they_stand() {
    let spec: DecodeSpec = support::spec();
    let given: BTreeMap<String, String> = settings(&[("separator", "~"), ("unknown", "x")]);
    support::load();
    let mut decoder = registry::decoder("pairs", &given, spec).unwrap();
    let Outcome { rows, .. } = decode(&mut *decoder, &["n~4"]);
    assert_eq!(rows, ["0: n=4 text=null real=null tags=[]"]);
}
