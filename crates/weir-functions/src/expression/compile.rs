//! From SQL's notation to nodes.

use super::{Constant, Node};
use crate::{
    datum::Datum,
    shelf::{Prepared, function, is_volatile},
};
use sqlparser::{
    ast::{
        BinaryOperator, CaseWhen, CeilFloorKind, DateTimeField, Expr, FunctionArg, FunctionArgExpr, FunctionArguments,
        UnaryOperator, Value,
    },
    dialect::GenericDialect,
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Token, Tokenizer},
};
use std::sync::Arc;

/// Bytes of an expression's text: what anybody writes by hand is far shorter.
const TEXT_MOST: usize = 64 << 10;

/// Levels of an expression: evaluating it uses the stack of a thread that has no more than 2 MiB.
const DEPTH_MOST: usize = 64;

/// Levels of words of SQL: where there is a mistake inside, the parser's work doubles with each of them.
const LED_MOST: usize = 12;

/// Dots of names in one another, with those levels: behind each the parser reads what follows twice too.
const DOTS_MOST: usize = 16;

/// Those words.
const LEADING: &[Keyword] = &[
    Keyword::ARRAY,
    Keyword::CAST,
    Keyword::CEIL,
    Keyword::CONNECT_BY_ROOT,
    Keyword::CONVERT,
    Keyword::EXISTS,
    Keyword::EXTRACT,
    Keyword::FLOOR,
    Keyword::INTERVAL,
    Keyword::MAP,
    Keyword::MATCH,
    Keyword::NOT,
    Keyword::OVERLAY,
    Keyword::POSITION,
    Keyword::PRIOR,
    Keyword::SAFE_CAST,
    Keyword::STRUCT,
    Keyword::SUBSTR,
    Keyword::SUBSTRING,
    Keyword::TRIM,
    Keyword::TRY_CAST,
    Keyword::TRY_CONVERT,
];

/// Bytes of a text whose parts an error repeats: writing them descends as deep as a chain of operators is long.
const SHOWN_MOST: usize = 8 << 10;

/// Nodes of an expression. What is compared with several values is there once for each of them, so that nested lists double
/// at each level.
const NODES_MOST: usize = 64 << 10;

/// Stack of the thread that reads and compiles. A level costs the parser some tens of KiB without optimisation, and a chain
/// of operators as long as [`TEXT_MOST`] lets it be is a tree as deep, until it is refused and dropped. Pages that are not
/// touched take no memory.
const STACK_BYTES: usize = 256 << 20;

/// Reads and compiles, whatever is left of the caller's stack.
pub(super) fn compile(text: &str, fields: &mut Vec<Arc<str>>) -> Result<Node, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("weir-expression".into()).stack_size(STACK_BYTES);
        let compiling = thread
            .spawn_scoped(scope, || compile_here(text, fields))
            .map_err(|error| format!("no thread can be started to compile it: {error}; try again"))?;
        compiling.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn compile_here(text: &str, fields: &mut Vec<Arc<str>>) -> Result<Node, String> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err("it is empty".into());
    }
    if trimmed.len() > TEXT_MOST {
        return Err(format!("it has more than {TEXT_MOST} bytes"));
    }
    let begins = |word: &str| trimmed.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    if begins("groovy(") {
        return Err("scripts in Groovy are not run here; write it with functions (docs/reference/functions.md)".into());
    }
    let dialect = GenericDialect {};
    let parser = Parser::new(&dialect).with_recursion_limit(DEPTH_MOST);
    let tokens = Tokenizer::new(&dialect, trimmed).tokenize().map_err(|error| plain(&error.to_string()))?;
    nesting(&tokens)?;
    let mut parser = parser.with_tokens(tokens);
    let expr = parser.parse_expr().map_err(|error| match error {
        ParserError::RecursionLimitExceeded => too_deep(),
        other => plain(&other.to_string()),
    })?;
    match parser.peek_token().token {
        Token::EOF => {}
        other => return Err(format!("'{other}' is not expected behind its end")),
    }
    Compiler { fields, nodes: 0, shows: trimmed.len() <= SHOWN_MOST }.node(&expr, 0)
}

