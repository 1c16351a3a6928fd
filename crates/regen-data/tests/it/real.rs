//! Counts on the real public files. They are not part of the project; name the folder that holds them:
//!
//! `REGEN_DATA_DIR=path/to/data cargo test -p regen-data -- --ignored`

use std::path::PathBuf;

use regen_data::amazon::{CatalogueRecords, Reviews};
use regen_data::mapping::Mapping;
use regen_data::xrec::{self, Vertical};
use regen_data::{
    HistoryConfig, OnError, Preference, ReviewsConfig, SourceFormat, SplitRule, audit_leaks, detect,
    examples, from_reviews, minionerec, regen, sequences, training_interactions,
};

fn folder(name: &str) -> PathBuf {
    let root = std::env::var_os("REGEN_DATA_DIR").expect("REGEN_DATA_DIR names the folder of the real data");
    PathBuf::from(root).join(name)
}

#[test]
#[ignore = "needs REGEN_DATA_DIR/xrec"]
fn xrec_has_its_published_counts_and_passes_the_audit() {
    let folder = folder("xrec");
    assert_eq!(detect(&folder).unwrap(), SourceFormat::Xrec(vec![Vertical::Amazon, Vertical::Google]));
    // Interactions of the training file, and the pairs that are absent from it: 3,000 − 2,376 and 3,000 − 2,367.
    for (vertical, interactions, added, items) in
        [(Vertical::Amazon, 288_671, 624, 2_545), (Vertical::Google, 329_472, 633, 2_531)]
    {
        let data = xrec::read(&folder, vertical).unwrap();
        assert_eq!(data.narratives.len(), 3_000);
        assert_eq!(data.interactions.len(), interactions + added);
        assert_eq!(data.catalogue.iter().flatten().count(), items);
        assert_eq!(data.catalogue.len(), data.items.len());
        assert_eq!(xrec::published_outputs(&folder, vertical).unwrap().len(), 3_000);

        let split = SplitRule::UserDisjoint { validation: 0.1, test: 0.2 }.split(&data, 0).unwrap();
        let made = examples(&data, &HistoryConfig::default()).unwrap();
        let wals = training_interactions(&data, &split);
        audit_leaks(&data, &split, &made, &wals).unwrap();
    }
}

#[test]
#[ignore = "needs REGEN_DATA_DIR/amazon2014_office"]
fn amazon_2014_office_sequences_have_their_counts() {
    let folder = folder("amazon2014_office");
    assert_eq!(detect(&folder).unwrap(), SourceFormat::Sequences("Office_Products".into()));
    let data = sequences::read(&folder).unwrap();
    assert_eq!((data.users.len(), data.items.len(), data.interactions.len()), (4_905, 2_420, 53_258));
    assert!(data.users.get("A32T2H8150OJLU").is_some(), "names are the raw ids");
    let with_text = data.item_texts().iter().flatten().count();
    assert!(with_text > 2_400, "{with_text} items have text");
}

#[test]
#[ignore = "needs REGEN_DATA_DIR/amazon2018_office_minionerec"]
fn office_histories_of_2018_have_their_counts() {
    let folder = folder("amazon2018_office_minionerec");
    assert_eq!(detect(&folder).unwrap(), SourceFormat::MiniOneRec);
    let data = minionerec::read(&folder).unwrap();
    // 9,732 rows; what their histories hold beside them makes the rest. Counted by a few lines of Python as well.
    assert_eq!((data.users.len(), data.items.len(), data.interactions.len()), (3_231, 3_459, 22_447));
    let described = data.catalogue.iter().flatten().filter(|item| item.description.is_some()).count();
    assert!(described > 3_000, "{described} items have a description");
    let lists = data.catalogue.iter().flatten().filter_map(|item| item.description.as_deref());
    assert_eq!(lists.filter(|text| text.starts_with("['")).count(), 0, "lists are read as lists");
}

