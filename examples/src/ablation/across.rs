//! Settings beside each other: tests between those that differ in one thing, and one table of all.

use anyhow::Result;
use regen_metrics::Bootstrap;

use super::contrasts::{Asks, Contrast, contrast};
use super::document::{Block, Entry};
use super::findings::{Setting, Variant};
use super::pooled::{Runs, compare, same_users};
use super::records::WorldRecord;
use super::tables::{score, table};
use crate::scores::{METRIC_NAMES, METRICS};

/// A setting with what its tests need.
pub(super) struct Tested<'a> {
    pub(super) setting: Setting,
    pub(super) worlds: Vec<&'a WorldRecord>,
    /// Of each variant.
    pub(super) measured: Vec<[Runs; 3]>,
}

/// Adds, to every setting, the tests of its variants against the same ones of the setting with the longest histories, of that with
/// the first language model, and of the first data set with the same test narratives, all else being equal.
///
/// # Errors
/// If the resampling is refused.
pub(super) fn add_contrasts(tested: &mut [Tested<'_>], bootstrap: &Bootstrap) -> Result<()> {
    for index in 0..tested.len() {
        let mut found = Vec::new();
        for asks in [Asks::History, Asks::LanguageModel, Asks::Data] {
            if let Some(base) = base_of(tested, index, asks) {
                found.extend(against(&tested[index], &tested[base], asks, bootstrap)?);
            }
        }
        tested[index].setting.contrasts.extend(found);
    }
    Ok(())
}

/// The setting that one is compared with, unless it is the one itself.
fn base_of(tested: &[Tested<'_>], index: usize, asks: Asks) -> Option<usize> {
    let own = &tested[index].setting;
    let alike = |other: &Tested<'_>| {
        let (data, history, model) = (
            other.setting.data == own.data,
            other.setting.history == own.history,
            other.setting.language_model == own.language_model,
        );
        match asks {
            Asks::History => data && model,
            Asks::LanguageModel => data && history,
            _ => history && model && same_tests(&other.worlds, &tested[index].worlds),
        }
    };
    let mut all = (0..tested.len()).filter(|&other| alike(&tested[other]));
    let base = match asks {
        Asks::History => all.max_by_key(|&other| tested[other].setting.history)?,
        _ => all.next()?,
    };
    (base != index).then_some(base)
}

/// Whether the test narratives are the same ones of the same users, seed by seed, and the users drawn alike.
fn same_tests(a: &[&WorldRecord], b: &[&WorldRecord]) -> bool {
    let same = |(a, b): (&&WorldRecord, &&WorldRecord)| {
        a.seed == b.seed && a.users == b.users && a.references == b.references
    };
    let drawn = |worlds: &[&WorldRecord]| same_users(worlds.iter().copied());
    a.len() == b.len() && a.iter().zip(b).all(same) && drawn(a) == drawn(b)
}

fn against(own: &Tested<'_>, base: &Tested<'_>, asks: Asks, bootstrap: &Bootstrap) -> Result<Vec<Contrast>> {
    let mut found = Vec::new();
    for (variant, measured) in own.setting.variants.iter().zip(&own.measured) {
        let same = base.setting.variants.iter().zip(&base.measured).find(|(v, _)| v.name == variant.name);
        let Some((_, other)) = same else { continue };
        let name = match asks {
            Asks::History => format!("histories up to {}", base.setting.history),
            Asks::LanguageModel => format!("language model {}", base.setting.language_model),
            _ => base.setting.data.clone(),
        };
        for metric in 0..METRICS.len() {
            let comparison = compare(&other[metric], &measured[metric], bootstrap)?;
            found.push(contrast(asks, variant, &name, metric, comparison)?);
        }
    }
    Ok(found)
}

/// Every variant of every setting in one table, where there is more than one setting.
pub(super) fn overview(settings: &[Setting]) -> Vec<Block> {
    if settings.len() < 2 {
        return Vec::new();
    }
    type Name = fn(&Setting) -> String;
    let names: [(&str, Name); 3] = [
        ("data", |setting| setting.data.clone()),
        ("histories up to", |setting| setting.history.to_string()),
        ("language model", |setting| setting.language_model.clone()),
    ];
    let varies = |name: Name| settings.iter().any(|setting| name(setting) != name(&settings[0]));
    let names: Vec<_> = names.into_iter().filter(|(_, name)| varies(*name)).collect();
    let mut columns: Vec<&str> = names.iter().map(|(column, _)| *column).collect();
    columns.push("arm");
    columns.extend(METRIC_NAMES);
    columns.extend(["loss", "collaborative share"]);
    let row = |setting: &Setting, variant: &Variant| {
        let mut row: Vec<Entry> = names.iter().map(|(_, name)| name(setting).into()).collect();
        row.push(variant.name.clone().into());
        row.extend(variant.scores.iter().enumerate().map(|(metric, pooled)| score(metric, pooled)));
        row.push(variant.loss.as_ref().map_or("–".to_owned(), |loss| format!("{:.3}", loss.value)).into());
        let share = variant.shares.as_ref().map(|(shares, _)| format!("{:.3}", shares.mean));
        row.push(share.unwrap_or_else(|| "–".to_owned()).into());
        row
    };
    let rows = settings.iter().flat_map(|setting| setting.variants.iter().map(move |v| (setting, v)));
    vec![
        Block::Heading(2, "All settings".to_owned()),
        table(&columns, rows.map(|(setting, variant)| row(setting, variant)).collect()),
        Block::Note(
            "Loss in nats a token on the test narratives; the share is that of the collaborative side in the soft tokens. What of the \
             differences is beyond chance stands below, setting by setting."
                .to_owned(),
        ),
    ]
}
