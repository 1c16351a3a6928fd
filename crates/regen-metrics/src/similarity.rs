//! Semantic similarity: the cosine between vectors that the caller's sentence encoder made of hypothesis
//! and reference. No encoder lives here.

use ndarray::ArrayView2;
use rayon::prelude::*;

use crate::aggregate::{Mean, MeanStats};
use crate::error::{Error, Result};
use crate::measurement::Measurement;

/// The cosine of each pair of rows, computed in `f64`.
///
/// A row of zeros, such as an encoder may give an empty text, has cosine 0 with everything.
///
/// **Shapes** `hypotheses: [segments, dim]`, `references: [segments, dim]` → `[segments]`, each in −1..=1.
///
/// # Errors
/// [`Error::CountMismatch`], [`Error::WidthMismatch`], or [`Error::NotFinite`] naming the segment.
pub fn cosines(hypotheses: ArrayView2<'_, f32>, references: ArrayView2<'_, f32>) -> Result<Vec<f64>> {
    if hypotheses.nrows() != references.nrows() {
        return Err(Error::CountMismatch {
            what: "reference vectors",
            expected: hypotheses.nrows(),
            got: references.nrows(),
        });
    }
    if hypotheses.ncols() != references.ncols() {
        return Err(Error::WidthMismatch {
            what: "reference vectors",
            expected: hypotheses.ncols(),
            got: references.ncols(),
        });
    }
    (0..hypotheses.nrows())
        .into_par_iter()
        .with_min_len(64)
        .map(|segment| {
            let (mut dot, mut ours, mut theirs) = (0.0, 0.0, 0.0);
            for (&a, &b) in hypotheses.row(segment).iter().zip(references.row(segment)) {
                let (a, b) = (f64::from(a), f64::from(b));
                dot += a * b;
                ours += a * a;
                theirs += b * b;
            }
            for (what, norm) in [("hypothesis vector", ours), ("reference vector", theirs)] {
                if !f64::is_finite(norm) {
                    return Err(Error::NotFinite { what, segment });
                }
            }
            let norms = (ours * theirs).sqrt();
            Ok(if norms > 0.0 { (dot / norms).clamp(-1.0, 1.0) } else { 0.0 })
        })
        .collect()
}

/// The mean cosine over the segments, with the means of every other metric to get intervals and tests.
///
/// `encoder` names the model in the signature: similarities under different encoders do not compare.
///
/// **Shapes** as for [`cosines`].
///
/// # Errors
/// As for [`cosines`], and [`Error::Empty`] without rows.
pub fn semantic_similarity(
    hypotheses: ArrayView2<'_, f32>,
    references: ArrayView2<'_, f32>,
    encoder: &str,
) -> Result<Measurement<Mean>> {
    let segments = cosines(hypotheses, references)?.into_iter().map(MeanStats::of).collect();
    Measurement::new(
        Mean::named("semantic similarity"),
        segments,
        format!("nrefs:1|sim:cosine|encoder:{encoder}|agg:mean|version:regen.{}", env!("CARGO_PKG_VERSION")),
    )
}
