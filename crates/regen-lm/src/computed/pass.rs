//! The whole pass: blocks there, a loss of any kind, blocks back.

use rayon::prelude::*;
use regen_kernel::{Level, Spare, Storage};
use tch::Tensor;

use super::backward::BackMemory;
use super::block::{BlockKernels, Kept, moves};
use super::head::{Head, Pending};
use super::layout::{Layout, Pass, Scratch, Sizes, Turns, fit, is_host_f32};
use super::stack::GradientMemory;
use crate::error::{Error, Result};
use crate::loss::choose;
use crate::mask::PaddingMask;
use crate::model::Decoder;
use crate::recompute::{gradient_of, push};

/// What training passes by kernels keep from one to the next: packed weights, and memory.
///
/// For one decoder and one run. Weights that require a gradient are packed anew in each pass; the others are taken to stay what they are
/// as long as this lives, so whoever moves frozen weights makes another.
#[derive(Debug)]
pub struct TrainingKernels {
    level: Level,
    sizes: Sizes,
    blocks: Vec<BlockKernels>,
    kept: Vec<Kept>,
    global: Turns,
    local: Turns,
    /// Of the pass at hand.
    layout: Layout,
    /// What left the last block, later its gradient, `[tokens, hidden]`.
    last: Vec<f32>,
    heads: Vec<f32>,
    head: Head,
    back: BackMemory,
    spare: Spare<Scratch>,
    weights: Spare<Vec<f32>>,
    padded: Vec<f32>,
}

/// A forward pass by kernels, whose gradients [`backward`](Self::backward) computes.
#[derive(Debug)]
pub struct Computed<'a> {
    decoder: &'a Decoder,
    kernels: &'a mut TrainingKernels,
    /// What entered the first block, with what it was computed from.
    entry: Tensor,
    /// What left the last block: a leaf, where the gradient of the loss arrives.
    exit: Tensor,
    hidden: Tensor,
    /// What the loss by kernels leaves for the head.
    pending: Option<Pending>,
}

impl TrainingKernels {
    /// Kernels for training this decoder; `None` where libtorch's path is kept: on a device, in another precision than f32, on a processor
    /// without a kernel, and for low-rank updates that drop inputs.
    ///
    /// # Errors
    /// [`Error::Libtorch`](crate::Error::Libtorch).
    pub fn new(decoder: &Decoder) -> Result<Option<Self>> {
        let config = decoder.config();
        let Some(level) = Level::best().filter(|_| is_host_f32(decoder.device(), decoder.kind())) else {
            return Ok(None);
        };
        if decoder.drops() {
            return Ok(None);
        }
        let storage = Storage::F32;
        let blocks = decoder.blocks.iter().map(|block| BlockKernels::new(level, storage, config, block));
        Ok(Some(Self {
            level,
            sizes: Sizes {
                hidden: config.hidden as usize,
                heads: config.heads as usize,
                kv_heads: config.kv_heads as usize,
                head_dim: config.head_dim as usize,
            },
            blocks: blocks.collect::<Result<_>>()?,
            kept: decoder.blocks.iter().map(|_| Kept::default()).collect(),
            global: Turns::new(decoder.global_rope.as_ref())?,
            local: Turns::new(decoder.local_rope.as_ref())?,
            layout: Layout::default(),
            last: Vec::new(),
            heads: Vec::new(),
            head: Head::new(level, storage, decoder),
            back: BackMemory::new(GradientMemory::new(level, storage)),
            spare: Spare::default(),
            weights: Spare::default(),
            padded: Vec::new(),
        }))
    }

    /// Bytes of the packed weights, which stand beside the decoder's own.
    pub fn bytes(&self) -> usize {
        self.blocks.iter().map(BlockKernels::bytes).sum::<usize>() + self.head.bytes()
    }

