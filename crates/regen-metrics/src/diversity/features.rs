//! Which item features (price, battery, …) generated explanations speak of.
//!
//! **Source** Li, Zhang & Chen 2020 (NETE) and 2021 (PETER): FMR, FCR and DIV.

use std::collections::{HashMap, HashSet};

use super::Jackknife;
use crate::aggregate::{Mean, MeanStats};
use crate::error::{Error, Result};
use crate::measurement::Measurement;
use crate::tokenize::BleuTokenizer;

/// The features that each text mentions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    number: HashMap<Vec<String>, usize>,
    mentioned: Vec<HashSet<usize>>,
    tokenizer: BleuTokenizer,
}

impl Features {
    /// Looks for the features in the texts. A feature may have several words, which must follow one another;
    /// texts and features are cut by the same tokenizer, case counts, and a feature listed twice is one.
    ///
    /// # Errors
    /// [`Error::Empty`] without texts or without features that have any word.
    pub fn detect<S: AsRef<str>, F: AsRef<str>>(
        texts: &[S],
        features: &[F],
        tokenizer: BleuTokenizer,
    ) -> Result<Self> {
        let mut number: HashMap<Vec<String>, usize> = HashMap::new();
        for feature in features {
            let words = tokenizer.tokenize(feature.as_ref());
            let next = number.len();
            if !words.is_empty() {
                number.entry(words).or_insert(next);
            }
        }
        if texts.is_empty() || number.is_empty() {
            return Err(Error::Empty);
        }
        let lengths: HashSet<usize> = number.keys().map(Vec::len).collect();
        let mentioned = texts
            .iter()
            .map(|text| {
                let words = tokenizer.tokenize(text.as_ref());
                lengths
                    .iter()
                    .flat_map(|&length| words.windows(length))
                    .filter_map(|phrase| number.get(phrase).copied())
                    .collect()
            })
            .collect();
        Ok(Self { number, mentioned, tokenizer })
    }

    /// Feature matching ratio (FMR): the share of texts that mention the feature that they were asked for.
    ///
    /// # Errors
    /// [`Error::CountMismatch`] unless there is one wanted feature per text.
    pub fn matching<F: AsRef<str>>(&self, wanted: &[F]) -> Result<Measurement<Mean>> {
        if wanted.len() != self.mentioned.len() {
            return Err(Error::CountMismatch {
                what: "wanted features",
                expected: self.mentioned.len(),
                got: wanted.len(),
            });
        }
        let segments = wanted
            .iter()
            .zip(&self.mentioned)
            .map(|(feature, mentioned)| {
                let words = self.tokenizer.tokenize(feature.as_ref());
                let found = self.number.get(&words).is_some_and(|at| mentioned.contains(at));
                MeanStats::of(f64::from(u8::from(found)))
            })
            .collect();
        let signature = format!(
            "features:{}|tok:{}|case:mixed|version:regen.{}",
            self.number.len(),
            self.tokenizer.signature(),
            env!("CARGO_PKG_VERSION"),
        );
        Measurement::new(Mean::named("FMR"), segments, signature)
    }

    /// Feature coverage ratio (FCR): the share of all features that any text mentions.
    pub fn coverage(&self) -> Jackknife {
        let counts = self.counts();
        let covered = counts.iter().filter(|&&count| count > 0).count();
        let of = counts.len() as f64;
        let without: Vec<f64> = self
            .mentioned
            .iter()
            .map(|text| {
                let lost = text.iter().filter(|&&feature| counts[feature] == 1).count();
                (covered - lost) as f64 / of
            })
            .collect();
        Jackknife::new(covered as f64 / of, &without)
    }

    /// Feature diversity (DIV): how many features two different texts share on average. Lower is more diverse;
    /// 0 for a single text.
    pub fn diversity(&self) -> Jackknife {
        let counts = self.counts();
        let texts = self.mentioned.len();
        let pairs = |count: usize| (count * count.saturating_sub(1) / 2) as f64;
        let mean = |shared: f64, texts: usize| if texts < 2 { 0.0 } else { shared / pairs(texts) };
        let shared: f64 = counts.iter().map(|&count| pairs(count)).sum();
        let without: Vec<f64> = self
            .mentioned
            .iter()
            .map(|text| {
                let lost: f64 = text.iter().map(|&feature| (counts[feature] - 1) as f64).sum();
                mean(shared - lost, texts - 1)
            })
            .collect();
        Jackknife::new(mean(shared, texts), &without)
    }

    /// For each feature the number of texts that mention it.
    fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.number.len()];
        for &feature in self.mentioned.iter().flatten() {
            counts[feature] += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 4] =
        ["the battery life is long", "good battery and price", "price is fair , price !", "nice"];
    const FEATURES: [&str; 5] = ["battery", "price", "battery life", "screen", "price"];

    fn detected() -> Features {
        Features::detect(&TEXTS, &FEATURES, BleuTokenizer::None).unwrap()
    }

    #[test]
    fn matching_asks_for_the_wanted_feature_of_each_text() {
        let fmr = detected().matching(&["battery life", "screen", "price", "unknown"]).unwrap();
        assert_eq!(fmr.value(), 0.5);
        assert!(detected().matching(&["price"]).is_err());
    }

    #[test]
    fn coverage_counts_each_feature_once() {
        assert_eq!(detected().coverage().value, 3.0 / 4.0);
    }

    #[test]
    fn diversity_is_the_mean_overlap_of_pairs() {
        // Of six pairs, (0, 1) share battery and (1, 2) share price.
        assert_eq!(detected().diversity().value, 2.0 / 6.0);
    }

    #[test]
    fn leaving_out_equals_counting_again() {
        let without = |count: fn(&Features) -> Jackknife| -> Vec<f64> {
            (0..TEXTS.len())
                .map(|left_out| {
                    let mut rest = TEXTS.to_vec();
                    rest.remove(left_out);
                    count(&Features::detect(&rest, &FEATURES, BleuTokenizer::None).unwrap()).value
                })
                .collect()
        };
        let (coverage, diversity) = (detected().coverage(), detected().diversity());
        assert_eq!(coverage, Jackknife::new(coverage.value, &without(Features::coverage)));
        assert_eq!(diversity, Jackknife::new(diversity.value, &without(Features::diversity)));
    }
}
