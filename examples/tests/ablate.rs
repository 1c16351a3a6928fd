//! An experiment as a user runs it, on worlds small enough for a test.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use regen_lm::{Decoder, DecoderConfig, train_bpe};
use serde_json::Value;

use support::program;

const PLAN: &str = r#"
    title = "A small experiment"
    seeds = [1, 2]
    arms = ["cf", "fusion", "text"]
    histories = [4]
    language_models = ["1m"]
    rank = 8
    [training]
    steps = 6
    [[data]]
    name = "small world"
    synthetic = { users = 110, items = 130, mean_history = 6.0, min_history = 3, kinds = ["purchase_reason", "user_summary_short"] }
"#;

fn ablate(plan: &Path, out: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(program("ablate"));
    // One thread: two that wait for each other make tests beside this one slow.
    command.args(["--threads", "1", "--plan"]).arg(plan).arg("--out").arg(out).args(arguments);
    command.output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn an_experiment_goes_on_where_it_was_stopped_and_comes_to_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, out) = (dir.path().join("plan.toml"), dir.path().join("out"));
    fs::write(&plan, PLAN).unwrap();
    let run = ablate(&plan, &out, &["--json", "--quiet"]);
    let stdout = text(&run.stdout);
    assert!(run.status.success(), "{stdout}\n{}", text(&run.stderr));

    // Three arms, two seeds.
    let findings: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    let variants = findings["settings"][0]["variants"].as_array().unwrap();
    assert_eq!(variants.len(), 3);
    for variant in variants {
        for score in variant["scores"].as_array().unwrap() {
            assert_eq!(score["per_seed"].as_array().unwrap().len(), 2);
            let (low, high) = (score["interval"]["low"].as_f64(), score["interval"]["high"].as_f64());
            assert!(low.unwrap() <= high.unwrap());
        }
        // Six updates teach nobody to read soft tokens; what the control costs is measured all the same.
        assert_eq!(variant["costs"].as_array().unwrap().is_empty(), variant["arm"] == "text");
    }
    assert!(variants[1]["shares"][0]["tokens"].as_u64().unwrap() > 0);
    let claims = findings["claims"].as_array().unwrap();
    assert!(claims.iter().any(|claim| claim["claim"].as_str().unwrap().contains("Fusion beats")));
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("<svg") && !page.contains("http") && !page.contains("<script"));
    assert!(fs::read_to_string(out.join("report.md")).unwrap().contains("| arm | BLEU |"));

    assert!(page.contains("no leak"), "what the audit looked at is printed");
    assert!(page.contains("What is each side worth?"), "the fusion arm's controls give Shapley values");
    assert!(page.contains("And to each kind of narrative?"));
    let variants = findings["settings"][0]["variants"].as_array().unwrap();
    let kinds = |arm: &str| {
        variants.iter().find(|variant| variant["name"] == arm).unwrap()["kinds"].as_array().unwrap().clone()
    };
    let narratives: u64 = kinds("fusion").iter().map(|kind| kind["narratives"].as_u64().unwrap()).sum();
    let worlds = findings["settings"][0]["worlds"].as_array().unwrap();
    let test: u64 = worlds.iter().map(|world| world["narratives"][2].as_u64().unwrap()).sum();
    assert!(narratives == test && kinds("fusion").len() > 1 && kinds("cf").is_empty());

    // Narratives under controls: another user's items, either side taken away, or both.
    for (variant, controls) in variants.iter().zip([2, 4, 0]) {
        let controlled = variant["controlled"].as_array().unwrap();
        assert_eq!(controlled.len(), 3 * controls, "{}", variant["name"]);
        for score in controlled {
            // The world is small: the bound takes in every test narrative.
            assert_eq!(score["narratives"].as_u64().unwrap(), test);
            assert!(score["p_holm"].as_f64().unwrap() >= score["p_value"].as_f64().unwrap());
        }
    }
    assert!(page.contains("Which words do soft tokens lie near?"));
    let hashes = [&findings["plan_sha256"], &findings["encoder"]["sha256"], &worlds[1]["data_sha256"]];
    for hash in hashes.map(|hash| hash.as_str().unwrap()) {
        assert!(hash.len() == 64 && page.contains(hash), "{hash}");
    }

    // A run that was stopped before its last cell trains that one alone.
    let read = || fs::read_to_string(out.join("findings.json")).unwrap();
    let before: Value = serde_json::from_str(&read()).unwrap();
    let cells: Vec<_> = fs::read_dir(out.join("cells")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(cells.len(), 6);
    let last = cells.iter().find(|path| path.ends_with("small-world_fusion_h4_1m_s2.json")).unwrap();
    fs::remove_file(last).unwrap();
    let listed = text(&ablate(&plan, &out, &["--list"]).stdout);
    assert!(listed.contains("5 of 6 cells are finished"), "{listed}");
    let run = ablate(&plan, &out, &[]);
    assert!(run.status.success());
    assert_eq!(text(&run.stderr).matches("kept from an earlier run").count(), 5, "{}", text(&run.stderr));
    let after: Value = serde_json::from_str(&read()).unwrap();
    for variant in 0..3 {
        let scores = |findings: &Value| findings["settings"][0]["variants"][variant]["scores"].clone();
        assert_eq!(scores(&before), scores(&after));
    }

    // Two processes share the cells and come to the same.
    let shared = dir.path().join("shared");
    let run = ablate(&plan, &shared, &["--jobs", "2", "--quiet"]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    let together: Value =
        serde_json::from_str(&fs::read_to_string(shared.join("findings.json")).unwrap()).unwrap();
    for variant in 0..3 {
        let scores = |findings: &Value| findings["settings"][0]["variants"][variant]["scores"].clone();
        assert_eq!(scores(&before), scores(&together));
    }
    let said: Vec<String> =
        (1..=2).map(|job| fs::read_to_string(shared.join(format!("logs/job-{job}.log"))).unwrap()).collect();
    assert_eq!(said.concat().matches(": running").count(), 6, "{said:?}");
    assert!(said.iter().all(|said| said.contains(": running")), "{said:?}");

    // Other settings under the same folder are not mixed with these.
    fs::write(&plan, PLAN.replace("steps = 6", "steps = 7")).unwrap();
    let run = ablate(&plan, &out, &["--quiet"]);
    assert_eq!(run.status.code(), Some(1));
    assert!(text(&run.stderr).contains("budget.training.steps: 6, now 7"), "{}", text(&run.stderr));
    assert!(text(&run.stderr).contains("small-world_cf_h4_1m_s1"), "{}", text(&run.stderr));

    // Nor are other contents under the same names, or what an older version kept.
    fs::write(&plan, PLAN).unwrap();
    let encoder = other_encoder(dir.path());
    let run = ablate(&plan, &out, &["--quiet", "--encoder", encoder.to_str().unwrap()]);
    assert_eq!(run.status.code(), Some(1));
    assert!(text(&run.stderr).contains("made from another sentence encoder"), "{}", text(&run.stderr));
    let cell = out.join("cells/small-world_cf_h4_1m_s1.json");
    let kept = fs::read_to_string(&cell).unwrap();
    fs::write(&cell, kept.replacen("\"format\":2,", "", 1)).unwrap();
    let run = ablate(&plan, &out, &["--quiet"]);
    assert_eq!(run.status.code(), Some(1));
    let said = text(&run.stderr);
    assert!(said.contains("written by another version") && said.contains("cf_h4_1m_s1.json"), "{said}");
}

/// The encoder under another folder, where one of its files differs.
fn other_encoder(dir: &Path) -> PathBuf {
    let (from, to) = (PathBuf::from(std::env::var("REGEN_ENCODER").unwrap()), dir.join("encoder"));
    fs::create_dir(&to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let copy = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&copy).unwrap();
            for file in fs::read_dir(entry.path()).unwrap().flatten().filter(|file| file.path().is_file()) {
                fs::copy(file.path(), copy.join(file.file_name())).unwrap();
            }
        } else {
            fs::copy(entry.path(), &copy).unwrap();
        }
    }
    let config = to.join("config.json");
    fs::write(&config, fs::read_to_string(&config).unwrap() + "\n").unwrap();
    to
}

