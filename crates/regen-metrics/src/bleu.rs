//! BLEU as sacrebleu computes it: clipped n-gram precisions, their geometric mean, and a penalty for
//! brevity.
//!
//! **Source** Papineni et al. 2002; smoothing after Chen & Cherry 2014 (method numbers below).

use crate::aggregate::{Aggregate, Metric, ReferenceCount, Scored, Statistics};
use crate::error::{Error, Result};
use crate::ngrams::NgramMatcher;
use crate::signature::{VERSION, yes_no};
use crate::tokenize::{BleuTokenizer, Span};
use crate::vocabulary::Vocabulary;

/// The highest n-gram order that the statistics have room for.
pub const MAX_ORDER: usize = 8;

/// What to do about an order without any match, whose precision of 0 would make the score 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Smoothing {
    /// Nothing.
    None,
    /// Method 1: such a precision becomes this constant over the number of n-grams (sacrebleu: 0.1).
    Floor(f64),
    /// Method 2: this constant is added to matches and n-grams of every order above 1 (sacrebleu: 1).
    AddK(f64),
    /// Method 3, of NIST: the first such precision becomes ½ over the number of n-grams, the next ¼, …
    #[default]
    Exp,
}

/// The choices that move BLEU. The default is sacrebleu's.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BleuConfig {
    /// How lines become words.
    pub tokenizer: BleuTokenizer,
    /// What to do about orders without a match.
    pub smoothing: Smoothing,
    /// Whether case is ignored.
    pub lowercase: bool,
    /// Whether the mean stops at the highest order that the hypothesis is long enough for. Meant for
    /// single sentences; sacrebleu sets it there and leaves it off for corpora.
    pub effective_order: bool,
    /// The highest n-gram order, 1 to [`MAX_ORDER`].
    pub max_order: usize,
}

impl Default for BleuConfig {
    fn default() -> Self {
        Self {
            tokenizer: BleuTokenizer::V13a,
            smoothing: Smoothing::Exp,
            lowercase: false,
            effective_order: false,
            max_order: 4,
        }
    }
}

/// The BLEU metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Bleu {
    config: BleuConfig,
}

impl Default for Bleu {
    /// BLEU with sacrebleu's defaults: 13a, exponential smoothing, case kept, four orders.
    fn default() -> Self {
        Self { config: BleuConfig::default() }
    }
}

impl Bleu {
    /// BLEU with the given choices.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for an order outside 1 to [`MAX_ORDER`] or a smoothing constant that is
    /// negative or not finite.
    pub fn new(config: BleuConfig) -> Result<Self> {
        if !(1..=MAX_ORDER).contains(&config.max_order) {
            return Err(Error::OutOfRange {
                metric: "BLEU",
                field: "max_order",
                expected: "1 to 8",
                got: config.max_order as f64,
            });
        }
        if let Smoothing::Floor(value) | Smoothing::AddK(value) = config.smoothing
            && !(value >= 0.0 && value.is_finite())
        {
            return Err(Error::OutOfRange {
                metric: "BLEU",
                field: "smoothing",
                expected: "finite and not negative",
                got: value,
            });
        }
        Ok(Self { config })
    }

    /// The choices.
    pub fn config(&self) -> &BleuConfig {
        &self.config
    }
}

/// What a segment contributes to BLEU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BleuStats {
    /// Words of the hypothesis.
    pub hypothesis_words: u64,
    /// Words of the reference whose length is closest; the shorter of two that are equally close.
    pub reference_words: u64,
    /// Clipped matches, order 1 first.
    pub matches: [u64; MAX_ORDER],
    /// n-grams of the hypothesis, order 1 first.
    pub totals: [u64; MAX_ORDER],
}

impl Statistics for BleuStats {
    fn add(&mut self, other: &Self) {
        self.hypothesis_words += other.hypothesis_words;
        self.reference_words += other.reference_words;
        for order in 0..MAX_ORDER {
            self.matches[order] += other.matches[order];
            self.totals[order] += other.totals[order];
        }
    }
}

/// A BLEU score with its parts.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct BleuScore {
    /// The score, 0 to 100.
    pub bleu: f64,
    /// Smoothed precisions in percent, order 1 first.
    pub precisions: Vec<f64>,
    /// Factor for hypotheses that are too short, 0 to 1.
    pub brevity_penalty: f64,
    /// Words of the hypotheses.
    pub hypothesis_words: u64,
    /// Words of the closest references.
    pub reference_words: u64,
}

impl Scored for BleuScore {
    fn value(&self) -> f64 {
        self.bleu
    }
}

impl Aggregate for Bleu {
    type Stats = BleuStats;
    type Score = BleuScore;

    fn name(&self) -> String {
        "BLEU".to_owned()
    }

