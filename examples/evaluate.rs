//! Scores texts against references: every metric with its interval and signature, two systems with tests.
//!
//! ```text
//! cargo run --release --example evaluate -- --pairs ours.jsonl
//! cargo run --release --example evaluate -- --pairs ours.jsonl --against baseline.jsonl --json
//! ```

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use regen_examples::similarity::similarity;
use regen_metrics::diversity::{Jackknife, distinct, unique_sentence_ratio};
use regen_metrics::{
    Aggregate, Bleu, BleuConfig, BleuTokenizer, Bootstrap, Chrf, ChrfConfig, LengthRatio, MeanStats,
    Measurement, Meteor, MeteorConfig, Metric, Randomization, Rouge, RougeVariant, Scored, Ter, TerConfig,
    approximate_randomization, holm, measure, paired_bootstrap,
};
use regen_semantic::SentenceEncoder;
use regen_torch::{DeviceChoice, Placement, Precision};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Scores hypotheses against references. Input is one JSON object a line, with `hyp` (a text) and `ref` (a text) or
/// `refs` (a list of texts); other keys are ignored.
///
/// BLEU, chrF and TER are on sacrebleu's scale of 0 to 100, all others on 0 to 1; TER is the only one where lower is
/// better. With --against, p values ask whether the two systems differ; `p (Holm)` is corrected for the number of
/// metrics asked.
#[derive(Debug, Parser)]
#[command(name = "evaluate")]
struct Args {
    /// Texts of the system to score.
    #[arg(long)]
    pairs: PathBuf,
    /// Texts of another system on the same references, to compare with.
    #[arg(long)]
    against: Option<PathBuf>,
    /// Write the values of each pair here, one JSON object a line in the order of the input. BLEU of a single pair
    /// has effective order, as in sacrebleu.
    #[arg(long)]
    segments: Option<PathBuf>,
    /// What to compute, separated by commas.
    #[arg(long, value_delimiter = ',', default_values_t = MetricName::value_variants().to_vec())]
    metrics: Vec<MetricName>,
    /// How BLEU and METEOR cut words.
    #[arg(long, default_value = "13a", value_parser = parse_tokenizer)]
    tokenize: BleuTokenizer,
    /// Folder of a sentence encoder: adds semantic_similarity, the cosine of its embeddings, of several references the
    /// nearest.
    #[arg(long)]
    encoder: Option<PathBuf>,
    /// Where the encoder computes: auto, cpu, cuda or cuda:N.
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Ignore case in BLEU and chrF; the others always do.
    #[arg(long)]
    lowercase: bool,
    /// Stem words for ROUGE.
    #[arg(long)]
    stemmer: bool,
    /// Key of the input whose values group the pairs, such as `user`: intervals and tests then draw groups.
    #[arg(long, value_name = "KEY")]
    group_by: Option<String>,
    /// Resamples of each interval, and trials of each test.
    #[arg(long, default_value_t = 1000)]
    resamples: usize,
    /// Share of the resampled values that an interval encloses.
    #[arg(long, default_value_t = 0.95)]
    confidence: f64,
    /// Seed of the resampling.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Threads to use [default: all cores]; results do not depend on them.
    #[arg(long)]
    threads: Option<usize>,
    /// Print one JSON object as the last line of stdout.
    #[arg(long)]
    json: bool,
    /// No table, only --json.
    #[arg(short, long)]
    quiet: bool,
}

/// Names of metrics in --metrics and in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum MetricName {
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
    #[value(skip)]
    SemanticSimilarity,
}

impl std::fmt::Display for MetricName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.to_possible_value().as_ref().map_or("semantic_similarity", |value| value.get_name()))
    }
}

fn parse_tokenizer(name: &str) -> Result<BleuTokenizer, String> {
    serde_json::from_value(Value::from(name)).map_err(|_| "expected 13a, intl, char, zh or none".to_owned())
}

/// One system's texts.
struct Texts {
    hypotheses: Vec<String>,
    references: Vec<Vec<String>>,
    groups: Option<Vec<String>>,
}

