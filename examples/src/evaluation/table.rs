//! Results for people, and values of single pairs for programs.

use std::path::Path;

use anyhow::Result;
use serde_json::{Map, Value};

use super::rows::Row;
use crate::whole_file::write_whole;

/// Writes lines beside `path` and moves them into place.
///
/// # Errors
/// If the file cannot be written.
pub fn write_lines(path: &Path, lines: &[Value]) -> Result<()> {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    write_whole(path, text)
}

/// One JSON object per pair: the value of each metric that has one for single pairs.
///
/// # Errors
/// If the file cannot be written.
pub fn write_segments(path: &Path, rows: &[Row], pairs: usize) -> Result<()> {
    let line = |pair: usize| -> Value {
        let values = rows
            .iter()
            .filter_map(|row| Some((row.name.clone(), (*row.segments.as_ref()?.get(pair)?).into())))
            .collect::<Map<String, Value>>();
        Value::Object(values)
    };
    write_lines(path, &(0..pairs).map(line).collect::<Vec<_>>())
}

/// The table on stdout: score, interval, tests, then signatures.
pub fn print_table(rows: &[Row], pairs: usize) {
    let number = |value: &Value, digits: usize| match value.as_f64() {
        Some(value) => format!("{value:.digits$}"),
        None => String::new(),
    };
    println!("{pairs} pairs");
    let compared = rows.iter().any(|row| row.json.contains_key("against"));
    let heads = if compared { "   against   difference  p (boot)  p (perm)  p (Holm)" } else { "" };
    println!("{:<24}{:>9}   {:<20}{heads}", "metric", "score", "interval");
    for row in rows {
        let json = |key: &str| row.json.get(key).cloned().unwrap_or_default();
        let interval = json("interval");
        let digits = if interval["high"].as_f64() > Some(2.0) { 2 } else { 4 };
        let range = format!("{} to {}", number(&interval["low"], digits), number(&interval["high"], digits));
        let against = json("against");
        let mut compared_with = String::new();
        if compared {
            let [score, difference] = ["score", "difference"].map(|key| number(&against[key], digits));
            let [bootstrap, permutation, holm] =
                ["p_bootstrap", "p_randomization", "p_holm"].map(|key| number(&against[key], 4));
            compared_with = format!("{score:>10}{difference:>13}{bootstrap:>10}{permutation:>10}{holm:>10}");
        }
        println!("{:<24}{:>9}   {range:<20}{compared_with}", row.name, number(&json("score"), digits));
    }
    for row in rows {
        println!("  {}: {}", row.name, row.json.get("signature").and_then(Value::as_str).unwrap_or_default());
    }
}
