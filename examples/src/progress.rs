//! Progress where nobody watches a terminal: a line now and then instead of a bar that redraws itself.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::TermLike;

/// Time between two lines of one stage. Shorter stages print nothing.
const EVERY: Duration = Duration::from_secs(15);

/// A "terminal" for a stderr that goes to a file or a pipe: keeps what would be drawn and prints it as a line every
/// 15 seconds.
#[derive(Debug)]
pub(crate) struct LogLines {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    drawn: String,
    printed: Instant,
}

impl LogLines {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State { drawn: String::new(), printed: Instant::now() }) }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> io::Result<T> {
        Ok(change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl TermLike for LogLines {
    fn width(&self) -> u16 {
        120
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.with(|state| state.drawn.push_str(text))
    }

    fn clear_line(&self) -> io::Result<()> {
        self.with(|state| state.drawn.clear())
    }

    fn flush(&self) -> io::Result<()> {
        self.with(|state| {
            let line = std::mem::take(&mut state.drawn);
            if state.printed.elapsed() >= EVERY && !line.trim().is_empty() {
                eprintln!("{}", line.trim_end());
                state.printed = Instant::now();
            }
        })
    }
}
