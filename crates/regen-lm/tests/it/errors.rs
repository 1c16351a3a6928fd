//! Bad input gives an error that names what is wrong; nothing panics.

use std::path::Path;

use regen_lm::{
    Decoder, DecoderConfig, Error, GenerateOptions, PaddingMask, Sampling, generate, masked_loss,
};
use regen_torch::{Checkpoint, Placement, save_tensors};
use tch::{Kind, Tensor};

use crate::support::{golden, ids, random_model, small_config, stored};

fn copy_folder(case: &str) -> tempfile::TempDir {
    let from = golden("families").join(case);
    let to = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(from.join(name), to.path().join(name)).unwrap();
    }
    to
}

fn edit_config(dir: &Path, edit: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>)) {
    let path = dir.join("config.json");
    let mut value: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    edit(value.as_object_mut().unwrap());
    std::fs::write(&path, value.to_string()).unwrap();
}

fn edit_weights(dir: &Path, edit: impl Fn(&str, Tensor) -> Option<Tensor>) {
    let path = dir.join("model.safetensors");
    let file = Checkpoint::open(&path).unwrap();
    let tensors: Vec<(String, Tensor)> =
        file.names().filter_map(|name| Some((name.to_owned(), edit(name, stored(&file, name))?))).collect();
    save_tensors(&path, &tensors, &[]).unwrap();
}

fn check_refused_field(case: &str, field: &str, value: serde_json::Value) {
    let dir = copy_folder(case);
    edit_config(dir.path(), |config| {
        config.insert(field.to_owned(), value.clone());
    });
    match DecoderConfig::from_hf(dir.path()) {
        Err(Error::UnsupportedConfig { field: named, .. }) => {
            assert!(named.contains(field) || field == "rope_scaling", "{case} {field}: named {named}");
        }
        other => panic!("{case} {field} = {value}: {other:?}"),
    }
}

#[test]
fn fields_that_change_the_arithmetic_are_refused_by_name() {
    use serde_json::json;
    check_refused_field("llama", "sliding_window", json!(128));
    check_refused_field("llama", "residual_multiplier", json!(0.22));
    check_refused_field("llama", "rope_parameters", json!({"rope_type": "dynamic", "factor": 2.0}));
    check_refused_field("llama", "quantization_config", json!({"bits": 4}));
    check_refused_field("llama", "hidden_act", json!("xielu"));
    check_refused_field("llama", "model_type", json!("mixtral"));
    check_refused_field("qwen3", "num_experts", json!(8));
    check_refused_field("gemma3", "use_bidirectional_attention", json!(true));
    check_refused_field("phi3", "rope_parameters", json!({"rope_type": "longrope", "short_factor": [1.0]}));
    check_refused_field("gpt2", "scale_attn_by_inverse_layer_idx", json!(true));
    check_refused_field("gpt2", "add_cross_attention", json!(true));
}

#[test]
fn contradictions_are_refused() {
    let refused = |case: &str, field: &str, value: serde_json::Value| {
        let dir = copy_folder(case);
        edit_config(dir.path(), |config| {
            config.insert(field.to_owned(), value);
        });
        let result = DecoderConfig::from_hf(dir.path());
        assert!(matches!(result, Err(Error::InvalidConfig { .. })), "{case} {field}: {result:?}");
    };
    refused("llama", "num_key_value_heads", serde_json::json!(3));
    refused("qwen2", "hidden_size", serde_json::json!(25));
    refused("gemma3", "layer_types", serde_json::json!(["full_attention"]));
    refused("llama", "vocab_size", serde_json::json!("many"));
    let dir = copy_folder("mistral");
    edit_config(dir.path(), |config| {
        config.shift_remove("intermediate_size");
    });
    let result = DecoderConfig::from_hf(dir.path());
    assert!(matches!(result, Err(Error::MissingField { ref field, .. }) if field == "intermediate_size"));
}

#[test]
fn older_spelling_of_rotary_parameters_means_the_same() {
    let new = DecoderConfig::from_hf(&golden("families/llama3")).unwrap();
    let dir = copy_folder("llama3");
    edit_config(dir.path(), |config| {
        let mut rope = config.shift_remove("rope_parameters").unwrap();
        let theta = rope.as_object_mut().unwrap().shift_remove("rope_theta").unwrap();
        config.insert("rope_scaling".into(), rope);
        config.insert("rope_theta".into(), theta);
        let dtype = config.shift_remove("dtype").unwrap();
        config.insert("torch_dtype".into(), dtype);
    });
    assert_eq!(DecoderConfig::from_hf(dir.path()).unwrap(), new);

    let new = DecoderConfig::from_hf(&golden("families/gemma3")).unwrap();
    let dir = copy_folder("gemma3");
    edit_config(dir.path(), |config| {
        config.shift_remove("rope_parameters");
        config.insert("rope_theta".into(), 1000.0.into());
        config.insert("rope_local_base_freq".into(), 100.0.into());
        config.insert("rope_scaling".into(), serde_json::json!({"type": "linear", "factor": 2.0}));
        config.shift_remove("layer_types");
        config.insert("sliding_window_pattern".into(), 3.into());
    });
    assert_eq!(DecoderConfig::from_hf(dir.path()).unwrap(), new);
}

