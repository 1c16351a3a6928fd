//! Folders as the makers of popular models publish them are read: the settings of each, over a vocabulary of a few letters. Numbers of
//! parameters are those that their makers state.

use std::path::Path;

use regen_lm::generate::GenerationDefaults;
use regen_lm::{Decoder, DecoderConfig, Sampling, TextTokenizer, train_bpe};
use regen_torch::seed;
use serde_json::{Map, Value, json};
use tch::{Device, nn};

use crate::published_folders::{byte_models, piece_models};

/// What a folder says; tokens have other ids here.
pub(crate) struct Published {
    pub(crate) name: &'static str,
    /// `config.json`, and how many numbers such a model has.
    pub(crate) model: Value,
    pub(crate) parameters: i64,
    /// Special tokens of `tokenizer.json`; those that begin and end a text, as the configuration names them.
    pub(crate) tokens: &'static [&'static str],
    pub(crate) begin: Option<&'static str>,
    pub(crate) end: &'static str,
    /// How `tokenizer.json` cuts texts.
    pub(crate) cut: Cut,
    /// Whether its template puts the begin token before a text.
    pub(crate) begins: bool,
    /// `tokenizer_config.json`, whether it lists all special tokens with their ids, and `special_tokens_map.json`.
    pub(crate) tokenizer: Value,
    pub(crate) lists: bool,
    pub(crate) map: Value,
    /// `generation_config.json`, and whether it draws.
    pub(crate) generation: Value,
    pub(crate) draws: bool,
}

pub(crate) enum Cut {
    /// Into bytes, after a regular expression or nothing.
    Bytes,
    /// As SentencePiece does, with a mark before the text: by the normaliser, or by Metaspace.
    Prepend,
    Metaspace,
    /// Spaces become marks, and none is added.
    Replace,
}

impl Cut {
    fn parts(&self) -> (Value, Value) {
        let bytes = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false });
        let mark = json!({ "type": "Replace", "pattern": { "String": " " }, "content": "▁" });
        match self {
            Self::Bytes => {
                let digits = json!({ "type": "Digits", "individual_digits": true });
                (Value::Null, json!({ "type": "Sequence", "pretokenizers": [digits, bytes] }))
            }
            Self::Prepend => {
                let prepend = json!({ "type": "Prepend", "prepend": "▁" });
                (json!({ "type": "Sequence", "normalizers": [prepend, mark] }), Value::Null)
            }
            Self::Metaspace => {
                let mark = json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false });
                (Value::Null, mark)
            }
            Self::Replace => {
                let split = json!({ "type": "Split", "pattern": { "String": " " }, "behavior": "MergedWithPrevious", "invert": false });
                (mark, split)
            }
        }
    }
}

fn write(dir: &Path, file: &str, value: &Value) {
    std::fs::write(dir.join(file), value.to_string()).unwrap();
}

