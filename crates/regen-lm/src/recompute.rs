//! Training passes: dropout of low-rank updates, and activations that are computed again instead of kept.
//!
//! A plain forward pass keeps every product of every block until the gradient has passed. Here each block is computed without
//! recording, and only its input is kept; on the way back it is computed again from that input, with recording, and given the
//! gradient of its output. So one block's products are in memory at a time, for one more forward pass.
//!
//! **Source** Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost", section 4, with blocks as segments.

use tch::Tensor;

use crate::error::{Error, Result};
use crate::injection::DecoderInputs;
use crate::layers::{DropoutDraw, Shared};
use crate::mask::PaddingMask;
use crate::model::Decoder;

/// A forward pass whose activations are computed again by [`backward`](Self::backward).
#[derive(Debug)]
pub struct Recomputed<'a> {
    decoder: &'a Decoder,
    shared: Shared,
    /// What entered the first block, with what it was computed from.
    entry: Tensor,
    /// What entered each block, with what is added there.
    inputs: Vec<Tensor>,
    /// What is added to the states that enter each block, with what it was computed from.
    added: Vec<Option<Tensor>>,
    /// What left the last block: a leaf, where the gradient of the loss arrives.
    exit: Tensor,
    hidden: Tensor,
}

impl Decoder {
    /// As [`forward`](Self::forward) without a cache, in training: low-rank updates drop a share of their inputs as
    /// [`LoraConfig::dropout`](crate::LoraConfig::dropout) says, by the draws of `dropout`.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_training<'a>(
        &self,
        inputs: impl Into<DecoderInputs<'a>>,
        mask: &PaddingMask,
        dropout: Option<DropoutDraw>,
    ) -> Result<Tensor> {
        let inputs = inputs.into();
        let (mut x, shared, _) = self.begin(inputs, mask, None, dropout)?;
        for (index, block) in self.blocks.iter().enumerate() {
            x = block.forward(&inputs.enter(index, x)?, &shared, None)?;
        }
        self.final_norm.forward(&x)
    }

    /// As [`forward_training`](Self::forward_training), keeping the input of each block only. The loss is computed from
    /// [`hidden`](Recomputed::hidden), and its gradient taken by [`backward`](Recomputed::backward).
    ///
    /// Gradients are those of the plain pass, those of the embeddings and of what is added further up included. Memory for
    /// activations is one block's, and `layers · batch · seq · hidden` numbers; a step took 1.4 times as long where it was measured.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_recomputed<'a>(
        &self,
        inputs: impl Into<DecoderInputs<'a>>,
        mask: &PaddingMask,
        dropout: Option<DropoutDraw>,
    ) -> Result<Recomputed<'_>> {
        let given = inputs.into();
        let (entry, shared, _) = self.begin(given, mask, None, dropout)?;
        let mut inputs = Vec::with_capacity(self.blocks.len());
        let exit = tch::no_grad(|| {
            let mut x = entry.detach();
            for (index, block) in self.blocks.iter().enumerate() {
                let input = given.enter(index, x)?;
                x = block.forward(&input, &shared, None)?;
                inputs.push(input);
            }
            Ok::<_, Error>(x)
        })?;
        let added = (0..self.blocks.len()).map(|index| given.at(index).map(Tensor::shallow_clone)).collect();
        let exit = exit.set_requires_grad(true);
        let hidden = self.final_norm.forward(&exit)?;
        Ok(Recomputed { decoder: self, shared, entry, inputs, added, exit, hidden })
    }
}

impl Recomputed<'_> {
    /// Final hidden states, `[batch, seq, hidden]`.
    pub fn hidden(&self) -> &Tensor {
        &self.hidden
    }

    /// Adds the gradients of a loss of [`hidden`](Self::hidden) to those of every parameter that takes part, as
    /// `loss.backward()` does after a plain pass.
    ///
    /// # Errors
    /// [`Error::MissingGradient`] if the loss does not depend on the hidden states; [`Error::OutOfMemory`].
    pub fn backward(self, loss: &Tensor) -> Result<()> {
        loss.f_backward()?;
        let Self { decoder, shared, entry, inputs, added, exit, hidden } = self;
        drop(hidden);
        let mut gradient = gradient_of(&exit, "hidden states")?;
        drop(exit);
        // What was given, with the gradient that arrived at it.
        let mut reached: Vec<(Tensor, Tensor)> = Vec::new();
        let mut blocks = decoder.blocks.iter().enumerate().zip(inputs).zip(added).collect::<Vec<_>>();
        while let Some((((index, block), input), added)) = blocks.pop() {
            let added = added.filter(Tensor::requires_grad);
            // Below the first block there is only what gave the embeddings.
            let wanted = index > 0 || entry.requires_grad() || added.is_some();
            let input = input.set_requires_grad(wanted);
            let output = block.forward(&input, &shared, None)?;
            if output.requires_grad() {
                push(&output, &gradient)?;
            }
            if !wanted {
                return push_all(&reached);
            }
            gradient = gradient_of(&input, "input of a block")?;
            if let Some(added) = added {
                reached.push((added, gradient.shallow_clone()));
            }
        }
        if entry.requires_grad() {
            reached.push((entry, gradient));
        }
        // At once: embeddings and what is added may come from the same numbers, and a graph is walked back once.
        push_all(&reached)
    }
}

/// Lets a gradient flow into what gave `output`: that of Σ output · gradient, where the gradient is a constant.
pub(crate) fn push(output: &Tensor, gradient: &Tensor) -> Result<()> {
    output.f_mul(gradient)?.f_sum(output.kind())?.f_backward()?;
    Ok(())
}

/// As [`push`], into what gave any of the outputs, each with its gradient.
fn push_all(reached: &[(Tensor, Tensor)]) -> Result<()> {
    let mut total: Option<Tensor> = None;
    for (output, gradient) in reached {
        let sum = output.f_mul(gradient)?.f_sum(output.kind())?;
        total = Some(match total {
            Some(total) => total.f_add(&sum)?,
            None => sum,
        });
    }
    if let Some(total) = total {
        total.f_backward()?;
    }
    Ok(())
}

pub(crate) fn gradient_of(leaf: &Tensor, what: &str) -> Result<Tensor> {
    let gradient = leaf.grad();
    if !gradient.defined() {
        return Err(Error::MissingGradient { tensor: what.to_owned() });
    }
    // Not the leaf's own handle: it must not be recorded again.
    Ok(gradient.detach())
}
