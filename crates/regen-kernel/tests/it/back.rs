//! Gradients of norms, activations, rotations and attention, against their formulas in f64.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use regen_kernel::{
    Activation, Attention, AttentionBackScratch, AttentionScratch, Level, NormKind, RowNorm, Sight, Strided,
    turn, turn_with,
};

use crate::{compare, numbers};

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

/// The slope of `of` along one number, by a difference whose error is far below what f32 rounds.
fn slope(x: &[f64], at: usize, of: impl Fn(&[f64]) -> f64) -> f64 {
    let step = 1e-5;
    let moved = |by: f64| {
        let mut x = x.to_vec();
        x[at] += by;
        of(&x)
    };
    (moved(step) - moved(-step)) / (2.0 * step)
}

#[test]
fn gradients_of_norms_are_slopes_at_every_level() {
    let mut rng = ChaCha8Rng::seed_from_u64(21);
    for (kind, width) in
        [(NormKind::Rms, 37), (NormKind::Layer, 37), (NormKind::Rms, 1), (NormKind::Layer, 16)]
    {
        let (x, dy) = (numbers(&mut rng, 3 * width), numbers(&mut rng, 3 * width));
        let (factor, bias) = (numbers(&mut rng, width), numbers(&mut rng, width));
        let norm = RowNorm { kind, factor: factor.clone(), bias: Some(bias.clone()), epsilon: 0.01 };
        // x of all rows, then the factor, then the bias.
        let all: Vec<f64> = [&x, &factor, &bias].into_iter().flat_map(|part| wide(part)).collect();
        let loss = |all: &[f64]| {
            let (x, rest) = all.split_at(3 * width);
            let (factor, bias) = rest.split_at(width);
            let mut loss = 0.0;
            for (row, dy) in x.chunks(width).zip(wide(&dy).chunks(width)) {
                let mean = if kind == NormKind::Layer { row.iter().sum::<f64>() / width as f64 } else { 0.0 };
                let square = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
                for at in 0..width {
                    loss += dy[at] * ((row[at] - mean) / (square + 0.01).sqrt() * factor[at] + bias[at]);
                }
            }
            loss
        };
        let slopes: Vec<f64> = (0..all.len()).map(|at| slope(&all, at, loss)).collect();
        for level in Level::available() {
            let mut got = vec![1.0; all.len()];
            let (dx, rest) = got.split_at_mut(3 * width);
            let (factor, bias) = rest.split_at_mut(width);
            norm.back(level, &x, &dy, dx, Some(factor), Some(bias));
            let expected: Vec<f64> = slopes.iter().map(|slope| slope + 1.0).collect();
            compare(&got, &expected, 2e-5, &format!("{level:?} {kind:?} {width}"));
            let mut alone = vec![1.0; 3 * width];
            norm.back(level, &x, &dy, &mut alone, None, None);
            assert_eq!(alone, got[..3 * width]);
        }
    }
}

fn activated(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Relu => x.max(0.0),
        Activation::GeluTanh => {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh())
        }
        Activation::Gelu => {
            // The error function by its series.
            let y = x / 2f64.sqrt();
            let (mut term, mut sum) = (y, y);
            for n in 1..200 {
                term *= -y * y / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            0.5 * x * (1.0 + sum * 2.0 / std::f64::consts::PI.sqrt())
        }
    }
}

#[test]
fn gradients_of_activations_are_slopes_at_every_level() {
    let width = 61;
    let gates: Vec<f32> = (0..2 * width).map(|i| i as f32 / 12.0 - 5.01).collect();
    let ups: Vec<f32> = (0..2 * width).map(|i| ((i * 31) % 97) as f32 / 48.0 - 1.0).collect();
    let gradients: Vec<f32> = (0..2 * width).map(|i| ((i * 57) % 89) as f32 / 44.0 - 1.0).collect();
    let both: Vec<f32> =
        (0..2).flat_map(|row| [&gates, &ups].map(|x| &x[row * width..][..width]).concat()).collect();
    for activation in [Activation::Gelu, Activation::GeluTanh, Activation::Silu, Activation::Relu] {
        let of = |x: f32| activated(activation, f64::from(x));
        let slope_at = |x: f32| slope(&[f64::from(x)], 0, |x| activated(activation, x[0]));
        let expected = |each: &dyn Fn(usize) -> f64| (0..2 * width).map(each).collect::<Vec<_>>();
        let results = expected(&|at| of(gates[at]) * f64::from(ups[at]));
        let of_gate = expected(&|at| slope_at(gates[at]) * f64::from(gradients[at] * ups[at]));
        let of_up = expected(&|at| of(gates[at]) * f64::from(gradients[at]));
        for level in Level::available() {
            let what = format!("{level:?} {activation:?}");
            let mut inner = vec![f32::NAN; 2 * width];
            activation.gate(level, &both, width, &mut inner);
            compare(&inner, &results, 3e-6, &what);
            let (mut own, mut inner) = (both.clone(), gradients.clone());
            activation.gate_back(level, &mut own, width, &mut inner);
            compare(&inner, &results, 3e-6, &what);
            let part = |from: usize| [&own[from..from + width], &own[2 * width + from..][..width]].concat();
            compare(&part(0), &of_gate, 3e-6, &what);
            compare(&part(width), &of_up, 6e-6, &what);
            let (mut own, mut inner) = (gates.clone(), gradients.clone());
            activation.back(level, &mut own, &mut inner);
            compare(&inner, &expected(&|at| of(gates[at])), 3e-6, &what);
            compare(&own, &expected(&|at| slope_at(gates[at]) * f64::from(gradients[at])), 3e-6, &what);
        }
    }
}

