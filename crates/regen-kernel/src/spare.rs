//! Working memory that tasks of a pool hand on to one another.

use std::sync::{Mutex, PoisonError};

/// As many pieces of memory as tasks have run at once. What a task leaves in one is there for the next, so nothing may
/// follow from it.
///
/// ```
/// let spare = regen_kernel::Spare::<Vec<f32>>::default();
/// spare.with(|memory| memory.resize(5, 0.0));
/// assert_eq!(spare.with(|memory| memory.len()), 5);
/// ```
#[derive(Debug, Default)]
pub struct Spare<T>(Mutex<Vec<T>>);

impl<T: Default> Spare<T> {
    /// Lends a piece for the time of `work`.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        // Pieces mean nothing: one that a panic left half written is as good as any.
        let free = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut piece = free().pop().unwrap_or_default();
        let result = work(&mut piece);
        free().push(piece);
        result
    }
}