#[test]
fn a_language_model_that_hears_no_other_position_is_flagged_and_known_by_its_content() {
    let dir = tempfile::tempdir().unwrap();
    let lm = dir.path().join("deaf");
    let words = ["You chose the red lamp for the bakery.", "A crimson pen for the classroom, again."];
    let tokenizer = train_bpe(words.into_iter(), 300, &[]).unwrap();
    let vs = tch::nn::VarStore::new(tch::Device::Cpu);
    let config = DecoderConfig::preset("1m", tokenizer.vocab_size()).unwrap();
    let decoder = Decoder::new(&vs.root(), &config, &mut regen_torch::seed::rng(8, 1)).unwrap();
    // What attention gathers from other positions goes nowhere.
    let mut silenced = 0;
    tch::no_grad(|| {
        for (name, mut variable) in vs.variables() {
            if name.contains("o_proj") {
                let _ = variable.zero_();
                silenced += 1;
            }
        }
    });
    assert_eq!(silenced, 4);
    decoder.save(&lm).unwrap();
    tokenizer.save(&lm).unwrap();

    let (plan, out) = (dir.path().join("plan.toml"), dir.path().join("out"));
    // One small update, so that it stays as it is.
    let asked = PLAN
        .replace("steps = 6", "steps = 1\nlearning_rate = 1e-9")
        .replace("seeds = [1, 2]", "seeds = [1]\ncontrol_narratives = 3")
        // Of fewer than 20 test users nothing would be said.
        .replace("users = 110", "users = 210")
        .replace(r#"["cf", "fusion", "text"]"#, r#"["cf"]"#)
        .replace(r#"["1m"]"#, &format!("[{:?}]", lm.to_str().unwrap()));
    fs::write(&plan, asked).unwrap();
    let run = ablate(&plan, &out, &["--json", "--quiet"]);
    let stdout = text(&run.stdout);
    assert!(run.status.success(), "{stdout}\n{}", text(&run.stderr));
    assert!(stdout.contains("FLAGGED: cf ignores what its soft tokens say"), "{stdout}");
    let findings: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    let claims = findings["claims"].as_array().unwrap();
    let read =
        claims.iter().find(|claim| claim["claim"].as_str().unwrap().starts_with("The language model reads"));
    assert_eq!(read.unwrap()["verdict"], "does_not_hold_here");
    let sha256 = findings["settings"][0]["language_model_sha256"].as_str().unwrap();
    assert!(fs::read_to_string(out.join("report.md")).unwrap().contains(sha256));

    // Another model under the same name is not taken for it.
    let config = lm.join("config.json");
    fs::write(&config, fs::read_to_string(&config).unwrap() + "\n").unwrap();
    let run = ablate(&plan, &out, &["--quiet"]);
    assert_eq!(run.status.code(), Some(1));
    assert!(text(&run.stderr).contains("another language model"), "{}", text(&run.stderr));
}

#[test]
fn a_plan_that_cannot_be_run_is_refused_with_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let plan = dir.path().join("plan.toml");
    fs::write(&plan, PLAN.replace("seeds = [1, 2]", "seeds = [1, 1]")).unwrap();
    let run = ablate(&plan, dir.path(), &["--list"]);
    assert_eq!(run.status.code(), Some(1));
    let stderr = text(&run.stderr);
    assert!(stderr.contains("plan.toml") && stderr.contains("seeds"), "{stderr}");

    let head = PLAN.split("synthetic").next().unwrap();
    fs::write(&plan, format!("{head}xrec = \"amazon\"")).unwrap();
    let run = ablate(&plan, dir.path(), &["--quiet"]);
    assert_eq!(run.status.code(), Some(1));
    assert!(text(&run.stderr).contains("--data"), "{}", text(&run.stderr));
}

#[test]
fn the_plans_of_the_repository_can_be_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let mut plans = 0;
    for plan in fs::read_dir(folder).unwrap() {
        let plan = plan.unwrap().path();
        let listed = ablate(&plan, Path::new("nowhere"), &["--list"]);
        assert!(listed.status.success(), "{}: {}", plan.display(), text(&listed.stderr));
        let cells = text(&listed.stdout).lines().count() - 1;
        // What a plan says of itself in its first lines.
        let head: String = fs::read_to_string(&plan).unwrap().lines().take(3).collect();
        assert!(head.contains(&format!(" {cells} runs")), "{}: {cells} cells", plan.display());
        plans += 1;
    }
    assert!(plans >= 5);
}

