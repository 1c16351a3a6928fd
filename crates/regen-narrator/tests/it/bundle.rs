//! A narrator on disk: it comes back the same, and a damaged or foreign bundle is refused by name.

use std::fs;
use std::path::{Path, PathBuf};

use regen_fusion::Sources;
use regen_lm::Sampling;
use regen_narrator::{Error, Narrator, Provenance, WritingDefaults, reseal};
use tch::Device;
use tempfile::{TempDir, tempdir};

use crate::world;

fn saved() -> (TempDir, PathBuf, Narrator) {
    let dir = tempdir().unwrap();
    let path = dir.path().join("narrator");
    let mut narrator = world::narrator(Sources::Fusion, 1);
    world::train(&mut narrator, 20);
    narrator.save(&path).unwrap();
    (dir, path, narrator)
}

fn refused(path: &Path) -> Error {
    Narrator::open(path, Device::Cpu).expect_err("the bundle must be refused")
}

#[test]
fn an_opened_bundle_writes_and_scores_as_the_saved_one() {
    let (_dir, path, narrator) = saved();
    let opened = Narrator::open(&path, Device::Cpu).unwrap();
    let examples = world::examples();
    let requests: Vec<_> = examples.iter().map(|example| example.request.clone()).collect();
    assert_eq!(world::write(&opened, &requests, 4), world::write(&narrator, &requests, 4));
    assert_eq!(opened.loss(&examples, 4).unwrap(), narrator.loss(&examples, 4).unwrap());
    assert_eq!(opened.item_ids(), narrator.item_ids());
    assert_eq!(opened.config(), narrator.config());
}

#[test]
fn a_bundle_opens_whatever_the_width_of_its_heads() {
    use regen_fusion::AdapterKind;
    use regen_narrator::NarratorConfig;
    let dir = tempdir().unwrap();
    for width in (2..=48).step_by(2) {
        let (mut config, tokenizer) = world::config_with(Sources::Fusion, AdapterKind::Projection);
        (config.decoder.head_dim, config.decoder.query_scale) = (width, 1.0 / (width as f64).sqrt());
        if let regen_lm::Positions::Rotary(rope) = &mut config.decoder.positions {
            rope.rotary_dim = width;
        }
        let config = NarratorConfig { max_history: 2, ..config };
        let narrator =
            Narrator::new(config, world::tables(), world::ids(), tokenizer, Device::Cpu, 1).unwrap();
        let path = dir.path().join(width.to_string());
        narrator.save(&path).unwrap();
        assert_eq!(Narrator::open(&path, Device::Cpu).unwrap().config(), narrator.config(), "{width}");
    }
}

#[test]
fn an_existing_bundle_is_not_overwritten() {
    let (_dir, path, narrator) = saved();
    assert!(matches!(narrator.save(&path), Err(Error::Io { .. })));
    assert!(Narrator::open(&path, Device::Cpu).is_ok());
}

#[test]
fn every_missing_part_is_named() {
    let (_dir, path, _) = saved();
    for part in [
        "narrator.json",
        "item_ids.txt",
        "items.safetensors",
        "adapter.safetensors",
        "lm/model.safetensors",
        "lm/tokenizer.json",
    ] {
        let (from, to) = (path.join(part), path.join("aside"));
        fs::rename(&from, &to).unwrap();
        let error = refused(&path);
        let message = format!("{error} {:?}", error);
        let file = Path::new(part).file_name().unwrap().to_str().unwrap();
        let folder = path.join("lm").display().to_string();
        assert!(message.contains(file) || message.contains(&folder), "{part}: {message}");
        fs::rename(&to, &from).unwrap();
    }
    assert!(Narrator::open(&path, Device::Cpu).is_ok());
}

#[test]
fn another_format_and_an_unknown_field_are_refused() {
    let (_dir, path, _) = saved();
    let manifest = path.join("narrator.json");
    let text = fs::read_to_string(&manifest).unwrap();
    for format in [1, 7] {
        let other = format!("\"format\": {format}, \"new\": true");
        fs::write(&manifest, text.replace("\"format\": 6", &other)).unwrap();
        assert!(matches!(refused(&path), Error::BundleFormat { expected: 6, got, .. } if got == format));
    }
    fs::write(&manifest, text.replace("\"format\": 6", "\"format\": 6, \"new\": true")).unwrap();
    assert!(matches!(refused(&path), Error::Manifest { .. }));
}

