//! What `train_wals` and `tune_wals` refuse, and when: before the work, naming what to do.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use support::program;

fn run(name: &str, arguments: &[&str]) -> Output {
    Command::new(program(name)).args(arguments).output().expect("the program starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A folder with a table of purchases, and short ways to run the programs on it.
struct World {
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap() };
        world.write("pairs.csv", &purchases(|user, k| (user * 7 + k * 3) % 30));
        world
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn exists(&self, name: &str) -> bool {
        self.dir.path().join(name).exists()
    }

    /// Trains on a table into the folder `out`.
    fn train_on(&self, table: &str, out: &str, more: &[&str]) -> Output {
        let (table, out) = (self.path(table), self.path(out));
        let common = ["--interactions", &table, "--out", &out, "--rank", "4", "--iterations", "3"];
        // The last of several is an error to clap, so what a test sets itself is left out.
        let kept = common.chunks(2).filter(|flag| !more.contains(&flag[0])).flatten().copied();
        run("train_wals", &kept.chain(more.iter().copied()).collect::<Vec<_>>())
    }

    fn train(&self, out: &str, more: &[&str]) -> Output {
        self.train_on("pairs.csv", out, more)
    }
}

/// Refused with an exit code, by a message that holds all of `words`.
fn refused(output: &Output, code: i32, words: &[&str]) {
    let told = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{told}");
    words.iter().for_each(|word| assert!(told.contains(word), "{word:?} is not in: {told}"));
}

fn purchases(item: impl Fn(u32, u32) -> u32) -> String {
    let mut text = "user,item,value\n".to_owned();
    for user in 0..40 {
        // Some pairs of value 0.
        (0..6).for_each(|k| text.push_str(&format!("u{user},i{},{}\n", item(user, k), (user + k) % 4)));
    }
    text
}

fn last_json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", stderr(output));
    let stdout = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(stdout.lines().last().unwrap()).unwrap()
}

fn factors(folder: &str) -> regen_wals::persist::SavedFactors {
    regen_wals::persist::load(folder.as_ref()).unwrap()
}

#[test]
fn shards_of_another_table_are_not_gone_on_with() {
    let world = World::new();
    let sharded = ["--rows-per-shard", "50", "--confidence", "linear"];
    let train = |table: &str, more: &[&str]| world.train_on(table, "out", more);
    assert!(train("pairs.csv", &sharded).status.success());
    let first = factors(&world.path("out"));

    let again = train("pairs.csv", &sharded);
    assert!(again.status.success() && stderr(&again).contains("going on with the shards"));
    let instead = "choose another --out, or delete";
    world.write("other.csv", "user,item\na,b\n");
    refused(&train("other.csv", &sharded), 1, &["pairs.csv", "other.csv has", "bytes", instead]);
    // As many bytes.
    let text = fs::read_to_string(world.path("pairs.csv")).unwrap();
    world.write("swapped.csv", &text.replacen("u0,i0,0", "u0,i0,9", 1));
    refused(&train("swapped.csv", &sharded), 1, &["swapped.csv has", "SHA-256", instead]);
    refused(&train("missing.csv", &sharded), 1, &["missing.csv"]);
    let rows = ["--rows-per-shard", "60", "--confidence", "linear"];
    refused(&train("pairs.csv", &rows), 1, &["--rows-per-shard 50, not 60", instead]);
    let hu = ["--rows-per-shard", "50", "--confidence", "hu"];
    refused(&train("pairs.csv", &hu), 1, &["with the pairs of value 0", instead]);
    // The same table under another name is the same table.
    world.write("copy.csv", &text);
    assert!(train("copy.csv", &sharded).status.success());

    let ids = world.path("out/user_ids.txt");
    let list = fs::read_to_string(&ids).unwrap();
    fs::remove_file(&ids).unwrap();
    refused(&train("pairs.csv", &sharded), 1, &["user_ids.txt", "put them back"]);
    fs::write(&ids, list.replacen("u0\n", "", 1)).unwrap();
    refused(&train("pairs.csv", &sharded), 1, &["user_ids.txt is not the list", "put it back"]);

    // Without what is written last the sharding was not done: it is made anew, ids and all.
    fs::remove_file(world.path("out/shards/source.json")).unwrap();
    let remade = train("pairs.csv", &sharded);
    assert!(remade.status.success() && stderr(&remade).contains("made anew"), "{}", stderr(&remade));
    assert_eq!(fs::read_to_string(&ids).unwrap(), list);
    assert_eq!(factors(&world.path("out")), first);
}

