//! What fields a file really has: names, types, share of missing values, an example of each. Documentation of data
//! sets is often older than the data.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Result;
use crate::csv_rows::{CsvLayout, CsvRows};
use crate::lines::{self, Lines};
use crate::records::Place;

/// How the records stand in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// One JSON value a line.
    JsonLines,
    /// One JSON list of records.
    JsonList,
    /// One JSON object, whose values are the records if they are objects or lists, else itself the one record.
    JsonObject,
    /// A table with a header, comma separated.
    Csv,
    /// A table with a header, tab separated.
    Tsv,
}

/// One field of a file's records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldReport {
    /// Where it stands: `history[].item.title`. `[]` is any element of a list.
    pub path: String,
    /// Its types, with how often each occurs: `string`, `empty`, `integer`, `float`, `boolean`, `null`, `list`,
    /// `object`. An empty string, list or object is `empty`.
    pub types: BTreeMap<String, u64>,
    /// In how many of the objects (or rows) that could hold it it is absent.
    pub absent: u64,
    /// In how many objects (or rows) it could stand.
    pub places: u64,
    /// The first value that is not empty, shortened.
    pub example: Option<String>,
}

impl FieldReport {
    /// The share of the places where there is no value: absent, null or empty.
    pub fn missing_share(&self) -> f64 {
        let nothing = |name: &str| self.types.get(name).copied().unwrap_or(0);
        match self.places {
            0 => 0.0,
            places => (self.absent + nothing("null") + nothing("empty")) as f64 / places as f64,
        }
    }
}

/// The fields of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// How the records stand in it.
    pub layout: Layout,
    /// How many records were looked at.
    pub records: u64,
    /// Whether there are more.
    pub truncated: bool,
    /// The fields: each is followed by those inside it, siblings in order of first appearance.
    pub fields: Vec<FieldReport>,
}

/// Looks at the first `limit` records of a file, plain or compressed: JSON lines, one JSON document, CSV or TSV.
/// Which it is is told by the content.
///
/// # Errors
/// Those of reading the file; the first line that does not parse is an error.
pub fn inspect(path: impl AsRef<Path>, limit: u64) -> Result<Inspection> {
    let path = path.as_ref();
    let mut lines = Lines::open(path)?;
    let head = loop {
        let place = Place { path, line: lines.number() + 1 };
        match lines.next_line()? {
            None => break String::new(),
            Some(line) if line.trim_ascii().is_empty() => {}
            Some(line) => break lines::utf8(line, path, place.line)?.trim().to_owned(),
        }
    };
    if !head.starts_with(['{', '[']) {
        return table(path, &head, limit);
    }
    // A document that begins with a complete value on its first line is one value a line.
    if serde_json::from_str::<serde::de::IgnoredAny>(&head).is_ok()
        && (!head.starts_with('[') || more_values(&mut lines)?)
    {
        return json_lines(path, limit);
    }
    document(path, limit)
}

