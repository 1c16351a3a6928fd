//! The stage programs, one after the other, as a user without the quickstart runs them.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use regen_data::prepared;
use regen_data::synthetic::SyntheticConfig;
use regen_wals::WalsConfig;
use serde_json::Value;

use support::program;

fn run(name: &str, arguments: &[&str]) -> Output {
    Command::new(program(name)).args(arguments).output().expect("the program starts")
}

fn succeed(name: &str, arguments: &[&str]) -> String {
    let output = run(name, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {stderr}");
    String::from_utf8(output.stdout).expect("programs print UTF-8")
}

fn last_json(stdout: &str) -> Value {
    serde_json::from_str(stdout.lines().last().expect("something is printed")).expect("the last line is JSON")
}

#[test]
fn the_stages_lead_from_a_data_set_to_narratives_for_held_out_users() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let world = SyntheticConfig { users: 80, items: 150, ..SyntheticConfig::default() }.generate().unwrap();
    prepared::write(path("source"), &world.dataset, None).unwrap();

    let (data, factors) = (path("data"), path("factors"));
    let prepare = ["--data", &path("source"), "--format", "parquet", "--split-seed", "7"];
    succeed("prepare_data", &[&prepare[..], &["--out", &data, "--quiet"]].concat());
    let training = format!("{data}/training_interactions.csv");
    succeed("train_wals", &["--interactions", &training, "--rank", "8", "--out", &factors, "--quiet"]);
    let ids = fs::read_to_string(format!("{factors}/item_ids.txt")).unwrap();
    assert!(ids.lines().count() <= 150);

    let (encoder, embedded) = (std::env::var("REGEN_ENCODER").unwrap(), path("embedded"));
    let texts = ["--template", "{title} {brand}", "--store", "int8", "--out", &embedded, "--json", "--quiet"];
    let printed = succeed("embed_items", &[&["--model", &encoder, "--input", &data][..], &texts].concat());
    let result = last_json(&printed);
    assert_eq!(result["texts"], 150);
    assert!(result["least_cosine_of_storage"].as_f64().unwrap() > 0.999);
    let without_text = format!("{embedded}/without_text.json");
    assert_eq!(fs::read_to_string(&without_text).unwrap(), "[]");

    let (vectors, bundle) = (format!("{embedded}/embeddings.npy"), path("narrator"));
    let inputs = ["--data", &data, "--factors", &factors, "--embeddings", &vectors, "--out", &bundle];
    let budget = ["--lm", "preset:1m", "--steps", "4", "--reading-steps", "2", "--json", "--quiet"];
    let more =
        ["--adapter", "cross-attention", "--co-train", "both", "--negatives", "20", "--adapter-steps", "2"];
    let short = ["--max-history", "3", "--precision", "bf16", "--batch", "4"];
    fs::write(&without_text, "[150]").unwrap();
    let refused = run("train_narrator", &[&inputs[..], &budget].concat());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("names row 150 of 150 items"));
    fs::write(&without_text, "[149]").unwrap();
    let printed = succeed("train_narrator", &[&inputs[..], &budget, &more, &short].concat());
    let result = last_json(&printed);
    // The stage of the adapter learns the next purchase with what follows it.
    assert!(result["adapter"]["next_item"].as_array().is_some_and(|points| !points.is_empty()), "{result}");
    assert!(result["next_item"]["requests"].as_u64().unwrap() > 0);
    assert!(printed.contains("by the most bought items: Recall@10"), "{printed}");
    assert_eq!(result["training"]["training"].as_array().unwrap().last().unwrap()["step"], 4);
    assert!(result["tokens_per_second"].as_f64().unwrap() > 0.0);

    let written = path("narratives.jsonl");
    let ask = ["--narrator", &bundle, "--data", &data, "--to", &written, "--max-tokens", "8", "--quiet"];
    succeed("write_narratives", &[&ask[..], &["--limit", "3", "--batch", "2"]].concat());
    let first = fs::read_to_string(&written).unwrap();
    assert_eq!(first.lines().count(), 3);
    // A run that was killed in the middle of a line goes on from the last whole one.
    fs::write(&written, &first[..first.len() - 20]).unwrap();
    succeed("write_narratives", &[&ask[..], &["--limit", "5", "--batch", "2"]].concat());
    let second = fs::read_to_string(&written).unwrap();
    assert_eq!(second.lines().count(), 5);
    for line in second.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        for field in ["user", "kind", "history", "narrative", "reference"] {
            assert!(line.get(field).is_some(), "{field}");
        }
        // As long as in training, not as long as usual.
        assert_eq!(line["history"].as_array().unwrap().len(), 3);
    }
    // What they were written with is beside them: the narrator's own way of writing, and no other is mixed with it.
    let account: Value =
        serde_json::from_str(&fs::read_to_string(format!("{written}.run.json")).unwrap()).unwrap();
    assert_eq!((&account["no_repeat_ngram"], &account["max_tokens"]), (&Value::from(4), &Value::from(8)));
    let longer = ["--narrator", &bundle, "--data", &data, "--to", &written, "--max-tokens", "9", "--quiet"];
    let refused = run("write_narratives", &longer);
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && stderr.contains("another max_tokens: 8"), "{stderr}");
    let fewer = run("write_narratives", &[&ask[..], &["--limit", "4"]].concat());
    assert!(String::from_utf8_lossy(&fewer.stderr).contains("line 5: only 4"), "{fewer:?}");
    assert_eq!(fs::read_to_string(&written).unwrap(), second);

    // To look at: the same narratives as they come, here with weights of a quarter of the size.
    let look = ["--narrator", &bundle, "--data", &data, "--limit", "2", "--max-tokens", "8", "--quiet"];
    let shown = succeed("write_narratives", &[&look[..], &["--stream", "--weights", "int8"]].concat());
    assert_eq!(shown.lines().filter(|line| line.starts_with("— ")).count(), 2, "{shown}");
    // Drawn, and the one kept that the others agree with most: the same in every batch. Two agree with each other alike, and the
    // first of equals is what is drawn alone.
    let draw = ["--narrator", &bundle, "--data", &data, "--limit", "6", "--quiet", "--temperature", "0.3"];
    let drawn = |more: &[&str]| succeed("write_narratives", &[&draw[..], more].concat());
    // By characters, which even the texts of so short a training share.
    let six = ["--candidates", "6", "--agree-by", "chrf"];
    let (alone, agreed) = (drawn(&[]), drawn(&six));
    assert_ne!(agreed, alone);
    assert_eq!(drawn(&[&six[..], &["--batch", "1"]].concat()), agreed);
    // (A text without a word agrees with nothing, itself included.)
    let two = drawn(&["--candidates", "2"]);
    let narrative = |line: &str| serde_json::from_str::<Value>(line).unwrap()["narrative"].to_string();
    let pairs = two.lines().map(narrative).zip(alone.lines().map(narrative));
    let worded: Vec<_> =
        pairs.filter(|(_, alone)| alone.contains(|c: char| c.is_ascii_alphanumeric())).collect();
    assert!(!worded.is_empty() && worded.iter().all(|(two, alone)| two == alone), "{worded:?}");
    let undrawn = run("write_narratives", &[&look[..], &["--candidates", "6"]].concat());
    assert_eq!(undrawn.status.code(), Some(2));
    // What the bundle says of itself: who it may be judged by.
    let card = fs::read_to_string(format!("{bundle}/README.md")).unwrap();
    assert!(card.contains("8 updates on synthetic") && card.contains("150 of 150 items"), "{card}");
    let divided = path("divided");
    let anew = ["--data", &path("source"), "--split-seed", "8", "--out", &divided, "--quiet"];
    succeed("prepare_data", &anew);
    let refused = run("write_narratives", &["--narrator", &bundle, "--data", &divided]);
    assert_eq!(refused.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert!(stderr.contains("may be training users"), "{stderr}");

    // A narrator that reads text alone needs no vectors; its requests carry phrases and name no item.
    let (reader, read) = (path("reader"), path("read.jsonl"));
    let arm = ["--data", &data, "--arm", "text", "--out", &reader];
    succeed("train_narrator", &[&arm[..], &budget].concat());
    let ask = ["--narrator", &reader, "--data", &data, "--to", &read, "--max-tokens", "8", "--limit", "2"];
    succeed("write_narratives", &ask);
    let line: Value =
        serde_json::from_str(fs::read_to_string(&read).unwrap().lines().next().unwrap()).unwrap();
    assert!(line["passage"].as_array().is_some_and(|phrases| !phrases.is_empty()), "{line}");
    assert!(line["target"].is_null() && line["history"] == Value::Array(Vec::new()), "{line}");
    // What it is about is said for those who judge it.
    assert!(line["item"].is_string(), "{line}");

    let asked = path("asked.jsonl");
    fs::write(&asked, "{\"kind\": \"purchase_reason\", \"history\": [\"no such item\"]}\n").unwrap();
    let refused = run("write_narratives", &["--narrator", &bundle, "--requests", &asked]);
    assert_eq!(refused.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert!(stderr.contains("asked.jsonl, line 1") && stderr.contains("no such item"), "{stderr}");
}

/// A prepared folder of a small world and factors of its training interactions.
fn small_world(dir: &Path) -> (String, String) {
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let world = SyntheticConfig { users: 80, items: 150, ..SyntheticConfig::default() }.generate().unwrap();
    prepared::write(path("source"), &world.dataset, None).unwrap();
    let (data, factors) = (path("data"), path("factors"));
    succeed("prepare_data", &["--data", &path("source"), "--split-seed", "7", "--out", &data, "--quiet"]);
    let training = format!("{data}/training_interactions.csv");
    succeed("train_wals", &["--interactions", &training, "--rank", "8", "--out", &factors, "--quiet"]);
    (data, factors)
}

#[test]
fn training_that_is_killed_goes_on_and_a_trained_language_model_is_adapted() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (data, factors) = small_world(dir.path());
    let inputs = ["--data", &data, "--factors", &factors, "--arm", "cf", "--quiet", "--threads", "1"];
    let budget = ["--lm", "preset:1m", "--steps", "30", "--reading-steps", "10", "--batch", "4"];
    let train = |out: &str, more: &[&str]| {
        let mut command = Command::new(program("train_narrator"));
        command.args(inputs).args(budget).args(more).args(["--out", out]).stderr(Stdio::piped());
        command
    };
    let (calm, broken) = (path("calm"), path("broken"));
    assert!(train(&calm, &[]).status().unwrap().success());
    assert!(!Path::new(&format!("{calm}.progress")).exists());

    // Killed without a chance to say anything, once a snapshot of the narratives is there.
    let progress = format!("{broken}.progress");
    let mut child = train(&broken, &[]).spawn().unwrap();
    let begin = Instant::now();
    while !Path::new(&progress).join("train/step-000000003").exists() {
        assert!(begin.elapsed() < Duration::from_secs(120), "training makes no progress");
        assert!(child.try_wait().unwrap().is_none(), "training ended before it could be killed");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!Path::new(&broken).exists());
    let again = train(&broken, &[]).output().unwrap();
    let stderr = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.status.code() == Some(1) && stderr.contains("--resume"), "{stderr}");
    assert!(train(&broken, &["--resume"]).status().unwrap().success());
    assert!(!Path::new(&progress).exists());
    // Each update of each stage once, also of those that were done twice.
    let updates = |bundle: &str| -> Vec<(String, u64)> {
        let text = fs::read_to_string(Path::new(bundle).join("scalars.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| (line["stage"].as_str().unwrap().into(), line["step"].as_u64().unwrap())).collect()
    };
    assert!(updates(&calm).len() > 4);
    assert_eq!(updates(&calm), updates(&broken));
    for part in ["adapter.safetensors", "lm/model.safetensors"] {
        let read = |bundle: &str| fs::read(Path::new(bundle).join(part)).unwrap();
        assert!(read(&calm) == read(&broken), "{part} differs");
    }
    let nothing = train(&path("new"), &["--resume"]).output().unwrap();
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("nothing to resume"));

    // What it learned becomes the language model of another, which is adapted and asked in words of its own.
    let (lm, adapted, words) = (format!("{calm}/lm"), path("adapted"), path("words.toml"));
    let told = "history = 'They own:'\nlast = ' Now:'\ntext = ' -'\n[kinds]\n";
    let kinds = [
        "purchase_reason",
        "endorsement_short",
        "endorsement_long",
        "user_summary_short",
        "user_summary_long",
        "item_text",
    ];
    let asks: String = kinds.iter().map(|kind| format!("{kind} = ' {kind}:'\n")).collect();
    fs::write(&words, format!("{told}{asks}")).unwrap();
    let arguments =
        ["--lm", &lm, "--lora-rank", "2", "--words", &words, "--steps", "3", "--reading-steps", "1"];
    // In a chat format, with less memory.
    let refused = run("train_narrator", &[&inputs[..], &arguments, &["--chat", "--out", &adapted]].concat());
    let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(stderr.contains("no chat template: ") && stderr.contains("leave --chat out"), "{stderr}");
    let template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>";
    fs::write(Path::new(&lm).join("chat_template.jinja"), template).unwrap();
    let more = ["--chat", "--system", "Be kind.", "--recompute", "--parts", "2", "--lora-dropout", "0.1"];
    let to = ["--out", &adapted, "--json"];
    let result = last_json(&succeed("train_narrator", &[&inputs[..], &arguments, &more, &to].concat()));
    let manifest = fs::read_to_string(Path::new(&adapted).join("narrator.json")).unwrap();
    assert!(manifest.contains("<system>Be kind.<user>They own:"), "{manifest}");
    assert!(
        manifest.contains("purchase_reason:\\n<assistant>")
            || manifest.contains("purchase_reason:<assistant>"),
        "{manifest}"
    );
    assert!(result["parameters"].as_u64().unwrap() < 300_000, "{result}");
    let read = |file: &str| fs::read(dir.path().join(file)).unwrap();
    assert!(read("calm/lm/model.safetensors") == read("adapted/lm/model.safetensors"));
    let written = path("narratives.jsonl");
    let ask =
        ["--narrator", &adapted, "--data", &data, "--to", &written, "--max-tokens", "8", "--limit", "2"];
    succeed("write_narratives", &ask);
    assert_eq!(fs::read_to_string(&written).unwrap().lines().count(), 2);
    // The same beside a base that is named, with everything that can be read beside vectors; the base is asked for where it is.
    let (beside, moved) = (path("beside"), path("moved"));
    let named = ["--name-base", &lm, "--inputs", "rating,recency,position,user", "--scaling", "whiten"];
    succeed("train_narrator", &[&inputs[..], &arguments, &named, &["--out", &beside]].concat());
    assert!(!dir.path().join("beside/lm").exists());
    fs::rename(&lm, &moved).unwrap();
    let ask = ["--narrator", &beside, "--data", &data, "--max-tokens", "8", "--limit", "2"];
    let lost = run("write_narratives", &ask);
    assert!(String::from_utf8_lossy(&lost.stderr).contains(&lm), "{lost:?}");
    let printed = succeed("write_narratives", &[&ask[..], &["--lm", &moved]].concat());
    let asked: Value = serde_json::from_str(printed.lines().next().unwrap()).unwrap();
    assert_eq!(asked["details"].as_array().unwrap().len(), asked["history"].as_array().unwrap().len());
    assert!(asked["details"][0]["days"].as_f64().unwrap() > 0.0, "{asked}");
    fs::rename(&moved, &lm).unwrap();
    fs::remove_file(path("factors/wals.json")).unwrap();
    let blind = ["--lm", "preset:1m", "--inputs", "user", "--out", &path("other")];
    let refused = run("train_narrator", &[&inputs[..], &blind].concat());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("wals.json"), "{refused:?}");

    let refused = run("train_narrator", &[&inputs[..], &["--lm", "preset:1m", "--out", &adapted]].concat());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("not empty"));
}

