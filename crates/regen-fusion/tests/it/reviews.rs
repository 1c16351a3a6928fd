//! Vectors of what the user wrote about each purchase: read where they are, said to be missing where they are not, scaled by a
//! choice of their own, and counted by every attribution.

use regen_fusion::{
    AdapterConfig, AdapterKind, DetailInputs, Error, ItemVectors, Normalisation, ReviewInput, Side, Sources,
};
use regen_torch::seed;
use tch::{Device, Kind, Tensor, nn};

use crate::{BATCH, HIDDEN, KINDS, SEQ, batch, bools, build, config};

/// Of no other width, so that a vector in the wrong place cannot pass.
const REVIEW: i64 = 6;

fn reading(kind: AdapterKind, normalisation: Normalisation) -> AdapterConfig {
    let review = Some(ReviewInput { dim: REVIEW, normalisation });
    AdapterConfig {
        details: DetailInputs { review, ..DetailInputs::default() },
        ..config(Sources::Fusion, kind)
    }
}

/// The batch of the other tests; of its first row the first and the third purchase have reviews, as has that of the second row.
fn reviewed() -> ItemVectors {
    let mut items = batch();
    let vectors = seed::normal(&mut seed::rng(11, 0), &[BATCH, SEQ, REVIEW], 2.0);
    items.details.review = Some(Side { vectors, present: bools(&[1, 0, 1, 1, 0, 0]) });
    items
}

fn change(items: &mut ItemVectors, row: i64, place: i64, value: f64) {
    let _ = items.details.review.as_mut().unwrap().vectors.get(row).get(place).get(0).fill_(value);
}

fn moved(before: &Tensor, after: &Tensor) -> Vec<bool> {
    let difference = (before - after).abs().reshape([BATCH * SEQ, -1]).amax([1i64].as_slice(), false);
    Vec::try_from(difference.gt(1e-6)).unwrap()
}

#[test]
fn a_review_moves_its_own_position_and_a_missing_one_is_learned_and_never_read() {
    for kind in KINDS {
        let (vs, adapter) = build(&reading(kind, Normalisation::L2));
        let tokens = |items: &ItemVectors| adapter.forward(items).unwrap().embeddings;
        let mut items = reviewed();
        change(&mut items, 0, 1, f64::NAN);
        let before = tokens(&items);
        assert!(bool::try_from(before.isfinite().all()).unwrap(), "{kind:?}: what is missing was read");

        change(&mut items, 0, 2, 40.0);
        assert_eq!(moved(&before, &tokens(&items)), [false, false, true, false, false, false], "{kind:?}");

        let before = tokens(&reviewed());
        let mut absent = vs.variables().remove("absent.review").unwrap();
        assert!(absent.abs().min().double_value(&[]) > 0.0, "silent zeros");
        tch::no_grad(|| {
            let _ = absent.g_add_scalar_(1.0);
        });
        assert_eq!(moved(&before, &tokens(&reviewed())), [false, true, false, false, true, true], "{kind:?}");

        let (mut none, mut unknown) = (reviewed(), reviewed());
        none.details.review = None;
        unknown.details.review.as_mut().unwrap().present = bools(&[0; 6]);
        assert!(tokens(&none).equal(&tokens(&unknown)), "{kind:?}: a batch without any knows of none");
    }
}

#[test]
fn reviews_are_scaled_by_their_own_choice_whatever_is_done_to_the_sides() {
    for (sides, review, shrugs) in [
        (Normalisation::None, Normalisation::L2, true),
        (Normalisation::None, Normalisation::LayerNorm, true),
        (Normalisation::L2, Normalisation::None, false),
    ] {
        let config = AdapterConfig { normalisation: sides, ..reading(AdapterKind::Projection, review) };
        let (_vs, adapter) = build(&config);
        let mut longer = reviewed();
        let side = longer.details.review.as_mut().unwrap();
        side.vectors = &side.vectors * 3.0;
        let tokens = |items: &ItemVectors| adapter.forward(items).unwrap().embeddings;
        let same = tokens(&longer).allclose(&tokens(&reviewed()), 0.0, 1e-6, false);
        assert_eq!(same, shrugs, "{sides:?} {review:?}");
    }
}

