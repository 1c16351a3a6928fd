//! The decoder: embeddings in, hidden states out, logits where they are wanted.
//!
//! `forward` takes embeddings, so soft tokens need no second path: whoever has vectors puts them where the
//! embeddings of ids would stand.

use std::path::Path;

use rand_chacha::ChaCha8Rng;
use regen_torch::{Checkpoint, Numbers, Placement, Surplus, seed, settle_vector_math, try_range};
use tch::{Device, Kind, Tensor, nn};

use crate::cache::KvCache;
use crate::config::{DecoderConfig, Positions};
use crate::error::{Error, Result};
use crate::families::{self, Init};
use crate::injection::DecoderInputs;
use crate::layers::{Block, DropoutDraw, Norm, Projection, Rotary, Shared, Weights};
use crate::mask::{PaddingMask, Visibility};
use crate::variable::{check_tied_head, floating, variable};

/// A decoder language model of any of the [families](crate::Family).
///
/// Parameters live in a `VarStore` of the caller under the names of the checkpoint; the decoder holds
/// shallow clones of them. Nothing here changes during a forward pass.
///
/// Handles of tensors are one thread's at a time: a decoder may move to another thread (`Send`), and is not shared by several (no
/// `Sync`). A [`Writer`](crate::Writer) borrows it, and so is made on the thread that writes.
#[derive(Debug)]
pub struct Decoder {
    config: DecoderConfig,
    named: Vec<(String, Tensor)>,
    /// Tensors of the attached low-rank updates, by name.
    pub(crate) lora: Vec<(String, Tensor)>,
    pub(crate) embedding: Tensor,
    pub(crate) position_embedding: Option<Tensor>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) final_norm: Norm,
    pub(crate) head: Tensor,
    pub(crate) global_rope: Option<Rotary>,
    pub(crate) local_rope: Option<Rotary>,
}

impl Decoder {
    /// A decoder with initial weights: normal with `initializer_range`, projections into the residual
    /// stream divided by √(2·layers), biases 0, norms the identity. Variables are made under `vs` in its
    /// kind and on its device; every draw comes from `rng`.
    ///
    /// **Source** Radford et al. 2019 (GPT-2), section 2.3.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`]; [`Error::NonFiniteWeight`]; [`Error::OutOfMemory`].
    pub fn new(vs: &nn::Path<'_>, config: &DecoderConfig, rng: &mut ChaCha8Rng) -> Result<Self> {
        config.validate()?;
        let named = families::inventory(config)
            .into_iter()
            .map(|(name, shape, init)| {
                let value = match init {
                    Init::Zeros => Tensor::f_zeros(&shape, (Kind::Float, Device::Cpu))?,
                    Init::Ones => Tensor::f_ones(&shape, (Kind::Float, Device::Cpu))?,
                    Init::Normal(deviation) => {
                        // Asked for first, where too much is an error: numbers that are drawn would end the program.
                        drop(Tensor::f_empty(&shape, (Kind::Float, Device::Cpu))?);
                        seed::normal(rng, &shape, deviation)
                    }
                };
                let variable = variable(vs, &name, &value, vs.device(), vs.kind())?;
                Ok((name, variable))
            })
            .collect::<Result<Vec<_>>>()?;
        Self::assemble(config.clone(), named, vs.device())
    }

    /// Loads a Hugging Face folder (`config.json`, safetensors, sharded or not) onto a device in a
    /// precision. The returned store holds the parameters.
    ///
    /// # Errors
    /// Those of [`DecoderConfig::from_hf`]; [`Error::Checkpoint`] for missing, surplus, mis-shaped, non-finite or
    /// integer tensors; [`Error::NonFiniteWeight`] for one that the precision cannot hold; [`Error::InvalidConfig`] for a
    /// stored head that is tied to the embedding and differs from it; [`Error::OutOfMemory`].
    pub fn load(dir: &Path, placement: Placement) -> Result<(nn::VarStore, Self)> {
        let vs = nn::VarStore::new(placement.device);
        let decoder = Self::load_under(&vs.root(), dir, placement.precision.kind())?;
        Ok((vs, decoder))
    }

