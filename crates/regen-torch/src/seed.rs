//! Seeded random tensors that are the same on every machine.
//!
//! libtorch's generators are global, and their streams differ between devices. Initial weights are therefore
//! drawn on the host from ChaCha8, whose stream is fixed by its specification, and then copied to the device.

use rand::{RngExt, SeedableRng};
pub use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use tch::Tensor;

/// A generator for one purpose: the same `seed` with another `stream` gives independent numbers, so adding a
/// draw to one part of a program never shifts another part.
pub fn rng(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// Normal values with mean 0 and standard deviation `std`, as an `f32` CPU tensor of `shape`.
///
/// # Panics
/// If a dimension is negative.
pub fn normal(rng: &mut ChaCha8Rng, shape: &[i64], std: f64) -> Tensor {
    fill(shape, || {
        let value: f64 = StandardNormal.sample(rng);
        (value * std) as f32
    })
}

/// Uniform values in `[low, high)`, as an `f32` CPU tensor of `shape`.
///
/// # Panics
/// If a dimension is negative.
pub fn uniform(rng: &mut ChaCha8Rng, shape: &[i64], low: f64, high: f64) -> Tensor {
    fill(shape, || (low + (high - low) * rng.random::<f64>()) as f32)
}

fn fill(shape: &[i64], mut draw: impl FnMut() -> f32) -> Tensor {
    assert!(shape.iter().all(|&n| n >= 0), "negative dimension in {shape:?}");
    let count = shape.iter().product::<i64>() as usize;
    let values: Vec<f32> = (0..count).map(|_| draw()).collect();
    Tensor::from_slice(&values).reshape(shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor_to_vec_f32;

    #[test]
    fn a_seed_and_stream_fix_the_values_and_streams_differ() {
        let draw = |seed, stream| tensor_to_vec_f32(&normal(&mut rng(seed, stream), &[7], 1.0)).unwrap();
        assert_eq!(draw(3, 0), draw(3, 0));
        assert_ne!(draw(3, 0), draw(3, 1));
        assert_ne!(draw(3, 0), draw(4, 0));
    }

    #[test]
    fn moments_and_bounds_are_those_asked_for() {
        let sample = normal(&mut rng(1, 0), &[200, 100], 0.02);
        assert!((sample.std(true).double_value(&[]) - 0.02).abs() < 4e-4);
        assert!(sample.mean(tch::Kind::Double).double_value(&[]).abs() < 6e-4);
        let sample = uniform(&mut rng(1, 0), &[5000], -2.0, 3.0);
        assert!(sample.min().double_value(&[]) >= -2.0 && sample.max().double_value(&[]) < 3.0);
        assert!((sample.mean(tch::Kind::Double).double_value(&[]) - 0.5).abs() < 0.1);
    }
}
