//! Single claims: what is one, what is none, and which field decides.

use regen_metrics::grounding::{Facts, Field, Grounder, Known, Quantity, Verdict, veracity};
use regen_metrics::{Bootstrap, Error};

fn facts() -> Facts {
    Facts {
        title: Some(Known::authoritative("Kestrel GripLine Gel Pen, 0.7 mm, Navy Blue, 12-Pack".into())),
        brand: Some(Known::authoritative("Kestrel".into())),
        colours: Some(Known::authoritative(vec!["Navy Blue".into()])),
        sizes: Some(Known::authoritative(vec![
            Quantity::new(0.7, "mm").unwrap(),
            Quantity::new(6.0, "oz").unwrap(),
        ])),
        count: Some(Known::authoritative(12)),
        price: Some(Known::authoritative(12.99)),
        history: Some(Known::authoritative(vec![
            "Halden Heavy Duty Stapler, Black".into(),
            "Osprey & Co Ruled Notebook, 3 Pack, Red".into(),
        ])),
    }
}

/// The claims of a text as their words and verdicts.
fn claims(text: &str) -> Vec<(String, Verdict)> {
    claims_of(text, &facts())
}

fn claims_of(text: &str, facts: &Facts) -> Vec<(String, Verdict)> {
    let grounding = Grounder::with_brands(&["Halden", "Osprey & Co"]).check(text, facts);
    grounding.claims.iter().map(|claim| (text[claim.claim.span.clone()].to_owned(), claim.verdict)).collect()
}

fn assert_claims(text: &str, expected: &[(&str, Verdict)]) {
    let expected: Vec<_> = expected.iter().map(|(words, verdict)| ((*words).to_owned(), *verdict)).collect();
    assert_eq!(claims(text), expected, "{text}");
}

use Verdict::{Contradicted as No, Supported as Yes, Unverifiable as Open};

#[test]
fn prices_are_ranges_that_the_words_allow() {
    for (words, verdict) in [
        ("$12.99", Yes),
        ("$13", Yes),
        ("$12.98", No),
        ("under $15", Yes),
        ("under $10", No),
        ("no more than $10", No),
        ("at least $10", Yes),
        ("about $12", Yes),
        ("around $20", No),
        ("$10 to $15", Yes),
        ("between $20 and $25", No),
        ("12.99 dollars", Yes),
        ("USD 12.99", Yes),
        ("twenty-five dollars", No),
    ] {
        let found = claims(&format!("It costs {words} here."));
        assert_eq!(found.len(), 1, "{words}: {found:?}");
        assert_eq!(found[0].1, verdict, "{words}");
    }
}

#[test]
fn other_sums_are_no_prices() {
    for text in [
        "Save $5 today.",
        "Now $5 off.",
        "Orders over $25 ship free.",
        "It comes with a $10 gift card.",
        "That is $1 per pen or $2/refill.",
    ] {
        assert_claims(text, &[]);
    }
}

#[test]
fn counts_and_sizes_stand_side_by_side() {
    assert_claims("A 12-pack of 3 inch pens.", &[("12-pack", Yes), ("3 inch", No)]);
    assert_claims("A pack of 10 0.7mm pens.", &[("10", No), ("0.7mm", Yes)]);
    assert_claims("You get two dozen fine 0.5-mm gel pens.", &[("two dozen", No), ("0.5-mm", No)]);
    assert_claims("Half a dozen pens.", &[("Half a dozen", No)]);
}

#[test]
fn numbers_that_count_nothing_are_no_claims() {
    for text in [
        "It is one of the top 10 pens.",
        "It works 24/7 for 5 years, 100% of the time.",
        "More than 500 customers gave it 5 stars in 2019.",
        "Keep it 2 feet away from heat.",
        "Step 2 is to put it within 3 feet of the window.",
    ] {
        assert_claims(text, &[]);
    }
}

#[test]
fn a_shade_supports_its_basic_colour_and_contradicts_others() {
    assert_claims("It comes in navy.", &[("navy", Yes)]);
    assert_claims("A blue pen.", &[("blue", Yes)]);
    assert_claims("A cobalt pen.", &[("cobalt", Open)]);
    assert_claims("Its bright red barrel shines.", &[("red", No)]);
}

