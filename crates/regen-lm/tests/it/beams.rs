//! Beam search finds what transformers finds, in either memory, and says how probable it is.

use std::ops::ControlFlow;

use regen_lm::generate::NextToken;
use regen_lm::{
    BeamEnd, BeamOptions, Decoder, Ending, Error, GenerateOptions, Hypothesis, PaddingMask, Sampling, Writer,
    generate,
};
use regen_torch::Checkpoint;
use serde_json::Value;
use tch::Tensor;

use crate::support::{golden, ids, load, random_model, small_config, stored};

pub(crate) fn integers(value: &Value) -> Vec<i64> {
    value.as_array().unwrap().iter().map(|id| id.as_i64().unwrap()).collect()
}

pub(crate) fn options(case: &Value) -> (GenerateOptions, BeamOptions) {
    let beams = case["num_beams"].as_u64().unwrap() as usize;
    let end = match &case["early_stopping"] {
        Value::Bool(true) => BeamEnd::Full,
        Value::Bool(false) => BeamEnd::NoBetterNow,
        _ => BeamEnd::NeverBetter,
    };
    let options = GenerateOptions {
        max_new_tokens: 10,
        stop: integers(&case["stop"]),
        repetition_penalty: case["repetition_penalty"].as_f64().unwrap_or(1.0),
        no_repeat_ngram: case["no_repeat_ngram_size"].as_u64().unwrap_or(0) as usize,
        ..GenerateOptions::default()
    };
    let length_penalty = case["length_penalty"].as_f64().unwrap();
    (options, BeamOptions { beams, keep: beams, length_penalty, end })
}

#[test]
fn beams_of_every_setting_are_those_of_the_reference() {
    let text = std::fs::read_to_string(golden("beams/expected.json")).unwrap();
    let cases: Value = serde_json::from_str(&text).unwrap();
    for case in cases.as_array().unwrap() {
        let family = case["family"].as_str().unwrap();
        let dir = golden("families").join(family);
        let decoder = load(&dir);
        let file = Checkpoint::open(&dir.join("golden.safetensors")).unwrap();
        let embeds = decoder.embed(&stored(&file, "ids")).unwrap();
        let left = PaddingMask::from_tensor(&stored(&file, "left_mask")).unwrap();
        let mask = if case["padded"] == true { left } else { PaddingMask::full(3, 7) };
        let (options, beam) = options(case);
        let named = format!("{family} {beam:?}");
        for writer in [Writer::plain(&decoder), Writer::new(&decoder).unwrap()] {
            let found = writer.beam_search(&embeds, &mask, &options, &beam, None).unwrap();
            for (row, (found, expected)) in found.iter().zip(case["rows"].as_array().unwrap()).enumerate() {
                let expected = expected.as_array().unwrap();
                assert_eq!(found.len(), expected.len(), "{named} row {row}");
                for (text, expected) in found.iter().zip(expected) {
                    assert_eq!(text.ids, integers(&expected["ids"]), "{named} row {row}");
                    assert_eq!(
                        text.ending != Ending::Length,
                        expected["stopped"].as_bool().unwrap(),
                        "{named} row {row}"
                    );
                    let Some(score) = expected["score"].as_f64() else { continue };
                    assert!((text.score - score).abs() < 1e-4, "{named} row {row}: {} {score}", text.score);
                }
            }
        }
    }
}

fn search(decoder: &Decoder, lengths: &[i64], stop: &[i64], beam: &BeamOptions) -> Vec<Vec<Hypothesis>> {
    let seq = *lengths.iter().max().unwrap();
    let embeds = decoder.embed(&ids(lengths.len() as i64, seq, decoder.config().vocab())).unwrap();
    let mask = PaddingMask::left(lengths, seq).unwrap();
    let options = GenerateOptions { max_new_tokens: 8, stop: stop.to_vec(), ..GenerateOptions::default() };
    Writer::plain(decoder).beam_search(&embeds, &mask, &options, beam, None).unwrap()
}