#[test]
fn damaged_weights_are_refused_with_the_tensor_named() {
    let name = "model.layers.1.mlp.up_proj.weight";
    let check = |edit: &dyn Fn(Tensor) -> Option<Tensor>| {
        let dir = copy_folder("llama");
        edit_weights(dir.path(), |stored, tensor| if stored == name { edit(tensor) } else { Some(tensor) });
        match Decoder::load(dir.path(), Placement::cpu()) {
            Err(error @ Error::Checkpoint(_)) => assert!(error.to_string().contains(name), "{error}"),
            other => panic!("{other:?}"),
        }
    };
    check(&|_| None);
    check(&|tensor| Some(tensor.narrow(0, 0, 7)));
    check(&|tensor| Some(&tensor / 0.0));
}

#[test]
fn surplus_weights_are_refused_but_known_leftovers_are_not() {
    let dir = copy_folder("llama");
    let path = dir.path().join("model.safetensors");
    let with = |extra: &str| {
        let file = Checkpoint::open(&golden("families/llama/model.safetensors")).unwrap();
        let mut tensors: Vec<(String, Tensor)> =
            file.names().map(|name| (name.to_owned(), stored(&file, name))).collect();
        tensors.push((extra.to_owned(), Tensor::from_slice(&[1.0f32])));
        save_tensors(&path, &tensors, &[]).unwrap();
        Decoder::load(dir.path(), Placement::cpu())
    };
    assert!(with("model.layers.0.self_attn.rotary_emb.inv_freq").is_ok());
    assert!(matches!(with("model.layers.3.mlp.up_proj.weight"), Err(Error::Checkpoint(_))));
}

