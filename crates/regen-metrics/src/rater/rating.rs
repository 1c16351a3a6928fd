//! Ratings and what they amount to: means with intervals, and how much repeats of the same question vary.

use super::ask::Outcome;
use super::parse::Scores;
use super::repeats::{Repeats, mean};
use crate::aggregate::{Mean, MeanStats};
use crate::error::Result;
use crate::measurement::Measurement;
use crate::resample::{Bootstrap, Interval};
use crate::rubric::NarrativeKind;
use crate::rubric::Rubric;

/// The samples of one narrative.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Rating {
    /// What the text was meant to be.
    pub kind: NarrativeKind,
    /// One outcome per sample.
    pub samples: Vec<Outcome<Scores>>,
}

impl Rating {
    /// Mean and variance of one attribute over the samples; `None` where no sample has a score.
    pub fn repeats(&self, attribute: &str) -> Option<Repeats> {
        let scores: Vec<f64> = self
            .samples
            .iter()
            .filter_map(|sample| sample.answer()?.get(attribute))
            .map(|judgement| f64::from(judgement.score))
            .collect();
        Repeats::of(&scores)
    }
}

/// The ratings of many narratives under one rubric.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Ratings {
    /// One per narrative, in the order given.
    pub ratings: Vec<Rating>,
    pub(super) rubric: Rubric,
    pub(super) signature: String,
}

/// What one attribute came to.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct AttributeSummary {
    /// Its name.
    pub attribute: String,
    /// Mean over the narratives of the mean over their samples, 1 to 5; 0 where no narrative has a score.
    pub mean: f64,
    /// Interval of the mean, resampling narratives.
    pub interval: Interval,
    /// Mean variance over repeats of the same question; `None` where no narrative has two samples.
    pub repeat_variance: Option<f64>,
    /// Variance of the narratives' means: what repeats should be small against.
    pub between_variance: Option<f64>,
    /// Narratives with at least one score.
    pub rated: usize,
}

impl Ratings {
    /// Every choice that moves the scores.
    pub fn signature(&self) -> &str {
        &self.signature
    }

    /// Samples without a valid answer: refused, and unreadable twice.
    pub fn unanswered(&self) -> (usize, usize) {
        let samples = || self.ratings.iter().flat_map(|rating| &rating.samples);
        let refused = samples().filter(|sample| matches!(sample, Outcome::Refused { .. })).count();
        let malformed = samples().filter(|sample| matches!(sample, Outcome::Malformed { .. })).count();
        (refused, malformed)
    }

    /// The score of one attribute as a measurement: one segment per narrative, empty where no sample has a score, so
    /// that two systems rated on the same cases can be tested against each other.
    ///
    /// # Errors
    /// [`Error::UnknownAttribute`](crate::Error::UnknownAttribute).
    pub fn measurement(&self, attribute: &str) -> Result<Measurement<Mean>> {
        let attribute = self.rubric.find(attribute)?;
        let segments = self
            .ratings
            .iter()
            .map(|rating| {
                rating.repeats(&attribute.name).map_or_else(MeanStats::default, |r| MeanStats::of(r.mean))
            })
            .collect();
        Measurement::new(Mean::named(&attribute.name), segments, self.signature.clone())
    }

    /// All attributes, in the rubric's order.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) for a bootstrap that gives no interval.
    pub fn summaries(&self, bootstrap: &Bootstrap) -> Result<Vec<AttributeSummary>> {
        let summary = |attribute: &crate::rubric::Attribute| {
            let measured = self.measurement(&attribute.name)?;
            let repeats: Vec<Repeats> =
                self.ratings.iter().filter_map(|rating| rating.repeats(&attribute.name)).collect();
            let means: Vec<f64> = repeats.iter().map(|repeats| repeats.mean).collect();
            Ok(AttributeSummary {
                attribute: attribute.name.clone(),
                mean: measured.value(),
                interval: measured.interval(bootstrap)?,
                repeat_variance: mean(repeats.iter().filter_map(|repeats| repeats.variance)),
                between_variance: Repeats::of(&means).and_then(|means| means.variance),
                rated: repeats.len(),
            })
        };
        self.rubric.attributes.iter().map(summary).collect()
    }
}
