//! libtorch and LAPACK in one process: each must call its own BLAS. With an unprefixed OpenBLAS this fails on the first
//! test, and without it nothing would tell: libtorch then returns wrong numbers and no error.

use approx::assert_abs_diff_eq;
use ndarray::{Array1, Array2};
use ndarray_linalg::{Eigh, UPLO};
use regen_examples::health::{complex_inner_product_error, mapped_libraries};
use regen_lapack as _;
use tch::{Kind, Tensor};

/// A symmetric matrix with well separated eigenvalues.
fn symmetric(order: usize) -> Array2<f64> {
    Array2::from_shape_fn((order, order), |(row, column)| {
        let (low, high) = (row.min(column), row.max(column));
        if low == high { low as f64 } else { 1.0 / (1.0 + (3 * low + high) as f64) }
    })
}

fn eigenvalues_by_lapack(matrix: &Array2<f64>) -> Array1<f64> {
    matrix.eigh(UPLO::Lower).unwrap().0
}

fn eigenvalues_by_libtorch(matrix: &Array2<f64>) -> Array1<f64> {
    let order = i64::try_from(matrix.nrows()).unwrap();
    let tensor = Tensor::from_slice(matrix.as_slice().unwrap()).reshape([order, order]);
    let (values, _) = tensor.linalg_eigh("L");
    Array1::from_vec(Vec::<f64>::try_from(values).unwrap())
}

#[test]
fn the_complex_inner_product_of_libtorch_is_right_beside_lapack() {
    // LAPACK is called first, so that its library is surely loaded and its symbols are bound.
    assert_abs_diff_eq!(eigenvalues_by_lapack(&symmetric(3)).sum(), 3.0, epsilon = 1e-12);
    assert!(complex_inner_product_error(Kind::Double) < 1e-12);
    assert!(complex_inner_product_error(Kind::Float) < 1e-4);
}

#[test]
fn both_find_the_same_eigenvalues() {
    let matrix = symmetric(65);
    assert_abs_diff_eq!(eigenvalues_by_lapack(&matrix), eigenvalues_by_libtorch(&matrix), epsilon = 1e-10);
}

/// Without this the other tests could pass because one of the two is not there.
#[cfg(target_os = "linux")]
#[test]
fn both_libraries_are_in_the_process() {
    let _ = tch::get_num_threads();
    let _ = eigenvalues_by_lapack(&symmetric(2));
    let libraries = mapped_libraries();
    for name in ["libtorch_cpu.so", "libscipy_openblas.so"] {
        assert!(libraries.iter().any(|path| path.ends_with(name)), "{name} is not mapped: {libraries:?}");
    }
}
