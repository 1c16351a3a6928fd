//! The real all-MiniLM-L6-v2, where its folder is there.

use std::path::PathBuf;

use regen_semantic::{EncodeOptions, SentenceEncoder, load_embeddings};
use regen_torch::{Placement, tensor_to_vec_f32};

use crate::support::{cosine, difference, encode, golden, read};

/// Six dimensions and eight ±1 products, as `make.py` takes them.
fn sketch(vector: &[f32]) -> Vec<f64> {
    let mut values: Vec<f64> = vector[..6].iter().map(|&x| f64::from(x)).collect();
    values.extend((1u32..9).map(|row| {
        let sum: f64 = vector
            .iter()
            .zip(0u32..)
            .map(
                |(&x, column)| {
                    if (row & column).count_ones() % 2 == 0 { f64::from(x) } else { -f64::from(x) }
                },
            )
            .sum();
        sum / 384f64.sqrt()
    }));
    values
}

fn folder() -> Option<PathBuf> {
    std::env::var_os("REGEN_ENCODER").map(PathBuf::from).filter(|dir| dir.is_dir())
}

#[test]
fn minilm_equals_the_reference_on_varied_texts() {
    let Some(dir) = folder() else {
        eprintln!("skipped: REGEN_ENCODER names no folder; `cargo xtask setup` fetches the encoder");
        return;
    };
    let encoder = SentenceEncoder::load(&dir, Placement::cpu()).unwrap();
    assert_eq!((encoder.dim(), encoder.max_tokens()), (384, 256));
    let texts: Vec<String> = read(&golden("minilm/texts.json"));
    let expected: Vec<Vec<f64>> = read(&golden("minilm/expected.json"));
    let got = encode(&encoder, &texts, &EncodeOptions::default());
    let mut worst = 0f64;
    for (text, (got, expected)) in texts.iter().zip(got.iter().zip(&expected)) {
        for (got, expected) in sketch(got).iter().zip(expected) {
            let off = (got - expected).abs();
            assert!(off <= 1e-5, "{off} for {:?}", text.chars().take(40).collect::<String>());
            worst = worst.max(off);
        }
    }
    eprintln!("{} texts, largest difference {worst:.1e}", texts.len());
}

#[test]
#[ignore = "needs REGEN_ENCODER and, in REGEN_ENCODER_VECTORS, the file that tests/golden/minilm/make.py writes of it"]
fn every_number_of_minilm_equals_the_reference_on_varied_texts() {
    let dir = folder().expect("REGEN_ENCODER names the encoder's folder");
    let reference = std::env::var_os("REGEN_ENCODER_VECTORS").expect("REGEN_ENCODER_VECTORS names a file");
    let reference = load_embeddings(reference.as_ref()).unwrap();
    let texts: Vec<String> = read(&golden("minilm/texts.json"));
    assert_eq!(reference.size(), [texts.len() as i64, 384]);
    let reference = tensor_to_vec_f32(&reference).unwrap();
    let loads = [SentenceEncoder::load, SentenceEncoder::load_plain];
    for (engine, load) in ["packed", "plain"].into_iter().zip(loads) {
        let encoder = load(&dir, Placement::cpu()).unwrap();
        let (mut largest, mut least) = (0f32, 1f64);
        for (got, expected) in
            encode(&encoder, &texts, &EncodeOptions::default()).iter().zip(reference.chunks(384))
        {
            largest = largest.max(difference(got, expected));
            least = least.min(cosine(got, expected));
        }
        eprintln!(
            "{engine}: {} texts, largest difference {largest:.2e}, least cosine 1 - {:.1e}",
            texts.len(),
            1.0 - least
        );
        assert!(largest <= 1e-5 && least >= 0.99999, "{engine}: {largest} {least}");
    }
}