/// A metric's results: what JSON says, and the value of each pair where there is one.
struct Row {
    metric: MetricName,
    json: Map<String, Value>,
    segments: Option<Vec<f64>>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(threads) = args.threads {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    }
    let ours = read(&args.pairs, args.group_by.as_deref())?;
    let theirs = args.against.as_deref().map(|path| read(path, args.group_by.as_deref())).transpose()?;
    if let (Some(theirs), Some(path)) = (&theirs, &args.against) {
        same_references(&args.pairs, &ours, path, theirs)?;
    }
    let mut rows = Vec::new();
    for &metric in &args.metrics {
        rows.push(score(metric, &args, &ours, theirs.as_ref()).with_context(|| format!("{metric}"))?);
    }
    if let Some(folder) = &args.encoder {
        rows.push(similarity_row(folder, &args, &ours, theirs.as_ref())?);
    }
    correct_for_many_questions(&mut rows);
    if let Some(path) = &args.segments {
        write_segments(path, &rows, ours.hypotheses.len())?;
    }
    if !args.quiet {
        print_table(&rows, ours.hypotheses.len());
    }
    if args.json {
        let object: Map<String, Value> =
            rows.into_iter().map(|row| (row.metric.to_string(), Value::Object(row.json))).collect();
        println!("{}", Value::Object(object));
    }
    Ok(())
}

fn score(metric: MetricName, args: &Args, ours: &Texts, theirs: Option<&Texts>) -> Result<Row> {
    let &Args { tokenize: tokenizer, lowercase, stemmer, .. } = args;
    let bleu = BleuConfig { tokenizer, lowercase, ..BleuConfig::default() };
    let chrf = ChrfConfig { lowercase, ..ChrfConfig::default() };
    let rouge = |variant| Rouge::new(variant, stemmer);
    let run = Run { metric, args, ours, theirs };
    match metric {
        MetricName::Bleu => {
            let sentence = Bleu::new(BleuConfig { effective_order: true, ..bleu })?;
            run.with(&Bleu::new(bleu)?, &sentence)
        }
        MetricName::Chrf => run.plainly(&Chrf::new(chrf)?),
        MetricName::ChrfPlusPlus => run.plainly(&Chrf::new(ChrfConfig { word_order: 2, ..chrf })?),
        MetricName::Rouge1 => run.plainly(&rouge(RougeVariant::N(1))?),
        MetricName::Rouge2 => run.plainly(&rouge(RougeVariant::N(2))?),
        MetricName::RougeL => run.plainly(&rouge(RougeVariant::L)?),
        MetricName::RougeLsum => run.plainly(&rouge(RougeVariant::Lsum)?),
        MetricName::Meteor => {
            run.plainly(&Meteor::new(MeteorConfig { tokenizer, ..MeteorConfig::default() })?)
        }
        MetricName::Ter => run.plainly(&Ter::new(TerConfig::default())),
        MetricName::LengthRatio => run.plainly(&LengthRatio::new(tokenizer)),
        MetricName::Distinct1 => run.counting(|texts| distinct(texts, 1, tokenizer)),
        MetricName::Distinct2 => run.counting(|texts| distinct(texts, 2, tokenizer)),
        MetricName::UniqueSentenceRatio => run.counting(unique_sentence_ratio),
        MetricName::SemanticSimilarity => bail!("it needs an encoder: name one with --encoder"),
    }
}

/// Semantic similarity by the encoder of `folder`.
fn similarity_row(folder: &Path, args: &Args, ours: &Texts, theirs: Option<&Texts>) -> Result<Row> {
    let placement = Placement::choose(args.device, Precision::F32)?;
    let encoder = SentenceEncoder::load(folder, placement)
        .with_context(|| format!("no sentence encoder at {}", folder.display()))?;
    let name =
        folder.file_name().map_or_else(|| folder.display().to_string(), |n| n.to_string_lossy().into());
    let measure = |texts: &Texts| similarity(&texts.hypotheses, &texts.references, &encoder, &name);
    let start = Instant::now();
    let measured = measure(ours)?;
    let seconds = start.elapsed().as_secs_f64();
    let run = Run { metric: MetricName::SemanticSimilarity, args, ours, theirs };
    run.row(measured, theirs.map(measure).transpose()?, MeanStats::mean, true, seconds)
}

