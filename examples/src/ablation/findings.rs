//! What the cells of an experiment hold together: scores pooled over seeds with intervals, tests between variants, what
//! the soft tokens are worth, whose norm they have, what it cost.

use anyhow::{Context, Result};
use regen_data::LeakAudit;
use regen_fusion::{AdapterKind, HiddenActivation};
use regen_metrics::{Bootstrap, holm};
use regen_narrator::{NearToken, TrainReport};
use serde::Serialize;

use super::across::{self, Tested};
use super::attribution::{BINS, Shares};
use super::cells::{Cell, blocks};
use super::claims::{self, Claim};
use super::co_training::NextItemScores;
use super::cold::{ColdScores, ColdVectors};
use super::content::EncoderFacts;
use super::contrasts::{Contrast, contrasts, tests};
use super::enough::distinct_users;
use super::kinds::{KindWorth, worth_by_kind};
use super::plan::Plan;
use super::pooled::{Pooled, Runs, measure, pooled_scores, same_users};
use super::reading::{ControlledScore, Cost, controlled, costs};
use super::records::{CellRecord, Identified, WorldRecord, Written};
use crate::report::FactShare;

/// Everything that an experiment found.
#[derive(Debug, Clone, Serialize)]
pub struct Findings {
    /// What it is called.
    pub title: String,
    /// What was asked.
    pub question: String,
    /// SHA-256 of the plan's file.
    pub plan_sha256: String,
    /// The sentence encoder.
    pub encoder: Option<EncoderFacts>,
    /// How many seeds each number is pooled over.
    pub seeds: Vec<u64>,
    /// The paper's claims, each with a verdict.
    pub claims: Vec<Claim>,
    /// Data set, history and language model by data set, history and language model.
    pub settings: Vec<Setting>,
}

/// All that was run on one data set with one history length and one language model.
#[derive(Debug, Clone, Serialize)]
pub struct Setting {
    /// Name of the data set.
    pub data: String,
    /// Longest history.
    pub history: usize,
    /// Preset of the language model, or its folder.
    pub language_model: String,
    /// SHA-256 of what the folder holds, where it is one.
    pub language_model_sha256: Option<String>,
    /// What a reader needs to know of the data.
    pub remarks: Vec<String>,
    /// Purchases over all pairs of user and item, mean over seeds.
    pub density: f64,
    /// Of a made-up world with a set mixture: the weight of what only co-purchases tell against what only texts tell.
    pub planted: Option<f64>,
    /// How many users the test narratives of all seeds are of. Below [`LEAST_USERS`](super::LEAST_USERS) nothing is said of chance.
    pub test_users: usize,
    /// SHA-256 of the reviews that were read, where any were; of several seeds each once.
    pub reviews_sha256: Vec<String>,
    /// Each seed's world, for the record.
    pub worlds: Vec<WorldFacts>,
    /// The variants in the order of the plan.
    pub variants: Vec<Variant>,
    /// Texts that no variant wrote: references (identity only), floor, published.
    pub baselines: Vec<Baseline>,
    /// Tests between variants.
    pub contrasts: Vec<Contrast>,
    /// A few narratives beside their references: those of the first seed that fusion got best and worst.
    pub samples: Vec<Sample>,
    /// What the first test narrative of the first seed is about: the variants' nearest words are of its soft tokens.
    pub nearest_of: String,
}

/// One seed's world.
#[derive(Debug, Clone, Serialize)]
pub struct WorldFacts {
    /// The seed.
    pub seed: u64,
    /// Users, items, interactions that factors were fitted to.
    pub size: [usize; 3],
    /// Narratives in training, validation and test.
    pub narratives: [usize; 3],
    /// SHA-256 of the data.
    pub data_sha256: String,
    /// Who is held out: the hash of the split.
    pub split: String,
    /// What the audit of leaks looked at, and found clean.
    pub audit: LeakAudit,
}