/// What each buyer of a prepared folder's interactions wrote, as a release of reviews has it.
fn reviews_of(data: &str) -> String {
    let dataset = prepared::read(data).unwrap();
    let line = |bought: &regen_data::Interaction| {
        let (user, item) = (dataset.users.name(bought.user), dataset.items.name(bought.item));
        let text = format!("I use {item} every day.");
        let review = serde_json::json!({
            "reviewerID": user, "asin": item, "overall": 5.0, "reviewText": text, "unixReviewTime": bought.time,
        });
        format!("{review}\n")
    };
    dataset.interactions.iter().take(300).map(line).collect()
}

#[test]
fn a_narrator_reads_what_users_wrote_before_and_injects_its_soft_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (data, factors) = small_world(dir.path());
    let (reviews, bundle, encoder) =
        (path("reviews.json"), path("narrator"), std::env::var("REGEN_ENCODER").unwrap());
    fs::write(&reviews, reviews_of(&data)).unwrap();
    let inputs = ["--data", &data, "--factors", &factors, "--arm", "cf", "--quiet", "--out", &bundle];
    let budget = ["--lm", "preset:1m", "--steps", "3", "--reading-steps", "1", "--batch", "4"];
    let refuse = |more: &[&str], said: &str| {
        let output = run("train_narrator", &[&inputs[..], &budget, more].concat());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && stderr.contains(said), "{more:?}: {stderr}");
    };
    let read = ["--inputs", "rating,reviews", "--review-encoder", &encoder];
    refuse(&read, "needs --reviews FILE");
    refuse(&["--reviews", &reviews], "--reviews is for --inputs reviews");
    let whiten = [&read[..], &["--reviews", &reviews, "--review-scaling", "whiten"]].concat();
    refuse(&whiten, "no table of reviews");
    refuse(&["--inject", "0,9"], "injection.layers");
    refuse(&["--inject", "0", "--kernels"], "--kernels");
    let more = ["--reviews", &reviews, "--review-scaling", "layer-norm", "--inject", "0,2"];
    succeed("train_narrator", &[&inputs[..], &budget, &read, &more].concat());
    let manifest: Value =
        serde_json::from_str(&fs::read_to_string(format!("{bundle}/narrator.json")).unwrap()).unwrap();
    let details = &manifest["config"]["adapter"]["details"];
    assert_eq!(details["review"]["normalisation"], "layer_norm");
    assert_eq!(manifest["config"]["injection"]["layers"], serde_json::json!([0, 2]));
    let recorded = &manifest["review_encoder"];
    assert_eq!(
        (&recorded["dim"], recorded["sha256"].as_str().unwrap().len()),
        (&details["review"]["dim"], 64)
    );
    let card = fs::read_to_string(format!("{bundle}/README.md")).unwrap();
    assert!(card.contains(recorded["name"].as_str().unwrap()), "{card}");

    // The folder does not hold what users wrote; whoever asks does.
    let ask = ["--narrator", &bundle, "--max-tokens", "8", "--quiet"];
    let refused = run("write_narratives", &[&ask[..], &["--data", &data]].concat());
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && stderr.contains("--requests"), "{stderr}");
    let width = details["review"]["dim"].as_u64().unwrap() as usize;
    let item = prepared::read(&data).unwrap().items.names().next().unwrap().to_owned();
    let request = |width| {
        let details = serde_json::json!([{ "review": vec![0.5; width] }, {}]);
        serde_json::json!({ "kind": "user_summary_short", "history": [item, item], "details": details })
    };
    let asked = path("asked.jsonl");
    fs::write(&asked, format!("{}\n", request(width))).unwrap();
    let printed = succeed("write_narratives", &[&ask[..], &["--requests", &asked]].concat());
    let written: Value = serde_json::from_str(printed.lines().next().unwrap()).unwrap();
    assert!(written["narrative"].is_string() && written["details"][1].as_object().unwrap().is_empty());
    // Of the same encoder by content; one file more makes it another.
    let of = |folder: &str| {
        run(
            "write_narratives",
            &["--narrator", &bundle, "--requests", &asked, "--max-tokens", "8", "--review-encoder", folder],
        )
    };
    let plain = of(&encoder);
    assert!(
        plain.status.success() && !String::from_utf8_lossy(&plain.stderr).contains("does not say"),
        "{plain:?}"
    );
    let other = path("other-encoder");
    fs::create_dir(&other).unwrap();
    for entry in fs::read_dir(&encoder).unwrap() {
        let entry = entry.unwrap();
        let target = fs::canonicalize(entry.path()).unwrap();
        std::os::unix::fs::symlink(target, Path::new(&other).join(entry.file_name())).unwrap();
    }
    fs::write(format!("{other}/note.json"), "{}").unwrap();
    let refused = of(&other);
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{stderr}");
    for told in [
        "other-encoder",
        recorded["name"].as_str().unwrap(),
        recorded["sha256"].as_str().unwrap(),
        "leave the flag out",
    ] {
        assert!(stderr.contains(told), "{told}: {stderr}");
    }
    // A bundle of before it was recorded believes what it is told, and says so.
    let mut older = manifest.clone();
    older.as_object_mut().unwrap().remove("review_encoder");
    fs::write(format!("{bundle}/narrator.json"), older.to_string()).unwrap();
    let believed = of(&other);
    let stderr = String::from_utf8_lossy(&believed.stderr);
    assert!(believed.status.success() && stderr.contains("does not say which encoder"), "{stderr}");
    fs::write(format!("{bundle}/narrator.json"), manifest.to_string()).unwrap();
    fs::write(&asked, format!("{}\n", request(width - 1))).unwrap();
    let refused = run("write_narratives", &[&ask[..], &["--requests", &asked]].concat());
    let stderr = String::from_utf8_lossy(&refused.stderr);
    let told = ["asked.jsonl, line 1", "the request, purchase 1: ", "embed reviews by the encoder"];
    assert!(told.iter().all(|told| stderr.contains(told)), "{stderr}");
}

