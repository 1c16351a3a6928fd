//! The trained whole: adapter, language model, tokenizer and item tables that belong together.

use regen_fusion::{Adapter, AdapterConfig, Attribution};
use regen_lm::{Decoder, DecoderConfig, TextTokenizer, masked_loss};
use regen_torch::seed;
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor, nn};

use crate::prompt::{Batch, Padding, PromptTokens, Sequence, splice};
use crate::{Error, Example, ItemTables, Request, Result};

/// Random streams of a seed, so that changing one draw never moves another.
pub(crate) mod stream {
    pub(crate) const DECODER: u64 = 1;
    pub(crate) const ADAPTER: u64 = 2;
    pub(crate) const BATCHES: u64 = 3;
}

/// Everything that fixes a narrator's shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NarratorConfig {
    /// The adapter. Its `hidden` must be the decoder's.
    pub adapter: AdapterConfig,
    /// The language model. Its vocabulary must be the tokenizer's.
    pub decoder: DecoderConfig,
    /// Names of the kinds of narrative that it writes.
    pub kinds: Vec<String>,
    /// Purchases of a history that are read, from the most recent; 50 in the paper.
    pub max_history: usize,
    /// Tokens of a narrative, its end included.
    pub max_narrative_tokens: usize,
}

/// Writes narratives from histories of items. Made fresh with [`Narrator::new`] or read with [`Narrator::open`].
#[derive(Debug)]
pub struct Narrator {
    pub(crate) config: NarratorConfig,
    pub(crate) device: Device,
    pub(crate) adapter_vs: nn::VarStore,
    pub(crate) lm_vs: nn::VarStore,
    pub(crate) adapter: Adapter,
    pub(crate) decoder: Decoder,
    pub(crate) tokenizer: TextTokenizer,
    pub(crate) tokens: PromptTokens,
    pub(crate) tables: ItemTables,
    pub(crate) item_ids: Vec<String>,
}

impl Narrator {
    /// Puts the parts together, with parameters drawn from `seed`.
    ///
    /// `item_ids[row]` is the outside name of row `row` of the tables.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if parts do not fit each other, [`Error::MissingToken`] if the tokenizer lacks a prompt
    /// token, [`Error::InvalidConfig`], and those of the adapter and the decoder.
    pub fn new(
        config: NarratorConfig,
        tables: ItemTables,
        item_ids: Vec<String>,
        tokenizer: TextTokenizer,
        device: Device,
        seed: u64,
    ) -> Result<Self> {
        check(&config, &tables, &item_ids, &tokenizer)?;
        let tokens = PromptTokens::new(&tokenizer, &config.kinds)?;
        let lm_vs = nn::VarStore::new(device);
        let decoder = Decoder::new(&lm_vs.root(), &config.decoder, &mut seed::rng(seed, stream::DECODER))?;
        let adapter_vs = nn::VarStore::new(device);
        let adapter =
            Adapter::new(&adapter_vs.root(), &config.adapter, &mut seed::rng(seed, stream::ADAPTER))?;
        let tables = tables.to_device(device);
        Ok(Self { config, device, adapter_vs, lm_vs, adapter, decoder, tokenizer, tokens, tables, item_ids })
    }

    /// What it was built from.
    pub fn config(&self) -> &NarratorConfig {
        &self.config
    }

    /// The outside names of the item rows, in order.
    pub fn item_ids(&self) -> &[String] {
        &self.item_ids
    }

    /// Numbers that training moves: adapter and language model.
    pub fn parameters(&self) -> usize {
        self.trainable().iter().map(|(_, variable)| variable.numel()).sum()
    }