/// Looks how deep it is nested before the parser does, which reads what a word of SQL leads once more, as if it were a name,
/// where that is no expression: twice for each level.
fn nesting(tokens: &[Token]) -> Result<(), String> {
    // Of each bracket that is open the words that led it; then words since, and cases under way.
    let (mut open, mut led, mut cases) = (vec![], 0, vec![0]);
    let (mut words, mut types) = (0, 0);
    // Dots of the name that is read, of those whose brackets are open around it, and of each of them.
    let (mut dots, mut dotted, mut names, mut behind_dot) = (0, 0, vec![], false);
    for token in tokens {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                names.push(dots);
                dotted += dots;
                dots = 0;
            }
            // A name goes on behind a call.
            Token::RParen | Token::RBracket | Token::RBrace => {
                dots = names.pop().unwrap_or(0);
                dotted -= dots;
            }
            Token::Period => dots += 1,
            Token::Word(_) if behind_dot => {}
            Token::Whitespace(_) => continue,
            _ => dots = 0,
        }
        behind_dot = *token == Token::Period;
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                open.push(words);
                cases.push(0);
                led += words;
                words = 0;
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                if let Some(before) = open.pop() {
                    led -= before + cases.pop().unwrap_or(0);
                }
                words = 0;
            }
            Token::Word(word) if word.quote_style.is_none() => match (word.keyword, cases.last_mut()) {
                (Keyword::CASE, Some(cases)) => {
                    *cases += 1;
                    led += 1;
                }
                (Keyword::END, Some(cases)) if *cases > 0 => {
                    *cases -= 1;
                    led -= 1;
                }
                (keyword, _) if LEADING.contains(&keyword) => words += 1,
                _ => words = 0,
            },
            // Of a type: `ARRAY<ARRAY<INT>>`.
            Token::Lt if words > 0 => types += 1,
            _ => words = 0,
        }
        if open.len() + types > DEPTH_MOST {
            return Err(too_deep());
        }
        if led + words > LED_MOST {
            return Err(format!(
                "it is nested more than {LED_MOST} levels deep in words of SQL such as CASE, CAST and NOT; derive a column of \
                 its inner part and read that"
            ));
        }
        if led + words + dotted + dots > DOTS_MOST {
            return Err(format!(
                "its names have more than {DOTS_MOST} dots in one another, words of SQL around them counted; write a name with \
                 dots in double quotes"
            ));
        }
    }
    Ok(())
}

fn too_deep() -> String {
    format!("it is nested more than {DEPTH_MOST} levels deep; derive a column of its inner part and read that")
}

fn plain(error: &str) -> String {
    error.strip_prefix("sql parser error: ").unwrap_or(error).to_owned()
}

struct Compiler<'f> {
    fields: &'f mut Vec<Arc<str>>,
    nodes: usize,
    /// Errors may repeat parts of it.
    shows: bool,
}

