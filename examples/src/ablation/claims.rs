//! The paper's claims, one by one: holds, does not hold here, or not enough data to say.
//!
//! **Source** Sayana et al. 2024 (arXiv 2410.16780). The thresholds are ours and stand in each claim's text.

use rand::seq::SliceRandom;
use regen_metrics::agreement::spearman;
use regen_narrator::Control;
use regen_torch::seed;
use serde::Serialize;

use super::attribution::Measure;
use super::contrasts::{Asks, Contrast};
use super::findings::Setting;

/// Below this a p value is called significant.
const LEVEL: f64 = 0.05;

/// What fusion has to add, in percent.
const GAIN: f64 = 4.0;

/// Orders tried for the p value of a correlation.
const PERMUTATIONS: usize = 10_000;

/// What the data say of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The data support it.
    Holds,
    /// The data contradict it.
    DoesNotHoldHere,
    /// Neither can be said.
    NotEnoughData,
}

/// A claim, where it was asked, and the answer.
#[derive(Debug, Clone, Serialize)]
pub struct Claim {
    /// What is claimed, with its threshold.
    pub claim: String,
    /// Data set, history, language model, variant.
    pub on: String,
    /// The answer.
    pub verdict: Verdict,
    /// The numbers behind it.
    pub because: String,
}

impl Verdict {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::DoesNotHoldHere => "does not hold here",
            Self::NotEnoughData => "not enough data",
        }
    }

    /// Of several conditions: all hold, one is contradicted, or neither.
    fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut verdict = Self::Holds;
        for part in parts {
            match part {
                Self::DoesNotHoldHere => return part,
                Self::NotEnoughData => verdict = part,
                Self::Holds => {}
            }
        }
        verdict
    }
}

/// Every claim that the settings have something to say about; of density only where that is what varies.
pub(super) fn judge(settings: &[Setting], density_varies: bool) -> Vec<Claim> {
    let mut claims = Vec::new();
    claims.extend(settings.iter().flat_map(fusion_gains));
    claims.extend(settings.iter().flat_map(unseen_users));
    claims.extend(settings.iter().flat_map(semantic_weighs_more));
    let density = ("interaction density", "densities");
    let planted = (
        "the planted weight of what only co-purchases tell (the attribution recovers the mixture)",
        "weights",
    );
    if density_varies {
        claims.extend(share_rises(settings, |setting| Some(setting.density), 3, density));
    }
    claims.extend(share_rises(settings, |setting| setting.planted, 5, planted));
    claims
}

fn on(setting: &Setting, variant: &str) -> String {
    format!("{}, histories up to {}, {}: {variant}", setting.data, setting.history, setting.language_model)
}

/// A gain of at least [`GAIN`] percent that is not chance.
fn gain_verdict(contrast: &Contrast) -> Verdict {
    if contrast.relative_interval[1] < GAIN {
        Verdict::DoesNotHoldHere
    } else if contrast.relative_percent >= GAIN && contrast.p_holm < LEVEL {
        Verdict::Holds
    } else {
        Verdict::NotEnoughData
    }
}

fn fusion_gains(setting: &Setting) -> Vec<Claim> {
    let of = |name: &str| {
        let found = setting.contrasts.iter().filter(|c| c.asks == Asks::Fusion && c.variant == name);
        found.collect::<Vec<_>>()
    };
    let mut claims = Vec::new();
    for variant in &setting.variants {
        let contrasts = of(&variant.name);
        if contrasts.is_empty() {
            continue;
        }
        let numbers: Vec<String> = contrasts
            .iter()
            .map(|c| {
                let [low, high] = c.relative_interval;
                format!(
                    "{} {:+.1} % over {} [{low:+.1}, {high:+.1}], p {:.3} (Holm)",
                    c.metric, c.relative_percent, c.base, c.p_holm
                )
            })
            .collect();
        claims.push(Claim {
            claim: format!(
                "Fusion beats the better of CF-only and semantic-only by at least {GAIN} % in BLEU, ROUGE-L and semantic \
                 similarity (p < {LEVEL} after Holm; contradicted where the interval ends below {GAIN} %)"
            ),
            on: on(setting, &variant.name),
            verdict: Verdict::all(contrasts.iter().map(|c| gain_verdict(c))),
            because: numbers.join("; "),
        });
    }
    claims
}

fn unseen_users(setting: &Setting) -> Vec<Claim> {
    let mut claims = Vec::new();
    for variant in &setting.variants {
        let floor = setting.contrasts.iter().filter(|c| c.asks == Asks::Floor && c.variant == variant.name);
        let shuffled = variant.costs.iter().find(|(control, ..)| *control == Control::ShuffledItems);
        let Some((_, cost, p)) = shuffled else { continue };
        let mut parts: Vec<Verdict> = floor
            .map(|c| match (c.p_holm < LEVEL, c.relative_percent > 0.0) {
                (true, true) => Verdict::Holds,
                (true, false) => Verdict::DoesNotHoldHere,
                (false, _) => Verdict::NotEnoughData,
            })
            .collect();
        // A model that loses nothing when it is shown another user's items does not write about the user.
        parts.push(if cost.interval.high <= 0.0 {
            Verdict::DoesNotHoldHere
        } else if cost.interval.low > 0.0 && *p < LEVEL {
            Verdict::Holds
        } else {
            Verdict::NotEnoughData
        });
        claims.push(Claim {
            claim: format!(
                "It generalises to users who were not seen in training: their narratives score above texts of other users \
                 in every metric (p < {LEVEL} after Holm), and another user's items in the prompt cost something"
            ),
            on: on(setting, &variant.name),
            verdict: Verdict::all(parts),
            because: format!(
                "another user's items add {:+.3} nats a token [{:+.3}, {:+.3}], p {p:.3}",
                cost.value, cost.interval.low, cost.interval.high
            ),
        });
    }
    claims
}

