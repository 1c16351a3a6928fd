//! What can go wrong around the trained whole. Failures of its parts keep their own types as sources.

use std::path::PathBuf;

use crate::{Detail, ReviewEncoder};

/// The result of everything fallible in this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl From<tch::TchError> for Error {
    /// As the language model tells it: exhausted memory apart from other failures.
    fn from(source: tch::TchError) -> Self {
        Self::Lm(source.into())
    }
}

/// A refused input, a refused bundle, or a failure of one of the parts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The adapter refused a configuration or a batch.
    #[error(transparent)]
    Fusion(#[from] regen_fusion::Error),
    /// The language model or its tokenizer refused something.
    #[error(transparent)]
    Lm(#[from] regen_lm::Error),
    /// A checkpoint or a device refused something.
    #[error(transparent)]
    Torch(#[from] regen_torch::Error),
    /// A file of a bundle could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The manifest of a bundle is not what this version writes.
    #[error("{} is not a usable narrator manifest", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// A bundle was written by a version with another layout.
    #[error("{} has bundle format {got}, this version reads {expected}", path.display())]
    BundleFormat {
        /// The manifest.
        path: PathBuf,
        /// What this version reads.
        expected: u32,
        /// What the manifest says.
        got: u32,
    },
    /// A part of a bundle is not the one that was saved with it.
    #[error(
        "{} is not the part that this bundle was saved with: take it from the same bundle again, or, if it was replaced on \
         purpose, seal the bundle anew (regen_narrator::reseal)",
        path.display()
    )]
    ForeignPart {
        /// The part.
        path: PathBuf,
    },
    /// The folder of a language model does not hold what the bundle names.
    #[error("{} is not the language model {name} that the bundle was trained on: {file} {reason}", path.display())]
    OtherBase {
        /// The folder.
        path: PathBuf,
        /// What the bundle names.
        name: String,
        /// The first file that differs.
        file: String,
        /// How.
        reason: &'static str,
    },
    /// A bundle names a language model that is not to be found.
    #[error(
        "the bundle {} was trained on the language model {name}, which is no folder here: say where it is",
        bundle.display()
    )]
    BaseNotFound {
        /// The bundle.
        bundle: PathBuf,
        /// What it names.
        name: String,
    },
    /// A language model was to be named beside a bundle that cannot do without it.
    #[error("only low-rank updates of a language model's folder can be kept without it")]
    NoBase,
    /// A language model was given for a bundle that holds its own.
    #[error("the bundle {} holds its language model: no other is read beside it, so give none", bundle.display())]
    HoldsBase {
        /// The bundle.
        bundle: PathBuf,
    },
    /// Two parts of the whole do not fit each other.
    #[error("{part} has {got}, but {other} needs {expected}")]
    Mismatch {
        /// The part that does not fit.
        part: &'static str,
        /// What it has.
        got: String,
        /// The part it must fit.
        other: &'static str,
        /// What that needs.
        expected: String,
    },
    /// The tokenizer lacks a token that prompts are made of.
    #[error(
        "the tokenizer has no token {token}: train it with the tokens that special_tokens() lists, or write prompts in words"
    )]
    MissingToken {
        /// The token.
        token: String,
    },
    /// A request names a kind of narrative that the narrator was not made for.
    #[error("unknown narrative kind {kind:?}: this narrator writes {known}")]
    UnknownKind {
        /// What was asked for.
        kind: String,
        /// What it can write.
        known: String,
    },
    /// A request names an item row outside the tables.
    #[error("request {} names item {item}, but the tables hold {items} items", request + 1)]
    UnknownItem {
        /// Index of the request in the call; messages count from 1.
        request: usize,
        /// The item row.
        item: u32,
        /// Rows of the tables.
        items: usize,
    },
    /// A request has neither history, target nor passage, so there is nothing to narrate from.
    #[error("request {} has an empty history, no target item and no passage", request + 1)]
    EmptyRequest {
        /// Index of the request in the call; messages count from 1.
        request: usize,
    },
    /// A request has a passage, but the narrator was made without reading any.
    #[error(
        "request {} has a passage, which this narrator cannot read: leave it out, or train one with text",
        request + 1
    )]
    UnreadPassage {
        /// Index of the request in the call; messages count from 1.
        request: usize,
    },
    /// A request tells details of some purchases of its history only.
    #[error("request {} has details of {got} purchases, but its history holds {expected}", request + 1)]
    DetailCount {
        /// Index of the request in the call; messages count from 1.
        request: usize,
        /// Details.
        got: usize,
        /// Purchases.
        expected: usize,
    },
    /// A detail is out of range.
    #[error(
        "request {}, purchase {}: {detail:?} is neither a number of stars and of days since, nor unknown",
        request + 1, place + 1
    )]
    Detail {
        /// Index of the request in the call; messages count from 1.
        request: usize,
        /// Index in the history; messages count from 1.
        place: usize,
        /// What was given.
        detail: Detail,
    },
    /// The vector of a review is of another encoder than the narrator was trained with.
    #[error(
        "request {}, purchase {}: the vector of its review has {got} numbers, but this narrator reads {expected}: embed \
         reviews by the encoder that it was trained with",
        request + 1, place + 1
    )]
    ReviewWidth {
        /// Index of the request in the call; messages count from 1.
        request: usize,
        /// Index in the history; messages count from 1.
        place: usize,
        /// Numbers that were given.
        got: usize,
        /// Numbers that are read.
        expected: i64,
    },
    /// The vector of a review holds NaN or an infinity.
    #[error(
        "request {}, purchase {}: the vector of its review holds a number that is not finite; leave the review out \
         where it is not known",
        request + 1, place + 1
    )]
    ReviewNumber {
        /// Index of the request in the call; messages count from 1.
        request: usize,
        /// Index in the history; messages count from 1.
        place: usize,
    },
    /// The vectors of reviews are of another encoder than those that the narrator was trained on.
    #[error(
        "the vectors of reviews are of the encoder {} (SHA-256 {}), but this narrator was trained on those of {} (SHA-256 {}): embed \
         reviews by that one, or train a narrator on yours",
        given.name, given.sha256, trained.name, trained.sha256
    )]
    OtherReviewEncoder {
        /// Which it was trained on.
        trained: Box<ReviewEncoder>,
        /// Which is given.
        given: Box<ReviewEncoder>,
    },
    /// Examples were given with the users of others.
    #[error("{got} users are named for {expected} examples: name one for each")]
    UserCount {
        /// Users.
        got: usize,
        /// Examples.
        expected: usize,
    },
    /// A user's vector has no single best value.
    #[error(
        "the fold-in of a user has no single solution: pivot {pivot} is not positive; raise the regularization"
    )]
    NotPositiveDefinite {
        /// Which.
        pivot: usize,
    },
    /// The outside name of an item cannot be stored.
    #[error("the id of item row {row} holds a line break: {id:?}")]
    ItemId {
        /// The row.
        row: usize,
        /// The name.
        id: String,
    },
    /// Soft tokens were asked about, but the narrator has none.
    #[error("this narrator reads no items, so it has no soft tokens")]
    NoAdapter,
    /// The next item was asked of a narrator that was not made to tell it.
    #[error("this narrator does not tell the next item: make it with `next_item`")]
    NoNextItem,
    /// Something was asked for without examples to do it with.
    #[error("there are no {which} examples")]
    NoExamples {
        /// `training`, `validation`, or `measured`.
        which: &'static str,
    },
    /// A number of the configuration is out of range.
    #[error("{field} is {got}, expected {expected}")]
    InvalidConfig {
        /// The field.
        field: &'static str,
        /// Its value.
        got: String,
        /// What would be accepted.
        expected: &'static str,
    },
    /// A snapshot is of another run.
    #[error("the snapshot in {} is of a run with other settings or examples: give this run another folder, or remove that one", path.display())]
    OtherRun {
        /// The folder of snapshots.
        path: PathBuf,
    },
    /// The loss became NaN or infinite.
    #[error(
        "the loss is {loss} at step {step}; lower the learning rate (the batch's first text begins {text:?}; largest gradients: \
         {gradients})"
    )]
    NonFiniteLoss {
        /// The update, counted from 1.
        step: u64,
        /// The value.
        loss: f64,
        /// The start of the first narrative of the batch.
        text: String,
        /// Names and norms of the largest gradients that this loss gives.
        gradients: String,
    },
    /// The loss is finite and its gradients are not.
    #[error(
        "gradients are not finite at step {step}; lower the learning rate (the batch's first text begins {text:?}; largest \
         gradients: {gradients})"
    )]
    NonFiniteGradient {
        /// The update, counted from 1.
        step: u64,
        /// The start of the first narrative of the batch.
        text: String,
        /// Names and norms of the largest.
        gradients: String,
    },
}
