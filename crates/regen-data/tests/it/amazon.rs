//! The Amazon releases in miniature, with the dirt of the real files.

use std::io::Write;

use regen_data::amazon::{CatalogueRecords, Price, Reviews};
use regen_data::{Error, OnError};

pub(crate) fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file.flush().unwrap();
    file
}

const R2014: &str = r#"{"reviewerID": "A1", "asin": "B1", "helpful": [3, 4], "reviewText": "It's \"fine\"", "overall": 4.0, "summary": "ok", "unixReviewTime": 1393545600, "reviewTime": "02 28, 2014"}"#;
const R2014_MIRROR: &str = r#"{"reviewerID": "A1", "asin": "B2", "helpful": "[2, 2]", "reviewText": "", "overall": 5.0, "summary": "ok", "unixReviewTime": 1393545600}"#;
const R2018: &str = r#"{"overall": 3.0, "verified": true, "vote": "1,234", "reviewerID": "A2", "asin": "B1", "style": {"Color:": " Red"}, "image": ["u"], "unixReviewTime": 1529193600}"#;
const R2023: &str = r#"{"rating": 1.0, "title": "bad", "text": "caf\u00e9", "images": [], "asin": "B9X", "parent_asin": "B9", "user_id": "AE3", "timestamp": 1627679830425, "helpful_vote": 7, "verified_purchase": false}"#;

#[test]
fn reviews_of_all_three_releases_are_read_alike() {
    let file = file([R2014, R2014_MIRROR, R2018, "", R2023].join("\n").as_bytes());
    let reviews: Vec<_> =
        Reviews::open(file.path(), OnError::Fail).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(reviews.len(), 4);
    let one = &reviews[0];
    assert_eq!((one.user.as_str(), one.item.as_str(), one.rating), ("A1", "B1", Some(4.0)));
    assert_eq!((one.title.as_deref(), one.text.as_deref()), (Some("ok"), Some("It's \"fine\"")));
    assert_eq!((one.time, one.verified, one.helpful_votes), (Some(1_393_545_600), None, Some(3)));
    assert_eq!((reviews[1].helpful_votes, reviews[1].text.as_deref()), (Some(2), None));
    let three = &reviews[2];
    assert_eq!((three.text.as_deref(), three.verified, three.helpful_votes), (None, Some(true), Some(1_234)));
    let four = &reviews[3];
    assert_eq!(
        (four.item.as_str(), four.time, four.text.as_deref()),
        ("B9", Some(1_627_679_830), Some("café"))
    );
}

#[test]
fn purchases_are_reviews_without_their_texts() {
    let file = file([R2014, R2014_MIRROR, R2018, "", R2023].join("\n").as_bytes());
    let mut whole = Vec::new();
    for review in Reviews::open(file.path(), OnError::Fail).unwrap() {
        whole.push(regen_data::amazon::Review { title: None, text: None, ..review.unwrap() });
    }
    let mut purchases = Vec::new();
    let mut reviews = Reviews::open(file.path(), OnError::Fail).unwrap();
    let read = reviews.visit_purchases(|review| {
        purchases.push(review.into_owned());
        Ok(())
    });
    read.unwrap();
    assert_eq!(purchases, whole);
}

#[test]
fn visiting_sees_what_the_iterator_gives() {
    let file = file([R2014, R2018, R2023].join("\n").as_bytes());
    let mut visited = Vec::new();
    let mut reviews = Reviews::open(file.path(), OnError::Fail).unwrap();
    reviews
        .visit(|review| {
            visited.push(review.into_owned());
            Ok(())
        })
        .unwrap();
    let iterated: Vec<_> =
        Reviews::open(file.path(), OnError::Fail).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(visited, iterated);

    let mut seen = 0;
    let stopped = Reviews::open(file.path(), OnError::Skip).unwrap().visit(|_| {
        seen += 1;
        Err(Error::TooManyIds { limit: 1 })
    });
    assert!(matches!(stopped, Err(Error::TooManyIds { .. })), "an error of the visitor is never skipped");
    assert_eq!(seen, 1);
}