#[test]
fn turning_back_is_the_transpose_of_turning() {
    let mut rng = ChaCha8Rng::seed_from_u64(22);
    let (x, dy) = (numbers(&mut rng, 3 * 21), numbers(&mut rng, 3 * 21));
    let turns: Vec<(f32, f32)> = (0..9).map(|i| (1.3 * (i as f32).cos(), 1.3 * (i as f32).sin())).collect();
    let inner = |a: &[f32], b: &[f32]| wide(a).iter().zip(wide(b)).map(|(a, b)| a * b).sum::<f64>();
    for level in Level::available() {
        let (mut there, mut same, mut back) = (x.clone(), x.clone(), dy.clone());
        turn_with(level, &mut there, 21, &turns, false);
        turn(&mut same, 21, &turns);
        compare(&there, &wide(&same), 1e-6, "turned");
        turn_with(level, &mut back, 21, &turns, true);
        assert!((inner(&there, &dy) - inner(&x, &back)).abs() < 1e-5);
    }
}

/// In f64: result, and gradients of queries, keys and values.
fn attention_in_f64(how: &Attention, [q, k, v, gradient]: [&[f32]; 4], length: usize) -> [Vec<f64>; 4] {
    let width = how.head_dim;
    let [q, k, v, gradient] = [q, k, v, gradient].map(wide);
    let dot = |a: &[f64], i: usize, b: &[f64], j: usize| -> f64 {
        a[i * width..][..width].iter().zip(&b[j * width..][..width]).map(|(a, b)| a * b).sum()
    };
    let [mut out, mut dq, mut dk, mut dv] = std::array::from_fn(|_| vec![0.0; length * width]);
    for i in 0..length {
        let seen = how.sight.of(i, length);
        let scaled: Vec<f64> = seen.clone().map(|j| dot(&q, i, &k, j) * f64::from(how.scale)).collect();
        let (capped, slopes): (Vec<f64>, Vec<f64>) = scaled
            .iter()
            .map(|score| match how.softcap.map(f64::from) {
                Some(cap) => ((score / cap).tanh() * cap, 1.0 - (score / cap).tanh().powi(2)),
                None => (*score, 1.0),
            })
            .unzip();
        let total: f64 = capped.iter().map(|score| score.exp()).sum();
        let weights: Vec<f64> = capped.iter().map(|score| score.exp() / total).collect();
        let worth: Vec<f64> = seen.clone().map(|j| dot(&gradient, i, &v, j)).collect();
        let mean: f64 = weights.iter().zip(&worth).map(|(a, b)| a * b).sum();
        for (place, j) in seen.enumerate() {
            let of_score = weights[place] * (worth[place] - mean) * slopes[place] * f64::from(how.scale);
            for d in 0..width {
                out[i * width + d] += weights[place] * v[j * width + d];
                dv[j * width + d] += weights[place] * gradient[i * width + d];
                dq[i * width + d] += of_score * k[j * width + d];
                dk[j * width + d] += of_score * q[i * width + d];
            }
        }
    }
    [out, dq, dk, dv]
}

#[test]
fn gradients_of_attention_are_their_formulas_for_every_sight_and_level() {
    let mut rng = ChaCha8Rng::seed_from_u64(23);
    for (length, width) in [(1, 5), (2, 64), (33, 32), (50, 70), (131, 40)] {
        let [q, k, v, gradient] = std::array::from_fn(|_| numbers(&mut rng, length * width));
        for sight in [
            Sight::causal(None),
            Sight::causal(Some(7)),
            Sight::default(),
            Sight { before: Some(3), after: Some(3) },
        ] {
            for softcap in [None, Some(2.0)] {
                let how = Attention { head_dim: width, scale: 0.4, softcap, sight };
                let [out, dq, dk, dv] = attention_in_f64(&how, [&q, &k, &v, &gradient], length);
                for level in Level::available() {
                    let what = format!("{level:?} {how:?} {length}");
                    let rows = |rows| Strided { rows, stride: width };
                    let (mut there, mut back) =
                        (AttentionScratch::default(), AttentionBackScratch::default());
                    let (mut result, mut logs) = (vec![f32::NAN; length * width], vec![f32::NAN; length]);
                    how.read(rows(&k), rows(&v), length, &mut there);
                    let to = (result.as_mut_slice(), width);
                    how.attend_noting(level, rows(&q), (0, length), None, to, Some(&mut logs), &mut there);
                    compare(&result, &out, 3e-6, &what);
                    // Twice from the same scratch, then two heads that share keys and values.
                    for heads in [1, 1, 2] {
                        let mut own_q = vec![f32::NAN; length * width];
                        how.read_back(rows(&k), rows(&v), length, &mut back);
                        for _ in 0..heads {
                            let into = (own_q.as_mut_slice(), width);
                            how.attend_back(
                                level,
                                rows(&q),
                                rows(&result),
                                rows(&gradient),
                                &logs,
                                into,
                                &mut back,
                            );
                        }
                        let mut both = vec![f32::NAN; length * 2 * width];
                        how.take_back((&mut both, 2 * width), &back);
                        let part = |from: usize| -> Vec<f32> {
                            both.chunks(2 * width).flat_map(|row| &row[from..from + width]).copied().collect()
                        };
                        let (own_k, own_v) = (part(0), part(width));
                        let times =
                            |all: &[f64]| all.iter().map(|x| x * f64::from(heads)).collect::<Vec<_>>();
                        compare(&own_q, &dq, 2e-5, &what);
                        compare(&own_k, &times(&dk), 4e-5, &what);
                        compare(&own_v, &times(&dv), 4e-5, &what);
                    }
                }
            }
        }
    }
}
