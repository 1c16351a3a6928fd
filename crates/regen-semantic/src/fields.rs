//! JSON objects read field by field: what is not taken is refused by name.

use std::path::Path;

use serde_json::{Map, Value};

use crate::{Error, Result};

/// A JSON object whose fields are taken one by one, so that what is left over can be named.
pub(crate) struct Fields<'a> {
    pub(crate) path: &'a Path,
    pub(crate) values: Map<String, Value>,
}

impl Fields<'_> {
    pub(crate) fn take(&mut self, field: &str) -> Result<Value> {
        self.values.remove(field).ok_or_else(|| self.invalid(field, "nothing", "a value".into()))
    }

    pub(crate) fn text(&mut self, field: &str) -> Result<String> {
        match self.take(field)? {
            Value::String(text) => Ok(text),
            other => Err(self.invalid(field, &other.to_string(), "a string".into())),
        }
    }

    pub(crate) fn positive(&mut self, field: &str) -> Result<i64> {
        let value = self.take(field)?;
        value
            .as_i64()
            .filter(|&n| n > 0)
            .ok_or_else(|| self.invalid(field, &value.to_string(), "a positive integer".into()))
    }

    /// An optional truth value.
    pub(crate) fn flag(&mut self, field: &str) -> Result<Option<bool>> {
        match self.values.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(on)) => Ok(Some(on)),
            Some(other) => Err(self.invalid(field, &other.to_string(), "true or false".into())),
        }
    }

    pub(crate) fn number(&mut self, field: &str) -> Result<f64> {
        let value = self.take(field)?;
        value
            .as_f64()
            .filter(|n| n.is_finite() && *n >= 0.0)
            .ok_or_else(|| self.invalid(field, &value.to_string(), "a number that is not negative".into()))
    }

    /// An optional number; `null` is none.
    pub(crate) fn optional_number(&mut self, field: &str) -> Result<Option<f64>> {
        if self.values.get(field).is_none_or(Value::is_null) {
            self.values.remove(field);
            return Ok(None);
        }
        self.number(field).map(Some)
    }

    /// An optional positive integer; `null` is none.
    pub(crate) fn optional_positive(&mut self, field: &str) -> Result<Option<i64>> {
        if self.values.get(field).is_none_or(Value::is_null) {
            self.values.remove(field);
            return Ok(None);
        }
        self.positive(field).map(Some)
    }

    /// An optional field with values that change nothing here.
    pub(crate) fn allow(&mut self, field: &str, harmless: &[&str]) -> Result<()> {
        let Some(value) = self.values.remove(field) else { return Ok(()) };
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if harmless.contains(&text.as_str()) { Ok(()) } else { Err(self.unsupported(field, &text)) }
    }

    /// Refuses what was not taken, unless it is named as harmless.
    pub(crate) fn finish_except(self, harmless: &[&str]) -> Result<()> {
        match self.values.iter().find(|(field, _)| !harmless.contains(&field.as_str())) {
            None => Ok(()),
            Some((field, value)) => Err(self.unsupported(field, &value.to_string())),
        }
    }

    pub(crate) fn unsupported(&self, field: &str, value: &str) -> Error {
        Error::UnsupportedConfig {
            path: self.path.to_owned(),
            field: field.to_owned(),
            value: value.to_owned(),
        }
    }

    pub(crate) fn invalid(&self, field: &str, value: &str, expected: String) -> Error {
        Error::InvalidConfig {
            path: self.path.to_owned(),
            field: field.to_owned(),
            value: value.to_owned(),
            expected,
        }
    }
}

/// Reads a file that must hold one JSON object.
pub(crate) fn read_object(path: &Path) -> Result<Map<String, Value>> {
    let text = read_text(path)?;
    serde_json::from_str(&text).map_err(|source| Error::Json { path: path.to_owned(), source })
}

pub(crate) fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.to_owned(), source })
}
