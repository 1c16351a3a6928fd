//! Intervals and tests: they must be reproducible, know chance from difference, and not depend on threads.

use regen_metrics::{
    Bleu, Bootstrap, Error, Mean, MeanStats, Measurement, Randomization, Rouge, approximate_randomization,
    holm, measure, paired_bootstrap,
};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::golden::pairs;

fn mean_of(values: impl IntoIterator<Item = f64>) -> Measurement<Mean> {
    let segments = values.into_iter().map(MeanStats::of).collect();
    Measurement::new(Mean::named("mean"), segments, String::new()).unwrap()
}

fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

#[test]
fn scores_and_intervals_do_not_depend_on_the_number_of_threads() {
    let (hypotheses, references) = pairs();
    let run = || {
        let bleu = measure(&Bleu::default(), &hypotheses, &references).unwrap();
        let rouge = measure(&Rouge::l(), &hypotheses, &references).unwrap();
        let bootstrap = Bootstrap { resamples: 200, ..Bootstrap::seeded(5) };
        (bleu.score(), bleu.interval(&bootstrap).unwrap(), rouge.score(), rouge.interval(&bootstrap).unwrap())
    };
    assert_eq!(with_threads(1, run), with_threads(5, run));
}

#[test]
fn the_interval_of_a_mean_is_that_of_the_normal_approximation() {
    // 400 values of standard deviation 5: standard error 0.25.
    let measurement = mean_of((0..400).map(|i| if i % 2 == 0 { 5.0 } else { -5.0 }));
    let interval = measurement.interval(&Bootstrap { resamples: 4_000, ..Bootstrap::seeded(1) }).unwrap();
    assert!((interval.standard_error - 0.25).abs() < 0.01, "{interval:?}");
    assert!((interval.low + 1.96 * 0.25).abs() < 0.04, "{interval:?}");
    assert!((interval.high - 1.96 * 0.25).abs() < 0.04, "{interval:?}");
}

#[test]
fn a_wider_confidence_gives_a_wider_interval() {
    let measurement = mean_of((0..50).map(f64::from));
    let narrow = measurement.interval(&Bootstrap { confidence: 0.5, ..Bootstrap::seeded(1) }).unwrap();
    let wide = measurement.interval(&Bootstrap { confidence: 0.99, ..Bootstrap::seeded(1) }).unwrap();
    assert!(wide.low < narrow.low && narrow.high < wide.high);
}

#[test]
fn a_system_does_not_differ_from_itself() {
    let (hypotheses, references) = pairs();
    let bleu = measure(&Bleu::default(), &hypotheses, &references).unwrap();
    let bootstrap = paired_bootstrap(&bleu, &bleu, &Bootstrap::seeded(3)).unwrap();
    let randomization =
        approximate_randomization(&bleu, &bleu, &Randomization { trials: 500, seed: 3 }).unwrap();
    assert_eq!((bootstrap.difference, bootstrap.p_value), (0.0, 1.0));
    assert_eq!((randomization.difference, randomization.p_value), (0.0, 1.0));
}

#[test]
fn a_small_but_steady_gain_is_found_and_noise_is_not() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let mut noise = || f64::from(rng.next_u32()) / f64::from(u32::MAX);
    let values: Vec<f64> = (0..300).map(|_| noise()).collect();
    let base = mean_of(values.iter().copied());
    let steady = mean_of(values.iter().map(|value| value + 0.01 + 0.005 * noise()));
    let other = mean_of((0..300).map(|_| noise()));
    let trials = Randomization { trials: 2_000, seed: 9 };
    let found = [
        paired_bootstrap(&base, &steady, &Bootstrap::seeded(9)).unwrap().p_value,
        approximate_randomization(&base, &steady, &trials).unwrap().p_value,
    ];
    let chance = [
        paired_bootstrap(&base, &other, &Bootstrap::seeded(9)).unwrap().p_value,
        approximate_randomization(&base, &other, &trials).unwrap().p_value,
    ];
    assert!(found.iter().all(|&p| p < 0.002), "{found:?}");
    assert!(chance.iter().all(|&p| p > 0.05), "{chance:?}");
    assert!((chance[0] - chance[1]).abs() < 0.1, "the two tests disagree: {chance:?}");
}

