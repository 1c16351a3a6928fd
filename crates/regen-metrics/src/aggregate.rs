//! The idea that carries the crate: what is known of one segment is a value that can be added up
//! (its *statistics*), and a score is a function of such a sum. Corpus scores, confidence intervals
//! and tests between systems then need no knowledge of the metric.

/// What one segment contributes to a score, and at the same time the sum over many segments.
///
/// Adding must be commutative and associative up to floating-point rounding; `Default` is the empty sum.
pub trait Statistics: Clone + Default + Send + Sync {
    /// Adds the contribution of another segment, or of a whole group of them.
    fn add(&mut self, other: &Self);
}

/// A result with one headline number.
pub trait Scored {
    /// The number that a table shows, that intervals enclose and that tests compare.
    fn value(&self) -> f64;

    /// Precision and recall, where the score is made of them.
    fn precision_recall(&self) -> Option<(f64, f64)> {
        None
    }
}

/// A function from summed statistics to a score.
pub trait Aggregate: Clone + Send + Sync {
    /// What one segment contributes.
    type Stats: Statistics;
    /// What comes out.
    type Score: Scored;

    /// The usual name, such as `BLEU` or `chrF2++`.
    fn name(&self) -> String;

    /// The score of all segments whose statistics were added up in `total`.
    fn score(&self, total: &Self::Stats) -> Self::Score;

    /// Whether a larger value is a better one. Only error rates and perplexity say no.
    fn higher_is_better(&self) -> bool {
        true
    }
}

/// A score of a hypothesis text against one or more reference texts.
pub trait Metric: Aggregate {
    /// Buffers that one thread reuses from segment to segment.
    type Scratch: Default + Send;

    /// The statistics of one segment, with buffers from an earlier call.
    ///
    /// `references` holds at least one text; [`measure`](crate::measure) makes sure of it.
    fn segment_with(&self, scratch: &mut Self::Scratch, hypothesis: &str, references: &[&str])
    -> Self::Stats;

    /// The statistics of one segment.
    fn segment(&self, hypothesis: &str, references: &[&str]) -> Self::Stats {
        self.segment_with(&mut Self::Scratch::default(), hypothesis, references)
    }

    /// Every choice that moves the score, in one line that belongs beside any number one publishes.
    fn signature(&self, references: ReferenceCount) -> String;
}

/// How many references the segments of a corpus have; part of every signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceCount {
    /// The same number for every segment.
    Fixed(usize),
    /// Different numbers for different segments.
    Varying,
}

impl std::fmt::Display for ReferenceCount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(count) => write!(f, "{count}"),
            Self::Varying => f.write_str("var"),
        }
    }
}

/// Sum and count: the statistics of every score that is a mean over segments.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MeanStats {
    /// Sum of the values.
    pub sum: f64,
    /// How many values were added.
    pub count: u64,
}

impl MeanStats {
    /// The statistics of one value.
    pub fn of(value: f64) -> Self {
        Self { sum: value, count: 1 }
    }

    /// The mean, and 0 for nothing.
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum / self.count as f64 }
    }
}

impl Statistics for MeanStats {
    fn add(&mut self, other: &Self) {
        self.sum += other.sum;
        self.count += other.count;
    }
}

impl Scored for f64 {
    fn value(&self) -> f64 {
        *self
    }
}

/// The mean of values that were computed per segment elsewhere, under a name of the caller's choice.
#[derive(Clone, Debug, PartialEq)]
pub struct Mean {
    name: String,
}

impl Mean {
    /// A mean that reports itself as `name`.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}

impl Aggregate for Mean {
    type Stats = MeanStats;
    type Score = f64;

    fn name(&self) -> String {
        self.name.clone()
    }

    fn score(&self, total: &MeanStats) -> f64 {
        total.mean()
    }
}

/// Precision, recall and their harmonic mean, each in 0..=1.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct FScore {
    /// Share of the hypothesis that the reference supports.
    pub precision: f64,
    /// Share of the reference that the hypothesis covers.
    pub recall: f64,
    /// Harmonic mean of the two; the headline value. A corpus value is the mean over the segments.
    pub f1: f64,
}

impl FScore {
    /// The F1 of given precision and recall, and 0 where both are 0.
    pub fn new(precision: f64, recall: f64) -> Self {
        let f1 = if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 };
        Self { precision, recall, f1 }
    }
}

impl Scored for FScore {
    fn value(&self) -> f64 {
        self.f1
    }

    fn precision_recall(&self) -> Option<(f64, f64)> {
        Some((self.precision, self.recall))
    }
}

/// Sums of precision, recall and F1 over segments: the statistics of ROUGE and BERTScore.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FScoreStats {
    /// Sums over the segments.
    pub sum: FScore,
    /// How many segments.
    pub count: u64,
}

impl FScoreStats {
    /// The statistics of one segment.
    pub fn of(score: FScore) -> Self {
        Self { sum: score, count: 1 }
    }

    /// Means over the segments, and zeros for none.
    pub fn mean(&self) -> FScore {
        if self.count == 0 {
            return FScore::default();
        }
        let count = self.count as f64;
        FScore {
            precision: self.sum.precision / count,
            recall: self.sum.recall / count,
            f1: self.sum.f1 / count,
        }
    }
}

impl Statistics for FScoreStats {
    fn add(&mut self, other: &Self) {
        self.sum.precision += other.sum.precision;
        self.sum.recall += other.sum.recall;
        self.sum.f1 += other.sum.f1;
        self.count += other.count;
    }
}
