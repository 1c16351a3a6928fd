//! llama2.c files become folders that compute and tokenise the same.

use regen_lm::{Error, GenerateOptions, PaddingMask, TextTokenizer, generate, llama2c};
use tch::Tensor;

use crate::support::{golden, load};

#[test]
fn a_converted_checkpoint_computes_what_its_own_program_computes() {
    let from = golden("llama2c");
    let dir = tempfile::tempdir().unwrap();
    llama2c::convert(&from.join("model.bin"), &from.join("tokenizer.bin"), dir.path()).unwrap();
    let decoder = load(dir.path());
    let tokenizer = TextTokenizer::load(dir.path()).unwrap();
    tokenizer.check_fits(decoder.config().vocab()).unwrap();
    let text = std::fs::read_to_string(from.join("expected.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
    for case in expected.as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let ids = tokenizer.encode_with_special(text).unwrap();
        assert_eq!(serde_json::json!(ids), case["ids"], "{text}");
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
        let embeds = decoder.embed(&Tensor::from_slice(&ids).unsqueeze(0)).unwrap();
        let mask = PaddingMask::full(1, ids.len() as i64);
        let hidden = decoder.forward(&embeds, &mask, None).unwrap();
        let logits = decoder.logits(&hidden.select(1, -1)).unwrap();
        for (id, value) in case["logits"].as_array().unwrap().iter().enumerate() {
            let got = logits.double_value(&[0, id as i64]);
            let difference = (got - value.as_f64().unwrap()).abs();
            assert!(difference < 1e-4, "{text} {id}: {difference:e}");
        }
    }
}

#[test]
fn files_cut_short_or_too_long_are_refused() {
    let from = golden("llama2c");
    let dir = tempfile::tempdir().unwrap();
    let whole = std::fs::read(from.join("model.bin")).unwrap();
    let damaged = dir.path().join("model.bin");
    for bytes in [&whole[..20], &whole[..whole.len() - 4], &[whole.as_slice(), &[0; 4]].concat()] {
        std::fs::write(&damaged, bytes).unwrap();
        let result = llama2c::convert(&damaged, &from.join("tokenizer.bin"), dir.path());
        assert!(matches!(result, Err(Error::Truncated { .. })), "{} bytes: {result:?}", bytes.len());
    }
}

/// The real checkpoint is not part of the project; this runs where it lies beside it.
#[test]
fn the_real_tiny_llama_writes_words() {
    let from =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/tiny_llama_aidreams");
    if !from.exists() {
        eprintln!("skipped: {} is absent", from.display());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    llama2c::convert(&from.join("aidreams260K.bin"), &from.join("tok512.bin"), dir.path()).unwrap();
    let decoder = load(dir.path());
    let tokenizer = TextTokenizer::load(dir.path()).unwrap();
    let begin = Tensor::from_slice(&[tokenizer.bos_id().unwrap()]).unsqueeze(0);
    let embeds = decoder.embed(&begin).unwrap();
    let options = GenerateOptions { max_new_tokens: 40, ..GenerateOptions::default() };
    let written = generate(&decoder, &embeds, &PaddingMask::full(1, 1), &options).unwrap();
    let text = tokenizer.decode(&written[0]).unwrap();
    assert!(text.contains("Echoes of vectors unfold, a gentle hum of precision"), "{text}");
}
