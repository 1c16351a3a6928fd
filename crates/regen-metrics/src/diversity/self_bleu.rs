//! Self-BLEU: how much generated texts resemble one another.

use std::collections::HashMap;

use rayon::prelude::*;

use super::distinct::number_words;
use crate::aggregate::{Aggregate, Mean, MeanStats, Metric, ReferenceCount};
use crate::bleu::{Bleu, BleuStats};
use crate::error::{Error, Result};
use crate::measurement::Measurement;

/// The two highest counts of an n-gram in any text, and whose the highest is.
#[derive(Clone, Copy, Default)]
struct Highest {
    first: u32,
    owner: u32,
    second: u32,
}

/// The mean over the texts of each one's BLEU with all others as references, 0 to 100. Lower is more diverse.
///
/// Takes time proportional to the length of the texts, not to its square: for each n-gram the two highest
/// counts in any text are all that the references of any text can say. `bleu` should have
/// `effective_order`, as for any sentence score.
///
/// The segments are not independent, so that an interval of the result is a rough guide only.
///
/// **Source** Zhu et al. 2018, *Texygen*.
///
/// # Errors
/// [`Error::Empty`] for fewer than two texts.
pub fn self_bleu<S: AsRef<str>>(texts: &[S], bleu: &Bleu) -> Result<Measurement<Mean>> {
    if texts.len() < 2 {
        return Err(Error::Empty);
    }
    let config = bleu.config();
    let words = if config.lowercase {
        let lowered: Vec<String> = texts.iter().map(|text| text.as_ref().to_lowercase()).collect();
        number_words(&lowered, config.tokenizer)
    } else {
        number_words(texts, config.tokenizer)
    };
    let mut highest: HashMap<&[u32], Highest> = HashMap::new();
    for (owner, text) in words.iter().enumerate() {
        for (ngram, count) in counts(text, config.max_order) {
            let entry = highest.entry(ngram).or_default();
            if count > entry.first {
                *entry = Highest { first: count, owner: owner as u32, second: entry.first };
            } else {
                entry.second = entry.second.max(count);
            }
        }
    }
    let mut lengths: Vec<usize> = words.iter().map(Vec::len).collect();
    lengths.sort_unstable();
    let segments = words
        .par_iter()
        .enumerate()
        .map(|(own, text)| {
            let mut stats = BleuStats {
                hypothesis_words: text.len() as u64,
                reference_words: closest_other(&lengths, text.len()) as u64,
                ..BleuStats::default()
            };
            for (order, total) in stats.totals[..config.max_order].iter_mut().enumerate() {
                *total = text.len().saturating_sub(order) as u64;
            }
            for (ngram, count) in counts(text, config.max_order) {
                let Highest { first, owner, second } = highest[ngram];
                let others = if owner as usize == own { second } else { first };
                stats.matches[ngram.len() - 1] += u64::from(count.min(others));
            }
            MeanStats::of(bleu.score(&stats).bleu)
        })
        .collect();
    let signature = bleu.signature(ReferenceCount::Fixed(texts.len() - 1));
    Measurement::new(Mean::named("self-BLEU"), segments, signature)
}

fn counts(text: &[u32], max_order: usize) -> HashMap<&[u32], u32> {
    let mut counts = HashMap::new();
    for ngram in (1..=max_order).flat_map(|order| text.windows(order)) {
        *counts.entry(ngram).or_default() += 1;
    }
    counts
}

/// The length closest to `own` among the others, the shorter of two; `sorted` holds `own` at least once.
fn closest_other(sorted: &[usize], own: usize) -> usize {
    let at = sorted.partition_point(|&length| length < own);
    let below = at.checked_sub(1).map(|below| sorted[below]);
    let above = sorted.get(at + 1).copied();
    match (below, above) {
        (Some(below), Some(above)) if above - own < own - below => above,
        (Some(below), _) => below,
        (None, Some(above)) => above,
        (None, None) => own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bleu::BleuConfig;
    use crate::measurement::measure;

    #[test]
    fn self_bleu_equals_bleu_with_all_others_as_references() {
        let texts = ["a b c d e", "a b c", "a b a b c d", "x y", "A b c d e f g h", "a b c", ""];
        for lowercase in [false, true] {
            let config = BleuConfig { effective_order: true, lowercase, ..BleuConfig::default() };
            let bleu = Bleu::new(config).unwrap();
            let others: Vec<Vec<&str>> = (0..texts.len())
                .map(|own| {
                    let mut others = texts.to_vec();
                    others.remove(own);
                    others
                })
                .collect();
            let expected = measure(&bleu, &texts, &others).unwrap().segment_scores();
            let got = self_bleu(&texts, &bleu).unwrap();
            for (got, expected) in got.segment_scores().iter().zip(expected) {
                assert!((got - expected.bleu).abs() < 1e-9, "{got} {}", expected.bleu);
            }
        }
    }
}