#[test]
fn p_values_are_uniform_where_nothing_differs() {
    // A test at level 0.1 must reject about one in ten of equal systems, whatever its cleverness.
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut noise = || mean_of((0..60).map(|_| f64::from(rng.next_u32())));
    let rejected = (0..200u64)
        .filter(|&round| {
            let (first, second) = (noise(), noise());
            let settings = Bootstrap { resamples: 300, ..Bootstrap::seeded(round) };
            paired_bootstrap(&first, &second, &settings).unwrap().p_value < 0.1
        })
        .count();
    assert!((8..=36).contains(&rejected), "{rejected} of 200");
}

#[test]
fn grouping_keeps_the_score_and_widens_the_interval_of_dependent_segments() {
    // Ten segments of one user are equal: there are only 20 independent values among 200.
    let values: Vec<f64> = (0..200).map(|i| f64::from(i / 10 % 20)).collect();
    let users: Vec<usize> = (0..200).map(|i| i / 10).collect();
    let single = mean_of(values);
    let grouped = single.grouped(&users).unwrap();
    assert_eq!(single.value(), grouped.value());
    assert_eq!(grouped.segments().len(), 20);
    let settings = Bootstrap::seeded(2);
    let (narrow, wide) = (single.interval(&settings).unwrap(), grouped.interval(&settings).unwrap());
    let ratio = wide.standard_error / narrow.standard_error;
    assert!((ratio - 10f64.sqrt()).abs() < 0.4, "ratio {ratio}");
}

#[test]
fn pooling_keeps_the_score_of_all_and_counts_the_chance_between_runs() {
    // Ten runs that are each all of one value, +1 or -1: fifty segments of a run tell no more than one of them.
    let runs: Vec<_> = (0..10).map(|run| mean_of([f64::from(run % 2) * 2.0 - 1.0; 50])).collect();
    let pooled = Measurement::pooled(&runs).unwrap();
    assert_eq!((pooled.value(), pooled.segments().len(), pooled.runs()), (0.0, 500, &[50; 10][..]));
    let error =
        pooled.interval(&Bootstrap { resamples: 4_000, ..Bootstrap::seeded(1) }).unwrap().standard_error;
    assert!((error - 1.0 / 10f64.sqrt()).abs() < 0.01, "standard error {error}");
    // A system that is better by the same in every run is better, however much the runs differ.
    let better: Vec<_> = (0..10).map(|run| mean_of([f64::from(run % 2) * 2.0 - 0.9; 50])).collect();
    let comparison =
        paired_bootstrap(&pooled, &Measurement::pooled(&better).unwrap(), &Bootstrap::seeded(1)).unwrap();
    assert!((comparison.difference - 0.1).abs() < 1e-9 && comparison.p_value < 0.002, "{comparison:?}");
}

#[test]
fn a_unit_of_several_runs_counts_once() {
    // Forty users who differ, judged alike under four seeds: the seeds tell nothing more of them.
    let run = mean_of((0..40).map(f64::from));
    let runs = vec![run.clone(); 4];
    let users: Vec<u32> = (0..4).flat_map(|_| 100..140).collect();
    let bootstrap = Bootstrap { resamples: 4_000, ..Bootstrap::seeded(1) };
    let error = |measurement: &Measurement<Mean>| measurement.interval(&bootstrap).unwrap().standard_error;
    let nested = Measurement::pooled(&runs).unwrap();
    let crossed = nested.clone().with_shared_units(&users).unwrap();
    assert_eq!((nested.units(), crossed.units(), crossed.value()), (160, 40, run.value()));
    assert!((error(&crossed) / error(&run) - 1.0).abs() < 0.05, "{} {}", error(&crossed), error(&run));
    assert!((error(&nested) / error(&run) - 0.5).abs() < 0.05, "{} {}", error(&nested), error(&run));
    // Seeds that differ count beside the users.
    let seeds: Vec<_> = (0..4).map(|seed| mean_of([f64::from(seed % 2) * 2.0 - 1.0; 40])).collect();
    let seeds = Measurement::pooled(&seeds).unwrap();
    let between = error(&seeds.clone().with_shared_units(&users).unwrap());
    assert!((between - 0.5).abs() < 0.02, "{between}");

    // A test of two systems sees the same draws.
    let better = Measurement::pooled(&vec![mean_of((0..40).map(|user| f64::from(user) + 0.1)); 4]).unwrap();
    let better_crossed = better.clone().with_shared_units(&users).unwrap();
    let comparison = paired_bootstrap(&crossed, &better_crossed, &bootstrap).unwrap();
    assert!((comparison.difference - 0.1).abs() < 1e-9 && comparison.p_value < 0.001, "{comparison:?}");
    assert!(matches!(paired_bootstrap(&crossed, &better, &bootstrap), Err(Error::UnlikeUnits)));
    assert!(matches!(better.with_shared_units(&users[1..]), Err(Error::CountMismatch { .. })));
}

