//! Adapters as their users meet them: shapes, missing sides, gradients, attribution, refusals.

mod integrated;
mod optional;
mod resampler;
mod reviews;
mod whitening;

use approx::assert_abs_diff_eq;
use regen_fusion::{
    Adapter, AdapterConfig, AdapterKind, DetailInputs, Details, Error, HiddenActivation, ItemVectors,
    Normalisation, Side, Sources,
};
use regen_torch::{seed, tensor_to_vec_f32};
use tch::{Device, Kind, Tensor, nn};

const BATCH: i64 = 2;
const SEQ: i64 = 3;
const CF: i64 = 5;
const SEMANTIC: i64 = 7;
const HIDDEN: i64 = 11;
const KINDS: [AdapterKind; 7] = [
    AdapterKind::Projection,
    AdapterKind::Mlp { width: 13, depth: 2, activation: HiddenActivation::Gelu },
    AdapterKind::Mlp { width: 13, depth: 2, activation: HiddenActivation::Relu },
    AdapterKind::Mlp { width: 13, depth: 2, activation: HiddenActivation::Silu },
    AdapterKind::Mlp { width: 13, depth: 2, activation: HiddenActivation::Tanh },
    AdapterKind::Gated,
    AdapterKind::MixtureOfExperts { experts: 3 },
];

fn config(sources: Sources, kind: AdapterKind) -> AdapterConfig {
    AdapterConfig {
        sources,
        kind,
        normalisation: Normalisation::L2,
        cf_dim: CF,
        semantic_dim: SEMANTIC,
        hidden: HIDDEN,
        tokens_per_item: 2,
        initial_rms: 0.02,
        details: DetailInputs::default(),
        user: false,
    }
}

fn bools(values: &[i64]) -> Tensor {
    Tensor::from_slice(values).to_kind(Kind::Bool).reshape([BATCH, SEQ])
}

/// Row 0: three items, the second without text. Row 1: one item without interactions, then padding.
fn batch() -> ItemVectors {
    let mut rng = seed::rng(5, 0);
    ItemVectors {
        cf: Some(Side {
            vectors: seed::normal(&mut rng, &[BATCH, SEQ, CF], 3.0),
            present: bools(&[1, 1, 1, 0, 1, 1]),
        }),
        semantic: Some(Side {
            vectors: seed::normal(&mut rng, &[BATCH, SEQ, SEMANTIC], 0.1),
            present: bools(&[1, 0, 1, 1, 1, 1]),
        }),
        mask: bools(&[1, 1, 1, 1, 0, 0]),
        details: Details::default(),
    }
}

fn build(config: &AdapterConfig) -> (nn::VarStore, Adapter) {
    let vs = nn::VarStore::new(Device::Cpu);
    let adapter = Adapter::new(&vs.root(), config, &mut seed::rng(1, 0)).unwrap();
    (vs, adapter)
}

#[test]
fn an_item_becomes_adjacent_soft_tokens_and_padding_is_masked() {
    for kind in KINDS {
        let (_vs, adapter) = build(&config(Sources::Fusion, kind));
        let tokens = adapter.forward(&batch()).unwrap();
        assert_eq!(tokens.embeddings.size(), [BATCH, SEQ * 2, HIDDEN]);
        let mask: Vec<f32> = tensor_to_vec_f32(&tokens.mask).unwrap();
        assert_eq!(mask, [1., 1., 1., 1., 1., 1., 1., 1., 0., 0., 0., 0.]);
    }
}

