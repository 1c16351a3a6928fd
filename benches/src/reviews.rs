//! Generated reviews in the form of the 2018 release.

use std::io::{Result, Write};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The commonest letters of reviews in words of plausible length, so that compression is as hard as on real ones.
const SYLLABLES: [&str; 24] = [
    "the", "re", "com", "ing", "pen", "is", "and", "it", "for", "er", "good", "al", "ti", "on", "work", "ed",
    "pa", "st", "ly", "or", "qua", "li", "ty", "price",
];

/// Writes `records` reviews, one a line, about 600 bytes each: one of ten has escapes in its text.
///
/// # Errors
/// Those of writing.
pub fn write_reviews(out: &mut impl Write, records: u64, seed: u64) -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut text = String::new();
    for record in 0..records {
        text.clear();
        for word in 0..rng.random_range(20..110) {
            if word > 0 {
                text.push(' ');
            }
            for _ in 0..rng.random_range(1..4) {
                text.push_str(SYLLABLES[rng.random_range(0..SYLLABLES.len())]);
            }
        }
        if record % 10 == 0 {
            text.push_str(" \\\"fine\\\"\\n\\u00e9");
        }
        let (user, item) = (rng.random_range(0..1_000_000u32), rng.random_range(0..200_000u32));
        let (stars, day) = (rng.random_range(1..6), rng.random_range(14_000..18_000));
        writeln!(
            out,
            "{{\"overall\": {stars}.0, \"verified\": true, \"reviewTime\": \"06 17, 2018\", \"reviewerID\": \"A{user:013X}\", \
             \"asin\": \"B{item:09X}\", \"style\": {{\"Color:\": \" Teal\"}}, \"reviewerName\": \"Somebody\", \"reviewText\": \
             \"{text}\", \"summary\": \"Five Stars\", \"unixReviewTime\": {}}}",
            day * 86_400
        )?;
    }
    Ok(())
}
