//! Batches that do not fit into memory are computed in halves.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{Error, Result};

/// Computes `batch` by `compute`, in halves, and halves of those, where memory runs out; `halved` counts how often. The vectors
/// of the parts follow one another as their texts do.
///
/// # Errors
/// [`Error::OutOfMemory`] if a text alone is too much; others of `compute`.
pub(crate) fn in_parts(
    batch: &[usize],
    halved: &AtomicUsize,
    compute: &mut dyn FnMut(&[usize]) -> Result<Vec<f32>>,
) -> Result<Vec<f32>> {
    let source = match compute(batch) {
        Err(Error::Torch { source, .. }) if is_out_of_memory(&source) => source,
        other => return other,
    };
    if let [text] = *batch {
        return Err(Error::OutOfMemory { text, source });
    }
    halved.fetch_add(1, Ordering::Relaxed);
    let (first, second) = batch.split_at(batch.len() / 2);
    let mut vectors = in_parts(first, halved, compute)?;
    vectors.extend(in_parts(second, halved, compute)?);
    Ok(vectors)
}

/// libtorch has no code for it: CUDA's allocator and the CPU's say so in words of their own.
pub(crate) fn is_out_of_memory(error: &tch::TchError) -> bool {
    let text = error.to_string();
    ["out of memory", "can't allocate memory", "not enough memory"].iter().any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    /// What libtorch says when it cannot allocate an exabyte.
    fn exhausted() -> Error {
        let source = Tensor::f_zeros([1 << 58], (Kind::Float, Device::Cpu)).unwrap_err();
        Error::Torch { action: "encode a batch", source }
    }

    #[test]
    fn a_batch_that_does_not_fit_is_computed_in_parts_in_its_order() {
        let halved = AtomicUsize::new(0);
        let mut sizes = Vec::new();
        let vectors = in_parts(&[4, 1, 3, 0, 2], &halved, &mut |part| {
            sizes.push(part.len());
            if part.len() > 2 { Err(exhausted()) } else { Ok(part.iter().map(|&i| i as f32).collect()) }
        });
        assert_eq!(vectors.unwrap(), [4., 1., 3., 0., 2.]);
        assert_eq!(sizes, [5, 2, 3, 1, 2]);
        assert_eq!(halved.into_inner(), 2);
    }

    #[test]
    fn a_text_that_never_fits_is_named_and_other_failures_are_passed_on() {
        let halved = AtomicUsize::new(0);
        let error = in_parts(&[7, 9], &halved, &mut |part| {
            if part.contains(&9) { Err(exhausted()) } else { Ok(vec![0.0]) }
        });
        assert!(matches!(error, Err(Error::OutOfMemory { text: 9, .. })));
        let mut calls = 0;
        let error = in_parts(&[7, 9], &halved, &mut |_| {
            calls += 1;
            Err(Error::Stopped { done: 0, total: 2 })
        });
        assert!(matches!(error, Err(Error::Stopped { .. })) && calls == 1);
    }
}
