//! chrF and chrF++ as sacrebleu computes them: F-scores over character n-grams, and for chrF++ over word
//! n-grams too.
//!
//! **Source** Popović 2015, *chrF*; Popović 2017, *chrF++*.

use crate::aggregate::{Aggregate, Metric, ReferenceCount, Scored, Statistics};
use crate::chargrams::CharGrams;
use crate::error::{Error, Result};
use crate::ngrams::NgramMatcher;
use crate::signature::{VERSION, yes_no};
use crate::tokenize::split_python;
use crate::vocabulary::Vocabulary;

const MAX_CHAR_ORDER: usize = 6;
const MAX_WORD_ORDER: usize = 4;
const ORDERS: usize = MAX_CHAR_ORDER + MAX_WORD_ORDER;

/// The choices that move chrF. The default is sacrebleu's chrF2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChrfConfig {
    /// The highest order of character n-grams, 1 to 6.
    pub char_order: usize,
    /// The highest order of word n-grams, 0 to 4; 2 makes it chrF++.
    pub word_order: usize,
    /// How much more recall weighs than precision.
    pub beta: u32,
    /// Whether case is ignored.
    pub lowercase: bool,
    /// Whether white space counts as characters.
    pub whitespace: bool,
    /// Averages F-scores with a tiny constant for orders that do not occur, as the original chrF++ program
    /// does, instead of leaving such orders out.
    pub eps_smoothing: bool,
}

impl Default for ChrfConfig {
    fn default() -> Self {
        Self {
            char_order: 6,
            word_order: 0,
            beta: 2,
            lowercase: false,
            whitespace: false,
            eps_smoothing: false,
        }
    }
}

/// The chrF metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chrf {
    config: ChrfConfig,
}

impl Chrf {
    /// chrF with the given choices.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for an order outside the ranges of [`ChrfConfig`].
    pub fn new(config: ChrfConfig) -> Result<Self> {
        let checks = [
            ("char_order", config.char_order, 1..=MAX_CHAR_ORDER, "1 to 6"),
            ("word_order", config.word_order, 0..=MAX_WORD_ORDER, "0 to 4"),
        ];
        for (field, value, range, expected) in checks {
            if !range.contains(&value) {
                return Err(Error::OutOfRange { metric: "chrF", field, expected, got: value as f64 });
            }
        }
        Ok(Self { config })
    }

    /// chrF++: chrF with word unigrams and bigrams.
    pub fn plus_plus() -> Self {
        Self { config: ChrfConfig { word_order: 2, ..ChrfConfig::default() } }
    }

    /// The choices.
    pub fn config(&self) -> &ChrfConfig {
        &self.config
    }

    fn orders(&self) -> usize {
        self.config.char_order + self.config.word_order
    }
}

/// What a segment contributes to chrF.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChrfStats {
    /// Per order, characters first: n-grams of the hypothesis, n-grams of the reference, matches.
    pub counts: [[u64; 3]; ORDERS],
}

impl Statistics for ChrfStats {
    fn add(&mut self, other: &Self) {
        for (total, counts) in self.counts.iter_mut().zip(&other.counts) {
            for (total, count) in total.iter_mut().zip(counts) {
                *total += count;
            }
        }
    }
}

/// A chrF score with the averages that it is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct ChrfScore {
    /// The score, 0 to 100.
    pub chrf: f64,
    /// Precision averaged over the orders, in percent.
    pub precision: f64,
    /// Recall averaged over the orders, in percent.
    pub recall: f64,
}

impl Scored for ChrfScore {
    fn value(&self) -> f64 {
        self.chrf
    }

    fn precision_recall(&self) -> Option<(f64, f64)> {
        Some((self.precision, self.recall))
    }
}

impl Aggregate for Chrf {
    type Stats = ChrfStats;
    type Score = ChrfScore;

    fn name(&self) -> String {
        format!("chrF{}{}", self.config.beta, "+".repeat(self.config.word_order))
    }

    fn score(&self, total: &ChrfStats) -> ChrfScore {
        const EPSILON: f64 = 1e-16;
        let factor = f64::from(self.config.beta).powi(2);
        let (mut precisions, mut recalls, mut effective, mut smoothed) = (0.0, 0.0, 0.0, 0.0);
        for &[hypothesis, reference, matches] in &total.counts[..self.orders()] {
            let share = |of: u64| if of > 0 { matches as f64 / of as f64 } else { EPSILON };
            let (precision, recall) = (share(hypothesis), share(reference));
            let denominator = factor * precision + recall;
            smoothed +=
                if denominator > 0.0 { (1.0 + factor) * precision * recall / denominator } else { EPSILON };
            if hypothesis > 0 && reference > 0 {
                precisions += precision;
                recalls += recall;
                effective += 1.0;
            }
        }
        let (precision, recall) =
            if effective > 0.0 { (precisions / effective, recalls / effective) } else { (0.0, 0.0) };
        let chrf = if self.config.eps_smoothing {
            smoothed / self.orders() as f64
        } else if precision + recall > 0.0 {
            (1.0 + factor) * precision * recall / (factor * precision + recall)
        } else {
            0.0
        };
        ChrfScore { chrf: 100.0 * chrf, precision: 100.0 * precision, recall: 100.0 * recall }
    }
}

