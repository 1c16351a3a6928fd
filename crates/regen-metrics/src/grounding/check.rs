//! What the facts say to a claim.

use super::claim::{ClaimValue, Field, Subject, Verdict};
use super::extract::{Words, contains_run, stems, tokens_of};
use super::facts::{Facts, Known, Trust};
use super::lexicon::{Colour, GENERIC, colour};
use super::tokens::tokenize;
use super::units::Quantity;

type Outcome = (Verdict, Option<Field>);

const UNDECIDED: Outcome = (Verdict::Unverifiable, None);

/// The outcome of a comparison with a field: an indicative field cannot contradict.
fn decide<T>(known: &Known<T>, field: Field, agrees: bool) -> Outcome {
    match (agrees, known.trust) {
        (true, _) => (Verdict::Supported, Some(field)),
        (false, Trust::Authoritative) => (Verdict::Contradicted, Some(field)),
        (false, Trust::Indicative) => UNDECIDED,
    }
}

pub(super) fn check(value: &ClaimValue, facts: &Facts, words: &Words) -> Outcome {
    match value {
        ClaimValue::Price { low, high } => match &facts.price {
            Some(price) => decide(price, Field::Price, (*low..=*high).contains(&price.value)),
            None => UNDECIDED,
        },
        ClaimValue::Count { pieces } => match &facts.count {
            Some(count) => decide(count, Field::Count, count.value == *pieces),
            None => UNDECIDED,
        },
        ClaimValue::Size(size) => check_size(size, facts),
        ClaimValue::Colour { name, subject } => check_colour(name, *subject, facts),
        ClaimValue::Brand { name, subject } => check_brand(name, *subject, facts),
        ClaimValue::Purchase { object } => check_name(object, facts, words, Field::History),
        ClaimValue::Product { name, subject } => match check_name(name, facts, words, Field::Title) {
            (Verdict::Contradicted, _) if *subject != Subject::Item => UNDECIDED,
            outcome => outcome,
        },
    }
}

/// Sizes of another dimension say nothing: a weight does not contradict a length.
fn check_size(size: &Quantity, facts: &Facts) -> Outcome {
    let Some(sizes) = &facts.sizes else { return UNDECIDED };
    if !sizes.value.iter().any(|known| size.compares_with(known)) {
        return UNDECIDED;
    }
    decide(sizes, Field::Sizes, sizes.value.iter().any(|known| size.agrees_with(known)))
}

/// The colours that a catalogue's words name.
fn colours_of(text: &str) -> Vec<&'static Colour> {
    tokenize(text).iter().filter_map(|token| colour(&token.lower)).collect()
}

/// What a known colour says to a claimed one. A shade supports its basic colour ("navy" a claim of blue), but a basic
/// colour does not decide about a shade.
fn compare_colours(claimed: &Colour, known: &Colour) -> Verdict {
    let basic = |colour: &Colour| colour.name == colour.family || colour.name == "gray";
    if claimed.name == known.name || (basic(claimed) && claimed.family == known.family) {
        Verdict::Supported
    } else if claimed.family == known.family {
        Verdict::Unverifiable
    } else {
        Verdict::Contradicted
    }
}

fn check_colour(name: &str, subject: Subject, facts: &Facts) -> Outcome {
    let Some(claimed) = colour(name) else { return UNDECIDED };
    let supports = |text: &str| {
        colours_of(text).iter().any(|known| compare_colours(claimed, known) == Verdict::Supported)
    };
    if subject == Subject::User {
        let bought = facts.purchases().iter().any(|title| supports(title));
        return if bought { (Verdict::Supported, Some(Field::History)) } else { UNDECIDED };
    }
    if let Some(colours) = &facts.colours {
        let known: Vec<&Colour> = colours.value.iter().flat_map(|text| colours_of(text)).collect();
        let verdicts: Vec<Verdict> = known.iter().map(|known| compare_colours(claimed, known)).collect();
        if verdicts.contains(&Verdict::Supported) {
            return (Verdict::Supported, Some(Field::Colours));
        }
        // A field without a known word ("Ocean Mist", "Multi") decides nothing, nor does another noun's colour.
        let differs = !verdicts.is_empty() && !verdicts.contains(&Verdict::Unverifiable);
        if differs && subject == Subject::Item {
            return decide(colours, Field::Colours, false);
        }
        return UNDECIDED;
    }
    if supports(facts.title()) { (Verdict::Supported, Some(Field::Title)) } else { UNDECIDED }
}

