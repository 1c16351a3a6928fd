//! Plans that cannot be run are refused when they are read, before hours of work: with the key, and what would be accepted.

use std::fmt::Debug;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use regen_data::synthetic::SyntheticConfig;
use regen_data::xrec::Vertical;
use regen_data::{SourceFormat, detect};
use regen_fusion::AdapterKind;
use regen_lm::{DecoderConfig, TextTokenizer};

use super::cells::{Cell, slug};
use super::co_training::CoTrainingSettings;
use super::data::DataSource;
use super::enough::{enough, too_few};
use super::plan::{Plan, Training};
use crate::budget::check_lengths;
use crate::given::Given;
use crate::language_model::folder;

impl Plan {
    /// Refuses what cannot be run.
    ///
    /// # Errors
    /// With the key that is empty, repeated or impossible.
    pub(super) fn validate(&self) -> Result<()> {
        distinct("seeds", &self.seeds)?;
        distinct("arms", &self.arms.iter().map(Given::to_string).collect::<Vec<_>>())?;
        distinct("adapters", &self.adapters)?;
        distinct("tokens_per_item", &self.tokens_per_item)?;
        ensure!(
            self.tokens_per_item.iter().all(|&count| count > 0),
            "tokens_per_item: an item has at least one"
        );
        distinct("co_training", &self.co_training)?;
        distinct("inputs", &self.inputs)?;
        distinct("scalings", &self.scalings)?;
        distinct("injections", &self.injections)?;
        ensure!(
            !self.training.kernels || self.injections.iter().all(Vec::is_empty),
            "injections: training by kernels cannot add to the states of blocks; leave `kernels` out"
        );
        distinct("cold_vectors", &self.cold_vectors)?;
        distinct("lora_ranks", &self.lora_ranks)?;
        ensure!(self.lora_ranks.iter().all(|&rank| rank >= 0), "lora_ranks: a rank is at least 0");
        if self.lora_ranks.iter().any(|&rank| rank > 0)
            && let Some(preset) = self.language_models.iter().find(|name| folder(name).is_none())
        {
            bail!("lora_ranks: updates need a trained language model, and {preset:?} is no folder");
        }
        distinct("histories", &self.histories)?;
        ensure!(self.histories.iter().all(|&history| history > 0), "histories: 0 reads nothing");
        distinct("language_models", &self.language_models.iter().map(|name| slug(name)).collect::<Vec<_>>())?;
        self.check_data_names()?;
        self.check_reviews()?;
        self.training.validate()?;
        ensure!(self.rank > 0, "rank: factors have at least one component");
        let cells = self.cells();
        ensure!(
            !cells.is_empty(),
            "arms, adapters, inputs and co_training leave no cell: `gated` needs an arm that reads both sides, the input `user` one that \
             reads collaborative vectors, and not from a table that is trained"
        );
        for name in &self.language_models {
            let decoder =
                decoder(name).with_context(|| format!("language_models: {name:?} cannot be used"))?;
            for cell in cells.iter().filter(|cell| cell.language_model == *name) {
                self.check_cell(cell, &decoder)?;
            }
        }
        Ok(())
    }

    fn check_data_names(&self) -> Result<()> {
        distinct("data", &self.data.iter().map(|data| slug(&data.name)).collect::<Vec<_>>())?;
        for data in &self.data {
            ensure!(!slug(&data.name).is_empty(), "data: {:?} holds no letter or digit", data.name);
            if let DataSource::Synthetic(world) = &data.source {
                let seedless = world.seed == SyntheticConfig::default().seed;
                ensure!(seedless, "data {:?}: a world takes its seed from `seeds`", data.name);
                // Its numbers are checked where it is made; a single user has all of them.
                let tried = SyntheticConfig { users: world.users.min(1), ..world.clone() };
                tried.generate().with_context(|| format!("data {:?}: synthetic", data.name))?;
            }
        }
        Ok(())
    }

    /// Every data set must have what every cell reads.
    fn check_reviews(&self) -> Result<()> {
        let without = self.data.iter().find(|data| !data.has_reviews());
        let Some(data) = without.filter(|_| self.reads_reviews()) else { return Ok(()) };
        match data.source {
            DataSource::Prepared(_) => bail!(
                "inputs: reviews are among them, and data {:?} has none: name the files with what its users wrote as `reviews` beside \
                 `prepared`",
                data.name
            ),
            _ => bail!(
                "inputs: reviews are among them, and data {:?} has none: the XRec release knows neither reviews nor what was bought \
                 before what",
                data.name
            ),
        }
    }

