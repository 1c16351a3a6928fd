//! An experiment on an own catalogue as a user runs it: from tables of a shop to the report.

mod support;

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use regen_data::synthetic::SyntheticConfig;
use serde_json::{Value, json};

use support::program;

const MAPPING: &str = r#"
    [interactions]
    files = ["orders.csv"]
    user = "customer"
    item = "sku"
    time = "bought_at"
    review_text = "said"

    [items]
    files = ["products.jsonl"]
    item = "sku"
    title = "name"

    [[narratives]]
    files = ["reasons.jsonl"]
    kind = "purchase_reason"
    user = "customer"
    item = "sku"
    text = "why"
"#;

/// Paths in it are from where the program runs, which is not where the plan lies.
const PLAN: &str = r#"
    title = "Our shop"
    seeds = [1, 2]
    arms = ["fusion", "text"]
    inputs = ["", "reviews"]
    histories = [4]
    language_models = ["1m"]
    rank = 8
    [training]
    steps = 4
    max_narrative_tokens = 24
    [[data]]
    name = "our shop"
    prepared = "out/shop"
    reviews = "shop.toml"
"#;

/// A shop's tables: orders with what was said of them, products, and why things were bought.
fn write_shop(dir: &Path) {
    let world = SyntheticConfig { users: 45, items: 130, mean_history: 7.0, ..SyntheticConfig::default() };
    let world = world.generate().unwrap();
    let data = &world.dataset;
    let reviews: Vec<_> = world.truth.reviews(data, 1).collect();
    let mut orders = "customer,sku,bought_at,said\n".to_owned();
    for bought in &data.interactions {
        let (user, item) = (data.users.name(bought.user), data.items.name(bought.item));
        let said = reviews.iter().find(|review| review.user == user && review.item == item);
        let said = said.and_then(|review| review.text.as_deref()).unwrap_or_default();
        writeln!(orders, "{user},{item},{},\"{said}\"", bought.time.unwrap()).unwrap();
    }
    let mut products = String::new();
    for (item, name) in data.items.iter() {
        let title = data.item_label(item);
        writeln!(products, "{}", json!({ "sku": name, "name": title })).unwrap();
    }
    let mut reasons = String::new();
    for one in data.narratives.iter() {
        let Some(item) = one.item else { continue };
        let (user, item) = (data.users.name(one.user), data.items.name(item));
        writeln!(reasons, "{}", json!({ "customer": user, "sku": item, "why": one.text })).unwrap();
    }
    for (name, text) in [
        ("orders.csv", orders.as_str()),
        ("products.jsonl", &products),
        ("reasons.jsonl", &reasons),
        ("shop.toml", MAPPING),
    ] {
        fs::write(dir.join(name), text).unwrap();
    }
}

fn run(dir: &Path, name: &str, arguments: &[&str]) -> Output {
    Command::new(program(name)).current_dir(dir).args(arguments).output().expect("the program starts")
}

