//! Matrices that are packed again, and products over rows, against the same in f64.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use regen_kernel::{Level, Linear, Matrix, Scratch, Spare, Storage, Strided, column_sums};

use crate::{allowed, compare, numbers};

const STORAGES: [Storage; 2] = [Storage::F32, Storage::Bf16];

fn weights_of(matrix: &Matrix, output: usize) -> Vec<f32> {
    let mut weights = vec![0.0; matrix.inputs()];
    matrix.weights_of(output, &mut weights);
    weights
}

#[test]
fn packing_again_gives_the_matrix_that_is_made_anew_by_rows_and_by_columns() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    for level in Level::available() {
        for storage in STORAGES {
            let mut by_rows = Matrix::with_room(level, storage, 3, 9);
            let mut by_columns = Matrix::with_room(level, storage, 3, 9);
            for (outputs, inputs) in
                [(70, 100), (5, 1), (16, 8), (64, 48), (33, 19), (1, 7), (97, 2), (40, 32)]
            {
                let weight = numbers(&mut rng, outputs * inputs);
                let linear = Linear { weight: &weight, bias: None, outputs, inputs };
                let fresh = Matrix::new(level, storage, &[linear]);
                let columns: Vec<f32> =
                    (0..weight.len()).map(|i| weight[i % outputs * inputs + i / outputs]).collect();
                by_rows.pack(&weight.chunks(inputs).collect::<Vec<_>>());
                by_columns.pack_transposed(&columns.chunks(outputs).collect::<Vec<_>>());
                let x = numbers(&mut rng, 7 * inputs);
                let product = |matrix: &Matrix| {
                    let mut out = vec![f32::NAN; 7 * outputs];
                    matrix.multiply(&x, &mut out, &mut Scratch::default());
                    out
                };
                let expected = product(&fresh);
                let what = format!("{level:?} {storage:?} {inputs} → {outputs}");
                assert!(product(&by_rows) == expected, "{what}");
                assert!(product(&by_columns) == expected, "{what}, columns");
                assert_eq!(by_rows.bytes(), fresh.bytes(), "{what}");
                for output in 0..outputs {
                    assert_eq!(weights_of(&by_rows, output), weights_of(&fresh, output), "{what}");
                    assert_eq!(
                        weights_of(&by_columns, output),
                        weights_of(&fresh, output),
                        "{what}, columns"
                    );
                }
            }
        }
    }
}

/// Aᵀ·B in f64.
fn over_rows(a: &[f32], stride: usize, columns: usize, b: &[f32], outputs: usize) -> Vec<f64> {
    let mut out = vec![0.0; columns * outputs];
    for (a, b) in a.chunks(stride).zip(b.chunks(outputs)) {
        for (out, a) in out.chunks_mut(outputs).zip(&a[..columns]) {
            out.iter_mut().zip(b).for_each(|(out, b)| *out += f64::from(*a) * f64::from(*b));
        }
    }
    out
}

#[test]
fn products_over_rows_are_right_at_every_level_and_size() {
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    let spare = Spare::default();
    for (rows, columns, stride, outputs) in
        [(1, 1, 1, 1), (7, 5, 6, 33), (8, 64, 64, 32), (100, 65, 80, 64), (31, 130, 131, 5), (1100, 9, 9, 40)]
    {
        let (a, b) = (numbers(&mut rng, rows * stride), numbers(&mut rng, rows * outputs));
        let expected = over_rows(&a, stride, columns, &b, outputs);
        for level in Level::available() {
            for storage in STORAGES {
                let mut matrix = Matrix::with_room(level, storage, 1, 1);
                matrix.pack_transposed(&b.chunks(outputs).collect::<Vec<_>>());
                let what = format!("{level:?} {storage:?} {rows}: {columns} × {outputs}");
                let mut first = Vec::new();
                for threads in [1, 2, 3] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    let mut out = vec![f32::NAN; columns * outputs];
                    let a = Strided { rows: &a, stride };
                    pool.install(|| matrix.product_over_rows(a, &mut out, &spare));
                    compare(&out, &expected, allowed(storage, rows), &what);
                    assert!(first.is_empty() || first == out, "{what}, {threads} threads");
                    first = out;
                }
                matrix.product_over_rows(Strided { rows: &a, stride }, &mut [], &spare);
                matrix.add_product_over_rows(Strided { rows: &a, stride }, &mut first, &spare);
                let twice: Vec<f64> = expected.iter().map(|value| 2.0 * value).collect();
                compare(&first, &twice, 2.0 * allowed(storage, rows), &what);
            }
        }
    }
}

#[test]
fn a_bias_is_set_anew_and_goes_with_the_weights() {
    let mut rng = ChaCha8Rng::seed_from_u64(13);
    let (weight, bias, x) = (numbers(&mut rng, 33 * 7), numbers(&mut rng, 33), numbers(&mut rng, 2 * 7));
    for level in Level::available() {
        let product = |matrix: &Matrix| {
            let mut out = vec![f32::NAN; 2 * 33];
            matrix.multiply(&x, &mut out, &mut Scratch::default());
            out
        };
        let fresh = |bias| {
            let linear = Linear { weight: &weight, bias, outputs: 33, inputs: 7 };
            product(&Matrix::new(level, Storage::F32, &[linear]))
        };
        let rows: Vec<&[f32]> = weight.chunks(7).collect();
        let mut matrix = Matrix::with_room(level, Storage::F32, 7, 33);
        for _ in 0..2 {
            matrix.pack(&rows);
            assert_eq!(product(&matrix), fresh(None));
            matrix.set_bias(Some(&bias));
            assert_eq!(product(&matrix), fresh(Some(&bias)));
        }
    }
}

#[test]
fn columns_are_summed() {
    let mut rng = ChaCha8Rng::seed_from_u64(14);
    for (rows, columns, stride) in [(0, 3, 5), (1, 1, 1), (40, 33, 35)] {
        let a = numbers(&mut rng, rows * stride);
        let expected = over_rows(&a, stride, columns, &vec![1.0; rows], 1);
        for level in Level::available() {
            let mut out = vec![f32::NAN; columns];
            column_sums(level, Strided { rows: &a, stride }, rows, &mut out);
            compare(&out, &expected, 1e-5, "columns");
        }
    }
}
