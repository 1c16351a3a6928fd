//! The vectors of single tokens, of any layer: what BERTScore compares.

use regen_torch::tensor_to_vec_f32;
use tch::Tensor;

use crate::plan::{self, Padding};
use crate::transformer::{Engine, torch};
use crate::{EncodeOptions, Error, Result, SentenceEncoder};

/// The tokens of one text, special ones included.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenVectors {
    /// `[tokens]`
    pub ids: Vec<i64>,
    /// `[tokens]`: true at the tokens that the tokenizer puts around every text.
    pub special: Vec<bool>,
    /// `[tokens, hidden]`, row by row, as the layer gives them: not scaled to any length.
    pub vectors: Vec<f32>,
}

impl SentenceEncoder {
    /// Vectors of every token after layer `layer`: 0 is the embeddings before the first layer, and the number of layers the
    /// last, as `bert-score` counts them. Texts are cut at [`max_tokens`](Self::max_tokens), as for sentence vectors; no
    /// prompt is put before them, and nothing of what follows the transformer (pooling, dense layers, scaling) is done.
    ///
    /// Of `options`, the sizes of a batch and the padding count.
    ///
    /// # Errors
    /// [`Error::UnknownLayer`], [`Error::NoTokens`], [`Error::Tokenizer`], [`Error::Torch`].
    pub fn token_vectors<S: AsRef<str>>(
        &self,
        texts: &[S],
        layer: usize,
        options: &EncodeOptions,
    ) -> Result<Vec<TokenVectors>> {
        let layers = self.config.layers as usize;
        if layer > layers {
            return Err(Error::UnknownLayer { layer, layers });
        }
        let around = self.tokens.special()?;
        let ids = self.tokens.encode(texts.iter().map(|text| text.as_ref().to_owned()).collect())?;
        if let Some(text) = ids.iter().position(Vec::is_empty) {
            return Err(Error::NoTokens { text });
        }
        let lengths: Vec<usize> = ids.iter().map(Vec::len).collect();
        let mut all: Vec<TokenVectors> = ids
            .iter()
            .map(|ids| TokenVectors {
                ids: ids.clone(),
                special: ids.iter().map(|id| around.contains(id)).collect(),
                vectors: Vec::new(),
            })
            .collect();
        let (engine, padding_id) = self.engine();
        for batch in plan::batches(&lengths, options.batch_texts, options.batch_tokens) {
            let texts: Vec<&[i64]> = batch.iter().map(|&index| ids[index].as_slice()).collect();
            let padding = options.padding.unwrap_or(Padding::Avoid);
            let mut rest = batch.as_slice();
            for (group, state) in states(&engine, padding_id, &texts, layer, padding)? {
                let (own, later) = rest.split_at(group.texts);
                rest = later;
                let values = tensor_to_vec_f32(&state)?;
                let width = values.len() / (group.texts * group.seq).max(1);
                for (&index, values) in own.iter().zip(values.chunks_exact(group.seq * width)) {
                    all[index].vectors = values[..lengths[index] * width].to_vec();
                }
            }
        }
        Ok(all)
    }
}

/// The token vectors of a batch, `[texts · seq, hidden]` for each group.
fn states(
    engine: &Engine,
    padding_id: Option<i64>,
    texts: &[&[i64]],
    layer: usize,
    padding: Padding,
) -> Result<Vec<(Shape, Tensor)>> {
    tch::no_grad(|| {
        let batch =
            plan::batch(texts, padding_id, padding, engine.device()).map_err(torch("place a batch"))?;
        let state = engine.forward_to(&batch, layer)?;
        let mut start = 0;
        let groups = batch.groups.iter().map(|group| {
            let rows = group.texts * group.seq;
            let own = state.f_narrow(0, start, rows);
            start += rows;
            let own = own.map_err(torch("take a group"))?;
            Ok((Shape { texts: group.texts as usize, seq: group.seq as usize }, own))
        });
        groups.collect()
    })
}

struct Shape {
    texts: usize,
    seq: usize,
}
