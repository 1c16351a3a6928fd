//! What a report says of soft tokens: whether they are read, what each side is worth, who makes them, and which words they lie near.

use regen_narrator::{Control, SideLosses, Withheld};

use super::attribution::Measure;
use super::claims::{NOTHING, Verdict, reads};
use super::document::{Block, Entry};
use super::findings::{Setting, Variant};
use super::pooled::Pooled;
use super::reading::Cost;
use super::tables::{chance, percent, show, table};
use crate::controls::in_words;
use crate::report::charts;
use crate::scores::{METRIC_NAMES, METRICS};

/// All of it for one setting.
pub(super) fn blocks(setting: &Setting) -> Vec<Block> {
    [controls(setting), worths(setting), kinds(setting), shares(setting), nearest(setting)].concat()
}

fn controls(setting: &Setting) -> Vec<Block> {
    let mut rows: Vec<Vec<Entry>> = Vec::new();
    for variant in &setting.variants {
        let Some(loss) = &variant.loss else { continue };
        for (index, Cost { control, added, p_value, p_holm }) in variant.costs.iter().enumerate() {
            let (name, plain) = match index {
                0 => (variant.name.clone(), format!("{:.3}", loss.value)),
                _ => Default::default(),
            };
            let interval = added.between(|end| format!("{end:+.3}"));
            rows.push(vec![
                name.into(),
                plain.into(),
                in_words(*control).into(),
                Entry::with(format!("{:+.3}", added.value), interval),
                chance(*p_value).into(),
                chance(*p_holm).into(),
            ]);
        }
    }
    if rows.is_empty() {
        return Vec::new();
    }
    let mut blocks = vec![
        Block::Heading(3, "Are the soft tokens read?".to_owned()),
        table(&["arm", "loss", "change", "adds", "p", "p (Holm, all controls)"], rows),
        Block::Note(
            "Loss on the test narratives, nats a token, and what it costs when every prompt is given the items of another \
             user (with how many they are), or one side of every item is taken away. A model that ignored its soft tokens would lose \
             nothing."
                .to_owned(),
        ),
    ];
    let ignored = |variant: &&Variant| matches!(reads(variant), Some((Verdict::DoesNotHoldHere, _)));
    for variant in setting.variants.iter().filter(ignored) {
        blocks.push(Block::Text(format!(
            "FLAGGED: {} ignores what its soft tokens say. Another user's items surely cost it less than {NOTHING} nats a token, so what \
             it writes does not follow from the items. (Where a missing side costs something all the same, it is the gap that is noticed.)",
            variant.name
        )));
    }
    blocks.extend(controlled(setting));
    blocks
}

/// What becomes of narratives that are written under controls.
fn controlled(setting: &Setting) -> Vec<Block> {
    let mut rows: Vec<Vec<Entry>> = Vec::new();
    let mut counts: Vec<String> = Vec::new();
    for variant in &setting.variants {
        for (index, of_control) in variant.controlled.chunk_by(|a, b| a.control == b.control).enumerate() {
            let Some(first) = of_control.first() else { continue };
            let mut row: Vec<Entry> =
                vec![if index == 0 { variant.name.clone() } else { String::new() }.into()];
            row.push(in_words(first.control).into());
            for score in of_control {
                let metric = METRICS.iter().position(|&name| name == score.metric).unwrap_or(0);
                let digits = if metric == 0 { 2 } else { 4 };
                let change = &score.change;
                row.push(Entry::with(
                    format!("{:+.digits$}", change.value),
                    format!(
                        "{}; of {}; p {} (Holm)",
                        change.between(|end| format!("{end:+.digits$}")),
                        show(metric, score.values[0]),
                        chance(score.p_holm)
                    ),
                ));
            }
            rows.push(row);
            let count = format!("{} narratives of {} users", first.narratives, first.users);
            if !counts.contains(&count) {
                counts.push(count);
            }
        }
    }
    if rows.is_empty() {
        return Vec::new();
    }
    vec![
        table(&[&["arm", "change"][..], &METRIC_NAMES].concat(), rows),
        Block::Note(format!(
            "The same for what is written: by how much the scores change on {} (all seeds together; the users were drawn, and come with \
             all their test narratives), against what the arm wrote for these as it is. p values are corrected together with those of the \
             losses.",
            counts.join(" or ")
        )),
    ]
}

/// What each side saves, nats a token, from what it costs to take away either and both.
fn side_worth(variant: &Variant) -> Option<[f64; 2]> {
    let without = |withheld| {
        let found = variant.costs.iter().find(|cost| cost.control == Control::Without(withheld));
        found.map(|cost| cost.added.value)
    };
    // Costs are losses less that of both.
    let (cf, semantic) = (without(Withheld::Semantic)?, without(Withheld::Cf)?);
    Some(SideLosses { neither: without(Withheld::Vectors)?, cf, semantic, both: 0.0 }.shapley())
}

