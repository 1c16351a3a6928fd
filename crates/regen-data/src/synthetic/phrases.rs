//! How the synthetic narratives are worded: several phrasings of each kind, 15 to 45 words, with slots.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::facts::{Fact, FactKind, ItemTruth, affinity_name};
use super::vocabulary::{AFFINITIES, CATEGORIES, COLOURS};
use crate::{ItemMetadata, NarrativeKind};

/// What is counted in a history: the facts of a user.
pub(super) struct HistoryFacts {
    pub(super) affinity: usize,
    pub(super) colour: usize,
    pub(super) categories: [usize; 2],
}

impl HistoryFacts {
    /// The most frequent affinity and colour and the two most frequent categories; ties go to the more recent purchase.
    pub(super) fn of(history: &[ItemTruth]) -> Self {
        let most = |value: fn(&ItemTruth) -> usize, but: Option<usize>| -> Option<usize> {
            let counted = |wanted| history.iter().filter(|item| value(item) == wanted).count();
            // max_by_key keeps the last of equals: the most recent.
            history.iter().map(value).filter(|&value| Some(value) != but).max_by_key(|&value| counted(value))
        };
        let first = most(|item| item.category, None).unwrap_or_default();
        Self {
            affinity: most(|item| item.affinity, None).unwrap_or_default(),
            colour: most(|item| item.colour, None).unwrap_or_default(),
            categories: [first, most(|item| item.category, Some(first)).unwrap_or(first)],
        }
    }
}

const PURCHASE_REASONS: [&str; 4] = [
    "This shopper bought the {colour} {brand} {category} for {activity} in {place}; its {material} build will last, \
     and it joins a collection in which {favourite} is the usual colour.",
    "Needing something dependable for {activity}, they picked the {colour} {category} by {brand} in {material}. It \
     suits {place}, although most of what they own is {favourite}.",
    "The {brand} {category} in {colour} was chosen because {place} calls for {material} that survives {activity}, \
     and because this buyer keeps returning to {favourite} supplies.",
    "For work in {place}, where {activity} fills the day, the {colour} {material} {category} from {brand} was the \
     obvious addition to their mostly {favourite} equipment.",
];

const ENDORSEMENTS: [&str; 3] = [
    "You will be glad to have this {colour} {category} from {brand} at hand: the {material} feels right, and it is \
     made for {activity} in {place}.",
    "If {activity} is on your list, take the {brand} {category} in {colour}. Its {material} holds up well in \
     {place}.",
    "Your next find is a {colour} {material} {category} by {brand}, ready for {place} and a real help with \
     {activity}.",
];

const SUMMARIES: [&str; 3] = [
    "This shopper equips {place} and buys mostly for {activity}. The favourite colour is {favourite}, and {many} come \
     up most often, followed by {more}.",
    "Nearly every purchase serves {place}, above all {activity}. They like {favourite} things and often buy {many}, \
     then {more}.",
    "A regular buyer for {place}, busy with {activity}, who prefers {favourite} and stocks up on {many} and, after \
     that, {more}.",
];

/// A narrative about `target` (for user summaries: about the history alone), and the facts that it states. `None`
/// for kinds that this world does not write.
pub(super) fn narrative(
    kind: NarrativeKind,
    target: &ItemTruth,
    history: &HistoryFacts,
    rng: &mut ChaCha8Rng,
) -> Option<(String, Vec<Fact>)> {
    let templates: &[&str] = match kind {
        NarrativeKind::PurchaseReason => &PURCHASE_REASONS,
        NarrativeKind::EndorsementShort => &ENDORSEMENTS,
        NarrativeKind::UserSummaryShort => &SUMMARIES,
        _ => return None,
    };
    let template = templates[rng.random_range(0..templates.len())];
    let affinity = if kind.uses_immediate_context() { target.affinity } else { history.affinity };
    let fill = |slot: &str| match slot {
        "place" => AFFINITIES[affinity].place,
        "activity" => AFFINITIES[affinity].activity,
        "colour" => target.colour_name(),
        "brand" => target.brand_name(),
        "category" => target.category_name(),
        "material" => target.material_name(),
        "favourite" => COLOURS[history.colour],
        "many" => CATEGORIES[history.categories[0]].many,
        "more" => CATEGORIES[history.categories[1]].many,
        _ => unreachable!("the templates above use no other slot"),
    };
    let mut facts = vec![Fact { kind: FactKind::Affinity, words: affinity_name(affinity) }];
    for (slot, kind) in [
        ("brand", FactKind::Brand),
        ("colour", FactKind::Colour),
        ("category", FactKind::Category),
        ("material", FactKind::Material),
        ("favourite", FactKind::FavouriteColour),
        ("many", FactKind::TopCategory),
    ] {
        if template.contains(&format!("{{{slot}}}")) {
            facts.push(Fact { kind, words: fill(slot) });
        }
    }
    Some((filled(template, fill), facts))
}

/// `template` with `{slot}` replaced and "a" before a vowel written "an".
pub(super) fn filled<'a>(template: &str, fill: impl Fn(&str) -> &'a str) -> String {
    let mut text = String::with_capacity(2 * template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((slot, after)) = after.split_once('}') else { break };
        text.push_str(before);
        let value = fill(slot);
        let lone_article = text.ends_with(" a ") || text == "a " || text == "A ";
        if lone_article && value.starts_with(['a', 'e', 'i', 'o', 'u']) {
            text.insert(text.len() - 1, 'n');
        }
        text.push_str(value);
        rest = after;
    }
    text.push_str(rest);
    text
}

const DESCRIPTIONS: [&str; 3] = [
    "A {band} {category} in {colour}, made of {material}.",
    "{band} {category} with a {colour} {material} body.",
    "{material} {category}, {colour} finish, {band} line.",
];

/// What the shop says of an item: its attributes, and nothing of its affinity.
pub(super) fn metadata(item: &ItemTruth, price: f64, rng: &mut ChaCha8Rng) -> ItemMetadata {
    let category = &CATEGORIES[item.category];
    let template = DESCRIPTIONS[rng.random_range(0..DESCRIPTIONS.len())];
    let description = filled(template, |slot| match slot {
        "band" => item.price_band_name(),
        "category" => category.one,
        "colour" => item.colour_name(),
        "material" => item.material_name(),
        _ => unreachable!("the templates above use no other slot"),
    });
    ItemMetadata {
        title: Some(format!(
            "{} {} {}, {}",
            item.brand_name(),
            capitalized(item.colour_name()),
            capitalized(category.one),
            capitalized(item.material_name())
        )),
        brand: Some(item.brand_name().to_owned()),
        category: ["Office Products", category.group, &capitalized(category.many)]
            .map(str::to_owned)
            .to_vec(),
        description: Some(capitalized_first(&description)),
        price: Some(price),
    }
}

fn capitalized(words: &str) -> String {
    words.split(' ').map(capitalized_first).collect::<Vec<_>>().join(" ")
}

fn capitalized_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}
