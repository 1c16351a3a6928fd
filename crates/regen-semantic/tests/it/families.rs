//! Each family gives the vectors of the reference library.

use regen_semantic::{EncodeOptions, Family, Padding, Prompt, SentenceEncoder};
use regen_torch::{Placement, Precision};

use crate::support::{copy, cosine, difference, encode, family, golden, read, texts};

#[derive(serde::Deserialize)]
struct Expected {
    vectors: Vec<Vec<f32>>,
}

/// Both ways of computing and of batching against the reference.
fn check(name: &str, is: Family, dim: i64) {
    check_encoder(name, &family(name), is, dim);
    let plain = SentenceEncoder::load_plain(&golden("families").join(name), Placement::cpu()).unwrap();
    assert!(!plain.is_packed());
    check_encoder(name, &plain, is, dim);
}

fn check_encoder(name: &str, encoder: &SentenceEncoder, is: Family, dim: i64) {
    assert_eq!((encoder.config().family, encoder.dim(), encoder.max_tokens()), (is, dim, 22));
    let expected: Expected = read(&golden("families").join(name).join("expected.json"));
    for padding in [Padding::Avoid, Padding::ToLongest] {
        let options = EncodeOptions { padding: Some(padding), batch_texts: 6, ..EncodeOptions::default() };
        let got = encode(encoder, &texts(), &options);
        assert_eq!(got.len(), expected.vectors.len());
        let (mut worst, mut least) = (0f32, 1f64);
        for (text, (got, expected)) in texts().iter().zip(got.iter().zip(&expected.vectors)) {
            let off = difference(got, expected);
            assert!(off <= 1e-5, "{name} {padding:?} {text:?}: {off}");
            assert!(cosine(got, expected) >= 0.99999, "{name} {padding:?} {text:?}");
            (worst, least) = (worst.max(off), least.min(cosine(got, expected)));
        }
        // The table of docs/benchmarks.md: `cargo test --test it families -- --nocapture`.
        let way = if encoder.is_packed() { "kernels" } else { "libtorch" };
        println!("| {name} | {way} | {padding:?} | {worst:.1e} | {:.1e} |", 1.0 - least);
    }
}

#[test]
fn bfloat16_keeps_the_direction_of_every_vector() {
    let placement = Placement { precision: Precision::Bf16, ..Placement::cpu() };
    for name in ["bert", "mpnet", "distilbert", "modernbert", "nomic_bert"] {
        let half = SentenceEncoder::load(&golden("families").join(name), placement).unwrap();
        let (got, expected) = (
            encode(&half, &texts(), &EncodeOptions::default()),
            encode(&family(name), &texts(), &EncodeOptions::default()),
        );
        assert_ne!(got, expected, "{name}: nothing was rounded");
        for (text, (got, expected)) in texts().iter().zip(got.iter().zip(&expected)) {
            assert!(cosine(got, expected) >= 0.999, "{name} {text:?}: {}", cosine(got, expected));
        }
    }
}

#[test]
fn bert_equals_the_reference() {
    check("bert", Family::Bert, 24);
}

#[test]
fn concatenated_pooling_and_dense_layers_equal_the_reference() {
    check("bert_dense", Family::Bert, 6);
}

#[test]
fn a_default_prompt_that_is_not_pooled_equals_the_reference() {
    check("bert_prompt", Family::Bert, 120);
}

#[test]
fn roberta_equals_the_reference_also_where_a_text_holds_the_padding_token() {
    check("roberta", Family::Roberta, 24);
}

#[test]
fn xlm_roberta_equals_the_reference() {
    check("xlm_roberta", Family::Roberta, 24);
}

#[test]
fn distilbert_equals_the_reference() {
    check("distilbert", Family::DistilBert, 24);
}

#[test]
fn mpnet_equals_the_reference_with_its_relative_bias() {
    check("mpnet", Family::Mpnet, 24);
}

#[test]
fn modernbert_equals_the_reference_with_windows_shorter_than_the_texts() {
    check("modernbert", Family::ModernBert, 24);
    let encoder = family("modernbert");
    let window = encoder.config().window.as_ref().unwrap();
    assert_eq!((window.reach, &window.layers[..]), (2, &[false, true, true, false][..]));
}

#[test]
fn modernbert_with_all_its_biases_equals_the_reference() {
    check("modernbert_biased", Family::ModernBert, 24);
}