fn worths(setting: &Setting) -> Vec<Block> {
    let row = |variant: &Variant| {
        let [cf, semantic] = side_worth(variant)?;
        let share = if cf + semantic > 0.0 { percent(cf / (cf + semantic)) } else { "–".to_owned() };
        Some(vec![
            variant.name.clone().into(),
            format!("{cf:+.3}").into(),
            format!("{semantic:+.3}").into(),
            share.into(),
        ])
    };
    let rows: Vec<Vec<Entry>> = setting.variants.iter().filter_map(row).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    vec![
        Block::Heading(3, "What is each side worth?".to_owned()),
        table(&["arm", "collaborative", "semantic", "collaborative share"], rows),
        Block::Note(
            "Nats a token that a side saves: its Shapley value for the loss, the mean of being added first and being added \
             last. The two add up to what both save together. Defined for every adapter."
                .to_owned(),
        ),
    ]
}

fn kinds(setting: &Setting) -> Vec<Block> {
    let worth = |worth: &Pooled| {
        let interval = worth.between(|end| format!("{end:+.3}"));
        Entry::with(format!("{:+.3}", worth.value), interval)
    };
    let mut rows: Vec<Vec<Entry>> = Vec::new();
    // With one kind the table would say again what stands above it.
    for variant in setting.variants.iter().filter(|variant| variant.kinds.len() > 1) {
        for kind in &variant.kinds {
            let (cf, both) = (kind.cf.value, kind.cf.value + kind.semantic.value);
            rows.push(vec![
                variant.name.clone().into(),
                kind.kind.replace('_', " ").into(),
                kind.narratives.to_string().into(),
                worth(&kind.cf),
                worth(&kind.semantic),
                if both > 0.0 { percent(cf / both) } else { "–".to_owned() }.into(),
                kind.norm_share.map_or("–".to_owned(), percent).into(),
            ]);
        }
    }
    if rows.is_empty() {
        return Vec::new();
    }
    vec![
        Block::Heading(3, "And to each kind of narrative?".to_owned()),
        table(
            &[
                "arm",
                "kind",
                "narratives",
                "collaborative",
                "semantic",
                "collaborative share",
                "collaborative share of the norms",
            ],
            rows,
        ),
        Block::Note(
            "As above, over the narratives of one kind. A projection's soft token is the same for every kind, so its norms differ \
             by the items that a kind is given alone."
                .to_owned(),
        ),
    ]
}

fn shares(setting: &Setting) -> Vec<Block> {
    let mut blocks = Vec::new();
    let heading = || Block::Heading(3, "Who makes the soft tokens?".to_owned());
    for variant in &setting.variants {
        if blocks.is_empty() && (variant.shares.is_some() || !variant.shares_missing.is_empty()) {
            blocks.push(heading());
        }
        for (cell, why) in &variant.shares_missing {
            blocks.push(Block::Text(format!(
                "The attribution of the cell {cell} is missing: {why}. What each side is worth to it, above, is defined for every adapter."
            )));
        }
        let Some((shares, per_seed)) = &variant.shares else { continue };
        let (label, how) = match shares.measure {
            Measure::Norms => ("share of W₁eᵢ in the norms of W₁eᵢ and W₂eₛ", String::new()),
            Measure::IntegratedGradients => (
                "share of the collaborative side in the norms of both sides' integrated gradients",
                format!(
                    " By integrated gradients, which miss the change that they add up to by at most {:.0e}.",
                    shares.residual
                ),
            ),
        };
        let seeds: Vec<String> = per_seed.iter().map(|share| format!("{share:.3}")).collect();
        let tenths: Vec<String> = shares.by_popularity.iter().map(|share| format!("{share:.3}")).collect();
        blocks.push(Block::Figure(
            charts::counted_histogram(&shares.histogram, shares.mean, label),
            format!(
                "{}: mean share of the collaborative side {:.3} over {} soft tokens of test users (by seed {}); from the least \
                 bought tenth to the most bought: {}.{how}",
                variant.name,
                shares.mean,
                shares.tokens,
                seeds.join(", "),
                tenths.join(", ")
            ),
        ));
    }
    blocks
}

/// Which words the soft tokens lie near.
fn nearest(setting: &Setting) -> Vec<Block> {
    let mut rows: Vec<Vec<Entry>> = Vec::new();
    for variant in &setting.variants {
        let before_last = |place: usize| match variant.nearest.len() - 1 - place {
            0 => "the last".to_owned(),
            ahead => format!("{ahead} before it"),
        };
        for (place, tokens) in variant.nearest.iter().enumerate() {
            let name = if place == 0 { variant.name.clone() } else { String::new() };
            let words: Vec<String> =
                tokens.iter().map(|near| format!("{:?} {:.2}", near.token, near.cosine)).collect();
            rows.push(vec![name.into(), before_last(place).into(), words.join(", ").into()]);
        }
    }
    if rows.is_empty() {
        return Vec::new();
    }
    vec![
        Block::Heading(3, "Which words do soft tokens lie near?".to_owned()),
        table(&["arm", "soft token", "nearest of the vocabulary, with cosines"], rows),
        Block::Note(format!(
            "Of the first seed, the last soft tokens of the prompt of the first test narrative ({}). A soft token need not lie near any \
             word to be read well.",
            setting.nearest_of
        )),
    ]
}
