//! TER as sacrebleu computes it. **Source** Snover et al. 2006, in the form of the Tercom program.

use super::edits::EditSearch;
use super::words::{read_hypothesis, read_reference};
use crate::aggregate::{Aggregate, Metric, ReferenceCount, Scored, Statistics};
use crate::signature::{VERSION, yes_no};
use crate::tokenize::Span;
use crate::vocabulary::Vocabulary;

/// The choices that move TER. The default is sacrebleu's: words are what white space separates, lower-cased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TerConfig {
    /// Splits punctuation off words and undoes XML escapes.
    pub normalized: bool,
    /// Drops punctuation.
    pub no_punct: bool,
    /// Extends the two switches above to Chinese and Japanese characters and marks.
    pub asian_support: bool,
    /// Keeps case.
    pub case_sensitive: bool,
}

/// The TER metric. Lower is better.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ter {
    config: TerConfig,
}

impl Ter {
    /// TER with the given choices; every combination is valid.
    pub fn new(config: TerConfig) -> Self {
        Self { config }
    }

    /// The choices.
    pub fn config(&self) -> &TerConfig {
        &self.config
    }
}

/// What a segment contributes to TER.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TerStats {
    /// Fewest edits to any of the references.
    pub edits: u64,
    /// Mean length of the references in words.
    pub reference_words: f64,
}

impl Statistics for TerStats {
    fn add(&mut self, other: &Self) {
        self.edits += other.edits;
        self.reference_words += other.reference_words;
    }
}

/// A TER score with its parts.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct TerScore {
    /// Edits per 100 words of reference; may exceed 100.
    pub ter: f64,
    /// Edits.
    pub edits: u64,
    /// Words of the references, averaged where there are several.
    pub reference_words: f64,
}

impl Scored for TerScore {
    fn value(&self) -> f64 {
        self.ter
    }
}

impl Aggregate for Ter {
    type Stats = TerStats;
    type Score = TerScore;

    fn name(&self) -> String {
        "TER".to_owned()
    }

    fn score(&self, total: &TerStats) -> TerScore {
        let &TerStats { edits, reference_words } = total;
        let rate = if reference_words > 0.0 {
            edits as f64 / reference_words
        } else if edits > 0 {
            1.0
        } else {
            0.0
        };
        TerScore { ter: 100.0 * rate, edits, reference_words }
    }

    fn higher_is_better(&self) -> bool {
        false
    }
}

/// Buffers of one thread.
#[derive(Default)]
pub struct TerScratch {
    vocabulary: Vocabulary,
    spans: Vec<Span>,
    hypothesis: Vec<u32>,
    reference: Vec<u32>,
    search: EditSearch,
}

impl Metric for Ter {
    type Scratch = TerScratch;

    fn segment_with(&self, scratch: &mut TerScratch, hypothesis: &str, references: &[&str]) -> TerStats {
        let TerScratch { vocabulary, spans, hypothesis: words, reference: reference_words, search } = scratch;
        vocabulary.clear();
        read_hypothesis(hypothesis, &self.config, spans, vocabulary, words);
        let (mut fewest, mut length) = (usize::MAX, 0);
        for reference in references {
            read_reference(reference, &self.config, spans, vocabulary, reference_words);
            fewest = fewest.min(search.edits(words, reference_words));
            length += reference_words.len();
        }
        if references.is_empty() {
            return TerStats::default();
        }
        TerStats { edits: fewest as u64, reference_words: length as f64 / references.len() as f64 }
    }

    fn signature(&self, references: ReferenceCount) -> String {
        format!(
            "nrefs:{references}|case:{}|tok:tercom|norm:{}|punct:{}|asian:{}|version:{VERSION}",
            if self.config.case_sensitive { "mixed" } else { "lc" },
            yes_no(self.config.normalized),
            yes_no(!self.config.no_punct),
            yes_no(self.config.asian_support),
        )
    }
}