/// What one metric is asked about.
struct Run<'a> {
    metric: MetricName,
    args: &'a Args,
    ours: &'a Texts,
    theirs: Option<&'a Texts>,
}

impl Run<'_> {
    fn plainly<M: Metric<Score: Serialize>>(self, metric: &M) -> Result<Row> {
        self.with(metric, metric)
    }

    /// Scores by `metric`, and single pairs by `sentence`, which understands the same statistics.
    fn with<M: Metric<Score: Serialize>>(self, metric: &M, sentence: &M) -> Result<Row> {
        let start = Instant::now();
        let measured = measure(metric, &self.ours.hypotheses, &self.ours.references)?;
        let seconds = start.elapsed().as_secs_f64();
        let other = |texts: &Texts| measure(metric, &texts.hypotheses, &texts.references);
        let other = self.theirs.map(other).transpose()?;
        let segment = |stats: &M::Stats| sentence.score(stats).value();
        self.row(measured, other, segment, metric.higher_is_better(), seconds)
    }

    /// What was measured, with interval and tests; `segment` values a single pair.
    fn row<A: Aggregate<Score: Serialize>>(
        self,
        measured: Measurement<A>,
        other: Option<Measurement<A>>,
        segment: impl Fn(&A::Stats) -> f64,
        higher_is_better: bool,
        seconds: f64,
    ) -> Result<Row> {
        let Args { resamples, confidence, seed, .. } = *self.args;
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
        json.insert("interval".into(), json!(measured.interval(&bootstrap)?));
        if let Some((precision, recall)) = score.precision_recall() {
            json.insert("precision".into(), precision.into());
            json.insert("recall".into(), recall.into());
            json.insert("f".into(), score.value().into());
        }
        if let Value::Object(details) = serde_json::to_value(&score)? {
            json.insert("details".into(), Value::Object(details));
        }
        json.insert("higher_is_better".into(), higher_is_better.into());
        json.insert("signature".into(), measured.signature().into());
        json.insert("seconds".into(), seconds.into());
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
        Ok(Row { metric: self.metric, json, segments: Some(segments) })
    }

    /// Scores that count different things and need no references.
    fn counting(self, count: impl Fn(&[String]) -> regen_metrics::Result<Jackknife>) -> Result<Row> {
        let start = Instant::now();
        let counted = count(&self.ours.hypotheses)?;
        let seconds = start.elapsed().as_secs_f64();
        let [low, high] = counted.interval();
        let interval = json!({"low": low, "high": high, "standard_error": counted.standard_error});
        let words = if self.metric == MetricName::UniqueSentenceRatio {
            BleuTokenizer::None
        } else {
            self.args.tokenize
        };
        let signature = format!(
            "tok:{}|interval:jackknife-95|version:regen.{}",
            words.signature(),
            env!("CARGO_PKG_VERSION")
        );
        let mut json = Map::new();
        json.insert("score".into(), counted.value.into());
        json.insert("interval".into(), interval);
        json.insert("higher_is_better".into(), true.into());
        json.insert("signature".into(), signature.into());
        json.insert("seconds".into(), seconds.into());
        if let Some(theirs) = self.theirs {
            let other = count(&theirs.hypotheses)?.value;
            json.insert("against".into(), json!({"score": other, "difference": counted.value - other}));
        }
        Ok(Row { metric: self.metric, json, segments: None })
    }
}

/// Adds Holm's correction of the bootstrap's p values over all metrics that have one.
fn correct_for_many_questions(rows: &mut [Row]) {
    let mut asked: Vec<&mut Map<String, Value>> =
        rows.iter_mut().filter_map(|row| row.json.get_mut("against")?.as_object_mut()).collect();
    asked.retain(|against| against.contains_key("p_bootstrap"));
    let p_values: Vec<f64> = asked.iter().filter_map(|against| against["p_bootstrap"].as_f64()).collect();
    for (against, corrected) in asked.into_iter().zip(holm(&p_values)) {
        against.insert("p_holm".into(), corrected.into());
    }
}

