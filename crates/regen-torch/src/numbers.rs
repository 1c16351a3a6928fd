//! Arithmetic of tensors and numbers that fails as an error.
//!
//! The functions of tch whose names begin with `f_` return what libtorch says, unless one of their arguments is a number: tch
//! frees its copy of the number before it looks for an error, finds the error there, and panics (tch 0.24,
//! `wrappers/scalar.rs`). So a device whose memory runs out would end the program. Here numbers are tensors without dimensions,
//! which libtorch treats alike: they do not change the other tensor's type, and may stay on the host.

use tch::kind::Element;
use tch::{Device, Kind, TchError, Tensor};

type Torch = Result<Tensor, TchError>;

/// What tch's functions of the same names compute, with errors where those panic. A number is an `f64` or an integer, as the
/// elements are.
///
/// Each fails as libtorch does: above all where memory runs out, and for shapes or types that do not suit.
pub trait Numbers {
    /// Each element plus a number.
    ///
    /// # Errors
    /// What libtorch says.
    fn try_add<N: Element>(&self, number: N) -> Torch;

    /// Each element times a number.
    ///
    /// # Errors
    /// What libtorch says.
    fn try_mul<N: Element>(&self, number: N) -> Torch;

    /// Each element over a number.
    ///
    /// # Errors
    /// What libtorch says.
    fn try_div<N: Element>(&self, number: N) -> Torch;

    /// Each element over a number, rounded down.
    ///
    /// # Errors
    /// What libtorch says.
    fn try_floor_div<N: Element>(&self, number: N) -> Torch;

    /// Each integer shifted to the right by so many bits, its sign kept.
    ///
    /// # Errors
    /// What libtorch says.
    fn try_shift_right<N: Element>(&self, number: N) -> Torch;

    /// Each element, or the number where that is larger.
    ///
    /// # Errors
    /// What libtorch says.
    fn try_clamp_min<N: Element>(&self, number: N) -> Torch;

    /// Each element, or the number where that is smaller.
    ///
    /// # Errors
    /// What libtorch says.
    fn try_clamp_max<N: Element>(&self, number: N) -> Torch;

    /// Where an element is at least the number.
    ///
    /// # Errors
    /// What libtorch says.
    fn try_ge<N: Element>(&self, number: N) -> Torch;

    /// Where an element is above the number.
    ///
    /// # Errors
    /// What libtorch says.
    fn try_gt<N: Element>(&self, number: N) -> Torch;

    /// Where an element is at most the number.
    ///
    /// # Errors
    /// What libtorch says.
    fn try_le<N: Element>(&self, number: N) -> Torch;

    /// Where an element is not the number.
    ///
    /// # Errors
    /// What libtorch says.
    fn try_ne<N: Element>(&self, number: N) -> Torch;

    /// The number where `mask` is true, broadcast to the shape of this tensor, which fills the rest.
    ///
    /// # Errors
    /// What libtorch says.
    fn try_masked_fill<N: Element>(&self, mask: &Tensor, number: N) -> Torch;

    /// Each vector of the last dimension over its Euclidean length, or over `least` where that is larger. A zero vector stays zero,
    /// and its length gives no gradient.
    ///
    /// # Errors
    /// What libtorch says.
    fn try_unit(&self, least: f64) -> Torch;
}

impl Numbers for Tensor {
    fn try_add<N: Element>(&self, number: N) -> Torch {
        self.f_add(&alone(number)?)
    }

    fn try_mul<N: Element>(&self, number: N) -> Torch {
        self.f_mul(&alone(number)?)
    }

    fn try_div<N: Element>(&self, number: N) -> Torch {
        self.f_div(&alone(number)?)
    }

    fn try_floor_div<N: Element>(&self, number: N) -> Torch {
        self.f_floor_divide(&alone(number)?)
    }

    fn try_shift_right<N: Element>(&self, number: N) -> Torch {
        self.f_bitwise_right_shift(&alone(number)?)
    }

    fn try_clamp_min<N: Element>(&self, number: N) -> Torch {
        self.f_clamp_min_tensor(&alone(number)?)
    }

    fn try_clamp_max<N: Element>(&self, number: N) -> Torch {
        self.f_clamp_max_tensor(&alone(number)?)
    }

    fn try_ge<N: Element>(&self, number: N) -> Torch {
        self.f_ge_tensor(&alone(number)?)
    }

    fn try_gt<N: Element>(&self, number: N) -> Torch {
        self.f_gt_tensor(&alone(number)?)
    }

    fn try_le<N: Element>(&self, number: N) -> Torch {
        self.f_le_tensor(&alone(number)?)
    }

    fn try_ne<N: Element>(&self, number: N) -> Torch {
        self.f_ne_tensor(&alone(number)?)
    }

    fn try_masked_fill<N: Element>(&self, mask: &Tensor, number: N) -> Torch {
        self.f_masked_fill_tensor(mask, &alone(number)?)
    }

    fn try_unit(&self, least: f64) -> Torch {
        self.f_div(&lengths(self, least)?)
    }
}