/// A manifest from which they were taken vouches for nothing.
#[test]
fn a_part_without_a_fingerprint_and_one_that_differs_anywhere_are_refused() {
    let (_dir, path, _) = saved();
    let manifest = path.join("narrator.json");
    let good: serde_json::Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    for format in [4, 6] {
        for part in ["adapter.safetensors", "lm/model.safetensors", "item_ids.txt"] {
            let mut other = good.clone();
            other["format"] = format.into();
            assert!(other["parts"].as_object_mut().unwrap().remove(part).is_some());
            fs::write(&manifest, other.to_string()).unwrap();
            let error = refused(&path);
            assert!(matches!(&error, Error::ForeignPart { path: named } if named.ends_with(part)), "{error}");
        }
    }
    fs::write(&manifest, good.to_string()).unwrap();
    let weights = path.join("lm/model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&weights, bytes).unwrap();
    assert!(matches!(refused(&path), Error::ForeignPart { .. }));
}

/// What format 3 added is left out where it is not used, and fingerprints may be missing.
#[test]
fn a_bundle_of_the_format_before_still_opens() {
    let (_dir, path, narrator) = saved();
    let manifest = path.join("narrator.json");
    let text = fs::read_to_string(&manifest).unwrap();
    for new in ["details", "user", "fold_in", "base"] {
        assert!(!text.contains(&format!("\"{new}\":")), "{text}");
    }
    let mut older: serde_json::Value = serde_json::from_str(&text).unwrap();
    older["format"] = 2.into();
    for new in ["parts", "versions"] {
        assert!(older.as_object_mut().unwrap().remove(new).is_some());
    }
    fs::write(&manifest, older.to_string()).unwrap();
    assert!(matches!(reseal(&path), Err(Error::BundleFormat { got: 2, .. })));
    let opened = Narrator::open(&path, Device::Cpu).unwrap();
    let examples = world::examples();
    assert_eq!(opened.loss(&examples, 4).unwrap(), narrator.loss(&examples, 4).unwrap());
}

/// They would open: trained on the same catalogue, they have the same names and shapes.
#[test]
fn parts_of_another_training_are_refused_by_name() {
    let (_dir, path, narrator) = saved();
    let other = path.with_file_name("other");
    world::narrator(Sources::Fusion, 2).save(&other).unwrap();
    for part in ["adapter.safetensors", "lm/model.safetensors"] {
        let own = fs::read(path.join(part)).unwrap();
        fs::copy(other.join(part), path.join(part)).unwrap();
        let error = refused(&path);
        assert!(matches!(&error, Error::ForeignPart { path: named } if named.ends_with(part)), "{error}");
        fs::write(path.join(part), own).unwrap();
    }
    // Where that is what its owner wants, it is said, and nothing else changes.
    fs::copy(other.join("adapter.safetensors"), path.join("adapter.safetensors")).unwrap();
    fs::write(path.join("notes.txt"), "not of the bundle").unwrap();
    reseal(&path).unwrap();
    fs::remove_file(path.join("notes.txt")).unwrap();
    let opened = Narrator::open(&path, Device::Cpu).unwrap();
    let examples = world::examples();
    assert_ne!(opened.loss(&examples, 4).unwrap(), narrator.loss(&examples, 4).unwrap());
}

#[test]
fn sealed_parts_that_do_not_fit_each_other_are_refused() {
    let (_dir, path, _) = saved();
    let ids = path.join("item_ids.txt");
    let text = fs::read_to_string(&ids).unwrap();
    fs::write(&ids, "only-one\n").unwrap();
    reseal(&path).unwrap();
    assert!(matches!(refused(&path), Error::Mismatch { part: "item_ids.txt", .. }));
    fs::write(&ids, text).unwrap();

    let other = path.with_file_name("other");
    world::narrator(Sources::Cf, 1).save(&other).unwrap();
    fs::copy(other.join("adapter.safetensors"), path.join("adapter.safetensors")).unwrap();
    reseal(&path).unwrap();
    assert!(matches!(refused(&path), Error::Torch(regen_torch::Error::MissingTensor { .. })));
}

#[test]
fn a_bundle_says_where_it_was_trained() {
    let (_dir, path, mut narrator) = saved();
    assert_eq!(Narrator::open(&path, Device::Cpu).unwrap().provenance(), None);
    let card = fs::read_to_string(path.join("README.md")).unwrap();
    assert!(card.contains("Nothing is recorded"), "{card}");

    let from = Provenance {
        data: "lamps | rooms".into(),
        split: "5eed".into(),
        seed: 3,
        updates: 20,
        validation_loss: Some(0.5),
    };
    narrator.set_provenance(from.clone());
    let again = path.with_file_name("again");
    narrator.save(&again).unwrap();
    let opened = Narrator::open(&again, Device::Cpu).unwrap();
    assert_eq!(opened.provenance(), Some(&from));
    let card = fs::read_to_string(again.join("README.md")).unwrap();
    for told in [
        "library_name: regen",
        "purchase_reason, user_summary_short",
        "7 of 7 items",
        "`5eed`",
        "20 updates",
        "0.5000 nats",
    ] {
        assert!(card.contains(told), "{told}: {card}");
    }
}

#[test]
fn a_bundle_says_how_its_narrator_writes() {
    let (_dir, path, mut narrator) = saved();
    let opened = Narrator::open(&path, Device::Cpu).unwrap();
    assert_eq!(opened.writing(), &WritingDefaults::default());
    assert_eq!(opened.generate_options().max_new_tokens, narrator.config().max_narrative_tokens);
    assert!(!fs::read_to_string(path.join("narrator.json")).unwrap().contains("no_repeat_ngram"));

    let sampling = Sampling::Sample { temperature: 0.7, top_k: None, top_p: Some(0.9), min_p: None };
    let writing = WritingDefaults {
        sampling: Some(sampling.clone()),
        no_repeat_ngram: Some(4),
        ..WritingDefaults::default()
    };
    narrator.set_writing(writing.clone());
    let again = path.with_file_name("again");
    narrator.save(&again).unwrap();
    reseal(&again).unwrap();
    let opened = Narrator::open(&again, Device::Cpu).unwrap();
    assert_eq!(opened.writing(), &writing);
    let options = opened.generate_options();
    assert_eq!((options.no_repeat_ngram, options.sampling), (4, sampling));
    let asked = WritingDefaults { no_repeat_ngram: Some(2), ..WritingDefaults::default() };
    assert_eq!(opened.generate_options_with(&asked).no_repeat_ngram, 2);
}
