//! AdamW with parameter groups, states in f32, everything updated in place.
//!
//! Parameters in a lower precision get an f32 master copy that the update runs on; the parameter is its
//! rounding. Weight decay is decoupled and touches matrices only: norms and biases are left alone.

use std::path::Path;

use rayon::prelude::*;
use regen_kernel::{Level, Work};
use regen_torch::{Checkpoint, save_tensors, tensor_from_f32, tensor_to_vec_f32};
use tch::{Device, Kind, Tensor};

use super::pieces::{AT_ONCE, pieces, pieces_of_gradient};
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

/// The moments of one tensor.
#[derive(Debug)]
enum State {
    /// Of one in f32 on the host: an update reads and writes everything once.
    Host { mean: Vec<f32>, square: Vec<f32> },
    Tensors {
        mean: Tensor,
        square: Tensor,
        /// f32 copy of a parameter in a lower precision.
        master: Option<Tensor>,
    },
}

/// What is the same for every number of a tensor.
#[derive(Debug, Clone, Copy)]
struct Rule {
    /// How far the moments go towards the gradient and its square.
    to_mean: f32,
    to_square: f32,
    /// What the parameter is multiplied by first.
    decay: f32,
    /// Added to the root of the square.
    epsilon: f32,
    /// What mean over root is multiplied by.
    rate: f32,
}

