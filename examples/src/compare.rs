//! From what the arms wrote to what the comparison found.

use anyhow::{Context, Result};
use rand::RngExt;
use regen_data::synthetic::Signal;
use regen_data::{ItemId, Part, Split};
use regen_fusion::Sources;
use regen_semantic::SentenceEncoder;
use regen_torch::{seed as seeded, tensor_to_vec_f32};
use serde_json::json;

use crate::arms::{ArmRun, ITEM_TITLE, Task};
use crate::cli::Session;
use crate::features::{ItemVectors, embed};
use crate::input::Input;
use crate::report::{ArmResult, Comparison, FactShare, Sample};
use crate::scores::{ArmScores, gains};

/// Narratives shown beside their references.
const SAMPLES: usize = 5;

/// What the arms worked on.
#[derive(Debug)]
pub struct Material<'a> {
    /// The data set.
    pub input: &'a Input,
    /// Who is judged.
    pub split: &'a Split,
    /// All examples of the data set.
    pub examples: &'a [regen_data::Example],
    /// The same for narrators.
    pub task: &'a Task,
    /// Collaborative vectors.
    pub cf: &'a ItemVectors,
    /// Semantic vectors.
    pub semantic: &'a ItemVectors,
}

/// Scores every arm and the baselines, tests fusion against the better single arm, and picks examples to look at.
///
/// # Errors
/// If a score is refused, or the user stops it.
pub fn compare(
    material: &Material<'_>,
    arms: &[ArmRun],
    encoder: &SentenceEncoder,
    seed: u64,
    session: &Session,
) -> Result<Comparison> {
    let references = material.task.references();
    let judge = Judge::new(&references, &material.task.test_users, encoder, session)?;
    let mut results = Vec::new();
    for arm in arms {
        results.push(ArmResult {
            name: arm.sources.as_str().to_owned(),
            scores: judge.score(&arm.hypotheses)?,
            facts: facts(material, &arm.hypotheses),
            training: arm.report.clone(),
        });
    }
    let mut baselines =
        vec![("another user's text".to_owned(), judge.score(&random_texts(material.task, seed))?)];
    if let Some(published) = published_texts(material) {
        baselines.push(("published XRec".to_owned(), judge.score(&published?)?));
    }
    let by_name = |name: &str| results.iter().find(|arm| arm.name == name).map(|arm| &arm.scores);
    let singles: Vec<(&str, &ArmScores)> =
        ["cf", "semantic"].into_iter().filter_map(|name| Some((name, by_name(name)?))).collect();
    let gains = match by_name("fusion") {
        Some(fusion) => gains(fusion, &singles, seed)?,
        None => Vec::new(),
    };
    Ok(Comparison {
        title: format!("Narratives on {}", material.input.dataset.name),
        remarks: material.input.remarks.clone(),
        data: data_facts(material),
        gains,
        arms: results,
        baselines,
        cf_shares: cf_shares(material, arms)?,
        samples: samples(material, arms),
        narratives: narratives(material, arms),
        seed,
    })
}

/// The references with their embeddings, so that they are embedded once.
struct Judge<'a> {
    references: &'a [String],
    users: &'a [u32],
    embedded: ndarray::Array2<f32>,
    encoder: &'a SentenceEncoder,
    session: &'a Session,
}

impl<'a> Judge<'a> {
    fn new(
        references: &'a [String],
        users: &'a [u32],
        encoder: &'a SentenceEncoder,
        session: &'a Session,
    ) -> Result<Self> {
        let embedded = embed(encoder, references, "embed references", session)?;
        Ok(Self { references, users, embedded, encoder, session })
    }

    fn score(&self, hypotheses: &[String]) -> Result<ArmScores> {
        let embedded = embed(self.encoder, hypotheses, "embed narratives", self.session)?;
        let vectors = (embedded.view(), self.embedded.view());
        ArmScores::measure(hypotheses, self.references, self.users, vectors, "all-MiniLM-L6-v2")
    }
}

/// A floor that knows the kind of narrative and nothing of the user: a random training text of the same kind.
fn random_texts(task: &Task, seed: u64) -> Vec<String> {
    let mut rng = seeded::rng(seed, 77);
    let pick = |kind: &str, rng: &mut seeded::ChaCha8Rng| {
        let texts: Vec<&str> = task
            .training
            .iter()
            .filter(|example| example.request.kind == kind)
            .map(|example| example.text.as_str())
            .collect();
        if texts.is_empty() { String::new() } else { texts[rng.random_range(0..texts.len())].to_owned() }
    };
    task.test.iter().map(|example| pick(&example.request.kind, &mut rng)).collect()
}

/// What a published model wrote for the test pairs, if there is such a model.
fn published_texts(material: &Material<'_>) -> Option<Result<Vec<String>>> {
    let published = &material.input.published;
    if published.is_empty() {
        return None;
    }
    let dataset = &material.input.dataset;
    let find = |example: &&regen_data::Example| {
        let target = example.target.context("a published text needs a target")?;
        let (user, item) = (dataset.users.name(example.user), dataset.items.name(target));
        let found =
            published.iter().find(|p| p.user == user && p.item == item && p.reference == example.reference);
        found.map(|p| p.prediction.clone()).with_context(|| format!("no published text for {user}, {item}"))
    };
    Some(material.split.select(material.examples, Part::Test).iter().map(find).collect())
}

