//! Metrics by their names on the command line.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use clap::ValueEnum;
use regen_metrics::diversity::{Jackknife, distinct, unique_sentence_ratio};
use regen_metrics::{
    Bleu, BleuConfig, BleuTokenizer, Chrf, ChrfConfig, LengthRatio, Meteor, MeteorConfig, Metric, Rouge,
    RougeVariant, Scored, Ter, TerConfig, measure,
};
use regen_torch::Placement;
use serde::Serialize;
use serde_json::{Map, json};

use super::pairs::Texts;
use super::rows::{Row, Run};
use crate::encoder;
use crate::features::encoder_name;
use crate::similarity::similarity;

/// Names of metrics in --metrics and in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum MetricName {
    Bleu,
    Chrf,
    #[value(name = "chrf++")]
    ChrfPlusPlus,
    #[value(name = "rouge_1")]
    Rouge1,
    #[value(name = "rouge_2")]
    Rouge2,
    RougeL,
    RougeLsum,
    Meteor,
    Ter,
    LengthRatio,
    #[value(name = "distinct_1")]
    Distinct1,
    #[value(name = "distinct_2")]
    Distinct2,
    UniqueSentenceRatio,
}

impl std::fmt::Display for MetricName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.to_possible_value() {
            Some(value) => f.write_str(value.get_name()),
            None => write!(f, "{self:?}"),
        }
    }
}

/// How words are cut.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    /// For BLEU, METEOR, lengths and distinct words.
    pub tokenizer: BleuTokenizer,
    /// Ignore case in BLEU and chrF.
    pub lowercase: bool,
    /// Stem words for ROUGE.
    pub stemmer: bool,
}

/// The row of one metric.
///
/// # Errors
/// If the settings are refused.
pub fn score(metric: MetricName, words: Words, run: Run<'_>) -> Result<Row> {
    let Words { tokenizer, lowercase, stemmer } = words;
    let bleu = BleuConfig { tokenizer, lowercase, ..BleuConfig::default() };
    let chrf = ChrfConfig { lowercase, ..ChrfConfig::default() };
    let rouge = |variant| Rouge::new(variant, stemmer);
    let name = metric.to_string();
    match metric {
        MetricName::Bleu => {
            let sentence = Bleu::new(BleuConfig { effective_order: true, ..bleu })?;
            with(name, &Bleu::new(bleu)?, &sentence, run)
        }
        MetricName::Chrf => plainly(name, &Chrf::new(chrf)?, run),
        MetricName::ChrfPlusPlus => plainly(name, &Chrf::new(ChrfConfig { word_order: 2, ..chrf })?, run),
        MetricName::Rouge1 => plainly(name, &rouge(RougeVariant::N(1))?, run),
        MetricName::Rouge2 => plainly(name, &rouge(RougeVariant::N(2))?, run),
        MetricName::RougeL => plainly(name, &rouge(RougeVariant::L)?, run),
        MetricName::RougeLsum => plainly(name, &rouge(RougeVariant::Lsum)?, run),
        MetricName::Meteor => {
            plainly(name, &Meteor::new(MeteorConfig { tokenizer, ..MeteorConfig::default() })?, run)
        }
        MetricName::Ter => plainly(name, &Ter::new(TerConfig::default()), run),
        MetricName::LengthRatio => plainly(name, &LengthRatio::new(tokenizer), run),
        MetricName::Distinct1 => counting(name, tokenizer, |texts| distinct(texts, 1, tokenizer), run),
        MetricName::Distinct2 => counting(name, tokenizer, |texts| distinct(texts, 2, tokenizer), run),
        MetricName::UniqueSentenceRatio => counting(name, BleuTokenizer::None, unique_sentence_ratio, run),
    }
}

fn plainly<M: Metric<Score: Serialize>>(name: String, metric: &M, run: Run<'_>) -> Result<Row> {
    with(name, metric, metric, run)
}

/// Scores by `metric`, and single pairs by `sentence`, which understands the same statistics.
fn with<M: Metric<Score: Serialize>>(name: String, metric: &M, sentence: &M, run: Run<'_>) -> Result<Row> {
    let start = Instant::now();
    let measured = measure(metric, &run.ours.hypotheses, &run.ours.references)?;
    let seconds = start.elapsed().as_secs_f64();
    let other = |texts: &Texts| measure(metric, &texts.hypotheses, &texts.references);
    let other = run.theirs.map(other).transpose()?;
    run.row(name, measured, other, |stats| Some(sentence.score(stats).value()), seconds)
}

/// Scores that count different things and need no references.
fn counting(
    name: String,
    words: BleuTokenizer,
    count: impl Fn(&[String]) -> regen_metrics::Result<Jackknife>,
    run: Run<'_>,
) -> Result<Row> {
    let start = Instant::now();
    let counted = count(&run.ours.hypotheses)?;
    let seconds = start.elapsed().as_secs_f64();
    let [low, high] = counted.interval();
    let version = env!("CARGO_PKG_VERSION");
    let signature = format!("tok:{}|interval:jackknife-95|version:regen.{version}", words.signature());
    let mut json = Map::new();
    json.insert("score".into(), counted.value.into());
    let interval = json!({"low": low, "high": high, "standard_error": counted.standard_error});
    json.insert("interval".into(), interval);
    json.insert("higher_is_better".into(), true.into());
    json.insert("signature".into(), signature.into());
    json.insert("seconds".into(), seconds.into());
    if let Some(theirs) = run.theirs {
        let other = count(&theirs.hypotheses)?.value;
        json.insert("against".into(), json!({"score": other, "difference": counted.value - other}));
    }
    Ok(Row { name, json, segments: None })
}

/// Semantic similarity by the encoder of `folder`.
///
/// # Errors
/// If there is no encoder, or it fails.
pub fn similarity_row(folder: &Path, placement: Placement, run: Run<'_>) -> Result<Row> {
    let encoder = encoder::load(folder, "--encoder", placement)?;
    let name = encoder_name(folder);
    let measure = |texts: &Texts| similarity(&texts.hypotheses, &texts.references, &encoder, &name);
    let start = Instant::now();
    let measured = measure(run.ours)?;
    let seconds = start.elapsed().as_secs_f64();
    let other = run.theirs.map(measure).transpose()?;
    run.row("semantic_similarity", measured, other, |stats| Some(stats.mean()), seconds)
}
