//! The prepared folder and the data card.

use std::fs;
use std::path::Path;

use regen_data::prepared::TableFormat;
use regen_data::synthetic::SyntheticConfig;
use regen_data::{
    Chronology, DataCard, Dataset, Error, Interaction, ItemMetadata, ReviewsConfig, SourceFormat, detect,
    from_reviews, prepared,
};

fn world() -> Dataset {
    let mut data =
        SyntheticConfig { users: 30, items: 130, ..Default::default() }.generate().unwrap().dataset;
    let user = data.users.intern("quoted, \"name\"").unwrap();
    let item = data.items.intern("never described").unwrap();
    data.catalogue.push(None);
    data.interactions.push(Interaction { user, item, weight: 2.5, time: None, rating: Some(3.5) });
    data.users.intern("bought nothing").unwrap();
    data.catalogue[3] =
        Some(ItemMetadata { title: Some("two\nlines · \u{1f58a}".into()), ..Default::default() });
    data.chronology = Chronology::Unknown;
    data
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn what_is_written_comes_back_equal() {
    let folder = tempfile::tempdir().unwrap();
    let data = world();
    prepared::write(folder.path(), &data, Some(&DataCard::new(&data, None))).unwrap();
    assert_eq!(prepared::read(folder.path()).unwrap(), data);
    assert_eq!(detect(folder.path()).unwrap(), SourceFormat::Prepared);
    let files = [
        "card.html",
        "card.json",
        "dataset.json",
        "interactions.csv",
        "items.jsonl",
        "narratives.jsonl",
        "users.txt",
    ];
    assert_eq!(names(folder.path()), files, "nothing temporary stays");
    let bytes = fs::read(folder.path().join("items.jsonl")).unwrap();
    prepared::write(folder.path(), &data, None).unwrap();
    assert_eq!(
        fs::read(folder.path().join("items.jsonl")).unwrap(),
        bytes,
        "the same data give the same bytes"
    );
}

#[test]
fn a_changed_file_and_an_unknown_version_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    prepared::write(folder.path(), &world(), None).unwrap();
    let narratives = folder.path().join("narratives.jsonl");
    let text = fs::read_to_string(&narratives).unwrap();
    fs::write(&narratives, &text[..text.len() - 40]).unwrap();
    assert!(matches!(prepared::read(folder.path()), Err(Error::Checksum { path, .. }) if path == narratives));

    fs::write(&narratives, text).unwrap();
    let manifest = folder.path().join("dataset.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"version\": 1", "\"version\": 3")).unwrap();
    let error = prepared::read(folder.path()).unwrap_err();
    assert!(matches!(&error, Error::UnsupportedVersion { got, .. } if got == "regen-data 3"), "{error}");
}

#[test]
fn parquet_tables_hold_what_text_does_and_replace_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut data = world();
    // What only Parquet can hold: a line break in a user's name.
    data.users.intern("two\nlines").unwrap();
    prepared::write(folder.path(), &world(), None).unwrap();
    prepared::write_as(folder.path(), &data, None, TableFormat::Parquet).unwrap();
    assert_eq!(prepared::read(folder.path()).unwrap(), data);
    assert_eq!(detect(folder.path()).unwrap(), SourceFormat::Prepared);
    let files =
        ["dataset.json", "interactions.parquet", "items.parquet", "narratives.parquet", "users.parquet"];
    assert_eq!(names(folder.path()), files, "nothing of the older form stays");
    let bytes = fs::read(folder.path().join("narratives.parquet")).unwrap();
    prepared::write_as(folder.path(), &data, None, TableFormat::Parquet).unwrap();
    assert_eq!(
        fs::read(folder.path().join("narratives.parquet")).unwrap(),
        bytes,
        "the same data give the same bytes"
    );
    assert!(matches!(prepared::write(folder.path(), &data, None), Err(Error::InvalidField { line: 33, .. })));
    assert_eq!(prepared::read(folder.path()).unwrap(), data, "what is refused changes nothing");
    prepared::write_as(folder.path(), &Dataset::default(), None, TableFormat::Parquet).unwrap();
    assert_eq!(prepared::read(folder.path()).unwrap(), Dataset::default());
}

#[test]
fn more_rows_than_one_group_come_back_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut data = world();
    let some = data.interactions.clone();
    for copy in 0..600_000 / some.len() {
        data.interactions.extend(some.iter().map(|one| Interaction {
            time: Some(copy as i64),
            weight: copy as f32,
            ..*one
        }));
    }
    prepared::write_as(folder.path(), &data, None, TableFormat::Parquet).unwrap();
    assert!(prepared::read(folder.path()).unwrap() == data);
}

