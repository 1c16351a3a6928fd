//! A sample of numbers in few words and a histogram.

use serde::{Deserialize, Serialize};

/// One bar of a histogram.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bin {
    /// Which values fall into it: `5–8`, `≥ 64`.
    pub label: String,
    /// How many do.
    pub count: usize,
}

/// A sample of numbers: its place, its spread, its histogram. All zero for an empty sample.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// How many numbers.
    pub count: usize,
    /// The smallest.
    pub min: f64,
    /// The 25th percentile (nearest rank, as all here).
    pub p25: f64,
    /// The 50th percentile.
    pub median: f64,
    /// The 75th percentile.
    pub p75: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The largest.
    pub max: f64,
    /// The mean.
    pub mean: f64,
    /// Bars from the smallest to the largest value, without gaps.
    pub histogram: Vec<Bin>,
}

impl Distribution {
    /// Of counts (history lengths, words), whose bars double in width: 0, 1, 2, 3–4, 5–8, 9–16, …
    pub fn of_counts(counts: impl IntoIterator<Item = usize>) -> Self {
        let counts: Vec<usize> = counts.into_iter().collect();
        let bin = |count: usize| match count {
            0 => 0,
            _ => 1 + count.next_power_of_two().trailing_zeros() as usize,
        };
        let label = |bin: usize| match bin {
            0..=3 => ["0", "1", "2", "3–4"][bin].to_owned(),
            _ => format!("{}–{}", (1usize << (bin - 2)) + 1, 1usize << (bin - 1)),
        };
        let bins: Vec<usize> = counts.iter().map(|&count| bin(count)).collect();
        Self::of(counts.iter().map(|&count| count as f64).collect(), &bins, label)
    }

    /// Of amounts greater than zero (prices), with two bars to each power of ten.
    pub fn of_amounts(amounts: impl IntoIterator<Item = f64>) -> Self {
        let amounts: Vec<f64> =
            amounts.into_iter().filter(|amount| *amount > 0.0 && amount.is_finite()).collect();
        // Bars start at 0.01; what is below falls into the first.
        let ends = [0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0];
        let bins: Vec<usize> =
            amounts.iter().map(|&amount| ends.iter().take_while(|&&end| amount >= end).count()).collect();
        let label = |bin: usize| match bin {
            0 => format!("< {}", ends[0]),
            _ if bin == ends.len() => format!("≥ {}", ends[bin - 1]),
            _ => format!("{}–{}", ends[bin - 1], ends[bin]),
        };
        Self::of(amounts.clone(), &bins, label)
    }

    fn of(mut values: Vec<f64>, bins: &[usize], label: impl Fn(usize) -> String) -> Self {
        let (Some(&first), Some(&last)) = (bins.iter().min(), bins.iter().max()) else {
            return Self::default();
        };
        let mut histogram: Vec<Bin> = (first..=last).map(|bin| Bin { label: label(bin), count: 0 }).collect();
        for bin in bins {
            histogram[bin - first].count += 1;
        }
        values.sort_unstable_by(f64::total_cmp);
        let rank =
            |share: f64| values[((share * values.len() as f64).ceil() as usize).clamp(1, values.len()) - 1];
        Self {
            count: values.len(),
            min: values[0],
            p25: rank(0.25),
            median: rank(0.5),
            p75: rank(0.75),
            p90: rank(0.9),
            max: values[values.len() - 1],
            mean: values.iter().sum::<f64>() / values.len() as f64,
            histogram,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(distribution: &Distribution) -> Vec<(&str, usize)> {
        distribution.histogram.iter().map(|bin| (bin.label.as_str(), bin.count)).collect()
    }

    #[test]
    fn bars_of_counts_double_and_leave_no_gap() {
        let lengths = Distribution::of_counts([1, 2, 3, 4, 17, 2]);
        assert_eq!(bars(&lengths), [("1", 1), ("2", 2), ("3–4", 2), ("5–8", 0), ("9–16", 0), ("17–32", 1)]);
        assert_eq!((lengths.min, lengths.median, lengths.p90, lengths.max), (1.0, 2.0, 17.0, 17.0));
        assert_eq!(bars(&Distribution::of_counts([0, 0, 2])), [("0", 2), ("1", 0), ("2", 1)]);
        assert_eq!(Distribution::of_counts([]), Distribution::default());
        assert_eq!(bars(&Distribution::of_counts([usize::MAX / 2])).len(), 1);
    }

    #[test]
    fn amounts_fall_between_their_ends() {
        let prices = Distribution::of_amounts([0.01, 5.0, 9.99, 10.0, 50_000.0, f64::NAN, 0.0, -1.0]);
        assert_eq!(prices.count, 5);
        let filled: Vec<_> = bars(&prices).into_iter().filter(|bar| bar.1 > 0).collect();
        assert_eq!(filled, [("< 0.03", 1), ("3–10", 2), ("10–30", 1), ("≥ 10000", 1)]);
    }
}
