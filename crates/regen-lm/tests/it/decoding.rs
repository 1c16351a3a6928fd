//! The cache, batches and sampling: the same numbers however they are computed.

use std::ops::ControlFlow;

use regen_lm::{
    Decoder, Ending, GenerateOptions, LoraConfig, LoraTargets, PaddingMask, Sampling, Storage, Writer,
    generate,
};
use tch::Tensor;

use crate::support::{golden, ids, load, masked_difference, max_difference, random_model, small_config};

fn sampled(max_new_tokens: usize) -> GenerateOptions {
    GenerateOptions {
        max_new_tokens,
        sampling: Sampling::Sample { temperature: 1.3, top_k: None, top_p: Some(0.95), min_p: None },
        seed: 7,
        ..GenerateOptions::default()
    }
}

/// Feeds the columns in pieces through a cache and compares with one pass over all.
fn check_cached(decoder: &Decoder, pieces: &[i64], mask: &PaddingMask) {
    let seq: i64 = pieces.iter().sum();
    let embeds = decoder.embed(&ids(mask.batch(), seq, decoder.config().vocab())).unwrap();
    let whole = decoder.forward(&embeds, mask, None).unwrap();
    let mut cache = decoder.new_cache(mask.batch(), seq).unwrap();
    let real = mask.to_tensor(tch::Device::Cpu).unwrap();
    let mut outputs = Vec::new();
    let mut start = 0;
    for piece in pieces {
        let part = PaddingMask::from_tensor(&real.narrow(1, start, *piece)).unwrap();
        outputs.push(decoder.forward(&embeds.narrow(1, start, *piece), &part, Some(&mut cache)).unwrap());
        start += piece;
    }
    let difference = masked_difference(&Tensor::cat(&outputs, 1), &whole, mask);
    assert!(difference < 1e-5, "{:?} {pieces:?}: {difference:e}", decoder.config().family);
}

#[test]
fn cached_decoding_equals_the_full_forward() {
    for family in ["llama3", "mistral", "qwen2", "gemma2", "gemma3", "phi3", "gpt2"] {
        let decoder = load(&golden("families").join(family));
        for pieces in [&[9, 1, 1][..], &[4, 3, 4], &[1; 11]] {
            check_cached(&decoder, pieces, &PaddingMask::full(2, 11));
            check_cached(&decoder, pieces, &PaddingMask::left(&[11, 6], 11).unwrap());
            check_cached(&decoder, pieces, &PaddingMask::right(&[5, 11], 11).unwrap());
        }
    }
}

#[test]
fn a_batch_equals_its_singles() {
    let (_vs, decoder) = random_model(&small_config(), 3);
    let lengths = [9, 4, 6];
    let tokens = ids(3, 9, 53);
    let embeds = decoder.embed(&tokens).unwrap();
    let left = decoder.forward(&embeds, &PaddingMask::left(&lengths, 9).unwrap(), None).unwrap();
    let right = decoder.forward(&embeds, &PaddingMask::right(&lengths, 9).unwrap(), None).unwrap();
    for (row, &length) in lengths.iter().enumerate() {
        let row = row as i64;
        let alone = |start: i64| {
            let part = embeds.narrow(0, row, 1).narrow(1, start, length);
            decoder.forward(&part, &PaddingMask::full(1, length), None).unwrap()
        };
        let from_left = left.narrow(0, row, 1).narrow(1, 9 - length, length);
        assert!(max_difference(&from_left, &alone(9 - length)) < 1e-5);
        let from_right = right.narrow(0, row, 1).narrow(1, 0, length);
        assert!(max_difference(&from_right, &alone(0)) < 1e-5);
    }
}

