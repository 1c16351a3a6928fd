//! METEOR with the stages exact and stem, as NLTK computes it where no synonyms are known.
//!
//! DIFFERENCE: the synonym stage needs WordNet, which this crate does not carry; NLTK with WordNet may
//! therefore score higher. The signature says `stages:exact+stem`.
//!
//! **Source** Lavie & Agarwal 2007, *METEOR: An Automatic Metric for MT Evaluation with High Levels of
//! Correlation with Human Judgments*.

use crate::aggregate::{Aggregate, MeanStats, Metric, ReferenceCount};
use crate::error::{Error, Result};
use crate::porter;
use crate::stems::Stems;
use crate::tokenize::{BleuTokenizer, Span};
use crate::vocabulary::Vocabulary;

/// The choices that move METEOR. The default has NLTK's weights, and words are what white space separates,
/// since NLTK leaves the cutting to its caller.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MeteorConfig {
    /// How lines become words.
    pub tokenizer: BleuTokenizer,
    /// Weight of precision against recall in the mean, 0 to 1: close to 1, recall dominates.
    pub alpha: f64,
    /// Exponent of the penalty for scattered matches; not negative.
    pub beta: f64,
    /// Largest penalty, 0 to 1.
    pub gamma: f64,
}

impl Default for MeteorConfig {
    fn default() -> Self {
        Self { tokenizer: BleuTokenizer::None, alpha: 0.9, beta: 3.0, gamma: 0.5 }
    }
}

/// The METEOR metric, 0 to 1. A corpus value is the mean over the segments; with several references the
/// best one counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meteor {
    config: MeteorConfig,
}

impl Meteor {
    /// METEOR with the given choices.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a weight outside the ranges of [`MeteorConfig`].
    pub fn new(config: MeteorConfig) -> Result<Self> {
        let checks = [
            ("alpha", config.alpha, 0.0..=1.0, "0 to 1"),
            ("beta", config.beta, 0.0..=f64::MAX, "finite and not negative"),
            ("gamma", config.gamma, 0.0..=1.0, "0 to 1"),
        ];
        for (field, got, range, expected) in checks {
            if !range.contains(&got) {
                return Err(Error::OutOfRange { metric: "METEOR", field, expected, got });
            }
        }
        Ok(Self { config })
    }

    fn compare(&self, scratch: &mut MeteorScratch) -> f64 {
        let (ours, theirs) = (scratch.hypothesis.len(), scratch.reference.len());
        scratch.partner.clear();
        scratch.partner.resize(ours, None);
        scratch.taken.clear();
        scratch.taken.resize(theirs, false);
        match_words(scratch, |words| words.exact);
        match_words(scratch, |words| words.stem);
        let matched = scratch.partner.iter().flatten().count();
        if matched == 0 {
            return 0.0;
        }
        let chunks = chunks(&scratch.partner);
        let MeteorConfig { alpha, beta, gamma, .. } = self.config;
        let precision = matched as f64 / ours as f64;
        let recall = matched as f64 / theirs as f64;
        let mean = precision * recall / (alpha * precision + (1.0 - alpha) * recall);
        let penalty = gamma * (chunks as f64 / matched as f64).powf(beta);
        (1.0 - penalty) * mean
    }
}

impl Aggregate for Meteor {
    type Stats = MeanStats;
    type Score = f64;

    fn name(&self) -> String {
        "METEOR".to_owned()
    }

    fn score(&self, total: &MeanStats) -> f64 {
        total.mean()
    }
}

/// A word by its numbers in the two stages.
#[derive(Clone, Copy)]
struct Word {
    exact: u32,
    stem: u32,
}

/// Buffers of one thread.
#[derive(Default)]
pub struct MeteorScratch {
    vocabulary: Vocabulary,
    reader: Reader,
    hypothesis: Vec<Word>,
    reference: Vec<Word>,
    /// For each hypothesis word the reference word it is matched with.
    partner: Vec<Option<usize>>,
    taken: Vec<bool>,
    /// For each word number, the free reference positions, highest last.
    free: Vec<Vec<usize>>,
}

