//! Integrals of derivatives along straight paths, for functions of which nothing is known but their values.
//!
//! Each row has its own path, and each path is divided where it needs it: pieces are integrated by Gauss and Legendre's rule, and
//! halved until what their parts add up to is the change from one end to the other.

use regen_torch::Numbers;
use tch::{Kind, Tensor};

use crate::error::Torch;

/// What is integrated, along the path of each row from no vectors to the row's.
pub(super) struct Path<'a> {
    /// `[rows, .., dim]` f64 each.
    pub(super) sides: &'a [Tensor],
    /// Which of them move; the others stand still.
    pub(super) moving: &'a [usize],
    /// Of the sides of some rows, and the numbers of these: `[some, tokens, hidden]` f64.
    pub(super) output: &'a dyn Fn(&[Tensor], &Tensor) -> Torch<Tensor>,
}

/// Parts of a change.
pub(super) struct Integral {
    /// Of each side that moves, `[rows, tokens, hidden]` f64.
    pub(super) parts: Vec<Tensor>,
    /// The output at the end of the path less that at its beginning.
    pub(super) change: Tensor,
    /// The most points of a path that were computed.
    pub(super) nodes: usize,
}

/// A piece of the path of a row.
#[derive(Debug, Clone, Copy)]
struct Piece {
    row: usize,
    start: f64,
    width: f64,
}

/// Points of a piece.
const NODES: usize = 8;
/// The parts of a path miss its change by less than this.
const AIM: f64 = 1e-7;
/// A piece of any width may miss this share of what a path may.
const LEAST_SHARE: f64 = 1e-3;
/// What rounding leaves of the output in a piece.
const ROUNDING: f64 = 1e-11;
/// Times that a path is halved, at most: a piece is then too short for what happens in it to matter.
const HALVINGS: usize = 40;
/// Pieces of a path, at most, on average.
const PIECES: usize = 512;
/// Pieces that are computed at once.
const AT_ONCE: usize = 128;
/// The step of a difference, as a share of its piece.
const STEP: f64 = 1e-4;

impl Path<'_> {
    /// The parts of each side that moves. They add up to the change but for rounding, unless the output has a jump, or more happens
    /// on a path than so many pieces can tell; the caller looks.
    pub(super) fn integrate(&self) -> Torch<Integral> {
        let rows = self.sides.first().map_or(0, |side| side.size()[0]) as usize;
        let whole: Vec<Piece> = (0..rows).map(|row| Piece { row, start: 0.0, width: 1.0 }).collect();
        let changes =
            whole.chunks(AT_ONCE).map(|pieces| self.on(pieces)?.change()).collect::<Torch<Vec<_>>>()?;
        let change = Tensor::f_cat(&changes, 0)?;
        let zeros = |_: &usize| change.f_zeros_like();
        let mut parts = self.moving.iter().map(zeros).collect::<Torch<Vec<_>>>()?;
        // A change that is nothing has nothing to be divided, and one that is no number cannot be.
        let norms = norm(&change)?;
        let largest = norms.f_max()?.f_double_value(&[])?;
        if !largest.is_finite() {
            return Ok(Integral { parts, change, nodes: 0 });
        }
        let allowed = norms.try_clamp_min((largest * 1e-6).max(f64::MIN_POSITIVE))?.try_mul(AIM)?;
        let (mut pending, mut computed, mut nodes) = (whole, 0, vec![0; rows]);
        for halving in 0..=HALVINGS {
            let mut halves = Vec::new();
            for pieces in pending.chunks(AT_ONCE) {
                computed += pieces.len();
                pieces.iter().for_each(|piece| nodes[piece.row] += NODES);
                let last = halving == HALVINGS || computed > rows * PIECES;
                let on = self.on(pieces)?;
                let (found, good) = on.integrate(&allowed)?;
                let mut kept = Vec::new();
                for (index, piece) in pieces.iter().enumerate() {
                    if good[index] || last {
                        kept.push(index as i64);
                    } else {
                        let width = piece.width / 2.0;
                        halves.extend([piece.start, piece.start + width].map(|start| Piece {
                            start,
                            width,
                            ..*piece
                        }));
                    }
                }
                let kept = Tensor::f_from_slice(&kept)?.f_to_device(change.device())?;
                let of = on.rows.f_index_select(0, &kept)?;
                for (part, found) in parts.iter_mut().zip(found) {
                    let _ = part.f_index_add_(0, &of, &found.f_index_select(0, &kept)?)?;
                }
            }
            pending = halves;
            if pending.is_empty() {
                break;
            }
        }
        Ok(Integral { parts, change, nodes: nodes.into_iter().max().unwrap_or(0) })
    }

    fn on<'a>(&'a self, pieces: &'a [Piece]) -> Torch<Pieces<'a>> {
        let rows: Vec<i64> = pieces.iter().map(|piece| piece.row as i64).collect();
        let device = self.sides[0].device();
        let rows = Tensor::f_from_slice(&rows)?.f_to_device(device)?;
        let sides = self.sides.iter().map(|side| side.f_index_select(0, &rows)).collect::<Torch<_>>()?;
        Ok(Pieces { path: self, pieces, sides, rows })
    }
}

