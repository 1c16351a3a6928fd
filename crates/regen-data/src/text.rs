//! Text as people would read it: what web pages left in titles and descriptions is taken out.

/// Decodes HTML character references (`&amp;`, `&#39;`, `&#x27;`), once. An unknown or unfinished reference stays
/// as it is: `AT&T` and `R&D;` are text.
///
/// Named references are the ones that occur in product data: the XML five, Latin-1 punctuation and accents, and
/// typographic signs. A code point that is no character (`&#0;`, surrogates) becomes U+FFFD, as in browsers.
///
/// ```
/// assert_eq!(regen_data::decode_entities("Pens &amp; Pencils&#8482;, 3&quot;"), "Pens & Pencils™, 3\"");
/// ```
pub fn decode_entities(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains('&') {
        return text.into();
    }
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        decoded.push_str(&rest[..at]);
        rest = &rest[at..];
        match reference(rest) {
            Some((character, length)) => {
                decoded.push_str(character.encode_utf8(&mut [0; 4]));
                rest = &rest[length..];
            }
            None => {
                decoded.push('&');
                rest = &rest[1..];
            }
        }
    }
    decoded.push_str(rest);
    decoded.into()
}

/// The character that a reference at the start of `text` stands for, and the reference's length in bytes.
fn reference(text: &str) -> Option<(char, usize)> {
    // The longest name below has eight letters; do not search a whole page for a semicolon.
    let end = text.bytes().take(12).position(|byte| byte == b';')?;
    let name = &text.get(1..end)?;
    let character = match name.strip_prefix('#') {
        Some(number) => {
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => u32::from_str_radix(hex, 16),
                None if number.bytes().all(|byte| byte.is_ascii_digit()) => number.parse(),
                _ => return None,
            };
            match code.ok()? {
                0 => '\u{fffd}',
                // Windows-1252 signs written by their byte, as the HTML standard reads them.
                code @ 0x80..=0x9f => WINDOWS_1252[code as usize - 0x80],
                code => char::from_u32(code).unwrap_or('\u{fffd}'),
            }
        }
        None => ENTITIES.iter().find(|(known, _)| known == name)?.1,
    };
    Some((character, end + 1))
}

const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}',
    '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