    /// As [`Decoder::forward_training`], by kernels. The loss is computed from [`hidden`](Computed::hidden), and its gradient taken by
    /// [`backward`](Computed::backward).
    ///
    /// Gradients are those of the plain pass, those of the embeddings included, but for the order of sums; they do not depend on the number of
    /// threads. What stands at padding is 0 before the last norm, and gradients that a loss gives it are left out.
    ///
    /// # Errors
    /// As [`Decoder::forward`].
    pub fn forward<'a>(
        &'a mut self,
        decoder: &'a Decoder,
        embeds: &Tensor,
        mask: &PaddingMask,
    ) -> Result<Computed<'a>> {
        let (seq, _) = decoder.check(embeds, mask, None)?;
        let entry = match &decoder.position_embedding {
            Some(table) => {
                let positions = decoder.positions(mask, seq)?;
                embeds.f_add(&Tensor::f_embedding(table, &positions, -1, false, false)?)?
            }
            None => embeds.shallow_clone(),
        };
        self.pack(decoder)?;
        self.layout = Layout::new(mask);
        let longest = self.layout.counts.iter().copied().max().unwrap_or(0);
        self.global.reach(longest);
        self.local.reach(longest);
        let (tokens, hidden) = (self.layout.tokens(), self.sizes.hidden);
        for (kept, block) in self.kept.iter_mut().zip(&self.blocks) {
            kept.fit(tokens, self.sizes, block);
        }
        let first = self.kept.first_mut().map_or(&mut self.last, |kept| &mut kept.x);
        self.layout.gather(&entry, hidden, &mut self.padded, first)?;
        fit(&mut self.last, tokens * hidden);
        for (index, block) in self.blocks.iter().enumerate() {
            let (kept, after) = self.kept[index..].split_at_mut(1);
            let out = after.first_mut().map_or(&mut self.last, |kept| &mut kept.x);
            let turns = if block.local_rope { &self.local } else { &self.global };
            let pass = Pass {
                level: self.level,
                sizes: self.sizes,
                layout: &self.layout,
                turns,
                spare: &self.spare,
            };
            block.forward(pass, &mut kept[0], &mut self.heads, out);
        }
        let exit = self.layout.spread(&self.last, hidden, &mut self.padded)?.set_requires_grad(true);
        let hidden = decoder.final_norm.forward(&exit)?;
        Ok(Computed { decoder, kernels: self, entry, exit, hidden, pending: None })
    }

    /// Packs the weights that may have moved.
    fn pack(&mut self, decoder: &Decoder) -> Result<()> {
        let mut all = Vec::new();
        for (kernels, block) in self.blocks.iter_mut().zip(&decoder.blocks) {
            all.extend(kernels.renew(block)?);
        }
        all.into_par_iter().with_max_len(1).try_for_each(|renewal| renewal.pack(&self.weights))
    }
}

impl Computed<'_> {
    /// Final hidden states, `[batch, seq, hidden]`.
    pub fn hidden(&self) -> &Tensor {
        &self.hidden
    }

    /// As [`masked_loss`](crate::masked_loss) of [`hidden`](Self::hidden), by kernels. What comes back may be scaled and added to other losses,
    /// as any tensor.
    ///
    /// # Errors
    /// As [`masked_loss`](crate::masked_loss); [`Error::StateMismatch`] when it is asked for twice.
    pub fn masked_loss(&mut self, targets: &Tensor, loss_mask: &Tensor) -> Result<Tensor> {
        if self.pending.is_some() {
            return Err(Error::StateMismatch { what: "the loss of this pass was taken already".to_owned() });
        }
        let (chosen, targets) = choose(self.decoder, &self.hidden, targets, loss_mask)?;
        let TrainingKernels { head, back, spare, .. } = &mut *self.kernels;
        let (loss, pending) =
            head.loss(self.decoder, &self.hidden, (&chosen, &targets), &mut back.weights, spare)?;
        self.pending = Some(pending);
        Ok(loss)
    }

    /// Adds the gradients of a loss of [`hidden`](Self::hidden) to those of every parameter that takes part, as
    /// `loss.backward()` does after a plain pass.
    ///
    /// # Errors
    /// [`Error::MissingGradient`](crate::Error::MissingGradient) if the loss does not depend on the hidden states;
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub fn backward(self, loss: &Tensor) -> Result<()> {
        loss.f_backward()?;
        let Self { decoder, kernels, entry, exit, hidden, pending } = self;
        drop(hidden);
        if let Some(pending) = pending {
            kernels.head.finish(&pending)?;
        }
        let gradient = gradient_of(&exit, "hidden states")?;
        let wanted = entry.requires_grad();
        // Below it nothing wants a gradient.
        let lowest = if wanted { Some(0) } else { decoder.blocks.iter().position(moves) };
        let Some(lowest) = lowest else {
            return Ok(());
        };
        let width = kernels.sizes.hidden;
        let TrainingKernels {
            level,
            sizes,
            blocks,
            kept,
            global,
            local,
            layout,
            last,
            back,
            spare,
            padded,
            ..
        } = kernels;
        layout.gather(&gradient, width, padded, last)?;
        drop(gradient);
        for index in (lowest..blocks.len()).rev() {
            let turns = if blocks[index].local_rope { &*local } else { &*global };
            let pass = Pass { level: *level, sizes: *sizes, layout, turns, spare };
            let below = wanted || index > lowest;
            blocks[index].backward(&decoder.blocks[index], pass, &mut kept[index], back, last, below)?;
        }
        if !wanted {
            return Ok(());
        }
        push(&entry, &layout.spread(last, width, padded)?)
    }
}
