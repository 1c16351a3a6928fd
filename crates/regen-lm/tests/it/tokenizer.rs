//! Training, saving and loading tokenizers.

use regen_lm::generate::TextStream;
use regen_lm::{Error, TextTokenizer, train_bpe};

const TEXTS: [&str; 4] = [
    "The blue gel pen writes smoothly on recycled paper.",
    "A smooth writing pen for recycled notebooks.",
    "Blue folders, blue binders and blue pens.",
    "Recycled paper folders that last.",
];

#[test]
fn any_text_comes_back_from_its_ids() {
    let tokenizer = train_bpe(TEXTS.into_iter(), 320, &["<|soft|>"]).unwrap();
    for text in ["The blue pen.", "  spaces\tand\nlines  ", "naïve Straße 日本語 🙂", ""] {
        let ids = tokenizer.encode(text).unwrap();
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    }
    let merged = tokenizer.encode(" recycled").unwrap();
    assert!(merged.len() < 5, "a frequent word is few tokens: {merged:?}");
}

#[test]
fn the_same_texts_give_the_same_tokenizer() {
    let write = || {
        let dir = tempfile::tempdir().unwrap();
        train_bpe(TEXTS.into_iter(), 310, &["<|a|>", "<|b|>"]).unwrap().save(dir.path()).unwrap();
        std::fs::read_to_string(dir.path().join("tokenizer.json")).unwrap()
    };
    assert_eq!(write(), write());
}

#[test]
fn special_tokens_keep_their_ids_and_roles_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let trained = train_bpe(TEXTS.into_iter(), 300, &["<|soft|>"]).unwrap();
    trained.save(dir.path()).unwrap();
    let loaded = TextTokenizer::load(dir.path()).unwrap();
    for tokenizer in [&trained, &loaded] {
        assert_eq!(
            (tokenizer.pad_id(), tokenizer.bos_id(), tokenizer.eos_id(), tokenizer.id("<|soft|>")),
            (Some(0), Some(1), Some(2), Some(3))
        );
        assert_eq!(tokenizer.encode("<|soft|>pen").unwrap()[0], 3);
        assert_eq!(tokenizer.decode(&[1, 3, 2]).unwrap(), "");
    }
    assert_eq!(trained.vocab_size(), loaded.vocab_size());
    assert!(trained.vocab_size() <= 300);
    let text = "Blue recycled pens last.";
    assert_eq!(trained.encode(text).unwrap(), loaded.encode(text).unwrap());
}

#[test]
fn a_vocabulary_without_room_and_a_model_too_small_are_refused() {
    assert!(matches!(train_bpe(TEXTS.into_iter(), 258, &[]), Err(Error::Argument { .. })));
    let tokenizer = train_bpe(TEXTS.into_iter(), 300, &[]).unwrap();
    assert!(tokenizer.check_fits(tokenizer.vocab_size()).is_ok());
    let small = tokenizer.check_fits(tokenizer.vocab_size() - 1);
    assert!(matches!(small, Err(Error::InvalidConfig { ref field, .. }) if field == "vocab_size"));
}

#[test]
fn a_token_that_was_added_past_the_table_is_no_reason_to_refuse_a_model() {
    // As Gemma 3's of text alone have one, for an image that they cannot see.
    let dir = tempfile::tempdir().unwrap();
    let tokenizer = train_bpe(TEXTS.into_iter(), 300, &[]).unwrap();
    tokenizer.save(dir.path()).unwrap();
    let rows = tokenizer.vocab_size();
    let path = dir.path().join("tokenizer.json");
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    json["added_tokens"].as_array_mut().unwrap().push(serde_json::json!({
        "id": rows, "content": "<image>", "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true
    }));
    std::fs::write(&path, json.to_string()).unwrap();
    let more = TextTokenizer::load(dir.path()).unwrap();
    assert_eq!(more.encode("<image>").unwrap(), [rows]);
    assert!(more.check_fits(rows).is_ok());
    assert!(more.check_fits(rows - 1).is_err());
}

#[test]
fn a_missing_or_broken_tokenizer_names_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let missing = TextTokenizer::load(dir.path()).unwrap_err();
    assert!(missing.to_string().contains("tokenizer.json"), "{missing}");
    std::fs::write(dir.path().join("tokenizer.json"), "{}").unwrap();
    assert!(matches!(TextTokenizer::load(dir.path()), Err(Error::Tokenizer { .. })));
}

fn streamed(tokenizer: &TextTokenizer, text: &str, stop: &[&str]) -> (Vec<String>, Option<usize>) {
    let mut stream = TextStream::new(tokenizer, stop);
    let mut pieces = Vec::new();
    for id in tokenizer.encode(text).unwrap() {
        pieces.push(stream.push(id).unwrap());
    }
    let met = stream.met();
    assert_eq!(stream.stopped(), met.is_some());
    pieces.push(stream.finish());
    (pieces, met)
}

#[test]
fn streamed_pieces_are_whole_characters_and_add_up() {
    let tokenizer = train_bpe(TEXTS.into_iter(), 300, &[]).unwrap();
    let text = "Blue 日本 naïve 🙂 pens";
    let (pieces, met) = streamed(&tokenizer, text, &[]);
    assert_eq!(pieces.concat(), text);
    assert_eq!(met, None);
    assert!(pieces.iter().any(|piece| piece == "日"), "{pieces:?}");
    assert!(pieces.iter().filter(|piece| piece.is_empty()).count() > 5, "bytes of a character are held back");
}

#[test]
fn stop_strings_end_the_text_wherever_tokens_break() {
    let tokenizer = train_bpe(TEXTS.into_iter(), 300, &[]).unwrap();
    for (text, stop, expected, ends) in [
        ("blue pens END more", &["END"][..], "blue pens ", Some(0)),
        ("a\n\nb", &["", "zzz", "\n\n"], "a", Some(2)),
        ("a\n\nb", &["\n", "\n\n"], "a", Some(0)),
        ("almost EN", &["END"], "almost EN", None),
        ("EEND.", &["END"], "E", Some(0)),
        ("x日y", &["日"], "x", Some(0)),
        ("anything", &[""], "anything", None),
    ] {
        let (pieces, met) = streamed(&tokenizer, text, stop);
        assert_eq!((pieces.concat().as_str(), met), (expected, ends), "{text} {stop:?}");
    }
}
