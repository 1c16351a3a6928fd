//! AdamW with parameter groups, states in f32, everything updated in place.
//!
//! Parameters in a lower precision get an f32 master copy that the update runs on; the parameter is its
//! rounding. Weight decay is decoupled and touches matrices only: norms and biases are left alone.

use std::path::Path;

use regen_torch::{Checkpoint, save_tensors};
use tch::{Kind, Tensor};

use crate::error::{Error, Result};

/// Tensors that share a learning rate and a weight decay.
#[derive(Debug)]
pub struct ParameterGroup {
    /// For reports and states, unique among the groups.
    pub name: String,
    /// Leaf tensors with their names, unique over all groups.
    pub tensors: Vec<(String, Tensor)>,
    /// The rate at schedule factor 1.
    pub learning_rate: f64,
    /// Decoupled decay per unit of learning rate, applied to tensors of two or more dimensions.
    pub weight_decay: f64,
}

/// The moments' constants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWConfig {
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
}

impl Default for AdamWConfig {
    /// Those of GPT-3 (Brown et al. 2020, appendix B), which language model training has kept since.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.95, epsilon: 1e-8 }
    }
}

#[derive(Debug)]
struct State {
    mean: Tensor,
    square: Tensor,
    /// f32 copy of a parameter in a lower precision.
    master: Option<Tensor>,
}

/// Adam with decoupled weight decay.
///
/// m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², θ ← θ − η(λθ + m̂ / (√v̂ + ε)).
///
/// **Source** Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2.
///
/// ```
/// use regen_lm::train::{AdamW, AdamWConfig, ParameterGroup};
/// use tch::{Kind, Tensor};
///
/// let weight = Tensor::from_slice(&[3.0f32, -2.0]).set_requires_grad(true);
/// let mut optimiser = AdamW::new(
///     vec![ParameterGroup {
///         name: "all".into(),
///         tensors: vec![("weight".into(), weight.shallow_clone())],
///         learning_rate: 0.1,
///         weight_decay: 0.0,
///     }],
///     AdamWConfig::default(),
/// )?;
/// for _ in 0..200 {
///     weight.square().sum(Kind::Float).backward();
///     optimiser.step(1.0)?;
///     optimiser.zero_gradients();
/// }
/// assert!(weight.abs().max().double_value(&[]) < 0.05);
/// # Ok::<(), regen_lm::Error>(())
/// ```
#[derive(Debug)]
pub struct AdamW {
    groups: Vec<ParameterGroup>,
    states: Vec<Vec<State>>,
    config: AdamWConfig,
    steps: u64,
}

impl AdamW {
    /// An optimiser at step 0.
    ///
    /// # Errors
    /// [`Error::Argument`] for constants or rates out of range; [`Error::Libtorch`].
    pub fn new(groups: Vec<ParameterGroup>, config: AdamWConfig) -> Result<Self> {
        for (what, value) in [("beta1", config.beta1), ("beta2", config.beta2)] {
            if !(0.0..1.0).contains(&value) {
                return Err(argument(what, "in 0..1", value));
            }
        }
        if config.epsilon.is_nan() || config.epsilon <= 0.0 {
            return Err(argument("epsilon", "above 0", config.epsilon));
        }
        for group in &groups {
            for (what, value) in
                [("learning rate", group.learning_rate), ("weight decay", group.weight_decay)]
            {
                if !(value >= 0.0 && value.is_finite()) {
                    return Err(argument(what, "at least 0 and finite", value));
                }
            }
        }
        let states = groups
            .iter()
            .map(|group| group.tensors.iter().map(|(_, tensor)| State::new(tensor)).collect())
            .collect::<Result<_>>()?;
        Ok(Self { groups, states, config, steps: 0 })
    }

    /// Updates made so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The groups, for reports.
    pub fn groups(&self) -> &[ParameterGroup] {
        &self.groups
    }