#[test]
fn co_training_is_a_variant_of_every_arm_with_vectors_and_ranks_the_next_purchase() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, out) = (dir.path().join("plan.toml"), dir.path().join("out"));
    let more = "histories = [4]\nco_training = [\"none\", \"both\"]";
    fs::write(&plan, PLAN.replace("histories = [4]", more).replace("seeds = [1, 2]", "seeds = [1]")).unwrap();
    let run = ablate(&plan, &out, &["--json", "--quiet"]);
    let stdout = text(&run.stdout);
    assert!(run.status.success(), "{stdout}\n{}", text(&run.stderr));
    let findings: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    let variants = findings["settings"][0]["variants"].as_array().unwrap();
    let names: Vec<&str> = variants.iter().map(|variant| variant["name"].as_str().unwrap()).collect();
    let both = ", tables trained and next item learned";
    assert_eq!(names, ["cf", &format!("cf{both}"), "fusion", &format!("fusion{both}"), "text"]);
    for variant in variants {
        let told = &variant["next_item"];
        assert_eq!(told.is_null(), !variant["name"].as_str().unwrap().ends_with(both));
        for scores in ["narrator", "popularity"].iter().filter(|_| !told.is_null()) {
            for score in told[scores].as_array().unwrap() {
                assert!((0.0..=1.0).contains(&score["value"].as_f64().unwrap()), "{score}");
            }
        }
    }
    assert!(stdout.contains("the most bought items"), "{stdout}");
    for wrong in ["next_item_weight = 0.0", "table_learning_rate = nan", "tables = 1"] {
        fs::write(&plan, PLAN.replace("[training]", &format!("[training]\nco_training = {{ {wrong} }}")))
            .unwrap();
        let run = ablate(&plan, &out, &["--quiet"]);
        assert_eq!(run.status.code(), Some(1), "{wrong}");
        assert!(text(&run.stderr).contains(wrong.split(' ').next().unwrap()), "{}", text(&run.stderr));
    }
}

