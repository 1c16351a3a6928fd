//! The words of the synthetic world. No word of an affinity occurs among the attributes, so that a text states a
//! fact exactly when it holds the fact's words.

/// Where things are used: the hidden side of an item.
pub(super) struct Affinity {
    /// With its article: `a classroom`.
    pub(super) place: &'static str,
    /// What is done there: `grading homework`.
    pub(super) activity: &'static str,
}

pub(super) const AFFINITIES: [Affinity; 12] = [
    Affinity { place: "a classroom", activity: "grading homework" },
    Affinity { place: "a law firm", activity: "preparing court filings" },
    Affinity { place: "an art studio", activity: "sketching commissions" },
    Affinity { place: "an accounting practice", activity: "closing the quarterly books" },
    Affinity { place: "a home school", activity: "planning family lessons" },
    Affinity { place: "a garage workshop", activity: "sorting spare parts" },
    Affinity { place: "a medical clinic", activity: "updating patient charts" },
    Affinity { place: "a real estate agency", activity: "arranging house viewings" },
    Affinity { place: "a wedding bureau", activity: "seating hundreds of guests" },
    Affinity { place: "a research laboratory", activity: "recording experiments" },
    Affinity { place: "a neighbourhood bakery", activity: "taking cake orders" },
    Affinity { place: "a rehearsal hall", activity: "marking up choir scores" },
];

/// A kind of product.
pub(super) struct Category {
    pub(super) one: &'static str,
    pub(super) many: &'static str,
    pub(super) group: &'static str,
    /// Middle of its prices, in dollars.
    pub(super) price: f64,
}

const fn category(one: &'static str, many: &'static str, group: &'static str, price: f64) -> Category {
    Category { one, many, group, price }
}

pub(super) const CATEGORIES: [Category; 25] = [
    category("gel pen", "gel pens", "Writing", 4.0),
    category("fountain pen", "fountain pens", "Writing", 28.0),
    category("highlighter", "highlighters", "Writing", 6.0),
    category("mechanical pencil", "mechanical pencils", "Writing", 9.0),
    category("marker set", "marker sets", "Writing", 14.0),
    category("notebook", "notebooks", "Paper", 8.0),
    category("sketch pad", "sketch pads", "Paper", 11.0),
    category("desk calendar", "desk calendars", "Paper", 13.0),
    category("weekly planner", "weekly planners", "Paper", 17.0),
    category("index card box", "index card boxes", "Paper", 12.0),
    category("ring binder", "ring binders", "Filing", 7.0),
    category("folder set", "folder sets", "Filing", 10.0),
    category("filing cabinet", "filing cabinets", "Filing", 120.0),
    category("document tray", "document trays", "Filing", 19.0),
    category("envelope pack", "envelope packs", "Mailing", 9.0),
    category("postal scale", "postal scales", "Mailing", 33.0),
    category("label maker", "label makers", "Mailing", 42.0),
    category("stapler", "staplers", "Desk tools", 15.0),
    category("hole punch", "hole punches", "Desk tools", 18.0),
    category("tape dispenser", "tape dispensers", "Desk tools", 12.0),
    category("scissors pair", "scissors pairs", "Desk tools", 10.0),
    category("desk lamp", "desk lamps", "Furniture", 45.0),
    category("office chair", "office chairs", "Furniture", 160.0),
    category("whiteboard", "whiteboards", "Furniture", 60.0),
    category("pocket calculator", "pocket calculators", "Electronics", 22.0),
];

pub(super) const COLOURS: [&str; 12] = [
    "teal",
    "crimson",
    "amber",
    "ivory",
    "charcoal",
    "lavender",
    "turquoise",
    "maroon",
    "olive",
    "navy",
    "pink",
    "silver",
];

pub(super) const BRANDS: [&str; 15] = [
    "Kestrel",
    "Northgate",
    "Marlowe",
    "Juniper",
    "Beacon",
    "Tidewater",
    "Summit",
    "Hawthorne",
    "Orbit",
    "Falcon",
    "Meridian",
    "Pemberton",
    "Zephyr",
    "Calder",
    "Whitman",
];

pub(super) const MATERIALS: [&str; 8] =
    ["bamboo", "brushed steel", "recycled plastic", "leather", "aluminium", "oak", "cork", "canvas"];

/// Price bands, with what they do to the middle price of a category.
pub(super) const BANDS: [(&str, f64); 3] = [("budget", 0.55), ("mid-range", 1.0), ("premium", 2.1)];
