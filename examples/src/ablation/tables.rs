//! Findings as a report: verdicts first, then setting by setting what they rest on.

use super::across::overview;
use super::claims::difference;
use super::co_training::RANKING;
use super::cold::PartScores;
use super::contrasts::{Asks, Contrast};
use super::document::{Block, Document, Entry};
use super::enough::{LEAST_USERS, too_few};
use super::findings::{Findings, Setting, Variant};
use super::plan::Plan;
use super::pooled::Pooled;
use super::published::Published;
use super::records::Identified;
use super::soft_tokens;
use crate::report::charts::{self, Bar, COLOURS, Series};
use crate::scores::{METRIC_NAMES, METRICS};

impl Findings {
    /// The report. `plan_text` is the plan as it was written; `published` are numbers of others to stand in it.
    pub fn document(&self, plan: &Plan, plan_text: &str, published: Option<&Published>) -> Document {
        let mut blocks = Vec::new();
        if !self.question.is_empty() {
            blocks.push(Block::Text(self.question.clone()));
        }
        let seeds: Vec<String> = self.seeds.iter().map(u64::to_string).collect();
        blocks.push(Block::Note(format!(
            "Seeds {}. Every number is over the test narratives of all seeds together; intervals (95 %) and p values come from \
             a bootstrap that draws seeds, and users within seeds. With few seeds they are a lower bound of what is not known. Of fewer \
             than {LEAST_USERS} test users none are given.",
            seeds.join(", ")
        )));
        blocks.push(Block::Heading(2, "Claims".to_owned()));
        for same in self.claims.chunk_by(|a, b| a.claim == b.claim) {
            blocks.extend(same.first().map(|claim| Block::Text(claim.claim.clone())));
            let rows = same.iter().map(|claim| {
                vec![claim.on.clone().into(), Entry::with(claim.verdict.as_str(), claim.because.clone())]
            });
            blocks.push(table(&["on", "verdict"], rows.collect()));
        }
        blocks.extend(overview(&self.settings));
        for setting in &self.settings {
            blocks.extend(setting_blocks(setting));
        }
        blocks.extend(published.iter().flat_map(|published| published.blocks()));
        blocks.push(Block::Heading(2, "How to reproduce it".to_owned()));
        blocks.push(Block::Verbatim(plan_text.trim().to_owned()));
        blocks.push(Block::Text("What it was made from, by SHA-256:".to_owned()));
        blocks.push(Block::Verbatim(self.hashes().join("\n")));
        let cells = plan.cells().len();
        blocks.push(Block::Note(format!(
            "regen {}, {cells} cells; the records of all cells, with their settings and texts, are beside this page. The same plan, \
             data, encoder and number of threads give the same numbers on the CPU.",
            env!("CARGO_PKG_VERSION")
        )));
        Document { title: self.title.clone(), blocks }
    }
}

impl Findings {
    /// Everything that the findings follow from, a line each.
    fn hashes(&self) -> Vec<String> {
        let mut lines = vec![format!("plan  {}", self.plan_sha256)];
        lines.extend(
            self.encoder.iter().map(|encoder| format!("encoder {}  {}", encoder.name, encoder.sha256)),
        );
        for setting in &self.settings {
            if let Some(sha256) = &setting.language_model_sha256 {
                lines.push(format!("language model {}  {sha256}", setting.language_model));
            }
            let reviews = setting.reviews_sha256.iter();
            lines.extend(reviews.map(|sha256| format!("reviews {}  {sha256}", setting.data)));
            for world in &setting.worlds {
                lines.push(format!("data {}, seed {}  {}", setting.data, world.seed, world.data_sha256));
                let split = format!("split {}, seed {}", setting.data, world.seed);
                lines.push(format!("{split}  {}", world.split));
            }
        }
        // Settings share data.
        let mut all: Vec<String> = Vec::new();
        lines.into_iter().for_each(|line| {
            if !all.contains(&line) {
                all.push(line);
            }
        });
        all
    }
}

