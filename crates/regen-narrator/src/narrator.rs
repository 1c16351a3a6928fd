//! The trained whole: adapter, language model, tokenizer and item tables that belong together.

use std::path::{Path, PathBuf};

use regen_fusion::{Adapter, AdapterConfig, Attribution, Details, ItemVectors, Numbers, Side};
use regen_lm::{Decoder, DecoderConfig, LoraConfig, TextTokenizer};
use regen_torch::seed;
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor, nn};

use crate::checks::{check, load_lm, same, whitening_maps};
use crate::copying::CopyHead;
use crate::injection::{Embedded, Injection, InjectionConfig};
use crate::next_item::NextItemHead;
use crate::prompt::{Batch, Padding, Places, PromptTokens, PromptWords, Sequence};
use crate::writing::{FolderWriting, WritingDefaults};
use crate::{Error, Example, ItemIds, ItemTables, Provenance, Request, Result, ReviewEncoder, Withheld};

/// Random streams of a seed, so that changing one draw never moves another.
pub(crate) mod stream {
    pub(crate) const DECODER: u64 = 1;
    pub(crate) const ADAPTER: u64 = 2;
    pub(crate) const BATCHES: u64 = 3;
    pub(crate) const COPYING: u64 = 4;
    pub(crate) const CONTROLS: u64 = 5;
    pub(crate) const NEXT_ITEM: u64 = 6;
    pub(crate) const NEGATIVES: u64 = 7;
    pub(crate) const LORA: u64 = 8;
    pub(crate) const DROPOUT: u64 = 9;
    /// Not the next number: the exchanges of experiments that are kept were drawn from it.
    pub(crate) const EXCHANGE: u64 = 80;
}

/// Everything that fixes a narrator's shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NarratorConfig {
    /// The adapter. Its `hidden` must be the decoder's. Without one, requests name no items and there is only a passage.
    pub adapter: Option<AdapterConfig>,
    /// The language model. Its vocabulary must hold the tokenizer's.
    pub decoder: DecoderConfig,
    /// Whether it can also tell which item is bought next ([`Narrator::next_item_ranks`]). Needs an adapter.
    #[serde(default, skip_serializing_if = "is_false")]
    pub next_item: bool,
    /// Names of the kinds of narrative that it writes.
    pub kinds: Vec<String>,
    /// Purchases of a history that are read, from the most recent; 50 in the paper.
    pub max_history: usize,
    /// Tokens of a narrative, its end included.
    pub max_narrative_tokens: usize,
    /// Whether, and how, it reads the passage of a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passage: Option<PassageConfig>,
    /// The words of its prompts, for a language model that can read before it is trained; without them, its prompts are made of
    /// the tokens that [`special_tokens`](crate::special_tokens) lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<PromptWords>,
    /// Low-rank updates of the language model, which then stays as it is beside them; `None` to train all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraConfig>,
    /// Blocks of the language model before which soft tokens are added to its states, beside standing at its input. Needs an
    /// adapter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub injection: Option<InjectionConfig>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// How a narrator reads a passage, and takes words from it into the narrative.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PassageConfig {
    /// Tokens of a passage that are read, from its start; each phrase takes one more than its own.
    pub max_tokens: usize,
    /// Width of the attention that copies words of the passage into the narrative (See et al. 2017); 0 for none, as suits
    /// a language model that can copy by itself.
    pub copy_width: i64,
}

impl NarratorConfig {
    /// The places of soft tokens in its prompts.
    pub(crate) fn places(&self) -> Places {
        let count = |tokens: i64| tokens.max(0) as usize;
        let none = Places { per_item: 1, per_history: 0, per_user: 0 };
        self.adapter.as_ref().map_or(none, |adapter| Places {
            per_item: count(adapter.tokens_per_item),
            per_history: count(adapter.tokens_per_history()),
            per_user: count(adapter.tokens_per_user()),
        })
    }
}

