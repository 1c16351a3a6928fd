//! Numbers that others published, to stand in a report beside what was found: from a file that says where they are from.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::document::{Block, Entry};

/// What a file of published numbers holds.
///
/// ```
/// use regen_examples::ablation::Published;
///
/// let published = Published::parse(r#"
///     source = "Doe 2024, table 3"
///     [[values]]
///     data = "Office"
///     arm = "fusion"
///     metric = "BLEU"
///     value = 12.3
/// "#)?;
/// assert_eq!(published.values[0].value, 12.3);
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Paper, version and table: whatever leads a reader to them.
    pub source: String,
    /// The numbers.
    pub values: Vec<PublishedValue>,
}

/// One number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedValue {
    /// The data set, as its authors call it.
    pub data: String,
    /// The arm or model.
    pub arm: String,
    /// The metric, with what its name leaves open.
    pub metric: String,
    /// The number, on its authors' scale.
    pub value: f64,
}

impl Published {
    /// Reads a file.
    ///
    /// # Errors
    /// With the file, and the key that is missing, unknown or empty.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} holds no published numbers", path.display()))
    }

    /// Reads its text.
    ///
    /// # Errors
    /// Those of [`Published::read`], without the file.
    pub fn parse(text: &str) -> Result<Self> {
        let published: Self = toml::from_str(text)?;
        ensure!(!published.source.trim().is_empty(), "source: say where the numbers are from");
        ensure!(!published.values.is_empty(), "values: the list is empty");
        for value in &published.values {
            ensure!(value.value.is_finite(), "values: {} of {} is no number", value.metric, value.arm);
        }
        Ok(published)
    }

    /// For a report. They stand apart: other data, other texts and often another way to compute a metric of the same name.
    pub(super) fn blocks(&self) -> Vec<Block> {
        let row = |value: &PublishedValue| {
            let PublishedValue { data, arm, metric, value } = value;
            [data.clone(), arm.clone(), metric.clone(), value.to_string()].map(Entry::from).to_vec()
        };
        let columns = ["data", "arm", "metric", "value"].map(str::to_owned).to_vec();
        vec![
            Block::Heading(2, "Published elsewhere".to_owned()),
            Block::Table(columns, self.values.iter().map(row).collect()),
            Block::Note(format!(
                "From {}, as given to this program. Other data and other texts; a metric of the same name may have been computed \
                 otherwise. Compare the order of the arms, not the numbers.",
                self.source
            )),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_without_a_source_or_a_meaning_are_refused() {
        let good =
            "source = \"Doe 2024\"\n[[values]]\ndata = \"a\"\narm = \"cf\"\nmetric = \"BLEU\"\nvalue = 1.5\n";
        assert_eq!(Published::parse(good).unwrap().blocks().len(), 3);
        for (from, to, named) in [
            ("\"Doe 2024\"", "\" \"", "source"),
            ("source = \"Doe 2024\"\n", "", "source"),
            ("metric = \"BLEU\"\n", "", "metric"),
            ("value = 1.5", "value = nan", "no number"),
            ("value = 1.5", "value = 1.5\nsigma = 2", "sigma"),
        ] {
            let refused = format!("{:#}", Published::parse(&good.replace(from, to)).unwrap_err());
            assert!(refused.contains(named), "{refused}");
        }
        let empty = format!("{:#}", Published::parse("source = \"Doe\"\nvalues = []").unwrap_err());
        assert!(empty.contains("values"), "{empty}");
    }
}
