//! What floats hold: weights and regularization that overflow are refused before a fit, solutions that do when they
//! appear.

use rayon::prelude::*;

use crate::config::{Arithmetic, Confidence, Frequency, WalsConfig};
use crate::error::{Error, Result};
use crate::interactions::Compressed;
use crate::objective::Objective;
use crate::solver::Side;

/// Rows of one side that may be a part of it: the first of them is row `first` of the whole.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) side: Side,
    pub(crate) rows: &'a Compressed,
    pub(crate) first: usize,
}

impl Rows<'_> {
    /// Refuses rows of which a ridge, a weight or a weight times its target overflows in the arithmetic of the fit.
    pub(crate) fn check(&self, config: &WalsConfig) -> Result<()> {
        let objective = Objective::new(config);
        let holds: fn(f64) -> bool = match config.arithmetic {
            Arithmetic::F32 => |number| (number as f32).is_finite(),
            // Enough that the loss of whatever factors f32 holds is a finite f64.
            Arithmetic::F64 => |number| number.abs() <= f64::from(f32::MAX).powi(2),
        };
        self.check_ridges(config, &objective, holds)?;
        self.check_pairs(config, &objective, holds)
    }

    /// λρ rises or falls with a row's length throughout, so the shortest and the longest row speak for all.
    fn check_ridges(&self, config: &WalsConfig, objective: &Objective, holds: fn(f64) -> bool) -> Result<()> {
        let length = |row: &usize| self.rows.length(*row);
        let with_pairs = || (0..self.rows.rows()).filter(|row| length(row) > 0);
        for row in with_pairs().min_by_key(length).into_iter().chain(with_pairs().max_by_key(length)) {
            let value = objective.ridge(length(&row), self.rows.width());
            if !holds(value) {
                return Err(Error::Overflow {
                    quantity: "the regularization",
                    place: self.name(row),
                    value,
                    setting: match config.frequency {
                        Frequency::Count => "regularization or frequency_exponent",
                        Frequency::Ials => "regularization, frequency_exponent or unobserved_weight",
                    },
                });
            }
        }
        Ok(())
    }

    /// A weight rises with its value, so the largest value and the largest target bound all; only where they overflow
    /// is the pair looked for.
    fn check_pairs(&self, config: &WalsConfig, objective: &Objective, holds: fn(f64) -> bool) -> Result<()> {
        let (values, targets) = self.rows.numbers();
        let largest = |numbers: &[f32]| numbers.iter().fold(0f32, |most, number| most.max(number.abs()));
        let bound = objective.weight(largest(values)) * f64::from(targets.map_or(1.0, largest).max(1.0));
        if holds(bound) {
            return Ok(());
        }
        for row in 0..self.rows.rows() {
            for (column, value, target) in self.rows.row(row).entries() {
                let weight = objective.weight(value);
                let pull = weight * f64::from(target);
                let (quantity, value, setting) = if !holds(weight) {
                    ("the weight", weight, confidence_setting(config.confidence))
                } else if !holds(pull) {
                    ("the weight times the target", pull, "the targets or the weights (confidence)")
                } else {
                    continue;
                };
                let other = self.side.opposite().name();
                let place = format!("{} and {other} {column}", self.name(row));
                return Err(Error::Overflow { quantity, place, value, setting });
            }
        }
        Ok(())
    }

    fn name(&self, row: usize) -> String {
        format!("{} {}", self.side.name(), self.first + row)
    }
}

fn confidence_setting(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Constant { .. } => "confidence.weight",
        Confidence::Proportional { .. } | Confidence::Hu { .. } => "confidence.alpha, or the values",
        Confidence::Logarithmic { .. } => "confidence.alpha, or raise confidence.epsilon",
        Confidence::Given => "the values",
    }
}

/// Refuses α₀Λ that f32 does not hold; `fixed` is the side whose Gram matrix has the eigenvalues Λ.
pub(crate) fn check_spectrum(spectrum: &[f32], fixed: Side) -> Result<()> {
    match spectrum.iter().find(|value| !value.is_finite()) {
        None => Ok(()),
        Some(&value) => Err(Error::Overflow {
            quantity: "the unobserved weight times an eigenvalue of the Gram matrix",
            place: format!("the {} factors", fixed.name()),
            value: value.into(),
            setting: "unobserved_weight",
        }),
    }
}

/// Whether no number is infinite or NaN. Counted, not searched: that becomes vector code, which a sum of floats does not.
pub(crate) fn all_finite(numbers: &[f32]) -> bool {
    numbers.iter().map(|number| u32::from(!number.is_finite())).sum::<u32>() == 0
}

/// Refuses solutions, `[rows, rank]`, that are not finite: with them the loss would not be either. The first of them is
/// that of row `first`.
pub(crate) fn check_solutions(side: Side, first: usize, solved: &[f32], rank: usize) -> Result<()> {
    /// Rows that a task looks at.
    const ROWS: usize = 1024;
    let unsound = |numbers: &[f32]| !all_finite(numbers);
    let Some(part) = solved.par_chunks(ROWS * rank).position_first(unsound) else { return Ok(()) };
    let rows = solved[part * ROWS * rank..].chunks(rank);
    let row = part * ROWS + rows.take_while(|row| all_finite(row)).count();
    Err(Error::NotFinite { side: side.name(), row: first + row })
}