/// Writes narratives from histories of items. Made fresh with [`Narrator::new`] or read with [`Narrator::open`].
///
/// It holds handles of tensors, which are one thread's at a time: it may move to another thread (`Send`), and is not shared by
/// several (no `Sync`). The README shows how many threads have one write for them.
#[derive(Debug)]
pub struct Narrator {
    pub(crate) config: NarratorConfig,
    pub(crate) device: Device,
    pub(crate) adapter_vs: nn::VarStore,
    pub(crate) lm_vs: nn::VarStore,
    pub(crate) lora_vs: nn::VarStore,
    pub(crate) copy_vs: nn::VarStore,
    pub(crate) next_vs: nn::VarStore,
    pub(crate) adapter: Option<Adapter>,
    /// Its tensors are among the adapter's.
    pub(crate) injection: Option<Injection>,
    pub(crate) decoder: Decoder,
    pub(crate) copying: Option<CopyHead>,
    pub(crate) next_item: Option<NextItemHead>,
    pub(crate) tokenizer: TextTokenizer,
    pub(crate) tokens: PromptTokens,
    pub(crate) tables: ItemTables,
    pub(crate) item_ids: ItemIds,
    /// The folder outside any bundle that the language model was taken from.
    pub(crate) base: Option<PathBuf>,
    pub(crate) provenance: Option<Provenance>,
    pub(crate) review_encoder: Option<ReviewEncoder>,
    pub(crate) writing: WritingDefaults,
    /// What the language model's folder says of writing.
    pub(crate) folder: Option<FolderWriting>,
}

/// Where a language model's parameters come from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LmWeights<'a> {
    /// Drawn.
    Fresh,
    /// Of a Hugging Face folder.
    Folder(&'a Path),
    /// Of a Hugging Face folder and a PEFT folder with its low-rank updates.
    Adapted(&'a Path, &'a Path),
}

impl Narrator {
    /// Puts the parts together, with parameters drawn from `seed`.
    ///
    /// `item_ids` names the rows of the tables.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if parts do not fit each other, [`Error::MissingToken`] if the tokenizer lacks a prompt
    /// token, [`Error::InvalidConfig`], and those of the adapter and the decoder.
    pub fn new(
        config: NarratorConfig,
        tables: ItemTables,
        item_ids: ItemIds,
        tokenizer: TextTokenizer,
        device: Device,
        seed: u64,
    ) -> Result<Self> {
        Self::assemble(config, tables, item_ids, tokenizer, LmWeights::Fresh, device, seed)
    }

    /// Puts the parts together around a language model that has been trained: the Hugging Face folder `lm` with its tokenizer.
    /// What is new (adapter, low-rank updates, heads) is drawn from `seed`, the adapter at the norm of the vocabulary's
    /// embeddings whatever its `initial_rms` says.
    ///
    /// `config.decoder` must be what [`DecoderConfig::from_hf`] reads from the folder. Its prompts are best made of
    /// [`words`](NarratorConfig::words), since its tokenizer knows no others.
    ///
    /// # Errors
    /// As [`Narrator::new`], and those of loading the folder.
    pub fn on_lm(
        lm: &Path,
        config: NarratorConfig,
        tables: ItemTables,
        item_ids: ItemIds,
        device: Device,
        seed: u64,
    ) -> Result<Self> {
        let tokenizer = TextTokenizer::load(lm)?;
        Self::assemble(config, tables, item_ids, tokenizer, LmWeights::Folder(lm), device, seed)
    }