/// Some numbers of one tensor.
struct Piece<'a> {
    rule: Rule,
    parameter: Tensor,
    gradient: Tensor,
    mean: &'a mut [f32],
    square: &'a mut [f32],
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
        // η m̂ / (√v̂ + ε) as m over one factor, since every pass over a large tensor costs.
        let root = correction2.sqrt();
        let mut host = Vec::new();
        for (group, states) in self.groups.iter_mut().zip(&mut self.states) {
            let rate = group.learning_rate * factor;
            for ((name, tensor), state) in group.tensors.iter_mut().zip(states) {
                if !tensor.requires_grad() {
                    continue;
                }
                let gradient = tensor.grad();
                if !gradient.defined() {
                    return Err(Error::MissingGradient { tensor: name.clone() });
                }
                let decays = group.weight_decay > 0.0 && tensor.dim() >= 2;
                let decay = if decays { 1.0 - rate * group.weight_decay } else { 1.0 };
                match state {
                    State::Host { mean, square } => {
                        let rule = Rule {
                            to_mean: (1.0 - beta1) as f32,
                            to_square: (1.0 - beta2) as f32,
                            decay: decay as f32,
                            epsilon: (epsilon * root) as f32,
                            rate: (rate * root / correction1) as f32,
                        };
                        let parameters = pieces(&tensor.detach())?;
                        let gradients = pieces(&gradient.detach().f_to_kind(Kind::Float)?.f_contiguous()?)?;
                        let moments = mean.chunks_mut(AT_ONCE).zip(square.chunks_mut(AT_ONCE));
                        let all = parameters.into_iter().zip(gradients).zip(moments);
                        host.extend(all.map(|((parameter, gradient), (mean, square))| Piece {
                            rule,
                            parameter,
                            gradient,
                            mean,
                            square,
                        }));
                    }
                    State::Tensors { mean, square, master } => tch::no_grad(|| -> Result<()> {
                        let gradient = gradient.f_to_kind(Kind::Float)?;
                        let _ = mean.f_lerp_(&gradient, 1.0 - beta1)?;
                        let _ = square.f_lerp_(&gradient.f_square()?, 1.0 - beta2)?;
                        let mut divisor = square.f_sqrt()?;
                        let _ = divisor.f_add_scalar_(epsilon * root)?;
                        let _ = divisor.f_mul_scalar_(-correction1 / (rate * root))?;
                        let target = master.as_mut().unwrap_or(tensor);
                        if decays {
                            let _ = target.f_mul_scalar_(decay)?;
                        }
                        if rate > 0.0 {
                            let _ = target.f_addcdiv_(mean, &divisor)?;
                        }
                        if let Some(master) = master {
                            tensor.f_copy_(master)?;
                        }
                        Ok(())
                    })?,
                }
            }
        }
        let level = Level::best();
        host.into_par_iter().with_min_len(4).try_for_each(|piece| piece.update(level))?;
        self.steps = step;
        Ok(())
    }

    /// Sets every gradient to zero.
    pub fn zero_gradients(&mut self) {
        let mut host = Vec::new();
        for (_, tensor) in self.groups.iter_mut().flat_map(|group| &mut group.tensors) {
            match pieces_of_gradient(tensor) {
                Some(pieces) => host.extend(pieces),
                None => tensor.zero_grad(),
            }
        }
        host.into_par_iter().with_min_len(4).for_each(|mut piece| {
            let _ = piece.zero_();
        });
    }

    /// Writes moments, master copies and the step count to a safetensors file.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when writing fails.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut tensors = Vec::new();
        for (group, states) in self.groups.iter().zip(&self.states) {
            for ((name, tensor), state) in group.tensors.iter().zip(states) {
                let (mean, square, master) = match state {
                    State::Host { mean, square } => {
                        let size = tensor.size();
                        (tensor_from_f32(mean, &size)?, tensor_from_f32(square, &size)?, None)
                    }
                    State::Tensors { mean, square, master } => {
                        (mean.shallow_clone(), square.shallow_clone(), master.as_ref())
                    }
                };
                tensors.push((format!("{name}.mean"), mean));
                tensors.push((format!("{name}.square"), square));
                if let Some(master) = master {
                    tensors.push((format!("{name}.master"), master.shallow_clone()));
                }
            }
        }
        // As a tensor, so that one mechanism reads everything back.
        tensors.push(("steps".to_owned(), Tensor::f_from_slice(&[self.steps as i64])?));
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
                taken += 2;
                match state {
                    State::Host { mean, square } => {
                        *mean = tensor_to_vec_f32(&read("mean")?)?;
                        *square = tensor_to_vec_f32(&read("square")?)?;
                    }
                    State::Tensors { mean, square, master } => {
                        mean.f_copy_(&read("mean")?)?;
                        square.f_copy_(&read("square")?)?;
                        if let Some(master) = master {
                            master.f_copy_(&read("master")?)?;
                            taken += 1;
                        }
                    }
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
        if tensor.kind() == Kind::Float && tensor.device() == Device::Cpu && tensor.is_contiguous() {
            let zeros = || vec![0.0; tensor.numel()];
            return Ok(Self::Host { mean: zeros(), square: zeros() });
        }
        let options = (Kind::Float, tensor.device());
        let size = tensor.size();
        Ok(Self::Tensors {
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

impl Piece<'_> {
    fn update(self, level: Option<Level>) -> Result<()> {
        let Self { rule, mut parameter, gradient, mean, square } = self;
        let count = mean.len();
        let (mut values, mut gradients) = (vec![0.0; count], vec![0.0; count]);
        parameter.f_copy_data(&mut values, count)?;
        gradient.f_copy_data(&mut gradients, count)?;
        let work = Update { rule, values: &mut values, gradients: &gradients, mean, square };
        match level {
            Some(level) => level.run(work),
            None => work.run(),
        }
        parameter.f_copy_(&Tensor::f_from_slice(&values)?)?;
        Ok(())
    }
}

struct Update<'a> {
    rule: Rule,
    values: &'a mut [f32],
    gradients: &'a [f32],
    mean: &'a mut [f32],
    square: &'a mut [f32],
}

impl Work for Update<'_> {
    #[inline(always)]
    fn run(self) {
        let Rule { to_mean, to_square, decay, epsilon, rate } = self.rule;
        let moments = self.mean.iter_mut().zip(self.square);
        for ((value, gradient), (mean, square)) in self.values.iter_mut().zip(self.gradients).zip(moments) {
            *mean += to_mean * (gradient - *mean);
            *square += to_square * (gradient * gradient - *square);
            *value = *value * decay - rate * *mean / (square.sqrt() + epsilon);
        }
    }
}

fn argument(what: &'static str, expected: &'static str, got: f64) -> Error {
    Error::Argument { what, expected, got: got.to_string() }
}
