//! Writing narratives: a language model packed once, requests in batches of similar length, whole texts or piece by piece.

use std::ops::ControlFlow;

use regen_lm::generate::{Generated, NextToken, TextStream};
use regen_lm::{BeamOptions, CacheStorage, Ending, GenerateOptions, Hypothesis, Storage, Writer};

use crate::copying::Copying;
use crate::pieces::Pieces;
use crate::prompt::{Padding, Sequence};
use crate::{Error, Narrator, Request, Result, Withheld};

/// How far a call of [`NarrativeWriter::narrate`] has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NarrateProgress {
    /// Narratives written.
    pub done: usize,
    /// Narratives asked for.
    pub total: usize,
}

/// One narrative.
#[derive(Debug, Clone, PartialEq)]
pub struct Narrative {
    /// The text, without white space around it.
    pub text: String,
    /// Tokens that were written, the end not counted.
    pub tokens: usize,
    /// Mean log-probability of these tokens under the language model, in nats; 0 where there is none.
    pub mean_log_probability: f64,
    /// Why it ended; by [`Ending::StopId`] where it came to its end.
    pub ending: Ending,
}

impl Narrative {
    fn of(text: String, log_probabilities: &[f32], ending: Ending) -> Self {
        let sum: f64 = log_probabilities.iter().map(|&one| f64::from(one)).sum();
        let tokens = log_probabilities.len();
        Self { text, tokens, mean_log_probability: sum / tokens.max(1) as f64, ending }
    }
}

/// Writes narratives of a narrator that does not change meanwhile. Its language model is packed for the processor when the writer
/// is made: make one and use it for all that is to be written.
///
/// It borrows the narrator and so stays on one thread (no `Send`): a thread that is to write takes the narrator and makes the writer
/// itself.
///
/// ```no_run
/// # use regen_narrator::{Narrator, Request};
/// # use std::ops::ControlFlow;
/// let narrator = Narrator::open("out/narrator".as_ref(), tch::Device::Cpu)?;
/// let writer = narrator.writer()?;
/// let request = Request { kind: "purchase_reason".into(), history: vec![3, 14], target: Some(15), ..Request::default() };
/// writer.stream(&[request], &Default::default(), 1, &mut |_request, piece| {
///     print!("{piece}");
///     ControlFlow::Continue(())
/// })?;
/// # Ok::<(), regen_narrator::Error>(())
/// ```
#[derive(Debug)]
pub struct NarrativeWriter<'a> {
    narrator: &'a Narrator,
    writer: Writer<'a>,
    withheld: Withheld,
}

impl Narrator {
    /// A writer with the language model in its own precision.
    ///
    /// # Errors
    /// Those of [`Writer::new`].
    pub fn writer(&self) -> Result<NarrativeWriter<'_>> {
        Ok(NarrativeWriter {
            narrator: self,
            writer: Writer::new(&self.decoder)?,
            withheld: Withheld::Nothing,
        })
    }

    /// A writer with the language model's weights rounded to `storage`: less memory and, where reading them is what takes the time,
    /// faster. See [`Writer::with_storage`].
    ///
    /// # Errors
    /// Those of [`Writer::with_storage`].
    pub fn writer_with(&self, storage: Storage) -> Result<NarrativeWriter<'_>> {
        let writer = Writer::with_storage(&self.decoder, storage)?;
        Ok(NarrativeWriter { narrator: self, writer, withheld: Withheld::Nothing })
    }

    /// The texts that [`NarrativeWriter::narrate`] of a [`writer`](Self::writer) for this call alone gives.
    ///
    /// # Errors
    /// As there.
    pub fn narrate(
        &self,
        requests: &[Request],
        options: &GenerateOptions,
        batch: usize,
        progress: &mut dyn FnMut(NarrateProgress) -> ControlFlow<()>,
    ) -> Result<Vec<Option<String>>> {
        let written = self.writer()?.narrate(requests, options, batch, progress)?;
        Ok(written.into_iter().map(|narrative| narrative.map(|narrative| narrative.text)).collect())
    }
}

