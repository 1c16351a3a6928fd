//! Choosing one token from one row of logits, on the host.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use regen_kernel::{Level, log_sum_exp};

use super::options::Sampling;

/// Divides positive logits of ids seen by `penalty` and multiplies negative ones.
pub(super) fn penalise(logits: &mut [f32], seen: impl Iterator<Item = i64>, penalty: f64) {
    let mut done = std::collections::HashSet::new();
    for id in seen {
        if let Some(logit) = logits.get_mut(id as usize).filter(|_| done.insert(id)) {
            let value = f64::from(*logit);
            *logit = if value > 0.0 { value / penalty } else { value * penalty } as f32;
        }
    }
}

/// The chosen id.
pub(super) fn choose(logits: &[f32], sampling: &Sampling, rng: &mut ChaCha8Rng) -> usize {
    match sampling {
        Sampling::Greedy => argmax(logits),
        Sampling::Sample { temperature, top_k, top_p, min_p } => {
            let mut ranked: Vec<(usize, f64)> =
                logits.iter().enumerate().map(|(id, logit)| (id, f64::from(*logit))).collect();
            // By score, then by id: equal scores must not depend on the sort.
            ranked.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            if let Some(k) = top_k {
                ranked.truncate(k.get());
            }
            let top = ranked[0].1;
            for (_, score) in &mut ranked {
                // The difference first: a quotient by a tiny temperature can be infinite.
                *score = ((*score - top) / temperature).exp();
            }
            if let Some(top_p) = top_p {
                let total: f64 = ranked.iter().map(|(_, weight)| weight).sum();
                let mut sum = 0.0;
                let mut kept = 0;
                for (_, weight) in &ranked {
                    sum += weight / total;
                    kept += 1;
                    if sum >= *top_p {
                        break;
                    }
                }
                ranked.truncate(kept);
            }
            if let Some(min_p) = min_p {
                // The first weight is 1: the share of the most probable token.
                let kept = ranked.iter().take_while(|(_, weight)| weight >= min_p).count();
                ranked.truncate(kept.max(1));
            }
            let total: f64 = ranked.iter().map(|(_, weight)| weight).sum();
            let mut left = rng.random::<f64>() * total;
            for (id, weight) in &ranked {
                left -= weight;
                if left < 0.0 {
                    return *id;
                }
            }
            // Rounding can leave a crumb above the sum.
            ranked[ranked.len() - 1].0
        }
    }
}

pub(super) fn argmax(logits: &[f32]) -> usize {
    let mut best = 0;
    for (id, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = id;
        }
    }
    best
}

/// log softmax of one entry.
pub(super) fn log_probability(logits: &[f32], id: usize) -> f32 {
    (f64::from(logits[id]) - normaliser(logits)) as f32
}

/// log softmax of all.
pub(super) fn log_softmax(logits: &[f32]) -> Vec<f32> {
    let shift = normaliser(logits);
    logits.iter().map(|logit| (f64::from(*logit) - shift) as f32).collect()
}

/// ln Σ eˣ.
fn normaliser(logits: &[f32]) -> f64 {
    if let Some(level) = Level::best() {
        return log_sum_exp(level, logits);
    }
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - top).exp()).sum();
    f64::from(top) + sum.ln()
}