    pub(crate) fn assemble(
        mut config: NarratorConfig,
        tables: ItemTables,
        item_ids: ItemIds,
        tokenizer: TextTokenizer,
        lm: LmWeights<'_>,
        device: Device,
        seed: u64,
    ) -> Result<Self> {
        let tokens = PromptTokens::new(&tokenizer, &config)?;
        check(&config, &tables, &item_ids, &tokenizer, &tokens)?;
        let lm_vs = nn::VarStore::new(device);
        let mut decoder = match lm {
            LmWeights::Fresh => {
                Decoder::new(&lm_vs.root(), &config.decoder, &mut seed::rng(seed, stream::DECODER))?
            }
            LmWeights::Folder(dir) | LmWeights::Adapted(dir, _) => load_lm(&lm_vs, dir, &config.decoder)?,
        };
        let folder = match lm {
            LmWeights::Fresh => None,
            LmWeights::Folder(dir) | LmWeights::Adapted(dir, _) => FolderWriting::read(dir, &config.decoder)?,
        };
        let lora_vs = nn::VarStore::new(device);
        match (&config.lora, lm) {
            (None, _) => {}
            (Some(lora), LmWeights::Adapted(_, dir)) => {
                let stored = decoder.load_lora(&lora_vs.root(), dir)?;
                same("the folder of low-rank updates", &stored, lora)?;
            }
            (Some(lora), _) => {
                decoder.add_lora(&lora_vs.root(), lora, &mut seed::rng(seed, stream::LORA))?;
            }
        }
        if let (LmWeights::Folder(_), Some(adapter)) = (lm, &mut config.adapter) {
            adapter.initial_rms = decoder.embedding_rms()?;
        }
        let adapter_vs = nn::VarStore::new(device);
        // The tensors of a bundle's adapter are loaded later, those of the whitening among them.
        let opened = matches!(lm, LmWeights::Adapted(..));
        let adapter = config
            .adapter
            .as_ref()
            .map(|adapter| {
                let maps = whitening_maps(adapter, &tables, opened)?;
                let rng = &mut seed::rng(seed, stream::ADAPTER);
                Ok::<_, Error>(Adapter::whitened(&adapter_vs.root(), adapter, maps, rng)?)
            })
            .transpose()?;
        let injection = config.injection.as_ref().map(|injection| {
            Injection::new(&(adapter_vs.root() / "injection"), injection, config.decoder.hidden())
        });
        let copy_vs = nn::VarStore::new(device);
        let copying = config.passage.as_ref().filter(|passage| passage.copy_width > 0).map(|passage| {
            let rng = &mut seed::rng(seed, stream::COPYING);
            CopyHead::new(&copy_vs.root(), config.decoder.hidden(), passage.copy_width, rng)
        });
        let next_vs = nn::VarStore::new(device);
        let next_item = config.next_item.then(|| {
            let rng = &mut seed::rng(seed, stream::NEXT_ITEM);
            NextItemHead::new(&next_vs.root(), config.decoder.hidden(), rng)
        });
        let tables = tables.to_device(device)?;
        Ok(Self {
            config,
            device,
            adapter_vs,
            lm_vs,
            lora_vs,
            copy_vs,
            next_vs,
            adapter,
            injection,
            decoder,
            copying,
            next_item,
            tokenizer,
            tokens,
            tables,
            item_ids,
            base: if let LmWeights::Folder(dir) = lm { Some(dir.to_owned()) } else { None },
            provenance: None,
            review_encoder: None,
            writing: WritingDefaults::default(),
            folder,
        })
    }

    /// What it was built from.
    pub fn config(&self) -> &NarratorConfig {
        &self.config
    }

    /// The outside names of the item rows, in order.
    pub fn item_ids(&self) -> &ItemIds {
        &self.item_ids
    }

    /// Where it was trained, if that is known.
    pub fn provenance(&self) -> Option<&Provenance> {
        self.provenance.as_ref()
    }

    /// Says where it was trained, for the bundle and its card.
    pub fn set_provenance(&mut self, provenance: Provenance) {
        self.provenance = Some(provenance);
    }

    /// Numbers that training moves: adapter and language model.
    pub fn parameters(&self) -> usize {
        self.trainable().iter().map(|(_, variable)| variable.numel()).sum()
    }

    /// Name and tensor of every trainable parameter, sorted by name; names begin with `adapter.`, `copy.`, `lm.`,
    /// `lora.`, `next.` or, for tables that move in training, `tables.`.
    pub(crate) fn trainable(&self) -> Vec<(String, Tensor)> {
        let mut all = self.tensors();
        all.retain(|(_, tensor)| tensor.requires_grad());
        all
    }

