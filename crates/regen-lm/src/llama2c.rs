//! Conversion of llama2.c checkpoints (version 0) and their tokenizers into a Hugging Face folder.
//!
//! The file is seven 32-bit integers and then f32 tensors in a fixed order; queries and keys are rotated in
//! neighbouring pairs there and in halves here, so their rows are put into another order once.
//!
//! **Source** github.com/karpathy/llama2.c, `export.py` (`legacy_export`), `tokenizer.py`, `run.c`.

use std::collections::HashMap;
use std::path::Path;

use regen_torch::save_tensors;
use serde_json::{Value, json};
use tch::Tensor;

use crate::config::{DecoderConfig, Positions, Rope, SpecialIds};
use crate::error::{Error, Result};
use crate::families;

/// Ids of unknown, begin and end in every llama2.c tokenizer, and of the first of 256 byte tokens.
const UNKNOWN: i64 = 0;
const BEGIN: i64 = 1;
const END: i64 = 2;
const FIRST_BYTE: usize = 3;

/// Reads a llama2.c version 0 checkpoint and its `tokenizer.bin` and writes `config.json`,
/// `model.safetensors`, `tokenizer.json` and `tokenizer_config.json` into `out`, which is made if absent.
///
/// # Errors
/// [`Error::Io`]; [`Error::Truncated`] if a file is shorter or longer than its header says;
/// [`Error::InvalidConfig`] for a header that describes no model, and for pieces of text without a length, a score or a text of their
/// own; [`Error::Checkpoint`] for weights that are not finite.
pub fn convert(checkpoint: &Path, tokenizer: &Path, out: &Path) -> Result<()> {
    let (config, tensors) = read_checkpoint(checkpoint)?;
    let pieces = read_pieces(tokenizer, config.vocab as usize)?;
    let described = families::to_json(&config, "float32", &out.join("config.json"))?;
    std::fs::create_dir_all(out).map_err(Error::io("make", out))?;
    save_tensors(&out.join("model.safetensors"), &tensors, &[("format", "pt")])?;
    let write =
        |name: &str, value: &Value| crate::files::write(&out.join(name), format!("{value:#}\n").as_bytes());
    write("config.json", &described)?;
    write("tokenizer.json", &tokenizer_json(&pieces))?;
    write(
        "tokenizer_config.json",
        &json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "unk_token": "<unk>",
            "bos_token": "<s>",
            "eos_token": "</s>",
            "clean_up_tokenization_spaces": false,
        }),
    )
}

/// Little-endian numbers one after another.
struct Reader<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self.at.saturating_add(count);
        let Some(slice) = self.bytes.get(self.at..end) else {
            return Err(Error::Truncated {
                path: self.path.to_owned(),
                expected: end as u64,
                got: self.bytes.len() as u64,
            });
        };
        self.at = end;
        Ok(slice)
    }

    fn four(&mut self) -> Result<[u8; 4]> {
        let slice = self.take(4)?;
        Ok([slice[0], slice[1], slice[2], slice[3]])
    }

    fn integer(&mut self) -> Result<i64> {
        Ok(i64::from(i32::from_le_bytes(self.four()?)))
    }

    fn number(&mut self) -> Result<f32> {
        Ok(f32::from_le_bytes(self.four()?))
    }

    /// Weights that are to get this name.
    fn tensor(&mut self, name: &str, shape: &[i64]) -> Result<Tensor> {
        let count = shape.iter().product::<i64>() as usize;
        let bytes = self.take(4 * count)?;
        let tensor = Tensor::f_from_data_size(bytes, shape, tch::Kind::Float)?;
        if tensor.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
            let (tensor, path) = (name.to_owned(), self.path.to_owned());
            return Err(Error::Checkpoint(regen_torch::Error::NonFinite { tensor, path }));
        }
        Ok(tensor)
    }

    fn finish(&self) -> Result<()> {
        if self.at == self.bytes.len() {
            return Ok(());
        }
        Err(Error::Truncated {
            path: self.path.to_owned(),
            expected: self.at as u64,
            got: self.bytes.len() as u64,
        })
    }
}

