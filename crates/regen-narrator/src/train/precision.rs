//! The language model in bf16 while it is trained, and in f32 before and after.
//!
//! Only its weights are rounded: what the optimiser adds up it adds to f32 copies of its own, adapter, item tables and heads stay in
//! f32, and so does the loss. Micikevicius et al. 2018, "Mixed Precision Training", section 3.1, with the exponents of f32, so that
//! no loss is scaled.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::{Narrator, Result};

/// In what numbers the language model is trained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainPrecision {
    /// 32-bit floats, as everything else.
    #[default]
    F32,
    /// Weights, activations and gradients of the language model and of its low-rank updates in 16-bit floats with the exponents of
    /// f32. What moves has an f32 copy that updates are added to; when training ends it is left as it was judged, rounded. What does
    /// not move is left as it was.
    Bf16,
}

impl TrainPrecision {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn is_f32(&self) -> bool {
        *self == Self::F32
    }
}

/// What a language model in bf16 had in f32.
pub(super) struct Lowered {
    /// Variables, and the values of those that do not move.
    variables: Vec<(Tensor, Option<Tensor>)>,
}

impl Narrator {
    /// Rounds the language model and its updates to bf16. What moves must have been chosen.
    pub(super) fn lower(&self) -> Result<Lowered> {
        let stores = [&self.lm_vs, &self.lora_vs];
        let mut lowered = Lowered { variables: Vec::new() };
        for variable in stores.into_iter().flat_map(|store| store.variables().into_values()) {
            // Shares the numbers that the variable is about to leave.
            let before = variable.f_detach()?;
            if let Err(error) = convert(&variable, Kind::BFloat16) {
                lowered.raise()?;
                return Err(error);
            }
            let kept = (!variable.requires_grad()).then_some(before);
            lowered.variables.push((variable, kept));
        }
        Ok(lowered)
    }
}

impl Lowered {
    /// Everything in f32 again.
    pub(super) fn raise(self) -> Result<()> {
        for (mut variable, kept) in self.variables {
            match kept {
                Some(before) => tch::no_grad(|| variable.f_set_data(&before))?,
                None => convert(&variable, Kind::Float)?,
            }
        }
        Ok(())
    }
}

/// Changes the numbers of a variable for all who hold it, and those of a gradient that an earlier pass left.
fn convert(variable: &Tensor, kind: Kind) -> Result<()> {
    tch::no_grad(|| {
        let mut gradient = variable.grad();
        if gradient.defined() {
            gradient.f_set_data(&Tensor::f_zeros(variable.size(), (kind, variable.device()))?)?;
        }
        variable.shallow_clone().f_set_data(&variable.f_detach()?.f_to_kind(kind)?)?;
        Ok(())
    })
}

#[cfg(test)]
#[path = "precision_tests.rs"]
mod tests;
