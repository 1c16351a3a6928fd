//! LAPACK through ndarray-linalg gives results that can be checked by hand, and stays out of sight of others.

use approx::assert_abs_diff_eq;
use ndarray::{Array1, Array2, array};
use ndarray_linalg::{Cholesky, Eigh, Inverse, SVD, Scalar, Solve, UPLO, c64};
use regen_lapack as _;

/// Not symmetric and not square-friendly on purpose: a transposed argument must change the answer.
fn general() -> Array2<f64> {
    array![[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [4.0, 0.0, 1.0]]
}

#[test]
fn solve_returns_the_solution_it_was_built_from() {
    // general() · [1, -2, 3] by hand; the transposed product would be [14, -5, 1].
    let solution = general().solve(&array![0.0, -3.0, 7.0]).unwrap();
    assert_abs_diff_eq!(solution, array![1.0, -2.0, 3.0], epsilon = 1e-12);
}

#[test]
fn inverse_equals_the_adjugate_over_the_determinant() {
    // det = 2·3 + 1·4 = 10, cofactors by hand.
    let expected = array![[3.0, -1.0, 1.0], [4.0, 2.0, -2.0], [-12.0, 4.0, 6.0]] / 10.0;
    assert_abs_diff_eq!(general().inv().unwrap(), expected, epsilon = 1e-12);
}

#[test]
fn cholesky_returns_the_lower_factor() {
    let lower = array![[2.0, 0.0, 0.0], [1.0, 3.0, 0.0], [-1.0, 0.5, 1.5]];
    let factor = lower.dot(&lower.t()).cholesky(UPLO::Lower).unwrap();
    assert_abs_diff_eq!(factor, lower, epsilon = 1e-12);
}

#[test]
fn cholesky_of_an_indefinite_matrix_is_an_error() {
    assert!(array![[1.0, 2.0], [2.0, 1.0]].cholesky(UPLO::Lower).is_err());
}

#[test]
fn eigh_returns_known_eigenpairs_in_ascending_order() {
    // The second difference matrix of order n has eigenvalues 2 - 2 cos(kπ/(n+1)).
    let order = 5usize;
    let matrix = Array2::from_shape_fn((order, order), |(row, column)| match row.abs_diff(column) {
        0 => 2.0,
        1 => -1.0,
        _ => 0.0,
    });
    let (values, vectors) = matrix.eigh(UPLO::Lower).unwrap();
    let expected: Array1<f64> = (1..=order)
        .map(|k| 2.0 - 2.0 * (k as f64 * std::f64::consts::PI / (order + 1) as f64).cos())
        .collect();
    assert_abs_diff_eq!(values, expected, epsilon = 1e-12);
    let rebuilt = vectors.dot(&Array2::from_diag(&values)).dot(&vectors.t());
    assert_abs_diff_eq!(rebuilt, matrix, epsilon = 1e-12);
}

#[test]
fn svd_of_a_wide_matrix_returns_known_singular_values() {
    // The rows are orthogonal, of lengths 3 and √26; singular values descend.
    let wide = array![[1.0, 2.0, 2.0], [4.0, 1.0, -3.0]];
    let (left, values, right) = wide.svd(true, true).unwrap();
    let (left, right) = (left.unwrap(), right.unwrap());
    assert_abs_diff_eq!(values, array![26f64.sqrt(), 3.0], epsilon = 1e-12);
    let mut diagonal = Array2::zeros((2, 3));
    diagonal[[0, 0]] = values[0];
    diagonal[[1, 1]] = values[1];
    assert_abs_diff_eq!(left.dot(&diagonal).dot(&right), wide, epsilon = 1e-12);
}

#[test]
fn complex_and_single_precision_entry_points_are_linked() {
    let hermitian =
        array![[c64::new(2.0, 0.0), c64::new(0.0, 1.0)], [c64::new(0.0, -1.0), c64::new(2.0, 0.0)]];
    let (values, _) = hermitian.eigh(UPLO::Lower).unwrap();
    assert_abs_diff_eq!(values, array![1.0, 3.0], epsilon = 1e-12);
    let rotated = hermitian.solve(&array![c64::i(), c64::new(1.0, 0.0)]).unwrap();
    // By hand: the inverse is [[2, -i], [i, 2]] / 3, and [[2, -i], [i, 2]]·[i, 1] = [i, 1].
    assert!((rotated[0] - c64::i() / 3.0).abs() < 1e-12 && (rotated[1] - 1.0 / 3.0).abs() < 1e-12);
    let single: Array1<f32> = array![[4.0f32, 1.0], [1.0, 3.0]].solve(&array![1.0, 2.0]).unwrap();
    assert_abs_diff_eq!(single, array![1.0 / 11.0, 7.0 / 11.0], epsilon = 1e-6);
}

/// If the program exported LAPACK names, libtorch in the same process would call them instead of its own.
#[cfg(target_os = "linux")]
#[test]
fn the_program_exports_no_lapack_name() {
    let exported = symbols(&["-D", "--defined-only"]);
    let leaked: Vec<_> = names().filter(|name| exported.iter().any(|symbol| symbol == name)).collect();
    assert!(leaked.is_empty(), "exported to other libraries: {leaked:?}");
    // The check above would also pass if nothing were linked: the program must need the prefixed names.
    let needed = symbols(&["-D", "--undefined-only"]);
    assert!(needed.iter().any(|symbol| symbol == "scipy_dpotrf_"), "OpenBLAS is not linked: {needed:?}");
}

#[cfg(target_os = "linux")]
fn names() -> impl Iterator<Item = &'static str> {
    include_str!("../../symbols.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty())
}

/// What `nm` says of this test program. binutils come with the C compiler that the build needs.
#[cfg(target_os = "linux")]
fn symbols(options: &[&str]) -> Vec<String> {
    let program = std::env::current_exe().unwrap();
    let output = std::process::Command::new("nm").args(options).arg(program).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let words = String::from_utf8(output.stdout).unwrap();
    words
        .lines()
        .filter_map(|line| Some(line.split_whitespace().last()?.split('@').next()?.to_owned()))
        .collect()
}