#[test]
fn what_stands_in_the_padding_changes_nothing() {
    let (_vs, decoder) = random_model(&small_config(), 4);
    let embeds = decoder.embed(&ids(2, 6, 53)).unwrap();
    let mask = PaddingMask::left(&[6, 3], 6).unwrap();
    let padding = mask.to_tensor(tch::Device::Cpu).unwrap().logical_not().unsqueeze(-1);
    let other = &embeds + padding.to_kind(tch::Kind::Float) * 5.0;
    let plain = decoder.forward(&embeds, &mask, None).unwrap();
    let changed = decoder.forward(&other, &mask, None).unwrap();
    assert!(masked_difference(&plain, &changed, &mask) < 1e-6);
}

#[test]
fn sampled_rows_do_not_depend_on_the_batch() {
    let (_vs, decoder) = random_model(&small_config(), 5);
    let lengths = [7, 3, 5];
    let embeds = decoder.embed(&ids(3, 7, 53)).unwrap();
    let mask = PaddingMask::left(&lengths, 7).unwrap();
    let together = generate(&decoder, &embeds, &mask, &sampled(12)).unwrap();
    assert!(together[0] != together[1] && together[1] != together[2], "rows must draw from own streams");
    for (row, &length) in lengths.iter().enumerate() {
        let part = embeds.narrow(0, row as i64, 1).narrow(1, 7 - length, length);
        let options = GenerateOptions { row_streams: Some(vec![row as u64]), ..sampled(12) };
        let alone = generate(&decoder, &part, &PaddingMask::full(1, length), &options).unwrap();
        assert_eq!(alone[0], together[row]);
    }
    let other = GenerateOptions { seed: 8, ..sampled(12) };
    assert_ne!(generate(&decoder, &embeds, &mask, &other).unwrap(), together);
}

#[test]
fn rows_that_finish_early_leave_the_others_as_they_were() {
    let (_vs, decoder) = random_model(&small_config(), 6);
    let embeds = decoder.embed(&ids(4, 5, 53)).unwrap();
    let mask = PaddingMask::left(&[5, 2, 4, 3], 5).unwrap();
    let free = generate(&decoder, &embeds, &mask, &sampled(15)).unwrap();
    let stop = free[1][4];
    let options = GenerateOptions { stop: vec![stop], ..sampled(15) };
    let rows = Writer::plain(&decoder)
        .generate_with(&embeds, &mask, &options, |_, _| ControlFlow::Continue(()))
        .unwrap();
    assert!(
        rows.iter().any(|row| row.ending == Ending::Length),
        "one row must outlive the stop for this test to say anything"
    );
    for (row, free) in rows.iter().zip(&free) {
        let end = free.iter().position(|id| *id == stop).unwrap_or(free.len());
        assert_eq!(row.ids, free[..end]);
        assert_eq!(row.ending, if end < free.len() { Ending::StopId(stop) } else { Ending::Length });
    }
}