impl Published {
    fn folder(&self) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let trained = train_bpe(["a pen"].into_iter(), 300, self.tokens).unwrap();
        trained.save(dir.path()).unwrap();
        let path = dir.path().join("tokenizer.json");
        let mut whole: Map<String, Value> =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let (normalizer, pre_tokenizer) = self.cut.parts();
        let text = json!({ "Sequence": { "id": "A", "type_id": 0 } });
        let template = match self.begin.filter(|_| self.begins) {
            Some(begin) => json!({
                "type": "TemplateProcessing",
                "single": [{ "SpecialToken": { "id": begin, "type_id": 0 } }, text],
                "pair": [text, { "Sequence": { "id": "B", "type_id": 1 } }],
                "special_tokens": { begin: { "id": begin, "ids": [trained.id(begin)], "tokens": [begin] } },
            }),
            None => {
                json!({ "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true })
            }
        };
        for (part, value) in
            [("normalizer", normalizer), ("pre_tokenizer", pre_tokenizer), ("post_processor", template)]
        {
            whole.insert(part.to_owned(), value);
        }
        write(dir.path(), "tokenizer.json", &Value::Object(whole));
        let mut tokenizer = self.tokenizer.clone();
        if self.lists {
            let listed = self.tokens.iter().map(|token| {
                let flags = json!({ "content": token, "lstrip": false, "normalized": false, "rstrip": false, "single_word": false, "special": true });
                (trained.id(token).unwrap().to_string(), flags)
            });
            tokenizer["added_tokens_decoder"] = Value::Object(listed.collect());
        }
        write(dir.path(), "tokenizer_config.json", &tokenizer);
        if !self.map.is_null() {
            write(dir.path(), "special_tokens_map.json", &self.map);
        }
        write(dir.path(), "config.json", &self.model);
        write(dir.path(), "generation_config.json", &self.generation);
        dir
    }
}

#[test]
fn folders_of_popular_models_are_read_whole() {
    for published in byte_models().into_iter().chain(piece_models()) {
        let (name, dir) = (published.name, published.folder());
        let config = DecoderConfig::from_hf(dir.path()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(config.parameters(), published.parameters, "{name}");
        let tokenizer = TextTokenizer::load(dir.path()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let begin = published.begin.map(|begin| tokenizer.id(begin).unwrap());
        assert_eq!((tokenizer.bos_id(), tokenizer.eos_id()), (begin, tokenizer.id(published.end)), "{name}");
        let ids = tokenizer.encode_with_special("a").unwrap();
        assert_eq!(begin == ids.first().copied(), published.begins, "{name}: {ids:?}");
        assert!(ids.contains(&tokenizer.id("a").unwrap()), "{name}: {ids:?}");
        let defaults =
            GenerationDefaults::load(dir.path(), &config).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(defaults.options.sampling != Sampling::Greedy, published.draws, "{name}");
        assert!(!defaults.options.stop.is_empty() && defaults.beam.is_none(), "{name}");
    }
}

/// Small enough to be made here: fewer layers, narrower ones, fewer tokens, and everything else as published.
#[test]
fn models_with_the_settings_of_popular_ones_are_saved_so_that_none_is_lost() {
    for mut published in byte_models().into_iter().chain(piece_models()) {
        let (gpt2, model) = (published.model["model_type"] == "gpt2", &mut published.model);
        let heads = model[if gpt2 { "n_head" } else { "num_attention_heads" }].as_i64().unwrap();
        let (width, layers) = if gpt2 { ("n_embd", "n_layer") } else { ("hidden_size", "num_hidden_layers") };
        (model["vocab_size"], model[width], model[layers]) = (json!(61), json!(4 * heads), json!(7));
        if !gpt2 {
            model["intermediate_size"] = json!(12);
        }
        let dir = published.folder();
        let config = DecoderConfig::from_hf(dir.path()).unwrap();
        let vs = nn::VarStore::new(Device::Cpu);
        let decoder = Decoder::new(&vs.root(), &config, &mut seed::rng(1, 0)).unwrap();
        let saved = dir.path().join("saved");
        decoder.save(&saved).unwrap_or_else(|error| panic!("{}: {error}", published.name));
        assert_eq!(DecoderConfig::from_hf(&saved).unwrap(), config, "{}", published.name);
    }
}

/// A file of every setting, as some releases of transformers write, says what an empty one does.
#[test]
fn settings_of_generation_written_out_in_full_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = DecoderConfig::preset("1m", 300).unwrap();
    let read = |file: &Value| {
        write(dir.path(), "generation_config.json", file);
        GenerationDefaults::load(dir.path(), &config).unwrap()
    };
    let full = json!({
        "assistant_confidence_threshold": 0.4, "assistant_lookbehind": 10, "bos_token_id": null, "disable_compile": false,
        "diversity_penalty": 0.0, "do_sample": false, "early_stopping": false, "encoder_no_repeat_ngram_size": 0,
        "encoder_repetition_penalty": 1.0, "eos_token_id": null, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0, "is_assistant": false,
        "length_penalty": 1.0, "max_new_tokens": null, "min_length": 0, "no_repeat_ngram_size": 0, "num_assistant_tokens": 20,
        "num_assistant_tokens_schedule": "constant", "num_beam_groups": 1, "num_beams": 1, "num_return_sequences": 1,
        "output_attentions": false, "output_scores": false, "remove_invalid_values": false, "renormalize_logits": false,
        "repetition_penalty": 1.0, "return_dict_in_generate": false, "return_legacy_cache": true, "target_lookbehind": 10,
        "temperature": 1.0, "token_healing": false, "top_k": 50, "top_p": 1.0, "typical_p": 1.0, "use_cache": true,
    });
    assert_eq!(read(&full), read(&json!({})));
}
