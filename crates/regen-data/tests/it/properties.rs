//! No byte sequence makes a reader panic, and none makes it read for ever. Inputs are random bytes, random edits of
//! good files, and text out of the characters that parsers trip over.

use std::fs;
use std::io::Write;
use std::path::Path;

use proptest::prelude::*;
use regen_data::amazon::{CatalogueRecords, Price, Reviews};
use regen_data::mapping::Mapping;
use regen_data::prepared::TableFormat;
use regen_data::regen::{RegenFields, RegenRecords};
use regen_data::synthetic::SyntheticConfig;
use regen_data::xrec::{self, Vertical};
use regen_data::{
    Columns, Error, InteractionTable, Lines, OnError, clean_text, decode_entities, inspect, prepared,
    recbole, sequences,
};

const REVIEWS: &[u8] = br#"{"reviewerID": "A1", "asin": "B1", "helpful": [3, 4], "reviewText": "It's \"fine\" \u00e9", "overall": 4.0, "summary": "ok", "unixReviewTime": 1393545600}
{"rating": 1.0, "title": "bad", "text": "caf\u00e9", "asin": "B9X", "parent_asin": "B9", "user_id": "AE3", "timestamp": 1627679830425, "helpful_vote": 7, "verified_purchase": false}
"#;
const METADATA: &[u8] = br#"{"category": ["A", "B &amp; C"], "description": ["<b>x</b>"], "title": "T", "price": "$4.99 - $15.99", "asin": "B1"}
{'asin': '000', 'title': u"Pen's \xe9", 'price': 7.5, 'categories': [['A', 'B'], ('C',)]}
"#;
const TABLE: &[u8] = b"user,item,value,timestamp\na,\"b, c\",4.5,1500000000\nd,e,,\n";
const NESTED: &[u8] = br#"{"reviewer_id": "r", "purchase_history": [{"item": {"asin": "a", "category": "X - Y", "price": 3.5}, "review": {"rating": 4, "unix_time": 1529193600}}], "user": {"profile": "p"}, "last_purchase": {"item": {"asin": "b"}, "purchase_reason": "so"}}
"#;
/// Reads what stands in REVIEWS and in TABLE.
const MAPPINGS: [&str; 3] = [
    "[interactions]\nfiles = []\nuser = \"user_id\"\nitem = \"asin\"\nrating = \"rating\"\ntime = \"timestamp\"\n",
    "[interactions]\nfiles = []\nuser = \"user\"\nitem = \"item\"\nweight = \"value\"\ntime = \"timestamp\"\n[items]\nfiles = []\nitem = \"item\"\nprice = \"value\"\ncategory = \"item\"\n",
    "[interactions]\nfiles = []\ntable = { header = [\"a\", \"b\", \"c\", \"d\"], separator = \";\", quoted = false }\nuser = \"a\"\nitem = \"b\"\n",
];

/// Reads a file through every mapping, under both policies.
fn read_mapped(path: &Path) {
    for mapping in MAPPINGS {
        let text = mapping.replace("files = []", &format!("files = [{path:?}]"));
        let mut mapping = Mapping::parse(&text).unwrap();
        for policy in [OnError::Fail, OnError::Skip] {
            mapping.on_error = policy;
            let _ = mapping.read();
            let _ = mapping.reviews(|_| Ok(()));
        }
    }
}

/// A good file with some bytes replaced, removed or doubled, perhaps cut, perhaps compressed and then damaged.
fn damaged(original: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 0..12);
    (edits, any::<prop::sample::Index>(), 0..4u8).prop_map(move |(edits, cut, form)| {
        let mut bytes = original.to_vec();
        if form == 2 {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(original).unwrap();
            bytes = gzip.finish().unwrap();
        } else if form == 3 {
            bytes = zstd::encode_all(original, 1).unwrap();
        }
        for (at, byte, kind) in edits {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, byte),
            }
        }
        if form == 1 {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        bytes
    })
}

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file.flush().unwrap();
    file
}

