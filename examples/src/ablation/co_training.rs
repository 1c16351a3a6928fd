//! What is trained beside the narrative: the item tables, the next purchase, both.

use anyhow::Result;
use clap::ValueEnum;
use regen_data::Interaction;
use regen_fusion::Sources;
use regen_metrics::{Bootstrap, Measurement, RankingMetric, ranking_of_places};
use regen_narrator::{Narrator, NextItemTraining, Request, TableRates};
use serde::{Deserialize, Serialize};

use super::pooled::{Pooled, pool};
use crate::budget::Budget;

/// Requests ranked at once.
const BATCH: usize = 64;
/// Places of a list that count.
const FIRST: usize = 10;
/// What is asked of the ranks.
pub(super) const RANKING: [(&str, RankingMetric, usize); 3] = [
    ("Recall@10", RankingMetric::Recall, FIRST),
    ("NDCG@10", RankingMetric::Ndcg, FIRST),
    // Of the whole list.
    ("MRR", RankingMetric::ReciprocalRank, usize::MAX),
];

/// What a cell trains beside adapter and language model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CoTraining {
    /// Nothing: item vectors stay as they are given, and only narratives are learned.
    #[default]
    None,
    /// The tables of the sides that the arm reads.
    Tables,
    /// The next purchase, with a softmax over the catalogue.
    NextItem,
    /// Both.
    Both,
}

impl CoTraining {
    pub(super) fn is_none(&self) -> bool {
        *self == Self::None
    }

    pub(super) fn tables(self) -> bool {
        matches!(self, Self::Tables | Self::Both)
    }

    fn next_item(self) -> bool {
        matches!(self, Self::NextItem | Self::Both)
    }

    /// For names of files.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Tables => "_tables",
            Self::NextItem => "_next",
            Self::Both => "_tables_next",
        }
    }

    /// For names of variants.
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Tables => ", tables trained",
            Self::NextItem => ", next item learned",
            Self::Both => ", tables trained and next item learned",
        }
    }

    /// Puts it into the budget of an arm that reads `sources`.
    pub fn apply(self, settings: &CoTrainingSettings, sources: Option<Sources>, budget: &mut Budget) {
        let Some(sources) = sources else { return };
        if self.tables() {
            let rate = |read: bool| read.then_some(settings.table_learning_rate);
            budget.training.tables =
                TableRates { cf: rate(sources.cf()), semantic: rate(sources.semantic()) };
            if let Some(reading) = &mut budget.reading {
                reading.tables = budget.training.tables;
            }
        }
        if self.next_item() {
            let CoTrainingSettings { next_item_weight: weight, negatives, .. } = *settings;
            budget.training.next_item = Some(NextItemTraining { weight, negatives });
        }
    }
}

/// How co-training is done where it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CoTrainingSettings {
    /// Peak learning rate of the item tables.
    pub table_learning_rate: f64,
    /// What the loss of the next item counts beside that of the narrative.
    pub next_item_weight: f64,
    /// Items that each purchase is told from, drawn evenly for each batch; 0 for all.
    pub negatives: usize,
}

impl Default for CoTrainingSettings {
    fn default() -> Self {
        Self { table_learning_rate: 1e-3, next_item_weight: 0.2, negatives: 512 }
    }
}

/// Places of the narrated items among all that the user had not bought, from what was read before; 1 is the best.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NextItemRanks {
    /// By the narrator, one per request that asks for it.
    pub narrator: Vec<usize>,
    /// By how often an item was bought in training: what needs no model.
    pub popularity: Vec<usize>,
}

/// The ranks of a narrator that tells the next item, on the requests that ask for one.
///
/// # Errors
/// If a request cannot be laid out.
pub fn ranks(
    narrator: &Narrator,
    requests: &[Request],
    bought: &[Interaction],
    items: usize,
) -> Result<Option<NextItemRanks>> {
    if !narrator.config().next_item {
        return Ok(None);
    }
    let mut counts = vec![0u32; items];
    for purchase in bought {
        counts[purchase.item.index()] += 1;
    }
    let mut found = NextItemRanks { narrator: Vec::new(), popularity: Vec::new() };
    for (request, rank) in requests.iter().zip(narrator.next_item_ranks(requests, BATCH)?) {
        if let (Some(target), Some(rank)) = (request.target, rank) {
            found.narrator.push(rank);
            found.popularity.push(popularity_rank(&counts, request, target as usize));
        }
    }
    Ok((!found.narrator.is_empty()).then_some(found))
}

/// The place of `target` by count. Equal counts count as before it, as in the narrator's ranks.
fn popularity_rank(counts: &[u32], request: &Request, target: usize) -> usize {
    let above = |item: usize| counts[item] >= counts[target] && !request.history.contains(&(item as u32));
    (0..counts.len()).filter(|&item| above(item)).count()
}

/// How well variants tell the next item, over all seeds.
#[derive(Debug, Clone, Serialize)]
pub struct NextItemScores {
    /// Requests that were asked, of all seeds together.
    pub requests: usize,
    /// Recall@10, NDCG@10 and MRR of the narrator.
    pub narrator: [Pooled; 3],
    /// The same of the most bought items.
    pub popularity: [Pooled; 3],
}

impl NextItemScores {
    /// Of every seed's ranks; `None` without any.
    ///
    /// # Errors
    /// If there are no ranks to resample.
    pub fn of(runs: &[&NextItemRanks], bootstrap: &Bootstrap) -> Result<Option<Self>> {
        if runs.is_empty() {
            return Ok(None);
        }
        let scores = |ranks: fn(&NextItemRanks) -> &[usize]| -> Result<[Pooled; 3]> {
            let one = |(_, metric, k): (&str, RankingMetric, usize)| {
                let places = |run: &&NextItemRanks| ranks(run).iter().copied().map(Some).collect::<Vec<_>>();
                let measured: Result<Vec<Measurement<_>>, _> =
                    runs.iter().map(|run| ranking_of_places(metric, &places(run), k)).collect();
                pool(&measured?, bootstrap)
            };
            let [recall, ndcg, mrr] = RANKING.map(one);
            Ok([recall?, ndcg?, mrr?])
        };
        Ok(Some(Self {
            requests: runs.iter().map(|run| run.narrator.len()).sum(),
            narrator: scores(|run| &run.narrator)?,
            popularity: scores(|run| &run.popularity)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_bought_item_that_is_new_to_the_user_stands_first() {
        let request = |target| Request {
            kind: "purchase_reason".into(),
            history: vec![0],
            target: Some(target),
            ..Request::default()
        };
        let counts = [9, 5, 7, 5];
        let rank = |target: u32| popularity_rank(&counts, &request(target), target as usize);
        // Item 0, the most bought, is in the history; items 1 and 3 are equal, and each counts before the other.
        assert_eq!([rank(2), rank(1), rank(3)], [1, 3, 3]);
    }
}
