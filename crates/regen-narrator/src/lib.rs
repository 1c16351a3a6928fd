#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod base;
mod bundle;
mod checks;
mod control;
mod copying;
mod error;
mod fold_in;
mod gradients;
mod ids;
mod injection;
mod losses;
mod narrate;
mod narrator;
mod nearest;
mod next_item;
mod pieces;
mod prompt;
mod review_encoder;
mod shapley;
mod table_file;
mod tables;
mod train;
mod writing;

pub use base::BaseModel;
pub use bundle::{BUNDLE_FORMAT, Provenance, reseal};
pub use control::{Control, Controlled, UserExamples, Withheld};
pub use error::{Error, Result};
pub use fold_in::{FoldIn, FoldInConfig, PairWeight, RidgeFrequency, UnobservedPairs};
pub use gradients::SideGradients;
pub use ids::ItemIds;
pub use injection::{InjectionConfig, InjectionMap};
pub use losses::NarrativeLoss;
pub use narrate::{NarrateProgress, Narrative, NarrativeWriter};
pub use narrator::{Narrator, NarratorConfig, PassageConfig};
pub use nearest::NearToken;
pub use next_item::NextItemTraining;
pub use prompt::{Detail, Example, PromptWords, Request, ReviewVector, special_tokens};
pub use review_encoder::ReviewEncoder;
pub use shapley::{SideLosses, SideWorth};
pub use table_file::{ItemTableWriter, TableNumbers, TablePlace};
pub use tables::{ItemTable, ItemTables};
pub use train::{
    LossPoint, Memory, Snapshots, TableRates, TrainConfig, TrainPrecision, TrainProgress, TrainReport, Trains,
};
pub use writing::{Said, SaidBy, WritingDefaults, WritingSettings};
