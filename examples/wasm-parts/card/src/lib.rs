//! A function: `maskCard(text)` keeps a card number's last four characters. The same as `examples/own-parts/src/card.rs`.

use weir_guest::{Argument, Function, Gives, Made, Value};

const SHOWN: usize = 4;

const MASK: Function = Function {
    names: &["maskCard"],
    least: 1,
    most: 1,
    // A null argument gives null without a call.
    nulls: false,
    gives: Gives::TEXT,
    call: mask,
};

fn mask(args: &[Argument<'_>], made: &mut Made) -> Result<(), String> {
    let Argument::One(Value::Text(card)) = args[0] else {
        return Err(format!("a card number as text is expected, got {:?}", args[0]));
    };
    let hidden = card.chars().count().saturating_sub(SHOWN);
    let letters = card.chars().enumerate().map(|(at, letter)| if at < hidden { '*' } else { letter });
    made.put(Value::Text(&letters.collect::<String>()));
    Ok(())
}

weir_guest::functions!(MASK);
