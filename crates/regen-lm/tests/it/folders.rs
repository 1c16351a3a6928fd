//! Folders of models: what a family cannot express is not dropped when one is written, and errors about a field name its file.

use std::path::Path;

use regen_lm::{
    Decoder, DecoderConfig, Error, Family, LoraConfig, LoraTargets, PaddingMask, Positions, RopeScaling,
    llama2c,
};
use regen_torch::{Placement, seed};
use serde_json::{Map, Value, json};
use tch::{Device, nn};

use crate::support::{golden, ids, load, max_difference, random_model, small_config};

/// Fields that a folder would lose, of a Llama that differs from the small one.
fn lost(change: impl FnOnce(&mut DecoderConfig)) -> String {
    let mut config = small_config();
    change(&mut config);
    let vs = nn::VarStore::new(Device::Cpu);
    let decoder = Decoder::new(&vs.root(), &config, &mut seed::rng(1, 0)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("model");
    match decoder.save(&out) {
        Err(Error::Unwritable { path, settings, .. }) => {
            assert!(path.starts_with(&out) && !out.exists(), "something was written");
            settings
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn settings_that_the_family_cannot_express_are_not_dropped() {
    for (field, change) in [
        ("logit_softcap", (|config| config.logit_softcap = Some(30.0)) as fn(&mut DecoderConfig)),
        ("attention_softcap", |config| config.attention_softcap = Some(50.0)),
        ("query_scale", |config| config.query_scale = 0.25),
        ("qkv_bias", |config| config.qkv_bias = true),
        ("positions", |config| config.positions = Positions::Learned),
        ("windowed_layers", |config| {
            config.window = Some(8);
            config.windowed_layers = vec![true, false];
        }),
        ("local_rope", |config| {
            let Positions::Rotary(rope) = config.positions.clone() else { panic!("a Llama turns") };
            config.local_rope = Some(rope);
        }),
        ("rope_parameters.rope_type", |config| {
            config.family = Family::Phi3;
            let Positions::Rotary(rope) = &mut config.positions else { panic!("a Llama turns") };
            rope.scaling = Some(RopeScaling::Linear { factor: 2.0 });
        }),
        ("mlp_bias", |config| {
            config.family = Family::Mistral;
            config.mlp_bias = true;
        }),
        ("windowed_layers", |config| {
            config.family = Family::Mistral;
            config.window = Some(8);
            config.windowed_layers = vec![true, false];
        }),
    ] {
        let settings = lost(change);
        assert!(settings.contains(&format!("`{field}` = ")), "{field}: {settings}");
    }
    // Both ways to say that no layer has a window.
    let mut config = small_config();
    config.window = Some(8);
    config.windowed_layers = vec![false, false];
    let vs = nn::VarStore::new(Device::Cpu);
    let dir = tempfile::tempdir().unwrap();
    Decoder::new(&vs.root(), &config, &mut seed::rng(1, 0)).unwrap().save(dir.path()).unwrap();
    assert_eq!(DecoderConfig::from_hf(dir.path()).unwrap().window, None);
}

#[test]
fn updates_are_merged_or_left_out_when_a_model_is_saved_but_never_lost() {
    let (vs, mut decoder) = random_model(&small_config(), 3);
    let targets = LoraTargets::Named(vec!["q_proj".to_owned(), "down_proj".to_owned()]);
    let lora = LoraConfig { rank: 2, alpha: 4.0, rank_stabilised: false, dropout: 0.0, targets };
    let states = |decoder: &Decoder| {
        decoder.forward(&decoder.embed(&ids(1, 5, 53)).unwrap(), &PaddingMask::full(1, 5), None).unwrap()
    };
    let bare = states(&decoder);
    decoder.add_lora(&vs.root(), &lora, &mut seed::rng(3, 1)).unwrap();
    for (_, tensor) in decoder.lora_parameters() {
        let noise = seed::normal(&mut seed::rng(3, 2), &tensor.size(), 0.3);
        tch::no_grad(|| {
            let _ = tensor.shallow_clone().g_add_(&noise);
        });
    }
    let adapted = states(&decoder);
    assert!(max_difference(&adapted, &bare) > 0.01);

    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let refused = decoder.save(&path("whole")).unwrap_err();
    assert!(matches!(refused, Error::UpdatesAttached { .. }), "{refused:?}");
    let told = refused.to_string();
    for advice in ["whole", "merge_lora", "save_lora", "save_base"] {
        assert!(told.contains(advice), "{told}");
    }
    assert!(!path("whole").exists(), "something was written");

    decoder.save_base(&path("base")).unwrap();
    decoder.save_lora(&path("updates"), &lora).unwrap();
    let mut again = load(&path("base"));
    assert_eq!(states(&again), bare);
    again.load_lora(&nn::VarStore::new(Device::Cpu).root(), &path("updates")).unwrap();
    assert_eq!(states(&again), adapted);
    decoder.merge_lora().unwrap();
    decoder.save(&path("whole")).unwrap();
    assert!(max_difference(&states(&load(&path("whole"))), &adapted) < 1e-4);
}

/// The file that an error about a field names.
fn named(error: Error) -> String {
    let text = error.to_string();
    let (Error::InvalidConfig { path: Some(path), .. } | Error::UnsupportedConfig { path: Some(path), .. }) =
        error
    else {
        panic!("{error:?}")
    };
    assert!(text.starts_with(&format!("{}: ", path.display())), "{text}");
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// A copy of a golden folder with another field in one of its files.
fn changed(from: &Path, file: &str, field: &str, value: &Value) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        if entry.path().is_file() {
            std::fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
        }
    }
    let path = dir.path().join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|_| "{}".to_owned());
    let mut object: Map<String, Value> = serde_json::from_str(&text).unwrap();
    object.insert(field.to_owned(), value.clone());
    std::fs::write(&path, Value::Object(object).to_string()).unwrap();
    dir
}

#[test]
fn an_error_about_a_field_names_the_file_of_the_field() {
    let llama = golden("families/llama");
    for (field, value) in [
        ("model_type", json!("mixtral")),
        ("hidden_act", json!("xielu")),
        ("vocab_size", json!("many")),
        ("hidden_size", json!(1i64 << 40)),
        ("num_key_value_heads", json!(3)),
        ("rms_norm_eps", json!(-1.0)),
        ("sliding_window", json!(7)),
        ("layer_types", json!(["other"])),
        ("rope_parameters", json!({ "rope_type": "dynamic" })),
        ("rope_parameters", json!(7)),
        ("rope_parameters", json!({ "rope_type": "linear", "factor": 0.5 })),
        ("rope_scaling", json!({ "rope_type": "linear", "factor": 2.0 })),
        ("eos_token_id", json!("1")),
        ("quantization_config", json!({ "bits": 4 })),
        ("a_field_of_tomorrow", json!(1)),
    ] {
        let dir = changed(&llama, "config.json", field, &value);
        let error = Decoder::load(dir.path(), Placement::cpu()).unwrap_err();
        assert_eq!(named(error), "config.json", "{field} {value}");
    }
    for value in [json!("x"), json!(-1)] {
        let dir = changed(&llama, "generation_config.json", "eos_token_id", &value);
        let error = DecoderConfig::from_hf(dir.path()).unwrap_err();
        assert_eq!(named(error), "generation_config.json", "{value}");
    }
    for (field, value) in [
        ("peft_type", json!("ADALORA")),
        ("init_lora_weights", json!("pissa")),
        ("target_modules", json!("q.*")),
        ("target_modules", json!(["c_attn"])),
        ("target_modules", json!([])),
        ("use_dora", json!(true)),
        ("r", json!("8")),
    ] {
        let dir = changed(&golden("lora/llama"), "adapter_config.json", field, &value);
        let mut decoder = load(&llama);
        let vs = nn::VarStore::new(Device::Cpu);
        let error = decoder.load_lora(&vs.root(), dir.path()).unwrap_err();
        if !matches!(error, Error::Checkpoint(_)) {
            assert_eq!(named(error), "adapter_config.json", "{field} {value}");
        }
    }
}

/// A llama2.c model and tokenizer with other bytes at a place.
fn convert(file: &str, at: usize, bytes: &[u8]) -> Result<(), Error> {
    let (from, dir) = (golden("llama2c"), tempfile::tempdir().unwrap());
    let copied = |name: &str| {
        let mut content = std::fs::read(from.join(name)).unwrap();
        if name == file {
            content[at..at + bytes.len()].copy_from_slice(bytes);
        }
        let to = dir.path().join(name);
        std::fs::write(&to, content).unwrap();
        to
    };
    let out = dir.path().join("out");
    let result = llama2c::convert(&copied("model.bin"), &copied("tokenizer.bin"), &out);
    assert!(result.is_ok() || !out.exists(), "something was written");
    result
}

#[test]
fn converted_files_hold_finite_weights_and_pieces_of_the_length_they_say() {
    convert("model.bin", 0, &[]).unwrap();
    let file = std::fs::read(golden("llama2c/model.bin")).unwrap();
    let header = |at: usize| i32::from_le_bytes(file[4 * at..4 * at + 4].try_into().unwrap()) as usize;
    let (hidden, vocab) = (header(0), header(5));
    let layers = 28 + 4 * hidden * vocab;
    for (at, name) in [(28, "model.embed_tokens.weight"), (layers, "model.layers.0.input_layernorm.weight")] {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let error = convert("model.bin", at, &bad.to_le_bytes()).unwrap_err();
            let text = error.to_string();
            assert!(
                matches!(error, Error::Checkpoint(_)) && text.contains(name) && text.contains("model.bin"),
                "{text}"
            );
        }
    }
    for (at, value) in [(0, 0i64), (0, -7)] {
        let error = convert("model.bin", at, &(value as i32).to_le_bytes()).unwrap_err();
        assert_eq!(named(error), "model.bin");
    }
    // The score of the first piece, its length, and its text.
    let pieces = std::fs::read(golden("llama2c/tokenizer.bin")).unwrap();
    let longest = i32::from_le_bytes(pieces[..4].try_into().unwrap());
    for (at, bytes) in [
        (8, (-1i32).to_le_bytes()),
        (8, (longest + 1).to_le_bytes()),
        (8, i32::MAX.to_le_bytes()),
        (4, f32::NAN.to_le_bytes()),
    ] {
        let error = convert("tokenizer.bin", at, &bytes).unwrap_err();
        assert!(error.to_string().contains("`piece 0`"), "{error}");
        assert_eq!(named(error), "tokenizer.bin", "{at}");
    }
    let last = pieces.len() - 1;
    let broken = convert("tokenizer.bin", last, &[0xff]).unwrap_err();
    assert!(broken.to_string().contains("UTF-8"), "{broken}");
}

#[test]
fn weights_that_no_memory_holds_are_an_error_before_they_are_drawn() {
    let mut config = small_config();
    (config.vocab, config.hidden) = (1 << 31, 1 << 24);
    let vs = nn::VarStore::new(Device::Cpu);
    let result = Decoder::new(&vs.root(), &config, &mut seed::rng(1, 0));
    assert!(matches!(result, Err(Error::OutOfMemory { .. })), "{result:?}");
}