fn more_values(lines: &mut Lines) -> Result<bool> {
    while let Some(line) = lines.next_line()? {
        if !line.trim_ascii().is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn json_lines(path: &Path, limit: u64) -> Result<Inspection> {
    let mut lines = Lines::open(path)?;
    let mut fields = Fields::default();
    let mut records = 0;
    loop {
        let place = Place { path, line: lines.number() + 1 };
        let Some(line) = lines.next_line()? else { break };
        if line.trim_ascii().is_empty() {
            continue;
        }
        if records == limit {
            return Ok(fields.report(Layout::JsonLines, records, true));
        }
        let value: Value = lines::json(line, path, place.line)?;
        fields.add("", &value);
        records += 1;
    }
    Ok(fields.report(Layout::JsonLines, records, false))
}

fn document(path: &Path, limit: u64) -> Result<Inspection> {
    let document: Value = lines::json_document(path)?;
    let mut fields = Fields::default();
    let (layout, records): (_, Vec<&Value>) = match &document {
        Value::Array(records) => (Layout::JsonList, records.iter().collect()),
        Value::Object(entries)
            if entries.len() > 1 && entries.values().all(|one| one.is_object() || one.is_array()) =>
        {
            (Layout::JsonObject, entries.values().collect())
        }
        other => (Layout::JsonObject, vec![other]),
    };
    let looked_at = records.len().min(usize::try_from(limit).unwrap_or(usize::MAX));
    for record in &records[..looked_at] {
        fields.add("", record);
    }
    Ok(fields.report(layout, looked_at as u64, looked_at < records.len()))
}

fn table(path: &Path, header: &str, limit: u64) -> Result<Inspection> {
    let layout = if header.contains('\t') { Layout::Tsv } else { Layout::Csv };
    let mut rows = CsvRows::open(path, CsvLayout { flexible: true, ..CsvLayout::default() })?;
    let names = rows.names()?;
    let mut fields = Fields::default();
    fields.objects.insert(String::new(), 0);
    let mut records = 0;
    while rows.advance()? {
        if records == limit {
            return Ok(fields.report(layout, records, true));
        }
        records += 1;
        *fields.objects.entry(String::new()).or_insert(0) += 1;
        for (name, cell) in names.iter().zip(rows.cells().iter()) {
            let text = String::from_utf8_lossy(cell);
            fields.note(name, "", cell_type(text.trim()), &text);
        }
    }
    // A column is there even if no row is.
    for name in &names {
        fields.field(name, "");
    }
    Ok(fields.report(layout, records, false))
}

fn cell_type(text: &str) -> &'static str {
    match text {
        "" => "empty",
        _ if text.parse::<i64>().is_ok() => "integer",
        _ if text.parse::<f64>().is_ok() => "float",
        _ => "string",
    }
}

#[derive(Default)]
struct Fields {
    order: Vec<String>,
    known: BTreeSet<String>,
    fields: BTreeMap<String, (FieldReport, String)>,
    /// How many objects stand at each path: the places for their fields.
    objects: BTreeMap<String, u64>,
}

impl Fields {
    fn field(&mut self, path: &str, parent: &str) -> &mut FieldReport {
        if self.known.insert(path.to_owned()) {
            self.order.push(path.to_owned());
        }
        let new = || {
            let report = FieldReport {
                path: path.to_owned(),
                types: BTreeMap::new(),
                absent: 0,
                places: 0,
                example: None,
            };
            (report, parent.to_owned())
        };
        &mut self.fields.entry(path.to_owned()).or_insert_with(new).0
    }

    fn note(&mut self, path: &str, parent: &str, kind: &'static str, example: &str) {
        const LONGEST_EXAMPLE: usize = 60;
        let field = self.field(path, parent);
        *field.types.entry(kind.to_owned()).or_insert(0) += 1;
        if field.example.is_none() && !matches!(kind, "empty" | "null" | "list" | "object") {
            let mut short: String = example.chars().take(LONGEST_EXAMPLE).collect();
            if short.len() < example.len() {
                short.push('…');
            }
            field.example = Some(short);
        }
    }

    /// Counts a value at `path`. The records themselves stand at the empty path.
    fn add(&mut self, path: &str, value: &Value) {
        match value {
            Value::Object(entries) => {
                *self.objects.entry(path.to_owned()).or_insert(0) += 1;
                for (name, value) in entries {
                    let field = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    self.note_value(&field, path, value);
                }
            }
            Value::Array(elements) => {
                let element = format!("{path}[]");
                for value in elements {
                    match value {
                        Value::Object(_) | Value::Array(_) => self.add(&element, value),
                        _ => self.note_value(&element, path, value),
                    }
                }
            }
            _ => self.note_value("(value)", "", value),
        }
    }

    fn note_value(&mut self, path: &str, parent: &str, value: &Value) {
        let (kind, example) = match value {
            Value::Null => ("null", String::new()),
            Value::Bool(truth) => ("boolean", truth.to_string()),
            Value::Number(number) if number.is_f64() => ("float", number.to_string()),
            Value::Number(number) => ("integer", number.to_string()),
            Value::String(text) if text.is_empty() => ("empty", String::new()),
            Value::String(text) => ("string", text.clone()),
            Value::Array(list) if list.is_empty() => ("empty", String::new()),
            Value::Object(object) if object.is_empty() => ("empty", String::new()),
            Value::Array(_) => ("list", String::new()),
            Value::Object(_) => ("object", String::new()),
        };
        self.note(path, parent, kind, &example);
        if matches!(kind, "list" | "object") {
            self.add(path, value);
        }
    }

    fn report(mut self, layout: Layout, records: u64, truncated: bool) -> Inspection {
        let objects = std::mem::take(&mut self.objects);
        let mut fields = Vec::with_capacity(self.order.len());
        for path in &self.order {
            let Some((mut field, parent)) = self.fields.remove(path) else { continue };
            let present: u64 = field.types.values().sum();
            // Elements of a list are not expected anywhere: they are where they are.
            field.places =
                if path.ends_with("[]") { present } else { objects.get(&parent).copied().unwrap_or(present) };
            field.absent = field.places.saturating_sub(present);
            fields.push(field);
        }
        // An object that is empty in the first record shows its fields only later: bring them behind it.
        let rank: BTreeMap<&str, usize> =
            self.order.iter().enumerate().map(|(at, path)| (path.as_str(), at)).collect();
        fields.sort_by_cached_key(|field| {
            let ends = field.path.match_indices(['.', '[']).map(|(at, _)| at).chain([field.path.len()]);
            ends.filter_map(|end| rank.get(&field.path[..end]).copied()).collect::<Vec<_>>()
        });
        Inspection { layout, records, truncated, fields }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn look(text: &str, limit: u64) -> Inspection {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        inspect(file.path(), limit).unwrap()
    }

    fn field<'a>(inspection: &'a Inspection, path: &str) -> &'a FieldReport {
        inspection.fields.iter().find(|field| field.path == path).unwrap_or_else(|| panic!("{inspection:?}"))
    }

    #[test]
    fn nested_fields_are_counted_against_the_objects_that_could_hold_them() {
        let text = r#"{"id": 1, "history": [{"item": {"title": "pen", "price": 2.5}}, {"item": {"title": ""}}]}
{"id": "x", "history": [], "last": null}
"#;
        let seen = look(text, 10);
        assert_eq!((seen.layout, seen.records, seen.truncated), (Layout::JsonLines, 2, false));
        let paths: Vec<_> = seen.fields.iter().map(|field| field.path.as_str()).collect();
        assert_eq!(
            paths,
            ["id", "history", "history[].item", "history[].item.title", "history[].item.price", "last"]
        );
        assert_eq!(field(&seen, "id").types.len(), 2);
        let price = field(&seen, "history[].item.price");
        assert_eq!((price.absent, price.places, price.missing_share()), (1, 2, 0.5));
        assert_eq!(field(&seen, "history[].item.title").missing_share(), 0.5, "an empty title is missing");
        assert_eq!(field(&seen, "last").missing_share(), 1.0);
        assert_eq!(field(&seen, "history").missing_share(), 0.5);
    }

    #[test]
    fn layouts_are_told_by_the_content() {
        let records = |seen: Inspection| (seen.layout, seen.records);
        assert_eq!(records(look("[\n {\"a\": 1},\n {\"a\": 2}\n]", 9)), (Layout::JsonList, 2));
        assert_eq!(records(look("[{\"a\": 1}, {\"a\": 2}]", 9)), (Layout::JsonList, 2));
        assert_eq!(records(look("{\n\"u\": [1, 2],\n\"v\": []\n}", 9)), (Layout::JsonObject, 2));
        assert_eq!(records(look("{\n\"u\": 1\n}", 9)), (Layout::JsonObject, 1));
        assert_eq!(records(look("a\tb\n1\t\n2\n", 9)), (Layout::Tsv, 2));
        assert_eq!(records(look("", 9)), (Layout::Csv, 0));
        let table = look("a,b\n1,\n2.5,x\n7,\n", 2);
        assert!(table.truncated);
        assert_eq!(field(&table, "b").missing_share(), 0.5);
        assert_eq!(field(&table, "a").types.keys().collect::<Vec<_>>(), ["float", "integer"]);
    }

    #[test]
    fn a_broken_line_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{\"a\": 1}\n{\"a\": }\n").unwrap();
        assert!(matches!(inspect(file.path(), 9), Err(Error::Json { line: 2, .. })));
    }
}
