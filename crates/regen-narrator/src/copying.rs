//! Taking words from the prompt's passage: a second distribution over the next token, mixed with the language model's.
//!
//! P(w) = (1 − g) · P_lm(w) + g · Σ_{j : passage token j is w} a_j, where a is an attention of the present state over the
//! passage and g a learned gate. A language model that learned from few texts has no other way to a name that it never saw
//! in training: it would have to find out by itself how to copy, which takes far more examples.
//!
//! The key of a passage token is made of the states at it and before it. The state before a token says what is likely to
//! follow there, which is what the present state says of its own next token, so alike contexts match from the start.
//!
//! A phrase is seldom told twice, so whether a passage token has already been written is a feature of its own, with a
//! learned weight. Unlike the coverage of the source, a sum of past attentions, it is known beforehand for a whole
//! narrative, so training stays one pass.
//!
//! **Source** See, Liu, Manning 2017, "Get To The Point: Summarization with Pointer-Generator Networks", equations 8 and 9;
//! here with a scaled product for the attention, and keys of two states.

use regen_lm::Decoder;
use regen_lm::generate::NextToken;
use regen_torch::Numbers;
use regen_torch::seed::{self, ChaCha8Rng};
use tch::{Kind, Tensor, nn};

use crate::losses::Chosen;
use crate::prompt::Batch;

/// Stands for log 0 where a sum of logarithms must stay finite.
const NEVER: f64 = -1e9;

/// The smallest probability of copying a token whose logarithm is taken.
const LEAST: f64 = 1e-9;

/// The weights of the copying distribution.
#[derive(Debug)]
pub(crate) struct CopyHead {
    /// `[width, hidden]`
    query: Tensor,
    /// `[width, 2 · hidden]`
    key: Tensor,
    /// `[1, hidden]`
    gate: Tensor,
    /// `[1]`
    gate_bias: Tensor,
    /// `[1]`: added to the score of a token that has been written before.
    again: Tensor,
}

impl CopyHead {
    /// Makes variables under `vs`. The gate begins at about a quarter: mostly the language model.
    pub(crate) fn new(vs: &nn::Path<'_>, hidden: i64, width: i64, rng: &mut ChaCha8Rng) -> Self {
        let mut normal = |part: &str, shape: [i64; 2]| {
            let deviation = (shape[1] as f64).sqrt().recip();
            (vs / part).var_copy("weight", &seed::normal(rng, &shape, deviation).to_device(vs.device()))
        };
        Self {
            query: normal("query", [width, hidden]),
            key: normal("key", [width, 2 * hidden]),
            gate: normal("gate", [1, hidden]),
            again: (vs / "again").var_copy("weight", &Tensor::from_slice(&[-1.0f32]).to_device(vs.device())),
            gate_bias: (vs / "gate").var_copy("bias", &Tensor::from_slice(&[-1.0f32]).to_device(vs.device())),
        }
    }

    /// `hidden: [batch, seq, hidden] → [batch, seq, width]`
    fn keys(&self, hidden: &Tensor) -> regen_lm::Result<Tensor> {
        let hidden = &wide(hidden)?;
        let first = hidden.f_narrow(1, 0, 1)?.f_zeros_like()?;
        let before = Tensor::f_cat(&[&first, &hidden.f_narrow(1, 0, hidden.size()[1] - 1)?], 1)?;
        Ok(Tensor::f_cat(&[hidden, &before], 2)?.f_linear(&self.key, None::<&Tensor>)?)
    }

    /// Weights of the passage's tokens, zero elsewhere and in rows without a passage.
    ///
    /// `hidden: [batch, queries, hidden]`, `keys: [batch, seq, width]`, `passage: [batch, seq]`,
    /// `again: [batch, queries, seq]` bool (already written) → `[batch, queries, seq]`
    fn attention(
        &self,
        hidden: &Tensor,
        keys: &Tensor,
        passage: &Tensor,
        again: &Tensor,
    ) -> regen_lm::Result<Tensor> {
        let query = wide(hidden)?.f_linear(&self.query, None::<&Tensor>)?;
        let scale = (self.query.size()[0] as f64).sqrt().recip();
        let scores = query.f_matmul(&keys.f_transpose(1, 2)?)?.try_mul(scale)?;
        let scores = scores.f_add(&again.f_to_kind(Kind::Float)?.f_mul(&self.again)?)?;
        let passage = passage.f_unsqueeze(1)?;
        let weights = scores.try_masked_fill(&passage.f_logical_not()?, NEVER)?.f_softmax(-1, Kind::Float)?;
        Ok(weights.f_mul(&passage.f_to_kind(Kind::Float)?)?)
    }

    /// Logarithms of g and 1 − g. Where there is no passage, g is 0.
    ///
    /// `hidden: [.., hidden]`, `any: [..]` bool → twice `[..]`
    fn gates(&self, hidden: &Tensor, any: &Tensor) -> regen_lm::Result<(Tensor, Tensor)> {
        let score = wide(hidden)?.f_linear(&self.gate, Some(&self.gate_bias))?.f_squeeze_dim(-1)?;
        let none = any.f_logical_not()?;
        let copy = score.f_log_sigmoid()?.try_masked_fill(&none, NEVER)?;
        let write = score.f_neg()?.f_log_sigmoid()?.try_masked_fill(&none, 0.0)?;
        Ok((copy, write))
    }