#[test]
fn nomic_bert_equals_the_reference_and_its_authors_form_of_the_settings_the_same() {
    check("nomic_bert", Family::NomicBert, 24);
    let dir = copy("nomic_bert");
    let settings = r#"{"model_type": "nomic_bert", "architectures": ["NomicBertModel"], "activation_function": "swiglu",
        "causal": false, "layer_norm_epsilon": 1e-12, "mlp_fc1_bias": false, "mlp_fc2_bias": false, "n_embd": 24,
        "n_head": 3, "n_inner": 20, "n_layer": 2, "n_positions": 32, "parallel_block": false, "prenorm": false,
        "qkv_proj_bias": false, "rotary_emb_base": 1000, "rotary_emb_fraction": 1.0, "rotary_emb_interleaved": false,
        "rotary_emb_scale_base": null, "rotary_scaling_factor": null, "scale_attn_weights": true,
        "scale_attn_by_inverse_layer_idx": false, "type_vocab_size": 2, "use_rms_norm": false, "vocab_size": 170}"#;
    std::fs::write(dir.path().join("config.json"), settings).unwrap();
    let theirs = SentenceEncoder::load(dir.path(), Placement::cpu()).unwrap();
    let options = EncodeOptions::default();
    assert_eq!(theirs.config(), family("nomic_bert").config());
    assert_eq!(encode(&theirs, &texts(), &options), encode(&family("nomic_bert"), &texts(), &options));
}

#[test]
fn qwen3_equals_the_reference_with_a_causal_mask_and_the_last_token() {
    check("qwen3", Family::Qwen3, 24);
}

#[test]
fn gemma3_that_sees_both_ways_equals_the_reference() {
    check("gemma3", Family::Gemma3, 24);
}

#[test]
fn gemma3_that_sees_backwards_within_a_window_equals_the_reference() {
    check("gemma3_causal", Family::Gemma3, 24);
}

#[test]
fn a_token_of_a_decoder_does_not_see_what_follows_it() {
    let encoder = family("qwen3");
    let options = EncodeOptions::default();
    let of = |text: &str| encoder.token_vectors(&[text], 2, &options).unwrap().remove(0);
    let (short, long) = (of("a red gel"), of("a red gel pen and more"));
    // The closing token is another one's place in the longer text.
    let kept = short.ids.len() - 1;
    assert_eq!(short.ids[..kept], long.ids[..kept]);
    let width = encoder.config().hidden as usize;
    assert!(difference(&long.vectors[..kept * width], &short.vectors[..kept * width]) < 1e-5);
}

#[test]
fn older_fields_of_the_rotary_families_say_the_same() {
    let global =
        "\"global_rope_theta\": 160000.0, \"local_rope_theta\": 10000.0, \"global_attn_every_n_layers\": 3";
    let per_kind =
        "\"rope_theta\": 1000000.0, \"rope_local_base_freq\": 10000.0, \"sliding_window_pattern\": 2";
    for (name, older) in [("modernbert", global), ("gemma3", per_kind), ("qwen3", "\"rope_theta\": 10000.0")]
    {
        let dir = copy(name);
        let path = dir.path().join("config.json");
        let mut settings: serde_json::Map<String, serde_json::Value> = read(&path);
        for field in ["rope_parameters", "layer_types", "_sliding_window_pattern"] {
            settings.remove(field);
        }
        let older: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&format!("{{{older}}}")).unwrap();
        settings.extend(older);
        std::fs::write(&path, serde_json::to_string(&settings).unwrap()).unwrap();
        let encoder = SentenceEncoder::load(dir.path(), Placement::cpu()).unwrap();
        assert_eq!(encoder.config(), family(name).config(), "{name}");
    }
}

#[test]
fn a_prompt_can_be_named_given_or_left_out() {
    let encoder = family("bert_prompt");
    let with = |prompt: Prompt| EncodeOptions { prompt, ..EncodeOptions::default() };
    let text = ["a red gel pen"];
    let of_folder = encode(&encoder, &text, &with(Prompt::OfFolder));
    assert_eq!(of_folder, encode(&encoder, &text, &with(Prompt::Named("passage".into()))));
    assert_eq!(of_folder, encode(&encoder, &text, &with(Prompt::Text("three: ".into()))));
    let without = encode(&encoder, &text, &with(Prompt::Nothing));
    let query = encode(&encoder, &text, &with(Prompt::Named("query".into())));
    assert!(difference(&of_folder[0], &without[0]) > 1e-3);
    assert!(difference(&of_folder[0], &query[0]) > 1e-3);
    let error = encoder.encode(&text, &with(Prompt::Named("nobody".into()))).unwrap_err();
    assert!(
        matches!(error, regen_semantic::Error::UnknownPrompt { name, known } if name == "nobody" && known.len() == 3)
    );
}