#[test]
fn the_projection_is_w1_cf_plus_w2_semantic_in_double_precision() {
    let (vs, adapter) = build(&config(Sources::Fusion, AdapterKind::Projection));
    let items = batch();
    let tokens = adapter.forward(&items).unwrap().embeddings;
    let variables = vs.variables();
    let part = |side: &Side, name: &str, position: i64| {
        let vector = side.vectors.get(0).get(position).to_kind(Kind::Double);
        let unit = &vector / vector.norm();
        variables[name].to_kind(Kind::Double).mv(&unit)
    };
    let (cf, semantic) = (items.cf.unwrap(), items.semantic.unwrap());
    for position in [0, 2] {
        let expected =
            part(&cf, "projection.cf", position) + part(&semantic, "projection.semantic", position);
        let got = tokens.get(0).narrow(0, position * 2, 2).reshape([-1]).to_kind(Kind::Double);
        let difference = (expected - got).abs().max().double_value(&[]);
        assert!(difference < 1e-7, "position {position}: {difference}");
    }
}

#[test]
fn soft_tokens_start_at_the_asked_scale() {
    for sources in [Sources::Cf, Sources::Semantic, Sources::Fusion] {
        for kind in KINDS {
            if kind == AdapterKind::Gated && sources != Sources::Fusion {
                continue;
            }
            let mut config = config(sources, kind);
            (config.hidden, config.cf_dim, config.semantic_dim) = (256, 64, 96);
            config.initial_rms = 0.3;
            if let AdapterKind::Mlp { ref mut width, .. } = config.kind {
                *width = 512;
            }
            let (_vs, adapter) = build(&config);
            let mut rng = seed::rng(9, 0);
            let all = Tensor::ones([4, 50], (Kind::Bool, Device::Cpu));
            let mut side =
                |dim| Some(Side { vectors: seed::normal(&mut rng, &[4, 50, dim], 2.0), present: all.copy() });
            let items = ItemVectors {
                cf: side(64),
                semantic: side(96),
                mask: all.copy(),
                details: Details::default(),
            };
            let rms = adapter.forward(&items).unwrap().embeddings.square().mean(Kind::Double).sqrt();
            assert_abs_diff_eq!(rms.double_value(&[]), 0.3, epsilon = 0.06);
        }
    }
}

#[test]
fn a_missing_vector_is_never_read_and_never_zero() {
    for kind in KINDS {
        let (vs, adapter) = build(&config(Sources::Fusion, kind));
        let clean = adapter.forward(&batch()).unwrap().embeddings;
        let mut items = batch();
        let cf = items.cf.as_mut().unwrap();
        let _ = cf.vectors.get(1).get(0).fill_(f64::NAN);
        let dirty = adapter.forward(&items).unwrap().embeddings;
        assert!(dirty.get(1).get(0).allclose(&clean.get(1).get(0), 0.0, 0.0, false), "{kind:?}");

        let mut absent = vs.variables().remove("absent.cf").unwrap();
        tch::no_grad(|| {
            let _ = absent.g_add_scalar_(1.0);
        });
        let moved = adapter.forward(&batch()).unwrap().embeddings;
        assert!(!moved.get(1).get(0).allclose(&clean.get(1).get(0), 1e-5, 1e-8, false), "{kind:?}");
        assert!(moved.get(0).allclose(&clean.get(0), 0.0, 0.0, false), "{kind:?}: others must not move");
    }
}

#[test]
fn every_parameter_gets_a_finite_gradient_that_is_not_zero() {
    for sources in [Sources::Cf, Sources::Semantic, Sources::Fusion] {
        for kind in KINDS {
            if kind == AdapterKind::Gated && sources != Sources::Fusion {
                continue;
            }
            let (vs, adapter) = build(&config(sources, kind));
            let tokens = adapter.forward(&batch()).unwrap();
            let real = tokens.embeddings * tokens.mask.unsqueeze(-1).to_kind(Kind::Float);
            real.square().sum(Kind::Float).backward();
            for (name, variable) in vs.variables() {
                let grad = variable.grad();
                assert!(grad.defined(), "{sources:?} {kind:?} {name} has no gradient");
                let largest = grad.abs().max().double_value(&[]);
                assert!(largest.is_finite() && largest > 0.0, "{sources:?} {kind:?} {name}: {largest}");
            }
        }
    }
}

