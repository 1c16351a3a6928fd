//! Python's idea of white space: Unicode's, and four control characters more. The references split and
//! strip by it, so parity needs exactly this set.

/// Whether Python's `str.isspace` holds for the character.
pub(crate) fn is_python_whitespace(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\u{1c}'..='\u{1f}')
}

/// `str.rstrip()`.
pub(crate) fn trim_end_python(text: &str) -> &str {
    text.trim_end_matches(is_python_whitespace)
}

/// `str.strip()`.
pub(crate) fn trim_python(text: &str) -> &str {
    text.trim_matches(is_python_whitespace)
}

/// `str.split()`.
pub(crate) fn split_python(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_python_whitespace).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn information_separators_are_white_space_and_the_zero_width_space_is_not() {
        let words: Vec<&str> = split_python("a\u{1c}b\u{a0}c\u{200b}d \u{3000}e").collect();
        assert_eq!(words, ["a", "b", "c\u{200b}d", "e"]);
    }
}
