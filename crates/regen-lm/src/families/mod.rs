//! Families as data: which tensors a block has and what they are called, and how `config.json` spells
//! each family's numbers.

mod arrangement;
mod fields;
mod hf;
mod rope;
mod write;

pub use arrangement::Family;
pub(crate) use arrangement::{Init, MlpNames, NormKind, QkvNames, inventory, is_leftover};
pub(crate) use fields::Fields;
pub(crate) use hf::{read_folder, read_object};
pub(crate) use write::to_json;
