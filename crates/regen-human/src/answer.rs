//! What a rater said about one attribute of one task.

use serde::{Deserialize, Serialize};

use crate::study::{Design, Task};

/// An answer. Preferences are in the order of the study's systems, whatever the sides on the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A score from 1 to 5 for a single text.
    Score(u8),
    /// The first system's text is better.
    First,
    /// Neither is better.
    Tie,
    /// The second system's text is better.
    Second,
    /// The rater cannot tell, for instance because the material does not say.
    Unsure,
}

impl Answer {
    /// The word in the store and in exports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Score(1) => "1",
            Self::Score(2) => "2",
            Self::Score(3) => "3",
            Self::Score(4) => "4",
            Self::Score(_) => "5",
            Self::First => "first",
            Self::Tie => "tie",
            Self::Second => "second",
            Self::Unsure => "unsure",
        }
    }

    /// The answer of a word, if a design has it.
    pub fn parse(word: &str, design: Design) -> Option<Self> {
        let answer = match word {
            "unsure" => return Some(Self::Unsure),
            "1" => Self::Score(1),
            "2" => Self::Score(2),
            "3" => Self::Score(3),
            "4" => Self::Score(4),
            "5" => Self::Score(5),
            "first" => Self::First,
            "tie" => Self::Tie,
            "second" => Self::Second,
            _ => return None,
        };
        (matches!(answer, Self::Score(_)) == (design == Design::Single)).then_some(answer)
    }

    /// The same answer seen with the sides exchanged: from the page to the study, and back.
    pub fn swapped(self, swapped: bool) -> Self {
        match self {
            Self::First if swapped => Self::Second,
            Self::Second if swapped => Self::First,
            same => same,
        }
    }

    /// The score 1 to 5, `None` for anything else.
    pub fn score(self) -> Option<f64> {
        match self {
            Self::Score(score) => Some(f64::from(score)),
            _ => None,
        }
    }

    /// 1 for the second system, 0 for the first, a half for neither; `None` for anything else.
    pub fn points(self) -> Option<f64> {
        match self {
            Self::First => Some(0.0),
            Self::Tie => Some(0.5),
            Self::Second => Some(1.0),
            Self::Score(_) | Self::Unsure => None,
        }
    }
}

/// An answer with everything that is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// Number of the rater, in the order of joining from 0.
    pub rater: usize,
    /// What was judged.
    pub task: Task,
    /// The attribute's name.
    pub attribute: String,
    /// What was said.
    pub answer: Answer,
    /// Whether the second system's text stood on the left.
    pub swapped: bool,
    /// Seconds from showing the task to this answer, by the clock of the page.
    pub seconds: f64,
    /// When, in UTC: `2026-01-31T12:00:00Z`.
    pub at: String,
}

/// Someone who judges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rater {
    /// Number in the order of joining, from 0.
    pub number: usize,
    /// The name that the rater gave.
    pub name: String,
}