#[test]
fn inputs_and_scalings_are_variants_and_adapters_that_do_not_add_up_have_integrated_gradients() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, out) = (dir.path().join("plan.toml"), dir.path().join("out"));
    let more = r#"histories = [4]
    adapters = ["projection", { mlp = { width = 8, depth = 1 } }]
    inputs = ["", "recency+position+user"]
    scalings = ["l2", "whiten"]"#;
    let asked = PLAN.replace("histories = [4]", more).replace("seeds = [1, 2]", "seeds = [1]");
    fs::write(&plan, asked.replace(r#"["cf", "fusion", "text"]"#, r#"["fusion"]"#)).unwrap();
    let run = ablate(&plan, &out, &["--json", "--quiet"]);
    let stdout = text(&run.stdout);
    assert!(run.status.success(), "{stdout}\n{}", text(&run.stderr));
    let findings: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    let variants = findings["settings"][0]["variants"].as_array().unwrap();
    assert_eq!(variants.len(), 8);
    let mut texts = std::collections::HashSet::new();
    for variant in variants {
        let name = variant["name"].as_str().unwrap();
        let controls: Vec<&str> = variant["costs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|cost| cost["control"].as_str().unwrap())
            .collect();
        let reads = name.contains("with recency, position, user");
        for control in ["without_details", "without_user"] {
            assert_eq!(controls.contains(&control), reads, "{name}: {controls:?}");
        }
        let shares = &variant["shares"][0];
        let measure = if name.contains("MLP") { "integrated_gradients" } else { "norms" };
        assert_eq!(shares["measure"], measure, "{name}");
        assert!(shares["residual"].as_f64().unwrap() <= 1e-5 && shares["tokens"].as_u64().unwrap() > 0);
        assert!(shares["by_popularity"].as_array().unwrap().len() == 10);
        // Every choice leads to another narrator.
        assert!(texts.insert(variant["loss"]["value"].to_string()), "{name}");
    }
    assert!(variants.iter().any(|variant| variant["name"].as_str().unwrap().ends_with("scaled whiten")));
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("By integrated gradients") && page.contains("no vector of the user"));
}

#[test]
fn a_cell_that_is_killed_goes_on_and_comes_to_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let plan = dir.path().join("plan.toml");
    let asked = PLAN.replace("steps = 6", "steps = 120").replace("seeds = [1, 2]", "seeds = [1]");
    fs::write(&plan, asked.replace(r#"["cf", "fusion", "text"]"#, r#"["cf"]"#)).unwrap();
    let [calm, killed] = ["calm", "killed"].map(|name| dir.path().join(name));
    assert!(ablate(&plan, &calm, &["--quiet"]).status.success());

    let mut child = Command::new(program("ablate"))
        .args(["--threads", "1", "--quiet", "--plan"])
        .arg(&plan)
        .arg("--out")
        .arg(&killed)
        .spawn()
        .unwrap();
    let name = "small-world_cf_h4_1m_s1";
    let (progress, record) =
        (killed.join("cells").join(format!("{name}.progress")), format!("cells/{name}.json"));
    let snapshots = || fs::read_dir(progress.join("train")).map_or(0, Iterator::count);
    let begin = std::time::Instant::now();
    while snapshots() == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it left a snapshot");
        assert!(begin.elapsed().as_secs() < 300, "no snapshot after five minutes");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!killed.join(&record).exists() && progress.exists());

    let run = ablate(&plan, &killed, &["--quiet"]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    assert!(!progress.exists(), "snapshots of a finished cell are of no use");
    let read = |out: &Path| -> Value {
        let mut record: Value =
            serde_json::from_str(&fs::read_to_string(out.join(&record)).unwrap()).unwrap();
        // How long it took, and in how much memory, is not what it came to.
        record["seconds"] = Value::Null;
        record["peak_rss_bytes"] = Value::Null;
        record
    };
    assert_eq!(read(&killed), read(&calm));
}

#[test]
fn items_that_the_factorisation_has_not_seen_are_told_apart_and_published_numbers_have_a_source() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, out) = (dir.path().join("plan.toml"), dir.path().join("out"));
    let asked = PLAN
        .replace("histories = [4]", "histories = [4]\ncold_vectors = [\"absent\", \"content\"]")
        .replace("seeds = [1, 2]", "seeds = [1]")
        .replace("name = \"small world\"", "name = \"small world\"\ncold_items = 0.5");
    fs::write(&plan, asked.replace("\"cf\", ", "\"semantic\", ")).unwrap();
    let numbers = dir.path().join("numbers.toml");
    fs::write(&numbers, "values = []").unwrap();
    let given = ["--published", numbers.to_str().unwrap()];
    let run = ablate(&plan, &out, &[&given[..], &["--quiet"]].concat());
    assert_eq!(run.status.code(), Some(1));
    assert!(text(&run.stderr).contains("numbers.toml") && text(&run.stderr).contains("source"));

    let one = "[[values]]\ndata = \"Toys\"\narm = \"fusion\"\nmetric = \"BLEU\"\nvalue = 98.75\n";
    fs::write(&numbers, format!("source = \"Doe 2024, table 3\"\n{one}")).unwrap();
    let run = ablate(&plan, &out, &[&given[..], &["--quiet", "--json"]].concat());
    let stdout = text(&run.stdout);
    assert!(run.status.success(), "{stdout}\n{}", text(&run.stderr));
    let findings: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    let variants = findings["settings"][0]["variants"].as_array().unwrap();
    let names: Vec<&str> = variants.iter().map(|variant| variant["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["semantic", "fusion", "fusion, cold items from content", "text"]);
    let test = findings["settings"][0]["worlds"][0]["narratives"][2].as_u64().unwrap();
    for variant in variants {
        let [cold, others] = ["cold", "others"].map(|part| &variant["cold"][part]);
        let counts = [cold, others].map(|part| part["narratives"].as_u64().unwrap());
        assert!(counts[0] > 0 && counts.iter().sum::<u64>() == test, "{counts:?}");
        assert_eq!(cold["scores"].as_array().unwrap().len(), 3);
    }
    assert_ne!(variants[1]["loss"]["value"], variants[2]["loss"]["value"], "guessed vectors are read");
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    for told in ["has not seen?", "Published elsewhere", "Doe 2024, table 3", "98.75"] {
        assert!(page.contains(told), "{told}");
    }
}
