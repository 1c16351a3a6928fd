//! Writing as text, and as a model's makers want it.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;

use regen_lm::generate::{GenerationDefaults, TextStream};
use regen_lm::{
    BeamEnd, BeamOptions, Decoder, DecoderConfig, Ending, Error, GenerateOptions, PaddingMask, Sampling,
    Writer, train_bpe,
};
use serde_json::{Value, json};
use tch::{Device, nn};

use crate::support::{golden, ids, small_config};

#[test]
fn text_is_streamed_in_whole_characters_and_ends_at_a_string() {
    let tokenizer = train_bpe(["naïve 日本 pens write", "blue naïve pens"].into_iter(), 300, &[]).unwrap();
    let vs = nn::VarStore::new(Device::Cpu);
    let config = DecoderConfig { vocab: tokenizer.vocab_size(), ..small_config() };
    let decoder = Decoder::new(&vs.root(), &config, &mut regen_torch::seed::rng(61, 0)).unwrap();
    let embeds = decoder.embed(&ids(3, 4, config.vocab())).unwrap();
    let mask = PaddingMask::left(&[4, 2, 3], 4).unwrap();
    let options = GenerateOptions {
        max_new_tokens: 30,
        sampling: Sampling::Sample { temperature: 1.0, top_k: None, top_p: None, min_p: None },
        seed: 3,
        ..GenerateOptions::default()
    };
    let writer = Writer::plain(&decoder);
    let run = |stop: &[&str]| {
        let mut pieces = vec![String::new(); 3];
        let told = |row: usize, piece: &str| {
            assert!(!piece.is_empty());
            pieces[row] += piece;
            ControlFlow::Continue(())
        };
        let written = writer.generate_text(&tokenizer, &embeds, &mask, &options, stop, told).unwrap();
        for (written, pieces) in written.iter().zip(&pieces) {
            assert_eq!(written.text, *pieces);
            assert_eq!(written.ids.len(), written.log_probabilities.len());
        }
        written
    };
    let free = run(&[]);
    for written in &free {
        assert_eq!((written.ids.len(), written.ending), (30, Ending::Length));
        let mut stream = TextStream::new(&tokenizer, &[]);
        let text: String = written.ids.iter().map(|id| stream.push(*id).unwrap()).collect();
        assert_eq!(written.text, text + &stream.finish());
    }
    // Two characters of the first row, which may stand across two tokens.
    let characters: Vec<char> = free[0].text.chars().collect();
    let stop: String = characters[6..8].iter().collect();
    let ended = run(&["", "never written", &stop]);
    let end = free[0].text.find(&stop).unwrap();
    assert_eq!((ended[0].text.as_str(), ended[0].ending), (&free[0].text[..end], Ending::StopString(2)));
    assert!(ended[0].ids.len() < 30 && free[0].ids.starts_with(&ended[0].ids));
    let mut given = 0;
    let broken = writer
        .generate_text(&tokenizer, &embeds, &mask, &options, &[], |row, _| {
            given += usize::from(row == 1);
            if row == 1 && given == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    assert!(broken[1].ids.len() < 30);
    assert_eq!((broken[0].ending, broken[1].ending), (Ending::Length, Ending::Caller));
}

/// The defaults of a folder with this file.
fn defaults(file: &Value) -> regen_lm::Result<GenerationDefaults> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("generation_config.json"), file.to_string()).unwrap();
    let mut config = DecoderConfig::from_hf(&golden("families/llama")).unwrap();
    config.special.eos = vec![2];
    GenerationDefaults::load(dir.path(), &config)
}

