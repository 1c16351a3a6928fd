//! Folders that cannot give the reference's vectors are refused, by file and field.

use std::path::Path;

use regen_semantic::{Error, SentenceEncoder, TokenizerDoubt};
use regen_torch::Placement;

use crate::support::{copy, edit};

fn refused(dir: &Path) -> Error {
    SentenceEncoder::load(dir, Placement::cpu()).unwrap_err()
}

/// A family's folder with one replacement in one file, and what it must be refused for.
fn check(name: &str, file: &str, from: &str, to: &str, wanted: &str) {
    let dir = copy(name);
    edit(&dir.path().join(file), from, to);
    let message = refused(dir.path()).to_string();
    assert!(message.contains(wanted), "{message:?} lacks {wanted:?}");
}

#[test]
fn a_missing_file_is_named() {
    for file in ["config.json", "modules.json", "1_Pooling/config.json", "tokenizer.json"] {
        let dir = copy("bert");
        std::fs::remove_file(dir.path().join(file)).unwrap();
        let error = refused(dir.path());
        assert!(matches!(&error, Error::Io { path, .. } if path.ends_with(file)), "{error:?}");
    }
    let dir = copy("bert");
    std::fs::remove_file(dir.path().join("model.safetensors")).unwrap();
    assert!(matches!(refused(dir.path()), Error::Checkpoint(regen_torch::Error::NoCheckpoint { .. })));
    assert!(matches!(refused(&dir.path().join("nowhere")), Error::Io { .. }));
}