    /// Every tensor that is read and not among `moved`: those of a language model that stays as it is, and tables in memory.
    pub(crate) fn fixed(&self, moved: &[(String, Tensor)]) -> Vec<(String, Tensor)> {
        let moved: std::collections::HashSet<&str> = moved.iter().map(|(name, _)| name.as_str()).collect();
        let mut all = self.tensors();
        all.retain(|(name, _)| !moved.contains(name.as_str()));
        all
    }

    /// By name, in the order of names.
    fn tensors(&self) -> Vec<(String, Tensor)> {
        let stores = [
            ("adapter", &self.adapter_vs),
            ("copy", &self.copy_vs),
            ("lm", &self.lm_vs),
            ("lora", &self.lora_vs),
            ("next", &self.next_vs),
        ];
        let named = stores.into_iter().flat_map(|(part, store)| {
            store.variables().into_iter().map(move |(name, variable)| (format!("{part}.{name}"), variable))
        });
        let tables = self
            .tables
            .sides()
            .filter_map(|(side, table)| Some((format!("tables.{side}"), table.in_memory()?.shallow_clone())));
        let mut all: Vec<(String, Tensor)> = named.chain(tables).collect();
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
    /// [`Error::NoAdapter`] for a narrator that reads no items, [`regen_fusion::Error::AttributionUndefined`] unless the
    /// adapter is a projection over both sides, and those of laying out the requests.
    pub fn attribution(&self, requests: &[Request]) -> Result<Attribution> {
        let adapter = self.adapter.as_ref().ok_or(Error::NoAdapter)?;
        let sequences = self.prompts(requests)?;
        let batch = self.batch(&sequences.iter().collect::<Vec<_>>(), Padding::Right)?;
        Ok(adapter.attribution(&self.item_vectors(&batch, Withheld::Nothing)?)?)
    }

    /// The vector of a user of whom nothing is known but a history, as the factorisation would have it, `[rank]`. `None` for a
    /// narrator without a fold-in, and where no item of the history has a collaborative vector.
    ///
    /// # Errors
    /// [`Error::UnknownItem`], [`Error::NotPositiveDefinite`].
    pub fn fold_in(&self, history: &[u32]) -> Result<Option<Vec<f32>>> {
        self.user(0, history)
    }

    fn user(&self, request: usize, history: &[u32]) -> Result<Option<Vec<f32>>> {
        let items = self.tables.items();
        if let Some(&item) = history.iter().find(|&&item| item as usize >= items) {
            return Err(Error::UnknownItem { request, item, items });
        }
        self.tables.user(&history.iter().map(|&item| i64::from(item)).collect::<Vec<_>>())
    }

    /// Whether `request` can be laid out. A batch in which one cannot is refused whole, so who gathers the requests of many people
    /// asks this of each before.
    ///
    /// # Errors
    /// As [`NarrativeWriter::narrate`](crate::NarrativeWriter::narrate) of this request alone.
    pub fn check_request(&self, request: &Request) -> Result<()> {
        self.prompt(0, request).map(drop)
    }

    pub(crate) fn prompts(&self, requests: &[Request]) -> Result<Vec<Sequence>> {
        requests.iter().enumerate().map(|(index, request)| self.prompt(index, request)).collect()
    }

    fn prompt(&self, index: usize, request: &Request) -> Result<Sequence> {
        let items = self.tables.items();
        let sequence = Sequence::prompt(index, request, &self.tokenizer, &self.tokens, &self.config, items)?;
        // From the history and nothing else, in training as in serving: a factor of the fit would know the target. From all of it,
        // what is too old to have a place in the prompt as well.
        let user = match &self.config.adapter {
            Some(adapter) if adapter.user => self.user(index, &request.history)?,
            _ => None,
        };
        Ok(sequence.of_user(user))
    }

    pub(crate) fn sequences(&self, examples: &[Example]) -> Result<Vec<Sequence>> {
        let lay_out = |(index, example): (usize, &Example)| {
            let prompt = self.prompt(index, &example.request)?;
            prompt.with_answer(&example.text, &self.tokenizer, &self.tokens, &self.config)
        };
        examples.iter().enumerate().map(lay_out).collect()
    }

    /// How the first narrative of a batch begins, for messages.
    pub(crate) fn answer_start(&self, rows: &[&Sequence]) -> Result<String> {
        let ids = rows.first().map_or(&[][..], |row| row.answer());
        Ok(self.tokenizer.decode(ids)?.chars().take(60).collect())
    }

    pub(crate) fn batch(&self, sequences: &[&Sequence], padding: Padding) -> Result<Batch> {
        Batch::new(sequences, padding, &self.tokens, &self.config, self.device)
    }

    /// The embeddings of a batch, soft tokens in their places, and what is added to the states further up.
    pub(crate) fn embeddings(&self, batch: &Batch, withheld: Withheld) -> Result<Embedded> {
        let text = self.decoder.embed(&batch.ids)?;
        match self.soft_tokens(batch, withheld)? {
            Some(soft) => Embedded::with(&text, &soft, &batch.slots, self.injection.as_ref()),
            None => Ok(Embedded::text(text)),
        }
    }

    /// The soft tokens that `batch.slots` counts, `[batch, soft tokens, hidden]`; `None` where nothing is to be adapted: no
    /// adapter, or a batch of passages alone.
    pub(crate) fn soft_tokens(&self, batch: &Batch, withheld: Withheld) -> Result<Option<Tensor>> {
        let (Some(adapter), true) = (&self.adapter, batch.rows.numel() > 0) else { return Ok(None) };
        let items = self.item_vectors(batch, withheld)?;
        let mut parts = vec![adapter.forward(&items)?.embeddings];
        parts.extend(adapter.resample(&items, &batch.history)?);
        if let Some(users) = &batch.user {
            let shown = withheld.hides_user().then(|| Side {
                vectors: users.vectors.shallow_clone(),
                present: users.present.zeros_like(),
            });
            parts.extend(adapter.user(shown.as_ref().unwrap_or(users))?);
        }
        if parts.len() == 1 {
            return Ok(parts.pop());
        }
        Ok(Some(Tensor::f_cat(&parts, 1)?))
    }

    /// What the adapter is given of a batch's items.
    pub(crate) fn item_vectors(&self, batch: &Batch, withheld: Withheld) -> Result<ItemVectors> {
        let mut items = self.tables.gather(&batch.rows, &batch.row_mask)?;
        for (side, hidden) in
            [(&mut items.cf, withheld.hides_cf()), (&mut items.semantic, withheld.hides_semantic())]
        {
            if let (Some(side), true) = (side, hidden) {
                side.present = side.present.zeros_like();
            }
        }
        let Details { rating, recency, position, review } = &batch.details;
        if withheld != Withheld::Details {
            let same = |numbers: &Option<Numbers>| {
                numbers.as_ref().map(|numbers| Numbers {
                    values: numbers.values.shallow_clone(),
                    present: numbers.present.shallow_clone(),
                })
            };
            items.details.rating = same(rating);
            (items.details.recency, items.details.position) = (same(recency), same(position));
        }
        if withheld != Withheld::Reviews {
            items.details.review = review.as_ref().map(|side| Side {
                vectors: side.vectors.shallow_clone(),
                present: side.present.shallow_clone(),
            });
        }
        Ok(items)
    }

    pub(crate) fn mean_loss(&self, sequences: &[Sequence], batch: usize) -> Result<f64> {
        let mut order: Vec<&Sequence> = sequences.iter().collect();
        order.sort_by_key(|sequence| sequence.len());
        let (mut sum, mut count) = (0.0, 0.0);
        // The narrative's loss draws nothing.
        let mut unused = seed::rng(0, stream::NEGATIVES);
        for chunk in order.chunks(batch.max(1)) {
            let tokens: usize = chunk.iter().map(|sequence| sequence.answer_len()).sum();
            let batch = self.batch(chunk, Padding::Right)?;
            let (loss, _) = tch::no_grad(|| self.batch_losses(&batch, None, &mut unused))?;
            sum += loss.double_value(&[]) * tokens as f64;
            count += tokens as f64;
        }
        Ok(sum / count)
    }
}
