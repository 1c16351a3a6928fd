//! The page itself: one HTML file that opens offline.

use std::fmt::Write;

use anyhow::Result;
use serde_json::Value;

use super::charts::{self, Bar, COLOURS, Series};
use super::files::Comparison;
use super::style::{STYLE, escape};
use crate::controls::in_words;
use crate::run_log::RunLog;
use crate::scores::{METRIC_NAMES, METRICS};

pub(super) fn render(comparison: &Comparison, run: &Value, log: &RunLog) -> Result<String> {
    let mut html = String::new();
    let title = escape(&comparison.title);
    write!(
        html,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><title>{title}</title><style>{STYLE}</style></head><body><main>\
         <h1>{title}</h1><p class=\"lead\">Narratives for users who were never seen in training: what collaborative \
         filtering, item text, and both together tell a language model.</p>"
    )?;
    for remark in &comparison.remarks {
        write!(html, "<p>{}</p>", escape(remark))?;
    }
    scores(&mut html, comparison)?;
    curves(&mut html, comparison)?;
    write!(html, "<h2>Who makes the soft tokens?</h2>")?;
    if comparison.cf_shares.is_empty() {
        write!(
            html,
            "<p class=\"note\">No item of a test user has both vectors, so the share is not defined.</p>"
        )?;
    } else {
        let figure =
            charts::share_histogram(&comparison.cf_shares, "share of W₁eᵢ in the norms of W₁eᵢ and W₂eₛ");
        write!(
            html,
            "{figure}<p class=\"note\">Fusion arm, every item of the test users that has both vectors. Below one half \
             the semantic side contributes the longer vector.</p>"
        )?;
    }
    samples(&mut html, comparison)?;
    cost(&mut html, comparison, run, log)?;
    html.push_str("</main></body></html>\n");
    Ok(html)
}

fn scores(html: &mut String, comparison: &Comparison) -> Result<()> {
    write!(html, "<h2>Scores</h2><table><thead><tr><th>arm</th>")?;
    for name in METRIC_NAMES {
        write!(html, "<th>{name}</th>")?;
    }
    html.push_str("</tr></thead><tbody>");
    let arms = comparison.arms.iter().map(|arm| (arm.name.as_str(), &arm.scores));
    let baselines = comparison.baselines.iter().map(|(name, scores)| (name.as_str(), scores));
    let mut bars: [Vec<Bar>; 3] = Default::default();
    for (index, (name, scores)) in arms.chain(baselines).enumerate() {
        let records = scores.records(comparison.seed)?;
        let class = if name == "fusion" { " class=\"best\"" } else { "" };
        write!(html, "<tr{class}><td>{}</td>", escape(name))?;
        for (metric, record) in records.iter().enumerate() {
            let interval = &record.interval;
            write!(
                html,
                "<td>{}<small>{} – {}</small></td>",
                show(metric, record.score),
                show(metric, interval.low),
                show(metric, interval.high)
            )?;
            if index < comparison.arms.len() {
                bars[metric].push(Bar {
                    name: escape(name),
                    value: record.score,
                    low: interval.low,
                    high: interval.high,
                    colour: COLOURS[index % COLOURS.len()],
                });
            }
        }
        html.push_str("</tr>");
    }
    html.push_str(
        "</tbody></table><p class=\"note\">Small figures are 95 % bootstrap intervals over users.</p>",
    );
    if !comparison.gains.is_empty() {
        html.push_str(
            "<h2>What fusion adds</h2><table><thead><tr><th>metric</th><th>better single arm</th><th>fusion</th>\
             <th>difference</th><th>p</th><th>p (Holm)</th></tr></thead><tbody>",
        );
        for (metric, gain) in comparison.gains.iter().enumerate() {
            write!(
                html,
                "<tr><td>{}</td><td>{} <small>{}</small></td><td>{}</td><td>{}</td><td>{:.3}</td><td>{:.3}</td></tr>",
                gain.metric,
                show(metric, gain.single),
                escape(&gain.best_single),
                show(metric, gain.fusion),
                gain.shown(),
                gain.p_value,
                gain.p_holm
            )?;
        }
        html.push_str("</tbody></table>");
    }
    for (metric, bars) in METRICS.iter().zip(&bars) {
        html.push_str(&charts::intervals(bars, metric));
    }
    identity(html, comparison)?;
    controls(html, comparison)?;
    facts(html, comparison)
}

/// Whether the texts are about their own item.
fn identity(html: &mut String, comparison: &Comparison) -> Result<()> {
    if comparison.identity.is_empty() {
        return Ok(());
    }
    html.push_str(
        "<h2>About the right item?</h2><table><thead><tr><th>texts of</th><th>own item nearest</th>\
         <th>among the ten nearest</th><th>state its title</th></tr></thead><tbody>",
    );
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    for row in &comparison.identity {
        write!(html, "<tr><td>{}</td>", escape(&row.name))?;
        for record in [&row.nearest, &row.among_ten] {
            let (low, high) = (percent(record.interval.low), percent(record.interval.high));
            write!(html, "<td>{}<small>{low} – {high}</small></td>", percent(record.score))?;
        }
        write!(html, "<td>{}</td></tr>", percent(row.states_title))?;
    }
    html.push_str(
        "</tbody></table><p class=\"note\">The embedding of each narrative against those of all item texts. Small \
         figures are 95 % bootstrap intervals over users.</p>",
    );
    Ok(())
}

