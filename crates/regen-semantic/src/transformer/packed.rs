//! The same arithmetic on a CPU without libtorch: weights in panels, each worker on its own core.
//!
//! libtorch starts some twenty operations a layer and writes each result to memory before the next reads it. Here a product
//! ends with its bias and nonlinearity, the wide part of a layer is made for some hundred tokens at a time, so that it never
//! leaves the cache, and attention runs text by text, so that nothing is computed for padding.

use regen_kernel::{
    Attention, AttentionScratch, Level, Linear as Weight, Matrix, NormKind, RowNorm, Scratch, Sight, Storage,
    Strided,
};
use regen_torch::{tensor_from_f32, tensor_to_vec_f32};
use tch::{Device, Kind, TchError, Tensor};

use super::batch::{Batch, Group};
use super::encoder::{Transformer, torch};
use super::layer::{Around, Layer};
use super::parts::{Linear, Norm};
use crate::families::NormKind as Of;
use crate::{Activation, Result};

/// Tokens whose wide vectors exist at the same time.
const TOKENS_AT_ONCE: usize = 96;

/// A frozen transformer in panels.
#[derive(Debug)]
pub(crate) struct PackedTransformer {
    level: Level,
    hidden: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    scale: f32,
    /// What a token sees, in every layer and in local ones.
    sights: [Sight; 2],
    /// `[vocab, hidden]`.
    word: Vec<f32>,
    /// `[max_positions, hidden]`.
    position: Option<Vec<f32>>,
    /// `[heads, longest, longest]`, and `longest`.
    relative: Option<(Vec<f32>, usize)>,
    /// `[head_dim / 2]` frequencies, in every layer and in local ones.
    rotary: [Option<Vec<f32>>; 2],
    norm: Option<RowNorm>,
    layers: Vec<PackedLayer>,
    final_norm: Option<RowNorm>,
}

#[derive(Debug)]
struct PackedLayer {
    query_key_value: Matrix,
    head_norms: Option<[RowNorm; 2]>,
    attention_output: Matrix,
    around_attention: Norms,
    inner: Matrix,
    output: Matrix,
    around_perceptron: Norms,
    local: bool,
}

/// See [`Around`].
#[derive(Debug)]
struct Norms {
    before: Option<RowNorm>,
    branch: Option<RowNorm>,
    after: Option<RowNorm>,
}

/// Memory of one forward pass.
#[derive(Default)]
struct Memory {
    normed: Vec<f32>,
    projected: Vec<f32>,
    joined: Vec<f32>,
    inner: Vec<f32>,
    branch: Vec<f32>,
    products: Scratch,
    attention: AttentionScratch,
}

/// A text in its batch: its rows, and how many of them are real.
struct Text {
    start: usize,
    length: usize,
}

impl PackedTransformer {
    /// Packs `transformer`, or gives it back where libtorch's path is to be kept: on a device, in half precision, on a
    /// processor without a kernel.
    pub(super) fn new(transformer: Transformer) -> Result<std::result::Result<Self, Transformer>> {
        let storage = match transformer.word.kind() {
            Kind::Float => Storage::F32,
            Kind::BFloat16 => Storage::Bf16,
            _ => return Ok(Err(transformer)),
        };
        match Level::best() {
            Some(level) if transformer.device == Device::Cpu => {
                Ok(Ok(Self::with_level(level, storage, &transformer)?))
            }
            _ => Ok(Err(transformer)),
        }
    }

