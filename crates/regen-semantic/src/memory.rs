//! Batches that do not fit into memory are computed in halves, and later ones are made no larger.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{Error, Result};

/// What an encoder has learned about the memory of its device.
#[derive(Debug)]
pub(crate) struct Memory {
    halved: AtomicUsize,
    most_tokens: AtomicUsize,
}

impl Default for Memory {
    fn default() -> Self {
        Self { halved: AtomicUsize::new(0), most_tokens: AtomicUsize::new(usize::MAX) }
    }
}

impl Memory {
    /// How often a batch was computed in halves.
    pub(crate) fn halved(&self) -> usize {
        self.halved.load(Ordering::Relaxed)
    }

    /// The tokens of a batch that may fit: half of those of the smallest that did not, or `usize::MAX`.
    pub(crate) fn most_tokens(&self) -> usize {
        self.most_tokens.load(Ordering::Relaxed)
    }

    fn ran_out_at(&self, tokens: usize) {
        self.halved.fetch_add(1, Ordering::Relaxed);
        self.most_tokens.fetch_min((tokens / 2).max(1), Ordering::Relaxed);
    }
}

/// Computes `batch` by `compute`, in halves, and halves of those, where memory runs out, or where it is larger than what did not
/// fit before; `tokens` counts those of texts that are computed together. The vectors of the parts follow one another as their
/// texts do.
///
/// # Errors
/// [`Error::OutOfMemory`] if a text alone is too much; others of `compute`.
pub(crate) fn in_parts(
    batch: &[usize],
    memory: &Memory,
    tokens: &dyn Fn(&[usize]) -> usize,
    compute: &mut dyn FnMut(&[usize]) -> Result<Vec<f32>>,
) -> Result<Vec<f32>> {
    if batch.len() == 1 || tokens(batch) <= memory.most_tokens() {
        let source = match compute(batch) {
            Err(Error::Torch { source, .. }) if is_out_of_memory(&source) => source,
            other => return other,
        };
        if let [text] = *batch {
            return Err(Error::OutOfMemory { text, source });
        }
        memory.ran_out_at(tokens(batch));
    }
    let (first, second) = batch.split_at(batch.len() / 2);
    let mut vectors = in_parts(first, memory, tokens, compute)?;
    vectors.extend(in_parts(second, memory, tokens, compute)?);
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

    /// Every text has ten tokens.
    fn tokens(batch: &[usize]) -> usize {
        10 * batch.len()
    }

    #[test]
    fn a_batch_that_does_not_fit_is_computed_in_parts_in_its_order_and_later_ones_begin_at_what_fits() {
        let memory = Memory::default();
        let mut sizes = Vec::new();
        let mut compute = |part: &[usize]| {
            sizes.push(part.len());
            if part.len() > 2 { Err(exhausted()) } else { Ok(part.iter().map(|&i| i as f32).collect()) }
        };
        let vectors = in_parts(&[4, 1, 3, 0, 2], &memory, &tokens, &mut compute);
        assert_eq!(vectors.unwrap(), [4., 1., 3., 0., 2.]);
        assert_eq!((memory.halved(), memory.most_tokens()), (1, 25));
        // Nothing is tried again that cannot fit.
        let vectors = in_parts(&[0, 1, 2, 3, 4, 5, 6, 7], &memory, &tokens, &mut compute);
        assert_eq!(vectors.unwrap(), [0., 1., 2., 3., 4., 5., 6., 7.]);
        assert_eq!(sizes, [5, 2, 1, 2, 2, 2, 2, 2]);
        assert_eq!((memory.halved(), memory.most_tokens()), (1, 25));
    }

    #[test]
    fn a_text_that_never_fits_is_named_and_other_failures_are_passed_on() {
        let memory = Memory::default();
        let error = in_parts(&[7, 9], &memory, &tokens, &mut |part| {
            if part.contains(&9) { Err(exhausted()) } else { Ok(vec![0.0]) }
        });
        assert!(matches!(error, Err(Error::OutOfMemory { text: 9, .. })));
        // What did not fit alone is still tried alone.
        assert_eq!(in_parts(&[3], &memory, &|_| 1000, &mut |_| Ok(vec![1.0])).unwrap(), [1.0]);
        let mut calls = 0;
        let error = in_parts(&[7, 9], &Memory::default(), &tokens, &mut |_| {
            calls += 1;
            Err(Error::Stopped { done: 0, total: 2 })
        });
        assert!(matches!(error, Err(Error::Stopped { .. })) && calls == 1);
    }
}
