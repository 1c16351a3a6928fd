//! The order in which a rater sees the tasks, and which text stands on the left.
//!
//! All tasks lie on one circle, in an order drawn from the seed. Rater `r` takes the next stretch of it, so that every task
//! is judged equally often (up to one) whatever the number of raters. Within a stretch, texts for the same case lie as far
//! apart as they can, because who has just read one text judges the next by it. Sides alternate along the circle for each
//! pair of systems, and from lap to lap for each task: balanced for each rater and for each task.

use std::collections::HashMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::study::{Shown, Study, Task};

/// A task in the order of a rater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Assigned {
    /// What is shown.
    pub task: Task,
    /// Whether the second system's text stands on the left. Never for single texts.
    pub swapped: bool,
}

/// The tasks of the rater who joined as number `rater`, counted from 0, in the order in which they are shown. The same
/// study and number give the same order, always.
pub fn order_of(study: &Study, rater: usize) -> Vec<Assigned> {
    let circle = circle(study);
    if circle.is_empty() {
        return Vec::new();
    }
    let count = study.per_rater.map_or(circle.len(), |most| most.get().min(circle.len()));
    let start = rater.wrapping_mul(count);
    let mut stretch: Vec<Assigned> = (start..start.saturating_add(count))
        .map(|place| {
            let Assigned { task, swapped } = circle[place % circle.len()];
            let lap = place / circle.len();
            let pair = matches!(task.shown, Shown::Two { .. });
            Assigned { task, swapped: pair && swapped != (lap % 2 == 1) }
        })
        .collect();
    // Stream 0 chooses cases, 1 makes the circle.
    spread(&mut stretch, &mut stream(study.seed, rater as u64 + 2));
    stretch
}

/// All tasks in an order that the seed draws, in rounds of different cases, sides alternating for each pair of systems.
fn circle(study: &Study) -> Vec<Assigned> {
    let mut circle: Vec<Assigned> =
        study.tasks().into_iter().map(|task| Assigned { task, swapped: false }).collect();
    spread(&mut circle, &mut stream(study.seed, 1));
    let mut next: HashMap<Shown, bool> = HashMap::new();
    for assigned in &mut circle {
        let side = next.entry(assigned.task.shown).or_default();
        assigned.swapped = *side;
        *side = !*side;
    }
    circle
}

/// Shuffles into rounds: the first holds one task of every case, the second another one, and so on, so that two tasks of a
/// case are about a round apart.
fn spread(tasks: &mut Vec<Assigned>, rng: &mut ChaCha8Rng) {
    shuffle(tasks, rng);
    let mut seen: HashMap<usize, usize> = HashMap::new();
    let mut rounds: Vec<Vec<Assigned>> = Vec::new();
    for &assigned in tasks.iter() {
        let round = seen.entry(assigned.task.case).or_default();
        if rounds.len() <= *round {
            rounds.push(Vec::new());
        }
        rounds[*round].push(assigned);
        *round += 1;
    }
    tasks.clear();
    for mut round in rounds {
        shuffle(&mut round, rng);
        // Where rounds meet, the same case could come twice in a row.
        let before = tasks.last().map(|last| last.task.case);
        if round.len() > 1 && round.first().map(|first| first.task.case) == before {
            let last = round.len() - 1;
            round.swap(0, last);
        }
        tasks.append(&mut round);
    }
}

/// The generator of a purpose; each has its own stream of the caller's seed.
pub(crate) fn stream(seed: u64, purpose: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(purpose);
    rng
}

