//! Latencies and their percentiles.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest latency that is told apart: a minute. Longer ones count as this.
const LONGEST_NS: u64 = 60_000_000_000;

/// Latencies, in nanoseconds, each kept to three significant digits.
#[derive(Clone, Debug)]
pub(crate) struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        // The bounds are constants that the library accepts: 1 <= low, 2 low <= high.
        Self(Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("constant bounds"))
    }
}

impl Latency {
    /// The percentiles that are shown.
    const SHOWN: [(&'static str, f64); 4] =
        [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9)];

    /// Takes one.
    pub(crate) fn record(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(LONGEST_NS);
        self.0.saturating_record(ns);
    }

    /// Takes those of `other`.
    pub(crate) fn merge(&mut self, other: &Self) {
        // Both have the same bounds, so nothing can be out of range.
        self.0.add(&other.0).expect("equal bounds");
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// As a JSON object, in microseconds.
    pub(crate) fn json(&self) -> serde_json::Value {
        let us = |ns: u64| ns as f64 / 1e3;
        let mut object = serde_json::Map::new();
        object.insert("count".into(), self.count().into());
        object.insert("mean_us".into(), (self.0.mean() / 1e3).into());
        for (name, percent) in Self::SHOWN {
            let value = us(self.0.value_at_percentile(percent));
            object.insert(format!("{name}_us"), value.into());
        }
        object.insert("max_us".into(), us(self.0.max()).into());
        object.into()
    }
}

/// `p50 0.41 ms  p90 0.52 ms  ...  max 1.20 ms`, or `none`.
impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (name, percent) in Self::SHOWN {
            write!(
                f,
                "{name} {}  ",
                Millis(self.0.value_at_percentile(percent))
            )?;
        }
        write!(f, "max {}", Millis(self.0.max()))
    }
}

/// Nanoseconds, shown as milliseconds with about three digits.
struct Millis(u64);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0 as f64 / 1e6;
        let digits = match ms {
            ms if ms < 1.0 => 3,
            ms if ms < 10.0 => 2,
            ms if ms < 100.0 => 1,
            _ => 0,
        };
        write!(f, "{ms:.digits$} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_all() {
        let (mut odd, mut even) = (Latency::default(), Latency::default());
        for us in 1..=1000 {
            let half = if us % 2 == 0 { &mut even } else { &mut odd };
            half.record(Duration::from_micros(us));
        }
        odd.merge(&even);
        assert_eq!(odd.count(), 1000);
        for (percent, us) in [(50.0, 500.0), (90.0, 900.0), (99.0, 990.0)] {
            let got = odd.0.value_at_percentile(percent) as f64 / 1e3;
            assert!((got / us - 1.0).abs() < 0.002, "p{percent}: {got}");
        }
        assert_eq!(odd.json()["count"], 1000);
    }

    #[test]
    fn display_says_what_there_is() {
        let mut latency = Latency::default();
        assert_eq!(latency.to_string(), "none");
        latency.record(Duration::from_micros(250));
        let shown = latency.to_string();
        assert!(shown.starts_with("p50 0.250 ms  p90 0.250 ms"), "{shown}");
        assert!(shown.ends_with("max 0.250 ms"), "{shown}");
    }

    #[test]
    fn an_endless_wait_is_kept_at_the_bound() {
        let mut latency = Latency::default();
        latency.record(Duration::from_secs(3600));
        let longest = latency.0.max() as f64;
        assert!(
            (longest / LONGEST_NS as f64 - 1.0).abs() < 0.002,
            "{longest}"
        );
    }
}
