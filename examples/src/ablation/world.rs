//! One data set as one seed draws and splits it, and what all its cells share.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use regen_data::synthetic::SyntheticConfig;
use regen_data::xrec::Vertical;
use regen_data::{
    Example, HistoryConfig, Interaction, LeakAudit, Part, Split, audit_leaks, examples, training_interactions,
};
use regen_metrics::similarity::cosines;
use regen_wals::WalsConfig;
use serde_json::{Value, json};

use super::cells::{Cell, slug};
use super::cold::{self, ColdVectors};
use super::content::{Encoder, EncoderFacts, data_sha256};
use super::data::DataSource;
use super::plan::Plan;
use super::records::{Identified, WorldRecord, Written};
use crate::arms::Task;
use crate::cli::Session;
use crate::compare::{context, facts, published_texts, random_texts};
use crate::features::{Factorisation, ItemVectors, embed, embed_items, fit_factors, item_factors};
use crate::identity::Identity;
use crate::input::{self, Input};
use crate::pipeline;
use crate::together::together;

/// Data, split and examples.
pub(super) struct World {
    pub(super) input: Input,
    pub(super) split: Split,
    pub(super) examples: Vec<Example>,
    pub(super) interactions: Vec<Interaction>,
    pub(super) task: Task,
    pub(super) settings: Value,
    data_sha256: String,
    audit: LeakAudit,
    cell: Cell,
    rank: usize,
    /// Items whose purchases are kept from the factorisation.
    cold: HashSet<usize>,
    /// Whether a cell wants their vectors from their content.
    from_content: bool,
}

/// What takes longer: the vectors of the items and of the references. Made only where a cell is still to be run.
pub(super) struct Vectors {
    cf: ItemVectors,
    /// With those of items that have none put where their content says, if a cell wants that.
    from_content: Option<ItemVectors>,
    pub(super) semantic: ItemVectors,
    pub(super) factorisation: Factorisation,
    references: ndarray::Array2<f32>,
    identity: Option<Identity>,
}

impl Vectors {
    /// The collaborative vectors of all items, with those of items that have none as asked for.
    pub(super) fn cf(&self, cold: ColdVectors) -> &ItemVectors {
        match (cold, &self.from_content) {
            (ColdVectors::Content, Some(filled)) => filled,
            _ => &self.cf,
        }
    }
}

impl World {
    /// The world of `cell`; `folder` is that of real data, `encoder` what its vectors will be made with.
    pub(super) fn prepare(
        plan: &Plan,
        cell: &Cell,
        folder: Option<&Path>,
        encoder: &EncoderFacts,
        common: &Value,
    ) -> Result<Self> {
        let data = plan.data(&cell.data).context("a cell's data set is in the plan")?;
        let vertical = |vertical: Vertical| {
            let Some(folder) = folder else {
                bail!("data {:?} is read from a folder: name it with --data", data.name);
            };
            let one = input::load(folder, Some(vertical))?.pop();
            one.with_context(|| format!("{} holds no {vertical}", folder.display()))
        };
        let (input, split) = match &data.source {
            DataSource::Synthetic(world) => {
                let input = input::synthetic(&SyntheticConfig { seed: cell.seed, ..world.clone() })?;
                let split = pipeline::split(&input.dataset, cell.seed)?;
                (input, split)
            }
            DataSource::Xrec(one) => {
                let input = vertical(*one)?;
                let split = pipeline::split(&input.dataset, cell.seed)?;
                (input, split)
            }
            DataSource::XrecTogether { judged, beside } => {
                let others = beside.iter().map(|&one| anyhow::Ok((one.as_str(), vertical(one)?)));
                together(
                    (judged.as_str(), vertical(*judged)?),
                    &others.collect::<Result<Vec<_>>>()?,
                    cell.seed,
                )?
            }
        };
        let cold = cold::draw(data.cold_items, input.dataset.items.len(), cell.seed);
        let interactions = cold::without(training_interactions(&input.dataset, &split), &cold);
        let examples = examples(&input.dataset, &HistoryConfig { max_history: cell.history })?;
        let audit = audit_leaks(&input.dataset, &split, &examples, &interactions)
            .with_context(|| format!("the split of {:?} leaks", data.name))?;
        let task = Task::new(&input.dataset, &split, &examples, plan.training.reading_steps > 0, cell.seed);
        let data_sha256 = data_sha256(&input.dataset, &input.published);
        let mut settings = json!({
            "common": common,
            "data": data.name,
            "source": data.source,
            "data_sha256": data_sha256,
            "encoder_sha256": encoder.sha256,
            "seed": cell.seed,
            "history": cell.history,
            "split": split.hash(),
            "rank": plan.rank,
        });
        if !cold.is_empty() {
            settings["cold_items"] = json!(data.cold_items);
        }
        Ok(Self {
            input,
            split,
            examples,
            interactions,
            task,
            settings,
            data_sha256,
            audit,
            cell: cell.clone(),
            rank: plan.rank,
            cold,
            from_content: plan.cold_vectors.contains(&ColdVectors::Content),
        })
    }