#[test]
fn a_corrupt_file_is_named() {
    for file in ["config.json", "modules.json", "1_Pooling/config.json", "config_sentence_transformers.json"]
    {
        let dir = copy("bert");
        std::fs::write(dir.path().join(file), "{\"a\": ").unwrap();
        let error = refused(dir.path());
        assert!(matches!(&error, Error::Json { path, .. } if path.ends_with(file)), "{error:?}");
    }
    let dir = copy("bert");
    std::fs::write(dir.path().join("tokenizer.json"), "{\"version\": 1}").unwrap();
    assert!(matches!(refused(dir.path()), Error::Tokenizer { action: "load the tokenizer", .. }));
    let weights = dir.path().join("model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    let dir = copy("bert");
    std::fs::write(dir.path().join("model.safetensors"), &bytes[..bytes.len() - 7]).unwrap();
    assert!(matches!(refused(dir.path()), Error::Checkpoint(regen_torch::Error::CorruptCheckpoint { .. })));
}

#[test]
fn weights_of_another_shape_or_name_are_refused() {
    let dir = copy("bert");
    edit(&dir.path().join("config.json"), "\"intermediate_size\": 40", "\"intermediate_size\": 41");
    let error = refused(dir.path());
    assert!(matches!(&error, Error::Checkpoint(regen_torch::Error::ShapeMismatch { .. })), "{error:?}");
    let dir = copy("bert");
    edit(&dir.path().join("config.json"), "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
    assert!(matches!(refused(dir.path()), Error::Checkpoint(regen_torch::Error::MissingTensor { .. })));
    let dir = copy("bert");
    edit(&dir.path().join("config.json"), "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1");
    assert!(matches!(refused(dir.path()), Error::Checkpoint(regen_torch::Error::SurplusTensors { .. })));
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let (dir, other) = (copy("bert"), copy("roberta"));
    std::fs::copy(other.path().join("tokenizer.json"), dir.path().join("tokenizer.json")).unwrap();
    let error = refused(dir.path());
    assert!(matches!(error, Error::VocabularyMismatch { largest: 299, vocab: 170, .. }), "{error:?}");
}

/// Leaves the tokens below `count` of a WordPiece tokenizer, or adds words up to it.
fn resize_tokenizer(path: &Path, count: usize) {
    let mut tokenizer: serde_json::Value = crate::support::read(path);
    let vocabulary = tokenizer["model"]["vocab"].as_object_mut().unwrap();
    vocabulary.retain(|_, id| id.as_u64().unwrap() < count as u64);
    for id in vocabulary.len()..count {
        vocabulary.insert(format!("word{id}"), id.into());
    }
    std::fs::write(path, tokenizer.to_string()).unwrap();
}

#[test]
fn a_smaller_tokenizer_of_the_same_kind_is_refused_or_told_of() {
    use regen_torch::{Checkpoint, save_tensors};
    let load = |dir: &Path| SentenceEncoder::load(dir, Placement::cpu());
    let dir = copy("bert");
    let tokenizer = dir.path().join("tokenizer.json");
    resize_tokenizer(&tokenizer, 60);
    let error = load(dir.path()).unwrap_err();
    assert!(matches!(error, Error::SmallVocabulary { tokens: 60, vocab: 170, .. }), "{error:?}");
    // A few rows are padding.
    resize_tokenizer(&tokenizer, 165);
    assert_eq!(load(dir.path()).unwrap().tokenizer_doubts(), []);

    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    let tensors: Vec<_> = checkpoint
        .names()
        .map(|name| {
            let tensor = checkpoint.tensor(name, checkpoint.shape(name).unwrap()).unwrap();
            match name.ends_with("word_embeddings.weight") {
                true => (name.to_owned(), tensor.constant_pad_nd([0, 0, 0, 1300 - 170])),
                false => (name.to_owned(), tensor),
            }
        })
        .collect();
    save_tensors(&dir.path().join("model.safetensors"), &tensors, &[]).unwrap();
    edit(&dir.path().join("config.json"), "\"vocab_size\": 170", "\"vocab_size\": 1300");
    resize_tokenizer(&tokenizer, 700);
    let encoder = load(dir.path()).unwrap();
    assert_eq!(encoder.tokenizer_doubts(), [TokenizerDoubt::UnreadEmbeddings { rows: 600 }]);
    resize_tokenizer(&tokenizer, 649);
    assert!(matches!(load(dir.path()), Err(Error::SmallVocabulary { tokens: 649, vocab: 1300, .. })));
    resize_tokenizer(&tokenizer, 1300);
    assert_eq!(load(dir.path()).unwrap().tokenizer_doubts(), []);
}

fn doubts(dir: &Path) -> Vec<TokenizerDoubt> {
    SentenceEncoder::load(dir, Placement::cpu()).unwrap().tokenizer_doubts().to_vec()
}

#[test]
fn a_list_of_tokens_that_is_another_tokenizers_is_told_of_and_an_edited_one_is_not() {
    let dir = copy("bert");
    let list = dir.path().join("vocab.txt");
    let tokenizer: serde_json::Value = crate::support::read(&dir.path().join("tokenizer.json"));
    let vocabulary = tokenizer["model"]["vocab"].as_object().unwrap();
    let mut tokens = vec![""; vocabulary.len()];
    for (token, id) in vocabulary {
        tokens[id.as_u64().unwrap() as usize] = token;
    }
    let write = |tokens: &[&str]| std::fs::write(&list, tokens.join("\n") + "\n").unwrap();
    write(&tokens);
    assert_eq!(doubts(dir.path()), []);
    let mut edited = tokens.clone();
    edited[60..60 + tokens.len() / 10].fill("a word of their own");
    write(&edited);
    assert_eq!(doubts(dir.path()), []);
    tokens[5..].rotate_left(1);
    write(&tokens);
    let told = doubts(dir.path());
    let differing = tokens.len() - 5;
    assert!(
        matches!(&told[..], [TokenizerDoubt::OtherVocabulary { path, differing: got, .. }] if *path == list && *got == differing)
    );
    let wanted = format!("{differing} of the {} tokens of {}", tokens.len(), list.display());
    assert!(told[0].to_string().starts_with(&wanted), "{}", told[0]);

    std::fs::write(&list, [0xff, 0xfe]).unwrap();
    assert_eq!(doubts(dir.path()), []);
    // Of another kind of tokenizer it is another kind of list.
    let dir = copy("roberta");
    std::fs::write(dir.path().join("vocab.txt"), "the 1061396\nof 572083\n").unwrap();
    assert_eq!(doubts(dir.path()), []);
}

#[test]
fn a_cased_tokenizer_in_an_uncased_models_folder_is_told_of_and_the_other_way_round() {
    let told = |name: &str, keeps: bool, lowercase: bool| {
        let dir = copy("bert");
        edit(&dir.path().join("config.json"), "{", &format!("{{\"_name_or_path\": \"{name}\","));
        if keeps {
            edit(&dir.path().join("tokenizer.json"), "\"lowercase\": true", "\"lowercase\": false");
        }
        let limits = format!("{{\"max_seq_length\": 22, \"do_lower_case\": {lowercase}}}");
        std::fs::write(dir.path().join("sentence_bert_config.json"), limits).unwrap();
        doubts(dir.path()).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for (name, keeps, lowercase, wanted) in [
        ("a/MiniLM-L6-H384-uncased", true, false, Some("keeps")),
        ("google/bert_uncased_L-2_H-128_A-2", true, false, Some("keeps")),
        ("bert-base-cased", false, false, Some("loses")),
        // What the folder asks for is no exchange.
        ("bert-base-uncased", true, true, None),
        ("bert-base-cased", true, true, None),
        ("bert-base-uncased", false, false, None),
        ("bert-base-cased", true, false, None),
        ("a/showcased", false, false, None),
        ("", true, false, None),
    ] {
        let (got, what) = (told(name, keeps, lowercase), format!("{name} {keeps} {lowercase}"));
        let wanted: Vec<String> = wanted
            .map(|does| format!("config.json calls the model {name}, and its tokenizer {does} capitals"))
            .into_iter()
            .collect();
        assert_eq!(got, wanted, "{what}");
    }
}

#[test]
fn settings_that_change_vectors_and_are_not_implemented_are_refused_by_name() {
    check("bert", "config.json", "\"model_type\": \"bert\"", "\"model_type\": \"t5\"", "model_type to t5");
    check("bert", "config.json", "\"gelu\"", "\"silu\"", "hidden_act to silu");
    check("bert", "config.json", "\"is_decoder\": false", "\"is_decoder\": true", "is_decoder to true");
    check("bert", "config.json", "\"vocab_size\"", "\"surprise\": 1, \"vocab_size\"", "surprise to 1");
    check("bert", "1_Pooling/config.json", "\"mean\"", "\"median\"", "pooling_mode to \"median\"");
    check("bert", "1_Pooling/config.json", "24", "25", "embedding_dimension to 25");
    check("bert", "modules.json", "normalize.Normalize", "wlp.WeightedLayerPooling", "[2].type");
    check("bert_dense", "2_Dense/config.json", "activation.Tanh", "activation.Mish", "activation_function");
    check("bert_dense", "2_Dense/config.json", "\"in_features\": 72", "\"in_features\": 70", "the width 72");
    check(
        "mpnet",
        "config.json",
        "\"relative_attention_num_buckets\": 32",
        "\"relative_attention_num_buckets\": 64",
        "num_buckets to 64",
    );
    check(
        "bert_prompt",
        "config_sentence_transformers.json",
        "\"default_prompt_name\": \"passage\"",
        "\"default_prompt_name\": \"x\"",
        "default_prompt_name to x",
    );
    check("roberta", "sentence_bert_config.json", "{", "{\"max_seq_length\": 31,", "at most 30");
}

#[test]
fn rotary_settings_that_are_not_implemented_are_refused_by_name() {
    let file = "config.json";
    check(
        "modernbert",
        file,
        "\"rope_type\": \"default\"",
        "\"rope_type\": \"yarn\"",
        "rope_parameters.rope_type",
    );
    check("modernbert", file, "\"sliding_attention\",", "\"chunked_attention\",", "for each of 4 layers");
    check("modernbert", file, "\"num_attention_heads\": 3", "\"num_attention_heads\": 8", "an even width");
    check(
        "modernbert",
        file,
        "\"norm_bias\"",
        "\"rope_scaling\": {\"type\": \"linear\"}, \"norm_bias\"",
        "rope_scaling",
    );
    check("nomic_bert", file, "\"silu\"", "\"gelu\"", "hidden_act to gelu");
    check("nomic_bert", file, "\"vocab_size\"", "\"num_experts\": 8, \"vocab_size\"", "num_experts to 8");
    check(
        "qwen3",
        file,
        "\"use_sliding_window\": false",
        "\"use_sliding_window\": true",
        "use_sliding_window to true",
    );
    check(
        "qwen3",
        file,
        "\"num_key_value_heads\": 2",
        "\"num_key_value_heads\": 3",
        "a divisor of the heads 4",
    );
    check(
        "gemma3",
        file,
        "\"attn_logit_softcapping\": null",
        "\"attn_logit_softcapping\": 50.0",
        "softcapping to 50",
    );
}

#[test]
fn the_older_form_of_the_files_gives_the_same_vectors() {
    use crate::support::{encode, family, texts};
    let dir = copy("bert_dense");
    let old = r#"{"word_embedding_dimension": 24, "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false,
        "pooling_mode_max_tokens": true, "pooling_mode_mean_sqrt_len_tokens": true}"#;
    std::fs::write(dir.path().join("1_Pooling/config.json"), old).unwrap();
    std::fs::write(
        dir.path().join("sentence_bert_config.json"),
        r#"{"max_seq_length": 22, "do_lower_case": true}"#,
    )
    .unwrap();
    std::fs::remove_file(dir.path().join("tokenizer_config.json")).unwrap();
    let encoder = SentenceEncoder::load(dir.path(), Placement::cpu()).unwrap();
    let options = Default::default();
    assert_eq!(encode(&encoder, &texts(), &options), encode(&family("bert_dense"), &texts(), &options));
}
