//! Settings, weights and options at the edges of their ranges: each is refused by its name, and what sounds alike but is
//! usual is read.

use std::path::Path;

use regen_lm::{
    BeamOptions, Decoder, DecoderConfig, Error, GenerateOptions, LoraConfig, LoraTargets, PaddingMask,
    Positions, RopeScaling, Writer,
};
use regen_torch::{Checkpoint, Placement, save_tensors, seed};
use serde_json::{Map, Value, json};
use tch::{Device, Kind, Tensor, nn};

use crate::support::{golden, ids, load, random_model, small_config, stored};

/// A golden folder with other fields in its configuration; null takes one out.
fn with_fields(case: &str, fields: &[(&str, Value)]) -> tempfile::TempDir {
    let from = golden("families").join(case);
    let to = tempfile::tempdir().unwrap();
    std::fs::copy(from.join("model.safetensors"), to.path().join("model.safetensors")).unwrap();
    let mut config: Map<String, Value> =
        serde_json::from_str(&std::fs::read_to_string(from.join("config.json")).unwrap()).unwrap();
    for (field, value) in fields {
        if value.is_null() {
            config.shift_remove(*field);
        } else {
            config.insert((*field).to_owned(), value.clone());
        }
    }
    std::fs::write(to.path().join("config.json"), Value::Object(config).to_string()).unwrap();
    to
}

fn read(case: &str, fields: &[(&str, Value)]) -> Result<DecoderConfig, Error> {
    DecoderConfig::from_hf(with_fields(case, fields).path())
}

/// Expects a refusal that names a field.
fn refused(case: &str, fields: &[(&str, Value)], name: &str) {
    match read(case, fields) {
        Err(Error::InvalidConfig { field, .. } | Error::UnsupportedConfig { field, .. }) => {
            assert_eq!(field, name, "{case} {fields:?}");
        }
        other => panic!("{case} {fields:?}: {other:?}"),
    }
}

/// Puts other tensors into a folder; the same name replaces.
fn put_tensors(dir: &Path, file: &str, new: Vec<(&str, Tensor)>) {
    let path = dir.join(file);
    let checkpoint = Checkpoint::open(&path).unwrap();
    let mut tensors: Vec<(String, Tensor)> = checkpoint
        .names()
        .filter(|name| new.iter().all(|(other, _)| other != name))
        .map(|name| (name.to_owned(), stored(&checkpoint, name)))
        .collect();
    tensors.extend(new.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)));
    save_tensors(&path, &tensors, &[]).unwrap();
}

fn scaling(config: &DecoderConfig) -> Option<RopeScaling> {
    match &config.positions {
        Positions::Rotary(rope) => rope.scaling.clone(),
        Positions::Learned => None,
    }
}

#[test]
fn a_tied_head_that_is_stored_has_to_be_the_embedding() {
    let embedding_name = |case: &str| match case {
        "gpt2" => "transformer.wte.weight",
        _ => "model.embed_tokens.weight",
    };
    for case in ["qwen2", "gemma2", "gpt2"] {
        let embedding = stored(
            &Checkpoint::open(&golden("families").join(case).join("model.safetensors")).unwrap(),
            embedding_name(case),
        );
        let with_head = |head: Tensor| {
            let dir = with_fields(case, &[]);
            put_tensors(dir.path(), "model.safetensors", vec![("lm_head.weight", head)]);
            Decoder::load(dir.path(), Placement::cpu())
        };
        with_head(embedding.copy()).unwrap();
        let other = with_head(&embedding + 0.5).unwrap_err();
        assert!(
            matches!(other, Error::InvalidConfig { ref field, .. } if field == "tie_word_embeddings"),
            "{case}: {other:?}"
        );
        assert!(other.to_string().contains("`lm_head.weight`") && other.to_string().contains("false"));
        let narrow = with_head(embedding.narrow(0, 0, 7)).unwrap_err();
        assert!(matches!(narrow, Error::Checkpoint(_)) && narrow.to_string().contains("lm_head.weight"));
        with_head(Tensor::zeros(embedding.size(), (Kind::Int, Device::Cpu))).unwrap_err();
    }
    // Without the tie, the stored head is what computes.
    let dir = with_fields("qwen2", &[("tie_word_embeddings", json!(false))]);
    let head = Tensor::ones([61, 24], (Kind::Float, Device::Cpu));
    put_tensors(dir.path(), "model.safetensors", vec![("lm_head.weight", head)]);
    Decoder::load(dir.path(), Placement::cpu()).unwrap();
}

