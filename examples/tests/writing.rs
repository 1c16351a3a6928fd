//! How narratives are written: flags, what the bundle says, what the language model's folder does, and where keys and values are kept.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use regen_lm::{Decoder, DecoderConfig, train_bpe};
use regen_narrator::{
    ItemIds, ItemTables, Narrator, NarratorConfig, PassageConfig, PromptWords, WritingDefaults,
};
use serde_json::{Value, json};
use tch::{Device, nn};

use support::program;

/// A language model whose makers want draws, and bundles around it that read phrases: one says nothing of how to write, one says greedy.
struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new(generation: Option<&Value>) -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap() };
        let lm = world.path("lm");
        let tokenizer = train_bpe(["You chose the red lamp."].into_iter(), 280, &[]).unwrap();
        let vs = nn::VarStore::new(Device::Cpu);
        let config = DecoderConfig::preset("1m", tokenizer.vocab_size()).unwrap();
        let decoder = Decoder::new(&vs.root(), &config, &mut regen_torch::seed::rng(8, 1)).unwrap();
        // Far from the start of training, where the most probable token is the same everywhere.
        tch::no_grad(|| {
            for (_, matrix) in decoder.parameters().iter().filter(|(_, tensor)| tensor.dim() == 2) {
                let _ = matrix.shallow_clone().g_mul_scalar_(8.0);
            }
        });
        decoder.save(&lm).unwrap();
        tokenizer.save(&lm).unwrap();
        if let Some(file) = generation {
            fs::write(lm.join("generation_config.json"), file.to_string()).unwrap();
        }
        let kinds = vec!["purchase_reason".to_owned()];
        let config = NarratorConfig {
            adapter: None,
            decoder: DecoderConfig::from_hf(&lm).unwrap(),
            next_item: false,
            words: Some(PromptWords::plain(&kinds)),
            kinds,
            max_history: 1,
            max_narrative_tokens: 12,
            passage: Some(PassageConfig { max_tokens: 16, copy_width: 0 }),
            lora: None,
            injection: None,
        };
        let (tables, ids) = (ItemTables::none(), ItemIds::default());
        let mut narrator = Narrator::on_lm(&lm, config, tables, ids, Device::Cpu, 5).unwrap();
        narrator.save(&world.path("silent")).unwrap();
        narrator.set_writing(WritingDefaults::greedy());
        narrator.save(&world.path("greedy")).unwrap();
        let line = |phrase: &str| format!("{}\n", json!({ "kind": "purchase_reason", "passage": [phrase] }));
        fs::write(world.path("requests.jsonl"), ["red", "lamp", "the red lamp"].map(line).concat()).unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, bundle: &str, line: &str) -> Output {
        let mut command = Command::new(program("write_narratives"));
        command.arg("--narrator").arg(self.path(bundle)).arg("--requests").arg(self.path("requests.jsonl"));
        let output =
            command.args(["--threads", "1", "--device", "cpu", "--json"]).args(line.split_whitespace());
        output.output().expect("the program starts")
    }

    /// Narratives, the summary, and what was told on the way.
    fn written(&self, bundle: &str, line: &str) -> (Vec<String>, Value, String) {
        let output = self.run(bundle, line);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{line}: {told}");
        let mut lines: Vec<Value> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let summary = lines.pop().unwrap();
        (lines.iter().map(|line| line["narrative"].to_string()).collect(), summary, told)
    }

    fn refused(&self, bundle: &str, line: &str, code: i32, named: &str) {
        let output = self.run(bundle, line);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(code) && told.contains(named),
            "{line}: {:?} {told}",
            output.status
        );
    }
}

fn draws() -> Value {
    json!({ "do_sample": true, "temperature": 0.9, "top_k": 30, "repetition_penalty": 1.3, "max_length": 3, "eos_token_id": [2] })
}

