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

/// A number for every position, where it is known.
#[derive(Debug)]
pub struct Numbers {
    /// `[batch, seq]` float. Where `present` is false the values are not read.
    pub values: Tensor,
    /// `[batch, seq]` bool.
    pub present: Tensor,
}

/// What is known of each purchase beside the vectors of its item. A batch without one of them knows it of no purchase.
#[derive(Debug, Default)]
pub struct Details {
    /// Stars, 1 to 5; numbers beyond count as the nearer end.
    pub rating: Option<Numbers>,
    /// Days before the request, at least 0.
    pub recency: Option<Numbers>,
    /// Purchases that came after it, at least 0.
    pub position: Option<Numbers>,
    /// The vector of what its buyer wrote about it, `[batch, seq, review.dim]`; read by adapters with
    /// [`DetailInputs::review`](crate::DetailInputs) only.
    pub review: Option<Side>,
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
    /// What is known beside them; read by adapters with [`DetailInputs`](crate::DetailInputs) only.
    pub details: Details,
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
            side.check_positions(name, &size, dim)?;
            sides.push((name, side));
        }
        Ok(sides)
    }

    /// The numbers that `config` reads, in the order rating, recency, position, with shapes and kinds checked.
    pub(crate) fn details(&self, config: &AdapterConfig) -> Result<Vec<(SideName, Option<&Numbers>)>> {
        let size = self.mask.size();
        let given = [&self.details.rating, &self.details.recency, &self.details.position];
        let wanted = SideName::details(config).zip(given);
        let mut details = Vec::with_capacity(3);
        for ((name, read), numbers) in wanted {
            if !read {
                continue;
            }
            if let Some(numbers) = numbers {
                check_shape(name.vectors(), &numbers.values, &size)?;
                check_shape(name.present(), &numbers.present, &size)?;
                check_bool(name.present(), &numbers.present)?;
                check_float(name.vectors(), &numbers.values)?;
            }
            details.push((name, numbers.as_ref()));
        }
        Ok(details)
    }

    /// The vectors of reviews, with shapes and kinds checked; `None` where the batch knows of none, or `config` reads none.
    pub(crate) fn reviews(&self, config: &AdapterConfig) -> Result<Option<&Side>> {
        let (Some(read), Some(side)) = (&config.details.review, &self.details.review) else {
            return Ok(None);
        };
        side.check_positions(SideName::Review, &self.mask.size(), read.dim)?;
        Ok(Some(side))
    }
}

impl Side {
    /// Whether this is one vector of width `dim` for each position of a batch of this `size`, `[batch, seq]`.
    fn check_positions(&self, name: SideName, size: &[i64], dim: i64) -> Result<()> {
        check_shape(name.vectors(), &self.vectors, &[size, &[dim]].concat())?;
        check_shape(name.present(), &self.present, size)?;
        check_bool(name.present(), &self.present)?;
        check_float(name.vectors(), &self.vectors)
    }

    /// Whether this is one vector of width `dim` for each of `batch` users.
    pub(crate) fn check_users(&self, dim: i64) -> Result<()> {
        let batch = self.present.size().first().copied().unwrap_or(0);
        check_shape("user.present", &self.present, &[batch])?;
        check_bool("user.present", &self.present)?;
        check_shape("user.vectors", &self.vectors, &[batch, dim])?;
        check_float("user.vectors", &self.vectors)
    }
}

/// What a position's soft token is made of: the two sides, then what is known beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SideName {
    Cf,
    Semantic,
    Rating,
    Recency,
    Position,
    Review,
}

impl SideName {
    /// The details that are numbers, in their order, and whether `config` reads them.
    pub(crate) fn details(config: &AdapterConfig) -> impl Iterator<Item = (Self, bool)> + use<> {
        let read = config.details;
        [(Self::Rating, read.rating), (Self::Recency, read.recency), (Self::Position, read.position)]
            .into_iter()
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Cf => "cf",
            Self::Semantic => "semantic",
            Self::Rating => "rating",
            Self::Recency => "recency",
            Self::Position => "position",
            Self::Review => "review",
        }
    }

    /// What its tensor of values is called in messages.
    fn vectors(self) -> &'static str {
        match self {
            Self::Cf => "cf.vectors",
            Self::Semantic => "semantic.vectors",
            Self::Rating => "details.rating.values",
            Self::Recency => "details.recency.values",
            Self::Position => "details.position.values",
            Self::Review => "details.review.vectors",
        }
    }

    fn present(self) -> &'static str {
        match self {
            Self::Cf => "cf.present",
            Self::Semantic => "semantic.present",
            Self::Rating => "details.rating.present",
            Self::Recency => "details.recency.present",
            Self::Position => "details.position.present",
            Self::Review => "details.review.present",
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

fn check_float(tensor: &'static str, given: &Tensor) -> Result<()> {
    if given.is_floating_point() {
        return Ok(());
    }
    Err(Error::WrongKind { tensor, expected: "a float kind", got: given.kind() })
}
