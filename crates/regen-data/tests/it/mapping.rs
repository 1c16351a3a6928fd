//! Own catalogues through a column mapping: every layout gives the same data set, and what is wrong is named.

use std::fs;
use std::io::Write;
use std::path::Path;

use regen_data::mapping::Mapping;
use regen_data::{Dataset, Error, NarrativeKind, SourceFormat, detect, recbole};

const ITEMS: &str = r#"{"sku": "pen", "name": {"en": "Gel &amp; Ink"}, "tags": [{"path": "Office/Pens/Gel"}, {"path": "Office"}], "price": {"amount": "$2.50"}}
{"sku": "ink", "name": {"en": "Ink"}, "tags": [], "price": {"amount": 7}}
{"sku": "unsold", "name": {"en": "Nobody"}}
"#;
const TEXTS: &str = "who\tsku\twhy\n1\tpen\tbecause it writes\n1\tunsold\tnever bought\n2\tink\t\n";

const COMMON: &str = r#"
[items]
files = ["items.jsonl"]
item = "sku"
title = "name.en"
category = "tags[].path"
category_separator = "/"
price = "price.amount"

[[narratives]]
files = ["texts.tsv"]
kind = "purchase_reason"
user = "who"
item = "sku"
text = "why"
"#;

fn folder(interactions: &str, files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("map.toml", format!("{interactions}\n{COMMON}").as_bytes());
    write("items.jsonl", ITEMS.as_bytes());
    write("texts.tsv", TEXTS.as_bytes());
    files.iter().for_each(|(name, bytes)| write(name, bytes));
    folder
}

