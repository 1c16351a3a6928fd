//! The texts that are embedded: lines of a file, or what a template makes of records or of a prepared folder's items. They are read
//! as often as needed and never held together. A prepared folder is held only where reviews say something of its items, or where
//! its tables are Parquet.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use regen_data::Dataset;
use regen_data::prepared::{self, TableFormat};
use regen_semantic::{ItemText, TextsHash};
use serde_json::Value;

use crate::item_reviews::{ItemReviews, MOST_WORDS, REVIEWS, training_reviews};
use crate::pipeline::{self, item_records};

/// The texts of a run.
#[derive(Debug)]
pub struct ItemTexts {
    path: PathBuf,
    source: Source,
    template: ItemText,
}

#[derive(Debug)]
enum Source {
    Lines,
    JsonLines,
    /// The items of a prepared folder, line by line.
    ItemLines,
    /// The same of a folder that is held.
    Items {
        dataset: Box<Dataset>,
        reviews: Option<ItemReviews>,
    },
}

/// What one reading of all texts says of them.
#[derive(Debug, PartialEq, Eq)]
pub struct Survey {
    /// How many there are.
    pub texts: usize,
    /// The hash of all, so that a change is noticed whether it comes from a file, the template, the reviews, or how these are cleaned.
    pub hash: String,
    /// The rows of which the template makes nothing: such items have no vector, whatever an encoder says.
    pub empty: Vec<usize>,
}

impl ItemTexts {
    /// The texts of a `.txt` file, a `.jsonl` file, or a prepared folder; of a folder with what `reviews` say of its items, where the
    /// template asks for it.
    ///
    /// # Errors
    /// If the path is none of these, the template is broken or asks for reviews that are not given (or the other way round), or a
    /// folder or its reviews cannot be read.
    pub fn open(path: &Path, template: &str, reviews: &[PathBuf]) -> Result<Self> {
        let template = ItemText::parse(template)?;
        let asked = template.fields().find(|(name, _)| *name == REVIEWS);
        let mut path = path.to_owned();
        let source = match path.extension().and_then(|extension| extension.to_str()) {
            _ if path.is_dir() => {
                let given = !reviews.is_empty();
                ensure!(
                    asked.is_some() == given,
                    "{{{REVIEWS}}} in the template and --reviews belong together"
                );
                let format = prepared::verify(&path)?;
                match asked {
                    None if format == TableFormat::Text => {
                        path.push(prepared::ITEMS);
                        Source::ItemLines
                    }
                    None => Source::Items { dataset: Box::new(prepared::read(&path)?), reviews: None },
                    Some((_, words)) => {
                        let dataset = Box::new(prepared::read(&path)?);
                        let split = pipeline::read_split(&path, &dataset)?;
                        let words = words.unwrap_or(MOST_WORDS);
                        let reviews = Some(training_reviews(reviews, &dataset, &split, words)?);
                        Source::Items { dataset, reviews }
                    }
                }
            }
            _ if !path.exists() => bail!("there is no file or folder {}", path.display()),
            _ if !reviews.is_empty() => {
                bail!("--reviews belong to a prepared folder, and {} is a file", path.display())
            }
            Some("txt") => Source::Lines,
            Some("jsonl") => Source::JsonLines,
            _ => bail!("{} is neither .txt nor .jsonl nor a folder", path.display()),
        };
        Ok(Self { path, source, template })
    }

    /// Whether a template makes them.
    pub fn of_records(&self) -> bool {
        !matches!(self.source, Source::Lines)
    }

    /// Whether they are those of a prepared folder's items.
    pub fn of_items(&self) -> bool {
        matches!(self.source, Source::Items { .. } | Source::ItemLines)
    }

    /// Reviews that were left out because they give orders to a model.
    pub fn instructing_reviews(&self) -> usize {
        match &self.source {
            Source::Items { reviews: Some(reviews), .. } => reviews.instructing,
            _ => 0,
        }
    }

    /// Reads all once.
    ///
    /// # Errors
    /// As [`rows`](Self::rows).
    pub fn survey(&self) -> Result<Survey> {
        let (mut texts, mut hash, mut empty) = (0, TextsHash::default(), Vec::new());
        for text in self.rows()? {
            let text = text?;
            if text.is_empty() {
                empty.push(texts);
            }
            hash = hash.and(&text);
            texts += 1;
        }
        Ok(Survey { texts, hash: hash.finish(), empty })
    }