#[test]
fn a_fit_of_no_iterations_writes_its_start_and_says_so() {
    let world = World::new();
    assert!(world.train("fitted", &[]).status.success());
    let start = world.train("start", &["--iterations", "0"]);
    assert!(start.status.success() && stderr(&start).contains("nothing is fitted"), "{}", stderr(&start));
    assert_ne!(factors(&world.path("start")), factors(&world.path("fitted")));
    // Factors that are given are scored as they are.
    let held_out = world.write("held_out.csv", "user,item\nu0,i1\n");
    let [users, items] =
        ["user_factors.npy", "item_factors.npy"].map(|name| world.path(&format!("fitted/{name}")));
    let given = ["--init-user-factors", &users, "--init-item-factors", &items];
    let more = ["--iterations", "0", "--test", &held_out, "--json"];
    let scored = last_json(&world.train("again", &[&given[..], &more].concat()));
    assert_eq!(factors(&world.path("again")).user_factors, factors(&world.path("fitted")).user_factors);
    assert!(scored["users"].is_number(), "{scored}");
}

#[test]
fn flags_that_do_not_go_together_are_wrong_usage() {
    let world = World::new();
    let held_out = world.write("held_out.csv", "user,item\nu0,i1\n");
    let factors = world.path("none.npy");
    for (flags, words) in [
        (&["--resume", "--validation", &held_out][..], &["--resume", "--validation", "best factors"][..]),
        (&["--resume", "--init-item-factors", &factors], &["--resume", "--init-item-factors"]),
        (&["--device", "cuda", "--rows-per-shard", "50"], &["--device cuda:0", "--rows-per-shard"]),
        (&["--device", "cuda", "--validation", &held_out], &["--device cuda:0", "--validation"]),
        (&["--device", "cuda:1", "--solver", "cg"], &["--device cuda:1", "--solver cg"]),
        (&["--rows-per-shard", "50", "--double"], &["--rows-per-shard", "--double"]),
        (&["--cg-steps", "3"], &["--cg-steps needs --solver cg"]),
        (&["--threads", "0"], &["--threads"]),
        (&["--quiet", "--verbose"], &["--quiet", "--verbose"]),
    ] {
        refused(&world.train("out", flags), 2, words);
    }
    let table = world.path("pairs.csv");
    for (flags, word) in [(["--device", "cuda"], "--device cuda:0"), (["--alpha", "2"], "--alpha needs")] {
        refused(&run("tune_wals", &[&["--interactions", &table][..], &flags].concat()), 2, &[word]);
    }
    assert!(!world.exists("out"));
}

#[test]
fn what_cannot_be_written_or_judged_by_is_found_out_before_the_fit() {
    let world = World::new();
    world.write("file", "");
    refused(&world.train("file", &[]), 1, &["cannot write into", "give --out another folder"]);

    let missing = world.path("missing.csv");
    let strangers = world.write("strangers.csv", "user,item\nnobody,i1\nu0,nothing\n");
    let seen = world.write("seen.csv", "user,item\nu0,i0\nu1,i7\n");
    let damaged = world.write("damaged.csv", "user,item\nu0\n");
    let unknown = "strangers.csv holds no pair of known users and items";
    for (path, word) in [
        (&missing, "missing.csv"),
        (&strangers, unknown),
        (&seen, "every pair of"),
        (&damaged, "damaged.csv:2"),
    ] {
        refused(&world.train("out", &["--test", path]), 1, &[word]);
    }
    refused(&world.train("out", &["--validation", &strangers]), 1, &[unknown]);
    let over_shards = |path: &str| world.train("over_shards", &["--rows-per-shard", "50", "--test", path]);
    refused(&over_shards(&missing), 1, &["missing.csv"]);
    assert!(!world.exists("over_shards/shards"), "refused before the table was read");
    refused(&over_shards(&seen), 1, &["every pair of"]);
    for folder in ["out", "over_shards"] {
        assert!(!world.exists(&format!("{folder}/user_factors.npy")));
    }
    let table = world.path("pairs.csv");
    let tuning = ["--interactions", &table, "--test", &seen, "--out", &world.path("tuning")];
    refused(&run("tune_wals", &tuning), 1, &["every pair of"]);

    let no_width = world.train("unsharded", &["--rank", "0", "--rows-per-shard", "50"]);
    refused(&no_width, 1, &["rank"]);
    assert!(!world.exists("unsharded"), "refused before the table was read");
}