/// What the language models lose without their soft tokens.
fn controls(html: &mut String, comparison: &Comparison) -> Result<()> {
    if comparison.controls.is_empty() {
        return Ok(());
    }
    html.push_str(
        "<h2>Are the soft tokens read?</h2><table><thead><tr><th>arm</th><th>loss</th><th>change</th>\
         <th>adds</th><th>p (not corrected)</th></tr></thead><tbody>",
    );
    for record in &comparison.controls {
        for (index, cost) in record.costs.iter().enumerate() {
            let (arm, loss) = if index == 0 {
                (escape(&record.arm), format!("{:.3}", record.loss))
            } else {
                Default::default()
            };
            let interval = cost
                .interval
                .map_or(String::new(), |i| format!("<small>{:+.3} – {:+.3}</small>", i.low, i.high));
            let (change, p) = (in_words(cost.control), cost.p_value);
            write!(
                html,
                "<tr><td>{arm}</td><td>{loss}</td><td>{change}</td><td>{:+.3}{interval}</td><td>{p:.3}</td></tr>",
                cost.cost
            )?;
        }
    }
    html.push_str(
        "</tbody></table><p class=\"note\">Loss on the test narratives, nats a token, and what it costs when every prompt \
         is given the items of another user, or one side of every item is taken away. A model that ignored its soft tokens \
         would lose nothing.</p>",
    );
    Ok(())
}

/// Where the truth is known: which facts each arm told.
fn facts(html: &mut String, comparison: &Comparison) -> Result<()> {
    if comparison.arms.iter().all(|arm| arm.facts.is_none()) {
        return Ok(());
    }
    html.push_str(
        "<h2>Facts told correctly</h2><table><thead><tr><th>arm</th><th>known by co-purchase only</th>\
         <th>known by text only</th></tr></thead><tbody>",
    );
    for arm in &comparison.arms {
        if let Some(facts) = &arm.facts {
            let (cf, text) = (100.0 * facts.co_purchase, 100.0 * facts.text);
            write!(html, "<tr><td>{}</td><td>{cf:.1} %</td><td>{text:.1} %</td></tr>", escape(&arm.name))?;
        }
    }
    html.push_str(
        "</tbody></table><p class=\"note\">Share of the facts in the references that the narratives state; the \
         generator knows which signal reveals each.</p>",
    );
    Ok(())
}

fn curves(html: &mut String, comparison: &Comparison) -> Result<()> {
    let mut series = Vec::new();
    for (arm, colour) in comparison.arms.iter().zip(COLOURS.iter().cycle()) {
        for (label, dashed, points) in
            [("training", true, &arm.training.training), ("held-out users", false, &arm.training.validation)]
        {
            series.push(Series {
                name: format!("{}, {label}", escape(&arm.name)),
                colour,
                dashed,
                points: points.iter().map(|point| (point.step as f64, point.loss)).collect(),
            });
        }
    }
    let chart = charts::lines(&series, "updates", "loss (nats per token)");
    let kept: Vec<String> =
        comparison.arms.iter().map(|arm| format!("{} {}", arm.name, arm.training.kept_step)).collect();
    write!(
        html,
        "<h2>Loss</h2>{chart}<p class=\"note\">The weights of the lowest held-out loss are kept; updates: {}.</p>",
        escape(&kept.join(", "))
    )?;
    Ok(())
}

fn samples(html: &mut String, comparison: &Comparison) -> Result<()> {
    html.push_str("<h2>Examples</h2>");
    for sample in &comparison.samples {
        write!(
            html,
            "<div class=\"sample\"><div class=\"kind\">{}</div><div class=\"context\">{}</div><dl><dt>reference</dt>\
             <dd>{}</dd>",
            escape(&sample.kind.replace('_', " ")),
            escape(&sample.context),
            escape(&sample.reference)
        )?;
        for (arm, text) in &sample.written {
            write!(html, "<dt>{}</dt><dd>{}</dd>", escape(arm), escape(text))?;
        }
        html.push_str("</dl></div>");
    }
    Ok(())
}

fn cost(html: &mut String, comparison: &Comparison, run: &Value, log: &RunLog) -> Result<()> {
    html.push_str("<h2>Data</h2><table><tbody>");
    for (name, value) in &comparison.data {
        write!(html, "<tr><td>{}</td><td>{}</td></tr>", escape(name), escape(value))?;
    }
    html.push_str(
        "</tbody></table><h2>Time and memory</h2><table><thead><tr><th>stage</th><th>seconds</th><th>peak memory</th>\
         </tr></thead><tbody>",
    );
    for stage in &log.stages {
        let memory =
            stage.peak_rss_bytes.map_or("unknown".to_owned(), |b| format!("{:.0} MiB", b as f64 / 1048576.0));
        write!(
            html,
            "<tr><td>{}</td><td>{:.1}</td><td>{memory}</td></tr>",
            escape(&stage.name),
            stage.seconds
        )?;
    }
    write!(
        html,
        "<tr class=\"best\"><td>all</td><td>{:.1}</td><td></td></tr></tbody></table>",
        log.total_seconds()
    )?;
    let mut run = run.clone();
    if let Some(fields) = run.as_object_mut() {
        fields.remove("stages");
    }
    write!(html, "<h2>How to reproduce it</h2><pre>{}</pre>", escape(&serde_json::to_string_pretty(&run)?))?;
    Ok(())
}

/// BLEU is on a scale of 100, the others of 1.
fn show(metric: usize, value: f64) -> String {
    if metric == 0 { format!("{value:.2}") } else { format!("{value:.4}") }
}