#[test]
fn a_single_side_ignores_the_other() {
    let (vs, adapter) = build(&config(Sources::Cf, AdapterKind::Projection));
    assert!(vs.variables().keys().all(|name| !name.contains("semantic")));
    let mut items = batch();
    let with = adapter.forward(&items).unwrap().embeddings;
    items.semantic = None;
    let without = adapter.forward(&items).unwrap().embeddings;
    assert!(with.equal(&without));
}

#[test]
fn attribution_gives_the_norms_of_the_two_parts() {
    let (vs, adapter) = build(&config(Sources::Fusion, AdapterKind::Projection));
    let before = adapter.attribution(&batch()).unwrap();
    assert_eq!(before.cf_share.size(), [BATCH, SEQ, 2]);
    assert_eq!(tensor_to_vec_f32(&before.both_present).unwrap(), [1., 0., 1., 0., 0., 0.]);

    let mut weight = vs.variables().remove("projection.cf").unwrap();
    tch::no_grad(|| {
        let _ = weight.g_mul_scalar_(3.0);
    });
    let after = adapter.attribution(&batch()).unwrap();
    let (cf, semantic) =
        (before.cf_norm.double_value(&[0, 2, 1]), before.semantic_norm.double_value(&[0, 2, 1]));
    assert_abs_diff_eq!(before.cf_share.double_value(&[0, 2, 1]), cf / (cf + semantic), epsilon = 1e-6);
    assert_abs_diff_eq!(
        after.cf_share.double_value(&[0, 2, 1]),
        3.0 * cf / (3.0 * cf + semantic),
        epsilon = 1e-6
    );
}

#[test]
fn attribution_is_refused_where_the_parts_do_not_add_up() {
    for (sources, kind) in [(Sources::Cf, KINDS[0]), (Sources::Fusion, KINDS[1]), (Sources::Fusion, KINDS[2])]
    {
        let (_vs, adapter) = build(&config(sources, kind));
        assert!(matches!(adapter.attribution(&batch()), Err(Error::AttributionUndefined { .. })));
    }
}

#[test]
fn wrong_shapes_kinds_and_missing_sides_are_named() {
    let (_vs, adapter) = build(&config(Sources::Fusion, AdapterKind::Projection));
    let refuse = |change: fn(&mut ItemVectors)| {
        let mut items = batch();
        change(&mut items);
        adapter.forward(&items).unwrap_err()
    };
    let error = refuse(|items| items.semantic = None);
    assert!(matches!(error, Error::MissingSide { side: "semantic", .. }));
    let error = refuse(|items| {
        let cf = items.cf.as_mut().unwrap();
        cf.vectors = cf.vectors.transpose(0, 1).contiguous();
    });
    assert!(matches!(error, Error::ShapeMismatch { tensor: "cf.vectors", .. }));
    let error = refuse(|items| {
        let semantic = items.semantic.as_mut().unwrap();
        semantic.present = semantic.present.to_kind(Kind::Int64);
    });
    assert!(matches!(error, Error::WrongKind { tensor: "semantic.present", .. }));
    let error = refuse(|items| items.mask = Tensor::ones([6], (Kind::Bool, Device::Cpu)));
    assert!(matches!(error, Error::ShapeMismatch { tensor: "mask", .. }));
}

#[test]
fn an_empty_history_gives_no_soft_tokens() {
    let (_vs, adapter) = build(&config(Sources::Fusion, AdapterKind::Projection));
    let empty = |dim: &[i64], kind| Tensor::zeros(dim, (kind, Device::Cpu));
    let side =
        |dim| Some(Side { vectors: empty(&[4, 0, dim], Kind::Float), present: empty(&[4, 0], Kind::Bool) });
    let items = ItemVectors {
        cf: side(CF),
        semantic: side(SEMANTIC),
        mask: empty(&[4, 0], Kind::Bool),
        details: Details::default(),
    };
    assert_eq!(adapter.forward(&items).unwrap().embeddings.size(), [4, 0, HIDDEN]);
}

