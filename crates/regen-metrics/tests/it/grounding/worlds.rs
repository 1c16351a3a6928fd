//! Items and histories drawn from the words of a half, and what the extractor is told of them.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use regen_metrics::grounding::{Facts, Known, Quantity};

use super::phrases::Half;

/// A uniform choice; the slight bias of the remainder does not matter here.
pub(super) fn pick<T: Copy>(rng: &mut ChaCha8Rng, from: &[T]) -> T {
    from[rng.next_u32() as usize % from.len()]
}

pub(super) fn chance(rng: &mut ChaCha8Rng, share: f64) -> bool {
    f64::from(rng.next_u32()) < share * f64::from(u32::MAX)
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) brand: &'static str,
    pub(super) model: &'static str,
    pub(super) noun: (&'static str, &'static str),
    pub(super) colour: (&'static str, u8),
    pub(super) inches: u32,
    pub(super) count: u32,
    pub(super) cents: u32,
}

impl Item {
    pub(super) fn draw(half: &Half, rng: &mut ChaCha8Rng) -> Self {
        Self {
            brand: pick(rng, half.brands),
            model: pick(rng, half.models),
            noun: pick(rng, half.nouns),
            colour: pick(rng, half.colours),
            inches: 3 + rng.next_u32() % 20,
            count: 2 + rng.next_u32() % 30,
            cents: 500 + rng.next_u32() % 9_500,
        }
    }

    /// Brand, model and noun, in capitals as on a package.
    pub(super) fn name(&self) -> String {
        let noun: Vec<String> =
            self.noun.0.split(' ').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
        format!("{} {} {}", self.brand, self.model, noun.join(" "))
    }

    pub(super) fn title(&self) -> String {
        let colour = self.colour.0[..1].to_uppercase() + &self.colour.0[1..];
        format!("{}, {} Inch, {colour}, {}-Pack", self.name(), self.inches, self.count)
    }
}

/// What a narrative is about.
pub(super) struct World {
    pub(super) item: Item,
    pub(super) history: Vec<Item>,
}

impl World {
    pub(super) fn draw(half: &Half, rng: &mut ChaCha8Rng) -> Self {
        let item = Item::draw(half, rng);
        let history = (0..3 + rng.next_u32() % 4).map(|_| Item::draw(half, rng)).collect();
        Self { item, history }
    }

    pub(super) fn facts(&self) -> Facts {
        Facts {
            title: Some(Known::authoritative(self.item.title())),
            brand: Some(Known::authoritative(self.item.brand.to_owned())),
            colours: Some(Known::authoritative(vec![self.item.colour.0.to_owned()])),
            sizes: Some(Known::authoritative(vec![
                Quantity::new(f64::from(self.item.inches), "inch").unwrap(),
            ])),
            count: Some(Known::authoritative(self.item.count)),
            price: Some(Known::authoritative(f64::from(self.item.cents) / 100.0)),
            history: Some(Known::authoritative(self.history.iter().map(Item::title).collect())),
        }
    }
}