/// Two tastes: even users buy even items, some buy anything.
fn purchases() -> String {
    let mut text = "user,item\n".to_owned();
    for user in 0..120u32 {
        for k in 0..12u32 {
            let item =
                if k % 6 == 5 { (user * 13 + k * 29) % 60 } else { 2 * ((user * 7 + k * 3) % 30) + user % 2 };
            text.push_str(&format!("u{user},i{item}\n"));
        }
    }
    text
}

#[test]
fn tuning_finds_settings_resumes_and_explains_itself() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (table, out) = (path("pairs.csv"), path("out"));
    fs::write(&table, purchases()).unwrap();
    let lists = ["--ranks", "2,8", "--regularizations", "0.001,0.05", "--unobserved-weights", "0.1"];
    let rest = ["--interactions", &table, "--iterations", "6", "--out", &out, "--json", "--quiet"];
    let arguments = [&lists[..], &rest].concat();
    let printed = succeed("tune_wals", &arguments);
    let report = last_json(&printed);
    assert_eq!(report["trials"].as_array().unwrap().len(), 4);
    assert_eq!((&report["metric"], &report["finished"]), (&"ndcg@20".into(), &true.into()));
    let best = report["best"]["report"]["ndcg"].as_f64().unwrap();
    assert!(best > report["most_popular"].as_f64().unwrap(), "{printed}");
    assert!(printed.contains("most popular items"));
    let page = fs::read_to_string(format!("{out}/tuning.html")).unwrap();
    assert!(page.contains("<polyline") && !page.contains("NaN") && !page.contains("http"), "opens offline");
    let chosen = fs::read_to_string(format!("{out}/best.json")).unwrap();
    let chosen: WalsConfig = serde_json::from_str(&chosen).unwrap();
    let printed: WalsConfig = serde_json::from_value(report["best"]["config"].clone()).unwrap();
    assert_eq!(chosen, printed);
    // Again: nothing is computed anew, so even the seconds are the same.
    assert_eq!(last_json(&succeed("tune_wals", &arguments))["trials"], report["trials"]);
    // Halving over the same cells.
    let other = path("halving");
    let halving = [&arguments[..], &["--halving", "1", "--factor", "2", "--out", &other]].concat();
    let refused = run("tune_wals", &halving);
    assert_eq!(refused.status.code(), Some(2), "--out twice");
    let at = arguments.iter().position(|argument| *argument == out).unwrap();
    let mut halving = [&arguments[..], &["--halving", "1", "--factor", "2"]].concat();
    halving[at] = &other;
    let halved = last_json(&succeed("tune_wals", &halving));
    assert!(halved["trials"].as_array().unwrap().iter().any(|trial| trial["budget"] == 1));

    let refused = run("tune_wals", &["--interactions", &table, "--ranks", "two"]);
    assert_eq!(refused.status.code(), Some(2));
    let refused =
        run("tune_wals", &["--interactions", &table, "--ranks", "0", "--out", &path("bad"), "--quiet"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("rank"));
    let mut patient = [&arguments[..], &["--patience", "5"]].concat();
    let refused = run("tune_wals", &patient);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("another folder"));
    patient.push("--restart");
    succeed("tune_wals", &patient);
}

