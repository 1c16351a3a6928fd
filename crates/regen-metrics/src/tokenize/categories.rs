//! The Unicode general categories that the intl tokenizer tells apart.

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// What the intl rules see of a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Category {
    /// `\p{N}`
    Number,
    /// `\p{P}`
    Punctuation,
    /// `\p{S}`
    Symbol,
    /// Anything else, white space included.
    Other,
}

/// The category of a character. ASCII, nearly everything in practice, needs no table search.
pub(super) fn category(character: char) -> Category {
    match character {
        '0'..='9' => Category::Number,
        '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~' => Category::Symbol,
        _ if character.is_ascii_punctuation() => Category::Punctuation,
        _ if character.is_ascii() => Category::Other,
        _ => match character.general_category_group() {
            GeneralCategoryGroup::Number => Category::Number,
            GeneralCategoryGroup::Punctuation => Category::Punctuation,
            GeneralCategoryGroup::Symbol => Category::Symbol,
            _ => Category::Other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ascii_shortcut_agrees_with_the_unicode_table() {
        for character in (0..128u8).map(char::from) {
            let expected = match character.general_category_group() {
                GeneralCategoryGroup::Number => Category::Number,
                GeneralCategoryGroup::Punctuation => Category::Punctuation,
                GeneralCategoryGroup::Symbol => Category::Symbol,
                _ => Category::Other,
            };
            assert_eq!(category(character), expected, "{character:?}");
        }
    }
}