#[test]
fn colours_of_other_things_and_in_idioms_do_not_contradict() {
    assert_claims("It is a red letter day with no red tape, out of the blue.", &[]);
    assert_claims("Not everything has to be black.", &[]);
    assert_claims("It looks good on your white desk.", &[("white", Open)]);
    assert_claims("You like black, so this fits.", &[("black", No)]);
    assert_claims("As you usually choose black, this fits.", &[("black", Yes)]);
    assert_claims("The rose was a gift.", &[]);
}

#[test]
fn a_colour_before_a_wrong_noun_is_the_items_where_it_is_offered() {
    assert_claims(
        "They picked the olive pencil by Kestrel, although most of what they own is olive.",
        &[("olive", No), ("Kestrel", Yes), ("olive", Open)],
    );
    assert_claims("Take the Kestrel ruler in olive.", &[("Kestrel", Yes), ("olive", No)]);
    assert_claims("The amber cork lamp from Halden is here.", &[("amber", No), ("Halden", No)]);
    assert_claims("An olive garden lies behind the amber hills.", &[]);
}

#[test]
fn brands_are_claims_where_they_make_the_item() {
    assert_claims("The pen by Kestrel is good.", &[("Kestrel", Yes)]);
    assert_claims("This Halden pen is good.", &[("Halden", No)]);
    assert_claims("The pen, made by Quillon, is good.", &[("Quillon", No)]);
    assert_claims("It is better than Halden.", &[]);
    assert_claims("It is compatible with Halden.", &[]);
    assert_claims("Like your Halden stapler, it lasts.", &[("Halden", Yes)]);
    assert_claims("The pen comes from Germany by Christmas.", &[]);
}

#[test]
fn an_unknown_name_is_a_brand_where_it_stands_as_the_maker() {
    for text in [
        "Quillon designed it with care.",
        "Quillon's pen writes well.",
        "A Quillon pen lasts for years.",
        "This is a genuine Quillon pen.",
        "It is a Quillon.",
        "Leave it to Quillon to think of that.",
        "You can trust Quillon to get a pen right.",
        "Fans of Quillon will love the pen.",
        "It carries the Quillon label.",
        "The people at Quillon spared no effort.",
        "The name Quillon speaks for itself.",
        "Here Quillon has done it again.",
        "Quillon, the maker, is proud of it.",
    ] {
        assert_claims(text, &[("Quillon", No)]);
    }
    // Nobody's name, no maker, or the user's.
    for text in [
        "Experts designed it with care.",
        "Everybody knows the feeling.",
        "Today's pen is better.",
        "Uncle Quillon makes tea.",
        "My friend in Quillon has one.",
        "It beats the Quillon pen.",
        "Meet me at Quillon Street.",
    ] {
        assert_claims(text, &[]);
    }
    assert_claims("A Victorian pen and a LED pen.", &[("Victorian", Open)]);
    assert_claims("You love your Quillon pen.", &[]);
    assert_claims("You own a Quillon pen at home.", &[("Quillon pen", No)]);
}

#[test]
fn what_only_resembles_a_claim_is_none() {
    assert_claims("You bought some time.", &[]);
    assert_claims("Gift cards start at $10.", &[]);
    assert_claims("It beats the red one.", &[]);
    assert_claims("Owners of a shop know it.", &[]);
}

#[test]
fn what_is_said_in_other_words_is_still_a_claim() {
    assert_claims("It costs 12 dollars 99.", &[("12 dollars 99", Yes)]);
    assert_claims("It costs 14 US dollars.", &[("14 US dollars", No)]);
    assert_claims("It costs 12 US dollars and 99 cents.", &[("12 US dollars and 99 cents", Yes)]);
    assert_claims("It costs just short of $10.", &[("short of $10", No)]);
    assert_claims("It costs give or take $13.", &[("or take $13", Yes)]);
    assert_claims("One box holds 12 of these.", &[("12", Yes)]);
    assert_claims("You get 13 6-oz pens.", &[("13", No), ("6-oz", Yes)]);
    assert_claims("As the owner of a stapler, you know.", &[("stapler", Yes)]);
    assert_claims("As the proud owner of a lamp, you know.", &[("lamp", No)]);
    assert_claims("It comes in a lovely coral.", &[("coral", No)]);
    assert_claims("This red beauty is yours.", &[("red", No)]);
    assert_claims("Check out the Quillon No. 9 Lamp.", &[("Quillon No. 9 Lamp", No)]);
    assert_claims("Our suggestion: the Quillon No. 9 Lamp.", &[("Quillon No. 9 Lamp", No)]);
}

