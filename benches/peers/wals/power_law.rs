//! The matrix of the WALS benchmarks: power-law users and items, deterministic by seed.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// (user, item, value) triplets without repeated pairs, values 1 to 5.
///
/// A user's number of pairs follows a Pareto law (shape 1.1, from `least` pairs on, cut at 2,000),
/// the item of a pair a shifted Zipf law (exponent 0.9). 50,000 × 20,000 from 8 pairs on gives
/// about 1.9 M pairs: half of the users have fewer than 16, half of the items fewer than 40.
pub(crate) fn triplets(users: usize, items: usize, least: f64, seed: u64) -> Vec<(u32, u32, f32)> {
    let mut triplets = Vec::new();
    each(users, items, least, seed, &mut |triplet| triplets.push(triplet));
    triplets
}

/// The same one by one.
pub(crate) fn each(users: usize, items: usize, least: f64, seed: u64, take: &mut dyn FnMut((u32, u32, f32))) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut cumulative = Vec::with_capacity(items);
    let mut total = 0.0;
    for item in 0..items {
        total += (item as f64 + 10.0).powf(-0.9);
        cumulative.push(total);
    }
    // Popularity has nothing to do with the number of an item.
    let mut names: Vec<u32> = (0..items as u32).collect();
    for k in (1..items).rev() {
        names.swap(k, rng.random_range(0..=k));
    }
    let mut taken = vec![u32::MAX; items];
    for user in 0..users as u32 {
        let uniform: f64 = 1.0 - rng.random::<f64>();
        let wanted = (least * uniform.powf(-1.0 / 1.1)).min(2000.0) as usize;
        for _ in 0..wanted {
            let at = rng.random::<f64>() * total;
            let item = names[cumulative.partition_point(|&c| c < at).min(items - 1)];
            let value = 1.0 + (5.0 * rng.random::<f64>().powi(3)).floor();
            if taken[item as usize] != user {
                taken[item as usize] = user;
                take((user, item, value as f32));
            }
        }
    }
}
