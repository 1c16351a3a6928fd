//! The sentence encoder: a folder in, one vector per text out.

use std::ops::ControlFlow;
use std::path::Path;

use regen_torch::{Checkpoint, Placement};
use tch::{Device, Kind, Tensor};

use crate::bert::{Bert, torch};
use crate::folder::Layout;
use crate::pooling::pool;
use crate::tokens::TextTokens;
use crate::{EncoderConfig, Error, Pooling, Result};

/// A loaded sentence-transformers model.
#[derive(Debug)]
pub struct SentenceEncoder {
    bert: Bert,
    tokens: TextTokens,
    config: EncoderConfig,
    layout: Layout,
    max_tokens: i64,
}

/// How texts are batched; none of it changes the vectors beyond rounding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Most texts in a batch, at least 1.
    pub batch_texts: usize,
    /// Most tokens in a batch, padding included; a longer text is a batch of its own. Batches that fit the
    /// processor's cache are faster than large ones.
    pub batch_tokens: usize,
}

impl Default for EncodeOptions {
    /// 32 texts, 2,048 tokens: measured on MiniLM, see `docs/benchmarks.md`.
    fn default() -> Self {
        Self { batch_texts: 32, batch_tokens: 2048 }
    }
}

impl SentenceEncoder {
    /// Loads the folder `dir` onto a device, in a precision.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Json`], [`Error::UnsupportedConfig`], [`Error::InvalidConfig`],
    /// [`Error::Tokenizer`], [`Error::VocabularyMismatch`], [`Error::Checkpoint`].
    pub fn load(dir: &Path, placement: Placement) -> Result<Self> {
        let config = EncoderConfig::load(&dir.join("config.json"))?;
        let layout = Layout::load(dir)?;
        let max_tokens = layout.max_tokens.unwrap_or(config.max_positions);
        if max_tokens > config.max_positions {
            return Err(Error::InvalidConfig {
                path: dir.join("sentence_bert_config.json"),
                field: "max_seq_length".into(),
                value: max_tokens.to_string(),
                expected: format!("at most max_position_embeddings = {}", config.max_positions),
            });
        }
        let tokens = TextTokens::load(dir, max_tokens, config.vocab, layout.lowercase)?;
        let bert = Bert::load(&config, &Checkpoint::open(dir)?, placement)?;
        Ok(Self { bert, tokens, config, layout, max_tokens })
    }

    /// Width of an embedding.
    pub fn dim(&self) -> i64 {
        self.config.hidden
    }

    /// Longest text in tokens, special ones included; what is longer is cut.
    pub fn max_tokens(&self) -> i64 {
        self.max_tokens
    }

    /// How token vectors become one.
    pub fn pooling(&self) -> Pooling {
        self.layout.pooling
    }

    /// Embeds texts: `[n, dim]` f32 on the CPU, in the order given. Zero texts give `[0, dim]`.
    ///
    /// # Errors
    /// [`Error::Tokenizer`], [`Error::Torch`].
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
        let output = Tensor::zeros([total as i64, self.dim()], (Kind::Float, Device::Cpu));
        if total == 0 {
            return Ok(output);
        }
        let ids = self.tokens.encode(texts)?;
        // Texts of similar length share a batch, so that little padding is computed; longest first, so that memory
        // is short at the start or never.
        let mut order: Vec<usize> = (0..total).collect();
        order.sort_by_key(|&index| std::cmp::Reverse(ids[index].len()));
        let mut done = 0;
        while done < total {
            let longest = ids[order[done]].len().max(1);
            let fitting = (options.batch_tokens / longest).clamp(1, options.batch_texts.max(1));
            let batch = &order[done..(done + fitting).min(total)];
            let vectors = tch::no_grad(|| self.encode_batch(batch, &ids, longest))?;
            let rows: Vec<i64> = batch.iter().map(|&index| index as i64).collect();
            let _ = output
                .shallow_clone()
                .f_index_copy_(0, &Tensor::from_slice(&rows), &vectors)
                .map_err(torch("store a batch"))?;
            done += batch.len();
            if progress(done, total).is_break() && done < total {
                return Err(Error::Stopped { done, total });
            }
        }
        Ok(output)
    }

    /// `batch` indexes into `ids`; none is longer than `longest`. Gives `[batch, dim]` f32 on the CPU.
    fn encode_batch(&self, batch: &[usize], ids: &[Vec<i64>], longest: usize) -> Result<Tensor> {
        let mut padded = vec![0i64; batch.len() * longest];
        for (row, &index) in batch.iter().enumerate() {
            padded[row * longest..][..ids[index].len()].copy_from_slice(&ids[index]);
        }
        let lengths: Vec<i64> = batch.iter().map(|&index| ids[index].len() as i64).collect();
        let any_padding = lengths.iter().any(|&length| length < longest as i64);
        let device = self.bert.device();
        let ids = Tensor::from_slice(&padded).reshape([batch.len() as i64, longest as i64]).to_device(device);
        let lengths = Tensor::from_slice(&lengths).to_device(device);
        let tokens = self.bert.forward(&ids, &lengths, any_padding)?;
        let mut vectors = pool(&tokens, &lengths, self.layout.pooling);
        if self.layout.normalize {
            // The reference's Normalize: torch.nn.functional.normalize with its default floor.
            vectors = &vectors / vectors.norm_scalaropt_dim(2, [-1i64], true).clamp_min(1e-12);
        }
        vectors.f_to_device(Device::Cpu).map_err(torch("copy embeddings to the host"))
    }
}