#[test]
fn rows_that_are_refused_are_named_by_file_and_line() {
    let world = World::new();
    world.write("broken.csv", "user,item\na,b\n\"c\nd\",b\n");
    world.write("negative.csv", "user,item,value\na,b,1\nb,c,-1\n");
    world.write("large.csv", "user,item,value\na,b,1e39\n");
    world.write("sum.csv", "user,item,value\na,b,3e38\na,c,1\na,b,3e38\n");
    for sharded in [&[][..], &["--rows-per-shard", "50"]] {
        for (table, words) in [
            ("broken.csv", &["broken.csv:3", "user \"c\\nd\" holds a line break"][..]),
            ("negative.csv", &["negative.csv:3: value is -1"]),
            ("large.csv", &["large.csv:2: value", "32-bit floats", "1e39"]),
            ("sum.csv", &["user \"a\" and item \"b\"", "inf"]),
        ] {
            refused(&world.train_on(table, &format!("of_{table}"), sharded), 1, words);
        }
    }
}

#[test]
fn factors_over_shards_are_judged_as_those_in_memory() {
    let world = World::new();
    let test = world.write("test.csv", "user,item\nu7,i1\nu3,i2\nu3,i4\nu3,i5\nnobody,i1\nu0,i0\nu9,i3\n");
    for confidence in ["constant", "hu"] {
        let judge = |name: &str, more: &[&str]| {
            let common = ["--test", &test, "--json", "--confidence", confidence];
            last_json(&world.train(&format!("{name}_{confidence}"), &[&common[..], more].concat()))
        };
        let (memory, shards) = (judge("memory", &[]), judge("shards", &["--rows-per-shard", "50"]));
        assert!(memory["recall@20"].as_f64().unwrap() > 0.0);
        for key in ["recall@20", "ndcg@20", "mrr@20", "hr@20", "test"] {
            assert_eq!(shards[key], memory[key], "{key} with {confidence}");
        }
    }
}

#[test]
fn verbose_says_what_is_computed_with() {
    let world = World::new();
    let told = stderr(&world.train("out", &["-v", "--device", "cpu", "--threads", "1"]));
    for word in ["libtorch 2.", "device Cpu", "threads 1", "settings: {\"rank\":4"] {
        assert!(told.contains(word), "{word:?} is not in: {told}");
    }
    assert!(!stderr(&world.train("out", &[])).contains("libtorch"));
}

#[cfg(unix)]
#[test]
fn a_fit_that_is_interrupted_says_so_and_goes_on_from_its_checkpoint() {
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    let world = World::new();
    let table = world.path("pairs.csv");
    // Sent once a file is there that shows how far the program is.
    let interrupt = |out: &str, once: &str, more: &[&str]| {
        let (out, once) = (world.path(out), Path::new(&world.path(out)).join(once));
        let mut child = Command::new(program("train_wals"))
            .args(["--interactions", &table, "--out", &out, "--rank", "4", "--iterations", "1000000000"])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let begin = Instant::now();
        while !once.exists() {
            assert!(begin.elapsed() < Duration::from_secs(60), "{} does not come", once.display());
            assert!(child.try_wait().unwrap().is_none(), "it ended before it could be interrupted");
            std::thread::sleep(Duration::from_millis(5));
        }
        let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        child.wait_with_output().unwrap()
    };
    let every = ["--checkpoint-every", "50"];
    let stopped = interrupt("out", "checkpoint/checkpoint.json", &[&every[..], &["--json"]].concat());
    refused(&stopped, 1, &["stopped by the user", "out/checkpoint holds", "--resume goes on"]);
    assert!(stopped.stdout.is_empty());
    assert!(!world.exists("out/user_factors.npy") && !world.exists("out/wals.json"));

    let index = fs::read_to_string(world.path("out/checkpoint/checkpoint.json")).unwrap();
    let index: Value = serde_json::from_str(&index).unwrap();
    let all = (index["completed_iterations"].as_u64().unwrap() + 2).to_string();
    let train = |out: &str, more: &[&str]| {
        last_json(&world.train(out, &[&every[..], &["--iterations", &all, "--json"], more].concat()))
    };
    let resumed = train("out", &["--resume"]);
    assert_eq!(resumed["seconds_per_iteration"].as_array().unwrap().len(), 2, "only what was left");
    train("calm", &[]);
    assert!(factors(&world.path("out")) == factors(&world.path("calm")), "another fit than the calm one");
    let files = fs::read_dir(world.path("out")).unwrap().map(|entry| entry.unwrap().file_name());
    let files: Vec<_> = files.collect();
    assert!(files.iter().all(|name| !name.to_string_lossy().ends_with(".tmp")), "{files:?}");

    let stopped = interrupt("lost", ".", &["--alpha", "2", "--confidence", "hu"]);
    refused(&stopped, 1, &["stopped by the user", "no factors were written", "--checkpoint-every"]);
}

