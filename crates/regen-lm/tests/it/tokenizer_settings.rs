//! What stands beside `tokenizer.json` counts as it does for transformers, or is refused by field and file.

use std::path::Path;

use regen_lm::chat::{Chat, ChatTemplate, Message, Role};
use regen_lm::{Error, TextTokenizer, train_bpe};
use serde_json::{Map, Value, json};

const CONFIG: &str = "tokenizer_config.json";
const MAP: &str = "special_tokens_map.json";

/// A folder with a byte-level BPE; its begin token is 1 and its end token 2.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    train_bpe(["a blue pen ."].into_iter(), 300, &[]).unwrap().save(dir.path()).unwrap();
    dir
}

fn edit(dir: &Path, file: &str, edit: impl FnOnce(&mut Map<String, Value>)) {
    let path = dir.join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|_| "{}".to_owned());
    let mut object: Map<String, Value> = serde_json::from_str(&text).unwrap();
    edit(&mut object);
    std::fs::write(&path, Value::Object(object).to_string()).unwrap();
}

/// The tokenizer of a folder with another field in a file.
fn with(dir: &Path, file: &str, field: &str, value: &Value) -> Result<TextTokenizer, Error> {
    edit(dir, file, |object| {
        object.insert(field.to_owned(), value.clone());
    });
    TextTokenizer::load(dir)
}

/// Expects a refusal by field and file.
fn refused(dir: &Path, file: &str, field: &str, value: &Value) {
    refused_as(dir, file, (field, value), field);
}

fn refused_as(dir: &Path, file: &str, (field, value): (&str, &Value), named: &str) {
    match with(dir, file, field, value) {
        Err(
            Error::InvalidConfig { path: Some(path), field: got, .. }
            | Error::UnsupportedConfig { path: Some(path), field: got, .. },
        ) => assert_eq!((got.as_str(), path), (named, dir.join(file)), "{field} {value}"),
        other => panic!("{field} {value}: {other:?}"),
    }
}

/// Puts begin and end tokens around every text, as `tokenizer.json` can.
fn complete(dir: &Path) {
    edit(dir, "tokenizer.json", |object| {
        let special = |text: &str| json!({ "SpecialToken": { "id": text, "type_id": 0 } });
        let text = json!({ "Sequence": { "id": "A", "type_id": 0 } });
        object.insert(
            "post_processor".to_owned(),
            json!({
                "type": "TemplateProcessing",
                "single": [special("<|bos|>"), text, special("<|eos|>")],
                "pair": [text, { "Sequence": { "id": "B", "type_id": 0 } }],
                "special_tokens": {
                    "<|bos|>": { "id": "<|bos|>", "ids": [1], "tokens": ["<|bos|>"] },
                    "<|eos|>": { "id": "<|eos|>", "ids": [2], "tokens": ["<|eos|>"] },
                },
            }),
        );
    });
}

/// As in transformers 5: folders that everybody uses ask for tokens that their template does not add, or the other way round.
#[test]
fn begin_and_end_tokens_are_those_of_the_template_whatever_is_asked_for_beside_it() {
    for completes in [false, true] {
        for field in ["add_bos_token", "add_eos_token"] {
            for asked in [json!(true), json!(false), Value::Null] {
                let dir = folder();
                if completes {
                    complete(dir.path());
                }
                let tokenizer = with(dir.path(), CONFIG, field, &asked).unwrap();
                let ids = tokenizer.encode_with_special("a pen").unwrap();
                let around = (ids.starts_with(&[1]), ids.ends_with(&[2]));
                assert_eq!(around, (completes, completes), "{field} {asked}");
            }
            refused(folder().path(), CONFIG, field, &json!("yes"));
        }
    }
}

#[test]
fn spaces_are_cleaned_up_in_no_vocabulary() {
    let field = "clean_up_tokenization_spaces";
    // The reference leaves BPE as it is, whatever this says: Llama 3 says true.
    let tokenizer = with(folder().path(), CONFIG, field, &json!(true)).unwrap();
    let ids = tokenizer.encode("a pen .").unwrap();
    assert_eq!(tokenizer.decode(&ids).unwrap(), "a pen .");
    refused(folder().path(), CONFIG, field, &json!("no"));
    let words = || {
        let dir = folder();
        edit(dir.path(), "tokenizer.json", |object| {
            let vocab = json!({ "<|pad|>": 0, "<|bos|>": 1, "<|eos|>": 2, "a": 3 });
            let model = json!({ "type": "WordLevel", "vocab": vocab, "unk_token": "a" });
            object.insert("model".to_owned(), model);
        });
        dir
    };
    with(words().path(), CONFIG, field, &json!(false)).unwrap();
    refused(words().path(), CONFIG, field, &json!(true));
    for field in [
        "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output",
        "fix_mistral_regex",
        "split_special_tokens",
    ] {
        with(folder().path(), CONFIG, field, &json!(false)).unwrap();
        refused(folder().path(), CONFIG, field, &json!(true));
    }
}