#[test]
fn a_missing_shard_and_a_sharded_folder() {
    let dir = copy_folder("qwen3");
    let single = dir.path().join("model.safetensors");
    let file = Checkpoint::open(&single).unwrap();
    let mut shards: [Vec<(String, Tensor)>; 2] = [Vec::new(), Vec::new()];
    let mut map = serde_json::Map::new();
    for (index, name) in file.names().enumerate() {
        shards[index % 2].push((name.to_owned(), stored(&file, name)));
        map.insert(name.to_owned(), format!("model-{}-of-2.safetensors", index % 2 + 1).into());
    }
    for (index, shard) in shards.iter().enumerate() {
        let path = dir.path().join(format!("model-{}-of-2.safetensors", index + 1));
        save_tensors(&path, shard, &[]).unwrap();
    }
    let index = serde_json::json!({ "weight_map": map });
    std::fs::write(dir.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    std::fs::remove_file(&single).unwrap();
    let (_vs, decoder) = Decoder::load(dir.path(), Placement::cpu()).unwrap();
    for (name, tensor) in decoder.parameters() {
        assert_eq!(*tensor, stored(&file_of("qwen3"), name), "{name}");
    }
    std::fs::remove_file(dir.path().join("model-2-of-2.safetensors")).unwrap();
    let error = Decoder::load(dir.path(), Placement::cpu()).unwrap_err();
    assert!(error.to_string().contains("model-2-of-2"), "{error}");
}

fn file_of(case: &str) -> Checkpoint {
    Checkpoint::open(&golden("families").join(case)).unwrap()
}

#[test]
fn bad_arguments_are_refused() {
    let (_vs, decoder) = random_model(&small_config(), 1);
    let vocab = decoder.embed(&Tensor::from_slice(&[0i64, 53]).unsqueeze(0));
    assert!(matches!(vocab, Err(Error::IdOutOfRange { id: 53, vocab: 53 })));
    let negative = decoder.embed(&Tensor::from_slice(&[-1i64]).unsqueeze(0));
    assert!(matches!(negative, Err(Error::IdOutOfRange { id: -1, .. })));
    let kind = decoder.embed(&Tensor::from_slice(&[1.0f32]).unsqueeze(0));
    assert!(matches!(kind, Err(Error::Kind { .. })));

    let zeros = |shape: [i64; 3]| Tensor::zeros(shape, (Kind::Float, tch::Device::Cpu));
    let forward = |shape, mask: PaddingMask| decoder.forward(&zeros(shape), &mask, None);
    assert!(matches!(forward([1, 2, 21], PaddingMask::full(1, 2)), Err(Error::Shape { .. })));
    assert!(matches!(forward([1, 2, 20], PaddingMask::full(2, 2)), Err(Error::Shape { .. })));
    assert!(matches!(
        forward([1, 41, 20], PaddingMask::full(1, 41)),
        Err(Error::TooLong { tokens: 41, max_positions: 40 })
    ));
    assert!(forward([1, 41, 20], PaddingMask::left(&[40], 41).unwrap()).is_ok(), "padding takes no position");
    assert!(PaddingMask::left(&[4], 3).is_err());

    let mut cache = decoder.new_cache(1, 3).unwrap();
    let full = decoder.forward(&zeros([1, 4, 20]), &PaddingMask::full(1, 4), Some(&mut cache));
    assert!(matches!(full, Err(Error::CacheFull { capacity: 3, needed: 4 })));
}

#[test]
fn bad_prompts_and_options_are_refused() {
    let (_vs, decoder) = random_model(&small_config(), 2);
    let embeds = decoder.embed(&ids(2, 4, 53)).unwrap();
    let run = |mask: PaddingMask, options: GenerateOptions| generate(&decoder, &embeds, &mask, &options);
    let plain = GenerateOptions { max_new_tokens: 3, ..GenerateOptions::default() };
    let empty = run(PaddingMask::left(&[2, 0], 4).unwrap(), plain.clone());
    assert!(matches!(empty, Err(Error::EmptyPrompt { row: 1 })));
    let right = run(PaddingMask::right(&[2, 4], 4).unwrap(), plain.clone());
    assert!(matches!(right, Err(Error::PromptNotLeftPadded { row: 0 })));
    let long = GenerateOptions { max_new_tokens: 38, ..plain.clone() };
    assert!(matches!(run(PaddingMask::full(2, 4), long), Err(Error::TooLong { tokens: 41, .. })));
    let exact = GenerateOptions { max_new_tokens: 37, ..plain.clone() };
    assert_eq!(run(PaddingMask::full(2, 4), exact).unwrap()[1].len(), 37);
    let sampling = |temperature, top_p, min_p| GenerateOptions {
        sampling: Sampling::Sample { temperature, top_k: None, top_p, min_p },
        ..plain.clone()
    };
    for options in [
        sampling(0.0, None, None),
        sampling(1.0, Some(0.0), None),
        sampling(1.0, None, Some(1.5)),
        GenerateOptions { repetition_penalty: 0.0, ..plain.clone() },
        GenerateOptions { row_streams: Some(vec![1]), ..plain.clone() },
    ] {
        assert!(matches!(run(PaddingMask::full(2, 4), options), Err(Error::Argument { .. })));
    }
}

#[test]
fn an_empty_loss_and_bad_targets_are_refused() {
    let (_vs, decoder) = random_model(&small_config(), 2);
    let hidden = decoder.embed(&ids(2, 4, 53)).unwrap();
    let none = Tensor::zeros([2, 4], (Kind::Bool, tch::Device::Cpu));
    let all = none.logical_not();
    assert!(matches!(masked_loss(&decoder, &hidden, &ids(2, 4, 53), &none), Err(Error::EmptyLoss)));
    let beyond = ids(2, 4, 53) + 53;
    assert!(matches!(masked_loss(&decoder, &hidden, &beyond, &all), Err(Error::IdOutOfRange { .. })));
    assert!(matches!(masked_loss(&decoder, &hidden, &ids(2, 3, 53), &all), Err(Error::Shape { .. })));
}

#[test]
fn exhausted_memory_is_told_from_other_failures() {
    let (_vs, decoder) = random_model(&small_config(), 3);
    // More than any machine has, so that the allocator refuses at once.
    let refused = decoder.new_cache(1 << 20, 1 << 22).unwrap_err();
    assert!(matches!(refused, Error::OutOfMemory { .. }), "{refused:?}");
    assert!(refused.to_string().contains("smaller batches"), "{refused}");
    let other = Tensor::from_slice(&[1.0f32]).f_view([2, 2]).map_err(Error::from).unwrap_err();
    assert!(matches!(other, Error::Libtorch(_)), "{other:?}");
}

#[test]
fn a_tokenizer_larger_than_the_embedding_is_refused_by_number() {
    let tokenizer = regen_lm::train_bpe(["a pen"].into_iter(), 300, &[]).unwrap();
    let (_vs, decoder) = random_model(&small_config(), 4);
    let error = tokenizer.check_fits(decoder.config().vocab()).unwrap_err().to_string();
    let needed = tokenizer.vocab_size().to_string();
    assert!(error.contains("vocab_size") && error.contains("53") && error.contains(&needed), "{error}");
}

#[test]
fn a_folder_that_is_not_there_is_an_error_that_says_what_could_not_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let error = DecoderConfig::from_hf(&dir.path().join("sd")).unwrap_err();
    assert!(matches!(error, Error::Io { action: "read", .. }), "{error:?}");
    let told = error.to_string();
    assert!(told.starts_with("cannot read ") && told.ends_with("sd/config.json"), "{told}");
}
