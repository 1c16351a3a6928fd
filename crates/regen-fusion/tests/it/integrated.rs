//! Integrated gradients of soft tokens: they add up, and are what is known where it is known.

use regen_fusion::{
    Adapter, AdapterConfig, AdapterKind, Error, HiddenActivation, IntegratedGradients, Normalisation, Sources,
};
use regen_torch::{seed, tensor_to_vec_f32};
use tch::{Kind, Tensor, nn};

use crate::{BATCH, HIDDEN, KINDS, SEQ, batch, bools, build, config};

/// An adapter whose weights are as large as training makes them, so that it is far from linear.
fn grown(config: &AdapterConfig) -> (nn::VarStore, Adapter) {
    let (vs, adapter) = build(&AdapterConfig { initial_rms: 0.5, ..*config });
    tch::no_grad(|| {
        let mut rng = seed::rng(8, 0);
        for (name, mut tensor) in vs.variables().into_iter().collect::<std::collections::BTreeMap<_, _>>() {
            if !name.starts_with("absent") && name.ends_with("weight") {
                let _ = tensor.g_mul_scalar_(3.0);
                tensor.copy_(&(&tensor + seed::normal(&mut rng, &tensor.size(), 0.1)));
            }
        }
    });
    (vs, adapter)
}

/// ‖parts − change‖ over ‖change‖, of the worst real soft token.
fn miss(found: &IntegratedGradients, real: &Tensor) -> f64 {
    let norm = |part: Tensor| part.norm_scalaropt_dim(2, [-1i64], false);
    let off = norm(&found.cf + &found.semantic - &found.change) / norm(found.change.copy());
    let off = off.reshape([real.numel() as i64, -1]);
    (off * real.reshape([-1, 1]).to_kind(Kind::Double)).max().double_value(&[])
}

#[test]
fn the_parts_of_every_adapter_add_up_to_the_change_of_the_soft_token() {
    for kind in KINDS {
        let (_vs, adapter) = grown(&config(Sources::Fusion, kind));
        let found = adapter.integrated_gradients(&batch()).unwrap();
        assert_eq!(found.cf.size(), [BATCH, SEQ, 2, HIDDEN]);
        let off = miss(&found, &batch().mask);
        assert!(off <= 1e-5 && found.residual <= 1e-5, "{kind:?}: {off:e} with {} points", found.nodes);
        let share = found.cf_share().index_select(1, &Tensor::from_slice(&[0i64]));
        let share: Vec<f64> = Vec::try_from(share.reshape([-1])).unwrap();
        assert!(share.iter().all(|share| (0.01..0.99).contains(share)), "{kind:?}: {share:?}");
    }
}

/// By the passes that make soft tokens, of vectors and of zeros: what the parts have to add up to is not their own sum.
#[test]
fn the_change_is_the_soft_token_less_that_of_no_vectors() {
    for kind in KINDS {
        let plain = AdapterConfig { normalisation: Normalisation::None, ..config(Sources::Fusion, kind) };
        let (_vs, adapter) = grown(&plain);
        let found = adapter.integrated_gradients(&batch()).unwrap();
        let mut nothing = batch();
        for side in [&mut nothing.cf, &mut nothing.semantic].into_iter().flatten() {
            (side.vectors, side.present) = (side.vectors.zeros_like(), side.present.ones_like());
        }
        let [with, without] =
            [batch(), nothing].map(|items| adapter.forward(&items).unwrap().embeddings.to_kind(Kind::Double));
        let real = batch().mask.unsqueeze(-1).unsqueeze(-1).to_kind(Kind::Double);
        let expected = (with - without).reshape([BATCH, SEQ, 2, HIDDEN]) * &real;
        let off = (&found.change * &real - &expected).abs().max() / expected.abs().max();
        assert!(off.double_value(&[]) < 1e-5, "{kind:?}: {off}");
    }
}