    fn with_level(level: Level, storage: Storage, from: &Transformer) -> Result<Self> {
        let host = |tensor: &Option<Tensor>| tensor.as_ref().map(tensor_to_vec_f32).transpose();
        let norm = |norm: &Option<Norm>| norm.as_ref().map(packed_norm).transpose();
        let pack = |layer: &Layer| PackedLayer::new(level, storage, layer, from.activation);
        let after = from.causal.then_some(0);
        let reach = from.reach.map(|reach| reach as usize);
        let rotary = [&from.rotary, &from.local_rotary]
            .map(|rotary| rotary.as_ref().map(|rotary| tensor_to_vec_f32(&rotary.frequencies)).transpose());
        let [everywhere, nearby] = rotary;
        Ok(Self {
            level,
            hidden: from.word.size()[1] as usize,
            heads: from.heads.count as usize,
            kv_heads: from.heads.kv as usize,
            head_dim: from.heads.dim as usize,
            scale: from.heads.scale.unwrap_or_else(|| (from.heads.dim as f64).sqrt().recip()) as f32,
            sights: [Sight { before: None, after }, Sight { before: reach, after: after.or(reach) }],
            word: tensor_to_vec_f32(&from.word)?,
            position: host(&from.position)?,
            relative: match &from.relative {
                Some(table) => Some((tensor_to_vec_f32(table)?, table.size()[2] as usize)),
                None => None,
            },
            rotary: [everywhere?, nearby?],
            norm: norm(&from.norm)?,
            layers: from.layers.iter().map(pack).collect::<Result<_>>()?,
            final_norm: norm(&from.final_norm)?,
        })
    }

    pub(super) fn layers(&self) -> usize {
        self.layers.len()
    }

    /// See [`Transformer::forward_to`]: `batch → [tokens, hidden]`.
    pub(super) fn forward_to(&self, batch: &Batch, layers: usize) -> Result<Tensor> {
        let ids = numbers(&batch.ids)?;
        let positions = numbers(&batch.positions)?;
        let texts = texts(&batch.groups)?;
        let hidden = self.hidden;
        let mut state = room(ids.len() * hidden)?;
        for (id, position) in ids.iter().zip(&positions) {
            let word = &self.word[*id as usize * hidden..][..hidden];
            state.extend_from_slice(word);
            if let Some(table) = &self.position {
                let own = state.len() - hidden;
                regen_kernel::add(&mut state[own..], &table[*position as usize * hidden..][..hidden]);
            }
        }
        apply(self.level, &self.norm, &mut state);
        let mut memory = Memory::default();
        let width = (self.heads + 2 * self.kv_heads) * self.head_dim;
        memory.projected = zeros(ids.len() * width)?;
        memory.joined = zeros(ids.len() * self.heads * self.head_dim)?;
        let turns = [self.turns(&positions, false), self.turns(&positions, true)];
        for layer in self.layers.iter().take(layers) {
            let turns = turns[usize::from(layer.local)].as_deref();
            self.attend(layer, &mut state, &texts, turns, &mut memory);
            layer.perceptron(self.level, &mut state, hidden, &mut memory);
        }
        if layers >= self.layers.len() {
            apply(self.level, &self.final_norm, &mut state);
        }
        Ok(tensor_from_f32(&state, &[ids.len() as i64, hidden as i64])?)
    }

    /// Cosine and sine of every token and frequency, `[tokens, head_dim / 2]`.
    fn turns(&self, positions: &[i64], local: bool) -> Option<Vec<(f32, f32)>> {
        let frequencies = self.rotary[usize::from(local)].as_ref()?;
        let turn = |position: &i64| {
            let position = *position as f32;
            frequencies.iter().map(move |frequency| {
                let (sin, cos) = (position * frequency).sin_cos();
                (cos, sin)
            })
        };
        Some(positions.iter().flat_map(turn).collect())
    }

