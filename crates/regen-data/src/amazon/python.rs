//! The 2014 metadata are no JSON but one Python `dict` a line (`{'asin': '0001', 'price': 7.5, 'title': u"Pen's"}`).
//! This rewrites such a line as JSON, so that one reader serves all releases.

/// `text` as JSON, or the byte at which it stops being a Python literal of strings, numbers, `True`, `False`,
/// `None`, lists, tuples and dicts. Whether brackets match is left to the JSON reader.
pub(crate) fn to_json(text: &str) -> Result<String, usize> {
    let bytes = text.as_bytes();
    let mut json = String::with_capacity(text.len() + 16);
    let mut at = 0;
    // Where the last comma went, to drop it before a closing bracket: (1, 2,) is Python.
    let mut comma: Option<usize> = None;
    while at < bytes.len() {
        let byte = bytes[at];
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => at += 1,
            b'u' | b'b' if matches!(bytes.get(at + 1), Some(b'\'' | b'"')) => at += 1,
            b'\'' | b'"' => {
                at = string(text, at, &mut json)?;
                comma = None;
            }
            b'{' | b'[' | b'(' => {
                json.push(if byte == b'(' { '[' } else { byte as char });
                at += 1;
                comma = None;
            }
            b'}' | b']' | b')' => {
                if let Some(place) = comma.take() {
                    json.truncate(place);
                }
                json.push(if byte == b')' { ']' } else { byte as char });
                at += 1;
            }
            b',' => {
                comma = Some(json.len());
                json.push(',');
                at += 1;
            }
            b':' => {
                json.push(':');
                at += 1;
            }
            _ => {
                let end = text[at..].find(|c: char| !(c.is_ascii_alphanumeric() || "+-._".contains(c)));
                let end = end.map_or(text.len(), |length| at + length);
                match &text[at..end] {
                    "True" => json.push_str("true"),
                    "False" => json.push_str("false"),
                    "None" | "nan" => json.push_str("null"),
                    number if number.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
                        json.push_str(number)
                    }
                    _ => return Err(at),
                }
                at = end;
                comma = None;
            }
        }
    }
    Ok(json)
}

/// Rewrites the string that starts at `start`; gives the byte after it.
fn string(text: &str, start: usize, json: &mut String) -> Result<usize, usize> {
    let quote = text[start..].chars().next().ok_or(start)?;
    let mut characters = text[start + 1..].char_indices();
    let mut value = String::new();
    while let Some((offset, character)) = characters.next() {
        let at = start + 1 + offset;
        if character == quote {
            // Serialising a string cannot fail.
            json.push_str(&serde_json::to_string(&value).unwrap_or_default());
            return Ok(at + 1);
        }
        if character != '\\' {
            value.push(character);
            continue;
        }
        let (_, escaped) = characters.next().ok_or(at)?;
        let digits = match escaped {
            'n' => Err('\n'),
            't' => Err('\t'),
            'r' => Err('\r'),
            '\\' | '\'' | '"' => Err(escaped),
            'x' => Ok(2),
            'u' => Ok(4),
            'U' => Ok(8),
            other => {
                // Python keeps an unknown escape as it is.
                value.push('\\');
                Err(other)
            }
        };
        match digits {
            Err(character) => value.push(character),
            Ok(digits) => {
                let mut code = 0u32;
                for _ in 0..digits {
                    let digit = characters.next().and_then(|(_, c)| c.to_digit(16)).ok_or(at)?;
                    code = code.checked_mul(16).and_then(|code| code.checked_add(digit)).ok_or(at)?;
                }
                value.push(char::from_u32(code).unwrap_or('\u{fffd}'));
            }
        }
    }
    Err(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_literals_become_json() {
        let check = |python: &str, json: &str| assert_eq!(to_json(python).as_deref(), Ok(json), "{python}");
        check(r#"{'a': "it's", 'b': 'a "q"'}"#, r#"{"a":"it's","b":"a \"q\""}"#);
        check(r"{'a': u'x\'\\\n\xe9\u20ac\q'}", r#"{"a":"x'\\\né€\\q"}"#);
        check(
            "{'a': [['x', 'y'],], 'b': (1, -2.5), 'c': None, 'd': True}",
            r#"{"a":[["x","y"]],"b":[1,-2.5],"c":null,"d":true}"#,
        );
        for bad in ["{'a", "{'a': open('x')}", r"{'a': '\x4'}", r"{'a': '\"] {
            assert!(to_json(bad).is_err(), "{bad}");
        }
    }
}