impl Compiler<'_> {
    fn node(&mut self, expr: &Expr, depth: usize) -> Result<Node, String> {
        if depth > DEPTH_MOST {
            return Err(too_deep());
        }
        self.nodes += 1;
        if self.nodes > NODES_MOST {
            return Err(format!(
                "it has more than {NODES_MOST} parts, counted once for each value they are compared with"
            ));
        }
        let depth = depth + 1;
        match expr {
            Expr::Nested(inner) => self.node(inner, depth),
            Expr::Identifier(name) => Ok(self.field(&name.value)),
            Expr::CompoundIdentifier(parts) => {
                let name: Vec<&str> = parts.iter().map(|part| part.value.as_str()).collect();
                Ok(self.field(&name.join(".")))
            }
            Expr::Value(value) => constant(&value.value),
            Expr::UnaryOp { op, expr } => match op {
                UnaryOperator::Plus => self.node(expr, depth),
                UnaryOperator::Minus => match self.node(expr, depth)? {
                    Node::Constant(Constant::Long(number)) => Ok(Node::Constant(Constant::Long(number.wrapping_neg()))),
                    Node::Constant(Constant::Double(number)) => Ok(Node::Constant(Constant::Double(-number))),
                    // The least number of 64 bits has no positive.
                    Node::Constant(Constant::Decimal(digits)) => {
                        let signed = format!("-{digits}");
                        Ok(Node::Constant(match signed.parse() {
                            Ok(number) => Constant::Long(number),
                            Err(_) => Constant::Decimal(signed.into()),
                        }))
                    }
                    other => named("negate", vec![other]),
                },
                UnaryOperator::Not => self.named("not", &[expr], depth),
                other => Err(format!("the operator {other} is not there")),
            },
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right, depth),
            Expr::IsNull(inner) => self.named("isNull", &[inner], depth),
            Expr::IsNotNull(inner) => self.named("isNotNull", &[inner], depth),
            Expr::IsTrue(inner) | Expr::IsNotFalse(inner) => {
                let is_true = matches!(expr, Expr::IsTrue(_));
                let default = Node::Constant(Constant::Bool(!is_true));
                named("coalesce", vec![self.node(inner, depth)?, default])
            }
            Expr::IsFalse(inner) | Expr::IsNotTrue(inner) => {
                let is_false = matches!(expr, Expr::IsFalse(_));
                let default = Node::Constant(Constant::Bool(is_false));
                let truth = named("coalesce", vec![self.node(inner, depth)?, default])?;
                named("not", vec![truth])
            }
            Expr::IsDistinctFrom(a, b) => self.named("isDistinctFrom", &[a, b], depth),
            Expr::IsNotDistinctFrom(a, b) => self.named("isNotDistinctFrom", &[a, b], depth),
            Expr::Between { expr, negated, low, high } => {
                let between = self.named("between", &[expr, low, high], depth)?;
                negate(between, *negated)
            }
            Expr::InList { expr, list, negated } => {
                let equals: Result<Vec<Node>, String> =
                    list.iter().map(|item| self.named("equals", &[expr, item], depth)).collect();
                negate(Node::Decide { by: true, args: equals? }, *negated)
            }
            Expr::Like { negated, expr, pattern, escape_char: None, any: false } => {
                let like = self.named("like", &[expr, pattern], depth)?;
                negate(like, *negated)
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                let mut branches = vec![];
                for CaseWhen { condition, result } in conditions {
                    let condition = match operand {
                        Some(operand) => self.named("equals", &[operand, condition], depth)?,
                        None => self.node(condition, depth)?,
                    };
                    branches.push((condition, self.node(result, depth)?));
                }
                let otherwise = else_result.as_ref().map(|otherwise| self.node(otherwise, depth)).transpose()?;
                Ok(Node::Case { branches, otherwise: otherwise.map(Box::new) })
            }
            Expr::Cast { expr, data_type, .. } => {
                let to = data_type.to_string();
                let to = to.split('(').next().unwrap_or(&to).trim().to_owned();
                // A type that is not there is said now, not for each record.
                let arena = bumpalo::Bump::new();
                if let Err(fault) = crate::shelf::cast(Datum::Bool(true), &to, &arena)
                    && fault.to_string().contains("is no type")
                {
                    return Err(fault.to_string());
                }
                let inner = self.node(expr, depth)?;
                named("cast", vec![inner, Node::Constant(Constant::Text(to.into()))])
            }
            Expr::Ceil { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                self.named("ceil", &[expr], depth)
            }
            Expr::Floor { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                self.named("floor", &[expr], depth)
            }
            Expr::Extract { field, expr, .. } => {
                let part = Node::Constant(Constant::Text(field.to_string().into()));
                named("extract", vec![part, self.node(expr, depth)?])
            }
            Expr::Substring { expr, substring_from, substring_for, shorthand, .. } => {
                let mut args = vec![&**expr];
                args.extend(substring_from.as_deref());
                args.extend(substring_for.as_deref());
                self.named(if *shorthand { "substr" } else { "substring" }, &args, depth)
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let mut args = vec![&**expr, &**overlay_what, &**overlay_from];
                args.extend(overlay_for.as_deref());
                self.named("overlay", &args, depth)
            }
            Expr::Trim { expr, trim_where: None, trim_what: None, trim_characters: None } => {
                self.named("trim", &[expr], depth)
            }
            Expr::Array(array) => {
                let items: Vec<&Expr> = array.elem.iter().collect();
                self.named("array", &items, depth)
            }
            Expr::Function(call) => self.function(call, depth),
            other => Err(format!("{} is not understood here", self.shown(other))),
        }
    }

    fn shown(&self, part: impl std::fmt::Display) -> String {
        if self.shows { format!("'{part}'") } else { "a part of it".to_owned() }
    }

    fn function(&mut self, call: &sqlparser::ast::Function, depth: usize) -> Result<Node, String> {
        let name = call.name.to_string();
        let name = name.trim_matches('"');
        let args = match &call.args {
            FunctionArguments::None => vec![],
            FunctionArguments::List(list) if list.clauses.is_empty() && list.duplicate_treatment.is_none() => {
                let mut args = vec![];
                for arg in &list.args {
                    match arg {
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => args.push(self.node(expr, depth)?),
                        other => return Err(format!("{} is no argument of {name}", self.shown(other))),
                    }
                }
                args
            }
            other => return Err(format!("{} is not understood here", self.shown(format_args!("{name}{other}")))),
        };
        named(name, args)
    }

    fn binary(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr, depth: usize) -> Result<Node, String> {
        let function = match op {
            BinaryOperator::And | BinaryOperator::Or => {
                let by = *op == BinaryOperator::Or;
                // A chain is one node, however long it is.
                let mut args = vec![];
                self.chain(left, op, depth, &mut args)?;
                self.chain(right, op, depth, &mut args)?;
                return Ok(Node::Decide { by, args });
            }
            BinaryOperator::Plus => "plus",
            BinaryOperator::Minus => "minus",
            BinaryOperator::Multiply => "times",
            BinaryOperator::Divide => "divide",
            BinaryOperator::Modulo => "mod",
            BinaryOperator::StringConcat => "concat",
            BinaryOperator::Eq => "equals",
            BinaryOperator::NotEq => "notEquals",
            BinaryOperator::Gt => "greaterThan",
            BinaryOperator::GtEq => "greaterThanOrEqual",
            BinaryOperator::Lt => "lessThan",
            BinaryOperator::LtEq => "lessThanOrEqual",
            other => return Err(format!("the operator {other} is not there")),
        };
        self.named(function, &[left, right], depth)
    }

    fn chain(&mut self, expr: &Expr, op: &BinaryOperator, depth: usize, args: &mut Vec<Node>) -> Result<(), String> {
        match expr {
            Expr::BinaryOp { left, op: inner, right } if inner == op && depth < DEPTH_MOST => {
                self.chain(left, op, depth + 1, args)?;
                self.chain(right, op, depth + 1, args)
            }
            other => {
                args.push(self.node(other, depth)?);
                Ok(())
            }
        }
    }

    fn named(&mut self, name: &str, args: &[&Expr], depth: usize) -> Result<Node, String> {
        let args: Result<Vec<Node>, String> = args.iter().map(|arg| self.node(arg, depth)).collect();
        named(name, args?)
    }

    fn field(&mut self, name: &str) -> Node {
        let at = self.fields.iter().position(|field| **field == *name);
        Node::Field(at.unwrap_or_else(|| {
            self.fields.push(name.into());
            self.fields.len() - 1
        }))
    }
}

