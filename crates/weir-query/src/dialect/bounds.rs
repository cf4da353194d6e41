//! How deep a query may be, told from its tokens before anything walks its tree.
//!
//! A chain of operators (`a = 1 OR a = 2 OR ..`) is a tree as deep as the chain is long, and so is a chain of UNIONs or
//! of JOINs. Parsing, rewriting, planning, running and dropping such a tree all descend into it on the stack of a thread.
//! The stack is large (see the engine's threads), and here is the bound that keeps every query within it.

use super::Outcome;
use crate::{answer::QueryException, error::Code};
use datafusion::sql::sqlparser::{keywords::Keyword, tokenizer::Token};

/// Bytes of a query's text. Reading takes some hundred bytes of memory for each, which nobody counts: this many a gigabyte.
pub(super) const MOST_TEXT: usize = 2 << 20;

/// Operators in one another within one condition or value, other than AND and OR. Planning such a chain takes time in
/// proportion to the square of its length, as the type of each is asked for again at each above it: this many take half a
/// second, and nobody sees the deadline meanwhile.
pub(super) const MOST_OPERATORS: usize = 500;

/// What a cast counts for: planning a chain of casts takes the cube of its length. A tenth of the operators take some tens
/// of milliseconds.
const CAST_WEIGHS: usize = 10;

/// ANDs and ORs in one expression, those in its parentheses included. Tools write a thousand. Such chains are balanced
/// before they are planned; what walks them before has stack for many times more.
pub(super) const MOST_CONDITIONS: usize = 5_000;

/// Set operations and joins in one query. Each is an operator of the plan, which costs far more than one of an
/// expression.
pub(super) const MOST_RELATIONS: usize = 500;

/// Parentheses in one another. The parser itself refuses more than 50 levels of most things; beyond this it need not try,
/// as it tries several readings of each.
pub(super) const MOST_NESTED: usize = 100;

/// How deep one kind of operators goes between two parentheses.
#[derive(Default)]
struct Depth {
    /// Operators of the expression that is being read.
    chain: usize,
    /// The deepest of the parentheses in it.
    inside: usize,
    /// The deepest expression before it.
    before: usize,
}

impl Depth {
    /// The next expression begins.
    fn next(&mut self) {
        *self = Self { before: self.deepest(), ..Self::default() };
    }

    fn now(&self) -> usize {
        self.chain + self.inside
    }

    fn deepest(&self) -> usize {
        self.before.max(self.now())
    }

    fn holds(&mut self, parentheses: &Self) {
        self.inside = self.inside.max(parentheses.deepest());
    }
}

/// What has been seen between two parentheses.
#[derive(Default)]
struct Level {
    operators: Depth,
    conditions: Depth,
    /// BETWEENs whose AND is still to come.
    between: usize,
}

impl Level {
    /// A comma.
    fn next(&mut self) {
        self.operators.next();
        self.conditions.next();
        self.between = 0;
    }

    /// An AND or OR.
    fn condition(&mut self, keyword: Keyword) {
        if keyword == Keyword::AND && self.between > 0 {
            self.between -= 1;
            self.operators.chain += 1;
        } else {
            self.operators.next();
            self.conditions.chain += 1;
        }
    }
}

fn refused<T>(what: impl std::fmt::Display) -> Outcome<T> {
    Err(QueryException::new(Code::SqlParsing, what))
}