fn prepare(dir: &Path) {
    let made = run(dir, "prepare_data", &["--mapping", "shop.toml", "--out", "out/shop", "--quiet"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
}

fn ablate(dir: &Path, more: &[&str]) -> Output {
    let arguments = ["--threads", "1", "--plan", "plans/plan.toml", "--out", "report"];
    run(dir, "ablate", &[&arguments[..], more].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a run that must fail says.
fn refused(dir: &Path) -> String {
    let run = ablate(dir, &["--quiet"]);
    assert_eq!(run.status.code(), Some(1), "{}", text(&run.stdout));
    text(&run.stderr)
}

#[test]
fn tables_of_a_shop_lead_to_a_report_that_is_known_by_their_content_and_says_when_users_are_too_few() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_shop(dir);
    fs::create_dir(dir.join("plans")).unwrap();
    fs::write(dir.join("plans/plan.toml"), PLAN).unwrap();
    let said = refused(dir);
    assert!(said.contains("our shop") && said.contains("no folder out/shop"), "{said}");
    prepare(dir);

    let first = ablate(dir, &["--json"]);
    let stdout = text(&first.stdout);
    assert!(first.status.success(), "{stdout}\n{}", text(&first.stderr));
    // That so few users will not do is said before hours of work, and in the report.
    assert!(text(&first.stderr).lines().next().unwrap().contains("intervals and p values mean nothing"));
    assert!(text(&first.stderr).contains("past purchases come with a review"));
    let findings: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    let setting = &findings["settings"][0];
    let names: Vec<&str> =
        setting["variants"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["fusion", "fusion, with reviews", "text"]);
    let [plain, reading] = [0, 1].map(|place| &setting["variants"][place]);
    assert_ne!(plain["loss"]["value"], reading["loss"]["value"]);
    let controls = |variant: &Value| variant["costs"].to_string().contains("reviews");
    assert!(controls(reading) && !controls(plain));
    let users = setting["test_users"].as_u64().unwrap();
    assert!((5..=10).contains(&users), "five of each seed: {users}");
    assert!(plain["scores"][0]["value"].is_number() && plain["scores"][0]["interval"].is_null());
    let claims = findings["claims"].as_array().unwrap();
    assert!(
        !claims.is_empty() && claims.iter().all(|claim| claim["verdict"] == "not_enough_data"),
        "{claims:?}"
    );
    let page = fs::read_to_string(dir.join("report/report.html")).unwrap();
    for told in ["NOT ENOUGH DATA", "Own data", "no leak", "reviews our shop"] {
        assert!(page.contains(told), "{told}");
    }

    // Nothing is run twice.
    let again = ablate(dir, &[]);
    assert!(again.status.success());
    assert_eq!(text(&again.stderr).matches("kept from an earlier run").count(), 6, "{}", text(&again.stderr));

    // What was said of purchases is known by its content, in cells that read it.
    let orders = fs::read_to_string(dir.join("orders.csv")).unwrap();
    let changed = orders.replace("would buy it again", "would not buy it again");
    assert_ne!(changed, orders);
    fs::write(dir.join("orders.csv"), changed).unwrap();
    let said = refused(dir);
    assert!(said.contains("made from other reviews") && said.contains("fusion_reviews"), "{said}");
    fs::write(dir.join("orders.csv"), &orders).unwrap();

    // And so are the tables: prepared anew from other ones, or changed in their folder.
    let reasons = fs::read_to_string(dir.join("reasons.jsonl")).unwrap();
    fs::write(dir.join("reasons.jsonl"), reasons.lines().skip(1).collect::<Vec<_>>().join("\n")).unwrap();
    prepare(dir);
    let said = refused(dir);
    assert!(said.contains("made from other data") && said.contains("--out"), "{said}");
    fs::write(dir.join("reasons.jsonl"), &reasons).unwrap();
    prepare(dir);
    assert!(ablate(dir, &["--quiet"]).status.success());
    let table = dir.join("out/shop/narratives.jsonl");
    let whole = fs::read_to_string(&table).unwrap();
    fs::write(&table, &whole[..whole.len() / 2]).unwrap();
    let said = refused(dir);
    assert!(
        said.contains("narratives.jsonl was changed or cut short") && said.contains("prepare_data"),
        "{said}"
    );
}

#[test]
fn the_split_of_the_folder_cold_items_and_fewer_purchases_work_on_own_data() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_shop(dir);
    let split = ["--mapping", "shop.toml", "--split-seed", "3", "--out", "out/shop", "--quiet"];
    assert!(run(dir, "prepare_data", &split).status.success());
    fs::create_dir(dir.join("plans")).unwrap();
    let own = "prepared = \"out/shop\"\nsplit = \"folder\"";
    let plan = PLAN
        .replace("inputs = [\"\", \"reviews\"]", "co_training = [\"next_item\"]")
        .replace("\"fusion\", \"text\"", "\"fusion\"")
        .replace("prepared = \"out/shop\"\n    reviews = \"shop.toml\"", own);
    let fewer = format!("[[data]]\nname = \"fewer\"\n{own}\ncold_items = 0.5\nkept_purchases = 0.5\n");
    fs::write(dir.join("plans/plan.toml"), plan + &fewer).unwrap();
    let run = ablate(dir, &["--json", "--quiet"]);
    let stdout = text(&run.stdout);
    assert!(run.status.success(), "{stdout}\n{}", text(&run.stderr));
    let findings: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    let settings = findings["settings"].as_array().unwrap();
    let kept: Value =
        serde_json::from_str(&fs::read_to_string(dir.join("out/shop/split.json")).unwrap()).unwrap();
    for setting in settings {
        // The same users with both seeds, each counted once.
        assert_eq!(setting["test_users"].as_u64().unwrap() as usize, kept["test"].as_array().unwrap().len());
        for world in setting["worlds"].as_array().unwrap() {
            assert_eq!(world["split"], kept["hash"]);
        }
        assert!(setting["variants"][0]["next_item"]["requests"].as_u64().unwrap() > 0);
    }
    let density = |place: usize| settings[place]["density"].as_f64().unwrap();
    assert!(density(1) < 0.6 * density(0), "{} {}", density(0), density(1));
    assert!(settings[1]["variants"][0]["cold"].is_object() && settings[0]["variants"][0]["cold"].is_null());
}