    /// Every tensor with its name, in the order of the groups.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.groups
            .iter()
            .flat_map(|group| group.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)))
    }

    /// One update; `factor` multiplies every group's rate (see [`Schedule::factor`](super::Schedule::factor)).
    /// A frozen group is one whose tensors do not require gradients: it is passed over.
    ///
    /// # Errors
    /// [`Error::MissingGradient`] if a trainable tensor took no part in the loss; [`Error::Libtorch`].
    pub fn step(&mut self, factor: f64) -> Result<()> {
        let step = self.steps + 1;
        let AdamWConfig { beta1, beta2, epsilon } = self.config;
        let correction1 = 1.0 - beta1.powf(step as f64);
        let correction2 = 1.0 - beta2.powf(step as f64);
        for (group, states) in self.groups.iter_mut().zip(&mut self.states) {
            let rate = group.learning_rate * factor;
            let decay = 1.0 - rate * group.weight_decay;
            for ((name, tensor), state) in group.tensors.iter_mut().zip(states) {
                if !tensor.requires_grad() {
                    continue;
                }
                let gradient = tensor.grad();
                if !gradient.defined() {
                    return Err(Error::MissingGradient { tensor: name.clone() });
                }
                tch::no_grad(|| -> Result<()> {
                    let gradient = gradient.f_to_kind(Kind::Float)?;
                    let _ = state.mean.f_lerp_(&gradient, 1.0 - beta1)?;
                    let _ = state.square.f_lerp_(&gradient.f_square()?, 1.0 - beta2)?;
                    // η m̂ / (√v̂ + ε) as m over one factor, since every pass over a large tensor costs.
                    let root = correction2.sqrt();
                    let mut divisor = state.square.f_sqrt()?;
                    let _ = divisor.f_add_scalar_(epsilon * root)?;
                    let _ = divisor.f_mul_scalar_(-correction1 / (rate * root))?;
                    let target = state.master.as_mut().unwrap_or(tensor);
                    if group.weight_decay > 0.0 && target.dim() >= 2 {
                        let _ = target.f_mul_scalar_(decay)?;
                    }
                    if rate > 0.0 {
                        let _ = target.f_addcdiv_(&state.mean, &divisor)?;
                    }
                    if let Some(master) = &state.master {
                        tensor.f_copy_(master)?;
                    }
                    Ok(())
                })?;
            }
        }
        self.steps = step;
        Ok(())
    }

    /// Sets every gradient to zero.
    pub fn zero_gradients(&mut self) {
        for group in &mut self.groups {
            for (_, tensor) in &mut group.tensors {
                tensor.zero_grad();
            }
        }
    }

    /// Writes moments, master copies and the step count to a safetensors file.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when writing fails.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut tensors = Vec::new();
        for (group, states) in self.groups.iter().zip(&self.states) {
            for ((name, _), state) in group.tensors.iter().zip(states) {
                tensors.push((format!("{name}.mean"), state.mean.shallow_clone()));
                tensors.push((format!("{name}.square"), state.square.shallow_clone()));
                if let Some(master) = &state.master {
                    tensors.push((format!("{name}.master"), master.shallow_clone()));
                }
            }
        }
        // As a tensor, so that one mechanism reads everything back.
        tensors.push(("steps".to_owned(), Tensor::from_slice(&[self.steps as i64])));
        Ok(save_tensors(path, &tensors, &[("kind", "regen-lm adamw")])?)
    }

    /// Reads what [`save`](Self::save) wrote for the same tensors.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a missing or mis-shaped state; [`Error::StateMismatch`] for states of tensors
    /// that are not here.
    pub fn load(&mut self, path: &Path) -> Result<()> {
        let stored = Checkpoint::open(path)?;
        let mut taken = 1;
        for (group, states) in self.groups.iter().zip(&mut self.states) {
            for ((name, tensor), state) in group.tensors.iter().zip(states) {
                let size = tensor.size();
                let read = |part: &str| stored.tensor(&format!("{name}.{part}"), &size);
                state.mean.f_copy_(&read("mean")?)?;
                state.square.f_copy_(&read("square")?)?;
                taken += 2;
                if let Some(master) = &mut state.master {
                    master.f_copy_(&read("master")?)?;
                    taken += 1;
                }
            }
        }
        let stored_count = stored.names().count();
        if stored_count != taken {
            return Err(Error::StateMismatch {
                what: format!("{stored_count} tensors in the file, {taken} expected"),
            });
        }
        self.steps = stored.tensor("steps", &[1])?.f_int64_value(&[0])? as u64;
        Ok(())
    }
}

impl State {
    fn new(tensor: &Tensor) -> Result<Self> {
        let options = (Kind::Float, tensor.device());
        let size = tensor.size();
        Ok(Self {
            mean: Tensor::f_zeros(&size, options)?,
            square: Tensor::f_zeros(&size, options)?,
            master: if tensor.kind() == Kind::Float {
                None
            } else {
                Some(tensor.detach().f_to_kind(Kind::Float)?)
            },
        })
    }
}

fn argument(what: &'static str, expected: &'static str, got: f64) -> Error {
    Error::Argument { what, expected, got: got.to_string() }
}
