//! Low-rank adaptation: attach, train, merge, and read and write adapters in PEFT's format.
//!
//! **Source** Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models".

use std::path::Path;

use rand_chacha::ChaCha8Rng;
use regen_torch::{Checkpoint, Surplus, save_tensors, seed};
use serde_json::{Value, json};
use tch::{Kind, Tensor, nn};

use crate::error::{Error, Result};
use crate::families::{Fields, read_object};
use crate::layers::{LowRank, Projection};
use crate::model::Decoder;
use crate::variable::{add, converted, floating};

/// PEFT wraps the model twice; its tensor names say so.
const PREFIX: &str = "base_model.model.";

/// Keys of `adapter_config.json` that change nothing in a forward pass.
const NEUTRAL: &[&str] = &[
    "auto_mapping",
    "base_model_name_or_path",
    "eva_config",
    "fan_in_fan_out",
    "inference_mode",
    "peft_version",
    "revision",
    "runtime_config",
    "task_type",
];

/// Which projections get an update.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoraTargets {
    /// Every projection of every block.
    All,
    /// Those whose name ends with one of these, for instance `q_proj` and `v_proj`.
    Named(Vec<String>),
}

/// Size and place of low-rank updates.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank of the updates.
    pub rank: i64,
    /// The update is multiplied by `alpha / rank`, or `alpha / √rank` if `rank_stabilised`.
    pub alpha: f64,
    /// **Source** Kalajdzievski 2023, "A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA".
    pub rank_stabilised: bool,
    /// The share of an update's inputs that is dropped in [`Decoder::forward_training`], in 0..1; nothing is dropped elsewhere.
    #[serde(default)]
    pub dropout: f64,
    /// Which projections.
    pub targets: LoraTargets,
}

impl LoraConfig {
    fn scale(&self) -> f64 {
        let rank = self.rank as f64;
        self.alpha / if self.rank_stabilised { rank.sqrt() } else { rank }
    }

    fn names(&self, module: &str) -> bool {
        match &self.targets {
            LoraTargets::All => true,
            LoraTargets::Named(names) => names.iter().any(|name| {
                module.strip_suffix(name.as_str()).is_some_and(|head| head.is_empty() || head.ends_with('.'))
            }),
        }
    }

    fn from_json(path: &Path) -> Result<Self> {
        Self::from_fields(path).map_err(Error::of_file(path))
    }

    fn from_fields(path: &Path) -> Result<Self> {
        let mut fields = Fields::new(path, read_object(path)?);
        fields.expect("peft_type", &json!("LORA"))?;
        fields.expect("bias", &json!("none"))?;
        match fields.take("init_lora_weights") {
            None | Some(Value::Null | Value::Bool(_)) => {}
            Some(Value::String(text)) if ["gaussian", "eva", "orthogonal"].contains(&text.as_str()) => {}
            // The others take something out of the base weight, which is not the one that is loaded here.
            Some(other) => {
                return Err(Error::UnsupportedConfig {
                    path: None,
                    field: "init_lora_weights".to_owned(),
                    value: other.to_string(),
                });
            }
        }
        let unsupported = |value: &Value| Error::UnsupportedConfig {
            path: None,
            field: "target_modules".to_owned(),
            value: value.to_string(),
        };
        let targets = match fields.take("target_modules") {
            Some(Value::String(text)) if text == "all-linear" => LoraTargets::All,
            Some(Value::Array(list)) => LoraTargets::Named(
                list.iter()
                    .map(|name| name.as_str().map(str::to_owned).ok_or_else(|| unsupported(name)))
                    .collect::<Result<_>>()?,
            ),
            Some(other) => return Err(unsupported(&other)),
            None => {
                return Err(Error::MissingField {
                    path: path.to_owned(),
                    field: "target_modules".to_owned(),
                });
            }
        };
        let config = Self {
            rank: fields.required_integer("r")?,
            alpha: fields.required_number("lora_alpha")?,
            rank_stabilised: fields.boolean("use_rslora", false)?,
            dropout: fields.number("lora_dropout", 0.0)?,
            targets,
        };
        // Named so because PEFT writes settings of methods that are off, too.
        fields.take("megatron_core");
        fields.take("qalora_group_size");
        fields.finish_with(|field| NEUTRAL.contains(&field))?;
        Ok(config)
    }
}

