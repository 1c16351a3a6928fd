//! What is read beside item vectors: details of purchases, the user's own vector.

use regen_fusion::{AdapterConfig, AdapterKind, DetailInputs, Error, ItemVectors, Numbers, Side, Sources};
use regen_torch::seed;
use tch::{Device, Kind, Tensor};

use crate::{BATCH, CF, HIDDEN, KINDS, SEQ, batch, bools, build, config};

const ALL: DetailInputs = DetailInputs { rating: true, recency: true, position: true, review: None };

fn numbers(values: &[f32], present: &[i64]) -> Option<Numbers> {
    let values = Tensor::from_slice(values).reshape([BATCH, SEQ]);
    Some(Numbers { values, present: bools(present) })
}

/// The batch of the other tests, with stars, days and places of which some are not known.
fn detailed() -> ItemVectors {
    let mut items = batch();
    items.details.rating = numbers(&[5.0, 1.0, f32::NAN, 3.5, 0.0, 0.0], &[1, 1, 0, 1, 0, 0]);
    items.details.recency = numbers(&[400.0, 3.0, 0.0, 12.0, 0.0, 0.0], &[1, 1, 1, 1, 0, 0]);
    items.details.position = numbers(&[2.0, 1.0, 0.0, 0.0, 0.0, 0.0], &[1, 1, 1, 1, 0, 0]);
    items
}

fn reading(kind: AdapterKind) -> AdapterConfig {
    AdapterConfig { details: ALL, ..config(Sources::Fusion, kind) }
}

fn moved(before: &Tensor, after: &Tensor) -> Vec<bool> {
    let difference = (before - after).abs().reshape([BATCH * SEQ, -1]).amax([1i64].as_slice(), false);
    Vec::try_from(difference.gt(1e-6)).unwrap()
}

#[test]
fn a_detail_moves_its_own_position_and_an_unknown_one_is_learned_and_never_read() {
    for kind in KINDS {
        let (vs, adapter) = build(&reading(kind));
        let tokens = |items: &ItemVectors| adapter.forward(items).unwrap().embeddings;
        let before = tokens(&detailed());
        assert!(bool::try_from(before.isfinite().all()).unwrap(), "{kind:?}: an unknown rating was NaN");

        let mut other = detailed();
        let _ = other.details.rating.as_mut().unwrap().values.get(0).get(1).fill_(4.0);
        assert_eq!(moved(&before, &tokens(&other)), [false, true, false, false, false, false], "{kind:?}");

        let mut absent = vs.variables().remove("absent.rating").unwrap();
        tch::no_grad(|| {
            let _ = absent.g_add_scalar_(1.0);
        });
        assert_eq!(moved(&before, &tokens(&detailed())), [false, false, true, false, true, true], "{kind:?}");

        // A batch that knows no ratings at all is one in which none is known.
        let (mut none, mut unknown) = (detailed(), detailed());
        none.details.rating = None;
        unknown.details.rating.as_mut().unwrap().present = bools(&[0; 6]);
        assert!(tokens(&none).equal(&tokens(&unknown)), "{kind:?}");
    }
}

#[test]
fn what_an_adapter_does_not_read_changes_nothing_not_even_its_start() {
    for kind in KINDS {
        let plain = build(&config(Sources::Fusion, kind)).1;
        let with = plain.forward(&detailed()).unwrap().embeddings;
        assert!(with.equal(&plain.forward(&batch()).unwrap().embeddings));
        let (vs, _) = build(&config(Sources::Fusion, kind));
        assert!(vs.variables().keys().all(|name| !name.contains("rating") && !name.contains("user")));
    }
}

#[test]
fn soft_tokens_of_detailed_purchases_start_at_the_asked_scale() {
    for kind in KINDS {
        let mut config = AdapterConfig { hidden: 256, cf_dim: 64, semantic_dim: 96, ..reading(kind) };
        if let AdapterKind::Mlp { ref mut width, .. } = config.kind {
            *width = 512;
        }
        config.initial_rms = 0.3;
        let (_vs, adapter) = build(&config);
        let mut rng = seed::rng(9, 0);
        let all = Tensor::ones([4, 50], (Kind::Bool, Device::Cpu));
        let mut side =
            |dim| Some(Side { vectors: seed::normal(&mut rng, &[4, 50, dim], 2.0), present: all.copy() });
        let (cf, semantic) = (side(64), side(96));
        let numbers = |low, high| {
            let values = seed::uniform(&mut seed::rng(3, 0), &[4, 50], low, high);
            Some(Numbers { values, present: all.copy() })
        };
        let details = regen_fusion::Details {
            rating: numbers(1.0, 5.0),
            recency: numbers(0.0, 900.0),
            position: numbers(0.0, 50.0),
            review: None,
        };
        let items = ItemVectors { cf, semantic, mask: all.copy(), details };
        let rms = adapter.forward(&items).unwrap().embeddings.square().mean(Kind::Double).sqrt();
        assert!((rms.double_value(&[]) - 0.3).abs() < 0.07, "{kind:?}: {rms:?}");
    }
}

