//! One arm of the comparison: the same data, seed and budget for each; only what the adapter reads differs.

use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Result, bail};
use regen_data::{Dataset, Part, PurchaseDetail, Split};
use regen_fusion::{AdapterConfig, AdapterKind, DetailInputs, ReviewInput};
use regen_lm::chat::ChatTemplate;
use regen_lm::tokenizer::train_bpe;
use regen_lm::{DecoderConfig, TextTokenizer};
use regen_narrator::{
    Detail, Example, ItemIds, ItemTables, Narrator, NarratorConfig, PromptWords, Provenance, Request,
    Snapshots, TrainConfig, TrainProgress, TrainReport, WritingDefaults, special_tokens,
};
use regen_torch::seed::{self, ChaCha8Rng};
use serde::Serialize;

use crate::budget::Budget;
use crate::cli::Session;
use crate::given::Given;
use crate::language_model::folder;
use crate::passages::Passages;
use crate::purchase_reviews::ReviewVectors;
use crate::run_log::peak_rss_bytes;
use crate::scalars::{Scalars, StageScalars};

/// The kind under which a narrator learns to read an item's own text back from its vectors.
///
/// Used on real data, where narratives alone are too few to tie soft tokens to the words of the catalogue.
pub const ITEM_TEXT: &str = "item_text";

/// The file of [`Scalars`] in a folder of snapshots, and in the bundle of a finished run.
pub const SCALARS: &str = "scalars.jsonl";

/// Practice passages of each training narrative.
const PRACTICE: usize = 3;

/// What a narrator reads, and how it turns vectors into soft tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Arm {
    /// What it reads.
    pub given: Given,
    /// The adapter, where vectors are read.
    pub kind: AdapterKind,
}

/// The examples of a run as a narrator that is given everything takes them; [`Given::show`] takes away what an arm does
/// not see.
#[derive(Debug)]
pub struct Task {
    /// Name of the data set.
    pub data: String,
    /// Hash of the division of users.
    pub split: String,
    /// The catalogue to be read: one request for each item with a text. Empty where it is not read.
    pub reading: Vec<Example>,
    /// Learned from. Where the catalogue is read, it stays among the training texts to the end.
    pub training: Vec<Example>,
    /// The training examples with passages to practise on, several times each.
    pub practice: Vec<Example>,
    /// The validation examples with passages to practise on.
    pub practice_validation: Vec<Example>,
    /// Decides which weights are kept.
    pub validation: Vec<Example>,
    /// Judged by.
    pub test: Vec<Example>,
    /// The user of each test example, the unit of resampling.
    pub test_users: Vec<u32>,
    /// Kinds of narrative, [`ITEM_TEXT`] included where the catalogue is read.
    pub kinds: Vec<String>,
    /// Width of the vectors of reviews, where past purchases come with them.
    pub review_dim: Option<i64>,
}

/// What an arm gave.
#[derive(Debug)]
pub struct ArmRun {
    /// What it reads.
    pub given: Given,
    /// Its loss curve while reading the catalogue.
    pub reading: Option<TrainReport>,
    /// Its loss curves.
    pub report: TrainReport,
    /// One narrative per test example.
    pub hypotheses: Vec<String>,
    /// The trained narrator.
    pub narrator: Narrator,
}

impl Task {
    /// Turns the examples of a data set into those of a narrator, part by part. With `read_catalogue`, the narrator also
    /// learns to read each item's text back from its soft token.
    pub fn new(
        dataset: &Dataset,
        split: &Split,
        examples: &[regen_data::Example],
        read_catalogue: bool,
        seed: u64,
    ) -> Self {
        Self::with_reviews(dataset, split, examples, read_catalogue, seed, None)
    }