    /// A name that is a file's too.
    pub(super) fn name(cell: &Cell) -> String {
        format!("{}_h{}_s{}", slug(&cell.data), cell.history, cell.seed)
    }

    /// How many worlds the cells are of.
    pub(super) fn count(cells: &[Cell]) -> usize {
        cells.chunk_by(|a, b| Self::name(a) == Self::name(b)).count()
    }

    /// Factors of the training interactions, embeddings of item texts and references.
    pub(super) fn vectors(&self, encoder: &Encoder, session: &Session) -> Result<Vectors> {
        let encoder = &encoder.model;
        let dataset = &self.input.dataset;
        let wals = WalsConfig { rank: self.rank, seed: self.cell.seed, ..WalsConfig::default() };
        let (matrix, model) = fit_factors(dataset, &self.interactions, &wals, session)?;
        let semantic = embed_items(encoder, dataset, session)?;
        let references = embed(encoder, &self.task.references(), "embed references", session)?;
        // The items of the synthetic world are alike by construction; its facts are counted instead.
        let identity = if self.input.truth.is_none() {
            let targets: Vec<_> = self.test().iter().map(|example| example.target).collect();
            Identity::new(dataset, &semantic, &targets, &self.task.test_users)
        } else {
            None
        };
        let (cf, factorisation) = (item_factors(&matrix, &model), Factorisation::of(&model));
        let from_content = match self.from_content {
            true => Some(cold::filled(&cf, &semantic, &model, &matrix)?),
            false => None,
        };
        Ok(Vectors { cf, from_content, semantic, factorisation, references, identity })
    }

    fn is_cold(&self, example: &Example) -> bool {
        example.target.is_some_and(|item| self.cold.contains(&item.index()))
    }

    fn test(&self) -> Vec<&Example> {
        self.split.select(&self.examples, Part::Test)
    }

    /// What findings need of this world beside its cells.
    pub(super) fn record(
        &self,
        vectors: &Vectors,
        encoder: &Encoder,
        session: &Session,
    ) -> Result<WorldRecord> {
        let judge = |texts: Vec<String>| self.judge(texts, vectors, encoder, session);
        let published = published_texts(&self.input, &self.split, &self.examples).transpose()?;
        let dataset = &self.input.dataset;
        let (test, task) = (self.test(), &self.task);
        let contexts = test.iter().map(|example| context(dataset, &vectors.semantic.present, example));
        let references = task.references();
        Ok(WorldRecord {
            settings: self.settings.clone(),
            data: self.cell.data.clone(),
            seed: self.cell.seed,
            history: self.cell.history,
            remarks: self.input.remarks.clone(),
            size: [dataset.users.len(), dataset.items.len(), self.interactions.len()],
            narratives: [task.training.len(), task.validation.len(), task.test.len()],
            data_sha256: self.data_sha256.clone(),
            split: self.split.hash().to_owned(),
            audit: self.audit,
            encoder: encoder.facts.clone(),
            users: task.test_users.clone(),
            kinds: test.iter().map(|example| example.kind.as_str().to_owned()).collect(),
            contexts: contexts.collect(),
            cold_targets: match self.cold.is_empty() {
                true => Vec::new(),
                false => test.iter().map(|example| self.is_cold(example)).collect(),
            },
            identity: self.identified(&references, vectors.references.view(), vectors)?,
            references,
            floor: judge(random_texts(task, self.cell.seed))?,
            published: published.map(judge).transpose()?,
        })
    }

    /// What only an encoder or the generator can tell of texts for the test examples.
    pub(super) fn judge(
        &self,
        texts: Vec<String>,
        vectors: &Vectors,
        encoder: &Encoder,
        session: &Session,
    ) -> Result<Written> {
        let embedded = embed(&encoder.model, &texts, "embed narratives", session)?;
        Ok(Written {
            similarity: cosines(embedded.view(), vectors.references.view())?,
            identity: self.identified(&texts, embedded.view(), vectors)?,
            facts: facts(&self.input, &self.split, &self.examples, &texts),
            texts,
        })
    }

    /// The same of texts for some of the test examples, by place; only their similarity.
    pub(super) fn judge_some(
        &self,
        texts: Vec<String>,
        places: &[usize],
        vectors: &Vectors,
        encoder: &Encoder,
        session: &Session,
    ) -> Result<Written> {
        let embedded = embed(&encoder.model, &texts, "embed narratives", session)?;
        let references = vectors.references.select(ndarray::Axis(0), places);
        let similarity = cosines(embedded.view(), references.view())?;
        Ok(Written { similarity, identity: None, facts: None, texts })
    }

    fn identified(
        &self,
        texts: &[String],
        embedded: ndarray::ArrayView2<'_, f32>,
        vectors: &Vectors,
    ) -> Result<Option<Identified>> {
        let Some(identity) = &vectors.identity else { return Ok(None) };
        let found = identity.judge("", texts, embedded, self.cell.seed)?;
        Ok(Some(Identified {
            nearest: found.nearest.score,
            among_ten: found.among_ten.score,
            states_title: found.states_title,
        }))
    }
}
