//! How words are read: by the parser's generic rules, but each in one way only.
//!
//! The parser takes some words, such as CAST, for the beginning of a form of their own, and reads all of it again as a call
//! or a column where that fails. With such forms in one another each level doubles the work: fifty nested CASTs with a
//! fault inside would take years. So what a word is gets decided here, from the tokens, before anything is parsed.

use datafusion::sql::sqlparser::{
    dialect::{Dialect, GenericDialect},
    keywords::Keyword,
    tokenizer::{Token, Word},
};
use std::any::TypeId;

/// The generic dialect, in which words with forms of their own are nothing else.
#[derive(Debug, Default)]
pub(super) struct Decided(GenericDialect);

/// What the generic dialect allows, which this one is asked for in its place.
macro_rules! as_generic {
    ($($name:ident),+) => {
        $(fn $name(&self) -> bool {
            self.0.$name()
        })+
    };
}

impl Dialect for Decided {
    fn dialect(&self) -> TypeId {
        self.0.dialect()
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        self.0.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        self.0.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        self.0.is_identifier_part(ch)
    }

    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        has_form(keyword) || self.0.is_reserved_for_identifier(keyword)
    }

    as_generic! {
        supports_unicode_string_literal, supports_partition_by_after_order_by, supports_array_join_syntax,
        supports_group_by_expr, supports_group_by_with_modifier, supports_left_associative_joins_without_parens,
        supports_connect_by, supports_match_recognize, supports_pipe_operator, supports_start_transaction_modifier,
        supports_window_function_null_treatment_arg, supports_dictionary_syntax,
        supports_window_clause_named_window_reference, supports_parenthesized_set_variables,
        supports_select_wildcard_except, support_map_literal_syntax, allow_extract_custom,
        allow_extract_single_quotes, supports_extract_comma_syntax, supports_create_view_comment_syntax,
        supports_parens_around_table_factor, supports_values_as_table_factor, supports_create_index_with_clause,
        supports_explain_with_utility_options, supports_limit_comma, supports_update_order_by,
        supports_from_first_select, supports_projection_trailing_commas, supports_asc_desc_in_column_definition,
        supports_try_convert, supports_bitwise_shift_operators, supports_comment_on, supports_load_extension,
        supports_named_fn_args_with_assignment_operator, supports_struct_literal, supports_empty_projections,
        supports_nested_comments, supports_multiline_comment_hints, supports_user_host_grantee,
        supports_string_escape_constant, supports_array_typedef_with_brackets, supports_match_against,
        supports_set_names, supports_comma_separated_set_assignments, supports_filter_during_aggregation,
        supports_select_wildcard_exclude, supports_data_type_signed_suffix, supports_interval_options,
        supports_quote_delimited_string, supports_select_wildcard_replace, supports_select_wildcard_ilike,
        supports_select_wildcard_rename, supports_optimize_table, supports_install, supports_detach,
        supports_prewhere, supports_with_fill, supports_limit_by, supports_interpolate, supports_settings,
        supports_select_format, supports_comment_optimizer_hint, supports_constraint_keyword_without_name,
        supports_key_column_option, supports_comma_separated_trim, supports_cte_without_as,
        supports_select_item_multi_column_alias, supports_xml_expressions
    }
}

/// Whether a word begins a form of its own, unless it was decided otherwise.
fn has_form(keyword: Keyword) -> bool {
    needs_parentheses(keyword) || matches!(keyword, Keyword::CASE | Keyword::NOT | Keyword::ARRAY)
}

/// Whether the form of a word has parentheses: without them it is a name.
fn needs_parentheses(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::CAST
            | Keyword::TRY_CAST
            | Keyword::SAFE_CAST
            | Keyword::CONVERT
            | Keyword::TRY_CONVERT
            | Keyword::EXTRACT
            | Keyword::CEIL
            | Keyword::FLOOR
            | Keyword::SUBSTR
            | Keyword::SUBSTRING
            | Keyword::OVERLAY
    )
}

