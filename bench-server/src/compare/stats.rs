//! What many rounds say together.

use serde::Serialize;

/// The outcome of several rounds of one measurement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// The middle round.
    pub(crate) median: f64,
    /// The least round.
    pub(crate) min: f64,
    /// The greatest round.
    pub(crate) max: f64,
    /// Median of the absolute deviations from the median.
    pub(crate) mad: f64,
    /// How many rounds there were.
    pub(crate) rounds: usize,
}

impl Summary {
    /// Sums up; `None` without a sample, or with one that is no number.
    pub(crate) fn of(samples: &[f64]) -> Option<Self> {
        if samples.iter().any(|sample| !sample.is_finite()) {
            return None;
        }
        let median = median(samples)?;
        let deviations: Vec<f64> = samples.iter().map(|s| (s - median).abs()).collect();
        Some(Self {
            median,
            min: samples.iter().copied().fold(f64::INFINITY, f64::min),
            max: samples.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            mad: self::median(&deviations)?,
            rounds: samples.len(),
        })
    }

    /// The spread in percent of the median.
    pub(crate) fn spread_percent(&self) -> f64 {
        if self.median == 0.0 {
            0.0
        } else {
            100.0 * self.mad / self.median.abs()
        }
    }
}

/// The median of the ratios round by round. Rounds of the compared contenders follow each
/// other closely, so that what disturbs the machine disturbs both sides of a ratio.
pub(crate) fn paired_ratio(samples: &[f64], baseline: &[f64]) -> Option<f64> {
    let ratios: Vec<f64> = samples
        .iter()
        .zip(baseline)
        .map(|(sample, base)| sample / base)
        .filter(|ratio| ratio.is_finite())
        .collect();
    median(&ratios)
}

fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_of_known_samples() {
        let summary = Summary::of(&[4.0, 1.0, 2.0, 100.0, 3.0]).unwrap();
        assert_eq!(summary.median, 3.0);
        assert_eq!((summary.min, summary.max), (1.0, 100.0));
        // Deviations 1, 2, 1, 97, 0: an outlier moves the middle one not at all.
        assert_eq!(summary.mad, 1.0);
        assert_eq!(summary.rounds, 5);
        assert!((summary.spread_percent() - 33.333).abs() < 0.01);
        assert_eq!(Summary::of(&[1.0, 2.0]).unwrap().median, 1.5);
    }

    #[test]
    fn no_samples_no_summary() {
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[1.0, f64::NAN]), None);
        assert_eq!(paired_ratio(&[], &[]), None);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        // The machine was half as fast in the second round: the ratio does not see it.
        assert_eq!(paired_ratio(&[20.0, 10.0], &[10.0, 5.0]), Some(2.0));
        assert_eq!(paired_ratio(&[20.0], &[0.0]), None);
    }
}
