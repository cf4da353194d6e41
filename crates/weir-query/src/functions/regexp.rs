//! Regular expressions: what a pattern may be, and matching by patterns that are not the same in every row.

use super::{
    convert::{shared, shown},
    fun::{Args, Fun, Gives},
};
use crate::stop;
use arrow::array::{ArrayRef, BooleanArray};
use datafusion::common::{Result, exec_datafusion_err};
use regex::{Error, Regex, RegexBuilder};
use weir_functions::shelf::java_replacement;
use weir_types::DataType;

/// Bytes that a pattern may take once it is compiled, which counts its repetitions: `(a{1000}){1000}` is a million. It is
/// what the library below allows, and takes some tens of milliseconds to make.
const PATTERN_BYTES: usize = 10 << 20;

/// All of the family.
pub(super) const FUNS: [Fun; 1] = [
    // (text, pattern[, flags]), where the pattern is not a literal.
    Fun::new("w_regexp_like", (2, 3), Gives::One(DataType::Boolean), like),
];

fn compile(pattern: &str, flags: &str) -> std::result::Result<Regex, String> {
    let mut builder = RegexBuilder::new(pattern);
    builder.size_limit(PATTERN_BYTES).case_insensitive(flags.contains('i'));
    builder.build().map_err(|error| match error {
        Error::CompiledTooBig(_) => {
            format!("it takes more than {} MiB once its repetitions are counted; ask for fewer", PATTERN_BYTES >> 20)
        }
        // The fault stands behind a drawing of its place.
        other => match other.to_string().rsplit_once("error: ") {
            Some((_, fault)) => fault.trim().to_owned(),
            None => other.to_string(),
        },
    })
}

/// What is wrong with a pattern.
pub(crate) fn fault_of(pattern: &str) -> Option<String> {
    compile(pattern, "").err().map(|fault| refusal(pattern, &fault))
}

/// What replaces the matches of a pattern as the engine below reads it, or why it cannot.
pub(crate) fn replacement(pattern: &str, with: &str) -> std::result::Result<String, String> {
    let regex = compile(pattern, "").map_err(|fault| refusal(pattern, &fault))?;
    let has = |name: &str| regex.capture_names().flatten().any(|known| known == name);
    java_replacement(with, regex.captures_len() - 1, has).map_err(|fault| fault.to_string())
}

fn refusal(pattern: &str, fault: &str) -> String {
    format!("'{}' is not a regular expression: {fault}", shown(pattern))
}

/// Holds one compiled pattern at a time: neighbours mostly have the same.
fn like(args: &Args) -> Result<ArrayRef> {
    let (texts, patterns) = (args.texts(0)?, args.texts(1)?);
    let flags = if args.len() > 2 { args.constant_text(2, "the flags")? } else { String::new() };
    let mut last: Option<(&str, Regex)> = None;
    let matches = texts.iter().zip(&patterns).map(|(text, pattern)| {
        let (Some(text), Some(pattern)) = (text, pattern) else { return Ok(None) };
        if last.as_ref().is_none_or(|(known, _)| *known != pattern) {
            stop::look_here()?;
            let compiled =
                compile(pattern, &flags).map_err(|fault| exec_datafusion_err!("{}", refusal(pattern, &fault)))?;
            last = Some((pattern, compiled));
        }
        Ok(last.as_ref().map(|(_, regex)| regex.is_match(text)))
    });
    Ok(shared(matches.collect::<Result<BooleanArray>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_patterns_are_told() {
        assert_eq!(fault_of("^a.*[0-9]{2}$"), None);
        for (pattern, part) in [
            ("(", "unclosed group"),
            ("a{1000}{1000}{1000}", "10 MiB"),
            ("(?=a)", "look-around"),
            ("(a)\\1", "backreferences"),
        ] {
            let fault = fault_of(pattern).unwrap();
            assert!(fault.contains(part) && fault.contains(pattern) && !fault.contains('\n'), "{fault}");
        }
        assert!(fault_of(&"(".repeat(1000)).unwrap().len() < 250);
    }
}