#[test]
fn parquet_tables_that_contradict_each_other_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let data = world();
    prepared::write_as(folder.path(), &data, None, TableFormat::Parquet).unwrap();
    // Another folder's table with its own, right sum.
    let other = tempfile::tempdir().unwrap();
    let mut fewer = data.clone();
    fewer.users = Default::default();
    fewer.users.intern("only one").unwrap();
    fewer.interactions.clear();
    fewer.narratives.clear();
    prepared::write_as(other.path(), &fewer, None, TableFormat::Parquet).unwrap();
    fs::copy(other.path().join("users.parquet"), path("users.parquet")).unwrap();
    let sums = |folder: &Path| -> serde_json::Value {
        serde_json::from_slice(&fs::read(folder.join("dataset.json")).unwrap()).unwrap()
    };
    let (mut manifest, others) = (sums(folder.path()), sums(other.path()));
    manifest["sha256"][0] = others["sha256"][0].clone();
    fs::write(path("dataset.json"), manifest.to_string()).unwrap();
    let error = prepared::read(folder.path()).unwrap_err();
    assert!(
        matches!(&error, Error::Parquet { path: at, reason } if *at == path("interactions.parquet")
            && reason.ends_with("of 1 that there are")),
        "{error}"
    );
    fs::copy(path("items.parquet"), path("users.parquet")).unwrap();
    manifest["sha256"][0][1] = manifest["sha256"][1][1].clone();
    fs::write(path("dataset.json"), manifest.to_string()).unwrap();
    let error = prepared::read(folder.path()).unwrap_err();
    assert!(error.to_string().ends_with("there is no column user"), "{error}");
}

#[test]
fn raw_files_become_a_data_set_with_its_account() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let review = |user: &str, item: &str, stars: f64, time: i64| {
        format!(
            r#"{{"reviewerID": "{user}", "asin": "{item}", "overall": {stars}, "unixReviewTime": {time}}}"#
        ) + "\n"
    };
    let one = review("u", "a", 5.0, 10) + &review("u", "b", 2.0, 20) + &review("u", "a", 4.0, 30);
    let two = review("v", "c", 5.0, 15) + "{broken\n" + &review("u", "c", 4.0, 86_400);
    fs::write(path("one.json"), one).unwrap();
    fs::write(path("two.json"), two).unwrap();
    let metadata = r#"{"asin": "c", "title": "C & more", "price": "$3.00"}
{"asin": "x", "title": "unsold"}
{"asin": "c", "title": "again"}
{"asin": "a", "title": "A", "price": ".css{}"}
"#;
    fs::write(path("meta.json"), metadata).unwrap();
    let config = ReviewsConfig {
        on_error: regen_data::OnError::Skip,
        preference: regen_data::Preference::AtLeast(4.0),
        ..Default::default()
    };
    let (data, report) =
        from_reviews("shop <1>", &[path("one.json"), path("two.json")], &[path("meta.json")], &config)
            .unwrap();
    assert_eq!(data.users.names().collect::<Vec<_>>(), ["u", "v"]);
    assert_eq!(data.items.names().collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(data.interactions.iter().map(|one| one.time.unwrap()).collect::<Vec<_>>(), [30, 15, 86_400]);
    assert_eq!((report.not_preferred, report.duplicates, report.review_files[1].skipped.lines), (1, 1, 1));
    assert_eq!((report.items_without_interactions, report.repeated_metadata), (1, 1));
    assert_eq!((report.prices.single, report.prices.unreadable), (1, 1));
    assert_eq!(report.prices.samples, [".css{}"]);

    let card = DataCard::new(&data, Some(report));
    assert_eq!(card.density, 0.75);
    assert_eq!(card.days, Some(("1970-01-01".into(), "1970-01-02".into())));
    let html = card.to_html();
    assert!(html.contains("<h1>shop &lt;1&gt;</h1>"), "names are escaped");
    for expected in ["two.json:2:2: key must be a string", ".css{}", "1970-01-01", "75 %"] {
        assert!(html.contains(expected), "{expected}");
    }
    let json = serde_json::to_string(&card).unwrap();
    assert_eq!(serde_json::from_str::<DataCard>(&json).unwrap(), card);
}

#[test]
fn a_folder_of_something_else_is_called_so_and_says_who_makes_prepared_ones() {
    let folder = tempfile::tempdir().unwrap();
    let error = prepared::read(folder.path()).unwrap_err();
    assert!(matches!(&error, Error::NotPrepared { .. }), "{error}");
    assert!(error.to_string().ends_with("holds no dataset.json: prepare_data writes one"), "{error}");
    assert!(matches!(prepared::read(folder.path().join("nothing")), Err(Error::Io { .. })));
}
