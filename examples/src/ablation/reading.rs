//! Does the language model read its soft tokens? What each control adds to the loss, and what it does to the narratives.

use anyhow::{Context, Result};
use regen_metrics::{Bootstrap, Mean, Measurement, paired_bootstrap};
use regen_narrator::Control;
use serde::Serialize;

use super::enough::enough;
use super::pooled::{Pooled, compare, measure, pool, same_users, together};
use super::records::{CellRecord, WorldRecord, Written};
use crate::controls::mean_loss;
use crate::scores::METRICS;

/// What a control adds to the loss.
#[derive(Debug, Clone, Serialize)]
pub struct Cost {
    /// What was changed.
    pub control: Control,
    /// The loss under it less the loss without, nats a token.
    pub added: Pooled,
    /// Two-sided p of a paired bootstrap over seeds, and users within seeds; `None` of too few users.
    pub p_value: Option<f64>,
    /// The same after Holm's correction over all controls of the report.
    pub p_holm: Option<f64>,
}

/// What a control does to narratives under one metric.
#[derive(Debug, Clone, Serialize)]
pub struct ControlledScore {
    /// What was changed.
    pub control: Control,
    /// The metric.
    pub metric: &'static str,
    /// Test narratives that were written under it, of all seeds together.
    pub narratives: usize,
    /// The users that they are of, seed by seed counted anew unless all seeds judge by the same ones.
    pub users: usize,
    /// Of these narratives, the score without it and under it.
    pub values: [f64; 2],
    /// The score under it less the score without.
    pub change: Pooled,
    /// Two-sided p of a paired bootstrap over seeds, and users within seeds; `None` of too few users.
    pub p_value: Option<f64>,
    /// The same after Holm's correction over all controls of the report.
    pub p_holm: Option<f64>,
}

/// The loss on the test narratives and what each control adds to it; nothing for an arm without soft tokens.
///
/// # Errors
/// If losses and test examples are not as many, or the resampling is refused.
pub(super) fn costs(
    runs: &[(&WorldRecord, &CellRecord)],
    intervals: &Bootstrap,
    tests: &Bootstrap,
) -> Result<(Option<Pooled>, Vec<Cost>)> {
    let mut losses: Vec<(Control, Vec<Measurement<Mean>>)> = Vec::new();
    for (world, run) in runs {
        for (control, found) in &run.losses {
            let loss = mean_loss(found, &world.users)?;
            match losses.iter_mut().find(|(known, _)| known == control) {
                Some((_, all)) => all.push(loss),
                None => losses.push((*control, vec![loss])),
            }
        }
    }
    let Some(((_, plain), changed)) = losses.split_first().filter(|(_, changed)| !changed.is_empty()) else {
        return Ok((None, Vec::new()));
    };
    let users: Vec<&[u32]> = runs.iter().map(|(world, _)| world.users.as_slice()).collect();
    let same = same_users(runs.iter().map(|(world, _)| *world));
    let before = together(plain, &users, same)?;
    let cost = |(control, changed): &(Control, Vec<Measurement<Mean>>)| -> Result<Cost> {
        let per_seed =
            changed.iter().zip(plain).map(|(changed, plain)| changed.value() - plain.value()).collect();
        let comparison = paired_bootstrap(&before, &together(changed, &users, same)?, tests)?;
        let interval = Some(comparison.interval.context("a bootstrap gives an interval")?);
        let (control, p_value) = (*control, Some(comparison.p_value));
        let added = Pooled { value: comparison.difference, interval, per_seed };
        Ok(Cost { control, added, p_value, p_holm: p_value })
    };
    Ok((Some(pool(plain, &users, same, intervals)?), changed.iter().map(cost).collect::<Result<_>>()?))
}

/// What each control does to the narratives that were written under it.
///
/// # Errors
/// If texts and examples are not as many, or the resampling is refused.
pub(super) fn controlled(
    runs: &[(&WorldRecord, &CellRecord)],
    tests: &Bootstrap,
) -> Result<Vec<ControlledScore>> {
    let mut found = Vec::new();
    let Some((_, first)) = runs.first().filter(|(_, first)| !first.controlled.is_empty()) else {
        return Ok(found);
    };
    let parts: Vec<(WorldRecord, Written)> = runs
        .iter()
        .map(|(world, run)| {
            let places = &run.controlled_examples;
            (world.only(places), run.written.only(places))
        })
        .collect();
    let narratives = parts.iter().map(|(world, _)| world.users.len()).sum();
    let plain: Vec<(&WorldRecord, &Written)> =
        parts.iter().map(|(world, written)| (world, written)).collect();
    let values = |of: &[(&WorldRecord, &Written)]| -> Result<Vec<[f64; METRICS.len()]>> {
        of.iter().map(|(world, written)| Ok(world.scores(written)?.values())).collect()
    };
    let (before, values_before) = (measure(&plain)?, values(&plain)?);
    let users = before[0].users();
    for (control, _) in &first.controlled {
        let under = |(_, run): &(&WorldRecord, &CellRecord)| {
            run.controlled.iter().position(|(other, _)| other == control)
        };
        let places: Option<Vec<usize>> = runs.iter().map(under).collect();
        let places = places.with_context(|| format!("a seed of {} lacks a control", first.cell.name()))?;
        let changed: Vec<(&WorldRecord, &Written)> = parts
            .iter()
            .zip(runs.iter().zip(places))
            .map(|((world, _), ((_, run), place))| (world, &run.controlled[place].1))
            .collect();
        let (after, values_after) = (measure(&changed)?, values(&changed)?);
        for (index, metric) in METRICS.into_iter().enumerate() {
            let comparison = compare(&before[index], &after[index], tests)?;
            let interval = comparison.interval.context("a bootstrap gives an interval")?;
            let of_seeds = values_after.iter().zip(&values_before);
            let per_seed = of_seeds.map(|(after, before)| after[index] - before[index]).collect();
            let without = before[index].value();
            found.push(ControlledScore {
                control: *control,
                metric,
                narratives,
                users,
                values: [without, without + comparison.difference],
                change: Pooled {
                    value: comparison.difference,
                    interval: enough(users).then_some(interval),
                    per_seed,
                },
                p_value: enough(users).then_some(comparison.p_value),
                p_holm: enough(users).then_some(comparison.p_value),
            });
        }
    }
    Ok(found)
}
