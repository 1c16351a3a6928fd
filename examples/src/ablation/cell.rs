//! One training run of an experiment.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use regen_fusion::AdapterKind;
use regen_narrator::Control;
use regen_semantic::SentenceEncoder;
use serde_json::{Value, json};

use super::attribution::shares;
use super::cells::Cell;
use super::co_training::ranks;
use super::plan::Plan;
use super::records::CellRecord;
use super::world::{Vectors, World};
use crate::arms::{Arm, new_narrator, train, write};
use crate::cli::Session;
use crate::controls;
use crate::features::tables;

/// Everything that decides what a cell comes to.
pub(super) fn settings(plan: &Plan, cell: &Cell, world: &Value) -> Value {
    json!({ "world": world, "cell": cell, "budget": plan.budget(cell) })
}

/// Trains the narrator of a cell, lets it write for the test users, and measures what it reads. Training leaves snapshots in
/// `progress` and goes on from those that are there.
pub(super) fn run(
    plan: &Plan,
    cell: &Cell,
    world: &World,
    vectors: &Vectors,
    encoder: &SentenceEncoder,
    progress: &Path,
    session: &Session,
) -> Result<CellRecord> {
    let (given, task, budget) = (cell.arm, &world.task, plan.budget(cell));
    let arm = Arm { given, kind: cell.adapter.unwrap_or(AdapterKind::Projection) };
    let ids = world.input.dataset.items.names().map(str::to_owned).collect();
    let cf = vectors.cf(cell.cold_vectors);
    let tables = tables(Some(cf), Some(&vectors.semantic), Some(&vectors.factorisation))?;
    let begin = Instant::now();
    let mut narrator = new_narrator(arm, task, tables, ids, &budget, cell.seed, session)
        .with_context(|| format!("cell {}", cell.name()))?;
    let (reading, report) = train(&mut narrator, given, task, &budget, Some(progress), session)?;
    let trained = begin.elapsed().as_secs_f64();
    let texts = write(&narrator, given, task, &budget, session)?;
    let seconds = [trained, begin.elapsed().as_secs_f64() - trained];

    let examples = given.show_all(&task.test);
    let mut losses = Vec::new();
    for control in std::iter::once(Control::Nothing).chain(controls::of(given, cell.inputs)) {
        losses.push((control, narrator.losses(&examples, control, controls::BATCH, cell.seed)?));
    }
    let items = world.input.dataset.items.len();
    Ok(CellRecord {
        settings: settings(plan, cell, &world.settings),
        cell: cell.clone(),
        parameters: narrator.parameters() as u64,
        seconds,
        reading,
        report,
        written: world.judge(texts, vectors, encoder, session)?,
        losses,
        shares: shares(&narrator, &task.requests(given), &world.interactions, items)?,
        next_item: ranks(&narrator, &task.requests(given), &world.interactions, items)?,
    })
}