#[test]
fn runs_with_a_part_of_the_units_are_drawn_until_there_is_something_to_score() {
    // Two runs of one unit each: a draw of the one unit and the other run has nothing.
    let runs = [mean_of([1.0]), mean_of([3.0])];
    let crossed = Measurement::pooled(&runs).unwrap().with_shared_units(&["a", "b"]).unwrap();
    let interval = crossed.interval(&Bootstrap::seeded(1)).unwrap();
    assert_eq!((crossed.units(), interval.low, interval.high), (2, 1.0, 3.0));
}

#[test]
fn one_run_alone_is_pooled_into_itself_and_unlike_runs_are_refused() {
    let run = mean_of((0..50).map(f64::from));
    let pooled = Measurement::pooled(std::slice::from_ref(&run)).unwrap();
    let bootstrap = Bootstrap::seeded(3);
    assert_eq!(pooled.interval(&bootstrap).unwrap(), run.interval(&bootstrap).unwrap());
    assert!(matches!(Measurement::<Mean>::pooled(&[]), Err(Error::Empty)));
    let other = Measurement::new(Mean::named("mean"), vec![MeanStats::of(1.0)], "other".to_owned()).unwrap();
    assert!(matches!(Measurement::pooled(&[run.clone(), other]), Err(Error::UnlikeRuns { .. })));
    // The same number of segments, divided otherwise.
    let (short, long) = (mean_of([1.0]), mean_of([1.0, 2.0]));
    let first = Measurement::pooled(&[short.clone(), long.clone()]).unwrap();
    let second = Measurement::pooled(&[long, short]).unwrap();
    assert!(matches!(paired_bootstrap(&first, &second, &bootstrap), Err(Error::CountMismatch { .. })));
}

#[test]
fn holm_steps_down_and_never_reorders() {
    assert_eq!(holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
    assert_eq!(holm(&[0.5, 0.9]), [1.0, 1.0]);
    assert_eq!(holm(&[]), [0.0; 0]);
}

#[test]
fn mismatched_and_empty_inputs_are_errors() {
    let bleu = Bleu::default();
    let none: [&str; 0] = [];
    assert!(matches!(measure(&bleu, &none, &none), Err(Error::Empty)));
    assert!(matches!(measure(&bleu, &["a"], &none), Err(Error::CountMismatch { expected: 1, got: 0, .. })));
    let missing: [Vec<&str>; 3] = [vec!["a"], vec!["b", "c"], vec![]];
    assert!(matches!(measure(&bleu, &["a", "b", "c"], &missing), Err(Error::NoReference { segment: 2 })));
    let (short, long) = (mean_of([1.0]), mean_of([1.0, 2.0]));
    assert!(paired_bootstrap(&short, &long, &Bootstrap::seeded(0)).is_err());
    assert!(short.interval(&Bootstrap { confidence: 1.0, ..Bootstrap::seeded(0) }).is_err());
    assert!(short.interval(&Bootstrap { resamples: 1, ..Bootstrap::seeded(0) }).is_err());
}