pub(super) fn table(columns: &[&str], rows: Vec<Vec<Entry>>) -> Block {
    Block::Table(columns.iter().map(|&column| column.to_owned()).collect(), rows)
}

fn setting_blocks(setting: &Setting) -> Vec<Block> {
    let title = format!(
        "{}, histories up to {}, language model {}",
        setting.data, setting.history, setting.language_model
    );
    let mut blocks = vec![Block::Heading(2, title)];
    blocks.extend(setting.remarks.iter().cloned().map(Block::Text));
    if !setting.has_enough_users() {
        blocks.push(Block::Text(format!("NOT ENOUGH DATA: {}.", too_few(setting.test_users))));
    }
    blocks.push(scores(setting));
    // One alone has nothing to stand beside.
    if setting.variants.len() > 1 {
        blocks.extend((0..METRICS.len()).filter_map(|metric| chart(setting, metric)));
    }
    blocks.extend(contrasts(setting));
    blocks.extend(cold(setting));
    blocks.extend(next_item(setting));
    blocks.extend(identity(setting));
    blocks.extend(facts(setting));
    blocks.extend(soft_tokens::blocks(setting));
    blocks.push(Block::Heading(3, "Learning curves".to_owned()));
    blocks.push(curves(setting));
    blocks.push(Block::Heading(3, "Examples".to_owned()));
    blocks.push(Block::Note(
        "Of the first seed: the narrative that fusion (or else the last variant) got best by semantic similarity, one of \
         each quarter, and the worst."
            .to_owned(),
    ));
    for sample in &setting.samples {
        let mut texts = vec![("reference".to_owned(), sample.reference.clone())];
        texts.extend(sample.written.iter().cloned());
        blocks.push(Block::Sample(sample.kind.replace('_', " "), sample.context.clone(), texts));
    }
    blocks.extend(cost(setting));
    blocks
}

/// BLEU is on a scale of 100, the others of 1.
pub(super) fn show(metric: usize, value: f64) -> String {
    if metric == 0 { format!("{value:.2}") } else { format!("{value:.4}") }
}

