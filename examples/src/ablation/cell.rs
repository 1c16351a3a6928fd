//! One training run of an experiment.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use regen_fusion::AdapterKind;
use regen_narrator::{Control, Narrator, NearToken, Request, UserExamples, Withheld};
use serde_json::{Value, json};

use super::attribution::shares_or_why;
use super::cells::Cell;
use super::co_training::ranks;
use super::content::Encoder;
use super::plan::Plan;
use super::records::{CellRecord, Written, same};
use super::world::{Vectors, World};
use crate::arms::{Arm, Trained, new_narrator, train, write};
use crate::cli::Session;
use crate::controls;
use crate::features::tables;
use crate::run_log::peak_rss_bytes;
use crate::whole_file::write_whole;

/// Beside the snapshots of a cell: what they are of.
const SETTINGS: &str = "settings.json";

/// Soft tokens that are shown with their neighbours: the last of a prompt.
const SHOWN_TOKENS: usize = 6;
/// Neighbours of each.
const NEIGHBOURS: usize = 5;

/// What a cell is run with.
pub(super) struct Made<'a> {
    /// [`settings`] of the cell.
    pub(super) settings: &'a Value,
    /// SHA-256 of the language model's folder, where it is one.
    pub(super) language_model_sha256: Option<&'a str>,
    pub(super) world: &'a World,
    pub(super) vectors: &'a Vectors,
    pub(super) encoder: &'a Encoder,
    /// The folder of snapshots.
    pub(super) progress: &'a Path,
}

/// Everything that decides what a cell comes to; the hash is that of the language model's folder, where it is one.
pub(super) fn settings(
    plan: &Plan,
    cell: &Cell,
    world: &World,
    language_model_sha256: Option<&str>,
) -> Value {
    let mut settings = json!({
        "world": world.settings,
        "cell": cell,
        "budget": plan.budget(cell),
        "control_narratives": plan.control_narratives,
        "language_model_sha256": language_model_sha256,
    });
    if let Some(sha256) = world.reviews_sha256(cell) {
        settings["reviews_sha256"] = json!(sha256);
    }
    settings
}

/// Trains the narrator of a cell, lets it write for the test users, and measures what it reads. Training leaves snapshots in
/// the folder of progress and goes on from those that are there, unless they are of other settings.
pub(super) fn run(plan: &Plan, cell: &Cell, made: &Made<'_>, session: &Session) -> Result<CellRecord> {
    let &Made { settings, world, vectors, encoder, progress, .. } = made;
    goes_on(progress, settings)?;
    let (given, task, budget) = (cell.arm, vectors.task(world, cell), plan.budget(cell));
    let arm = Arm { given, kind: cell.adapter.unwrap_or(AdapterKind::Projection) };
    let ids = world.input.dataset.items.names().map(str::to_owned).collect();
    let cf = vectors.cf(cell.cold_vectors);
    let tables = tables(Some(cf), Some(&vectors.semantic), Some(&vectors.factorisation))?;
    let begin = Instant::now();
    let mut narrator = new_narrator(arm, task, tables, ids, &budget, cell.seed, session)?;
    let Trained { reading, report, .. } =
        train(&mut narrator, given, task, &budget, Some(progress), session)?;
    let trained = begin.elapsed().as_secs_f64();
    let texts = write(&narrator, given, task, &budget, session)?;
    let seconds = [trained, begin.elapsed().as_secs_f64() - trained];

    let examples = given.show_all(&task.test);
    let of_users = UserExamples::new(&examples, &task.test_users)?;
    let chosen = controls::of(given, cell.inputs);
    let mut losses = Vec::new();
    for control in std::iter::once(Control::Without(Withheld::Nothing)).chain(chosen.iter().copied()) {
        losses.push((control, controls::losses(&narrator, of_users, control, cell.seed)?));
    }
    let places = match chosen.is_empty() {
        true => Vec::new(),
        false => controls::some_users(&task.test_users, plan.control_narratives, cell.seed),
    };
    let mut controlled: Vec<(Control, Written)> = Vec::new();
    for control in chosen.into_iter().filter(|&control| !places.is_empty() && controls::is_written(control)) {
        let changed = of_users.under(control, cell.seed);
        let label = controls::in_words(control);
        let texts = controls::write(&narrator, &changed, &places, label, budget.write_batch, session)?;
        controlled.push((control, world.judge_some(texts, &places, vectors, encoder, session)?));
    }
    let requests = task.requests(given);
    let items = world.input.dataset.items.len();
    let (shares, shares_missing) = shares_or_why(&narrator, &requests, &world.interactions, items)?;
    Ok(CellRecord {
        settings: settings.clone(),
        cell: cell.clone(),
        parameters: narrator.parameters() as u64,
        seconds,
        peak_rss_bytes: peak_rss_bytes(),
        language_model_sha256: made.language_model_sha256.map(str::to_owned),
        reading,
        report,
        written: world.judge(texts, vectors, encoder, session)?,
        losses,
        controlled_examples: places,
        controlled,
        shares,
        shares_missing,
        nearest: nearest(&narrator, &requests)?,
        next_item: ranks(&narrator, &requests, &task.test_users, &world.interactions, items)?,
    })
}

/// The words that the last soft tokens of the first request lie near; nothing for a narrator without any.
fn nearest(narrator: &Narrator, requests: &[Request]) -> Result<Vec<Vec<NearToken>>> {
    let Some(first) = requests.first().filter(|_| narrator.config().adapter.is_some()) else {
        return Ok(Vec::new());
    };
    let mut tokens =
        narrator.nearest_tokens(std::slice::from_ref(first), NEIGHBOURS)?.pop().unwrap_or_default();
    Ok(tokens.split_off(tokens.len().saturating_sub(SHOWN_TOKENS)))
}

/// Says in the folder of progress what its snapshots are of, and refuses it where it says otherwise: a cell that was killed must not
/// go on with other data.
fn goes_on(progress: &Path, settings: &Value) -> Result<()> {
    let path = progress.join(SETTINGS);
    if path.exists() {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let kept: Value = serde_json::from_str(&text).with_context(|| {
            format!("{} is damaged: delete its folder to begin the cell anew", path.display())
        })?;
        return same(progress, &kept, settings);
    }
    write_whole(&path, serde_json::to_string(settings)?)
}
