//! One request of `write_narratives`, as its line has it, and what a narrator makes of it.

use anyhow::{Context, Result, anyhow};
use regen_narrator::{Detail, Narrator, Request};
use serde::{Deserialize, Serialize};

use crate::pipeline::Catalogue;

/// One line of requests.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Asked {
    /// Who is written to; not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// One of the kinds that the narrator writes.
    pub kind: String,
    /// Ids of past purchases, oldest first.
    #[serde(default)]
    pub history: Vec<String>,
    /// The id of the item that the narrative is about.
    #[serde(default)]
    pub target: Option<String>,
    /// Phrases to read, for a narrator with text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passage: Vec<String>,
    /// Of each purchase: `rating` in stars, `days` before the request, `review` as a vector.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Detail>,
    /// What a narrative is about whose narrator reads no items, for those who judge it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// What a person or a larger model wrote, to compare with; not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Where the request comes from, for messages.
    #[serde(skip)]
    pub place: String,
}

/// The keys of [`Asked`], and those that lines of narratives have beside them.
pub const KEYS: [&str; 10] =
    ["user", "kind", "history", "target", "passage", "details", "item", "reference", "narrative", "cut_off"];

impl Asked {
    /// In the numbers of a narrator. What it would refuse is found here, where the line is known, and not after the narratives
    /// before it.
    ///
    /// # Errors
    /// If an item is none of the narrator's; those of [`Narrator::check_request`].
    pub fn request(&self, narrator: &Narrator, catalogue: &Catalogue) -> Result<Request> {
        let row = |id: &String, advice: &str| {
            catalogue.row(id).with_context(|| {
                format!("item {id:?} is none of those the narrator was trained with: {advice}")
            })
        };
        let past = |id: &String| row(id, "leave it out of `history`");
        let target =
            |id: &String| row(id, "`target` must be one, or null for a text about the history alone");
        let request = Request {
            kind: self.kind.clone(),
            history: self.history.iter().map(past).collect::<Result<_>>()?,
            target: self.target.as_ref().map(target).transpose()?,
            passage: self.passage.clone(),
            details: self.details.clone(),
        };
        narrator.check_request(&request).map_err(|error| {
            match error.to_string().strip_prefix("request 1") {
                // By itself it is the first, which would contradict its line.
                Some(rest) => anyhow!("the request{rest}"),
                None => error.into(),
            }
        })?;
        Ok(request)
    }
}
