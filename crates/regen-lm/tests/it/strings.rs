//! Beam search ended by strings: what transformers finds, and what a plain search in this file finds.

use regen_lm::generate::HypothesisText;
use regen_lm::{BeamEnd, BeamOptions, Decoder, Ending, GenerateOptions, PaddingMask, TextTokenizer, Writer};
use regen_torch::Checkpoint;
use serde_json::{Value, json};
use tch::{Kind, Tensor};

use crate::beams::{integers, options};
use crate::support::{golden, ids, load, random_model, small_config, stored};

/// A letter, or two, for each of the 61 ids of the tiny checkpoints.
fn letters() -> TextTokenizer {
    TextTokenizer::load(&golden("beams/tokenizer.json")).unwrap()
}

#[test]
fn beams_that_strings_end_are_those_of_the_reference() {
    let text = std::fs::read_to_string(golden("beams/strings.json")).unwrap();
    let cases: Value = serde_json::from_str(&text).unwrap();
    let tokenizer = letters();
    let mut across = 0;
    for case in cases.as_array().unwrap() {
        let family = case["family"].as_str().unwrap();
        let dir = golden("families").join(family);
        let decoder = load(&dir);
        let file = Checkpoint::open(&dir.join("golden.safetensors")).unwrap();
        let embeds = decoder.embed(&stored(&file, "ids")).unwrap();
        let mask = PaddingMask::from_tensor(&stored(&file, "left_mask")).unwrap();
        let strings: Vec<&str> =
            case["strings"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
        let (options, beam) = options(case);
        for writer in [Writer::plain(&decoder), Writer::new(&decoder).unwrap()] {
            let found =
                writer.beam_search_text(&tokenizer, &embeds, &mask, &options, &beam, &strings, None).unwrap();
            for (row, (found, expected)) in found.iter().zip(case["rows"].as_array().unwrap()).enumerate() {
                let named = format!("{family} {beam:?} row {row}");
                let expected = expected.as_array().unwrap();
                assert_eq!(found.len(), expected.len(), "{named}");
                for (HypothesisText { text, hypothesis }, expected) in found.iter().zip(expected) {
                    assert_eq!(hypothesis.ids, integers(&expected["ids"]), "{named}");
                    assert_eq!(text, expected["text"].as_str().unwrap(), "{named}");
                    assert_eq!(
                        hypothesis.ending != Ending::Length,
                        expected["stopped"].as_bool().unwrap(),
                        "{named}"
                    );
                    let score = expected["score"].as_f64().unwrap();
                    assert!((hypothesis.score - score).abs() < 1e-4, "{named}: {} {score}", hypothesis.score);
                    let whole = tokenizer.decode(&hypothesis.ids).unwrap();
                    let last = tokenizer.decode(&hypothesis.ids[hypothesis.ids.len() - 1..]).unwrap();
                    across += usize::from(text.len() + last.len() < whole.len());
                }
            }
        }
    }
    assert!(across > 20, "strings must begin before the last token for this test to say anything: {across}");
}

/// The ids, letters and score of a text.
type Plain = (Vec<i64>, String, f64, bool);

/// A beam search of one prompt without cache, batch or stream, every continuation of every beam looked at.
fn plain_search(
    decoder: &Decoder,
    tokenizer: &TextTokenizer,
    prompt: &Tensor,
    (beams, steps): (usize, usize),
    stop: &[&str],
) -> Vec<Plain> {
    let (mut going_on, mut ended): (Vec<(Vec<i64>, f64)>, Vec<Plain>) = (vec![(Vec::new(), 0.0)], Vec::new());
    let by_score = |a: &Plain, b: &Plain| b.2.total_cmp(&a.2);
    for step in 1..=steps {
        let mut all = Vec::new();
        for (written, sum) in &going_on {
            let mut whole = vec![prompt.shallow_clone()];
            if !written.is_empty() {
                whole.push(decoder.embed(&Tensor::from_slice(written).unsqueeze(0)).unwrap());
            }
            let whole = Tensor::cat(&whole, 1);
            let length = whole.size()[1];
            let hidden = decoder.forward(&whole, &PaddingMask::full(1, length), None).unwrap();
            let logs =
                decoder.logits(&hidden.narrow(1, length - 1, 1)).unwrap().log_softmax(-1, Kind::Double);
            for id in 0..decoder.config().vocab() {
                let ids: Vec<i64> = written.iter().copied().chain([id]).collect();
                all.push((ids, sum + logs.double_value(&[0, 0, id])));
            }
        }
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        going_on = Vec::new();
        for (rank, (ids, sum)) in all.into_iter().enumerate() {
            let text = tokenizer.decode(&ids).unwrap();
            let cut = stop.iter().filter_map(|stop| text.find(stop)).min();
            if cut.is_none() && step < steps {
                going_on.push((ids, sum));
            } else if rank < beams {
                let score = sum / step as f64;
                ended.push((ids, text[..cut.unwrap_or(text.len())].to_owned(), score, cut.is_some()));
            }
        }
        going_on.truncate(beams);
        ended.sort_by(by_score);
        ended.truncate(beams);
        let over = match (going_on.first(), ended.last()) {
            (Some(best), Some(worst)) => ended.len() == beams && best.1 / step as f64 <= worst.2,
            (best, _) => best.is_none(),
        };
        if over {
            break;
        }
    }
    ended
}

/// Twelve letters, of which one ends words in the middle of a token.
fn twelve() -> (tempfile::TempDir, TextTokenizer) {
    let texts = ["a", "b", "c", "d", "e", "f", "g", "h", "ia", "jb", "kc", "lé"];
    let vocab: serde_json::Map<String, Value> =
        texts.iter().enumerate().map(|(id, text)| ((*text).to_owned(), json!(id))).collect();
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "pre_tokenizer": null,
        "post_processor": null, "decoder": { "type": "Fuse" }, "added_tokens": [],
        "model": { "type": "WordLevel", "vocab": vocab, "unk_token": "a" },
    });
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tokenizer.json"), file.to_string()).unwrap();
    let tokenizer = TextTokenizer::load(dir.path()).unwrap();
    (dir, tokenizer)
}

