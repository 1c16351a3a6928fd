//! One arm of the comparison: the same data, seed and budget for each; only what the adapter reads differs.

use anyhow::{Context, Result};
use regen_data::{Dataset, Part, Split};
use regen_fusion::{AdapterConfig, AdapterKind, Normalisation, Sources};
use regen_lm::tokenizer::train_bpe;
use regen_lm::{DecoderConfig, GenerateOptions, Sampling, TextTokenizer};
use regen_narrator::{
    Example, ItemTables, Narrator, NarratorConfig, Request, TrainConfig, TrainReport, special_tokens,
};
use serde::Serialize;

use crate::cli::Session;

/// The kind under which a narrator learns to read an item's own text back from its vectors.
///
/// Used on real data, where narratives alone are too few to tie soft tokens to the words of the catalogue.
pub const ITEM_TEXT: &str = "item_text";

/// What every arm of a comparison has in common.
#[derive(Debug, Clone, Serialize)]
pub struct Budget {
    /// Preset of the language model, trained from scratch.
    pub lm: String,
    /// Size of the BPE vocabulary.
    pub vocabulary: usize,
    /// Before the narratives: training of adapter and language model on the catalogue alone.
    pub reading: Option<TrainConfig>,
    /// Training of adapter and language model on the narratives, and on the catalogue where it is read.
    pub training: TrainConfig,
    /// Longest history.
    pub max_history: usize,
    /// Longest narrative in tokens.
    pub max_narrative_tokens: usize,
    /// Narratives written at once.
    pub write_batch: usize,
}

impl Budget {
    /// The budget of `lm` with `steps` updates on narratives after `reading_steps` on the catalogue alone.
    ///
    /// `batch` is in examples per update, `learning_rate` the language model's; the adapter's is three times that.
    pub fn new(
        lm: &str,
        steps: u64,
        reading_steps: u64,
        batch: usize,
        learning_rate: f64,
        seed: u64,
    ) -> Self {
        let training = TrainConfig {
            steps,
            batch,
            learning_rate,
            adapter_learning_rate: 3.0 * learning_rate,
            warmup_steps: (steps / 20).max(1),
            final_rate: 0.05,
            weight_decay: 0.05,
            clip_norm: 1.0,
            evaluate_every: (steps / 10).max(1),
            seed,
        };
        // Item texts are short and without a history, so twice as many fit into an update of the same cost.
        let reading = (reading_steps > 0).then(|| TrainConfig {
            steps: reading_steps,
            batch: 2 * batch,
            warmup_steps: (reading_steps / 20).max(1),
            evaluate_every: (reading_steps / 10).max(1),
            ..training.clone()
        });
        Self {
            lm: lm.to_owned(),
            vocabulary: 2048,
            max_history: 50,
            max_narrative_tokens: 96,
            write_batch: 32,
            reading,
            training,
        }
    }
}

/// What a narrator's adapter reads, and how it turns that into soft tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Arm {
    /// The sides it reads.
    pub sources: Sources,
    /// The adapter.
    pub kind: AdapterKind,
}

/// The examples of a run as a narrator takes them.
#[derive(Debug)]
pub struct Task {
    /// The catalogue to be read: one request for each item with a text. Empty where it is not read.
    pub reading: Vec<Example>,
    /// Learned from; `reading` included.
    pub training: Vec<Example>,
    /// Decides which weights are kept.
    pub validation: Vec<Example>,
    /// Judged by.
    pub test: Vec<Example>,
    /// The user of each test example, the unit of resampling.
    pub test_users: Vec<u32>,
    /// Kinds of narrative, [`ITEM_TEXT`] included where the catalogue is read.
    pub kinds: Vec<String>,
}

/// What an arm gave.
#[derive(Debug)]
pub struct ArmRun {
    /// What its adapter reads.
    pub sources: Sources,
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
    ) -> Self {
        let part = |part| split.select(examples, part).into_iter().map(convert).collect::<Vec<_>>();
        let test_users = split.select(examples, Part::Test).iter().map(|e| e.user.index() as u32).collect();
        let mut kinds: Vec<String> = Vec::new();
        for example in examples {
            if !kinds.iter().any(|kind| kind == example.kind.as_str()) {
                kinds.push(example.kind.as_str().to_owned());
            }
        }
        let mut training = part(Part::Train);
        let mut reading = Vec::new();
        if read_catalogue {
            reading.extend(catalogue_reading(dataset));
            training.extend(reading.iter().cloned());
            kinds.push(ITEM_TEXT.to_owned());
        }
        Self {
            reading,
            training,
            validation: part(Part::Validation),
            test: part(Part::Test),
            test_users,
            kinds,
        }
    }

    /// The references of the test examples.
    pub fn references(&self) -> Vec<String> {
        self.test.iter().map(|example| example.text.clone()).collect()
    }

    /// The requests of the test examples.
    pub fn requests(&self) -> Vec<Request> {
        self.test.iter().map(|example| example.request.clone()).collect()
    }

    /// A vocabulary of the training texts only.
    ///
    /// # Errors
    /// If there are too few texts for the size.
    pub fn tokenizer(&self, vocabulary: usize) -> Result<TextTokenizer> {
        let texts = self.training.iter().map(|example| example.text.as_str());
        let special = special_tokens(&self.kinds);
        let special: Vec<&str> = special.iter().map(String::as_str).collect();
        train_bpe(texts, vocabulary, &special).context("cannot train the tokenizer")
    }
}

