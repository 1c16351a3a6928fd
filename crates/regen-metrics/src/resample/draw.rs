//! Random draws for resampling. Resample `i` has its own stream of the caller's seed, so that neither
//! the number of threads nor the number of resamples changes it.

use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The generator of resample `index`.
pub(crate) fn stream(seed: u64, index: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(index as u64);
    rng
}

/// A uniform draw from `0..bound`, without modulo bias.
///
/// Written out rather than taken from `rand`, whose choice of algorithm may change between releases and
/// would move published intervals. **Source** Lemire 2019, *Fast Random Integer Generation in an Interval*.
pub(crate) fn below(rng: &mut ChaCha8Rng, bound: u32) -> u32 {
    let mut product = u64::from(rng.next_u32()) * u64::from(bound);
    if (product as u32) < bound {
        let threshold = bound.wrapping_neg() % bound;
        while (product as u32) < threshold {
            product = u64::from(rng.next_u32()) * u64::from(bound);
        }
    }
    (product >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_uniform_and_stay_below_the_bound() {
        let mut rng = stream(3, 0);
        let mut seen = [0u32; 7];
        for _ in 0..70_000 {
            seen[below(&mut rng, 7) as usize] += 1;
        }
        // Standard deviation of each count is about 93.
        assert!(seen.iter().all(|&count| (9_500..10_500).contains(&count)), "{seen:?}");
    }

    #[test]
    fn streams_differ_by_index_and_by_seed() {
        let first: Vec<u32> = (0..4).map(|index| stream(1, index).next_u32()).collect();
        let other: Vec<u32> = (0..4).map(|index| stream(2, index).next_u32()).collect();
        assert!(first.iter().collect::<std::collections::HashSet<_>>().len() == 4);
        assert_ne!(first, other);
    }
}
