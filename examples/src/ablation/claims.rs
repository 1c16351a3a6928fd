//! The paper's claims, one by one: holds, does not hold here, or not enough data to say.
//!
//! **Source** Sayana et al. 2024 (arXiv 2410.16780). The thresholds are ours and stand in each claim's text.

use rand::seq::SliceRandom;
use regen_metrics::agreement::spearman;
use regen_narrator::Control;
use regen_torch::seed;
use serde::Serialize;

use super::attribution::Measure;
use super::contrasts::{Asks, Contrast, SINGLE, single};
use super::enough::LEAST_USERS;
use super::findings::{Setting, Variant};
use super::reading::Cost;
use super::tables::{chance, name_of};

/// Below this a p value is called significant.
const LEVEL: f64 = 0.05;

/// What fusion has to add, in percent.
const GAIN: f64 = 4.0;

/// A control that surely costs less than this, in nats a token, costs nothing: the perplexity moves by less than a hundredth.
pub(super) const NOTHING: f64 = 0.01;

/// In place of an interval that there is none of.
const TOO_FEW: &str = "too few users";

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
    let asked: [fn(&Setting) -> Vec<Claim>; 4] =
        [fusion_gains, soft_tokens_read, unseen_users, semantic_weighs_more];
    for of in asked {
        for setting in settings {
            claims.extend(of(setting).into_iter().map(|claim| answered(setting, claim)));
        }
    }
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

/// The claim as it is, or without an answer where the setting has too few users for any.
fn answered(setting: &Setting, claim: Claim) -> Claim {
    if setting.has_enough_users() {
        return claim;
    }
    let users = setting.test_users;
    let because = format!("{users} test users, fewer than {LEAST_USERS}. What was seen: {}", claim.because);
    Claim { verdict: Verdict::NotEnoughData, because, ..claim }
}

/// Whether a p value says that it is no chance; there is none of too few users.
fn sure(p_value: Option<f64>) -> bool {
    p_value.is_some_and(|p| p < LEVEL)
}

fn on(setting: &Setting, variant: &str) -> String {
    format!("{}, histories up to {}, {}: {variant}", setting.data, setting.history, setting.language_model)
}

/// A gain of at least [`GAIN`] percent that is not chance; without a percentage nothing can be said.
fn gain_verdict(contrast: &Contrast) -> Verdict {
    match (contrast.relative_percent, contrast.relative_interval) {
        (_, Some([_, high])) if high < GAIN => Verdict::DoesNotHoldHere,
        (Some(gain), _) if gain >= GAIN && sure(contrast.p_holm) => Verdict::Holds,
        _ => Verdict::NotEnoughData,
    }
}

/// A difference with its interval: in percent of the base where that means something.
pub(super) fn difference(contrast: &Contrast) -> [String; 2] {
    match (contrast.relative_percent, contrast.relative_interval) {
        (Some(percent), Some([low, high])) => [format!("{percent:+.1} %"), format!("{low:+.1}, {high:+.1}")],
        (Some(percent), None) => [format!("{percent:+.1} %"), TOO_FEW.to_owned()],
        (None, _) => {
            let ends = contrast.interval.map(|[low, high]| format!("{low:+.4}, {high:+.4}"));
            let ends = ends.unwrap_or_else(|| TOO_FEW.to_owned());
            let no_percent = "the base is too near zero for a percentage";
            [format!("{:+.4}", contrast.difference), format!("{ends}; {no_percent}")]
        }
    }
}

/// A contrast with its numbers.
fn in_numbers(contrast: &Contrast) -> String {
    let [difference, interval] = difference(contrast);
    let (metric, p_holm) = (name_of(contrast.metric), chance(contrast.p_holm));
    format!("{metric} {difference} against {} [{interval}], p {p_holm} (Holm)", contrast.base)
}

