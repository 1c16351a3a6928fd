//! One layer: attention and perceptron, each added to what it read, with norms where the family has them.

use tch::Tensor;

use super::attention::Heads;
use super::batch::Group;
use super::encoder::Torch;
use super::parts::{Angles, Linear, Norm, normed};
use crate::Activation;

/// Norms of one branch: of what it reads, of what it gives, and of the sum.
#[derive(Debug, Default)]
pub(super) struct Around {
    pub(super) before: Option<Norm>,
    pub(super) branch: Option<Norm>,
    pub(super) after: Option<Norm>,
}

impl Around {
    fn share(&self) -> Self {
        let share = |norm: &Option<Norm>| norm.as_ref().map(Norm::share);
        Self { before: share(&self.before), branch: share(&self.branch), after: share(&self.after) }
    }
}

#[derive(Debug)]
pub(super) struct Layer {
    /// Query, key and value as one product, `[(heads + 2 · kv_heads) · head_dim, hidden]`.
    pub(super) query_key_value: Linear,
    pub(super) head_norms: Option<[Norm; 2]>,
    pub(super) attention_output: Linear,
    pub(super) around_attention: Around,
    /// Into the wide part; twice as wide where it is gated, the gate first.
    pub(super) inner: Linear,
    pub(super) gated: bool,
    pub(super) output: Linear,
    pub(super) around_perceptron: Around,
    /// Sees a neighbourhood only.
    pub(super) local: bool,
}

/// What the layers of one kind share in a pass: a mask for each group, and the angles of every token.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) masks: Vec<Option<Tensor>>,
    pub(super) angles: Option<Angles>,
}

impl Layer {
    pub(super) fn share(&self) -> Self {
        Self {
            query_key_value: self.query_key_value.share(),
            head_norms: self.head_norms.as_ref().map(|[query, key]| [query.share(), key.share()]),
            attention_output: self.attention_output.share(),
            around_attention: self.around_attention.share(),
            inner: self.inner.share(),
            gated: self.gated,
            output: self.output.share(),
            around_perceptron: self.around_perceptron.share(),
            local: self.local,
        }
    }

    /// `state: [tokens, hidden]`, unchanged in shape.
    pub(super) fn forward(
        &self,
        state: &Tensor,
        heads: Heads,
        activation: Activation,
        groups: &[Group],
        shared: &Shared,
    ) -> Torch<Tensor> {
        let around = &self.around_attention;
        let projected = self.query_key_value.forward(&read(around, state)?)?;
        let mut attended = Vec::with_capacity(groups.len());
        let mut start = 0;
        for (group, mask) in groups.iter().zip(&shared.masks) {
            let rows = group.texts * group.seq;
            let own = projected.f_narrow(0, start, rows)?;
            let (norms, angles) = (self.head_norms.as_ref(), shared.angles.as_ref());
            attended.push(heads.attend(&own, group, start, norms, angles, mask.as_ref())?);
            start += rows;
        }
        let joined = if attended.len() == 1 { attended.remove(0) } else { Tensor::f_cat(&attended, 0)? };
        let state = add(around, self.attention_output.forward(&joined)?, state)?;

        let around = &self.around_perceptron;
        let mut inner = self.inner.forward(&read(around, &state)?)?;
        let inner = if self.gated {
            let width = inner.size()[1] / 2;
            let up = inner.f_narrow(1, width, width)?;
            activate(&mut inner.f_narrow(1, 0, width)?, activation)?.f_mul(&up)?
        } else {
            activate(&mut inner, activation)?
        };
        add(around, self.output.forward(&inner)?, &state)
    }
}

/// What a branch reads.
fn read(around: &Around, state: &Tensor) -> Torch<Tensor> {
    normed(around.before.as_ref(), state.shallow_clone())
}

/// What the state becomes when a branch gives `branch`, which is used up.
fn add(around: &Around, branch: Tensor, state: &Tensor) -> Torch<Tensor> {
    let sum = normed(around.branch.as_ref(), branch)?.f_add_(state)?;
    normed(around.after.as_ref(), sum)
}

/// In place.
fn activate(x: &mut Tensor, activation: Activation) -> Torch<Tensor> {
    match activation {
        Activation::Gelu => x.f_gelu_("none"),
        Activation::GeluTanh => x.f_gelu_("tanh"),
        Activation::Relu => x.f_relu_(),
        Activation::Silu => x.f_silu_(),
    }
}
