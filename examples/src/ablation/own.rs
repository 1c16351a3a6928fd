//! A prepared folder as a data set of a plan: read, proved fit for an experiment, divided.

use anyhow::{Context, Result, bail, ensure};
use regen_data::{Chronology, Dataset, Part, SourceFormat, Split, detect, prepared};
use regen_fusion::Sources;

use super::cold::ColdVectors;
use super::data::{Division, PreparedData};
use super::plan::Plan;
use crate::input::Input;
use crate::known_reviews::mapping;
use crate::pipeline;
use crate::purchase_reviews::has_order;

impl PreparedData {
    /// Reads the folder.
    ///
    /// # Errors
    /// If it is not there, not prepared, damaged, or without narratives: with what to do.
    pub(super) fn load(&self) -> Result<Input> {
        let folder = self.folder.display();
        if !self.folder.is_dir() {
            let from =
                std::env::current_dir().map_or(String::new(), |dir| format!(" (from {})", dir.display()));
            bail!(
                "there is no folder {folder}{from}: have prepare_data write it (--out {folder}), or correct `prepared`, whose path is \
                 relative to where the program runs"
            );
        }
        match detect(&self.folder) {
            Ok(SourceFormat::Prepared) => {}
            Ok(other) => bail!(
                "{folder} holds {other:?}, which is not prepared: run `prepare_data --data {folder} --out NEW`, and name NEW as `prepared`"
            ),
            Err(error) => {
                return Err(error).with_context(|| format!("{folder} is no folder that prepare_data wrote"));
            }
        }
        let dataset = prepared::read(&self.folder)
            .with_context(|| format!("{folder} cannot be read: have prepare_data write it anew"))?;
        ensure!(
            !dataset.narratives.is_empty(),
            "{folder} has no narratives, and without them there is nothing to learn to write: have build_narratives write them, or name \
             them as [[narratives]] in the mapping that prepare_data reads"
        );
        let remarks = self.remarks(&dataset);
        Ok(Input { dataset, truth: None, published: Vec::new(), remarks })
    }

    /// What a reader of the report needs to know of the data.
    fn remarks(&self, dataset: &Dataset) -> Vec<String> {
        let known = dataset.item_texts().iter().flatten().count();
        let items = dataset.items.len();
        let absent = match known < items {
            true => ", and a learned \u{201c}absent\u{201d} vector stands for that of the others",
            false => "",
        };
        let mut remarks = vec![format!(
            "Own data, {:?}: {} purchases, {} narratives; {known} of {items} items have a text{absent}.",
            dataset.name,
            dataset.interactions.len(),
            dataset.narratives.len()
        )];
        if dataset.chronology == Chronology::Unknown {
            remarks.push(
                "Nobody knows what was bought before what: a history is all else that the user bought."
                    .to_owned(),
            );
        }
        if self.split == Division::Folder {
            remarks.push(
                "Users are divided as the folder says, with every seed alike: seeds differ in initial weights and order alone, and \
                 intervals and tests draw a user once for all of them."
                    .to_owned(),
            );
        }
        remarks
    }

    /// Who is held out with `seed`.
    ///
    /// # Errors
    /// If the users are too few, or the folder's own division is missing, of other data, or leaves a part without narratives.
    pub(super) fn divide(&self, dataset: &Dataset, seed: u64) -> Result<Split> {
        let folder = self.folder.display();
        let split = match self.split {
            Division::Seed => pipeline::split(dataset, seed).with_context(|| {
                format!(
                    "the users of {folder} cannot be divided: a tenth of those with narratives is to tune on and a tenth to judge by, \
                     which takes five at the least"
                )
            })?,
            Division::Folder => pipeline::read_split(&self.folder, dataset)
                .context("`split = \"folder\"` cannot be had; without it each seed divides the users")?,
        };
        for part in Part::ALL {
            let has = |one: &regen_data::Narrative| split.part_of(one.user) == Some(part);
            ensure!(
                dataset.narratives.iter().any(has),
                "the {part} part of the split of {folder} has no narratives: divide it anew with prepare_data --split-seed, or leave \
                 `split` out"
            );
        }
        Ok(split)
    }

