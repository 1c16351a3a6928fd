//! Settings that contradict each other, that are out of bounds, or that stand in other files than usual.

use std::path::Path;

use regen_semantic::{EncodeOptions, EncoderConfig, Error, Pooling, SentenceEncoder};
use regen_torch::Placement;
use serde_json::{Value, json};

use crate::support::{copy, edit, encode, family, read};

fn load(dir: &Path) -> Result<SentenceEncoder, Error> {
    SentenceEncoder::load(dir, Placement::cpu())
}

/// Sets a field of a JSON file of a copy; the path to it is a JSON pointer without its last part.
fn set(file: &Path, parent: &str, field: &str, value: Value) {
    let mut all: Value = read(file);
    let place = all.pointer_mut(parent).unwrap();
    place.as_object_mut().unwrap().insert(field.to_owned(), value);
    std::fs::write(file, all.to_string()).unwrap();
}

/// A family's folder with one field of one file set, and what it must be refused for.
fn refused(name: &str, file: &str, field: &str, value: Value, wanted: &str) {
    let dir = copy(name);
    set(&dir.path().join(file), "", field, value);
    let message = load(dir.path()).unwrap_err().to_string();
    assert!(message.contains(wanted) && message.contains(file), "{message:?} lacks {wanted:?} or {file:?}");
}

fn add_token(dir: &Path, id: i64, content: &str) {
    let path = dir.join("tokenizer.json");
    let mut all: Value = read(&path);
    all["added_tokens"].as_array_mut().unwrap().push(json!({
        "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true
    }));
    std::fs::write(&path, all.to_string()).unwrap();
}

#[test]
fn an_added_token_past_the_table_is_refused_in_a_text_only() {
    let dir = copy("gemma3");
    add_token(dir.path(), 300, "<image_soft_token>");
    let (encoder, options) = (load(dir.path()).unwrap(), EncodeOptions::default());
    let texts = ["a red gel pen", "ink"];
    assert_eq!(encode(&encoder, &texts, &options), encode(&family("gemma3"), &texts, &options));
    let texts = ["a red gel pen", "an <image_soft_token> here"];
    for error in [
        encoder.encode(&texts, &options).unwrap_err(),
        encoder.token_vectors(&texts, 1, &options).map(drop).unwrap_err(),
    ] {
        assert!(matches!(&error, Error::UnknownToken { text: 1, id: 300, vocab: 300, .. }), "{error:?}");
        assert!(error.to_string().starts_with("text 1 has the token 300 of "), "{error}");
    }
}

#[test]
fn special_tokens_past_the_table_are_refused_at_load() {
    let dir = copy("bert");
    set(&dir.path().join("tokenizer.json"), "/post_processor/special_tokens/[CLS]", "ids", json!([99999]));
    let error = load(dir.path()).unwrap_err();
    assert!(matches!(error, Error::VocabularyMismatch { largest: 99999, vocab: 170, .. }), "{error:?}");
}

#[test]
fn the_limit_is_read_from_any_of_the_files_that_the_library_tries() {
    let names = ["roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"];
    for (index, name) in names.iter().enumerate() {
        let dir = copy("bert");
        std::fs::remove_file(dir.path().join("sentence_bert_config.json")).unwrap();
        for (later, name) in names.iter().enumerate().skip(index) {
            let text = format!("{{\"max_seq_length\": {}}}", 10 + later);
            std::fs::write(dir.path().join(format!("sentence_{name}_config.json")), text).unwrap();
        }
        assert_eq!(load(dir.path()).unwrap().max_tokens(), 10 + index as i64, "{name}");
    }
    let dir = copy("bert");
    std::fs::write(dir.path().join("sentence_roberta_config.json"), "{\"max_seq_length\": 10}").unwrap();
    assert_eq!(load(dir.path()).unwrap().max_tokens(), 22, "an earlier file counts, though it sets no limit");
    std::fs::rename(
        dir.path().join("sentence_roberta_config.json"),
        dir.path().join("sentence_xlnet_config.json"),
    )
    .unwrap();
    std::fs::remove_file(dir.path().join("sentence_bert_config.json")).unwrap();
    edit(&dir.path().join("sentence_xlnet_config.json"), "10", "33");
    let message = load(dir.path()).unwrap_err().to_string();
    assert!(message.contains("sentence_xlnet_config.json sets max_seq_length to 33"), "{message}");
}

#[test]
fn a_limit_without_room_for_a_token_of_the_text_is_refused() {
    let (bert, own) = ("sentence_bert_config.json", "tokenizer_config.json");
    for limit in [1, 2] {
        let wanted = format!("max_seq_length to {limit}, expected more than the 2 tokens");
        refused("bert", bert, "max_seq_length", json!(limit), &wanted);
        let wanted = format!("model_max_length to {limit}, expected more than the 2 tokens");
        refused("bert", own, "model_max_length", json!(limit), &wanted);
    }
    refused(
        "bert",
        "config.json",
        "max_position_embeddings",
        json!(2),
        "max_position_embeddings to 2, expected more",
    );
    let dir = copy("bert");
    set(&dir.path().join(bert), "", "max_seq_length", json!(3));
    assert_eq!(load(dir.path()).unwrap().max_tokens(), 3);
}

