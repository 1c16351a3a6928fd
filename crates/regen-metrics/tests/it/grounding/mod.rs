//! Grounding measured on narratives with planted facts, true and false. The phrasings of both halves were written
//! before the extractor; the held-out half was looked at once, after tuning on the other.

mod claims;
mod evaluation;
mod fresh;
mod held_out;
mod narratives;
mod phrases;
mod sealed;
mod tuned;
mod worlds;