    /// As [`Task::new`], with `reviews` of past purchases beside these.
    pub fn with_reviews(
        dataset: &Dataset,
        split: &Split,
        examples: &[regen_data::Example],
        read_catalogue: bool,
        seed: u64,
        reviews: Option<&ReviewVectors>,
    ) -> Self {
        let passages = Passages::learn(dataset, split, examples);
        let convert = |example: &regen_data::Example, passage| convert(example, passage, reviews);
        let part = |part| {
            let chosen = split.select(examples, part).into_iter();
            chosen.map(|example| convert(example, passages.of(example))).collect::<Vec<_>>()
        };
        let mut rng = seed::rng(seed, 78);
        let mut practice = |part, times: usize| {
            let chosen = split.select(examples, part);
            let repeated = std::iter::repeat_n(chosen, times).flatten();
            repeated.map(|example| convert(example, passages.practice(example, &mut rng))).collect::<Vec<_>>()
        };
        let (practice, practice_validation) =
            (practice(Part::Train, PRACTICE), practice(Part::Validation, 1));
        let test_users = split.select(examples, Part::Test).iter().map(|e| e.user.index() as u32).collect();
        let mut kinds: Vec<String> = Vec::new();
        for example in examples {
            if !kinds.iter().any(|kind| kind == example.kind.as_str()) {
                kinds.push(example.kind.as_str().to_owned());
            }
        }
        let mut reading: Vec<Example> = Vec::new();
        if read_catalogue {
            reading = catalogue_reading(dataset, &passages, &mut rng);
            kinds.push(ITEM_TEXT.to_owned());
        }
        Self {
            data: dataset.name.clone(),
            split: split.hash().to_owned(),
            reading,
            practice,
            practice_validation,
            training: part(Part::Train),
            validation: part(Part::Validation),
            test: part(Part::Test),
            test_users,
            kinds,
            review_dim: reviews.map(ReviewVectors::dim),
        }
    }

    /// The references of the test examples.
    pub fn references(&self) -> Vec<String> {
        self.test.iter().map(|example| example.text.clone()).collect()
    }

    /// The requests of the test examples as an arm sees them.
    pub fn requests(&self, given: Given) -> Vec<Request> {
        self.test.iter().map(|example| given.show(&example.request)).collect()
    }

    /// A vocabulary of the training texts only.
    ///
    /// # Errors
    /// If there are too few texts for the size.
    pub fn tokenizer(&self, vocabulary: usize) -> Result<TextTokenizer> {
        let texts = self.training.iter().chain(&self.reading).map(|example| example.text.as_str());
        let special = special_tokens(&self.kinds);
        let special: Vec<&str> = special.iter().map(String::as_str).collect();
        train_bpe(texts, vocabulary, &special).context("cannot train the tokenizer")
    }
}

/// One example per item with a text: given the item alone, write what the sentence encoder was shown of it.
///
/// The catalogue is known before any narrative is written, held-out users' items included, so this shows nothing
/// of a narrative. It ties soft tokens to the words of the catalogue where narratives alone are too few to do so.
fn catalogue_reading(dataset: &Dataset, passages: &Passages<'_>, rng: &mut ChaCha8Rng) -> Vec<Example> {
    let known = dataset.items.ids().zip(dataset.item_texts());
    let read = known.filter_map(|(item, text)| {
        let request = Request {
            kind: ITEM_TEXT.to_owned(),
            history: Vec::new(),
            target: Some(item.index() as u32),
            passage: passages.puzzle(item, rng),
            ..Request::default()
        };
        Some(Example { request, text: text? })
    });
    read.collect()
}

/// As a narrator takes it.
pub fn detail(known: &PurchaseDetail) -> Detail {
    Detail { rating: known.rating, days: known.days, review: None }
}

fn convert(example: &regen_data::Example, passage: Vec<String>, reviews: Option<&ReviewVectors>) -> Example {
    let details = match reviews {
        Some(reviews) => reviews.details(example),
        None => example.details.iter().map(detail).collect(),
    };
    let request = Request {
        kind: example.kind.as_str().to_owned(),
        history: example.history.iter().map(|item| item.index() as u32).collect(),
        target: example.target.map(|item| item.index() as u32),
        passage,
        details,
    };
    Example { request, text: example.reference.clone() }
}

