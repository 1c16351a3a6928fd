//! Texts that are nearly the same on both sides of a split: a model that memorised the one would be praised for the
//! other. Candidates come from MinHash with banding, and every one is checked by counting, so a reported
//! similarity is exact.
//!
//! **Source** Broder, "On the resemblance and containment of documents" (1997) for shingles and MinHash; Leskovec,
//! Rajaraman, Ullman, "Mining of Massive Datasets", section 3.4, for the banding.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::leaks::{Leak, normalize};
use crate::{Dataset, Error, Example, Part, Result, Split};

/// When two texts are nearly the same.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NearDuplicateConfig {
    /// From which Jaccard similarity of their shingles on, in `[0.5, 1]`. Below 0.5 the banding would overlook some.
    pub threshold: f64,
    /// Words of a shingle, at least 1. A shorter text is one shingle.
    pub shingle_words: usize,
}

impl Default for NearDuplicateConfig {
    /// Four fifths of the runs of three words.
    fn default() -> Self {
        Self { threshold: 0.8, shingle_words: 3 }
    }
}

/// 32 bands of 4 rows: of the pairs with similarity 0.8 one in 20 million is overlooked, of those with 0.5 one in 8.
const BANDS: usize = 32;
const ROWS: usize = 4;

/// Looks for references of the validation or test part that nearly repeat one of an earlier part (training before
/// validation before test), and names the first that each repeats.
///
/// It is apart from [`audit_leaks`](crate::audit_leaks), since texts made from templates (the synthetic world's) repeat by
/// construction.
///
/// # Errors
/// [`Error::InvalidConfig`] for numbers outside their range; [`Error::Leaks`] with every text that repeats one.
pub fn audit_near_duplicates(
    dataset: &Dataset,
    split: &Split,
    examples: &[Example],
    config: &NearDuplicateConfig,
) -> Result<()> {
    let invalid = |field, expected, got: String| Err(Error::InvalidConfig { field, expected, got });
    if !(0.5..=1.0).contains(&config.threshold) {
        return invalid("threshold", "0.5 to 1", config.threshold.to_string());
    }
    if config.shingle_words == 0 {
        return invalid("shingle_words", "at least 1", "0".to_owned());
    }
    let shingles: Vec<Vec<u64>> =
        examples.iter().map(|example| shingles(&example.reference, config.shingle_words)).collect();
    let mut buckets: HashMap<(usize, u64), Vec<usize>> = HashMap::new();
    let mut leaks = Vec::new();
    for part in Part::ALL {
        let of_part = || (0..examples.len()).filter(|&at| split.part_of_example(&examples[at]) == Some(part));
        // First ask, then add: texts of one part may be alike.
        for at in of_part() {
            let mut seen = HashSet::new();
            let near = bands(&shingles[at])
                .filter_map(|band| buckets.get(&band))
                .flatten()
                .filter(|&&other| seen.insert(other))
                .find_map(|&other| {
                    let similarity = jaccard(&shingles[at], &shingles[other]);
                    (similarity >= config.threshold).then_some((other, similarity))
                });
            if let Some((other, similarity)) = near {
                leaks.push(Leak::NearDuplicate {
                    example: at,
                    user: dataset.users.name(examples[at].user).to_owned(),
                    part,
                    repeats: other,
                    of_user: dataset.users.name(examples[other].user).to_owned(),
                    similarity,
                });
            }
        }
        for at in of_part() {
            for band in bands(&shingles[at]) {
                buckets.entry(band).or_default().push(at);
            }
        }
    }
    if leaks.is_empty() { Ok(()) } else { Err(Error::Leaks { leaks }) }
}

