//! Records of experiments that were never run, for tests of what is found in them: who wrote how well and reads what is planted.

use regen_data::LeakAudit;
use regen_narrator::{Control, NarrativeLoss, TrainReport, Withheld};
use serde_json::Value;

use super::cells::Cell;
use super::content::EncoderFacts;
use super::findings::Findings;
use super::plan::Plan;
use super::records::{CellRecord, WorldRecord, Written};
use crate::controls;

/// Users of a world, with one test narrative each.
const USERS: usize = 24;

/// What is planted in a cell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planted {
    /// How many of its narratives are the reference; the others have nothing of it.
    pub(super) right: usize,
    /// What it costs to be given another user's items, nats a token; other controls cost half of it.
    pub(super) reads: f64,
    /// Why its attribution is missing, if it is.
    pub(super) missing: Option<&'static str>,
}

fn reference(user: usize) -> String {
    let word = |base: usize| char::from(b'a' + ((user * 7 + base) % 26) as u8).to_string().repeat(base + 2);
    (0..8).map(word).collect::<Vec<_>>().join(" ")
}

fn written(right: usize) -> Written {
    let is_right = |user: usize| (user * 5) % USERS < right;
    Written {
        texts: (0..USERS)
            .map(|user| if is_right(user) { reference(user) } else { "nothing of it".to_owned() })
            .collect(),
        similarity: (0..USERS).map(|user| if is_right(user) { 1.0 } else { 0.1 }).collect(),
        identity: None,
        facts: None,
    }
}

fn world(cell: &Cell) -> WorldRecord {
    WorldRecord {
        settings: Value::Null,
        data: cell.data.clone(),
        seed: cell.seed,
        history: cell.history,
        remarks: Vec::new(),
        size: [USERS, 10, 100],
        narratives: [100, 10, USERS],
        data_sha256: format!("data{}", cell.seed),
        split: format!("split{}", cell.seed),
        audit: LeakAudit::default(),
        encoder: EncoderFacts { name: "planted".into(), sha256: "encoder".into() },
        users: (0..USERS as u32).collect(),
        kinds: vec!["purchase_reason".into(); USERS],
        contexts: vec!["a history".into(); USERS],
        cold_targets: Vec::new(),
        references: (0..USERS).map(reference).collect(),
        identity: None,
        floor: written(1),
        published: None,
    }
}

fn record(cell: &Cell, planted: Planted) -> CellRecord {
    let losses = |control: Control| {
        let cost = match control {
            Control::Without(Withheld::Nothing) => 0.0,
            Control::ShuffledItems => planted.reads,
            _ => planted.reads / 2.0,
        };
        // Users differ, so that chance has something to do.
        let one = |user: usize| NarrativeLoss { nats: (1.0 + cost) * 10.0 + (user % 5) as f64, tokens: 10 };
        (control, (0..USERS).map(one).collect())
    };
    let chosen = controls::of(cell.arm, cell.inputs);
    let under = if planted.reads > 0.0 { planted.right / 2 } else { planted.right };
    let places = if chosen.is_empty() {
        Vec::new()
    } else {
        controls::some_users(&(0..USERS as u32).collect::<Vec<_>>(), 9, cell.seed)
    };
    let controlled = chosen.iter().copied().filter(|&control| controls::is_written(control));
    CellRecord {
        settings: Value::Null,
        cell: cell.clone(),
        parameters: 1,
        seconds: [1.0, 1.0],
        peak_rss_bytes: None,
        language_model_sha256: None,
        reading: None,
        report: TrainReport::default(),
        written: written(planted.right),
        losses: std::iter::once(Control::Without(Withheld::Nothing))
            .chain(chosen.iter().copied())
            .map(losses)
            .collect(),
        controlled: controlled.map(|control| (control, written(under).only(&places))).collect(),
        controlled_examples: places,
        shares: None,
        shares_missing: planted.missing.map(str::to_owned),
        nearest: Vec::new(),
        next_item: None,
    }
}

/// What would be found, had every cell of the plan come to what is planted in it.
pub(super) fn findings(plan: &Plan, planted: impl Fn(&Cell) -> Planted) -> Findings {
    findings_in(plan, |_| {}, planted)
}

/// The same in worlds that were changed.
pub(super) fn findings_in(
    plan: &Plan,
    change: impl Fn(&mut WorldRecord),
    planted: impl Fn(&Cell) -> Planted,
) -> Findings {
    let cells = plan.cells();
    let mut worlds: Vec<WorldRecord> = Vec::new();
    for cell in &cells {
        if !worlds
            .iter()
            .any(|known| known.data == cell.data && known.seed == cell.seed && known.history == cell.history)
        {
            worlds.push(world(cell));
        }
    }
    worlds.iter_mut().for_each(change);
    let records: Vec<CellRecord> = cells.iter().map(|cell| record(cell, planted(cell))).collect();
    Findings::of(plan, &worlds, &records).unwrap()
}