fn read_checkpoint(path: &Path) -> Result<(DecoderConfig, Vec<(String, Tensor)>)> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let mut reader = Reader { path, bytes: &bytes, at: 0 };
    let mut header = [0i64; 7];
    for field in &mut header {
        *field = reader.integer()?;
    }
    let [hidden, intermediate, layers, heads, kv_heads, signed_vocab, max_positions] = header;
    // A negative vocabulary marks a classifier of its own.
    let (vocab, tied) = (signed_vocab.abs(), signed_vocab > 0);
    if heads < 1 || hidden < 1 || hidden % heads != 0 || (hidden / heads) % 2 != 0 {
        return Err(Error::InvalidConfig {
            path: Some(path.to_owned()),
            field: "llama2.c header".to_owned(),
            expected: "heads of an even width".to_owned(),
            got: format!("dim {hidden}, {heads} heads"),
        });
    }
    let head_dim = hidden / heads;
    let mut config = DecoderConfig::preset("1m", vocab).map_err(Error::of_file(path))?;
    config.hidden = hidden;
    config.intermediate = intermediate;
    config.layers = layers;
    config.heads = heads;
    config.kv_heads = kv_heads;
    config.head_dim = head_dim;
    config.max_positions = max_positions;
    config.query_scale = 1.0 / (head_dim as f64).sqrt();
    config.positions = Positions::Rotary(Rope { theta: 1e4, rotary_dim: head_dim, scaling: None });
    config.tied = tied;
    config.special = SpecialIds { bos: Some(BEGIN), eos: vec![END, BEGIN], pad: None };
    config.validate().map_err(Error::of_file(path))?;

    let kv = kv_heads * head_dim;
    let embedding = "model.embed_tokens.weight";
    let mut tensors = vec![(embedding.to_owned(), reader.tensor(embedding, &[vocab, hidden])?)];
    let stacked: [(&str, Vec<i64>); 9] = [
        ("input_layernorm", vec![hidden]),
        ("self_attn.q_proj", vec![hidden, hidden]),
        ("self_attn.k_proj", vec![kv, hidden]),
        ("self_attn.v_proj", vec![kv, hidden]),
        ("self_attn.o_proj", vec![hidden, hidden]),
        ("post_attention_layernorm", vec![hidden]),
        ("mlp.gate_proj", vec![intermediate, hidden]),
        ("mlp.down_proj", vec![hidden, intermediate]),
        ("mlp.up_proj", vec![intermediate, hidden]),
    ];
    for (name, shape) in stacked {
        for layer in 0..layers {
            let stored = format!("model.layers.{layer}.{name}.weight");
            let mut tensor = reader.tensor(&stored, &shape)?;
            match name {
                "self_attn.q_proj" => tensor = halves(&tensor, heads)?,
                "self_attn.k_proj" => tensor = halves(&tensor, kv_heads)?,
                _ => {}
            }
            tensors.push((stored, tensor));
        }
    }
    let norm = "model.norm.weight";
    tensors.push((norm.to_owned(), reader.tensor(norm, &[hidden])?));
    // Tables of cosines and sines, which are computed here.
    reader.take(4 * (2 * max_positions * (head_dim / 2)) as usize)?;
    if !tied {
        let head = "lm_head.weight";
        tensors.push((head.to_owned(), reader.tensor(head, &[vocab, hidden])?));
    }
    reader.finish()?;
    Ok((config, tensors))
}

/// Rows of each head from neighbouring pairs to halves.
fn halves(weight: &Tensor, heads: i64) -> Result<Tensor> {
    let (rows, columns) = weight.size2()?;
    Ok(weight.f_view([heads, rows / heads / 2, 2, columns])?.f_transpose(1, 2)?.f_reshape([rows, columns])?)
}

/// A piece of text with the score that orders merges.
struct Piece {
    text: String,
    score: f32,
}

