//! Integrated gradients of an MLP of rectified units, exactly: its path is a chain of straight pieces.
//!
//! Along a straight path, what enters a unit of the first layer is a straight line, so the unit switches at most once, at a place
//! that is known. Between these places what enters the second layer is straight too, and so on: layer by layer the places are
//! found where a unit switches. Between two of them the derivative does not change.

use regen_torch::Numbers;
use tch::{Kind, Tensor};

use super::maps::Layer;
use super::path::Integral;
use crate::error::Torch;

/// Rows that are computed at once, at most.
const AT_ONCE: i64 = 8;
/// Numbers that a layer makes of such rows with a switch for each of its units, at most: a tensor of them takes 16 MiB, and about ten
/// are held at once.
const NUMBERS: i64 = 1 << 21;
/// Places of a path that are kept at most. What would be more is left as it is, and shows in what the parts add up to.
const PLACES: i64 = 1 << 15;

/// An MLP over rows of sides.
pub(super) struct Rectified<'a> {
    pub(super) hidden: &'a [Layer],
    pub(super) output: &'a Layer,
}

/// What enters the first layer along the paths of some rows: `still + α·Σ moved`.
struct Line {
    /// `[rows, width]`
    still: Tensor,
    /// Of each side that moves.
    moved: Vec<Tensor>,
    all: Tensor,
}

impl Rectified<'_> {
    /// The parts of each of the `moving` sides; `sides: [rows, dim]` f64. Outputs are `[rows, out]`.
    pub(super) fn integrate(&self, sides: &[Tensor], moving: &[usize]) -> Torch<Integral> {
        let rows = sides.first().map_or(0, |side| side.size()[0]);
        let mut parts: Vec<Vec<Tensor>> = moving.iter().map(|_| Vec::new()).collect();
        let (mut changes, mut nodes) = (Vec::new(), 0);
        let widest = self.hidden.iter().map(Layer::units).max().unwrap_or(1);
        let at_once = at_once(widest);
        for first in (0..rows).step_by(at_once as usize) {
            let count = at_once.min(rows - first);
            let some = sides.iter().map(|side| side.f_narrow(0, first, count)).collect::<Torch<Vec<_>>>()?;
            let line = self.line(&some, moving)?;
            let places = self.places(&line)?;
            nodes = nodes.max(places.size()[1] as usize - 1);
            for (all, part) in parts.iter_mut().zip(self.parts(&line, &places)?) {
                all.push(part);
            }
            let ends = Tensor::f_from_slice(&[0.0f64, 1.0])?.f_to_device(places.device())?;
            let ends = self.output.forward(&self.states(
                &line,
                &ends.f_expand([count, 2], false)?,
                self.hidden,
            )?)?;
            changes.push(ends.f_select(1, 1)?.f_sub(&ends.f_select(1, 0)?)?);
        }
        let parts = parts.iter().map(|part| Tensor::f_cat(part, 0)).collect::<Torch<_>>()?;
        Ok(Integral { parts, change: Tensor::f_cat(&changes, 0)?, nodes })
    }

    fn line(&self, sides: &[Tensor], moving: &[usize]) -> Torch<Line> {
        let layer = &self.hidden[0];
        let only = |kept: &dyn Fn(usize) -> bool| -> Torch<Tensor> {
            let sides = sides.iter().enumerate();
            let kept = sides.map(
                |(index, side)| if kept(index) { Ok(side.shallow_clone()) } else { side.f_zeros_like() },
            );
            Tensor::f_cat(&kept.collect::<Torch<Vec<_>>>()?, -1)
        };
        let still = layer.forward(&only(&|index| !moving.contains(&index))?)?;
        let moved = moving
            .iter()
            .map(|&side| layer.turn(&only(&|index| index == side)?))
            .collect::<Torch<Vec<_>>>()?;
        let all = moved.iter().try_fold(still.f_zeros_like()?, |sum, part| sum.f_add(part))?;
        Ok(Line { still, moved, all })
    }

    /// What leaves the last of `layers`, the first among them, at `places: [rows, k] → [rows, k, width]`.
    fn states(&self, line: &Line, places: &Tensor, layers: &[Layer]) -> Torch<Tensor> {
        let first = line.at(places)?.f_relu()?;
        layers.iter().skip(1).try_fold(first, |state, layer| layer.forward(&state)?.f_relu())
    }

    /// Where a unit of any layer switches, in order, from 0 to 1: `[rows, k]`. A path with fewer than another ends in ones.
    fn places(&self, line: &Line) -> Torch<Tensor> {
        let zero = line.still.f_narrow(1, 0, 1)?.f_zeros_like()?;
        let crossing = line.still.f_neg()?.f_div(&line.all)?;
        let inside = crossing.try_gt(0.0)?.f_logical_and(&crossing.try_le(1.0)?)?;
        let mut places = with(&Tensor::f_cat(&[&zero, &zero.f_ones_like()?], 1)?, &crossing, &inside)?;
        for depth in 1..self.hidden.len() {
            if places.size()[1] > PLACES {
                break;
            }
            let entering =
                self.hidden[depth].forward(&self.states(line, &places, &self.hidden[..depth])?)?;
            let pieces = places.size()[1] - 1;
            let [from, to] = [0, 1].map(|first| entering.f_narrow(1, first, pieces));
            let [begin, end] = [0, 1].map(|first| places.f_narrow(1, first, pieces)?.f_unsqueeze(-1));
            let (from, to, begin, end) = (from?, to?, begin?, end?);
            let switches = from.f_sign()?.f_mul(&to.f_sign()?)?.try_le(-1.0)?;
            // Straight between two places.
            let share = from.f_div(&from.f_sub(&to)?)?;
            let crossing = begin.f_add(&end.f_sub(&begin)?.f_mul(&share)?)?;
            places = with(&places, &crossing.f_flatten(1, 2)?, &switches.f_flatten(1, 2)?)?;
        }
        Ok(places)
    }

    /// The parts of the sides: derivatives in the middle of each piece times its width, summed.
    fn parts(&self, line: &Line, places: &Tensor) -> Torch<Vec<Tensor>> {
        let pieces = places.size()[1] - 1;
        let (begin, end) = (places.f_narrow(1, 0, pieces)?, places.f_narrow(1, 1, pieces)?);
        let widths = end.f_sub(&begin)?.f_unsqueeze(-1)?;
        let entering = line.at(&begin.f_add(&end)?.try_div(2.0)?)?;
        // Which units let through, layer by layer.
        let mut open = vec![entering.try_gt(0.0)?];
        let mut state = entering.f_relu()?;
        for layer in &self.hidden[1..] {
            let entering = layer.forward(&state)?;
            open.push(entering.try_gt(0.0)?);
            state = entering.f_relu()?;
        }
        let part = |moved: &Tensor| -> Torch<Tensor> {
            let mut along = moved.f_unsqueeze(1)?.f_mul(&open[0])?;
            for (layer, open) in self.hidden.iter().zip(&open).skip(1) {
                along = layer.turn(&along)?.f_mul(open)?;
            }
            let sum = along.f_mul(&widths)?.f_sum_dim_intlist([1i64].as_slice(), false, Kind::Double)?;
            self.output.turn(&sum)
        };
        line.moved.iter().map(part).collect()
    }
}