/// Some pieces, computed together.
struct Pieces<'a> {
    path: &'a Path<'a>,
    pieces: &'a [Piece],
    /// Of their rows.
    sides: Vec<Tensor>,
    rows: Tensor,
}

impl Pieces<'_> {
    /// The output at `place`, 0 to 1 in each piece, one side `step` of a piece further.
    fn at(&self, place: f64, ahead: Option<(usize, f64)>) -> Torch<Tensor> {
        let moved = self.sides.iter().enumerate().map(|(index, side)| {
            if !self.path.moving.contains(&index) {
                return Ok(side.shallow_clone());
            }
            let step = ahead.filter(|(one, _)| *one == index).map_or(0.0, |(_, step)| step);
            let scale = |piece: &Piece| piece.start + (place + step) * piece.width;
            let scales: Vec<f64> = self.pieces.iter().map(scale).collect();
            let mut shape = vec![1; side.dim()];
            shape[0] = -1;
            side.f_mul(&Tensor::f_from_slice(&scales)?.f_to_device(side.device())?.f_view(&shape[..])?)
        });
        (self.path.output)(&moved.collect::<Torch<Vec<_>>>()?, &self.rows)
    }

    fn change(&self) -> Torch<Tensor> {
        self.at(1.0, None)?.f_sub(&self.at(0.0, None)?)
    }

    /// The parts over each piece, and whether they miss its change by no more than its share of what is `allowed: [rows, tokens]`.
    ///
    /// Derivatives are central differences in f64 rather than backward passes: one directional derivative of every component at once
    /// is what is wanted, and libtorch has that in two backward passes, of which attention has but the first. Their steps shrink
    /// with the pieces, so that they are as good as the rule, and leave an error of about 10⁻¹².
    fn integrate(&self, allowed: &Tensor) -> Torch<(Vec<Tensor>, Vec<bool>)> {
        let end = self.at(1.0, None)?;
        let mut off = end.f_sub(&self.at(0.0, None)?)?;
        let mut parts = Vec::with_capacity(self.path.moving.len());
        for &side in self.path.moving {
            let mut part = end.f_zeros_like()?;
            for (place, weight) in gauss_legendre(NODES) {
                let ahead = self.at(place, Some((side, STEP)))?;
                let along = ahead.f_sub(&self.at(place, Some((side, -STEP)))?)?;
                let _ = part.f_add_(&along.try_mul(weight / (2.0 * STEP))?)?;
            }
            off = off.f_sub(&part)?;
            parts.push(part);
        }
        let shares: Vec<f64> = self.pieces.iter().map(|piece| piece.width.max(LEAST_SHARE)).collect();
        let shares = Tensor::f_from_slice(&shares)?.f_to_device(end.device())?.f_unsqueeze(1)?;
        let allowed = allowed.f_index_select(0, &self.rows)?.f_mul(&shares)?;
        let allowed = allowed.f_maximum(&norm(&end)?.try_mul(ROUNDING)?)?;
        let good = norm(&off)?.f_le_tensor(&allowed)?.f_all_dim(1, false)?;
        Ok((parts, Vec::try_from(&good)?))
    }
}

