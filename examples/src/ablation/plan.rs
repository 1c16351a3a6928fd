//! What an experiment varies, as a TOML file says it, and the cells that follow.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use regen_data::synthetic::SyntheticConfig;
use regen_fusion::AdapterKind;
use regen_narrator::{InjectionConfig, InjectionMap, Memory};
use regen_semantic::hash_file;
use serde::{Deserialize, Serialize};

use super::cells::Cell;
use super::co_training::{CoTraining, CoTrainingSettings};
use super::cold::ColdVectors;
use super::data::{DataSource, NamedData};
use crate::budget::Budget;
use crate::given::Given;
use crate::inputs::{Inputs, Scaling};
use crate::language_model::low_rank;

/// An experiment: every combination of its lists is a cell.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// What the report is called.
    pub title: String,
    /// What is asked, in plain sentences for the report's reader.
    #[serde(default)]
    pub question: String,
    /// Each seed draws its own world (where it is made up), split, order and initial weights.
    pub seeds: Vec<u64>,
    /// `cf`, `semantic`, `fusion`, `text`, `text+cf`, `text+semantic`, `text+fusion`.
    pub arms: Vec<Given>,
    /// How vectors become soft tokens. An arm without vectors is run once, an adapter that needs both sides only on
    /// arms that have them.
    #[serde(default = "projection")]
    pub adapters: Vec<AdapterKind>,
    /// Soft tokens of an item. An arm without vectors is run once, and so is an adapter that sums a history up in tokens of its own.
    #[serde(default = "one")]
    pub tokens_per_item: Vec<i64>,
    /// What is trained beside adapter and language model. An arm without vectors is run once.
    #[serde(default = "nothing_more")]
    pub co_training: Vec<CoTraining>,
    /// What is read beside the vectors of items: each a text like `rating+recency+user`, `""` for nothing; with `reviews` where every
    /// data set has some. An arm without vectors is run once, the user's vector is left to arms that read collaborative ones.
    #[serde(default = "no_inputs")]
    pub inputs: Vec<Inputs>,
    /// How vectors are scaled before they are read. An arm without vectors is run once.
    #[serde(default = "usual_scaling")]
    pub scalings: Vec<Scaling>,
    /// Blocks of the language model, from 0, before which soft tokens are added once more beside standing in the prompt; `[]` for none.
    /// An arm without vectors is run once.
    #[serde(default = "no_injection")]
    pub injections: Vec<Vec<usize>>,
    /// What stands for the collaborative vectors of items that the factorisation has not seen. An arm that reads none is run once.
    #[serde(default = "absent")]
    pub cold_vectors: Vec<ColdVectors>,
    /// Ranks of low-rank updates beside trained language models, which then stay as they are; 0 to train all of them.
    #[serde(default = "no_updates")]
    pub lora_ranks: Vec<i64>,
    /// Longest histories that are read.
    #[serde(default = "fifty")]
    pub histories: Vec<usize>,
    /// Presets of the language model, or folders of trained ones.
    #[serde(default = "two_million")]
    pub language_models: Vec<String>,
    /// The data sets.
    pub data: Vec<NamedData>,
    /// What every cell may spend.
    pub training: Training,
    /// Rank of the collaborative factors.
    #[serde(default = "rank")]
    pub rank: usize,
    /// Test narratives that are also written under controls, at least: those of so many users. 0 for none, and then the controls are
    /// told by the loss alone.
    #[serde(default = "hundred")]
    pub control_narratives: usize,
    /// SHA-256 of the file, in hexadecimal digits; empty for a plan that was read from no file.
    #[serde(skip)]
    pub sha256: String,
}

/// The budget of a cell; see [`Budget::new`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Updates on narratives.
    pub steps: u64,
    /// Updates before them in which only the catalogue is read; 0 for none.
    #[serde(default)]
    pub reading_steps: u64,
    /// Examples per update.
    #[serde(default = "sixteen")]
    pub batch: usize,
    /// Peak learning rate of the language model; the adapter's is three times that.
    #[serde(default = "learning_rate")]
    pub learning_rate: f64,
    /// How [`Plan::co_training`] is done.
    #[serde(default)]
    pub co_training: CoTrainingSettings,
    /// Longest narrative in tokens, its end included: longer ones are cut in training, and none is written.
    #[serde(default = "ninety_six")]
    pub max_narrative_tokens: usize,
    /// Passes through the language model by the kernels of regen-lm: on a CPU, without dropout.
    #[serde(default)]
    pub kernels: bool,
}

fn one() -> Vec<i64> {
    vec![1]
}

fn no_inputs() -> Vec<Inputs> {
    vec![Inputs::default()]
}

fn no_injection() -> Vec<Vec<usize>> {
    vec![Vec::new()]
}

fn usual_scaling() -> Vec<Scaling> {
    vec![Scaling::default()]
}

fn absent() -> Vec<ColdVectors> {
    vec![ColdVectors::default()]
}

fn no_updates() -> Vec<i64> {
    vec![0]
}

fn nothing_more() -> Vec<CoTraining> {
    vec![CoTraining::None]
}

fn projection() -> Vec<AdapterKind> {
    vec![AdapterKind::Projection]
}

fn fifty() -> Vec<usize> {
    vec![50]
}

fn two_million() -> Vec<String> {
    vec!["2m".to_owned()]
}

