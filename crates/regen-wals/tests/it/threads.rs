//! What must not depend on how work is shared out: on a world so large that Gram matrices, losses and rankings are
//! summed in several parts.

use rayon::ThreadPoolBuilder;
use regen_wals::evaluate::{RankingReport, evaluate, evaluate_new_users};
use regen_wals::{Arithmetic, HoldOut, InteractionMatrix, Solver, WalsConfig, WalsModel};

use crate::shards::{ITEMS, matrix};
use crate::world::config;

fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

/// Everything that a fit and its judgement give, numbers as bits.
#[derive(Debug, PartialEq)]
struct Outcome {
    users: Vec<u32>,
    items: Vec<u32>,
    user_gram: Vec<u64>,
    item_gram: Vec<u64>,
    objective: u64,
    folded: Vec<u32>,
    /// Of the model's users and of users who are folded in.
    reports: Option<[RankingReport; 2]>,
}

fn outcome(config: &WalsConfig, train: &InteractionMatrix, held_out: &[(u32, u32)]) -> Outcome {
    let model = config.fit(train).unwrap();
    let bits = |numbers: ndarray::ArrayView2<'_, f32>| numbers.iter().map(|v| v.to_bits()).collect();
    let wide = |numbers: ndarray::ArrayView2<'_, f64>| numbers.iter().map(|v| v.to_bits()).collect();
    Outcome {
        users: bits(model.user_factors()),
        items: bits(model.item_factors()),
        user_gram: wide(model.user_gram()),
        item_gram: wide(model.item_gram()),
        objective: model.objective(train).unwrap().to_bits(),
        folded: bits(model.fold_in_users(train).unwrap().view()),
        // Ranking knows no solver: once for each arithmetic is enough.
        reports: (config.solver == Solver::Cholesky).then(|| {
            [
                evaluate(&model, train, held_out, 10).unwrap(),
                evaluate_new_users(&model, train, held_out, 10).unwrap(),
            ]
        }),
    }
}

#[test]
fn one_two_and_five_threads_give_the_same_bits() {
    let (train, held_out) = HoldOut { share: 0.2, users: None, seed: 4 }.split(&matrix()).unwrap();
    let solvers = [
        (Solver::Cholesky, Arithmetic::F32),
        (Solver::ConjugateGradient { steps: 2 }, Arithmetic::F32),
        (Solver::Block { size: 5, relaxation: 1.3 }, Arithmetic::F32),
        (Solver::Cholesky, Arithmetic::F64),
        (Solver::ConjugateGradient { steps: 2 }, Arithmetic::F64),
        (Solver::Block { size: 5, relaxation: 1.3 }, Arithmetic::F64),
    ];
    for (solver, arithmetic) in solvers {
        let iterations = if arithmetic == Arithmetic::F64 { 1 } else { 2 };
        let config = WalsConfig { iterations, arithmetic, ..config(10, solver) };
        let run = || outcome(&config, &train, &held_out);
        let one = with_threads(1, run);
        assert!(f64::from_bits(one.objective).is_finite());
        for threads in [2, 5] {
            assert!(with_threads(threads, run) == one, "{threads} threads, {solver:?}, {arithmetic:?}");
        }
    }
}

/// More users than are ranked at once (4,096), two pairs each and one held out.
const MANY: u32 = 5_000;

#[test]
fn users_judged_together_count_as_each_does_alone() {
    let items = 60u32;
    let pair = |user: u32, k: u32| (user * 7 + k * k * 11 + user / 60 * k) % items;
    let triplets = (0..MANY).flat_map(|user| (0..2).map(move |k| (user, pair(user, k), 1.0)));
    let train = InteractionMatrix::from_triplets(MANY as usize, items as usize, triplets).unwrap();
    let held_out: Vec<(u32, u32)> = (0..MANY)
        .map(|user| (user, pair(user, 2)))
        .filter(|&(user, item)| !train.user_row(user as usize).0.contains(&item))
        .collect();
    assert!(held_out.len() > 4_096 + 100);
    let model: WalsModel = WalsConfig { iterations: 1, ..config(3, Solver::Cholesky) }.fit(&train).unwrap();
    let together = evaluate(&model, &train, &held_out, 5).unwrap();
    assert_eq!((together.users, together.pairs), (held_out.len(), held_out.len()));
    assert!(together.ndcg > 0.0 && together.ndcg < 1.0);
    let mut sums = [0f64; 5];
    for pair in &held_out {
        let alone = evaluate(&model, &train, std::slice::from_ref(pair), 5).unwrap();
        let metrics = [alone.recall, alone.truncated_recall, alone.ndcg, alone.mrr, alone.hit_rate];
        sums.iter_mut().zip(metrics).for_each(|(sum, metric)| *sum += metric);
    }
    let means = sums.map(|sum| sum / held_out.len() as f64);
    let got = [together.recall, together.truncated_recall, together.ndcg, together.mrr, together.hit_rate];
    assert_eq!(got, means);
}

#[test]
fn the_larger_world_is_split() {
    // Gram matrices of losses are summed by 2,048 rows, rankings by 4,096 users.
    assert!(matrix().users() > 4_096 && ITEMS > 2 * 2_048);
}