fn fusion_gains(setting: &Setting) -> Vec<Claim> {
    let mut claims = Vec::new();
    let alone = |variant: &Variant| SINGLE.iter().any(|sources| variant.arm == sources.as_str());
    // Where no source was run alone, it was not asked.
    if !setting.variants.iter().any(alone) {
        return claims;
    }
    for variant in setting.variants.iter().filter(|variant| variant.arm == "fusion") {
        let contrasts: Vec<&Contrast> = setting
            .contrasts
            .iter()
            .filter(|c| c.asks == Asks::Fusion && c.variant == variant.name)
            .collect();
        let missing: Vec<&str> = SINGLE
            .into_iter()
            .filter(|&sources| {
                let wanted = single(&variant.cell, sources);
                !setting.variants.iter().any(|other| other.cell.variant() == wanted)
            })
            .map(|sources| sources.as_str())
            .collect();
        let (verdict, because) = if !missing.is_empty() || contrasts.is_empty() {
            let because = format!(
                "not run alone with the same adapter and inputs: {}. Which single arm is the better one is then not known",
                missing.join(", ")
            );
            (Verdict::NotEnoughData, because)
        } else {
            let numbers: Vec<String> = contrasts.iter().map(|c| in_numbers(c)).collect();
            (Verdict::all(contrasts.iter().map(|c| gain_verdict(c))), numbers.join("; "))
        };
        claims.push(Claim {
            claim: format!(
                "Fusion beats the better of CF-only and semantic-only by at least {GAIN} % in BLEU, ROUGE-L and semantic \
                 similarity (p < {LEVEL} after Holm; contradicted where the interval ends below {GAIN} %)"
            ),
            on: on(setting, &variant.name),
            verdict,
            because,
        });
    }
    claims
}

/// What the cost of another user's items says of a model: that it reads its soft tokens, that it ignores them, or neither.
pub(super) fn reads(variant: &Variant) -> Option<(Verdict, &Cost)> {
    let cost = variant.costs.iter().find(|cost| cost.control == Control::ShuffledItems)?;
    let verdict = match &cost.added.interval {
        Some(interval) if interval.low > 0.0 && sure(cost.p_holm) => Verdict::Holds,
        Some(interval) if interval.high < NOTHING => Verdict::DoesNotHoldHere,
        _ => Verdict::NotEnoughData,
    };
    Some((verdict, cost))
}

/// A cost with its numbers.
fn in_nats(Cost { added, p_holm, .. }: &Cost) -> String {
    let ends = added.interval.as_ref().map(|ends| format!("{:+.3}, {:+.3}", ends.low, ends.high));
    let ends = ends.unwrap_or_else(|| TOO_FEW.to_owned());
    format!("{:+.3} nats a token [{ends}], p {} (Holm)", added.value, chance(*p_holm))
}

fn soft_tokens_read(setting: &Setting) -> Vec<Claim> {
    let claim = |variant: &Variant| {
        let (verdict, cost) = reads(variant)?;
        let ignored =
            if verdict == Verdict::DoesNotHoldHere { "FLAGGED: it ignores what they say; " } else { "" };
        Some(Claim {
            claim: format!(
                "The language model reads its soft tokens: another user's items in the prompt cost something (p < {LEVEL} after \
                 Holm over all controls; contradicted where they surely cost less than {NOTHING} nats a token)"
            ),
            on: on(setting, &variant.name),
            verdict,
            because: format!("{ignored}another user's items add {}", in_nats(cost)),
        })
    };
    setting.variants.iter().filter_map(claim).collect()
}