impl Line {
    /// `places: [rows, k] → [rows, k, width]`
    fn at(&self, places: &Tensor) -> Torch<Tensor> {
        self.still.f_unsqueeze(1)?.f_add(&places.f_unsqueeze(-1)?.f_mul(&self.all.f_unsqueeze(1)?)?)
    }
}

/// Rows of layers with so many units that are computed at once: a path has about as many pieces as a layer has units.
fn at_once(units: i64) -> i64 {
    (NUMBERS / units.saturating_mul(units).max(1)).clamp(1, AT_ONCE)
}

/// `places` and those of `more` that are `real`, in order; as many as the fullest row has, the others filled with ones.
fn with(places: &Tensor, more: &Tensor, real: &Tensor) -> Torch<Tensor> {
    let counts = real.f_sum_dim_intlist([1i64].as_slice(), false, Kind::Int64)?;
    let most = if counts.numel() == 0 { 0 } else { counts.f_max()?.f_int64_value(&[])? };
    let ones = more.f_ones_like()?;
    let more = more.f_where_self(real, &ones)?;
    let (sorted, _) = Tensor::f_cat(&[places, &more], 1)?.f_sort(1, false)?;
    sorted.f_narrow(1, 0, places.size()[1] + most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_layers_are_computed_row_by_row() {
        assert_eq!([64, 512, 1024, 4096, i64::MAX].map(at_once), [8, 8, 2, 1, 1]);
    }
}
