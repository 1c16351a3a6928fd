//! What can be said of a data set without narratives: how well its factors rank, and what its items are near.

use anyhow::Result;
use regen_data::{Dataset, HoldOut, ItemId, per_user_hold_out};
use regen_semantic::{SentenceEncoder, nearest};
use regen_torch::tensor_from_f32;
use regen_wals::WalsConfig;
use regen_wals::evaluate::{RankingReport, evaluate, evaluate_most_popular};
use serde::Serialize;

use crate::cli::Session;
use crate::features::{ItemVectors, embed_items, fit_factors, item_factors};
use crate::run_log::RunLog;

/// Ranking quality and neighbours.
#[derive(Debug, Serialize)]
pub struct Exploration {
    /// The factors on each user's held-out purchases.
    pub wals: RankingReport,
    /// The list of most popular items on the same: what any model must beat.
    pub most_popular: RankingReport,
    /// A few items with what is nearest to them.
    pub neighbours: Vec<Neighbours>,
}

/// An item and what is nearest to it on each side.
#[derive(Debug, Serialize)]
pub struct Neighbours {
    /// The item's title.
    pub item: String,
    /// Titles by text, nearest first.
    pub by_text: Vec<String>,
    /// Titles by co-purchase, nearest first.
    pub by_purchases: Vec<String>,
}

/// The cut-off of the ranking report.
pub const TOP: usize = 20;

/// Holds out a fifth of every user's purchases, fits factors to the rest, ranks, and looks at neighbours.
///
/// # Errors
/// If a stage refuses its input, or the user stops it.
pub fn explore(
    dataset: &Dataset,
    config: &WalsConfig,
    encoder: &SentenceEncoder,
    seed: u64,
    session: &Session,
    log: &mut RunLog,
) -> Result<Exploration> {
    let (training, held) = per_user_hold_out(dataset, HoldOut::Fraction(0.2), seed)?;
    let (matrix, model) = log.stage("factorise", || fit_factors(dataset, &training, config, session))?;
    let held: Vec<(u32, u32)> = held.iter().map(|i| (i.user.index() as u32, i.item.index() as u32)).collect();
    let (wals, most_popular) = log.stage("rank", || {
        Ok((evaluate(&model, &matrix, &held, TOP)?, evaluate_most_popular(&matrix, &held, TOP)?))
    })?;
    let semantic = log.stage("embed", || embed_items(encoder, dataset, session))?;
    let cf = item_factors(&matrix, &model);
    Ok(Exploration { wals, most_popular, neighbours: neighbours(dataset, &cf, &semantic)? })
}

/// Five items spread over the popularity order of those that both sides know.
fn neighbours(dataset: &Dataset, cf: &ItemVectors, semantic: &ItemVectors) -> Result<Vec<Neighbours>> {
    const NEAREST: usize = 3;
    let mut bought = vec![0u32; dataset.items.len()];
    for interaction in &dataset.interactions {
        bought[interaction.item.index()] += 1;
    }
    let mut known: Vec<usize> =
        (0..dataset.items.len()).filter(|&item| cf.present[item] && semantic.present[item]).collect();
    known.sort_by_key(|&item| (std::cmp::Reverse(bought[item]), item));
    let label = |item: usize| dataset.item_label(ItemId::from_index(item)).to_owned();
    let shown: Vec<usize> = (0..5).filter_map(|step| known.get(known.len() * step / 5).copied()).collect();
    let titles = |side: &ItemVectors| -> Result<Vec<Vec<String>>> {
        // Items without a vector are nobody's neighbours.
        let there: Vec<usize> = (0..side.present.len()).filter(|&item| side.present[item]).collect();
        let rows = |items: &[usize]| {
            let values: Vec<f32> = items.iter().flat_map(|&item| side.vectors.row(item).to_vec()).collect();
            tensor_from_f32(&values, &[items.len() as i64, side.vectors.ncols() as i64])
        };
        // One more than is shown: an item is its own nearest.
        let (found, _) = nearest(&rows(&shown)?, &rows(&there)?, NEAREST as i64 + 1)?;
        let columns = found.size()[1];
        let of = |(line, &item): (usize, &usize)| {
            let others = (0..columns).map(|column| there[found.int64_value(&[line as i64, column]) as usize]);
            others.filter(|&other| other != item).take(NEAREST).map(label).collect()
        };
        Ok(shown.iter().enumerate().map(of).collect())
    };
    let sides = titles(semantic)?.into_iter().zip(titles(cf)?);
    let neighbours = shown.iter().zip(sides);
    Ok(neighbours
        .map(|(&item, (by_text, by_purchases))| Neighbours { item: label(item), by_text, by_purchases })
        .collect())
}