/// Buffers of one thread.
#[derive(Default)]
pub struct ChrfScratch {
    characters: CharGrams,
    vocabulary: Vocabulary,
    matcher: NgramMatcher,
    hypothesis_words: Vec<u32>,
    reference_words: Vec<u32>,
    known: Vec<Option<u32>>,
}

impl Metric for Chrf {
    type Scratch = ChrfScratch;

    fn segment_with(&self, scratch: &mut ChrfScratch, hypothesis: &str, references: &[&str]) -> ChrfStats {
        let ChrfConfig { char_order, word_order, lowercase, whitespace, .. } = self.config;
        let lowered = lowercase.then(|| hypothesis.to_lowercase());
        let hypothesis = lowered.as_deref().unwrap_or(hypothesis);
        scratch.characters.set_hypothesis(hypothesis, whitespace);
        if word_order > 0 {
            scratch.vocabulary.clear();
            read_words(hypothesis, &mut scratch.vocabulary, &mut scratch.hypothesis_words);
            scratch.known.clear();
            scratch.known.extend(scratch.hypothesis_words.iter().copied().map(Some));
        }
        let mut best: Option<(f64, ChrfStats)> = None;
        for reference in references {
            let lowered = lowercase.then(|| reference.to_lowercase());
            let reference = lowered.as_deref().unwrap_or(reference);
            let mut stats = ChrfStats::default();
            scratch.characters.compare(reference, whitespace, &mut stats.counts[..char_order]);
            if word_order > 0 {
                read_words(reference, &mut scratch.vocabulary, &mut scratch.reference_words);
                let mut matches = [0; MAX_WORD_ORDER];
                scratch.matcher.clear();
                scratch.matcher.add_reference(&scratch.reference_words, scratch.vocabulary.len(), word_order);
                scratch.matcher.take_matches(&scratch.known, &mut matches[..word_order]);
                for (order, &matches) in matches[..word_order].iter().enumerate() {
                    let ngrams = |words: &[u32]| words.len().saturating_sub(order) as u64;
                    stats.counts[char_order + order] =
                        [ngrams(&scratch.hypothesis_words), ngrams(&scratch.reference_words), matches];
                }
            }
            // Hypothesis n-grams of an order that the reference is too short for do not count.
            for [hypothesis, reference, _] in &mut stats.counts {
                if *reference == 0 {
                    *hypothesis = 0;
                }
            }
            if references.len() == 1 {
                return stats;
            }
            let score = self.score(&stats).chrf;
            if best.is_none_or(|(best, _)| score > best) {
                best = Some((score, stats));
            }
        }
        best.map(|(_, stats)| stats).unwrap_or_default()
    }

    fn signature(&self, references: ReferenceCount) -> String {
        // sacrebleu does not name beta here but in the metric's name; neither do we.
        format!(
            "nrefs:{references}|case:{}|eff:{}|nc:{}|nw:{}|space:{}|version:{VERSION}",
            if self.config.lowercase { "lc" } else { "mixed" },
            yes_no(!self.config.eps_smoothing),
            self.config.char_order,
            self.config.word_order,
            yes_no(self.config.whitespace),
        )
    }
}

/// Words of chrF++: what white space separates, with one ASCII punctuation mark split off, at the end if
/// there is one and else at the beginning.
fn read_words(text: &str, vocabulary: &mut Vocabulary, words: &mut Vec<u32>) {
    words.clear();
    for word in split_python(text) {
        let bytes = word.as_bytes();
        let cut = match bytes {
            [_] => None,
            [.., last] if last.is_ascii_punctuation() => Some(bytes.len() - 1),
            [first, ..] if first.is_ascii_punctuation() => Some(1),
            _ => None,
        };
        let start = word.as_ptr() as usize - text.as_ptr() as usize;
        let (cut, end) = (start + cut.unwrap_or(0), start + bytes.len());
        if cut > start {
            words.push(vocabulary.intern_at(text.as_bytes(), start..cut));
        }
        words.push(vocabulary.intern_at(text.as_bytes(), cut..end));
    }
}