#[test]
fn a_side_of_truncation_is_left_or_right() {
    for value in [json!(3), json!("middle"), json!(null)] {
        let wanted = format!("truncation_side to {value}, expected left or right");
        refused("bert", "tokenizer_config.json", "truncation_side", value, &wanted);
    }
}

#[test]
fn modules_of_other_libraries_are_refused() {
    for (index, kind) in
        ["custom_st.Transformer", "evil.Pooling", "sentence_transformersx.Normalize"].iter().enumerate()
    {
        let dir = copy("bert");
        set(&dir.path().join("modules.json"), &format!("/{index}"), "type", json!(kind));
        let message = load(dir.path()).unwrap_err().to_string();
        assert!(message.contains(&format!("[{index}].type to {kind}")), "{message}");
    }
}

#[test]
fn entries_of_modules_are_refused_by_the_field_that_is_not_known() {
    for (index, field, value, wanted) in [
        (0, "path", json!("0_Transformer"), "[0].path to 0_Transformer"),
        (0, "kwargs", json!(["task"]), "[0].kwargs to [\"task\"]"),
        (1, "path", json!(1), "[1].path to 1, expected a string"),
        (2, "surprise", json!(true), "[2].surprise to true"),
    ] {
        let dir = copy("bert");
        set(&dir.path().join("modules.json"), &format!("/{index}"), field, value);
        let message = load(dir.path()).unwrap_err().to_string();
        assert!(message.contains("modules.json") && message.contains(wanted), "{message}");
    }
    let dir = copy("bert");
    edit(&dir.path().join("modules.json"), "\"path\": \"1_Pooling\",", "");
    let message = load(dir.path()).unwrap_err().to_string();
    assert!(message.contains("[1].path to nothing"), "{message}");
}

#[test]
fn both_spellings_of_a_pooling_must_say_the_same() {
    let file = "1_Pooling/config.json";
    refused("bert", file, "pooling_mode_cls_token", json!(true), "cls_token to true, expected false");
    refused("bert", file, "pooling_mode_mean_tokens", json!(false), "mean_tokens to false, expected true");
    let dir = copy("bert");
    set(&dir.path().join(file), "", "pooling_mode_mean_tokens", json!(true));
    set(&dir.path().join(file), "", "pooling_mode_max_tokens", json!(false));
    assert_eq!(load(dir.path()).unwrap().pooling(), [Pooling::Mean]);
}

#[test]
fn the_pattern_of_windows_is_a_positive_integer() {
    for field in ["_sliding_window_pattern", "sliding_window_pattern"] {
        for value in [json!("x"), json!(0), json!(1.5)] {
            let wanted = format!("{field} to {value}, expected a positive integer");
            refused("gemma3", "config.json", field, value, &wanted);
        }
    }
}

#[test]
fn sizes_out_of_bounds_are_refused_before_anything_is_computed() {
    let dir = copy("qwen3");
    let path = dir.path().join("config.json");
    set(&path, "", "num_hidden_layers", json!(i64::MAX));
    edit(&path, "\"layer_types\"", "\"name\"");
    let message = load(dir.path()).unwrap_err().to_string();
    assert!(
        message.contains("num_hidden_layers to 9223372036854775807, expected at most 16777216"),
        "{message}"
    );
    for (name, field) in [
        ("qwen3", "head_dim"),
        ("qwen3", "num_attention_heads"),
        ("gemma3", "sliding_window"),
        ("bert", "max_position_embeddings"),
        ("bert", "type_vocab_size"),
        ("roberta", "pad_token_id"),
        ("modernbert", "local_attention"),
        ("nomic_bert", "intermediate_size"),
    ] {
        for value in [1_i64 << 62, i64::MAX] {
            refused(
                name,
                "config.json",
                field,
                json!(value),
                &format!("{field} to {value}, expected at most"),
            );
        }
    }
    refused("bert", "config.json", "vocab_size", json!((1_i64 << 31) + 1), "expected at most 2147483648");
    let dir = copy("bert");
    let path = dir.path().join("config.json");
    set(&path, "", "vocab_size", json!(1_i64 << 31));
    assert_eq!(EncoderConfig::load(&path).unwrap().vocab, 1 << 31);
}

#[test]
fn the_largest_sizes_are_refused_as_the_shapes_of_no_tensor() {
    for (name, field) in [
        ("qwen3", "head_dim"),
        ("qwen3", "intermediate_size"),
        ("modernbert", "intermediate_size"),
        ("bert", "num_hidden_layers"),
    ] {
        let dir = copy(name);
        set(&dir.path().join("config.json"), "", field, json!(1 << 24));
        let error = load(dir.path()).unwrap_err();
        assert!(matches!(error, Error::Checkpoint(_)), "{name} {field}: {error:?}");
    }
}

