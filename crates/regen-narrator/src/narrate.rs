//! Writing narratives for requests, in batches of similar length.

use std::ops::ControlFlow;

use regen_lm::generate::Generated;
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
    /// Writes one narrative per request, in their order, `batch` at a time. What several requests begin with, such as those for
    /// different kinds about the same purchases, is read once for all that share a batch.
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
        // Prompts of equal length share a batch without padding, and those with the same beginning stand together; the order is
        // restored through the index.
        let mut order: Vec<usize> = (0..sequences.len()).collect();
        order.sort_by_key(|&index| (sequences[index].beginning_key(), sequences[index].len()));
        let mut written: Vec<Option<String>> = vec![None; sequences.len()];
        let mut done = 0;
        let writer = Writer::new(&self.decoder)?;
        for chunk in order.chunks(batch.max(1)) {
            let rows: Vec<&Sequence> = chunk.iter().map(|&index| &sequences[index]).collect();
            let answers = tch::no_grad(|| self.write(&writer, &rows, &options))?;
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

    /// The ids of one batch of narratives.
    fn write(
        &self,
        writer: &Writer<'_>,
        rows: &[&Sequence],
        options: &GenerateOptions,
    ) -> Result<Vec<Vec<i64>>> {
        let go_on = |_, _| ControlFlow::Continue(());
        let ids = |rows: Vec<Generated>| rows.into_iter().map(|row| row.ids).collect();
        let (first, of) = shared(rows);
        // Words are copied from a whole prompt.
        if self.copying.is_none() && first.len() < rows.len() {
            let beginnings: Vec<Sequence> = first.iter().map(|row| rows[*row].beginning()).collect();
            let batch = self.batch(&beginnings.iter().collect::<Vec<_>>(), Padding::Left)?;
            let embeddings = self.embeddings(&batch, Control::Nothing)?;
            let prefix = writer.read_prefix(&embeddings, &batch.mask)?;
            let asks: Vec<Sequence> = rows.iter().map(|row| row.asking()).collect();
            let asks = self.batch(&asks.iter().collect::<Vec<_>>(), Padding::Left)?;
            let asked = self.decoder.embed(&asks.ids)?;
            return Ok(ids(writer.generate_after(&prefix, &of, &asked, &asks.mask, options, go_on)?));
        }
        let batch = self.batch(rows, Padding::Left)?;
        let embeddings = self.embeddings(&batch, Control::Nothing)?;
        let Some(head) = &self.copying else {
            return Ok(writer.generate(&embeddings, &batch.mask, options)?);
        };
        let mut copying = Copying::new(head, &batch);
        Ok(ids(writer.generate_scored(&embeddings, &batch.mask, options, &mut copying, go_on)?))
    }
}

/// The first of each run of rows with the same beginning, and which of these each row belongs to. A row that nothing asks of
/// stands for itself, and so do all with it: there would be nothing to read after its beginning.
fn shared(rows: &[&Sequence]) -> (Vec<usize>, Vec<usize>) {
    if rows.iter().any(|row| row.asking().is_empty()) {
        return ((0..rows.len()).collect(), (0..rows.len()).collect());
    }
    let (mut first, mut of): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
    for (place, row) in rows.iter().enumerate() {
        if place == 0 || rows[place - 1].beginning_key() != row.beginning_key() {
            first.push(place);
        }
        of.push(first.len() - 1);
    }
    (first, of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::testing;

    #[test]
    fn rows_share_what_they_begin_with_and_nothing_else() {
        let row = |prompt: &[i64], ask: usize, rows: &[i64]| testing::sequence(prompt, ask, rows);
        let rows = [
            row(&[1, -1, 8], 1, &[5]),
            row(&[1, -1, 9, 9], 2, &[5]),
            // Another item, another text, another length.
            row(&[1, -1, 8], 1, &[6]),
            row(&[2, -1, 8], 1, &[6]),
            row(&[2, -1, 3, 8], 1, &[6]),
        ];
        let (first, of) = shared(&rows.iter().collect::<Vec<_>>());
        assert_eq!((first, of), (vec![0, 2, 3, 4], vec![0, 0, 1, 2, 3]));
        // The same items of another user, or with other stars, begin otherwise.
        let plain = row(&[1, -1, 8], 1, &[5]);
        let other = plain.clone().of_user(Some(vec![0.5]));
        assert_eq!(shared(&[&plain, &other, &other]).1, [0, 1, 1]);
        let (begins, asks) = (rows[1].beginning(), rows[1].asking());
        assert_eq!((begins.len(), asks.len()), (2, 2));
        // Where nothing asks, nothing can be read after a beginning.
        let silent = [row(&[1, -1], 0, &[5]), row(&[1, -1], 0, &[5])];
        assert_eq!(shared(&silent.iter().collect::<Vec<_>>()).0, [0, 1]);
    }
}
