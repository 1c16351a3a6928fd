//! Items that the factorisation has not seen: which, what stands for their collaborative vectors, and what is written of them.

use std::collections::HashSet;

use anyhow::{Context, Result};
use rand::seq::SliceRandom;
use regen_data::Interaction;
use regen_metrics::Bootstrap;
use regen_torch::seed;
use regen_wals::{ContentMap, InteractionMatrix, WalsModel};
use serde::{Deserialize, Serialize};

use super::pooled::{Pooled, measure, pooled_scores};
use super::records::{CellRecord, WorldRecord, Written};
use crate::features::ItemVectors;

/// The ridge of the map from content to factors: about the variance of a component of an embedding of unit norm in a few hundred
/// dimensions.
const RIDGE: f64 = 2e-3;

/// What a narrator is given as the collaborative vector of an item without interactions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColdVectors {
    /// Nothing: the adapter has a learned vector for what is absent.
    #[default]
    Absent,
    /// Where a regression from the items that have both says that the item's semantic vector puts it ([`ContentMap`]).
    Content,
}

impl ColdVectors {
    pub(super) fn is_absent(&self) -> bool {
        *self == Self::Absent
    }
}

/// Test narratives about items that the factorisation has not seen, and those about others.
#[derive(Debug, Clone, Serialize)]
pub struct ColdScores {
    /// Of items without interactions.
    pub cold: PartScores,
    /// Of the others, and of no single item.
    pub others: PartScores,
}

/// The scores of a part of the test narratives.
#[derive(Debug, Clone, Serialize)]
pub struct PartScores {
    /// How many, of all seeds together.
    pub narratives: usize,
    /// BLEU, ROUGE-L, semantic similarity.
    pub scores: [Pooled; 3],
}

/// A share of the items, drawn by `seed`.
pub(super) fn draw(share: f64, items: usize, seed: u64) -> HashSet<usize> {
    let mut all: Vec<usize> = (0..items).collect();
    all.shuffle(&mut seed::rng(seed, 79));
    all.truncate((share * items as f64).round() as usize);
    all.into_iter().collect()
}

/// The interactions with items that are not cold.
pub(super) fn without(interactions: Vec<Interaction>, cold: &HashSet<usize>) -> Vec<Interaction> {
    interactions.into_iter().filter(|one| !cold.contains(&one.item.index())).collect()
}

/// Factors with those of items that have none put where their semantic vectors say.
///
/// # Errors
/// If the regression is refused.
pub(super) fn filled(
    factors: &ItemVectors,
    semantic: &ItemVectors,
    model: &WalsModel,
    matrix: &InteractionMatrix,
) -> Result<ItemVectors> {
    let map = ContentMap::fit(model, matrix, semantic.vectors.view(), RIDGE)
        .context("cannot learn where items without interactions stand")?;
    let guessed = map.factors(semantic.vectors.view())?;
    let mut filled = factors.clone();
    for item in 0..filled.present.len() {
        if !filled.present[item] && semantic.present[item] {
            filled.vectors.row_mut(item).assign(&guessed.row(item));
            filled.present[item] = true;
        }
    }
    Ok(filled)
}

impl ColdScores {
    /// Of all seeds' runs; `None` where no item is cold, or no narrative is about one.
    ///
    /// # Errors
    /// If the resampling is refused.
    pub(super) fn of(runs: &[(&WorldRecord, &CellRecord)], bootstrap: &Bootstrap) -> Result<Option<Self>> {
        let part = |cold: bool| -> Result<Option<PartScores>> {
            let parts: Vec<(WorldRecord, Written)> =
                runs.iter().map(|(world, run)| of_part(world, &run.written, cold)).collect();
            let parts: Vec<(&WorldRecord, &Written)> =
                parts.iter().filter(|(_, written)| !written.texts.is_empty()).map(|(a, b)| (a, b)).collect();
            let narratives = parts.iter().map(|(_, written)| written.texts.len()).sum();
            if narratives == 0 {
                return Ok(None);
            }
            let measured = measure(&parts)?;
            Ok(Some(PartScores { narratives, scores: pooled_scores(&parts, &measured, bootstrap)? }))
        };
        if runs.iter().all(|(world, _)| world.cold_targets.is_empty()) {
            return Ok(None);
        }
        let (Some(cold), Some(others)) = (part(true)?, part(false)?) else { return Ok(None) };
        Ok(Some(Self { cold, others }))
    }
}

/// The test examples of a world whose target is cold, or is not, and what was written for them.
fn of_part(world: &WorldRecord, written: &Written, cold: bool) -> (WorldRecord, Written) {
    let of = |index: usize| world.cold_targets.get(index).copied().unwrap_or(false) == cold;
    let chosen: Vec<usize> = (0..written.texts.len()).filter(|&index| of(index)).collect();
    (world.only(&chosen), written.only(&chosen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_items_is_cold_and_another_seed_draws_others() {
        let cold = draw(0.3, 200, 7);
        assert_eq!(cold.len(), 60);
        assert!(cold.iter().all(|&item| item < 200));
        assert_eq!(draw(0.3, 200, 7), cold);
        assert_ne!(draw(0.3, 200, 8), cold);
        assert!(draw(0.0, 200, 7).is_empty());
        assert_eq!(draw(1.0, 3, 7).len(), 3);
    }

    #[test]
    fn items_without_factors_stand_where_their_content_puts_them() {
        // Content and factors are one line, so that the regression knows the place of what it has not seen.
        let content = |item: usize| item as f32 / 10.0;
        let pairs = (0..30u32).flat_map(|user| (0..9u32).map(move |item| (user, (item + user) % 9, 1.0)));
        let matrix = InteractionMatrix::from_triplets(30, 10, pairs).unwrap();
        let config = regen_wals::WalsConfig { rank: 1, ..Default::default() };
        let users = ndarray::Array2::zeros((30, 1));
        let items = ndarray::Array2::from_shape_fn(
            (10, 1),
            |(item, _)| if item < 9 { 3.0 * content(item) } else { 0.0 },
        );
        let model = WalsModel::from_factors(config, users, items).unwrap();
        let factors = crate::features::item_factors(&matrix, &model);
        assert!(!factors.present[9]);
        let mut semantic = ItemVectors {
            vectors: ndarray::Array2::from_shape_fn((10, 1), |(item, _)| content(item)),
            present: vec![true; 10],
        };
        let found = filled(&factors, &semantic, &model, &matrix).unwrap();
        assert!(found.present[9]);
        assert!((found.vectors[[9, 0]] - 2.7).abs() < 0.1, "{}", found.vectors[[9, 0]]);
        assert_eq!(found.vectors[[4, 0]], factors.vectors[[4, 0]]);
        // What has no text either stays absent.
        semantic.present[9] = false;
        assert!(!filled(&factors, &semantic, &model, &matrix).unwrap().present[9]);
    }
}