#[test]
fn log_probabilities_of_beams_are_those_of_the_full_forward() {
    let (_vs, decoder) = random_model(&small_config(), 31);
    let beam = BeamOptions { keep: 3, ..BeamOptions::best_of(4) };
    let found = &search(&decoder, &[4], &[], &beam)[0];
    assert_eq!(found.len(), 3);
    for text in found {
        let written = Tensor::from_slice(&text.ids).unsqueeze(0);
        let all = decoder.embed(&Tensor::cat(&[&ids(1, 4, 53), &written], 1)).unwrap();
        let hidden = decoder.forward(&all, &PaddingMask::full(1, 12), None).unwrap();
        let logs = decoder.logits(&hidden).unwrap().log_softmax(-1, tch::Kind::Float);
        let mut sum = 0.0;
        for (step, (id, log)) in text.ids.iter().zip(&text.log_probabilities).enumerate() {
            let expected = logs.double_value(&[0, 3 + step as i64, *id]);
            assert!((f64::from(*log) - expected).abs() < 1e-4, "step {step}: {log} {expected}");
            sum += expected;
        }
        assert!((text.score - sum / 8.0).abs() < 1e-4, "{} {}", text.score, sum / 8.0);
    }
    assert!(found[0].score >= found[1].score && found[1].score >= found[2].score);
}

#[test]
fn a_row_finds_alone_what_it_finds_in_a_batch() {
    let (_vs, decoder) = random_model(&small_config(), 32);
    let stop: Vec<i64> = (0..53).step_by(5).collect();
    let beam = BeamOptions { keep: 2, end: BeamEnd::Full, ..BeamOptions::best_of(2) };
    let lengths = [6, 2, 5, 3];
    let together = search(&decoder, &lengths, &stop, &beam);
    let embeds = decoder.embed(&ids(4, 6, 53)).unwrap();
    let options = GenerateOptions { max_new_tokens: 8, stop, ..GenerateOptions::default() };
    for (row, &length) in lengths.iter().enumerate() {
        let part = embeds.narrow(0, row as i64, 1).narrow(1, 6 - length, length);
        let mask = PaddingMask::full(1, length);
        let alone = Writer::plain(&decoder).beam_search(&part, &mask, &options, &beam, None).unwrap();
        let of = |found: &[Hypothesis]| found.iter().map(|text| text.ids.clone()).collect::<Vec<_>>();
        assert_eq!(of(&alone[0]), of(&together[row]), "row {row}");
    }
    let steps: std::collections::HashSet<usize> =
        together.iter().map(|found| found.iter().map(|text| text.ids.len()).max().unwrap()).collect();
    assert!(steps.len() > 1, "rows must leave at different steps for this test to say anything: {steps:?}");
}

#[test]
fn one_beam_is_greedy_and_more_find_no_less() {
    for seed in 33..38 {
        let (_vs, decoder) = random_model(&small_config(), seed);
        let greedy = {
            let embeds = decoder.embed(&ids(2, 5, 53)).unwrap();
            let options = GenerateOptions { max_new_tokens: 8, ..GenerateOptions::default() };
            generate(&decoder, &embeds, &PaddingMask::full(2, 5), &options).unwrap()
        };
        let one = search(&decoder, &[5, 5], &[], &BeamOptions::best_of(1));
        assert_eq!(one.iter().map(|found| found[0].ids.clone()).collect::<Vec<_>>(), greedy);
        // With as many beams as continuations nothing is cut off in the second step.
        let two = search(&decoder, &[5, 5], &[], &BeamOptions::best_of(26));
        assert!(two[0][0].score >= one[0][0].score - 1e-6);
    }
}

/// Forbids an id from the second token on, and counts what it is told.
struct Without {
    id: i64,
    told: usize,
    rows: usize,
}

impl NextToken for Without {
    fn prompt(&mut self, hidden: &Tensor) -> regen_lm::Result<()> {
        self.rows = hidden.size()[0] as usize;
        Ok(())
    }

    fn chosen(&mut self, rows: &[usize], ids: &[i64]) -> regen_lm::Result<()> {
        assert_eq!(rows.len(), ids.len());
        assert!(rows.iter().all(|row| *row < self.rows), "{rows:?} of {}", self.rows);
        (self.rows, self.told) = (rows.len(), self.told + 1);
        Ok(())
    }

    fn scores(&mut self, hidden: &Tensor, logits: Tensor) -> regen_lm::Result<Tensor> {
        assert_eq!(hidden.size()[0] as usize, self.rows);
        let _ = logits.narrow(2, self.id, 1).fill_(-1e9);
        Ok(logits)
    }
}

