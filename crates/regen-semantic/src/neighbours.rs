//! Exact nearest neighbours by cosine, for people who want to look at embeddings.

use regen_torch::Numbers;
use tch::{Kind, Tensor};

use crate::transformer::{Torch, torch};
use crate::{Error, Result};

/// Queries, and items, compared at a time: bounds the memory of the scores, and of items brought to unit length.
const QUERIES: i64 = 512;
const ITEMS: i64 = 1 << 16;

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
        let mut rows = vec![Tensor::f_zeros([0, k], (Kind::Int64, queries.device()))?];
        let mut scores = vec![Tensor::f_zeros([0, k], (Kind::Float, queries.device()))?];
        for start in (0..left[0]).step_by(QUERIES as usize).take_while(|_| k > 0) {
            let block = queries.f_narrow(0, start, QUERIES.min(left[0] - start))?.try_unit(1e-12)?;
            let (best, which) = best_of(&block, items, k)?;
            rows.push(which);
            scores.push(best);
        }
        if k == 0 {
            rows.push(Tensor::f_zeros([left[0], 0], (Kind::Int64, queries.device()))?);
            scores.push(Tensor::f_zeros([left[0], 0], (Kind::Float, queries.device()))?);
        }
        Ok((Tensor::f_cat(&rows, 0)?, Tensor::f_cat(&scores, 0)?))
    };
    tch::no_grad(run).map_err(torch("search neighbours"))
}

/// The best `k` scores of unit `queries`, and whose they are.
fn best_of(queries: &Tensor, items: &Tensor, k: i64) -> Torch<(Tensor, Tensor)> {
    let (dim, all) = (items.size()[1], items.size()[0]);
    let mut scores = Tensor::f_zeros([queries.size()[0], 0], (Kind::Float, queries.device()))?;
    let mut rows = Tensor::f_zeros([queries.size()[0], 0], (Kind::Int64, queries.device()))?;
    for first in (0..all).step_by(ITEMS as usize) {
        let count = ITEMS.min(all - first);
        let block = items.f_narrow(0, first, count)?.try_unit(1e-12)?.f_reshape([count, dim])?;
        let (score, row) = queries.f_matmul(&block.f_tr()?)?.f_topk(k.min(count), 1, true, true)?;
        scores = Tensor::f_cat(&[&scores, &score], 1)?;
        rows = Tensor::f_cat(&[rows, row.try_add(first)?], 1)?;
        let (best, at) = scores.f_topk(k.min(scores.size()[1]), 1, true, true)?;
        (scores, rows) = (best, rows.f_gather(1, &at, false)?);
    }
    Ok((scores, rows))
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

    #[test]
    fn what_is_nearest_among_all_does_not_depend_on_the_blocks() {
        let count = ITEMS + 3;
        let angles = Tensor::arange(count, (Kind::Float, tch::Device::Cpu)) * (3.0 / count as f64);
        let items = Tensor::stack(&[angles.cos(), angles.sin()], 1);
        let queries = items.index_select(0, &Tensor::from_slice(&[0i64, ITEMS - 1, count - 1]));
        let (rows, scores) = nearest(&queries, &items, 1).unwrap();
        let at = Vec::<i64>::try_from(rows.reshape([-1])).unwrap();
        // Neighbours this near may tie in single precision.
        for (at, wanted) in at.into_iter().zip([0, ITEMS - 1, count - 1]) {
            assert!((at - wanted).abs() < 20, "{at} {wanted}");
        }
        assert!((scores - 1.0).abs().max().double_value(&[]) < 1e-6);
        assert_eq!(nearest(&queries, &items, 0).unwrap().0.size(), [3, 0]);
        assert_eq!(nearest(&queries, &items.narrow(0, 0, 0), 5).unwrap().0.size(), [3, 0]);
    }
}