#[test]
fn two_spellings_of_rotary_parameters_have_to_agree() {
    let linear = json!({"rope_type": "linear", "factor": 4.0, "rope_theta": 1000.0});
    let given = |newer: &Value, older: Value| [("rope_parameters", newer.clone()), ("rope_scaling", older)];
    let plain = read("llama_linear", &[]).unwrap();
    for same in [
        json!({"type": "linear", "factor": 4}),
        json!({"rope_type": "linear", "type": "linear", "factor": 4.0, "rope_theta": 1000.0}),
        json!({}),
    ] {
        assert_eq!(read("llama_linear", &given(&linear, same)).unwrap(), plain);
    }
    for other in [
        json!({"type": "linear", "factor": 2.0}),
        json!({"rope_type": "default"}),
        json!({"type": "linear", "factor": 4.0, "rope_theta": 500.0}),
    ] {
        refused("llama_linear", &given(&linear, other), "rope_scaling");
    }
    let default = json!({"rope_type": "default", "rope_theta": 10000.0});
    refused("llama", &given(&default, json!({"type": "linear", "factor": 2.0})), "rope_scaling");
    refused("gemma3", &[("rope_scaling", json!({"rope_type": "linear", "factor": 3.0}))], "rope_scaling");
    read("gemma3", &[("rope_scaling", json!({"rope_type": "linear", "factor": 2.0}))]).unwrap();
    let both = json!({"type": "linear", "rope_type": "default", "factor": 2.0});
    refused("llama", &[("rope_parameters", both)], "rope_parameters.type");
    let both = json!({"type": "default", "rope_type": "linear", "factor": 2.0});
    refused("llama", &[("rope_parameters", Value::Null), ("rope_scaling", both)], "rope_scaling.type");
}

#[test]
fn the_length_of_pre_training_may_stand_outside() {
    let name = "original_max_position_embeddings";
    for (case, mut rope) in [
        ("llama_yarn", json!({"rope_type": "yarn", "factor": 4.0, "rope_theta": 10000.0})),
        (
            "llama3",
            json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "rope_theta": 500.0}),
        ),
    ] {
        let plain = read(case, &[]).unwrap();
        let outside = [("rope_parameters", rope.clone()), (name, json!(16))];
        assert_eq!(read(case, &outside).unwrap(), plain, "{case}");
        rope[name] = json!(16);
        let both = [("rope_parameters", rope.clone()), (name, json!(16))];
        assert_eq!(read(case, &both).unwrap(), plain, "{case}");
        refused(case, &[("rope_parameters", rope), (name, json!(32))], name);
    }
    // Where nothing depends on it, it says nothing.
    for case in ["phi3", "llama", "llama_linear", "gemma3", "gpt2"] {
        assert_eq!(read(case, &[(name, json!(8))]).unwrap(), read(case, &[]).unwrap(), "{case}");
    }
}

