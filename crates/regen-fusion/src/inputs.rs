//! The batch an adapter reads, checked once at the border so that the arithmetic behind it cannot fail.

use tch::{Kind, Tensor};

use crate::{AdapterConfig, Error, Result};

/// The vectors of one side for every history position, and which of them exist.
#[derive(Debug)]
pub struct Side {
    /// `[batch, seq, dim]` float. Where `present` is false the values are not read.
    pub vectors: Tensor,
    /// `[batch, seq]` bool: false for an item that this side knows nothing of (no interactions, no text). Such a
    /// position gets a learned "absent" vector, never silent zeros.
    pub present: Tensor,
}

/// The item vectors of a batch of histories.
#[derive(Debug)]
pub struct ItemVectors {
    /// The collaborative side, `[batch, seq, cf_dim]`.
    pub cf: Option<Side>,
    /// The semantic side, `[batch, seq, semantic_dim]`.
    pub semantic: Option<Side>,
    /// `[batch, seq]` bool: false for padding. Its soft tokens are masked out.
    pub mask: Tensor,
}

impl ItemVectors {
    /// Whether `history` marks positions of this batch.
    pub(crate) fn check_history(&self, history: &Tensor) -> Result<()> {
        check_shape("history", history, &self.mask.size())?;
        check_bool("history", history)
    }

    /// The sides that `config` reads, in the order cf, semantic, with shapes and kinds checked.
    pub(crate) fn sides(&self, config: &AdapterConfig) -> Result<Vec<(SideName, &Side)>> {
        let size = self.mask.size();
        if size.len() != 2 {
            return Err(Error::ShapeMismatch { tensor: "mask", expected: vec![-1, -1], got: size });
        }
        check_bool("mask", &self.mask)?;
        let wanted = [
            (config.sources.cf(), SideName::Cf, &self.cf, config.cf_dim),
            (config.sources.semantic(), SideName::Semantic, &self.semantic, config.semantic_dim),
        ];
        let mut sides = Vec::with_capacity(2);
        for (read, name, side, dim) in wanted {
            if !read {
                continue;
            }
            let missing = Error::MissingSide { sources: config.sources, side: name.as_str() };
            let side = side.as_ref().ok_or(missing)?;
            check_shape(name.vectors(), &side.vectors, &[size[0], size[1], dim])?;
            check_shape(name.present(), &side.present, &size)?;
            check_bool(name.present(), &side.present)?;
            if !side.vectors.is_floating_point() {
                let got = side.vectors.kind();
                return Err(Error::WrongKind { tensor: name.vectors(), expected: "a float kind", got });
            }
            sides.push((name, side));
        }
        Ok(sides)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SideName {
    Cf,
    Semantic,
}

impl SideName {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Cf => "cf",
            Self::Semantic => "semantic",
        }
    }

    fn vectors(self) -> &'static str {
        match self {
            Self::Cf => "cf.vectors",
            Self::Semantic => "semantic.vectors",
        }
    }

    fn present(self) -> &'static str {
        match self {
            Self::Cf => "cf.present",
            Self::Semantic => "semantic.present",
        }
    }
}

fn check_shape(tensor: &'static str, given: &Tensor, expected: &[i64]) -> Result<()> {
    let got = given.size();
    if got == expected {
        return Ok(());
    }
    Err(Error::ShapeMismatch { tensor, expected: expected.to_vec(), got })
}

fn check_bool(tensor: &'static str, given: &Tensor) -> Result<()> {
    match given.kind() {
        Kind::Bool => Ok(()),
        got => Err(Error::WrongKind { tensor, expected: "Bool", got }),
    }
}
