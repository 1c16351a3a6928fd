//! MPNet's bias by distance.
//!
//! **Source** Song et al. 2020, "MPNet"; the buckets are those of Raffel et al. 2020 (T5).

use tch::Tensor;

use super::encoder::Torch;

/// Distances are told apart one by one up to 7, then in ever wider buckets up to 128; both directions apart.
pub(super) const BUCKETS: i64 = 32;
const FARTHEST: f64 = 128.0;

/// `table: [buckets, heads] → [1, heads, longest, longest]`, the bias of looking from row to column.
pub(super) fn relative_bias(table: &Tensor, longest: i64) -> Torch<Tensor> {
    let half = BUCKETS / 2;
    let exact = half / 2;
    let bucket = |distance: i64| {
        // A key after the query falls into the upper half.
        let side = if distance > 0 { half } else { 0 };
        let far = distance.abs();
        if far < exact {
            return side + far;
        }
        // In f32 as the reference computes it: a bucket's border must not move by rounding.
        let ratio = (far as f32 / exact as f32).ln() / (FARTHEST / exact as f64).ln() as f32;
        side + (exact + (ratio * (half - exact) as f32) as i64).min(half - 1)
    };
    let buckets: Vec<i64> =
        (0..longest).flat_map(|query| (0..longest).map(move |key| key - query)).map(bucket).collect();
    let index = Tensor::f_from_slice(&buckets)?.f_to_device(table.device())?;
    let chosen = table.f_index_select(0, &index)?.f_reshape([longest, longest, -1])?;
    chosen.f_permute([2, 0, 1])?.f_unsqueeze(0)?.f_contiguous()
}
