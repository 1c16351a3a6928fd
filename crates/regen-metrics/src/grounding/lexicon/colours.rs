//! Colours, their families, and phrases in which they are none. All in lower case.

/// A colour word.
#[derive(Debug)]
pub(in super::super) struct Colour {
    pub(in super::super) name: &'static str,
    /// The basic colour that it is a shade of; its own name for basic colours.
    pub(in super::super) family: &'static str,
    /// Whether the word means something else as often ("rose", "gold"), so that it needs a colour's place.
    pub(in super::super) ambiguous: bool,
}

const fn plain(name: &'static str, family: &'static str) -> Colour {
    Colour { name, family, ambiguous: false }
}

const fn ambiguous(name: &'static str, family: &'static str) -> Colour {
    Colour { name, family, ambiguous: true }
}

/// Colours and shades. Two families are two colours.
pub(in super::super) static COLOURS: &[Colour] = &[
    plain("red", "red"),
    plain("crimson", "red"),
    plain("scarlet", "red"),
    plain("maroon", "red"),
    plain("burgundy", "red"),
    ambiguous("ruby", "red"),
    ambiguous("cherry", "red"),
    ambiguous("wine", "red"),
    plain("blue", "blue"),
    plain("navy", "blue"),
    plain("cobalt", "blue"),
    plain("indigo", "blue"),
    ambiguous("sapphire", "blue"),
    plain("azure", "blue"),
    plain("green", "green"),
    ambiguous("olive", "green"),
    ambiguous("emerald", "green"),
    ambiguous("lime", "green"),
    ambiguous("mint", "green"),
    ambiguous("sage", "green"),
    ambiguous("forest", "green"),
    plain("black", "black"),
    ambiguous("ebony", "black"),
    ambiguous("onyx", "black"),
    plain("white", "white"),
    ambiguous("ivory", "white"),
    ambiguous("pearl", "white"),
    ambiguous("snow", "white"),
    plain("grey", "grey"),
    plain("gray", "grey"),
    ambiguous("charcoal", "grey"),
    ambiguous("slate", "grey"),
    ambiguous("graphite", "grey"),
    plain("purple", "purple"),
    plain("violet", "purple"),
    ambiguous("lavender", "purple"),
    ambiguous("lilac", "purple"),
    ambiguous("plum", "purple"),
    plain("yellow", "yellow"),
    ambiguous("lemon", "yellow"),
    ambiguous("mustard", "yellow"),
    plain("pink", "pink"),
    plain("magenta", "pink"),
    plain("fuchsia", "pink"),
    ambiguous("rose", "pink"),
    ambiguous("blush", "pink"),
    ambiguous("orange", "orange"),
    ambiguous("amber", "orange"),
    ambiguous("peach", "orange"),
    ambiguous("coral", "orange"),
    plain("brown", "brown"),
    ambiguous("chocolate", "brown"),
    ambiguous("chestnut", "brown"),
    ambiguous("espresso", "brown"),
    plain("beige", "beige"),
    ambiguous("tan", "beige"),
    ambiguous("sand", "beige"),
    ambiguous("cream", "beige"),
    ambiguous("khaki", "beige"),
    plain("teal", "teal"),
    plain("turquoise", "teal"),
    plain("aqua", "teal"),
    plain("cyan", "teal"),
    ambiguous("silver", "silver"),
    ambiguous("gold", "gold"),
    ambiguous("golden", "gold"),
    ambiguous("bronze", "bronze"),
    ambiguous("copper", "copper"),
];

/// Phrases whose colour is no colour.
pub(in super::super) static COLOUR_IDIOMS: &[&[&str]] = &[
    &["red", "letter"],
    &["tickled", "pink"],
    &["weight", "in", "gold"],
    &["red", "tape"],
    &["red", "flag"],
    &["red", "flags"],
    &["red", "carpet"],
    &["red", "wine"],
    &["red", "hot"],
    &["in", "the", "red"],
    &["in", "the", "black"],
    &["in", "the", "pink"],
    &["in", "black", "and", "white"],
    &["out", "of", "the", "blue"],
    &["blue", "moon"],
    &["blue", "collar"],
    &["blue", "sky"],
    &["feeling", "blue"],
    &["white", "collar"],
    &["white", "noise"],
    &["white", "elephant"],
    &["white", "wine"],
    &["white", "lie"],
    &["black", "friday"],
    &["black", "tea"],
    &["black", "coffee"],
    &["black", "belt"],
    &["black", "sheep"],
    &["green", "with", "envy"],
    &["green", "thumb"],
    &["green", "light"],
    &["green", "tea"],
    &["green", "energy"],
    &["green", "choice"],
    &["going", "green"],
    &["go", "green"],
    &["grey", "area"],
    &["gray", "area"],
    &["yellow", "pages"],
    &["pink", "slip"],
    &["brown", "bag"],
    &["brown", "rice"],
    &["purple", "prose"],
    &["orange", "juice"],
    &["silver", "lining"],
    &["silver", "bullet"],
    &["silver", "screen"],
    &["gold", "standard"],
    &["gold", "medal"],
    &["gold", "mine"],
    &["golden", "age"],
    &["golden", "rule"],
    &["golden", "opportunity"],
    &["rose", "garden"],
    &["tan", "lines"],
    &["ice", "cream"],
    &["red", "cross"],
    &["ever", "green"],
];

/// The colour of a word.
pub(in super::super) fn colour(lower: &str) -> Option<&'static Colour> {
    COLOURS.iter().find(|colour| colour.name == lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_a_colour_and_no_colour_stands_twice() {
        for row in COLOURS {
            assert!(colour(row.family).is_some_and(|basic| basic.family == row.family), "{}", row.name);
            assert_eq!(COLOURS.iter().filter(|other| other.name == row.name).count(), 1, "{}", row.name);
        }
    }

    #[test]
    fn an_idiom_has_a_colour() {
        for idiom in COLOUR_IDIOMS {
            assert!(idiom.iter().any(|word| colour(word).is_some()), "{idiom:?}");
        }
    }
}
