//! The shape of one half of the evaluation: its words and its phrasings. `{}` is the planted fact, `{noun}` and
//! `{nouns}` what the item is.

/// A colour and its family: colours of different families contradict each other.
pub(super) type Colour = (&'static str, u8);

/// One half: nothing here is shared with the other but the kinds of fact.
pub(super) struct Half {
    pub(super) name: &'static str,
    pub(super) brands: &'static [&'static str],
    /// How many of the brands, from the start, the extractor is told of.
    pub(super) known_brands: usize,
    pub(super) models: &'static [&'static str],
    /// One, many.
    pub(super) nouns: &'static [(&'static str, &'static str)],
    pub(super) colours: &'static [Colour],
    /// Formats of a price: `{p}` is 12.99, `{d}` and `{c}` its dollars and cents.
    pub(super) exact_prices: &'static [&'static str],
    /// Formats of a bound above the price, of one below it and of about it: `{w}` whole dollars.
    pub(super) below_prices: &'static [&'static str],
    pub(super) above_prices: &'static [&'static str],
    pub(super) about_prices: &'static [&'static str],
    pub(super) price: &'static [&'static str],
    pub(super) brand: &'static [&'static str],
    pub(super) colour: &'static [&'static str],
    /// Sizes as nouns ("8 inches").
    pub(super) size: &'static [&'static str],
    /// Sizes before a noun ("8-inch").
    pub(super) size_before_noun: &'static [&'static str],
    /// Noun form, form before a noun, factor from inches.
    pub(super) lengths: &'static [(&'static str, &'static str, f64)],
    pub(super) count: &'static [&'static str],
    /// Counts in words, where they exist.
    pub(super) count_words: &'static [(u32, &'static str)],
    /// `{}` the count, `{s}` the size before a noun: two facts side by side.
    pub(super) count_and_size: &'static [&'static str],
    pub(super) purchase: &'static [&'static str],
    pub(super) product: &'static [&'static str],
    pub(super) distractors: &'static [&'static str],
}