/// A narrator that has learned nothing of narratives yet: tokenizer from the training texts, language model and adapter from
/// `seed`; or both of the first from the budget's folder.
///
/// # Errors
/// If the parts do not belong together, the texts are too few for the vocabulary, or reviews are to be read and there are none.
pub fn new_narrator(
    arm: Arm,
    task: &Task,
    tables: ItemTables,
    item_ids: Vec<String>,
    budget: &Budget,
    seed: u64,
    session: &Session,
) -> Result<Narrator> {
    let width = |table: Option<&regen_narrator::ItemTable>| table.map_or(0, |table| table.dim());
    let (cf_dim, semantic_dim) = (width(tables.cf()), width(tables.semantic()));
    let normalisation = budget.review_scaling.normalisation();
    let review = match task.review_dim {
        _ if !budget.inputs.reviews => None,
        Some(dim) => Some(ReviewInput { dim, normalisation }),
        None => {
            bail!("reviews are among the inputs, and none are given: train_narrator takes them by --reviews")
        }
    };
    let config = |decoder: DecoderConfig, words: Option<PromptWords>| {
        let adapter = arm.given.vectors.map(|sources| AdapterConfig {
            sources,
            kind: arm.kind,
            normalisation: budget.scaling.normalisation(),
            cf_dim,
            semantic_dim,
            hidden: decoder.hidden(),
            tokens_per_item: budget.tokens_per_item,
            initial_rms: decoder.initializer_range,
            details: DetailInputs { review, ..budget.inputs.details },
            user: budget.inputs.of(sources).user,
        });
        NarratorConfig {
            adapter,
            decoder,
            next_item: adapter.is_some() && budget.training.next_item.is_some(),
            kinds: task.kinds.clone(),
            max_history: budget.max_history,
            max_narrative_tokens: budget.max_narrative_tokens,
            passage: arm.given.text.then(|| budget.passage.clone()),
            words,
            lora: budget.lora.clone(),
            injection: adapter.and(budget.injection.clone()),
        }
    };
    let (tables, item_ids) = match arm.given.vectors {
        Some(_) => (tables, ItemIds::new(item_ids)?),
        None => (ItemTables::none(), ItemIds::default()),
    };
    let device = session.placement.device;
    if let Some(folder) = folder(&budget.lm) {
        let mut words = budget.words.clone().unwrap_or_else(|| PromptWords::plain(&task.kinds));
        if let Some(chat) = &budget.chat {
            let tokenizer = TextTokenizer::load(folder)?;
            let template = ChatTemplate::of(&tokenizer).with_context(|| {
                format!(
                    "{} cannot be asked in a chat format: leave --chat out (in a plan, `chat`)",
                    folder.display()
                )
            })?;
            words = words.in_chat(&template, chat.system.as_deref())?;
        }
        let config = config(DecoderConfig::from_hf(folder)?, Some(words));
        return Narrator::on_lm(folder, config, tables, item_ids, device, seed)
            .with_context(|| format!("cannot make a narrator around {}", folder.display()));
    }
    let tokenizer = task.tokenizer(budget.vocabulary)?;
    let decoder = DecoderConfig::preset(&budget.lm, tokenizer.vocab_size())?;
    Ok(Narrator::new(config(decoder, None), tables, item_ids, tokenizer, device, seed)?)
}

/// The loss curves of the stages of a training.
#[derive(Debug)]
pub struct Trained {
    /// Of reading the catalogue, where that is done.
    pub reading: Option<TrainReport>,
    /// Of the adapter alone, where there is such a stage.
    pub adapter: Option<TrainReport>,
    /// Of the narratives.
    pub report: TrainReport,
}