#[test]
fn the_caller_can_end_a_row() {
    let (_vs, decoder) = random_model(&small_config(), 8);
    let embeds = decoder.embed(&ids(2, 4, 53)).unwrap();
    let options = GenerateOptions { max_new_tokens: 6, ..GenerateOptions::default() };
    let mut seen = Vec::new();
    let rows = Writer::plain(&decoder)
        .generate_with(&embeds, &PaddingMask::full(2, 4), &options, |row, id| {
            seen.push((row, id));
            if row == 1 && seen.iter().filter(|(r, _)| *r == 1).count() == 2 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .unwrap();
    assert_eq!((rows[0].ids.len(), rows[1].ids.len()), (6, 2));
    let of_first: Vec<i64> = seen.iter().filter(|(row, _)| *row == 0).map(|(_, id)| *id).collect();
    assert_eq!(of_first, rows[0].ids);
}

#[test]
fn log_probabilities_are_those_of_the_full_forward() {
    let (_vs, decoder) = random_model(&small_config(), 9);
    let prompt = ids(1, 4, 53);
    let embeds = decoder.embed(&prompt).unwrap();
    let rows = Writer::plain(&decoder)
        .generate_with(&embeds, &PaddingMask::full(1, 4), &sampled(5), |_, _| ControlFlow::Continue(()))
        .unwrap();
    let written = Tensor::from_slice(&rows[0].ids).unsqueeze(0);
    let all = decoder.embed(&Tensor::cat(&[&prompt, &written], 1)).unwrap();
    let hidden = decoder.forward(&all, &PaddingMask::full(1, 9), None).unwrap();
    let logs = decoder.logits(&hidden).unwrap().log_softmax(-1, tch::Kind::Float);
    for (step, (id, log)) in rows[0].ids.iter().zip(&rows[0].log_probabilities).enumerate() {
        let expected = logs.double_value(&[0, 3 + step as i64, *id]);
        assert!((f64::from(*log) - expected).abs() < 1e-4, "step {step}: {log} {expected}");
    }
}

#[test]
fn a_prefix_computed_once_serves_several_continuations() {
    let (_vs, decoder) = random_model(&small_config(), 10);
    let tokens = ids(1, 5, 53);
    let prefix = decoder.embed(&tokens).unwrap();
    let tails = decoder.embed(&ids(3, 2, 53)).unwrap();
    let mut cache = decoder.new_cache(1, 7).unwrap();
    let _ = decoder.forward(&prefix, &PaddingMask::full(1, 5), Some(&mut cache)).unwrap();
    cache.select_rows(&[0, 0, 0]).unwrap();
    let shared = decoder.forward(&tails, &PaddingMask::full(3, 2), Some(&mut cache)).unwrap();
    let repeated = Tensor::cat(&[&prefix, &prefix, &prefix], 0);
    let whole = Tensor::cat(&[&repeated, &tails], 1);
    let whole = decoder.forward(&whole, &PaddingMask::full(3, 7), None).unwrap();
    assert!(max_difference(&shared, &whole.narrow(1, 5, 2)) < 1e-5);
}

/// What a plain and a packed writer write of the same prompts: the same ids, log-probabilities within 1e-4.
fn check_packed(decoder: &Decoder, lengths: &[i64], options: &GenerateOptions) {
    let (rows, seq) = (lengths.len() as i64, *lengths.iter().max().unwrap());
    let embeds = decoder.embed(&ids(rows, seq, decoder.config().vocab())).unwrap();
    let mask = PaddingMask::left(lengths, seq).unwrap();
    let go_on = |_, _| ControlFlow::Continue(());
    let packed = Writer::new(decoder).unwrap();
    assert_eq!(packed.is_packed(), avx2(), "every family is packed where the processor can");
    let plain = Writer::plain(decoder).generate_with(&embeds, &mask, options, go_on).unwrap();
    let packed = packed.generate_with(&embeds, &mask, options, go_on).unwrap();
    for (packed, plain) in packed.iter().zip(&plain) {
        assert_eq!((&packed.ids, packed.ending), (&plain.ids, plain.ending), "{:?}", decoder.config().family);
        for (packed, plain) in packed.log_probabilities.iter().zip(&plain.log_probabilities) {
            assert!((packed - plain).abs() < 1e-4, "{:?}: {packed} {plain}", decoder.config().family);
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
}

#[cfg(not(target_arch = "x86_64"))]
fn avx2() -> bool {
    false
}

#[test]
fn packed_weights_write_what_plain_weights_write() {
    let families = [
        "gemma2",
        "gemma3",
        "gpt2",
        "llama",
        "llama3",
        "llama_linear",
        "llama_yarn",
        "mistral",
        "phi3",
        "qwen2",
        "qwen3",
    ];
    for family in families {
        let decoder = load(&golden("families").join(family));
        let options = GenerateOptions { max_new_tokens: 12, ..GenerateOptions::default() };
        check_packed(&decoder, &[6, 2, 5], &options);
        check_packed(&decoder, &[4], &options);
        // So many tokens that cores get some of their own, in pieces that cut through rows.
        check_packed(&decoder, &[40, 17, 33, 1, 38, 25], &options);
        // More rows than one pass over a panel serves, which end at different steps.
        check_packed(
            &decoder,
            &[3, 7, 1, 2, 5, 4, 6, 3, 2, 7, 1],
            &GenerateOptions { stop: vec![3, 11, 17], ..sampled(14) },
        );
    }
}

#[test]
fn packed_weights_hold_the_low_rank_update() {
    let (vs, mut decoder) = random_model(&small_config(), 12);
    let config =
        LoraConfig { rank: 2, alpha: 4.0, rank_stabilised: false, dropout: 0.0, targets: LoraTargets::All };
    decoder.add_lora(&vs.root(), &config, &mut regen_torch::seed::rng(12, 2)).unwrap();
    let before =
        generate(&decoder, &decoder.embed(&ids(1, 4, 53)).unwrap(), &PaddingMask::full(1, 4), &sampled(9));
    for (name, tensor) in decoder.lora_parameters() {
        if name.contains("lora_B") {
            let noise = regen_torch::seed::normal(&mut regen_torch::seed::rng(12, 3), &tensor.size(), 0.5);
            tch::no_grad(|| {
                let _ = tensor.shallow_clone().g_add_(&noise);
            });
        }
    }
    let after =
        generate(&decoder, &decoder.embed(&ids(1, 4, 53)).unwrap(), &PaddingMask::full(1, 4), &sampled(9));
    assert_ne!(
        before.unwrap(),
        after.unwrap(),
        "the update must change what is written for this test to say anything"
    );
    check_packed(&decoder, &[4, 2], &sampled(9));
}

/// Largest difference of log-probabilities between a plain writer and one with weights in `storage`, over rows of one prompt
/// that both write alike up to there.
fn storage_error(decoder: &Decoder, storage: Storage) -> f32 {
    let embeds = decoder.embed(&ids(3, 6, decoder.config().vocab())).unwrap();
    let mask = PaddingMask::left(&[6, 2, 5], 6).unwrap();
    let options = GenerateOptions { max_new_tokens: 8, ..GenerateOptions::default() };
    let go_on = |_, _| ControlFlow::Continue(());
    let writer = Writer::with_storage(decoder, storage).unwrap();
    let plain = Writer::plain(decoder).generate_with(&embeds, &mask, &options, go_on).unwrap();
    let packed = writer.generate_with(&embeds, &mask, &options, go_on).unwrap();
    let mut worst = 0.0f32;
    for (packed, plain) in packed.iter().zip(&plain) {
        for at in 0..plain.ids.len() {
            if packed.ids[at] != plain.ids[at] {
                break;
            }
            worst = worst.max((packed.log_probabilities[at] - plain.log_probabilities[at]).abs());
        }
    }
    worst
}

#[test]
fn lighter_weights_write_with_nearly_the_same_probabilities() {
    for family in ["llama", "gemma2", "gpt2", "qwen3"] {
        let decoder = load(&golden("families").join(family));
        let [f32, bf16, int8] =
            [Storage::F32, Storage::Bf16, Storage::Int8].map(|storage| storage_error(&decoder, storage));
        // The weights of these models are large, so that what is rounded shows: four times as much in bytes as in bfloat16.
        assert!(f32 < 1e-4 && bf16 < 0.1 && int8 < 0.5, "{family}: {f32} {bf16} {int8}");
        if avx2() {
            assert!(bf16 > 0.0 && int8 > 0.0, "{family}: nothing was rounded");
        }
    }
}

#[test]
fn a_model_in_bfloat16_is_packed_in_bfloat16_and_writes_nearly_the_same() {
    use regen_torch::{Placement, Precision};
    let placement = Placement { precision: Precision::Bf16, ..Placement::cpu() };
    let (_vs, decoder) = Decoder::load(&golden("families").join("llama"), placement).unwrap();
    let writer = Writer::new(&decoder).unwrap();
    assert_eq!(writer.is_packed(), avx2());
    let single = load(&golden("families").join("llama"));
    let bytes = |writer: &Writer<'_>| writer.packed_bytes();
    if let Some(half) = bytes(&writer) {
        assert!(half * 2 <= bytes(&Writer::new(&single).unwrap()).unwrap());
    }
    assert!(storage_error(&decoder, Storage::Bf16) < 0.1);
}
