//! Options of a query: those that change what it answers or how long it may take. The others are accepted and ignored.

use std::time::Duration;

/// What the options of a query say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Settings {
    /// `timeoutMs`.
    pub(crate) timeout: Option<Duration>,
    /// `useMultistageEngine`: its typing rules, no default limit.
    pub(crate) multistage: bool,
    /// `enableNullHandling`: three-valued logic over nulls.
    pub(crate) nulls: bool,
    /// `dropResults`: run it, answer without rows.
    pub(crate) drop_results: bool,
}

impl Settings {
    /// Reads options; a later one wins over an earlier one of the same key.
    ///
    /// # Errors
    /// A value that cannot be, with the key and what would be one.
    pub(crate) fn read<'a>(options: impl IntoIterator<Item = &'a (String, String)>) -> Result<Self, String> {
        let mut settings = Self::default();
        for (key, value) in options {
            let value = value.trim().trim_matches(['\'', '"']);
            let flag = || match value.to_ascii_lowercase().as_str() {
                "true" | "1" => Ok(true),
                "false" | "0" | "" => Ok(false),
                _ => Err(format!("option {key} is '{value}': true or false is expected")),
            };
            match key.trim().to_ascii_lowercase().as_str() {
                "timeoutms" => {
                    let ms = value.parse::<u64>().ok().filter(|ms| *ms > 0);
                    let expected =
                        || format!("option {key} is '{value}': a number of milliseconds above 0 is expected");
                    settings.timeout = Some(Duration::from_millis(ms.ok_or_else(expected)?));
                }
                "usemultistageengine" => settings.multistage = flag()?,
                "enablenullhandling" => settings.nulls = flag()?,
                "dropresults" => settings.drop_results = flag()?,
                _ => {}
            }
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &[(&str, &str)]) -> Result<Settings, String> {
        let options: Vec<_> = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Settings::read(&options)
    }

    #[test]
    fn later_options_win_and_unknown_ones_are_ignored() {
        let settings = read(&[("TIMEOUTMS", "10"), ("timeoutMs", "'20'"), ("useMultistageEngine", "true"), ("x", "y")]);
        let expected = Settings { timeout: Some(Duration::from_millis(20)), multistage: true, ..Settings::default() };
        assert_eq!(settings, Ok(expected));
    }

    #[test]
    fn wrong_values_name_key_and_value() {
        for options in [("timeoutMs", "soon"), ("timeoutMs", "0"), ("enableNullHandling", "maybe")] {
            let error = read(&[options]).unwrap_err();
            assert!(error.contains(options.0) && error.contains(options.1), "{error}");
        }
    }
}
