//! The adapter that gives a fixed number of soft tokens for a history.

use regen_fusion::{
    Adapter, AdapterConfig, AdapterKind, Details, Error, ItemVectors, Normalisation, Side, Sources,
};
use regen_torch::seed;
use tch::{Device, Kind, Tensor, nn};

use crate::{BATCH, CF, HIDDEN, SEMANTIC, SEQ, batch, bools, build, config};

const TOKENS: i64 = 4;

fn resampler() -> AdapterConfig {
    config(Sources::Fusion, AdapterKind::CrossAttention { tokens: TOKENS, heads: 1, layers: 2 })
}

fn resample(adapter: &Adapter, items: &ItemVectors, history: &Tensor) -> Tensor {
    adapter.resample(items, history).unwrap().unwrap()
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

#[test]
fn a_history_of_any_length_gives_the_same_number_of_tokens() {
    let (_vs, adapter) = build(&resampler());
    let tokens = resample(&adapter, &batch(), &bools(&[1, 1, 1, 1, 1, 1]));
    assert_eq!(tokens.size(), [BATCH, TOKENS, HIDDEN]);
    assert_eq!(adapter.config().tokens_per_history(), TOKENS);
    // The items themselves still have tokens of their own.
    assert_eq!(adapter.forward(&batch()).unwrap().embeddings.size(), [BATCH, SEQ * 2, HIDDEN]);

    let none = resample(&adapter, &batch(), &bools(&[0, 0, 0, 0, 0, 0]));
    assert!(
        bool::try_from(none.isfinite().all()).unwrap(),
        "an empty history is read as nothing, not as NaN"
    );
    assert!(distance(&none.get(0), &none.get(1)) < 1e-6);
    let empty = |dim: &[i64], kind| Tensor::zeros(dim, (kind, Device::Cpu));
    let side =
        |dim| Some(Side { vectors: empty(&[2, 0, dim], Kind::Float), present: empty(&[2, 0], Kind::Bool) });
    let items = ItemVectors {
        cf: side(CF),
        semantic: side(SEMANTIC),
        mask: empty(&[2, 0], Kind::Bool),
        details: Details::default(),
    };
    assert!(distance(&resample(&adapter, &items, &empty(&[2, 0], Kind::Bool)), &none) < 1e-6);
}

#[test]
fn only_the_history_is_read_and_its_order_counts() {
    let (_vs, adapter) = build(&resampler());
    let history = bools(&[1, 1, 0, 1, 1, 1]);
    let before = resample(&adapter, &batch(), &history);
    let mut items = batch();
    let cf = items.cf.as_mut().unwrap();
    // The third item of row 0 is no history, the last two of row 1 are padding.
    let _ = cf.vectors.get(0).get(2).fill_(9.0);
    let _ = cf.vectors.get(1).narrow(0, 1, 2).fill_(f64::NAN);
    cf.present = bools(&[1, 1, 1, 0, 0, 0]);
    assert!(distance(&resample(&adapter, &items, &history), &before) < 1e-6);

    let turned = |items: &ItemVectors| {
        let turn = |side: &Option<Side>| {
            let side = side.as_ref().unwrap();
            let order = Tensor::from_slice(&[1i64, 0, 2]);
            Some(Side {
                vectors: side.vectors.index_select(1, &order),
                present: side.present.index_select(1, &order),
            })
        };
        ItemVectors {
            cf: turn(&items.cf),
            semantic: turn(&items.semantic),
            mask: items.mask.copy(),
            details: Details::default(),
        }
    };
    let after = resample(&adapter, &turned(&batch()), &history);
    assert!(distance(&after.get(0), &before.get(0)) > 1e-4, "the order of purchases is told");
}

#[test]
fn every_parameter_gets_a_finite_gradient_that_is_not_zero() {
    let (vs, adapter) = build(&resampler());
    let of_items = adapter.forward(&batch()).unwrap().embeddings.square().sum(Kind::Float);
    let weights = seed::normal(&mut seed::rng(2, 0), &[BATCH, TOKENS, HIDDEN], 1.0);
    let of_history = (resample(&adapter, &batch(), &bools(&[1; 6])) * weights).sum(Kind::Float);
    (of_items + of_history).backward();
    for (name, variable) in vs.variables() {
        let grad = variable.grad();
        assert!(grad.defined(), "{name} has no gradient");
        let largest = grad.abs().max().double_value(&[]);
        assert!(largest.is_finite() && largest > 1e-12, "{name}: {largest}");
    }
}

#[test]
fn its_tokens_start_at_the_asked_scale() {
    let kind = AdapterKind::CrossAttention { tokens: 8, heads: 4, layers: 2 };
    let config = AdapterConfig { hidden: 128, initial_rms: 0.3, ..config(Sources::Fusion, kind) };
    let (_vs, adapter) = build(&config);
    let tokens = resample(&adapter, &batch(), &bools(&[1; 6]));
    let rms = tokens.square().mean(Kind::Double).sqrt().double_value(&[]);
    assert!((rms - 0.3).abs() < 1e-3, "{rms}");
}

#[test]
fn other_adapters_do_not_resample_and_a_wrong_history_is_named() {
    let (_vs, projection) = build(&config(Sources::Fusion, AdapterKind::Projection));
    assert!(projection.resample(&batch(), &bools(&[1; 6])).unwrap().is_none());
    let (_vs, adapter) = build(&resampler());
    let short = Tensor::ones([BATCH, SEQ - 1], (Kind::Bool, Device::Cpu));
    let error = adapter.resample(&batch(), &short).unwrap_err();
    assert!(matches!(error, Error::ShapeMismatch { tensor: "history", .. }), "{error}");
}

/// Rows of plain numbers, to compute with in double precision and without tensors.
type Rows = Vec<Vec<f64>>;

fn rows(tensor: &Tensor) -> Rows {
    let width = *tensor.size().last().unwrap();
    let flat = Vec::<f64>::try_from(tensor.to_kind(Kind::Double).reshape([-1])).unwrap();
    flat.chunks(width as usize).map(<[f64]>::to_vec).collect()
}

fn normal(row: &[f64]) -> Vec<f64> {
    let mean = row.iter().sum::<f64>() / row.len() as f64;
    let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / row.len() as f64;
    row.iter().map(|x| (x - mean) / (variance + 1e-5).sqrt()).collect()
}

fn affine(row: &[f64], weight: &Rows, bias: Option<&Rows>) -> Vec<f64> {
    let dot = |weights: &Vec<f64>| weights.iter().zip(row).map(|(w, x)| w * x).sum::<f64>();
    weight
        .iter()
        .enumerate()
        .map(|(out, weights)| dot(weights) + bias.map_or(0.0, |bias| bias[0][out]))
        .collect()
}

#[test]
fn it_is_attention_over_items_with_their_recency_in_double_precision() {
    let heads = 2;
    let kind = AdapterKind::CrossAttention { tokens: 3, heads: heads as i64, layers: 1 };
    let config = AdapterConfig {
        hidden: 6,
        normalisation: Normalisation::None,
        sources: Sources::Cf,
        ..config(Sources::Cf, kind)
    };
    let (vs, adapter) = build(&config);
    // Biases begin at zero, where a missing one would not be seen.
    tch::no_grad(|| {
        let mut rng = seed::rng(3, 0);
        for (name, mut variable) in vs.variables() {
            if name.ends_with("bias") {
                variable.copy_(&seed::normal(&mut rng, &variable.size(), 0.3));
            }
        }
    });
    let items = batch();
    let got = rows(&resample(&adapter, &items, &bools(&[1, 0, 1, 0, 0, 0])).get(0));

    let variables = vs.variables();
    let get = |name: &str| rows(&variables[&format!("resampler.{name}")]);
    let layer = |row: &[f64], name: &str| {
        let name = if name == "items" { name.to_owned() } else { format!("blocks.0.{name}") };
        affine(row, &get(&format!("{name}.weight")), Some(&get(&format!("{name}.bias"))))
    };
    let vectors = rows(&items.cf.unwrap().vectors.get(0));
    let scale = variables["resampler.recency"].double_value(&[]);
    let mut keys: Rows = Vec::new();
    // Positions 0 and 2 are the history: one purchase after the first, none after the second.
    for (position, after) in [(0, 1.0), (2, 0.0)] {
        let angles: Vec<f64> = (0..3).map(|i| after * 1e4f64.powf(-f64::from(i) / 3.0)).collect();
        let recency = angles.iter().map(|a| a.sin()).chain(angles.iter().map(|a| a.cos()));
        let item = layer(&vectors[position], "items");
        keys.push(normal(&item.iter().zip(recency).map(|(x, r)| x + scale * r).collect::<Vec<_>>()));
    }
    keys.push(normal(&get("nothing")[0]));
    let key_weight = get("blocks.0.key.weight");
    let (key, value): (Rows, Rows) =
        keys.iter().map(|row| (affine(row, &key_weight, None), layer(row, "value"))).unzip();
    let width = 6 / heads;
    for (token, start) in get("queries").iter().enumerate() {
        let query = layer(&normal(start), "query");
        let mut read = Vec::new();
        for head in 0..heads {
            let part = head * width..(head + 1) * width;
            let scores: Vec<f64> = key
                .iter()
                .map(|key| {
                    let dot: f64 =
                        query[part.clone()].iter().zip(&key[part.clone()]).map(|(q, k)| q * k).sum();
                    (dot / (width as f64).sqrt()).exp()
                })
                .collect();
            let total: f64 = scores.iter().sum();
            read.extend(
                part.map(|at| scores.iter().zip(&value).map(|(s, v)| s / total * v[at]).sum::<f64>()),
            );
        }
        let add = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a + b).collect() };
        let state = add(start, &layer(&read, "output"));
        let gelu = |x: f64| {
            let tensor = Tensor::from_slice(&[x]).gelu("none");
            tensor.double_value(&[0])
        };
        let up: Vec<f64> = layer(&normal(&state), "up").into_iter().map(gelu).collect();
        let state = add(&state, &layer(&up, "down"));
        for (at, x) in normal(&state).iter().enumerate() {
            assert!((x * 0.02 - got[token][at]).abs() < 1e-7, "token {token}, component {at}");
        }
    }
    drop::<nn::VarStore>(vs);
}
