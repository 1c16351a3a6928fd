//! From what the arms wrote to what the comparison found.

use anyhow::{Context, Result};
use ndarray::Array2;
use rand::RngExt;
use regen_data::synthetic::Signal;
use regen_data::{Dataset, ItemId, Part, Split};
use regen_fusion::Sources;
use regen_semantic::SentenceEncoder;
use regen_torch::{seed as seeded, tensor_to_vec_f32};
use serde_json::json;

use crate::arms::{ArmRun, ITEM_TEXT, Task};
use crate::cli::Session;
use crate::controls::controls;
use crate::features::{ItemVectors, embed};
use crate::given::Given;
use crate::identity::{Identity, IdentityRecord};
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
    /// The name of the sentence encoder, for signatures of scores.
    pub encoder_name: &'a str,
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
    let mut judge = Judge::new(material, &references, encoder, seed, session)?;
    let mut results = Vec::new();
    let mut costs = Vec::new();
    for arm in arms {
        costs.extend(controls(arm, material.task, seed)?);
        let name = &arm.given.to_string();
        results.push(ArmResult {
            name: name.to_owned(),
            scores: judge.score(name, &arm.hypotheses)?,
            facts: facts(material.input, material.split, material.examples, &arm.hypotheses),
            reading: arm.reading.clone(),
            training: arm.report.clone(),
        });
    }
    let mut baseline =
        |name: &str, texts: &[String]| anyhow::Ok((name.to_owned(), judge.score(name, texts)?));
    let mut baselines: Vec<(String, ArmScores)> =
        vec![baseline("another user's text", &random_texts(material.task, seed))?];
    if let Some(published) = published_texts(material.input, material.split, material.examples) {
        baselines.push(baseline("published XRec", &published?)?);
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
        data: data_facts(material, judge.identity.as_ref()),
        identity: judge.found,
        controls: costs,
        gains,
        arms: results,
        baselines,
        cf_shares: cf_shares(material, arms)?,
        samples: samples(material, arms),
        narratives: narratives(material, arms),
        seed,
    })
}

/// What does not change from arm to arm, so that it is embedded once.
struct Judge<'a> {
    references: &'a [String],
    users: &'a [u32],
    embedded: Array2<f32>,
    identity: Option<Identity>,
    /// What was found of the texts judged so far, the references' own row first.
    found: Vec<IdentityRecord>,
    encoder: &'a SentenceEncoder,
    encoder_name: &'a str,
    seed: u64,
    session: &'a Session,
}

impl<'a> Judge<'a> {
    fn new(
        material: &'a Material<'_>,
        references: &'a [String],
        encoder: &'a SentenceEncoder,
        seed: u64,
        session: &'a Session,
    ) -> Result<Self> {
        let users = &material.task.test_users;
        let embedded = embed(encoder, references, "embed references", session)?;
        // The items of the synthetic world are alike by construction; its facts are counted instead.
        let identity = if material.input.truth.is_none() {
            let test = material.split.select(material.examples, Part::Test);
            let targets: Vec<Option<ItemId>> = test.iter().map(|example| example.target).collect();
            Identity::new(&material.input.dataset, material.semantic, &targets, users)
        } else {
            None
        };
        let (found, encoder_name) = (Vec::new(), material.encoder_name);
        let mut judge =
            Self { references, users, embedded, identity, found, encoder, encoder_name, seed, session };
        judge.identify("the references", references, &judge.embedded.clone())?;
        Ok(judge)
    }

    fn score(&mut self, name: &str, hypotheses: &[String]) -> Result<ArmScores> {
        let embedded = embed(self.encoder, hypotheses, "embed narratives", self.session)?;
        self.identify(name, hypotheses, &embedded)?;
        let vectors = (embedded.view(), self.embedded.view());
        ArmScores::measure(hypotheses, self.references, self.users, vectors, self.encoder_name)
    }

    fn identify(&mut self, name: &str, texts: &[String], embedded: &Array2<f32>) -> Result<()> {
        if let Some(identity) = &self.identity {
            self.found.push(identity.judge(name, texts, embedded.view(), self.seed)?);
        }
        Ok(())
    }
}