    /// Log-probability of each of a batch's narrative tokens, `[chosen]`.
    pub(crate) fn log_likelihood(
        &self,
        decoder: &Decoder,
        hidden: &Tensor,
        batch: &Batch,
        chosen: &Chosen,
    ) -> regen_lm::Result<Tensor> {
        let seq = batch.ids.size()[1];
        let again = written_before(&batch.ids, &batch.loss_mask)?;
        let attention = self.attention(hidden, &self.keys(hidden)?, &batch.passage, &again)?;
        let attention = attention.f_reshape([-1, seq])?.f_index_select(0, &chosen.places)?;
        let ids = batch.ids.f_index_select(0, &chosen.rows)?;
        let same = ids.f_eq_tensor(&chosen.targets.f_unsqueeze(1)?)?.f_to_kind(Kind::Float)?;
        let copied = attention.f_mul(&same)?.f_sum_dim_intlist([-1i64].as_slice(), false, Kind::Float)?;
        let any = batch.passage.f_any_dim(1, false)?.f_index_select(0, &chosen.rows)?;
        let (copy, write) = self.gates(&chosen.states, &any)?;
        let written = chosen.log_likelihood(decoder)?;
        let copied = copied.try_clamp_min(LEAST)?.f_log()?.f_add(&copy)?;
        Ok(write.f_add(&written)?.f_logaddexp(&copied)?)
    }
}

/// States of a language model in any precision, in f32 as the head is.
fn wide(hidden: &Tensor) -> regen_lm::Result<Tensor> {
    Ok(hidden.f_to_kind(Kind::Float)?)
}

/// Which tokens' ids each position finds among the narrative's tokens up to it.
///
/// `ids: [batch, seq]`, `loss_mask: [batch, seq]` (positions whose next token is of the narrative) → `[batch, seq, seq]` bool
fn written_before(ids: &Tensor, loss_mask: &Tensor) -> regen_lm::Result<Tensor> {
    let seq = ids.size()[1];
    let first = loss_mask.f_narrow(1, 0, 1)?.f_zeros_like()?;
    let narrative = Tensor::f_cat(&[&first, &loss_mask.f_narrow(1, 0, seq - 1)?], 1)?;
    let same = ids.f_unsqueeze(2)?.f_eq_tensor(&ids.f_unsqueeze(1)?)?;
    let same = same.f_logical_and(&narrative.f_unsqueeze(2)?)?;
    Ok(same.f_cumsum(1, Kind::Int)?.try_gt(0)?)
}

/// The mixture while a batch is written.
pub(crate) struct Copying<'a> {
    head: &'a CopyHead,
    ids: Tensor,
    passage: Tensor,
    keys: Option<Tensor>,
    /// `[rows, seq]` bool: written before.
    again: Tensor,
}

impl<'a> Copying<'a> {
    pub(crate) fn new(head: &'a CopyHead, batch: &Batch) -> Self {
        let passage = batch.passage.shallow_clone();
        Self { head, ids: batch.ids.shallow_clone(), again: passage.zeros_like(), passage, keys: None }
    }
}

impl NextToken for Copying<'_> {
    fn prompt(&mut self, hidden: &Tensor) -> regen_lm::Result<()> {
        self.keys = Some(self.head.keys(hidden)?);
        Ok(())
    }

    fn chosen(&mut self, rows: &[usize], ids: &[i64]) -> regen_lm::Result<()> {
        let rows: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        let rows = Tensor::f_from_slice(&rows)?.f_to_device(self.ids.device())?;
        for tensor in
            [&mut self.ids, &mut self.passage, &mut self.again].into_iter().chain(self.keys.as_mut())
        {
            *tensor = tensor.f_index_select(0, &rows)?;
        }
        let ids = Tensor::f_from_slice(ids)?.f_to_device(self.ids.device())?.f_unsqueeze(1)?;
        self.again = self.again.f_logical_or(&self.ids.f_eq_tensor(&ids)?)?;
        Ok(())
    }

    fn scores(&mut self, hidden: &Tensor, logits: Tensor) -> regen_lm::Result<Tensor> {
        let written = logits.f_log_softmax(-1, Kind::Float)?;
        let Some(keys) = &self.keys else { return Ok(written) };
        let attention = self.head.attention(hidden, keys, &self.passage, &self.again.f_unsqueeze(1)?)?;
        let nothing = written.f_zeros_like()?;
        let copied = nothing.f_scatter_add(2, &self.ids.f_unsqueeze(1)?, &attention)?;
        let any = self.passage.f_any_dim(1, true)?;
        let (copy, write) = self.head.gates(hidden, &any)?;
        let copied = copied.try_clamp_min(LEAST)?.f_log()?.f_add(&copy.f_unsqueeze(-1)?)?;
        Ok(written.f_add(&write.f_unsqueeze(-1)?)?.f_logaddexp(&copied)?)
    }
}

#[cfg(test)]
#[path = "copying_tests.rs"]
mod tests;
