//! A function: `maskCard(text)` keeps a card number's last four characters, at ingestion and in SQL.

use weir_server::parts::{Arena, Body, DataType, Datum, Fault, Function, Gives};

/// `maskCard(card)`.
pub(crate) const FUNCTION: Function = Function {
    names: &["maskCard"],
    least: 1,
    most: 1,
    // A null argument gives null without a call.
    nulls: false,
    gives: Gives::One(DataType::String),
    body: Body::Plain(mask),
};

const SHOWN: usize = 4;

fn mask<'a>(args: &[Datum<'a>], arena: &'a Arena) -> Result<Datum<'a>, Fault> {
    let Datum::Text(card) = args[0] else { return Err(Fault::takes("a card number as text", args[0])) };
    let hidden = card.chars().count().saturating_sub(SHOWN);
    let letters = card.chars().enumerate().map(|(at, letter)| if at < hidden { '*' } else { letter });
    Ok(Datum::Text(arena.alloc_str(&letters.collect::<String>())))
}
