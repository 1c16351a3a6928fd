//! Which variants are compared with which, and what the tests said.

use anyhow::{Context, Result};
use regen_fusion::Sources;
use regen_metrics::{Bootstrap, Comparison};
use serde::Serialize;

use super::cells::Cell;
use super::cold::ColdVectors;
use super::findings::Variant;
use super::pooled::{Runs, compare};
use crate::given::Given;
use crate::scores::{METRICS, percent_of};

/// Draws of a test: with a thousand no p falls below 0.001, and Holm's correction multiplies it by how much is asked.
const TEST_RESAMPLES: usize = 10_000;

/// One variant against another under one metric.
#[derive(Debug, Clone, Serialize)]
pub struct Contrast {
    /// Why it is asked.
    pub asks: Asks,
    /// The variant that is asked about.
    pub variant: String,
    /// What it is compared with.
    pub base: String,
    /// The metric.
    pub metric: &'static str,
    /// Its value for the base, and for the variant.
    pub values: [f64; 2],
    /// The variant's value less the base's.
    pub difference: f64,
    /// 95 % interval of that; like all below that speaks of chance, `None` where there are too few users.
    pub interval: Option<[f64; 2]>,
    /// The difference in percent of the base; `None` where the base is zero, below it, or too near for a percentage to mean anything.
    pub relative_percent: Option<f64>,
    /// The interval in percent of the base, whose value is taken as it is.
    pub relative_interval: Option<[f64; 2]>,
    /// Two-sided p of a paired bootstrap over seeds, and users within seeds; of fusion the larger of those against each single arm.
    pub p_value: Option<f64>,
    /// The same after Holm's correction over all contrasts of the report.
    pub p_holm: Option<f64>,
}

/// What a contrast is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Asks {
    /// Fusion against the better of CF-only and semantic-only, both with what it has.
    Fusion,
    /// Fusion against the one of them that was run with what it has: not the paper's claim.
    OneSingleArm,
    /// Text and vectors against text alone.
    VectorsBesideText,
    /// Another adapter against the first.
    Adapter,
    /// An arm against texts of other users.
    Floor,
    /// Shorter histories against the longest.
    History,
    /// Another language model against the first.
    LanguageModel,
    /// Another data set with the same test narratives against the first.
    Data,
}

/// How tests are resampled.
pub(super) fn tests(seed: u64) -> Bootstrap {
    Bootstrap { resamples: TEST_RESAMPLES, ..Bootstrap::seeded(seed) }
}

/// The run of one source alone that a run of fusion is to be compared with: all else is the same, but for what the source cannot read.
pub(super) fn single(fusion: &Cell, sources: Sources) -> Cell {
    Cell {
        arm: Given::vectors(sources),
        inputs: fusion.inputs.of(sources),
        co_training: fusion.co_training.of(sources),
        cold_vectors: if sources.cf() { fusion.cold_vectors } else { ColdVectors::default() },
        ..fusion.variant()
    }
}

/// Both single arms, in the order of tables.
pub(super) const SINGLE: [Sources; 2] = [Sources::Cf, Sources::Semantic];

/// The tests that a report asks for, before Holm's correction.
pub(super) fn contrasts(
    variants: &[(Variant, [Runs; 3])],
    floor: &[Runs; 3],
    bootstrap: &Bootstrap,
) -> Result<Vec<Contrast>> {
    let mut contrasts = Vec::new();
    for (variant, measured) in variants {
        for metric in 0..METRICS.len() {
            let against = |asks: Asks, name: &str, base: &[Runs; 3]| -> Result<Contrast> {
                let comparison = compare(&base[metric], &measured[metric], bootstrap)?;
                contrast(asks, variant, name, metric, comparison)
            };
            if variant.arm == "fusion" {
                let of = |sources| {
                    let wanted = single(&variant.cell, sources);
                    variants.iter().find(|(other, _)| other.cell.variant() == wanted)
                };
                match SINGLE.map(of) {
                    [Some(cf), Some(semantic)] => {
                        let value = |single: &(Variant, [Runs; 3])| single.0.scores[metric].value;
                        let (better, other) =
                            if value(semantic) > value(cf) { (semantic, cf) } else { (cf, semantic) };
                        let mut fusion = against(Asks::Fusion, &better.0.name, &better.1)?;
                        // Which single arm is the better one was seen in these very data: fusion must be beyond chance above each of
                        // them (an intersection-union test), so the larger p counts.
                        let p = compare(&other.1[metric], &measured[metric], bootstrap)?.p_value;
                        fusion.p_value = fusion.p_value.map(|own| own.max(p));
                        fusion.p_holm = fusion.p_value;
                        contrasts.push(fusion);
                    }
                    [Some((one, base)), None] | [None, Some((one, base))] => {
                        contrasts.push(against(Asks::OneSingleArm, &one.name, base)?);
                    }
                    [None, None] => {}
                }
            }
            if variant.arm.starts_with("text+")
                && let Some((text, base)) = variants
                    .iter()
                    .find(|(other, _)| other.arm == "text" && other.cell.lora_rank == variant.cell.lora_rank)
            {
                contrasts.push(against(Asks::VectorsBesideText, &text.name, base)?);
            }
            if let Some((first, base)) = variants.iter().find(|(other, _)| other.arm == variant.arm)
                && first.name != variant.name
            {
                contrasts.push(against(Asks::Adapter, &first.name, base)?);
            }
            contrasts.push(against(Asks::Floor, "another user's text", floor)?);
        }
    }
    Ok(contrasts)
}

pub(super) fn contrast(
    asks: Asks,
    variant: &Variant,
    base: &str,
    metric: usize,
    comparison: Comparison,
) -> Result<Contrast> {
    let ours = variant.scores[metric].value;
    let theirs = ours - comparison.difference;
    let interval = comparison.interval.context("a bootstrap gives an interval")?;
    let percent = |difference: f64| percent_of(metric, theirs, difference);
    Ok(Contrast {
        asks,
        variant: variant.name.clone(),
        base: base.to_owned(),
        metric: METRICS[metric],
        values: [theirs, ours],
        difference: comparison.difference,
        interval: Some([interval.low, interval.high]),
        relative_percent: percent(comparison.difference),
        relative_interval: percent(interval.low).zip(percent(interval.high)).map(|(low, high)| [low, high]),
        p_value: Some(comparison.p_value),
        p_holm: Some(comparison.p_value),
    })
}
