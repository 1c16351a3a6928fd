//! Work on pieces that all threads share, with results that are taken in order.

use rayon::prelude::*;

/// Hands what `compute` makes of each piece of `numbers` to `take`, in order, so that what `take` adds up does not depend on the
/// number of threads. Only one result for each thread is in memory at once.
pub(crate) fn in_order<T: Send>(
    numbers: &[f32],
    piece: usize,
    compute: impl Fn(&[f32]) -> T + Sync,
    mut take: impl FnMut(T),
) {
    for wave in numbers.chunks(rayon::current_num_threads() * piece) {
        let results: Vec<T> = wave.par_chunks(piece).map(&compute).collect();
        results.into_iter().for_each(&mut take);
    }
}
