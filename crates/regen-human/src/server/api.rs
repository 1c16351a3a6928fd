//! What the page asks for: to join, to see a task, to answer. Systems are never named, and a task is known to the page by its
//! place in the rater's own order only.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::error::{Error, Result};
use crate::order::{Assigned, order_of};
use crate::store::Store;
use crate::study::{Design, Shown, Study, Task};

/// Everything that the server knows.
#[derive(Debug)]
pub(super) struct Desk {
    study: Study,
    store: Store,
    /// Orders of raters that were asked for; they follow from the study.
    orders: HashMap<usize, Vec<Assigned>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Join {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Look {
    name: String,
    place: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Say {
    name: String,
    place: usize,
    attribute: String,
    answer: String,
    seconds: f64,
}

#[derive(Serialize)]
struct ShownTask<'a> {
    design: Design,
    purpose: Option<&'static str>,
    item: Option<&'a str>,
    history: &'a [String],
    context: Option<&'a str>,
    texts: Vec<&'a str>,
    attributes: Vec<ShownAttribute<'a>>,
    given: BTreeMap<String, &'static str>,
}

#[derive(Serialize)]
struct ShownAttribute<'a> {
    name: &'a str,
    title: String,
    definition: &'a str,
    scale: &'a [String; 5],
}

type Given = HashMap<Task, BTreeMap<String, Answer>>;

fn read<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| Error::refused(format!("not understood: {error}")))
}

/// From the side on the page to the word of the store, before sides are exchanged.
fn from_page(word: &str) -> &str {
    match word {
        "left" => "first",
        "right" => "second",
        // The words of the store do not name sides, so the page may not use them.
        "first" | "second" => "",
        other => other,
    }
}

fn to_page(answer: Answer) -> &'static str {
    match answer {
        Answer::First => "left",
        Answer::Second => "right",
        other => other.as_str(),
    }
}

impl Desk {
    pub(super) fn new(study: Study, store: Store) -> Self {
        Self { study, store, orders: HashMap::new() }
    }

    /// The answer to a request, `None` for a path that is none of the API's.
    pub(super) fn ask(&mut self, path: &str, body: &[u8]) -> Option<Result<Value>> {
        Some(match path {
            "/api/join" => read(body).and_then(|join| self.join(join)),
            "/api/task" => read(body).and_then(|look| self.look(look)),
            "/api/answer" => read(body).and_then(|say| self.say(say)),
            _ => return None,
        })
    }

    fn order(&mut self, rater: usize) -> Vec<Assigned> {
        let study = &self.study;
        self.orders.entry(rater).or_insert_with(|| order_of(study, rater)).clone()
    }

    fn given(&mut self, rater: usize) -> Result<Given> {
        let mut given = Given::new();
        for answered in self.store.answers(&self.study, Some(rater))? {
            given.entry(answered.task).or_default().insert(answered.attribute, answered.answer);
        }
        Ok(given)
    }

    fn is_complete(&self, task: Task, given: &Given) -> bool {
        let answers = given.get(&task);
        self.study
            .attributes(task)
            .iter()
            .all(|attribute| answers.is_some_and(|answers| answers.contains_key(&attribute.name)))
    }

    fn join(&mut self, join: Join) -> Result<Value> {
        let rater = self.store.join(&join.name)?;
        Ok(json!({ "name": rater.name, "total": self.order(rater.number).len() }))
    }

    /// The task at a place, or the first that is not complete.
    fn look(&mut self, look: Look) -> Result<Value> {
        let rater = self.store.join(&look.name)?.number;
        let order = self.order(rater);
        let given = self.given(rater)?;
        let complete = order.iter().filter(|assigned| self.is_complete(assigned.task, &given)).count();
        let open = || order.iter().position(|assigned| !self.is_complete(assigned.task, &given));
        let place = look.place.or_else(open);
        let Some(place) = place else { return Ok(json!({ "complete": complete, "task": null })) };
        let Some(assigned) = order.get(place) else {
            return Err(Error::refused(format!("there are only {} tasks", order.len())));
        };
        Ok(json!({ "complete": complete, "place": place, "task": self.shown(assigned, &given) }))
    }

    fn shown(&self, assigned: &Assigned, given: &Given) -> ShownTask<'_> {
        let Assigned { task, swapped } = *assigned;
        let case = &self.study.cases[task.case];
        let about_item = case.kind.is_none_or(|kind| kind.uses_item());
        let systems = match task.shown {
            Shown::One { system } => vec![system],
            Shown::Two { first, second } if swapped => vec![second, first],
            Shown::Two { first, second } => vec![first, second],
        };
        let words = |name: &str| {
            let mut title = name.replace('_', " ");
            if let Some(first) = title.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            title
        };
        let attributes = self.study.attributes(task).into_iter().map(|attribute| ShownAttribute {
            name: &attribute.name,
            title: words(&attribute.name),
            definition: &attribute.definition,
            scale: &attribute.scale,
        });
        let given = given.get(&task).into_iter().flatten();
        ShownTask {
            design: self.study.design,
            purpose: case.kind.map(|kind| kind.task()),
            item: case.item_text.as_deref().filter(|_| about_item),
            history: &case.history,
            context: case.context.as_deref(),
            texts: systems.into_iter().map(|system| self.study.text(task.case, system)).collect(),
            attributes: attributes.collect(),
            given: given.map(|(name, answer)| (name.clone(), to_page(answer.swapped(swapped)))).collect(),
        }
    }

    fn say(&mut self, say: Say) -> Result<Value> {
        let rater = self.store.join(&say.name)?.number;
        let order = self.order(rater);
        let Some(&Assigned { task, swapped }) = order.get(say.place) else {
            return Err(Error::refused(format!("there are only {} tasks", order.len())));
        };
        if !self.study.attributes(task).iter().any(|attribute| attribute.name == say.attribute) {
            return Err(Error::refused(format!("`{}` is not asked here", say.attribute)));
        }
        let Some(answer) = Answer::parse(from_page(&say.answer), self.study.design) else {
            return Err(Error::refused(format!("`{}` is no answer here", say.answer)));
        };
        let seconds = if say.seconds.is_finite() { say.seconds.clamp(0.0, 86_400.0) } else { 0.0 };
        self.store.put(rater, task, &say.attribute, answer.swapped(swapped), swapped, seconds)?;
        let given = self.given(rater)?;
        let complete = order.iter().filter(|assigned| self.is_complete(assigned.task, &given)).count();
        Ok(json!({ "complete": complete }))
    }
}
