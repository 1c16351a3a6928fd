//! A study: what is judged, by which rubric, alone or in pairs, and everything that the order of a rater follows from.
//! It is kept in the store as a whole, so that a study can be resumed and evaluated without its inputs.

use std::num::NonZeroUsize;

use regen_metrics::rubric::{Attribute, NarrativeKind, Rubric};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::order::{shuffle, stream};

/// How texts are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Design {
    /// One text at a time, with a score from 1 to 5 for each attribute.
    Single,
    /// Two texts for the same case side by side, with a preference for each attribute.
    Pairs,
}

/// One occasion that several systems wrote for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyCase {
    /// Who the texts are for; where every case has one, intervals and tests draw users.
    pub user: Option<String>,
    /// The item's id.
    pub item: Option<String>,
    /// What the texts were meant to be.
    pub kind: Option<NarrativeKind>,
    /// The item in words, shown to raters.
    pub item_text: Option<String>,
    /// The user's earlier purchases, oldest first, shown to raters.
    pub history: Vec<String>,
    /// What the user has just asked for, shown to raters.
    pub context: Option<String>,
    /// `texts[s]` is what system `s` wrote, if it did.
    pub texts: Vec<Option<String>>,
}

/// Choices of a study beside its texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StudyConfig {
    /// Alone or in pairs.
    pub design: Design,
    /// What is asked.
    pub rubric: Rubric,
    /// Seed of the choice of cases, of the order of each rater and of the sides.
    pub seed: u64,
    /// So many cases, drawn at random; `None` for all.
    pub cases: Option<NonZeroUsize>,
    /// So many tasks for each rater, spread so that all tasks are judged equally often; `None` for all.
    pub per_rater: Option<NonZeroUsize>,
}

/// What is shown at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shown {
    /// A text of one system.
    One {
        /// Index of the system.
        system: usize,
    },
    /// Texts of two systems, `first < second`; which stands on the left is decided for each rater.
    Two {
        /// Index of one system.
        first: usize,
        /// Index of the other.
        second: usize,
    },
}

/// A case with the systems that are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Task {
    /// Index into [`Study::cases`].
    pub case: usize,
    /// What is shown.
    pub shown: Shown,
}

/// Texts, rubric and design. Serialised, it is all that a store needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// Names of the systems; raters never see them.
    pub systems: Vec<String>,
    /// What is judged.
    pub cases: Vec<StudyCase>,
    /// Alone or in pairs.
    pub design: Design,
    /// What is asked.
    pub rubric: Rubric,
    /// Seed of orders and sides.
    pub seed: u64,
    /// Tasks of one rater; `None` for all.
    pub per_rater: Option<NonZeroUsize>,
}

impl Study {
    /// A study of the cases that have enough texts for the design.
    ///
    /// # Errors
    /// [`Error::Rubric`]; [`Error::NothingToJudge`] where no case has a text, or two for pairs.
    pub fn new(systems: Vec<String>, cases: Vec<StudyCase>, config: StudyConfig) -> Result<Self> {
        let StudyConfig { design, rubric, seed, cases: most, per_rater } = config;
        rubric.validate().map_err(|source| Error::Rubric { source })?;
        let enough = match design {
            Design::Single => 1,
            Design::Pairs => 2,
        };
        let texts = |case: &StudyCase| case.texts.iter().take(systems.len()).flatten().count();
        let mut cases: Vec<StudyCase> = cases.into_iter().filter(|case| texts(case) >= enough).collect();
        if cases.is_empty() {
            let reason = match design {
                Design::Single => "no case has a text",
                Design::Pairs => "no case has texts of two systems",
            };
            return Err(Error::NothingToJudge { reason });
        }
        if let Some(most) = most.map(NonZeroUsize::get).filter(|&most| most < cases.len()) {
            let mut chosen: Vec<usize> = (0..cases.len()).collect();
            shuffle(&mut chosen, &mut stream(seed, 0));
            chosen.truncate(most);
            // In the order of the input, so that exports are easy to hold beside it.
            chosen.sort_unstable();
            let mut place = 0;
            cases.retain(|_| {
                place += 1;
                chosen.binary_search(&(place - 1)).is_ok()
            });
        }
        Ok(Self { systems, cases, design, rubric, seed, per_rater })
    }

    /// Everything that can be judged, case by case.
    pub fn tasks(&self) -> Vec<Task> {
        let mut tasks = Vec::new();
        for (case, entry) in self.cases.iter().enumerate() {
            let systems: Vec<usize> =
                (0..self.systems.len()).filter(|&s| matches!(entry.texts.get(s), Some(Some(_)))).collect();
            for (place, &first) in systems.iter().enumerate() {
                match self.design {
                    Design::Single => tasks.push(Task { case, shown: Shown::One { system: first } }),
                    Design::Pairs => tasks.extend(
                        systems[place + 1..]
                            .iter()
                            .map(|&second| Task { case, shown: Shown::Two { first, second } }),
                    ),
                }
            }
        }
        tasks
    }

    /// The text of a system for a case; empty where there is none.
    pub fn text(&self, case: usize, system: usize) -> &str {
        self.cases.get(case).and_then(|case| case.texts.get(system)?.as_deref()).unwrap_or_default()
    }

    /// The attributes that a task is judged by. Without a kind, all of them.
    pub fn attributes(&self, task: Task) -> Vec<&Attribute> {
        match self.cases.get(task.case).and_then(|case| case.kind) {
            Some(kind) => self.rubric.attributes_of(kind).collect(),
            None => self.rubric.attributes.iter().collect(),
        }
    }

    /// SHA-256 of texts, rubric, design and seed in hexadecimal: two studies with the same one are the same.
    pub fn fingerprint(&self) -> String {
        // A study is plain data with string keys: it always serialises.
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
