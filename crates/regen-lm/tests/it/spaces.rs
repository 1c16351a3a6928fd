//! `add_prefix_space` moves the ids that it moves in transformers, and no others.

use std::path::{Path, PathBuf};

use regen_lm::{Error, TextTokenizer};
use serde_json::{Value, json};

use crate::support::golden;

fn expected() -> Value {
    let text = std::fs::read_to_string(golden("spaces").join("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A folder with a vocabulary of the golden file, some of its parts exchanged.
fn folder(all: &Value, name: &str, parts: &Value, config: &Value, model_type: &Value) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut whole = all["vocabularies"][name].clone();
    for (part, value) in parts.as_object().unwrap() {
        whole[part] = value.clone();
    }
    let write = |file: &str, value: &Value| std::fs::write(dir.path().join(file), value.to_string()).unwrap();
    write("tokenizer.json", &whole);
    write("tokenizer_config.json", config);
    if !model_type.is_null() {
        write("config.json", &json!({ "model_type": model_type }));
    }
    dir
}

fn ids(tokenizer: &TextTokenizer, texts: &Value) -> Vec<Vec<i64>> {
    let texts = texts.as_array().unwrap().iter();
    texts.map(|text| tokenizer.encode(text.as_str().unwrap()).unwrap()).collect()
}

#[test]
fn what_a_folder_asks_for_against_its_tokenizer_is_done_or_not_as_in_transformers() {
    let all = expected();
    for case in all["cases"].as_array().unwrap() {
        let name = case["vocabulary"].as_str().unwrap();
        let told = format!("{} {} {}", case["model_type"], case["config"], case["parts"]);
        let dir = folder(&all, name, &case["parts"], &case["config"], &case["model_type"]);
        let tokenizer = TextTokenizer::load(dir.path()).unwrap_or_else(|error| panic!("{told}: {error}"));
        let got = ids(&tokenizer, &all["texts"][name]);
        assert_eq!(json!(got), case["ids"], "{told}");
        let decoded: Vec<String> = got.iter().map(|row| tokenizer.decode(row).unwrap()).collect();
        assert_eq!(json!(decoded), case["decoded"], "{told}");
        // What is not trusted is encoded on a way of its own; special tokens are none there.
        for (row, text) in got.iter().zip(all["texts"][name].as_array().unwrap()) {
            let text = text.as_str().unwrap();
            if !text.contains('<') {
                assert_eq!(&tokenizer.encode_plain(text).unwrap(), row, "{told}");
            }
        }
        // The folder that is saved says the same without being asked.
        let saved = dir.path().join("saved");
        tokenizer.save(&saved).unwrap();
        assert_eq!(ids(&TextTokenizer::load(&saved).unwrap(), &all["texts"][name]), got, "{told}");
    }
}

/// Ids of a folder of Llama's class.
fn of_llama(all: &Value, parts: &Value, asked: &Value) -> Result<Vec<i64>, Error> {
    let config = json!({ "tokenizer_class": "LlamaTokenizer", "add_prefix_space": asked });
    let dir = folder(all, "pieces", parts, &config, &json!("llama"));
    TextTokenizer::load(dir.path())?.encode(" a")
}

/// The class would make parts of its own, by which a space before a text is only one.
#[test]
fn where_both_say_the_same_or_one_says_nothing_the_tokenizer_is_as_its_file_has_it() {
    let all = expected();
    let prepend = json!({ "normalizer": { "type": "Sequence", "normalizers": [
        { "type": "Prepend", "prepend": "▁" },
        { "type": "Replace", "pattern": { "String": " " }, "content": "▁" },
    ] } });
    let id = |token: &str| all["vocabularies"]["pieces"]["model"]["vocab"][token].as_i64().unwrap();
    for asked in [json!(true), Value::Null] {
        assert_eq!(of_llama(&all, &prepend, &asked).unwrap(), [id("▁"), id("▁a")], "{asked}");
    }
    assert_eq!(of_llama(&all, &prepend, &json!(false)).unwrap(), [id("▁a")]);
}

fn refused(dir: &Path) -> PathBuf {
    match TextTokenizer::load(dir) {
        Err(Error::InvalidConfig { path: Some(path), field, .. }) if field == "add_prefix_space" => path,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tokenizer_whose_parts_are_not_those_of_its_class_is_refused_by_field_and_file() {
    let all = expected();
    let words =
        json!({ "type": "WordLevel", "vocab": { "<unk>": 0, "<s>": 1, "</s>": 2 }, "unk_token": "<unk>" });
    for (name, parts, class, asked) in [
        ("pieces", json!({ "model": words }), "LlamaTokenizer", json!(true)),
        ("bytes", json!({ "pre_tokenizer": { "type": "Whitespace" } }), "GPT2Tokenizer", json!(true)),
        ("bytes", json!({}), "Qwen2Tokenizer", json!(true)),
        ("bytes", json!({}), "Qwen2Tokenizer", json!("yes")),
    ] {
        let config = json!({ "tokenizer_class": class, "add_prefix_space": asked });
        let dir = folder(&all, name, &parts, &config, &Value::Null);
        assert_eq!(refused(dir.path()), dir.path().join("tokenizer_config.json"), "{class} {asked}");
    }
}