/// A floor that knows the kind of narrative and nothing of the user: a random training text of the same kind.
pub(crate) fn random_texts(task: &Task, seed: u64) -> Vec<String> {
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
pub(crate) fn published_texts(
    input: &Input,
    split: &Split,
    examples: &[regen_data::Example],
) -> Option<Result<Vec<String>>> {
    let published = &input.published;
    if published.is_empty() {
        return None;
    }
    let dataset = &input.dataset;
    let find = |example: &&regen_data::Example| {
        let target = example.target.context("a published text needs a target")?;
        let (user, item) = (dataset.users.name(example.user), dataset.items.name(target));
        let found =
            published.iter().find(|p| p.user == user && p.item == item && p.reference == example.reference);
        found.map(|p| p.prediction.clone()).with_context(|| format!("no published text for {user}, {item}"))
    };
    Some(split.select(examples, Part::Test).iter().map(find).collect())
}

/// Where the truth is known: the shares of the facts of each signal that the texts state.
pub(crate) fn facts(
    input: &Input,
    split: &Split,
    examples: &[regen_data::Example],
    hypotheses: &[String],
) -> Option<FactShare> {
    let truth = input.truth.as_ref()?;
    let test =
        examples.iter().enumerate().filter(|(_, example)| split.part_of_example(example) == Some(Part::Test));
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
    let Some(fusion) = arms.iter().find(|arm| arm.given == Given::vectors(Sources::Fusion)) else {
        return Ok(Vec::new());
    };
    let mut shares = Vec::new();
    let requests = material.task.requests(fusion.given);
    for requests in requests.chunks(64) {
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
    kinds.retain(|kind| *kind != ITEM_TEXT);
    let mut samples = Vec::new();
    for step in 0..SAMPLES.min(test.len()) {
        let kind = kinds[step % kinds.len()];
        let of_kind: Vec<usize> =
            (0..test.len()).filter(|&index| test[index].kind.as_str() == kind).collect();
        let Some(&index) = of_kind.get(of_kind.len() * step / SAMPLES) else { continue };
        let example = test[index];
        let context = context(&material.input.dataset, &material.semantic.present, example);
        let written = arms.iter().map(|arm| (arm.given.to_string(), arm.hypotheses[index].clone()));
        samples.push(Sample {
            kind: kind.to_owned(),
            context,
            reference: example.reference.clone(),
            written: written.collect(),
        });
    }
    samples
}

/// What an example is about, in words; of the history the latest items with a text.
pub(crate) fn context(dataset: &Dataset, has_text: &[bool], example: &regen_data::Example) -> String {
    let title = |item: ItemId| dataset.item_label(item).to_owned();
    let latest = example.history.iter().rev().filter(|item| has_text[item.index()]);
    let known: Vec<String> = latest.take(3).map(|&item| title(item)).collect();
    let mut context = format!("{} earlier items", example.history.len());
    if !known.is_empty() {
        context.push_str(&format!(", most recently {}", known.join("; ")));
    }
    if let Some(target) = example.target {
        context.push_str(&format!(". Bought now: {}", title(target)));
    }
    context
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
                "arm": arm.given,
                "hypothesis": hypothesis,
                "reference": example.reference,
            }));
        }
    }
    lines
}

fn data_facts(material: &Material<'_>, identity: Option<&Identity>) -> Vec<(String, String)> {
    let dataset = &material.input.dataset;
    let task = material.task;
    let lengths: Vec<usize> = task.test.iter().map(|example| example.request.history.len()).collect();
    let mean = lengths.iter().sum::<usize>() as f64 / lengths.len().max(1) as f64;
    let narratives = task.training.len();
    let mut facts = vec![
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
        ("item texts read back in training".into(), task.reading.len().to_string()),
        ("mean history of a test example".into(), format!("{mean:.1} items")),
        (
            "items with a collaborative, a semantic vector".into(),
            format!("{}, {}", material.cf.known(), material.semantic.known()),
        ),
    ];
    if let Some(identity) = identity {
        let counts = format!("{}, {}", identity.examples(), identity.items());
        facts.push(("narratives asked for their own item, among items".into(), counts));
    }
    facts
}
