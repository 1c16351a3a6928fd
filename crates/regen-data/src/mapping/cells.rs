//! One value of a record, whatever file it comes from, and what can be made of it.

use std::borrow::Cow;

use serde_json::Value;

use super::config::InteractionFields;
use super::times::TimeUnit;
use crate::Error;
use crate::Result;
use crate::amazon::{Price, category_levels};
use crate::records::Place;
use crate::text::clean_text;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    /// The record does not have the field.
    Absent,
    /// It has, with nothing in it.
    Empty,
    Text(Cow<'a, str>),
    Integer(i64),
    Float(f64),
    /// A typed time: seconds since 1970-01-01 UTC, whatever unit the mapping names.
    #[cfg_attr(not(feature = "parquet"), expect(dead_code, reason = "only Parquet has typed times"))]
    Time(i64),
    Flag(bool),
    List(Vec<Cell<'a>>),
    /// An object, or bytes.
    Other,
}

/// What stands at a dotted path of a JSON value; see [`Mapping`](super::Mapping).
pub(super) fn at_path<'a>(value: &'a Value, path: &str) -> Cell<'a> {
    match value {
        Value::Object(object) => match object.get(path) {
            Some(value) => cell(value),
            None => match path.split_once('.') {
                Some((head, rest)) => object.get(head).map_or(Cell::Absent, |value| at_path(value, rest)),
                None => Cell::Absent,
            },
        },
        Value::Array(elements) => {
            let found = elements.iter().map(|element| at_path(element, path));
            Cell::List(found.filter(|cell| *cell != Cell::Absent).collect())
        }
        _ => Cell::Absent,
    }
}

fn cell(value: &Value) -> Cell<'_> {
    match value {
        Value::Null => Cell::Empty,
        Value::Bool(flag) => Cell::Flag(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Cell::Integer(number),
            None => number.as_f64().map_or(Cell::Other, Cell::Float),
        },
        Value::String(text) => Cell::text(text),
        Value::Array(elements) => Cell::List(elements.iter().map(cell).collect()),
        Value::Object(_) => Cell::Other,
    }
}

impl<'a> Cell<'a> {
    pub(super) fn text(text: &'a str) -> Self {
        match text.trim() {
            "" => Self::Empty,
            text => Self::Text(Cow::Borrowed(text)),
        }
    }

    fn shown(&self) -> String {
        let text = match self {
            Self::Absent | Self::Empty => String::new(),
            Self::Text(text) => text.to_string(),
            Self::Integer(number) | Self::Time(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::List(_) => "a list".into(),
            Self::Other => "an object".into(),
        };
        text.chars().take(40).collect()
    }

    /// All texts in it, one after another.
    fn texts(&self, into: &mut Vec<String>) {
        match self {
            Self::List(cells) => cells.iter().for_each(|cell| cell.texts(into)),
            Self::Absent | Self::Empty | Self::Other => {}
            other => into.push(match other {
                Self::Text(text) => text.to_string(),
                other => other.shown(),
            }),
        }
    }
}

/// The cells of one record, in the order of the fields that were asked for, and where it stands.
pub(super) struct Row<'r> {
    pub(super) cells: &'r [Cell<'r>],
    pub(super) fields: &'r [String],
    pub(super) place: Place<'r>,
}

