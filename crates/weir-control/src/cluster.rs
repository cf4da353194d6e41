//! Settings of the whole cluster that may change at any time, under the names that Pinot's `/cluster/configs` has.

use std::collections::BTreeMap;
use weir_types::NodeLimit;

/// Messages a second that a node takes from all streams together; 0 is no limit.
const RATE: &str = "pinot.server.consumption.rate.limit";
/// Bytes a second; wins over messages.
const RATE_BYTES: &str = "pinot.server.consumption.rate.limit.bytes";

/// Settings by name, as they were given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterConfigs(BTreeMap<String, String>);

/// A setting that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct ClusterConfigError {
    /// Its name.
    pub name: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

impl ClusterConfigs {
    /// All settings: each is known and has a value that can be used.
    ///
    /// # Errors
    /// The first that is not.
    pub fn new(settings: BTreeMap<String, String>) -> Result<Self, ClusterConfigError> {
        for (name, value) in &settings {
            let wrong = |reason: &str| ClusterConfigError { name: name.clone(), reason: reason.to_owned() };
            if ![RATE, RATE_BYTES].contains(&name.as_str()) {
                return Err(wrong(&format!(
                    "is not a setting of the cluster that does anything here: {RATE} and {RATE_BYTES} are"
                )));
            }
            number(value).ok_or_else(|| wrong("must be a number of at least 0; 0 is no limit"))?;
        }
        Ok(Self(settings))
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// The same with some set and some (`None`) removed.
    ///
    /// # Errors
    /// The first that cannot be taken.
    pub fn with(&self, changes: BTreeMap<String, Option<String>>) -> Result<Self, ClusterConfigError> {
        let mut settings = self.0.clone();
        for (name, value) in changes {
            match value {
                Some(value) => settings.insert(name, value),
                None => settings.remove(&name),
            };
        }
        Self::new(settings)
    }

    /// How fast a node may take messages.
    #[must_use]
    pub fn node_limit(&self) -> Option<NodeLimit> {
        let rate = |name| self.0.get(name).and_then(|value| number(value)).filter(|rate| *rate > 0.0);
        rate(RATE_BYTES).map(NodeLimit::Bytes).or(rate(RATE).map(NodeLimit::Messages))
    }
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configs(settings: &[(&str, &str)]) -> Result<ClusterConfigs, ClusterConfigError> {
        ClusterConfigs::new(settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
    }

    #[test]
    fn bytes_win_and_zero_is_none() {
        assert_eq!(ClusterConfigs::default().node_limit(), None);
        assert_eq!(configs(&[(RATE, "0"), (RATE_BYTES, "0")]).unwrap().node_limit(), None);
        assert_eq!(configs(&[(RATE, "12.5")]).unwrap().node_limit(), Some(NodeLimit::Messages(12.5)));
        let both = configs(&[(RATE, "12.5"), (RATE_BYTES, "1e6")]).unwrap();
        assert_eq!(both.node_limit(), Some(NodeLimit::Bytes(1e6)));
        let removed = both.with([(RATE_BYTES.to_owned(), None)].into()).unwrap();
        assert_eq!(removed.node_limit(), Some(NodeLimit::Messages(12.5)));
    }

    #[test]
    fn what_does_nothing_or_is_no_number_is_refused() {
        for (name, value, part) in [
            ("pinot.broker.x", "1", "is not a setting"),
            (RATE, "fast", "must be a number"),
            (RATE, "-1", "must be a number"),
            (RATE_BYTES, "inf", "must be a number"),
        ] {
            let error = configs(&[(name, value)]).unwrap_err().to_string();
            assert!(error.starts_with(name) && error.contains(part), "{error}");
        }
    }
}
