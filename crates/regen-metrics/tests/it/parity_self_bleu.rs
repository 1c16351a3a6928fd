//! Self-BLEU against sacrebleu asked text by text.

use regen_metrics::diversity::self_bleu;
use regen_metrics::{Bleu, BleuConfig};

use crate::golden::{assert_close, expected, pairs};

#[derive(serde::Deserialize)]
struct Expected {
    mean: f64,
    texts: Vec<f64>,
    signature: String,
}

#[test]
fn self_bleu_equals_sacrebleu_with_all_other_texts_as_references() {
    let expected: Expected = expected("self_bleu", "self_bleu");
    let texts = &pairs().0[20..170];
    let bleu = Bleu::new(BleuConfig { effective_order: true, ..BleuConfig::default() }).unwrap();
    let measured = self_bleu(texts, &bleu).unwrap();
    for (index, (got, expected)) in measured.segment_scores().iter().zip(&expected.texts).enumerate() {
        assert_close(&texts[index], *got, *expected);
    }
    assert_close("mean", measured.value(), expected.mean);
    assert_eq!(measured.signature().split("+regen.").next().unwrap(), expected.signature);
}