impl Row<'_> {
    fn cell(&self, field: Option<usize>) -> &Cell<'_> {
        field.and_then(|field| self.cells.get(field)).unwrap_or(&Cell::Absent)
    }

    fn invalid(&self, field: Option<usize>, expected: &'static str) -> Error {
        Error::InvalidField {
            path: self.place.path.to_owned(),
            line: self.place.line,
            field: field.and_then(|field| self.fields.get(field)).cloned().unwrap_or_default(),
            expected,
            got: self.cell(field).shown(),
        }
    }

    /// A user's or item's name.
    pub(super) fn name(&self, field: usize) -> Result<Cow<'_, str>> {
        match self.cell(Some(field)) {
            Cell::Text(text) => Ok(Cow::Borrowed(text.as_ref())),
            Cell::Integer(number) => Ok(Cow::Owned(number.to_string())),
            // Data frames write whole numbers as `7.0` where another row of the column is empty.
            Cell::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
                Ok(Cow::Owned(format!("{number:.0}")))
            }
            Cell::Absent | Cell::Empty => {
                Err(self.place.missing(self.fields.get(field).map_or("name", String::as_str)))
            }
            _ => Err(self.invalid(Some(field), "a text or a whole number")),
        }
    }

    /// A number, if the field has a value.
    pub(super) fn number(&self, field: Option<usize>) -> Result<Option<f64>> {
        let number = match self.cell(field) {
            Cell::Absent | Cell::Empty => return Ok(None),
            Cell::Integer(number) => Some(*number as f64),
            Cell::Float(number) => Some(*number),
            Cell::Text(text) => text.parse().ok(),
            _ => None,
        };
        match number.filter(|number| number.is_finite()) {
            Some(number) => Ok(Some(number)),
            None => Err(self.invalid(field, "a number")),
        }
    }

    /// Seconds since 1970-01-01 UTC, if the field has a value.
    pub(super) fn time(&self, field: Option<usize>, fields: &InteractionFields) -> Result<Option<i64>> {
        let unit = fields.time_unit;
        let of_float = |number: f64| match unit {
            // Fractions of days and seconds are common, and 64-bit floats hold both.
            TimeUnit::Days => Some((number * 86_400.0).floor() as i64),
            _ => unit.seconds(number.floor() as i64),
        };
        let seconds = match self.cell(field) {
            Cell::Absent | Cell::Empty => return Ok(None),
            Cell::Time(seconds) => Some(*seconds),
            Cell::Integer(number) => unit.seconds(*number),
            Cell::Float(number) => Some(*number).filter(|number| number.is_finite()).and_then(of_float),
            Cell::Text(text) => match text.parse::<i64>() {
                Ok(number) => unit.seconds(number),
                Err(_) => match text.parse::<f64>() {
                    Ok(number) if number.is_finite() => of_float(number),
                    _ => fields.date_order.seconds(text),
                },
            },
            _ => None,
        };
        match seconds {
            Some(seconds) => Ok(Some(seconds)),
            None => Err(self.invalid(field, fields.date_order.expected())),
        }
    }

    /// The text as it stands, lists joined by blanks.
    pub(super) fn raw_text(&self, field: Option<usize>) -> Option<String> {
        let mut texts = Vec::new();
        self.cell(field).texts(&mut texts);
        (!texts.is_empty()).then(|| texts.join(" "))
    }

    /// The text without markup.
    pub(super) fn clean_text(&self, field: Option<usize>) -> Option<String> {
        self.raw_text(field).as_deref().and_then(clean_text)
    }

    /// The levels of a category.
    pub(super) fn category(&self, field: Option<usize>, separator: Option<&str>) -> Vec<String> {
        let split = |text: String| -> Vec<String> {
            match separator.filter(|separator| !separator.is_empty()) {
                Some(separator) => text.split(separator).map(str::to_owned).collect(),
                None => vec![text],
            }
        };
        let texts = |cell: &Cell<'_>| {
            let mut texts = Vec::new();
            cell.texts(&mut texts);
            texts.into_iter().flat_map(split).collect::<Vec<String>>()
        };
        match self.cell(field) {
            // A list of lists, or of texts that are paths themselves: several paths.
            Cell::List(cells)
                if cells.iter().any(|cell| matches!(cell, Cell::List(_)) || texts(cell).len() > 1) =>
            {
                category_levels(cells.iter().map(texts).collect())
            }
            cell => category_levels(vec![texts(cell)]),
        }
    }

    /// The price.
    pub(super) fn price(&self, field: Option<usize>) -> Price {
        match self.cell(field) {
            Cell::Float(number) if *number > 0.0 && number.is_finite() => Price::One(*number),
            Cell::Integer(number) if *number > 0 => Price::One(*number as f64),
            _ => self.raw_text(field).map_or(Price::Missing, |text| Price::parse(&text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_go_into_objects_and_lists_and_find_keys_with_dots() {
        let value: Value = serde_json::from_str(
            r#"{"a": {"b": [{"c": "x"}, {"d": 1}, {"c": null}, {"c": ["y"]}]}, "p.q": 7, "r": {"s.t": true}}"#,
        )
        .unwrap();
        let list = Cell::List(vec![Cell::text("x"), Cell::Empty, Cell::List(vec![Cell::text("y")])]);
        assert_eq!(at_path(&value, "a.b.c"), list);
        assert_eq!(at_path(&value, "p.q"), Cell::Integer(7));
        assert_eq!(at_path(&value, "r.s.t"), Cell::Flag(true));
        assert_eq!(at_path(&value, "a"), Cell::Other);
        for absent in ["z", "a.z", "p", "p.q.r", ""] {
            assert_eq!(at_path(&value, absent), Cell::Absent, "{absent}");
        }
    }

    #[test]
    fn values_are_read_or_refused_with_their_place() {
        let fields = ["f".to_owned()];
        let path = std::path::Path::new("x");
        let row = |cell: &[Cell<'_>], read: &dyn Fn(&Row<'_>) -> Result<String>| {
            read(&Row { cells: cell, fields: &fields, place: Place { path, line: 3 } })
                .unwrap_or_else(|error| error.to_string())
        };
        let name = |row: &Row<'_>| row.name(0).map(Cow::into_owned);
        assert_eq!(row(&[Cell::Float(12.0)], &name), "12");
        assert_eq!(row(&[Cell::Empty], &name), "x:3: no f");
        assert_eq!(
            row(&[Cell::Flag(true)], &name),
            "x:3: f should be a text or a whole number, got \"true\""
        );
        let number = |row: &Row<'_>| row.number(Some(0)).map(|number| format!("{number:?}"));
        assert_eq!(row(&[Cell::text(" 4.5 ")], &number), "Some(4.5)");
        assert_eq!(row(&[Cell::text("inf")], &number), "x:3: f should be a number, got \"inf\"");
        let category = |row: &Row<'_>| Ok(row.category(Some(0), Some("/")).join("|"));
        assert_eq!(row(&[Cell::text("A / B&amp;C /B&C")], &category), "A|B&C");
        let paths = Cell::List(vec![Cell::text("A/B"), Cell::text("A/C/D")]);
        assert_eq!(row(&[paths], &category), "A|C|D", "of several paths the longest");
    }
}
