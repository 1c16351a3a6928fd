//! Which words a soft token lies near: the nearest entries of the vocabulary.

use regen_torch::{Numbers, tensor_to_vec_f32, try_range};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::next_item::unit;
use crate::prompt::Padding;
use crate::{Error, Narrator, Request, Result, Withheld};

/// An entry of the vocabulary and how near a soft token is to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NearToken {
    /// The token as people read it.
    pub token: String,
    /// Cosine between the soft token and the token's embedding, in `[−1, 1]`.
    pub cosine: f32,
}

impl Narrator {
    /// For every request, for each of its soft tokens in the order of the prompt, the `k` nearest entries of the vocabulary,
    /// nearest first.
    ///
    /// A soft token need not be near any word to be read well: the embeddings of words are a thin set in a space of many
    /// dimensions, so compare cosines with those of other soft tokens, not with 1.
    ///
    /// **Source** the reading of soft prompts by their neighbours: Lester et al. 2021, "The Power of Scale for
    /// Parameter-Efficient Prompt Tuning", section 7.
    ///
    /// # Errors
    /// [`Error::NoAdapter`], and those of laying out the requests.
    pub fn nearest_tokens(&self, requests: &[Request], k: usize) -> Result<Vec<Vec<Vec<NearToken>>>> {
        if self.adapter.is_none() {
            return Err(Error::NoAdapter);
        }
        let sequences = self.prompts(requests)?;
        let ids = try_range(0, self.config.decoder.vocab(), self.device)?.f_unsqueeze(0)?;
        tch::no_grad(|| {
            let words = unit(&self.decoder.embed(&ids)?.f_squeeze_dim(0)?)?;
            // One at a time: prompts are few, and every word times every soft token of many may not fit.
            sequences
                .iter()
                .map(|sequence| {
                    let batch = self.batch(&[sequence], Padding::Right)?;
                    let Some(soft) = self.soft_tokens(&batch, Withheld::Nothing)? else {
                        return Ok(Vec::new());
                    };
                    let slots = batch.slots.f_reshape([-1])?;
                    let there = slots.try_ge(0)?.f_nonzero()?.f_reshape([-1])?;
                    let slots = slots.f_index_select(0, &there)?;
                    let placed = unit(&soft.f_squeeze_dim(0)?.f_index_select(0, &slots)?)?;
                    self.near(&placed.f_matmul(&words.f_tr()?)?, k)
                })
                .collect()
        })
    }

    /// The largest `k` of each row of `cosines: [soft tokens, vocab]`.
    fn near(&self, cosines: &Tensor, k: usize) -> Result<Vec<Vec<NearToken>>> {
        let k = (k as i64).min(cosines.size()[1]);
        if k == 0 {
            return Ok(vec![Vec::new(); cosines.size()[0] as usize]);
        }
        let (best, ids) = cosines.f_topk(k, 1, true, true)?;
        let best = tensor_to_vec_f32(&best)?;
        let near = (0..).zip(best).map(|(at, cosine)| {
            let token = self.tokenizer.piece(ids.f_int64_value(&[at / k, at % k])?)?;
            Ok(NearToken { token, cosine })
        });
        let near: Vec<NearToken> = near.collect::<Result<_>>()?;
        Ok(near.chunks(k as usize).map(<[NearToken]>::to_vec).collect())
    }
}
