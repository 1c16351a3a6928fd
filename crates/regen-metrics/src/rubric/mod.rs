//! What narratives are judged by, the same for people and for chat models: attributes with a definition and an anchored
//! scale, and the material that a narrative is held against.

mod attribute;
mod case;

pub use attribute::{Attribute, Rubric};
pub use case::{Case, NarrativeKind};
