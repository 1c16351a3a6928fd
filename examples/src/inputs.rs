//! What an adapter may read beside the vectors of items, and how these are scaled, by the names that flags and plans use.

use std::fmt;
use std::str::FromStr;

use anyhow::bail;
use clap::ValueEnum;
use regen_fusion::{DetailInputs, Normalisation, Sources};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Any of `rating`, `recency`, `position` (of each purchase), `user` (the user's own collaborative vector) and `reviews` (what the user
/// wrote about each purchase), joined by `+`; nothing where none is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Inputs {
    /// What is read of each purchase; its `review` is left to whoever knows the width of the vectors, if `reviews` are read.
    pub details: DetailInputs,
    /// Whether the user's own collaborative vector, folded in from the history, is read.
    pub user: bool,
    /// Whether the vectors of the user's own reviews of past purchases are read.
    pub reviews: bool,
}

impl Inputs {
    /// Whether nothing is read beside the vectors of items.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// What of it an arm over `sources` can read: the user's vector is a collaborative one.
    #[must_use]
    pub fn of(self, sources: Sources) -> Self {
        Self { user: self.user && sources.cf(), ..self }
    }

    fn named(&mut self) -> [(&'static str, &mut bool); 5] {
        [
            ("rating", &mut self.details.rating),
            ("recency", &mut self.details.recency),
            ("position", &mut self.details.position),
            ("user", &mut self.user),
            ("reviews", &mut self.reviews),
        ]
    }
}

impl fmt::Display for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = *self;
        let names: Vec<&str> =
            all.named().into_iter().filter(|(_, read)| **read).map(|(name, _)| name).collect();
        f.pad(&names.join("+"))
    }
}

impl FromStr for Inputs {
    type Err = anyhow::Error;

    fn from_str(names: &str) -> anyhow::Result<Self> {
        let mut inputs = Self::default();
        for name in names.split(['+', ',']).filter(|_| !names.is_empty()) {
            match inputs.named().into_iter().find(|(known, _)| *known == name) {
                Some((_, read)) => *read = true,
                None => bail!("{name:?} is none of rating, recency, position, user, reviews"),
            }
        }
        Ok(inputs)
    }
}

impl Serialize for Inputs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Inputs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// How vectors are scaled before an adapter reads them; tables of the programs are standardised beforehand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scaling {
    /// As they are.
    None,
    /// Each to norm 1.
    #[default]
    L2,
    /// Each to mean 0 and variance 1 over its components.
    LayerNorm,
    /// All of a side by one map after which the table's covariance is the identity.
    Whiten,
}

impl Scaling {
    /// Whether it is what is done without asking.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// As adapters take it.
    pub fn normalisation(self) -> Normalisation {
        match self {
            Self::None => Normalisation::None,
            Self::L2 => Normalisation::L2,
            Self::LayerNorm => Normalisation::LayerNorm,
            Self::Whiten => Normalisation::Whiten,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written_and_others_refused() {
        for names in ["", "rating", "rating+recency+position+user+reviews", "user", "reviews"] {
            assert_eq!(names.parse::<Inputs>().unwrap().to_string(), names);
        }
        assert_eq!("user,rating".parse::<Inputs>().unwrap().to_string(), "rating+user");
        assert!("stars".parse::<Inputs>().is_err() && "rating+".parse::<Inputs>().is_err());
        let user: Inputs = "user+position".parse().unwrap();
        assert_eq!(user.of(Sources::Semantic).to_string(), "position");
        assert_eq!(user.of(Sources::Cf), user);
    }
}