    /// Name and tensor of every trainable parameter, sorted by name; adapter names begin with `adapter.`.
    pub(crate) fn trainable(&self) -> Vec<(String, Tensor)> {
        let adapter = self.adapter_vs.variables().into_iter().map(|(name, v)| (format!("adapter.{name}"), v));
        let lm = self.lm_vs.variables().into_iter().map(|(name, v)| (format!("lm.{name}"), v));
        let mut all: Vec<(String, Tensor)> = adapter.chain(lm).filter(|(_, v)| v.requires_grad()).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// Mean cross entropy in nats per narrative token over `examples`, `<eos>` included. No gradient is recorded.
    ///
    /// # Errors
    /// [`Error::NoExamples`]; [`Error::UnknownKind`], [`Error::UnknownItem`] or [`Error::EmptyRequest`] for a
    /// request that cannot be laid out.
    pub fn loss(&self, examples: &[Example], batch: usize) -> Result<f64> {
        if examples.is_empty() {
            return Err(Error::NoExamples { which: "validation" });
        }
        self.mean_loss(&self.sequences(examples)?, batch)
    }

    /// The norm share of each side in the soft tokens of each request, history first, then target.
    ///
    /// # Errors
    /// [`regen_fusion::Error::AttributionUndefined`] unless the adapter is a projection over both sides, and those
    /// of laying out the requests.
    pub fn attribution(&self, requests: &[Request]) -> Result<Attribution> {
        let sequences = self.prompts(requests)?;
        let batch = self.batch(&sequences.iter().collect::<Vec<_>>(), Padding::Right)?;
        Ok(self.adapter.attribution(&self.tables.gather(&batch.rows, &batch.row_mask))?)
    }

    pub(crate) fn prompts(&self, requests: &[Request]) -> Result<Vec<Sequence>> {
        let lay_out = |(index, request)| {
            Sequence::prompt(index, request, &self.tokens, &self.config, self.tables.items())
        };
        requests.iter().enumerate().map(lay_out).collect()
    }

    pub(crate) fn sequences(&self, examples: &[Example]) -> Result<Vec<Sequence>> {
        let lay_out = |(index, example): (usize, &Example)| {
            Sequence::prompt(index, &example.request, &self.tokens, &self.config, self.tables.items())?
                .with_answer(&example.text, &self.tokenizer, &self.tokens, &self.config)
        };
        examples.iter().enumerate().map(lay_out).collect()
    }

    pub(crate) fn batch(&self, sequences: &[&Sequence], padding: Padding) -> Result<Batch> {
        let per_item = self.config.adapter.tokens_per_item as usize;
        Batch::new(sequences, padding, &self.tokens, per_item, self.device)
    }

    /// The embeddings of a batch, `[batch, seq, hidden]`, soft tokens in their places.
    pub(crate) fn embeddings(&self, batch: &Batch) -> Result<Tensor> {
        let soft = self.adapter.forward(&self.tables.gather(&batch.rows, &batch.row_mask))?;
        Ok(splice(&self.decoder.embed(&batch.ids)?, &soft.embeddings, &batch.slots))
    }

    /// The loss of a batch as a scalar tensor, with gradient where gradients are on.
    pub(crate) fn batch_loss(&self, batch: &Batch) -> Result<Tensor> {
        let hidden = self.decoder.forward(&self.embeddings(batch)?, &batch.mask, None)?;
        Ok(masked_loss(&self.decoder, &hidden, &batch.targets, &batch.loss_mask)?)
    }

    pub(crate) fn mean_loss(&self, sequences: &[Sequence], batch: usize) -> Result<f64> {
        let mut order: Vec<&Sequence> = sequences.iter().collect();
        order.sort_by_key(|sequence| sequence.len());
        let (mut sum, mut count) = (0.0, 0.0);
        for chunk in order.chunks(batch.max(1)) {
            let tokens: usize = chunk.iter().map(|sequence| sequence.answer_len()).sum();
            let loss = tch::no_grad(|| self.batch_loss(&self.batch(chunk, Padding::Right)?))?;
            sum += loss.double_value(&[]) * tokens as f64;
            count += tokens as f64;
        }
        Ok(sum / count)
    }
}

/// Refuses parts that do not belong together, before anything is allocated.
fn check(
    config: &NarratorConfig,
    tables: &ItemTables,
    item_ids: &[String],
    tokenizer: &TextTokenizer,
) -> Result<()> {
    let mismatch = |part, got: String, other, expected: String| {
        if got == expected { Ok(()) } else { Err(Error::Mismatch { part, got, other, expected }) }
    };
    let width = |hidden: i64| format!("width {hidden}");
    mismatch("the adapter", width(config.adapter.hidden), "the decoder", width(config.decoder.hidden()))?;
    let vocabulary = |size: i64| format!("a vocabulary of {size}");
    let size = tokenizer.vocab_size();
    mismatch("the tokenizer", vocabulary(size), "the decoder", vocabulary(config.decoder.vocab()))?;
    let names = |count: usize| format!("{count} items");
    mismatch("the list of item ids", names(item_ids.len()), "the item tables", names(tables.items()))?;
    let sources = config.adapter.sources;
    let sides = [
        (sources.cf(), "the cf table", tables.cf(), config.adapter.cf_dim),
        (sources.semantic(), "the semantic table", tables.semantic(), config.adapter.semantic_dim),
    ];
    for (read, part, table, dim) in sides {
        if read {
            let got = table.map_or("no vectors".to_owned(), |table| width(table.dim()));
            mismatch(part, got, "the adapter", width(dim))?;
        }
    }
    for (field, value) in
        [("max_history", config.max_history), ("max_narrative_tokens", config.max_narrative_tokens)]
    {
        if value == 0 {
            return Err(Error::InvalidConfig { field, got: "0".into(), expected: "at least 1" });
        }
    }
    // `<bos>`, `<last>`, its item and the kind stand beside history and narrative.
    let per_item = config.adapter.tokens_per_item.max(0) as usize;
    let longest = (config.max_history + 1) * per_item + 3 + config.max_narrative_tokens;
    if longest as i64 > config.decoder.max_positions() {
        return Err(Error::Mismatch {
            part: "the longest prompt with its narrative",
            got: format!("{longest} positions"),
            other: "the decoder",
            expected: format!("at most {}", config.decoder.max_positions()),
        });
    }
    Ok(())
}