fn check_brand(name: &str, subject: Subject, facts: &Facts) -> Outcome {
    let claimed = tokens_of(name);
    if subject == Subject::User {
        let bought = facts.purchases().iter().any(|title| contains_run(&tokens_of(title), &claimed));
        return if bought { (Verdict::Supported, Some(Field::History)) } else { UNDECIDED };
    }
    if let Some(brand) = &facts.brand {
        let known = tokens_of(&brand.value);
        // "Osprey" for "Osprey & Co", and the other way round.
        if !known.is_empty() && (known.starts_with(&claimed) || claimed.starts_with(&known)) {
            return (Verdict::Supported, Some(Field::Brand));
        }
    }
    // A name in the title, such as that of a licence, is at least no invention.
    if contains_run(&tokens_of(facts.title()), &claimed) {
        return (Verdict::Supported, Some(Field::Title));
    }
    match &facts.brand {
        Some(brand) if subject == Subject::Item => decide(brand, Field::Brand, false),
        _ => UNDECIDED,
    }
}

/// How the words of a name or purchase meet a title.
struct Meeting {
    /// Share of the words that the title has.
    covered: f64,
    /// Whether a word that identifies (a colour, a name, a number) is missing from the title.
    conflict: bool,
    /// Whether the title has a word that says what the thing is, or the words do not say it.
    same_thing: bool,
}

fn meet(object: &str, title: &str, words: &Words) -> Meeting {
    let held = stems(title);
    let title_colours = colours_of(title);
    let tokens = tokenize(object);
    let (mut all, mut met, mut conflict) = (0.0, 0.0, false);
    let mut same_thing = tokens.last().is_some_and(|head| head.is_one_of(GENERIC));
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| !token.is_mark() && !token.is("'s")) {
        // "An orange ruler" has a colour, "an orange" need not.
        let colour = colour(&token.lower).filter(|colour| !colour.ambiguous || at + 1 < tokens.len());
        let present = held.contains(&super::extract::stem_of(&token.lower))
            || colour.is_some_and(|claimed| {
                title_colours.iter().any(|known| compare_colours(claimed, known) != Verdict::Contradicted)
            });
        all += 1.0;
        met += f64::from(u8::from(present));
        let identifies = colour.is_some()
            || token.is_capitalised()
            || token.number().is_some()
            || words.is_brand_word(&tokens, at);
        conflict |= identifies && !present;
        same_thing |= !identifies && present;
    }
    Meeting { covered: if all > 0.0 { met / all } else { 0.0 }, conflict, same_thing }
}

/// Purchases are looked for among the user's purchases and, as narratives may speak of the item itself as bought, in
/// the item's title; product names the other way round.
fn check_name(object: &str, facts: &Facts, words: &Words, first: Field) -> Outcome {
    let item = match (&facts.brand, &facts.title) {
        (_, None) => None,
        (brand, Some(title)) => Some(format!(
            "{} {} {}",
            brand.as_ref().map_or("", |brand| &brand.value),
            title.value,
            facts.colours.as_ref().map_or(String::new(), |colours| colours.value.join(" "))
        )),
    };
    let mut candidates: Vec<(Meeting, Field)> =
        item.iter().map(|title| (meet(object, title, words), Field::Title)).collect();
    candidates.extend(facts.purchases().iter().map(|title| (meet(object, title, words), Field::History)));
    let supported = |meeting: &Meeting| !meeting.conflict && meeting.covered >= 0.75;
    let fields =
        if first == Field::History { [Field::History, Field::Title] } else { [Field::Title, Field::History] };
    for field in fields {
        if candidates.iter().any(|(meeting, of)| *of == field && supported(meeting)) {
            return (Verdict::Supported, Some(field));
        }
    }
    // Everything that may have been meant must be known before its absence says something.
    let history = facts.history.as_ref().is_some_and(|history| history.trust == Trust::Authoritative);
    let title = facts.title.as_ref().is_some_and(|title| title.trust == Trust::Authoritative);
    let complete = if first == Field::History { history } else { history && title };
    // A paraphrase says what the thing is in some of the title's words and names nothing that is not there.
    let paraphrase = candidates.iter().any(|(meeting, _)| !meeting.conflict && meeting.same_thing);
    if complete && !paraphrase { (Verdict::Contradicted, Some(first)) } else { UNDECIDED }
}