#[test]
#[ignore = "needs REGEN_DATA_DIR/regen_sample"]
fn the_one_public_user_of_regen_is_read() {
    let file = folder("regen_sample").join("user_1.csv");
    let text = format!(
        r#"
[interactions]
files = [{file:?}]
user = "reviewer_id"
item = "asin"
rating = "rating"
time = "purchase_date"
date_order = "day_first"
[items]
files = [{file:?}]
item = "asin"
title = "title"
category = "category"
category_separator = " - "
price = "price"
[[narratives]]
files = [{file:?}]
kind = "user_summary_long"
user = "reviewer_id"
text = "long_summary"
"#
    );
    let (data, report) = Mapping::parse(&text).unwrap().read().unwrap();
    // Ten rows, one of which repeats another.
    assert_eq!((data.users.len(), data.items.len(), data.interactions.len()), (1, 9, 9));
    assert_eq!(report.duplicates, 1);
    assert!(data.catalogue.iter().flatten().all(|item| item.price.is_some() && item.category.len() > 1));
    assert!(data.interactions.iter().all(|one| one.time.is_some()));
    // The flat table repeats the summary in every row.
    assert_eq!((data.narratives.len(), report.repeated_narratives), (1, 9));
}

#[test]
#[ignore = "needs REGEN_DATA_DIR/amazon2014_musical_instruments"]
fn gzip_reviews_of_2014_have_their_counts() {
    let path = folder("amazon2014_musical_instruments").join("reviews_Musical_Instruments_5.json.gz");
    let (data, report) =
        from_reviews("instruments", std::slice::from_ref(&path), &[], &ReviewsConfig::default()).unwrap();
    assert_eq!((data.users.len(), data.items.len(), data.interactions.len()), (1_429, 900, 10_261));
    assert_eq!((report.duplicates, report.without_time), (0, 0));
    let core = ReviewsConfig { user_core: 5, item_core: 5, ..Default::default() };
    let (data, report) = from_reviews("instruments", std::slice::from_ref(&path), &[], &core).unwrap();
    assert_eq!(report.core.unwrap().removed_interactions, 0, "the release is a 5-core");
    assert_eq!(data.interactions.len(), 10_261);
    let with_text = Reviews::open(&path, OnError::Fail).unwrap().filter(|review| {
        let review = review.as_ref().unwrap();
        review.text.is_some() && review.helpful_votes.is_some()
    });
    assert!(with_text.count() > 10_200);
}

#[test]
#[ignore = "needs REGEN_DATA_DIR/amazon2018_gift_cards"]
fn reviews_and_metadata_of_2018_have_their_counts() {
    let folder = folder("amazon2018_gift_cards");
    let (reviews, metadata) = (folder.join("Gift_Cards_5.json"), folder.join("meta_Gift_Cards.json"));
    let config = ReviewsConfig::default();
    let (data, report) =
        from_reviews("gift cards", &[reviews], std::slice::from_ref(&metadata), &config).unwrap();
    assert_eq!((report.review_files[0].records, report.metadata_files[0].records), (2_972, 1_547));
    assert_eq!((data.users.len(), data.items.len()), (458, 148));
    assert_eq!((data.interactions.len(), report.duplicates), (2_965, 7));
    let titled = data.catalogue.iter().flatten().filter(|item| item.title.is_some()).count();
    assert!(titled > 140, "{titled} of 148 items have a title");

    let records = CatalogueRecords::open(&metadata, OnError::Fail).unwrap();
    for record in records {
        let metadata = record.unwrap().metadata;
        let text = metadata.text().unwrap_or_default();
        assert!(!text.contains("&amp;") && !text.contains("<br") && !text.contains("</"), "{text}");
        assert!(metadata.category.iter().all(|level| !level.ends_with('.')));
    }
}

#[test]
#[ignore = "needs REGEN_DATA_DIR/amazon2023_users"]
fn nested_users_of_2023_have_their_counts() {
    let folder = folder("amazon2023_users");
    let paths = ["training.jsonl", "validation.jsonl", "test.jsonl"].map(|name| folder.join(name));
    let (data, files) = regen::read(
        "amazon 2023 users",
        &paths,
        &regen::RegenFields::amazon_2023_users(),
        Preference::Every,
        OnError::Fail,
    )
    .unwrap();
    assert_eq!(files.iter().map(|file| file.records).collect::<Vec<_>>(), [598, 70, 23]);
    // 2,764 purchases in the histories and one held out for each of the 691 rows.
    assert_eq!(data.interactions.len(), 2_764 + 691);
    assert!(data.interactions.iter().all(|one| one.time.is_some_and(|time| time < 2_000_000_000)));
}