/// Where the truth is known: the shares of the facts of each signal that the texts state.
fn facts(material: &Material<'_>, hypotheses: &[String]) -> Option<FactShare> {
    let truth = material.input.truth.as_ref()?;
    let test = material
        .examples
        .iter()
        .enumerate()
        .filter(|(_, example)| material.split.part_of_example(example) == Some(Part::Test));
    let (mut co_purchase, mut text) = ((0, 0), (0, 0));
    for ((index, _), hypothesis) in test.zip(hypotheses) {
        for (signal, sum) in [(Signal::CoPurchase, &mut co_purchase), (Signal::Text, &mut text)] {
            let (stated, all) = truth.stated(index, signal, hypothesis);
            *sum = (sum.0 + stated, sum.1 + all);
        }
    }
    let share = |(stated, all): (usize, usize)| stated as f64 / all.max(1) as f64;
    Some(FactShare { co_purchase: share(co_purchase), text: share(text) })
}

/// The collaborative share of every soft token of the fusion arm whose item both sides know.
fn cf_shares(material: &Material<'_>, arms: &[ArmRun]) -> Result<Vec<f32>> {
    let Some(fusion) = arms.iter().find(|arm| arm.sources == Sources::Fusion) else {
        return Ok(Vec::new());
    };
    let mut shares = Vec::new();
    for requests in material.task.requests().chunks(64) {
        let attribution = fusion.narrator.attribution(requests)?;
        let both = tensor_to_vec_f32(&attribution.both_present)?;
        let values =
            tensor_to_vec_f32(&attribution.cf_share.mean_dim([-1i64].as_slice(), false, tch::Kind::Float))?;
        shares.extend(values.into_iter().zip(both).filter(|(_, both)| *both != 0.0).map(|(value, _)| value));
    }
    Ok(shares)
}

/// Examples spread over the test set, one kind after the other.
fn samples(material: &Material<'_>, arms: &[ArmRun]) -> Vec<Sample> {
    let test = material.split.select(material.examples, Part::Test);
    let mut kinds: Vec<&str> = material.task.kinds.iter().map(String::as_str).collect();
    kinds.retain(|kind| *kind != ITEM_TITLE);
    let dataset = &material.input.dataset;
    let title = |item: ItemId| dataset.item_label(item).to_owned();
    let mut samples = Vec::new();
    for step in 0..SAMPLES.min(test.len()) {
        let kind = kinds[step % kinds.len()];
        let of_kind: Vec<usize> =
            (0..test.len()).filter(|&index| test[index].kind.as_str() == kind).collect();
        let Some(&index) = of_kind.get(of_kind.len() * step / SAMPLES) else { continue };
        let example = test[index];
        let known: Vec<String> = example
            .history
            .iter()
            .rev()
            .filter(|item| material.semantic.present[item.index()])
            .take(3)
            .map(|&item| title(item))
            .collect();
        let mut context = format!("{} earlier items", example.history.len());
        if !known.is_empty() {
            context.push_str(&format!(", most recently {}", known.join("; ")));
        }
        if let Some(target) = example.target {
            context.push_str(&format!(". Bought now: {}", title(target)));
        }
        let written = arms.iter().map(|arm| (arm.sources.as_str().to_owned(), arm.hypotheses[index].clone()));
        samples.push(Sample {
            kind: kind.to_owned(),
            context,
            reference: example.reference.clone(),
            written: written.collect(),
        });
    }
    samples
}

fn narratives(material: &Material<'_>, arms: &[ArmRun]) -> Vec<serde_json::Value> {
    let dataset = &material.input.dataset;
    let test = material.split.select(material.examples, Part::Test);
    let mut lines = Vec::with_capacity(test.len() * arms.len());
    for arm in arms {
        for (example, hypothesis) in test.iter().zip(&arm.hypotheses) {
            lines.push(json!({
                "user": dataset.users.name(example.user),
                "item": example.target.map(|item| dataset.items.name(item)),
                "kind": example.kind.as_str(),
                "arm": arm.sources.as_str(),
                "hypothesis": hypothesis,
                "reference": example.reference,
            }));
        }
    }
    lines
}

fn data_facts(material: &Material<'_>) -> Vec<(String, String)> {
    let dataset = &material.input.dataset;
    let task = material.task;
    let lengths: Vec<usize> = task.test.iter().map(|example| example.request.history.len()).collect();
    let mean = lengths.iter().sum::<usize>() as f64 / lengths.len().max(1) as f64;
    let narratives = task.training.iter().filter(|example| example.request.kind != ITEM_TITLE).count();
    vec![
        ("users, items, interactions".into(), {
            format!("{}, {}, {}", dataset.users.len(), dataset.items.len(), dataset.interactions.len())
        }),
        (
            "users in training, validation, test (disjoint)".into(),
            format!(
                "{}, {}, {}",
                material.split.train().len(),
                material.split.validation().len(),
                material.split.test().len()
            ),
        ),
        (
            "narratives in training, validation, test".into(),
            format!("{narratives}, {}, {}", task.validation.len(), task.test.len()),
        ),
        ("item titles read back in training".into(), (task.training.len() - narratives).to_string()),
        ("mean history of a test example".into(), format!("{mean:.1} items")),
        (
            "items with a collaborative, a semantic vector".into(),
            format!("{}, {}", material.cf.known(), material.semantic.known()),
        ),
    ]
}