#[test]
fn roles_of_another_type_are_refused() {
    for role in ["bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token"] {
        for wrong in [json!(5), json!(false), json!(["<|bos|>"]), json!({}), json!({ "content": 7 })] {
            refused(folder().path(), CONFIG, role, &wrong);
            refused(folder().path(), MAP, role, &wrong);
        }
        let flag = json!({ "content": "<|bos|>", "lstrip": "no" });
        refused(folder().path(), CONFIG, role, &flag);
    }
    let object = json!({ "content": "<|eos|>", "lstrip": false });
    assert_eq!(with(folder().path(), CONFIG, "bos_token", &object).unwrap().bos_id(), Some(2));
}

#[test]
fn the_map_of_special_tokens_goes_before_the_configuration_unless_that_lists_all_tokens() {
    let dir = folder();
    assert_eq!(with(dir.path(), MAP, "bos_token", &json!("<|eos|>")).unwrap().bos_id(), Some(2));
    let listed = json!({ "1": { "content": "<|bos|>", "special": true } });
    assert_eq!(with(dir.path(), CONFIG, "added_tokens_decoder", &listed).unwrap().bos_id(), Some(1));
}

#[test]
fn tokens_that_only_the_configuration_knows_are_added_behind_the_others() {
    let dir = folder();
    let rows = TextTokenizer::load(dir.path()).unwrap().vocab_size();
    let tokenizer = with(dir.path(), CONFIG, "mask_token", &json!("<mask>")).unwrap();
    assert_eq!(tokenizer.encode("<mask>").unwrap(), [rows]);
    let tokenizer = with(dir.path(), CONFIG, "image_token", &json!("<image>")).unwrap();
    assert_eq!(tokenizer.encode("<mask><image>").unwrap(), [rows, rows + 1]);
    let more = json!(["<one>", { "content": "<two>" }]);
    let tokenizer = with(dir.path(), CONFIG, "additional_special_tokens", &more).unwrap();
    assert_eq!(tokenizer.encode("<one><two>").unwrap(), [rows + 2, rows + 3]);
    tokenizer.check_fits(rows).unwrap();
    assert!(!tokenizer.encode_plain("<two>").unwrap().contains(&(rows + 3)));
    refused(dir.path(), CONFIG, "additional_special_tokens", &json!(7));
    refused(dir.path(), CONFIG, "additional_special_tokens", &json!([7]));

    // A piece of the vocabulary keeps its id when it becomes special.
    let dir = folder();
    let known = TextTokenizer::load(dir.path()).unwrap();
    let (id, text) = (known.id("a").unwrap(), "a");
    let tokenizer = with(dir.path(), CONFIG, "sep_token", &json!(text)).unwrap();
    assert_eq!((tokenizer.encode(text).unwrap(), tokenizer.vocab_size()), (vec![id], known.vocab_size()));
    assert_eq!(tokenizer.decode(&[id]).unwrap(), "");
}

#[test]
fn listed_tokens_have_the_ids_that_the_list_says() {
    let field = "added_tokens_decoder";
    let dir = folder();
    let rows = TextTokenizer::load(dir.path()).unwrap().vocab_size();
    let entry = |id: i64, content: &str| json!({ id.to_string(): { "content": content, "special": true } });
    let tokenizer = with(dir.path(), CONFIG, field, &entry(rows, "<new>")).unwrap();
    assert_eq!(tokenizer.encode("<new>").unwrap(), [rows]);
    let named = format!("{field}.{}", rows + 5);
    refused_as(dir.path(), CONFIG, (field, &entry(rows + 5, "<new>")), &named);
    refused_as(dir.path(), CONFIG, (field, &entry(7, "<|bos|>")), &format!("{field}.7"));
    refused_as(dir.path(), CONFIG, (field, &json!({ "one": { "content": "x" } })), &format!("{field}.one"));
    refused_as(dir.path(), CONFIG, (field, &json!({ "1": 5 })), &format!("{field}.1"));
    refused(dir.path(), CONFIG, field, &json!(5));
}

#[test]
fn a_template_of_another_type_is_refused_beside_its_file_too() {
    let dir = folder();
    std::fs::write(dir.path().join("chat_template.jinja"), "x").unwrap();
    refused(dir.path(), CONFIG, "chat_template", &json!(7));
    refused(dir.path(), CONFIG, "chat_template", &json!([{ "name": "x" }]));
    let kept = with(dir.path(), CONFIG, "chat_template", &json!("y")).unwrap();
    assert_eq!(ChatTemplate::of(&kept).unwrap().render(&Chat::default()).unwrap(), "x");
}

#[test]
fn no_field_or_variable_takes_the_place_of_what_a_conversation_says() {
    let tokenizer = train_bpe(["a pen"].into_iter(), 300, &[]).unwrap();
    let template = ChatTemplate::new("{{ messages[0].role }}", &tokenizer).unwrap();
    for name in ["role", "content"] {
        let mut message = Message::new(Role::User, "x");
        message.fields.insert(name.to_owned(), json!(7));
        let refused = template.render(&Chat::asking(vec![message]));
        assert!(matches!(refused, Err(Error::Argument { ref got, .. }) if got.contains(name)), "{refused:?}");
    }
    for name in ["messages", "tools", "documents", "add_generation_prompt"] {
        let mut chat = Chat::asking(vec![Message::new(Role::User, "x")]);
        chat.variables.insert(name.to_owned(), json!("y"));
        let refused = template.encode(&chat);
        assert!(matches!(refused, Err(Error::Argument { ref got, .. }) if got.contains(name)), "{refused:?}");
    }
}
