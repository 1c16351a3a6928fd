//! Grounding on the synthetic world with planted false facts: precision and recall of contradicted claims.
//!
//! ```text
//! cargo test -p regen-examples --test grounding -- --nocapture
//! ```

use rand::RngExt;
use rand::SeedableRng;
use regen_data::synthetic::SyntheticConfig;
use regen_metrics::Bootstrap;
use regen_metrics::grounding::{Facts, Grounder, Known, Verdict, veracity};
use regen_torch::seed::ChaCha8Rng;

/// Colours that nobody takes for one another stand in different groups.
const GROUPS: [&[&str]; 5] = [
    &["crimson", "maroon"],
    &["teal", "turquoise", "navy", "olive"],
    &["charcoal", "silver", "ivory"],
    &["lavender", "pink"],
    &["amber"],
];

fn another_colour(colour: &str, rng: &mut ChaCha8Rng) -> &'static str {
    let others: Vec<&str> = GROUPS
        .iter()
        .filter(|group| !group.contains(&colour))
        .flat_map(|group| group.iter().copied())
        .collect();
    others[rng.random_range(0..others.len())]
}

#[test]
fn planted_brands_and_colours_are_contradicted_and_true_ones_are_not() {
    let config = SyntheticConfig { users: 600, items: 400, ..SyntheticConfig::default() };
    let world = config.generate().unwrap();
    let items = &world.truth.items;
    let brands: Vec<&str> = items.iter().map(|item| item.brand_name()).collect();
    let grounder = Grounder::with_brands(&brands);
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let (mut planted, mut found, mut reported, mut right) = (0, 0, 0, 0);
    let mut checked = Vec::new();
    for narrative in &world.dataset.narratives {
        let Some(item) = narrative.item else { continue };
        let truth = &items[item.index()];
        let metadata = world.dataset.catalogue[item.index()].clone().unwrap();
        let mut text = narrative.text.clone();
        let mut falsehoods: Vec<String> = Vec::new();
        // The first mention is the item's; a favourite colour comes later.
        if rng.random_bool(0.35) {
            let brand = brands[rng.random_range(0..brands.len())];
            if brand != truth.brand_name() && text.contains(truth.brand_name()) {
                text = text.replacen(truth.brand_name(), brand, 1);
                falsehoods.push(brand.to_owned());
            }
        }
        if rng.random_bool(0.35) && text.contains(truth.colour_name()) {
            let colour = another_colour(truth.colour_name(), &mut rng);
            text = text.replacen(truth.colour_name(), colour, 1);
            falsehoods.push(colour.to_owned());
        }
        let history = world.dataset.interactions.iter().filter(|bought| bought.user == narrative.user);
        let titles = history
            .filter_map(|bought| world.dataset.catalogue[bought.item.index()].as_ref()?.title.clone())
            .collect();
        let facts = Facts {
            title: metadata.title.map(Known::authoritative),
            brand: metadata.brand.map(Known::authoritative),
            colours: Some(Known::authoritative(vec![truth.colour_name().to_owned()])),
            price: metadata.price.map(Known::authoritative),
            // All purchases of this world are known, so a purchase that is not among them is a false one.
            history: Some(Known::authoritative(titles)),
            ..Facts::default()
        };
        let grounding = grounder.check(&text, &facts);
        let contradicted: Vec<&str> = grounding
            .claims
            .iter()
            .filter(|claim| claim.verdict == Verdict::Contradicted)
            .map(|claim| &text[claim.claim.span.clone()])
            .collect();
        planted += falsehoods.len();
        found +=
            falsehoods.iter().filter(|words| contradicted.iter().any(|claim| claim.contains(*words))).count();
        reported += contradicted.len();
        right += contradicted
            .iter()
            .filter(|claim| falsehoods.iter().any(|words| claim.contains(words.as_str())))
            .count();
        checked.push(grounding);
    }
    let (precision, recall) = (right as f64 / reported as f64, found as f64 / planted as f64);
    let truthful = veracity(&checked).unwrap();
    let interval = truthful.interval(&Bootstrap::seeded(3)).unwrap();
    println!(
        "{} narratives, {planted} false facts: precision {precision:.4} ({right}/{reported}), recall {recall:.4} \
         ({found}/{planted}); veracity {:.3} ({:.3} to {:.3})",
        checked.len(),
        truthful.value(),
        interval.low,
        interval.high
    );
    assert!(planted > 500, "too few planted facts: {planted}");
    assert!(precision >= 0.95 && recall >= 0.95, "precision {precision}, recall {recall}");
}
