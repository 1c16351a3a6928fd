//! The item vectors of both sides: factors from interactions, embeddings from text.

use std::path::Path;

use anyhow::{Context, Result};
use ndarray::Array2;
use regen_data::{Dataset, Interaction};
use regen_narrator::{
    FoldIn, FoldInConfig, ItemTable, ItemTables, PairWeight, RidgeFrequency, UnobservedPairs,
};
use regen_semantic::{EncodeOptions, SentenceEncoder};
use regen_torch::tensor_to_vec_f32;
use regen_wals::{Confidence, Frequency, InteractionMatrix, Stage, UnobservedScope, WalsConfig, WalsModel};

use crate::cli::Session;
use crate::encoder;

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
        self.standardise().0
    }

    /// The same, and for each component the scale and shift that bring it back.
    fn standardise(&self) -> (Self, Vec<f32>, Vec<f32>) {
        let count = self.known().max(1) as f64;
        let mut vectors = self.vectors.clone();
        let (mut scales, mut shifts) = (Vec::new(), Vec::new());
        for mut column in vectors.columns_mut() {
            let known = || column.iter().zip(&self.present).filter(|(_, present)| **present);
            let mean = known().map(|(v, _)| f64::from(*v)).sum::<f64>() / count;
            let variance = known().map(|(v, _)| (f64::from(*v) - mean).powi(2)).sum::<f64>() / count;
            // A component that never varies tells nothing and stays zero.
            let scale = if variance > 0.0 { variance.sqrt().recip() } else { 0.0 };
            scales.push(variance.sqrt() as f32);
            shifts.push(mean as f32);
            for (value, present) in column.iter_mut().zip(&self.present) {
                *value = if *present { ((f64::from(*value) - mean) * scale) as f32 } else { 0.0 };
            }
        }
        (Self { vectors, present: self.present.clone() }, scales, shifts)
    }

    fn table(&self) -> Result<ItemTable> {
        let values = self.vectors.as_slice().context("item vectors are not contiguous")?;
        Ok(ItemTable::new(values, self.vectors.ncols(), &self.present)?)
    }
}

/// What a factorisation leaves for users who were not in it.
#[derive(Debug, Clone)]
pub struct Factorisation {
    config: WalsConfig,
    /// YᵀY.
    gram: Array2<f64>,
    items: usize,
}

impl Factorisation {
    /// Of a fit.
    pub fn of(model: &WalsModel) -> Self {
        Self { config: model.config().clone(), gram: model.item_gram().to_owned(), items: model.items() }
    }

    /// Of item factors that were fitted under `config`, `[items, rank]`, those of all items of the fit.
    ///
    /// # Errors
    /// If they are of another rank.
    pub fn of_factors(config: WalsConfig, item_factors: Array2<f32>) -> Result<Self> {
        let users = Array2::zeros((0, config.rank));
        Ok(Self::of(&WalsModel::from_factors(config, users, item_factors)?))
    }

    /// As a narrator takes it, against a table whose components come back by `scale` and `shift`.
    fn fold_in(&self, scale: Vec<f32>, shift: Vec<f32>) -> Result<FoldIn> {
        let config = &self.config;
        let pair_weight = match config.confidence {
            Confidence::Constant { weight } => PairWeight::Constant { weight: weight.into() },
            Confidence::Proportional { alpha } => PairWeight::Proportional { alpha: alpha.into() },
            Confidence::Hu { alpha } => PairWeight::Hu { alpha: alpha.into() },
            Confidence::Logarithmic { alpha, epsilon } => {
                PairWeight::Logarithmic { alpha: alpha.into(), epsilon: epsilon.into() }
            }
            Confidence::Given => PairWeight::Given,
        };
        let config = FoldInConfig {
            pair_weight,
            unobserved_weight: config.unobserved_weight.into(),
            unobserved: match config.unobserved_scope {
                UnobservedScope::Unobserved => UnobservedPairs::Unobserved,
                UnobservedScope::All => UnobservedPairs::All,
            },
            regularization: config.regularization.into(),
            frequency: match config.frequency {
                Frequency::Count => RidgeFrequency::Count,
                Frequency::Ials => RidgeFrequency::Ials,
            },
            frequency_exponent: config.frequency_exponent.into(),
            items: self.items,
        };
        Ok(FoldIn::new(config, self.gram.iter().copied().collect(), scale, shift)?)
    }
}

/// The sides that are read, as the narrator takes them, standardised; with the factorisation that the collaborative one is of,
/// users can be folded in.
///
/// # Errors
/// If they do not belong to the same items, or the factorisation not to the collaborative side.
pub fn tables(
    cf: Option<&ItemVectors>,
    semantic: Option<&ItemVectors>,
    factorisation: Option<&Factorisation>,
) -> Result<ItemTables> {
    if cf.is_none() && semantic.is_none() {
        return Ok(ItemTables::none());
    }
    let semantic = semantic.map(|side| side.standardised().table()).transpose()?;
    let Some(cf) = cf else { return Ok(ItemTables::new(None, semantic)?) };
    let (cf, scale, shift) = cf.standardise();
    let tables = ItemTables::new(Some(cf.table()?), semantic)?;
    match factorisation {
        Some(factorisation) => Ok(tables.with_fold_in(factorisation.fold_in(scale, shift)?)?),
        None => Ok(tables),
    }
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

/// The name of an encoder's folder, for people and for signatures of scores; of a link, that of what it leads to.
pub fn encoder_name(dir: &Path) -> String {
    let place = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    place.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// Loads the sentence encoder that --encoder names.
///
/// # Errors
/// Those of [`encoder::load`].
pub fn load_encoder(dir: &Path, session: &Session) -> Result<SentenceEncoder> {
    encoder::load(dir, "--encoder", session.placement)
}