#[test]
fn the_parts_of_a_history_read_as_a_whole_add_up_too() {
    let kind = AdapterKind::CrossAttention { tokens: 4, heads: 1, layers: 2 };
    let (_vs, adapter) = grown(&config(Sources::Fusion, kind));
    let history = bools(&[1, 1, 0, 1, 0, 0]);
    let found = adapter.integrated_gradients_of_history(&batch(), &history).unwrap().unwrap();
    assert_eq!(found.cf.size(), [BATCH, 4, HIDDEN]);
    assert!(found.residual <= 1e-5, "{:e} with {} points", found.residual, found.nodes);
    let off = miss(&found, &Tensor::from_slice(&[true, true]));
    assert!(off <= 1e-5, "{off:e}");
    let (_vs, plain) = build(&config(Sources::Fusion, AdapterKind::Projection));
    assert!(plain.integrated_gradients_of_history(&batch(), &history).unwrap().is_none());
}

#[test]
fn of_a_projection_they_are_the_two_projections() {
    let (_vs, adapter) = grown(&config(Sources::Fusion, AdapterKind::Projection));
    let found = adapter.integrated_gradients(&batch()).unwrap();
    let exact = adapter.attribution(&batch()).unwrap();
    let shares = tensor_to_vec_f32(&found.cf_share().to_kind(Kind::Float)).unwrap();
    for (got, expected) in shares.iter().zip(tensor_to_vec_f32(&exact.cf_share).unwrap()) {
        assert!((got - expected).abs() < 1e-5, "{got} {expected}");
    }
}

/// The gradient of a component along the path, by backward passes, summed over many points.
#[test]
fn they_are_the_integral_of_the_gradient() {
    let (vs, adapter) = grown(&config(
        Sources::Fusion,
        AdapterKind::Mlp { width: 13, depth: 1, activation: HiddenActivation::Gelu },
    ));
    let found = adapter.integrated_gradients(&batch()).unwrap();
    let parts = vs.variables();
    let double = |name: &str| parts[name].detach().to_kind(Kind::Double);
    let unit = |side: &regen_fusion::Side| {
        let vector = side.vectors.get(0).get(0).to_kind(Kind::Double);
        &vector / vector.norm()
    };
    let items = batch();
    let (cf, semantic) = (unit(items.cf.as_ref().unwrap()), unit(items.semantic.as_ref().unwrap()));
    let end = Tensor::cat(&[&cf, &semantic], 0);
    let component = 3;
    let mut sum = end.zeros_like();
    const POINTS: u32 = 2000;
    for point in 0..POINTS {
        let place = (f64::from(point) + 0.5) / f64::from(POINTS);
        let input = (&end * place).set_requires_grad(true);
        let hidden = input.linear(&double("hidden.0.weight"), Some(&double("hidden.0.bias"))).gelu("none");
        let token = hidden.linear(&double("output.weight"), Some(&double("output.bias")));
        token.get(component).backward();
        sum += input.grad() / f64::from(POINTS);
    }
    let parts = sum * end;
    let by_side =
        [parts.narrow(0, 0, 5), parts.narrow(0, 5, 7)].map(|p| p.sum(Kind::Double).double_value(&[]));
    let ours = [&found.cf, &found.semantic].map(|part| part.double_value(&[0, 0, 0, component]));
    for (ours, theirs) in ours.iter().zip(by_side) {
        assert!((ours - theirs).abs() < 1e-6, "{ours} {theirs}");
    }
}

#[test]
fn an_adapter_of_one_side_has_none() {
    let (_vs, adapter) = build(&config(
        Sources::Cf,
        AdapterKind::Mlp { width: 13, depth: 1, activation: HiddenActivation::Gelu },
    ));
    let refused = adapter.integrated_gradients(&batch()).unwrap_err();
    assert!(matches!(refused, Error::AttributionUndefined { .. }), "{refused}");
}

/// Weights and biases drawn anew at scales at which units switch all along the path and gates are steep.
fn steep(config: &AdapterConfig, seed: u64, scale: f64) -> (nn::VarStore, Adapter) {
    let (vs, adapter) = build(config);
    tch::no_grad(|| {
        let mut rng = seed::rng(seed, 3);
        for (name, mut tensor) in vs.variables().into_iter().collect::<std::collections::BTreeMap<_, _>>() {
            if !name.starts_with("absent") {
                tensor.copy_(&seed::normal(&mut rng, &tensor.size(), scale));
            }
        }
    });
    (vs, adapter)
}

