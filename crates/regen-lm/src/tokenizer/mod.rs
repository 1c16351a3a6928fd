//! Text to ids and back: loading `tokenizer.json`, text that must not speak in special tokens, training a BPE.

mod plain;
mod settings;
mod spacing;
mod templates;
mod text;
mod train;

pub use text::TextTokenizer;
pub use train::{TRAINED_SPECIALS, train_bpe};
