//! A chat model as rater: scores by attribute, or preferences between two systems, with what they cost.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use regen_chat::{
    ChatAnswer, ChatModel, ChatRequest, Endpoint, Journal, OpenAiClient, Prices, Retries, Stop, Usage,
};
use regen_metrics::rater::{Case, NarrativeKind, Rater, RaterConfig, Rubric};
use regen_metrics::{Bootstrap, Mean, MeanStats, Measurement};
use serde_json::{Value, json};

use super::facts::Catalogue;
use super::pairs::Texts;
use super::rows::{Row, Run};

/// Whom to ask, and how.
#[derive(Debug, Clone)]
pub struct RaterChoice {
    /// Address of an OpenAI-compatible endpoint, up to and with its version.
    pub url: String,
    /// The model's name there.
    pub model: String,
    /// The key of the endpoint.
    pub api_key: Option<String>,
    /// Answers on disk, so that a run goes on where it stopped.
    pub journal: PathBuf,
    /// How often each question is asked.
    pub samples: u32,
    /// Ask which of two texts is better, in both orders, instead of scoring each.
    pub pairwise: bool,
    /// The kind of texts whose line has no `kind`.
    pub kind: NarrativeKind,
    /// Of a million tokens.
    pub prices: Option<Prices>,
    /// Count what would be asked, and ask nothing.
    pub dry_run: bool,
}

/// A model that answers nothing and counts what it is asked, by the rule of thumb of four letters a token.
#[derive(Debug, Default)]
struct Counting {
    name: String,
    questions: AtomicU64,
    letters: AtomicU64,
}

impl ChatModel for Counting {
    fn name(&self) -> &str {
        &self.name
    }

    fn ask(&self, request: &ChatRequest) -> regen_chat::Result<ChatAnswer> {
        let letters: usize = request.messages.iter().map(|message| message.content.chars().count()).sum();
        self.questions.fetch_add(1, Ordering::Relaxed);
        self.letters.fetch_add(letters as u64, Ordering::Relaxed);
        // A refusal is not asked again, so that each question counts once.
        Ok(ChatAnswer { text: String::new(), stop: Stop::Refused, usage: Usage::default() })
    }
}

fn cases(texts: &Texts, catalogue: &Catalogue, default: NarrativeKind) -> Result<Vec<Case>> {
    (1..)
        .zip(&texts.about)
        .map(|(pair, about)| {
            let kind = match &about.kind {
                Some(kind) => serde_json::from_value(Value::from(kind.as_str()))
                    .with_context(|| format!("pair {pair}: no kind of narrative is called `{kind}`"))?,
                None => default,
            };
            Ok(Case {
                kind,
                item: catalogue.words(about).unwrap_or_default(),
                history: catalogue.history(about).unwrap_or_default(),
                context: about.context.clone(),
            })
        })
        .collect()
}

/// One row per attribute: `rater_fluency`, or `rater_prefers_fluency` for preferences; and what was asked and what it cost.
///
/// # Errors
/// If a kind is unknown, preferences lack a second system, or the model cannot be asked.
pub fn rater_rows(choice: &RaterChoice, catalogue: &Catalogue, run: Run<'_>) -> Result<(Vec<Row>, Value)> {
    let config = RaterConfig { samples: choice.samples, ..RaterConfig::seeded(run.settings.seed) };
    let cases = cases(run.ours, catalogue, choice.kind)?;
    if choice.dry_run {
        let model = Counting { name: choice.model.clone(), ..Counting::default() };
        let rater = Rater::new(model, Rubric::standard(), config)?;
        ask(&rater, choice, &cases, run)?;
        let questions = rater.model().questions.load(Ordering::Relaxed);
        let tokens = rater.model().letters.load(Ordering::Relaxed) / 4;
        // Five attributes with a reason of two sentences each.
        let answers = questions * 300;
        let usage = Usage { prompt_tokens: tokens, completion_tokens: answers };
        let spent = json!({
            "dry_run": true, "questions": questions, "prompt_tokens_about": tokens,
            "completion_tokens_about": answers, "cost_about": choice.prices.map(|prices| prices.cost(usage)),
        });
        return Ok((Vec::new(), spent));
    }
    let client = OpenAiClient::new(Endpoint {
        base_url: choice.url.clone(),
        model: choice.model.clone(),
        api_key: choice.api_key.clone(),
        timeout: Duration::from_secs(120),
        retries: Retries::seeded(run.settings.seed),
    })?;
    let rater = Rater::new(Journal::open(client, &choice.journal)?, Rubric::standard(), config)?;
    let rows = ask(&rater, choice, &cases, run)?;
    let tally = rater.model().tally();
    let spent = json!({
        "asked": tally.answers, "prompt_tokens": tally.asked.prompt_tokens,
        "completion_tokens": tally.asked.completion_tokens, "from_journal": tally.replayed_answers,
        "cost": choice.prices.map(|prices| prices.cost(tally.asked)),
    });
    Ok((rows, spent))
}

fn ask<M: ChatModel + Sync>(
    rater: &Rater<M>,
    choice: &RaterChoice,
    cases: &[Case],
    run: Run<'_>,
) -> Result<Vec<Row>> {
    let start = Instant::now();
    let bootstrap = Bootstrap {
        resamples: run.settings.resamples,
        confidence: run.settings.confidence,
        seed: run.settings.seed,
    };
    let value = |stats: &MeanStats| (stats.count > 0).then(|| stats.mean());
    let answered = |measured: &Measurement<Mean>| measured.segments().iter().any(|stats| stats.count > 0);
    let mut rows = Vec::new();
    if choice.pairwise {
        let Some(theirs) = run.theirs else { bail!("preferences need a second system: give --against") };
        let texts: Vec<(Case, &str, &str)> = cases
            .iter()
            .zip(theirs.hypotheses.iter().zip(&run.ours.hypotheses))
            .map(|(case, (theirs, ours))| (case.clone(), theirs.as_str(), ours.as_str()))
            .collect();
        let compared = rater.compare_all(&texts)?;
        for summary in compared.summaries(&bootstrap)? {
            let measured = compared.measurement(&summary.attribute)?;
            if answered(&measured) {
                let name = format!("rater_prefers_{}", summary.attribute);
                let seconds = start.elapsed().as_secs_f64();
                let mut row = run.row(name, measured, None, value, seconds)?;
                row.json.insert("repeats".into(), serde_json::to_value(&summary)?);
                rows.push(row);
            }
        }
        return Ok(rows);
    }
    let rate = |texts: &Texts| {
        let narratives: Vec<(Case, &str)> =
            cases.iter().cloned().zip(texts.hypotheses.iter().map(String::as_str)).collect();
        rater.rate_all(&narratives)
    };
    let (ours, theirs) = (rate(run.ours)?, run.theirs.map(rate).transpose()?);
    for summary in ours.summaries(&bootstrap)? {
        let measured = ours.measurement(&summary.attribute)?;
        let other = theirs.as_ref().map(|theirs| theirs.measurement(&summary.attribute)).transpose()?;
        if answered(&measured) {
            let name = format!("rater_{}", summary.attribute);
            let mut row = run.row(name, measured, other, value, start.elapsed().as_secs_f64())?;
            let (refused, malformed) = ours.unanswered();
            row.json.insert("repeats".into(), serde_json::to_value(&summary)?);
            row.json.insert("refused".into(), refused.into());
            row.json.insert("malformed".into(), malformed.into());
            rows.push(row);
        }
    }
    Ok(rows)
}
