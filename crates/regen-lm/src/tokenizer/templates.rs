//! Chat templates as files: `chat_template.jinja`, `additional_chat_templates`, and the field of `tokenizer_config.json`.

use std::path::Path;

use serde_json::{Map, Value};

use super::settings::wrong;
use crate::error::{Error, Result};

const FILE: &str = "chat_template.jinja";
const FOLDER: &str = "additional_chat_templates";
const FIELD: &str = "chat_template";

/// The name of the template that is meant where none is named.
pub(crate) const DEFAULT: &str = "default";

/// A chat template with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedTemplate {
    pub(crate) name: String,
    pub(crate) source: String,
}

/// The templates of a folder. As in transformers, files go before the field of the configuration at `path`.
pub(super) fn read(dir: &Path, path: &Path, config: &Map<String, Value>) -> Result<Vec<NamedTemplate>> {
    let of_field = of_field(path, config.get(FIELD))?;
    let mut found = Vec::new();
    let mut add = |name: &str, source: String| found.push(NamedTemplate { name: name.to_owned(), source });
    let text = |path: &Path| std::fs::read_to_string(path).map_err(Error::io("read", path));
    let (file, folder) = (dir.join(FILE), dir.join(FOLDER));
    if file.exists() {
        add(DEFAULT, text(&file)?);
    }
    if folder.is_dir() {
        let entries = std::fs::read_dir(&folder).map_err(Error::io("read", &folder))?;
        let mut paths = entries
            .map(|entry| entry.map(|entry| entry.path()).map_err(Error::io("read", &folder)))
            .collect::<Result<Vec<_>>>()?;
        paths.sort();
        for path in paths {
            if let (Some(name), true) = (
                path.file_stem().and_then(|name| name.to_str()),
                path.extension().is_some_and(|extension| extension == "jinja"),
            ) {
                add(name, text(&path)?);
            }
        }
    }
    Ok(if found.is_empty() { of_field } else { found })
}

fn of_field(path: &Path, value: Option<&Value>) -> Result<Vec<NamedTemplate>> {
    let wrong =
        |value: &Value| wrong(path, FIELD, "a template, or a list of templates with their names", value);
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(source)) => {
            Ok(vec![NamedTemplate { name: DEFAULT.to_owned(), source: source.clone() }])
        }
        Some(Value::Array(list)) => list
            .iter()
            .map(|entry| {
                let text = |field: &str| entry.get(field).and_then(Value::as_str).map(str::to_owned);
                let (name, source) = text("name").zip(text("template")).ok_or_else(|| wrong(entry))?;
                // It becomes the name of a file.
                if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', ':']) {
                    return Err(wrong(&Value::String(name)));
                }
                Ok(NamedTemplate { name, source })
            })
            .collect(),
        Some(other) => Err(wrong(other)),
    }
}

/// Writes templates as files.
pub(super) fn write(dir: &Path, templates: &[NamedTemplate]) -> Result<()> {
    for NamedTemplate { name, source } in templates {
        let path = if name == DEFAULT {
            dir.join(FILE)
        } else {
            let folder = dir.join(FOLDER);
            std::fs::create_dir_all(&folder).map_err(Error::io("make", &folder))?;
            folder.join(format!("{name}.jinja"))
        };
        crate::files::write(&path, source.as_bytes())?;
    }
    Ok(())
}
