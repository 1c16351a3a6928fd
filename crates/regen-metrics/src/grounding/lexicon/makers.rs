//! Words that say that a name is the item's maker. All in lower case.

/// Verbs of making, before "by" or after a maker.
pub(in super::super) const MAKING: &[&str] = &[
    "made",
    "makes",
    "make",
    "built",
    "builds",
    "build",
    "designed",
    "designs",
    "crafted",
    "crafts",
    "manufactured",
    "manufactures",
    "produced",
    "produces",
    "created",
    "creates",
    "engineered",
    "engineers",
];

/// Verbs whose subject is somebody and never a thing, so that the first word of a sentence before one is a name.
pub(in super::super) const ACTING: &[&str] = &[
    "designed",
    "designs",
    "crafted",
    "crafts",
    "manufactured",
    "manufactures",
    "engineered",
    "invented",
    "developed",
    "knows",
    "promises",
    "guarantees",
    "prides",
    "specialises",
    "specializes",
];

/// What a maker "has done again".
pub(in super::super) const ACHIEVED: &[&str] =
    &["done", "outdone", "made", "built", "designed", "created", "crafted"];

/// First words of a sentence before such a verb that are no names.
pub(in super::super) const NO_MAKERS: &[&str] = &[
    "anybody",
    "anyone",
    "artisans",
    "craftsmen",
    "designers",
    "engineers",
    "everybody",
    "everyone",
    "experts",
    "he",
    "i",
    "it",
    "nobody",
    "people",
    "she",
    "somebody",
    "someone",
    "that",
    "they",
    "this",
    "today",
    "tomorrow",
    "we",
    "who",
    "whoever",
    "you",
];

/// People whose work the item is, before "of", "at" or "behind" and a name.
pub(in super::super) const MAKERS: &[&str] = &[
    "craftsmen",
    "designers",
    "engineers",
    "experts",
    "factory",
    "folks",
    "house",
    "makers",
    "minds",
    "people",
    "studio",
    "team",
    "workshop",
];

/// Those who admire a maker, before "of" and a name.
pub(in super::super) const ADMIRERS: &[&str] = &["admirers", "fans", "followers", "lovers"];

/// What carries a maker's name, after the name.
pub(in super::super) const LABELS: &[&str] =
    &["badge", "brand", "brand's", "emblem", "label", "logo", "name", "nameplate", "seal", "stamp", "tag"];

/// Nouns that stand beside the maker's name and mean it.
pub(in super::super) const NAMING: &[&str] = &["brand", "company", "label", "maker", "manufacturer", "name"];

/// Words between an article and a name that vouch for it.
pub(in super::super) const VOUCHING: &[&str] =
    &["authentic", "classic", "genuine", "original", "proper", "real", "true", "trusty", "typical"];

/// Capitalised words before a noun that say what kind of thing it is and not who made it.
pub(in super::super) const KINDS_OF_THINGS: &[&str] = &[
    "adirondack",
    "allen",
    "art",
    "bauhaus",
    "bento",
    "boho",
    "chesterfield",
    "cajun",
    "dutch",
    "edison",
    "egyptian",
    "gothic",
    "greek",
    "irish",
    "kevlar",
    "latin",
    "lycra",
    "mason",
    "merino",
    "moroccan",
    "oxford",
    "persian",
    "phillips",
    "pima",
    "roman",
    "sherpa",
    "teflon",
    "torx",
    "velcro",
    "vintage",
    "windsor",
    "zen",
];
