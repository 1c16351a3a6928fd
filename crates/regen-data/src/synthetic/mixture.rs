//! Narratives of a set mixture: which share of them only co-purchases, only texts, and both can tell.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::facts::{Fact, FactKind, ItemTruth};
use super::phrases::filled;
use super::vocabulary::AFFINITIES;
use crate::{Error, NarrativeKind, Result};

/// Clauses of a narrative.
const CLAUSES: usize = 4;

/// Weights of the clauses that a narrative about an item is made of. They need not sum to 1.
///
/// Each of four clauses is drawn on its own: `co_purchase` clauses speak of the item's affinity, which no text tells; `text`
/// clauses of brand, material and price band, which leave no trace in co-purchases; `both` clauses of colour and category,
/// which texts state and of which taste leaves a trace in the co-purchases. The clauses are worded alike in their length, so a
/// weight is also about the share of the words.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixture {
    /// Of what only co-purchases tell.
    pub co_purchase: f64,
    /// Of what only texts tell.
    pub text: f64,
    /// Of what both tell.
    #[serde(default)]
    pub both: f64,
}

impl Mixture {
    /// The weights, summing to 1: co-purchase, text, both.
    pub fn shares(&self) -> [f64; 3] {
        let weights = [self.co_purchase, self.text, self.both];
        let sum: f64 = weights.iter().sum();
        weights.map(|weight| weight / sum)
    }

    pub(super) fn check(&self) -> Result<()> {
        let weights = [self.co_purchase, self.text, self.both];
        if weights.iter().all(|weight| (0.0..=1e6).contains(weight)) && weights.iter().sum::<f64>() > 0.0 {
            return Ok(());
        }
        let expected = "three weights of at least 0, not all 0";
        Err(Error::InvalidConfig { field: "mixture", expected, got: format!("{self:?}") })
    }
}

type Clause = (&'static str, FactKind);

/// Of each class, clauses that may stand side by side.
const CLASSES: [[Clause; CLAUSES]; 3] = [
    [
        ("it is at home in {place}", FactKind::Affinity),
        ("it is of use for {activity}", FactKind::Activity),
        ("whoever runs {place} knows it", FactKind::Affinity),
        ("it makes {activity} lighter", FactKind::Activity),
    ],
    [
        ("it comes from {brand}", FactKind::Brand),
        ("it is made of {material}", FactKind::Material),
        ("it is of the {band} line", FactKind::PriceBand),
        ("the name on it is {brand}", FactKind::Brand),
    ],
    [
        ("its colour is {colour}", FactKind::Colour),
        ("it is one more {category}", FactKind::Category),
        ("it looks well in {colour}", FactKind::Colour),
        ("a {category} was wanted", FactKind::Category),
    ],
];

/// A narrative about `target` in clauses drawn by `mixture`, and its facts. `None` for kinds that are not about an item.
pub(super) fn narrative(
    kind: NarrativeKind,
    target: &ItemTruth,
    mixture: &Mixture,
    rng: &mut ChaCha8Rng,
) -> Option<(String, Vec<Fact>)> {
    let opening = match kind {
        NarrativeKind::PurchaseReason => "It was bought because ",
        NarrativeKind::EndorsementShort => "You should have it, since ",
        _ => return None,
    };
    let [co_purchase, text, _] = mixture.shares();
    let mut drawn = [0; 3];
    let (mut clauses, mut facts): (Vec<String>, Vec<Fact>) = (Vec::new(), Vec::new());
    for _ in 0..CLAUSES {
        let at: f64 = rng.random();
        let class = if at < co_purchase {
            0
        } else if at < co_purchase + text {
            1
        } else {
            2
        };
        let (clause, kind) = CLASSES[class][drawn[class]];
        drawn[class] += 1;
        let words = match kind {
            FactKind::Affinity => target.affinity_name(),
            FactKind::Activity => AFFINITIES[target.affinity].activity,
            FactKind::Brand => target.brand_name(),
            FactKind::Material => target.material_name(),
            FactKind::PriceBand => target.price_band_name(),
            FactKind::Colour => target.colour_name(),
            _ => target.category_name(),
        };
        let value = if kind == FactKind::Affinity { AFFINITIES[target.affinity].place } else { words };
        clauses.push(filled(clause, |_| value));
        let fact = Fact { kind, words };
        if !facts.contains(&fact) {
            facts.push(fact);
        }
    }
    Some((format!("{opening}{}.", clauses.join(", and ")), facts))
}
