//! Does the language model read its soft tokens? What it costs when an item's vectors are another user's, or one side is
//! taken away: nothing, where a model writes from its prompt's form alone.

use anyhow::Result;
use regen_metrics::{Bootstrap, Interval, Mean, MeanStats, Measurement, paired_bootstrap};
use regen_narrator::{Control, NarrativeLoss, Narrator};
use serde::Serialize;

use crate::arms::{ArmRun, Task};
use crate::given::Given;
use crate::inputs::Inputs;

/// Prompts computed at once.
pub const BATCH: usize = 32;

/// The loss of one arm under its controls, on the test examples, in nats a token.
#[derive(Debug, Clone, Serialize)]
pub struct ControlRecord {
    /// The arm.
    pub arm: String,
    /// Its loss as it is.
    pub loss: f64,
    /// What each control costs it.
    pub costs: Vec<ControlCost>,
}

/// What one control costs.
#[derive(Debug, Clone, Serialize)]
pub struct ControlCost {
    /// What was changed.
    pub control: Control,
    /// By how much the loss rose, nats a token.
    pub cost: f64,
    /// Its 95 % bootstrap interval over users.
    pub interval: Option<Interval>,
    /// How likely such a difference is without a cause (paired bootstrap, two-sided).
    pub p_value: f64,
}

/// What can be taken away from an arm; nothing from one without soft tokens.
pub fn of(given: Given, inputs: Inputs) -> Vec<Control> {
    let Some(sources) = given.vectors else { return Vec::new() };
    let mut controls = vec![Control::ShuffledItems, Control::OneItemSwapped];
    controls.extend(sources.cf().then_some(Control::WithoutCf));
    controls.extend(sources.semantic().then_some(Control::WithoutSemantic));
    controls.extend((sources.cf() && sources.semantic()).then_some(Control::WithoutVectors));
    controls.extend((!inputs.details.is_none()).then_some(Control::WithoutDetails));
    controls.extend(inputs.of(sources).user.then_some(Control::WithoutUser));
    controls
}

fn inputs_of(narrator: &Narrator) -> Inputs {
    let adapter = narrator.config().adapter.as_ref();
    adapter.map_or(Inputs::default(), |adapter| Inputs { details: adapter.details, user: adapter.user })
}

/// Losses as a mean over tokens whose unit of resampling is the user; `users[i]` is that of example i.
///
/// # Errors
/// If the lists differ in length or are empty.
pub fn mean_loss(losses: &[NarrativeLoss], users: &[u32]) -> Result<Measurement<Mean>> {
    let segments = losses.iter().map(|loss| MeanStats { sum: loss.nats, count: loss.tokens as u64 });
    let loss = Measurement::new(Mean::named("loss"), segments.collect(), "nats a token".to_owned())?;
    Ok(loss.grouped(users)?)
}

/// The controls of an arm, or `None` for one without soft tokens.
///
/// # Errors
/// If a request cannot be laid out, or the resampling is refused.
pub fn controls(arm: &ArmRun, task: &Task, seed: u64) -> Result<Option<ControlRecord>> {
    let chosen = of(arm.given, inputs_of(&arm.narrator));
    if chosen.is_empty() {
        return Ok(None);
    }
    let examples = arm.given.show_all(&task.test);
    let measure = |control: Control| -> Result<Measurement<Mean>> {
        mean_loss(&arm.narrator.losses(&examples, control, BATCH, seed)?, &task.test_users)
    };
    let plain = measure(Control::Nothing)?;
    let mut costs = Vec::new();
    for control in chosen {
        let comparison = paired_bootstrap(&plain, &measure(control)?, &Bootstrap::seeded(seed))?;
        let (cost, interval, p_value) = (comparison.difference, comparison.interval, comparison.p_value);
        costs.push(ControlCost { control, cost, interval, p_value });
    }
    Ok(Some(ControlRecord { arm: arm.given.to_string(), loss: plain.value(), costs }))
}

/// A control in words.
pub fn in_words(control: Control) -> &'static str {
    match control {
        Control::Nothing => "as it is",
        Control::ShuffledItems => "another user's items",
        Control::OneItemSwapped => "one item changed",
        Control::WithoutCf => "no collaborative vectors",
        Control::WithoutSemantic => "no semantic vectors",
        Control::WithoutVectors => "neither",
        Control::WithoutDetails => "no ratings, recencies, positions",
        Control::WithoutUser => "no vector of the user",
    }
}
