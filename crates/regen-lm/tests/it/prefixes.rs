//! Beginnings that are read once and continued several times.

use std::ops::ControlFlow;

use regen_lm::generate::NextToken;
use regen_lm::{
    BeamOptions, Decoder, Ending, Error, GenerateOptions, PaddingMask, Prefix, Sampling, TextTokenizer,
    Writer,
};
use tch::{Device, Tensor};

use crate::support::{golden, ids, load, random_model, small_config};

fn sampled(rows: usize) -> GenerateOptions {
    GenerateOptions {
        max_new_tokens: 9,
        sampling: Sampling::Sample { temperature: 1.2, top_k: None, top_p: None, min_p: Some(0.02) },
        row_streams: Some((0..rows as u64).collect()),
        stop: vec![3, 11],
        ..GenerateOptions::default()
    }
}

fn go_on(_: usize, _: i64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Beginnings, what follows them, which of them each row follows, and the same as whole prompts.
struct Prompts {
    beginnings: Tensor,
    before: PaddingMask,
    ends: Tensor,
    after: PaddingMask,
    rows: [usize; 3],
    whole: Tensor,
    mask: PaddingMask,
}

impl Prompts {
    /// Two kinds of narrative for the first user, one for the second.
    fn new(decoder: &Decoder) -> Self {
        let beginnings = decoder.embed(&ids(2, 6, 61)).unwrap();
        let before = PaddingMask::left(&[6, 4], 6).unwrap();
        let ends = decoder.embed(&(ids(3, 4, 61) + 5).remainder(61)).unwrap();
        let after = PaddingMask::left(&[4, 2, 3], 4).unwrap();
        let rows = [0usize, 0, 1];
        let whole = Tensor::cat(&[&beginnings.index_select(0, &Tensor::from_slice(&[0i64, 0, 1])), &ends], 1);
        let mask = {
            let before =
                before.to_tensor(Device::Cpu).unwrap().index_select(0, &Tensor::from_slice(&[0i64, 0, 1]));
            PaddingMask::from_tensor(&Tensor::cat(&[before, after.to_tensor(Device::Cpu).unwrap()], 1))
                .unwrap()
        };
        Self { beginnings, before, ends, after, rows, whole, mask }
    }

    fn read(&self, writer: &Writer<'_>) -> Prefix {
        writer.read_prefix(&self.beginnings, &self.before).unwrap()
    }
}

#[test]
fn prompts_after_a_prefix_are_continued_as_whole_prompts() {
    for family in ["llama3", "gemma3", "gpt2", "mistral"] {
        let decoder = load(&golden("families").join(family));
        let prompts = Prompts::new(&decoder);
        let Prompts { ends, after, rows, whole, mask, .. } = &prompts;
        for writer in [Writer::plain(&decoder), Writer::new(&decoder).unwrap()] {
            let prefix = prompts.read(&writer);
            assert_eq!((prefix.rows(), prefix.real_tokens(0), prefix.real_tokens(1)), (2, 6, 4));
            let expected = writer.generate_with(whole, mask, &sampled(3), go_on).unwrap();
            // Twice: what is written after a prefix does not change it.
            for _ in 0..2 {
                let written =
                    writer.after(&prefix, rows).generate_with(ends, after, &sampled(3), go_on).unwrap();
                for (written, expected) in written.iter().zip(&expected) {
                    assert_eq!((&written.ids, written.ending), (&expected.ids, expected.ending), "{family}");
                    for (a, b) in written.log_probabilities.iter().zip(&expected.log_probabilities) {
                        assert!((a - b).abs() < 1e-4, "{family}: {a} {b}");
                    }
                }
            }
        }
    }
}

#[test]
fn beams_after_a_prefix_are_those_of_whole_prompts() {
    let tokenizer = TextTokenizer::load(&golden("beams/tokenizer.json")).unwrap();
    for family in ["llama3", "gemma3", "gpt2", "mistral"] {
        let decoder = load(&golden("families").join(family));
        let prompts = Prompts::new(&decoder);
        let Prompts { ends, after, rows, whole, mask, .. } = &prompts;
        let options = GenerateOptions { max_new_tokens: 9, stop: vec![3, 11], ..GenerateOptions::default() };
        let beam = BeamOptions { keep: 3, ..BeamOptions::best_of(4) };
        for writer in [Writer::plain(&decoder), Writer::new(&decoder).unwrap()] {
            let prefix = prompts.read(&writer);
            let late = writer.after(&prefix, rows);
            for _ in 0..2 {
                let expected = writer.beam_search(whole, mask, &options, &beam, None).unwrap();
                let found = late.beam_search(ends, after, &options, &beam, None).unwrap();
                for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
                    assert_eq!((&found.ids, found.ending), (&expected.ids, expected.ending), "{family}");
                    let (a, b) = (found.score, expected.score);
                    assert!((a - b).abs() < 1e-5, "{family}: {a} {b}");
                }
                assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [3; 3]);
            }
            // The second letter of what the best text begins with, so that it ends there.
            let free = late.beam_search_text(&tokenizer, ends, after, &options, &beam, &[], None).unwrap();
            let stop: String = free[0][0].text.chars().skip(1).take(2).collect();
            let stop = [stop.as_str()];
            let expected =
                writer.beam_search_text(&tokenizer, whole, mask, &options, &beam, &stop, None).unwrap();
            let found = late.beam_search_text(&tokenizer, ends, after, &options, &beam, &stop, None).unwrap();
            for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
                assert_eq!((&found.text, &found.hypothesis.ids), (&expected.text, &expected.hypothesis.ids));
                assert!((found.hypothesis.score - expected.hypothesis.score).abs() < 1e-5, "{family}");
            }
            assert_ne!(found, free, "{family}: the string must end something for this test to say anything");
        }
    }
}

