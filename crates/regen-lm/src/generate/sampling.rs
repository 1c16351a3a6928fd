//! Choosing one token from one row of logits, on the host.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

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
                logits.iter().enumerate().map(|(id, logit)| (id, f64::from(*logit) / temperature)).collect();
            // By score, then by id: equal scores must not depend on the sort.
            ranked.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            if let Some(k) = top_k {
                ranked.truncate(k.get());
            }
            let top = ranked[0].1;
            for (_, score) in &mut ranked {
                *score = (*score - top).exp();
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
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - top).exp()).sum();
    (f64::from(logits[id] - top) - sum.ln()) as f32
}
