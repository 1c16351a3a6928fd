//! How long texts are, in words.

use crate::aggregate::{Aggregate, Metric, ReferenceCount};
use crate::diversity::RatioStats;
use crate::error::{Error, Result};
use crate::tokenize::{BleuTokenizer, WordBuffer};

/// Words of the hypotheses over words of the references; 1 is right, more is too long. With several references
/// the one closest in length counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LengthRatio {
    tokenizer: BleuTokenizer,
}

impl LengthRatio {
    /// With words of the given tokenizer.
    pub fn new(tokenizer: BleuTokenizer) -> Self {
        Self { tokenizer }
    }

    fn words(&self, WordBuffer(spans): &mut WordBuffer, text: &str) -> usize {
        let text = self.tokenizer.prepare(text, false);
        spans.clear();
        self.tokenizer.split(&text, spans);
        spans.len()
    }
}

impl Aggregate for LengthRatio {
    type Stats = RatioStats;
    type Score = f64;

    fn name(&self) -> String {
        "length ratio".to_owned()
    }

    fn score(&self, total: &RatioStats) -> f64 {
        if total.of == 0 { 0.0 } else { total.part as f64 / total.of as f64 }
    }
}

impl Metric for LengthRatio {
    type Scratch = WordBuffer;

    fn segment_with(&self, buffer: &mut WordBuffer, hypothesis: &str, references: &[&str]) -> RatioStats {
        let words = self.words(buffer, hypothesis);
        let closest = references
            .iter()
            .map(|reference| self.words(buffer, reference))
            .min_by_key(|&length| (length.abs_diff(words), length));
        RatioStats { part: words as u64, of: closest.unwrap_or(0) as u64 }
    }

    fn signature(&self, references: ReferenceCount) -> String {
        format!(
            "nrefs:{references}|tok:{}|version:regen.{}",
            self.tokenizer.signature(),
            env!("CARGO_PKG_VERSION")
        )
    }
}

/// The distribution of lengths in words.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct LengthSummary {
    /// Mean.
    pub mean: f64,
    /// Standard deviation of the texts (not of the mean); 0 for a single one.
    pub standard_deviation: f64,
    /// Shortest.
    pub shortest: usize,
    /// Median; the lower one of two in the middle.
    pub median: usize,
    /// 95th percentile by rank.
    pub percentile_95: usize,
    /// Longest.
    pub longest: usize,
}

impl LengthSummary {
    /// Summarises texts under a tokenizer.
    ///
    /// # Errors
    /// [`Error::Empty`] without texts.
    pub fn of<S: AsRef<str>>(texts: &[S], tokenizer: BleuTokenizer) -> Result<Self> {
        if texts.is_empty() {
            return Err(Error::Empty);
        }
        let ratio = LengthRatio::new(tokenizer);
        let mut buffer = WordBuffer::default();
        let mut lengths: Vec<usize> =
            texts.iter().map(|text| ratio.words(&mut buffer, text.as_ref())).collect();
        lengths.sort_unstable();
        let count = lengths.len();
        let mean = lengths.iter().sum::<usize>() as f64 / count as f64;
        let squares: f64 = lengths.iter().map(|&length| (length as f64 - mean).powi(2)).sum();
        let rank = |share: f64| lengths[((share * count as f64).ceil() as usize).clamp(1, count) - 1];
        Ok(Self {
            mean,
            standard_deviation: (squares / (count.max(2) - 1) as f64).sqrt(),
            shortest: lengths[0],
            median: rank(0.5),
            percentile_95: rank(0.95),
            longest: lengths[count - 1],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::measure;

    #[test]
    fn the_ratio_takes_the_reference_closest_in_length() {
        let ratio = LengthRatio::new(BleuTokenizer::None);
        let references = [vec!["a", "a b c d e f"], vec!["a b", "a b c d"]];
        let measured = measure(&ratio, &["a b c d e", "a b c"], &references).unwrap();
        assert_eq!(measured.value(), 8.0 / 8.0);
    }

    #[test]
    fn the_summary_equals_that_by_hand() {
        let summary = LengthSummary::of(&["a", "a b c", "", "a b c d"], BleuTokenizer::None).unwrap();
        assert_eq!((summary.shortest, summary.median, summary.percentile_95, summary.longest), (0, 1, 4, 4));
        assert_eq!(summary.mean, 2.0);
        assert!((summary.standard_deviation - (10.0f64 / 3.0).sqrt()).abs() < 1e-12);
    }
}
