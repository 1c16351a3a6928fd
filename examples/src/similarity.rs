//! Semantic similarity of texts to one or several references, by a sentence encoder.

use anyhow::{Result, ensure};
use ndarray::{Array2, Axis};
use regen_metrics::{Mean, MeanStats, Measurement, similarity::cosines};
use regen_semantic::{EncodeOptions, SentenceEncoder};
use regen_torch::tensor_to_vec_f32;

/// The mean cosine of each hypothesis with its nearest reference. `name` stands for the encoder in the signature.
///
/// # Errors
/// If the encoder fails, there are no texts, or a hypothesis has no reference.
pub fn similarity(
    hypotheses: &[String],
    references: &[Vec<String>],
    encoder: &SentenceEncoder,
    name: &str,
) -> Result<Measurement<Mean>> {
    let mut pairs: Vec<usize> = Vec::new();
    let mut flat: Vec<&str> = Vec::new();
    for (pair, references) in references.iter().enumerate() {
        ensure!(!references.is_empty(), "pair {} has no reference", pair + 1);
        for reference in references {
            pairs.push(pair);
            flat.push(reference);
        }
    }
    let ours = embed(encoder, hypotheses)?.select(Axis(0), &pairs);
    let found = cosines(ours.view(), embed(encoder, &flat)?.view())?;
    let mut best = vec![f64::NEG_INFINITY; hypotheses.len()];
    for (&pair, cosine) in pairs.iter().zip(found) {
        best[pair] = best[pair].max(cosine);
    }
    let most = references.iter().map(Vec::len).max().unwrap_or(1);
    let signature = format!(
        "nrefs:{}|sim:cosine|encoder:{name}|agg:mean|version:regen.{}",
        if references.iter().all(|references| references.len() == most) {
            most.to_string()
        } else {
            "var".to_owned()
        },
        env!("CARGO_PKG_VERSION")
    );
    let segments = best.into_iter().map(MeanStats::of).collect();
    Ok(Measurement::new(Mean::named("semantic similarity"), segments, signature)?)
}

pub(crate) fn embed<S: AsRef<str>>(encoder: &SentenceEncoder, texts: &[S]) -> Result<Array2<f32>> {
    let vectors = encoder.encode(texts, &EncodeOptions::default())?;
    Ok(Array2::from_shape_vec((texts.len(), encoder.dim() as usize), tensor_to_vec_f32(&vectors)?)?)
}
