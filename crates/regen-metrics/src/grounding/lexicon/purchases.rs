//! Words around what the user bought, owns or likes.

/// Words that make a statement one about the user's taste or belongings.
pub(in super::super) const USER_CUES: &[&str] = &[
    "own",
    "owns",
    "owned",
    "likes",
    "your",
    "fan",
    "love",
    "loves",
    "loved",
    "loyal",
    "prefer",
    "prefers",
    "preference",
    "favourite",
    "favorite",
    "usual",
    "usually",
    "mostly",
    "collection",
    "previous",
    "past",
    "taste",
    "their",
    "fond",
];

/// Verbs of buying and owning.
pub(in super::super) const BOUGHT: &[&str] = &[
    "bought",
    "purchased",
    "ordered",
    "acquired",
    "own",
    "owns",
    "owned",
    "buying",
    "purchasing",
    "ordering",
    "got",
    "picked",
    "chose",
    "have",
    "has",
    "selected",
];

/// Those that are verbs of something else unless a subject and an article stand around them.
pub(in super::super) const WEAK_BOUGHT: &[&str] =
    &["got", "chose", "have", "has", "selected", "own", "owns", "ordering"];

/// Who buys.
pub(in super::super) const BUYERS: &[&str] = &[
    "you", "you've", "you'd", "user", "shopper", "buyer", "customer", "they", "she", "he", "reader",
    "they've",
];

/// Adverbs between a buyer and the verb, or an auxiliary.
pub(in super::super) const ADVERBS: &[&str] =
    &["already", "also", "recently", "previously", "just", "once", "have", "has", "had", "even", "first"];

/// Articles and the like, which open a noun phrase.
pub(in super::super) const ARTICLES: &[&str] =
    &["a", "an", "the", "some", "another", "your", "their", "his", "her"];

/// Words that end the object of a purchase.
pub(in super::super) const AFTER_OBJECT: &[&str] = &[
    "last",
    "recently",
    "not",
    "in",
    "at",
    "for",
    "because",
    "so",
    "to",
    "when",
    "which",
    "that",
    "who",
    "you",
    "this",
    "with",
    "from",
    "on",
    "since",
    "already",
    "earlier",
    "before",
    "after",
    "is",
    "was",
    "are",
    "were",
    "as",
    "but",
    "while",
    "it",
    "shows",
    "show",
    "suggests",
    "suggest",
    "means",
    "tells",
    "makes",
    "made",
    "has",
    "proves",
    "indicates",
    "reflects",
    "went",
    "worked",
    "works",
    "speaks",
    "says",
    "points",
    "demonstrates",
    "hints",
    "reveals",
    "confirms",
    "sits",
    "pairs",
    "goes",
    "deserves",
    "turned",
    "served",
    "once",
    "if",
    "where",
    "though",
    "although",
    "they",
    "by",
    "ago",
    "will",
    "would",
    "can",
    "again",
    "also",
    "of",
];