/// Euclidean lengths over the last dimension, which stays with size 1, each at least `least`.
fn lengths(vectors: &Tensor, least: f64) -> Torch {
    let squares = vectors.f_square()?.f_sum_dim_intlist([-1i64].as_slice(), true, vectors.kind())?;
    // Before the root, whose slope at zero is infinite.
    squares.try_clamp_min(least * least)?.f_sqrt()
}

/// `start, start + 1, …, end − 1` as i64; `[end − start]`.
///
/// # Errors
/// What libtorch says: above all that memory ran out.
pub fn try_range(start: i64, end: i64, device: Device) -> Torch {
    let ones = Tensor::f_ones([(end - start).max(0)], (Kind::Int64, device))?;
    ones.f_cumsum(0, Kind::Int64)?.try_add(start - 1)
}

/// A number as a tensor without dimensions, on the host.
fn alone<T: Element>(number: T) -> Torch {
    Tensor::f_from_slice(&[number])?.f_reshape([0i64; 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_and_types_are_those_of_functions_with_numbers() {
        let same = |a: &Tensor, b: &Tensor| {
            assert_eq!((a.kind(), a.size()), (b.kind(), b.size()));
            assert!(a.equal(b), "{a} {b}");
        };
        let whole = Tensor::from_slice(&[3i64, -2, 7, 0]);
        for kind in [Kind::Float, Kind::Double, Kind::BFloat16, Kind::Half] {
            let some = Tensor::from_slice(&[0.3f64, -1.7, 1e-9, 250.0]).to_kind(kind);
            same(&some.try_add(1e-6).unwrap(), &(&some + 1e-6));
            same(&some.try_mul(0.1118).unwrap(), &(&some * 0.1118));
            same(&some.try_div(30.0).unwrap(), &(&some / 30.0));
            same(&some.try_clamp_min(1e-3).unwrap(), &some.clamp_min(1e-3));
            same(&some.try_clamp_max(1e-3).unwrap(), &some.clamp_max(1e-3));
            let mask = Tensor::from_slice(&[true, false, false, true]);
            let lowest = f64::NEG_INFINITY;
            same(&some.try_masked_fill(&mask, lowest).unwrap(), &some.masked_fill(&mask, lowest));
        }
        same(&whole.try_add(-2).unwrap(), &(&whole - 2));
        same(&whole.try_mul(5).unwrap(), &(&whole * 5));
        same(&whole.try_floor_div(2).unwrap(), &whole.floor_divide_scalar(2));
        same(&whole.try_shift_right(1).unwrap(), &whole.bitwise_right_shift_tensor_scalar(1));
        same(&whole.try_ge(0).unwrap(), &whole.ge(0));
        same(&whole.try_gt(0).unwrap(), &whole.gt(0));
        same(&whole.try_le(3).unwrap(), &whole.le(3));
        same(&whole.try_ne(7).unwrap(), &whole.ne(7));
        same(&try_range(2, 9, Device::Cpu).unwrap(), &Tensor::arange_start(2, 9, (Kind::Int64, Device::Cpu)));
        assert_eq!(try_range(4, 4, Device::Cpu).unwrap().size(), [0]);
    }

    #[test]
    fn lengths_are_euclidean_and_a_zero_vector_has_no_gradient() {
        let rows = Tensor::from_slice(&[3f32, 4.0, 0.0, 0.0]).reshape([2, 2]).set_requires_grad(true);
        let lengths = lengths(&rows, 1e-12).unwrap();
        assert_eq!(lengths.size(), [2, 1]);
        assert!((lengths.double_value(&[0, 0]) - 5.0).abs() < 1e-6);
        assert!((lengths.double_value(&[1, 0]) - 1e-12).abs() < 1e-18);
        assert!(rows.try_unit(1e-12).unwrap().equal(&(&rows / &lengths)));
        (&rows / &lengths).sum(Kind::Float).backward();
        let gradient = rows.grad();
        assert!(gradient.isfinite().all().int64_value(&[]) == 1, "{gradient}");
    }

    /// An exabyte of places, which take no memory until something is computed of them.
    #[test]
    fn memory_that_runs_out_is_an_error() {
        let floats = Tensor::zeros([1], (Kind::Float, Device::Cpu)).expand([1 << 58], false);
        let whole = Tensor::zeros([1], (Kind::Int64, Device::Cpu)).expand([1 << 57], false);
        let mask = Tensor::zeros([1], (Kind::Bool, Device::Cpu));
        let failures = [
            floats.try_add(1.0),
            floats.try_mul(1.0),
            floats.try_div(2.0),
            floats.try_clamp_min(0.0),
            floats.try_clamp_max(0.0),
            floats.try_unit(0.0),
            floats.try_masked_fill(&mask, 0.0),
            whole.try_add(1),
            whole.try_mul(2),
            whole.try_floor_div(2),
            whole.try_shift_right(1),
            try_range(0, 1 << 57, Device::Cpu),
        ];
        for failure in failures {
            assert!(failure.unwrap_err().to_string().contains("memory"));
        }
    }
}
