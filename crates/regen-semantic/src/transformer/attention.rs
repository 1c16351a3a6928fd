//! Attention of one group of texts.

use regen_torch::{Numbers, try_range};
use tch::{Kind, Tensor};

use super::batch::Group;
use super::encoder::Torch;
use super::parts::{Angles, Norm};
use crate::config::EncoderConfig;

/// Heads and how scores are made of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heads {
    pub(super) count: i64,
    /// Of keys and values.
    pub(super) kv: i64,
    pub(super) dim: i64,
    /// What scores are multiplied by, where it is not `1 / √dim`.
    pub(super) scale: Option<f64>,
}

impl Heads {
    pub(super) fn of(config: &EncoderConfig) -> Self {
        let usual = config.score_width == config.head_dim as f64;
        Self {
            count: config.heads,
            kv: config.kv_heads,
            dim: config.head_dim,
            scale: (!usual).then(|| config.score_width.sqrt().recip()),
        }
    }

    /// Width of the joined heads.
    pub(super) fn width(self) -> i64 {
        self.count * self.dim
    }

    /// `projected: [rows, (heads + 2 kv) · dim]`, the rows of one group from `start` on of its batch `→ [rows, heads · dim]`.
    pub(super) fn attend(
        self,
        projected: &Tensor,
        group: &Group,
        start: i64,
        norms: Option<&[Norm; 2]>,
        angles: Option<&Angles>,
        mask: Option<&Tensor>,
    ) -> Torch<Tensor> {
        let rows = group.texts * group.seq;
        let part = |first: i64, heads: i64| {
            projected.f_narrow(1, first * self.dim, heads * self.dim)?.f_view([rows, heads, self.dim])
        };
        let (mut query, mut key) = (part(0, self.count)?, part(self.count, self.kv)?);
        let value = part(self.count + self.kv, self.kv)?;
        if let Some([of_query, of_key]) = norms {
            (query, key) = (of_query.forward(&query)?, of_key.forward(&key)?);
        }
        if let Some(angles) = angles {
            (query, key) = (angles.turn(&query, start)?, angles.turn(&key, start)?);
        }
        // [rows, heads, dim] → [texts, heads, seq, dim], keys and values repeated for the heads that share them
        let spread = |heads: &Tensor| -> Torch<Tensor> {
            let heads = heads.f_view([group.texts, group.seq, -1, self.dim])?.f_transpose(1, 2)?;
            let shared = self.count / heads.size()[1];
            if shared == 1 { Ok(heads) } else { heads.f_repeat_interleave_self_int(shared, 1, None) }
        };
        let (query, key, value) = (spread(&query)?, spread(&key)?, spread(&value)?);
        let joined = Tensor::f_scaled_dot_product_attention(
            &query, &key, &value, mask, 0.0, false, self.scale, false,
        )?;
        joined.f_transpose(1, 2)?.f_reshape([rows, self.width()])
    }
}

/// Who may see whom in a group: `[seq, seq]`, true where the row may look at the column; `None` where all may.
pub(super) fn visible(
    seq: i64,
    causal: bool,
    reach: Option<i64>,
    device: tch::Device,
) -> Torch<Option<Tensor>> {
    let near = reach.filter(|&reach| seq > reach + 1);
    if seq == 1 || (!causal && near.is_none()) {
        return Ok(None);
    }
    let positions = try_range(0, seq, device)?;
    // How far the column stands before the row.
    let before = positions.f_unsqueeze(1)?.f_sub(&positions.f_unsqueeze(0)?)?;
    let mut sees = Tensor::f_ones([seq, seq], (Kind::Bool, device))?;
    if causal {
        sees = sees.f_logical_and(&before.try_ge(0)?)?;
    }
    if let Some(reach) = near {
        sees = sees.f_logical_and(&before.f_abs()?.try_le(reach)?)?;
    }
    Ok(Some(sees))
}
