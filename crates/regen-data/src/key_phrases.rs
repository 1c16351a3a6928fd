//! The phrases of a text that tell it from others of its kind.

use std::collections::{HashMap, HashSet};

/// Words that carry grammar, which end a phrase however rare they are.
const GRAMMAR: &str = "a about above after again against all also although always am among an and any are as at be because been \
before being below between both but by can could did do does doing down during each either etc even ever every few for from \
further had has have having he her here hers herself him himself his how however i if in including into is it its itself just \
least less like made make makes many may me might more most much must my myself neither never no nor not now of off often on \
once one only or other others our ours out over own quite rather s same several she should since so some still such t than \
that the their theirs them themselves then there these they this those though through throughout to too under until up upon \
us very was way we well were what when where whether which while who whom whose why will with within without would yet you \
your yours yourself";

/// Longest phrase in words; longer runs are cut.
const LONGEST: usize = 4;

/// Finds key phrases: runs of words that are neither grammar nor common among the texts that it learned from.
///
/// Phrases end at punctuation too, keep their letter case, and stand in the order of the text, each once.
///
/// **Source** after Rose, Engel, Cramer, Cowley 2010, "Automatic Keyword Extraction from Individual Documents" (RAKE): its
/// candidates, without its scores; words common in the texts at hand are added to the stop list.
///
/// ```
/// use regen_data::KeyPhrases;
/// let texts = ["The user would buy it for sea stories.", "The user would buy it for the garden.", "The user would buy a pen."];
/// let phrases = KeyPhrases::learn(texts, 0.5);
/// assert_eq!(phrases.of("Readers of \"Moby-Dick\" would buy sea stories, often."), ["Readers", "Moby-Dick", "sea stories"]);
/// ```
#[derive(Clone, Debug)]
pub struct KeyPhrases {
    stop: HashSet<String>,
}

impl KeyPhrases {
    /// Takes words that more than `share` (0 to 1) of `texts` hold as common.
    pub fn learn<'a>(texts: impl IntoIterator<Item = &'a str>, share: f64) -> Self {
        let mut holding: HashMap<String, usize> = HashMap::new();
        let mut count = 0usize;
        for text in texts {
            count += 1;
            let words: HashSet<String> =
                text.split_whitespace().map(|word| bare(word).to_lowercase()).collect();
            for word in words {
                *holding.entry(word).or_default() += 1;
            }
        }
        let common = holding.into_iter().filter(|(_, texts)| *texts as f64 > share * count as f64);
        let stop =
            common.map(|(word, _)| word).chain(GRAMMAR.split_whitespace().map(str::to_owned)).collect();
        Self { stop }
    }

    /// The phrases of a text.
    pub fn of(&self, text: &str) -> Vec<String> {
        let mut seen = HashSet::new();
        let mut phrases = Vec::new();
        let mut run: Vec<&str> = Vec::new();
        let mut end = |run: &mut Vec<&str>| {
            for piece in run.chunks(LONGEST) {
                let phrase = piece.join(" ");
                if seen.insert(phrase.to_lowercase()) {
                    phrases.push(phrase);
                }
            }
            run.clear();
        };
        for word in text.split_whitespace() {
            let plain = possessor(bare(word));
            if word.starts_with(|c: char| !c.is_alphanumeric()) {
                end(&mut run);
            }
            if plain.is_empty() || self.stop.contains(&plain.to_lowercase()) {
                end(&mut run);
                continue;
            }
            run.push(plain);
            if !word.ends_with(plain) {
                end(&mut run);
            }
        }
        end(&mut run);
        phrases
    }
}

/// A word without the punctuation around it.
fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric())
}

/// A word without the ending of a possessive.
fn possessor(word: &str) -> &str {
    word.strip_suffix("'s").or_else(|| word.strip_suffix("\u{2019}s")).unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_end_at_grammar_common_words_and_punctuation() {
        let phrases = KeyPhrases::learn(["a novel", "this novel", "old ships"], 0.5);
        assert_eq!(
            phrases.of("Old ships and the novel of Patrick O'Brian's sea"),
            ["Old ships", "Patrick O'Brian", "sea"]
        );
        assert_eq!(phrases.of("ships, storms (and islands)"), ["ships", "storms", "islands"]);
        assert_eq!(phrases.of("one two three four five six"), ["two three four five", "six"]);
    }

    #[test]
    fn a_phrase_stands_once_and_texts_without_words_have_none() {
        let phrases = KeyPhrases::learn([], 0.2);
        assert_eq!(phrases.of("Sea. sea! SEA?"), ["Sea"]);
        assert_eq!(phrases.of("海辺 のカフカ, 海辺"), ["海辺 のカフカ", "海辺"]);
        assert!(phrases.of("").is_empty() && phrases.of("-- … the ").is_empty());
    }
}