/// The Euclidean norm of each vector of the last dimension.
pub(super) fn norm(vectors: &Tensor) -> Torch<Tensor> {
    vectors.f_square()?.f_sum_dim_intlist([-1i64].as_slice(), false, Kind::Double)?.f_sqrt()
}

/// Places in `[0, 1]` and weights of the quadrature that integrates polynomials of degree `2n − 1` exactly.
///
/// **Source** Abramowitz, Stegun 1964, 25.4.29: the places are the zeros of the Legendre polynomial, here by Newton's method.
fn gauss_legendre(n: usize) -> Vec<(f64, f64)> {
    let legendre = |x: f64| {
        let (mut previous, mut value) = (1.0, x);
        for k in 2..=n {
            let k = k as f64;
            (previous, value) = (value, ((2.0 * k - 1.0) * x * value - (k - 1.0) * previous) / k);
        }
        let slope = n as f64 * (x * value - previous) / (x * x - 1.0);
        (value, slope)
    };
    (0..n)
        .map(|index| {
            let mut x = (std::f64::consts::PI * (index as f64 + 0.75) / (n as f64 + 0.5)).cos();
            for _ in 0..20 {
                let (value, slope) = legendre(x);
                x -= value / slope;
            }
            let (_, slope) = legendre(x);
            (0.5 * (1.0 - x), 1.0 / ((1.0 - x * x) * slope * slope))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quadrature_is_exact_for_polynomials() {
        for n in [2, 8, 64] {
            let nodes = gauss_legendre(n);
            for degree in 0..(2 * n as i32).min(30) {
                let sum: f64 = nodes.iter().map(|(x, w)| w * x.powi(degree)).sum();
                assert!((sum * f64::from(degree + 1) - 1.0).abs() < 1e-12, "{n} {degree}: {sum}");
            }
        }
    }

    fn integrate(ends: [f64; 2], output: &dyn Fn(&[Tensor], &Tensor) -> Torch<Tensor>) -> Integral {
        let sides = ends.map(|value| Tensor::from_slice(&[value]).reshape([1, 1, 1]));
        Path { sides: &sides, moving: &[0, 1], output }.integrate().unwrap()
    }

    fn values(found: &Integral) -> [f64; 3] {
        [&found.parts[0], &found.parts[1], &found.change].map(|part| part.double_value(&[0, 0, 0]))
    }

    /// Of the product of two numbers, each has half: the gradient along the path is the other number times α.
    #[test]
    fn a_product_is_shared_evenly() {
        let found = integrate([3.0, 5.0], &|sides, _| Ok(&sides[0] * &sides[1]));
        let [cf, semantic, _] = values(&found);
        assert!((cf - 7.5).abs() < 1e-8 && (semantic - 7.5).abs() < 1e-8, "{cf} {semantic}");
        assert_eq!(found.nodes, NODES, "a polynomial needs no division");
    }

    #[test]
    fn a_kink_and_a_steep_place_are_found_and_a_jump_is_missed_within_bounds() {
        // σ(2000 (x + y − 3)) and max(x + y − 3, 0), whose parts stand as the steps of their sides.
        let sharp = |sides: &[Tensor], _: &Tensor| Ok(((&sides[0] + &sides[1] - 3.0) * 2000.0).sigmoid());
        let kinked = |sides: &[Tensor], _: &Tensor| Ok((&sides[0] + &sides[1] - 3.0).relu());
        for (output, change) in
            [(&sharp as &dyn Fn(&[Tensor], &Tensor) -> Torch<Tensor>, 1.0), (&kinked, 5.0)]
        {
            let found = integrate([3.0, 5.0], output);
            let [cf, semantic, whole] = values(&found);
            assert!((whole - change).abs() < 1e-9);
            assert!((cf - 0.375 * change).abs() < 1e-6 * change, "{cf}");
            assert!((cf + semantic - whole).abs() < 1e-6 * change, "{cf} {semantic}");
        }
        let jump = |sides: &[Tensor], _: &Tensor| Ok(sides[0].gt(1.0).to_kind(Kind::Double));
        let found = integrate([3.0, 5.0], &jump);
        let [cf, _, whole] = values(&found);
        assert!((cf - whole).abs() > 0.5, "{cf}");
        assert!(found.nodes <= 2 * NODES * PIECES, "{}", found.nodes);
    }
}