#[test]
fn text_after_a_prefix_is_streamed_as_after_whole_prompts() {
    let tokenizer = TextTokenizer::load(&golden("beams/tokenizer.json")).unwrap();
    for family in ["llama3", "gpt2"] {
        let decoder = load(&golden("families").join(family));
        let prompts = Prompts::new(&decoder);
        let Prompts { ends, after, rows, whole, mask, .. } = &prompts;
        for writer in [Writer::plain(&decoder), Writer::new(&decoder).unwrap()] {
            let prefix = prompts.read(&writer);
            let late = writer.after(&prefix, rows);
            let run = |writer: &Writer<'_>, embeds: &Tensor, mask: &PaddingMask, stop: &[&str]| {
                let mut pieces = Vec::new();
                let told = |row: usize, piece: &str| {
                    pieces.push((row, piece.to_owned()));
                    ControlFlow::Continue(())
                };
                let written =
                    writer.generate_text(&tokenizer, embeds, mask, &sampled(3), stop, told).unwrap();
                let texts: Vec<(String, Ending)> =
                    written.into_iter().map(|row| (row.text, row.ending)).collect();
                (texts, pieces)
            };
            let free = run(&writer, whole, mask, &[]);
            assert_eq!(run(&late, ends, after, &[]), free, "{family}");
            let stop: String = free.0[0].0.chars().skip(1).take(2).collect();
            let ended = run(&late, ends, after, &[&stop]);
            assert_eq!(ended, run(&writer, whole, mask, &[&stop]), "{family}");
            assert_eq!(ended.0[0], (free.0[0].0[..1].to_owned(), Ending::StopString(0)), "{family}");
        }
    }
}

/// Likes an id more than the model does, and counts the columns of the prompts that it is shown.
struct Liking(i64);

impl NextToken for Liking {
    fn prompt(&mut self, hidden: &Tensor) -> regen_lm::Result<()> {
        self.0 = hidden.size()[1];
        Ok(())
    }

    fn chosen(&mut self, _: &[usize], _: &[i64]) -> regen_lm::Result<()> {
        Ok(())
    }

    fn scores(&mut self, _: &Tensor, logits: Tensor) -> regen_lm::Result<Tensor> {
        let _ = logits.narrow(2, 7, 1).g_add_scalar_(2.0);
        Ok(logits)
    }
}

