//! How texts are batched changes nothing but rounding.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;

use regen_semantic::{EncodeOptions, Error, Padding, SentenceEncoder};
use regen_torch::Placement;

use crate::support::{difference, encode, family, golden, texts};

/// Every folder of golden vectors.
const ALL: [&str; 13] = [
    "bert",
    "bert_dense",
    "bert_prompt",
    "distilbert",
    "gemma3",
    "gemma3_causal",
    "modernbert",
    "modernbert_biased",
    "mpnet",
    "nomic_bert",
    "qwen3",
    "roberta",
    "xlm_roberta",
];

fn close(a: &[Vec<f32>], b: &[Vec<f32>]) {
    assert_eq!(a.len(), b.len());
    for (row, (a, b)) in a.iter().zip(b).enumerate() {
        assert!(difference(a, b) <= 1e-6, "row {row}: {}", difference(a, b));
    }
}

#[test]
fn a_batch_gives_what_each_text_gives_alone() {
    for name in ALL {
        let encoder = family(name);
        let alone: Vec<Vec<f32>> =
            texts().iter().flat_map(|text| encode(&encoder, &[text], &EncodeOptions::default())).collect();
        close(&encode(&encoder, &texts(), &EncodeOptions::default()), &alone);
    }
}

#[test]
fn padding_changes_no_vector() {
    for name in ALL {
        let encoder = family(name);
        let with = |padding| EncodeOptions { padding: Some(padding), ..EncodeOptions::default() };
        let padded = encode(&encoder, &texts(), &with(Padding::ToLongest));
        close(&encode(&encoder, &texts(), &with(Padding::Avoid)), &padded);
    }
}

#[test]
fn the_order_of_the_texts_is_the_order_of_the_vectors() {
    let encoder = family("bert");
    let options = EncodeOptions { batch_texts: 2, ..EncodeOptions::default() };
    let forward = encode(&encoder, &texts(), &options);
    let reversed: Vec<String> = texts().into_iter().rev().collect();
    let mut backward = encode(&encoder, &reversed, &options);
    backward.reverse();
    close(&forward, &backward);
}

#[test]
fn workers_change_no_vector_and_leave_the_thread_count_alone() {
    let encoder = family("distilbert");
    let before = tch::get_num_threads();
    let with = |workers| EncodeOptions {
        batch_texts: 1,
        workers: NonZeroUsize::new(workers),
        ..EncodeOptions::default()
    };
    close(&encode(&encoder, &texts(), &with(3)), &encode(&encoder, &texts(), &with(1)));
    assert_eq!(tch::get_num_threads(), before);
}

#[test]
fn threads_that_share_an_encoder_get_the_vectors_of_one() {
    let plain = SentenceEncoder::load_plain(&golden("families/bert_dense"), Placement::cpu()).unwrap();
    for encoder in [family("bert_dense"), plain] {
        let options =
            EncodeOptions { batch_texts: 3, workers: NonZeroUsize::new(1), ..EncodeOptions::default() };
        let tokens = |encoder: &SentenceEncoder| encoder.token_vectors(&texts(), 1, &options).unwrap();
        let alone = (encode(&encoder, &texts(), &options), tokens(&encoder));
        let encoder = std::sync::Arc::new(encoder);
        let shared: Vec<_> = (0..4)
            .map(|_| {
                let (encoder, options) = (encoder.clone(), options.clone());
                std::thread::spawn(move || encode(&encoder, &texts(), &options))
            })
            .collect();
        assert_eq!(tokens(&encoder), alone.1);
        for vectors in shared {
            assert_eq!(vectors.join().unwrap(), alone.0);
        }
    }
}

#[test]
fn a_thread_that_encodes_while_another_has_workers_keeps_its_number_of_libtorchs_threads() {
    // Whatever the environment says: were it one, nothing could be lost.
    tch::set_num_threads(2);
    let encoder = family("bert");
    let with = |workers| EncodeOptions {
        batch_texts: 1,
        workers: NonZeroUsize::new(workers),
        ..EncodeOptions::default()
    };
    let (done, all) = (std::sync::atomic::AtomicBool::new(false), texts());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                encode(&encoder, &all, &with(3));
            }
        });
        let asked = (0..100).map(|_| {
            let new = scope.spawn(|| {
                encode(&encoder, &all[..1], &with(1));
                tch::get_num_threads()
            });
            new.join()
        });
        let numbers: Vec<_> = asked.collect();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        let numbers: Vec<i32> = numbers.into_iter().map(Result::unwrap).collect();
        assert_eq!(numbers, vec![2; 100]);
    });
}

#[test]
fn no_texts_give_no_vectors_of_the_right_width() {
    let vectors = family("bert_dense").encode::<&str>(&[], &EncodeOptions::default()).unwrap();
    assert_eq!(vectors.size(), [0, 6]);
}

#[test]
fn normalising_on_request_gives_unit_length() {
    let options = EncodeOptions { normalize: true, ..EncodeOptions::default() };
    for vector in encode(&family("distilbert"), &texts(), &options) {
        let norm: f32 = vector.iter().map(|x| x * x).sum();
        assert!((norm - 1.0).abs() < 1e-5);
    }
}

#[test]
fn the_caller_can_stop_after_a_batch() {
    let encoder = family("bert");
    for workers in [1, 2] {
        let mut calls = Vec::new();
        let options =
            EncodeOptions { batch_texts: 2, workers: NonZeroUsize::new(workers), ..EncodeOptions::default() };
        let stopped = encoder.encode_with(&texts(), &options, &mut |done, total| {
            calls.push((done, total));
            if calls.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let total = texts().len();
        assert!(
            matches!(stopped, Err(Error::Stopped { done, total: all }) if done == calls[1].0 && all == total)
        );
        assert_eq!(calls.len(), 2);
        assert!(calls[1].0 < total);
    }
}
