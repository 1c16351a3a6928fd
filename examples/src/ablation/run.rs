//! Runs what of a plan has not been run, and gathers what it found.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use regen_semantic::SentenceEncoder;
use serde_json::json;

use super::cell;
use super::findings::Findings;
use super::plan::{Cell, Plan};
use super::records::{CellRecord, WorldRecord, find, keep};
use super::world::World;
use crate::cli::Session;

/// Runs every cell of `plan` that `out` does not hold yet, and gives the findings of all.
///
/// `folder` is that of real data. A run that was stopped goes on with the next cell when it is called again.
///
/// # Errors
/// If data, encoder or training refuse their input, a record in `out` is damaged or was made with other settings, or the
/// user stops it.
pub fn run(
    plan: &Plan,
    folder: Option<&Path>,
    encoder: &SentenceEncoder,
    out: &Path,
    session: &Session,
) -> Result<Findings> {
    let (world_folder, cell_folder) = (out.join("worlds"), out.join("cells"));
    for folder in [&world_folder, &cell_folder] {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let common = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "libtorch": crate::libtorch_version(),
        "device": format!("{:?}", session.placement.device),
        "threads": session.threads,
    });
    let all = plan.cells();
    let (mut worlds, mut cells) = (Vec::new(), Vec::new());
    for of_world in all.chunk_by(|a, b| World::name(a) == World::name(b)) {
        let Some(first) = of_world.first() else { continue };
        let world = World::prepare(plan, first, folder, &common)?;
        let mut vectors = None;
        let path = world_folder.join(World::name(first) + ".json");
        let record = match find::<WorldRecord>(&path, &world.settings)? {
            Some(record) => record,
            None => {
                let made = vectors.insert(world.vectors(encoder, session)?);
                let record = world.record(made, encoder, session)?;
                keep(&path, &record)?;
                record
            }
        };
        worlds.push(record);
        for one in of_world {
            session.check("the experiment")?;
            let path = cell_folder.join(one.name() + ".json");
            let settings = cell::settings(plan, one, &world.settings);
            let kept = find::<CellRecord>(&path, &settings)?;
            let how = if kept.is_some() { "kept from an earlier run" } else { "running" };
            session.note(&format!("cell {}/{} {}: {how}", cells.len() + 1, all.len(), one.name()));
            cells.push(match kept {
                Some(record) => record,
                None => {
                    if vectors.is_none() {
                        vectors = Some(world.vectors(encoder, session)?);
                    }
                    let vectors = vectors.as_ref().context("vectors were just made")?;
                    let record = cell::run(plan, one, &world, vectors, encoder, session)?;
                    keep(&path, &record)?;
                    record
                }
            });
        }
    }
    Findings::of(plan, &worlds, &cells)
}

/// How many of the plan's cells `out` holds.
pub fn finished(plan: &Plan, out: &Path) -> usize {
    let there = |cell: &Cell| out.join("cells").join(cell.name() + ".json").exists();
    plan.cells().iter().filter(|cell| there(cell)).count()
}
