//! The ground truth of a synthetic world as files beside its prepared folder.

use std::path::Path;

use serde_json::json;

use super::facts::{GroundTruth, Signal};
use super::world::{SyntheticConfig, SyntheticWorld};
use crate::prepared::replace;
use crate::{DenseId, Result};

/// The version of the files' format.
pub const TRUTH_VERSION: u32 = 1;

impl SyntheticWorld {
    /// Writes what was true when the world was made into `folder`, beside the files of [`prepared::write`](crate::prepared::write):
    ///
    /// | file | what it holds |
    /// | --- | --- |
    /// | `truth.json` | `format` = `regen-data truth`, `version`, the `config` that gives the same world again (with the mixture) |
    /// | `truth_items.jsonl` | in the order of `items.jsonl`: `item`, and in words its hidden `affinity` and its `category, colour, brand, material, price_band` |
    /// | `truth_users.jsonl` | in the order of `users.txt`: `user`, and in words the tastes `affinity, colour, categories` that purchases were drawn from |
    /// | `truth_narratives.jsonl` | in the order of `narratives.jsonl`: `facts`, each with its `kind`, its `words` and the `signal` (`co_purchase` or `text`) that gives it away |
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if a file cannot be written.
    pub fn write_truth(&self, folder: impl AsRef<Path>, config: &SyntheticConfig) -> Result<()> {
        let folder = folder.as_ref();
        let GroundTruth { items, users, facts } = &self.truth;
        lines(
            &folder.join("truth_items.jsonl"),
            items.iter().enumerate().map(|(index, item)| {
                json!({
                    "item": self.dataset.items.name(DenseId::from_index(index)),
                    "affinity": item.affinity_name(),
                    "category": item.category_name(),
                    "colour": item.colour_name(),
                    "brand": item.brand_name(),
                    "material": item.material_name(),
                    "price_band": item.price_band_name(),
                })
            }),
        )?;
        lines(
            &folder.join("truth_users.jsonl"),
            users.iter().enumerate().map(|(index, user)| {
                json!({
                    "user": self.dataset.users.name(DenseId::from_index(index)),
                    "affinity": user.affinity_name(),
                    "colour": user.colour_name(),
                    "categories": user.category_names(),
                })
            }),
        )?;
        lines(
            &folder.join("truth_narratives.jsonl"),
            facts.iter().map(|facts| {
                let told = facts.iter().map(|fact| {
                    let signal: Signal = fact.signal();
                    json!({ "kind": fact.kind, "words": fact.words, "signal": signal })
                });
                json!({ "facts": told.collect::<Vec<_>>() })
            }),
        )?;
        replace(&folder.join("truth.json"), &mut |out| {
            let document =
                json!({ "format": "regen-data truth", "version": TRUTH_VERSION, "config": config });
            serde_json::to_writer_pretty(&mut *out, &document)?;
            writeln!(out)
        })
        .map(drop)
    }
}

/// One value a line.
fn lines(path: &Path, mut values: impl Iterator<Item = serde_json::Value>) -> Result<()> {
    replace(path, &mut |out| values.try_for_each(|value| writeln!(out, "{value}"))).map(drop)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::prepared;
    use crate::synthetic::Mixture;

    #[test]
    fn the_truth_lies_beside_the_data_line_by_line_and_gives_the_world_again() {
        let dir = tempfile::tempdir().unwrap();
        let mixture = Some(Mixture { co_purchase: 2.0, text: 1.0, both: 1.0 });
        let config = SyntheticConfig { seed: 3, users: 30, items: 130, mixture, ..Default::default() };
        let world = config.generate().unwrap();
        prepared::write(dir.path(), &world.dataset, None).unwrap();
        world.write_truth(dir.path(), &config).unwrap();
        let read = |name: &str| -> Vec<Value> {
            let text = std::fs::read_to_string(dir.path().join(name)).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        let document: Value =
            serde_json::from_str(&std::fs::read_to_string(dir.path().join("truth.json")).unwrap()).unwrap();
        let again: SyntheticConfig = serde_json::from_value(document["config"].clone()).unwrap();
        assert_eq!((again.generate().unwrap(), &document["version"]), (world.clone(), &Value::from(1)));

        let (items, stated) = (read("truth_items.jsonl"), read("items.jsonl"));
        assert_eq!(items.len(), 130);
        for (item, stated) in items.iter().zip(&stated) {
            assert_eq!((&item["item"], &item["brand"]), (&stated["item"], &stated["brand"]));
            let title = stated["title"].as_str().unwrap().to_lowercase();
            assert!(title.contains(item["colour"].as_str().unwrap()), "{title}");
        }
        assert_eq!(read("truth_users.jsonl").len(), 30);
        let narratives = read("narratives.jsonl");
        let facts = read("truth_narratives.jsonl");
        assert_eq!(facts.len(), narratives.len());
        for (narrative, facts) in narratives.iter().zip(&facts) {
            let text = narrative["text"].as_str().unwrap().to_lowercase();
            for fact in facts["facts"].as_array().unwrap() {
                assert!(text.contains(&fact["words"].as_str().unwrap().to_lowercase()), "{fact} in {text}");
                let hidden = fact["kind"] == "affinity" || fact["kind"] == "activity";
                assert_eq!(fact["signal"], if hidden { "co_purchase" } else { "text" });
            }
        }
    }
}
