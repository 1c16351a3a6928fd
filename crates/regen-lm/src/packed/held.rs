//! Numbers of keys and values as a cache holds them.

use std::ops::Range;

use half::bf16;
use half::slice::HalfFloatSliceExt;

/// How a writer with packed weights holds keys and values; what it computes with them is f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheStorage {
    /// As they were computed, four bytes each.
    #[default]
    F32,
    /// Rounded to bfloat16 (eight bits of precision), two bytes each.
    Bf16,
}

/// Keys or values of one layer.
#[derive(Debug)]
pub(super) enum Numbers {
    F32(Vec<f32>),
    Bf16(Vec<bf16>),
}

/// Those of one head of a row, to read and to write.
pub(super) enum Rows<'a> {
    F32(&'a mut [f32]),
    Bf16(&'a mut [bf16]),
}

impl Numbers {
    pub(super) fn zeros(storage: CacheStorage, count: usize) -> Self {
        match storage {
            CacheStorage::F32 => Self::F32(vec![0.0; count]),
            CacheStorage::Bf16 => Self::Bf16(vec![bf16::ZERO; count]),
        }
    }

    /// `count` numbers, of which the named ranges come from here: where from, and where to.
    pub(super) fn taken(&self, count: usize, ranges: &[(Range<usize>, usize)]) -> Self {
        fn of<T: Copy + Default>(held: &[T], count: usize, ranges: &[(Range<usize>, usize)]) -> Vec<T> {
            let mut taken = vec![T::default(); count];
            for (from, to) in ranges {
                taken[*to..][..from.len()].copy_from_slice(&held[from.clone()]);
            }
            taken
        }
        match self {
            Self::F32(held) => Self::F32(of(held, count, ranges)),
            Self::Bf16(held) => Self::Bf16(of(held, count, ranges)),
        }
    }

    pub(super) fn copy_within(&mut self, from: Range<usize>, to: usize) {
        match self {
            Self::F32(held) => held.copy_within(from, to),
            Self::Bf16(held) => held.copy_within(from, to),
        }
    }

    /// Cut into heads of `size` numbers.
    pub(super) fn heads(&mut self, size: usize) -> Vec<Rows<'_>> {
        match self {
            Self::F32(held) => held.chunks_exact_mut(size).map(Rows::F32).collect(),
            Self::Bf16(held) => held.chunks_exact_mut(size).map(Rows::Bf16).collect(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::F32(held) => size_of_val(held.as_slice()),
            Self::Bf16(held) => size_of_val(held.as_slice()),
        }
    }
}

impl Rows<'_> {
    /// Writes numbers from `at` on.
    pub(super) fn put(&mut self, at: usize, numbers: &[f32]) {
        match self {
            Self::F32(held) => held[at..][..numbers.len()].copy_from_slice(numbers),
            Self::Bf16(held) => held[at..][..numbers.len()].convert_from_f32_slice(numbers),
        }
    }

    /// Some of the numbers, in `memory` where they are not as they are computed with.
    pub(super) fn read<'b>(&'b self, range: Range<usize>, memory: &'b mut Vec<f32>) -> &'b [f32] {
        match self {
            Self::F32(held) => &held[range],
            Self::Bf16(held) => {
                memory.resize(range.len(), 0.0);
                held[range].convert_to_f32_slice(memory);
                memory
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;

    #[test]
    fn numbers_are_rounded_as_libtorch_rounds_them() {
        let mut numbers: Vec<f32> =
            (0..2000).map(|i| (i as f32 * 0.37).sin() * 10f32.powi(i % 40 - 20)).collect();
        // Halfway between two, above and below an even one, and the ends of the range.
        numbers.extend([
            1.0 + 1.0 / 256.0,
            1.0 + 3.0 / 256.0,
            f32::MAX,
            f32::MIN,
            f32::INFINITY,
            -0.0,
            1e-45,
        ]);
        let expected = Tensor::from_slice(&numbers).to_kind(Kind::BFloat16).to_kind(Kind::Float);
        let mut held = vec![bf16::ZERO; numbers.len() + 3];
        let mut rows = Rows::Bf16(&mut held);
        rows.put(3, &numbers);
        let mut memory = Vec::new();
        let read = rows.read(3..numbers.len() + 3, &mut memory);
        assert_eq!(read, Vec::<f32>::try_from(expected).unwrap());
        rows.put(0, &[f32::NAN]);
        assert!(rows.read(0..1, &mut memory)[0].is_nan());
    }
}
