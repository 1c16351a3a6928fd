//! Ids to text while they are written: valid UTF-8 pieces, and an end at strings rather than ids.

use std::sync::Arc;

use tokenizers::tokenizer::step_decode_stream;

use crate::error::{Error, Result};
use crate::tokenizer::TextTokenizer;

/// Turns the ids of one row into text piece by piece.
///
/// A character whose bytes are spread over several tokens comes out whole. Text that may be the beginning of
/// a stop string is held back until the next ids decide.
///
/// ```
/// use regen_lm::generate::TextStream;
/// let tokenizer = regen_lm::train_bpe(["one two"].into_iter(), 300, &[])?;
/// let mut stream = TextStream::new(&tokenizer, &["\n\n"]);
/// let mut text = String::new();
/// for id in tokenizer.encode("é\n…\n\nmore")? {
///     text += &stream.push(id)?;
///     if stream.stopped() {
///         break;
///     }
/// }
/// text += &stream.finish();
/// assert_eq!(text, "é\n…");
/// # Ok::<(), regen_lm::Error>(())
/// ```
#[derive(Clone)]
pub struct TextStream<'a> {
    tokenizer: &'a TextTokenizer,
    steps: Steps,
    /// With their places among those given.
    stop: Arc<[(usize, String)]>,
    held: String,
    met: Option<usize>,
}

/// Ids whose text is not certain yet, as the tokenizers package wants them kept: unlike its own stream, they can be copied where a
/// text goes on in several ways.
#[derive(Clone, Default)]
struct Steps {
    ids: Vec<u32>,
    prefix: String,
    prefix_index: usize,
}

impl std::fmt::Debug for TextStream<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextStream")
            .field("stop", &self.stop)
            .field("held", &self.held)
            .field("met", &self.met)
            .finish_non_exhaustive()
    }
}

impl<'a> TextStream<'a> {
    /// A stream for one row; empty stop strings are passed over.
    pub fn new(tokenizer: &'a TextTokenizer, stop: &[&str]) -> Self {
        Self {
            tokenizer,
            steps: Steps::default(),
            stop: stop
                .iter()
                .enumerate()
                .filter(|(_, text)| !text.is_empty())
                .map(|(place, text)| (place, (*text).to_owned()))
                .collect(),
            held: String::new(),
            met: None,
        }
    }

    /// Takes the next id; returns the text that is certain by now, which may be empty. After a stop string
    /// nothing more comes out.
    ///
    /// # Errors
    /// [`Error::IdOutOfRange`], [`Error::Tokenizer`].
    pub fn push(&mut self, id: i64) -> Result<String> {
        if self.stopped() {
            return Ok(String::new());
        }
        let narrow =
            u32::try_from(id).map_err(|_| Error::IdOutOfRange { id, vocab: self.tokenizer.vocab_size() })?;
        let Steps { ids, prefix, prefix_index } = &mut self.steps;
        let piece =
            step_decode_stream(&**self.tokenizer.inner(), vec![narrow], true, ids, prefix, prefix_index)
                .map_err(|source| Error::Tokenizer { action: "decoding a piece", source })?;
        self.held.push_str(&piece.unwrap_or_default());
        let ends =
            self.stop.iter().filter_map(|(place, stop)| Some((self.held.find(stop.as_str())?, *place)));
        if let Some((end, place)) = ends.min() {
            self.met = Some(place);
            self.held.truncate(end);
            return Ok(std::mem::take(&mut self.held));
        }
        let certain = self.held.len() - self.undecided();
        let rest = self.held.split_off(certain);
        Ok(std::mem::replace(&mut self.held, rest))
    }

    /// Bytes at the end that may yet become a stop string.
    fn undecided(&self) -> usize {
        let starts = self.held.char_indices().map(|(at, _)| at);
        starts
            .filter(|at| self.stop.iter().any(|(_, stop)| stop.starts_with(&self.held[*at..])))
            .map(|at| self.held.len() - at)
            .max()
            .unwrap_or(0)
    }

    /// Whether a stop string was met.
    pub fn stopped(&self) -> bool {
        self.met.is_some()
    }

    /// The stop string that was met, by its place among those given; of several that begin together, the first given.
    pub fn met(&self) -> Option<usize> {
        self.met
    }

    /// What was held back for a stop string that never came.
    pub fn finish(self) -> String {
        self.held
    }
}
