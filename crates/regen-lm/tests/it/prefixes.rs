//! Beginnings that are read once and continued several times.

use std::ops::ControlFlow;

use regen_lm::{Error, GenerateOptions, PaddingMask, Sampling, Writer};
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

#[test]
fn prompts_after_a_prefix_are_continued_as_whole_prompts() {
    for family in ["llama3", "gemma3", "gpt2", "mistral"] {
        let decoder = load(&golden("families").join(family));
        let beginnings = decoder.embed(&ids(2, 6, 61)).unwrap();
        let before = PaddingMask::left(&[6, 4], 6).unwrap();
        let ends = decoder.embed(&(ids(3, 4, 61) + 5).remainder(61)).unwrap();
        let after = PaddingMask::left(&[4, 2, 3], 4).unwrap();
        // Two kinds of narrative for the first user, one for the second.
        let rows = [0usize, 0, 1];
        let whole = Tensor::cat(&[&beginnings.index_select(0, &Tensor::from_slice(&[0i64, 0, 1])), &ends], 1);
        let mask = {
            let before = before.to_tensor(Device::Cpu).index_select(0, &Tensor::from_slice(&[0i64, 0, 1]));
            PaddingMask::from_tensor(&Tensor::cat(&[before, after.to_tensor(Device::Cpu)], 1)).unwrap()
        };
        for writer in [Writer::plain(&decoder), Writer::new(&decoder).unwrap()] {
            let prefix = writer.read_prefix(&beginnings, &before).unwrap();
            assert_eq!((prefix.rows(), prefix.real_tokens(0), prefix.real_tokens(1)), (2, 6, 4));
            let expected = writer.generate_with(&whole, &mask, &sampled(3), go_on).unwrap();
            // Twice: what is written after a prefix does not change it.
            for _ in 0..2 {
                let written =
                    writer.generate_after(&prefix, &rows, &ends, &after, &sampled(3), go_on).unwrap();
                for (written, expected) in written.iter().zip(&expected) {
                    assert_eq!(
                        (&written.ids, written.stopped),
                        (&expected.ids, expected.stopped),
                        "{family}"
                    );
                    for (a, b) in written.log_probabilities.iter().zip(&expected.log_probabilities) {
                        assert!((a - b).abs() < 1e-4, "{family}: {a} {b}");
                    }
                }
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
        writer.generate_after(&prefix, rows, &ends, mask, &options, go_on)
    };
    assert!(run(&[1, 0], &mask, 9).is_ok());
    assert!(matches!(run(&[1, 0], &mask, 10), Err(Error::TooLong { tokens: 41, max_positions: 40 })));
    assert!(matches!(run(&[1], &mask, 2), Err(Error::Argument { what: "rows of the prefix", .. })));
    assert!(matches!(run(&[1, 2], &mask, 2), Err(Error::Argument { what: "row of the prefix", .. })));
    let empty = PaddingMask::left(&[2, 0], 2).unwrap();
    assert!(matches!(run(&[1, 0], &empty, 2), Err(Error::EmptyPrompt { row: 1 })));
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
        let error = writer.generate_after(&prefix, &[0], &embeds, &mask, &sampled(1), go_on).unwrap_err();
        assert!(matches!(error, Error::Argument { what: "prefix", .. }), "{error}");
    }
}