    /// Refuses what an experiment of the plan cannot be run on, before any is; gives the test users of all seeds, each once.
    ///
    /// # Errors
    /// Those of [`PreparedData::load`] and [`PreparedData::divide`]; if nothing is known of the items and an arm reads their texts; if
    /// reviews are to be read, and a file is not there or nobody knows what was bought before what.
    pub(super) fn check(&self, plan: &Plan) -> Result<usize> {
        let Input { dataset, .. } = self.load()?;
        let read = |what: String| {
            ensure!(
                dataset.item_texts().iter().any(Option::is_some),
                "no item of {} has a text, and {what}: name fields such as `title` among the [items] of the mapping",
                self.folder.display()
            );
            Ok(())
        };
        for arm in &plan.arms {
            if arm.text || arm.vectors.is_some_and(Sources::semantic) {
                read(format!("the arm {arm} reads texts"))?;
            }
        }
        if plan.training.reading_steps > 0 {
            read("training.reading_steps read them".to_owned())?;
        }
        if plan.cold_vectors.contains(&ColdVectors::Content) {
            read("cold_vectors are guessed from them".to_owned())?;
        }
        if plan.reads_reviews() {
            has_order(&dataset)?;
            for path in &self.reviews {
                ensure!(path.is_file(), "reviews: there is no file {}", path.display());
                mapping(path)?;
            }
        }
        let mut test = std::collections::HashSet::new();
        for &seed in &plan.seeds {
            let split = self.divide(&dataset, seed)?;
            let told = dataset.narratives.iter().map(|one| one.user);
            test.extend(told.filter(|&user| split.part_of(user) == Some(Part::Test)));
        }
        Ok(test.len())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::ablation::plan::tests::PLAN;
    use regen_data::synthetic::SyntheticConfig;

    /// A plan on the prepared folder `shop` with lines beside it.
    fn plan(dir: &Path, more: &str) -> Plan {
        let head = PLAN.split("[[data]]").next().unwrap();
        let folder = dir.join("shop");
        Plan::parse(&format!("{head}[[data]]\nname = \"shop\"\nprepared = {folder:?}\n{more}")).unwrap()
    }

    fn own(plan: &Plan) -> &PreparedData {
        match &plan.data[0].source {
            super::super::data::DataSource::Prepared(own) => own,
            other => panic!("{other:?}"),
        }
    }

    fn world(users: usize) -> Dataset {
        let config = SyntheticConfig { users, items: 130, mean_history: 6.0, ..Default::default() };
        config.generate().unwrap().dataset
    }

    #[test]
    fn what_a_folder_lacks_is_said_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let shop = dir.path().join("shop");
        let refused = |more: &str| format!("{:#}", plan(dir.path(), more).check_data(None).unwrap_err());
        let said = refused("");
        assert!(
            said.contains("data \"shop\"") && said.contains("no folder") && said.contains("prepare_data"),
            "{said}"
        );
        fs::create_dir(&shop).unwrap();
        assert!(refused("").contains("no folder that prepare_data wrote"), "{}", refused(""));
        for name in ["amazon_pairs.jsonl", "amazon_inter_trn.csv"] {
            fs::write(shop.join(name), "").unwrap();
        }
        assert!(refused("").contains("prepare_data --data"), "{}", refused(""));

        let whole = world(60);
        prepared::write(&shop, &Dataset { narratives: Vec::new(), ..whole.clone() }, None).unwrap();
        let said = refused("");
        assert!(said.contains("no narratives") && said.contains("build_narratives"), "{said}");
        prepared::write(&shop, &world(4), None).unwrap();
        let said = refused("");
        assert!(said.contains("five at the least") && said.contains("4 users"), "{said}");
        let nothing_known = Dataset { catalogue: vec![None; whole.items.len()], ..whole.clone() };
        prepared::write(&shop, &nothing_known, None).unwrap();
        assert!(refused("").contains("the arm fusion reads texts"), "{}", refused(""));

        prepared::write(&shop, &whole, None).unwrap();
        let said = refused("split = \"folder\"");
        assert!(said.contains("split.json") && said.contains("--split-seed"), "{said}");
        // The split of other data.
        let other = world(61);
        pipeline::write_split(&shop, &other, &pipeline::split(&other, 3).unwrap(), 3).unwrap();
        assert!(refused("split = \"folder\"").contains("split"), "{}", refused("split = \"folder\""));
        // One that judges by nobody.
        let nobody = Split::from_held_out(&whole, &[whole.narratives[0].user], &[]).unwrap();
        pipeline::write_split(&shop, &whole, &nobody, 3).unwrap();
        assert!(refused("split = \"folder\"").contains("test part"), "{}", refused("split = \"folder\""));
    }

