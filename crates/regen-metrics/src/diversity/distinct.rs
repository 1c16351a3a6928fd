//! Shares of different n-grams and of different texts.

use std::collections::HashMap;
use std::hash::Hash;

use super::Jackknife;
use crate::error::{Error, Result};
use crate::tokenize::{BleuTokenizer, split_python};
use crate::vocabulary::Vocabulary;

/// distinct-n: different n-grams over all n-grams of the texts, in 0..=1; 0 if no text is long enough.
///
/// Some authors divide by the number of words instead, as Li et al. do; for n = 1 there is no difference.
///
/// **Source** Li et al. 2016, *A Diversity-Promoting Objective Function for Neural Conversation Models*.
///
/// # Errors
/// [`Error::Empty`] without texts; [`Error::OutOfRange`] for an order outside 1 to 9.
pub fn distinct<S: AsRef<str>>(texts: &[S], order: usize, tokenizer: BleuTokenizer) -> Result<Jackknife> {
    check_order("distinct-n", order)?;
    let words = number_words(texts, tokenizer);
    let ngrams: Vec<Vec<&[u32]>> = words.iter().map(|text| text.windows(order).collect()).collect();
    share_of_different(&ngrams)
}

/// Unique-sentence ratio (USR): different texts over all texts, in 0..=1, where texts count as equal if
/// their words between white space are.
///
/// **Source** Li, Zhang & Chen 2020, *Generate Neural Template Explanations for Recommendation*.
///
/// # Errors
/// [`Error::Empty`] without texts.
pub fn unique_sentence_ratio<S: AsRef<str>>(texts: &[S]) -> Result<Jackknife> {
    let whole: Vec<[Vec<&str>; 1]> =
        texts.iter().map(|text| [split_python(text.as_ref()).collect()]).collect();
    share_of_different(&whole)
}

/// Different things over all things; leaving a segment out takes away what only it has.
fn share_of_different<T: Eq + Hash, L: AsRef<[T]>>(segments: &[L]) -> Result<Jackknife> {
    if segments.is_empty() {
        return Err(Error::Empty);
    }
    let mut owners: HashMap<&T, Option<usize>> = HashMap::new();
    for (segment, things) in segments.iter().enumerate() {
        for thing in things.as_ref() {
            let owner = owners.entry(thing).or_insert(Some(segment));
            if *owner != Some(segment) {
                *owner = None;
            }
        }
    }
    let mut own = vec![0usize; segments.len()];
    for segment in owners.values().flatten() {
        own[*segment] += 1;
    }
    let different = owners.len();
    let all: usize = segments.iter().map(|things| things.as_ref().len()).sum();
    let share = |part: usize, of: usize| if of == 0 { 0.0 } else { part as f64 / of as f64 };
    let without: Vec<f64> = segments
        .iter()
        .zip(&own)
        .map(|(things, own)| share(different - own, all - things.as_ref().len()))
        .collect();
    Ok(Jackknife::new(share(different, all), &without))
}

pub(super) fn check_order(metric: &'static str, order: usize) -> Result<()> {
    if (1..=9).contains(&order) {
        return Ok(());
    }
    Err(Error::OutOfRange { metric, field: "order", expected: "1 to 9", got: order as f64 })
}

/// The words of each text as numbers that are shared by all texts.
pub(super) fn number_words<S: AsRef<str>>(texts: &[S], tokenizer: BleuTokenizer) -> Vec<Vec<u32>> {
    let mut vocabulary = Vocabulary::default();
    let mut spans = Vec::new();
    texts
        .iter()
        .map(|text| {
            let text = tokenizer.prepare(text.as_ref(), false);
            spans.clear();
            tokenizer.split(&text, &mut spans);
            spans.iter().map(|span| vocabulary.intern_at(text.as_bytes(), span.range())).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaving_out_equals_counting_again() {
        let texts = ["a b a", "b c", "", "a b a c", "d"];
        for order in 1..=3 {
            let all = distinct(&texts, order, BleuTokenizer::None).unwrap();
            let without: Vec<f64> = (0..texts.len())
                .map(|left_out| {
                    let mut rest = texts.to_vec();
                    rest.remove(left_out);
                    distinct(&rest, order, BleuTokenizer::None).unwrap().value
                })
                .collect();
            assert_eq!(all, Jackknife::new(all.value, &without));
        }
        let value = distinct(&texts, 2, BleuTokenizer::None).unwrap().value;
        // a b · b a · b c · a b · b a · a c
        assert_eq!(value, 4.0 / 6.0);
    }

    #[test]
    fn equal_texts_count_once_whatever_the_space_between_their_words() {
        let ratio = unique_sentence_ratio(&["a b", " a  b\n", "a c", "a b"]).unwrap();
        assert_eq!(ratio.value, 0.5);
        assert!(matches!(unique_sentence_ratio::<&str>(&[]), Err(Error::Empty)));
    }
}
