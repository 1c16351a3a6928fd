//! The item vectors of both sides: factors from interactions, embeddings from text.

use std::path::Path;

use anyhow::{Context, Result};
use ndarray::Array2;
use regen_data::{Dataset, Interaction};
use regen_narrator::{ItemTable, ItemTables};
use regen_semantic::{EncodeOptions, SentenceEncoder};
use regen_torch::tensor_to_vec_f32;
use regen_wals::{InteractionMatrix, Stage, WalsConfig, WalsModel};

use crate::cli::Session;

/// One vector per item, and whether the item has one.
#[derive(Debug, Clone)]
pub struct ItemVectors {
    /// `[items, dim]`; rows of absent items are zero and not to be read.
    pub vectors: Array2<f32>,
    /// `[items]`.
    pub present: Vec<bool>,
}

impl ItemVectors {
    /// How many items have a vector.
    pub fn known(&self) -> usize {
        self.present.iter().filter(|&&present| present).count()
    }

    /// The same vectors with mean 0 and variance 1 in every component over the items that have one.
    ///
    /// Embeddings of one catalogue share a large common part (all are office products), and what tells items apart is
    /// small beside it. This step takes the common part away; its own effect has not been measured by itself.
    pub fn standardised(&self) -> Self {
        let count = self.known().max(1) as f64;
        let mut vectors = self.vectors.clone();
        for mut column in vectors.columns_mut() {
            let known = || column.iter().zip(&self.present).filter(|(_, present)| **present);
            let mean = known().map(|(v, _)| f64::from(*v)).sum::<f64>() / count;
            let variance = known().map(|(v, _)| (f64::from(*v) - mean).powi(2)).sum::<f64>() / count;
            // A component that never varies tells nothing and stays zero.
            let scale = if variance > 0.0 { variance.sqrt().recip() } else { 0.0 };
            for (value, present) in column.iter_mut().zip(&self.present) {
                *value = if *present { ((f64::from(*value) - mean) * scale) as f32 } else { 0.0 };
            }
        }
        Self { vectors, present: self.present.clone() }
    }

    fn table(&self) -> Result<ItemTable> {
        let values = self.vectors.as_slice().context("item vectors are not contiguous")?;
        Ok(ItemTable::new(values, self.vectors.ncols(), &self.present)?)
    }
}

/// The sides that are read, as the narrator takes them, standardised.
///
/// # Errors
/// If they do not belong to the same items.
pub fn tables(cf: Option<&ItemVectors>, semantic: Option<&ItemVectors>) -> Result<ItemTables> {
    if cf.is_none() && semantic.is_none() {
        return Ok(ItemTables::none());
    }
    let table = |side: Option<&ItemVectors>| side.map(|side| side.standardised().table()).transpose();
    Ok(ItemTables::new(table(cf)?, table(semantic)?)?)
}

/// Fits factors to `interactions`.
///
/// # Errors
/// If the fit refuses its input, or the user stops it.
pub fn fit_factors(
    dataset: &Dataset,
    interactions: &[Interaction],
    config: &WalsConfig,
    session: &Session,
) -> Result<(InteractionMatrix, WalsModel)> {
    let triplets = interactions.iter().map(|i| (i.user.index() as u32, i.item.index() as u32, i.weight));
    let matrix = InteractionMatrix::from_triplets(dataset.users.len(), dataset.items.len(), triplets)?;
    let bar = session.bar("factorise (WALS)", config.iterations as u64);
    let model = config.fit_with(&matrix, &mut |progress| {
        if progress.stage == Stage::IterationDone {
            bar.inc(1);
        }
        session.flow()
    })?;
    bar.finish();
    session.check("factorisation")?;
    Ok((matrix, model))
}

/// The item factors of a fit; an item that no training user bought has none.
pub fn item_factors(matrix: &InteractionMatrix, model: &WalsModel) -> ItemVectors {
    let present = (0..matrix.items()).map(|item| !matrix.item_row(item).0.is_empty()).collect();
    ItemVectors { vectors: model.item_factors().to_owned(), present }
}

/// Embeds texts with `label` on the progress bar.
///
/// # Errors
/// If the encoder fails, or the user stops it.
pub fn embed<S: AsRef<str>>(
    encoder: &SentenceEncoder,
    texts: &[S],
    label: &str,
    session: &Session,
) -> Result<Array2<f32>> {
    let bar = session.bar(label, texts.len() as u64);
    let vectors = encoder.encode_with(texts, &EncodeOptions::default(), &mut |done, _total| {
        bar.set_position(done as u64);
        session.flow()
    });
    session.check(label)?;
    let vectors = vectors?;
    bar.finish();
    let values = tensor_to_vec_f32(&vectors)?;
    Ok(Array2::from_shape_vec((texts.len(), encoder.dim() as usize), values)?)
}

/// Embeds the text of every item that has one.
///
/// # Errors
/// Those of [`embed`].
pub fn embed_items(encoder: &SentenceEncoder, dataset: &Dataset, session: &Session) -> Result<ItemVectors> {
    let texts = dataset.item_texts();
    let known: Vec<&str> = texts.iter().flatten().map(String::as_str).collect();
    let embedded = embed(encoder, &known, "embed item texts", session)?;
    let mut vectors = Array2::zeros((texts.len(), encoder.dim() as usize));
    let items = texts.iter().enumerate().filter(|(_, text)| text.is_some());
    for ((item, _), row) in items.zip(embedded.rows()) {
        vectors.row_mut(item).assign(&row);
    }
    Ok(ItemVectors { vectors, present: texts.iter().map(Option::is_some).collect() })
}

/// Loads the sentence encoder from a sentence-transformers folder.
///
/// # Errors
/// With the folder and what to do.
pub fn load_encoder(dir: &Path, session: &Session) -> Result<SentenceEncoder> {
    SentenceEncoder::load(dir, session.placement).with_context(|| {
        format!(
            "no sentence encoder at {}: run `cargo xtask setup`, or name one with --encoder",
            dir.display()
        )
    })
}

/// The `k` items nearest to `item` by cosine, nearest first, itself left out.
pub fn nearest(items: &ItemVectors, item: usize, k: usize) -> Vec<(usize, f32)> {
    let norm = |row: ndarray::ArrayView1<'_, f32>| row.dot(&row).sqrt().max(f32::MIN_POSITIVE);
    let query = items.vectors.row(item);
    let mut scored: Vec<(usize, f32)> = (0..items.present.len())
        .filter(|&other| other != item && items.present[other])
        .map(|other| {
            let row = items.vectors.row(other);
            (other, query.dot(&row) / (norm(query) * norm(row)))
        })
        .collect();
    scored.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    scored.truncate(k);
    scored
}