#[test]
fn a_setting_comes_from_the_flags_or_the_bundle_or_the_folder_and_is_told_with_its_origin() {
    let world = World::new(Some(&draws()));
    let (greedy, summary, told) = world.written("greedy", "");
    assert_eq!((summary["written"].as_u64(), greedy.len()), (Some(3), 3));
    assert!(greedy.iter().all(|text| text.len() > 4), "{greedy:?}");
    assert_eq!(summary["settings"]["sampling"], json!({ "value": "greedy", "by": "bundle" }));
    assert_eq!(summary["settings"]["max_tokens"], json!({ "value": 12, "by": "bundle" }));
    assert!(told.contains("writing: greedy (bundle), at most 12 tokens (bundle)"), "{told}");

    let (drawn, summary, told) = world.written("greedy", "--as-folder-says");
    let sampling = json!({ "sample": { "temperature": 0.9, "top_k": 30, "top_p": null, "min_p": null } });
    assert_eq!(summary["settings"]["sampling"], json!({ "value": sampling, "by": "folder" }));
    assert_eq!(summary["settings"]["repetition_penalty"], json!({ "value": 1.3, "by": "folder" }));
    assert!(told.contains("drawn at temperature 0.9, top k 30 (generation_config.json)"), "{told}");
    assert_ne!(drawn, greedy);
    assert_eq!(world.written("greedy", "--as-folder-says").0, drawn, "the same seed");
    assert_ne!(world.written("greedy", "--as-folder-says --seed 8").0, drawn);
    // A bundle that says nothing leaves it to the folder, and flags go before either.
    assert_eq!(world.written("silent", "").0, drawn);
    let (plain, summary, _) = world.written("silent", "--greedy --repetition-penalty 1 --max-tokens 5");
    assert_eq!(summary["settings"]["sampling"]["by"], "caller");
    let cut = |all: &[String]| all.iter().map(|text| text.trim_matches('"').to_owned()).collect::<Vec<_>>();
    assert!(cut(&greedy).iter().zip(cut(&plain)).all(|(whole, cut)| whole.starts_with(&cut)), "{plain:?}");
    let (_, summary, _) = world.written("silent", "--temperature 0.2");
    assert_eq!(summary["settings"]["sampling"]["value"]["sample"]["top_k"], 30);
    world.written("silent", "--candidates 2 --agree-by chrf");
}

#[test]
fn what_a_folder_does_not_say_or_what_is_not_done_is_refused_to_who_asks_for_it() {
    let world = World::new(None);
    world.refused("greedy", "--as-folder-says", 1, "generation_config.json");
    for flags in ["--top-p 0.5", "--candidates 3"] {
        world.refused("greedy", flags, 2, flags.split(' ').next().unwrap());
    }
    world.refused("greedy", "--greedy --temperature 1", 2, "--temperature");
    let world = World::new(Some(&json!({ "guidance_scale": 2.0 })));
    world.refused("silent", "--as-folder-says", 1, "guidance_scale");
    assert!(world.written("silent", "").2.contains("guidance_scale"));
}

#[test]
fn a_folder_that_wants_beams_gets_them() {
    let world = World::new(Some(&json!({ "num_beams": 3, "length_penalty": 0.5 })));
    let (beams, summary, told) = world.written("silent", "");
    assert_eq!(summary["settings"]["beam"]["beams"], 3);
    assert!(told.contains("best of 3 beams"), "{told}");
    assert_ne!(beams, world.written("greedy", "").0);
    assert_eq!(world.written("greedy", "--as-folder-says --batch 1").0, beams);
    world.refused("silent", "--stream", 2, "--stream");
}

#[test]
fn keys_and_values_take_half_the_memory_where_that_is_asked_for() {
    let world = World::new(None);
    let (_, whole, told) = world.written("greedy", "--cache f32");
    assert!(told.contains("memory: keys and values of 3 at once"), "{told}");
    let light = world.run("greedy", "--cache bf16");
    if whole["weights_bytes"].is_null() {
        // No kernel, nothing to hold otherwise.
        assert_eq!(light.status.code(), Some(1));
        world.refused("greedy", "--weights int8", 1, "--weights int8");
        return;
    }
    let (_, light, _) = world.written("greedy", "--cache bf16");
    assert_eq!(light["cache"], "bf16");
    assert_eq!(2 * light["cache_bytes"].as_u64().unwrap(), whole["cache_bytes"].as_u64().unwrap());
    assert!(whole["peak_rss_bytes"].as_u64() > whole["cache_bytes"].as_u64());
    world.written("greedy", "--cache bf16 --weights int8 --temperature 0.7 --candidates 2 --agree-by chrf");
    // Lines of the one are not mixed with those of the other.
    let to = format!("--to {}", world.path("narratives.jsonl").display());
    world.written("greedy", &to);
    world.refused("greedy", &format!("{to} --cache bf16"), 1, "another cache");
    assert!(Path::new(&world.path("narratives.jsonl")).exists());
}

#[test]
fn a_language_model_for_a_bundle_that_holds_its_own_is_refused_with_what_to_do() {
    let world = World::new(None);
    let lm = format!("--lm {}", world.path("lm").display());
    world.refused("greedy", &lm, 1, "holds its language model");
}
