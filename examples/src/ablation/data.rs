//! The data sets of a plan.

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
}

/// A data set as a plan writes it: a name, and one of the sources as a key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DataTable {
    name: String,
    synthetic: Option<SyntheticConfig>,
    xrec: Option<Vertical>,
    #[serde(default)]
    beside: Vec<Vertical>,
    #[serde(default)]
    cold_items: f64,
}

impl TryFrom<DataTable> for NamedData {
    type Error = String;

    fn try_from(table: DataTable) -> Result<Self, String> {
        let DataTable { name, synthetic, xrec, beside, cold_items } = table;
        let source = match (synthetic, xrec) {
            (Some(world), None) if beside.is_empty() => DataSource::Synthetic(world),
            (None, Some(vertical)) if beside.is_empty() => DataSource::Xrec(vertical),
            (None, Some(judged)) => {
                let mut all = beside.clone();
                all.push(judged);
                if (1..all.len()).any(|index| all[..index].contains(&all[index])) {
                    return Err(format!("data {name:?}: a vertical stands there twice"));
                }
                DataSource::XrecTogether { judged, beside }
            }
            (Some(_), None) => {
                return Err(format!("data {name:?}: only verticals have others `beside` them"));
            }
            _ => return Err(format!("data {name:?}: give one of `synthetic` and `xrec`")),
        };
        // With no item left there is nothing to factorise.
        if !(0.0..1.0).contains(&cold_items) {
            return Err(format!("data {name:?}: cold_items is a share from 0 to below 1, not {cold_items}"));
        }
        Ok(Self { name, source, cold_items })
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
}