impl Decoder {
    /// Attaches low-rank updates that start as no update (B is zero, A is uniform as PEFT draws it), and
    /// freezes every other parameter. New variables go under `vs`, named
    /// `{module}.lora_A.weight` and `{module}.lora_B.weight`.
    ///
    /// # Errors
    /// [`Error::Argument`] for a rank below 1, an alpha that is not finite or a dropout outside 0..1; [`Error::InvalidConfig`] if a
    /// target names no projection or there is no target; [`Error::StateMismatch`] if updates are attached already;
    /// [`Error::Libtorch`].
    pub fn add_lora(&mut self, vs: &nn::Path<'_>, config: &LoraConfig, rng: &mut ChaCha8Rng) -> Result<()> {
        self.attach_lora(vs, config, |_, rank, from, to| {
            // Kaiming-uniform with a = √5, which is a bound of 1/√in.
            let bound = 1.0 / (from as f64).sqrt();
            let a = seed::uniform(rng, &[rank, from], -bound, bound);
            Ok((a, Tensor::f_zeros([to, rank], (Kind::Float, tch::Device::Cpu))?))
        })
    }

    /// Attaches the adapter of a PEFT folder (`adapter_config.json`, `adapter_model.safetensors`).
    ///
    /// # Errors
    /// [`Error::UnsupportedConfig`] for a field that is not implemented; [`Error::Checkpoint`] for missing,
    /// surplus or mis-shaped tensors; those of [`add_lora`](Self::add_lora).
    pub fn load_lora(&mut self, vs: &nn::Path<'_>, dir: &Path) -> Result<LoraConfig> {
        let described = dir.join("adapter_config.json");
        let config = LoraConfig::from_json(&described)?;
        let stored = Checkpoint::open(&dir.join("adapter_model.safetensors"))?;
        let wanted: std::collections::HashSet<String> = self
            .projections()
            .filter(|projection| config.names(projection.module()))
            .flat_map(|projection| ["lora_A", "lora_B"].map(|part| stored_name(projection.module(), part)))
            .collect();
        stored.check_surplus(|name| wanted.contains(name), Surplus::Refuse)?;
        self.attach_lora(vs, &config, |module, rank, from, to| {
            Ok((
                floating(&stored, dir, &stored_name(module, "lora_A"), &[rank, from])?,
                floating(&stored, dir, &stored_name(module, "lora_B"), &[to, rank])?,
            ))
        })
        .map_err(Error::of_file(&described))?;
        Ok(config)
    }

    fn attach_lora(
        &mut self,
        vs: &nn::Path<'_>,
        config: &LoraConfig,
        mut values: impl FnMut(&str, i64, i64, i64) -> Result<(Tensor, Tensor)>,
    ) -> Result<()> {
        if config.rank < 1 || !config.alpha.is_finite() {
            return Err(Error::Argument {
                what: "LoRA rank and alpha",
                expected: "a rank of at least 1 and a finite alpha",
                got: format!("{} and {}", config.rank, config.alpha),
            });
        }
        if !(0.0..1.0).contains(&config.dropout) {
            return Err(Error::Argument {
                what: "LoRA dropout",
                expected: "at least 0 and below 1",
                got: config.dropout.to_string(),
            });
        }
        if !self.lora.is_empty() {
            return Err(Error::StateMismatch { what: "low-rank updates are attached already".to_owned() });
        }
        if let LoraTargets::Named(names) = &config.targets {
            if names.is_empty() {
                return Err(Error::InvalidConfig {
                    path: None,
                    field: "target_modules".to_owned(),
                    expected: "at least one projection to attach to".to_owned(),
                    got: "[]".to_owned(),
                });
            }
            for name in names {
                let one = LoraConfig { targets: LoraTargets::Named(vec![name.clone()]), ..config.clone() };
                if !self.projections().any(|projection| one.names(projection.module())) {
                    return Err(Error::InvalidConfig {
                        path: None,
                        field: "target_modules".to_owned(),
                        expected: "names of this family's projections".to_owned(),
                        got: name.clone(),
                    });
                }
            }
        }
        let (device, kind) = (self.device(), self.kind());
        // Everything that can fail comes first, so that a failure leaves the decoder as it was.
        let mut ready = Vec::new();
        for projection in self.projections().filter(|projection| config.names(projection.module())) {
            let (from, to) = projection.widths();
            let module = projection.module().to_owned();
            let (a, b) = values(&module, config.rank, from, to)?;
            let (name_a, name_b) = (format!("{module}.lora_A.weight"), format!("{module}.lora_B.weight"));
            let a = converted(&name_a, &a, device, kind)?;
            let b = converted(&name_b, &b, device, kind)?;
            ready.push((name_a, a, name_b, b));
        }
        let mut attached = Vec::new();
        let chosen = self.projections().filter(|projection| config.names(projection.module()));
        for (projection, (name_a, a, name_b, b)) in chosen.zip(ready) {
            let (a, b) = (add(vs, &name_a, a), add(vs, &name_b, b));
            attached.push((name_a, a.shallow_clone()));
            attached.push((name_b, b.shallow_clone()));
            let place = attached.len() as u64;
            projection.attach(LowRank { a, b, scale: config.scale(), dropout: config.dropout, place });
        }
        self.lora = attached;
        self.set_trainable(false);
        Ok(())
    }

