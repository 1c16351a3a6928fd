//! What is trained beside the narrative: the item tables, the next purchase, both.

use anyhow::{Result, ensure};
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
    /// The table of collaborative vectors alone. Only for arms that read both sides; of others it is nothing, or `tables`.
    CfTable,
    /// The table of semantic vectors alone. Only for arms that read both sides, too.
    SemanticTable,
    /// The next purchase, with a softmax over the catalogue.
    NextItem,
    /// The tables and the next purchase.
    Both,
}

impl CoTraining {
    pub(super) fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// Which tables an arm over `sources` trains: the collaborative one, the semantic one.
    fn tables(self, sources: Sources) -> [bool; 2] {
        match self {
            Self::None | Self::NextItem => [false, false],
            Self::Tables | Self::Both => [sources.cf(), sources.semantic()],
            Self::CfTable => [sources.cf(), false],
            Self::SemanticTable => [false, sources.semantic()],
        }
    }

    /// Whether it moves the vectors that users are folded in against.
    pub(super) fn moves_factors(self, sources: Sources) -> bool {
        self.tables(sources)[0]
    }

    /// Whether it is a way of its own for an arm over `sources`, not another name of one that there is already.
    pub(super) fn is_of(self, sources: Sources) -> bool {
        !matches!(self, Self::CfTable | Self::SemanticTable) || sources == Sources::Fusion
    }

    fn next_item(self) -> bool {
        matches!(self, Self::NextItem | Self::Both)
    }

    /// What it is for an arm over `sources`, where that has another name.
    pub(super) fn of(self, sources: Sources) -> Self {
        match (self, sources) {
            (Self::CfTable, Sources::Cf) | (Self::SemanticTable, Sources::Semantic) => Self::Tables,
            (Self::CfTable, Sources::Semantic) | (Self::SemanticTable, Sources::Cf) => Self::None,
            (same, _) => same,
        }
    }

