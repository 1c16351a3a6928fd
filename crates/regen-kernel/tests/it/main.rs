//! Products at every level and in every storage against the same in f64.

mod back;
mod packing;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regen_kernel::{Activation, Level, Linear, Matrix, Scratch, Spare, Storage};

const STORAGES: [Storage; 3] = [Storage::F32, Storage::Bf16, Storage::Int8];

fn numbers(rng: &mut ChaCha8Rng, count: usize) -> Vec<f32> {
    (0..count).map(|_| rng.random::<f32>() * 2.0 - 1.0).collect()
}

struct Case {
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
    outputs: usize,
    inputs: usize,
}

impl Case {
    fn new(rng: &mut ChaCha8Rng, outputs: usize, inputs: usize, bias: bool) -> Self {
        let weight = numbers(rng, outputs * inputs);
        let bias = bias.then(|| numbers(rng, outputs));
        Self { weight, bias, outputs, inputs }
    }

    fn linear(&self) -> Linear<'_> {
        let (outputs, inputs) = (self.outputs, self.inputs);
        Linear { weight: &self.weight, bias: self.bias.as_deref(), outputs, inputs }
    }

    /// In f64.
    fn of(&self, x: &[f32]) -> Vec<f64> {
        let mut out = Vec::new();
        for row in x.chunks_exact(self.inputs) {
            for (output, weight) in self.weight.chunks_exact(self.inputs).enumerate() {
                let dot: f64 = row.iter().zip(weight).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                out.push(dot + self.bias.as_ref().map_or(0.0, |bias| f64::from(bias[output])));
            }
        }
        out
    }
}

/// How far a sum of products of numbers up to 1 may be off: what a storage rounds, by the root of their number.
fn allowed(storage: Storage, inputs: usize) -> f64 {
    let each = match storage {
        Storage::F32 => 2e-6,
        Storage::Bf16 => 6e-3,
        Storage::Int8 => 6e-3,
    };
    each * (inputs as f64).sqrt().max(1.0)
}

fn compare(got: &[f32], expected: &[f64], allowed: f64, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!((f64::from(*got) - expected).abs() < allowed, "{what}, {at}: {got} for {expected}");
    }
}

#[test]
fn every_level_and_storage_computes_the_product_for_any_number_of_rows() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for (outputs, inputs, bias) in
        [(&[64][..], 48, false), (&[33, 7], 19, true), (&[5], 1, true), (&[70], 2100, true)]
    {
        let cases: Vec<Case> =
            outputs.iter().map(|outputs| Case::new(&mut rng, *outputs, inputs, bias)).collect();
        let linears: Vec<Linear<'_>> = cases.iter().map(Case::linear).collect();
        for rows in [1, 2, 5, 6, 7, 12, 13, 16, 31, 110] {
            let x = numbers(&mut rng, rows * inputs);
            let parts: Vec<Vec<f64>> = cases.iter().map(|case| case.of(&x)).collect();
            let expected: Vec<f64> = (0..rows)
                .flat_map(|row| {
                    let parts = parts.iter().zip(&cases);
                    parts.flat_map(move |(part, case)| part[row * case.outputs..][..case.outputs].to_vec())
                })
                .collect();
            for level in Level::available() {
                for storage in STORAGES {
                    let matrix = Matrix::new(level, storage, &linears);
                    let what = format!("{level:?} {storage:?}, {rows} × {inputs} → {outputs:?}");
                    let limit = allowed(storage, inputs);
                    let mut out = vec![f32::NAN; expected.len()];
                    let mut scratch = Scratch::default();
                    matrix.multiply(&x, &mut out, &mut scratch);
                    compare(&out, &expected, limit, &what);
                    matrix.multiply_add(&x, &mut out, &mut scratch);
                    let twice: Vec<f64> = expected.iter().map(|value| 2.0 * value).collect();
                    compare(&out, &twice, 2.0 * limit, &what);
                }
            }
        }
    }
}