/// One example per item with a text: given the item alone, write what the sentence encoder was shown of it.
///
/// The catalogue is known before any narrative is written, held-out users' items included, so this shows nothing
/// of a narrative. It ties soft tokens to the words of the catalogue where narratives alone are too few to do so.
fn catalogue_reading(dataset: &Dataset) -> impl Iterator<Item = Example> + '_ {
    dataset.item_texts().into_iter().enumerate().filter_map(|(item, text)| {
        let request = Request { kind: ITEM_TEXT.to_owned(), history: Vec::new(), target: Some(item as u32) };
        Some(Example { request, text: text? })
    })
}

fn convert(example: &regen_data::Example) -> Example {
    let request = Request {
        kind: example.kind.as_str().to_owned(),
        history: example.history.iter().map(|item| item.index() as u32).collect(),
        target: example.target.map(|item| item.index() as u32),
    };
    Example { request, text: example.reference.clone() }
}

/// A narrator that has learned nothing yet: tokenizer from the training texts, language model and adapter from `seed`.
///
/// # Errors
/// If the parts do not belong together, or the texts are too few for the vocabulary.
pub fn new_narrator(
    arm: Arm,
    task: &Task,
    tables: ItemTables,
    item_ids: Vec<String>,
    budget: &Budget,
    seed: u64,
    session: &Session,
) -> Result<Narrator> {
    let tokenizer = task.tokenizer(budget.vocabulary)?;
    let decoder = DecoderConfig::preset(&budget.lm, tokenizer.vocab_size())?;
    let width = |table: Option<&regen_narrator::ItemTable>| table.map_or(0, |table| table.dim());
    let adapter = AdapterConfig {
        sources: arm.sources,
        kind: arm.kind,
        normalisation: Normalisation::L2,
        cf_dim: width(tables.cf()),
        semantic_dim: width(tables.semantic()),
        hidden: decoder.hidden(),
        tokens_per_item: 1,
        initial_rms: decoder.initializer_range,
    };
    let config = NarratorConfig {
        adapter,
        decoder,
        kinds: task.kinds.clone(),
        max_history: budget.max_history,
        max_narrative_tokens: budget.max_narrative_tokens,
    };
    Ok(Narrator::new(config, tables, item_ids, tokenizer, session.placement.device, seed)?)
}

/// Trains a narrator: on the catalogue first, if the budget says so, then on the narratives. The first report is that of
/// the catalogue.
///
/// # Errors
/// If training refuses its input, or the user stops it.
pub fn train(
    narrator: &mut Narrator,
    task: &Task,
    budget: &Budget,
    session: &Session,
) -> Result<(Option<TrainReport>, TrainReport)> {
    let name = narrator.config().adapter.sources.as_str();
    let mut stage = |label: &str, examples: &[Example], validation: &[Example], config: &TrainConfig| {
        let bar = session.bar(&format!("{label} {name}"), config.steps);
        let report = narrator.train(examples, validation, config, &mut |progress| {
            bar.set_position(progress.step);
            let validation =
                progress.validation_loss.map_or(String::new(), |loss| format!(", held out {loss:.3}"));
            bar.set_message(format!("loss {:.3}{validation}", progress.loss));
            session.flow()
        })?;
        bar.finish();
        session.check(&format!("training of the {name} arm"))?;
        anyhow::Ok(report)
    };
    let reading = match &budget.reading {
        Some(config) => Some(stage("read the catalogue", &task.reading, &[], config)?),
        None => None,
    };
    Ok((reading, stage("train", &task.training, &task.validation, &budget.training)?))
}

/// Greedy narratives for the test examples.
///
/// # Errors
/// If a request cannot be laid out, or the user stops it.
pub fn write(narrator: &Narrator, task: &Task, budget: &Budget, session: &Session) -> Result<Vec<String>> {
    let requests = task.requests();
    let name = narrator.config().adapter.sources.as_str();
    let bar = session.bar(&format!("write {name}"), requests.len() as u64);
    let options = GenerateOptions {
        max_new_tokens: budget.max_narrative_tokens,
        sampling: Sampling::Greedy,
        ..GenerateOptions::default()
    };
    let written = narrator.narrate(&requests, &options, budget.write_batch, &mut |progress| {
        bar.set_position(progress.done as u64);
        session.flow()
    })?;
    bar.finish();
    session.check(&format!("writing of the {name} arm"))?;
    Ok(written.into_iter().map(Option::unwrap_or_default).collect())
}

/// Trains an arm and lets it write the narratives of the test users.
///
/// # Errors
/// If a part refuses its input, or the user stops it.
pub fn run_arm(
    sources: Sources,
    task: &Task,
    tables: ItemTables,
    item_ids: Vec<String>,
    budget: &Budget,
    seed: u64,
    session: &Session,
) -> Result<ArmRun> {
    let arm = Arm { sources, kind: AdapterKind::Projection };
    let mut narrator = new_narrator(arm, task, tables, item_ids, budget, seed, session)?;
    let (reading, report) = train(&mut narrator, task, budget, session)?;
    let hypotheses = write(&narrator, task, budget, session)?;
    Ok(ArmRun { sources, reading, report, hypotheses, narrator })
}
