//! What the narrator of an arm is given of each request: item vectors, text, or both.

use std::fmt;
use std::str::FromStr;

use anyhow::bail;
use regen_fusion::Sources;
use regen_narrator::{Example, Request};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The inputs of an arm: `cf`, `semantic`, `fusion`, `text`, or text and vectors as in `text+fusion`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// The sides that the soft tokens are made of; `None` for no soft tokens.
    pub vectors: Option<Sources>,
    /// Whether the text of the item that is narrated is read, and words may be copied from it.
    pub text: bool,
}

impl Given {
    /// Vectors alone: the arms of the paper.
    pub fn vectors(sources: Sources) -> Self {
        Self { vectors: Some(sources), text: false }
    }

    /// What the arm sees of a request.
    pub fn show(self, request: &Request) -> Request {
        let (history, details, target) = match self.vectors {
            Some(_) => (request.history.clone(), request.details.clone(), request.target),
            None => (Vec::new(), Vec::new(), None),
        };
        let passage = if self.text { request.passage.clone() } else { Vec::new() };
        Request { kind: request.kind.clone(), history, target, passage, details }
    }

    /// The examples as the arm sees them.
    pub fn show_all(self, examples: &[Example]) -> Vec<Example> {
        let show =
            |example: &Example| Example { request: self.show(&example.request), text: example.text.clone() };
        examples.iter().map(show).collect()
    }

    /// The exercise of reading the catalogue as the arm does it. Where text is read, that is copying it; where vectors are
    /// read beside it, each item is also read from its vectors alone, so that these learn to stand for words too.
    pub fn reading(self, catalogue: &[Example]) -> Vec<Example> {
        let mut shown = self.show_all(catalogue);
        if self.text
            && let Some(sources) = self.vectors
        {
            shown.extend(Self::vectors(sources).show_all(catalogue));
        }
        shown
    }
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.text, self.vectors) {
            (true, None) => f.pad("text"),
            (true, Some(sources)) => f.pad(&format!("text+{sources}")),
            (false, Some(sources)) => f.pad(sources.as_str()),
            (false, None) => f.pad("nothing"),
        }
    }
}

impl FromStr for Given {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        let (text, vectors) = match name.strip_prefix("text") {
            Some("") => return Ok(Self { vectors: None, text: true }),
            Some(rest) => (true, rest.strip_prefix('+').unwrap_or(name)),
            None => (false, name),
        };
        match vectors.parse() {
            Ok(sources) => Ok(Self { vectors: Some(sources), text }),
            Err(_) => {
                bail!("{name:?} is none of cf, semantic, fusion, text, text+cf, text+semantic, text+fusion")
            }
        }
    }
}

impl Serialize for Given {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use regen_narrator::Detail;

    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in ["cf", "semantic", "fusion", "text", "text+cf", "text+semantic", "text+fusion"] {
            assert_eq!(name.parse::<Given>().unwrap().to_string(), name);
        }
        for name in ["", "textfusion", "text+", "fusion+text", "nothing"] {
            assert!(name.parse::<Given>().is_err(), "{name}");
        }
    }

    #[test]
    fn an_arm_sees_only_what_it_is_given() {
        let request = Request {
            kind: "purchase_reason".into(),
            history: vec![1, 2],
            target: Some(3),
            passage: vec!["red pen".into()],
            details: vec![Detail { rating: Some(4.0), ..Detail::default() }; 2],
        };
        let shown = |name: &str| name.parse::<Given>().unwrap().show(&request);
        assert_eq!(shown("text+fusion"), request);
        assert!(shown("cf").passage.is_empty());
        assert_eq!((shown("text").history, shown("text").target), (Vec::new(), None));
        assert!(shown("text").details.is_empty() && shown("cf").details == request.details);
        assert_eq!(shown("text").passage, request.passage);
    }
}