    /// The tensors of attached low-rank updates, for an optimiser's group.
    pub fn lora_parameters(&self) -> Vec<(String, Tensor)> {
        self.lora.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
    }

    /// Whether an attached update drops a share of its inputs in training.
    pub(crate) fn drops(&self) -> bool {
        self.places().filter_map(|projection| projection.lora.as_deref()).any(|lora| lora.dropout > 0.0)
    }

    /// Every projection of every block, to look at.
    fn places(&self) -> impl Iterator<Item = &Projection> {
        self.blocks.iter().flat_map(|block| {
            let mut all = block.attention.head_projections();
            all.extend(block.mlp.wide_projections());
            all.extend([&block.attention.output, &block.mlp.down]);
            all
        })
    }

    /// Refuses a description of other updates than those that are attached: PEFT would not load them, or compute something
    /// else.
    fn check_described(&self, config: &LoraConfig) -> Result<()> {
        let differs = |what: String| Err(Error::StateMismatch { what });
        for projection in self.places() {
            let (module, named) = (projection.module(), config.names(projection.module()));
            let Some(lora) = projection.lora.as_deref() else {
                if named {
                    return differs(format!("the targets name {module}, where no update is attached"));
                }
                continue;
            };
            if !named {
                return differs(format!("the targets leave out {module}, where an update is attached"));
            }
            let rank = lora.a.size()[0];
            if rank != config.rank {
                return differs(format!("the update of {module} has rank {rank}, not {}", config.rank));
            }
            let scale = config.scale();
            // Numbers that went through a file may have lost their last bit.
            if (lora.scale - scale).abs() > 1e-9 * scale.abs() {
                return differs(format!(
                    "the update of {module} is multiplied by {}, not {scale}",
                    lora.scale
                ));
            }
        }
        Ok(())
    }

    /// Writes the attached updates as a PEFT folder, which is made if absent. It names no base: whoever loads it says which
    /// model it is for, as `PeftModel.from_pretrained` asks.
    ///
    /// # Errors
    /// [`Error::StateMismatch`] if nothing is attached, or something of another rank, scale or place than `config` says;
    /// [`Error::Io`], [`Error::Checkpoint`].
    pub fn save_lora(&self, dir: &Path, config: &LoraConfig) -> Result<()> {
        self.write_lora(dir, config, None)
    }

    /// As [`save_lora`](Self::save_lora), and names the model beneath by a path or the id of a repository, so that PEFT finds it by itself
    /// (`AutoPeftModelForCausalLM`).
    ///
    /// # Errors
    /// As [`save_lora`](Self::save_lora).
    pub fn save_lora_on(&self, dir: &Path, config: &LoraConfig, base: &str) -> Result<()> {
        self.write_lora(dir, config, Some(base))
    }

    fn write_lora(&self, dir: &Path, config: &LoraConfig, base: Option<&str>) -> Result<()> {
        let tensors: Vec<(String, Tensor)> = self
            .lora_parameters()
            .into_iter()
            .map(|(name, tensor)| (format!("{PREFIX}{name}"), tensor))
            .collect();
        if tensors.is_empty() {
            return Err(Error::StateMismatch { what: "no low-rank updates are attached".to_owned() });
        }
        self.check_described(config)?;
        std::fs::create_dir_all(dir).map_err(Error::io("make", dir))?;
        save_tensors(&dir.join("adapter_model.safetensors"), &tensors, &[("format", "pt")])?;
        let targets = match &config.targets {
            LoraTargets::All => json!("all-linear"),
            LoraTargets::Named(names) => json!(names),
        };
        let description = json!({
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": base,
            "r": config.rank,
            "lora_alpha": config.alpha,
            "lora_dropout": config.dropout,
            "use_rslora": config.rank_stabilised,
            "target_modules": targets,
            "bias": "none",
            "fan_in_fan_out": self.config().family.arrangement().transposed,
            "inference_mode": true,
        });
        crate::files::write(&dir.join("adapter_config.json"), format!("{description:#}\n").as_bytes())
    }

    /// Adds every attached update to its weight and forgets it; the model computes the same as before, at the
    /// speed of the plain model.
    ///
    /// # Errors
    /// [`Error::Libtorch`].
    pub fn merge_lora(&mut self) -> Result<()> {
        self.lora.clear();
        self.projections().try_for_each(|projection| projection.merge())
    }
}

fn stored_name(module: &str, part: &str) -> String {
    format!("{PREFIX}{module}.{part}.weight")
}