fn load(folder: &Path) -> Result<Dataset, Error> {
    Ok(Mapping::load(folder.join("map.toml"))?.read()?.0)
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

const TABLE: &str =
    "kunde;sku;sterne;wann\n1;pen;5;2018-06-17\n2;ink;4.5;2018-06-18\n1;ink;1;2018-06-19\n\"2\";pen;5;\n";
const TABLE_MAP: &str = r#"
preference = { at_least = 4.0 }
[interactions]
files = ["orders.csv"]
table = { separator = ";" }
user = "kunde"
item = "sku"
rating = "sterne"
time = "wann"
"#;

#[test]
fn tables_json_lines_and_their_compressed_forms_give_the_same_data_set() {
    let of_table = folder(TABLE_MAP, &[("orders.csv", &gzip(TABLE))]);
    let data = load(of_table.path()).unwrap();
    assert_eq!(data.users.names().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(data.items.names().collect::<Vec<_>>(), ["pen", "ink"]);
    let times: Vec<_> = data.interactions.iter().map(|one| one.time).collect();
    assert_eq!(times, [Some(1_529_193_600), Some(1_529_280_000), None], "one star is no preference");
    let pen = data.catalogue[0].as_ref().unwrap();
    assert_eq!((pen.title.as_deref(), pen.price), (Some("Gel & Ink"), Some(2.5)));
    assert_eq!(pen.category, ["Office", "Pens", "Gel"]);
    assert_eq!(data.narratives.len(), 1);
    assert_eq!(
        (data.narratives[0].kind, data.narratives[0].text.as_str()),
        (NarrativeKind::PurchaseReason, "because it writes")
    );

    let json = r#"{"kunde": 1, "sku": "pen", "sterne": 5, "wann": 1529193600000}
{"kunde": 2, "sku": "ink", "sterne": 4.5, "wann": 1529280000000}
{"kunde": 1, "sku": "ink", "sterne": "1", "wann": 1529366400000}
{"kunde": 2.0, "sku": "pen", "sterne": 5, "wann": null}
"#;
    let map = TABLE_MAP.replace("table = { separator = \";\" }", "time_unit = \"milliseconds\"");
    let zstd = zstd::encode_all(json.as_bytes(), 1).unwrap();
    let of_json = folder(&map, &[("orders.csv", &zstd)]);
    assert_eq!(load(of_json.path()).unwrap(), data);
}

#[test]
fn the_report_counts_what_was_left_out() {
    let folder = folder(TABLE_MAP, &[("orders.csv", TABLE.as_bytes())]);
    let (_, report) = Mapping::load(folder.path().join("map.toml")).unwrap().read().unwrap();
    assert_eq!((report.not_preferred, report.without_time), (1, 1));
    assert_eq!((report.items_without_interactions, report.narratives_without_purchase), (1, 1));
    assert_eq!((report.review_files[0].records, report.narrative_files[0].records), (4, 3));
}

#[test]
fn several_files_without_a_header_count_in_their_order() {
    let map = r#"
[interactions]
files = ["a.tsv", "b.tsv"]
table = { header = ["user", "item", "plays"], quoted = false }
user = "user"
item = "item"
weight = "plays"
"#;
    let folder = folder(map, &[("a.tsv", b"2\tpen\t3\n"), ("b.tsv", b"1\t5\" \"pad\t0.5\n1\tink\t0\n")]);
    let text = fs::read_to_string(folder.path().join("map.toml")).unwrap();
    let text = text.split("[[narratives]]").next().unwrap();
    fs::write(folder.path().join("map.toml"), text).unwrap();
    let data = load(folder.path()).unwrap();
    assert_eq!(data.users.names().collect::<Vec<_>>(), ["2", "1"]);
    assert_eq!(data.items.names().collect::<Vec<_>>(), ["pen", "5\" \"pad"]);
    assert_eq!(data.interactions.iter().map(|one| one.weight).collect::<Vec<_>>(), [3.0, 0.5]);
}

#[test]
fn reviews_keep_what_a_data_set_does_not() {
    let map = format!("{TABLE_MAP}review_text = \"text\"\n");
    let table = "kunde;sku;sterne;wann;text\n1;pen;5;2018-06-17;\"fine; really\"\n";
    let folder = folder(&map, &[("orders.csv", table.as_bytes())]);
    let mut reviews = Vec::new();
    let mapping = Mapping::load(folder.path().join("map.toml")).unwrap();
    mapping
        .reviews(|review| {
            reviews.push(review);
            Ok(())
        })
        .unwrap();
    assert_eq!(reviews.len(), 1);
    assert_eq!(reviews[0].text.as_deref(), Some("fine; really"));
}

#[test]
fn what_is_wrong_with_a_mapping_is_named() {
    let error = |map: &str| {
        let folder =
            folder(map, &[("orders.csv", TABLE.as_bytes()), ("o.jsonl", b"{\"kunde\": 1, \"sku\": 2}\n")]);
        let text = load(folder.path()).unwrap_err().to_string();
        text.replace(&format!("{}/", folder.path().display()), "")
    };
    let message = error(&TABLE_MAP.replace("rating", "ratng"));
    assert!(message.starts_with("map.toml:8: unknown field `ratng`"), "{message}");
    assert_eq!(
        error(&TABLE_MAP.replace("\"sterne\"", "\"stars\"")),
        "orders.csv has no column \"stars\", it has: kunde, sku, sterne, wann"
    );
    let json = TABLE_MAP.replace("orders.csv", "o.jsonl").replace("table = { separator = \";\" }", "");
    assert_eq!(
        error(&json.replace("preference = { at_least = 4.0 }", "")),
        "none of the 1 records of o.jsonl has a field \"sterne\": correct or remove it"
    );
    assert_eq!(
        error(&TABLE_MAP.replace("\"wann\"", "\"sterne\"").replace("\"sterne\"\ntime", "\"wann\"\ntime")),
        "orders.csv:2: wann should be a number, got \"2018-06-17\""
    );
    let message = error(&TABLE_MAP.replace("\";\"", "\"é\""));
    assert!(message.starts_with("separator should be one ASCII character"), "{message}");
    let message = error(&TABLE_MAP.replace("rating = \"sterne\"\n", ""));
    assert!(message.starts_with("rating should be a field"), "{message}");
    assert!(error("[interactions]\nfiles = []\nuser = \"a\"\nitem = \"b\"").starts_with("files should be"));
    assert!(error("x = [").starts_with("map.toml:"));
}

#[test]
fn bad_rows_are_skipped_and_counted_if_asked_for() {
    let table = format!("{TABLE}only one\n3;;5;2018-06-17\n3;pen;5;yesterday\n4;pen;5;2018-06-20\n");
    let fails = folder(TABLE_MAP, &[("orders.csv", table.as_bytes())]);
    let error = load(fails.path()).unwrap_err();
    assert!(matches!(error, Error::Csv { line: 6, .. }), "{error}");
    let skips = folder(&format!("on_error = \"skip\"\n{TABLE_MAP}"), &[("orders.csv", table.as_bytes())]);
    let (data, report) = Mapping::load(skips.path().join("map.toml")).unwrap().read().unwrap();
    assert_eq!(data.users.names().collect::<Vec<_>>(), ["1", "2", "4"]);
    assert_eq!(report.review_files[0].skipped.lines, 3);
    assert!(report.review_files[0].skipped.samples[2].contains("yesterday"));
}

#[test]
fn recbole_folders_are_found_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write(
        "shop.inter",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu\t7\t4.0\t1529193600.0\nv\t8\t2.0\t1529193601.0\n",
    );
    write(
        "shop.item",
        "item_id:token\tmovie_title:token_seq\tclass:token_seq\n7\t12\" Ruler\tOffice Rulers\n",
    );
    assert_eq!(detect(folder.path()).unwrap(), SourceFormat::Recbole("shop".into()));
    let (data, report) = recbole::mapping(folder.path()).unwrap().read().unwrap();
    assert_eq!((data.name.as_str(), data.interactions.len()), ("shop", 2));
    assert_eq!(data.interactions[1].time, Some(1_529_193_601));
    assert_eq!(data.item_texts(), [Some("12\" Ruler · Office Rulers".to_owned()), None]);
    assert_eq!(report.review_files[0].records, 2);
    write("shop.inter", "user_id:token\n");
    let error = recbole::mapping(folder.path()).unwrap_err();
    assert!(error.to_string().ends_with("shop.inter:1: no column item_id"), "{error}");
}

#[cfg(not(feature = "parquet"))]
#[test]
fn parquet_without_its_feature_says_what_to_do() {
    let folder = folder(
        TABLE_MAP.replace("table = { separator = \";\" }", "").as_str(),
        &[("orders.csv", b"PAR1....PAR1")],
    );
    let error = load(folder.path()).unwrap_err();
    assert!(error.to_string().ends_with("build regen-data with its feature `parquet`"), "{error}");
}