#[test]
fn every_parameter_of_a_reader_of_details_and_users_gets_a_gradient() {
    for kind in KINDS {
        let (vs, adapter) = build(&AdapterConfig { user: true, ..reading(kind) });
        let mask = detailed().mask.repeat_interleave_self_int(2, 1, None).unsqueeze(-1).to_kind(Kind::Float);
        let tokens = adapter.forward(&detailed()).unwrap().embeddings * mask;
        let vectors = seed::normal(&mut seed::rng(4, 0), &[BATCH, CF], 1.0);
        let users = Side { vectors, present: Tensor::from_slice(&[true, false]) };
        let user = adapter.user(&users).unwrap().unwrap();
        assert_eq!(user.size(), [BATCH, 1, HIDDEN]);
        (tokens.square().sum(Kind::Float) + user.square().sum(Kind::Float)).backward();
        for (name, variable) in vs.variables() {
            // Knots that no number of this batch touches have no gradient, but some of a vector's have.
            let largest = variable.grad().abs().max().double_value(&[]);
            let unread = ["absent.recency", "absent.position"].contains(&name.as_str());
            assert!(largest.is_finite() && (largest > 0.0 || unread), "{kind:?} {name}: {largest}");
        }
    }
}

#[test]
fn a_user_without_a_vector_gets_a_learned_one_and_what_stands_there_is_not_read() {
    let (_vs, adapter) = build(&AdapterConfig { user: true, ..config(Sources::Cf, AdapterKind::Projection) });
    let token = |first: f64, there: [bool; 2]| {
        let vectors = Tensor::ones([BATCH, CF], (Kind::Float, Device::Cpu));
        let _ = vectors.get(0).get(0).fill_(first);
        let users = Side { vectors, present: Tensor::from_slice(&there) };
        adapter.user(&users).unwrap().unwrap()
    };
    let known = token(1.0, [true, true]);
    let alike = |a: &Tensor, b: &Tensor| a.allclose(b, 0.0, 1e-6, false);
    assert!(alike(&known.get(0), &known.get(1)));
    assert!(!alike(&known.get(0), &token(5.0, [true, true]).get(0)));
    let absent = token(f64::NAN, [false, true]);
    assert!(bool::try_from(absent.isfinite().all()).unwrap() && !alike(&absent.get(0), &known.get(0)));
    assert!(build(&config(Sources::Cf, AdapterKind::Projection)).1.user(&wrong_users()).unwrap().is_none());
    assert!(matches!(adapter.user(&wrong_users()), Err(Error::ShapeMismatch { tensor: "user.vectors", .. })));
}

fn wrong_users() -> Side {
    let vectors = Tensor::ones([BATCH, CF + 1], (Kind::Float, Device::Cpu));
    Side { vectors, present: Tensor::from_slice(&[true, true]) }
}

#[test]
fn details_of_another_shape_and_users_of_an_arm_without_factors_are_refused() {
    let (_vs, adapter) = build(&reading(AdapterKind::Projection));
    let mut items = detailed();
    items.details.recency.as_mut().unwrap().values = Tensor::ones([SEQ, BATCH], (Kind::Float, Device::Cpu));
    let error = adapter.forward(&items).unwrap_err();
    assert!(matches!(error, Error::ShapeMismatch { tensor: "details.recency.values", .. }), "{error}");
    let mut items = detailed();
    items.details.rating.as_mut().unwrap().values = Tensor::ones([BATCH, SEQ], (Kind::Int64, Device::Cpu));
    let error = adapter.forward(&items).unwrap_err();
    assert!(matches!(error, Error::WrongKind { tensor: "details.rating.values", .. }), "{error}");

    let config = AdapterConfig { user: true, ..config(Sources::Semantic, AdapterKind::Projection) };
    let vs = tch::nn::VarStore::new(Device::Cpu);
    let refused = regen_fusion::Adapter::new(&vs.root(), &config, &mut seed::rng(1, 0)).unwrap_err();
    assert!(matches!(refused, Error::InvalidConfig { field: "user", .. }));
}