/// Reads a file of pairs; every malformed line is reported, not only the first.
fn read(path: &Path, group_by: Option<&str>) -> Result<Texts> {
    #[derive(Deserialize)]
    struct Line {
        hyp: String,
        #[serde(rename = "ref")]
        reference: Option<String>,
        refs: Option<Vec<String>>,
        #[serde(flatten)]
        rest: Map<String, Value>,
    }
    let parse = |line: &str| -> Result<(String, Vec<String>, Option<String>), String> {
        let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let references = match (line.reference, line.refs) {
            (Some(reference), None) => vec![reference],
            (None, Some(references)) if !references.is_empty() => references,
            (None, Some(_)) => return Err("`refs` is empty".to_owned()),
            (Some(_), Some(_)) => return Err("both `ref` and `refs`".to_owned()),
            (None, None) => return Err("neither `ref` nor `refs`".to_owned()),
        };
        let group = group_by
            .map(|key| line.rest.get(key).map(Value::to_string).ok_or(format!("no `{key}` to group by")))
            .transpose()?;
        Ok((line.hyp, references, group))
    };
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut texts =
        Texts { hypotheses: Vec::new(), references: Vec::new(), groups: group_by.map(|_| Vec::new()) };
    let mut malformed = String::new();
    let mut failures = 0;
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        match parse(line) {
            Ok((hypothesis, references, group)) => {
                texts.hypotheses.push(hypothesis);
                texts.references.push(references);
                if let (Some(groups), Some(group)) = (&mut texts.groups, group) {
                    groups.push(group);
                }
            }
            Err(reason) => {
                failures += 1;
                writeln!(malformed, "  line {number}: {reason}")?;
            }
        }
    }
    ensure!(failures == 0, "{failures} malformed lines in {}:\n{}", path.display(), malformed.trim_end());
    ensure!(!texts.hypotheses.is_empty(), "no pairs in {}", path.display());
    Ok(texts)
}

fn same_references(path: &Path, ours: &Texts, other: &Path, theirs: &Texts) -> Result<()> {
    let (expected, got) = (ours.hypotheses.len(), theirs.hypotheses.len());
    ensure!(expected == got, "{} has {expected} pairs, {} has {got}", path.display(), other.display());
    let differing = ours.references.iter().zip(&theirs.references).position(|(a, b)| a != b);
    if let Some(pair) = differing {
        bail!("pair {} has other references in {} than in {}", pair + 1, other.display(), path.display());
    }
    Ok(())
}

/// One JSON object per pair, written beside and then moved into place.
fn write_segments(path: &Path, rows: &[Row], pairs: usize) -> Result<()> {
    let mut text = String::new();
    for pair in 0..pairs {
        let values: Map<String, Value> = rows
            .iter()
            .filter_map(|row| Some((row.metric.to_string(), row.segments.as_ref()?[pair].into())))
            .collect();
        writeln!(text, "{}", Value::Object(values))?;
    }
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, text).with_context(|| format!("cannot write {}", temporary.display()))?;
    std::fs::rename(&temporary, path).with_context(|| format!("cannot write {}", path.display()))
}

fn print_table(rows: &[Row], pairs: usize) {
    let number = |value: &Value, digits: usize| match value.as_f64() {
        Some(value) => format!("{value:.digits$}"),
        None => String::new(),
    };
    println!("{pairs} pairs");
    let compared = rows.iter().any(|row| row.json.contains_key("against"));
    let heads = if compared { "   against   difference  p (boot)  p (perm)  p (Holm)" } else { "" };
    println!("{:<22}{:>9}   {:<20}{heads}", "metric", "score", "interval");
    for row in rows {
        let json = |key: &str| row.json.get(key).cloned().unwrap_or_default();
        let digits = if json("interval")["high"].as_f64() > Some(2.0) { 2 } else { 4 };
        let interval = json("interval");
        let range = format!("{} to {}", number(&interval["low"], digits), number(&interval["high"], digits));
        print!("{:<22}{:>9}   {range:<20}", row.metric.to_string(), number(&json("score"), digits));
        let against = json("against");
        if compared {
            print!("{:>10}{:>13}", number(&against["score"], digits), number(&against["difference"], digits));
            for key in ["p_bootstrap", "p_randomization", "p_holm"] {
                print!("{:>10}", number(&against[key], 4));
            }
        }
        println!();
    }
    for row in rows {
        println!("  {}: {}", row.metric, row.json["signature"].as_str().unwrap_or_default());
    }
}