    fn score(&self, total: &BleuStats) -> BleuScore {
        let BleuConfig { smoothing, effective_order, max_order, .. } = self.config;
        let (hypothesis, reference) = (total.hypothesis_words, total.reference_words);
        let brevity_penalty = if hypothesis >= reference {
            1.0
        } else if hypothesis > 0 {
            (1.0 - reference as f64 / hypothesis as f64).exp()
        } else {
            0.0
        };
        let mut precisions = [0.0; MAX_ORDER];
        let mut bleu = 0.0;
        if total.matches[..max_order].iter().any(|&matches| matches > 0) {
            let mut orders = max_order;
            let mut halvings = 1.0;
            for (order, precision) in precisions[..max_order].iter_mut().enumerate() {
                let mut matches = total.matches[order] as f64;
                let mut ngrams = total.totals[order] as f64;
                if let Smoothing::AddK(k) = smoothing
                    && order > 0
                {
                    matches += k;
                    ngrams += k;
                }
                if ngrams == 0.0 {
                    break;
                }
                if effective_order {
                    orders = order + 1;
                }
                *precision = if matches > 0.0 {
                    100.0 * matches / ngrams
                } else {
                    match smoothing {
                        Smoothing::Exp => {
                            halvings *= 2.0;
                            100.0 / (halvings * ngrams)
                        }
                        Smoothing::Floor(constant) => 100.0 * constant / ngrams,
                        Smoothing::None | Smoothing::AddK(_) => 0.0,
                    }
                };
            }
            // A precision of 0 makes the mean 0, whatever the others are.
            let logs: f64 = precisions[..orders].iter().map(|precision| precision.ln()).sum();
            bleu = brevity_penalty * (logs / orders as f64).exp();
        }
        BleuScore {
            bleu,
            precisions: precisions[..max_order].to_vec(),
            brevity_penalty,
            hypothesis_words: hypothesis,
            reference_words: reference,
        }
    }
}

/// Buffers of one thread.
#[derive(Default)]
pub struct BleuScratch {
    vocabulary: Vocabulary,
    matcher: NgramMatcher,
    hypothesis_spans: Vec<Span>,
    reference_spans: Vec<Span>,
    reference_words: Vec<u32>,
    hypothesis_words: Vec<Option<u32>>,
}

impl Metric for Bleu {
    type Scratch = BleuScratch;

    fn segment_with(&self, scratch: &mut BleuScratch, hypothesis: &str, references: &[&str]) -> BleuStats {
        let BleuConfig { tokenizer, lowercase, max_order, .. } = self.config;
        scratch.vocabulary.clear();
        scratch.matcher.clear();

        let hypothesis = tokenizer.prepare(hypothesis, lowercase);
        scratch.hypothesis_spans.clear();
        tokenizer.split(&hypothesis, &mut scratch.hypothesis_spans);
        let hypothesis_words = scratch.hypothesis_spans.len();

        let distance = |length: usize| (length.abs_diff(hypothesis_words), length);
        let mut closest: Option<usize> = None;
        for reference in references {
            let reference = tokenizer.prepare(reference, lowercase);
            scratch.reference_spans.clear();
            tokenizer.split(&reference, &mut scratch.reference_spans);
            let words = &mut scratch.reference_words;
            words.clear();
            words.extend(
                scratch
                    .reference_spans
                    .iter()
                    .map(|span| scratch.vocabulary.intern_at(reference.as_bytes(), span.range())),
            );
            scratch.matcher.add_reference(words, scratch.vocabulary.len(), max_order);
            if closest.is_none_or(|best| distance(words.len()) < distance(best)) {
                closest = Some(words.len());
            }
        }
        scratch.hypothesis_words.clear();
        scratch.hypothesis_words.extend(
            scratch
                .hypothesis_spans
                .iter()
                .map(|span| scratch.vocabulary.find_at(hypothesis.as_bytes(), span.range())),
        );

        let mut stats = BleuStats {
            hypothesis_words: hypothesis_words as u64,
            reference_words: closest.unwrap_or(0) as u64,
            ..BleuStats::default()
        };
        scratch.matcher.take_matches(&scratch.hypothesis_words, &mut stats.matches[..max_order]);
        for (order, total) in stats.totals[..max_order].iter_mut().enumerate() {
            *total = hypothesis_words.saturating_sub(order) as u64;
        }
        stats
    }

    fn signature(&self, references: ReferenceCount) -> String {
        let smoothing = match self.config.smoothing {
            Smoothing::None => "none".to_owned(),
            Smoothing::Floor(value) => format!("floor[{value:.2}]"),
            Smoothing::AddK(value) => format!("add-k[{value:.2}]"),
            Smoothing::Exp => "exp".to_owned(),
        };
        // sacrebleu does not name the order; a score with another one must not pass for BLEU-4.
        let order = match self.config.max_order {
            4 => String::new(),
            order => format!("|order:{order}"),
        };
        format!(
            "nrefs:{references}|case:{}|eff:{}|tok:{}|smooth:{smoothing}{order}|version:{VERSION}",
            if self.config.lowercase { "lc" } else { "mixed" },
            yes_no(self.config.effective_order),
            self.config.tokenizer.signature(),
        )
    }
}
