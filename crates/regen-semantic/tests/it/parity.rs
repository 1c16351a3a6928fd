//! Equal to the reference: a tiny random model for every pooling.

use std::fs;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use regen_semantic::{EncodeOptions, Error, Padding, SentenceEncoder};
use regen_torch::{Placement, tensor_to_vec_f32};
use serde_json::Value;
use tempfile::TempDir;

fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(path)
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn rows(value: &Value) -> Vec<Vec<f64>> {
    let row = |row: &Value| row.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    value.as_array().unwrap().iter().map(row).collect()
}

/// A copy of the tiny folder that a test may change.
fn tiny() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (golden("tiny_bert/model"), dir.path().join("model"));
    fs::create_dir_all(to.join("1_Pooling")).unwrap();
    for file in fs::read_dir(&from).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_file() {
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
    fs::copy(from.join("1_Pooling/config.json"), to.join("1_Pooling/config.json")).unwrap();
    (dir, to)
}

fn check(folder: &Path, texts: &[String], expected: &[Vec<f64>], tolerance: f64) {
    let encoder = SentenceEncoder::load(folder, Placement::cpu()).unwrap();
    for batch_texts in [1, 3, 64] {
        let options = EncodeOptions { batch_texts, ..EncodeOptions::default() };
        let got = tensor_to_vec_f32(&encoder.encode(texts, &options).unwrap()).unwrap();
        for ((text, expected), got) in texts.iter().zip(expected).zip(got.chunks(encoder.dim() as usize)) {
            for (expected, got) in expected.iter().zip(got) {
                let difference = (expected - f64::from(*got)).abs();
                assert!(difference <= tolerance, "{text:?}: {difference}");
            }
        }
    }
}

#[test]
fn token_vectors_are_those_that_the_sentence_vector_is_made_of_whatever_the_batch() {
    let encoder = SentenceEncoder::load(&golden("tiny_bert/model"), Placement::cpu()).unwrap();
    let layers = encoder.config().layers as usize;
    let all = ["a red pen", "", "pen", "a much longer text about a red pen and some paper", "red pen a"];
    let options = EncodeOptions { batch_texts: 3, ..EncodeOptions::default() };
    let single = EncodeOptions { batch_texts: 1, ..EncodeOptions::default() };
    let padded = EncodeOptions { padding: Some(Padding::ToLongest), ..EncodeOptions::default() };
    for layer in 0..=layers {
        let together = encoder.token_vectors(&all, layer, &options).unwrap();
        for other in [&single, &padded] {
            for (one, other) in together.iter().zip(encoder.token_vectors(&all, layer, other).unwrap()) {
                assert_eq!((&one.ids, &one.special), (&other.ids, &other.special));
                let pairs = one.vectors.iter().zip(&other.vectors);
                assert!(
                    pairs.clone().count() == one.vectors.len()
                        && pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-5)
                );
            }
        }
        // A start and an end stand around every text, and around nothing.
        assert!(together.iter().all(|text| text.special.iter().filter(|special| **special).count() == 2));
        assert_eq!(together[1].special, [true, true]);
        let changed = encoder.token_vectors(&["blue"], layer, &options).unwrap();
        assert_ne!(changed[0].vectors, together[2].vectors);
    }
    let words = encoder.token_vectors(&all[..1], 0, &options).unwrap();
    let last = encoder.token_vectors(&all[..1], layers, &options).unwrap();
    assert_ne!(words, last);
    // Of this folder: the mean of the last layer's tokens, scaled to unit length.
    let width = last[0].vectors.len() / last[0].ids.len();
    let mut mean = vec![0.0; width];
    last[0].vectors.chunks(width).for_each(|token| mean.iter_mut().zip(token).for_each(|(sum, v)| *sum += v));
    let norm = mean.iter().map(|v| v * v).sum::<f32>().sqrt();
    let sentence = tensor_to_vec_f32(&encoder.encode(&all[..1], &options).unwrap()).unwrap();
    assert!(mean.iter().zip(&sentence).all(|(sum, sentence)| (sum / norm - sentence).abs() < 1e-5));
    let error = encoder.token_vectors(&all, layers + 1, &options).unwrap_err();
    assert!(matches!(error, Error::UnknownLayer { .. }), "{error}");
}

#[test]
fn a_folder_gives_the_vectors_of_the_reference_whatever_the_batch() {
    let expected = json(&golden("tiny_bert/expected.json"));
    let texts = texts(&expected["texts"]);
    check(&golden("tiny_bert/model"), &texts, &rows(&expected["folder"]), 1e-5);
}

#[test]
fn every_pooling_in_either_spelling_equals_the_reference() {
    let expected = json(&golden("tiny_bert/expected.json"));
    let texts = texts(&expected["texts"]);
    let flags = [
        ("cls", "pooling_mode_cls_token"),
        ("mean", "pooling_mode_mean_tokens"),
        ("max", "pooling_mode_max_tokens"),
        ("mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens"),
        ("weightedmean", "pooling_mode_weightedmean_tokens"),
        ("lasttoken", "pooling_mode_lasttoken"),
    ];
    for (name, flag) in flags {
        let (_dir, folder) = tiny();
        let modules = fs::read_to_string(folder.join("modules.json")).unwrap();
        let mut modules: Value = serde_json::from_str(&modules).unwrap();
        modules.as_array_mut().unwrap().truncate(2);
        fs::write(folder.join("modules.json"), modules.to_string()).unwrap();
        let pooling = folder.join("1_Pooling/config.json");
        for settings in [format!("{{\"pooling_mode\": \"{name}\"}}"), format!("{{\"{flag}\": true}}")] {
            fs::write(&pooling, settings).unwrap();
            // Components of this model reach 3, so 1e-5 is the rounding of single precision.
            check(&folder, &texts, &rows(&expected["pooling"][name]), 1e-5);
        }
    }
}

#[test]
fn no_text_gives_no_rows_and_a_caller_can_stop() {
    let encoder = SentenceEncoder::load(&golden("tiny_bert/model"), Placement::cpu()).unwrap();
    let options = EncodeOptions { batch_texts: 2, ..EncodeOptions::default() };
    assert_eq!(encoder.encode::<&str>(&[], &options).unwrap().size(), [0, 24]);
    let texts = ["a", "red", "pen", "by", "far"];
    let stopped_from = |enough: usize, workers: usize| {
        let options = EncodeOptions { workers: NonZeroUsize::new(workers), ..options.clone() };
        let mut calls = Vec::new();
        let result = encoder.encode_with(&texts, &options, &mut |done, total| {
            calls.push((done, total));
            if done >= enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        (result, calls)
    };
    let (result, calls) = stopped_from(4, 1);
    assert!(matches!(result, Err(Error::Stopped { done: 4, total: 5 })));
    assert_eq!(calls, [(2, 5), (4, 5)]);

    // Two workers may finish the last batch, of one text, before the first ones.
    let (result, calls) = stopped_from(1, 2);
    let [(done @ 1..=2, 5)] = calls[..] else { panic!("the caller was asked again: {calls:?}") };
    assert!(matches!(result, Err(Error::Stopped { done: stopped, total: 5 }) if stopped == done));
}
