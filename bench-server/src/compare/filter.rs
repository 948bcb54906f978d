//! Which rows are wanted.

use super::engine::Metric;

/// Alternatives, each of them words that must all occur in a row's name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter(Vec<Vec<String>>);

impl Filter {
    /// One alternative per argument; letters' case does not matter. None at all wants
    /// everything.
    pub(crate) fn new<T: AsRef<str>>(arguments: &[T]) -> Self {
        let words = |argument: &T| {
            let lower = argument.as_ref().to_lowercase();
            lower.split_whitespace().map(str::to_owned).collect()
        };
        Self(arguments.iter().map(words).collect())
    }

    /// Whether one of the values of `contender` is wanted.
    pub(crate) fn wants(&self, metrics: &[Metric], contender: &str) -> bool {
        self.0.is_empty()
            || metrics
                .iter()
                .any(|metric| self.wants_one(metric, contender))
    }

    fn wants_one(&self, metric: &Metric, contender: &str) -> bool {
        let name = row_name(metric, contender).to_lowercase();
        self.0
            .iter()
            .any(|words| words.iter().all(|word| name.contains(word)))
    }
}

/// The name that the filter sees.
pub(crate) fn row_name(metric: &Metric, contender: &str) -> String {
    format!("{}: {}: {contender}", metric.section, metric.column)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(arguments: &[&str], contender: &str) -> bool {
        let metrics = [
            Metric {
                section: "handshake-server",
                column: "ECDSA P-256".into(),
            },
            Metric {
                section: "handshake-client",
                column: "ECDSA P-256".into(),
            },
        ];
        Filter::new(arguments).wants(&metrics, contender)
    }

    #[test]
    fn no_filter_wants_everything() {
        assert!(wants(&[], "libssl"));
        assert!(wants(&["  "], "libssl"));
    }

    #[test]
    fn all_words_of_one_alternative_must_occur() {
        assert!(wants(&["handshake libssl"], "libssl"));
        assert!(wants(&["p-256 CLIENT"], "libssl"));
        assert!(!wants(&["handshake libssl"], "keyway soft"));
        assert!(!wants(&["handshake bulk"], "libssl"));
        assert!(wants(&["memory", "ecdsa"], "libssl"));
    }
}