#[test]
fn impossible_configurations_are_refused_by_field() {
    let good = config(Sources::Fusion, AdapterKind::Projection);
    let cases = [
        ("cf_dim", AdapterConfig { cf_dim: 0, ..good }),
        ("semantic_dim", AdapterConfig { semantic_dim: -1, ..good }),
        ("hidden", AdapterConfig { hidden: 0, ..good }),
        ("tokens_per_item", AdapterConfig { tokens_per_item: 0, ..good }),
        ("initial_rms", AdapterConfig { initial_rms: f64::NAN, ..good }),
        (
            "kind.mlp.depth",
            AdapterConfig {
                kind: AdapterKind::Mlp { width: 4, depth: 0, activation: HiddenActivation::Gelu },
                ..good
            },
        ),
        ("sources", AdapterConfig { kind: AdapterKind::Gated, sources: Sources::Cf, ..good }),
        (
            "kind.cross_attention.heads",
            AdapterConfig { kind: AdapterKind::CrossAttention { tokens: 2, heads: 2, layers: 1 }, ..good },
        ),
        (
            "kind.cross_attention.tokens",
            AdapterConfig { kind: AdapterKind::CrossAttention { tokens: 0, heads: 1, layers: 1 }, ..good },
        ),
        (
            "kind.mixture_of_experts.experts",
            AdapterConfig { kind: AdapterKind::MixtureOfExperts { experts: 1 }, ..good },
        ),
    ];
    for (wanted, config) in cases {
        let vs = nn::VarStore::new(Device::Cpu);
        match Adapter::new(&vs.root(), &config, &mut seed::rng(1, 0)) {
            Err(Error::InvalidConfig { field, .. }) => assert_eq!(field, wanted),
            other => panic!("{wanted}: {other:?}"),
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_adapter_and_its_config_survives_json() {
    let config =
        config(Sources::Fusion, AdapterKind::Mlp { width: 13, depth: 1, activation: HiddenActivation::Gelu });
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<AdapterConfig>(&text).unwrap(), config);
    let (a, b) = (build(&config).1, build(&config).1);
    assert!(a.forward(&batch()).unwrap().embeddings.equal(&b.forward(&batch()).unwrap().embeddings));
}

#[test]
fn a_mixture_is_the_sum_of_its_experts_by_their_shares() {
    let mixture = AdapterConfig {
        normalisation: Normalisation::None,
        ..config(Sources::Fusion, AdapterKind::MixtureOfExperts { experts: 3 })
    };
    let (vs, adapter) = build(&mixture);
    let parts = vs.variables();
    let all = Tensor::ones([BATCH, SEQ], (Kind::Bool, Device::Cpu));
    let side = |vectors: Tensor| Some(Side { vectors, present: all.copy() });
    let (cf, semantic) = {
        let items = batch();
        (items.cf.unwrap().vectors, items.semantic.unwrap().vectors)
    };
    let items = ItemVectors {
        cf: side(cf.copy()),
        semantic: side(semantic.copy()),
        mask: all.copy(),
        details: Details::default(),
    };
    let input = Tensor::cat(&[cf, semantic], -1).to_kind(Kind::Double);
    let get = |name: &str| parts[name].to_kind(Kind::Double);
    let shares = (input.matmul(&get("gate.weight").tr()) + get("gate.bias")).softmax(-1, Kind::Double);
    let outputs = input.matmul(&get("experts.weight").tr()) + get("experts.bias");
    let width = HIDDEN * 2;
    let expected = (0..3)
        .map(|expert| outputs.narrow(-1, expert * width, width) * shares.narrow(-1, expert, 1))
        .reduce(|sum, part| sum + part)
        .unwrap();
    let got = adapter.forward(&items).unwrap().embeddings.reshape([BATCH, SEQ, width]);
    let difference = (got.to_kind(Kind::Double) - expected).abs().max().double_value(&[]);
    assert!(difference < 1e-6, "{difference:e}");
}
