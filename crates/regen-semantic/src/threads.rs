//! libtorch's number of threads, of which there is one of the process and one of each thread.
//!
//! To set it on a thread sets both, and a thread that has none yet takes the process's. So no other thread may take its own while
//! workers set theirs to one: it would keep one for good, and put it back as the process's later.

use std::sync::{Mutex, MutexGuard, PoisonError};

static COUNT: Mutex<()> = Mutex::new(());

/// The process's number, which others wait for while it is held, and which is set again when it is dropped.
pub(crate) struct Held {
    threads: i32,
    _lock: MutexGuard<'static, ()>,
}

/// Holds the number while threads set their own.
pub(crate) fn hold() -> Held {
    let lock = lock();
    Held { threads: tch::get_num_threads(), _lock: lock }
}

/// Has this thread take its number before it computes.
pub(crate) fn settle() {
    let _lock = lock();
    tch::get_num_threads();
}

fn lock() -> MutexGuard<'static, ()> {
    // Whoever panicked has set the number again.
    COUNT.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Held {
    fn drop(&mut self) {
        tch::set_num_threads(self.threads);
    }
}