#[test]
fn numbers_that_are_divided_by_are_above_zero() {
    let wanted = |field: &str| format!("{field} to 0, expected a number above 0");
    refused("gemma3", "config.json", "query_pre_attn_scalar", json!(0), &wanted("query_pre_attn_scalar"));
    for (name, field) in [
        ("qwen3", "rope_theta"),
        ("gemma3", "rope_local_base_freq"),
        ("modernbert", "global_rope_theta"),
        ("modernbert", "local_rope_theta"),
    ] {
        refused(name, "config.json", field, json!(0), &wanted(field));
        // Above 0 as it is written, 0 in f32.
        refused(name, "config.json", field, json!(1e-60), "expected a number above 0");
    }
    refused(
        "qwen3",
        "config.json",
        "rope_parameters",
        json!({"rope_theta": 0}),
        "rope_parameters.rope_theta to 0",
    );
    // As the authors of NomicBERT write it.
    let dir = copy("nomic_bert");
    let path = dir.path().join("config.json");
    let theirs = json!({"model_type": "nomic_bert", "n_embd": 24, "n_head": 3, "rotary_emb_base": 0});
    std::fs::write(&path, theirs.to_string()).unwrap();
    let message = EncoderConfig::load(&path).unwrap_err().to_string();
    assert!(message.contains(&wanted("rotary_emb_base")), "{message}");
}

#[test]
fn positions_that_a_caller_writes_down_do_not_overflow() {
    let config = EncoderConfig { padding_id: Some(i64::MAX), ..family("bert").config().clone() };
    assert!(config.longest() < 0);
}

#[test]
fn a_padding_token_with_another_id_than_the_positions_hang_on_is_refused() {
    refused("roberta", "config.json", "pad_token_id", json!(2), "pad_token_id to 2, expected 1");
    let dir = copy("roberta");
    let config = dir.path().join("tokenizer_config.json");
    set(&config, "", "pad_token", json!({"content": "<mask>", "lstrip": false}));
    let message = load(dir.path()).unwrap_err().to_string();
    assert!(message.contains("pad_token_id to 1, expected 4, as tokenizer.json has for <mask>"), "{message}");
    set(&config, "", "pad_token", json!({"content": "<pad>", "lstrip": false}));
    load(dir.path()).unwrap();
    // Where positions do not hang on it, folders in use disagree.
    let dir = copy("bert");
    set(&dir.path().join("config.json"), "", "pad_token_id", json!(1));
    load(dir.path()).unwrap();
}

#[test]
fn a_tokenizer_of_another_model_that_fits_the_table_is_refused_by_the_tokens_it_lacks() {
    let (dir, other) = (copy("roberta"), copy("bert"));
    std::fs::copy(other.path().join("tokenizer.json"), dir.path().join("tokenizer.json")).unwrap();
    let message = load(dir.path()).unwrap_err().to_string();
    assert!(message.contains("pad_token to \"<pad>\", expected a token of tokenizer.json"), "{message}");
    refused("bert", "tokenizer_config.json", "sep_token", json!("</s>"), "sep_token to \"</s>\"");
    refused("bert", "tokenizer_config.json", "cls_token", json!({"content": "<s>"}), "cls_token to {");
}

#[test]
fn switches_of_a_bert_tokenizer_must_be_those_of_its_normalizer() {
    let file = "tokenizer_config.json";
    let folder = |class: &str| {
        let dir = copy("bert");
        set(&dir.path().join(file), "", "tokenizer_class", json!(class));
        dir
    };
    for (field, value, does) in [
        ("do_lower_case", json!(false), true),
        ("strip_accents", json!(false), true),
        ("tokenize_chinese_chars", json!(false), true),
        ("do_lower_case", json!(null), true),
    ] {
        for class in ["BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "MPNetTokenizerFast"] {
            let dir = folder(class);
            set(&dir.path().join(file), "", field, value.clone());
            let message = load(dir.path()).unwrap_err().to_string();
            assert!(message.contains(&format!("{field} to {value}, expected {does}")), "{class}: {message}");
        }
        // Other classes leave the normalizer as tokenizer.json has it.
        let dir = folder("TokenizersBackend");
        set(&dir.path().join(file), "", field, value);
        load(dir.path()).unwrap();
    }
    // Left open, accents go with capitals; and so they do when the normalizer says so.
    let dir = folder("BertTokenizer");
    for (field, value) in [
        ("do_lower_case", json!(true)),
        ("strip_accents", json!(null)),
        ("tokenize_chinese_chars", json!(true)),
    ] {
        set(&dir.path().join(file), "", field, value);
    }
    load(dir.path()).unwrap();
    set(&dir.path().join("tokenizer.json"), "/normalizer", "strip_accents", json!(true));
    load(dir.path()).unwrap();
    set(&dir.path().join("tokenizer.json"), "/normalizer", "strip_accents", json!(false));
    let message = load(dir.path()).unwrap_err().to_string();
    assert!(message.contains("strip_accents to null, expected false"), "{message}");
}