/// The hashes of all runs of `words` words, sorted, each once. Empty for a text without words.
fn shingles(text: &str, words: usize) -> Vec<u64> {
    let normalized = normalize(text);
    let list: Vec<&str> =
        normalized.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let mut hashes: Vec<u64> = if list.is_empty() {
        Vec::new()
    } else {
        list.windows(words.min(list.len())).map(hash_words).collect()
    };
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

/// FNV-1a over the words and the gaps between them; the same in every release, unlike the standard library's.
fn hash_words(words: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for word in words {
        for byte in word.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}

/// A permutation of the 64-bit numbers for each `index` (splitmix64).
fn permuted(hash: u64, index: u64) -> u64 {
    let mut mixed = hash ^ (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The keys under which a text is filed: one for each band. None for a text without words.
fn bands(shingles: &[u64]) -> impl Iterator<Item = (usize, u64)> {
    let bands = if shingles.is_empty() { 0 } else { BANDS };
    (0..bands).map(move |band| {
        let key = (0..ROWS).fold(0u64, |key, row| {
            let index = (band * ROWS + row) as u64;
            let least = shingles.iter().map(|&hash| permuted(hash, index)).min().unwrap_or(0);
            permuted(key ^ least, 0)
        });
        (band, key)
    })
}

/// Common elements over all elements of two sorted sets.
fn jaccard(one: &[u64], other: &[u64]) -> f64 {
    let (mut a, mut b, mut common) = (0, 0, 0usize);
    while a < one.len() && b < other.len() {
        match one[a].cmp(&other[b]) {
            std::cmp::Ordering::Less => a += 1,
            std::cmp::Ordering::Greater => b += 1,
            std::cmp::Ordering::Equal => {
                common += 1;
                a += 1;
                b += 1;
            }
        }
    }
    let all = one.len() + other.len() - common;
    if all == 0 { 0.0 } else { common as f64 / all as f64 }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::testing::dataset;
    use crate::{NarrativeKind, UserId};

    fn example(user: usize, reference: &str) -> Example {
        Example {
            user: UserId::from_index(user),
            kind: NarrativeKind::UserSummaryShort,
            history: Vec::new(),
            details: Vec::new(),
            target: None,
            reference: reference.to_owned(),
        }
    }

    #[test]
    fn a_text_that_nearly_repeats_a_training_text_is_named_with_its_source() {
        let data = dataset(4, 1, &[]);
        let split = Split::from_held_out(&data, &[UserId::from_index(2)], &[UserId::from_index(3)]).unwrap();
        let text = "The user would buy this lamp because it is bright, sturdy and easy to clean after a long day in the shop";
        let texts = [
            example(0, "something else entirely, about paper of many colours and sizes"),
            example(1, text),
            example(1, &text.replace("shop", "SHOP!")),
            example(2, "Nothing of the kind."),
            example(3, &text.replace("bright, sturdy", "bright; sturdy").replace("shop", "store")),
        ];
        let config = NearDuplicateConfig::default();
        match audit_near_duplicates(&data, &split, &texts, &config) {
            Err(Error::Leaks { leaks }) => match &leaks[..] {
                [
                    Leak::NearDuplicate {
                        example: 4, user, part: Part::Test, repeats: 1, similarity, ..
                    },
                ] => {
                    assert_eq!(user, "u3");
                    // 20 runs of three words, the last of which differs: 19 in common, 21 in all.
                    assert!((similarity - 19.0 / 21.0).abs() < 1e-12, "{similarity}");
                }
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
        let strict = NearDuplicateConfig { threshold: 0.95, ..config };
        audit_near_duplicates(&data, &split, &texts, &strict).unwrap();
        for bad in [0.3, 1.1, f64::NAN] {
            assert!(
                audit_near_duplicates(&data, &split, &[], &NearDuplicateConfig { threshold: bad, ..config })
                    .is_err()
            );
        }
    }

    #[test]
    fn banding_finds_what_counting_finds() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let data = dataset(80, 1, &[]);
        let held_out: Vec<UserId> = (40..80).map(UserId::from_index).collect();
        let split = Split::from_held_out(&data, &[], &held_out).unwrap();
        // Held-out text k is training text k with up to 6 of its 40 words changed.
        let words = |rng: &mut ChaCha8Rng| (0..40).map(|_| rng.random_range(0..500)).collect::<Vec<u32>>();
        let originals: Vec<Vec<u32>> = (0..40).map(|_| words(&mut rng)).collect();
        let text = |words: &[u32]| words.iter().map(|word| format!("w{word}")).collect::<Vec<_>>().join(" ");
        let mut texts: Vec<Example> =
            originals.iter().enumerate().map(|(at, one)| example(at, &text(one))).collect();
        for (at, original) in originals.iter().enumerate() {
            let mut copy = original.clone();
            for change in 0..at % 7 {
                copy[change * 6] = 1_000;
            }
            texts.push(example(40 + at, &text(&copy)));
        }
        let expected: Vec<usize> = (40..80)
            .filter(|&at| {
                let one = shingles(&texts[at].reference, 3);
                (0..40).any(|other| jaccard(&one, &shingles(&texts[other].reference, 3)) >= 0.8)
            })
            .collect();
        assert!(expected.len() > 5 && expected.len() < 35, "{}", expected.len());
        let Err(Error::Leaks { leaks }) =
            audit_near_duplicates(&data, &split, &texts, &NearDuplicateConfig::default())
        else {
            panic!("there are near duplicates")
        };
        let found: Vec<usize> = leaks
            .iter()
            .map(|leak| match leak {
                Leak::NearDuplicate { example, .. } => *example,
                other => panic!("{other}"),
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn texts_without_words_repeat_nothing() {
        let data = dataset(2, 1, &[]);
        let split = Split::from_held_out(&data, &[], &[UserId::from_index(1)]).unwrap();
        let texts = [example(0, ""), example(1, " … ")];
        audit_near_duplicates(&data, &split, &texts, &NearDuplicateConfig::default()).unwrap();
    }
}