#[test]
fn prefixes_are_lengthened_and_scores_are_mixed_in_after_them() {
    let decoder = load(&golden("families/llama3"));
    let prompts = Prompts::new(&decoder);
    let Prompts { ends, after, rows, whole, mask, .. } = &prompts;
    for writer in [Writer::plain(&decoder), Writer::new(&decoder).unwrap()] {
        let expected = writer.generate_scored(whole, mask, &sampled(3), &mut Liking(0), go_on).unwrap();
        let prefix = prompts.read(&writer);
        let mut liking = Liking(0);
        let found = writer
            .after(&prefix, rows)
            .generate_scored(ends, after, &sampled(3), &mut liking, go_on)
            .unwrap();
        assert_eq!(liking.0, 4, "the prompts without what the prefix holds");
        let longer = {
            let first = ends.narrow(1, 0, 3);
            let real =
                PaddingMask::from_tensor(&after.to_tensor(Device::Cpu).unwrap().narrow(1, 0, 3)).unwrap();
            writer.after(&prefix, rows).read_prefix(&first, &real).unwrap()
        };
        assert_eq!((0..3).map(|row| longer.real_tokens(row)).collect::<Vec<_>>(), [9, 7, 6]);
        let (last, one) = (ends.narrow(1, 3, 1), PaddingMask::full(3, 1));
        let twice = writer
            .after(&longer, &[0, 1, 2])
            .generate_scored(&last, &one, &sampled(3), &mut Liking(0), go_on)
            .unwrap();
        for found in [found, twice] {
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found.ids, expected.ids);
            }
        }
    }
}

#[test]
fn prompts_that_do_not_fit_their_prefix_are_refused() {
    let (_vs, decoder) = random_model(&small_config(), 41);
    let writer = Writer::plain(&decoder);
    let beginnings = decoder.embed(&ids(2, 30, 53)).unwrap();
    let prefix = writer.read_prefix(&beginnings, &PaddingMask::full(2, 30)).unwrap();
    let ends = decoder.embed(&ids(2, 2, 53)).unwrap();
    let mask = PaddingMask::full(2, 2);
    let run = |rows: &[usize], mask: &PaddingMask, max_new_tokens| {
        let options = GenerateOptions { max_new_tokens, ..GenerateOptions::default() };
        writer.after(&prefix, rows).generate_with(&ends, mask, &options, go_on)
    };
    assert!(run(&[1, 0], &mask, 9).is_ok());
    assert!(matches!(run(&[1, 0], &mask, 10), Err(Error::TooLong { tokens: 41, max_positions: 40 })));
    assert!(matches!(run(&[1], &mask, 2), Err(Error::Argument { what: "rows of the prefix", .. })));
    assert!(matches!(run(&[1, 2], &mask, 2), Err(Error::Argument { what: "row of the prefix", .. })));
    let empty = PaddingMask::left(&[2, 0], 2).unwrap();
    assert!(matches!(run(&[1, 0], &empty, 2), Err(Error::EmptyPrompt { row: 1 })));
    for writer in [Writer::plain(&decoder), Writer::new(&decoder).unwrap()] {
        let prefix = writer.read_prefix(&beginnings, &PaddingMask::full(2, 30)).unwrap();
        let long = writer
            .after(&prefix, &[0, 1])
            .read_prefix(&decoder.embed(&ids(2, 11, 53)).unwrap(), &PaddingMask::full(2, 11));
        assert!(matches!(long, Err(Error::TooLong { tokens: 41, max_positions: 40 })), "{long:?}");
        let none = writer.after(&prefix, &[0, 2]).read_prefix(&ends, &mask);
        assert!(matches!(none, Err(Error::Argument { what: "row of the prefix", .. })), "{none:?}");
    }
}

#[test]
fn a_prefix_of_another_kind_of_writer_is_refused() {
    let (_vs, decoder) = random_model(&small_config(), 21);
    let (plain, packed) = (Writer::plain(&decoder), Writer::new(&decoder).unwrap());
    if !packed.is_packed() {
        return;
    }
    let embeds = decoder.embed(&ids(1, 3, 53)).unwrap();
    let mask = PaddingMask::full(1, 3);
    for (reader, writer) in [(&plain, &packed), (&packed, &plain)] {
        let prefix = reader.read_prefix(&embeds, &mask).unwrap();
        let error =
            writer.after(&prefix, &[0]).generate_with(&embeds, &mask, &sampled(1), go_on).unwrap_err();
        assert!(matches!(error, Error::Argument { what: "prefix", .. }), "{error}");
    }
}