/// Fisher and Yates, written out because orders of running studies must not change with a release of `rand`.
pub(crate) fn shuffle<T>(values: &mut [T], rng: &mut ChaCha8Rng) {
    for last in (1..values.len()).rev() {
        // The bias of the product is below values / 2^64.
        let other = (u128::from(rng.next_u64()) * (last as u128 + 1)) >> 64;
        values.swap(last, other as usize);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroUsize;

    use super::*;
    use crate::study::{Design, StudyCase, StudyConfig};
    use regen_metrics::rubric::Rubric;

    fn study(systems: usize, cases: usize, design: Design, per_rater: Option<usize>) -> Study {
        let names = (0..systems).map(|s| format!("s{s}")).collect();
        let case = |case| StudyCase {
            texts: (0..systems).map(|system| Some(format!("{case} by {system}"))).collect(),
            ..StudyCase::default()
        };
        let per_rater = per_rater.and_then(NonZeroUsize::new);
        let config = StudyConfig { design, rubric: Rubric::standard(), seed: 5, cases: None, per_rater };
        Study::new(names, (0..cases).map(case).collect(), config).unwrap()
    }

    #[test]
    fn a_rater_sees_every_task_once_in_an_order_of_their_own() {
        let study = study(3, 7, Design::Single, None);
        let (first, second) = (order_of(&study, 0), order_of(&study, 1));
        assert_ne!(first, second);
        assert_eq!(first, order_of(&study, 0), "a resumed rater sees the same order");
        for order in [first, second] {
            let mut tasks: Vec<_> = order.iter().map(|a| (a.task.case, a.task.shown)).collect();
            tasks.sort();
            tasks.dedup();
            assert_eq!(tasks.len(), 21);
            assert!(order.iter().all(|assigned| !assigned.swapped));
        }
        let other = Study { seed: 6, ..study.clone() };
        assert_ne!(order_of(&other, 0), order_of(&study, 0));
    }

    #[test]
    fn texts_for_the_same_case_never_follow_one_another() {
        for (design, seed) in
            [Design::Single, Design::Pairs].into_iter().flat_map(|d| (0..40).map(move |s| (d, s)))
        {
            let study = Study { seed, ..study(3, 5, design, None) };
            let order = order_of(&study, 1);
            assert!(order.windows(2).all(|two| two[0].task.case != two[1].task.case), "{order:?}");
        }
    }

    #[test]
    fn sides_are_balanced_for_each_pair_of_systems_and_each_rater() {
        let study = study(3, 10, Design::Pairs, None);
        let mut swaps: BTreeMap<Shown, usize> = BTreeMap::new();
        for assigned in order_of(&study, 0) {
            *swaps.entry(assigned.task.shown).or_default() += usize::from(assigned.swapped);
        }
        assert_eq!(swaps.into_values().collect::<Vec<_>>(), [5, 5, 5]);
    }

    #[test]
    fn the_next_rater_sees_each_pair_the_other_way_round() {
        let study = study(2, 9, Design::Pairs, None);
        let sides = |rater| -> HashMap<Task, bool> {
            order_of(&study, rater).iter().map(|assigned| (assigned.task, assigned.swapped)).collect()
        };
        let (first, second) = (sides(0), sides(1));
        assert!(first.iter().all(|(task, swapped)| second[task] != *swapped));
        assert_eq!(first, sides(2));
    }

    #[test]
    fn raters_with_a_share_of_the_tasks_cover_them_equally_often() {
        let study = study(3, 7, Design::Single, Some(8));
        let mut times: HashMap<Task, usize> = HashMap::new();
        for rater in 0..13 {
            let order = order_of(&study, rater);
            assert_eq!(order.len(), 8);
            for assigned in order {
                *times.entry(assigned.task).or_default() += 1;
            }
        }
        // 13 · 8 judgements of 21 tasks.
        assert_eq!(times.len(), 21);
        assert!(times.values().all(|count| (4..=5).contains(count)), "{times:?}");
    }

    #[test]
    fn sides_do_not_tell_the_system_by_the_place_in_the_order() {
        // Neither all swapped first nor strictly alternating: seen from the rater, sides are random.
        let study = study(2, 40, Design::Pairs, None);
        let sides: Vec<bool> = order_of(&study, 0).iter().map(|assigned| assigned.swapped).collect();
        let changes = sides.windows(2).filter(|two| two[0] != two[1]).count();
        assert!((10..30).contains(&changes), "{changes} changes of side in 39");
    }
}
