//! Weights by the names of their family.

use std::cell::RefCell;

use regen_torch::{Checkpoint, Placement, Surplus};
use tch::Tensor;

use super::attention::Heads;
use super::encoder::{Transformer, torch};
use super::layer::{Around, Layer};
use super::parts::{Linear, Norm, Rotary};
use super::relative::{BUCKETS, relative_bias};
use crate::config::{EncoderConfig, Positions};
use crate::families::{Inner, Names, Norms, Projections};
use crate::{Family, Result};

/// Stored tensors that a sentence encoder does not read: heads of tasks, constants, scores of the vocabulary.
const UNUSED: &[&str] =
    &["embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias", "lm_head.weight"];

/// A checkpoint that keeps account of what was taken from it.
struct Source<'a> {
    checkpoint: &'a Checkpoint,
    config: &'a EncoderConfig,
    names: &'static Names,
    prefix: &'static str,
    placement: Placement,
    taken: RefCell<Vec<String>>,
}

impl Source<'_> {
    fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor> {
        let name = format!("{}{name}", self.prefix);
        let stored = self.checkpoint.tensor(&name, shape)?;
        self.taken.borrow_mut().push(name);
        stored
            .f_to_device(self.placement.device)
            .and_then(|t| t.f_to_kind(self.placement.precision.kind()))
            .map_err(torch("place a weight"))
    }

    fn weight(&self, name: &str, shape: &[i64]) -> Result<Tensor> {
        self.tensor(&format!("{name}.weight"), shape)
    }

    fn linear(&self, name: &str, output: i64, input: i64, bias: bool) -> Result<Linear> {
        let bias = bias.then(|| self.tensor(&format!("{name}.bias"), &[output])).transpose()?;
        Ok(Linear { weight: self.weight(name, &[output, input])?, bias })
    }

    fn norm(&self, name: &str, width: i64) -> Result<Norm> {
        let [bias, ..] = self.config.biases;
        Ok(Norm {
            kind: self.names.norm,
            weight: self.weight(name, &[width])?,
            bias: bias.then(|| self.tensor(&format!("{name}.bias"), &[width])).transpose()?,
            eps: self.config.norm_eps,
        })
    }

    fn layer(&self, index: i64) -> Result<Layer> {
        let (config, names) = (self.config, self.names);
        let (hidden, head_dim) = (config.hidden, config.head_dim);
        let [_, bias, wide_bias] = config.biases;
        let name = |part: &str| format!("{}.{index}.{part}", names.layer);
        let around = |norms: &Norms, first: bool| -> Result<Around> {
            let norm = |part: Option<&str>| part.map(|part| self.norm(&name(part), hidden)).transpose();
            let before = norms.before.filter(|_| !(first && names.first_reads_normed));
            Ok(Around { before: norm(before)?, branch: norm(norms.branch)?, after: norm(norms.after)? })
        };
        // A product that is too large saturates: no tensor has that shape, so the checkpoint refuses it.
        let joined = config.heads.saturating_mul(head_dim);
        let shared = config.kv_heads.saturating_mul(head_dim);
        let widths = [joined, shared, shared];
        let query_key_value = match &names.projections {
            Projections::Fused(part) => {
                self.linear(&name(part), widths.into_iter().fold(0, i64::saturating_add), hidden, bias)?
            }
            Projections::Apart(parts) => {
                let apart = parts.iter().zip(widths);
                let apart = apart.map(|(part, width)| self.linear(&name(part), width, hidden, bias));
                Linear::beside(apart.collect::<Result<_>>()?).map_err(torch("join weights"))?
            }
        };
        let head_norm = |part: &str| self.norm(&name(part), head_dim);
        let head_norms = match names.head_norms {
            Some([query, key]) => Some([head_norm(query)?, head_norm(key)?]),
            None => None,
        };
        let wide = config.intermediate;
        let (inner, gated) = match &names.inner {
            Inner::Plain(part) => (self.linear(&name(part), wide, hidden, wide_bias)?, false),
            Inner::GatedFused(part) => {
                (self.linear(&name(part), wide.saturating_mul(2), hidden, wide_bias)?, true)
            }
            Inner::Gated { gate, up } => {
                let both = [gate, up].map(|part| self.linear(&name(part), wide, hidden, wide_bias));
                let both = both.into_iter().collect::<Result<_>>()?;
                (Linear::beside(both).map_err(torch("join weights"))?, true)
            }
        };
        Ok(Layer {
            query_key_value,
            head_norms,
            attention_output: self.linear(&name(names.attention_output), hidden, joined, bias)?,
            around_attention: around(&names.attention_norms, index == 0)?,
            inner,
            gated,
            output: self.linear(&name(names.output), hidden, wide, wide_bias)?,
            around_perceptron: around(&names.output_norms, false)?,
            local: config.window.as_ref().is_some_and(|window| window.layers[index as usize]),
        })
    }

    /// The table of words, with what every token gets beside its word and its position.
    fn words(&self) -> Result<(Tensor, Option<Tensor>)> {
        let (config, names) = (self.config, self.names);
        let mut word = self.weight(names.word, &[config.vocab, config.hidden])?;
        let mut position = names
            .position
            .map(|name| self.weight(name, &[config.max_positions, config.hidden]))
            .transpose()?;
        if let (Some(name), 1..) = (names.token_types, config.token_types) {
            // Every token is of type 0.
            let first = self.weight(name, &[config.token_types, config.hidden])?.get(0);
            match &mut position {
                Some(position) => *position += first,
                None => word += first,
            }
        }
        if names.scaled {
            // The reference rounds √hidden to the precision of the weights before it multiplies.
            let scale = Tensor::from((config.hidden as f64).sqrt() as f32).to_kind(word.kind());
            word *= scale.to_device(word.device());
        }
        Ok((word, position))
    }
}

