//! How much of what the texts claim is true, by a catalogue.

use std::time::Instant;

use anyhow::{Result, ensure};
use regen_metrics::grounding::{Grounder, Grounding, Veracity, veracity};
use regen_metrics::{Aggregate, Measurement};
use serde_json::{Value, json};

use super::facts::{Catalogue, FieldTrust};
use super::pairs::Texts;
use super::rows::{Row, Run};

fn check(texts: &Texts, grounder: &Grounder, catalogue: &Catalogue, trust: FieldTrust) -> Vec<Grounding> {
    let check = |(text, about): (&String, _)| grounder.check(text, &catalogue.facts(about, trust));
    texts.hypotheses.iter().zip(&texts.about).map(check).collect()
}

/// The row `veracity`, and one JSON object per claim of the first system: pair (from 1), kind, span in bytes, words, verdict
/// and the field that decided.
///
/// # Errors
/// If no pair names an item of the catalogue, or the resampling is refused.
pub fn veracity_row(catalogue: &Catalogue, trust: FieldTrust, run: Run<'_>) -> Result<(Row, Vec<Value>)> {
    let known = run.ours.about.iter().filter(|about| catalogue.knows(about)).count();
    ensure!(known > 0, "no pair has an `item` of the catalogue, so no claim can be checked");
    let grounder = Grounder::with_brands(&catalogue.brands());
    let start = Instant::now();
    let checked = check(run.ours, &grounder, catalogue, trust);
    let seconds = start.elapsed().as_secs_f64();
    let other = run.theirs.map(|texts| veracity(&check(texts, &grounder, catalogue, trust))).transpose()?;
    let measured: Measurement<Veracity> = veracity(&checked)?;
    // A text without a decided claim has no share of truth of its own.
    let segment = |stats: &<Veracity as Aggregate>::Stats| {
        (stats.supported + stats.contradicted > 0).then(|| Veracity.score(stats).veracity)
    };
    let mut row = run.row("veracity", measured, other, segment, seconds)?;
    row.json.insert("pairs_with_known_item".into(), known.into());
    let mut claims = Vec::new();
    for (pair, (text, grounding)) in (1..).zip(run.ours.hypotheses.iter().zip(&checked)) {
        for found in &grounding.claims {
            claims.push(json!({
                "pair": pair,
                "claim": found.claim.value,
                "span": [found.claim.span.start, found.claim.span.end],
                "words": text.get(found.claim.span.clone()),
                "verdict": found.verdict,
                "field": found.field,
            }));
        }
    }
    Ok((row, claims))
}
