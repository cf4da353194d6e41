//! A decoder and functions that do what a message tells them, bad things for the most part.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    hint::black_box,
};
use weir_guest::{
    Argument, DataType, Function, Gives, Made, Value,
    bindings::decoder::{
        exports::weir::parts::decoder::{Blobs, Decoded, Field, Guest, Reject},
        weir::parts::values::{Cells, Column, Texts},
    },
};

const MIB: usize = 1 << 20;

fn spin() -> ! {
    let mut count = 0_u64;
    loop {
        count = black_box(count.wrapping_add(1));
    }
}

/// Copies all of its memory, again and again: few instructions, much time.
fn copy() -> ! {
    let mut bytes = vec![1_u8; 24 * MIB];
    loop {
        let (from, to) = bytes.split_at_mut(12 * MIB);
        black_box(&mut *to).copy_from_slice(black_box(from));
    }
}

fn deep(level: u64) -> u64 {
    if black_box(level) == u64::MAX { level } else { black_box(deep(black_box(level + 1)) + 1) }
}

/// Takes memory for as long as it lives.
fn hoard(bytes: usize) {
    black_box(vec![1_u8; bytes].leak());
}

/// What a command makes of a row: a number.
fn obey(command: &str) -> Result<i64, String> {
    let (command, number) = command.split_once(' ').unwrap_or((command, "0"));
    let number: i64 = number.parse().map_err(|error| format!("'{number}': {error}"))?;
    match command {
        "ok" => {}
        "loop" => spin(),
        "copy" => copy(),
        "bomb" => (0..).for_each(|_: u32| hoard(MIB)),
        "hoard" => hoard(number as usize * MIB),
        "panic" => panic!("by intent"),
        "exit" => std::process::exit(3),
        "deep" => return Ok(deep(0) as i64),
        "file" => return Ok(std::fs::read("/etc/passwd").map_err(|error| error.to_string())?.len() as i64),
        "clock" => return Ok(std::time::SystemTime::now().elapsed().map_or(0, |since| since.as_secs() as i64)),
        "chance" => return Ok(RandomState::new().hash_one(number) as i64 >> 1),
        "environment" => return Ok(std::env::vars().count() as i64),
        "reject" => return Err("as it was told".to_owned()),
        other => return Err(format!("'{other}' is no command")),
    }
    Ok(number)
}

struct Faulty;

impl Guest for Faulty {
    fn keys() -> Vec<String> {
        vec!["start".to_owned()]
    }

    fn start(settings: Vec<(String, String)>, wanted: Vec<String>) -> Result<(), String> {
        let settings: HashMap<_, _> = settings.into_iter().collect();
        black_box(wanted);
        match settings.get("start").map(String::as_str) {
            None => Ok(()),
            Some(command) => obey(command).map(|_| ()),
        }
    }

    fn decode(messages: Blobs) -> Decoded {
        let (mut message_of_row, mut numbers, mut rejects, mut start) = (vec![], vec![], vec![], 0);
        let mut lies = vec![];
        for (message, end) in (0..).zip(messages.ends) {
            let text = String::from_utf8_lossy(&messages.bytes[start..end as usize]).into_owned();
            start = end as usize;
            match text.strip_prefix("lie ") {
                // A row of a message that is not there.
                Some("message") => message_of_row.push(message + 1000),
                Some("column") => lies.push((message_of_row.len() as u32 + 1000, "x".to_owned(), 1)),
                Some("text") => {
                    lies.push((message_of_row.len() as u32, "x".to_owned(), 7));
                    message_of_row.push(message);
                    numbers.push(0);
                }
                Some("json") => {
                    lies.push((message_of_row.len() as u32, "{no".to_owned(), 3));
                    message_of_row.push(message);
                    numbers.push(0);
                }
                Some(_) | None => match obey(&text) {
                    Ok(number) => {
                        message_of_row.push(message);
                        numbers.push(number);
                    }
                    Err(reason) => rejects.push(Reject { message, reason }),
                },
            }
        }
        let rows = (0..message_of_row.len() as u32).collect();
        let mut fields =
            vec![Field { name: "n".to_owned(), column: Column { many: false, rows, cells: Cells::Integers(numbers) } }];
        if !lies.is_empty() {
            let mut texts = Texts { text: String::new(), ends: vec![] };
            let mut rows = vec![];
            for (row, text, length) in lies {
                let start = texts.text.len() as u32;
                texts.text.push_str(&text);
                texts.ends.push(start + length);
                rows.push(row);
            }
            fields
                .push(Field { name: "j".to_owned(), column: Column { many: false, rows, cells: Cells::Json(texts) } });
        }
        Decoded { message_of_row, fields, rejects }
    }
}

weir_guest::bindings::decoder::export_decoder!(Faulty with_types_in weir_guest::bindings::decoder);

fn told(args: &[Argument<'_>], made: &mut Made) -> Result<(), String> {
    let Argument::One(Value::Text(command)) = args[0] else { return Err(format!("no text: {:?}", args[0])) };
    made.put(Value::Integer(obey(command)?));
    Ok(())
}

/// What it was given, in words: how values cross the border.
fn shown(args: &[Argument<'_>], made: &mut Made) -> Result<(), String> {
    made.put(Value::Text(&format!("{args:?}")));
    Ok(())
}

/// What it was given, as it is.
fn same(args: &[Argument<'_>], made: &mut Made) -> Result<(), String> {
    match args[0] {
        Argument::Null => {}
        Argument::One(value) => made.put(value),
        Argument::Many(values) => {
            made.list();
            values.iter().for_each(|value| made.item(*value));
        }
    }
    Ok(())
}

const fn function(
    names: &'static [&'static str],
    gives: Gives,
    call: fn(&[Argument<'_>], &mut Made) -> Result<(), String>,
) -> Function {
    Function { names, least: 1, most: 3, nulls: true, gives, call }
}

weir_guest::functions!(
    function(&["partTold", "partObeys"], Gives::One(DataType::Long), told),
    function(&["partShown"], Gives::TEXT, shown),
    function(&["partSame"], Gives::Like(0), same),
);
