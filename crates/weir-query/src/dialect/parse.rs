//! Text to one query: SET statements, a trailing OPTION(..) and EXPLAIN PLAN FOR are taken off by token, not by pattern.

use super::{
    Outcome, bounds,
    words::{self, Decided},
};
use crate::{answer::QueryException, error::Code};
use datafusion::sql::sqlparser::{
    ast::{Expr, Query, Set, SetExpr, Statement, Value},
    parser::{Parser, ParserError},
    tokenizer::{Token, Tokenizer},
};

/// Words from EXPLAIN to FOR. `EXPLAIN PLAN INCLUDING ALL ATTRIBUTES WITH IMPLEMENTATION AS JSON FOR` has ten.
const MOST_EXPLAIN_WORDS: usize = 16;

/// A query and what came with it.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// The query.
    pub(crate) query: Box<Query>,
    /// Its plan is asked for, not its rows.
    pub(crate) explain: bool,
    /// Options of the text, in order.
    pub(crate) options: Vec<(String, String)>,
    /// The text.
    pub(crate) sql: String,
}

/// Whether options may stand in a text: they follow one of these words.
pub(crate) fn may_hold_options(sql: &str) -> bool {
    let holds = |word: &str| sql.as_bytes().windows(word.len()).any(|at| at.eq_ignore_ascii_case(word.as_bytes()));
    holds("set") || holds("option")
}

fn refused(what: impl std::fmt::Display) -> QueryException {
    QueryException::new(Code::SqlParsing, what)
}

/// Parses a text with exactly one query.
pub(crate) fn parse(sql: &str) -> Outcome<Parsed> {
    if sql.len() > bounds::MOST_TEXT {
        let (bytes, most) = (sql.len(), bounds::MOST_TEXT);
        return Err(refused(format!(
            "the text of the query has {bytes} bytes, {most} are the most: ask for parts of it"
        )));
    }
    let dialect = Decided::default();
    let mut tokens = Tokenizer::new(&dialect, sql).tokenize().map_err(|error| refused(error.to_string()))?;
    tokens.retain(|token| !matches!(token, Token::Whitespace(_)));
    bounds::check(&tokens)?;
    for token in &mut tokens {
        // `$docId` is a column, not a parameter.
        if let Token::Placeholder(name) = token
            && name.len() > 1
        {
            *token = Token::make_word(name.as_str(), Some('"'));
        }
    }
    let mut options = cut_options(&mut tokens)?;
    let explain = cut_explain(&mut tokens);
    words::decide(&mut tokens);
    let statements = Parser::new(&dialect).with_tokens(tokens).parse_statements().map_err(|error| match error {
        ParserError::RecursionLimitExceeded => {
            refused("the query nests expressions or queries too deep; take some of them apart in a sub-query or WITH")
        }
        other => refused(other.to_string()),
    })?;
    let mut set = vec![];
    let mut queries = vec![];
    for statement in statements {
        match statement {
            Statement::Set(assignment) => set.push(option(assignment)?),
            Statement::Query(query) => {
                // The parser reads on without complaint: FROM then is the list, or there is none.
                if matches!(&*query.body, SetExpr::Select(select) if select.projection.is_empty()) {
                    return Err(refused("the select list is empty"));
                }
                queries.push(query);
            }
            other => {
                let text = other.to_string();
                let word = text.split_whitespace().next().unwrap_or_default();
                let what = if ["SHOW", "DESCRIBE", "DESC"].contains(&word) {
                    text.clone()
                } else {
                    format!("{word} statements")
                };
                return Err(refused(format!(
                    "{what}: not answered here; SELECT, SET, EXPLAIN PLAN FOR, SHOW TABLES, SHOW TABLES LIKE 'a%', SHOW COLUMNS FROM t \
                     and DESCRIBE t are"
                )));
            }
        }
    }
    // What stands in OPTION(..) wins over SET of the same key, as it is nearer to the query.
    set.append(&mut options);
    let mut queries = queries.into_iter();
    match (queries.next(), queries.next()) {
        (Some(query), None) => Ok(Parsed { query, explain, options: set, sql: sql.to_owned() }),
        (None, _) => Err(refused("there is no query in the text")),
        (Some(_), Some(_)) => Err(refused("there are several queries in the text: one at a time is answered")),
    }
}

fn word(token: Option<&Token>) -> Option<&str> {
    match token {
        Some(Token::Word(word)) if word.quote_style.is_none() => Some(&word.value),
        _ => None,
    }
}

fn is_word(token: Option<&Token>, text: &str) -> bool {
    word(token).is_some_and(|word| word.eq_ignore_ascii_case(text))
}

/// Takes `OPTION(k = v, ..)` clauses out: those at the end of a statement. One pass, however long the text is.
fn cut_options(tokens: &mut Vec<Token>) -> Outcome<Vec<(String, String)>> {
    let mut options = vec![];
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        match option_clause(&tokens[at..]) {
            Some(length) => {
                read_clause(&tokens[at + 2..at + length - 1], &mut options)?;
                at += length;
            }
            None => {
                kept.push(std::mem::replace(&mut tokens[at], Token::EOF));
                at += 1;
            }
        }
    }
    *tokens = kept;
    Ok(options)
}