const ENTITIES: &[(&str, char)] = &[
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", ' '),
    ("iexcl", '¡'),
    ("cent", '¢'),
    ("pound", '£'),
    ("yen", '¥'),
    ("sect", '§'),
    ("copy", '©'),
    ("laquo", '«'),
    ("raquo", '»'),
    ("reg", '®'),
    ("deg", '°'),
    ("plusmn", '±'),
    ("sup2", '²'),
    ("sup3", '³'),
    ("micro", 'µ'),
    ("para", '¶'),
    ("middot", '·'),
    ("frac14", '¼'),
    ("frac12", '½'),
    ("frac34", '¾'),
    ("iquest", '¿'),
    ("times", '×'),
    ("divide", '÷'),
    ("szlig", 'ß'),
    ("Agrave", 'À'),
    ("Aacute", 'Á'),
    ("Acirc", 'Â'),
    ("Atilde", 'Ã'),
    ("Auml", 'Ä'),
    ("Aring", 'Å'),
    ("AElig", 'Æ'),
    ("Ccedil", 'Ç'),
    ("Egrave", 'È'),
    ("Eacute", 'É'),
    ("Ecirc", 'Ê'),
    ("Euml", 'Ë'),
    ("Iacute", 'Í'),
    ("Icirc", 'Î'),
    ("Ntilde", 'Ñ'),
    ("Oacute", 'Ó'),
    ("Ocirc", 'Ô'),
    ("Ouml", 'Ö'),
    ("Oslash", 'Ø'),
    ("Uacute", 'Ú'),
    ("Uuml", 'Ü'),
    ("agrave", 'à'),
    ("aacute", 'á'),
    ("acirc", 'â'),
    ("atilde", 'ã'),
    ("auml", 'ä'),
    ("aring", 'å'),
    ("aelig", 'æ'),
    ("ccedil", 'ç'),
    ("egrave", 'è'),
    ("eacute", 'é'),
    ("ecirc", 'ê'),
    ("euml", 'ë'),
    ("igrave", 'ì'),
    ("iacute", 'í'),
    ("icirc", 'î'),
    ("iuml", 'ï'),
    ("ntilde", 'ñ'),
    ("ograve", 'ò'),
    ("oacute", 'ó'),
    ("ocirc", 'ô'),
    ("otilde", 'õ'),
    ("ouml", 'ö'),
    ("oslash", 'ø'),
    ("ugrave", 'ù'),
    ("uacute", 'ú'),
    ("ucirc", 'û'),
    ("uuml", 'ü'),
    ("ndash", '–'),
    ("mdash", '—'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("sbquo", '‚'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("bdquo", '„'),
    ("dagger", '†'),
    ("bull", '•'),
    ("hellip", '…'),
    ("prime", '′'),
    ("Prime", '″'),
    ("euro", '€'),
    ("trade", '™'),
    ("minus", '−'),
    ("asymp", '≈'),
    ("ne", '≠'),
    ("le", '≤'),
    ("ge", '≥'),
];

/// One line of clean text, or `None` if nothing remains: entities decoded, tags and style or script blocks removed,
/// white space run together. Entities are decoded before and after the tags go, since the public files escape
/// markup once or twice (`&lt;br&gt;`, `&amp;quot;`).
///
/// ```
/// assert_eq!(regen_data::clean_text("<b>Scotch</b>&nbsp;Tape<br />3&amp;quot; ").as_deref(), Some("Scotch Tape 3\""));
/// assert_eq!(regen_data::clean_text("<!-- .aplus { color: red } -->"), None);
/// ```
pub fn clean_text(text: &str) -> Option<String> {
    let decoded = decode_entities(text);
    let stripped = if decoded.contains('<') { strip_tags(&decoded).into() } else { decoded };
    let decoded = decode_entities(&stripped);
    let mut clean = String::with_capacity(decoded.len());
    for word in decoded.split(|c: char| c.is_whitespace() || c.is_control() || c == '\u{feff}') {
        if word.is_empty() {
            continue;
        }
        if !clean.is_empty() {
            clean.push(' ');
        }
        clean.push_str(word);
    }
    (!clean.is_empty()).then_some(clean)
}

/// `text` without comments, style and script blocks and tags, each replaced by a space. A `<` that opens no tag
/// (`size < 3`) stays, as does everything after an unfinished one.
fn strip_tags(text: &str) -> String {
    let mut stripped = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        stripped.push_str(&rest[..at]);
        rest = &rest[at..];
        match markup_length(rest) {
            Some(length) => {
                stripped.push(' ');
                rest = &rest[length..];
            }
            None => {
                stripped.push('<');
                rest = &rest[1..];
            }
        }
    }
    stripped.push_str(rest);
    stripped
}

/// The length of the markup at the start of `text`, which begins with `<`.
fn markup_length(text: &str) -> Option<usize> {
    if text.starts_with("<!--") {
        // An unfinished comment hides the rest, as in a browser.
        return Some(text.find("-->").map_or(text.len(), |end| end + 3));
    }
    let after = text[1..].chars().next()?;
    if !(after.is_ascii_alphabetic() || matches!(after, '/' | '!' | '?')) {
        return None;
    }
    let tag = text.find('>')? + 1;
    for block in ["style", "script"] {
        let opens = text.get(1..=block.len()).is_some_and(|name| name.eq_ignore_ascii_case(block));
        if opens {
            let close = text[tag..]
                .match_indices("</")
                .find(|(at, _)| {
                    text[tag + at + 2..]
                        .get(..block.len())
                        .is_some_and(|name| name.eq_ignore_ascii_case(block))
                })
                .and_then(|(at, _)| Some(tag + at + text[tag + at..].find('>')? + 1));
            return Some(close.unwrap_or(text.len()));
        }
    }
    Some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_decoded_once_and_text_is_left_alone() {
        let check = |text: &str, expected: &str| assert_eq!(decode_entities(text), expected, "{text}");
        check("plain", "plain");
        check("AT&T", "AT&T");
        check("a & b; c", "a & b; c");
        check("&amp;amp;", "&amp;");
        check("&#39;&#x27;&#X27;", "'''");
        check("&#0;&#xD800;&#1114112;", "\u{fffd}\u{fffd}\u{fffd}");
        check("&#150;", "–");
        check("&#;&#x;&;&é;", "&#;&#x;&;&é;");
        check("&#+5;&#99999999999;", "&#+5;&#99999999999;");
        check("caf&eacute; &hellip", "café &hellip");
    }

    #[test]
    fn markup_goes_and_comparison_signs_stay() {
        let check =
            |text: &str, expected: Option<&str>| assert_eq!(clean_text(text).as_deref(), expected, "{text}");
        check("a<br>b", Some("a b"));
        check("3 < 4 and 5 > 4", Some("3 < 4 and 5 > 4"));
        check("<STYLE type=x>.a{}</Style >kept", Some("kept"));
        check("<script>if (a<b) {}</script>kept", Some("kept"));
        check("<style>never closed", None);
        check("&lt;p&gt;Paper&lt;/p&gt;", Some("Paper"));
        check("unfinished <b", Some("unfinished <b"));
        check(" \t\n&nbsp; ", None);
        check("é<é>", Some("é<é>"));
    }
}