    fn attend(
        &self,
        layer: &PackedLayer,
        state: &mut [f32],
        texts: &[Text],
        turns: Option<&[(f32, f32)]>,
        memory: &mut Memory,
    ) {
        let Memory { normed, projected, joined, branch, products, attention, .. } = memory;
        let read = layer.around_attention.read(self.level, state, normed);
        layer.query_key_value.multiply(read, projected, products);
        let dim = self.head_dim;
        let (queries, keys) = (self.heads * dim, self.kv_heads * dim);
        let width = queries + 2 * keys;
        for (token, row) in projected.chunks_exact_mut(width).enumerate() {
            let (query, key) = row[..queries + keys].split_at_mut(queries);
            if let Some([of_query, of_key]) = &layer.head_norms {
                of_query.apply(self.level, query);
                of_key.apply(self.level, key);
            }
            if let Some(turns) = turns {
                let turns = &turns[token * (dim / 2)..][..dim / 2];
                regen_kernel::turn(query, dim, turns);
                regen_kernel::turn(key, dim, turns);
            }
        }
        let how = Attention {
            head_dim: dim,
            scale: self.scale,
            softcap: None,
            sight: self.sights[usize::from(layer.local)],
        };
        let shared = self.heads / self.kv_heads;
        for text in texts {
            let rows = &projected[text.start * width..];
            let out = &mut joined[text.start * queries..];
            let part = |start: usize| Strided { rows: &rows[start..], stride: width };
            for kv in 0..self.kv_heads {
                let (key, value) = (part(queries + kv * dim), part(queries + keys + kv * dim));
                how.read(key, value, text.length, attention);
                for head in kv * shared..(kv + 1) * shared {
                    let bias = self.relative.as_ref().map(|(table, longest)| Strided {
                        rows: &table[head * longest * longest..],
                        stride: *longest,
                    });
                    let to = (&mut out[head * dim..], queries);
                    how.attend(self.level, part(head * dim), (0, text.length), bias, to, attention);
                }
            }
        }
        layer.around_attention.add(self.level, &layer.attention_output, joined, state, branch, products);
    }
}

impl PackedLayer {
    fn new(level: Level, storage: Storage, layer: &Layer, activation: Activation) -> Result<Self> {
        let activation = match activation {
            Activation::Gelu => regen_kernel::Activation::Gelu,
            Activation::GeluTanh => regen_kernel::Activation::GeluTanh,
            Activation::Relu => regen_kernel::Activation::Relu,
            Activation::Silu => regen_kernel::Activation::Silu,
        };
        let plain = |linear: &Linear| -> Result<Matrix> {
            Ok(Matrix::new(level, storage, &[Dense::new(linear)?.linear()]))
        };
        let inner = if layer.gated {
            let own = Dense::new(&layer.inner)?;
            let (both, half) = (own.linear(), own.outputs / 2);
            Matrix::gated(level, storage, both.rows(0, half), both.rows(half, half), activation)
        } else {
            plain(&layer.inner)?.with_activation(activation)
        };
        Ok(Self {
            query_key_value: plain(&layer.query_key_value)?,
            head_norms: match &layer.head_norms {
                Some([query, key]) => Some([packed_norm(query)?, packed_norm(key)?]),
                None => None,
            },
            attention_output: plain(&layer.attention_output)?,
            around_attention: Norms::new(&layer.around_attention)?,
            inner,
            output: plain(&layer.output)?,
            around_perceptron: Norms::new(&layer.around_perceptron)?,
            local: layer.local,
        })
    }

    fn perceptron(&self, level: Level, state: &mut [f32], hidden: usize, memory: &mut Memory) {
        let Memory { normed, inner, branch, products, .. } = memory;
        for state in state.chunks_mut(TOKENS_AT_ONCE * hidden) {
            inner.resize(state.len() / hidden * self.inner.outputs(), 0.0);
            let read = self.around_perceptron.read(level, state, normed);
            self.inner.multiply(read, inner, products);
            self.around_perceptron.add(level, &self.output, inner, state, branch, products);
        }
    }
}

impl Norms {
    fn new(around: &Around) -> Result<Self> {
        let norm = |norm: &Option<Norm>| norm.as_ref().map(packed_norm).transpose();
        Ok(Self { before: norm(&around.before)?, branch: norm(&around.branch)?, after: norm(&around.after)? })
    }

