//! Scores of all seeds together, with intervals over seeds and over users within seeds.

use std::collections::HashSet;

use anyhow::Result;
use regen_metrics::{Aggregate, Bootstrap, Comparison, Interval, Measurement, paired_bootstrap};
use serde::Serialize;

use super::enough::enough;
use super::records::{WorldRecord, Written};
use crate::scores::ArmScores;

/// A value over all seeds.
#[derive(Debug, Clone, Serialize)]
pub struct Pooled {
    /// Of all test narratives of all seeds together.
    pub value: f64,
    /// 95 % bootstrap interval over seeds, and users within seeds (once for all seeds that judge by the same ones); `None` of fewer
    /// users than it would mean anything for ([`LEAST_USERS`](super::LEAST_USERS)).
    pub interval: Option<Interval>,
    /// Of each seed alone.
    pub per_seed: Vec<f64>,
}

impl Pooled {
    /// Its interval in words, each end as `show` has it.
    pub(super) fn between(&self, show: impl Fn(f64) -> String) -> String {
        match &self.interval {
            Some(interval) => format!("{} – {}", show(interval.low), show(interval.high)),
            None => "too few users for an interval".to_owned(),
        }
    }
}

/// The interval of a measurement whose segments are users, if they are enough.
fn interval<A: Aggregate>(users: &Measurement<A>, bootstrap: &Bootstrap) -> Result<Option<Interval>> {
    Ok(if enough(users.units()) { Some(users.interval(bootstrap)?) } else { None })
}

/// A measurement of any of the three metrics.
#[derive(Debug, Clone)]
pub(super) enum Runs {
    Bleu(Measurement<regen_metrics::Bleu>),
    Rouge(Measurement<regen_metrics::Rouge>),
    Mean(Measurement<regen_metrics::Mean>),
}

impl Runs {
    /// Of all test narratives of all seeds together.
    pub(super) fn value(&self) -> f64 {
        match self {
            Self::Bleu(all) => all.value(),
            Self::Rouge(all) => all.value(),
            Self::Mean(all) => all.value(),
        }
    }

    /// How many users they are of: of each seed anew, unless all seeds judge by the same ones.
    pub(super) fn users(&self) -> usize {
        match self {
            Self::Bleu(all) => all.units(),
            Self::Rouge(all) => all.units(),
            Self::Mean(all) => all.units(),
        }
    }
}

/// Whether all seeds judge by the same users: the same data, divided alike.
pub(super) fn same_users<'a>(worlds: impl Iterator<Item = &'a WorldRecord>) -> bool {
    let mut seeds = 0;
    let divided = |world: &'a WorldRecord| (world.data_sha256.as_str(), world.split.as_str());
    let known: HashSet<_> = worlds.inspect(|_| seeds += 1).map(divided).collect();
    seeds > 1 && known.len() == 1
}

/// The runs of all seeds together; `users[k]` are those of the examples of run k. Those whom all seeds judge by
/// ([`same_users`]) are drawn once for all of them.
pub(super) fn together<A: Aggregate>(
    runs: &[Measurement<A>],
    users: &[&[u32]],
    same: bool,
) -> Result<Measurement<A>> {
    let all = Measurement::pooled(runs)?;
    if !same {
        return Ok(all);
    }
    // In the order in which a run is grouped by them.
    let in_order = |users: &&[u32]| {
        let mut known = HashSet::new();
        users.iter().copied().filter(|&user| known.insert(user)).collect::<Vec<u32>>()
    };
    Ok(all.with_shared_units(&users.iter().flat_map(in_order).collect::<Vec<_>>())?)
}

/// Each seed's texts scored, and put together.
pub(super) fn measure(written: &[(&WorldRecord, &Written)]) -> Result<[Runs; 3]> {
    let scores: Vec<ArmScores> =
        written.iter().map(|(world, texts)| world.scores(texts)).collect::<Result<_>>()?;
    let bleu: Vec<_> = scores.iter().map(|scores| scores.bleu.clone()).collect();
    let rouge: Vec<_> = scores.iter().map(|scores| scores.rouge_l.clone()).collect();
    let similarity: Vec<_> = scores.iter().map(|scores| scores.similarity.clone()).collect();
    let users: Vec<&[u32]> = written.iter().map(|(world, _)| world.users.as_slice()).collect();
    let same = same_users(written.iter().map(|(world, _)| *world));
    Ok([
        Runs::Bleu(together(&bleu, &users, same)?),
        Runs::Rouge(together(&rouge, &users, same)?),
        Runs::Mean(together(&similarity, &users, same)?),
    ])
}