#[test]
fn factors_over_shards_are_those_in_memory_and_early_stopping_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let table = path("pairs.csv");
    fs::write(&table, purchases()).unwrap();
    let [memory, shards, tensors] = ["memory", "shards", "tensors"].map(path);
    let common = ["--interactions", &table, "--rank", "6", "--iterations", "4", "--quiet"];
    let train = |more: &[&str]| succeed("train_wals", &[&common[..], more].concat());
    train(&["--out", &memory]);
    let printed = train(&["--out", &shards, "--rows-per-shard", "50", "--json"]);
    assert_eq!(last_json(&printed)["objective"].as_array().unwrap().len(), 5);
    train(&["--out", &tensors, "--format", "safetensors"]);
    let load = |folder: &str| regen_wals::persist::load(folder.as_ref()).unwrap();
    // The fit in memory was looked at without turning its factors, as was the one over shards.
    assert_eq!(load(&shards), load(&memory));
    assert_eq!(load(&tensors), load(&memory));
    // Again: everything is there.
    train(&["--out", &shards, "--rows-per-shard", "50"]);

    let held_out = path("held_out.csv");
    fs::write(&held_out, "user,item\nu0,i6\nu1,i7\nu3,i21\nnobody,i2\n").unwrap();
    let stopped = ["--out", &path("early"), "--validation", &held_out, "--patience", "1", "--json"];
    let report = last_json(&train(&stopped));
    let best = report["validation"]["best_iteration"].as_u64().unwrap() as usize;
    let values = report["validation"]["ndcg@20"].as_array().unwrap();
    assert!(best >= 1 && best <= values.len());
}

#[test]
fn a_split_of_other_data_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    for (name, users) in [("one", 60), ("other", 61)] {
        let world = SyntheticConfig { users, items: 150, ..SyntheticConfig::default() }.generate().unwrap();
        prepared::write(path("source"), &world.dataset, None).unwrap();
        let (source, out) = (path("source"), path(name));
        succeed("prepare_data", &["--data", &source, "--split-seed", "7", "--out", &out, "--quiet"]);
    }
    let (one, other) = (path("one"), path("other"));
    fs::copy(format!("{other}/split.json"), format!("{one}/split.json")).unwrap();
    let arguments = ["--data", &one, "--factors", &one, "--embeddings", &one, "--quiet"];
    let refused = run("train_narrator", &arguments);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("split.json"));
}