impl Transformer {
    /// Takes the weights from `checkpoint`, refusing missing, surplus and mis-shaped ones.
    pub(crate) fn load(
        config: &EncoderConfig,
        checkpoint: &Checkpoint,
        placement: Placement,
    ) -> Result<Self> {
        let names = config.family.names();
        let headed = checkpoint.contains(&format!("{}{}.weight", names.prefix, names.word));
        let prefix = if headed { names.prefix } else { "" };
        let source = Source { checkpoint, config, names, prefix, placement, taken: RefCell::default() };
        let (word, position) = source.words()?;
        let relative = match config.family {
            Family::Mpnet => {
                let table = source.weight("encoder.relative_attention_bias", &[BUCKETS, config.heads])?;
                Some(relative_bias(&table, config.longest()).map_err(torch("make a table"))?)
            }
            _ => None,
        };
        let rotary =
            |base| Rotary::new(base, config.head_dim, placement.device).map_err(torch("make a table"));
        let (rotary, local_rotary) = match config.positions {
            Positions::Table => (None, None),
            Positions::Rotary { base, local_base } => (Some(rotary(base)?), Some(rotary(local_base)?)),
        };
        let norm = |name: Option<&str>| name.map(|name| source.norm(name, config.hidden)).transpose();
        let transformer = Self {
            heads: Heads::of(config),
            activation: config.activation,
            causal: config.causal,
            reach: config.window.as_ref().map(|window| window.reach),
            word,
            position,
            relative,
            rotary,
            local_rotary,
            norm: norm(names.embedding_norm)?,
            layers: (0..config.layers).map(|index| source.layer(index)).collect::<Result<_>>()?,
            final_norm: norm(names.final_norm)?,
            device: placement.device,
        };
        let taken = source.taken.into_inner();
        let used = |name: &str| {
            let bare = name.strip_prefix(prefix).unwrap_or(name);
            taken.iter().any(|t| t == name) || UNUSED.contains(&bare)
        };
        checkpoint.check_surplus(used, Surplus::Refuse)?;
        Ok(transformer)
    }
}