impl Node {
    fn constant(&self) -> Option<Datum<'_>> {
        match self {
            Self::Constant(constant) => Some(constant.datum()),
            _ => None,
        }
    }
}

fn negate(node: Node, negated: bool) -> Result<Node, String> {
    if negated { named("not", vec![node]) } else { Ok(node) }
}

fn constant(value: &Value) -> Result<Node, String> {
    Ok(Node::Constant(match value {
        Value::Null => Constant::Null,
        Value::Boolean(truth) => Constant::Bool(*truth),
        Value::Number(text, _) => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(number), _) => Constant::Long(number),
            (Err(_), Ok(_)) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                // A decimal's text is written as a number, which begins with no zeros.
                Constant::Decimal(text.trim_start_matches('0').into())
            }
            (Err(_), Ok(number)) => Constant::Double(number),
            _ => return Err(format!("'{text}' is no number")),
        },
        Value::SingleQuotedString(text) => Constant::Text(text.as_str().into()),
        other => return Err(format!("'{other}' is no constant here; text stands in single quotes")),
    }))
}

/// A call of a function by name.
fn named(name: &str, args: Vec<Node>) -> Result<Node, String> {
    let Some(found) = function(name) else {
        return Err(if is_volatile(name) {
            format!(
                "{name} gives another value each time, and a record that is read again must become the same row; the \
                 stream's time of a record is \"__metadata$recordTimestamp\""
            )
        } else {
            format!("there is no function {name}; docs/reference/functions.md lists those there are")
        });
    };
    let constants: Vec<Option<Datum<'_>>> = args.iter().map(Node::constant).collect();
    let function = Prepared::new(found, &constants).map_err(|fault| fault.to_string())?;
    Ok(Node::Call { function, args })
}
