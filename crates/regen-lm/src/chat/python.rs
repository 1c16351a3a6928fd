//! Where Jinja in Python and the template engine write values differently: JSON as `json.dumps` writes it, and what `{{ }}` shows.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};

/// A JSON value as the template sees it.
pub(super) fn value(json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::from(()),
        Json::Bool(flag) => Value::from(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Value::from(whole),
            (None, Some(whole)) => Value::from(whole),
            (None, None) => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(list) => list.iter().map(value).collect::<Vec<Value>>().into(),
        Json::Object(map) => Value::from_pairs(map.iter().map(|(name, entry)| (name.as_str(), value(entry)))),
    }
}

/// The filter `tojson`: `json.dumps` with `ensure_ascii=False`, and its arguments.
pub(super) fn tojson(value: &Value, kwargs: Kwargs) -> Result<String, Error> {
    let ascii = kwargs.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    let indent = kwargs.get::<Option<usize>>("indent")?;
    let sorted = kwargs.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    let separators = kwargs.get::<Option<Value>>("separators")?.filter(|given| !given.is_none());
    kwargs.assert_all_used()?;
    let (mut item, mut key) = ((if indent.is_some() { "," } else { ", " }).to_owned(), ": ".to_owned());
    if let Some(separators) = separators {
        let pair: Vec<Value> = separators.try_iter()?.collect();
        if let [first, second] = &pair[..] {
            (item, key) = (first.to_string(), second.to_string());
        }
    }
    let style = Style { ascii, indent, sorted, item, key };
    let mut out = String::new();
    style.write(&mut out, value, 0)?;
    Ok(out)
}

struct Style {
    ascii: bool,
    indent: Option<usize>,
    sorted: bool,
    item: String,
    key: String,
}

impl Style {
    fn write(&self, out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        match value.kind() {
            ValueKind::None => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => out.push_str(&number(value)),
            ValueKind::String => self.text(out, &value.to_string()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.list(out, ['[', ']'], &items, depth, |out, item| self.write(out, item, depth + 1))?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sorted {
                    keys.sort_by_key(ToString::to_string);
                }
                self.list(out, ['{', '}'], &keys, depth, |out, name| {
                    self.text(out, &name.to_string());
                    out.push_str(&self.key);
                    self.write(out, &value.get_item(name)?, depth + 1)
                })?;
            }
            other => {
                let message = format!("{other} cannot be written as JSON");
                return Err(Error::new(ErrorKind::InvalidOperation, message));
            }
        }
        Ok(())
    }

    fn list(
        &self,
        out: &mut String,
        [open, close]: [char; 2],
        items: &[Value],
        depth: usize,
        mut one: impl FnMut(&mut String, &Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        out.push(open);
        let line = |out: &mut String, depth: usize| {
            if let Some(indent) = self.indent {
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', indent * depth));
            }
        };
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                out.push_str(&self.item);
            }
            line(out, depth + 1);
            one(out, item)?;
        }
        if !items.is_empty() {
            line(out, depth);
        }
        out.push(close);
        Ok(())
    }

    fn text(&self, out: &mut String, text: &str) {
        out.push('"');
        for letter in text.chars() {
            match letter {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                letter if letter < ' ' || (self.ascii && !letter.is_ascii()) => {
                    for unit in letter.encode_utf16(&mut [0; 2]) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                letter => out.push(letter),
            }
        }
        out.push('"');
    }
}

/// A number as Python shows it.
fn number(value: &Value) -> String {
    match f64::try_from(value.clone()) {
        Ok(float) if !value.is_integer() => {
            let text = format!("{float:?}");
            match text.split_once('e') {
                Some((digits, power)) => {
                    let (sign, power) = match power.strip_prefix('-') {
                        Some(power) => ('-', power),
                        None => ('+', power),
                    };
                    format!("{}e{sign}{power:0>2}", digits.strip_suffix(".0").unwrap_or(digits))
                }
                None => text,
            }
        }
        _ => value.to_string(),
    }
}

/// What `{{ }}` shows of a value.
pub(super) fn shown(value: &Value) -> Result<String, Error> {
    Ok(match value.kind() {
        ValueKind::None => "None".to_owned(),
        ValueKind::Bool => (if value.is_true() { "True" } else { "False" }).to_owned(),
        ValueKind::Number => number(value),
        ValueKind::Seq => {
            let items = value.try_iter()?.map(|item| quoted(&item)).collect::<Result<Vec<_>, _>>()?;
            format!("[{}]", items.join(", "))
        }
        ValueKind::Map => {
            let pair = |name: Value| Ok(format!("{}: {}", quoted(&name)?, quoted(&value.get_item(&name)?)?));
            let pairs = value.try_iter()?.map(pair).collect::<Result<Vec<String>, Error>>()?;
            format!("{{{}}}", pairs.join(", "))
        }
        _ => value.to_string(),
    })
}

/// As Python's `repr`.
fn quoted(value: &Value) -> Result<String, Error> {
    let Some(text) = value.as_str() else { return shown(value) };
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            letter if letter == quote => out.extend(['\\', quote]),
            letter => out.push(letter),
        }
    }
    out.push(quote);
    Ok(out)
}