/// An arm with its adapter.
#[derive(Debug, Clone, Serialize)]
pub struct Variant {
    /// Arm, and adapter where it is not the projection.
    pub name: String,
    /// The arm's name.
    pub arm: String,
    /// One of its cells.
    #[serde(skip)]
    pub(super) cell: Cell,
    /// BLEU, ROUGE-L, semantic similarity.
    pub scores: [Pooled; 3],
    /// Loss on the test narratives, nats a token; for an arm with soft tokens.
    pub loss: Option<Pooled>,
    /// What each control adds to the loss.
    pub costs: Vec<Cost>,
    /// What each control does to narratives, on some of the test users.
    pub controlled: Vec<ControlledScore>,
    /// Whose norm the soft tokens have, over all seeds; and the mean share of each seed.
    pub shares: Option<(Shares, Vec<f64>)>,
    /// The cells of which that is not known although it was asked for, and why.
    pub shares_missing: Vec<(String, String)>,
    /// Of the first seed, the vocabulary's entries nearest to the last soft tokens of the first test narrative's prompt.
    pub nearest: Vec<Vec<NearToken>>,
    /// What each side is worth to each kind of narrative, where both can be taken away.
    pub kinds: Vec<KindWorth>,
    /// How well it tells the next item, where that was learned.
    pub next_item: Option<NextItemScores>,
    /// Narratives about items that the factorisation has not seen, and the others, where there are any.
    pub cold: Option<ColdScores>,
    /// Mean over seeds.
    pub facts: Option<FactShare>,
    /// Mean over seeds.
    pub identity: Option<Identified>,
    /// Trainable numbers.
    pub parameters: u64,
    /// Mean seconds of training and writing.
    pub seconds: [f64; 2],
    /// Loss curves, one of each seed.
    pub reports: Vec<TrainReport>,
}

/// Texts that no variant wrote.
#[derive(Debug, Clone, Serialize)]
pub struct Baseline {
    /// What they are.
    pub name: String,
    /// Their scores; `None` for the references.
    pub scores: Option<[Pooled; 3]>,
    /// Mean over seeds.
    pub identity: Option<Identified>,
}

/// One test narrative.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// What was asked for.
    pub kind: String,
    /// What it is about.
    pub context: String,
    /// The reference.
    pub reference: String,
    /// Variant and narrative.
    pub written: Vec<(String, String)>,
}

impl Findings {
    /// What the records of a plan's cells hold.
    ///
    /// # Errors
    /// If a record does not fit its world, or the resampling is refused.
    pub(super) fn of(plan: &Plan, worlds: &[WorldRecord], cells: &[CellRecord]) -> Result<Self> {
        let key = |record: &CellRecord| {
            (record.cell.data.clone(), record.cell.history, record.cell.language_model.clone())
        };
        let mut keys = Vec::new();
        for cell in cells {
            if !keys.contains(&key(cell)) {
                keys.push(key(cell));
            }
        }
        let mut settings = Vec::new();
        for wanted in keys {
            let of_setting: Vec<&CellRecord> = cells.iter().filter(|cell| key(cell) == wanted).collect();
            let of_worlds: Vec<&WorldRecord> =
                worlds.iter().filter(|world| world.data == wanted.0 && world.history == wanted.1).collect();
            settings.push(setting(wanted, plan, of_worlds, &of_setting)?);
        }
        across::add_contrasts(&mut settings, &tests(plan.seeds[0]))?;
        let mut settings: Vec<Setting> = settings.into_iter().map(|tested| tested.setting).collect();
        settings.iter_mut().for_each(Setting::without_chance);
        correct(settings.iter_mut().flat_map(|setting| &mut setting.contrasts), |one| {
            (one.p_value, &mut one.p_holm)
        });
        // Whether soft tokens are read is another question than which variant is better: a family of its own.
        let controls = settings.iter_mut().flat_map(|setting| &mut setting.variants).flat_map(|variant| {
            let losses = variant.costs.iter_mut().map(|cost| (cost.p_value, &mut cost.p_holm));
            losses.chain(variant.controlled.iter_mut().map(|score| (score.p_value, &mut score.p_holm)))
        });
        correct(controls, |pair| pair);
        Ok(Self {
            title: plan.title.clone(),
            question: plan.question.clone(),
            plan_sha256: plan.sha256.clone(),
            encoder: worlds.first().map(|world| world.encoder.clone()),
            seeds: plan.seeds.clone(),
            claims: claims::judge(&settings, plan.varies_density()),
            settings,
        })
    }
}

