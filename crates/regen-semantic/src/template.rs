//! How a record of a catalogue becomes the text that is embedded.

use serde_json::{Map, Value};

use crate::{Error, Result};

/// A template such as `{title}. {brand}. {description:60}`: fields in braces, after a colon the most words of one.
///
/// A literal part stands only between two fields that both have a value, so an absent brand leaves no stray comma; the
/// literals before the first field and after the last stand around any text. Lists are joined by `, `; numbers are written as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemText {
    source: String,
    fields: Vec<Field>,
    /// After the last field.
    end: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    /// The literal text before it.
    before: String,
    name: String,
    most_words: Option<usize>,
}

impl ItemText {
    /// Reads a template.
    ///
    /// # Errors
    /// [`Error::Template`] if a brace is not closed, a field has no name, a length is not a positive number, or there is no
    /// field.
    pub fn parse(template: &str) -> Result<Self> {
        let failed = |reason: &'static str| Error::Template { template: template.to_owned(), reason };
        let mut fields = Vec::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let (inside, later) = after.split_once('}').ok_or_else(|| failed("a brace is not closed"))?;
            let (name, most_words) = match inside.split_once(':') {
                None => (inside, None),
                Some((name, words)) => match words.parse() {
                    Ok(words) if words > 0 => (name, Some(words)),
                    _ => return Err(failed("a length is not a positive number of words")),
                },
            };
            if name.trim().is_empty() {
                return Err(failed("a field has no name"));
            }
            fields.push(Field { before: before.to_owned(), name: name.trim().to_owned(), most_words });
            rest = later;
        }
        if fields.is_empty() {
            return Err(failed("it names no field"));
        }
        Ok(Self { source: template.to_owned(), fields, end: rest.to_owned() })
    }

    /// As it was given to [`ItemText::parse`].
    pub fn template(&self) -> &str {
        &self.source
    }

    /// The fields that it reads, in order, each with the most words of it that are read.
    pub fn fields(&self) -> impl Iterator<Item = (&str, Option<usize>)> {
        self.fields.iter().map(|field| (field.name.as_str(), field.most_words))
    }

    /// The text of a record; empty if it has none of the fields.
    pub fn render(&self, record: &Map<String, Value>) -> String {
        let mut text = String::new();
        for field in &self.fields {
            let value = record.get(&field.name).map(plain).unwrap_or_default();
            let words: Vec<&str> =
                value.split_whitespace().take(field.most_words.unwrap_or(usize::MAX)).collect();
            if words.is_empty() {
                continue;
            }
            text += if text.is_empty() { &self.fields[0].before } else { &field.before };
            text += &words.join(" ");
        }
        if text.is_empty() { text } else { text + &self.end }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => {
            let parts: Vec<String> = values.iter().map(plain).filter(|part| !part.is_empty()).collect();
            parts.join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, record: Value, expected: &str) {
        let Value::Object(record) = record else { panic!("not a record") };
        assert_eq!(ItemText::parse(template).unwrap().render(&record), expected);
    }

    #[test]
    fn fields_are_cut_joined_and_left_out() {
        let template = "{title}. by {brand}. {description:3}!";
        let full = serde_json::json!({"title": "Gel  pen", "brand": "Uni", "description": ["one two", "three four"]});
        check(template, full, "Gel pen. by Uni. one two, three!");
        check(template, serde_json::json!({"title": "Pen", "brand": null, "description": "x"}), "Pen. x!");
        check(template, serde_json::json!({"brand": "Uni"}), "Uni!");
        check(template, serde_json::json!({"other": 1}), "");
        let fields: Vec<(String, Option<usize>)> = ItemText::parse(template)
            .unwrap()
            .fields()
            .map(|(name, words)| (name.to_owned(), words))
            .collect();
        assert_eq!(fields[1..], [("brand".to_owned(), None), ("description".to_owned(), Some(3))]);
        check("Item: {title}. {brand}", serde_json::json!({"brand": "Uni"}), "Item: Uni");
        check("price {price}", serde_json::json!({"price": 2.5}), "price 2.5");
    }

    #[test]
    fn a_broken_template_is_refused_with_its_reason() {
        for (template, wanted) in
            [("{title", "closed"), ("{}", "name"), ("{a:0}", "length"), ("plain", "no field")]
        {
            assert!(ItemText::parse(template).unwrap_err().to_string().contains(wanted), "{template}");
        }
    }
}