/// Makes every id impossible that would end a run of `length` ids which `written` already holds. 0 forbids nothing.
pub(super) fn forbid_repeats(logits: &mut [f32], written: &[i64], length: usize) {
    let Some(before) = length.checked_sub(1) else { return };
    let Some(start) = written.len().checked_sub(before) else { return };
    for run in written.windows(length) {
        if run[..before] == written[start..] {
            logits[run[before] as usize] = f32::NEG_INFINITY;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::num::NonZeroUsize;

    use regen_torch::seed;

    use super::*;

    /// Probabilities 0.5, 0.25, 0.15, 0.1 in a mixed order.
    fn logits() -> Vec<f32> {
        [0.15f32, 0.5, 0.1, 0.25].iter().map(|p| p.ln()).collect()
    }

    fn shares(sampling: &Sampling) -> HashMap<usize, f64> {
        let mut rng = seed::rng(5, 0);
        let mut counts = HashMap::new();
        for _ in 0..20_000 {
            *counts.entry(choose(&logits(), sampling, &mut rng)).or_insert(0.0) += 1.0 / 20_000.0;
        }
        counts
    }

    fn check(
        top_k: Option<usize>,
        top_p: Option<f64>,
        min_p: Option<f64>,
        temperature: f64,
        expected: &[f64; 4],
    ) {
        let top_k = top_k.and_then(NonZeroUsize::new);
        let got = shares(&Sampling::Sample { temperature, top_k, top_p, min_p });
        for (id, share) in expected.iter().enumerate() {
            let drawn = got.get(&id).copied().unwrap_or(0.0);
            assert!((drawn - share).abs() < 0.015, "id {id}: drawn {drawn}, expected {share}");
            assert!(*share > 0.0 || drawn == 0.0, "id {id} was cut");
        }
    }

    #[test]
    fn draws_follow_the_distribution() {
        check(None, None, None, 1.0, &[0.15, 0.5, 0.1, 0.25]);
    }

    #[test]
    fn temperature_sharpens() {
        // Squares of the probabilities, normalised.
        check(None, None, None, 0.5, &[0.0652, 0.7246, 0.0290, 0.1812]);
    }

    #[test]
    fn the_smallest_temperatures_take_the_most_probable() {
        for temperature in [1e-310, f64::MIN_POSITIVE, 1e-30] {
            check(None, None, None, temperature, &[0.0, 1.0, 0.0, 0.0]);
            check(Some(3), Some(0.9), Some(0.1), temperature, &[0.0, 1.0, 0.0, 0.0]);
        }
    }

    #[test]
    fn top_k_keeps_the_most_probable() {
        check(Some(2), None, None, 1.0, &[0.0, 2.0 / 3.0, 0.0, 1.0 / 3.0]);
    }

    #[test]
    fn top_p_keeps_until_the_sum_is_reached() {
        check(None, Some(0.8), None, 1.0, &[0.1667, 0.5556, 0.0, 0.2778]);
        check(None, Some(0.5), None, 1.0, &[0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn min_p_is_relative_to_the_most_probable() {
        check(None, None, Some(0.25), 1.0, &[0.1667, 0.5556, 0.0, 0.2778]);
    }

    #[test]
    fn greedy_takes_the_lower_id_among_equals() {
        assert_eq!(choose(&[1.0, 3.0, 3.0], &Sampling::Greedy, &mut seed::rng(0, 0)), 1);
    }

    #[test]
    fn the_penalty_moves_ids_seen_towards_less_once() {
        let mut logits = [2.0, -2.0, 1.0];
        penalise(&mut logits, [0, 1, 0].into_iter(), 2.0);
        assert_eq!(logits, [1.0, -4.0, 1.0]);
    }

    #[test]
    fn log_probabilities_sum_to_one() {
        let total: f64 = (0..4).map(|id| f64::from(log_probability(&logits(), id)).exp()).sum();
        assert!((total - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_run_that_was_written_cannot_be_completed_again() {
        let allowed = |written: &[i64], length| {
            let mut logits = [0.0f32; 6];
            forbid_repeats(&mut logits, written, length);
            (0..6).filter(|&id| logits[id].is_finite()).collect::<Vec<_>>()
        };
        assert_eq!(allowed(&[1, 2, 3, 4, 1, 2], 3), [0, 1, 2, 4, 5]);
        assert_eq!(allowed(&[1, 2, 1, 3, 1], 2), [0, 1, 4, 5]);
        assert_eq!(allowed(&[1, 4], 1), [0, 2, 3, 5]);
        for (written, length) in [(&[1, 2, 1][..], 0), (&[1, 2][..], 4), (&[], 1), (&[5], 2)] {
            assert_eq!(allowed(written, length), [0, 1, 2, 3, 4, 5], "{written:?} {length}");
        }
    }
}