/// Writes Holm's correction of the first of each pair into the second.
fn correct<'a, T>(all: impl Iterator<Item = T>, pair: impl Fn(T) -> (Option<f64>, &'a mut Option<f64>)) {
    // What was not tested takes part in no correction.
    let tested = all.map(pair).filter_map(|(p, place)| Some((p?, place)));
    let (p_values, places): (Vec<f64>, Vec<&mut Option<f64>>) = tested.unzip();
    for (place, p) in places.into_iter().zip(holm(&p_values)) {
        *place = Some(p);
    }
}

fn setting<'a>(
    (data, history, language_model): (String, usize, String),
    plan: &Plan,
    worlds: Vec<&'a WorldRecord>,
    cells: &[&CellRecord],
) -> Result<Tested<'a>> {
    let bootstrap = Bootstrap::seeded(plan.seeds[0]);
    let mut names = Vec::new();
    for cell in cells {
        if !names.contains(&variant_name(cell)) {
            names.push(variant_name(cell));
        }
    }
    let mut variants = Vec::new();
    for name in names {
        let runs: Vec<&CellRecord> =
            cells.iter().copied().filter(|cell| variant_name(cell) == name).collect();
        variants.push(variant(name, &worlds, &runs, &bootstrap, &tests(plan.seeds[0]))?);
    }
    let (baselines, floor) = baselines(&worlds, &bootstrap)?;
    let contrasts = contrasts(&variants, &floor, &tests(plan.seeds[0]))?;
    let planted = plan.planted(&data);
    let density = worlds.iter().map(|world| world.density()).sum::<f64>() / worlds.len().max(1) as f64;
    let samples = samples(&worlds, cells);
    let (variants, measured) = variants.into_iter().unzip();
    let setting = Setting {
        remarks: worlds.first().map_or(Vec::new(), |world| world.remarks.clone()),
        worlds: worlds
            .iter()
            .map(|world| WorldFacts {
                seed: world.seed,
                size: world.size,
                narratives: world.narratives,
                data_sha256: world.data_sha256.clone(),
                split: world.split.clone(),
                audit: world.audit,
            })
            .collect(),
        test_users: distinct_users(
            worlds.iter().map(|world| (world.data_sha256.as_str(), world.users.as_slice())),
        ),
        reviews_sha256: reviews_sha256(cells),
        samples,
        nearest_of: worlds.first().and_then(|world| world.contexts.first().cloned()).unwrap_or_default(),
        language_model_sha256: cells.iter().find_map(|cell| cell.language_model_sha256.clone()),
        data,
        history,
        language_model,
        density,
        planted,
        baselines,
        contrasts,
        variants,
    };
    Ok(Tested { setting, worlds, measured })
}

/// Those that the cells were made from, each once.
fn reviews_sha256(cells: &[&CellRecord]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for sha256 in cells.iter().filter_map(|cell| cell.settings.get("reviews_sha256")?.as_str()) {
        if !found.iter().any(|known| known == sha256) {
            found.push(sha256.to_owned());
        }
    }
    found
}