    #[test]
    fn each_seed_divides_anew_unless_the_folder_does() {
        let dir = tempfile::tempdir().unwrap();
        let (shop, whole) = (dir.path().join("shop"), world(60));
        prepared::write(&shop, &whole, None).unwrap();
        pipeline::write_split(&shop, &whole, &pipeline::split(&whole, 9).unwrap(), 9).unwrap();
        let hashes =
            |plan: &Plan| [1, 2].map(|seed| own(plan).divide(&whole, seed).unwrap().hash().to_owned());
        let (drawn, kept) = (plan(dir.path(), ""), plan(dir.path(), "split = \"folder\""));
        assert_ne!(hashes(&drawn)[0], hashes(&drawn)[1]);
        assert_eq!(
            hashes(&kept),
            [pipeline::split(&whole, 9).unwrap().hash().to_owned(), hashes(&kept)[0].clone()]
        );
        // Six test users each: with both seeds alike they are six.
        assert_eq!(own(&kept).check(&kept).unwrap(), 6);
        let users = own(&drawn).check(&drawn).unwrap();
        assert!((7..=12).contains(&users), "{users}");
        // Such are too few, and that is known before anything is run.
        let notes = drawn.check_data(None).unwrap();
        assert!(notes.len() == 1 && notes[0].contains(&format!("{users} test users")), "{notes:?}");
    }

    #[test]
    fn reviews_that_cannot_be_read_are_missed_before_anything_is_run() {
        let dir = tempfile::tempdir().unwrap();
        let (shop, whole) = (dir.path().join("shop"), world(60));
        prepared::write(&shop, &whole, None).unwrap();
        let asked = |file: &str| {
            let head = PLAN.split("[[data]]").next().unwrap();
            let head = head.replace("histories = [5, 50]", "histories = [5]\n inputs = [\"\", \"reviews\"]");
            let (folder, file) = (&shop, dir.path().join(file));
            let plan = format!("{head}[[data]]\nname = \"s\"\nprepared = {folder:?}\nreviews = {file:?}");
            Plan::parse(&plan).unwrap().check_data(None).map_err(|error| format!("{error:#}"))
        };
        assert!(asked("none.json").unwrap_err().contains("no file"));
        fs::write(
            dir.path().join("shop.toml"),
            "[interactions]\nfiles = [\"a\"]\nuser = \"u\"\nitem = \"i\"",
        )
        .unwrap();
        assert!(asked("shop.toml").unwrap_err().contains("review_text"));
        fs::write(dir.path().join("some.json"), "").unwrap();
        asked("some.json").unwrap();
        prepared::write(&shop, &Dataset { chronology: Chronology::Unknown, ..whole }, None).unwrap();
        assert!(asked("some.json").unwrap_err().contains("bought before what"));
    }
}
