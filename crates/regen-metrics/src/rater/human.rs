//! Does the rater judge as people do?

use super::rating::Ratings;
use super::repeats::mean;
use crate::agreement::{
    Alpha, Kappa, KappaWeights, Scale, Spearman, cohen_kappa, krippendorff_alpha, spearman,
};
use crate::error::{Error, Result};
use crate::measurement::Measurement;

/// Agreement of the rater with people on one attribute, each number with interval and tests by narrative.
#[derive(Clone, Debug)]
pub struct HumanAgreement {
    /// Ordinal alpha of two raters: the mean of the rater's samples and the mean of the people.
    pub alpha: Measurement<Alpha>,
    /// Quadratic kappa of the same means, rounded to the scale; `None` where rounding leaves a single score.
    pub kappa: Option<Measurement<Kappa>>,
    /// Rank correlation of the same means.
    pub spearman: Measurement<Spearman>,
    /// Ordinal alpha among the people alone: what can be asked of a rater. `None` where no narrative has two people, or
    /// they all gave the same score throughout.
    pub among_people: Option<Measurement<Alpha>>,
    /// Narratives that both the rater and at least one person judged.
    pub narratives: usize,
}

impl Ratings {
    /// Agreement with `people[n]`, the scores from 1 to 5 that people gave narrative `n`; it may be empty.
    ///
    /// # Errors
    /// [`Error::UnknownAttribute`]; [`Error::CountMismatch`] unless there is one entry per narrative;
    /// [`Error::OutOfRange`] for a score off the scale; [`Error::Empty`] where nothing was judged by both;
    /// [`Error::NoVariation`] where one side gave the same score throughout.
    pub fn agreement_with<P: AsRef<[f64]>>(&self, attribute: &str, people: &[P]) -> Result<HumanAgreement> {
        let name = &self.rubric.find(attribute)?.name;
        if people.len() != self.ratings.len() {
            return Err(Error::CountMismatch {
                what: "narratives judged by people",
                expected: self.ratings.len(),
                got: people.len(),
            });
        }
        let scores = people.iter().flat_map(|scores| scores.as_ref());
        if let Some(&got) = scores.into_iter().find(|score| !(1.0..=5.0).contains(*score)) {
            return Err(Error::OutOfRange { metric: "agreement", field: "score", expected: "1 to 5", got });
        }
        let (ours, theirs): (Vec<f64>, Vec<f64>) = self
            .ratings
            .iter()
            .zip(people)
            .filter_map(|(rating, people)| {
                Some((rating.repeats(name)?.mean, mean(people.as_ref().iter().copied())?))
            })
            .unzip();
        let units: Vec<[Option<f64>; 2]> =
            ours.iter().zip(&theirs).map(|(&ours, &theirs)| [Some(ours), Some(theirs)]).collect();
        // Ratings are public data and may have come from elsewhere: off the scale is its nearest end.
        let category = |mean: &f64| (mean.round() as usize).clamp(1, 5) - 1;
        let categories = |means: &[f64]| -> Vec<usize> { means.iter().map(category).collect() };
        let people: Vec<Vec<Option<f64>>> =
            people.iter().map(|scores| scores.as_ref().iter().copied().map(Some).collect()).collect();
        Ok(HumanAgreement {
            alpha: krippendorff_alpha(&units, Scale::Ordinal)?,
            kappa: cohen_kappa(&categories(&ours), &categories(&theirs), 5, KappaWeights::Quadratic).ok(),
            spearman: spearman(&ours, &theirs)?,
            among_people: krippendorff_alpha(&people, Scale::Ordinal).ok(),
            narratives: units.len(),
        })
    }
}
