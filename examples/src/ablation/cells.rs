//! The training runs of a plan: which there are, and what each is called.

use regen_fusion::{AdapterKind, HiddenActivation, Sources};
use serde::{Deserialize, Serialize};

use super::co_training::CoTraining;
use super::cold::ColdVectors;
use super::plan::Plan;
use crate::budget::is_one;
use crate::given::Given;
use crate::inputs::{Inputs, Scaling};

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
    /// Soft tokens of an item.
    #[serde(default = "one_token", skip_serializing_if = "is_one")]
    pub tokens_per_item: i64,
    /// What is trained beside adapter and language model.
    #[serde(default, skip_serializing_if = "CoTraining::is_none")]
    pub co_training: CoTraining,
    /// What is read beside the vectors of items.
    #[serde(default, skip_serializing_if = "Inputs::is_none")]
    pub inputs: Inputs,
    /// How these are scaled.
    #[serde(default, skip_serializing_if = "Scaling::is_usual")]
    pub scaling: Scaling,
    /// Blocks of the language model before which soft tokens are added once more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub injection: Vec<usize>,
    /// What stands for the collaborative vectors of items that the factorisation has not seen.
    #[serde(default, skip_serializing_if = "ColdVectors::is_absent")]
    pub cold_vectors: ColdVectors,
    /// Rank of low-rank updates; 0 for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lora_rank: i64,
}

fn one_token() -> i64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(rank: &i64) -> bool {
    *rank == 0
}

impl Plan {
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
                tokens_per_item: 1,
                co_training: CoTraining::None,
                inputs: Inputs::default(),
                scaling: Scaling::default(),
                injection: Vec::new(),
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
            let counts = match kind {
                AdapterKind::CrossAttention { .. } => &[1],
                _ => self.tokens_per_item.as_slice(),
            };
            let ways: Vec<CoTraining> =
                self.co_training.iter().copied().filter(|way| way.is_of(sources)).collect();
            for (&tokens_per_item, &co_training) in cartesian(counts, &ways) {
                for &inputs in self.inputs.iter().filter(|inputs| inputs.of(sources) == **inputs) {
                    // Users are folded in against the factors, so a table that moves cannot serve.
                    if inputs.user && co_training.moves_factors(sources) {
                        continue;
                    }
                    for (&scaling, injection) in cartesian(&self.scalings, &self.injections) {
                        // What is not read is put in one way.
                        let ways = if sources.cf() { self.cold_vectors.len() } else { 1 };
                        variants.extend(self.cold_vectors[..ways].iter().map(|&cold_vectors| Cell {
                            adapter: Some(kind),
                            tokens_per_item,
                            co_training,
                            inputs,
                            scaling,
                            injection: injection.clone(),
                            cold_vectors,
                            ..plain.clone()
                        }));
                    }
                }
            }
        }
        variants
    }
}

impl Cell {
    /// What is the same for all cells of a variant: the cell without data, seed, history and language model.
    pub(super) fn variant(&self) -> Self {
        let (data, language_model) = (String::new(), String::new());
        Self { data, seed: 0, history: 0, language_model, ..self.clone() }
    }

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
        if self.tokens_per_item > 1 {
            name.push_str(&format!("_tokens{}", self.tokens_per_item));
        }
        name.push_str(self.co_training.suffix());
        if !self.inputs.is_none() {
            name.push_str(&format!("_{}", self.inputs));
        }
        if !self.scaling.is_usual() {
            name.push_str(&format!("_{}", self.scaling.normalisation().as_str()));
        }
        if !self.injection.is_empty() {
            name.push_str(&format!("_inject{}", blocks(&self.injection, "-")));
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

fn cartesian<'a, A, B>(a: &'a [A], b: &'a [B]) -> impl Iterator<Item = (&'a A, &'a B)> {
    a.iter().flat_map(move |one| b.iter().map(move |other| (one, other)))
}

/// Numbers of blocks in a row.
pub(super) fn blocks(injection: &[usize], between: &str) -> String {
    injection.iter().map(usize::to_string).collect::<Vec<_>>().join(between)
}

/// Letters and digits of a name, in lower case, with one hyphen for everything between.
pub(super) fn slug(name: &str) -> String {
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::PLAN;
    use super::*;

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
    fn blocks_that_soft_tokens_are_added_before_are_an_axis_of_arms_that_have_some() {
        let more = "histories = [5]\n injections = [[], [0, 2]]";
        let plan = Plan::parse(&PLAN.replace("histories = [5, 50]", more)).unwrap();
        let cells = plan.cells();
        // Two data sets and seeds: cf with two adapters, fusion with three, both in two ways; text in one.
        assert_eq!(cells.len(), 4 * (2 * 2 + 3 * 2 + 1));
        let deep = cells.iter().find(|cell| cell.name() == "books_fusion_gated_inject0-2_h5_2m_s2").unwrap();
        assert_eq!(plan.budget(deep).injection.unwrap().layers, [0, 2]);
        assert!(plan.budget(&cells[0]).injection.is_none());
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
    fn tables_of_one_side_are_trained_alone_where_both_are_read() {
        let more = r#"histories = [5]
        inputs = ["", "user"]
        co_training = ["none", "cf_table", "semantic_table", "tables"]"#;
        let cells = Plan::parse(&PLAN.replace("histories = [5, 50]", more)).unwrap().cells();
        // Two data sets and seeds. cf: two adapters with nothing and all tables, the user with nothing alone; fusion: three adapters
        // in four ways, the user where the factors stay; text.
        assert_eq!(cells.len(), 4 * (2 * (2 + 1) + 3 * (4 + 2) + 1));
        let names: std::collections::HashSet<String> = cells.iter().map(Cell::name).collect();
        assert_eq!(names.len(), cells.len());
        assert!(names.contains("books_fusion_semantic-table_user_h5_2m_s2"), "{names:?}");
    }

    #[test]
    fn soft_tokens_of_an_item_are_an_axis_of_adapters_that_give_items_tokens() {
        let text = PLAN
            .replace("histories = [5, 50]", "histories = [5]\n tokens_per_item = [1, 4]")
            .replace("\"gated\"", "{ cross_attention = { tokens = 8, heads = 2, layers = 1 } }");
        let plan = Plan::parse(&text).unwrap();
        let cells = plan.cells();
        // Two data sets and seeds; cf and fusion with two adapters in two ways and the third in one, text.
        assert_eq!(cells.len(), 4 * (2 * (2 * 2 + 1) + 1));
        let names: std::collections::HashSet<String> = cells.iter().map(Cell::name).collect();
        assert_eq!(names.len(), cells.len());
        assert!(names.contains("books_cf_mlp1x8_tokens4_h5_2m_s2"), "{names:?}");
        let four = cells.iter().find(|cell| cell.tokens_per_item == 4).unwrap();
        assert_eq!(plan.budget(four).tokens_per_item, 4);
    }
}