#[test]
fn phi3_stretches_nothing() {
    for kind in ["yarn", "linear", "llama3", "longrope", "su", ""] {
        let rope = json!({
            "rope_type": kind, "factor": 4.0, "rope_theta": 1000.0, "original_max_position_embeddings": 16,
            "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        });
        refused("phi3", &[("rope_parameters", rope)], "rope_parameters.rope_type");
        let older = json!({"type": kind, "factor": 4.0});
        refused(
            "phi3",
            &[("rope_parameters", Value::Null), ("rope_scaling", older)],
            "rope_scaling.rope_type",
        );
    }
}

#[test]
fn numbers_out_of_range_are_refused_by_field() {
    let rope = |case: &str, field: &str, value: Value| {
        let mut rope = serde_json::from_str::<Value>(
            &std::fs::read_to_string(golden("families").join(case).join("config.json")).unwrap(),
        )
        .unwrap()["rope_parameters"]
            .clone();
        rope[field] = value;
        let name = if field == "rope_theta" { field.to_owned() } else { format!("rope_parameters.{field}") };
        refused(case, &[("rope_parameters", rope)], &name);
    };
    for case in ["llama_linear", "llama3", "llama_yarn"] {
        for factor in [0.0, -2.0, 0.5] {
            rope(case, "factor", json!(factor));
        }
        for theta in [0.0, -1.0, 1e-60, 1e60] {
            rope(case, "rope_theta", json!(theta));
        }
    }
    rope("llama", "rope_theta", json!(0.0));
    rope("llama_yarn", "rope_theta", json!(1.0));
    for case in ["llama3", "llama_yarn"] {
        rope(case, "original_max_position_embeddings", json!(0));
    }
    rope("llama3", "low_freq_factor", json!(0.0));
    rope("llama3", "high_freq_factor", json!(1.0));
    for field in ["beta_fast", "beta_slow", "attention_factor"] {
        rope("llama_yarn", field, json!(0.0));
        rope("llama_yarn", field, json!(-1.0));
    }
    for field in ["attn_logit_softcapping", "final_logit_softcapping"] {
        refused("gemma2", &[(field, json!(0.0))], field);
        refused("gemma2", &[(field, json!(-30.0))], field);
    }
    for epsilon in [0.0, -1e-6, 1.5] {
        refused("llama", &[("rms_norm_eps", json!(epsilon))], "rms_norm_eps");
        refused("gpt2", &[("layer_norm_epsilon", json!(epsilon))], "layer_norm_epsilon");
    }
    refused("llama", &[("initializer_range", json!(-0.02))], "initializer_range");
    read("llama", &[("initializer_range", json!(0.0))]).unwrap();
    let mut config = small_config();
    config.initializer_range = f64::NAN;
    let vs = nn::VarStore::new(Device::Cpu);
    assert!(Decoder::new(&vs.root(), &config, &mut seed::rng(1, 0)).is_err());
}

#[test]
fn special_ids_of_another_type_are_refused_by_field() {
    for (field, value) in [
        ("eos_token_id", json!("1")),
        ("eos_token_id", json!([1, "2"])),
        ("eos_token_id", json!([1.5])),
        ("eos_token_id", json!([1, null])),
        ("eos_token_id", json!(true)),
        ("eos_token_id", json!([2, -1])),
        ("pad_token_id", json!(0.5)),
        ("pad_token_id", json!([0])),
        ("bos_token_id", json!("<s>")),
    ] {
        refused("llama", &[(field, value.clone())], field);
        let dir = with_fields("llama", &[(field, Value::Null)]);
        let file = dir.path().join("generation_config.json");
        std::fs::write(&file, json!({ field: value }).to_string()).unwrap();
        let result = DecoderConfig::from_hf(dir.path());
        assert!(
            matches!(result, Err(Error::InvalidConfig { field: ref named, .. }) if named == field),
            "{field} {value}: {result:?}"
        );
        std::fs::write(&file, json!({ field: null }).to_string()).unwrap();
        DecoderConfig::from_hf(dir.path()).unwrap();
    }
    // The first Llama has a padding id of -1, and others have one behind their vocabulary.
    assert_eq!(read("llama", &[("pad_token_id", json!(-1))]).unwrap().special.pad, Some(-1));
    assert_eq!(read("llama", &[("bos_token_id", json!(64))]).unwrap().special.bos, Some(64));
    for kept in [60, 50_256] {
        let eos = json!([2, kept]);
        assert_eq!(read("llama", &[("eos_token_id", eos)]).unwrap().special.eos, [2, kept]);
    }
}

#[test]
fn sizes_that_no_model_has_are_refused_before_anything_is_computed() {
    for (case, field, value) in [
        ("llama", "num_hidden_layers", 1_000_000_000_000i64),
        ("mistral", "num_hidden_layers", 10_001),
        ("gemma3", "num_hidden_layers", i64::MAX),
        ("llama", "num_hidden_layers", -1),
        ("llama", "head_dim", 1 << 62),
        ("llama", "head_dim", 1 << 23),
        ("llama", "hidden_size", 1 << 62),
        ("llama", "vocab_size", 1 << 40),
        ("llama", "num_attention_heads", 1 << 62),
        ("llama", "num_key_value_heads", 1 << 62),
        ("llama", "max_position_embeddings", 1 << 62),
        ("phi3", "intermediate_size", 1 << 62),
        ("gpt2", "n_embd", 1 << 62),
        ("gpt2", "n_inner", 1 << 62),
        ("gpt2", "n_layer", 1 << 62),
        ("gpt2", "n_positions", 1 << 62),
        ("gpt2", "n_embd", 0),
    ] {
        refused(case, &[(field, json!(value))], field);
    }
    // 4·n_embd, which nobody wrote down.
    refused("gpt2", &[("n_embd", json!(1 << 24)), ("n_inner", Value::Null)], "intermediate_size");
    let mut config = small_config();
    config.layers = 1_000_000_000_000;
    let vs = nn::VarStore::new(Device::Cpu);
    let result = Decoder::new(&vs.root(), &config, &mut seed::rng(1, 0));
    assert!(matches!(result, Err(Error::InvalidConfig { ref field, .. }) if field == "num_hidden_layers"));
    // The largest that passes can be counted.
    let most = [
        ("num_hidden_layers", json!(10_000)),
        ("hidden_size", json!(1 << 24)),
        ("intermediate_size", json!(1 << 24)),
        ("vocab_size", json!(1i64 << 31)),
        ("num_attention_heads", json!(1 << 12)),
        ("num_key_value_heads", json!(1 << 12)),
        ("head_dim", json!(1 << 12)),
    ];
    assert_eq!(read("llama", &most).unwrap().parameters(), i64::MAX);
}

#[test]
fn numbers_of_new_tokens_and_beams_that_overflow_are_refused() {
    let (_vs, decoder) = random_model(&small_config(), 2);
    let embeds = decoder.embed(&ids(2, 4, 53)).unwrap();
    let mask = PaddingMask::full(2, 4);
    for writer in [Writer::plain(&decoder), Writer::new(&decoder).unwrap()] {
        for max_new_tokens in [usize::MAX, usize::MAX / 2, usize::MAX / 2 + 1, usize::MAX / 2 + 2] {
            let options = GenerateOptions { max_new_tokens, ..GenerateOptions::default() };
            let result = writer.generate(&embeds, &mask, &options);
            assert!(matches!(result, Err(Error::TooLong { .. })), "{max_new_tokens}: {result:?}");
            let result = writer.beam_search(&embeds, &mask, &options, &BeamOptions::best_of(2), None);
            assert!(matches!(result, Err(Error::TooLong { .. })), "{max_new_tokens}: {result:?}");
        }
        for beams in [usize::MAX, usize::MAX / 2 + 1] {
            let options = GenerateOptions { max_new_tokens: 2, ..GenerateOptions::default() };
            let result = writer.beam_search(&embeds, &mask, &options, &BeamOptions::best_of(beams), None);
            assert!(matches!(result, Err(Error::Argument { what: "beams", .. })), "{beams}: {result:?}");
        }
    }
}

#[test]
fn weights_that_a_precision_cannot_hold_are_refused_by_name() {
    let name = "model.layers.1.mlp.up_proj.weight";
    let dir = with_fields("llama", &[]);
    let plain = stored(&Checkpoint::open(&dir.path().join("model.safetensors")).unwrap(), name);
    put_tensors(dir.path(), "model.safetensors", vec![(name, plain.zeros_like() + 7e4)]);
    for kind in [Kind::Float, Kind::BFloat16, Kind::Double] {
        Decoder::load_under(&nn::VarStore::new(Device::Cpu).root(), dir.path(), kind).unwrap();
    }
    let error = Decoder::load_under(&nn::VarStore::new(Device::Cpu).root(), dir.path(), Kind::Half);
    let Err(Error::NonFiniteWeight { tensor, kind: Kind::Half }) = error else { panic!("{error:?}") };
    assert_eq!(tensor, name);
}

#[test]
fn scores_that_are_not_finite_end_a_generation() {
    let (_vs, decoder) = random_model(&small_config(), 2);
    let embeds = decoder.embed(&ids(2, 4, 53)).unwrap();
    let options = GenerateOptions { max_new_tokens: 3, ..GenerateOptions::default() };
    for bad in [f64::NAN, f64::INFINITY] {
        let spoiled = embeds.copy();
        let _ = spoiled.get(1).fill_(bad);
        for writer in [Writer::plain(&decoder), Writer::new(&decoder).unwrap()] {
            let packed = writer.is_packed();
            let mask = PaddingMask::full(2, 4);
            let result = writer.generate(&spoiled, &mask, &options);
            assert!(matches!(result, Err(Error::NonFiniteScores { row: 1 })), "{bad} {packed}: {result:?}");
            let result = writer.beam_search(&spoiled, &mask, &options, &BeamOptions::best_of(2), None);
            assert!(matches!(result, Err(Error::NonFiniteScores { row: 1 })), "{bad} {packed}: {result:?}");
        }
    }
}

#[test]
fn integers_are_no_weights() {
    let name = "model.layers.1.mlp.up_proj.weight";
    for kind in [Kind::Int, Kind::Int64, Kind::Int8, Kind::Uint8, Kind::Bool] {
        let dir = with_fields("llama", &[]);
        let plain = stored(&Checkpoint::open(&dir.path().join("model.safetensors")).unwrap(), name);
        put_tensors(dir.path(), "model.safetensors", vec![(name, plain.ones_like().to_kind(kind))]);
        let error = Decoder::load(dir.path(), Placement::cpu()).unwrap_err();
        assert!(matches!(error, Error::Checkpoint(_)) && error.to_string().contains(name), "{error}");
    }
}

#[test]
fn defaults_of_a_family_hold_where_a_field_is_absent() {
    assert_eq!(read("phi3", &[("rms_norm_eps", Value::Null)]).unwrap().norm_epsilon, 1e-5);
    assert_eq!(read("mistral", &[("rms_norm_eps", Value::Null)]).unwrap().norm_epsilon, 1e-6);
    for pattern in [0, -3] {
        let fields = [("layer_types", Value::Null), ("sliding_window_pattern", json!(pattern))];
        refused("gemma3", &fields, "sliding_window_pattern");
    }
    let dir = with_fields("llama", &[]);
    let path = dir.path().join("config.json");
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    config["quantization_config"] = Value::Null;
    std::fs::write(&path, config.to_string()).unwrap();
    DecoderConfig::from_hf(dir.path()).unwrap();
}

#[test]
fn families_with_one_kind_of_layer_have_no_list_of_two() {
    let (full, sliding) = ("full_attention", "sliding_attention");
    for case in ["mistral", "phi3"] {
        refused(case, &[("layer_types", json!([full, sliding, full]))], "layer_types");
        refused(case, &[("layer_types", json!([full, full, full]))], "layer_types");
        let all = read(case, &[("layer_types", json!([sliding, sliding, sliding]))]).unwrap();
        assert_eq!(all, read(case, &[]).unwrap(), "{case}");
        let none = [("layer_types", json!([full, full, full])), ("sliding_window", Value::Null)];
        assert_eq!(read(case, &none).unwrap().window, None, "{case}");
    }
}

fn on(targets: &[&str]) -> LoraConfig {
    let targets = LoraTargets::Named(targets.iter().map(|name| (*name).to_owned()).collect());
    LoraConfig { rank: 2, alpha: 4.0, rank_stabilised: false, dropout: 0.0, targets }
}

/// A copy of PEFT's adapter of the Llama with another field.
fn adapter(field: &str, value: Value) -> tempfile::TempDir {
    let (from, to) = (golden("lora/llama"), tempfile::tempdir().unwrap());
    let text = std::fs::read_to_string(from.join("adapter_config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config[field] = value;
    std::fs::write(to.path().join("adapter_config.json"), config.to_string()).unwrap();
    let file = "adapter_model.safetensors";
    std::fs::copy(from.join(file), to.path().join(file)).unwrap();
    to
}

#[test]
fn adapters_that_belong_to_a_changed_base_are_refused() {
    let attach = |field: &str, value: &Value| {
        let mut decoder = load(&golden("families/llama"));
        let dir = adapter(field, value.clone());
        decoder.load_lora(&nn::VarStore::new(Device::Cpu).root(), dir.path())
    };
    for usual in
        [json!(true), json!(false), Value::Null, json!("gaussian"), json!("eva"), json!("orthogonal")]
    {
        attach("init_lora_weights", &usual).unwrap();
    }
    for (field, value) in [
        ("init_lora_weights", json!("pissa")),
        ("init_lora_weights", json!("pissa_niter_16")),
        ("init_lora_weights", json!("olora")),
        ("init_lora_weights", json!("corda")),
        ("init_lora_weights", json!("loftq")),
        ("corda_config", json!({"corda_method": "kpm"})),
    ] {
        let result = attach(field, &value);
        assert!(
            matches!(result, Err(Error::UnsupportedConfig { field: ref named, .. }) if named == field),
            "{field} {value}: {result:?}"
        );
    }
}

#[test]
fn no_targets_at_all_are_refused() {
    let (vs, mut decoder) = random_model(&small_config(), 1);
    let result = decoder.add_lora(&vs.root(), &on(&[]), &mut seed::rng(1, 0));
    assert!(matches!(result, Err(Error::InvalidConfig { ref field, .. }) if field == "target_modules"));
}

#[test]
fn an_adapter_that_fails_to_load_leaves_nothing_attached() {
    let name = "base_model.model.model.layers.2.self_attn.v_proj.lora_B.weight";
    let file = "adapter_model.safetensors";
    let plain = stored(&Checkpoint::open(&golden("lora/llama").join(file)).unwrap(), name);
    let base = load(&golden("families/llama"));
    for bad in [plain.ones_like().to_kind(Kind::Int), plain.narrow(0, 0, 1), &plain / 0.0] {
        let dir = adapter("inference_mode", json!(true));
        put_tensors(dir.path(), file, vec![(name, bad)]);
        let mut decoder = load(&golden("families/llama"));
        let vs = nn::VarStore::new(Device::Cpu);
        let error = decoder.load_lora(&vs.root(), dir.path()).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert!(decoder.lora_parameters().is_empty() && vs.is_empty());
        let (tokens, mask) = (ids(1, 5, 61), PaddingMask::full(1, 5));
        let hidden =
            |decoder: &Decoder| decoder.forward(&decoder.embed(&tokens).unwrap(), &mask, None).unwrap();
        assert_eq!(hidden(&decoder), hidden(&base));
        decoder.load_lora(&vs.root(), &golden("lora/llama")).unwrap();
        assert_ne!(hidden(&decoder), hidden(&base));
    }
}

#[test]
fn an_adapter_is_saved_as_what_it_is() {
    let (vs, mut decoder) = random_model(&small_config(), 1);
    let config = on(&["q_proj", "v_proj"]);
    decoder.add_lora(&vs.root(), &config, &mut seed::rng(1, 0)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("adapter");
    for other in [
        LoraConfig { rank: 3, alpha: 6.0, ..config.clone() },
        LoraConfig { alpha: 5.0, ..config.clone() },
        LoraConfig { rank_stabilised: true, ..config.clone() },
        LoraConfig { targets: LoraTargets::All, ..config.clone() },
        on(&["q_proj"]),
        on(&["q_proj", "v_proj", "o_proj"]),
    ] {
        let result = decoder.save_lora(&path, &other);
        assert!(matches!(result, Err(Error::StateMismatch { .. })), "{other:?}: {result:?}");
        assert!(!path.exists(), "{other:?}: something was written");
    }
    // The share that training drops, and another way to name the same places, change nothing.
    decoder.save_lora(&path, &LoraConfig { dropout: 0.1, ..config.clone() }).unwrap();
    decoder.save_lora(&path, &on(&["self_attn.q_proj", "self_attn.v_proj"])).unwrap();
    decoder.save_lora(&path, &config).unwrap();
}

#[test]
fn the_older_spelling_of_yarn_reads_as_before() {
    let rope = json!({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16});
    let older = [("rope_parameters", Value::Null), ("rope_scaling", rope), ("rope_theta", json!(10000.0))];
    let config = read("llama_yarn", &older).unwrap();
    assert_eq!(scaling(&config), scaling(&read("llama_yarn", &[]).unwrap()));
    assert!(scaling(&config).is_some());
}
