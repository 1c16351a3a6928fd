//! Exact nearest neighbours by cosine, for people who want to look at embeddings.

use regen_torch::Numbers;
use tch::{Kind, Tensor};

use crate::transformer::{Torch, torch};
use crate::{Error, Result};

/// Queries compared at a time: bounds the memory of the scores.
const BLOCK: i64 = 512;

/// The `k` rows of `items: [items, dim]` with the largest cosine to each row of `queries: [queries, dim]`, both f32 on one
/// device: row indexes `[queries, k]` i64 and cosines `[queries, k]` f32, best first, at most as many as there are items.
/// A zero vector has cosine 0 to everything.
///
/// # Errors
/// [`Error::Widths`] if the two are not matrices of one width, [`Error::Torch`].
pub fn nearest(queries: &Tensor, items: &Tensor, k: i64) -> Result<(Tensor, Tensor)> {
    let (left, right) = (queries.size(), items.size());
    if left.len() != 2 || right.len() != 2 || left[1] != right[1] {
        return Err(Error::Widths { queries: left, items: right });
    }
    let k = k.clamp(0, right[0]);
    let run = || -> Torch<(Tensor, Tensor)> {
        let items = items.try_unit(1e-12)?.f_transpose(0, 1)?;
        let mut rows = vec![Tensor::f_zeros([0, k], (Kind::Int64, queries.device()))?];
        let mut scores = vec![Tensor::f_zeros([0, k], (Kind::Float, queries.device()))?];
        for start in (0..left[0]).step_by(BLOCK as usize) {
            let block = queries.f_narrow(0, start, BLOCK.min(left[0] - start))?.try_unit(1e-12)?;
            let (best, which) = block.f_matmul(&items)?.f_topk(k, 1, true, true)?;
            rows.push(which);
            scores.push(best);
        }
        Ok((Tensor::f_cat(&rows, 0)?, Tensor::f_cat(&scores, 0)?))
    };
    tch::no_grad(run).map_err(torch("search neighbours"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_by_angle_come_first_whatever_their_length() {
        let items = Tensor::from_slice(&[9f32, 0., 0., 0.1, -1., 0., 3., 3.]).reshape([4, 2]);
        let queries = Tensor::from_slice(&[0.5f32, 0.4, 0., 0.]).reshape([2, 2]);
        let (rows, scores) = nearest(&queries, &items, 3).unwrap();
        assert_eq!(Vec::<i64>::try_from(rows.get(0)).unwrap(), [3, 0, 1]);
        assert!((scores.double_value(&[0, 0]) - 0.9 / (2f64 * 0.41).sqrt()).abs() < 1e-6);
        assert_eq!(scores.get(1).abs().max().double_value(&[]), 0.0);
        assert_eq!(nearest(&queries, &items, 9).unwrap().0.size(), [2, 4]);
        assert!(matches!(nearest(&queries, &items.transpose(0, 1), 1), Err(Error::Widths { .. })));
    }
}