/// A metric of a finding for people.
pub(super) fn name_of(metric: &'static str) -> &'static str {
    METRICS.iter().position(|&known| known == metric).map_or(metric, |place| METRIC_NAMES[place])
}

/// A p value in three digits; one that they would show as zero is none. A dash where there is none at all.
pub(super) fn chance(p_value: Option<f64>) -> String {
    match p_value {
        None => "–".to_owned(),
        Some(p) if p < 5e-4 => "< 0.001".to_owned(),
        Some(p) => format!("{p:.3}"),
    }
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

pub(super) fn score(metric: usize, pooled: &Pooled) -> Entry {
    let interval = pooled.between(|end| show(metric, end));
    let seeds: Vec<String> = pooled.per_seed.iter().map(|&value| show(metric, value)).collect();
    Entry::with(show(metric, pooled.value), format!("{interval}; by seed {}", seeds.join(", ")))
}

fn scores(setting: &Setting) -> Block {
    let row = |name: &str, scores: &[Pooled; 3]| {
        let mut row = vec![Entry::from(name)];
        row.extend(scores.iter().enumerate().map(|(metric, pooled)| score(metric, pooled)));
        row
    };
    let variants = setting.variants.iter().map(|variant| row(&variant.name, &variant.scores));
    let baselines =
        setting.baselines.iter().filter_map(|baseline| Some(row(&baseline.name, baseline.scores.as_ref()?)));
    table(&[&["arm"][..], &METRIC_NAMES].concat(), variants.chain(baselines).collect())
}

/// What is written of items that the factorisation has not seen.
fn cold(setting: &Setting) -> Vec<Block> {
    let row = |name: &str, about: &str, part: &PartScores| {
        let mut row = vec![Entry::from(name), about.into(), part.narratives.to_string().into()];
        row.extend(part.scores.iter().enumerate().map(|(metric, pooled)| score(metric, pooled)));
        row
    };
    let parts = setting.variants.iter().filter_map(|variant| Some((&variant.name, variant.cold.as_ref()?)));
    let rows: Vec<Vec<Entry>> = parts
        .flat_map(|(name, parts)| [row(name, "cold", &parts.cold), row("", "others", &parts.others)])
        .collect();
    if rows.is_empty() {
        return Vec::new();
    }
    vec![
        Block::Heading(3, "And of items that the factorisation has not seen?".to_owned()),
        table(&[&["arm", "about items", "narratives"][..], &METRIC_NAMES].concat(), rows),
    ]
}

/// Which item is bought next, where that was learned.
fn next_item(setting: &Setting) -> Vec<Block> {
    let row = |name: &str, scores: &[Pooled; 3]| {
        // Shares of 1, as ROUGE-L is.
        let scores = scores.iter().map(|pooled| score(1, pooled));
        std::iter::once(Entry::from(name)).chain(scores).collect::<Vec<_>>()
    };
    let told = || setting.variants.iter().filter_map(|variant| Some((variant, variant.next_item.as_ref()?)));
    let Some((_, first)) = told().next() else { return Vec::new() };
    let mut rows: Vec<Vec<Entry>> =
        told().map(|(variant, told)| row(&variant.name, &told.narrator)).collect();
    rows.push(row("the most bought items", &first.popularity));
    let columns: Vec<&str> = std::iter::once("arm").chain(RANKING.iter().map(|(name, ..)| *name)).collect();
    vec![
        Block::Heading(3, "The next purchase".to_owned()),
        Block::Note(format!(
            "Where the narrated item stands among all items that its user had not bought, told from the history alone; {} \
             test requests. The users are new to the model; intervals draw seeds, and users within seeds.",
            first.requests
        )),
        table(&columns, rows),
    ]
}

/// Nothing where there are no intervals to show.
fn chart(setting: &Setting, metric: usize) -> Option<Block> {
    let bars: Option<Vec<Bar>> = setting
        .variants
        .iter()
        .zip(COLOURS.iter().cycle())
        .map(|(variant, &colour)| {
            let Pooled { value, interval, .. } = &variant.scores[metric];
            let (name, interval) = (crate::report::escape(&variant.name), interval.as_ref()?);
            Some(Bar { name, value: *value, low: interval.low, high: interval.high, colour })
        })
        .collect();
    Some(Block::Figure(charts::intervals(&bars?, METRIC_NAMES[metric]), String::new()))
}

fn contrasts(setting: &Setting) -> Vec<Block> {
    let asked = |asks: Asks| match asks {
        Asks::Fusion => "fusion over the better single arm",
        Asks::OneSingleArm => "fusion over the one single arm that was run so",
        Asks::VectorsBesideText => "vectors beside text",
        Asks::Adapter => "another variant of the arm",
        Asks::Floor => "over the floor",
        Asks::History => "shorter histories",
        Asks::LanguageModel => "another language model",
        Asks::Data => "other data, the same test narratives",
    };
    let row = |contrast: &Contrast| {
        let metric = METRICS.iter().position(|&name| name == contrast.metric).unwrap_or(0);
        let [base, value] = contrast.values;
        let [difference, interval] = difference(contrast);
        vec![
            asked(contrast.asks).into(),
            contrast.variant.clone().into(),
            name_of(contrast.metric).into(),
            Entry::with(show(metric, base), contrast.base.clone()),
            show(metric, value).into(),
            Entry::with(difference, interval),
            chance(contrast.p_value).into(),
            chance(contrast.p_holm).into(),
        ]
    };
    let rows = setting.contrasts.iter().filter(|contrast| contrast.asks != Asks::Floor).map(row);
    let rows: Vec<Vec<Entry>> = rows.collect();
    if rows.is_empty() {
        return Vec::new();
    }
    vec![
        Block::Heading(3, "What adds to what".to_owned()),
        table(
            &["question", "variant", "metric", "base", "variant's value", "difference", "p", "p (Holm)"],
            rows,
        ),
        Block::Note(format!(
            "Holm's correction is for all tests between texts in the report together: those of every setting, and those against texts of \
             other users, which stand with the claims.{}",
            match setting.contrasts.iter().any(|contrast| contrast.asks == Asks::Fusion) {
                true =>
                    " Of fusion the larger p against either single arm counts, since which of them is the better was seen in the same \
                     narratives.",
                false => "",
            }
        )),
    ]
}

fn identity(setting: &Setting) -> Vec<Block> {
    let row = |name: &str, found: Option<Identified>| {
        let found = found?;
        let shares = [found.nearest, found.among_ten, found.states_title];
        Some(std::iter::once(name.into()).chain(shares.map(|share| percent(share).into())).collect())
    };
    let baselines = setting.baselines.iter().map(|baseline| row(&baseline.name, baseline.identity));
    let variants = setting.variants.iter().map(|variant| row(&variant.name, variant.identity));
    let rows: Vec<Vec<Entry>> = baselines.chain(variants).flatten().collect();
    if rows.is_empty() {
        return Vec::new();
    }
    vec![
        Block::Heading(3, "About the right item?".to_owned()),
        table(&["texts of", "own item nearest", "among the ten nearest", "state its title"], rows),
        Block::Note(
            "The embedding of each narrative against those of all item texts; means over seeds.".to_owned(),
        ),
    ]
}

fn facts(setting: &Setting) -> Vec<Block> {
    let row = |variant: &Variant| {
        let facts = variant.facts?;
        Some(vec![variant.name.clone().into(), percent(facts.co_purchase).into(), percent(facts.text).into()])
    };
    let rows: Vec<Vec<Entry>> = setting.variants.iter().filter_map(row).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    vec![
        Block::Heading(3, "Facts told correctly".to_owned()),
        table(&["arm", "known by co-purchase only", "known by text only"], rows),
    ]
}

fn curves(setting: &Setting) -> Block {
    let mut series = Vec::new();
    for (variant, &colour) in setting.variants.iter().zip(COLOURS.iter().cycle()) {
        for (seed, report) in variant.reports.iter().enumerate() {
            series.push(Series {
                name: if seed == 0 { crate::report::escape(&variant.name) } else { String::new() },
                colour,
                dashed: seed > 0,
                points: report.validation.iter().map(|point| (point.step as f64, point.loss)).collect(),
            });
        }
    }
    Block::Figure(
        charts::lines(&series, "updates", "held-out loss (nats per token)"),
        "Loss on the validation users; one line a seed, the first one solid. Losses of arms with text and without are not of \
         the same examples (practice passages) and do not compare."
            .to_owned(),
    )
}

fn cost(setting: &Setting) -> Vec<Block> {
    let row = |variant: &Variant| {
        let [training, writing] = variant.seconds;
        vec![
            variant.name.clone().into(),
            format!("{:.2} M", variant.parameters as f64 / 1e6).into(),
            format!("{training:.0}").into(),
            format!("{writing:.0}").into(),
        ]
    };
    let world = |world: &super::findings::WorldFacts| {
        let ([users, items, interactions], [training, validation, test]) = (world.size, world.narratives);
        vec![
            world.seed.to_string().into(),
            format!("{users}, {items}, {interactions}").into(),
            format!("{training}, {validation}, {test}").into(),
            world.split.chars().take(16).collect::<String>().into(),
            Entry::with(
                "no leak",
                format!(
                    "{} users, {} examples, {} training interactions",
                    world.audit.users, world.audit.examples, world.audit.training_interactions
                ),
            ),
        ]
    };
    vec![
        Block::Heading(3, "Cost".to_owned()),
        table(
            &["arm", "parameters", "seconds of training, mean", "of writing"],
            setting.variants.iter().map(row).collect(),
        ),
        Block::Heading(3, "Data".to_owned()),
        table(
            &[
                "seed",
                "users, items, training interactions",
                "narratives in training, validation, test",
                "split",
                "audit",
            ],
            setting.worlds.iter().map(world).collect(),
        ),
    ]
}