#[test]
fn they_add_up_for_random_weights_of_every_map_and_activation() {
    let activations =
        [HiddenActivation::Gelu, HiddenActivation::Relu, HiddenActivation::Silu, HiddenActivation::Tanh];
    let mlps = activations.into_iter().flat_map(|activation| {
        [(64, 1), (24, 3)].map(|(width, depth)| AdapterKind::Mlp { width, depth, activation })
    });
    let gates = [AdapterKind::Gated, AdapterKind::MixtureOfExperts { experts: 5 }];
    for kind in mlps.chain(gates) {
        for (seed, scale) in [(1, 0.5), (2, 2.0), (3, 8.0)] {
            let (_vs, adapter) = steep(&config(Sources::Fusion, kind), seed, scale);
            let found = adapter
                .integrated_gradients(&batch())
                .unwrap_or_else(|error| panic!("{kind:?}, weights of {scale}: {error}"));
            let off = miss(&found, &batch().mask);
            assert!(off <= 1e-5, "{kind:?}, weights of {scale}: {off:e} with {} points", found.nodes);
        }
    }
}

/// The derivatives in the middle of 200,000 pieces, by hand: most pieces hold no switch.
#[test]
fn rectified_units_are_integrated_piece_by_piece() {
    let kind = AdapterKind::Mlp { width: 9, depth: 2, activation: HiddenActivation::Relu };
    let (vs, adapter) = steep(&config(Sources::Fusion, kind), 4, 1.0);
    let found = adapter.integrated_gradients(&batch()).unwrap();
    assert!(found.residual < 1e-12 && found.nodes > 3, "{:e} in {} pieces", found.residual, found.nodes);
    let parts = vs.variables();
    let double = |name: &str| parts[name].detach().to_kind(Kind::Double);
    let unit = |side: &regen_fusion::Side| {
        let vector = side.vectors.get(0).get(2).to_kind(Kind::Double);
        &vector / vector.norm()
    };
    let items = batch();
    let cf = unit(items.cf.as_ref().unwrap());
    let semantic = unit(items.semantic.as_ref().unwrap());
    const PIECES: i64 = 200_000;
    let places = (Tensor::arange(PIECES, (Kind::Double, tch::Device::Cpu)) + 0.5) / PIECES as f64;
    let end = Tensor::cat(&[&cf, &semantic], 0);
    let first =
        (places.unsqueeze(1) * &end).linear(&double("hidden.0.weight"), Some(&double("hidden.0.bias")));
    let second = first.relu().linear(&double("hidden.1.weight"), Some(&double("hidden.1.bias")));
    let part = |input: Tensor| {
        let along = input.linear::<Tensor>(&double("hidden.0.weight"), None) * first.gt(0.0);
        let along = along.linear::<Tensor>(&double("hidden.1.weight"), None) * second.gt(0.0);
        let mean = along.mean_dim([0i64].as_slice(), false, Kind::Double);
        mean.linear::<Tensor>(&double("output.weight"), None).reshape([2, HIDDEN])
    };
    let (no_cf, no_semantic) = (cf.zeros_like(), semantic.zeros_like());
    for (ours, theirs) in [
        (&found.cf, part(Tensor::cat(&[&cf, &no_semantic], 0))),
        (&found.semantic, part(Tensor::cat(&[&no_cf, &semantic], 0))),
    ] {
        let off = (ours.get(0).get(2) - &theirs).norm() / theirs.norm();
        assert!(off.double_value(&[]) < 1e-4, "{off}");
    }
}

#[test]
fn parts_that_do_not_add_up_are_refused() {
    for activation in [HiddenActivation::Gelu, HiddenActivation::Relu] {
        let kind = AdapterKind::Mlp { width: 13, depth: 1, activation };
        let (vs, adapter) = build(&config(Sources::Fusion, kind));
        let _ = tch::no_grad(|| vs.variables()["output.weight"].shallow_clone().fill_(f64::NAN));
        let refused = adapter.integrated_gradients(&batch()).unwrap_err();
        assert!(matches!(refused, Error::Incomplete { .. }), "{refused}");
    }
}
