//! Which variants are compared with which, and what the tests said.

use anyhow::{Context, Result};
use regen_metrics::{Bootstrap, Comparison};
use serde::Serialize;

use super::findings::Variant;
use super::pooled::{Runs, compare};
use crate::scores::METRICS;

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
    /// Difference in percent of the base.
    pub relative_percent: f64,
    /// 95 % interval of that.
    pub relative_interval: [f64; 2],
    /// Two-sided p of a paired bootstrap over seeds, and users within seeds; of fusion the larger of those against each single arm.
    pub p_value: f64,
    /// The same after Holm's correction over all contrasts of the report.
    pub p_holm: f64,
}

/// What a contrast is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Asks {
    /// Fusion against the better of CF-only and semantic-only.
    Fusion,
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

/// The tests that a report asks for, before Holm's correction.
pub(super) fn contrasts(
    variants: &[(Variant, [Runs; 3])],
    floor: &[Runs; 3],
    bootstrap: &Bootstrap,
) -> Result<Vec<Contrast>> {
    let mut contrasts = Vec::new();
    let adapter = |variant: &Variant| variant.name[variant.arm.len()..].to_owned();
    for (variant, measured) in variants {
        for metric in 0..METRICS.len() {
            let value = |other: &(Variant, [Runs; 3])| other.0.scores[metric].value;
            let against = |asks: Asks, name: &str, base: &[Runs; 3]| -> Result<Contrast> {
                let comparison = compare(&base[metric], &measured[metric], bootstrap)?;
                contrast(asks, variant, name, metric, comparison)
            };
            if variant.arm == "fusion" {
                // The single arms with the same adapter; an adapter that needs both sides meets those with the first one.
                let single = |other: &&(Variant, _)| other.0.arm == "cf" || other.0.arm == "semantic";
                let alike = |other: &&(Variant, _)| single(other) && adapter(&other.0) == adapter(variant);
                let best = |a: &&(Variant, _), b: &&(Variant, _)| value(a).total_cmp(&value(b));
                let found = variants.iter().filter(alike).max_by(best);
                if let Some((name, base)) = found.or_else(|| variants.iter().filter(single).max_by(best)) {
                    let mut fusion = against(Asks::Fusion, &name.name, base)?;
                    // Which single arm is the better one was seen in these very data: fusion must be beyond chance above each of them
                    // (an intersection-union test), so the largest p counts.
                    for (_, other) in variants.iter().filter(alike).filter(|other| other.0.name != name.name)
                    {
                        let p = compare(&other[metric], &measured[metric], bootstrap)?.p_value;
                        fusion.p_value = fusion.p_value.max(p);
                    }
                    fusion.p_holm = fusion.p_value;
                    contrasts.push(fusion);
                }
            }
            if variant.arm.starts_with("text+")
                && let Some((text, base)) = variants.iter().find(|(other, _)| other.arm == "text")
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
    let percent = |difference: f64| 100.0 * difference / theirs;
    let interval = comparison.interval.context("a bootstrap gives an interval")?;
    Ok(Contrast {
        asks,
        variant: variant.name.clone(),
        base: base.to_owned(),
        metric: METRICS[metric],
        values: [theirs, ours],
        relative_percent: percent(comparison.difference),
        relative_interval: [percent(interval.low), percent(interval.high)],
        p_value: comparison.p_value,
        p_holm: comparison.p_value,
    })
}
