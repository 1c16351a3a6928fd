//! What an experiment varies, as a TOML file says it, and the cells that follow.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use regen_data::synthetic::SyntheticConfig;
use regen_fusion::{AdapterKind, HiddenActivation, Sources};
use regen_narrator::Memory;
use serde::{Deserialize, Serialize};

use super::co_training::{CoTraining, CoTrainingSettings};
use super::cold::ColdVectors;
use super::data::{DataSource, NamedData};
use crate::budget::Budget;
use crate::given::Given;
use crate::inputs::{Inputs, Scaling};
use crate::language_model::{folder, low_rank};

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
    /// What is trained beside adapter and language model. An arm without vectors is run once.
    #[serde(default = "nothing_more")]
    pub co_training: Vec<CoTraining>,
    /// What is read beside the vectors of items: each a text like `rating+recency+user`, `""` for nothing. An arm without
    /// vectors is run once, the user's vector is left to arms that read collaborative ones.
    #[serde(default = "no_inputs")]
    pub inputs: Vec<Inputs>,
    /// How vectors are scaled before they are read. An arm without vectors is run once.
    #[serde(default = "usual_scaling")]
    pub scalings: Vec<Scaling>,
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
    /// Passes through the language model by the kernels of regen-lm: on a CPU, without dropout.
    #[serde(default)]
    pub kernels: bool,
}

/// One training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Name of the data set.
    pub data: String,
    /// The seed.
    pub seed: u64,
    /// Longest history.
    pub history: usize,
    /// Preset of the language model.
    pub language_model: String,
    /// The adapter; `None` for an arm without vectors.
    pub adapter: Option<AdapterKind>,
    /// The arm.
    pub arm: Given,
    /// What is trained beside adapter and language model.
    #[serde(default, skip_serializing_if = "CoTraining::is_none")]
    pub co_training: CoTraining,
    /// What is read beside the vectors of items.
    #[serde(default, skip_serializing_if = "Inputs::is_none")]
    pub inputs: Inputs,
    /// How these are scaled.
    #[serde(default, skip_serializing_if = "Scaling::is_usual")]
    pub scaling: Scaling,
    /// What stands for the collaborative vectors of items that the factorisation has not seen.
    #[serde(default, skip_serializing_if = "ColdVectors::is_absent")]
    pub cold_vectors: ColdVectors,
    /// Rank of low-rank updates; 0 for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lora_rank: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(rank: &i64) -> bool {
    *rank == 0
}