/// Refuses tokens whose tree would be too deep.
pub(super) fn check(tokens: &[Token]) -> Outcome<()> {
    let mut open: Vec<Level> = vec![];
    let mut level = Level::default();
    let mut relations = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                if open.len() == MOST_NESTED {
                    return refused(format!(
                        "the query has more than {MOST_NESTED} parentheses in one another; write it flatter"
                    ));
                }
                open.push(std::mem::take(&mut level));
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                let Some(outer) = open.pop() else { continue };
                let inside = std::mem::replace(&mut level, outer);
                level.operators.holds(&inside.operators);
                level.conditions.holds(&inside.conditions);
                // Parentheses, calls and subscripts are nodes of the tree too.
                level.operators.chain += 1;
            }
            Token::Comma | Token::SemiColon => level.next(),
            Token::Word(word) => match word.keyword {
                _ if word.quote_style.is_some() => {}
                Keyword::JOIN => relations += 1,
                // The parser tries two readings of each.
                Keyword::INTERVAL if begins_interval(&tokens[at + 1..]) => {
                    return refused("INTERVAL stands before an INTERVAL: a number or a text belongs there".to_owned());
                }
                Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT | Keyword::MINUS
                    if begins_query(&tokens[at + 1..]) =>
                {
                    relations += 1;
                    level.next();
                }
                keyword @ (Keyword::AND | Keyword::OR) => level.condition(keyword),
                Keyword::BETWEEN => {
                    level.between += 1;
                    level.operators.chain += 1;
                }
                keyword if operates(keyword) => level.operators.chain += 1,
                _ => {}
            },
            Token::DoubleColon => level.operators.chain += CAST_WEIGHS,
            token if is_operand(token) => {}
            _ => level.operators.chain += 1,
        }
        if relations > MOST_RELATIONS {
            return too_many_relations();
        }
        if level.conditions.now() > MOST_CONDITIONS {
            return refused(format!(
                "one condition of the query has more than {MOST_CONDITIONS} ANDs and ORs; column IN (value, ..) says in one \
                 test what a chain of ORs says"
            ));
        }
        if level.operators.now() > MOST_OPERATORS {
            return refused(format!(
                "one expression of the query has more than {MOST_OPERATORS} operators in one another (a cast counts for \
                 {CAST_WEIGHS}); split it, or take it apart in a sub-query"
            ));
        }
    }
    Ok(())
}

/// Whether an interval comes next, behind signs or not.
fn begins_interval(tokens: &[Token]) -> bool {
    let sign = |token: &&Token| match token {
        Token::Word(word) => word.keyword == Keyword::NOT,
        token => {
            matches!(token, Token::Whitespace(_) | Token::Plus | Token::Minus | Token::Tilde | Token::ExclamationMark)
        }
    };
    let next = tokens.iter().find(|token| !sign(token));
    matches!(next, Some(Token::Word(word)) if word.quote_style.is_none() && word.keyword == Keyword::INTERVAL)
}

/// Refuses a FROM with more tables than a query may join: a list of tables is a chain of joins.
pub(super) fn check_from(tables: usize) -> Outcome<()> {
    if tables > MOST_RELATIONS { too_many_relations() } else { Ok(()) }
}

fn too_many_relations() -> Outcome<()> {
    refused(format!(
        "the query has more than {MOST_RELATIONS} joins and set operations (UNION and its kin); ask in several queries"
    ))
}

/// Whether tokens after UNION or its kin make it a set operation: a column or a function may have that name too.
fn begins_query(next: &[Token]) -> bool {
    let next: Vec<&Token> = next.iter().filter(|token| !matches!(token, Token::Whitespace(_))).take(2).collect();
    let keyword = |at: usize| match next.get(at) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    };
    let query = |at| matches!(keyword(at), Keyword::SELECT | Keyword::VALUES | Keyword::WITH | Keyword::TABLE);
    let inside = || query(1) || next.get(1) == Some(&&Token::LParen);
    match next.first() {
        Some(Token::LParen) => inside(),
        _ => query(0) || matches!(keyword(0), Keyword::ALL | Keyword::DISTINCT | Keyword::BY),
    }
}

/// Whether a word is an operator between or after expressions.
fn operates(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::AND
            | Keyword::OR
            | Keyword::XOR
            | Keyword::NOT
            | Keyword::LIKE
            | Keyword::ILIKE
            | Keyword::RLIKE
            | Keyword::REGEXP
            | Keyword::SIMILAR
            | Keyword::MATCH
            | Keyword::IS
            | Keyword::IN
            | Keyword::DIV
            | Keyword::MOD
            | Keyword::COLLATE
            | Keyword::AT
            | Keyword::OVERLAPS
            | Keyword::OPERATOR
            | Keyword::NOTNULL
            | Keyword::MEMBER
    )
}

