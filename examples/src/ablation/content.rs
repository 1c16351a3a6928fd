//! What an experiment is made from, by content: a record is used again only where encoder, data and language model are what they
//! were, whatever they are called.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

use anyhow::{Context, Result};
use regen_data::Dataset;
use regen_data::xrec::PublishedOutput;
use regen_narrator::BaseModel;
use regen_semantic::{SentenceEncoder, TextsHash, hash_model};
use serde::{Deserialize, Serialize};

use crate::cli::Session;
use crate::features::{encoder_name, load_encoder};
use crate::language_model::folder;
use crate::purchase_reviews::PurchaseReviews;

/// A sentence encoder with what tells it from others.
#[derive(Debug)]
pub struct Encoder {
    /// The encoder.
    pub model: SentenceEncoder,
    /// Its name and content.
    pub facts: EncoderFacts,
}

/// What tells a sentence encoder from others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncoderFacts {
    /// The name of its folder, for people.
    pub name: String,
    /// SHA-256 of the files that its vectors depend on, in hexadecimal digits ([`hash_model`]).
    pub sha256: String,
}

impl Encoder {
    /// Loads the encoder of a sentence-transformers folder, and reads all that it holds for its hash.
    ///
    /// # Errors
    /// With the folder and what to do.
    pub fn load(dir: &Path, session: &Session) -> Result<Self> {
        let model = load_encoder(dir, session)?;
        let sha256 =
            hash_model(dir).with_context(|| format!("cannot hash the encoder in {}", dir.display()))?;
        Ok(Self { model, facts: EncoderFacts { name: encoder_name(dir), sha256 } })
    }
}

impl EncoderFacts {
    /// For signatures of scores: the same for the same content.
    pub(super) fn signature(&self) -> String {
        format!("sha256.{}", self.sha256.chars().take(12).collect::<String>())
    }
}

/// SHA-256, in hexadecimal digits, of all that a data set holds: names, purchases, catalogue, narratives, and what a published model
/// wrote.
pub fn data_sha256(dataset: &Dataset, published: &[PublishedOutput]) -> String {
    let mut hash = TextsHash::default();
    for names in [dataset.users.names().collect::<Vec<_>>(), dataset.items.names().collect()] {
        hash = each(hash, &names);
    }
    hash = each(hash, &dataset.interactions);
    hash = hash.and(&format!("{:?}", dataset.chronology));
    hash = each(hash, &dataset.catalogue);
    hash = each(hash, &dataset.narratives);
    each(hash, published).finish()
}

/// The same of what was written about purchases.
pub(super) fn reviews_sha256(reviews: &PurchaseReviews) -> String {
    each(TextsHash::default(), &reviews.texts().collect::<Vec<_>>()).finish()
}

/// With how many there are, and each of them. What `Debug` writes of a number leads back to the same number.
fn each<T: Debug>(hash: TextsHash, all: &[T]) -> TextsHash {
    all.iter().fold(hash.and(&all.len().to_string()), |hash, one| hash.and(&format!("{one:?}")))
}

/// SHA-256, in hexadecimal digits, of what the folder of a language model holds; `None` for a preset. Reads every file of it.
///
/// # Errors
/// If one cannot be read.
pub fn language_model_sha256(name: &str) -> Result<Option<String>> {
    let Some(folder) = folder(name) else { return Ok(None) };
    let files = BaseModel::of(folder, name)?.files;
    let hash = files.iter().fold(TextsHash::default(), |hash, (file, sha256)| hash.and(file).and(sha256));
    Ok(Some(hash.finish()))
}

/// [`language_model_sha256`] of every language model of a plan that is a folder, by its name in the plan.
pub(super) type LanguageModels = BTreeMap<String, String>;

/// # Errors
/// If a file of them cannot be read.
pub(super) fn of_language_models(names: &[String]) -> Result<LanguageModels> {
    let mut found = BTreeMap::new();
    for name in names {
        if let Some(sha256) = language_model_sha256(name)? {
            found.insert(name.clone(), sha256);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use regen_data::synthetic::SyntheticConfig;

    use super::*;

    #[test]
    fn any_change_of_the_data_is_seen() {
        let config = SyntheticConfig { users: 40, items: 130, mean_history: 6.0, ..Default::default() };
        let dataset = config.generate().unwrap().dataset;
        let of = |change: &dyn Fn(&mut Dataset)| {
            let mut changed = dataset.clone();
            change(&mut changed);
            data_sha256(&changed, &[])
        };
        let plain = of(&|_| {});
        assert_eq!(plain, data_sha256(&dataset, &[]));
        assert_eq!(plain.len(), 64);
        let output = PublishedOutput {
            user: "u".into(),
            item: "i".into(),
            prediction: "p".into(),
            reference: "r".into(),
        };
        let others = [
            of(&|data| data.interactions[3].weight += 1.0),
            of(&|data| data.interactions.swap(0, 1)),
            of(&|data| data.narratives[0].text.push('.')),
            of(&|data| data.catalogue[5] = None),
            of(&|data| {
                data.interactions.pop();
            }),
            data_sha256(&dataset, &[output]),
        ];
        for (place, other) in others.iter().enumerate() {
            assert_ne!(*other, plain);
            assert!(!others[..place].contains(other));
        }
        // Its name is for people.
        assert_eq!(of(&|data| data.name.push('!')), plain);
    }

    #[test]
    fn a_language_models_folder_is_known_by_what_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().to_string_lossy().into_owned();
        std::fs::write(dir.path().join("config.json"), "{}").unwrap();
        let names = [name.clone(), "2m".to_owned()];
        let before = of_language_models(&names).unwrap();
        assert_eq!(before.keys().collect::<Vec<_>>(), [&name]);
        std::fs::write(dir.path().join("config.json"), "{ }").unwrap();
        assert_ne!(of_language_models(&names).unwrap(), before);
    }
}