/// Reads to the end under both policies; the number of results is bounded by the lines that there can be.
fn read_everything(path: &Path) {
    for policy in [OnError::Fail, OnError::Skip] {
        assert!(Reviews::open(path, policy).unwrap().take(10_000).count() < 10_000);
        assert!(CatalogueRecords::open(path, policy).unwrap().take(10_000).count() < 10_000);
        let nested = RegenRecords::open(path, &RegenFields::default(), policy).unwrap();
        assert!(nested.take(10_000).count() < 10_000);
    }
    if let Ok(table) = InteractionTable::open(path, &Columns::default()) {
        assert!(table.take(10_000).count() < 10_000);
    }
    let _ = inspect(path, 100);
    read_mapped(path);
    let mut lines = Lines::open(path).unwrap();
    let mut count = 0;
    while let Ok(Some(_)) = lines.next_line() {
        count += 1;
        assert!(count < 100_000);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read_everything(file(&bytes).path());
    }

    #[test]
    fn damaged_files_are_read_or_refused(
        bytes in prop_oneof![damaged(REVIEWS), damaged(METADATA), damaged(TABLE), damaged(NESTED)]
    ) {
        read_everything(file(&bytes).path());
    }

    #[test]
    fn skipping_never_loses_the_good_line_behind_a_bad_one(bad in "[^\n\r]{1,60}") {
        let bytes = [b"x".as_slice(), bad.as_bytes(), b"\n", REVIEWS].concat();
        let file = file(&bytes);
        let mut reviews = Reviews::open(file.path(), OnError::Skip).unwrap();
        prop_assert_eq!(reviews.by_ref().filter(Result::is_ok).count(), 2);
        prop_assert_eq!(reviews.skipped().lines, 1);
    }

    #[test]
    fn texts_are_cleaned_without_panic_and_cleaning_is_thorough(text in "[a&;#x0-9<>/! é\u{1f58a}\\-]{0,40}|\\PC{0,40}") {
        let _ = decode_entities(&text);
        let _ = Price::parse(&text);
        if let Some(clean) = clean_text(&text) {
            prop_assert!(!clean.is_empty() && clean.trim() == clean && !clean.contains("  "), "{clean:?}");
        }
    }

    #[test]
    fn damaged_folders_are_read_or_refused(
        pairs in damaged(br#"{"uid": 1, "iid": 2, "title": "t", "item_summary": "s", "explanation": "e", "xrec_prediction": "p"}"#),
        table in damaged(b"user,item\n1,2\n3,4\n"),
        sequences in damaged(br#"{"0": [1, 2], "7": ["1"]}"#),
        atomic in damaged(b"user_id:token\titem_id:token\trating:float\tprice:float\nu\ti\t4.5\t3\n"),
        items in damaged(br#"{"1": {"title": "t", "brand": null, "description": ["a", "b"]}}"#),
    ) {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in [
            ("amazon_pairs.jsonl", &pairs),
            ("amazon_inter_trn.csv", &table),
            ("X.inter.json", &sequences),
            ("X.item.json", &items),
            ("dataset.json", &items),
            ("X.inter", &atomic),
            ("X.item", &atomic),
        ] {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        let _ = xrec::read(folder.path(), Vertical::Amazon);
        let _ = xrec::published_outputs(folder.path(), Vertical::Amazon);
        let _ = sequences::read(folder.path());
        let _ = prepared::read(folder.path());
        let _ = recbole::mapping(folder.path()).and_then(|mapping| mapping.read());
    }

    #[test]
    fn texts_that_are_no_mapping_are_refused(text in "[a-z_\\[\\]{}=\" \n0-9.]{0,120}", at in any::<prop::sample::Index>()) {
        let _ = Mapping::parse(&text);
        // And a good one with something strewn in.
        let good = MAPPINGS[1];
        let (head, tail) = good.split_at(at.index(good.len()));
        let _ = Mapping::parse(&format!("{head}{text}{tail}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn damaged_parquet_tables_with_right_sums_are_read_or_refused(
        table in prop::sample::select(&["users", "items", "interactions", "narratives"][..]),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let world = SyntheticConfig { users: 20, items: 130, ..Default::default() }.generate().unwrap();
        prepared::write_as(folder.path(), &world.dataset, None, TableFormat::Parquet).unwrap();
        let path = folder.path().join(format!("{table}.parquet"));
        let mut bytes = fs::read(&path).unwrap();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        fs::write(&path, bytes).unwrap();
        // The damage is given its right sum, or the reader would stop there.
        if let Err(Error::Checksum { expected, got, .. }) = prepared::read(folder.path()) {
            let manifest = folder.path().join("dataset.json");
            let text = fs::read_to_string(&manifest).unwrap().replace(&expected, &got);
            fs::write(&manifest, text).unwrap();
        }
        let read = prepared::read(folder.path());
        let stopped_at_the_sum = matches!(read, Err(Error::Checksum { .. }));
        prop_assert!(!stopped_at_the_sum);
    }
}