fn is_operand(token: &Token) -> bool {
    matches!(
        token,
        Token::EOF
            | Token::Number(..)
            | Token::Char(_)
            | Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::TripleSingleQuotedString(_)
            | Token::TripleDoubleQuotedString(_)
            | Token::DollarQuotedString(_)
            | Token::SingleQuotedByteStringLiteral(_)
            | Token::DoubleQuotedByteStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::Placeholder(_)
            | Token::Whitespace(_)
            | Token::Period
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::{dialect::GenericDialect, tokenizer::Tokenizer};

    fn checked(sql: &str) -> Outcome<()> {
        check(&Tokenizer::new(&GenericDialect {}, sql).tokenize().unwrap())
    }

    fn chain(term: &str, operator: &str, count: usize) -> String {
        vec![term; count].join(operator)
    }

    #[test]
    fn chains_are_bounded_wherever_they_stand() {
        let most = chain("v", " + ", MOST_OPERATORS + 1);
        let more = chain("v", " + ", MOST_OPERATORS + 2);
        assert!(checked(&format!("SELECT {most}, {most} FROM t")).is_ok());
        let half = chain("v", " || ", MOST_OPERATORS / 2 + 2);
        for expression in [
            more.clone(),
            format!("f(1, {more}, 2)"),
            // A long chain below a long chain.
            format!("(({half}) || {half})"),
            format!("{half} || f(1, {half})"),
            format!("v {}", "::INT".repeat(MOST_OPERATORS / CAST_WEIGHS + 1)),
            format!("v {}", "BETWEEN 1 AND 2 ".repeat(MOST_OPERATORS)),
            format!("v = 1 OR f({more})"),
            format!("v {}", chain("", "[1]", MOST_OPERATORS + 2)),
            format!("v {}", chain("", " IS NULL", MOST_OPERATORS + 2)),
        ] {
            let exception = checked(&format!("SELECT {expression}, 1 FROM t")).unwrap_err();
            assert_eq!(exception.code, 150);
            assert!(exception.message.contains("500 operators"), "{}", exception.message);
        }
    }

    #[test]
    fn conditions_may_be_many() {
        let tests = |count: usize| chain("v + 1 BETWEEN 2 AND 3", " OR ", count);
        assert!(checked(&format!("SELECT 1 WHERE {}", tests(MOST_CONDITIONS + 1))).is_ok());
        let half = tests(MOST_CONDITIONS / 2 + 2);
        for condition in [tests(MOST_CONDITIONS + 2), format!("(({half}) AND a) OR {half}")] {
            let exception = checked(&format!("SELECT 1 WHERE {condition}")).unwrap_err();
            assert!(exception.message.contains("5000 ANDs") && exception.message.contains("IN ("), "{exception:?}");
        }
    }

    #[test]
    fn long_lists_are_not_deep() {
        let list = chain("-1", ", ", 50_000);
        let calls = chain("sum(a + 1)", ", ", 5_000);
        let pairs = chain("(a = 1)", ", ", 5_000);
        assert!(checked(&format!("SELECT {calls}, {pairs} FROM t WHERE v IN ({list}) AND w NOT IN ({list})")).is_ok());
    }

    #[test]
    fn an_interval_of_an_interval_is_not_tried() {
        assert!(checked("SELECT a + INTERVAL '1' DAY + INTERVAL 2 HOUR, \"interval\" FROM t").is_ok());
        for sign in ["", "- ", "NOT ", "NOT -"] {
            let exception = checked(&format!("SELECT INTERVAL {sign}INTERVAL '1' DAY")).unwrap_err();
            assert!(exception.message.contains("INTERVAL"), "{}", exception.message);
        }
    }

    #[test]
    fn relations_and_parentheses_are_bounded() {
        let one = "SELECT a, b FROM t";
        assert!(checked(&chain(one, " UNION ALL ", MOST_RELATIONS + 1)).is_ok());
        let exception = checked(&chain(one, " UNION ALL ", MOST_RELATIONS + 2)).unwrap_err();
        assert!(exception.message.contains("500"), "{}", exception.message);
        assert!(checked(&format!("{one} {}", chain("", " JOIN u ON a = b ", MOST_RELATIONS + 2))).is_err());
        let nested = |count: usize| format!("SELECT {}1{}", "(".repeat(count), ")".repeat(count));
        assert!(checked(&nested(MOST_NESTED)).is_ok());
        assert!(checked(&nested(MOST_NESTED + 1)).unwrap_err().message.contains("parentheses"));
    }
}
