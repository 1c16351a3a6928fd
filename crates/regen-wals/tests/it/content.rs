//! Factors from content: the regression against one that is worked out otherwise.

use ndarray::{Array1, Array2, Axis};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regen_wals::{ContentMap, Error, InteractionMatrix, WalsConfig, WalsModel};

const USERS: usize = 6;
const ITEMS: usize = 40;
const DIM: usize = 5;
const RANK: usize = 3;

fn numbers(rows: usize, columns: usize, seed: u64) -> Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_simple_fn((rows, columns), || rng.random::<f32>() * 2.0 - 0.6)
}

/// Items whose factors are an affine map of their content; every fourth has no pairs, and factors
/// that say nothing.
fn world() -> (WalsModel, InteractionMatrix, Array2<f32>) {
    let content = numbers(ITEMS, DIM, 1);
    let mut factors = content.dot(&numbers(DIM, RANK, 2)) + Array1::from_vec(vec![1.0f32, -2.0, 0.5]);
    let mut pairs = Vec::new();
    for item in 0..ITEMS {
        if item % 4 == 3 {
            factors.row_mut(item).fill(0.0);
        } else {
            pairs.push(((item % USERS) as u32, item as u32, 1.0));
        }
    }
    let matrix = InteractionMatrix::from_triplets(USERS, ITEMS, pairs).unwrap();
    let config = WalsConfig { rank: RANK, ..WalsConfig::default() };
    (WalsModel::from_factors(config, numbers(USERS, RANK, 3), factors).unwrap(), matrix, content)
}

#[test]
fn an_affine_map_is_recovered_from_the_items_with_pairs_and_told_of_the_others() {
    let (model, matrix, content) = world();
    let map = ContentMap::fit(&model, &matrix, content.view(), 1e-9).unwrap();
    let found = map.factors(content.view()).unwrap();
    let truth = content.dot(&numbers(DIM, RANK, 2)) + Array1::from_vec(vec![1.0f32, -2.0, 0.5]);
    for (index, value) in found.indexed_iter() {
        assert!((value - truth[index]).abs() < 1e-4, "{index:?}: {value} {}", truth[index]);
    }
}

#[test]
fn the_gradient_of_the_ridge_regression_vanishes() {
    let (model, matrix, content) = world();
    let lambda = 0.3;
    let loss = |map: &ContentMap, shift: Option<(usize, usize, f32)>| {
        // W and b are seen through what the map gives for unit vectors and for zero.
        let mut probes = Array2::<f32>::zeros((DIM + 1, DIM));
        (0..DIM).for_each(|k| probes[[k, k]] = 1.0);
        let seen = map.factors(probes.view()).unwrap();
        let intercept = seen.row(DIM).to_owned();
        let mut weights = &seen.slice(ndarray::s![..DIM, ..]) - &intercept;
        if let Some((i, j, step)) = shift {
            weights[[i, j]] += step;
        }
        let known: Vec<usize> = (0..ITEMS).filter(|item| item % 4 != 3).collect();
        let miss = model.item_factors().select(Axis(0), &known)
            - content.select(Axis(0), &known).dot(&weights)
            - &intercept;
        let squares = |m: &Array2<f32>| m.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
        squares(&miss) + lambda * known.len() as f64 * squares(&weights)
    };
    let map = ContentMap::fit(&model, &matrix, content.view(), lambda).unwrap();
    let least = loss(&map, None);
    for (i, j) in [(0, 0), (2, 1), (4, 2)] {
        for step in [-0.02, 0.02] {
            assert!(loss(&map, Some((i, j, step))) > least);
        }
    }
    let stiff = ContentMap::fit(&model, &matrix, content.view(), 1e9).unwrap();
    let found = stiff.factors(content.view()).unwrap();
    let known: Vec<usize> = (0..ITEMS).filter(|item| item % 4 != 3).collect();
    let mean = model.item_factors().select(Axis(0), &known).mean_axis(Axis(0)).unwrap();
    assert!(found.rows().into_iter().all(|row| row.iter().zip(&mean).all(|(a, b)| (a - b).abs() < 1e-4)));
}

#[test]
fn content_that_does_not_fit_is_refused_by_name() {
    let (model, matrix, content) = world();
    let fit = |content: &Array2<f32>, lambda| ContentMap::fit(&model, &matrix, content.view(), lambda);
    for lambda in [0.0, -1.0, f64::NAN] {
        assert!(matches!(fit(&content, lambda), Err(Error::InvalidSetting { field: "regularization", .. })));
    }
    assert!(matches!(
        fit(&numbers(ITEMS - 1, DIM, 1), 0.1),
        Err(Error::FactorShape { what: "content vectors", expected: [ITEMS, DIM], .. })
    ));
    let mut damaged = content.clone();
    damaged[[7, 2]] = f32::NAN;
    assert!(matches!(
        fit(&damaged, 0.1),
        Err(Error::FactorValue { what: "content vectors", row: 7, column: 2, .. })
    ));
    let empty = InteractionMatrix::from_triplets(USERS, ITEMS, []).unwrap();
    assert!(matches!(ContentMap::fit(&model, &empty, content.view(), 0.1), Err(Error::NoPairs { .. })));
    let map = fit(&content, 0.1).unwrap();
    assert!(matches!(map.factors(numbers(2, DIM + 1, 1).view()), Err(Error::FactorShape { .. })));
}