#[test]
fn the_defaults_of_a_folder_are_read_as_transformers_reads_them() {
    let sampled = |temperature, top_k, top_p, min_p| Sampling::Sample {
        temperature,
        top_k: NonZeroUsize::new(top_k),
        top_p,
        min_p,
    };
    // As published: an instruct model of Llama's, one of Qwen's, a base model.
    let llama = json!({
        "bos_token_id": 1, "do_sample": true, "eos_token_id": [3, 4, 5], "temperature": 0.6, "top_p": 0.9,
        "transformers_version": "4.45.0",
    });
    let read = defaults(&llama).unwrap();
    assert_eq!(read.options.sampling, sampled(0.6, 50, Some(0.9), None), "top_k is 50 where none is given");
    assert_eq!((read.options.stop, read.beam), (vec![3, 4, 5], None));
    let qwen = json!({
        "do_sample": true, "eos_token_id": 7, "pad_token_id": 3, "repetition_penalty": 1.05, "temperature": 0.7,
        "top_k": 20, "top_p": 0.8,
    });
    let read = defaults(&qwen).unwrap().options;
    assert_eq!((read.sampling, read.repetition_penalty), (sampled(0.7, 20, Some(0.8), None), 1.05));
    let base = json!({ "_from_model_config": true, "bos_token_id": 1, "transformers_version": "5.0.0" });
    assert_eq!(
        defaults(&base).unwrap().options,
        GenerateOptions { stop: vec![2], ..GenerateOptions::default() }
    );
    let beams = json!({
        "num_beams": 4, "num_return_sequences": 2, "length_penalty": 0.8, "early_stopping": "never",
        "no_repeat_ngram_size": 3, "max_new_tokens": 20, "max_length": 90, "top_p": 0.5,
    });
    let read = defaults(&beams).unwrap();
    let expected = BeamOptions { beams: 4, keep: 2, length_penalty: 0.8, end: BeamEnd::NeverBetter };
    assert_eq!((read.beam, &read.options.sampling), (Some(expected), &Sampling::Greedy));
    assert_eq!((read.options.no_repeat_ngram, read.options.max_new_tokens), (3, 20));

    for file in [&llama, &qwen, &base, &beams] {
        let read = defaults(file).unwrap();
        let dir = tempfile::tempdir().unwrap();
        read.save(dir.path()).unwrap();
        let config = DecoderConfig::from_hf(&golden("families/llama")).unwrap();
        assert_eq!(GenerationDefaults::load(dir.path(), &config).unwrap(), read, "{file}");
    }
    let none = tempfile::tempdir().unwrap();
    let config = DecoderConfig::from_hf(&golden("families/llama")).unwrap();
    let plain = GenerationDefaults::load(none.path(), &config).unwrap();
    assert_eq!(GenerationDefaults::find(none.path(), &config).unwrap(), None);
    assert_eq!((plain.options.sampling, plain.options.stop), (Sampling::Greedy, vec![2]));
}

#[test]
fn defaults_that_would_write_otherwise_are_refused_by_name() {
    for (field, value) in [
        ("typical_p", json!(0.9)),
        ("num_beam_groups", json!(2)),
        ("epsilon_cutoff", json!(0.1)),
        ("suppress_tokens", json!([5])),
        ("forced_eos_token_id", json!(3)),
        ("penalty_alpha", json!(0.6)),
        ("min_length", json!(4)),
        ("min_new_tokens", json!(4)),
        ("begin_suppress_tokens", json!([5])),
        ("forced_bos_token_id", json!(3)),
        ("bad_words_ids", json!([[5]])),
        ("encoder_no_repeat_ngram_size", json!(2)),
        ("encoder_repetition_penalty", json!(1.2)),
        ("exponential_decay_length_penalty", json!([5, 1.1])),
        ("eta_cutoff", json!(0.1)),
        ("top_h", json!(0.4)),
        ("guidance_scale", json!(1.5)),
        ("diversity_penalty", json!(0.5)),
        ("sequence_bias", json!([[[5], 1.0]])),
        ("stop_strings", json!("END")),
        ("token_healing", json!(true)),
        ("watermarking_config", json!({ "bias": 2.0 })),
        ("force_words_ids", json!([[5]])),
        ("constraints", json!(["x"])),
        ("remove_invalid_values", json!(true)),
        ("renormalize_logits", json!(true)),
        ("max_time", json!(1.0)),
        ("dola_layers", json!("high")),
        ("low_memory", json!(true)),
        ("cache_implementation", json!("quantized")),
        ("a_field_of_tomorrow", json!(1)),
    ] {
        let refused = defaults(&json!({ field: value }));
        let named =
            matches!(refused, Err(Error::UnsupportedConfig { field: ref named, .. }) if named == field);
        assert!(named, "{field}: {refused:?}");
        assert!(refused.unwrap_err().to_string().contains("generation_config.json: "), "{field}");
    }
    let off = json!({
        "typical_p": 1, "encoder_repetition_penalty": 1, "epsilon_cutoff": 0, "min_new_tokens": 0, "guidance_scale": 1.0,
        "suppress_tokens": [], "bad_words_ids": null, "cache_implementation": "hybrid", "output_scores": true,
    });
    assert_eq!(defaults(&off).unwrap(), defaults(&json!({})).unwrap());
    let both = defaults(&json!({ "do_sample": true, "num_beams": 2 }));
    assert!(matches!(both, Err(Error::UnsupportedConfig { .. })), "{both:?}");
    for (file, wanted) in [
        (json!({ "eos_token_id": "two" }), "eos_token_id"),
        (json!({ "eos_token_id": -1 }), "eos_token_id"),
        (json!({ "do_sample": true, "top_k": -3 }), "top_k"),
        (json!({ "early_stopping": 3 }), "early_stopping"),
        (json!({ "do_sample": true, "temperature": -1.0 }), "temperature"),
        (json!({ "do_sample": true, "temperature": 0 }), "temperature"),
        (json!({ "do_sample": "yes" }), "do_sample"),
        (json!({ "do_sample": true, "top_p": 1.5 }), "top_p"),
        (json!({ "do_sample": true, "top_p": 0.0 }), "top_p"),
        (json!({ "do_sample": true, "top_p": -0.5 }), "top_p"),
        (json!({ "top_p": "0.9" }), "top_p"),
        (json!({ "do_sample": true, "min_p": -0.1 }), "min_p"),
        (json!({ "do_sample": true, "min_p": 1.1 }), "min_p"),
        (json!({ "repetition_penalty": 0.0 }), "repetition_penalty"),
        (json!({ "repetition_penalty": -1 }), "repetition_penalty"),
        (json!({ "no_repeat_ngram_size": -1 }), "no_repeat_ngram_size"),
        (json!({ "max_new_tokens": 0 }), "max_new_tokens"),
        (json!({ "max_length": 0 }), "max_length"),
        (json!({ "max_length": 20.5 }), "max_length"),
        (json!({ "num_beams": 0 }), "num_beams"),
        (json!({ "num_return_sequences": 0 }), "num_return_sequences"),
        (json!({ "num_return_sequences": 2 }), "num_return_sequences"),
        (json!({ "num_beams": 2, "num_return_sequences": 3 }), "num_return_sequences"),
        (json!({ "num_beams": 2, "length_penalty": "long" }), "length_penalty"),
    ] {
        let refused = defaults(&file);
        let named = matches!(refused, Err(Error::InvalidConfig { ref field, .. }) if field == wanted);
        assert!(named, "{file}: {refused:?}");
    }
}