fn semantic_weighs_more(setting: &Setting) -> Vec<Claim> {
    let mut claims = Vec::new();
    for variant in &setting.variants {
        let Some((shares, per_seed)) = &variant.shares else { continue };
        // The paper's claim is of a projection's norms.
        if shares.measure != Measure::Norms {
            continue;
        }
        let below = per_seed.iter().filter(|&&share| share < 0.5).count();
        claims.push(Claim {
            claim: "Semantic vectors weigh more than collaborative ones in the soft tokens: the mean share of \u{2016}W\u{2081}e\u{1d62}\u{2016} \
                    is below one half with every seed of at least two (contradicted where it is above with every seed)"
                .to_owned(),
            on: on(setting, &variant.name),
            verdict: match below {
                _ if per_seed.len() < 2 => Verdict::NotEnoughData,
                _ if below == per_seed.len() => Verdict::Holds,
                0 => Verdict::DoesNotHoldHere,
                _ => Verdict::NotEnoughData,
            },
            because: format!("collaborative share {:.3}; by seed {}", shares.mean, list(per_seed)),
        });
    }
    claims
}

/// Over data sets that differ in `x`, every seed a point; `least` of them must differ.
fn share_rises(
    settings: &[Setting],
    x: impl Fn(&Setting) -> Option<f64>,
    least: usize,
    (what, of): (&str, &str),
) -> Option<Claim> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    let mut levels: Vec<f64> = Vec::new();
    for setting in settings {
        let Some(x) = x(setting) else { continue };
        for variant in setting.variants.iter().filter(|variant| variant.arm == "fusion") {
            if let Some((_, per_seed)) = &variant.shares {
                points.extend(per_seed.iter().map(|&share| (x, share)));
                if !levels.contains(&x) {
                    levels.push(x);
                }
            }
        }
    }
    if levels.len() < least {
        return None;
    }
    let (x, y): (Vec<f64>, Vec<f64>) = points.into_iter().unzip();
    let (rho, p) = correlation(&x, &y)?;
    levels.sort_by(f64::total_cmp);
    Some(Claim {
        claim: format!(
            "The collaborative share rises with {what} (Spearman, p < {LEVEL} by permutation; contradicted where it falls as \
             surely)"
        ),
        on: format!("{} {of} from {:.5} to {:.5}", levels.len(), levels[0], levels[levels.len() - 1]),
        verdict: match (p < LEVEL, rho > 0.0) {
            (true, true) => Verdict::Holds,
            (true, false) => Verdict::DoesNotHoldHere,
            (false, _) => Verdict::NotEnoughData,
        },
        because: format!("\u{3c1} = {rho:.3}, p = {p:.4}, {} points", x.len()),
    })
}

/// Spearman's ρ and its two-sided permutation p; `None` where one side does not vary.
fn correlation(x: &[f64], y: &[f64]) -> Option<(f64, f64)> {
    let observed = spearman(x, y).ok()?.value();
    let mut rng = seed::rng(0, 31);
    let mut shuffled = y.to_vec();
    let mut extreme = 0usize;
    for _ in 0..PERMUTATIONS {
        shuffled.shuffle(&mut rng);
        let value = spearman(x, &shuffled).ok()?.value();
        extreme += usize::from(value.abs() >= observed.abs() - 1e-12);
    }
    Some((observed, (extreme + 1) as f64 / (PERMUTATIONS + 1) as f64))
}

fn list(values: &[f64]) -> String {
    values.iter().map(|value| format!("{value:.3}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contrast(relative_percent: f64, interval: [f64; 2], p_holm: f64) -> Contrast {
        Contrast {
            asks: Asks::Fusion,
            variant: "fusion".into(),
            base: "cf".into(),
            metric: "bleu",
            values: [10.0, 10.0 * (1.0 + relative_percent / 100.0)],
            relative_percent,
            relative_interval: interval,
            p_value: p_holm,
            p_holm,
        }
    }

    #[test]
    fn a_gain_holds_only_when_large_and_sure_and_is_refuted_only_when_surely_small() {
        assert_eq!(gain_verdict(&contrast(8.0, [3.0, 12.0], 0.01)), Verdict::Holds);
        assert_eq!(gain_verdict(&contrast(8.0, [-3.0, 19.0], 0.2)), Verdict::NotEnoughData);
        assert_eq!(gain_verdict(&contrast(3.0, [1.0, 5.0], 0.01)), Verdict::NotEnoughData);
        assert_eq!(gain_verdict(&contrast(1.0, [-2.0, 3.9], 0.6)), Verdict::DoesNotHoldHere);
        let mixed = [Verdict::Holds, Verdict::NotEnoughData];
        assert_eq!(Verdict::all(mixed), Verdict::NotEnoughData);
        assert_eq!(
            Verdict::all([Verdict::NotEnoughData, Verdict::DoesNotHoldHere]),
            Verdict::DoesNotHoldHere
        );
    }

    #[test]
    fn a_correlation_is_significant_with_enough_ordered_points_only() {
        let x: Vec<f64> = (0..8).map(f64::from).collect();
        let (rho, p) = correlation(&x, &x).unwrap();
        assert!((rho - 1.0).abs() < 1e-12 && p < 0.01, "{rho} {p}");
        let (rho, p) = correlation(&x[..3], &x[..3]).unwrap();
        assert!((rho - 1.0).abs() < 1e-12 && p > 0.2, "{rho} {p}");
        assert!(correlation(&x, &[1.0; 8]).is_none());
    }
}