/// The parts as they follow from the tensors alone, in double precision.
#[test]
fn the_three_parts_and_the_bias_add_up_to_the_soft_token_and_their_shares_to_one() {
    let (vs, adapter) = build(&reading(AdapterKind::Projection, Normalisation::LayerNorm));
    let items = reviewed();
    let variables = vs.variables();
    let double = |name: &str| variables[name].to_kind(Kind::Double);
    let part = |side: &Side, name: &str, scaled: &dyn Fn(Tensor) -> Tensor| {
        let there = side.present.unsqueeze(-1);
        let known = scaled(side.vectors.to_kind(Kind::Double));
        let read = known.where_self(&there, &double(&format!("absent.{name}")));
        read.matmul(&double(&format!("projection.{name}")).tr())
    };
    let unit = |rows: Tensor| &rows / rows.norm_scalaropt_dim(2, [-1i64], true);
    let layer = |rows: Tensor| {
        let centred = &rows - rows.mean_dim([-1i64].as_slice(), true, Kind::Double);
        let variance = centred.square().mean_dim([-1i64].as_slice(), true, Kind::Double);
        centred / variance.sqrt()
    };
    let (cf, semantic) = (items.cf.as_ref().unwrap(), items.semantic.as_ref().unwrap());
    let parts = [
        part(cf, "cf", &unit),
        part(semantic, "semantic", &unit),
        part(items.details.review.as_ref().unwrap(), "review", &layer),
    ];
    let sum = parts.iter().fold(double("bias").expand([BATCH, SEQ, 2 * HIDDEN], false), |sum, one| sum + one);
    let tokens = adapter.forward(&items).unwrap().embeddings.to_kind(Kind::Double);
    let off = (sum.reshape_as(&tokens) - tokens).abs().max().double_value(&[]);
    assert!(off < 1e-6, "{off:e}");

    let found = adapter.attribution(&items).unwrap();
    let review = found.review.unwrap();
    let norm = |part: &Tensor| part.unflatten(-1, [2, HIDDEN]).norm_scalaropt_dim(2, [-1i64], false);
    for (got, part) in [&found.cf_norm, &found.semantic_norm, &review.norm].into_iter().zip(&parts) {
        let off = (got - norm(part)).abs().max().double_value(&[]);
        assert!(off < 1e-6, "{off:e}");
    }
    let total = &found.cf_norm + &found.semantic_norm + &review.norm;
    for (share, norm) in [
        (&found.cf_share, &found.cf_norm),
        (&found.semantic_share, &found.semantic_norm),
        (&review.share, &review.norm),
    ] {
        assert!((share - norm / &total).abs().max().double_value(&[]) < 1e-6);
    }
    let sum = &found.cf_share + &found.semantic_share + &review.share;
    assert!((sum - 1.0).abs().max().double_value(&[]) < 1e-6);
    assert!(review.share.min().double_value(&[]) > 0.0);
    assert!(review.present.equal(&bools(&[1, 0, 1, 1, 0, 0])));
    assert!(
        build(&config(Sources::Fusion, AdapterKind::Projection))
            .1
            .attribution(&items)
            .unwrap()
            .review
            .is_none()
    );
}

#[test]
fn integrated_gradients_give_reviews_a_part_of_their_own() {
    for kind in KINDS {
        let (_vs, adapter) = build(&AdapterConfig { initial_rms: 0.5, ..reading(kind, Normalisation::L2) });
        let found = adapter.integrated_gradients(&reviewed()).unwrap();
        let review = found.review.as_ref().unwrap();
        let off = (&found.cf + &found.semantic + review - &found.change).abs().max().double_value(&[]);
        assert!(off < 1e-5 && found.residual <= 1e-5, "{kind:?}: {off:e} {:e}", found.residual);
        let largest = |part: &Tensor| part.abs().max().double_value(&[]);
        assert!(largest(review) > 0.05 * largest(&found.cf), "{kind:?}: {}", largest(review));
    }
    let (_vs, adapter) = build(&reading(AdapterKind::Projection, Normalisation::L2));
    let (found, exact) =
        (adapter.integrated_gradients(&reviewed()).unwrap(), adapter.attribution(&reviewed()).unwrap());
    assert!((found.cf_share() - exact.cf_share).abs().max().double_value(&[]) < 1e-5);
    let kind = AdapterKind::CrossAttention { tokens: 4, heads: 1, layers: 1 };
    let (_vs, whole) = build(&reading(kind, Normalisation::L2));
    let history = bools(&[1, 1, 0, 1, 0, 0]);
    let found = whole.integrated_gradients_of_history(&reviewed(), &history).unwrap().unwrap();
    assert!(found.residual <= 1e-5 && found.review.is_some());
}

