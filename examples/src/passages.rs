//! The passage that an arm with text reads: key phrases of the item's description.
//!
//! A narrator learns from practice passages: key phrases of the narrative itself, strewn among those of its item, so that it
//! learns to make a narrative of the phrases it is shown. With the item's phrases alone it would learn to leave them: few
//! reviews speak of what a catalogue says (of the rarer words of an XRec explanation, one in eleven stands in the item's
//! text), and the most probable narrative is then one that fits every item. When it writes, it is shown the item's phrases,
//! and nothing of any narrative.

use rand::RngExt;
use rand::seq::SliceRandom;
use regen_data::{Dataset, Example, ItemId, KeyPhrases, Part, Split};
use regen_torch::seed::ChaCha8Rng;

/// Words that more of the texts than this hold are common.
const COMMON: f64 = 0.1;

/// Items whose labels stand for a history.
const HISTORY_ITEMS: usize = 10;

/// How likely a phrase of the narrative, and one of its item, is shown in practice.
const SHOWN: (f64, f64) = (0.7, 0.5);

/// Passages of a data set.
#[derive(Debug)]
pub struct Passages<'a> {
    dataset: &'a Dataset,
    texts: Vec<Option<String>>,
    phrases: KeyPhrases,
}

impl<'a> Passages<'a> {
    /// Learns which words are common from item texts and training narratives.
    pub fn learn(dataset: &'a Dataset, split: &Split, examples: &[Example]) -> Self {
        let texts = dataset.item_texts();
        let narratives = split.select(examples, Part::Train);
        let known = texts.iter().flatten().map(String::as_str);
        let phrases = KeyPhrases::learn(known.chain(narratives.iter().map(|e| e.reference.as_str())), COMMON);
        Self { dataset, texts, phrases }
    }

    /// What is shown of an item: its title, without what stands in brackets, then the phrases of its text.
    pub fn of_item(&self, item: ItemId) -> Vec<String> {
        let Some(text) = &self.texts[item.index()] else { return Vec::new() };
        let title = self.dataset.item_label(item).split('(').next().unwrap_or_default().trim();
        let rest = self.phrases.of(text).into_iter().filter(|phrase| !title.contains(phrase.as_str()));
        std::iter::once(title.to_owned()).filter(|title| !title.is_empty()).chain(rest).collect()
    }

    /// What is shown for an example: the target's phrases, or for a narrative about the history the labels of the latest
    /// items that have a text, latest first.
    pub fn of(&self, example: &Example) -> Vec<String> {
        if let Some(target) = example.target {
            return self.of_item(target);
        }
        let known = example.history.iter().rev().filter(|item| self.texts[item.index()].is_some());
        known.take(HISTORY_ITEMS).map(|&item| self.dataset.item_label(item).to_owned()).collect()
    }

    /// What is shown for a training example in practice, drawn from `rng`.
    pub fn practice(&self, example: &Example, rng: &mut ChaCha8Rng) -> Vec<String> {
        let own = self.phrases.of(&example.reference).into_iter().map(|phrase| (phrase, SHOWN.0));
        let item = self.of(example).into_iter().map(|phrase| (phrase, SHOWN.1));
        let mut shown: Vec<String> = own
            .chain(item)
            .filter(|(_, likely)| rng.random_bool(*likely))
            .map(|(phrase, _)| phrase)
            .collect();
        shown.shuffle(rng);
        shown
    }

    /// The phrases of an item in any order, some left out, to write its whole text from.
    pub fn puzzle(&self, item: ItemId, rng: &mut ChaCha8Rng) -> Vec<String> {
        let mut shown = self.of_item(item);
        shown.retain(|_| rng.random_bool(SHOWN.0));
        shown.shuffle(rng);
        shown
    }
}

#[cfg(test)]
mod tests {
    use regen_data::synthetic::SyntheticConfig;
    use regen_data::{HistoryConfig, examples};
    use regen_torch::seed;

    use super::*;

    #[test]
    fn what_is_shown_when_writing_owes_nothing_to_a_held_out_narrative() {
        let config = SyntheticConfig { users: 80, items: 150, ..SyntheticConfig::default() };
        let dataset = config.generate().unwrap().dataset;
        let split = crate::pipeline::split(&dataset, 7).unwrap();
        let told = examples(&dataset, &HistoryConfig::default()).unwrap();
        let mut silent = told.clone();
        for example in &mut silent {
            if split.part_of_example(example) != Some(Part::Train) {
                example.reference = "zebra".into();
            }
        }
        let shown = Passages::learn(&dataset, &split, &told);
        let without = Passages::learn(&dataset, &split, &silent);
        let mut phrases = 0;
        for (told, silent) in
            split.select(&told, Part::Test).into_iter().zip(split.select(&silent, Part::Test))
        {
            assert_eq!(shown.of(told), without.of(silent));
            phrases += shown.of(told).len();
        }
        assert!(phrases > 0);
    }

    #[test]
    fn practice_shows_phrases_of_the_narrative_and_of_its_item_and_nothing_else() {
        let config = SyntheticConfig { users: 80, items: 150, ..SyntheticConfig::default() };
        let dataset = config.generate().unwrap().dataset;
        let split = crate::pipeline::split(&dataset, 7).unwrap();
        let told = examples(&dataset, &HistoryConfig::default()).unwrap();
        let passages = Passages::learn(&dataset, &split, &told);
        let mut rng = seed::rng(1, 2);
        let (mut own, mut item) = (0, 0);
        for example in split.select(&told, Part::Train) {
            let (of_narrative, of_item) = (passages.phrases.of(&example.reference), passages.of(example));
            for phrase in passages.practice(example, &mut rng) {
                assert!(of_narrative.contains(&phrase) || of_item.contains(&phrase), "{phrase}");
                own += usize::from(of_narrative.contains(&phrase));
                item += usize::from(of_item.contains(&phrase));
            }
        }
        assert!(own > 0 && item > 0);
    }
}