impl Metric for Meteor {
    type Scratch = MeteorScratch;

    fn segment_with(&self, scratch: &mut MeteorScratch, hypothesis: &str, references: &[&str]) -> MeanStats {
        let MeteorScratch { vocabulary, reader, hypothesis: words, .. } = scratch;
        vocabulary.clear();
        reader.read(hypothesis, self.config.tokenizer, vocabulary, words);
        let mut best: f64 = 0.0;
        for reference in references {
            let MeteorScratch { vocabulary, reader, reference: words, .. } = scratch;
            reader.read(reference, self.config.tokenizer, vocabulary, words);
            best = best.max(self.compare(scratch));
        }
        MeanStats::of(best)
    }

    fn signature(&self, references: ReferenceCount) -> String {
        let MeteorConfig { tokenizer, alpha, beta, gamma } = self.config;
        format!(
            "nrefs:{references}|case:lc|tok:{}|stages:exact+stem|alpha:{alpha}|beta:{beta}|gamma:{gamma}|agg:mean|version:nltk-3.10.4+regen.{}",
            tokenizer.signature(),
            env!("CARGO_PKG_VERSION"),
        )
    }
}

/// Cuts texts into words and stems them.
#[derive(Default)]
struct Reader {
    spans: Vec<Span>,
    stems: Stems,
    lower: Vec<u8>,
}

impl Reader {
    fn read(
        &mut self,
        text: &str,
        tokenizer: BleuTokenizer,
        vocabulary: &mut Vocabulary,
        words: &mut Vec<Word>,
    ) {
        let text = tokenizer.prepare(text, false);
        self.spans.clear();
        tokenizer.split(&text, &mut self.spans);
        words.clear();
        if text.is_ascii() {
            // Lower case keeps every place here; elsewhere it depends on a word's end, so words are taken singly.
            self.lower.clear();
            self.lower.extend(text.bytes().map(|byte| byte.to_ascii_lowercase()));
            words.extend(self.spans.iter().map(|span| {
                let exact = vocabulary.intern_at(&self.lower, span.range());
                let (bytes, stem) = self.stems.of(&self.lower, span.range());
                Word { exact, stem: vocabulary.intern_at(bytes, stem) }
            }));
            return;
        }
        words.extend(self.spans.iter().map(|span| {
            let word = text[span.range()].to_lowercase();
            let exact = vocabulary.intern(word.as_bytes());
            if word.is_ascii() {
                let (bytes, stem) = self.stems.of(word.as_bytes(), 0..word.len());
                return Word { exact, stem: vocabulary.intern_at(bytes, stem) };
            }
            let mut letters: Vec<char> = word.chars().collect();
            porter::stem(&mut letters);
            let stem = vocabulary.intern(letters.into_iter().collect::<String>().as_bytes());
            Word { exact, stem }
        }));
    }
}

/// One stage: hypothesis words from the last to the first take the last free reference word that is equal.
fn match_words(scratch: &mut MeteorScratch, number: impl Fn(&Word) -> u32) {
    let MeteorScratch { vocabulary, hypothesis, reference, partner, taken, free, .. } = scratch;
    free.resize_with(vocabulary.len().max(free.len()), Vec::new);
    free.iter_mut().for_each(Vec::clear);
    for (at, word) in reference.iter().enumerate().filter(|(at, _)| !taken[*at]) {
        free[number(word) as usize].push(at);
    }
    for (word, partner) in hypothesis.iter().zip(partner).rev() {
        if partner.is_none() {
            *partner = free[number(word) as usize].pop();
            if let Some(at) = *partner {
                taken[at] = true;
            }
        }
    }
}

/// Runs of matches that are adjacent and in the same order in both texts.
fn chunks(partner: &[Option<usize>]) -> usize {
    let mut last: Option<usize> = None;
    let mut chunks = 0;
    for partner in partner {
        let continues = matches!((last, partner), (Some(last), Some(at)) if last + 1 == *at);
        chunks += usize::from(partner.is_some() && !continues);
        last = *partner;
    }
    chunks
}
