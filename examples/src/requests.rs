//! Requests as JSON lines, from a file or stdin: each with its place, so that what is wrong with it can be found.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::json_lines::{numbered_lines, reason};

/// What a file of JSON lines held.
#[derive(Debug)]
pub struct Requests<T> {
    /// Every line that is not empty, with where it stands.
    pub lines: Vec<(String, T)>,
    /// Keys that nothing reads, and in how many lines each stands: perhaps misspelt ones.
    pub unread: BTreeMap<String, usize>,
}

impl<T: DeserializeOwned> Requests<T> {
    /// Reads `path`, or stdin where it is `-`; a file may be compressed. Of each object the keys in `known` are read.
    ///
    /// # Errors
    /// If it cannot be read; naming the first line that is no such object.
    pub fn read(path: &Path, known: &[&str]) -> Result<Self> {
        let mut requests = Self { lines: Vec::new(), unread: BTreeMap::new() };
        if path == Path::new("-") {
            requests.take_all(BufReader::new(std::io::stdin().lock()), known)?;
            return Ok(requests);
        }
        for (number, line) in numbered_lines(path)? {
            requests.take(format!("{}, line {number}", path.display()), &line, known)?;
        }
        Ok(requests)
    }

    fn take_all(&mut self, reader: impl BufRead, known: &[&str]) -> Result<()> {
        for (number, line) in (1..).zip(reader.lines()) {
            let place = format!("stdin, line {number}");
            let line = line.with_context(|| place.clone())?;
            self.take(place, line.trim_start_matches('\u{feff}'), known)?;
        }
        Ok(())
    }

    fn take(&mut self, place: String, line: &str, known: &[&str]) -> Result<()> {
        if line.trim().is_empty() {
            return Ok(());
        }
        let request = serde_json::from_str(line).map_err(|error| anyhow!("{place}: {}", reason(&error)))?;
        if let Ok(Value::Object(object)) = serde_json::from_str(line) {
            for key in object.keys().filter(|key| !known.contains(&key.as_str())) {
                *self.unread.entry(key.clone()).or_default() += 1;
            }
        }
        self.lines.push((place, request));
        Ok(())
    }

    /// The keys that nothing reads, in words; `None` where all are read.
    pub fn unread_in_words(&self) -> Option<String> {
        let told: Vec<String> = self
            .unread
            .iter()
            .map(|(key, lines)| format!("{key:?} ({lines} of {} lines)", self.lines.len()))
            .collect();
        (!told.is_empty()).then(|| format!("nothing reads these keys of the requests: {}", told.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Asked {
        kind: String,
    }

    fn read(text: &str) -> Result<Requests<Asked>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("asked.jsonl");
        fs::write(&path, text).unwrap();
        Requests::read(&path, &["kind", "passage"])
    }

    #[test]
    fn a_byte_order_mark_line_ends_of_windows_and_empty_lines_change_nothing_but_the_places() {
        let found = read("\u{feff}{\"kind\":\"a\"}\r\n\r\n{\"kind\":\"b\"}\r\n").unwrap();
        let kinds: Vec<&str> = found.lines.iter().map(|(_, asked)| asked.kind.as_str()).collect();
        assert_eq!(kinds, ["a", "b"]);
        assert!(found.lines[1].0.ends_with("asked.jsonl, line 3"), "{}", found.lines[1].0);
        assert_eq!(found.unread_in_words(), None);
        let mut piped = Requests::<Asked> { lines: Vec::new(), unread: BTreeMap::new() };
        piped.take_all("\u{feff}{\"kind\":\"a\"}\r\n".as_bytes(), &["kind"]).unwrap();
        assert_eq!(piped.lines[0].0, "stdin, line 1");
    }

    #[test]
    fn a_misspelt_key_is_told_and_a_malformed_line_named_once() {
        let found = read("{\"kind\":\"a\",\"pasage\":[]}\n{\"kind\":\"a\",\"passage\":[]}\n").unwrap();
        let told = found.unread_in_words().unwrap();
        assert_eq!(told, "nothing reads these keys of the requests: \"pasage\" (1 of 2 lines)");
        let error = format!("{:#}", read("{\"kind\":\"a\"}\n{\"kind\":7}\n").unwrap_err());
        assert!(error.contains("line 2: invalid type") && !error.contains("line 1"), "{error}");
    }
}