fn read_pieces(path: &Path, vocab: usize) -> Result<Vec<Piece>> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let mut reader = Reader { path, bytes: &bytes, at: 0 };
    let longest = reader.integer()?; // Bytes; it sized a buffer.
    let wrong = |id: usize, expected: String, got: String| Error::InvalidConfig {
        path: Some(path.to_owned()),
        field: format!("piece {id}"),
        expected,
        got,
    };
    let mut known = HashMap::new();
    let mut pieces = Vec::with_capacity(vocab);
    for id in 0..vocab {
        let score = reader.number()?;
        let length = reader.integer()?;
        if !score.is_finite() {
            return Err(wrong(id, "a finite score".to_owned(), score.to_string()));
        }
        if !(0..=longest).contains(&length) {
            let expected =
                format!("between 0 bytes and the longest piece's, which the file says are {longest}");
            return Err(wrong(id, expected, length.to_string()));
        }
        let text = reader.take(length as usize)?;
        let text = match id {
            0 => "<unk>".to_owned(),
            1 => "<s>".to_owned(),
            2 => "</s>".to_owned(),
            _ => match std::str::from_utf8(text) {
                Ok(text) => text.replace(' ', "▁"),
                Err(_) => return Err(wrong(id, "text in UTF-8".to_owned(), format!("{text:?}"))),
            },
        };
        // Ids are found by their texts.
        if let Some(first) = known.insert(text.clone(), id) {
            return Err(wrong(id, format!("another text than piece {first}"), format!("{text:?}")));
        }
        pieces.push(Piece { text, score });
    }
    reader.finish()?;
    Ok(pieces)
}

/// SentencePiece's BPE as the tokenizers package spells it: merges ordered by score.
fn tokenizer_json(pieces: &[Piece]) -> Value {
    let by_text: HashMap<&str, usize> =
        pieces.iter().enumerate().map(|(id, p)| (p.text.as_str(), id)).collect();
    // Every way to split a piece into two pieces is a merge; better scores merge first.
    let mut merges: Vec<(f32, usize, usize)> = Vec::new();
    for piece in pieces.iter().skip(FIRST_BYTE + 256) {
        for (cut, _) in piece.text.char_indices().skip(1) {
            if let (Some(left), Some(right)) =
                (by_text.get(&piece.text[..cut]), by_text.get(&piece.text[cut..]))
            {
                merges.push((piece.score, *left, *right));
            }
        }
    }
    merges.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let merges: Vec<Value> =
        merges.iter().map(|(_, left, right)| json!([pieces[*left].text, pieces[*right].text])).collect();
    let vocab: serde_json::Map<String, Value> =
        pieces.iter().enumerate().map(|(id, piece)| (piece.text.clone(), json!(id))).collect();
    let special = |id: i64, text: &str| {
        json!({
            "id": id, "content": text, "special": true,
            "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        })
    };
    let begin = json!({ "SpecialToken": { "id": "<s>", "type_id": 0 } });
    let sequence = |name: &str| json!({ "Sequence": { "id": name, "type_id": 0 } });
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [special(UNKNOWN, "<unk>"), special(BEGIN, "<s>"), special(END, "</s>")],
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "Prepend", "prepend": "▁" },
            { "type": "Replace", "pattern": { "String": " " }, "content": "▁" },
        ]},
        "pre_tokenizer": null,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begin, sequence("A")],
            "pair": [begin, sequence("A"), sequence("B")],
            "special_tokens": { "<s>": { "id": "<s>", "ids": [BEGIN], "tokens": ["<s>"] } },
        },
        "decoder": { "type": "Sequence", "decoders": [
            { "type": "Replace", "pattern": { "String": "▁" }, "content": " " },
            { "type": "ByteFallback" },
            { "type": "Fuse" },
            { "type": "Strip", "content": " ", "start": 1, "stop": 0 },
        ]},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": vocab, "merges": merges,
        },
    })
}
