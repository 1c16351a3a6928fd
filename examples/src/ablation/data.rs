//! The data sets of a plan.

use std::path::PathBuf;

use regen_data::synthetic::SyntheticConfig;
use regen_data::xrec::Vertical;
use serde::{Deserialize, Serialize};

/// A data set under the name that reports use.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "DataTable")]
pub struct NamedData {
    /// The name.
    pub name: String,
    /// Where it comes from.
    pub source: DataSource,
    /// The share of items whose purchases are kept from the factorisation, 0 to 1; each seed draws its own.
    pub cold_items: f64,
    /// The share of the training users' purchases that the factorisation is fitted to, above 0 to 1; each seed draws its own, and a
    /// smaller share is a part of a larger one. Histories stay whole.
    pub kept_purchases: f64,
}

/// A data set as a plan writes it: a name, and one of the sources as a key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DataTable {
    name: String,
    synthetic: Option<SyntheticConfig>,
    xrec: Option<Vertical>,
    prepared: Option<PathBuf>,
    #[serde(default)]
    beside: Vec<Vertical>,
    split: Option<Division>,
    reviews: Option<Paths>,
    #[serde(default)]
    cold_items: f64,
    #[serde(default = "all")]
    kept_purchases: f64,
}

fn all() -> f64 {
    1.0
}

/// A file, or several.
#[derive(Deserialize)]
#[serde(untagged, expecting = "reviews: expected the name of a file, or a list of names")]
enum Paths {
    One(PathBuf),
    Several(Vec<PathBuf>),
}

impl TryFrom<DataTable> for NamedData {
    type Error = String;

    fn try_from(table: DataTable) -> Result<Self, String> {
        let DataTable { name, synthetic, xrec, prepared, beside, split, reviews, cold_items, kept_purchases } =
            table;
        let refused = |why: &str| Err(format!("data {name:?}: {why}"));
        let own = prepared.is_some();
        if !own && split.is_some() {
            return refused("only a `prepared` folder can have a `split` of its own");
        }
        if reviews.is_some() && synthetic.is_some() {
            return refused("a made-up world writes its `reviews` itself: leave them out");
        }
        if reviews.is_some() && !own {
            return refused("`reviews` are files beside a `prepared` folder");
        }
        if !beside.is_empty() && xrec.is_none() {
            return refused("only verticals have others `beside` them");
        }
        let source = match (synthetic, xrec, prepared) {
            (Some(world), None, None) => DataSource::Synthetic(world),
            (None, Some(vertical), None) if beside.is_empty() => DataSource::Xrec(vertical),
            (None, Some(judged), None) => {
                let mut all = beside.clone();
                all.push(judged);
                if (1..all.len()).any(|index| all[..index].contains(&all[index])) {
                    return refused("a vertical stands there twice");
                }
                DataSource::XrecTogether { judged, beside }
            }
            (None, None, Some(folder)) => {
                let reviews = match reviews {
                    None => Vec::new(),
                    Some(Paths::One(path)) => vec![path],
                    Some(Paths::Several(paths)) => paths,
                };
                DataSource::Prepared(PreparedData { folder, split: split.unwrap_or_default(), reviews })
            }
            _ => return refused("give one of `synthetic`, `xrec` and `prepared`"),
        };
        // With no item left there is nothing to factorise.
        if !(0.0..1.0).contains(&cold_items) {
            return refused(&format!("cold_items is a share from 0 to below 1, not {cold_items}"));
        }
        if !(kept_purchases > 0.0 && kept_purchases <= 1.0) {
            return refused(&format!("kept_purchases is a share above 0 to 1, not {kept_purchases}"));
        }
        Ok(Self { name, source, cold_items, kept_purchases })
    }
}

/// Where a data set comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DataSource {
    /// A made-up world; its seed is the cell's.
    Synthetic(SyntheticConfig),
    /// A vertical of the XRec release, in the folder that the program is given.
    Xrec(Vertical),
    /// The same, with everybody of other verticals in training.
    XrecTogether {
        /// The vertical that validation and test are of.
        judged: Vertical,
        /// Those that are learned from beside it.
        beside: Vec<Vertical>,
    },
    /// A prepared folder.
    Prepared(PreparedData),
}

/// A folder that `prepare_data` or `build_narratives` wrote. Paths are relative to where the program runs, as those of language models
/// are; records are known by what the files hold, not by where they are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PreparedData {
    /// The folder.
    #[serde(skip)]
    pub folder: PathBuf,
    /// Who is held out.
    pub split: Division,
    /// Files with what its users wrote about their purchases: of a review release, or column mappings (`.toml`). May be empty.
    #[serde(skip)]
    pub reviews: Vec<PathBuf>,
}

/// How the users of a prepared folder are divided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Division {
    /// Each seed draws a tenth of those with narratives to tune on and a tenth to judge by.
    #[default]
    Seed,
    /// As the folder's `split.json` says, with every seed the same.
    Folder,
}

impl NamedData {
    /// Whether its users' reviews are at hand.
    pub fn has_reviews(&self) -> bool {
        match &self.source {
            DataSource::Synthetic(_) => true,
            DataSource::Prepared(own) => !own.reviews.is_empty(),
            DataSource::Xrec(_) | DataSource::XrecTogether { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(lines: &str) -> Result<NamedData, String> {
        toml::from_str(&format!("name = \"shop\"\n{lines}")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_prepared_folder_has_its_own_split_and_reviews_where_it_is_asked_for() {
        let own = |lines: &str| match data(&format!("prepared = \"out/shop\"\n{lines}")).unwrap() {
            NamedData { source: DataSource::Prepared(own), .. } => own,
            other => panic!("{other:?}"),
        };
        let plain = own("");
        assert_eq!(
            (plain.folder.to_str(), plain.split, plain.reviews.len()),
            (Some("out/shop"), Division::Seed, 0)
        );
        assert_eq!(own("split = \"folder\"").split, Division::Folder);
        assert_eq!(own("reviews = \"r.json\"").reviews, [PathBuf::from("r.json")]);
        assert_eq!(own("reviews = [\"a.json\", \"shop.toml\"]").reviews.len(), 2);
        // Where it lies is not what it is.
        let elsewhere = PreparedData { folder: "elsewhere".into(), ..plain.clone() };
        let known = |own: PreparedData| serde_json::to_string(&DataSource::Prepared(own)).unwrap();
        assert_eq!(known(elsewhere), known(plain));
    }

    #[test]
    fn keys_of_other_sources_are_refused_with_what_they_are_for() {
        for (lines, said) in [
            ("prepared = \"a\"\nxrec = \"amazon\"", "one of `synthetic`, `xrec` and `prepared`"),
            ("prepared = \"a\"\nbeside = [\"google\"]", "only verticals"),
            ("prepared = \"a\"\nsplit = \"mine\"", "mine"),
            ("prepared = \"a\"\nfolder = \"b\"", "folder"),
            ("prepared = 7", "prepared"),
            ("prepared = \"a\"\nreviews = 7", "reviews"),
            ("xrec = \"amazon\"\nsplit = \"folder\"", "`split`"),
            ("xrec = \"amazon\"\nreviews = \"r.json\"", "`reviews`"),
            ("synthetic = {}\nreviews = \"r.json\"", "itself"),
            ("prepared = \"a\"\nkept_purchases = 0.0", "kept_purchases"),
            ("prepared = \"a\"\nkept_purchases = 1.5", "kept_purchases"),
            ("prepared = \"a\"\nkept_purchases = nan", "kept_purchases"),
        ] {
            let refused = data(lines).unwrap_err();
            assert!(refused.contains(said), "{lines}: {refused}");
        }
    }
}