fn variant_name(record: &CellRecord) -> String {
    let adapter = match record.cell.adapter {
        None | Some(AdapterKind::Projection) => record.cell.arm.to_string(),
        Some(AdapterKind::Mlp { width, depth, activation }) => {
            let of = match activation {
                HiddenActivation::Gelu => String::new(),
                other => format!(" {}", other.as_str()),
            };
            format!("{}, MLP {depth}×{width}{of}", record.cell.arm)
        }
        Some(AdapterKind::Gated) => format!("{}, gated", record.cell.arm),
        Some(AdapterKind::MixtureOfExperts { experts }) => {
            format!("{}, {experts} experts", record.cell.arm)
        }
        Some(AdapterKind::CrossAttention { tokens, heads, layers }) => {
            format!("{}, {tokens} tokens by attention ({layers} layers of {heads} heads)", record.cell.arm)
        }
    };
    let mut name = adapter;
    if record.cell.tokens_per_item > 1 {
        name.push_str(&format!(", {} tokens an item", record.cell.tokens_per_item));
    }
    name.push_str(record.cell.co_training.in_words());
    if !record.cell.inputs.is_none() {
        name.push_str(&format!(", with {}", record.cell.inputs.to_string().replace('+', ", ")));
    }
    if !record.cell.scaling.is_usual() {
        name.push_str(&format!(
            ", scaled {}",
            record.cell.scaling.normalisation().as_str().replace('_', " ")
        ));
    }
    if !record.cell.injection.is_empty() {
        name.push_str(&format!(", added before blocks {}", blocks(&record.cell.injection, ", ")));
    }
    if record.cell.cold_vectors == ColdVectors::Content {
        name.push_str(", cold items from content");
    }
    if record.cell.lora_rank > 0 {
        name.push_str(&format!(", low-rank updates of rank {}", record.cell.lora_rank));
    }
    name
}

fn variant(
    name: String,
    worlds: &[&WorldRecord],
    runs: &[&CellRecord],
    bootstrap: &Bootstrap,
    tests: &Bootstrap,
) -> Result<(Variant, [Runs; 3])> {
    let world = |run: &CellRecord| {
        let found = worlds.iter().find(|world| world.seed == run.cell.seed);
        found.copied().with_context(|| format!("no world for the cell {}", run.cell.name()))
    };
    let mut written = Vec::new();
    for run in runs {
        written.push((world(run)?, &run.written));
    }
    let measured = measure(&written)?;
    let scores = pooled_scores(&written, &measured, bootstrap)?;
    let first = runs.first().context("a variant has runs")?;
    let pairs = runs.iter().map(|run| Ok((world(run)?, *run))).collect::<Result<Vec<_>>>()?;
    let (loss, costs) = costs(&pairs, bootstrap, tests)?;
    let missing = |run: &&CellRecord| Some((run.cell.name(), run.shares_missing.clone()?));
    let variant = Variant {
        name,
        arm: first.cell.arm.to_string(),
        cell: first.cell.clone(),
        scores,
        loss,
        costs,
        controlled: controlled(&pairs, tests)?,
        shares: shares(runs),
        shares_missing: runs.iter().filter_map(missing).collect(),
        nearest: first.nearest.clone(),
        kinds: worth_by_kind(&pairs, bootstrap)?,
        cold: ColdScores::of(&pairs, bootstrap)?,
        next_item: {
            let ranks: Vec<_> = runs.iter().filter_map(|run| run.next_item.as_ref()).collect();
            NextItemScores::of(&ranks, same_users(worlds.iter().copied()), bootstrap)?
        },
        facts: mean_facts(runs.iter().filter_map(|run| run.written.facts)),
        identity: mean_identity(runs.iter().filter_map(|run| run.written.identity)),
        parameters: first.parameters,
        seconds: [0, 1].map(|part| mean(runs.iter().map(|run| run.seconds[part]))),
        reports: runs.iter().map(|run| run.report.clone()).collect(),
    };
    Ok((variant, measured))
}