#[test]
fn a_length_that_counts_the_prompt_leaves_what_the_prompt_leaves() {
    let read = defaults(&json!({ "max_length": 30 })).unwrap();
    assert_eq!(read.after(12).unwrap().max_new_tokens, 18);
    assert!(matches!(read.after(30), Err(Error::TooLong { tokens: 31, max_positions: 30 })));
    let dir = tempfile::tempdir().unwrap();
    read.save(dir.path()).unwrap();
    let config = DecoderConfig::from_hf(&golden("families/llama")).unwrap();
    assert_eq!(GenerationDefaults::load(dir.path(), &config).unwrap().max_length, Some(30));
    // As in transformers, a number of new tokens goes before it.
    let both = defaults(&json!({ "max_length": 30, "max_new_tokens": 7 })).unwrap();
    assert_eq!(both.after(29).unwrap().max_new_tokens, 7);
    assert_eq!(defaults(&json!({})).unwrap().after(1000).unwrap(), defaults(&json!({})).unwrap().options);
}

#[test]
fn rows_of_ids_of_any_lengths_are_written_after_as_each_alone() {
    let decoder = crate::support::load(&golden("families/llama"));
    let writer = Writer::plain(&decoder);
    let options = GenerateOptions { max_new_tokens: 6, ..GenerateOptions::default() };
    let rows = [vec![3, 4, 5, 6], vec![7], vec![8, 9]];
    let written = |rows: &[Vec<i64>]| {
        let (prompts, mask) = decoder.embed_rows(rows).unwrap();
        writer.generate(&prompts, &mask, &options).unwrap()
    };
    let alone: Vec<Vec<i64>> = rows.iter().flat_map(|row| written(std::slice::from_ref(row))).collect();
    assert_eq!(written(&rows), alone);
    let outside = decoder.embed_rows(&[[3], [decoder.config().vocab()]]);
    assert!(matches!(outside, Err(Error::IdOutOfRange { .. })), "{outside:?}");
    // Without a row there is nothing to write after, and nothing that panics.
    let (prompts, mask) = decoder.embed_rows::<Vec<i64>>(&[]).unwrap();
    assert!(writer.generate(&prompts, &mask, &options).is_err());
}

/// So that a thread of its own can write for others.
#[test]
fn a_decoder_moves_to_the_thread_that_writes() {
    let decoder = crate::support::load(&golden("families/llama"));
    let options = GenerateOptions { max_new_tokens: 6, ..GenerateOptions::default() };
    let write = move |decoder: &Decoder| {
        let (prompts, mask) = decoder.embed_rows(&[[3, 4, 5]]).unwrap();
        Writer::new(decoder).unwrap().generate(&prompts, &mask, &options).unwrap()
    };
    let here = write(&decoder);
    assert_eq!(std::thread::spawn(move || write(&decoder)).join().unwrap(), here);
}
