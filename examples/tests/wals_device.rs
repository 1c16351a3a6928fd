//! The exact solver of `regen-wals` on a libtorch device. Here, because the crate itself is tested without libtorch; on the
//! CPU, since every machine has one.

use std::ops::ControlFlow;

use regen_wals::{
    Arithmetic, Error, InitialFactors, InteractionMatrix, Objective, OnDevice, Solver, UnobservedScope,
    WalsConfig, WalsModel,
};
use tch::Device;

#[path = "../../crates/regen-wals/tests/it/world.rs"]
mod world;

/// The settings that differ in the formula, without that of f64.
fn settings(rank: usize) -> Vec<WalsConfig> {
    let formulas = world::formulas(rank, Solver::Cholesky).into_iter();
    formulas.filter(|config| config.arithmetic == Arithmetic::F32).collect()
}

fn on_device(
    config: &WalsConfig,
    matrix: &InteractionMatrix,
    most_numbers: usize,
) -> Result<WalsModel, Error> {
    let device = OnDevice { most_numbers, ..OnDevice::new(Device::Cpu) };
    config.fit_on(device, matrix, InitialFactors::default(), &mut |_| ControlFlow::Continue(()))
}

fn loss(config: &WalsConfig, matrix: &InteractionMatrix, model: &WalsModel) -> f64 {
    Objective::new(config).evaluate(matrix, model.user_factors(), model.item_factors()).unwrap()
}

/// Largest difference of two models' factors, of a largest factor of 1.
fn difference(a: &WalsModel, b: &WalsModel) -> f32 {
    let sides = [(a.user_factors(), b.user_factors()), (a.item_factors(), b.item_factors())];
    let largest = b.item_factors().iter().chain(b.user_factors()).fold(0f32, |most, v| most.max(v.abs()));
    let apart = sides.iter().flat_map(|(a, b)| a.iter().zip(b).map(|(a, b)| (a - b).abs()));
    apart.fold(0.0, f32::max) / largest
}

#[test]
fn factors_on_a_device_are_those_of_the_host_and_of_f64() {
    let matrix = world::matrix();
    for config in [settings(5), settings(32)].concat() {
        let device = on_device(&config, &matrix, 1 << 20).unwrap();
        let host = config.fit(&matrix).unwrap();
        let wide = WalsConfig { arithmetic: Arithmetic::F64, ..config.clone() }.fit(&matrix).unwrap();
        assert!(difference(&device, &host) < 1e-3, "{config:?}: {}", difference(&device, &host));
        let (got, expected) = (loss(&config, &matrix, &device), loss(&config, &matrix, &wide));
        assert!((got / expected - 1.0).abs() < 1e-6, "{config:?}: {got} {expected}");
        assert!(device.user_factors().row(7).iter().all(|value| *value == 0.0));
    }
}

#[test]
fn how_much_is_computed_at_once_changes_rounding_only() {
    let matrix = world::matrix();
    let config = world::config(16, Solver::Cholesky);
    let whole = on_device(&config, &matrix, 1 << 24).unwrap();
    for most_numbers in [1, 300, 5_000] {
        let parts = on_device(&config, &matrix, most_numbers).unwrap();
        assert!(difference(&parts, &whole) < 1e-3, "{most_numbers}: {}", difference(&parts, &whole));
    }
}

#[test]
fn the_loss_never_rises_and_a_fit_can_be_stopped() {
    let matrix = world::matrix();
    let config = world::config(8, Solver::Cholesky);
    let mut losses = Vec::new();
    let model = config
        .fit_on(OnDevice::new(Device::Cpu), &matrix, InitialFactors::default(), &mut |progress| {
            losses.push(progress.objective());
            if losses.len() == 6 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    assert!(losses.windows(2).all(|pair| pair[1] <= pair[0] * (1.0 + 1e-9)), "{losses:?}");
    assert_eq!(losses.len(), 6);
    assert!((loss(&config, &matrix, &model) / losses[5] - 1.0).abs() < 1e-12);
}

#[test]
fn what_a_device_does_not_solve_is_refused_by_name() {
    let matrix = world::matrix();
    let config = world::config(8, Solver::Cholesky);
    let steps = WalsConfig { solver: Solver::ConjugateGradient { steps: 3 }, ..config.clone() };
    let refused = on_device(&steps, &matrix, 1 << 20).unwrap_err();
    assert!(refused.to_string().contains("ConjugateGradient"), "{refused}");
    // Fewer pairs than the rank, and nothing else that holds a factor in its place.
    let loose = WalsConfig {
        regularization: 0.0,
        unobserved_weight: 0.0,
        unobserved_scope: UnobservedScope::All,
        rank: 200,
        ..config
    };
    assert!(matches!(on_device(&loose, &matrix, 1 << 20), Err(Error::NotPositiveDefinite { .. })));
}
