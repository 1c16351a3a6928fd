//! BERTScore by the token vectors of a sentence encoder.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use ndarray::ArrayView2;
use regen_metrics::{BertScore, InverseDocumentFrequency, Measurement, TokenVectors};
use regen_semantic::{EncodeOptions, SentenceEncoder, hash_model};
use regen_torch::Placement;

use super::pairs::Texts;
use super::rows::{Row, Run};
use crate::encoder;
use crate::features::encoder_name;

/// Which vectors are compared, and what a token weighs.
#[derive(Debug, Clone, Copy)]
pub struct BertScoreChoice<'a> {
    /// Folder of the encoder.
    pub encoder: &'a Path,
    /// The layer whose vectors are compared, counted from 0, the embeddings; the last where absent.
    pub layer: Option<usize>,
    /// Tokens weigh by how rare they are in the references.
    pub idf: bool,
}

/// The row `bertscore`: F1, with precision and recall.
///
/// # Errors
/// If there is no encoder or no such layer, or the encoder fails.
pub fn bertscore_row(choice: BertScoreChoice<'_>, placement: Placement, run: Run<'_>) -> Result<Row> {
    let folder = choice.encoder;
    let encoder = encoder::load(folder, "--encoder", placement)?;
    let layer = choice.layer.unwrap_or(encoder.config().layers as usize);
    // The name of a folder says little: the hash is what another run can be compared by.
    let hash = hash_model(folder)?;
    let name = format!(
        "{}@{}|layer:{layer}|idf:{}|max_tokens:{}",
        encoder_name(folder),
        hash.get(..12).unwrap_or(&hash),
        if choice.idf { "yes" } else { "no" },
        encoder.max_tokens()
    );
    let measure = |texts: &Texts| bertscore(texts, &encoder, layer, choice.idf, &name);
    let start = Instant::now();
    let measured = measure(run.ours)?;
    let seconds = start.elapsed().as_secs_f64();
    let other = run.theirs.map(measure).transpose()?;
    run.row("bertscore", measured, other, |stats| Some(stats.mean().f1), seconds)
}

fn bertscore(
    texts: &Texts,
    encoder: &SentenceEncoder,
    layer: usize,
    idf: bool,
    name: &str,
) -> Result<Measurement<BertScore>> {
    let vectors = |texts: Vec<&str>| encoder.token_vectors(&texts, layer, &EncodeOptions::default());
    let counts: Vec<usize> = texts.references.iter().map(Vec::len).collect();
    let pair = counts.iter().position(|&count| count == 0);
    ensure!(pair.is_none(), "pair {} has no reference", pair.unwrap_or(0) + 1);
    let hypotheses = vectors(texts.hypotheses.iter().map(|text| text.trim()).collect())?;
    let references = vectors(texts.references.iter().flatten().map(|text| text.trim()).collect())?;
    let frequency = idf.then(|| {
        let documents: Vec<&[i64]> = references.iter().map(|text| text.ids.as_slice()).collect();
        InverseDocumentFrequency::of(&documents)
    });
    let weights = |text: &regen_semantic::TokenVectors| -> Vec<f32> {
        let weight = |(id, special): (&i64, &bool)| match &frequency {
            _ if *special => 0.0,
            Some(frequency) => frequency.weight(id),
            None => 1.0,
        };
        text.ids.iter().zip(&text.special).map(weight).collect()
    };
    let ours: Vec<Vec<f32>> = hypotheses.iter().map(weights).collect();
    let theirs: Vec<Vec<f32>> = references.iter().map(weights).collect();
    let hypotheses = views(&hypotheses, &ours)?;
    let mut references = views(&references, &theirs)?.into_iter();
    let references: Vec<Vec<TokenVectors<'_>>> =
        counts.iter().map(|&count| references.by_ref().take(count).collect()).collect();
    Ok(BertScore::default().measure(&hypotheses, &references, name)?)
}

fn views<'a>(
    texts: &'a [regen_semantic::TokenVectors],
    weights: &'a [Vec<f32>],
) -> Result<Vec<TokenVectors<'a>>> {
    let view = |(text, weights): (&'a regen_semantic::TokenVectors, &'a Vec<f32>)| {
        let tokens = text.ids.len();
        let shape = (tokens, text.vectors.len() / tokens.max(1));
        Ok(TokenVectors { vectors: ArrayView2::from_shape(shape, &text.vectors)?, weights })
    };
    texts.iter().zip(weights).map(view).collect()
}