/// What `POSITION(part IN text)` is called: its parser reads it twice whatever the dialect says.
pub(super) const POSITION_IN: &str = "position_in";

/// Quotes words that have a form of their own where they are names of columns or of functions.
pub(super) fn decide(tokens: &mut [Token]) {
    let insides = insides(tokens);
    for at in 0..tokens.len() {
        let opens = tokens.get(at + 1) == Some(&Token::LParen);
        let inside = insides[at];
        let next = word_at(tokens, at + 2);
        let name = match word_at(tokens, at) {
            // overlay(text, with, from), which is a call.
            Keyword::OVERLAY => !opens || inside.comma,
            keyword if needs_parentheses(keyword) => !opens,
            // case(condition, value, .., else) and position(a, b), which are calls.
            Keyword::CASE => opens && inside.comma,
            Keyword::POSITION => opens,
            // array(1, 2), unless a query stands in it.
            Keyword::ARRAY => opens && !matches!(next, Keyword::SELECT | Keyword::WITH),
            _ => false,
        };
        if let (Keyword::POSITION, true, Some(word_in)) = (word_at(tokens, at), opens, inside.word_in) {
            tokens[at] = Token::make_word(POSITION_IN, Some('"'));
            tokens[word_in] = Token::Comma;
        } else if let (true, Token::Word(Word { value, .. })) = (name, &tokens[at]) {
            tokens[at] = Token::make_word(value.as_str(), Some('"'));
        }
    }
}

/// The keyword that stands there unquoted.
fn word_at(tokens: &[Token], at: usize) -> Keyword {
    match tokens.get(at) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    }
}

/// What stands directly in the parentheses behind a token.
#[derive(Debug, Clone, Copy, Default)]
struct Inside {
    comma: bool,
    /// Where the first IN is.
    word_in: Option<usize>,
}

/// For each token what stands in the parentheses that open behind it. One pass, however deep they are.
fn insides(tokens: &[Token]) -> Vec<Inside> {
    let mut insides = vec![Inside::default(); tokens.len()];
    // Where each open parenthesis is of whose inside we read.
    let mut open: Vec<usize> = vec![];
    for (at, token) in tokens.iter().enumerate() {
        let here = open.last().and_then(|opened: &usize| opened.checked_sub(1));
        match token {
            Token::LParen => open.push(at),
            Token::RParen => {
                open.pop();
            }
            Token::Comma => {
                if let Some(before) = here {
                    insides[before].comma = true;
                }
            }
            _ if word_at(tokens, at) == Keyword::IN => {
                if let Some(before) = here {
                    insides[before].word_in.get_or_insert(at);
                }
            }
            _ => {}
        }
    }
    insides
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    fn decided(sql: &str) -> String {
        let mut tokens = Tokenizer::new(&Decided::default(), sql).tokenize().unwrap();
        tokens.retain(|token| !matches!(token, Token::Whitespace(_)));
        decide(&mut tokens);
        tokens.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn words_are_forms_or_names() {
        for (sql, read) in [
            ("CAST(a AS INT) + cast", "CAST ( a AS INT ) + \"cast\""),
            ("floor(x), floor, ceil", "floor ( x ) , \"floor\" , \"ceil\""),
            ("CASE (a) WHEN 1 THEN 2 END", "CASE ( a ) WHEN 1 THEN 2 END"),
            ("case(a > f(1, 2), 1, 2)", "\"case\" ( a > f ( 1 , 2 ) , 1 , 2 )"),
            ("position('a' IN b), position('a', b)", "\"position_in\" ( 'a' , b ) , \"position\" ( 'a' , b )"),
            ("array(1, 2), ARRAY[1], ARRAY(SELECT 1)", "\"array\" ( 1 , 2 ) , ARRAY [ 1 ] , ARRAY ( SELECT 1 )"),
        ] {
            assert_eq!(decided(sql), read);
        }
    }
}