#[test]
fn the_product_does_not_depend_on_how_many_threads_share_it() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let case = Case::new(&mut rng, 900, 70, true);
    for rows in [1, 4, 16, 47, 48, 300] {
        let x = numbers(&mut rng, rows * 70);
        for level in Level::available() {
            for storage in STORAGES {
                let matrix = Matrix::new(level, storage, &[case.linear()]);
                let mut alone = vec![0.0; rows * 900];
                matrix.multiply(&x, &mut alone, &mut Scratch::default());
                for threads in [1, 2, 3] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    let memory = Spare::default();
                    let mut shared = vec![f32::NAN; alone.len()];
                    pool.install(|| matrix.multiply_shared(&x, &mut shared, &memory));
                    assert!(shared == alone, "{level:?} {storage:?}, {rows} rows, {threads} threads");
                    let mut both = alone.clone();
                    matrix.multiply_add(&x, &mut both, &mut Scratch::default());
                    pool.install(|| matrix.multiply_add_shared(&x, &mut shared, &memory));
                    assert!(shared == both, "{level:?} {storage:?}, {rows} rows, {threads} threads, added");
                }
            }
        }
    }
}

#[test]
fn gate_and_up_come_out_multiplied() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for (rows, outputs, bias) in [(1, 70, false), (5, 33, true), (30, 200, true)] {
        let (gate, up) = (Case::new(&mut rng, outputs, 24, bias), Case::new(&mut rng, outputs, 24, bias));
        let x = numbers(&mut rng, rows * 24);
        let silu = |x: f64| x / (1.0 + (-x).exp());
        let expected: Vec<f64> =
            gate.of(&x).iter().zip(up.of(&x)).map(|(gate, up)| silu(*gate) * up).collect();
        for level in Level::available() {
            for storage in STORAGES {
                let matrix = Matrix::gated(level, storage, gate.linear(), up.linear(), Activation::Silu);
                let mut out = vec![f32::NAN; expected.len()];
                matrix.multiply(&x, &mut out, &mut Scratch::default());
                compare(&out, &expected, 8.0 * allowed(storage, 24), &format!("{level:?} {storage:?}"));
            }
        }
    }
}

#[test]
fn stored_weights_are_found_again() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let (first, second) = (Case::new(&mut rng, 40, 37, false), Case::new(&mut rng, 3, 37, false));
    let largest_error = |level, storage| {
        let matrix = Matrix::new(level, storage, &[first.linear(), second.linear()]);
        let mut error = 0.0f32;
        for (output, weight) in first.weight.chunks(37).chain(second.weight.chunks(37)).enumerate() {
            let mut stored = [f32::NAN; 37];
            matrix.weights_of(output, &mut stored);
            for (stored, weight) in stored.iter().zip(weight) {
                error = error.max((stored - weight).abs());
            }
        }
        error
    };
    for level in Level::available() {
        assert_eq!(largest_error(level, Storage::F32), 0.0);
        // Half a unit in the last of eight bits; half of 1/127.
        assert!(largest_error(level, Storage::Bf16) <= 0.002);
        assert!(largest_error(level, Storage::Int8) <= 0.004);
    }
}

#[test]
fn what_is_not_a_number_stays_visible() {
    let weight = [1.0, 2.0, 0.5, -1.0];
    let linear = Linear { weight: &weight, bias: None, outputs: 2, inputs: 2 };
    for level in Level::available() {
        for storage in STORAGES {
            let matrix = Matrix::new(level, storage, &[linear]);
            let mut out = [0.0; 4];
            matrix.multiply(&[f32::NAN, 1.0, f32::INFINITY, 1.0], &mut out, &mut Scratch::default());
            assert!(out[0].is_nan() && out[1].is_nan(), "{level:?} {storage:?}: {out:?}");
            assert_eq!((out[2], out[3]), (f32::INFINITY, f32::INFINITY), "{level:?} {storage:?}");
        }
    }
}

#[test]
fn no_rows_give_no_rows() {
    let case = Case::new(&mut ChaCha8Rng::seed_from_u64(5), 40, 6, true);
    for level in Level::available() {
        let matrix = Matrix::new(level, Storage::F32, &[case.linear()]);
        matrix.multiply(&[], &mut [], &mut Scratch::default());
        matrix.multiply_shared(&[], &mut [], &Spare::default());
    }
}

#[test]
fn a_lighter_storage_takes_fewer_bytes() {
    let case = Case::new(&mut ChaCha8Rng::seed_from_u64(6), 64, 64, false);
    if let Some(level) = Level::best() {
        let bytes = STORAGES.map(|storage| Matrix::new(level, storage, &[case.linear()]).bytes());
        assert_eq!(bytes, [64 * 64 * 4, 64 * 64 * 2, 64 * 64 + 64 * 2 * 4]);
    }
}
