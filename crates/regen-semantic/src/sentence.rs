//! The sentence encoder: a folder in, one vector per text out.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};

use regen_torch::{Checkpoint, Numbers, Placement, settle_vector_math, tensor_from_f32, tensor_to_vec_f32};
use tch::{Device, Tensor};

use crate::dense::Dense;
use crate::folder::{Layout, Tail};
use crate::memory::{Memory, in_parts};
use crate::plan::{self, Padding};
use crate::pooling::pool;
use crate::threads;
use crate::tokens::TextTokens;
use crate::transformer::{Batch, Engine, Torch, Transformer, torch};
use crate::{EncoderConfig, Error, Pooling, Result, TokenizerDoubt};

/// A loaded sentence-transformers model. Any number of threads may use one at the same time, by reference or in an
/// [`Arc`](std::sync::Arc): they share its weights.
///
/// ```
/// use regen_semantic::{EncodeOptions, SentenceEncoder};
/// # let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/families/bert");
/// let encoder = SentenceEncoder::load(&folder, regen_torch::Placement::cpu())?;
/// let ask = |text| encoder.encode(&[text], &EncodeOptions::default());
/// std::thread::scope(|scope| {
///     let other = scope.spawn(|| ask("a red gel pen"));
///     assert_eq!(ask("a blue notebook")?.size(), other.join().expect("no panic")?.size());
///     Ok::<(), regen_semantic::Error>(())
/// })?;
/// # Ok::<(), regen_semantic::Error>(())
/// ```
#[derive(Debug)]
pub struct SentenceEncoder {
    /// A tensor's handle is one thread's, so that every call takes its own.
    network: Mutex<Network>,
    pub(crate) tokens: TextTokens,
    pub(crate) config: EncoderConfig,
    layout: Layout,
    dim: i64,
    memory: Memory,
}

/// What is put before every text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Prompt {
    /// The folder's default prompt, if it names one.
    #[default]
    OfFolder,
    /// Nothing, whatever the folder says.
    Nothing,
    /// The folder's prompt of this name.
    Named(String),
    /// This text.
    Text(String),
}

/// How texts are prepared and batched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Most texts in a batch, at least 1.
    pub batch_texts: usize,
    /// Most tokens in a batch; a longer text is a batch of its own. Batches that fit the processor's cache should be
    /// faster than large ones. It changes nothing but rounding.
    pub batch_tokens: usize,
    /// Batches computed at the same time on the CPU, each by one thread. `None`: as many as libtorch has threads, if
    /// there are as many batches; otherwise they are computed one after the other, by the calling thread if the weights are
    /// [packed](SentenceEncoder::is_packed) and with libtorch's threads for each product if they are not. Callers that encode on many
    /// threads themselves set 1. Other threads' number of libtorch's threads stays as it is.
    pub workers: Option<NonZeroUsize>,
    /// What is done about texts of different length in one batch. `None`: by device.
    pub padding: Option<Padding>,
    /// What is put before every text.
    pub prompt: Prompt,
    /// Scale vectors to unit length even if the folder does not say so.
    pub normalize: bool,
}

impl Default for EncodeOptions {
    /// 64 texts, 1,024 tokens: small enough for a core's cache with MiniLM; not yet tuned by measurement.
    fn default() -> Self {
        Self {
            batch_texts: 64,
            batch_tokens: 1024,
            workers: None,
            padding: None,
            prompt: Prompt::OfFolder,
            normalize: false,
        }
    }
}

/// Takes the vectors of a batch of indexes.
type Store<'a> = dyn FnMut(&[usize], &[f32]) -> Result<()> + 'a;

/// Everything between token ids and vectors; each worker has its own handles on the same weights.
#[derive(Debug)]
struct Network {
    transformer: Engine,
    pooling: Vec<Pooling>,
    tail: Vec<Stage>,
    padding_id: Option<i64>,
}

#[derive(Debug)]
enum Stage {
    Normalize,
    Dense(Dense),
}

/// The settings of one call that reach the network.
#[derive(Debug, Clone, Copy)]
struct Run {
    padding: Padding,
    /// Leading tokens that are not pooled.
    skip: i64,
    normalize: bool,
}

