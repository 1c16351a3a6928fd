//! Writing with a decoder: with libtorch alone, or with packed weights where they are faster.

use std::ops::ControlFlow;
use std::sync::Arc;

use regen_kernel::Storage;
use tch::Kind;

use super::beam::{BeamOptions, Hypothesis};
use super::decode::{NextToken, Run};
use super::options::{GenerateOptions, Generated};
use super::prefix::{Prefix, Prompt};
use crate::error::Result;
use crate::injection::DecoderInputs;
use crate::mask::PaddingMask;
use crate::model::Decoder;
use crate::packed::{CacheStorage, PackedDecoder};

/// Writes text with a decoder that does not change meanwhile.
///
/// [`Writer::new`] keeps a second copy of the weights, packed for the CPU; make one and use it for everything that is to be
/// written. What it writes differs from [`Writer::plain`] by the rounding of sums.
///
/// Every way of writing starts at the prompts alone, or after a [`Prefix`] that was read before: [`Writer::after`].
#[derive(Debug)]
pub struct Writer<'a> {
    decoder: &'a Decoder,
    packed: Option<Arc<PackedDecoder>>,
    cache: CacheStorage,
    /// What stands before every prompt: the prefix, and for each row of a batch which of its rows.
    after: Option<(&'a Prefix, &'a [usize])>,
}