#[test]
fn beams_are_those_of_a_plain_search_even_where_strings_end_nearly_all() {
    let (_dir, tokenizer) = twelve();
    let mut config = small_config();
    config.vocab = 12;
    let (mut fewer, mut cut) = (0, 0);
    for seed in 50..56 {
        let (_vs, decoder) = random_model(&config, seed);
        let lengths = [4, 2, 3];
        let embeds = decoder.embed(&ids(3, 4, 12)).unwrap();
        let mask = PaddingMask::left(&lengths, 4).unwrap();
        let options = GenerateOptions { max_new_tokens: 6, ..GenerateOptions::default() };
        let beam = BeamOptions { keep: 4, end: BeamEnd::NoBetterNow, ..BeamOptions::best_of(4) };
        // Two tokens go on in the last case, fewer than there are beams: their number falls and rises again.
        let most = ["a", "c", "d", "e", "f", "g", "h", "é", "bbbb", "jbj"];
        for stop in [&["bj", "éa"][..], &["ab", "jbk", "c", "never"], &most] {
            for writer in [Writer::plain(&decoder), Writer::new(&decoder).unwrap()] {
                let found =
                    writer.beam_search_text(&tokenizer, &embeds, &mask, &options, &beam, stop, None).unwrap();
                for (row, (found, length)) in found.iter().zip(lengths).enumerate() {
                    let prompt = embeds.narrow(0, row as i64, 1).narrow(1, 4 - length, length);
                    let expected = plain_search(&decoder, &tokenizer, &prompt, (4, 6), stop);
                    let named = format!("seed {seed} row {row} {stop:?} packed {}", writer.is_packed());
                    assert_eq!(found.len(), expected.len(), "{named}");
                    for (found, (ids, text, score, stopped)) in found.iter().zip(&expected) {
                        let HypothesisText { text: own, hypothesis } = found;
                        assert_eq!(
                            (&hypothesis.ids, own, hypothesis.ending != Ending::Length),
                            (ids, text, *stopped),
                            "{named}"
                        );
                        assert!(
                            (hypothesis.score - score).abs() < 1e-4,
                            "{named}: {} {score}",
                            hypothesis.score
                        );
                        assert_eq!(hypothesis.log_probabilities.len(), ids.len(), "{named}");
                        cut += usize::from(*stopped && ids.len() > 1);
                        fewer += usize::from(stop.len() == most.len());
                    }
                }
            }
        }
    }
    assert!(cut > 50 && fewer > 50, "{cut} {fewer}");
}