impl SentenceEncoder {
    /// Loads the folder `dir` onto a device, in a precision. On an x86-64 CPU with AVX2, in f32 or bf16, weights are packed for
    /// kernels of our own, which in bf16 round rows at products only; elsewhere it is as [`load_plain`](Self::load_plain).
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Json`], [`Error::UnsupportedConfig`], [`Error::InvalidConfig`],
    /// [`Error::Tokenizer`], [`Error::VocabularyMismatch`], [`Error::SmallVocabulary`], [`Error::Checkpoint`].
    pub fn load(dir: &Path, placement: Placement) -> Result<Self> {
        Self::load_as(dir, placement, Engine::packed)
    }

    /// As [`load`](Self::load), with every operation libtorch's.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_plain(dir: &Path, placement: Placement) -> Result<Self> {
        Self::load_as(dir, placement, |transformer| Ok(Engine::Torch(Box::new(transformer))))
    }

    fn load_as(
        dir: &Path,
        placement: Placement,
        engine: impl FnOnce(Transformer) -> Result<Engine>,
    ) -> Result<Self> {
        settle_vector_math()?;
        let config = EncoderConfig::load(&dir.join("config.json"))?;
        let layout = Layout::load(dir, config.hidden)?;
        let tokens = TextTokens::load(dir, layout.max_tokens, &config, layout.lowercase)?;
        let mut dim = config.hidden * layout.pooling.len() as i64;
        let mut tail = Vec::new();
        for module in &layout.tail {
            tail.push(match module {
                Tail::Normalize => Stage::Normalize,
                Tail::Dense(folder) => {
                    let dense = Dense::load(folder, dim, placement)?;
                    dim = dense.output;
                    Stage::Dense(dense)
                }
            });
        }
        let transformer = engine(Transformer::load(&config, &Checkpoint::open(dir)?, placement)?)?;
        let network =
            Network { transformer, pooling: layout.pooling.clone(), tail, padding_id: config.padding_id };
        Ok(Self { network: Mutex::new(network), tokens, config, layout, dim, memory: Memory::default() })
    }

    /// Handles of the calling thread's own.
    fn network(&self) -> Network {
        threads::settle();
        self.network.lock().unwrap_or_else(PoisonError::into_inner).share()
    }

    /// The transformer, and the padding id of families that count positions past it.
    pub(crate) fn engine(&self) -> (Engine, Option<i64>) {
        let network = self.network();
        (network.transformer, network.padding_id)
    }

    /// Whether products are computed by kernels of our own.
    pub fn is_packed(&self) -> bool {
        self.network.lock().unwrap_or_else(PoisonError::into_inner).transformer.is_packed()
    }

    /// Width of an embedding.
    pub fn dim(&self) -> i64 {
        self.dim
    }

    /// Longest text in tokens, special ones included; what is longer is cut.
    pub fn max_tokens(&self) -> i64 {
        self.tokens.max_tokens
    }

    /// How often a batch was computed in halves since loading, because memory ran out. It changes vectors by rounding only.
    pub fn halved_batches(&self) -> usize {
        self.memory.halved()
    }

    /// Where memory ran out since loading: the most tokens that a batch of several texts has had from then on, whatever
    /// [`EncodeOptions::batch_tokens`] says.
    pub fn lowered_batch_tokens(&self) -> Option<usize> {
        Some(self.memory.most_tokens()).filter(|&tokens| tokens < usize::MAX)
    }

    /// What speaks against the folder's tokenizer being its model's, without being proof: for programs to print. What is proof is
    /// refused by [`load`](Self::load).
    pub fn tokenizer_doubts(&self) -> &[TokenizerDoubt] {
        &self.tokens.doubts
    }

    /// How token vectors become one; several are concatenated.
    pub fn pooling(&self) -> &[Pooling] {
        &self.layout.pooling
    }

    /// The transformer's shape.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// The folder's prompts: name and text.
    pub fn prompts(&self) -> &[(String, String)] {
        &self.layout.prompts
    }

    /// Embeds texts: `[n, dim]` f32 on the CPU, in the order given. Zero texts give `[0, dim]`.
    ///
    /// # Errors
    /// [`Error::UnknownPrompt`], [`Error::NoTokens`], [`Error::UnknownToken`], [`Error::Tokenizer`], [`Error::Torch`],
    /// [`Error::OutOfMemory`].
    pub fn encode<S: AsRef<str>>(&self, texts: &[S], options: &EncodeOptions) -> Result<Tensor> {
        self.encode_with(texts, options, &mut |_, _| ControlFlow::Continue(()))
    }

    /// Embeds texts and tells `progress` after every batch how many of how many are done.
    ///
    /// # Errors
    /// Those of [`SentenceEncoder::encode`], and [`Error::Stopped`] if `progress` breaks.
    pub fn encode_with<S: AsRef<str>>(
        &self,
        texts: &[S],
        options: &EncodeOptions,
        progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<Tensor> {
        let total = texts.len();
        let width = self.dim as usize;
        let prompt = self.prompt(&options.prompt)?;
        let ids =
            self.tokens.encode(texts.iter().map(|text| format!("{prompt}{}", text.as_ref())).collect())?;
        if let Some(text) = ids.iter().position(Vec::is_empty) {
            return Err(Error::NoTokens { text });
        }
        let lengths: Vec<usize> = ids.iter().map(Vec::len).collect();
        let batch_tokens = options.batch_tokens.min(self.memory.most_tokens());
        let batches = plan::batches(&lengths, options.batch_texts, batch_tokens);
        let network = self.network();
        let on_cpu = network.transformer.device() == Device::Cpu;
        let skip = !(self.layout.include_prompt || prompt.is_empty());
        let run = Run {
            padding: options.padding.unwrap_or(if on_cpu { Padding::Avoid } else { Padding::ToLongest }),
            skip: if skip { self.tokens.prompt_tokens(prompt)? } else { 0 },
            normalize: options.normalize,
        };
        let mut output = vec![0f32; total * width];
        let mut done = 0;
        let mut store = |batch: &[usize], vectors: &[f32]| {
            for (&index, vector) in batch.iter().zip(vectors.chunks_exact(width)) {
                output[index * width..][..width].copy_from_slice(vector);
            }
            done += batch.len();
            match progress(done, total) {
                ControlFlow::Break(()) if done < total => Err(Error::Stopped { done, total }),
                _ => Ok(()),
            }
        };
        match workers(options.workers, on_cpu, batches.len()) {
            1 => {
                for batch in &batches {
                    store(batch, &network.embed_within(batch, &ids, run, &self.memory)?)?;
                }
            }
            workers => network.in_parallel(workers, &batches, &ids, run, &self.memory, &mut store)?,
        }
        Ok(tensor_from_f32(&output, &[total as i64, self.dim])?)
    }

    fn prompt<'a>(&'a self, prompt: &'a Prompt) -> Result<&'a str> {
        Ok(match prompt {
            Prompt::OfFolder => self.layout.default_prompt.as_deref().unwrap_or(""),
            Prompt::Nothing => "",
            Prompt::Text(text) => text,
            Prompt::Named(name) => match self.layout.prompts.iter().find(|(known, _)| known == name) {
                Some((_, text)) => text,
                None => {
                    let known = self.layout.prompts.iter().map(|(known, _)| known.clone()).collect();
                    return Err(Error::UnknownPrompt { name: name.clone(), known });
                }
            },
        })
    }
}

/// How many batches are computed at the same time.
fn workers(wanted: Option<NonZeroUsize>, on_cpu: bool, batches: usize) -> usize {
    if !on_cpu {
        return 1;
    }
    match wanted {
        Some(workers) => workers.get().min(batches).max(1),
        None => {
            let threads = usize::try_from(tch::get_num_threads()).unwrap_or(1).max(1);
            if batches >= threads { threads } else { 1 }
        }
    }
}

impl Network {
    fn share(&self) -> Self {
        let share = |stage: &Stage| match stage {
            Stage::Normalize => Stage::Normalize,
            Stage::Dense(dense) => Stage::Dense(dense.share()),
        };
        Self {
            transformer: self.transformer.share(),
            pooling: self.pooling.clone(),
            tail: self.tail.iter().map(share).collect(),
            padding_id: self.padding_id,
        }
    }

    /// Computes each batch on one of `workers` threads; `store` is called on this one.
    fn in_parallel(
        &self,
        workers: usize,
        batches: &[Vec<usize>],
        ids: &[Vec<i64>],
        run: Run,
        memory: &Memory,
        store: &mut Store<'_>,
    ) -> Result<()> {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let (sender, receiver) = mpsc::channel();
            let (settled, all_settled) = mpsc::channel::<()>();
            let held = threads::hold();
            for _ in 0..workers {
                let (network, sender, next) = (self.share(), sender.clone(), &next);
                let settled = settled.clone();
                scope.spawn(move || {
                    // libtorch and MKL keep a thread count for each thread that asks.
                    tch::set_num_threads(1);
                    drop(settled);
                    while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                        // A closed channel means that nobody waits any more.
                        if sender.send((batch, network.embed_within(batch, ids, run, memory))).is_err() {
                            return;
                        }
                    }
                });
            }
            drop((sender, settled));
            // Ends when every worker has let go of its end.
            all_settled.iter().for_each(drop);
            drop(held);
            let result = receiver.iter().try_for_each(|(batch, vectors)| store(batch, &vectors?));
            next.store(batches.len(), Ordering::Relaxed);
            result
        })
    }

    /// As [`embed`](Self::embed), in halves where memory runs out.
    fn embed_within(&self, batch: &[usize], ids: &[Vec<i64>], run: Run, memory: &Memory) -> Result<Vec<f32>> {
        let tokens = |part: &[usize]| {
            let lengths = || part.iter().map(|&index| ids[index].len());
            match run.padding {
                Padding::Avoid => lengths().sum(),
                Padding::ToLongest => part.len() * lengths().max().unwrap_or(0),
            }
        };
        in_parts(batch, memory, &tokens, &mut |part| self.embed(part, ids, run))
    }

    /// Embeds the texts of `ids` that `batch` names: `[batch · dim]`, row by row.
    fn embed(&self, batch: &[usize], ids: &[Vec<i64>], run: Run) -> Result<Vec<f32>> {
        let texts: Vec<&[i64]> = batch.iter().map(|&index| ids[index].as_slice()).collect();
        let vectors = tch::no_grad(|| -> Result<Tensor> {
            let batch = plan::batch(&texts, self.padding_id, run.padding, self.transformer.device());
            let batch = batch.map_err(torch("place a batch"))?;
            let tokens = self.transformer.forward(&batch)?;
            let mut vectors = self.pool(&tokens, &batch, run.skip).map_err(torch("pool a batch"))?;
            for stage in &self.tail {
                vectors = match stage {
                    Stage::Normalize => normalize(&vectors)?,
                    Stage::Dense(dense) => dense.forward(&vectors)?,
                };
            }
            if run.normalize { normalize(&vectors) } else { Ok(vectors) }
        })?;
        Ok(tensor_to_vec_f32(&vectors)?)
    }

    /// The vectors of a batch's texts from those of their tokens, `[tokens, hidden] → [texts, hidden · modes]`.
    fn pool(&self, tokens: &Tensor, batch: &Batch, skip: i64) -> Torch<Tensor> {
        let hidden = tokens.size()[1];
        let mut start = 0;
        let pooled = batch.groups.iter().map(|group| {
            let rows = group.texts * group.seq;
            let own = tokens.f_narrow(0, start, rows)?.f_view([group.texts, group.seq, hidden])?;
            start += rows;
            pool(&own, group.lengths.as_ref(), skip, &self.pooling)
        });
        Tensor::f_cat(&pooled.collect::<Torch<Vec<Tensor>>>()?, 0)
    }
}

/// Unit length, with the floor of `torch.nn.functional.normalize`.
fn normalize(vectors: &Tensor) -> Result<Tensor> {
    vectors.try_unit(1e-12).map_err(torch("scale vectors to unit length"))
}