    /// Loads a Hugging Face folder into new variables under `vs`, on its device, in kind `kind`.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_under(vs: &nn::Path<'_>, dir: &Path, kind: Kind) -> Result<Self> {
        let config = DecoderConfig::from_hf(dir)?;
        let checkpoint = Checkpoint::open(dir)?;
        let inventory = families::inventory(&config);
        // The original GPT-2 files name the bare transformer, without its prefix.
        let prefix = "transformer.";
        let bare = config.family == families::Family::Gpt2
            && !checkpoint.names().any(|name| name.starts_with(prefix));
        let stored = |name: &str| -> String {
            match name.strip_prefix(prefix) {
                Some(rest) if bare => rest.to_owned(),
                _ => name.to_owned(),
            }
        };
        let leftovers: Vec<&str> =
            checkpoint.names().filter(|name| families::is_leftover(&config, name)).collect();
        check_tied_head(&checkpoint, dir, &config, stored)?;
        let wanted: std::collections::HashSet<String> =
            inventory.iter().map(|(name, _, _)| stored(name)).collect();
        checkpoint.check_surplus(|name| wanted.contains(name), Surplus::Allow(&leftovers))?;
        let named = inventory
            .into_iter()
            .map(|(name, shape, _)| {
                let value = floating(&checkpoint, dir, &stored(&name), &shape)?;
                let variable = variable(vs, &name, &value, vs.device(), kind)?;
                Ok((name, variable))
            })
            .collect::<Result<Vec<_>>>()?;
        Self::assemble(config, named, vs.device())
    }

    fn assemble(config: DecoderConfig, named: Vec<(String, Tensor)>, device: Device) -> Result<Self> {
        settle_vector_math()?;
        let names = config.family.arrangement();
        let weights = Weights::new(&named);
        let rotary = match &config.positions {
            Positions::Rotary(rope) => Some(rope),
            Positions::Learned => None,
        };
        let embedding = weights.get(names.embedding, "weight");
        let head = if config.tied { embedding.shallow_clone() } else { weights.get(names.head, "weight") };
        Ok(Self {
            position_embedding: names.position_embedding.map(|module| weights.get(module, "weight")),
            blocks: (0..config.layers as usize).map(|index| Block::take(&weights, &config, index)).collect(),
            final_norm: Norm::take(&weights, names.final_norm, names.norm, config.norm_epsilon),
            global_rope: rotary.map(|rope| Rotary::new(rope, device)).transpose()?,
            local_rope: config.local_rope.as_ref().map(|rope| Rotary::new(rope, device)).transpose()?,
            embedding,
            head,
            named,
            lora: Vec::new(),
            config,
        })
    }

    /// The configuration.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Parameters by checkpoint name, in a fixed order.
    pub fn parameters(&self) -> &[(String, Tensor)] {
        &self.named
    }

    /// Where the parameters live.
    pub fn device(&self) -> Device {
        self.embedding.device()
    }

    /// The kind of the parameters, and of the embeddings that [`forward`](Self::forward) takes.
    pub fn kind(&self) -> Kind {
        self.embedding.kind()
    }

    /// Stops (or starts again) gradients for every parameter of the model; low-rank updates are not among
    /// them and stay trainable.
    pub fn set_trainable(&mut self, trainable: bool) {
        for (_, tensor) in &self.named {
            let _ = tensor.set_requires_grad(trainable);
        }
    }

    /// Every projection of every block.
    pub(crate) fn projections(&mut self) -> impl Iterator<Item = &mut Projection> {
        self.blocks.iter_mut().flat_map(Block::projections)
    }

    /// A cache for this model's device and kind.
    ///
    /// # Errors
    /// As [`KvCache::new`].
    pub fn new_cache(&self, batch: i64, capacity: i64) -> Result<KvCache> {
        KvCache::new(&self.config, batch, capacity, self.device(), self.kind())
    }

    /// Embeddings of ids, scaled where the family scales them. Given vectors are never scaled.
    ///
    /// **Shapes** `ids: [batch, seq] i64 → [batch, seq, hidden]`.
    ///
    /// # Errors
    /// [`Error::IdOutOfRange`], [`Error::Kind`], [`Error::Shape`], [`Error::Libtorch`].
    pub fn embed(&self, ids: &Tensor) -> Result<Tensor> {
        let size = ids.size();
        if size.len() != 2 {
            return Err(Error::shape("ids", "[batch, seq]", &size));
        }
        if ids.kind() != Kind::Int64 {
            return Err(Error::Kind { what: "ids", expected: "i64", got: ids.kind() });
        }
        if ids.numel() > 0 {
            for id in [ids.f_min()?.f_int64_value(&[])?, ids.f_max()?.f_int64_value(&[])?] {
                if !(0..self.config.vocab).contains(&id) {
                    return Err(Error::IdOutOfRange { id, vocab: self.config.vocab });
                }
            }
        }
        let ids = ids.f_to_device(self.device())?;
        let embeds = Tensor::f_embedding(&self.embedding, &ids, -1, false, false)?;
        if self.config.family.arrangement().scaled_embeddings {
            // The reference rounds √hidden to the precision of the weights before it multiplies.
            let scale = Tensor::f_from_slice(&[(self.config.hidden as f64).sqrt() as f32])?
                .f_to_kind(self.kind())?
                .f_to_device(self.device())?;
            return Ok(embeds.f_mul(&scale)?);
        }
        Ok(embeds)
    }

    /// Embeddings of rows of ids of any lengths, padded on the left as [`Writer`](crate::Writer) wants prompts.
    ///
    /// **Shapes** → `[rows, longest, hidden]`, and its mask.
    ///
    /// # Errors
    /// As [`embed`](Self::embed).
    ///
    /// ```
    /// # use regen_lm::{Decoder, DecoderConfig};
    /// # use tch::{Device, nn};
    /// # let store = nn::VarStore::new(Device::Cpu);
    /// # let config = DecoderConfig::preset("1m", 300)?;
    /// # let decoder = Decoder::new(&store.root(), &config, &mut regen_torch::seed::rng(7, 0))?;
    /// let (prompts, mask) = decoder.embed_rows(&[vec![5, 6, 7], vec![8]])?;
    /// assert_eq!(prompts.size(), [2, 3, config.hidden()]);
    /// assert_eq!(mask, regen_lm::PaddingMask::left(&[3, 1], 3)?);
    /// # Ok::<(), regen_lm::Error>(())
    /// ```
    pub fn embed_rows<R: AsRef<[i64]>>(&self, rows: &[R]) -> Result<(Tensor, PaddingMask)> {
        let lengths: Vec<i64> = rows.iter().map(|row| row.as_ref().len() as i64).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let mut ids = Vec::with_capacity(rows.len() * longest as usize);
        for row in rows {
            // Padding is masked, so any id does.
            ids.extend(std::iter::repeat_n(0, longest as usize - row.as_ref().len()));
            ids.extend_from_slice(row.as_ref());
        }
        let ids = Tensor::f_from_slice(&ids)?.f_view([rows.len() as i64, longest])?;
        Ok((self.embed(&ids)?, PaddingMask::left(&lengths, longest)?))
    }

    /// Root mean square of the numbers of the vocabulary's embeddings, scaled where the family scales them: what given vectors
    /// should have at first, so that the model meets them as it meets words.
    ///
    /// # Errors
    /// [`Error::Libtorch`].
    pub fn embedding_rms(&self) -> Result<f64> {
        // The norm alone: a vocabulary may be a gigabyte, and is not copied for one number.
        let norm = tch::no_grad(|| self.embedding.f_norm_scalaropt_dtype(2, Kind::Float))?;
        let rms = norm.f_double_value(&[])? / (self.embedding.numel() as f64).sqrt();
        let scaled = self.config.family.arrangement().scaled_embeddings;
        Ok(if scaled { rms * (self.config.hidden as f64).sqrt() } else { rms })
    }

    /// Final hidden states of embeddings, with what is added to the states further up, if anything. Positions count real tokens
    /// only, so a padded row computes what the same row computes alone. What stands at padding positions of the result means nothing.
    ///
    /// With a cache, these columns follow the cached ones, and are added to it.
    ///
    /// **Shapes** `embeds: [batch, seq, hidden]`, `mask: [batch, seq] → [batch, seq, hidden]`.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Kind`], [`Error::TooLong`] for more real tokens in a row than there are
    /// positions, [`Error::CacheFull`], [`Error::Argument`] for an injection into a block that is not there, [`Error::Libtorch`].
    pub fn forward<'a>(
        &self,
        inputs: impl Into<DecoderInputs<'a>>,
        mask: &PaddingMask,
        cache: Option<&mut KvCache>,
    ) -> Result<Tensor> {
        let inputs = inputs.into();
        let (mut x, shared, seen) = self.begin(inputs, mask, cache.as_deref(), None)?;
        match cache {
            Some(cache) => {
                for (index, (block, layer)) in self.blocks.iter().zip(&mut cache.layers).enumerate() {
                    x = block.forward(&inputs.enter(index, x)?, &shared, Some(layer))?;
                }
                cache.seen = seen;
            }
            None => {
                for (index, block) in self.blocks.iter().enumerate() {
                    x = block.forward(&inputs.enter(index, x)?, &shared, None)?;
                }
            }
        }
        self.final_norm.forward(&x)
    }

    /// What enters the first block but for what is added there, what all blocks share, and the columns that they see.
    pub(crate) fn begin(
        &self,
        inputs: DecoderInputs<'_>,
        mask: &PaddingMask,
        cache: Option<&KvCache>,
        dropout: Option<DropoutDraw>,
    ) -> Result<(Tensor, Shared, PaddingMask)> {
        let (seq, past) = self.check(inputs, mask, cache)?;
        let embeds = inputs.embeds;
        let seen = match cache {
            Some(cache) => cache.seen.append(mask),
            None => mask.clone(),
        };
        let (device, kind) = (self.device(), self.kind());
        let positions = self.positions(&seen, seq)?;
        let shared = Shared {
            global_rope: self.global_rope.as_ref().map(|r| r.tables(&positions, kind)).transpose()?,
            local_rope: self.local_rope.as_ref().map(|r| r.tables(&positions, kind)).transpose()?,
            visibility: Visibility::plan(&seen, seq, self.config.window, device, kind)?,
            past,
            dropout,
        };
        let x = match &self.position_embedding {
            Some(table) => embeds.f_add(&Tensor::f_embedding(table, &positions, -1, false, false)?)?,
            None => embeds.shallow_clone(),
        };
        Ok((x, shared, seen))
    }

    pub(crate) fn check<'a>(
        &self,
        inputs: impl Into<DecoderInputs<'a>>,
        mask: &PaddingMask,
        cache: Option<&KvCache>,
    ) -> Result<(i64, i64)> {
        let inputs = inputs.into();
        let embeds = inputs.embeds;
        let size = embeds.size();
        let [batch, seq, hidden] = size[..] else {
            return Err(Error::shape("embeddings", "[batch, seq, hidden]", &size));
        };
        if hidden != self.config.hidden || batch < 1 || seq < 1 {
            let expected = format!("[batch ≥ 1, seq ≥ 1, {}]", self.config.hidden);
            return Err(Error::shape("embeddings", expected, &size));
        }
        if embeds.kind() != self.kind() {
            return Err(Error::Kind {
                what: "embeddings",
                expected: "the kind of the parameters",
                got: embeds.kind(),
            });
        }
        inputs.check_injected(self)?;
        if (mask.batch(), mask.seq()) != (batch, seq) {
            let expected = format!("[{batch}, {seq}]");
            return Err(Error::shape("padding mask", expected, &[mask.batch(), mask.seq()]));
        }
        let past = cache.map_or(0, KvCache::len);
        if let Some(cache) = cache {
            if cache.layers.len() != self.blocks.len() || cache.batch() != batch {
                let expected = format!("{} layers, {batch} rows", self.blocks.len());
                return Err(Error::shape("cache", expected, &[cache.layers.len() as i64, cache.batch()]));
            }
            if past + seq > cache.capacity() {
                return Err(Error::CacheFull { capacity: cache.capacity(), needed: past + seq });
            }
        }
        let longest = (0..batch as usize)
            .map(|row| mask.real_tokens(row) + cache.map_or(0, |cache| cache.seen.real_tokens(row)))
            .max()
            .unwrap_or(0);
        if longest > self.config.max_positions {
            return Err(Error::TooLong { tokens: longest, max_positions: self.config.max_positions });
        }
        Ok((seq, past))
    }

    /// Positions of the last `seq` columns, `[batch or 1, seq]`: how many real tokens stand before each.
    pub(crate) fn positions(&self, seen: &PaddingMask, seq: i64) -> Result<Tensor> {
        let past = seen.seq() - seq;
        if seen.is_full() {
            let range = try_range(past, seen.seq(), self.device())?;
            return Ok(range.f_unsqueeze(0)?);
        }
        let mut positions = Vec::with_capacity((seen.batch() * seq) as usize);
        for row in 0..seen.batch() as usize {
            let mut before = 0i64;
            for (column, real) in seen.row(row).iter().enumerate() {
                if column as i64 >= past {
                    // Padding at the end could step past the table; it is never read.
                    positions.push(before.min(self.config.max_positions - 1));
                }
                before += i64::from(*real);
            }
        }
        Ok(Tensor::f_from_slice(&positions)?.f_view([seen.batch(), seq])?.f_to_device(self.device())?)
    }

    /// Scores of every token of the vocabulary.
    ///
    /// **Shapes** `hidden: [.., hidden] → [.., vocab]`.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Libtorch`].
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        let size = hidden.size();
        if size.last() != Some(&self.config.hidden) {
            let expected = format!("[.., {}]", self.config.hidden);
            return Err(Error::shape("hidden states", expected, &size));
        }
        let logits = hidden.f_linear(&self.head, None::<&Tensor>)?;
        match self.config.logit_softcap {
            Some(cap) => Ok(logits.try_div(cap)?.f_tanh()?.try_mul(cap)?),
            None => Ok(logits),
        }
    }
}
