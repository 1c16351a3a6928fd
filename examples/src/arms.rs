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

/// The kind under which a narrator learns to read an item's title back from its vectors.
///
/// Used on real data, where narratives alone are too few to tie soft tokens to the words of the catalogue.
pub const ITEM_TITLE: &str = "item_title";

/// What every arm of a comparison has in common.
#[derive(Debug, Clone, Serialize)]
pub struct Budget {
    /// Preset of the language model, trained from scratch.
    pub lm: String,
    /// Size of the BPE vocabulary.
    pub vocabulary: usize,
    /// Training of adapter and language model.
    pub training: TrainConfig,
    /// Longest history.
    pub max_history: usize,
    /// Longest narrative in tokens.
    pub max_narrative_tokens: usize,
    /// Narratives written at once.
    pub write_batch: usize,
}

/// The examples of a run as a narrator takes them.
#[derive(Debug)]
pub struct Task {
    /// Learned from; catalogue reading included.
    pub training: Vec<Example>,
    /// Decides which weights are kept.
    pub validation: Vec<Example>,
    /// Judged by.
    pub test: Vec<Example>,
    /// The user of each test example, the unit of resampling.
    pub test_users: Vec<u32>,
    /// Kinds of narrative, [`ITEM_TITLE`] included where the catalogue is read.
    pub kinds: Vec<String>,
}

/// What an arm gave.
#[derive(Debug)]
pub struct ArmRun {
    /// What its adapter reads.
    pub sources: Sources,
    /// Its loss curves.
    pub report: TrainReport,
    /// One narrative per test example.
    pub hypotheses: Vec<String>,
    /// The trained narrator.
    pub narrator: Narrator,
}

impl Task {
    /// Turns the examples of a data set into those of a narrator, part by part.
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
        if read_catalogue {
            training.extend(catalogue_reading(dataset));
            kinds.push(ITEM_TITLE.to_owned());
        }
        Self { training, validation: part(Part::Validation), test: part(Part::Test), test_users, kinds }
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

/// One example per item with a title: given the item alone, write its title.
///
/// The catalogue is known before any narrative is written, held-out users' items included, so this leaks nothing
/// of a narrative. It ties soft tokens to the words of the catalogue where narratives alone are too few to do so.
fn catalogue_reading(dataset: &Dataset) -> impl Iterator<Item = Example> + '_ {
    dataset.catalogue.iter().enumerate().filter_map(|(item, metadata)| {
        let title = metadata.as_ref()?.title.clone()?;
        let request = Request { kind: ITEM_TITLE.to_owned(), history: Vec::new(), target: Some(item as u32) };
        Some(Example { request, text: title })
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
    let tokenizer = task.tokenizer(budget.vocabulary)?;
    let decoder = DecoderConfig::preset(&budget.lm, tokenizer.vocab_size())?;
    let width = |table: Option<&regen_narrator::ItemTable>| table.map_or(0, |table| table.dim());
    let adapter = AdapterConfig {
        sources,
        kind: AdapterKind::Projection,
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
    let mut narrator = Narrator::new(config, tables, item_ids, tokenizer, session.placement.device, seed)?;

    let bar = session.bar(&format!("train {}", sources.as_str()), budget.training.steps);
    let report = narrator.train(&task.training, &task.validation, &budget.training, &mut |progress| {
        bar.set_position(progress.step);
        let validation =
            progress.validation_loss.map_or(String::new(), |loss| format!(", held out {loss:.3}"));
        bar.set_message(format!("loss {:.3}{validation}", progress.loss));
        session.flow()
    })?;
    bar.finish();
    session.check(&format!("training of the {} arm", sources.as_str()))?;

    let bar = session.bar(&format!("write {}", sources.as_str()), task.test.len() as u64);
    let options = GenerateOptions {
        max_new_tokens: budget.max_narrative_tokens,
        sampling: Sampling::Greedy,
        ..GenerateOptions::default()
    };
    let written = narrator.narrate(&task.requests(), &options, budget.write_batch, &mut |progress| {
        bar.set_position(progress.done as u64);
        session.flow()
    })?;
    bar.finish();
    session.check(&format!("writing of the {} arm", sources.as_str()))?;
    let hypotheses = written.into_iter().map(Option::unwrap_or_default).collect();
    Ok(ArmRun { sources, report, hypotheses, narrator })
}
