//! What the stage programs hand to one another beside the formats of the crates: who is held out, and which row of a
//! matrix belongs to which item.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use ndarray::Array2;
use regen_data::{Dataset, IdMap, ItemId, Split, SplitRule, UserId};
use regen_narrator::ItemIds;
use regen_semantic::load_embeddings;
use regen_torch::tensor_to_vec_f32;
use regen_wals::persist::{FACTORS, load_npy, load_safetensors};
use serde::{Deserialize, Serialize};

use crate::features::{Factorisation, ItemVectors};
use crate::whole_file::write_whole;

/// Beside a prepared data set: the interactions that a factorisation may see.
pub const TRAINING_INTERACTIONS: &str = "training_interactions.csv";

/// Beside a prepared data set: who is held out.
pub const SPLIT: &str = "split.json";

/// Who is held out. Users in neither list are in training.
#[derive(Debug, Serialize, Deserialize)]
struct SplitFile {
    seed: u64,
    hash: String,
    validation: Vec<String>,
    test: Vec<String>,
}

/// The split of all programs: users disjoint, a tenth of those with narratives to tune on, a tenth to judge by.
///
/// # Errors
/// If there are too few users.
pub fn split(dataset: &Dataset, seed: u64) -> Result<Split> {
    Ok(SplitRule::UserDisjoint { validation: 0.1, test: 0.1 }.split(dataset, seed)?)
}

/// Writes [`SPLIT`] into `folder`.
///
/// # Errors
/// If the file cannot be written.
pub fn write_split(folder: &Path, dataset: &Dataset, split: &Split, seed: u64) -> Result<()> {
    let names = |users: &[UserId]| users.iter().map(|&user| dataset.users.name(user).to_owned()).collect();
    let file = SplitFile {
        seed,
        hash: split.hash().to_owned(),
        validation: names(split.validation()),
        test: names(split.test()),
    };
    write_whole(&folder.join(SPLIT), serde_json::to_string_pretty(&file)? + "\n")
}

/// Reads [`SPLIT`] from `folder` and proves that it divides `dataset` as it did when it was written.
///
/// # Errors
/// If the file is missing or damaged, names unknown users, or divides other users than it says.
pub fn read_split(folder: &Path, dataset: &Dataset) -> Result<Split> {
    let path = folder.join(SPLIT);
    let text = fs::read_to_string(&path).with_context(|| {
        format!("cannot read {}: run prepare_data with --split-seed, or quickstart", path.display())
    })?;
    let file: SplitFile =
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
    let ids = |names: &[String]| -> Result<Vec<UserId>> {
        let find = |name: &String| {
            dataset
                .users
                .get(name)
                .with_context(|| format!("{} names user {name:?}, whom the data do not have", path.display()))
        };
        names.iter().map(find).collect()
    };
    let split = Split::from_held_out(dataset, &ids(&file.validation)?, &ids(&file.test)?)?;
    ensure!(
        split.hash() == file.hash,
        "{} belongs to other data: its hash is {}, the users here give {}",
        path.display(),
        file.hash,
        split.hash()
    );
    Ok(split)
}

/// The item factors of a folder, in whichever form `train_wals` wrote them.
fn item_factors(folder: &Path) -> Result<Array2<f32>> {
    let (matrix, both) = (folder.join("item_factors.npy"), folder.join(FACTORS));
    if matrix.exists() {
        return Ok(load_npy(&matrix)?);
    }
    ensure!(
        both.exists(),
        "{} holds no factors: give --factors the folder that train_wals wrote",
        folder.display()
    );
    Ok(load_safetensors(&both, "item_factors")?)
}

/// Users that `split` holds out and that the factors of `folder` were fitted with nevertheless, by its list of users. A folder
/// without a list has none that are known of.
///
/// # Errors
/// If the list cannot be read.
pub fn held_out_users(folder: &Path, dataset: &Dataset, split: &Split) -> Result<usize> {
    let list = folder.join("user_ids.txt");
    if !list.exists() {
        return Ok(0);
    }
    let names = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let fitted: HashSet<&str> = names.lines().collect();
    let held_out = split.validation().iter().chain(split.test());
    Ok(held_out.filter(|&&user| fitted.contains(dataset.users.name(user))).count())
}

/// Factors as `train_wals` writes them, in the order of `dataset`'s items. Items without a row have no vector.
///
/// # Errors
/// If a file is missing or damaged, the id list is of another length, or names an item that the data do not have.
pub fn factors(folder: &Path, dataset: &Dataset) -> Result<ItemVectors> {
    let (rows, list) = (item_factors(folder)?, folder.join("item_ids.txt"));
    let names = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let names: Vec<&str> = names.lines().collect();
    ensure!(
        names.len() == rows.nrows(),
        "{} lists {} items, the factors beside it have {} rows",
        list.display(),
        names.len(),
        rows.nrows()
    );
    let mut found = ItemVectors {
        vectors: Array2::zeros((dataset.items.len(), rows.ncols())),
        present: vec![false; dataset.items.len()],
    };
    for (name, row) in names.iter().zip(rows.rows()) {
        let Some(item) = dataset.items.get(name) else {
            bail!("{} lists item {name:?}, which the data do not have", list.display());
        };
        found.vectors.row_mut(item.index()).assign(&row);
        found.present[item.index()] = true;
    }
    Ok(found)
}