impl NarrativeWriter<'_> {
    /// The same writer, with keys and values held as `cache` says: see [`Writer::with_cache`], which also says where nothing changes.
    #[must_use]
    pub fn with_cache(self, cache: CacheStorage) -> Self {
        Self { writer: self.writer.with_cache(cache), ..self }
    }

    /// Whether weights and cache are those of the packed decoder, so that their storage is what was asked for. See
    /// [`Writer::is_packed`].
    pub fn is_packed(&self) -> bool {
        self.writer.is_packed()
    }

    /// Bytes of the packed weights, if there are any.
    pub fn packed_bytes(&self) -> Option<usize> {
        self.writer.packed_bytes()
    }

    /// Bytes of keys and values while `rows` narratives are written at once, if they are those of the longest prompts among
    /// `requests`. Beams take this much each, and what several rows begin with is held once more.
    ///
    /// # Errors
    /// Those of requests that cannot be laid out, as [`narrate`](Self::narrate).
    pub fn cache_bytes(&self, requests: &[Request], options: &GenerateOptions, rows: usize) -> Result<usize> {
        let prompts = self.narrator.prompts(requests)?;
        let longest = prompts.iter().map(Sequence::len).max().unwrap_or(0);
        Ok(self.writer.cache_bytes(rows, longest.saturating_add(options.max_new_tokens)))
    }

    /// The same writer for prompts of which something is withheld: what becomes of narratives when a side is taken away.
    #[must_use]
    pub fn without(self, withheld: Withheld) -> Self {
        Self { withheld, ..self }
    }

    /// Writes one narrative per request, in their order, `batch` at a time. What several requests begin with, such as those for
    /// different kinds about the same purchases, is read once for all that share a batch.
    ///
    /// `options.stop` is extended by the narrator's own end token. Random draws of a request are those of its place among
    /// `requests`, or of its entry in `options.row_streams`, whoever shares its batch. After each batch `progress` is told; when
    /// it breaks, the narratives that were not written are `None`.
    ///
    /// # Errors
    /// [`Error::UnknownKind`], [`Error::UnknownItem`] or [`Error::EmptyRequest`] for a request that cannot be laid out, those of
    /// options that do not fit; nothing is written then.
    pub fn narrate(
        &self,
        requests: &[Request],
        options: &GenerateOptions,
        batch: usize,
        progress: &mut dyn FnMut(NarrateProgress) -> ControlFlow<()>,
    ) -> Result<Vec<Option<Narrative>>> {
        self.all(requests, options, batch, &mut |_, _| ControlFlow::Continue(()), progress)
    }

    /// As [`narrate`](Self::narrate), telling `on_piece(request, piece)` of every piece of text as soon as it is certain: whole
    /// characters, without white space around the narrative, so that the pieces of a request add up to its text. The narrative of a
    /// request ends where it breaks.
    ///
    /// # Errors
    /// As [`narrate`](Self::narrate).
    pub fn stream(
        &self,
        requests: &[Request],
        options: &GenerateOptions,
        batch: usize,
        on_piece: &mut dyn FnMut(usize, &str) -> ControlFlow<()>,
    ) -> Result<Vec<Narrative>> {
        let written = self.all(requests, options, batch, on_piece, &mut |_| ControlFlow::Continue(()))?;
        Ok(written.into_iter().flatten().collect())
    }

    fn all(
        &self,
        requests: &[Request],
        options: &GenerateOptions,
        batch: usize,
        on_piece: &mut dyn FnMut(usize, &str) -> ControlFlow<()>,
        progress: &mut dyn FnMut(NarrateProgress) -> ControlFlow<()>,
    ) -> Result<Vec<Option<Narrative>>> {
        let each = |rows: &[&Sequence], options: &GenerateOptions, chunk: &[usize]| {
            self.chunk(rows, options, &mut |row, piece| on_piece(chunk[row], piece))
        };
        self.in_batches(requests, options, batch, each, progress)
    }

    /// The best narratives of each request that a beam search finds, best first: for a caller who chooses among them by rules of its
    /// own. `options.sampling` must be greedy; otherwise as [`narrate`](Self::narrate).
    ///
    /// # Errors
    /// As [`narrate`](Self::narrate), and [`regen_lm::Error::Argument`] for a `beam` out of range.
    pub fn search(
        &self,
        requests: &[Request],
        options: &GenerateOptions,
        beam: &BeamOptions,
        batch: usize,
        progress: &mut dyn FnMut(NarrateProgress) -> ControlFlow<()>,
    ) -> Result<Vec<Option<Vec<Narrative>>>> {
        let each = |rows: &[&Sequence], options: &GenerateOptions, _: &[usize]| {
            let narrator = self.narrator;
            let batch = narrator.batch(rows, Padding::Left)?;
            let embeddings = narrator.embeddings(&batch, self.withheld)?;
            let mut copying = narrator.copying.as_ref().map(|head| Copying::new(head, &batch));
            let next_token = copying.as_mut().map(|copying| copying as &mut dyn NextToken);
            let found = self.writer.beam_search(&embeddings, &batch.mask, options, beam, next_token)?;
            let narrative = |found: Hypothesis| {
                let text = narrator.tokenizer.decode(&found.ids)?.trim().to_owned();
                Ok(Narrative::of(text, &found.log_probabilities, found.ending))
            };
            let narratives = |found: Vec<Hypothesis>| found.into_iter().map(narrative).collect();
            found.into_iter().map(narratives).collect::<Result<Vec<Vec<Narrative>>>>()
        };
        self.in_batches(requests, options, batch, each, progress)
    }

    /// What `each` makes of the requests, `batch` at a time, in their order; it is given their prompts, options and numbers.
    fn in_batches<T, E>(
        &self,
        requests: &[Request],
        options: &GenerateOptions,
        batch: usize,
        mut each: E,
        progress: &mut dyn FnMut(NarrateProgress) -> ControlFlow<()>,
    ) -> Result<Vec<Option<T>>>
    where
        T: Clone,
        E: FnMut(&[&Sequence], &GenerateOptions, &[usize]) -> Result<Vec<T>>,
    {
        let sequences = self.narrator.prompts(requests)?;
        per_request("row_streams", options.row_streams.as_ref().map(Vec::len), requests.len())?;
        per_request("prompt_ids", options.prompt_ids.as_ref().map(Vec::len), requests.len())?;
        // Prompts of equal length share a batch without padding, and those with the same beginning stand together; the order is
        // restored through the index.
        let mut order: Vec<usize> = (0..sequences.len()).collect();
        order.sort_by_key(|&index| (sequences[index].beginning_key(), sequences[index].len()));
        let mut written: Vec<Option<T>> = vec![None; sequences.len()];
        let mut done = 0;
        for chunk in order.chunks(batch.max(1)) {
            let rows: Vec<&Sequence> = chunk.iter().map(|&index| &sequences[index]).collect();
            let options = self.options_of(options, chunk);
            let narratives = tch::no_grad(|| each(&rows, &options, chunk))?;
            for (&index, narrative) in chunk.iter().zip(narratives) {
                written[index] = Some(narrative);
            }
            done += chunk.len();
            if progress(NarrateProgress { done, total: sequences.len() }).is_break() {
                break;
            }
        }
        Ok(written)
    }

    /// The options of some requests, whose numbers `chunk` holds.
    fn options_of(&self, all: &GenerateOptions, chunk: &[usize]) -> GenerateOptions {
        let stream =
            |index: &usize| all.row_streams.as_ref().map_or(*index as u64, |streams| streams[*index]);
        let ids = |ids: &Vec<Vec<i64>>| chunk.iter().map(|&index| ids[index].clone()).collect();
        let mut stop = all.stop.clone();
        if !stop.contains(&self.narrator.tokens.eos) {
            stop.push(self.narrator.tokens.eos);
        }
        GenerateOptions {
            stop,
            row_streams: Some(chunk.iter().map(stream).collect()),
            prompt_ids: all.prompt_ids.as_ref().map(ids),
            ..all.clone()
        }
    }

    /// One batch of narratives.
    fn chunk(
        &self,
        rows: &[&Sequence],
        options: &GenerateOptions,
        on_piece: &mut dyn FnMut(usize, &str) -> ControlFlow<()>,
    ) -> Result<Vec<Narrative>> {
        let tokenizer = &self.narrator.tokenizer;
        let mut streams: Vec<TextStream<'_>> = rows.iter().map(|_| TextStream::new(tokenizer, &[])).collect();
        let mut texts: Vec<Pieces> = rows.iter().map(|_| Pieces::default()).collect();
        let mut failed = None;
        let mut on_token = |row: usize, id: i64| match streams[row].push(id) {
            Ok(text) => match texts[row].push(&text) {
                Some(piece) => on_piece(row, &piece),
                None => ControlFlow::Continue(()),
            },
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        };
        let generated = self.write(rows, options, &mut on_token)?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        let narrative = |(generated, text): (Generated, Pieces)| {
            Narrative::of(text.finish(), &generated.log_probabilities, generated.ending)
        };
        Ok(generated.into_iter().zip(texts).map(narrative).collect())
    }

    /// The ids of one batch of narratives.
    fn write(
        &self,
        rows: &[&Sequence],
        options: &GenerateOptions,
        on_token: &mut dyn FnMut(usize, i64) -> ControlFlow<()>,
    ) -> Result<Vec<Generated>> {
        let (narrator, writer) = (self.narrator, &self.writer);
        let (first, of) = shared(rows);
        // Words are copied from a whole prompt.
        if narrator.copying.is_none() && first.len() < rows.len() {
            let beginnings: Vec<Sequence> = first.iter().map(|row| rows[*row].beginning()).collect();
            let batch = narrator.batch(&beginnings.iter().collect::<Vec<_>>(), Padding::Left)?;
            let embeddings = narrator.embeddings(&batch, self.withheld)?;
            let prefix = writer.read_prefix(&embeddings, &batch.mask)?;
            let asks: Vec<Sequence> = rows.iter().map(|row| row.asking()).collect();
            let asks = narrator.batch(&asks.iter().collect::<Vec<_>>(), Padding::Left)?;
            let asked = narrator.decoder.embed(&asks.ids)?;
            return Ok(writer.after(&prefix, &of).generate_with(&asked, &asks.mask, options, on_token)?);
        }
        let batch = narrator.batch(rows, Padding::Left)?;
        let embeddings = narrator.embeddings(&batch, self.withheld)?;
        let Some(head) = &narrator.copying else {
            return Ok(writer.generate_with(&embeddings, &batch.mask, options, on_token)?);
        };
        let mut copying = Copying::new(head, &batch);
        Ok(writer.generate_scored(&embeddings, &batch.mask, options, &mut copying, on_token)?)
    }
}

/// Refuses a list that has not one entry for each request.
fn per_request(what: &'static str, length: Option<usize>, requests: usize) -> Result<()> {
    match length {
        Some(length) if length != requests => {
            let got = format!("{length} for {requests} requests");
            Err(Error::Lm(regen_lm::Error::Argument { what, expected: "one entry per request", got }))
        }
        _ => Ok(()),
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
