//! What a search for settings found: a table for the terminal and a page that opens offline.

use std::fmt::Write as _;

use regen_wals::WalsConfig;
use regen_wals::search::{SearchReport, Trial};

use crate::report::charts::{COLOURS, Series, lines};
use crate::report::{STYLE, escape};

/// Curves that are drawn in a colour of their own; the others are grey.
const COLOURED: usize = COLOURS.len();

/// The searched settings of a cell.
pub fn in_words(config: &WalsConfig) -> String {
    let &WalsConfig { rank, regularization, unobserved_weight, frequency_exponent, .. } = config;
    format!("rank {rank}, λ {regularization}, α₀ {unobserved_weight}, ν {frequency_exponent}")
}

/// The searched settings of a cell as flags of `train_wals`, which stops at the iteration that was best.
pub fn as_flags(config: &WalsConfig, iterations: usize) -> String {
    let &WalsConfig { rank, regularization, unobserved_weight, frequency_exponent, .. } = config;
    format!(
        "--rank {rank} --regularization {regularization} --unobserved-weight {unobserved_weight} --frequency-exponent \
         {frequency_exponent} --iterations {iterations}"
    )
}

/// A line a cell, best first, and the most-popular list to compare with.
pub fn table(report: &SearchReport, name: &str, popular: f64) -> String {
    let mut text = format!(
        "{:>6} {:>10} {:>10} {:>6} {name:>12} {:>9} {:>9} {:>12} {:>9}\n",
        "rank", "λ", "α₀", "ν", "at iter.", "of", "loss", "s/iter."
    );
    for trial in &report.trials {
        let config = &trial.config;
        let _ = writeln!(
            text,
            "{:>6} {:>10} {:>10} {:>6} {:>12.5} {:>9} {:>9} {:>12.5e} {:>9.3}",
            config.rank,
            config.regularization,
            config.unobserved_weight,
            config.frequency_exponent,
            report.metric.of(trial.best()),
            trial.best_iteration,
            trial.reports.len(),
            trial.objective,
            trial.seconds / trial.reports.len() as f64
        );
    }
    let _ = writeln!(text, "{:<35} {popular:>12.5}", "most popular items");
    text
}

/// The curves of all cells, what each value of each setting reached at best, and the table.
pub fn page(report: &SearchReport, name: &str, popular: f64) -> String {
    let title = format!("Settings that rank held-out pairs best ({name})");
    let curves = lines(&series(report, popular), "iteration", name);
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><title>{title}</title><style>{STYLE}</style></head><body><main>\
         <h1>{title}</h1><p class=\"lead\">{} of {} cells, {} iterations. The choice was made by these held-out \
         pairs, so the value of the best is an optimistic one.</p><h2>Over the iterations</h2>{curves}\
         <h2>The best that each value reached</h2>",
        report.trials.len(),
        report.cells,
        report.iterations
    );
    if !report.finished {
        html.push_str("<p class=\"note\">The search was stopped before all rounds were done.</p>");
    }
    for (setting, value) in SETTINGS {
        by_value(&mut html, report, setting, value);
    }
    let _ = write!(html, "<h2>All cells</h2><pre>{}</pre>", escape(&table(report, name, popular)));
    html.push_str("</main></body></html>\n");
    html
}

type Value = fn(&WalsConfig) -> f64;

const SETTINGS: [(&str, Value); 4] = [
    ("rank", |config| config.rank as f64),
    ("λ", |config| config.regularization.into()),
    ("α₀", |config| config.unobserved_weight.into()),
    ("ν", |config| config.frequency_exponent.into()),
];

/// One bar a value of a setting, if it has several.
fn by_value(html: &mut String, report: &SearchReport, setting: &str, value: Value) {
    let mut best: Vec<(f64, f64)> = Vec::new();
    // Best first, so the first trial of a value is its best.
    for trial in &report.trials {
        let value = value(&trial.config);
        if best.iter().all(|(seen, _)| *seen != value) {
            best.push((value, report.metric.of(trial.best())));
        }
    }
    if best.len() < 2 {
        return;
    }
    let highest = best.iter().map(|(_, score)| *score).fold(f64::MIN_POSITIVE, f64::max);
    best.sort_by(|a, b| a.0.total_cmp(&b.0));
    let _ = write!(html, "<table><thead><tr><th>{setting}</th><th>best</th><th></th></tr></thead><tbody>");
    for (value, score) in best {
        let width = 320.0 * score / highest;
        let _ = write!(
            html,
            "<tr><td>{}</td><td>{score:.5}</td><td style=\"text-align:left\"><svg viewBox=\"0 0 320 14\" \
             style=\"width:320px\"><rect width=\"{width:.1}\" height=\"14\" fill=\"{}\"/></svg></td></tr>",
            value as f32, COLOURS[0]
        );
    }
    html.push_str("</tbody></table>");
}

/// The best cells in colour in front of the others, and the most-popular list as a dashed line.
fn series(report: &SearchReport, popular: f64) -> Vec<Series<'static>> {
    let points = |trial: &Trial| {
        let values = trial.reports.iter().map(|found| report.metric.of(found));
        values.enumerate().map(|(k, value)| (k as f64 + 1.0, value)).collect::<Vec<_>>()
    };
    let longest = report.trials.iter().map(|trial| trial.reports.len()).max().unwrap_or(1);
    let mut series = vec![Series {
        name: "most popular items".to_owned(),
        colour: "#1c2024",
        dashed: true,
        points: vec![(1.0, popular), (longest.max(2) as f64, popular)],
    }];
    let grey = report.trials.iter().enumerate().skip(COLOURED).map(|(rank, trial)| Series {
        // One entry of the legend stands for all of them.
        name: if rank == COLOURED { "other cells".to_owned() } else { String::new() },
        colour: "#c4ccd4",
        dashed: false,
        points: points(trial),
    });
    series.extend(grey);
    let best = report.trials.iter().zip(COLOURS).rev();
    series.extend(best.map(|(trial, colour)| Series {
        name: in_words(&trial.config),
        colour,
        dashed: false,
        points: points(trial),
    }));
    series
}