#[test]
fn a_bad_line_fails_with_its_place_or_is_counted_and_sampled() {
    let mut bytes =
        [R2014, r#"{"asin": "B1"}"#, r#"{"reviewerID": "A", "asin": [1]}"#].join("\n").into_bytes();
    bytes.extend_from_slice(b"\n{\"reviewerID\": \"A\xff\", \"asin\": \"B\"}\n");
    bytes.extend_from_slice(R2018.as_bytes());
    bytes.extend_from_slice(b"\n{\"reviewerID\": \"A\", \"as");
    let file = file(&bytes);

    let errors: Vec<_> = Reviews::open(file.path(), OnError::Fail).unwrap().collect();
    assert_eq!(errors.len(), 2, "nothing follows an error");
    assert!(matches!(&errors[1], Err(Error::MissingField { line: 2, .. })), "{errors:?}");

    let mut reviews = Reviews::open(file.path(), OnError::Skip).unwrap();
    let good = reviews.by_ref().filter(Result::is_ok).count();
    assert_eq!((good, reviews.skipped().lines), (2, 4));
    let reasons = reviews.skipped().samples.join("\n");
    for expected in [":2: no user", ":3:29: invalid type: sequence", ":4:18: invalid UTF-8", ":6:23: EOF"] {
        assert!(reasons.contains(expected), "{expected} in\n{reasons}");
    }
}

#[test]
fn a_truncated_download_fails_even_when_bad_lines_are_skipped() {
    let text = format!("{R2018}\n").repeat(4_000);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    gzip.write_all(text.as_bytes()).unwrap();
    let whole = gzip.finish().unwrap();
    let file = file(&whole[..whole.len() / 2]);
    let results: Vec<_> = Reviews::open(file.path(), OnError::Skip).unwrap().collect();
    assert!(results.len() > 1_000);
    assert!(matches!(results.last(), Some(Err(Error::TruncatedStream { line: 1_000.., .. }))));
}

fn item(line: &str) -> regen_data::amazon::CatalogueRecord {
    let file = file(line.as_bytes());
    let mut records = CatalogueRecords::open(file.path(), OnError::Fail).unwrap();
    records.next().unwrap().unwrap()
}

#[test]
fn metadata_of_2018_are_cleaned() {
    let record = item(
        r#"{"category": ["Gift Cards", "Gift Cards", "Boxes &amp; Bags", "</span></span>", "No expiration, no fees."], "description": ["<div class=\"a\">Fifty<br />cards</div>", "", "Never &amp; ever"], "title": "A&amp;B  Card\n", "brand": "", "feature": ["x"], "rank": [], "details": {"a": "b"}, "main_cat": "Office", "price": "$4.99 - $15.99", "asin": "B1"}"#,
    );
    assert_eq!(record.item, "B1");
    let metadata = record.metadata;
    assert_eq!(metadata.title.as_deref(), Some("A&B Card"));
    assert_eq!(metadata.brand, None);
    assert_eq!(metadata.category, ["Gift Cards", "Boxes & Bags"]);
    assert_eq!(metadata.description.as_deref(), Some("Fifty cards Never & ever"));
    assert_eq!((metadata.price, record.price), (Some(4.99), Price::Range { low: 4.99, high: 15.99 }));

    let record = item(
        r#"{"category": [], "description": [], "title": "var aPageStart = (new Date()).getTime();", "feature": ["one", "two"], "main_cat": "Office", "price": ".a-box{}", "asin": "B2"}"#,
    );
    assert_eq!((record.metadata.title, record.metadata.price), (None, None));
    assert_eq!(record.metadata.category, ["Office"]);
    assert_eq!(record.metadata.description.as_deref(), Some("one two"));
    assert!(matches!(record.price, Price::Unreadable(_)));
}

#[test]
fn metadata_of_2014_are_python_and_of_2023_have_stores() {
    let record = item(
        r#"{'asin': '000', 'title': u"Pen's", 'price': 7.5, 'categories': [['Office', 'Pens'], ['Office', 'Writing', 'Gel']], 'related': {'also_bought': ['1']}, 'description': 'A \'pen\'', 'salesRank': {'Office': 3}}"#,
    );
    assert_eq!((record.item.as_str(), record.metadata.title.as_deref()), ("000", Some("Pen's")));
    assert_eq!(record.metadata.category, ["Office", "Writing", "Gel"]);
    assert_eq!((record.metadata.description.as_deref(), record.metadata.price), (Some("A 'pen'"), Some(7.5)));

    let record = item(
        r#"{"main_category": "All Beauty", "title": "Clip", "average_rating": 4.8, "features": [], "description": [], "price": null, "store": "Howard", "categories": [], "details": {"a": [1]}, "parent_asin": "B01", "bought_together": null}"#,
    );
    assert_eq!((record.item.as_str(), record.metadata.brand.as_deref()), ("B01", Some("Howard")));
    assert_eq!((record.metadata.category, record.price), (vec!["All Beauty".to_owned()], Price::Missing));
}

#[test]
fn a_regen_category_string_is_split() {
    let record = item(r#"{"asin": "B", "category": " Office & School Supplies - Writing - Markers"}"#);
    assert_eq!(record.metadata.category, ["Office & School Supplies", "Writing", "Markers"]);
}