/// Beside factors: the settings that they were fitted with.
pub const WALS: &str = "wals.json";

/// What folds users in against the factors of `folder`; `None` where [`WALS`] is not beside them.
///
/// # Errors
/// If a file is damaged, or the two do not belong together.
pub fn factorisation(folder: &Path) -> Result<Option<Factorisation>> {
    let path = folder.join(WALS);
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let config =
        serde_json::from_str(&text).with_context(|| format!("{} holds no settings", path.display()))?;
    Ok(Some(Factorisation::of_factors(config, item_factors(folder)?)?))
}

/// A JSON object.
pub type Record = serde_json::Map<String, serde_json::Value>;

/// Every item as the object that its line of a prepared `items.jsonl` is: `item` and what is known of it.
///
/// # Errors
/// Of an item, if a value has no place in JSON.
pub fn item_records(dataset: &Dataset) -> impl Iterator<Item = Result<Record>> + '_ {
    dataset.items.iter().map(|(item, name)| {
        let known = dataset.catalogue.get(item.index()).cloned().flatten().unwrap_or_default();
        let serde_json::Value::Object(mut record) = serde_json::to_value(known)? else {
            bail!("what is known of {name:?} is no object")
        };
        record.insert("item".into(), name.into());
        Ok(record)
    })
}

/// Beside embeddings of a prepared folder: the rows of items whose template gave no text, as a JSON array.
pub const WITHOUT_TEXT: &str = "without_text.json";

/// Writes [`WITHOUT_TEXT`] into `folder`.
///
/// # Errors
/// If the file cannot be written.
pub fn write_without_text(folder: &Path, rows: &[usize]) -> Result<()> {
    write_whole(&folder.join(WITHOUT_TEXT), serde_json::to_string(rows)?)
}

/// Which items have a text, as `embed_items` saw it where [`WITHOUT_TEXT`] stands beside `vectors`; otherwise those of which the
/// catalogue has one.
fn with_text(vectors: &Path, dataset: &Dataset) -> Result<Vec<bool>> {
    let path = vectors.with_file_name(WITHOUT_TEXT);
    if !path.exists() {
        return Ok(dataset.item_texts().iter().map(Option::is_some).collect());
    }
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let rows: Vec<usize> =
        serde_json::from_str(&text).with_context(|| format!("{} is no list of rows", path.display()))?;
    let mut present = vec![true; dataset.items.len()];
    for row in rows {
        let items = present.len();
        *present
            .get_mut(row)
            .with_context(|| format!("{} names row {row} of {items} items", path.display()))? = false;
    }
    Ok(present)
}

/// Embeddings with one row for each item of the prepared folder, as `embed_items` writes them: the file, or the folder that it
/// lies in. Items without a text have no vector, whatever their row holds.
///
/// # Errors
/// If the file is missing, damaged, or has another number of rows than there are items.
pub fn embeddings(path: &Path, dataset: &Dataset) -> Result<ItemVectors> {
    let inside = path.join("embeddings.npy");
    let path = if path.is_dir() { inside.as_path() } else { path };
    let vectors = load_embeddings(path)?;
    let shape = (vectors.size()[0] as usize, vectors.size()[1] as usize);
    let vectors = Array2::from_shape_vec(shape, tensor_to_vec_f32(&vectors)?)?;
    ensure!(
        vectors.nrows() == dataset.items.len(),
        "{} has {} rows, the data {} items: give embed_items the prepared folder, or its items.jsonl",
        path.display(),
        vectors.nrows(),
        dataset.items.len()
    );
    Ok(ItemVectors { vectors, present: with_text(path, dataset)? })
}

/// Rows of a narrator's tables by the outside names of its items.
#[derive(Debug)]
pub struct Catalogue(IdMap<ItemId>);

impl Catalogue {
    /// Of the ids that a narrator was saved with.
    ///
    /// # Errors
    /// If an id is repeated.
    pub fn new(ids: &ItemIds) -> Result<Self> {
        let mut map = IdMap::new();
        for id in ids.iter() {
            map.intern(id)?;
        }
        ensure!(map.len() == ids.len(), "the narrator's item ids are not distinct");
        Ok(Self(map))
    }

    /// The row of an item, if the narrator knows it.
    pub fn row(&self, id: &str) -> Option<u32> {
        self.0.get(id).map(|item| item.index() as u32)
    }
}
