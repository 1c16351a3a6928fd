//! A narrator folds users in as the factorisation does: the two crates do not know each other, so the solve stands in both, and
//! here it is held to be one.

use ndarray::Array2;
use rand::RngExt;
use regen_examples::features::{Factorisation, ItemVectors, tables};
use regen_fusion::{AdapterConfig, AdapterKind, DetailInputs, Normalisation, Sources};
use regen_lm::{DecoderConfig, train_bpe};
use regen_narrator::{ItemIds, Narrator, NarratorConfig, special_tokens};
use regen_torch::seed;
use regen_wals::{
    Arithmetic, Confidence, Frequency, InteractionMatrix, UnobservedScope, WalsConfig, WalsModel,
};
use tch::Device;

const USERS: usize = 60;
const ITEMS: usize = 40;
const RANK: usize = 9;

/// Purchases of half a world, some of them repeated; the last item is bought by nobody.
fn matrix() -> InteractionMatrix {
    let mut rng = seed::rng(3, 0);
    let mut triplets = Vec::new();
    for user in 0..USERS as u32 {
        for _ in 0..7 {
            let item = (rng.random_range(0..ITEMS as u32 - 1) + user) % (ITEMS as u32 - 1);
            triplets.push((user, item, 1.0));
        }
    }
    InteractionMatrix::from_triplets(USERS, ITEMS, triplets).unwrap()
}

fn narrator(matrix: &InteractionMatrix, model: &WalsModel) -> Narrator {
    let present = (0..matrix.items()).map(|item| !matrix.item_row(item).0.is_empty()).collect();
    let cf = ItemVectors { vectors: model.item_factors().to_owned(), present };
    let tables = tables(Some(&cf), None, Some(&Factorisation::of(model))).unwrap();
    let kinds = vec!["user_summary".to_owned()];
    let special = special_tokens(&kinds);
    let special: Vec<&str> = special.iter().map(String::as_str).collect();
    let tokenizer = train_bpe(["You like lamps."].into_iter(), 280, &special).unwrap();
    let decoder = DecoderConfig::preset("1m", tokenizer.vocab_size()).unwrap();
    let adapter = AdapterConfig {
        sources: Sources::Cf,
        kind: AdapterKind::Projection,
        normalisation: Normalisation::L2,
        cf_dim: RANK as i64,
        semantic_dim: 0,
        hidden: decoder.hidden(),
        tokens_per_item: 1,
        initial_rms: 0.02,
        details: DetailInputs::default(),
        user: true,
    };
    let config = NarratorConfig {
        adapter: Some(adapter),
        decoder,
        next_item: false,
        kinds,
        max_history: 50,
        max_narrative_tokens: 16,
        passage: None,
        words: None,
        lora: None,
        injection: None,
    };
    let ids = ItemIds::new((0..ITEMS).map(|item| item.to_string())).unwrap();
    Narrator::new(config, tables, ids, tokenizer, Device::Cpu, 1).unwrap()
}

#[test]
fn a_narrator_folds_users_in_as_the_factorisation_that_its_table_is_of() {
    let matrix = matrix();
    let plain = WalsConfig { rank: RANK, iterations: 4, seed: 5, ..WalsConfig::default() };
    let settings = [
        plain.clone(),
        WalsConfig { confidence: Confidence::Hu { alpha: 12.0 }, regularization: 0.1, ..plain.clone() },
        WalsConfig {
            confidence: Confidence::Logarithmic { alpha: 3.0, epsilon: 0.5 },
            unobserved_scope: UnobservedScope::Unobserved,
            frequency: Frequency::Count,
            frequency_exponent: 0.5,
            regularization: 0.2,
            ..plain.clone()
        },
        WalsConfig {
            confidence: Confidence::Proportional { alpha: 2.0 },
            unobserved_weight: 0.3,
            regularization: 0.05,
            ..plain.clone()
        },
        WalsConfig { confidence: Confidence::Given, regularization: 0.1, ..plain },
    ];
    for config in settings {
        let config = WalsConfig { arithmetic: Arithmetic::F64, ..config };
        let model = config.fit(&matrix).unwrap();
        let narrator = narrator(&matrix, &model);
        // The last two histories: an item that was bought twice, and one that nobody bought before.
        for history in [vec![3u32], vec![0, 5, 17, 21, 30], (0..39).collect(), vec![8, 2, 8], vec![39, 4]] {
            let known: Vec<(u32, f32)> =
                history.iter().filter(|&&item| item != 39).map(|&item| (item, 1.0)).collect();
            let expected = model.fold_in_user(&known).unwrap();
            let got = narrator.fold_in(&history).unwrap().unwrap();
            let size = expected.dot(&expected).sqrt();
            let off = got.iter().zip(&expected).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt() / size;
            assert!(off < 1e-5, "{config:?} {history:?}: {off:e}");
        }
        assert_eq!(narrator.fold_in(&[39]).unwrap(), None, "nobody ever bought it");
    }
}

#[test]
fn what_stands_in_files_folds_in_as_the_fit_that_wrote_them() {
    let matrix = matrix();
    let config = WalsConfig { rank: RANK, iterations: 3, ..WalsConfig::default() };
    let model = config.fit(&matrix).unwrap();
    let dir = tempfile::tempdir().unwrap();
    assert!(regen_examples::pipeline::factorisation(dir.path()).unwrap().is_none());
    let ids = |count: usize| (0..count).map(|id| id.to_string()).collect::<Vec<_>>();
    regen_wals::persist::save(dir.path(), &model, &ids(USERS), &ids(ITEMS)).unwrap();
    std::fs::write(dir.path().join("wals.json"), serde_json::to_string(&config).unwrap()).unwrap();
    let read = regen_examples::pipeline::factorisation(dir.path()).unwrap().unwrap();
    let cf = || ItemVectors { vectors: model.item_factors().to_owned(), present: vec![true; ITEMS] };
    let fold_in = |factorisation: &Factorisation| {
        let tables = tables(Some(&cf()), None, Some(factorisation)).unwrap();
        tables.fold_in().unwrap().clone()
    };
    assert_eq!(fold_in(&read), fold_in(&Factorisation::of(&model)));
    let narrow = Array2::<f32>::zeros((ITEMS, RANK - 1));
    assert!(Factorisation::of_factors(config, narrow).is_err());
}
