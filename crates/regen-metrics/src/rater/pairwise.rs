//! Which of two narratives is better, asked in both orders so that a liking for the first place shows and cancels.

use rayon::prelude::*;
use regen_chat::{ChatModel, ChatRequest};

use super::ask::{Outcome, ask};
use super::parse::{self, Choice, Choices, Verdict};
use super::prompt;
use super::repeats::{Repeats, mean};
use super::settings::Rater;
use crate::aggregate::{Mean, MeanStats};
use crate::error::{Error, Result};
use crate::measurement::Measurement;
use crate::resample::{Bootstrap, Interval};
use crate::rubric::Case;
use crate::rubric::Rubric;

/// The samples of one comparison. Verdicts are in the caller's order.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Preference {
    /// Outcomes with the first narrative shown as A, one per sample.
    pub first_shown_first: Vec<Outcome<Choices>>,
    /// Outcomes with the second narrative shown as A.
    pub second_shown_first: Vec<Outcome<Choices>>,
}

/// 1 for the second narrative, 0 for the first, a half for neither.
fn points(verdict: Verdict) -> f64 {
    match verdict {
        Verdict::First => 0.0,
        Verdict::Tie => 0.5,
        Verdict::Second => 1.0,
    }
}

impl Preference {
    /// The verdicts of one attribute in both orders, for samples that have both.
    fn pairs(&self, attribute: &str) -> impl Iterator<Item = (Verdict, Verdict)> {
        let verdict = |outcome: &Outcome<Choices>| Some(outcome.answer()?.get(attribute)?.better);
        self.first_shown_first
            .iter()
            .zip(&self.second_shown_first)
            .filter_map(move |(one, other)| Some((verdict(one)?, verdict(other)?)))
    }

    /// How far the second narrative is preferred, 0 to 1, over the samples: each is the mean of both orders, so a
    /// rater that always takes the first place says one half. `None` where no sample has both orders.
    pub fn repeats(&self, attribute: &str) -> Option<Repeats> {
        let values: Vec<f64> =
            self.pairs(attribute).map(|(one, other)| (points(one) + points(other)) / 2.0).collect();
        Repeats::of(&values)
    }
}

/// Many comparisons of two systems.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Comparisons {
    /// One per case, in the order given.
    pub preferences: Vec<Preference>,
    rubric: Rubric,
    signature: String,
}

/// What one attribute came to.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct PreferenceSummary {
    /// Its name.
    pub attribute: String,
    /// How far the second system is preferred: 0 to 1, ties and contradictions between the orders a half.
    pub win_rate: f64,
    /// Interval of the win rate, resampling cases: one that lies above 0.5 favours the second system.
    pub interval: Interval,
    /// Mean variance over repeats; `None` where no case has two samples.
    pub repeat_variance: Option<f64>,
    /// Share of samples whose verdict is the same in both orders; `None` without samples.
    pub consistency: Option<f64>,
    /// Share of decided verdicts (no ties) for what was shown first: 0.5 for a rater without position bias, `None`
    /// where all are ties.
    pub first_place_share: Option<f64>,
    /// Cases with at least one sample in both orders.
    pub compared: usize,
}

impl Comparisons {
    /// Every choice that moves the verdicts.
    pub fn signature(&self) -> &str {
        &self.signature
    }

    /// How far the second system is preferred, as a measurement: one segment per case.
    ///
    /// # Errors
    /// [`Error::UnknownAttribute`].
    pub fn measurement(&self, attribute: &str) -> Result<Measurement<Mean>> {
        let name = &self.rubric.find(attribute)?.name;
        let segments = self
            .preferences
            .iter()
            .map(|preference| {
                preference.repeats(name).map_or_else(MeanStats::default, |r| MeanStats::of(r.mean))
            })
            .collect();
        Measurement::new(Mean::named(format!("{name}: second preferred")), segments, self.signature.clone())
    }

    /// All attributes, in the rubric's order.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a bootstrap that gives no interval.
    pub fn summaries(&self, bootstrap: &Bootstrap) -> Result<Vec<PreferenceSummary>> {
        self.rubric
            .attributes
            .iter()
            .map(|attribute| {
                let name = &attribute.name;
                let measured = self.measurement(name)?;
                let repeats: Vec<Repeats> =
                    self.preferences.iter().filter_map(|preference| preference.repeats(name)).collect();
                let pairs: Vec<_> = self.preferences.iter().flat_map(|p| p.pairs(name)).collect();
                // In the second order the first place is the second narrative's.
                let shown = pairs.iter().flat_map(|&(one, other)| [one, other.swapped()]);
                Ok(PreferenceSummary {
                    attribute: name.clone(),
                    win_rate: measured.value(),
                    interval: measured.interval(bootstrap)?,
                    repeat_variance: mean(repeats.iter().filter_map(|repeats| repeats.variance)),
                    consistency: mean(pairs.iter().map(|(one, other)| u8::from(one == other))),
                    first_place_share: mean(
                        shown
                            .filter(|verdict| *verdict != Verdict::Tie)
                            .map(|verdict| u8::from(verdict == Verdict::First)),
                    ),
                    compared: repeats.len(),
                })
            })
            .collect()
    }
}

impl<M: ChatModel> Rater<M> {
    fn choices(&self, case: &Case, a: &str, b: &str, sample: u32) -> Result<Outcome<Choices>> {
        let request = ChatRequest {
            messages: prompt::pairwise(case, self.rubric(), a, b),
            sampling: self.sampling(sample),
            schema: Some(prompt::pairwise_schema(case, self.rubric())),
            sample,
        };
        ask(self.model(), request, |text| parse::choices(text, case, self.rubric()))
    }

    /// Asks which of two narratives for the same case is better, in both orders, as often as configured.
    ///
    /// # Errors
    /// [`Error::Chat`] where the model cannot be asked; refusals and unreadable answers are outcomes.
    pub fn compare(&self, case: &Case, first: &str, second: &str) -> Result<Preference> {
        let swap = |choices: Choices| {
            let swapped = |choice: Choice| Choice { better: choice.better.swapped(), ..choice };
            choices.into_iter().map(|(name, choice)| (name, swapped(choice))).collect()
        };
        let samples = 0..self.samples();
        Ok(Preference {
            first_shown_first: samples
                .clone()
                .map(|sample| self.choices(case, first, second, sample))
                .collect::<Result<_>>()?,
            second_shown_first: samples
                .map(|sample| Ok(self.choices(case, second, first, sample)?.map(swap)))
                .collect::<Result<_>>()?,
        })
    }

    /// Compares two systems on many cases, on all threads of the current rayon pool; each entry is a case with the
    /// narratives of both.
    ///
    /// # Errors
    /// [`Error::Empty`] without cases; [`Error::Chat`] as for [`compare`](Self::compare).
    pub fn compare_all<S: AsRef<str> + Sync>(&self, cases: &[(Case, S, S)]) -> Result<Comparisons>
    where
        M: Sync,
    {
        if cases.is_empty() {
            return Err(Error::Empty);
        }
        let preferences = cases
            .par_iter()
            .map(|(case, first, second)| self.compare(case, first.as_ref(), second.as_ref()))
            .collect::<Result<_>>()?;
        Ok(Comparisons {
            preferences,
            rubric: self.rubric().clone(),
            signature: self.signature("pairwise-both-orders"),
        })
    }
}
