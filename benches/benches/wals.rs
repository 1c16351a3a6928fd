//! Factorisation, fold-in and recommendation on the power-law matrix.
//!
//! Comparisons with other libraries are in `benches/peers/wals.py`, which runs both in turns.

use std::ops::ControlFlow;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use regen_torch::{DeviceChoice, Placement, Precision};
use regen_wals::evaluate::evaluate;
use regen_wals::shards::{ShardPlan, ShardedFit, ShardedMatrix};
use regen_wals::{
    Confidence, HoldOut, InitialFactors, InteractionMatrix, OnDevice, Progress, SeenItems, Solver,
    UnobservedScope, WalsConfig,
};

#[path = "../peers/wals/power_law.rs"]
mod power_law;

const USERS: usize = 10_000;
const ITEMS: usize = 4_000;

const SOLVERS: [(&str, Solver); 3] = [
    ("cholesky", Solver::Cholesky),
    ("cg3", Solver::ConjugateGradient { steps: 3 }),
    ("block32", Solver::Block { size: 32, relaxation: 1.4 }),
];

fn config(rank: usize, solver: Solver) -> WalsConfig {
    WalsConfig {
        rank,
        iterations: 1,
        regularization: 0.01,
        solver,
        confidence: Confidence::Hu { alpha: 2.0 },
        unobserved_weight: 1.0,
        unobserved_scope: UnobservedScope::Unobserved,
        frequency_exponent: 0.0,
        seed: 1,
        ..WalsConfig::default()
    }
}

fn matrix() -> InteractionMatrix {
    InteractionMatrix::from_triplets(USERS, ITEMS, power_law::triplets(USERS, ITEMS, 8.0, 1)).unwrap()
}

fn fit(criterion: &mut Criterion) {
    let matrix = matrix();
    let mut group = criterion.benchmark_group("wals/iteration");
    group.throughput(Throughput::Elements(matrix.pairs() as u64));
    for rank in [32, 64, 128] {
        for (name, solver) in SOLVERS {
            let config = config(rank, solver);
            group.bench_function(BenchmarkId::new(name, format!("{USERS}x{ITEMS}x{rank}")), |b| {
                b.iter(|| {
                    let model = config.fit(&matrix).unwrap();
                    assert!(model.user_factors()[[0, 0]].is_finite());
                });
            });
        }
    }
    group.finish();
}

/// The exact iteration on libtorch's device: the GPU if there is one, otherwise libtorch's CPU kernels.
fn on_device(criterion: &mut Criterion) {
    let matrix = matrix();
    let device = Placement::choose(DeviceChoice::Auto, Precision::F32).unwrap().device;
    let name = format!("cholesky on {device:?}");
    let mut group = criterion.benchmark_group("wals/iteration");
    group.throughput(Throughput::Elements(matrix.pairs() as u64));
    for rank in [32, 64, 128] {
        let config = config(rank, Solver::Cholesky);
        group.bench_function(BenchmarkId::new(&name, format!("{USERS}x{ITEMS}x{rank}")), |b| {
            b.iter(|| {
                let go_on = &mut |_: Progress<'_>| ControlFlow::Continue(());
                let (on, initial) = (OnDevice::new(device), InitialFactors::default());
                let model = config.fit_on(on, &matrix, initial, go_on).unwrap();
                assert!(model.user_factors()[[0, 0]].is_finite());
            });
        });
    }
    group.finish();
}

fn answer(criterion: &mut Criterion) {
    let (matrix, held_out) = HoldOut { share: 0.2, users: Some(256), seed: 1 }.split(&matrix()).unwrap();
    let model = config(64, Solver::Cholesky).fit(&matrix).unwrap();
    let mut group = criterion.benchmark_group("wals/answer");
    let users: Vec<u32> = (0..256).collect();
    group.throughput(Throughput::Elements(users.len() as u64));
    group.bench_function(format!("recommend/256x{ITEMS}x64"), |b| {
        b.iter(|| {
            let lists = model.recommend(&users, 20, SeenItems::Exclude(&matrix)).unwrap();
            assert_eq!(lists[0].len(), 20);
        });
    });
    group.bench_function(format!("evaluate/256x{ITEMS}x64"), |b| {
        b.iter(|| {
            let report = evaluate(&model, &matrix, &held_out, 10).unwrap();
            assert_eq!(report.users, users.len());
        });
    });
    group.throughput(Throughput::Elements(1));
    // Nobody shares the work of one.
    group.bench_function(format!("recommend/1x{ITEMS}x64"), |b| {
        b.iter(|| {
            let lists = model.recommend(&[7], 20, SeenItems::Exclude(&matrix)).unwrap();
            assert_eq!(lists[0].len(), 20);
        });
    });
    let row: Vec<(u32, f32)> = (0..30).map(|k| (k * 100, 1.0)).collect();
    group.bench_function("fold_in/30x64", |b| {
        b.iter(|| assert_eq!(model.fold_in_user(&row).unwrap().len(), 64));
    });
    group.finish();
}

/// The same iteration over shards on disk: what reading and writing adds.
fn shards(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let plan = ShardPlan { users_per_shard: 2048, items_per_shard: 2048 };
    let matrix = ShardedMatrix::write(&folder.path().join("shards"), &matrix(), plan).unwrap();
    let mut group = criterion.benchmark_group("wals/iteration");
    group.throughput(Throughput::Elements(matrix.pairs() as u64));
    let config = config(64, Solver::Cholesky);
    group.bench_function(BenchmarkId::new("shards", format!("{USERS}x{ITEMS}x64")), |b| {
        let work = || tempfile::tempdir_in(folder.path()).unwrap();
        b.iter_batched(
            work,
            |work| {
                let fitted =
                    config.fit_shards(&matrix, work.path(), &mut |_| ControlFlow::Continue(())).unwrap();
                assert!(matches!(fitted, ShardedFit::Finished { .. }));
                work
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(3));
    targets = fit, on_device, shards, answer
}
criterion_main!(benches);
