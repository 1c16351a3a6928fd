//! Exact nearest neighbours by cosine, for people who want to look at embeddings.

use regen_torch::Numbers;
use tch::{Kind, Tensor};

use crate::transformer::{Torch, torch};
use crate::{EmbeddingFile, Error, Result};

/// Queries, and items, compared at a time: bounds the memory of the scores, and of items brought to unit length.
const QUERIES: i64 = 512;
const ITEMS: i64 = 1 << 16;
/// Numbers of items that are read at a time, of no more than [`ITEMS`] of them.
const READ: usize = 1 << 22;

/// The `k` rows of `items: [items, dim]` with the largest cosine to each row of `queries: [queries, dim]`, both f32 on one
/// device: row indexes `[queries, k]` i64 and cosines `[queries, k]` f32, best first, at most as many as there are items.
/// A zero vector has cosine 0 to everything. Models made for dot products, as `similarity_fn_name` of their folder says, order items
/// otherwise, unless their vectors have unit length.
///
/// # Errors
/// [`Error::Widths`] if the two are not matrices of one width, [`Error::Torch`].
pub fn nearest(queries: &Tensor, items: &Tensor, k: i64) -> Result<(Tensor, Tensor)> {
    let shape = items.size();
    check_widths(queries, &shape)?;
    tch::no_grad(|| {
        let mut best = Best::new(queries, k.clamp(0, shape[0]))?;
        for first in (0..shape[0]).step_by(ITEMS as usize) {
            let block = items.f_narrow(0, first, ITEMS.min(shape[0] - first));
            best.see(&block.map_err(torch("search neighbours"))?, first)?;
        }
        best.finish()
    })
}

/// As [`nearest`], of items in a file that is read once, in blocks: memory does not grow with their number. It is computed where
/// the queries are.
///
/// # Errors
/// As [`nearest`], and those of [`EmbeddingFile::read`].
pub fn nearest_in_file(queries: &Tensor, items: &EmbeddingFile, k: i64) -> Result<(Tensor, Tensor)> {
    check_widths(queries, &[items.rows() as i64, items.dim() as i64])?;
    tch::no_grad(|| {
        let mut best = Best::new(queries, k.clamp(0, items.rows() as i64))?;
        let count = (READ / items.dim().max(1)).clamp(1, ITEMS as usize);
        for first in (0..items.rows()).step_by(count) {
            let block = items.read(first..items.rows().min(first + count))?;
            let block = block.f_to_device(queries.device()).map_err(torch("place embeddings"))?;
            best.see(&block, first as i64)?;
        }
        best.finish()
    })
}

fn check_widths(queries: &Tensor, items: &[i64]) -> Result<()> {
    let queries = queries.size();
    if queries.len() != 2 || items.len() != 2 || queries[1] != items[1] {
        return Err(Error::Widths { queries, items: items.to_owned() });
    }
    Ok(())
}

/// The best items of those that were seen so far.
struct Best {
    k: i64,
    parts: Vec<Part>,
}

/// Unit queries, the scores of their best items, and which these are.
struct Part {
    queries: Tensor,
    scores: Tensor,
    rows: Tensor,
}

impl Best {
    fn new(queries: &Tensor, k: i64) -> Result<Self> {
        let part = |first: i64| -> Torch<Part> {
            let count = QUERIES.min(queries.size()[0] - first);
            let none = |kind| Tensor::f_zeros([count, 0], (kind, queries.device()));
            let queries = queries.f_narrow(0, first, count)?.try_unit(1e-12)?;
            Ok(Part { queries, scores: none(Kind::Float)?, rows: none(Kind::Int64)? })
        };
        // One part at least, which tells the device and the types.
        let parts = (0..queries.size()[0].max(1)).step_by(QUERIES as usize).map(part);
        Ok(Self { k, parts: parts.collect::<Torch<_>>().map_err(torch("search neighbours"))? })
    }

    /// Looks at `items`, the first of which is item `first`.
    fn see(&mut self, items: &Tensor, first: i64) -> Result<()> {
        let Self { k, parts } = self;
        let see = || -> Torch<()> {
            if *k == 0 {
                return Ok(());
            }
            let items = items.try_unit(1e-12)?.f_tr()?;
            for part in parts {
                let all = part.queries.f_matmul(&items)?;
                let (scores, rows) = all.f_topk((*k).min(all.size()[1]), 1, true, true)?;
                let scores = Tensor::f_cat(&[&part.scores, &scores], 1)?;
                let rows = Tensor::f_cat(&[&part.rows, &rows.try_add(first)?], 1)?;
                let (best, at) = scores.f_topk((*k).min(scores.size()[1]), 1, true, true)?;
                (part.scores, part.rows) = (best, rows.f_gather(1, &at, false)?);
            }
            Ok(())
        };
        see().map_err(torch("search neighbours"))
    }

    fn finish(self) -> Result<(Tensor, Tensor)> {
        let (rows, scores): (Vec<_>, Vec<_>) =
            self.parts.into_iter().map(|part| (part.rows, part.scores)).unzip();
        let cat = |parts: &[Tensor]| Tensor::f_cat(parts, 0).map_err(torch("search neighbours"));
        Ok((cat(&rows)?, cat(&scores)?))
    }
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
        assert_eq!(nearest(&queries.narrow(0, 0, 0), &items, 5).unwrap().0.size()[0], 0);
    }
}