fn unseen_users(setting: &Setting) -> Vec<Claim> {
    let mut claims = Vec::new();
    for variant in &setting.variants {
        let floor: Vec<&Contrast> =
            setting.contrasts.iter().filter(|c| c.asks == Asks::Floor && c.variant == variant.name).collect();
        let Some((read, cost)) = reads(variant) else { continue };
        let mut parts: Vec<Verdict> = floor
            .iter()
            .map(|c| match (sure(c.p_holm), c.difference > 0.0) {
                (true, true) => Verdict::Holds,
                (true, false) => Verdict::DoesNotHoldHere,
                (false, _) => Verdict::NotEnoughData,
            })
            .collect();
        // A model that loses nothing when it is shown another user's items does not write about the user.
        parts.push(read);
        claims.push(Claim {
            claim: format!(
                "It generalises to users who were not seen in training: their narratives score above texts of other users \
                 in every metric (p < {LEVEL} after Holm), and another user's items in the prompt cost something"
            ),
            on: on(setting, &variant.name),
            verdict: Verdict::all(parts),
            because: format!(
                "{}; another user's items in the prompt add {}",
                floor.into_iter().map(in_numbers).collect::<Vec<_>>().join("; "),
                in_nats(cost)
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

/// Over data sets that differ in `x`, every seed a point; `least` of them must differ. Without an answer where one has too few users.
fn share_rises(
    settings: &[Setting],
    x: impl Fn(&Setting) -> Option<f64>,
    least: usize,
    (what, of): (&str, &str),
) -> Option<Claim> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    let mut levels: Vec<f64> = Vec::new();
    let mut few = None;
    for setting in settings {
        let Some(x) = x(setting) else { continue };
        for variant in setting.variants.iter().filter(|variant| variant.arm == "fusion") {
            if let Some((_, per_seed)) = &variant.shares {
                few = few.or(Some(setting).filter(|setting| !setting.has_enough_users()));
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
    let seen = format!("\u{3c1} = {rho:.3}, {} points", x.len());
    let claim = Claim {
        claim: format!(
            "The collaborative share rises with {what} (Spearman, p < {LEVEL} by permutation, a single test that Holm's correction \
             leaves out; contradicted where it falls as surely)"
        ),
        on: format!("{} {of} from {:.5} to {:.5}", levels.len(), levels[0], levels[levels.len() - 1]),
        verdict: match (p < LEVEL, rho > 0.0) {
            (true, true) => Verdict::Holds,
            (true, false) => Verdict::DoesNotHoldHere,
            (false, _) => Verdict::NotEnoughData,
        },
        because: format!("{seen}, p = {p:.4} (not corrected)"),
    };
    Some(match few {
        Some(setting) => answered(setting, Claim { because: seen, ..claim }),
        None => claim,
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

    fn contrast(percent: f64, relative: [f64; 2], p_holm: f64) -> Contrast {
        Contrast {
            asks: Asks::Fusion,
            variant: "fusion".into(),
            base: "cf".into(),
            metric: "bleu",
            values: [10.0, 10.0 + percent / 10.0],
            difference: percent / 10.0,
            interval: Some(relative.map(|end| end / 10.0)),
            relative_percent: Some(percent),
            relative_interval: Some(relative),
            p_value: Some(p_holm),
            p_holm: Some(p_holm),
        }
    }

    #[test]
    fn a_base_near_zero_gives_no_percentage_and_no_verdict() {
        let sure = contrast(80.0, [60.0, 99.0], 0.001);
        let odd = Contrast { relative_percent: None, relative_interval: None, ..sure.clone() };
        assert_eq!(gain_verdict(&sure), Verdict::Holds);
        assert_eq!(gain_verdict(&odd), Verdict::NotEnoughData);
        assert_eq!(difference(&sure), ["+80.0 %", "+60.0, +99.0"]);
        let [shown, interval] = difference(&odd);
        assert!(shown == "+8.0000" && interval.contains("too near zero"), "{shown} [{interval}]");
        // Of too few users nothing but the value is told.
        let few =
            Contrast { interval: None, relative_interval: None, p_value: None, p_holm: None, ..sure.clone() };
        assert_eq!(gain_verdict(&few), Verdict::NotEnoughData);
        assert_eq!(difference(&few), ["+80.0 %", "too few users"]);
        let few = Contrast { relative_percent: None, ..few };
        assert_eq!(difference(&few)[0], "+8.0000");
        assert!(!difference(&few)[1].contains("0000"));
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