/// Starts a program, waits until `begun`, and asks it to stop as Ctrl-C does.
#[cfg(unix)]
fn interrupted(name: &str, arguments: &[&str], begun: impl Fn() -> bool) -> Output {
    use std::process::Stdio;
    use std::time::{Duration, Instant};
    let mut command = Command::new(program(name));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let start = Instant::now();
    while !begun() && child.try_wait().unwrap().is_none() && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(2));
    }
    let signal = ["-INT", &child.id().to_string()].map(str::to_owned);
    Command::new("kill").args(signal).output().expect("there is a kill");
    child.wait_with_output().unwrap()
}

#[cfg(unix)]
#[test]
fn a_search_that_is_stopped_fails_and_goes_on_to_the_report_of_one_that_was_not() {
    let world = World::new();
    let table = world.path("pairs.csv");
    // Many cells, so that one is running when the signal comes.
    let ranks = (1..=20).map(|rank| rank.to_string()).collect::<Vec<_>>().join(",");
    let (whole, out) = (world.path("whole"), world.path("out"));
    let common = |out| {
        let fixed = ["--interactions", &table, "--ranks", &ranks, "--regularizations", "0.01,0.02"];
        [&fixed[..], &["--iterations", "6", "--patience", "6", "--threads", "1", "--json", "--out", out]]
            .concat()
    };
    let untimed = |output: &Output| {
        let mut report = last_json(output);
        for trial in report["trials"].as_array_mut().unwrap() {
            trial["seconds"] = Value::Null;
        }
        (report["trials"].take(), report["best"].take())
    };
    let expected = untimed(&run("tune_wals", &common(&whole)));

    let trials = world.path("out/cells/trials.jsonl");
    let stopped = interrupted("tune_wals", &common(&out), || Path::new(&trials).exists());
    refused(&stopped, 1, &["stopped by the user after", "cells", "the same command goes on"]);
    assert!(world.exists("out/tuning.json") && !world.exists("out/best.json"));
    assert!(String::from_utf8_lossy(&stopped.stdout).contains("\"finished\":false"));
    let done = fs::read_to_string(&trials).unwrap().lines().count();
    assert!(done > 1);
    assert_eq!(untimed(&run("tune_wals", &common(&out))), expected);
    assert!(world.exists("out/best.json"));
}

#[cfg(unix)]
#[test]
fn a_fit_that_is_stopped_keeps_a_checkpoint_and_goes_on_to_the_factors_of_one_that_was_not() {
    let world = World::new();
    let (table, whole, out) = (world.path("pairs.csv"), world.path("whole"), world.path("out"));
    let iterations = "6000";
    let common = |out| {
        let fixed = ["--interactions", &table, "--rank", "4", "--iterations", iterations];
        [&fixed[..], &["--threads", "1", "--quiet", "--out", out]].concat()
    };
    // Without any checkpoint.
    assert!(run("train_wals", &common(&whole)).status.success());
    let kept = [&common(&out)[..], &["--checkpoint-every", "1000"]].concat();
    let checkpoint = world.path("out/checkpoint/checkpoint.json");
    let stopped = interrupted("train_wals", &kept, || Path::new(&checkpoint).exists());
    refused(&stopped, 1, &["stopped by the user after", "--resume"]);
    assert!(!world.exists("out/user_factors.npy"));
    let resumed = run("train_wals", &[&kept[..], &["--resume"]].concat());
    assert!(resumed.status.success(), "{}", stderr(&resumed));
    let (got, expected) = (factors(&out), factors(&whole));
    assert_eq!((got.user_factors, got.item_factors), (expected.user_factors, expected.item_factors));
}

#[test]
fn the_best_of_a_search_is_said_in_flags_that_train_wals_takes() {
    let world = World::new();
    let (pairs, searched, fitted) = (world.path("pairs.csv"), world.path("searched"), world.path("fitted"));
    let lists =
        ["--ranks", "2,3", "--regularizations", "0.01", "--unobserved-weights", "0.1", "--iterations", "2"];
    let found = run("tune_wals", &[&["--interactions", &pairs, "--out", &searched][..], &lists].concat());
    assert!(found.status.success(), "{}", stderr(&found));
    let told = String::from_utf8_lossy(&found.stdout).into_owned();
    let flags = told.lines().find_map(|line| line.strip_prefix("as flags of train_wals: ")).unwrap();
    let flags: Vec<&str> = flags.split(' ').collect();
    let fit = run("train_wals", &[&["--interactions", &pairs, "--out", &fitted][..], &flags].concat());
    assert!(fit.status.success(), "{}", stderr(&fit));
}
