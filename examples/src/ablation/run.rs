//! Runs what of a plan has not been run, and gathers what it found.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::cell::{self, Made};
use super::cells::Cell;
use super::content::{Encoder, of_language_models};
use super::findings::Findings;
use super::jobs::Claim;
use super::plan::Plan;
use super::records::{CellRecord, FORMAT, WorldRecord, find, keep};
use super::world::World;
use crate::cli::Session;

/// Which of several processes this one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Worker {
    /// From 1.
    pub number: usize,
    /// Workers in all.
    pub of: usize,
}

impl FromStr for Worker {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let parts = given.split_once('/').map(|(number, of)| (number.parse(), of.parse()));
        match parts {
            Some((Ok(number), Ok(of))) if (1..=of).contains(&number) => Ok(Self { number, of }),
            _ => Err(format!("{given:?} is not like 2/4")),
        }
    }
}

/// Runs every cell of `plan` that `out` does not hold yet, and gives the findings of all.
///
/// `folder` is that of the XRec release. A run that was stopped goes on when it is called again, inside the cell that it was at.
///
/// # Errors
/// If data, encoder or training refuse their input, a record in `out` is damaged, was made with other settings, from other content
/// (encoder, data, reviews, language model) or by a version that kept other things, another
/// process is at work on one of the cells, or the user stops it.
pub fn run(
    plan: &Plan,
    folder: Option<&Path>,
    encoder: &Encoder,
    out: &Path,
    session: &Session,
) -> Result<Findings> {
    let all = plan.cells();
    let kept = visit(plan, &all, folder, encoder, out, session)?;
    ensure!(
        kept.worlds.len() == World::count(&all) && kept.cells.len() == all.len(),
        "another process is at work in {}: start this again when it is done",
        out.display()
    );
    Findings::of(plan, &kept.worlds, &kept.cells)
}

/// Runs cells of `plan` that `out` does not hold yet and no other process is at work on. Workers begin at different
/// places.
///
/// # Errors
/// As [`run`].
pub fn work(
    worker: Worker,
    plan: &Plan,
    folder: Option<&Path>,
    encoder: &Encoder,
    out: &Path,
    session: &Session,
) -> Result<()> {
    let mut all = plan.cells();
    let place = (worker.number - 1) * all.len() / worker.of;
    all.rotate_left(place);
    visit(plan, &all, folder, encoder, out, session).map(drop)
}

/// What a visit of all cells found or made.
#[derive(Default)]
struct Kept {
    worlds: Vec<WorldRecord>,
    cells: Vec<CellRecord>,
}

fn visit(
    plan: &Plan,
    all: &[Cell],
    folder: Option<&Path>,
    encoder: &Encoder,
    out: &Path,
    session: &Session,
) -> Result<Kept> {
    let (world_folder, cell_folder) = (out.join("worlds"), out.join("cells"));
    for folder in [&world_folder, &cell_folder] {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    plan.check_data(folder)?;
    let language_models = of_language_models(&plan.language_models)?;
    let common = json!({
        "format": FORMAT,
        "version": env!("CARGO_PKG_VERSION"),
        "libtorch": crate::libtorch_version(),
        "device": format!("{:?}", session.placement.device),
        "threads": session.threads,
    });
    let mut kept = Kept::default();
    let mut place = 0;
    for of_world in all.chunk_by(|a, b| World::name(a) == World::name(b)) {
        let Some(first) = of_world.first() else { continue };
        let in_world = || format!("world {}", World::name(first));
        let world = World::prepare(plan, first, folder, &encoder.facts, &common).with_context(in_world)?;
        let mut vectors = None;
        let path = world_folder.join(World::name(first) + ".json");
        kept.worlds.extend(
            once(&path, &world.settings, || {
                let made = vectors.insert(world.vectors(encoder, session)?);
                world.record(made, encoder, session)
            })
            .with_context(in_world)?,
        );
        for one in of_world {
            session.check("the experiment")?;
            place += 1;
            let note = |how: &str| session.note(&format!("cell {place}/{} {}: {how}", all.len(), one.name()));
            let path = cell_folder.join(one.name() + ".json");
            let progress = cell_folder.join(one.name() + ".progress");
            let mut ran = false;
            let of_model = language_models.get(&one.language_model).map(String::as_str);
            let settings = cell::settings(plan, one, &world, of_model);
            let record = once(&path, &settings, || {
                ran = true;
                note("running");
                if vectors.is_none() {
                    vectors = Some(world.vectors(encoder, session)?);
                }
                let made = Made {
                    settings: &settings,
                    language_model_sha256: of_model,
                    world: &world,
                    vectors: vectors.as_ref().context("vectors were just made")?,
                    encoder,
                    progress: &progress,
                };
                cell::run(plan, one, &made, session)
            })
            .with_context(|| format!("cell {}", one.name()))?;
            // A process that was killed between the record and this leaves them to the next.
            if record.is_some() && progress.exists() {
                fs::remove_dir_all(&progress)
                    .with_context(|| format!("cannot remove {}", progress.display()))?;
            }
            match &record {
                None => note("another process is at work on it"),
                Some(_) if !ran => note("kept from an earlier run"),
                Some(_) => {}
            }
            kept.cells.extend(record);
        }
    }
    Ok(kept)
}

/// The record at `path`, made and kept if it is not there yet; `None` while another process makes it.
fn once<R: Serialize + DeserializeOwned>(
    path: &Path,
    settings: &Value,
    make: impl FnOnce() -> Result<R>,
) -> Result<Option<R>> {
    if let Some(record) = find(path, settings)? {
        return Ok(Some(record));
    }
    let Some(_claim) = Claim::take(path)? else { return Ok(None) };
    // Between the first look and the claim, another process may have kept it.
    if let Some(record) = find(path, settings)? {
        return Ok(Some(record));
    }
    let record = make()?;
    keep(path, &record)?;
    Ok(Some(record))
}

/// How many of the plan's cells `out` holds.
pub fn finished(plan: &Plan, out: &Path) -> usize {
    let there = |cell: &Cell| out.join("cells").join(cell.name() + ".json").exists();
    plan.cells().iter().filter(|cell| there(cell)).count()
}
