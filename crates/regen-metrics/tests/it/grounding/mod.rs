//! Grounding measured on narratives with planted facts, true and false, in the phrasings of five halves. The extractor was tuned or
//! mended by four of them; what to expect on unseen text is what it reaches in the fifth, `sealed`.

mod claims;
mod evaluation;
mod fresh;
mod held_out;
mod narratives;
mod phrases;
mod sealed;
mod tuned;
mod worlds;