    /// For names of files.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Tables => "_tables",
            Self::CfTable => "_cf-table",
            Self::SemanticTable => "_semantic-table",
            Self::NextItem => "_next",
            Self::Both => "_tables_next",
        }
    }

    /// For names of variants.
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Tables => ", tables trained",
            Self::CfTable => ", collaborative table trained",
            Self::SemanticTable => ", semantic table trained",
            Self::NextItem => ", next item learned",
            Self::Both => ", tables trained and next item learned",
        }
    }

    /// Puts it into the budget of an arm that reads `sources`.
    pub fn apply(self, settings: &CoTrainingSettings, sources: Option<Sources>, budget: &mut Budget) {
        let Some(sources) = sources else { return };
        let [cf, semantic] = self.tables(sources);
        if cf || semantic {
            let rate = |trained: bool| trained.then_some(settings.table_learning_rate);
            budget.training.tables = TableRates { cf: rate(cf), semantic: rate(semantic) };
            for stage in [&mut budget.reading, &mut budget.adapter_stage].into_iter().flatten() {
                stage.tables = budget.training.tables;
            }
        }
        if self.next_item() {
            let CoTrainingSettings { next_item_weight: weight, negatives, .. } = *settings;
            let next_item = Some(NextItemTraining { weight, negatives });
            budget.training.next_item = next_item;
            if let Some(stage) = &mut budget.adapter_stage {
                stage.next_item = next_item;
            }
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
    /// The user of each request, the unit of resampling.
    pub users: Vec<u32>,
    /// By the narrator, one per request that asks for it.
    pub narrator: Vec<usize>,
    /// By how often an item was bought in training: what needs no model.
    pub popularity: Vec<usize>,
}

/// The ranks of a narrator that tells the next item, on the requests that ask for one; `users[i]` is the user of request i.
///
/// # Errors
/// If a request cannot be laid out, or there are not as many users as requests.
pub fn ranks(
    narrator: &Narrator,
    requests: &[Request],
    users: &[u32],
    bought: &[Interaction],
    items: usize,
) -> Result<Option<NextItemRanks>> {
    if !narrator.config().next_item {
        return Ok(None);
    }
    ensure!(users.len() == requests.len(), "{} users of {} requests", users.len(), requests.len());
    let mut counts = vec![0u32; items];
    for purchase in bought {
        counts[purchase.item.index()] += 1;
    }
    let mut found = NextItemRanks { users: Vec::new(), narrator: Vec::new(), popularity: Vec::new() };
    let ranks = narrator.next_item_ranks(requests, BATCH)?;
    for ((request, &user), rank) in requests.iter().zip(users).zip(ranks) {
        if let (Some(target), Some(rank)) = (request.target, rank) {
            found.users.push(user);
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
    /// Of every seed's ranks; `None` without any. Intervals draw users: requests of one user resemble each other. They draw them once
    /// for all seeds where these judge by the same users.
    ///
    /// # Errors
    /// If there are no ranks to resample, or not as many users.
    pub fn of(runs: &[&NextItemRanks], same_users: bool, bootstrap: &Bootstrap) -> Result<Option<Self>> {
        if runs.is_empty() {
            return Ok(None);
        }
        let users: Vec<&[u32]> = runs.iter().map(|run| run.users.as_slice()).collect();
        let scores = |ranks: fn(&NextItemRanks) -> &[usize]| -> Result<[Pooled; 3]> {
            let one = |(_, metric, k): (&str, RankingMetric, usize)| {
                let places = |run: &&NextItemRanks| ranks(run).iter().copied().map(Some).collect::<Vec<_>>();
                let measured = runs.iter().map(|run| -> Result<Measurement<_>> {
                    Ok(ranking_of_places(metric, &places(run), k)?.grouped(&run.users)?)
                });
                pool(&measured.collect::<Result<Vec<_>>>()?, &users, same_users, bootstrap)
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

    #[test]
    fn requests_of_one_user_are_drawn_together() {
        // Twenty users of five requests each; every user's are all told, or none is.
        let users: Vec<u32> = (0..100).map(|request| request / 5).collect();
        let narrator: Vec<usize> = users.iter().map(|user| if user % 2 == 0 { 1 } else { 500 }).collect();
        let popularity = vec![500; 100];
        let width = |users: Vec<u32>| {
            let ranks = NextItemRanks { users, narrator: narrator.clone(), popularity: popularity.clone() };
            let found = NextItemScores::of(&[&ranks], false, &Bootstrap::seeded(1)).unwrap().unwrap();
            assert_eq!((found.requests, found.narrator[0].value), (100, 0.5));
            let interval = found.narrator[0].interval.unwrap();
            interval.high - interval.low
        };
        let (by_user, by_request) = (width(users), width((0..100).collect()));
        assert!(by_user > 1.5 * by_request, "{by_user} {by_request}");
    }

    /// A stage of the adapter trains what the narratives' stage trains, whichever is said first.
    #[test]
    fn every_stage_on_narratives_is_trained_with_the_same() {
        let settings = CoTrainingSettings::default();
        let budget = || Budget::new("1m", 10, 10, 4, 1e-3, 1);
        let apply = |mut budget: Budget| {
            CoTraining::Both.apply(&settings, Some(Sources::Fusion), &mut budget);
            budget
        };
        for budget in [apply(budget().with_adapter_stage(5)), apply(budget()).with_adapter_stage(5)] {
            let (stage, reading) = (budget.adapter_stage.unwrap(), budget.reading.unwrap());
            assert!(stage.next_item.is_some() && stage.next_item == budget.training.next_item);
            assert!(!stage.tables.is_none() && stage.tables == budget.training.tables);
            // A catalogue has no purchases.
            assert_eq!((reading.tables, reading.next_item), (budget.training.tables, None));
        }
    }

    #[test]
    fn each_side_can_be_trained_alone_where_both_are_read() {
        let rates = |co_training: CoTraining, sources| {
            let mut budget = Budget::new("1m", 10, 0, 4, 1e-3, 1);
            co_training.apply(&CoTrainingSettings::default(), Some(sources), &mut budget);
            [budget.training.tables.cf.is_some(), budget.training.tables.semantic.is_some()]
        };
        assert_eq!(rates(CoTraining::CfTable, Sources::Fusion), [true, false]);
        assert_eq!(rates(CoTraining::SemanticTable, Sources::Fusion), [false, true]);
        assert_eq!(rates(CoTraining::Tables, Sources::Fusion), [true, true]);
        assert_eq!(rates(CoTraining::Tables, Sources::Semantic), [false, true]);
        assert!(!CoTraining::CfTable.is_of(Sources::Cf) && CoTraining::Both.is_of(Sources::Cf));
        assert!(!CoTraining::SemanticTable.moves_factors(Sources::Fusion));
    }
}