#[test]
fn purchases_are_looked_for_in_the_history() {
    assert_claims("You bought a stapler last year.", &[("stapler", Yes)]);
    assert_claims("After buying the Halden stapler, try this.", &[("Halden stapler", Yes)]);
    assert_claims("You bought a red stapler.", &[("red stapler", No)]);
    assert_claims("Your purchase of a hole punch was wise.", &[("hole punch", No)]);
    assert_claims("It suits the notebook you already own.", &[("notebook", Yes)]);
    assert_claims("You bought a stapler and a lamp.", &[("stapler", Yes), ("lamp", No)]);
    assert_claims("You bought time and have a choice.", &[]);
    assert_claims(
        "This shopper bought the blue Kestrel gel pen for school.",
        &[("blue Kestrel gel pen", Yes)],
    );
    assert_claims("You bought a sturdy stapler.", &[("sturdy stapler", Open)]);
    assert_claims("The user bought the book.", &[("book", Open)]);
    assert_claims("Fans of the Order of the Phoenix save by buying refills.", &[]);
}

#[test]
fn product_names_are_looked_for_in_the_titles() {
    assert_claims("Try the Kestrel GripLine Gel Pen.", &[("Kestrel GripLine Gel Pen", Yes)]);
    assert_claims("Try the Halden Max Lamp.", &[("Halden Max Lamp", No)]);
    assert_claims("“Halden Heavy Duty Stapler” was yours.", &[("Halden Heavy Duty Stapler", Yes)]);
    assert_claims(
        "It looks onto the Golden Gate Bridge and the Black Dagger Series.",
        &[("Golden Gate Bridge", Open), ("Black Dagger Series", Open)],
    );
    assert_claims("The Quillon Max Lamp is our pick.", &[("Quillon Max Lamp", No)]);
    assert_claims("He called it “a pen for life” at the New York office.", &[]);
}

#[test]
fn an_indicative_field_supports_and_never_contradicts() {
    let mut facts = facts();
    facts.colours = Some(Known::indicative(vec!["navy".into()]));
    facts.history = Some(Known::indicative(vec!["Halden Stapler".into()]));
    let text = "You bought a lamp and a stapler. This one is a red pen in navy.";
    let expected = [("lamp", Open), ("stapler", Yes), ("red", Open), ("navy", Yes)];
    assert_eq!(claims_of(text, &facts), expected.map(|(words, verdict)| (words.to_owned(), verdict)));
}

#[test]
fn without_facts_nothing_is_decided() {
    let text = "The red Halden pen costs $5, and you bought a 3 inch lamp. A 12-pack.";
    let grounding = Grounder::with_brands(&["Halden"]).check(text, &Facts::default());
    assert!(grounding.claims.len() >= 5, "{grounding:?}");
    assert_eq!(grounding.count(Open), grounding.claims.len(), "{grounding:?}");
    assert!(grounding.claims.iter().all(|claim| claim.field.is_none()));
}

#[test]
fn each_verdict_names_the_field_that_decided() {
    let grounding = Grounder::new().check("A blue pen for $9 in a pack of 12.", &facts());
    let fields: Vec<_> = grounding.claims.iter().map(|claim| claim.field).collect();
    assert_eq!(fields, [Some(Field::Colours), Some(Field::Price), Some(Field::Count)]);
}

#[test]
fn veracity_is_a_measurement_like_any_other() {
    let texts = ["It costs $12.99.", "It costs $5. It is a blue pen.", "It is nice.", "It costs $7."];
    let groundings: Vec<_> = texts.iter().map(|text| Grounder::new().check(text, &facts())).collect();
    let measured = veracity(&groundings).unwrap();
    let score = measured.score();
    assert_eq!((score.supported, score.contradicted, score.veracity), (2, 2, 0.5));
    let interval = measured.interval(&Bootstrap::seeded(1)).unwrap();
    assert!(interval.low < 0.5 && 0.5 < interval.high);
    assert!(matches!(veracity(&[]), Err(Error::Empty)));
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_and_spans_lie_on_characters(
        text in "(\\PC|[$0-9 .,-]|you bought a | by | in\\.? ?| pack of |\"|the ){0,40}",
    ) {
        let grounding = Grounder::with_brands(&["Halden", ""]).check(&text, &facts());
        let mut end = 0;
        for claim in &grounding.claims {
            proptest::prop_assert!(!text[claim.claim.span.clone()].is_empty());
            proptest::prop_assert!(claim.claim.span.start >= end, "claims overlap");
            end = claim.claim.span.end;
        }
    }
}
