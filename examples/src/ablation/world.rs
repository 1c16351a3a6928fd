//! One data set as one seed draws and splits it, and what all its cells share.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result};
use regen_data::{
    Example, HistoryConfig, Interaction, LeakAudit, Part, Split, audit_leaks, examples, training_interactions,
};
use regen_metrics::similarity::cosines;
use regen_wals::WalsConfig;
use serde_json::{Value, json};

use super::cells::{Cell, slug};
use super::cold::{self, ColdVectors};
use super::content::{Encoder, EncoderFacts, data_sha256, reviews_sha256};
use super::load::{load, reviews, seen};
use super::plan::Plan;
use super::records::{Identified, WorldRecord, Written};
use crate::arms::Task;
use crate::cli::Session;
use crate::compare::{context, facts, published_texts, random_texts};
use crate::features::{Factorisation, ItemVectors, embed, embed_items, fit_factors, item_factors};
use crate::identity::Identity;
use crate::input::Input;
use crate::purchase_reviews::PurchaseReviews;

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
    /// What the users wrote about past purchases, where a cell reads it.
    reviews: Option<PurchaseReviews>,
    reads_catalogue: bool,
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
    /// The world's task with the vectors of reviews beside past purchases.
    with_reviews: Option<Task>,
}

impl Vectors {
    /// The collaborative vectors of all items, with those of items that have none as asked for.
    pub(super) fn cf(&self, cold: ColdVectors) -> &ItemVectors {
        match (cold, &self.from_content) {
            (ColdVectors::Content, Some(filled)) => filled,
            _ => &self.cf,
        }
    }

    /// The task of `world` as `cell` is given it.
    pub(super) fn task<'a>(&'a self, world: &'a World, cell: &Cell) -> &'a Task {
        self.with_reviews.as_ref().filter(|_| cell.inputs.reviews).unwrap_or(&world.task)
    }
}

impl World {
    /// The world of `cell`; `folder` is that of the XRec release, `encoder` what its vectors will be made with.
    pub(super) fn prepare(
        plan: &Plan,
        cell: &Cell,
        folder: Option<&Path>,
        encoder: &EncoderFacts,
        common: &Value,
    ) -> Result<Self> {
        let data = plan.data(&cell.data).context("a cell's data set is in the plan")?;
        let (input, split) = load(data, folder, cell.seed)?;
        let cold = cold::draw(data.cold_items, input.dataset.items.len(), cell.seed);
        let interactions = seen(training_interactions(&input.dataset, &split), data, &cold, cell.seed);
        let examples = examples(&input.dataset, &HistoryConfig { max_history: cell.history })?;
        let audit = audit_leaks(&input.dataset, &split, &examples, &interactions).with_context(|| {
            format!("data {:?} give away what is to be written: take such narratives out of them", data.name)
        })?;
        let reads_catalogue = plan.training.reading_steps > 0;
        let task = Task::new(&input.dataset, &split, &examples, reads_catalogue, cell.seed);
        let reviews = match plan.reads_reviews() {
            true => Some(reviews(data, &input, &examples, cell.seed)?),
            false => None,
        };
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
        if data.kept_purchases < 1.0 {
            settings["kept_purchases"] = json!(data.kept_purchases);
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
            reviews,
            reads_catalogue,
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

    /// SHA-256 of the reviews that `cell` reads, where it does.
    pub(super) fn reviews_sha256(&self, cell: &Cell) -> Option<String> {
        self.reviews.as_ref().filter(|_| cell.inputs.reviews).map(reviews_sha256)
    }

    /// Factors of the training interactions, embeddings of item texts, references and reviews.
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
        let with_reviews = match &self.reviews {
            Some(said) => {
                session.note(&said.told());
                let vectors = said.embed(encoder, session)?;
                let (split, examples) = (&self.split, &self.examples);
                let (reads, seed) = (self.reads_catalogue, self.cell.seed);
                Some(Task::with_reviews(dataset, split, examples, reads, seed, Some(&vectors)))
            }
            None => None,
        };
        Ok(Vectors { cf, from_content, semantic, factorisation, references, identity, with_reviews })
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