fn no_inputs() -> Vec<Inputs> {
    vec![Inputs::default()]
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

fn sixteen() -> usize {
    16
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
        Self::parse(&text).with_context(|| format!("{} is no plan", path.display()))
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

    fn validate(&self) -> Result<()> {
        distinct("seeds", &self.seeds)?;
        distinct("arms", &self.arms.iter().map(Given::to_string).collect::<Vec<_>>())?;
        distinct("adapters", &self.adapters)?;
        distinct("co_training", &self.co_training)?;
        distinct("inputs", &self.inputs)?;
        distinct("scalings", &self.scalings)?;
        distinct("cold_vectors", &self.cold_vectors)?;
        distinct("lora_ranks", &self.lora_ranks)?;
        ensure!(self.lora_ranks.iter().all(|&rank| rank >= 0), "lora_ranks: a rank is at least 0");
        if self.lora_ranks.iter().any(|&rank| rank > 0)
            && let Some(preset) = self.language_models.iter().find(|name| folder(name).is_none())
        {
            bail!("lora_ranks: updates need a trained language model, and {preset:?} is no folder");
        }
        distinct("histories", &self.histories)?;
        distinct("language_models", &self.language_models)?;
        distinct("data", &self.data.iter().map(|data| slug(&data.name)).collect::<Vec<_>>())?;
        for data in &self.data {
            ensure!(!slug(&data.name).is_empty(), "data: {:?} holds no letter or digit", data.name);
            if let DataSource::Synthetic(world) = &data.source {
                let seedless = world.seed == SyntheticConfig::default().seed;
                ensure!(seedless, "data {:?}: a world takes its seed from `seeds`", data.name);
            }
        }
        ensure!(self.histories.iter().all(|&history| history > 0), "histories: 0 reads nothing");
        ensure!(self.training.steps > 0, "training.steps: 0 trains nothing");
        ensure!(self.training.batch > 0, "training.batch: 0 trains nothing");
        let CoTrainingSettings { table_learning_rate, next_item_weight, .. } = self.training.co_training;
        for (key, value) in
            [("table_learning_rate", table_learning_rate), ("next_item_weight", next_item_weight)]
        {
            let positive = value.is_finite() && value > 0.0;
            ensure!(positive, "training.co_training.{key}: {value} is no positive number");
        }
        ensure!(self.rank > 0, "rank: factors have at least one component");
        if self.cells().is_empty() {
            bail!("no arm can use any of the adapters: gated needs an arm that reads both sides");
        }
        Ok(())
    }

    /// Every training run: data set by data set, seed by seed, so that what cells share is prepared once.
    pub fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for data in &self.data {
            for &seed in &self.seeds {
                for &history in &self.histories {
                    for language_model in &self.language_models {
                        cells.extend(self.variants().into_iter().map(|variant| Cell {
                            data: data.name.clone(),
                            seed,
                            history,
                            language_model: language_model.clone(),
                            ..variant
                        }));
                    }
                }
            }
        }
        cells
    }

    /// The arms with each adapter that they can use, and each of what is trained and read beside: cells without data, seed,
    /// history and language model.
    fn variants(&self) -> Vec<Cell> {
        let mut variants = Vec::new();
        for &arm in &self.arms {
            let plain = Cell {
                data: String::new(),
                seed: 0,
                history: 0,
                language_model: String::new(),
                adapter: None,
                arm,
                co_training: CoTraining::None,
                inputs: Inputs::default(),
                scaling: Scaling::default(),
                cold_vectors: ColdVectors::default(),
                lora_rank: 0,
            };
            for &lora_rank in &self.lora_ranks {
                let plain = Cell { lora_rank, ..plain.clone() };
                match arm.vectors {
                    None => variants.push(plain),
                    Some(sources) => variants.extend(self.of_vectors(sources, &plain)),
                }
            }
        }
        variants
    }

    fn of_vectors(&self, sources: Sources, plain: &Cell) -> Vec<Cell> {
        let mut variants = Vec::new();
        for &kind in
            self.adapters.iter().filter(|&&kind| kind != AdapterKind::Gated || sources == Sources::Fusion)
        {
            for &co_training in &self.co_training {
                for &inputs in self.inputs.iter().filter(|inputs| inputs.of(sources) == **inputs) {
                    // Users are folded in against the factors, so a table that moves cannot serve.
                    if inputs.user && co_training.tables() {
                        continue;
                    }
                    for &scaling in &self.scalings {
                        // What is not read is put in one way.
                        let ways = if sources.cf() { self.cold_vectors.len() } else { 1 };
                        variants.extend(self.cold_vectors[..ways].iter().map(|&cold_vectors| Cell {
                            adapter: Some(kind),
                            co_training,
                            inputs,
                            scaling,
                            cold_vectors,
                            ..plain.clone()
                        }));
                    }
                }
            }
        }
        variants
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

    /// What a cell may spend.
    pub fn budget(&self, cell: &Cell) -> Budget {
        let Training { steps, reading_steps, batch, learning_rate, kernels, .. } = self.training;
        let mut budget =
            Budget::new(&cell.language_model, steps, reading_steps, batch, learning_rate, cell.seed);
        budget.max_history = cell.history;
        (budget.inputs, budget.scaling) = (cell.inputs, cell.scaling);
        budget.lora = (cell.lora_rank > 0).then(|| low_rank(cell.lora_rank));
        cell.co_training.apply(&self.training.co_training, cell.arm.vectors, &mut budget);
        budget.with_memory(Memory { kernels, ..Memory::default() })
    }
}

impl Cell {
    /// A name that is a file's too, one for each cell of a plan.
    pub fn name(&self) -> String {
        let mut name = format!("{}_{}", slug(&self.data), self.arm);
        match self.adapter {
            None | Some(AdapterKind::Projection) => {}
            Some(AdapterKind::Mlp { width, depth, activation }) => {
                let of = if activation == HiddenActivation::Gelu { "" } else { activation.as_str() };
                name.push_str(&format!("_mlp{depth}x{width}{of}"));
            }
            Some(AdapterKind::Gated) => name.push_str("_gated"),
            Some(AdapterKind::MixtureOfExperts { experts }) => name.push_str(&format!("_experts{experts}")),
            Some(AdapterKind::CrossAttention { tokens, heads, layers }) => {
                name.push_str(&format!("_attention{tokens}x{heads}x{layers}"));
            }
        }
        name.push_str(self.co_training.suffix());
        if !self.inputs.is_none() {
            name.push_str(&format!("_{}", self.inputs));
        }
        if !self.scaling.is_usual() {
            name.push_str(&format!("_{}", self.scaling.normalisation().as_str()));
        }
        if !self.cold_vectors.is_absent() {
            name.push_str("_content");
        }
        if self.lora_rank > 0 {
            name.push_str(&format!("_lora{}", self.lora_rank));
        }
        format!("{name}_h{}_{}_s{}", self.history, slug(&self.language_model), self.seed)
    }
}

/// Letters and digits of a name, in lower case, with one hyphen for everything between.
pub(super) fn slug(name: &str) -> String {
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("-")
}

fn distinct<T: PartialEq + std::fmt::Debug>(key: &str, values: &[T]) -> Result<()> {
    ensure!(!values.is_empty(), "{key}: the list is empty");
    for (index, value) in values.iter().enumerate() {
        ensure!(!values[..index].contains(value), "{key}: {value:?} stands there twice");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = r#"
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
    fn every_combination_that_makes_sense_is_a_cell_of_its_own() {
        let plan = Plan::parse(PLAN).unwrap();
        let cells = plan.cells();
        // cf with two adapters, fusion with three, text with none; two data sets, seeds and histories.
        assert_eq!(cells.len(), (2 + 3 + 1) * 8);
        let names: std::collections::HashSet<String> = cells.iter().map(Cell::name).collect();
        assert_eq!(names.len(), cells.len());
        assert_eq!(cells[0].name(), "small-world_cf_h5_2m_s1");
        assert!(cells.iter().any(|cell| cell.name() == "books_fusion_mlp1x8_h50_2m_s2"));
        assert!(cells.iter().all(|cell| cell.arm.vectors.is_some() == cell.adapter.is_some()));
        assert_eq!(plan.budget(&cells[0]).max_history, 5);
    }

    #[test]
    fn what_is_read_beside_vectors_is_an_axis_of_the_arms_that_can() {
        let more = r#"histories = [5]
        inputs = ["", "rating", "position+user"]
        scalings = ["l2", "whiten"]
        co_training = ["none", "tables"]"#;
        let text = PLAN.replace("histories = [5, 50]", more).replace("\"cf\", ", "\"semantic\", ");
        let cells = Plan::parse(&text).unwrap().cells();
        // Two data sets and seeds. Semantic: two adapters, no user; fusion: three adapters, the user only with tables that stay;
        // two scalings each.
        assert_eq!(cells.len(), 4 * (2 * 2 * 2 * 2 + 3 * (3 + 2) * 2 + 1));
        let names: std::collections::HashSet<String> = cells.iter().map(Cell::name).collect();
        assert_eq!(names.len(), cells.len());
        assert!(names.contains("books_fusion_gated_position+user_whiten_h5_2m_s2"), "{names:?}");
    }

    #[test]
    fn what_stands_for_cold_items_is_an_axis_of_arms_that_read_collaborative_vectors() {
        let more = "histories = [5]\n cold_vectors = [\"absent\", \"content\"]";
        let text = PLAN.replace("histories = [5, 50]", more).replace("\"cf\", ", "\"semantic\", ");
        let plan =
            Plan::parse(&text.replace("xrec = \"amazon\"", "xrec = \"amazon\"\n cold_items = 0.25")).unwrap();
        assert_eq!(plan.data.iter().map(|data| data.cold_items).collect::<Vec<_>>(), [0.0, 0.25]);
        let cells = plan.cells();
        // Two data sets and seeds: semantic with two adapters, fusion with three in two ways, text.
        assert_eq!(cells.len(), 4 * (2 + 3 * 2 + 1));
        let names: std::collections::HashSet<String> = cells.iter().map(Cell::name).collect();
        assert_eq!(names.len(), cells.len());
        assert!(names.contains("books_fusion_gated_content_h5_2m_s2"), "{names:?}");
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let refused = |from: &str, to: &str| {
            assert!(PLAN.contains(from), "{from}");
            format!("{:#}", Plan::parse(&PLAN.replacen(from, to, 1)).unwrap_err())
        };
        assert!(refused("seeds = [1, 2]", "seeds = []").contains("seeds"));
        assert!(refused("[5, 50]", "[5]\n lora_ranks = [8]").contains("no folder"));
        assert!(refused("[5, 50]", "[5]\n lora_ranks = [-1]").contains("lora_ranks"));
        assert!(refused("[5, 50]", "[5]\n inputs = [\"stars\"]").contains("stars"));
        assert!(refused("seeds = [1, 2]", "seeds = [3, 3]").contains('3'));
        assert!(refused("\"cf\"", "\"collaborative\"").contains("collaborative"));
        assert!(refused("steps = 10", "steps = 10\n paces = 3").contains("paces"));
        assert!(refused("[5, 50]", "[0]").contains("histories"));
        assert!(refused("users = 40", "seed = 9, users = 40").contains("seeds"));
        assert!(refused("users = 40", "user = 40").contains("user"));
        assert!(refused("\"books\"", "\"small world\"").contains("small-world"));
        assert!(refused("\"amazon\"", "\"yelp!\"").contains("yelp!"));
        assert!(refused("xrec = \"amazon\"", "").contains("books"));
        assert!(refused("xrec = \"amazon\"", "xrec = \"amazon\"\n cold_items = 1.0").contains("cold_items"));
    }
}