    /// What a branch reads.
    fn read<'a>(&self, level: Level, state: &'a [f32], normed: &'a mut Vec<f32>) -> &'a [f32] {
        match &self.before {
            Some(norm) => {
                norm.apply_to(level, state, normed);
                normed
            }
            None => state,
        }
    }

    /// Adds `last` of `x`, the end of a branch, to the state.
    fn add(
        &self,
        level: Level,
        last: &Matrix,
        x: &[f32],
        state: &mut [f32],
        branch: &mut Vec<f32>,
        products: &mut Scratch,
    ) {
        match &self.branch {
            None => last.multiply_add(x, state, products),
            Some(norm) => {
                branch.resize(state.len(), 0.0);
                last.multiply(x, branch, products);
                norm.apply(level, branch);
                regen_kernel::add(state, branch);
            }
        }
        apply(level, &self.after, state);
    }
}

/// A weight on the host.
struct Dense {
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
    outputs: usize,
    inputs: usize,
}

impl Dense {
    fn new(linear: &Linear) -> Result<Self> {
        let bias = linear.bias.as_ref().map(tensor_to_vec_f32).transpose()?;
        let (outputs, inputs) = linear.weight.size2().map_err(torch("pack a weight"))?;
        let weight = tensor_to_vec_f32(&linear.weight)?;
        Ok(Self { weight, bias, outputs: outputs as usize, inputs: inputs as usize })
    }

    fn linear(&self) -> Weight<'_> {
        let Self { weight, bias, outputs, inputs } = self;
        Weight { weight, bias: bias.as_deref(), outputs: *outputs, inputs: *inputs }
    }
}

fn packed_norm(norm: &Norm) -> Result<RowNorm> {
    let mut factor = tensor_to_vec_f32(&norm.weight)?;
    if norm.kind == Of::RmsPlusOne {
        factor.iter_mut().for_each(|factor| *factor += 1.0);
    }
    let kind = match norm.kind {
        Of::Layer => NormKind::Layer,
        Of::Rms | Of::RmsPlusOne => NormKind::Rms,
    };
    let bias = norm.bias.as_ref().map(tensor_to_vec_f32).transpose()?;
    Ok(RowNorm { kind, factor, bias, epsilon: norm.eps as f32 })
}

fn apply(level: Level, norm: &Option<RowNorm>, x: &mut [f32]) {
    if let Some(norm) = norm {
        norm.apply(level, x);
    }
}

fn texts(groups: &[Group]) -> Result<Vec<Text>> {
    let mut texts = Vec::new();
    let mut start = 0;
    for group in groups {
        let seq = group.seq as usize;
        let lengths = match &group.lengths {
            Some(lengths) => numbers(lengths)?,
            None => vec![group.seq; group.texts as usize],
        };
        for length in lengths {
            texts.push(Text { start, length: length as usize });
            start += seq;
        }
    }
    Ok(texts)
}

fn numbers(tensor: &Tensor) -> Result<Vec<i64>> {
    Vec::<i64>::try_from(tensor).map_err(torch("read a batch"))
}

/// An empty vector with room; where there is none, the error that halves a batch.
fn room(numbers: usize) -> Result<Vec<f32>> {
    let mut vector = Vec::new();
    match vector.try_reserve_exact(numbers) {
        Ok(()) => Ok(vector),
        Err(_) => {
            let source = TchError::Torch(format!("not enough memory for {numbers} numbers"));
            Err(torch("encode a batch")(source))
        }
    }
}

fn zeros(numbers: usize) -> Result<Vec<f32>> {
    let mut vector = room(numbers)?;
    vector.resize(numbers, 0.0);
    Ok(vector)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::is_out_of_memory;

    #[test]
    fn memory_that_is_not_there_is_told_as_libtorch_tells_it() {
        let Err(crate::Error::Torch { source, .. }) = room(usize::MAX / 8) else { panic!("no error") };
        assert!(is_out_of_memory(&source));
    }
}
