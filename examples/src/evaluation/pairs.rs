//! Pairs as JSON lines.

use std::path::Path;

use anyhow::{Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::json_lines::{numbered_lines, reason};

/// Malformed lines that are named one by one.
const MALFORMED_SHOWN: usize = 20;

/// One system's texts.
#[derive(Debug, Default)]
pub struct Texts {
    /// The system's text of each pair.
    pub hypotheses: Vec<String>,
    /// The references of each pair, at least one.
    pub references: Vec<Vec<String>>,
    /// The key of each pair's group, if pairs are grouped.
    pub groups: Option<Vec<String>>,
    /// What else each line says.
    pub about: Vec<About>,
}

/// What a line says about the occasion of its texts; all of it optional.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct About {
    /// The item's id in the catalogue; where a line has none, its `target`.
    pub item: Option<Value>,
    /// What the text was meant to be, such as `endorsement_short`.
    pub kind: Option<String>,
    /// The item in words.
    pub item_text: Option<String>,
    /// The user's earlier purchases, oldest first: ids of the catalogue, or titles.
    pub history: Option<Vec<Value>>,
    /// What the user has just asked for.
    pub context: Option<String>,
}

/// The other names are those of `write_narratives` and `quickstart`, whose files can be scored as they are.
#[derive(Deserialize)]
struct Line {
    #[serde(alias = "narrative", alias = "hypothesis")]
    hyp: String,
    #[serde(rename = "ref", alias = "reference")]
    reference: Option<String>,
    refs: Option<Vec<String>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

struct Pair {
    hypothesis: String,
    references: Vec<String>,
    group: Option<String>,
    about: About,
}

/// The first reasons, and how many more there are.
pub(super) fn shortened(mut malformed: Vec<String>) -> String {
    let failures = malformed.len();
    if failures > MALFORMED_SHOWN {
        malformed.truncate(MALFORMED_SHOWN);
        malformed.push(format!("  and {} more", failures - MALFORMED_SHOWN));
    }
    malformed.join("\n")
}

fn parse(line: &str, group_by: Option<&str>) -> Result<Pair, String> {
    let line: Line = serde_json::from_str(line).map_err(|error| reason(&error))?;
    let references = match (line.reference, line.refs) {
        (Some(reference), None) => vec![reference],
        (None, Some(references)) if !references.is_empty() => references,
        (None, Some(_)) => return Err("`refs` is empty".to_owned()),
        (Some(_), Some(_)) => return Err("both `ref` and `refs`".to_owned()),
        (None, None) => return Err("neither `ref` nor `refs`".to_owned()),
    };
    let group = group_by
        .map(|key| line.rest.get(key).map(Value::to_string).ok_or(format!("no `{key}` to group by")))
        .transpose()?;
    let mut rest = line.rest;
    if let Some(target) = rest.remove("target") {
        rest.entry("item").or_insert(target);
    }
    let about = About::deserialize(Value::Object(rest)).map_err(|error| error.to_string())?;
    Ok(Pair { hypothesis: line.hyp, references, group, about })
}

/// Reads a file of pairs; `group_by` is the key whose values group them.
///
/// # Errors
/// Naming the first malformed lines and counting all; or a file without pairs.
pub fn read(path: &Path, group_by: Option<&str>) -> Result<Texts> {
    let mut texts = Texts { groups: group_by.map(|_| Vec::new()), ..Texts::default() };
    let mut malformed = Vec::new();
    for (number, line) in numbered_lines(path)? {
        match parse(&line, group_by) {
            Ok(pair) => {
                texts.hypotheses.push(pair.hypothesis);
                texts.references.push(pair.references);
                texts.about.push(pair.about);
                if let (Some(groups), Some(group)) = (&mut texts.groups, pair.group) {
                    groups.push(group);
                }
            }
            Err(reason) => malformed.push(format!("  line {number}: {reason}")),
        }
    }
    let failures = malformed.len();
    ensure!(failures == 0, "{failures} malformed lines in {}:\n{}", path.display(), shortened(malformed));
    ensure!(!texts.hypotheses.is_empty(), "no pairs in {}", path.display());
    Ok(texts)
}

/// Whether two systems can be compared pair by pair.
///
/// # Errors
/// If they have different numbers of pairs, or other references for a pair, which is named.
pub fn same_references(path: &Path, ours: &Texts, other: &Path, theirs: &Texts) -> Result<()> {
    let (expected, got) = (ours.hypotheses.len(), theirs.hypotheses.len());
    ensure!(expected == got, "{} has {expected} pairs, {} has {got}", path.display(), other.display());
    let differing = ours.references.iter().zip(&theirs.references).position(|(a, b)| a != b);
    if let Some(pair) = differing {
        bail!("pair {} has other references in {} than in {}", pair + 1, other.display(), path.display());
    }
    Ok(())
}
