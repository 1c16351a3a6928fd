//! Each family gives the vectors of the reference library.

use regen_semantic::{EncodeOptions, Family, Padding, Prompt};

use crate::support::{cosine, difference, encode, family, golden, read, texts};

#[derive(serde::Deserialize)]
struct Expected {
    vectors: Vec<Vec<f32>>,
}

/// Both ways of batching against the reference.
fn check(name: &str, is: Family, dim: i64) {
    let encoder = family(name);
    assert_eq!((encoder.config().family, encoder.dim(), encoder.max_tokens()), (is, dim, 22));
    let expected: Expected = read(&golden("families").join(name).join("expected.json"));
    for padding in [Padding::Avoid, Padding::ToLongest] {
        let options = EncodeOptions { padding: Some(padding), batch_texts: 6, ..EncodeOptions::default() };
        let got = encode(&encoder, &texts(), &options);
        assert_eq!(got.len(), expected.vectors.len());
        for (text, (got, expected)) in texts().iter().zip(got.iter().zip(&expected.vectors)) {
            let off = difference(got, expected);
            assert!(off <= 1e-5, "{name} {padding:?} {text:?}: {off}");
            assert!(cosine(got, expected) >= 0.99999, "{name} {padding:?} {text:?}");
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
