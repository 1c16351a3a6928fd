//! No more questions than an endpoint allows.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use regen_chat::{ChatAnswer, ChatModel, ChatRequest};

/// A model that is asked at most once in an interval, whatever the number of threads. Put it behind the journal, so that
/// answers from the journal do not wait.
#[derive(Debug)]
pub struct Paced<M> {
    model: M,
    interval: Duration,
    next: Mutex<Option<Instant>>,
}

impl<M> Paced<M> {
    /// Asks `model` no more often than once in `interval`; zero does not wait.
    pub fn new(model: M, interval: Duration) -> Self {
        Self { model, interval, next: Mutex::new(None) }
    }
}

impl<M: ChatModel> ChatModel for Paced<M> {
    fn name(&self) -> &str {
        self.model.name()
    }

    fn ask(&self, request: &ChatRequest) -> regen_chat::Result<ChatAnswer> {
        let now = Instant::now();
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = next.map_or(now, |next| next.max(now));
            *next = Some(turn + self.interval);
            turn
        };
        // Outside the lock: others take their turns meanwhile.
        std::thread::sleep(turn.saturating_duration_since(now));
        self.model.ask(request)
    }
}