impl<'a> Writer<'a> {
    /// Packs the weights as they are now, attached low-rank updates included, in their own precision, where that is faster: f32 or
    /// bf16 weights on an x86-64 CPU with AVX2, any family. On others it is as [`Writer::plain`].
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory), [`Error::Checkpoint`](crate::Error::Checkpoint).
    pub fn new(decoder: &'a Decoder) -> Result<Self> {
        match decoder.kind() {
            Kind::Float => Self::with_storage(decoder, Storage::F32),
            Kind::BFloat16 => Self::with_storage(decoder, Storage::Bf16),
            _ => Ok(Self::plain(decoder)),
        }
    }

    /// As [`new`](Self::new), with weights rounded to `storage` on the way: bfloat16 takes half of f32's memory, and bytes with a scale
    /// for each 32 inputs a little more than a quarter. On machines without a kernel it is as [`plain`](Self::plain), in the decoder's
    /// own precision; [`is_packed`](Self::is_packed) tells.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_storage(decoder: &'a Decoder, storage: Storage) -> Result<Self> {
        let packed = PackedDecoder::new(decoder, storage)?.map(Arc::new);
        Ok(Self { decoder, packed, cache: CacheStorage::default(), after: None })
    }

    /// The same writer, with keys and values held as `cache` says. In bfloat16 they take half the memory, which with many rows or
    /// long prompts is most of what writing takes, at the same speed; log-probabilities moved by less than 0.03 in a small random model
    /// of every family and by 0.003 in one of 26 M parameters. Without packed weights nothing changes: libtorch's cache holds what the
    /// decoder computes with.
    ///
    /// What continues a [`Prefix`] holds it as it was read.
    ///
    /// ```
    /// # use regen_lm::{CacheStorage, Decoder, DecoderConfig, PaddingMask, Writer};
    /// # use tch::{Device, Tensor, nn};
    /// # let store = nn::VarStore::new(Device::Cpu);
    /// # let config = DecoderConfig::preset("1m", 300)?;
    /// # let decoder = Decoder::new(&store.root(), &config, &mut regen_torch::seed::rng(7, 0))?;
    /// let writer = Writer::new(&decoder)?.with_cache(CacheStorage::Bf16);
    /// let embeds = decoder.embed(&Tensor::from_slice(&[5i64, 6]).unsqueeze(0))?;
    /// let prefix = writer.read_prefix(&embeds, &PaddingMask::full(1, 2))?;
    /// // Two tokens, keys and values, 4 layers of 4 heads of 32 numbers, two bytes each.
    /// assert!(prefix.packed_bytes().is_none_or(|bytes| bytes == 2 * 2 * 4 * 4 * 32 * 2));
    /// # Ok::<(), regen_lm::Error>(())
    /// ```
    #[must_use]
    pub fn with_cache(self, cache: CacheStorage) -> Self {
        Self { cache, ..self }
    }

    /// Every step is libtorch's.
    pub fn plain(decoder: &'a Decoder) -> Self {
        Self { decoder, packed: None, cache: CacheStorage::default(), after: None }
    }

    /// The same writer, with its weights, for prompts whose row `i` follows row `rows[i]` of the prefix: what the prefix holds is not
    /// computed again. A prefix belongs to the decoder as it was when it was read, and to writers of the kind that read it.
    ///
    /// It writes as if every prompt began with what the prefix read. With rows that the prefix does not hold, or of another number
    /// than the prompts, everything it is asked for is [`Error::Argument`](crate::Error::Argument).
    ///
    /// ```
    /// use regen_lm::{Decoder, DecoderConfig, GenerateOptions, PaddingMask, Writer};
    /// use tch::{Device, Tensor, nn};
    /// # let store = nn::VarStore::new(Device::Cpu);
    /// # let config = DecoderConfig::preset("1m", 300)?;
    /// # let decoder = Decoder::new(&store.root(), &config, &mut regen_torch::seed::rng(7, 0))?;
    /// let embed = |ids: &[i64]| decoder.embed(&Tensor::from_slice(ids).unsqueeze(0));
    /// let (writer, one) = (Writer::new(&decoder)?, |seq| PaddingMask::full(1, seq));
    /// let options = GenerateOptions { max_new_tokens: 5, ..GenerateOptions::default() };
    /// let whole = writer.generate(&embed(&[5, 6, 7, 8])?, &one(4), &options)?;
    /// let prefix = writer.read_prefix(&embed(&[5, 6])?, &one(2))?;
    /// assert_eq!(writer.after(&prefix, &[0]).generate(&embed(&[7, 8])?, &one(2), &options)?, whole);
    /// # Ok::<(), regen_lm::Error>(())
    /// ```
    #[must_use]
    pub fn after<'b>(&'b self, prefix: &'b Prefix, rows: &'b [usize]) -> Writer<'b> {
        Writer {
            decoder: self.decoder,
            packed: self.packed.clone(),
            cache: self.cache,
            after: Some((prefix, rows)),
        }
    }

    /// Whether it reads and writes with packed weights.
    pub fn is_packed(&self) -> bool {
        self.packed.is_some()
    }

    /// Bytes of the packed weights, if there are any.
    pub fn packed_bytes(&self) -> Option<usize> {
        self.packed.as_deref().map(PackedDecoder::bytes)
    }

    /// Bytes of keys and values for `rows` rows of `tokens` tokens each, as this writer holds them: room for both prompt and what is
    /// written. [`generate`](Self::generate) takes this much for its longest prompt and `max_new_tokens`, [`beam_search`](Self::beam_search)
    /// for every beam.
    pub fn cache_bytes(&self, rows: usize, tokens: usize) -> usize {
        let config = self.decoder.config();
        let each = match (self.is_packed(), self.cache) {
            (true, CacheStorage::F32) => 4,
            (true, CacheStorage::Bf16) => 2,
            (false, _) => self.decoder.kind().elt_size_in_bytes(),
        };
        let of_token = 2 * config.layers * config.kv_heads * config.head_dim;
        rows.saturating_mul(tokens).saturating_mul(of_token as usize * each)
    }

    /// The decoder that it writes with.
    pub fn decoder(&self) -> &'a Decoder {
        self.decoder
    }

    /// Continues every row of a batch of prompts; returns the new ids without stop ids.
    ///
    /// Prompts are padded on the left. Finished rows leave the batch, so a long row does not pay for short
    /// ones. Greedy ids and seeded draws of a row do not depend on the rows beside it.
    ///
    /// **Shapes** `prompts`: embeddings `[batch, seq, hidden]`, with what is added further up, if anything; `mask: [batch, seq]`.
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`](crate::Error::EmptyPrompt), [`Error::PromptNotLeftPadded`](crate::Error::PromptNotLeftPadded),
    /// [`Error::TooLong`](crate::Error::TooLong) if the longest prompt and `max_new_tokens` exceed the positions,
    /// [`Error::Argument`](crate::Error::Argument) for options out of range,
    /// [`Error::NonFiniteScores`](crate::Error::NonFiniteScores) if a token cannot be chosen, and those of [`Decoder::forward`].
    pub fn generate<'b>(
        &self,
        prompts: impl Into<DecoderInputs<'b>>,
        mask: &PaddingMask,
        options: &GenerateOptions,
    ) -> Result<Vec<Vec<i64>>> {
        let rows = self.generate_with(prompts, mask, options, |_, _| ControlFlow::Continue(()))?;
        Ok(rows.into_iter().map(|row| row.ids).collect())
    }

    /// As [`generate`](Self::generate), with log-probabilities; `on_token(row, id)` sees each id as it is chosen, and ends
    /// the row by breaking (the id stays).
    ///
    /// # Errors
    /// As [`generate`](Self::generate).
    pub fn generate_with<'b>(
        &self,
        prompts: impl Into<DecoderInputs<'b>>,
        mask: &PaddingMask,
        options: &GenerateOptions,
        mut on_token: impl FnMut(usize, i64) -> ControlFlow<()>,
    ) -> Result<Vec<Generated>> {
        self.run(options).write(&self.prompt(prompts.into(), mask), None, &mut on_token)
    }

    /// As [`generate_with`](Self::generate_with), with the scores that `next_token` makes of the model's own.
    ///
    /// # Errors
    /// As [`generate`](Self::generate), and those of `next_token`.
    pub fn generate_scored<'b>(
        &self,
        prompts: impl Into<DecoderInputs<'b>>,
        mask: &PaddingMask,
        options: &GenerateOptions,
        next_token: &mut dyn NextToken,
        mut on_token: impl FnMut(usize, i64) -> ControlFlow<()>,
    ) -> Result<Vec<Generated>> {
        self.run(options).write(&self.prompt(prompts.into(), mask), Some(next_token), &mut on_token)
    }

    /// Reads the beginnings of prompts, so that several prompts can go on from each of them. Of a writer that writes
    /// [`after`](Self::after) a prefix, a longer one.
    ///
    /// **Shapes** `beginnings`: embeddings `[rows, seq, hidden]`, with what is added further up; `mask: [rows, seq]`, padded on either
    /// side.
    ///
    /// # Errors
    /// Those of [`Decoder::forward`].
    pub fn read_prefix<'b>(
        &self,
        beginnings: impl Into<DecoderInputs<'b>>,
        mask: &PaddingMask,
    ) -> Result<Prefix> {
        Prefix::read(&self.run(&GenerateOptions::default()), &self.prompt(beginnings.into(), mask))
    }

    /// The best texts of each prompt that a beam search finds, best first; `next_token` as in
    /// [`generate_scored`](Self::generate_scored).
    ///
    /// Prompts whose search is over leave the batch. Of `options`, `sampling` must be greedy. With as many prompts, the cache
    /// holds `beams` times as many rows as for [`generate`](Self::generate).
    ///
    /// # Errors
    /// As [`generate`](Self::generate), and [`Error::Argument`](crate::Error::Argument) for a `beam` out of range.
    pub fn beam_search<'b>(
        &self,
        prompts: impl Into<DecoderInputs<'b>>,
        mask: &PaddingMask,
        options: &GenerateOptions,
        beam: &BeamOptions,
        next_token: Option<&mut dyn NextToken>,
    ) -> Result<Vec<Vec<Hypothesis>>> {
        let found = self.run(options).beams(&self.prompt(prompts.into(), mask), beam, None, next_token)?;
        Ok(found.into_iter().map(|row| row.into_iter().map(|text| text.hypothesis).collect()).collect())
    }

    pub(super) fn prompt<'b>(&self, inputs: DecoderInputs<'b>, mask: &'b PaddingMask) -> Prompt<'b>
    where
        'a: 'b,
    {
        Prompt { inputs, mask, after: self.after }
    }

    pub(super) fn run<'b>(&'b self, options: &'b GenerateOptions) -> Run<'b> {
        Run { decoder: self.decoder, packed: self.packed.as_deref(), cache: self.cache, options }
    }
}

/// As [`Writer::generate`] of a [`Writer::plain`].
///
/// # Errors
/// As there.
pub fn generate<'a>(
    decoder: &Decoder,
    prompts: impl Into<DecoderInputs<'a>>,
    mask: &PaddingMask,
    options: &GenerateOptions,
) -> Result<Vec<Vec<i64>>> {
    Writer::plain(decoder).generate(prompts, mask, options)
}
