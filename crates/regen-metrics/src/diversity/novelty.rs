//! How much of a text is new against the texts that a model was trained on.

use std::collections::HashMap;

use super::distinct::check_order;
use crate::aggregate::{Aggregate, Metric, ReferenceCount, Statistics};
use crate::error::Result;
use crate::tokenize::{BleuTokenizer, WordBuffer};

/// Novel n-grams: the share of a text's n-grams that no training text has, in 0..=1. Memorised text scores 0.
///
/// References are ignored, so that [`measure`](crate::measure) may be given anything for them; see
/// [`Novelty::segment_of`] for texts without references.
#[derive(Clone, Debug)]
pub struct Novelty {
    order: usize,
    tokenizer: BleuTokenizer,
    words: HashMap<Box<str>, u32>,
    /// Numbers of n-grams by the number of their prefix and their last word; words are their own numbers.
    ngrams: Vec<HashMap<(u32, u32), u32>>,
    texts: usize,
}

impl Novelty {
    /// Learns the n-grams of the training texts.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) for an order outside 1 to 9.
    pub fn against<S: AsRef<str>>(training: &[S], order: usize, tokenizer: BleuTokenizer) -> Result<Self> {
        check_order("novelty", order)?;
        let mut novelty = Self {
            order,
            tokenizer,
            words: HashMap::new(),
            ngrams: vec![HashMap::new(); order - 1],
            texts: training.len(),
        };
        let mut spans = Vec::new();
        for text in training {
            let text = tokenizer.prepare(text.as_ref(), false);
            spans.clear();
            tokenizer.split(&text, &mut spans);
            let words: Vec<u32> = spans
                .iter()
                .map(|span| {
                    let next = novelty.words.len() as u32;
                    match novelty.words.get(&text[span.range()]) {
                        Some(&known) => known,
                        None => *novelty.words.entry(text[span.range()].into()).or_insert(next),
                    }
                })
                .collect();
            for window in words.windows(order) {
                let mut prefix = window[0];
                for (table, &word) in novelty.ngrams.iter_mut().zip(&window[1..]) {
                    let next = table.len() as u32;
                    prefix = *table.entry((prefix, word)).or_insert(next);
                }
            }
        }
        Ok(novelty)
    }

    /// The statistics of one text.
    pub fn segment_of(&self, text: &str) -> RatioStats {
        self.segment(text, &[])
    }

    fn knows(&self, window: &[Option<u32>]) -> bool {
        let Some(mut prefix) = window[0] else { return false };
        self.ngrams.iter().zip(&window[1..]).all(|(table, word)| {
            let found = word.and_then(|word| table.get(&(prefix, word)));
            prefix = found.copied().unwrap_or(0);
            found.is_some()
        })
    }
}

/// Two counts whose quotient is the score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RatioStats {
    /// The counted part.
    pub part: u64,
    /// The whole.
    pub of: u64,
}

impl Statistics for RatioStats {
    fn add(&mut self, other: &Self) {
        self.part += other.part;
        self.of += other.of;
    }
}

impl Aggregate for Novelty {
    type Stats = RatioStats;
    type Score = f64;

    fn name(&self) -> String {
        format!("novel {}-grams", self.order)
    }

    fn score(&self, total: &RatioStats) -> f64 {
        if total.of == 0 { 0.0 } else { total.part as f64 / total.of as f64 }
    }
}

impl Metric for Novelty {
    type Scratch = WordBuffer;

    fn segment_with(&self, WordBuffer(spans): &mut WordBuffer, hypothesis: &str, _: &[&str]) -> RatioStats {
        let text = self.tokenizer.prepare(hypothesis, false);
        spans.clear();
        self.tokenizer.split(&text, spans);
        let words: Vec<Option<u32>> =
            spans.iter().map(|span| self.words.get(&text[span.range()]).copied()).collect();
        let windows = words.windows(self.order);
        RatioStats {
            of: windows.len() as u64,
            part: windows.filter(|window| !self.knows(window)).count() as u64,
        }
    }

    fn signature(&self, _: ReferenceCount) -> String {
        format!(
            "order:{}|case:mixed|tok:{}|training:{}|version:regen.{}",
            self.order,
            self.tokenizer.signature(),
            self.texts,
            env!("CARGO_PKG_VERSION"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ngrams_that_stand_in_one_training_text_are_known() {
        let novelty = Novelty::against(&["a b c d", "c d e"], 3, BleuTokenizer::None).unwrap();
        assert_eq!(novelty.segment_of("a b c d"), RatioStats { part: 0, of: 2 });
        // b c d and c d e are known; d e f is not.
        assert_eq!(novelty.segment_of("b c d e f"), RatioStats { part: 1, of: 3 });
        // Every pair of neighbours is known, yet not the triple.
        assert_eq!(novelty.segment_of("a b c e"), RatioStats { part: 1, of: 2 });
        assert_eq!(novelty.segment_of("a b"), RatioStats { part: 0, of: 0 });
    }
}
