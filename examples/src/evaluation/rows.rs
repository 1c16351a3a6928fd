//! One row of results: a score with interval, signature and, for two systems, tests.

use std::time::Instant;

use anyhow::Result;
use regen_metrics::{
    Aggregate, Bootstrap, Measurement, Randomization, Scored, approximate_randomization, holm,
    paired_bootstrap,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::pairs::Texts;

/// How scores are resampled.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Resamples of each interval, and trials of each test.
    pub resamples: usize,
    /// Share of the resampled values that an interval encloses.
    pub confidence: f64,
    /// Seed of every draw.
    pub seed: u64,
}

/// A metric's results.
#[derive(Debug)]
pub struct Row {
    /// The key in JSON and the name in the table.
    pub name: String,
    /// What JSON says of it.
    pub json: Map<String, Value>,
    /// The value of each pair, where single pairs have one.
    pub segments: Option<Vec<Option<f64>>>,
}

/// The systems that are scored.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// How scores are resampled.
    pub settings: Settings,
    /// The system to score.
    pub ours: &'a Texts,
    /// The system to compare with.
    pub theirs: Option<&'a Texts>,
}

impl Run<'_> {
    /// What was measured of both systems, with interval and tests; `segment` values a single pair of the first.
    ///
    /// # Errors
    /// If the resampling is refused, or the systems differ in their number of pairs.
    pub fn row<A: Aggregate<Score: Serialize>>(
        self,
        name: impl Into<String>,
        measured: Measurement<A>,
        other: Option<Measurement<A>>,
        segment: impl Fn(&A::Stats) -> Option<f64>,
        seconds: f64,
    ) -> Result<Row> {
        let Settings { resamples, confidence, seed } = self.settings;
        let bootstrap = Bootstrap { resamples, confidence, seed };
        let score = measured.score();
        let segments = measured.segments().iter().map(segment).collect();
        let grouped = |measured: Measurement<A>| match &self.ours.groups {
            Some(keys) => measured.grouped(keys),
            None => Ok(measured),
        };
        let measured = grouped(measured)?;
        let mut json = Map::new();
        json.insert("score".into(), score.value().into());
        let start = Instant::now();
        json.insert("interval".into(), json!(measured.interval(&bootstrap)?));
        let interval_seconds = start.elapsed().as_secs_f64();
        if let Some((precision, recall)) = score.precision_recall() {
            json.insert("precision".into(), precision.into());
            json.insert("recall".into(), recall.into());
            json.insert("f".into(), score.value().into());
        }
        if let Value::Object(details) = serde_json::to_value(&score)? {
            json.insert("details".into(), Value::Object(details));
        }
        json.insert("higher_is_better".into(), measured.aggregate().higher_is_better().into());
        json.insert("signature".into(), measured.signature().into());
        json.insert("seconds".into(), seconds.into());
        json.insert("interval_seconds".into(), interval_seconds.into());
        if let Some(other) = other {
            let other = grouped(other)?;
            let test = paired_bootstrap(&other, &measured, &bootstrap)?;
            let trials = Randomization { trials: resamples, seed };
            let randomization = approximate_randomization(&other, &measured, &trials)?;
            let against = json!({
                "score": other.value(),
                "difference": test.difference,
                "interval": test.interval,
                "p_bootstrap": test.p_value,
                "p_randomization": randomization.p_value,
            });
            json.insert("against".into(), against);
        }
        Ok(Row { name: name.into(), json, segments: Some(segments) })
    }
}

/// Adds Holm's correction of the bootstrap's p values over all rows that have one.
pub fn correct_for_many_questions(rows: &mut [Row]) {
    let mut asked: Vec<&mut Map<String, Value>> =
        rows.iter_mut().filter_map(|row| row.json.get_mut("against")?.as_object_mut()).collect();
    asked.retain(|against| against.contains_key("p_bootstrap"));
    let p_values: Vec<f64> = asked.iter().filter_map(|against| against["p_bootstrap"].as_f64()).collect();
    for (against, corrected) in asked.into_iter().zip(holm(&p_values)) {
        against.insert("p_holm".into(), corrected.into());
    }
}
