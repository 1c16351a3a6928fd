//! Scores from 1 to 5 for one narrative at a time.

use rayon::prelude::*;
use regen_chat::{ChatModel, ChatRequest};

use super::ask::ask;
use super::rating::{Rating, Ratings};
use super::settings::Rater;
use super::{parse, prompt};
use crate::error::{Error, Result};
use crate::rubric::Case;

impl<M: ChatModel> Rater<M> {
    /// Asks for the scores of one narrative, as often as configured.
    ///
    /// # Errors
    /// [`Error::Chat`] where the model cannot be asked; refusals and unreadable answers are outcomes.
    pub fn rate(&self, case: &Case, narrative: &str) -> Result<Rating> {
        let samples = (0..self.samples())
            .map(|sample| {
                let request = ChatRequest {
                    messages: prompt::pointwise(case, self.rubric(), narrative),
                    sampling: self.sampling(sample),
                    schema: Some(prompt::pointwise_schema(case, self.rubric())),
                    sample,
                };
                ask(self.model(), request, |text| parse::scores(text, case, self.rubric()))
            })
            .collect::<Result<_>>()?;
        Ok(Rating { kind: case.kind, samples })
    }

    /// Rates many narratives, on all threads of the current rayon pool: as many questions are under way at once. With
    /// a journal, a run that an error ended goes on where it stopped.
    ///
    /// # Errors
    /// [`Error::Empty`] without narratives; [`Error::Chat`] as for [`rate`](Self::rate).
    pub fn rate_all<S: AsRef<str> + Sync>(&self, narratives: &[(Case, S)]) -> Result<Ratings>
    where
        M: Sync,
    {
        if narratives.is_empty() {
            return Err(Error::Empty);
        }
        let ratings = narratives
            .par_iter()
            .map(|(case, narrative)| self.rate(case, narrative.as_ref()))
            .collect::<Result<_>>()?;
        Ok(Ratings { ratings, rubric: self.rubric().clone(), signature: self.signature("pointwise") })
    }
}