fn rank() -> usize {
    64
}

fn hundred() -> usize {
    100
}

fn sixteen() -> usize {
    16
}

fn ninety_six() -> usize {
    96
}

fn learning_rate() -> f64 {
    3e-3
}

impl Plan {
    /// Reads a plan.
    ///
    /// # Errors
    /// With the file and the key that is missing, unknown, empty, repeated or impossible.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let unusable = || format!("{} is no plan that can be run", path.display());
        let plan = Self::parse(&text).with_context(unusable)?;
        Ok(Self { sha256: hash_file(path)?, ..plan })
    }

    /// Reads a plan from its text.
    ///
    /// # Errors
    /// Those of [`Plan::read`], without the file.
    pub fn parse(text: &str) -> Result<Self> {
        let plan: Self = toml::from_str(text)?;
        plan.validate()?;
        Ok(plan)
    }

    /// The data set of that name.
    pub fn data(&self, name: &str) -> Option<&NamedData> {
        self.data.iter().find(|data| data.name == name)
    }

    /// Of a made-up world with a set mixture: the weight of what only co-purchases tell against what only texts tell, 0 to 1.
    pub fn planted(&self, name: &str) -> Option<f64> {
        let DataSource::Synthetic(world) = &self.data(name)?.source else { return None };
        let [co_purchase, text, _] = world.mixture?.shares();
        (co_purchase + text > 0.0).then(|| co_purchase / (co_purchase + text))
    }

    /// Whether a cell reads what users wrote about their purchases.
    pub fn reads_reviews(&self) -> bool {
        self.inputs.iter().any(|inputs| inputs.reviews)
    }

    /// Whether the data sets differ in nothing but how much is bought: made-up worlds by the lengths of their histories, any by how
    /// many of the purchases the factorisation is fitted to.
    pub fn varies_density(&self) -> bool {
        let alike = |data: &NamedData| match &data.source {
            _ if data.cold_items > 0.0 => None,
            DataSource::Synthetic(world) => {
                let usual = SyntheticConfig::default();
                Some(DataSource::Synthetic(SyntheticConfig {
                    mean_history: usual.mean_history,
                    min_history: usual.min_history,
                    max_history: usual.max_history,
                    ..world.clone()
                }))
            }
            other => Some(other.clone()),
        };
        let mut worlds = self.data.iter().map(alike);
        let first = worlds.next().flatten();
        first.is_some() && worlds.all(|world| world == first)
    }

    /// What a cell may spend.
    pub fn budget(&self, cell: &Cell) -> Budget {
        let Training { steps, reading_steps, batch, learning_rate, kernels, max_narrative_tokens, .. } =
            self.training;
        let mut budget =
            Budget::new(&cell.language_model, steps, reading_steps, batch, learning_rate, cell.seed);
        (budget.max_history, budget.tokens_per_item) = (cell.history, cell.tokens_per_item);
        budget.max_narrative_tokens = max_narrative_tokens;
        (budget.inputs, budget.scaling) = (cell.inputs, cell.scaling);
        budget.injection = (!cell.injection.is_empty())
            .then(|| InjectionConfig { layers: cell.injection.clone(), through: InjectionMap::default() });
        budget.lora = (cell.lora_rank > 0).then(|| low_rank(cell.lora_rank));
        cell.co_training.apply(&self.training.co_training, cell.arm.vectors, &mut budget);
        budget.with_memory(Memory { kernels, ..Memory::default() })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::ablation) const PLAN: &str = r#"
        title = "t"
        seeds = [1, 2]
        arms = ["cf", "fusion", "text"]
        adapters = ["projection", "gated", { mlp = { width = 8, depth = 1 } }]
        histories = [5, 50]
        [training]
        steps = 10
        [[data]]
        name = "Small World"
        synthetic = { users = 40, items = 130, mean_history = 6.0 }
        [[data]]
        name = "books"
        xrec = "amazon"
    "#;

    #[test]
    fn density_is_asked_for_only_where_nothing_else_varies() {
        let world = |more: &str| {
            format!(
                "[[data]]\n name = \"w{}\"\n synthetic = {{ users = 40, items = 130 {more} }}\n",
                more.len()
            )
        };
        let plan = |data: &[String]| {
            let head = PLAN.split("[[data]]").next().unwrap();
            Plan::parse(&format!("{head}{}", data.concat())).unwrap().varies_density()
        };
        let dense = ", mean_history = 16.0, max_history = 32";
        assert!(plan(&[world(""), world(dense)]));
        assert!(!plan(&[world(""), world(", mean_history = 16.0, taste = 2.0")]));
        assert!(!plan(&[world(""), world(dense) + " cold_items = 0.5\n"]));
        assert!(!Plan::parse(PLAN).unwrap().varies_density());
        let own =
            |name: &str, more: &str| format!("[[data]]\n name = {name:?}\n prepared = \"shop\"\n {more}\n");
        let thin = "kept_purchases = 0.25";
        assert!(plan(&[own("all", ""), own("a quarter", thin)]));
        assert!(!plan(&[own("all", ""), own("a quarter", &format!("{thin}\nsplit = \"folder\""))]));
        assert!(!plan(&[own("all", ""), "[[data]]\n name = \"b\"\n prepared = \"other\"\n".to_owned()]));
    }
}
