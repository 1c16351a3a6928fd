//! Is a narrative about its own item? BLEU and ROUGE hardly tell: most words of a purchase reason fit any book.
//!
//! A narrative's embedding is compared with the embeddings of all item texts. If its own item is the nearest, or among
//! the ten nearest, of thousands, the narrative speaks of that item. The references show how far this can go, and a
//! random text of the same kind what chance gives.

use anyhow::Result;
use ndarray::{Array2, ArrayView2, Axis};
use regen_data::{Dataset, ItemId};
use regen_metrics::{Bootstrap, Mean, Measurement, RankingMetric, ranking};
use serde::Serialize;

use crate::features::ItemVectors;
use crate::scores::{ScoreRecord, record};

/// How many nearest items a narrative may have its own among.
const NEAREST: usize = 10;

/// The items to be told apart, and which of them each test example is about.
#[derive(Debug)]
pub struct Identity {
    /// `[items with a text, dim]`, unit rows.
    items: Array2<f32>,
    /// For each example about an item with a text: its place among the examples, the row of its item, the item's title.
    wanted: Vec<(usize, usize, Option<String>)>,
    /// The user of each of `wanted`.
    users: Vec<u32>,
}

/// Shares, 0 to 1, of the narratives that are about their own item.
#[derive(Debug, Clone, Serialize)]
pub struct IdentityRecord {
    /// Whose texts.
    pub name: String,
    /// Their own item is the nearest of all.
    pub nearest: ScoreRecord,
    /// Their own item is among the ten nearest.
    pub among_ten: ScoreRecord,
    /// They state their item's title, letter case aside. Of a title with a bracket, such as "Dune (Dune Chronicles)",
    /// the part before it.
    pub states_title: f64,
}

impl Identity {
    /// `targets[i]` and `users[i]` belong to test example i. `None` if no example is about an item with a text.
    pub fn new(
        dataset: &Dataset,
        semantic: &ItemVectors,
        targets: &[Option<ItemId>],
        users: &[u32],
    ) -> Option<Self> {
        let known: Vec<usize> = (0..semantic.present.len()).filter(|&item| semantic.present[item]).collect();
        let row_of = |item: ItemId| known.binary_search(&item.index()).ok();
        let title = |item: ItemId| {
            let title = dataset.catalogue[item.index()].as_ref()?.title.as_deref()?;
            let short = title.split('(').next().unwrap_or(title).trim().to_lowercase();
            (!short.is_empty()).then_some(short)
        };
        let wanted: Vec<_> = targets
            .iter()
            .enumerate()
            .filter_map(|(example, &target)| Some((example, row_of(target?)?, title(target?))))
            .collect();
        if wanted.is_empty() {
            return None;
        }
        let users = wanted.iter().map(|&(example, ..)| users[example]).collect();
        Some(Self { items: unit_rows(semantic.vectors.select(Axis(0), &known)), wanted, users })
    }

    /// How many items there are to be confused with.
    pub fn items(&self) -> usize {
        self.items.nrows()
    }

    /// How many examples are judged.
    pub fn examples(&self) -> usize {
        self.wanted.len()
    }

    /// Judges one text per test example, given their embeddings `[examples, dim]` by the encoder of the items.
    ///
    /// # Errors
    /// If the resampling is refused.
    pub fn judge(
        &self,
        name: &str,
        texts: &[String],
        embedded: ArrayView2<'_, f32>,
        seed: u64,
    ) -> Result<IdentityRecord> {
        let mut ranked = Vec::with_capacity(self.wanted.len());
        let mut own = Vec::with_capacity(self.wanted.len());
        let (mut titled, mut stated) = (0usize, 0usize);
        for (example, row, title) in &self.wanted {
            // The query's length changes no order.
            let scores = self.items.dot(&embedded.row(*example));
            ranked.push(best(scores.as_slice().unwrap_or_default()));
            own.push([*row]);
            if let Some(title) = title {
                titled += 1;
                stated += usize::from(texts[*example].to_lowercase().contains(title));
            }
        }
        let share = |k: usize| -> Result<ScoreRecord> {
            let hits: Measurement<Mean> = ranking(RankingMetric::HitRate, &ranked, &own, k)?;
            record(&hits.grouped(&self.users)?, &Bootstrap::seeded(seed))
        };
        Ok(IdentityRecord {
            name: name.to_owned(),
            nearest: share(1)?,
            among_ten: share(NEAREST)?,
            states_title: stated as f64 / titled.max(1) as f64,
        })
    }
}

/// The rows of the [`NEAREST`] highest scores, best first; of equal ones the lower row.
fn best(scores: &[f32]) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..scores.len()).collect();
    let order = |a: &usize, b: &usize| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b));
    if rows.len() > NEAREST {
        rows.select_nth_unstable_by(NEAREST, order);
        rows.truncate(NEAREST);
    }
    rows.sort_by(order);
    rows
}

fn unit_rows(mut rows: Array2<f32>) -> Array2<f32> {
    for mut row in rows.rows_mut() {
        let norm = row.dot(&row).sqrt();
        if norm > 0.0 {
            row /= norm;
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use regen_data::ItemMetadata;

    use super::*;

    #[test]
    fn a_text_is_about_its_item_when_no_other_is_nearer() {
        let mut dataset = Dataset::default();
        for (name, title) in [("a", "Dune (Dune Chronicles)"), ("b", "Emma"), ("c", "Middlemarch")] {
            dataset.items.intern(name).unwrap();
            dataset
                .catalogue
                .push(Some(ItemMetadata { title: Some(title.to_owned()), ..Default::default() }));
        }
        let semantic = ItemVectors {
            vectors: array![[3.0, 0.0], [0.0, 0.0], [0.0, 0.5]],
            present: vec![true, false, true],
        };
        let ids: Vec<ItemId> = ["a", "b", "c"].iter().map(|name| dataset.items.get(name).unwrap()).collect();
        let targets = [Some(ids[0]), None, Some(ids[1]), Some(ids[2])];
        let identity = Identity::new(&dataset, &semantic, &targets, &[0, 1, 2, 3]).unwrap();
        assert_eq!((identity.items(), identity.examples()), (2, 2));

        let texts = ["Read dune now", "Dune", "Emma", "a long novel"].map(str::to_owned);
        let embedded = array![[0.9f32, 0.1], [1.0, 0.0], [0.0, 1.0], [0.7, 0.6]];
        let found = identity.judge("arm", &texts, embedded.view(), 1).unwrap();
        assert_eq!((found.nearest.score, found.among_ten.score, found.states_title), (0.5, 1.0, 0.5));
        assert!(Identity::new(&dataset, &semantic, &[None, Some(ids[1])], &[0, 1]).is_none());
    }
}
