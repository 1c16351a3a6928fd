//! Tests that the synthetic world is what its documentation says: texts know nothing of the affinity, co-purchases do.

use std::collections::HashMap;

use super::*;
use crate::synthetic::{FactKind, Signal};
use crate::{HistoryConfig, SplitRule, audit_leaks, examples, training_interactions};

fn world() -> SyntheticWorld {
    SyntheticConfig::default().generate().unwrap()
}

/// For each item, the counts of its neighbours: items that the same users bought.
fn neighbours(data: &Dataset) -> Vec<HashMap<usize, usize>> {
    let mut neighbours = vec![HashMap::new(); data.items.len()];
    for timeline in data.timelines() {
        let items: Vec<usize> = timeline.iter().map(|&at| data.interactions[at].item.index()).collect();
        for &one in &items {
            for &other in items.iter().filter(|&&other| other != one) {
                *neighbours[one].entry(other).or_insert(0) += 1;
            }
        }
    }
    neighbours
}

/// The share of the items whose value is the commonest among their neighbours.
fn voted(truth: &GroundTruth, neighbours: &[HashMap<usize, usize>], value: fn(&ItemTruth) -> usize) -> f64 {
    let right = neighbours.iter().enumerate().filter(|(item, neighbours)| {
        let mut votes = [0usize; 32];
        for (&other, &count) in *neighbours {
            votes[value(&truth.items[other])] += count;
        }
        let winner = (0..votes.len()).max_by_key(|&value| votes[value]).unwrap();
        winner == value(&truth.items[*item])
    });
    right.count() as f64 / truth.items.len() as f64
}

#[test]
fn co_purchases_reveal_the_affinity_but_neither_brand_nor_material() {
    let SyntheticWorld { dataset, truth } = world();
    let neighbours = neighbours(&dataset);
    let share = |value| voted(&truth, &neighbours, value);
    let (affinity, brand, material) =
        (share(|item| item.affinity), share(|item| item.brand), share(|item| item.material));
    assert!(affinity > 0.97, "affinity {affinity}");
    assert!(brand < 2.0 / 15.0, "brand {brand}, chance is 1/15");
    assert!(material < 2.0 / 8.0, "material {material}, chance is 1/8");
}

