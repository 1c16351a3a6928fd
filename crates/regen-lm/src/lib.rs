#![doc = include_str!("../README.md")]

mod cache;
pub mod chat;
mod computed;
mod config;
mod error;
mod families;
mod files;
mod folder;
pub mod generate;
mod injection;
mod layers;
pub mod llama2c;
mod lora;
mod loss;
mod mask;
mod model;
mod packed;
mod recompute;
pub mod tokenizer;
pub mod train;
mod variable;

pub use cache::KvCache;
pub use computed::{Computed, TrainingKernels};
pub use config::{Activation, DecoderConfig, Positions, Rope, RopeScaling, SpecialIds};
pub use error::{Error, Result, TokenizerFailure};
pub use families::Family;
pub use generate::{
    BeamEnd, BeamOptions, Ending, GenerateOptions, Hypothesis, Prefix, Sampling, Writer, generate,
};
pub use injection::{DecoderInputs, Injected};
pub use layers::DropoutDraw;
pub use lora::{LoraConfig, LoraTargets};
pub use loss::masked_loss;
pub use mask::PaddingMask;
pub use model::Decoder;
pub use packed::CacheStorage;
pub use recompute::Recomputed;
pub use regen_kernel::Storage;
pub use tokenizer::{TextTokenizer, train_bpe};
