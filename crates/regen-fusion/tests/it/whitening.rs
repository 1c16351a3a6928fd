//! Whitening of a side: what it does to the table, and to an adapter that reads through it.

use regen_fusion::{Adapter, AdapterConfig, AdapterKind, Error, Moments, Normalisation, Sources, Whitening};
use regen_torch::seed;
use tch::{Device, Kind, Tensor, nn};

use crate::{CF, SEMANTIC, batch, build, config};

/// A table with correlated columns of different loudness, far from the origin, and rows that are not there.
fn table(rows: i64, dim: i64) -> (Tensor, Tensor) {
    let mut rng = seed::rng(11, 0);
    let mixing = seed::normal(&mut rng, &[dim, dim], 1.0);
    let loud = Tensor::arange_start(1, dim + 1, (Kind::Float, Device::Cpu));
    let vectors = (seed::normal(&mut rng, &[rows, dim], 1.0) * loud).matmul(&mixing) + 3.0;
    let present = Tensor::arange(rows, (Kind::Int64, Device::Cpu)).remainder(5).not_equal(2);
    let absent = present.logical_not().nonzero().reshape([-1]);
    (vectors.index_fill(0, &absent, f64::NAN), present)
}

/// In two blocks, as a table on disk would be read.
fn whitening(vectors: &Tensor, present: &Tensor) -> Whitening {
    let mut moments = Moments::new(vectors.size()[1]);
    let half = vectors.size()[0] / 3;
    for (first, rows) in [(0, half), (half, vectors.size()[0] - half)] {
        moments.add(&vectors.narrow(0, first, rows), &present.narrow(0, first, rows)).unwrap();
    }
    moments.whitening().unwrap()
}

fn covariance(rows: &Tensor) -> (Tensor, Tensor) {
    let rows = rows.to_kind(Kind::Double);
    let mean = rows.mean_dim([0i64].as_slice(), false, Kind::Double);
    let centred = &rows - &mean;
    (mean, centred.tr().matmul(&centred) / rows.size()[0] as f64)
}

fn far(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

#[test]
fn a_whitened_table_has_mean_zero_and_the_identity_for_its_covariance() {
    let (vectors, present) = table(400, 6);
    let map = whitening(&vectors, &present);
    assert_eq!((map.dim(), map.directions()), (6, 6));
    let there = vectors.index_select(0, &present.nonzero().reshape([-1]));
    let identity = Tensor::eye(6, (Kind::Double, Device::Cpu));
    let (before, spread) = covariance(&there);
    assert!(far(&spread, &identity) > 1.0 && before.abs().max().double_value(&[]) > 1.0);
    let (mean, spread) = covariance(&map.apply(&there).unwrap());
    assert!(mean.abs().max().double_value(&[]) < 1e-9, "{mean:?}");
    assert!(far(&spread, &identity) < 1e-9, "{}", far(&spread, &identity));
}

#[test]
fn directions_that_never_vary_become_zero_and_the_others_stay_white() {
    let (vectors, present) = table(300, 4);
    // A fifth column that is the sum of two, a sixth that is always the same.
    let sum = vectors.narrow(1, 0, 1) + vectors.narrow(1, 2, 1);
    let wide = Tensor::cat(&[&vectors, &sum, &sum.full_like(2.5)], 1);
    let map = whitening(&wide, &present);
    assert_eq!((map.dim(), map.directions()), (6, 4));
    let there = wide.index_select(0, &present.nonzero().reshape([-1]));
    let (_, spread) = covariance(&map.apply(&there).unwrap());
    let (values, _) = spread.linalg_eigh("L");
    let values: Vec<f64> = Vec::try_from(values).unwrap();
    assert!(values[..2].iter().all(|value| value.abs() < 1e-6), "{values:?}");
    assert!(values[2..].iter().all(|value| (value - 1.0).abs() < 1e-6), "{values:?}");
}

#[test]
fn an_adapter_reads_through_the_map_and_keeps_it_untrained() {
    let whiten = AdapterConfig {
        normalisation: Normalisation::Whiten,
        ..config(Sources::Fusion, AdapterKind::Projection)
    };
    let maps = || {
        let map = |dim| Some(whitening(&table(100, dim).0, &table(100, dim).1));
        [map(CF), map(SEMANTIC)]
    };
    let vs = nn::VarStore::new(Device::Cpu);
    let adapter = Adapter::whitened(&vs.root(), &whiten, maps(), &mut seed::rng(1, 0)).unwrap();
    let parts = vs.variables();
    assert!(
        !parts["whitening.cf.matrix"].requires_grad() && !parts["whitening.semantic.mean"].requires_grad()
    );

    // The same adapter without normalisation, on vectors that were whitened beforehand.
    let plain = AdapterConfig { normalisation: Normalisation::None, ..whiten };
    let (plain_vs, other) = build(&plain);
    tch::no_grad(|| {
        for (name, mut tensor) in plain_vs.variables() {
            tensor.copy_(&parts[&name]);
        }
    });
    let mut before = batch();
    let [cf, semantic] = maps().map(Option::unwrap);
    for (side, map) in [(&mut before.cf, cf), (&mut before.semantic, semantic)] {
        let side = side.as_mut().unwrap();
        side.vectors = map.apply(&side.vectors).unwrap();
    }
    let (a, b) = (adapter.forward(&batch()).unwrap(), other.forward(&before).unwrap());
    assert!(far(&a.embeddings, &b.embeddings) < 1e-5);
}

#[test]
fn maps_that_are_missing_or_too_narrow_and_tables_that_say_nothing_are_refused() {
    let whiten = AdapterConfig {
        normalisation: Normalisation::Whiten,
        ..config(Sources::Fusion, AdapterKind::Projection)
    };
    let make = |maps| {
        let vs = nn::VarStore::new(Device::Cpu);
        Adapter::whitened(&vs.root(), &whiten, maps, &mut seed::rng(1, 0)).map(drop)
    };
    let refused = |made| matches!(made, Err(Error::InvalidConfig { field: "normalisation", .. }));
    assert!(refused(make([None, None])) && refused(make([Some(Whitening::identity(CF)), None])));
    assert!(refused(make([Some(Whitening::identity(CF + 1)), Some(Whitening::identity(SEMANTIC))])));
    make([Some(Whitening::identity(CF)), Some(Whitening::identity(SEMANTIC))]).unwrap();

    let mut moments = Moments::new(3);
    assert!(matches!(moments.whitening(), Err(Error::Whitening { .. })));
    let ones = Tensor::ones([4, 3], (Kind::Float, Device::Cpu));
    let there = Tensor::ones([4], (Kind::Bool, Device::Cpu));
    moments.add(&ones, &there).unwrap();
    assert!(matches!(moments.whitening(), Err(Error::Whitening { .. })), "rows are all alike");
    let wrong = moments.add(&ones.tr(), &there).unwrap_err();
    assert!(matches!(wrong, Error::ShapeMismatch { tensor: "vectors", .. }));
    let _ = ones.get(2).fill_(f64::NAN);
    moments.add(&ones, &there).unwrap();
    assert!(matches!(moments.whitening(), Err(Error::Whitening { .. })), "a number is not finite");
}