    /// Refuses an adapter that cannot be built beside `decoder`, and prompts that it has no places for.
    fn check_cell(&self, cell: &Cell, decoder: &DecoderConfig) -> Result<()> {
        let kind = cell.adapter.unwrap_or(AdapterKind::Projection);
        let budget = self.budget(cell);
        if let Some(injection) = &budget.injection {
            injection.validate(decoder.layers).context("injections")?;
        }
        check_lengths(cell.arm, kind, &budget, decoder)
            .with_context(|| format!("adapters, histories, tokens_per_item: {} cannot be built", cell.name()))
    }

    /// Refuses data that are not there, or that cells cannot be run on: `folder` is that of the XRec release. Gives what a report will
    /// not be able to say of the others.
    ///
    /// # Errors
    /// With the data set, and what is missing.
    pub fn check_data(&self, folder: Option<&Path>) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        for data in &self.data {
            let verticals: Vec<Vertical> = match &data.source {
                DataSource::Synthetic(_) => continue,
                DataSource::Prepared(own) => {
                    let users = own.check(self).with_context(|| format!("data {:?}", data.name))?;
                    if !enough(users) {
                        notes.push(format!("data {:?}: {}", data.name, too_few(users)));
                    }
                    continue;
                }
                DataSource::Xrec(one) => vec![*one],
                DataSource::XrecTogether { judged, beside } => [&[*judged][..], beside].concat(),
            };
            let Some(folder) = folder else {
                bail!("data {:?} is read from a folder: name it with --data", data.name);
            };
            let found = detect(folder).with_context(|| format!("data {:?}: --data", data.name))?;
            let held = match &found {
                SourceFormat::Xrec(held) => held.as_slice(),
                _ => &[],
            };
            if let Some(missing) = verticals.iter().find(|vertical| !held.contains(vertical)) {
                bail!("data {:?}: {} does not hold the vertical {missing}", data.name, folder.display());
            }
        }
        Ok(notes)
    }
}

impl Training {
    fn validate(&self) -> Result<()> {
        ensure!(self.steps > 0, "training.steps: 0 trains nothing");
        ensure!(self.batch > 0, "training.batch: 0 trains nothing");
        ensure!(self.max_narrative_tokens > 0, "training.max_narrative_tokens: 0 writes nothing");
        let CoTrainingSettings { table_learning_rate, next_item_weight, .. } = self.co_training;
        for (key, value) in [
            ("learning_rate", self.learning_rate),
            ("co_training.table_learning_rate", table_learning_rate),
            ("co_training.next_item_weight", next_item_weight),
        ] {
            let positive = value.is_finite() && value > 0.0;
            ensure!(positive, "training.{key}: {value} is no positive number");
        }
        Ok(())
    }
}

/// The shape of a language model of the plan, by preset or folder.
fn decoder(name: &str) -> Result<DecoderConfig> {
    if let Some(folder) = folder(name) {
        TextTokenizer::load(folder)?;
        return Ok(DecoderConfig::from_hf(folder)?);
    }
    // The vocabulary is that of the training texts, which are not there yet.
    DecoderConfig::preset(name, 2048).context("it is no folder that is here, and no preset either")
}

