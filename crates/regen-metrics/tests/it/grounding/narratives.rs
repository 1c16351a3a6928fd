//! Narratives with planted facts: each sentence states one fact, true or false, or is a distractor.

use std::ops::Range;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use super::phrases::Half;
use super::worlds::{Item, World, chance, pick};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Price,
    Brand,
    Colour,
    Size,
    Count,
    Purchase,
    Product,
}

const KINDS: [Kind; 7] =
    [Kind::Price, Kind::Brand, Kind::Colour, Kind::Size, Kind::Count, Kind::Purchase, Kind::Product];

/// A planted fact and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Planted {
    pub(super) kind: Kind,
    pub(super) is_true: bool,
    pub(super) span: Range<usize>,
}

pub(super) struct Narrative {
    pub(super) world: World,
    pub(super) text: String,
    pub(super) planted: Vec<Planted>,
}

const FALSE_SHARE: f64 = 0.35;

impl Narrative {
    /// Two to four planted facts and one or two distractors, in random order.
    pub(super) fn draw(half: &Half, rng: &mut ChaCha8Rng) -> Self {
        let mut narrative = Self { world: World::draw(half, rng), text: String::new(), planted: Vec::new() };
        let mut sentences: Vec<Option<Kind>> =
            (0..2 + rng.next_u32() % 3).map(|_| Some(pick(rng, &KINDS))).collect();
        sentences.extend((0..1 + rng.next_u32() % 2).map(|_| None));
        for place in (1..sentences.len()).rev() {
            sentences.swap(place, rng.next_u32() as usize % (place + 1));
        }
        for sentence in sentences {
            if !narrative.text.is_empty() {
                narrative.text.push(' ');
            }
            match sentence {
                Some(kind) => narrative.state(half, kind, rng),
                None => narrative.text.push_str(pick(rng, half.distractors)),
            }
        }
        narrative
    }

    /// Appends a sentence with one fact, or with two where a count and a size stand side by side.
    fn state(&mut self, half: &Half, kind: Kind, rng: &mut ChaCha8Rng) {
        let is_true = !chance(rng, FALSE_SHARE);
        if kind == Kind::Count && chance(rng, 0.3) {
            let template = pick(rng, half.count_and_size);
            let count = count_of(&self.world.item, is_true, rng).to_string();
            let size_is_true = !chance(rng, FALSE_SHARE);
            let (_, size) = size_of(half, &self.world.item, size_is_true, rng);
            let (before, after) = template.split_once("{s}").unwrap();
            self.fill(before, kind, &count, is_true);
            let rest = format!("{{}}{after}");
            self.fill(&rest, Kind::Size, &size, size_is_true);
            return;
        }
        let (template, words) = match kind {
            Kind::Price => (pick(rng, half.price), price(half, &self.world.item, is_true, rng)),
            Kind::Brand => (pick(rng, half.brand), self.brand(half, is_true, rng)),
            Kind::Colour => (pick(rng, half.colour), self.colour(half, is_true, rng)),
            Kind::Size => {
                let (noun, before) = size_of(half, &self.world.item, is_true, rng);
                if chance(rng, 0.5) {
                    (pick(rng, half.size), noun)
                } else {
                    (pick(rng, half.size_before_noun), before)
                }
            }
            Kind::Count => {
                let template = pick(rng, half.count);
                (template, count_words(half, template, count_of(&self.world.item, is_true, rng)))
            }
            Kind::Purchase => (pick(rng, half.purchase), self.purchase(half, is_true, rng)),
            Kind::Product => (pick(rng, half.product), self.product(half, is_true, rng)),
        };
        self.fill(template, kind, &words, is_true);
    }

    fn fill(&mut self, template: &str, kind: Kind, words: &str, is_true: bool) {
        let noun = self.world.item.noun;
        let template = template.replace("{nouns}", noun.1).replace("{noun}", noun.0);
        let (before, after) = template.split_once("{}").unwrap();
        self.text.push_str(before);
        let start = self.text.len();
        self.text.push_str(words);
        self.planted.push(Planted { kind, is_true, span: start..self.text.len() });
        self.text.push_str(after);
    }

    fn brand(&self, half: &Half, is_true: bool, rng: &mut ChaCha8Rng) -> String {
        let brand = self.world.item.brand;
        if is_true { brand.to_owned() } else { another(rng, half.brands, |other| *other != brand).to_owned() }
    }

