//! The XRec release: users, items and one explanation per pair, for Amazon books and Google places, with the whole
//! interaction matrix and the texts that the published model wrote for the same pairs.
//!
//! Files of a vertical `v`: `v_pairs.jsonl` (`uid, iid, title, item_summary, explanation, xrec_prediction`) and
//! `v_inter_trn.csv` (`user,item`).
//!
//! Three traps, and how they are met here:
//! - four fifths of the pairs stand in the interactions, the rest does not. The purchase of every pair is added
//!   where it is absent, so that all pairs are alike, and splitting users ([`SplitRule`](crate::SplitRule)) takes
//!   a held-out user's purchases out together;
//! - `user_summary` was written from the user's reviews, the explained one included: it is never read;
//! - only the items of the pairs have text: all others have `None` in the catalogue.
//!
//! **Source** Ma, Ren, Huang, "XRec: Large Language Models for Explainable Recommendation" (2024), section 4.1.1.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::lines::{self, Lines};
use crate::table::{Columns, InteractionTable};
use crate::text::clean_text;
use crate::{Chronology, Dataset, Error, Interaction, ItemMetadata, Narrative, NarrativeKind, Result};

/// One of the release's data sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vertical {
    /// Amazon books.
    Amazon,
    /// Google places.
    Google,
}

impl Vertical {
    /// Every vertical.
    pub const ALL: [Self; 2] = [Self::Amazon, Self::Google];

    /// The first part of its file names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Amazon => "amazon",
            Self::Google => "google",
        }
    }

    /// The names of its two files: pairs and interactions.
    pub(crate) fn files(self) -> [String; 2] {
        [format!("{self}_pairs.jsonl"), format!("{self}_inter_trn.csv")]
    }
}

impl fmt::Display for Vertical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Vertical {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|vertical| vertical.as_str() == name).ok_or_else(|| Error::UnknownName {
            what: "XRec vertical",
            got: name.to_owned(),
            expected: Self::ALL.map(Self::as_str).join(", "),
        })
    }
}

/// The fields of a pair that are read. Surplus fields, `user_summary` among them, are not.
#[derive(Deserialize)]
struct Pair {
    uid: u64,
    iid: u64,
    title: String,
    item_summary: String,
    explanation: String,
}

/// Reads one vertical. Explanations become [`NarrativeKind::PurchaseReason`]; an item's text is its title and
/// `item_summary`. The release keeps no order of a user's interactions ([`Chronology::Unknown`]).
///
/// # Errors
/// Those of reading files: [`Error::Io`], [`Error::Json`], [`Error::InvalidUtf8`], [`Error::Csv`],
/// [`Error::MissingField`].
pub fn read(folder: impl AsRef<Path>, vertical: Vertical) -> Result<Dataset> {
    let [pairs, interactions] = vertical.files().map(|name| folder.as_ref().join(name));
    let mut data =
        Dataset { name: format!("xrec {vertical}"), chronology: Chronology::Unknown, ..Default::default() };
    for row in InteractionTable::open(&interactions, &Columns::default())? {
        let row = row?;
        let (user, item) = (data.users.intern(&row.user)?, data.items.intern(&row.item)?);
        data.interactions.push(Interaction { user, item, weight: 1.0, time: None, rating: None });
    }
    let mut known: HashSet<_> =
        data.interactions.iter().map(|purchase| (purchase.user, purchase.item)).collect();
    data.catalogue.resize(data.items.len(), None);

    let mut lines = Lines::open(&pairs)?;
    while let Some(pair) = next::<Pair>(&mut lines)? {
        let (user, item) =
            (data.users.intern(&pair.uid.to_string())?, data.items.intern(&pair.iid.to_string())?);
        if known.insert((user, item)) {
            data.interactions.push(Interaction { user, item, weight: 1.0, time: None, rating: None });
        }
        data.catalogue.resize(data.items.len(), None);
        data.catalogue[item.index()].get_or_insert_with(|| ItemMetadata {
            title: clean_text(&pair.title),
            description: clean_text(&pair.item_summary),
            ..Default::default()
        });
        data.narratives.push(Narrative {
            user,
            item: Some(item),
            kind: NarrativeKind::PurchaseReason,
            text: pair.explanation,
        });
    }
    Ok(data)
}

/// What the published XRec model wrote for one pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedOutput {
    /// The user's name.
    pub user: String,
    /// The item's name.
    pub item: String,
    /// The model's text (Llama-2-7B with a collaborative adapter).
    pub prediction: String,
    /// The text it should have written.
    pub reference: String,
}

/// The published model's outputs for every pair of a vertical, in the order of the file: the line to compare with.
///
/// # Errors
/// As [`read`].
pub fn published_outputs(folder: impl AsRef<Path>, vertical: Vertical) -> Result<Vec<PublishedOutput>> {
    #[derive(Deserialize)]
    struct Row {
        uid: u64,
        iid: u64,
        explanation: String,
        xrec_prediction: String,
    }
    let [pairs, _] = vertical.files();
    let mut lines = Lines::open(folder.as_ref().join(pairs))?;
    let mut outputs = Vec::new();
    while let Some(row) = next::<Row>(&mut lines)? {
        outputs.push(PublishedOutput {
            user: row.uid.to_string(),
            item: row.iid.to_string(),
            prediction: row.xrec_prediction,
            reference: row.explanation,
        });
    }
    Ok(outputs)
}

/// The next record, blank lines left out.
fn next<T: serde::de::DeserializeOwned>(lines: &mut Lines) -> Result<Option<T>> {
    let path = lines.path().to_owned();
    loop {
        let number = lines.number() + 1;
        match lines.next_line()? {
            None => return Ok(None),
            Some(line) if line.trim_ascii().is_empty() => {}
            Some(line) => return lines::json(line, &path, number).map(Some),
        }
    }
}
