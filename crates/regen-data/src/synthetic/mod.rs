//! A made-up world of office products whose truth is known, to test and to demonstrate with.
//!
//! **What it shows, and what it does not.** The world is built so that fusing collaborative and semantic signals
//! must pay: every item has attributes that its text states (category, colour, brand, material, price band) and an
//! affinity (classroom, law firm, bakery, …) that was drawn independently of them and shows only in who buys it
//! together with what. Narratives speak of both. A narrator that has only the texts must guess the affinity; one that has only the
//! factors must guess brand and material. That fusion wins here demonstrates the mechanism. It says nothing about how much
//! either signal is worth on real data.
//!
//! **The generative model.** Items: affinities in equal shares, shuffled; the attributes uniform and independent.
//! Users: one main affinity, one favourite colour and two favourite categories, uniform. A history has a length
//! that is log-normal about [`SyntheticConfig::mean_history`]. Each purchase is drawn without replacement, with
//! probability [`SyntheticConfig::affinity_share`] from the items of the main affinity, else from all; within
//! these an item counts [`SyntheticConfig::taste`] times more for the favourite colour, and as much again for a
//! favourite category. Taste leaves a trace of colour and category in the co-purchases; brand and material leave none.
//!
//! **Mixtures.** With [`SyntheticConfig::mixture`] the texts about items are made of clauses that only co-purchases, only texts, or
//! both can tell, in set shares. Beside it, [`SyntheticConfig::affinity_share`] sets what only co-purchases tell, [`SyntheticConfig::taste`] what both
//! tell, and brand and material are what only text tells; at an affinity share of 0 co-purchases know the taste alone.
//! [`SyntheticConfig::with_density`] sets how much there is to learn from, and [`SyntheticConfig::stream`] draws worlds that
//! are larger than memory.
//!
//! **Reviews.** [`GroundTruth::reviews`] draws what users wrote about some of their purchases: it tells in words what an item is used
//! for. It is no part of the data set.

mod facts;
mod mixture;
mod phrases;
mod reviews;
mod truth_files;
mod vocabulary;
mod world;

pub use facts::{Fact, FactKind, GroundTruth, ItemTruth, Signal, UserTruth};
pub use mixture::Mixture;
pub use truth_files::TRUTH_VERSION;
pub use world::{StreamedUser, SyntheticConfig, SyntheticWorld};