    fn colour(&self, half: &Half, is_true: bool, rng: &mut ChaCha8Rng) -> String {
        let (name, family) = self.world.item.colour;
        if is_true {
            name.to_owned()
        } else {
            another(rng, half.colours, |other| other.1 != family).0.to_owned()
        }
    }

    /// Some of the words of a purchase, or of something that was not bought.
    fn purchase(&self, half: &Half, is_true: bool, rng: &mut ChaCha8Rng) -> String {
        let bought = pick(rng, &self.world.history);
        let (one, brand, colour) = (bought.noun.0, bought.brand, bought.colour.0);
        let all = || self.world.history.iter().chain([&self.world.item]);
        let form = rng.next_u32() % 4;
        if is_true {
            return match form {
                0 => format!("a {one}"),
                1 => format!("the {brand} {one}"),
                2 => format!("a {colour} {one}"),
                _ => format!("the {}", bought.name()),
            };
        }
        let noun = another(rng, half.nouns, |noun| all().all(|item| item.noun != *noun)).0;
        let brand = another(rng, half.brands, |brand| all().all(|item| item.brand != *brand));
        let colour = another(rng, half.colours, |colour| all().all(|item| item.colour.1 != colour.1)).0;
        match form {
            0 => format!("a {noun}"),
            1 => format!("the {brand} {one}"),
            2 => format!("a {colour} {one}"),
            _ => format!("the {}", Item { noun: (noun, ""), ..Item::draw(half, rng) }.name()),
        }
    }

    fn product(&self, half: &Half, is_true: bool, rng: &mut ChaCha8Rng) -> String {
        let item = &self.world.item;
        if is_true {
            return item.name();
        }
        let all = || self.world.history.iter().chain([item]);
        let brand = another(rng, half.brands, |brand| all().all(|item| item.brand != *brand));
        let noun = another(rng, half.nouns, |noun| all().all(|item| item.noun != *noun));
        Item { brand, noun, ..Item::draw(half, rng) }.name()
    }
}

/// A choice among those that differ.
fn another<T: Copy>(rng: &mut ChaCha8Rng, from: &[T], differs: impl Fn(&T) -> bool) -> T {
    let other: Vec<T> = from.iter().copied().filter(differs).collect();
    pick(rng, &other)
}

fn price(half: &Half, item: &Item, is_true: bool, rng: &mut ChaCha8Rng) -> String {
    let form = rng.next_u32() % 10;
    let wrong = [0.4, 0.6, 1.5, 2.0, 2.5];
    // A bound is wrong on the other side of the price than a false exact price may be.
    let (formats, right, wrong) = match form {
        0 => (half.below_prices, 1.3, &wrong[..2]),
        1 => (half.above_prices, 0.7, &wrong[2..]),
        2 => (half.about_prices, 1.0, &wrong[..]),
        _ => (half.exact_prices, 1.0, &wrong[..]),
    };
    let factor = if is_true { right } else { pick(rng, wrong) };
    let cents = (f64::from(item.cents) * factor).round() as u32;
    let whole = (f64::from(cents) / 100.0).round() as u32;
    pick(rng, formats)
        .replace("{p}", &format!("{}.{:02}", cents / 100, cents % 100))
        .replace("{d}", &(cents / 100).to_string())
        .replace("{c}", &format!("{}", cents % 100))
        .replace("{w}", &whole.to_string())
}

/// The size as a noun and before a noun, in inches or converted.
fn size_of(half: &Half, item: &Item, is_true: bool, rng: &mut ChaCha8Rng) -> (String, String) {
    let inches = if is_true { item.inches } else { item.inches + 2 + rng.next_u32() % 6 };
    let (noun, before, factor) = pick(rng, half.lengths);
    let value = (f64::from(inches) * factor * 10.0).round() / 10.0;
    (format!("{value} {noun}"), format!("{value}{before}"))
}

fn count_of(item: &Item, is_true: bool, rng: &mut ChaCha8Rng) -> u32 {
    if is_true { item.count } else { item.count + 1 + rng.next_u32() % 12 }
}

/// A count in digits, or in words where the template and the language allow.
fn count_words(half: &Half, template: &str, count: u32) -> String {
    let fits = template.contains("{} {nouns}") || template.contains("of {}");
    let word = half.count_words.iter().find(|(number, _)| *number == count && fits);
    word.map_or_else(|| count.to_string(), |(_, word)| (*word).to_owned())
}
