//! A file of narratives that a run which was stopped goes on with: one JSON object a line, each a request with its narrative.
//!
//! Beside it lies an account of what the lines were written with, so that another narrator's, or those of other options, are not
//! taken for the first lines of this run.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use crate::whole_file::write_whole;

/// Why the lines of a file are not of this run.
#[derive(Debug, Clone, PartialEq)]
pub enum OtherRun {
    /// Nothing says what they were written with.
    NoAccount {
        /// The file.
        path: PathBuf,
        /// Where its account is looked for.
        account: PathBuf,
    },
    /// They were written with something else.
    Settings {
        /// The file.
        path: PathBuf,
        /// What differs.
        field: String,
        /// With what they were written.
        was: Value,
        /// With what this run writes.
        now: Value,
    },
    /// A line does not answer the request in its place.
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl fmt::Display for OtherRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Longer values are named without being shown.
        const SHOWN: usize = 80;
        match self {
            Self::NoAccount { path, account } => write!(
                f,
                "{} has lines, and {} does not say what they were written with",
                path.display(),
                account.display()
            )?,
            Self::Settings { path, field, was, now } => {
                write!(f, "the lines of {} were written with another {field}", path.display())?;
                let (was, now) = (was.to_string(), now.to_string());
                if was.len().max(now.len()) <= SHOWN {
                    write!(f, ": {was}, and now it is {now}")?;
                }
            }
            Self::Line { path, line, reason } => write!(f, "{}, line {line}: {reason}", path.display())?,
        }
        f.write_str("; give --to another name, or remove the file")
    }
}

impl std::error::Error for OtherRun {}

/// Where the account of a file's lines lies.
pub fn account_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".run.json");
    path.with_file_name(name)
}

/// Opens the file to be gone on with, and counts the lines that are there. A last line that was cut is taken off.
///
/// `run` is everything that decides what is written, field by field; `requests` are the objects that lines hold beside their
/// narrative, in order.
///
/// # Errors
/// [`OtherRun`] if lines are there that this run would not have written; nothing is changed then. If a file cannot be read or
/// written.
pub fn go_on(path: &Path, run: &Map<String, Value>, requests: &[Value]) -> Result<(File, usize)> {
    let account = account_of(path);
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let end = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
    let lines: Vec<&[u8]> = text[..end].split_inclusive(|&byte| byte == b'\n').collect();
    // A file of a cut line alone may be anybody's as well.
    if !text.is_empty() {
        check_account(path, &account, run)?;
    }
    for (index, line) in lines.iter().enumerate() {
        let other =
            |reason: &str| OtherRun::Line { path: path.to_owned(), line: index + 1, reason: reason.into() };
        let Some(request) = requests.get(index) else {
            let count = requests.len();
            return Err(other(&format!("only {count} narratives are asked for")).into());
        };
        if answered(line).as_ref() != Some(request) {
            return Err(other("this is not an answer to the request in its place").into());
        }
    }
    if text.is_empty() {
        write_whole(&account, format!("{:#}\n", Value::Object(run.clone())))?;
    }
    let file = File::options()
        .append(true)
        .create(true)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    if end < text.len() {
        file.set_len(end as u64).with_context(|| format!("cannot cut {}", path.display()))?;
    }
    Ok((file, lines.len()))
}

fn check_account(path: &Path, account: &Path, run: &Map<String, Value>) -> Result<()> {
    let text = match fs::read_to_string(account) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(OtherRun::NoAccount { path: path.to_owned(), account: account.to_owned() }.into());
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", account.display())),
    };
    let was: Map<String, Value> = serde_json::from_str(&text)
        .with_context(|| format!("{} is no account of a run", account.display()))?;
    // What was not asked for is null, or, in an account that knew nothing of it, not there.
    let known = |value: Option<&Value>| value.filter(|value| !value.is_null()).cloned();
    for field in run.keys().chain(was.keys()) {
        let (was, now) = (known(was.get(field)), known(run.get(field)));
        if was != now {
            let (field, was, now) = (field.clone(), was.unwrap_or(Value::Null), now.unwrap_or(Value::Null));
            return Err(OtherRun::Settings { path: path.to_owned(), field, was, now }.into());
        }
    }
    Ok(())
}