    /// The texts in their order.
    ///
    /// # Errors
    /// If the file cannot be opened; of a text, if its line cannot be read or is not what it should be, with the line's number.
    pub fn rows(&self) -> Result<Box<dyn Iterator<Item = Result<String>> + '_>> {
        if let Source::Items { dataset, reviews } = &self.source {
            return Ok(Box::new(item_records(dataset).enumerate().map(move |(item, record)| {
                let mut record = record?;
                if let Some(reviews) = reviews {
                    record.insert(REVIEWS.into(), reviews.said[item].as_str().into());
                }
                Ok(self.template.render(&record))
            })));
        }
        let file = File::open(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        Ok(Box::new(BufReader::new(file).lines().enumerate().map(|(index, line)| {
            let at = || format!("{}, line {}", self.path.display(), index + 1);
            let line = line.with_context(at)?;
            if !self.of_records() {
                return Ok(line);
            }
            match serde_json::from_str(&line).with_context(at)? {
                Value::String(text) => Ok(text),
                Value::Object(record) => Ok(self.template.render(&record)),
                _ => bail!("{}: neither an object nor a string", at()),
            }
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regen_data::synthetic::SyntheticConfig;

    fn written(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    #[test]
    fn a_change_of_file_or_template_is_seen_in_the_hash_and_one_that_changes_no_text_is_not() {
        let survey = |line: &str, template: &str| {
            let (_dir, path) = written("items.jsonl", &format!("{line}\n\"ink\"\n{{}}\n"));
            ItemTexts::open(&path, template, &[]).unwrap().survey().unwrap()
        };
        let pen = survey(r#"{"title": "pen", "brand": "Uni"}"#, "{title}");
        assert_eq!((pen.texts, pen.empty.as_slice()), (3, [2].as_slice()));
        assert_eq!(pen, survey(r#"{"brand": "Bic", "title": "pen"}"#, "{title:9}"));
        assert_ne!(pen.hash, survey(r#"{"title": "pens"}"#, "{title}").hash);
        assert_ne!(pen.hash, survey(r#"{"title": "pen", "brand": "Uni"}"#, "{title} {brand}").hash);
    }

    #[test]
    fn a_bad_line_is_named_before_anything_is_embedded() {
        let (_dir, path) = written("items.jsonl", "\"fine\"\n[1]\n");
        let error = ItemTexts::open(&path, "{title}", &[]).unwrap().survey().unwrap_err();
        assert!(error.to_string().contains("line 2: neither an object nor a string"), "{error}");
        let (_dir, path) = written("items.csv", "");
        let error = ItemTexts::open(&path, "{title}", &[]).unwrap_err();
        assert!(error.to_string().contains("neither .txt nor .jsonl"), "{error}");
        let (_other, lines) = written("a.txt", "");
        let error = ItemTexts::open(&lines, "{title}", &[path]).unwrap_err();
        assert!(error.to_string().contains("belong to a prepared folder"), "{error}");
    }

    #[test]
    fn items_of_a_folder_give_the_texts_that_they_give_held_in_memory_and_a_changed_folder_is_refused() {
        let config = SyntheticConfig { users: 40, items: 130, mean_history: 6.0, ..Default::default() };
        let mut dataset = config.generate().unwrap().dataset;
        dataset.catalogue[3] = None;
        let dir = tempfile::tempdir().unwrap();
        prepared::write(dir.path(), &dataset, None).unwrap();
        let lines = ItemTexts::open(dir.path(), "{title} {brand} {category}", &[]).unwrap();
        assert!(lines.of_items() && matches!(lines.source, Source::ItemLines));
        let held = ItemTexts {
            path: dir.path().to_owned(),
            source: Source::Items { dataset: Box::new(dataset), reviews: None },
            template: ItemText::parse("{title} {brand} {category}").unwrap(),
        };
        let survey = lines.survey().unwrap();
        assert_eq!(survey, held.survey().unwrap());
        assert_eq!((survey.texts, survey.empty.as_slice()), (130, [3].as_slice()));

        let items = dir.path().join(prepared::ITEMS);
        let changed = std::fs::read_to_string(&items).unwrap().replacen("title", "Title", 1);
        std::fs::write(&items, changed).unwrap();
        let error = ItemTexts::open(dir.path(), "{title}", &[]).unwrap_err();
        assert!(error.to_string().contains("items.jsonl"), "{error}");
    }
}