/// How many tokens an OPTION clause has that begins here and ends its statement.
fn option_clause(tokens: &[Token]) -> Option<usize> {
    if !is_word(tokens.first(), "OPTION") || tokens.get(1) != Some(&Token::LParen) {
        return None;
    }
    // Values are single tokens: what opens another parenthesis or ends the statement is no clause.
    let closes = |token: &Token| matches!(token, Token::RParen | Token::SemiColon);
    let length = tokens.iter().position(closes).filter(|at| tokens[*at] == Token::RParen)? + 1;
    let after = tokens.get(length);
    let ends = matches!(after, None | Some(Token::EOF | Token::SemiColon)) || is_word(after, "OPTION");
    ends.then_some(length)
}

/// Reads what stands between the parentheses of an OPTION clause.
fn read_clause(clause: &[Token], options: &mut Vec<(String, String)>) -> Outcome<()> {
    for pair in clause.split(|token| *token == Token::Comma) {
        let text = |tokens: &[Token]| tokens.iter().map(plain).collect::<String>();
        match pair.iter().position(|token| *token == Token::Eq) {
            Some(equals) => options.push((text(&pair[..equals]), text(&pair[equals + 1..]))),
            None if pair.is_empty() => {}
            None => return Err(refused(format!("OPTION({}) has no value: OPTION(key = value) has", text(pair)))),
        }
    }
    Ok(())
}

/// A token without its quotes.
fn plain(token: &Token) -> String {
    match token {
        Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) => text.clone(),
        Token::Word(word) => word.value.clone(),
        other => other.to_string(),
    }
}

/// Takes `EXPLAIN [IMPLEMENTATION] PLAN .. FOR` out where a statement begins.
fn cut_explain(tokens: &mut Vec<Token>) -> bool {
    let mut explain = false;
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let begins = kept.last().is_none_or(|token| *token == Token::SemiColon);
        if begins && is_word(tokens.get(at), "EXPLAIN") {
            let planned = is_word(tokens.get(at + 1), "PLAN") || is_word(tokens.get(at + 1), "IMPLEMENTATION");
            // Words only stand between PLAN and FOR: INCLUDING ALL ATTRIBUTES and the like.
            let words = tokens[at..].iter().take_while(|token| word(Some(token)).is_some());
            let until = words.take(MOST_EXPLAIN_WORDS).position(|token| is_word(Some(token), "FOR"));
            explain = true;
            at += until.filter(|_| planned).map_or(1, |until| until + 1);
        } else {
            kept.push(std::mem::replace(&mut tokens[at], Token::EOF));
            at += 1;
        }
    }
    *tokens = kept;
    explain
}

fn option(assignment: Set) -> Outcome<(String, String)> {
    let Set::SingleAssignment { variable, values, .. } = assignment else {
        return Err(refused(format!("'{assignment}' sets no option: SET key = value does")));
    };
    let value = match values.as_slice() {
        [Expr::Value(value)] => match &value.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) | Value::Number(text, _) => text.clone(),
            other => other.to_string(),
        },
        [Expr::Identifier(name)] => name.value.clone(),
        [other] => other.to_string(),
        _ => return Err(refused(format!("option {variable} has several values"))),
    };
    Ok((variable.to_string(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(options: &[(String, String)]) -> Vec<(&str, &str)> {
        options.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
    }

    #[test]
    fn options_are_taken_off_wherever_they_stand() {
        let sql = "SET timeoutMs = 5; set useMultistageEngine=true;\nSELECT 'OPTION(a=b)' FROM t LIMIT 3 option(preserveType='true', x = 7); SET y = 'z'";
        let parsed = parse(sql).unwrap();
        let expected =
            [("timeoutMs", "5"), ("useMultistageEngine", "true"), ("y", "z"), ("preserveType", "true"), ("x", "7")];
        assert_eq!(pairs(&parsed.options), expected);
        assert_eq!(parsed.query.to_string(), "SELECT 'OPTION(a=b)' FROM t LIMIT 3");
        assert!(!parsed.explain);
        assert!(may_hold_options(sql) && may_hold_options("SELECT 1 Option(x=1)") && may_hold_options("SeT x=1;"));
        assert!(!may_hold_options("SELECT se, t FROM optio LIMIT 3"));
    }

    #[test]
    fn explain_forms_are_taken_off() {
        for sql in [
            "EXPLAIN PLAN FOR SELECT a FROM t",
            "SET a = 1; explain plan including all attributes for SELECT a FROM t",
            "EXPLAIN IMPLEMENTATION PLAN FOR SELECT a FROM t",
            "EXPLAIN SELECT a FROM t",
        ] {
            let parsed = parse(sql).unwrap();
            assert!(parsed.explain, "{sql}");
            assert_eq!(parsed.query.to_string(), "SELECT a FROM t", "{sql}");
        }
    }

    #[test]
    fn what_is_no_query_is_refused() {
        let long = format!("SELECT '{}'", "x".repeat(bounds::MOST_TEXT));
        assert!(parse(&long).unwrap_err().message.contains("are the most"));
        assert!(parse(&long[..bounds::MOST_TEXT]).is_err_and(|error| !error.message.contains("are the most")));
        for (sql, part) in [
            ("", "no query"),
            ("SET a = 1", "no query"),
            ("SELECT 1; SELECT 2", "several"),
            ("DROP TABLE t", "DROP"),
            ("SELECT FROM t", "empty"),
            ("SELECT a b c FROM t", "Expected"),
            ("SELECT 'a", "string"),
        ] {
            let exception = parse(sql).unwrap_err();
            assert_eq!(exception.code, 150, "{sql}");
            assert!(exception.message.contains(part), "{}", exception.message);
        }
    }
}