/// The request of a line: what it holds beside the narrative. `None` for a line that holds none.
fn answered(line: &[u8]) -> Option<Value> {
    let Ok(Value::Object(mut line)) = serde_json::from_slice(line) else { return None };
    line.remove("cut_off");
    line.remove("narrative").filter(Value::is_string)?;
    Some(Value::Object(line))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde_json::json;

    use super::*;

    fn run(seed: u64) -> Map<String, Value> {
        let Value::Object(run) = json!({ "narrator": { "format": 5 }, "seed": seed }) else { unreachable!() };
        run
    }

    fn refused(path: &Path, run: &Map<String, Value>, requests: &[Value]) -> OtherRun {
        let before = fs::read(path).unwrap();
        let error = go_on(path, run, requests).unwrap_err();
        assert_eq!(fs::read(path).unwrap(), before, "what is refused stays as it is");
        error.downcast_ref::<OtherRun>().unwrap_or_else(|| panic!("{error:#}")).clone()
    }

    #[test]
    fn lines_of_this_run_are_kept_and_a_cut_one_is_taken_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("narratives.jsonl");
        let requests = [json!({ "kind": "a", "history": ["1"] }), json!({ "kind": "b", "history": [] })];
        let (mut file, done) = go_on(&path, &run(7), &requests).unwrap();
        assert_eq!(done, 0);
        let line = "{\"kind\":\"a\",\"history\":[\"1\"],\"narrative\":\"One.\",\"cut_off\":true}\n";
        write!(file, "{line}{}", &line[..20]).unwrap();
        let (_, done) = go_on(&path, &run(7), &requests).unwrap();
        assert_eq!((done, fs::read_to_string(&path).unwrap().as_str()), (1, line));
        // More or fewer requests than then are the same run.
        assert_eq!(go_on(&path, &run(7), &requests[..1]).unwrap().1, 1);
    }

    #[test]
    fn lines_of_another_run_are_refused_by_what_differs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("narratives.jsonl");
        let requests = [json!({ "kind": "a" })];
        // Of nobody knows what.
        fs::write(&path, "{\"kind\":\"a\",\"narrative\":\"One.\"}\n").unwrap();
        let error = refused(&path, &run(7), &requests);
        assert!(matches!(error, OtherRun::NoAccount { .. }), "{error}");
        fs::remove_file(&path).unwrap();

        let (mut file, _) = go_on(&path, &run(7), &requests).unwrap();
        writeln!(file, "{{\"kind\":\"a\",\"narrative\":\"One.\"}}").unwrap();
        let error = refused(&path, &run(8), &requests);
        assert!(matches!(&error, OtherRun::Settings { field, .. } if field == "seed"), "{error}");
        assert!(error.to_string().contains("another seed: 7, and now it is 8"), "{error}");
        let mut more = run(7);
        more.insert("weights".into(), "int8".into());
        assert!(matches!(refused(&path, &more, &requests), OtherRun::Settings { .. }));
        // An option that this account does not know of, and that is not used.
        let mut unused = run(7);
        unused.insert("candidates".into(), Value::Null);
        assert_eq!(go_on(&path, &unused, &requests).unwrap().1, 1);
        let error = refused(&path, &run(7), &[json!({ "kind": "b" })]);
        assert!(matches!(error, OtherRun::Line { line: 1, .. }), "{error}");
        assert!(refused(&path, &run(7), &[]).to_string().contains("only 0 narratives"));
        for line in ["plain text\n", "{\"kind\":\"a\"}\n", "[]\n"] {
            fs::write(&path, line).unwrap();
            let error = refused(&path, &run(7), &requests);
            assert!(matches!(error, OtherRun::Line { line: 1, .. }), "{line}: {error}");
        }
    }
}
