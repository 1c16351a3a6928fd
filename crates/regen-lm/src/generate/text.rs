//! From prompts to text: ids become pieces of text while they are written, and strings end them.

use std::ops::ControlFlow;

use super::beam::{BeamOptions, HypothesisText};
use super::decode::NextToken;
use super::ending::Ending;
use super::options::GenerateOptions;
use super::stream::TextStream;
use super::writer::Writer;
use crate::error::Result;
use crate::injection::DecoderInputs;
use crate::mask::PaddingMask;
use crate::tokenizer::TextTokenizer;

/// One text that was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The text, up to the string that ended it.
    pub text: String,
    /// The ids, with those of the string that ended it.
    pub ids: Vec<i64>,
    /// The log-probability of each id under the model's own distribution.
    pub log_probabilities: Vec<f32>,
    /// Why it ended.
    pub ending: Ending,
}

impl Writer<'_> {
    /// As [`generate_with`](Self::generate_with), as text: `on_piece(row, piece)` sees whole characters as soon as they are
    /// certain, and ends the row by breaking. A row ends before the first of the `stop` strings that it writes, wherever tokens
    /// break; its pieces add up to its text.
    ///
    /// # Errors
    /// As [`generate_with`](Self::generate_with), and [`Error::Tokenizer`](crate::Error::Tokenizer).
    pub fn generate_text<'b>(
        &self,
        tokenizer: &TextTokenizer,
        prompts: impl Into<DecoderInputs<'b>>,
        mask: &PaddingMask,
        options: &GenerateOptions,
        stop: &[&str],
        mut on_piece: impl FnMut(usize, &str) -> ControlFlow<()>,
    ) -> Result<Vec<Written>> {
        let rows = mask.batch() as usize;
        let mut streams: Vec<TextStream<'_>> = (0..rows).map(|_| TextStream::new(tokenizer, stop)).collect();
        let mut texts = vec![String::new(); rows];
        let mut failed = None;
        let generated = self.generate_with(prompts, mask, options, |row, id| {
            let piece = match streams[row].push(id) {
                Ok(piece) => piece,
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            };
            texts[row] += &piece;
            let told = if piece.is_empty() { ControlFlow::Continue(()) } else { on_piece(row, &piece) };
            if streams[row].stopped() { ControlFlow::Break(()) } else { told }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        let all = generated.into_iter().zip(texts).zip(streams).enumerate();
        Ok(all
            .map(|(row, ((generated, mut text), stream))| {
                // What ends a row at a string looks to the decoding loop like a caller who breaks off.
                let ending = stream.met().map_or(generated.ending, Ending::StopString);
                let rest = stream.finish();
                if !rest.is_empty() {
                    // Nothing is left to be ended.
                    let _ = on_piece(row, &rest);
                    text += &rest;
                }
                Written { text, ids: generated.ids, log_probabilities: generated.log_probabilities, ending }
            })
            .collect())
    }

    /// As [`beam_search`](Self::beam_search), as text. A text ends before the first of the `stop` strings that it writes, wherever
    /// tokens break, as with [`generate_text`](Self::generate_text), and is compared as one that a stop id ended: by all its tokens,
    /// those of the string included.
    ///
    /// # Errors
    /// As [`beam_search`](Self::beam_search), and [`Error::Tokenizer`](crate::Error::Tokenizer).
    #[expect(clippy::too_many_arguments, reason = "those of `beam_search`, and how its ids become text")]
    pub fn beam_search_text<'b>(
        &self,
        tokenizer: &TextTokenizer,
        prompts: impl Into<DecoderInputs<'b>>,
        mask: &PaddingMask,
        options: &GenerateOptions,
        beam: &BeamOptions,
        stop: &[&str],
        next_token: Option<&mut dyn NextToken>,
    ) -> Result<Vec<Vec<HypothesisText>>> {
        let stream = TextStream::new(tokenizer, stop);
        self.run(options).beams(&self.prompt(prompts.into(), mask), beam, Some(&stream), next_token)
    }
}