fn distinct<T: PartialEq + Debug>(key: &str, values: &[T]) -> Result<()> {
    ensure!(!values.is_empty(), "{key}: the list is empty");
    for (index, value) in values.iter().enumerate() {
        ensure!(!values[..index].contains(value), "{key}: {value:?} stands there twice");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::PLAN;
    use super::*;

    #[test]
    fn what_makes_no_sense_is_named() {
        let refused = |from: &str, to: &str| {
            assert!(PLAN.contains(from), "{from}");
            format!("{:#}", Plan::parse(&PLAN.replacen(from, to, 1)).unwrap_err())
        };
        assert!(refused("seeds = [1, 2]", "seeds = []").contains("seeds"));
        assert!(refused("[5, 50]", "[5]\n lora_ranks = [8]").contains("no folder"));
        // The language model has four blocks.
        let deep = refused("[5, 50]", "[5]\n injections = [[1, 4]]");
        assert!(deep.contains("injection.layers") && deep.contains("4 blocks"), "{deep}");
        assert!(refused("[5, 50]", "[5]\n lora_ranks = [-1]").contains("lora_ranks"));
        assert!(refused("[5, 50]", "[5]\n inputs = [\"stars\"]").contains("stars"));
        assert!(refused("seeds = [1, 2]", "seeds = [3, 3]").contains('3'));
        assert!(refused("\"cf\"", "\"collaborative\"").contains("collaborative"));
        assert!(refused("steps = 10", "steps = 10\n paces = 3").contains("paces"));
        assert!(refused("[5, 50]", "[0]").contains("histories"));
        assert!(refused("[5, 50]", "[5]\n tokens_per_item = [0]").contains("tokens_per_item"));
        let beside = |others: &str| format!("xrec = \"amazon\"\n beside = {others}");
        assert!(refused("xrec = \"amazon\"", &beside("[\"amazon\"]")).contains("twice"));
        assert!(refused("xrec = \"amazon\"", &beside("[\"yelp\"]")).contains("yelp"));
        assert!(
            refused("mean_history = 6.0 }", "mean_history = 6.0 }\n beside = [\"google\"]")
                .contains("vertical")
        );
        assert!(refused("users = 40", "seed = 9, users = 40").contains("seeds"));
        assert!(refused("users = 40", "user = 40").contains("user"));
        assert!(refused("\"books\"", "\"small world\"").contains("small-world"));
        assert!(refused("\"amazon\"", "\"yelp!\"").contains("yelp!"));
        assert!(refused("xrec = \"amazon\"", "").contains("books"));
        assert!(refused("xrec = \"amazon\"", "xrec = \"amazon\"\n cold_items = 1.0").contains("cold_items"));
        let one = |adapter: &str| refused("[\"projection\"", &format!("[{adapter}, \"projection\""));
        for (adapter, named) in [
            ("{ mlp = { width = 0, depth = 1 } }", "width"),
            ("{ mlp = { width = 4, depth = 0 } }", "depth"),
            ("{ mixture_of_experts = { experts = 1 } }", "experts"),
            ("{ cross_attention = { tokens = 0, heads = 4, layers = 1 } }", "tokens"),
            ("{ cross_attention = { tokens = 4, heads = 4, layers = 0 } }", "layers"),
            // The small preset is 192 wide.
            ("{ cross_attention = { tokens = 4, heads = 7, layers = 1 } }", "heads"),
        ] {
            let said = one(adapter);
            assert!(said.contains("adapters") && said.contains(named), "{adapter}: {said}");
        }
        let of_models = |names: &str| refused("[5, 50]", &format!("[5]\n language_models = {names}"));
        for names in ["[\"2mm\"]", "[\"2m\", \"no/such/folder\"]"] {
            let said = of_models(names);
            assert!(said.contains("language_models") && said.contains("no preset"), "{said}");
        }
        assert!(of_models("[]").contains("language_models: the list is empty"));
        let said = refused("[5, 50]", "[5]\n tokens_per_item = [400]");
        assert!(said.contains("tokens_per_item") && said.contains("shorter histories, or make"), "{said}");
        assert!(
            refused("steps = 10", "steps = 10\n learning_rate = -1.0").contains("training.learning_rate")
        );
        let said = refused("[5, 50]", "[5]\n inputs = [\"\", \"reviews\"]");
        assert!(said.contains("inputs") && said.contains("books") && said.contains("XRec"), "{said}");
        let own = "prepared = \"out/shop\"";
        let text = PLAN.replace("xrec = \"amazon\"", own).replace("[5, 50]", "[5]\n inputs = [\"reviews\"]");
        let said = format!("{:#}", Plan::parse(&text).unwrap_err());
        assert!(said.contains("books") && said.contains("beside `prepared`"), "{said}");
        Plan::parse(&text.replace(own, &format!("{own}\nreviews = \"r.json\""))).unwrap();
        assert!(
            refused("steps = 10", "steps = 10\n max_narrative_tokens = 0").contains("max_narrative_tokens")
        );
        assert!(refused("[5, 50]", "[5]\n control_narratives = -1").contains("control_narratives"));
        for (from, to, named) in [
            ("items = 130", "items = 9", "items"),
            ("mean_history = 6.0", "mean_history = nan", "mean_history"),
            ("mean_history = 6.0", "min_history = 60", "min_history"),
        ] {
            let said = refused(from, to);
            assert!(said.contains("Small World") && said.contains(named), "{said}");
        }
        let semantic = r#"["semantic"]"#;
        let text = PLAN.replace(r#"["cf", "fusion", "text"]"#, semantic);
        let nothing = text.replace("[5, 50]", "[5]\n inputs = [\"user\"]");
        assert!(format!("{:#}", Plan::parse(&nothing).unwrap_err()).contains("no cell"));
    }

    #[test]
    fn real_data_that_are_not_there_are_missed_before_anything_is_run() {
        let plan = Plan::parse(PLAN).unwrap();
        assert!(format!("{:#}", plan.check_data(None).unwrap_err()).contains("--data"));
        let dir = tempfile::tempdir().unwrap();
        let said = format!("{:#}", plan.check_data(Some(dir.path())).unwrap_err());
        assert!(said.contains("books"), "{said}");
    }
}
