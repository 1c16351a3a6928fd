//! Files of one JSON object a line, and what is wrong with a line of them.

use std::path::Path;

use anyhow::{Context, Result};
use regen_data::Lines;

/// The lines of a file that are not empty, with their numbers from 1. It may be compressed, and begin with a byte order mark.
///
/// # Errors
/// If it cannot be read, or a line is not UTF-8, which is named.
pub(crate) fn numbered_lines(path: &Path) -> Result<Vec<(u64, String)>> {
    let mut lines = Lines::open(path)?;
    let mut found = Vec::new();
    loop {
        // Before the line is borrowed.
        let number = lines.number() + 1;
        let Some(line) = lines.next_line()? else { return Ok(found) };
        let line = std::str::from_utf8(line)
            .with_context(|| format!("{}, line {number}: not UTF-8", path.display()))?;
        if !line.trim().is_empty() {
            found.push((number, line.to_owned()));
        }
    }
}

/// What is wrong with a line: the reader's own "line 1" would contradict the line's number.
pub(crate) fn reason(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", " at column ")
}