#[test]
fn another_distribution_can_be_mixed_into_beams() {
    let (_vs, decoder) = random_model(&small_config(), 39);
    let beam = BeamOptions { keep: 3, ..BeamOptions::best_of(3) };
    let free = search(&decoder, &[5, 3], &[], &beam);
    let id = free[0][0].ids[2];
    let embeds = decoder.embed(&ids(2, 5, 53)).unwrap();
    let mask = PaddingMask::left(&[5, 3], 5).unwrap();
    let options = GenerateOptions { max_new_tokens: 8, ..GenerateOptions::default() };
    let mut without = Without { id, told: 0, rows: 0 };
    let writer = Writer::plain(&decoder);
    let found = writer.beam_search(&embeds, &mask, &options, &beam, Some(&mut without)).unwrap();
    assert_eq!(without.told, 7, "after every token but the last");
    assert!(found.iter().flatten().all(|text| !text.ids.contains(&id)));
}

/// Gives every token but the last this score.
struct AllBut(f64, bool);

impl NextToken for AllBut {
    fn prompt(&mut self, _: &Tensor) -> regen_lm::Result<()> {
        Ok(())
    }

    fn chosen(&mut self, _: &[usize], _: &[i64]) -> regen_lm::Result<()> {
        Ok(())
    }

    fn scores(&mut self, _: &Tensor, logits: Tensor) -> regen_lm::Result<Tensor> {
        let last = if self.1 { 0 } else { 1 };
        let _ = logits.narrow(2, 0, logits.size()[2] - last).fill_(self.0);
        Ok(logits)
    }
}

#[test]
fn another_distribution_may_rule_out_tokens_but_not_all() {
    let (_vs, decoder) = random_model(&small_config(), 41);
    let embeds = decoder.embed(&ids(2, 4, 53)).unwrap();
    let mask = PaddingMask::full(2, 4);
    let options = GenerateOptions { max_new_tokens: 3, ..GenerateOptions::default() };
    for writer in [Writer::plain(&decoder), Writer::new(&decoder).unwrap()] {
        let write = |mut scores: AllBut| {
            writer.generate_scored(&embeds, &mask, &options, &mut scores, |_, _| ControlFlow::Continue(()))
        };
        let written = write(AllBut(f64::NEG_INFINITY, false)).unwrap();
        assert!(written.iter().all(|row| row.ids == [52; 3]), "{written:?}");
        for scores in [AllBut(f64::NEG_INFINITY, true), AllBut(f64::NAN, false), AllBut(f64::INFINITY, false)]
        {
            let result = write(scores);
            assert!(matches!(result, Err(Error::NonFiniteScores { row: 0 })), "{result:?}");
        }
    }
}

#[test]
fn searches_that_make_no_sense_are_refused() {
    let (_vs, decoder) = random_model(&small_config(), 40);
    let embeds = decoder.embed(&ids(1, 4, 53)).unwrap();
    let mask = PaddingMask::full(1, 4);
    let plain = GenerateOptions { max_new_tokens: 3, ..GenerateOptions::default() };
    let drawn = GenerateOptions {
        sampling: Sampling::Sample { temperature: 1.0, top_k: None, top_p: None, min_p: None },
        ..plain.clone()
    };
    let two = BeamOptions::best_of(2);
    for (options, beam, named) in [
        (&plain, BeamOptions::best_of(0), "beams"),
        (&plain, BeamOptions { keep: 3, ..two }, "texts to keep"),
        (&plain, BeamOptions { keep: 0, ..two }, "texts to keep"),
        (&plain, BeamOptions { length_penalty: f64::NAN, ..two }, "length penalty"),
        (&drawn, two, "sampling"),
        (&plain, BeamOptions::best_of(27), "beams"),
    ] {
        let result = Writer::plain(&decoder).beam_search(&embeds, &mask, options, &beam, None);
        assert!(matches!(result, Err(Error::Argument { what, .. }) if what == named), "{named}: {result:?}");
    }
    let none = GenerateOptions { max_new_tokens: 0, ..plain };
    let found = Writer::plain(&decoder).beam_search(&embeds, &mask, &none, &two, None).unwrap();
    assert!(found[0][0].ids.is_empty());
}
