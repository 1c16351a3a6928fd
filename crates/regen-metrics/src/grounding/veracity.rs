//! The share of decided claims that are true, as a measurement like any other.

use super::claim::{Grounding, Verdict};
use crate::aggregate::{Aggregate, Scored, Statistics};
use crate::error::Result;
use crate::measurement::Measurement;

/// Supported claims over supported and contradicted ones, in 0..=1; 1 where no claim was decided, because nothing
/// untrue was found. Look at the counts beside it: saying nothing is safe and useless.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Veracity;

/// Numbers of claims by verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VeracityStats {
    /// Claims that a field supports.
    pub supported: u64,
    /// Claims that an authoritative field contradicts.
    pub contradicted: u64,
    /// Claims that no field decides.
    pub unverifiable: u64,
}

impl Statistics for VeracityStats {
    fn add(&mut self, other: &Self) {
        self.supported += other.supported;
        self.contradicted += other.contradicted;
        self.unverifiable += other.unverifiable;
    }
}

/// The share and what it is made of.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct VeracityScore {
    /// Supported over supported and contradicted.
    pub veracity: f64,
    /// Claims that a field supports.
    pub supported: u64,
    /// Claims that an authoritative field contradicts.
    pub contradicted: u64,
    /// Claims that no field decides.
    pub unverifiable: u64,
}

impl Scored for VeracityScore {
    fn value(&self) -> f64 {
        self.veracity
    }
}

impl Aggregate for Veracity {
    type Stats = VeracityStats;
    type Score = VeracityScore;

    fn name(&self) -> String {
        "veracity".to_owned()
    }

    fn score(&self, total: &VeracityStats) -> VeracityScore {
        let &VeracityStats { supported, contradicted, unverifiable } = total;
        let decided = supported + contradicted;
        let veracity = if decided == 0 { 1.0 } else { supported as f64 / decided as f64 };
        VeracityScore { veracity, supported, contradicted, unverifiable }
    }
}

/// The veracity of texts that were checked, one entry per text.
///
/// # Errors
/// [`Error::Empty`](crate::Error::Empty) without texts.
pub fn veracity(texts: &[Grounding]) -> Result<Measurement<Veracity>> {
    let segments = texts
        .iter()
        .map(|text| VeracityStats {
            supported: text.count(Verdict::Supported) as u64,
            contradicted: text.count(Verdict::Contradicted) as u64,
            unverifiable: text.count(Verdict::Unverifiable) as u64,
        })
        .collect();
    let signature = format!(
        "claims:price,brand,colour,size,count,purchase,product|lang:en|version:regen.{}",
        env!("CARGO_PKG_VERSION")
    );
    Measurement::new(Veracity, segments, signature)
}
