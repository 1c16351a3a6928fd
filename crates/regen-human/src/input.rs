//! Reading what is to be judged: the `narratives.jsonl` of a comparison of arms, or one file of pairs per system.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use regen_metrics::rubric::NarrativeKind;
use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::study::StudyCase;

/// The name under which references are judged like a system.
pub const REFERENCE: &str = "reference";

/// Cases with the texts of several systems, before a design is chosen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Texts {
    /// Names of the systems, in order of first appearance.
    pub systems: Vec<String>,
    /// The cases; `texts` of each in the order of `systems`.
    pub cases: Vec<StudyCase>,
}

/// What any line may say beside its text. An id may be a text or a number; other keys are ignored. `target` is what
/// `write_narratives` calls the item that a narrator was told of.
#[derive(Deserialize)]
struct About {
    #[serde(default)]
    user: Option<Value>,
    #[serde(default)]
    item: Option<Value>,
    #[serde(default)]
    target: Option<Value>,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    item_text: Option<String>,
    #[serde(default)]
    history: Vec<String>,
    #[serde(default)]
    context: Option<String>,
}

#[derive(Deserialize)]
struct NarrativeLine {
    arm: String,
    hypothesis: String,
    #[serde(default)]
    reference: Option<String>,
    #[serde(flatten)]
    about: About,
}

/// The other names are those of `write_narratives` and of a comparison of arms, as `evaluate` knows them too.
#[derive(Deserialize)]
struct PairLine {
    #[serde(alias = "narrative", alias = "hypothesis")]
    hyp: String,
    #[serde(default, rename = "ref", alias = "reference")]
    reference: Option<String>,
    #[serde(default)]
    refs: Vec<String>,
    #[serde(flatten)]
    about: About,
}

/// User, item and kind.
type Occasion = (Option<String>, Option<String>, Option<NarrativeKind>);

fn id(value: Option<Value>) -> Option<String> {
    match value? {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

impl About {
    fn case(self) -> StudyCase {
        StudyCase {
            user: id(self.user),
            item: id(self.item).or_else(|| id(self.target)),
            kind: self.kind.and_then(|kind| serde_json::from_value::<NarrativeKind>(Value::from(kind)).ok()),
            item_text: self.item_text,
            history: self.history,
            context: self.context,
            texts: Vec::new(),
        }
    }
}

/// Every line that is not empty, read as `T`; all malformed ones are reported.
fn lines<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Vec<T>> {
    let text = fs::read_to_string(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let mut read = Vec::new();
    let mut malformed = Vec::new();
    // Some editors put a byte order mark before the first line.
    let text = text.trim_start_matches('\u{feff}');
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        match serde_json::from_str(line) {
            Ok(value) => read.push(value),
            Err(error) => malformed.push((number, error.to_string())),
        }
    }
    if malformed.is_empty() {
        Ok(read)
    } else {
        Err(Error::Malformed { path: path.to_owned(), lines: malformed })
    }
}

impl Texts {
    /// Narratives of several arms: one JSON object a line with `arm` and `hypothesis`, and `user`, `item`, `kind`,
    /// `reference`, `item_text`, `history`, `context` where they are known. Lines of one user, item and kind are one case;
    /// the n-th such line of one arm belongs to the n-th of another.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] naming every line that is not such an object; [`Error::DuplicateSystem`] for
    /// an arm that is called as references are, when these are wanted too.
    pub fn from_narratives(path: &Path, with_reference: bool) -> Result<Self> {
        let mut texts = Self::default();
        let mut places: HashMap<(Occasion, usize), usize> = HashMap::new();
        let mut times = HashMap::new();
        for line in lines::<NarrativeLine>(path)? {
            let system = texts.system(&line.arm);
            let case = line.about.case();
            let key: Occasion = (case.user.clone(), case.item.clone(), case.kind);
            let time: &mut usize = times.entry((system, key.clone())).or_default();
            let place = *places.entry((key, *time)).or_insert(texts.cases.len());
            *time += 1;
            if place == texts.cases.len() {
                texts.cases.push(case);
            }
            texts.put(place, system, line.hypothesis);
            if let Some(reference) = line.reference.filter(|_| with_reference) {
                if line.arm == REFERENCE {
                    return Err(Error::DuplicateSystem { name: line.arm });
                }
                let system = texts.system(REFERENCE);
                texts.put(place, system, reference);
            }
        }
        Ok(texts.complete())
    }

    /// Files of pairs, each with the name of its system: one JSON object a line with `hyp` (or `narrative`, `hypothesis`),
    /// and `ref` (or `reference`) or `refs`, `user`, `item` (or `target`), `kind`, `item_text`, `history`, `context` where they are known. Line k of each file belongs to one case,
    /// which the first file describes.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Malformed`]; [`Error::CountMismatch`] unless all files have as many pairs;
    /// [`Error::DuplicateSystem`].
    pub fn from_pairs(files: &[(String, PathBuf)], with_reference: bool) -> Result<Self> {
        let mut texts = Self::default();
        let mut names: HashSet<&str> =
            if with_reference { HashSet::from([REFERENCE]) } else { HashSet::new() };
        for (index, (name, path)) in files.iter().enumerate() {
            if !names.insert(name) {
                return Err(Error::DuplicateSystem { name: name.clone() });
            }
            let read = lines::<PairLine>(path)?;
            if index > 0 && read.len() != texts.cases.len() {
                return Err(Error::CountMismatch {
                    first: files[0].1.clone(),
                    path: path.clone(),
                    expected: texts.cases.len(),
                    got: read.len(),
                });
            }
            let system = texts.system(name);
            for (place, line) in read.into_iter().enumerate() {
                if index == 0 {
                    texts.cases.push(line.about.case());
                }
                texts.put(place, system, line.hyp);
                let reference = line.reference.or_else(|| line.refs.into_iter().next());
                if let Some(reference) = reference.filter(|_| with_reference && index == 0) {
                    let system = texts.system(REFERENCE);
                    texts.put(place, system, reference);
                }
            }
        }
        Ok(texts.complete())
    }

    /// Only these systems, in this order.
    ///
    /// # Errors
    /// [`Error::UnknownSystem`], [`Error::DuplicateSystem`].
    pub fn only(self, names: &[String]) -> Result<Self> {
        let mut chosen = Vec::with_capacity(names.len());
        for name in names {
            let unknown = || Error::UnknownSystem { name: name.clone(), known: self.systems.clone() };
            let place = self.systems.iter().position(|system| system == name).ok_or_else(unknown)?;
            if chosen.contains(&place) {
                return Err(Error::DuplicateSystem { name: name.clone() });
            }
            chosen.push(place);
        }
        let cases = self
            .cases
            .into_iter()
            .map(|case| {
                let texts = chosen.iter().map(|&system| case.texts.get(system).cloned().flatten()).collect();
                StudyCase { texts, ..case }
            })
            .collect();
        Ok(Self { systems: names.to_vec(), cases })
    }

    fn system(&mut self, name: &str) -> usize {
        self.systems.iter().position(|system| system == name).unwrap_or_else(|| {
            self.systems.push(name.to_owned());
            self.systems.len() - 1
        })
    }

    fn put(&mut self, case: usize, system: usize, text: String) {
        let texts = &mut self.cases[case].texts;
        if texts.len() <= system {
            texts.resize(system + 1, None);
        }
        texts[system] = Some(text);
    }

    /// Every case with a place for every system.
    fn complete(mut self) -> Self {
        for case in &mut self.cases {
            case.texts.resize(self.systems.len(), None);
        }
        self
    }
}
