//! What can go wrong between item vectors and soft tokens.

use crate::Sources;

/// The result of everything fallible in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A refused configuration or a refused batch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A number of the configuration is out of range.
    #[error("adapter field {field} is {got}, expected {expected}")]
    InvalidConfig {
        /// The field of [`crate::AdapterConfig`].
        field: &'static str,
        /// Its value.
        got: String,
        /// What would be accepted.
        expected: &'static str,
    },
    /// The adapter needs a side that the batch does not carry.
    #[error("the adapter reads {sources:?} but the batch carries no {side} vectors")]
    MissingSide {
        /// What the adapter was built for.
        sources: Sources,
        /// `cf` or `semantic`.
        side: &'static str,
    },
    /// A tensor of the batch has the wrong shape.
    #[error("{tensor} has shape {got:?}, expected {expected:?} (-1 stands for any size)")]
    ShapeMismatch {
        /// Which tensor.
        tensor: &'static str,
        /// What is accepted.
        expected: Vec<i64>,
        /// What was given.
        got: Vec<i64>,
    },
    /// A tensor of the batch has the wrong number type.
    #[error("{tensor} is {got:?}, expected {expected}")]
    WrongKind {
        /// Which tensor.
        tensor: &'static str,
        /// What is accepted.
        expected: &'static str,
        /// What was given.
        got: tch::Kind,
    },
    /// Shares of two sides are defined only where both are read, and norm shares only where their contributions add up.
    #[error(
        "shares need an adapter over both sides, norm shares a projection; this adapter is {kind} over {sources:?}"
    )]
    AttributionUndefined {
        /// The adapter's kind.
        kind: &'static str,
        /// Which sides it reads.
        sources: Sources,
    },
    /// A table cannot be whitened.
    #[error("a table cannot be whitened: {reason}")]
    Whitening {
        /// Why not.
        reason: &'static str,
    },
    /// The contributions of the two sides do not add up to what they made, however finely the path is divided.
    #[error(
        "integrated gradients with {nodes} points a path miss {residual:.1e} of the change that they are to add up to: look for weights \
         that are not finite, or so large that soft tokens jump"
    )]
    Incomplete {
        /// Points of the path that was divided most.
        nodes: usize,
        /// The largest relative miss of any soft token.
        residual: f64,
    },
    /// libtorch reported an error.
    #[error(transparent)]
    Torch(#[from] regen_torch::Error),
}

/// What libtorch gave or said.
pub(crate) type Torch<T> = std::result::Result<T, tch::TchError>;

/// Says what libtorch failed to do.
pub(crate) fn torch(action: &'static str) -> impl Fn(tch::TchError) -> Error {
    move |source| Error::Torch(regen_torch::Error::Torch { action, source })
}
