#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod aggregate;
pub mod agreement;
mod bertscore;
mod bleu;
mod chargrams;
mod chrf;
mod consensus;
pub mod diversity;
mod error;
pub mod grounding;
mod lcs;
mod length;
mod measurement;
mod meteor;
mod ngrams;
mod perplexity;
mod porter;
mod ranking;
#[cfg(feature = "rater")]
pub mod rater;
mod resample;
mod rouge;
pub mod rubric;
mod signature;
pub mod similarity;
mod stems;
mod table;
mod ter;
mod tokenize;
mod vocabulary;

pub use aggregate::{
    Aggregate, FScore, FScoreStats, Mean, MeanStats, Metric, ReferenceCount, Scored, Statistics,
};
pub use bertscore::{Baseline, BertScore, InverseDocumentFrequency, TokenVectors};
pub use bleu::{Bleu, BleuConfig, BleuScore, BleuStats, MAX_ORDER, Smoothing};
pub use chrf::{Chrf, ChrfConfig, ChrfScore, ChrfStats};
pub use consensus::{Consensus, consensus, consensus_of_vectors};
pub use error::{Error, Result};
pub use length::{LengthRatio, LengthSummary};
pub use measurement::{Measurement, References, measure};
pub use meteor::{Meteor, MeteorConfig};
pub use perplexity::{Perplexity, PerplexityStats, perplexity};
pub use ranking::{RankingMetric, ranking, ranking_of_places};
pub use resample::{
    Bootstrap, Comparison, Interval, Randomization, approximate_randomization, holm, paired_bootstrap,
};
pub use rouge::{Rouge, RougeVariant};
pub use similarity::semantic_similarity;
pub use ter::{Ter, TerConfig, TerScore, TerStats};
pub use tokenize::BleuTokenizer;
