//! What can be wrong with what a caller hands in. Texts never are: every string has a score.

/// A cause for which no score can be given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two inputs that belong together line by line differ in length.
    #[error("{what}: expected {expected} to match the hypotheses, got {got}")]
    CountMismatch {
        /// Which input is too long or too short.
        what: &'static str,
        /// The length of the first input.
        expected: usize,
        /// The length of the other one.
        got: usize,
    },
    /// Runs that are to be pooled were not measured alike.
    #[error("runs cannot be pooled: one has the signature `{expected}`, another `{got}`")]
    UnlikeRuns {
        /// The signature of the first run.
        expected: String,
        /// The signature that differs.
        got: String,
    },
    /// Runs of two systems have units in common, but not the same ones in the same order.
    #[error("two systems do not compare: their runs were not measured on the same units in the same order")]
    UnlikeUnits,
    /// There is nothing to score.
    #[error("no segments to score")]
    Empty,
    /// A segment came without any reference.
    #[error("segment {segment} has no reference")]
    NoReference {
        /// Position of the segment, counted from 0.
        segment: usize,
    },
    /// A number of a configuration lies outside the range that the metric defines.
    #[error("{metric}: {field} must be {expected}, got {got}")]
    OutOfRange {
        /// The metric or the procedure.
        metric: &'static str,
        /// The field of its configuration.
        field: &'static str,
        /// The range in words.
        expected: &'static str,
        /// The value that was given.
        got: f64,
    },
    /// Vectors that are to be compared have different widths.
    #[error("{what}: expected vectors of width {expected}, got {got}")]
    WidthMismatch {
        /// Which input differs.
        what: &'static str,
        /// The width of the first input.
        expected: usize,
        /// The width of the other one.
        got: usize,
    },
    /// A number is NaN or infinite where a score needs a finite one.
    #[error("{what} of segment {segment} is not finite")]
    NotFinite {
        /// Which input holds the number.
        what: &'static str,
        /// Position of the segment, counted from 0.
        segment: usize,
    },
    /// Everything that was to be compared is equal, so that agreement is undefined.
    #[error("{metric} is undefined where all values are equal")]
    NoVariation {
        /// The measure of agreement.
        metric: &'static str,
    },
    /// A rubric has no attribute of this name.
    #[error("the rubric has no attribute `{name}`")]
    UnknownAttribute {
        /// The name that was asked for.
        name: String,
    },
    /// A rubric cannot be asked for.
    #[error("rubric: attribute `{attribute}`: {reason}")]
    Rubric {
        /// The attribute's name.
        attribute: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The rater's model could not be asked.
    #[cfg(feature = "rater")]
    #[error("the rater's model gave no answer")]
    Chat {
        /// The cause.
        source: regen_chat::Error,
    },
}

/// The result of everything here that can be refused.
pub type Result<T> = std::result::Result<T, Error>;