#[test]
fn every_parameter_of_a_reader_of_reviews_gets_a_gradient_and_soft_tokens_start_at_the_asked_scale() {
    for kind in KINDS {
        let (vs, adapter) = build(&reading(kind, Normalisation::L2));
        adapter.forward(&reviewed()).unwrap().embeddings.square().sum(Kind::Float).backward();
        for (name, variable) in vs.variables() {
            let largest = variable.grad().abs().max().double_value(&[]);
            assert!(largest.is_finite() && largest > 0.0, "{kind:?} {name}: {largest}");
        }

        let mut config = AdapterConfig {
            hidden: 256,
            cf_dim: 64,
            semantic_dim: 96,
            initial_rms: 0.3,
            ..reading(kind, Normalisation::LayerNorm)
        };
        config.details.review = Some(ReviewInput { dim: 80, normalisation: Normalisation::LayerNorm });
        if let AdapterKind::Mlp { ref mut width, .. } = config.kind {
            *width = 512;
        }
        let (_vs, adapter) = build(&config);
        let all = Tensor::ones([4, 50], (Kind::Bool, Device::Cpu));
        let mut rng = seed::rng(9, 0);
        let mut side =
            |dim| Some(Side { vectors: seed::normal(&mut rng, &[4, 50, dim], 2.0), present: all.copy() });
        let (cf, semantic) = (side(64), side(96));
        let details = regen_fusion::Details { review: side(80), ..Default::default() };
        let items = ItemVectors { cf, semantic, mask: all.copy(), details };
        let rms = adapter.forward(&items).unwrap().embeddings.square().mean(Kind::Double).sqrt();
        assert!((rms.double_value(&[]) - 0.3).abs() < 0.07, "{kind:?}: {rms:?}");
    }
}

#[test]
fn reviews_that_are_not_read_change_nothing_and_leave_no_trace() {
    for kind in KINDS {
        let (vs, plain) = build(&config(Sources::Fusion, kind));
        let tokens = |items: &ItemVectors| plain.forward(items).unwrap().embeddings;
        assert!(tokens(&reviewed()).equal(&tokens(&batch())), "{kind:?}");
        let (with, _) = build(&reading(kind, Normalisation::L2));
        // What is drawn before the review's own vector is drawn as without.
        let (with, without) = (with.variables(), vs.variables());
        assert!(with["absent.cf"].equal(&without["absent.cf"]) && !without.contains_key("absent.review"));
    }
    let written = serde_json::to_string(&config(Sources::Fusion, AdapterKind::Projection)).unwrap();
    assert!(!written.contains("review"), "{written}");
    let read = reading(AdapterKind::Gated, Normalisation::L2);
    let written = serde_json::to_string(&read).unwrap();
    assert_eq!(serde_json::from_str::<AdapterConfig>(&written).unwrap(), read);
}

#[test]
fn reviews_that_do_not_fit_are_refused_by_name() {
    let (_vs, adapter) = build(&reading(AdapterKind::Projection, Normalisation::L2));
    let refuse = |broken: &dyn Fn(&mut Side)| {
        let mut items = reviewed();
        broken(items.details.review.as_mut().unwrap());
        adapter.forward(&items).unwrap_err()
    };
    let wide = Tensor::ones([BATCH, SEQ, REVIEW + 1], (Kind::Float, Device::Cpu));
    let error = refuse(&|side| side.vectors = wide.copy());
    assert!(matches!(error, Error::ShapeMismatch { tensor: "details.review.vectors", .. }), "{error}");
    let error = refuse(&|side| side.present = side.present.to_kind(Kind::Float));
    assert!(matches!(error, Error::WrongKind { tensor: "details.review.present", .. }), "{error}");

    for (field, dim, normalisation) in [
        ("details.review.dim", 0, Normalisation::L2),
        ("details.review.normalisation", REVIEW, Normalisation::Whiten),
    ] {
        let mut config = reading(AdapterKind::Projection, normalisation);
        config.details.review = Some(ReviewInput { dim, normalisation });
        let vs = nn::VarStore::new(Device::Cpu);
        let refused = regen_fusion::Adapter::new(&vs.root(), &config, &mut seed::rng(1, 0)).unwrap_err();
        assert!(matches!(refused, Error::InvalidConfig { field: got, .. } if got == field), "{refused}");
    }
}