pub(super) fn pooled_scores(
    written: &[(&WorldRecord, &Written)],
    measured: &[Runs; 3],
    bootstrap: &Bootstrap,
) -> Result<[Pooled; 3]> {
    let each: Vec<[f64; 3]> =
        written.iter().map(|(world, texts)| Ok(world.scores(texts)?.values())).collect::<Result<_>>()?;
    let one = |metric: usize| -> Result<Pooled> {
        let (value, interval) = match &measured[metric] {
            Runs::Bleu(all) => (all.value(), interval(all, bootstrap)?),
            Runs::Rouge(all) => (all.value(), interval(all, bootstrap)?),
            Runs::Mean(all) => (all.value(), interval(all, bootstrap)?),
        };
        Ok(Pooled { value, interval, per_seed: each.iter().map(|values| values[metric]).collect() })
    };
    Ok([one(0)?, one(1)?, one(2)?])
}

/// Of runs as [`together`] takes them.
pub(super) fn pool<A: Aggregate>(
    runs: &[Measurement<A>],
    users: &[&[u32]],
    same: bool,
    bootstrap: &Bootstrap,
) -> Result<Pooled> {
    let all = together(runs, users, same)?;
    let per_seed = runs.iter().map(Measurement::value).collect();
    Ok(Pooled { value: all.value(), interval: interval(&all, bootstrap)?, per_seed })
}

/// A paired test of `other` against `base` under the metric that both were measured with.
pub(super) fn compare(base: &Runs, other: &Runs, bootstrap: &Bootstrap) -> Result<Comparison> {
    Ok(match (base, other) {
        (Runs::Bleu(base), Runs::Bleu(other)) => paired_bootstrap(base, other, bootstrap)?,
        (Runs::Rouge(base), Runs::Rouge(other)) => paired_bootstrap(base, other, bootstrap)?,
        (Runs::Mean(base), Runs::Mean(other)) => paired_bootstrap(base, other, bootstrap)?,
        _ => anyhow::bail!("two metrics do not compare"),
    })
}

#[cfg(test)]
mod tests {
    use regen_metrics::{Mean, MeanStats};

    use super::*;

    #[test]
    fn few_users_have_a_value_and_no_interval() {
        let run = |users: usize| {
            let values = (0..users).map(|user| MeanStats::of((user % 3) as f64)).collect();
            Measurement::new(Mean::named("loss"), values, "s".to_owned()).unwrap()
        };
        let pooled = |runs: &[usize]| {
            let runs: Vec<_> = runs.iter().map(|&users| run(users)).collect();
            pool(&runs, &[], false, &Bootstrap::seeded(1)).unwrap()
        };
        let few = pooled(&[10, 9]);
        assert!(few.interval.is_none() && few.value > 0.0 && few.per_seed.len() == 2);
        assert_eq!(few.between(|end| end.to_string()), "too few users for an interval");
        let many = pooled(&[10, 10]);
        let interval = many.interval.unwrap();
        assert!(interval.low < many.value && many.value < interval.high);
        assert!(many.between(|end| format!("{end:.1}")).contains(" – "));
    }

    #[test]
    fn users_whom_every_seed_judges_by_are_drawn_once_for_all_seeds() {
        // Two examples of each of 30 users, of whom the order is not that of their numbers.
        let users: Vec<u32> = (0..60).map(|example| (example * 7) % 30).collect();
        let values = users.iter().map(|&user| MeanStats::of(f64::from(user))).collect();
        let run = Measurement::new(Mean::named("loss"), values, "s".to_owned()).unwrap();
        let runs = vec![run.grouped(&users).unwrap(); 4];
        let error = |same| {
            let pooled = pool(&runs, &[users.as_slice(); 4], same, &Bootstrap::seeded(1)).unwrap();
            pooled.interval.unwrap().standard_error
        };
        assert!((error(true) / error(false) - 2.0).abs() < 0.2, "{} {}", error(true), error(false));
        // Twelve users under two seeds are twelve.
        let few = [run.grouped(&users).unwrap(), run.grouped(&users).unwrap()];
        let twelve: Vec<u32> = (0..60).map(|example| example % 12).collect();
        let of_twelve = vec![run.grouped(&twelve).unwrap(); 2];
        let interval = |runs: &[_], users: &[u32], same| {
            pool(runs, &[users; 2], same, &Bootstrap::seeded(1)).unwrap().interval
        };
        assert!(interval(&few, &users, true).is_some());
        assert!(
            interval(&of_twelve, &twelve, true).is_none() && interval(&of_twelve, &twelve, false).is_some()
        );
    }
}