fn baselines(worlds: &[&WorldRecord], bootstrap: &Bootstrap) -> Result<(Vec<Baseline>, [Runs; 3])> {
    let floor: Vec<(&WorldRecord, &Written)> = worlds.iter().map(|world| (*world, &world.floor)).collect();
    let measured_floor = measure(&floor)?;
    let mut baselines = Vec::new();
    if let Some(identity) = mean_identity(worlds.iter().filter_map(|world| world.identity)) {
        baselines.push(Baseline {
            name: "the references".to_owned(),
            scores: None,
            identity: Some(identity),
        });
    }
    baselines.push(Baseline {
        name: "another user's text".to_owned(),
        scores: Some(pooled_scores(&floor, &measured_floor, bootstrap)?),
        identity: mean_identity(floor.iter().filter_map(|(_, written)| written.identity)),
    });
    let published: Vec<(&WorldRecord, &Written)> =
        worlds.iter().filter_map(|world| Some((*world, world.published.as_ref()?))).collect();
    if !published.is_empty() {
        baselines.push(Baseline {
            name: "published".to_owned(),
            scores: Some(pooled_scores(&published, &measure(&published)?, bootstrap)?),
            identity: mean_identity(published.iter().filter_map(|(_, written)| written.identity)),
        });
    }
    Ok((baselines, measured_floor))
}

/// All seeds' soft tokens together, and each seed's mean.
fn shares(runs: &[&CellRecord]) -> Option<(Shares, Vec<f64>)> {
    let found: Vec<&Shares> = runs.iter().filter_map(|run| run.shares.as_ref()).collect();
    let tokens: u64 = found.iter().map(|shares| shares.tokens).sum();
    if tokens == 0 {
        return None;
    }
    let mut histogram = vec![0; BINS];
    for shares in &found {
        histogram.iter_mut().zip(&shares.histogram).for_each(|(sum, count)| *sum += count);
    }
    let tenths = found.iter().map(|shares| shares.by_popularity.len()).min().unwrap_or(0);
    let tenth = |index: usize| mean(found.iter().map(|shares| shares.by_popularity[index]));
    let all = Shares {
        tokens,
        mean: found.iter().map(|shares| shares.mean * shares.tokens as f64).sum::<f64>() / tokens as f64,
        histogram,
        by_popularity: (0..tenths).map(tenth).collect(),
        // Told beside the worth of each kind.
        by_kind: Vec::new(),
        measure: found[0].measure,
        residual: found.iter().map(|shares| shares.residual).fold(0.0, f64::max),
    };
    Some((all, found.iter().map(|shares| shares.mean).collect()))
}

fn mean_facts(found: impl Iterator<Item = FactShare> + Clone) -> Option<FactShare> {
    found.clone().next()?;
    Some(FactShare {
        co_purchase: mean(found.clone().map(|facts| facts.co_purchase)),
        text: mean(found.map(|facts| facts.text)),
    })
}

fn mean_identity(found: impl Iterator<Item = Identified> + Clone) -> Option<Identified> {
    found.clone().next()?;
    Some(Identified {
        nearest: mean(found.clone().map(|found| found.nearest)),
        among_ten: mean(found.clone().map(|found| found.among_ten)),
        states_title: mean(found.map(|found| found.states_title)),
    })
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    sum / count.max(1) as f64
}

/// The narratives of the first seed that fusion (or else the last variant) got best, in the middle, and worst.
fn samples(worlds: &[&WorldRecord], cells: &[&CellRecord]) -> Vec<Sample> {
    let Some(world) = worlds.first() else { return Vec::new() };
    let runs: Vec<&&CellRecord> = cells.iter().filter(|run| run.cell.seed == world.seed).collect();
    let fusion = runs.iter().find(|run| variant_name(run) == "fusion").or(runs.last());
    let Some(judged) = fusion else { return Vec::new() };
    let similarity = &judged.written.similarity;
    let mut order: Vec<usize> = (0..similarity.len()).collect();
    order.sort_by(|&a, &b| similarity[b].total_cmp(&similarity[a]).then(a.cmp(&b)));
    let places = [0, order.len() / 4, order.len() / 2, 3 * order.len() / 4, order.len().saturating_sub(1)];
    let mut chosen: Vec<usize> = places.iter().filter_map(|&place| order.get(place).copied()).collect();
    chosen.dedup();
    let sample = |index: usize| Sample {
        kind: world.kinds[index].clone(),
        context: world.contexts[index].clone(),
        reference: world.references[index].clone(),
        written: runs.iter().map(|run| (variant_name(run), run.written.texts[index].clone())).collect(),
    };
    chosen.into_iter().map(sample).collect()
}
