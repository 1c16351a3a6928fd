//! Lists of words that make something a claim, or none. All in lower case.

/// Nouns for the item or a part of it: a colour before one is the item's.
pub(in super::super) const PARTS: &[&str] = &[
    "accent", "accents", "barrel", "body", "case", "casing", "coat", "coating", "color", "colour", "color.",
    "cover", "design", "edition", "exterior", "fabric", "finish", "frame", "glaze", "grip", "handle", "hue",
    "item", "lid", "look", "model", "one", "option", "paint", "piece", "product", "set", "shade", "shell",
    "strap", "style", "surface", "tint", "tone", "trim", "unit", "variant", "version",
];

/// Words after which no noun follows that a colour could belong to: the colour stands for itself.
pub(in super::super) const FUNCTION_WORDS: &[&str] = &[
    "a",
    "all",
    "also",
    "an",
    "and",
    "as",
    "at",
    "because",
    "but",
    "by",
    "for",
    "from",
    "if",
    "in",
    "is",
    "it",
    "its",
    "like",
    "of",
    "on",
    "or",
    "over",
    "so",
    "than",
    "that",
    "the",
    "this",
    "through",
    "throughout",
    "to",
    "too",
    "was",
    "which",
    "while",
    "with",
    "you",
    "your",
];

/// Words before an article and what somebody chose or is offered.
pub(in super::super) const CHOSEN: &[&str] = &[
    "picked",
    "chose",
    "selected",
    "take",
    "try",
    "get",
    "choose",
    "consider",
    "recommend",
    "pick",
    "grab",
    "bought",
];

/// Words that offer what follows as the item.
pub(in super::super) const OFFERS: &[&str] = &[
    "try",
    "get",
    "choose",
    "consider",
    "meet",
    "recommend",
    "recommended",
    "grab",
    "pick",
    "suggest",
    "discover",
    "introducing",
    "chose",
    "picked",
];

/// Nouns that say nothing of what a thing is: "the book" may be any.
pub(in super::super) const GENERIC: &[&str] = &[
    "accessory",
    "album",
    "book",
    "books",
    "brand",
    "device",
    "film",
    "game",
    "gift",
    "gifts",
    "goods",
    "item",
    "items",
    "kit",
    "meal",
    "model",
    "movie",
    "novel",
    "one",
    "pair",
    "pieces",
    "product",
    "products",
    "purchase",
    "refill",
    "refills",
    "series",
    "set",
    "stuff",
    "supplies",
    "thing",
    "things",
    "title",
    "tool",
    "tools",
    "toy",
];

/// Words after which a colour stands for itself.
pub(in super::super) const COLOUR_PLACES: &[&str] = &[
    "in", "is", "deep", "light", "dark", "bright", "calm", "pale", "and", "or", "a", "classic", "elegant",
    "soft", "rich", "vibrant", "matte", "likes", "like", "prefers", "prefer", "favours", "favors",
];

/// Words that turn a claim into its opposite or into a comparison, within the clause before it.
pub(in super::super) const NEGATIONS: &[&str] = &[
    "not", "no", "never", "without", "unlike", "than", "instead", "rather", "nor", "neither", "don't",
    "doesn't", "isn't", "aren't", "won't", "can't", "cannot", "versus", "vs", "except", "hardly",
];

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

/// Capitalised words that are neither brands nor products.
pub(in super::super) const OTHER_NAMES: &[&str] = &[
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "christmas",
    "easter",
    "halloween",
    "thanksgiving",
    "hanukkah",
    "ramadan",
    "valentine",
    "mother",
    "father",
    "america",
    "american",
    "usa",
    "us",
    "uk",
    "china",
    "chinese",
    "japan",
    "japanese",
    "germany",
    "german",
    "france",
    "french",
    "italy",
    "italian",
    "mexico",
    "mexican",
    "canada",
    "canadian",
    "india",
    "indian",
    "europe",
    "european",
    "england",
    "english",
    "british",
    "spain",
    "spanish",
    "korea",
    "korean",
    "new",
    "york",
    "san",
    "los",
    "london",
    "paris",
    "i",
    "tv",
    "diy",
    "led",
    "usb",
    "bluetooth",
    "wi",
    "atlantic",
    "pacific",
    "east",
    "west",
    "north",
    "south",
];

/// Words before a sum of money that is not the item's price.
pub(in super::super) const OTHER_MONEY_BEFORE: &[&str] = &[
    "save",
    "saves",
    "saving",
    "savings",
    "order",
    "orders",
    "spend",
    "spending",
    "shipping",
    "discount",
    "win",
    "earn",
    "worth",
    "budget",
    "refund",
    "coupon",
    "deposit",
    "was",
    "originally",
    "instead",
    "than",
    "not",
];

/// Words after a sum of money that is not the item's price.
pub(in super::super) const OTHER_MONEY_AFTER: &[&str] = &[
    "each", "per", "apiece", "/", "shipping", "fee", "charge", "off", "gift", "coupon", "discount",
    "voucher", "rebate", "bill", "budget", "cheaper", "less", "more", "cashback",
];

/// Words of a limit above, below and around a price. Those of two words are joined by a space.
pub(in super::super) const AT_MOST: &[&str] =
    &["under", "below", "less than", "up to", "at most", "within", "beneath", "not even"];
/// See [`AT_MOST`].
pub(in super::super) const AT_LEAST: &[&str] =
    &["over", "above", "more than", "at least", "starting at", "upwards of", "exceeding"];
/// See [`AT_MOST`].
pub(in super::super) const ABOUT: &[&str] = &[
    "about",
    "around",
    "roughly",
    "approximately",
    "nearly",
    "almost",
    "some",
    "close to",
    "circa",
    "approx",
];

/// Nouns after a number that make it a count of pieces ("12-pack", "24 count").
pub(in super::super) const COUNTED: &[&str] = &[
    "pack", "packs", "pk", "count", "ct", "piece", "pieces", "pcs", "pc", "pieced", "set", "units", "bundle",
    "packet",
];

/// Nouns of containers ("a box of 24").
pub(in super::super) const CONTAINERS: &[&str] = &[
    "pack", "set", "box", "case", "bundle", "bag", "carton", "package", "kit", "lot", "packet", "tin", "jar",
    "count",
];

/// Words before a number that counts no pieces ("top 10").
pub(in super::super) const NO_COUNT_BEFORE: &[&str] = &[
    "top", "step", "number", "no", "page", "version", "first", "last", "next", "every", "series", "model",
    "level",
];

/// Words after a length that is a distance and not a size ("2 feet away").
pub(in super::super) const DISTANCES: &[&str] = &["away", "apart", "off", "ahead", "behind", "ago"];

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

/// Words before a product's name.
pub(in super::super) const NAME_CUES: &[&str] = &[
    "the",
    "this",
    "a",
    "an",
    "our",
    "new",
    "your",
    "try",
    "get",
    "choose",
    "consider",
    "meet",
    "recommend",
    "grab",
    "pick",
    "suggest",
    "discover",
    "introducing",
    "enjoy",
    "love",
];