/// Trains a narrator: on the catalogue first, if the budget says so, then on the narratives. With a folder for `snapshots`, a run that
/// was broken off goes on from there, and the numbers of each update stand in its file [`SCALARS`].
///
/// # Errors
/// If training refuses its input, or the user stops it.
pub fn train(
    narrator: &mut Narrator,
    given: Given,
    task: &Task,
    budget: &Budget,
    snapshots: Option<&Path>,
    session: &Session,
) -> Result<Trained> {
    let mut stage = |label: &str, examples: &[Example], validation: &[Example], config: &TrainConfig| {
        let bar = session.bar(&format!("{label} {given}"), config.steps);
        let name = label.replace(' ', "_");
        let scalars = snapshots.map(|dir| Scalars::new(dir.join(SCALARS)));
        let (mut lines, mut failed): (Option<StageScalars>, _) = (None, None);
        let mut told = |progress: TrainProgress| {
            let mut log = || -> Result<String> {
                let Some(scalars) = &scalars else { return Ok(String::new()) };
                let lines = match &mut lines {
                    Some(lines) => lines,
                    none => none.insert(scalars.stage(&name, progress.step)?),
                };
                Ok(format!(", {:.0} tokens/s", lines.write(&progress)?))
            };
            let rate = match log() {
                Ok(rate) => rate,
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            };
            bar.set_position(progress.step);
            let validation =
                progress.validation_loss.map_or(String::new(), |loss| format!(", held out {loss:.3}"));
            let memory =
                peak_rss_bytes().map_or(String::new(), |bytes| format!(", {} MB", bytes / 1_000_000));
            bar.set_message(format!("loss {:.3}{validation}{rate}{memory}", progress.loss));
            session.flow()
        };
        let report = match snapshots {
            None => narrator.train(examples, validation, config, &mut told)?,
            Some(dir) => {
                let dir = dir.join(&name);
                let snapshots = Snapshots { dir, every: config.evaluate_every };
                narrator.train_with_snapshots(examples, validation, config, &snapshots, &mut told)?
            }
        };
        bar.finish();
        if let Some(error) = failed {
            return Err(error);
        }
        session.check(&format!("training of the {given} arm"))?;
        anyhow::Ok(report)
    };
    let catalogue = given.reading(&task.reading);
    let reading = match &budget.reading {
        Some(config) => Some(stage("read the catalogue", &catalogue, &[], config)?),
        None => None,
    };
    let (narratives, validation) = if given.text {
        (&task.practice, &task.practice_validation)
    } else {
        (&task.training, &task.validation)
    };
    let training = [given.show_all(narratives), given.show_all(&task.reading)].concat();
    let validation = given.show_all(validation);
    let adapter = match &budget.adapter_stage {
        Some(config) => Some(stage("train the adapter of", &training, &validation, config)?),
        None => None,
    };
    let report = stage("train", &training, &validation, &budget.training)?;
    // Arms are compared by what they hold most probable, whatever the makers of a language model draw with.
    let no_repeat_ngram = Some(budget.no_repeat_ngram);
    narrator.set_writing(WritingDefaults { no_repeat_ngram, ..WritingDefaults::greedy() });
    let stages = [reading.as_ref(), adapter.as_ref(), Some(&report)];
    narrator.set_provenance(Provenance {
        data: task.data.clone(),
        split: task.split.clone(),
        seed: budget.training.seed,
        updates: stages.into_iter().flatten().filter_map(|stage| Some(stage.training.last()?.step)).sum(),
        validation_loss: report.validation.iter().map(|point| point.loss).reduce(f64::min),
    });
    Ok(Trained { reading, adapter, report })
}

/// Greedy narratives for the test examples.
///
/// # Errors
/// If a request cannot be laid out, or the user stops it.
pub fn write(
    narrator: &Narrator,
    given: Given,
    task: &Task,
    budget: &Budget,
    session: &Session,
) -> Result<Vec<String>> {
    let requests = task.requests(given);
    let bar = session.bar(&format!("write {given}"), requests.len() as u64);
    let options = narrator.generate_options();
    let written = narrator.narrate(&requests, &options, budget.write_batch, &mut |progress| {
        bar.set_position(progress.done as u64);
        session.flow()
    })?;
    bar.finish();
    session.check(&format!("writing of the {given} arm"))?;
    Ok(written.into_iter().map(Option::unwrap_or_default).collect())
}

/// Trains an arm and lets it write the narratives of the test users.
///
/// # Errors
/// If a part refuses its input, or the user stops it.
pub fn run_arm(
    given: Given,
    task: &Task,
    tables: ItemTables,
    item_ids: Vec<String>,
    budget: &Budget,
    seed: u64,
    session: &Session,
) -> Result<ArmRun> {
    let arm = Arm { given, kind: AdapterKind::Projection };
    let mut narrator = new_narrator(arm, task, tables, item_ids, budget, seed, session)?;
    let Trained { reading, report, .. } = train(&mut narrator, given, task, budget, None, session)?;
    let hypotheses = write(&narrator, given, task, budget, session)?;
    Ok(ArmRun { given, reading, report, hypotheses, narrator })
}
