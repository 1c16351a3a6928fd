//! Writing narratives for requests, in batches of similar length.

use std::ops::ControlFlow;

use regen_lm::{GenerateOptions, Writer};

use crate::copying::Copying;
use crate::losses::Control;
use crate::prompt::{Padding, Sequence};
use crate::{Narrator, Request, Result};

/// How far a call of [`Narrator::narrate`] has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NarrateProgress {
    /// Narratives written.
    pub done: usize,
    /// Narratives asked for.
    pub total: usize,
}

impl Narrator {
    /// Writes one narrative per request, in their order, `batch` at a time.
    ///
    /// `options.stop` is extended by the narrator's own end token. After each batch `progress` is told; when it
    /// breaks, the narratives that were not written are `None`.
    ///
    /// # Errors
    /// [`crate::Error::UnknownKind`], [`crate::Error::UnknownItem`] or [`crate::Error::EmptyRequest`] for a request
    /// that cannot be laid out; nothing is written then.
    pub fn narrate(
        &self,
        requests: &[Request],
        options: &GenerateOptions,
        batch: usize,
        progress: &mut dyn FnMut(NarrateProgress) -> ControlFlow<()>,
    ) -> Result<Vec<Option<String>>> {
        let sequences = self.prompts(requests)?;
        let mut options = options.clone();
        if !options.stop.contains(&self.tokens.eos) {
            options.stop.push(self.tokens.eos);
        }
        // Prompts of equal length share a batch without padding; the order is restored through the index.
        let mut order: Vec<usize> = (0..sequences.len()).collect();
        order.sort_by_key(|&index| sequences[index].len());
        let mut written: Vec<Option<String>> = vec![None; sequences.len()];
        let mut done = 0;
        let writer = Writer::new(&self.decoder)?;
        for chunk in order.chunks(batch.max(1)) {
            let rows: Vec<&Sequence> = chunk.iter().map(|&index| &sequences[index]).collect();
            let answers = tch::no_grad(|| {
                let batch = self.batch(&rows, Padding::Left)?;
                let embeddings = self.embeddings(&batch, Control::Nothing)?;
                let mask = &batch.mask;
                let Some(head) = &self.copying else {
                    return Ok::<_, crate::Error>(writer.generate(&embeddings, mask, &options)?);
                };
                let mut copying = Copying::new(head, &batch);
                let go_on = |_, _| ControlFlow::Continue(());
                let rows = writer.generate_scored(&embeddings, mask, &options, &mut copying, go_on)?;
                Ok(rows.into_iter().map(|row| row.ids).collect())
            })?;
            for (&index, ids) in chunk.iter().zip(answers) {
                written[index] = Some(self.tokenizer.decode(&ids)?.trim().to_owned());
            }
            done += chunk.len();
            if progress(NarrateProgress { done, total: sequences.len() }).is_break() {
                break;
            }
        }
        Ok(written)
    }
}
