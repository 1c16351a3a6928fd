//! Answers as data. What a model wraps around its JSON is forgiven; what is inside must be right.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::rubric::Case;
use crate::rubric::Rubric;

/// One attribute's score.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Judgement {
    /// 1 to 5.
    pub score: u8,
    /// Why, in the model's words; empty if it gave none.
    pub reason: String,
}

/// Scores by attribute.
pub type Scores = BTreeMap<String, Judgement>;

/// Which of two narratives is better, in the caller's order whatever the order in which they were shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The first.
    First,
    /// The second.
    Second,
    /// Neither.
    Tie,
}

impl Verdict {
    /// The verdict seen with the narratives exchanged.
    pub(super) fn swapped(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
            Self::Tie => Self::Tie,
        }
    }
}

/// One attribute's choice.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Choice {
    /// Which is better.
    pub better: Verdict,
    /// Why, in the model's words; it speaks of A and B as shown.
    pub reason: String,
}

/// Choices by attribute.
pub type Choices = BTreeMap<String, Choice>;

/// The JSON object in a text: the whole, or what stands between the first `{` and the last `}` (code fences, prose).
fn object(text: &str) -> Result<Value, String> {
    let start = text.find('{').ok_or("there is no JSON object in it")?;
    let end = text.rfind('}').filter(|&end| end > start).ok_or("the JSON object does not end")?;
    serde_json::from_str(&text[start..=end]).map_err(|error| format!("it is not valid JSON ({error})"))
}

/// What every attribute of the case has in the answer, read by `read`.
fn attributes<T>(
    text: &str,
    case: &Case,
    rubric: &Rubric,
    read: impl Fn(&str, &Value, String) -> Result<T, String>,
) -> Result<BTreeMap<String, T>, String> {
    let answer = object(text)?;
    rubric
        .attributes_of(case.kind)
        .map(|attribute| {
            let name = attribute.name.as_str();
            let inner = answer.get(name).ok_or_else(|| format!("`{name}` is missing"))?;
            let reason = inner.get("reason").and_then(Value::as_str).unwrap_or_default().to_owned();
            Ok((name.to_owned(), read(name, inner, reason)?))
        })
        .collect()
}

/// Scores of a pointwise answer, or what is wrong with it in words that the model can act upon.
pub(super) fn scores(text: &str, case: &Case, rubric: &Rubric) -> Result<Scores, String> {
    attributes(text, case, rubric, |name, inner, reason| {
        // A bare number in place of the object is clear enough.
        let given = inner.get("score").unwrap_or(inner);
        match given.as_f64() {
            // The range makes the cast exact.
            Some(score) if score.fract() == 0.0 && (1.0..=5.0).contains(&score) => {
                Ok(Judgement { score: score as u8, reason })
            }
            _ => Err(format!("the score of `{name}` must be a whole number from 1 to 5, not {given}")),
        }
    })
}

/// Choices of a pairwise answer, First for "A".
pub(super) fn choices(text: &str, case: &Case, rubric: &Rubric) -> Result<Choices, String> {
    attributes(text, case, rubric, |name, inner, reason| {
        let given = inner.get("better").unwrap_or(inner);
        let better = match given.as_str() {
            Some("A" | "a" | "text_A") => Verdict::First,
            Some("B" | "b" | "text_B") => Verdict::Second,
            Some("tie" | "Tie" | "TIE") => Verdict::Tie,
            _ => return Err(format!("`better` of `{name}` must be \"A\", \"B\" or \"tie\", not {given}")),
        };
        Ok(Choice { better, reason })
    })
}