#[test]
fn texts_tell_nothing_of_the_affinity() {
    // A naive Bayes classifier over the words of the text, judged on items that it has not seen.
    let SyntheticWorld { dataset, truth } = world();
    let texts = dataset.item_texts();
    let words = |item: usize| -> Vec<String> {
        let text = texts[item].as_ref().unwrap().to_lowercase();
        text.split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let accuracy = |value: fn(&ItemTruth) -> usize, classes: usize| {
        let mut counts: Vec<HashMap<String, f64>> = vec![HashMap::new(); classes];
        let mut totals = vec![0.0; classes];
        for item in (0..truth.items.len()).filter(|item| item % 5 != 0) {
            let class = value(&truth.items[item]);
            for word in words(item) {
                *counts[class].entry(word).or_insert(0.0) += 1.0;
                totals[class] += 1.0;
            }
        }
        let judged: Vec<usize> = (0..truth.items.len()).step_by(5).collect();
        let right = judged.iter().filter(|&&item| {
            let score = |class: usize| -> f64 {
                let likelihood = |word: &String| {
                    ((counts[class].get(word).unwrap_or(&0.0) + 0.1) / (totals[class] + 30.0)).ln()
                };
                words(item).iter().map(likelihood).sum()
            };
            let best = (0..classes).max_by(|&a, &b| score(a).total_cmp(&score(b))).unwrap();
            best == value(&truth.items[item])
        });
        right.count() as f64 / judged.len() as f64
    };
    let affinity = accuracy(|item| item.affinity, 12);
    // 200 items at 1/12: 0.083, standard deviation 0.02.
    assert!(affinity < 0.15, "affinity {affinity}, chance is 1/12");
    let brand = accuracy(|item| item.brand, 15);
    assert!(brand > 0.8, "the same classifier finds what texts do say: brand {brand}");
    for affinity in truth.items.iter().map(ItemTruth::affinity_name) {
        assert!(!texts[0].as_ref().unwrap().to_lowercase().contains(affinity));
    }
}

#[test]
fn the_default_world_has_the_promised_size() {
    let SyntheticWorld { dataset, truth } = world();
    assert!(truth.fits(&dataset));
    assert_eq!((dataset.users.len(), dataset.items.len(), dataset.narratives.len()), (2_000, 1_000, 6_000));
    let lengths: Vec<usize> = dataset.timelines().iter().map(Vec::len).collect();
    let mean = lengths.iter().sum::<usize>() as f64 / 2_000.0;
    assert!((15.0..=20.0).contains(&mean), "mean history {mean}");
    assert_eq!(*lengths.iter().max().unwrap(), 50);
    assert_eq!(*lengths.iter().min().unwrap(), 5);
    let mut per_item = vec![0; 1_000];
    for purchase in &dataset.interactions {
        per_item[purchase.item.index()] += 1;
    }
    assert!(per_item.iter().all(|&count| count > 0), "every item is bought");
}

#[test]
fn narratives_state_their_facts_in_15_to_45_words() {
    let SyntheticWorld { dataset, truth } = world();
    for (narrative, facts) in dataset.narratives.iter().zip(&truth.facts) {
        let words = narrative.text.split_whitespace().count();
        assert!((15..=45).contains(&words), "{words} words: {}", narrative.text);
        assert!(!narrative.text.contains(['{', '}']) && !narrative.text.contains("  "), "{}", narrative.text);
        assert!(!narrative.text.contains(" a a") || narrative.text.contains(" a al"), "{}", narrative.text);
        for fact in facts {
            assert!(fact.is_stated_in(&narrative.text), "{fact:?} in {}", narrative.text);
        }
        assert!(facts.iter().any(|fact| fact.signal() == Signal::CoPurchase));
        assert!(facts.iter().any(|fact| fact.signal() == Signal::Text));
    }
}

#[test]
fn facts_are_those_of_target_and_history() {
    let SyntheticWorld { dataset, truth } = world();
    let made = examples(&dataset, &HistoryConfig::default()).unwrap();
    for (example, facts) in made.iter().zip(&truth.facts) {
        let words = |kind| facts.iter().find(|fact| fact.kind == kind).map(|fact| fact.words);
        if let Some(target) = example.target {
            let target = &truth.items[target.index()];
            assert_eq!(words(FactKind::Brand), Some(target.brand_name()));
            assert_eq!(words(FactKind::Affinity), Some(target.affinity_name()));
        }
        if let Some(favourite) = words(FactKind::FavouriteColour) {
            let count = |colour: &str| {
                example
                    .history
                    .iter()
                    .filter(|item| truth.items[item.index()].colour_name() == colour)
                    .count()
            };
            let most = COLOURS.iter().map(|colour| count(colour)).max().unwrap();
            assert_eq!(count(favourite), most);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_world_and_more_users_leave_the_first_alone() {
    let config = SyntheticConfig { users: 60, items: 150, ..Default::default() };
    let one = config.generate().unwrap();
    assert_eq!(one, config.generate().unwrap());
    assert_ne!(one, SyntheticConfig { seed: 1, ..config.clone() }.generate().unwrap());
    let more = SyntheticConfig { users: 90, ..config }.generate().unwrap();
    assert_eq!(more.dataset.narratives[..180], one.dataset.narratives[..]);
    assert_eq!(more.dataset.catalogue, one.dataset.catalogue);
}

#[test]
fn the_whole_way_to_audited_examples_is_free_of_leaks() {
    let data = SyntheticConfig { users: 200, items: 150, ..Default::default() }.generate().unwrap().dataset;
    let split = SplitRule::UserDisjoint { validation: 0.1, test: 0.1 }.split(&data, 7).unwrap();
    let made = examples(&data, &HistoryConfig::default()).unwrap();
    let wals = training_interactions(&data, &split);
    let audit = audit_leaks(&data, &split, &made, &wals).unwrap();
    assert_eq!((audit.users, audit.examples), (200, 600));
    assert!(made.iter().all(|example| !example.history.is_empty()));
}

#[test]
fn several_targets_a_user_are_the_last_purchases() {
    let config = SyntheticConfig { users: 20, items: 150, targets_per_user: 3, ..Default::default() };
    let data = config.generate().unwrap().dataset;
    assert_eq!(data.narratives.len(), 20 * (3 + 3 + 1));
}

#[test]
fn numbers_outside_their_range_are_refused_by_name() {
    let base = SyntheticConfig::default;
    let check = |config: SyntheticConfig, name: &str| match config.generate() {
        Err(Error::InvalidConfig { field, .. }) => assert_eq!(field, name),
        other => panic!("{name}: {other:?}"),
    };
    check(SyntheticConfig { users: 0, ..base() }, "users");
    check(SyntheticConfig { items: 119, ..base() }, "items");
    check(SyntheticConfig { affinities: 13, ..base() }, "affinities");
    check(SyntheticConfig { min_history: 1, ..base() }, "min_history");
    check(SyntheticConfig { mean_history: f64::NAN, ..base() }, "mean_history");
    check(SyntheticConfig { affinity_share: 1.1, ..base() }, "affinity_share");
    check(SyntheticConfig { taste: 0.5, ..base() }, "taste");
    check(SyntheticConfig { kinds: vec![NarrativeKind::Critique], ..base() }, "kinds");
}

#[test]
fn a_stream_gives_the_purchases_of_the_world_without_keeping_them() {
    let config = SyntheticConfig { users: 40, items: 150, ..Default::default() };
    let world = config.generate().unwrap();
    let (mut streamed, mut users) = (Vec::new(), Vec::new());
    let items = config
        .stream(|user| {
            let id = world.dataset.users.get(&user.name).unwrap();
            streamed.extend(user.purchases.iter().map(|&(item, time)| (id, item, time)));
            users.push(user.truth);
            Ok(())
        })
        .unwrap();
    let kept = world.dataset.interactions.iter().map(|one| (one.user, one.item.index(), one.time.unwrap()));
    assert!(kept.eq(streamed));
    assert_eq!((items, users), (world.truth.items, world.truth.users));
}

#[test]
fn density_is_kept_about() {
    for wanted in [0.01, 0.05, 0.2] {
        let config =
            SyntheticConfig { users: 400, items: 600, ..Default::default() }.with_density(wanted).unwrap();
        let mut purchases = 0;
        config
            .stream(|user| {
                purchases += user.purchases.len();
                Ok(())
            })
            .unwrap();
        let density = purchases as f64 / (400.0 * 600.0);
        assert!((density / wanted - 1.0).abs() < 0.15, "{density} instead of {wanted}");
    }
    assert!(SyntheticConfig::default().with_density(0.9).is_err());
}

#[test]
fn the_default_world_never_changes() {
    // Recorded results rest on it. FNV-1a over every purchase and text of the quickstart's items and users.
    let data = SyntheticConfig { seed: 7, ..Default::default() }.generate().unwrap().dataset;
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for &byte in bytes {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    };
    for one in &data.interactions {
        add(format!("{} {} {:?};", one.user.index(), one.item.index(), one.time).as_bytes());
    }
    data.narratives.iter().for_each(|one| add(one.text.as_bytes()));
    data.item_texts().iter().flatten().for_each(|text| add(text.as_bytes()));
    assert_eq!(format!("{hash:016x}"), "ff1457d96797c8cb");
}

#[test]
fn narratives_tell_what_the_mixture_asks_for() {
    for (mixture, co_purchase) in [
        (Mixture { co_purchase: 1.0, text: 0.0, both: 0.0 }, 1.0),
        (Mixture { co_purchase: 3.0, text: 1.0, both: 0.0 }, 0.75),
        (Mixture { co_purchase: 1.0, text: 1.0, both: 2.0 }, 0.25),
        (Mixture { co_purchase: 0.0, text: 5.0, both: 0.0 }, 0.0),
    ] {
        let kinds = vec![NarrativeKind::PurchaseReason, NarrativeKind::EndorsementShort];
        let config =
            SyntheticConfig { users: 300, items: 150, kinds, mixture: Some(mixture), ..Default::default() };
        let SyntheticWorld { dataset, truth } = config.generate().unwrap();
        let mut told = [0usize; 2];
        for (narrative, facts) in dataset.narratives.iter().zip(&truth.facts) {
            let words = narrative.text.split_whitespace().count();
            assert!((20..=45).contains(&words), "{words} words: {}", narrative.text);
            assert!(!narrative.text.contains(['{', '}']), "{}", narrative.text);
            assert!(facts.iter().all(|fact| fact.is_stated_in(&narrative.text)), "{}", narrative.text);
            // Clauses of the affinity are the only ones with a place or an activity in them.
            let clauses = narrative.text.split(", and ");
            let hidden = AFFINITIES.iter().flat_map(|affinity| [affinity.place, affinity.activity]);
            let hidden: Vec<&str> = hidden.collect();
            for clause in clauses {
                told[0] += usize::from(hidden.iter().any(|words| clause.contains(words)));
                told[1] += 1;
            }
        }
        let share = told[0] as f64 / told[1] as f64;
        // 2,400 clauses: a standard deviation of at most 0.01.
        assert!((share - co_purchase).abs() < 0.04, "{mixture:?}: {share}");
        assert_eq!(told[1], 4 * dataset.narratives.len());
    }
    let refused = [(-1.0, 1.0), (0.0, 0.0), (f64::NAN, 1.0)];
    for (co_purchase, text) in refused {
        let mixture = Some(Mixture { co_purchase, text, both: 0.0 });
        let config = SyntheticConfig { mixture, ..Default::default() };
        assert!(matches!(config.generate(), Err(Error::InvalidConfig { field: "mixture", .. })));
    }
}

#[test]
#[ignore = "a minute: cargo test --release -p regen-data --lib ten_million -- --ignored"]
fn ten_million_purchases_are_streamed_in_bounded_memory() {
    let config = SyntheticConfig { users: 600_000, items: 2_000, ..Default::default() };
    let (mut purchases, mut users) = (0usize, 0usize);
    config
        .stream(|user| {
            users += 1;
            purchases += user.purchases.len();
            Ok(())
        })
        .unwrap();
    assert_eq!(users, 600_000);
    assert!(purchases > 10_000_000, "{purchases}");
    // The most that this process ever held, in KiB.
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 64 << 10, "{peak} KiB for {purchases} purchases");
}
