//! What the users of the synthetic world write about their purchases: what an item is used for, in words.

use rand::RngExt;

use super::facts::GroundTruth;
use super::phrases::filled;
use super::vocabulary::AFFINITIES;
use super::world::stream;
use crate::Dataset;
use crate::amazon::Review;

/// Streams of reviews, one a user: far from those that the world is drawn from, which must not shift.
const FIRST_USER: u64 = 1 << 32;

/// The share of the purchases that are written about.
const SHARE: f64 = 0.6;

const TEXTS: [&str; 4] = [
    "Bought it for {activity}, and it does what it should.",
    "I use this {category} in {place} every day and would buy it again.",
    "Good for {activity}. Ours stands in {place}.",
    "Arrived quickly. The {category} is a help when I am {activity}.",
];

impl GroundTruth {
    /// What the users of `dataset`, which this is the truth of, wrote about their purchases, in the order of these: three of five
    /// purchases have a review, drawn from `seed`, with the time of the purchase. Each says what its item is used for, which
    /// otherwise only co-purchases tell. The world is the same with its reviews and without.
    pub fn reviews<'a>(&'a self, dataset: &'a Dataset, seed: u64) -> impl Iterator<Item = Review> + 'a {
        dataset.interactions.chunk_by(|a, b| a.user == b.user).flat_map(move |bought| {
            let mut rng = stream(seed, FIRST_USER + bought.first().map_or(0, |one| one.user.index() as u64));
            let mut review = |one: &crate::Interaction| {
                let (written, text) = (rng.random_bool(SHARE), rng.random_range(0..TEXTS.len()));
                let item = self.items.get(one.item.index()).filter(|_| written)?;
                let affinity = &AFFINITIES[item.affinity];
                let text = filled(TEXTS[text], |slot| match slot {
                    "place" => affinity.place,
                    "activity" => affinity.activity,
                    "category" => item.category_name(),
                    _ => unreachable!("the templates above use no other slot"),
                });
                Some(Review {
                    user: dataset.users.name(one.user).to_owned(),
                    item: dataset.items.name(one.item).to_owned(),
                    rating: None,
                    title: None,
                    text: Some(text),
                    time: one.time,
                    verified: None,
                    helpful_votes: None,
                })
            };
            bought.iter().filter_map(&mut review).collect::<Vec<_>>()
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::synthetic::SyntheticConfig;

    #[test]
    fn three_of_five_purchases_are_written_about_and_each_text_tells_the_affinity() {
        let config = SyntheticConfig { users: 60, items: 130, ..Default::default() };
        let world = config.generate().unwrap();
        let of = |seed| world.truth.reviews(&world.dataset, seed).collect::<Vec<_>>();
        let reviews = of(7);
        let share = reviews.len() as f64 / world.dataset.interactions.len() as f64;
        assert!((share - 0.6).abs() < 0.05, "{share}");
        for review in &reviews {
            let (user, item) = (
                world.dataset.users.get(&review.user).unwrap(),
                world.dataset.items.get(&review.item).unwrap(),
            );
            let bought = world.dataset.interactions.iter().find(|one| one.user == user && one.item == item);
            assert_eq!(bought.unwrap().time, review.time);
            let affinity = &super::AFFINITIES[world.truth.items[item.index()].affinity];
            let text = review.text.as_deref().unwrap();
            assert!(text.contains(affinity.place) || text.contains(affinity.activity), "{text}");
            assert!(!text.contains('{'), "{text}");
        }
        assert_eq!(of(7), reviews);
        assert_ne!(of(8), reviews);
        // More users leave the reviews of the first ones as they are.
        let more = SyntheticConfig { users: 61, ..config }.generate().unwrap();
        let of_more: Vec<_> = more.truth.reviews(&more.dataset, 7).collect();
        assert_eq!(of_more[..reviews.len()], reviews[..]);
    }
}
