//! The releases in miniature: folders made here, with the quirks of the real ones.

use std::fs;

use regen_data::xrec::{self, Vertical};
use regen_data::{Chronology, Error, HistoryConfig, SourceFormat, detect, examples, sequences};

fn xrec_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("google_inter_trn.csv"), "user,item\n7,30\n7,31\n8,30\n7,32\n").unwrap();
    let pair = |uid, iid, title: &str| {
        format!(
            r#"{{"uid": {uid}, "iid": {iid}, "title": "{title}", "user_summary": "SECRET", "item_summary": "sells &quot;tea&quot;", "explanation": "because {uid} likes {iid}", "xrec_prediction": "perhaps {iid}"}}"#
        )
    };
    let pairs = [pair(7, 31, "Tea &amp; Co"), pair(9, 40, "Mill"), pair(8, 31, "ignored second title")];
    fs::write(folder.path().join("google_pairs.jsonl"), pairs.join("\n")).unwrap();
    folder
}

#[test]
fn xrec_pairs_become_narratives_and_their_purchases_are_added_once() {
    let folder = xrec_folder();
    assert_eq!(detect(folder.path()).unwrap(), SourceFormat::Xrec(vec![Vertical::Google]));
    let data = xrec::read(folder.path(), Vertical::Google).unwrap();
    assert_eq!(data.users.names().collect::<Vec<_>>(), ["7", "8", "9"]);
    assert_eq!(data.items.names().collect::<Vec<_>>(), ["30", "31", "32", "40"]);
    assert_eq!(data.interactions.len(), 6, "two of three pairs are new");
    assert_eq!(data.chronology, Chronology::Unknown);
    let texts = data.item_texts();
    assert_eq!(texts[1].as_deref(), Some("Tea & Co · sells \"tea\""));
    assert_eq!((&texts[0], &texts[2]), (&None, &None));
    assert!(
        !format!("{data:?}").contains("SECRET"),
        "the user summary is derived from the explained reviews"
    );

    let made = examples(&data, &HistoryConfig::default()).unwrap();
    let history = |at: usize| made[at].history.iter().map(|&item| data.items.name(item)).collect::<Vec<_>>();
    assert_eq!(history(0), ["30", "32"], "everything else that the user bought");
    assert!(history(1).is_empty(), "the only purchase is the target");
    assert_eq!(made[2].reference, "because 8 likes 31");

    let published = xrec::published_outputs(folder.path(), Vertical::Google).unwrap();
    assert_eq!((published[1].user.as_str(), published[1].prediction.as_str()), ("9", "perhaps 40"));
}

#[test]
fn a_broken_pair_is_found_by_file_line_and_column() {
    let folder = xrec_folder();
    let path = folder.path().join("google_pairs.jsonl");
    let good = fs::read_to_string(&path).unwrap();
    let first = good.lines().next().unwrap();
    fs::write(&path, format!("{first}\n\n{{\"uid\": 7, \"iid\": \"x\"}}\n")).unwrap();
    match xrec::read(folder.path(), Vertical::Google).unwrap_err() {
        Error::Json { path: found, line: 3, column: 21, reason } => {
            assert_eq!(found, path);
            assert!(reason.contains("expected u64"), "{reason}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_folder_of_nothing_known_says_what_was_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let error = detect(folder.path()).unwrap_err().to_string();
    for name in ["amazon_pairs.jsonl", "google_inter_trn.csv", "NAME.inter.json"] {
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn sequences_keep_their_order_and_take_raw_ids_where_they_exist() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("Pens.inter.json", r#"{"1": [2, 0], "0": [1, 2]}"#);
    write(
        "Pens.item.json",
        r#"{"0": {"title": "Pen &amp; Ink", "brand": null, "description": ["<p>one</p>", "two"]}, "1": {}, "3": {"title": "Unsold"}}"#,
    );
    assert_eq!(detect(folder.path()).unwrap(), SourceFormat::Sequences("Pens".into()));
    let data = sequences::read(folder.path()).unwrap();
    let names = |data: &regen_data::Dataset| {
        let pair = |purchase: &regen_data::Interaction| {
            (data.users.name(purchase.user).to_owned(), data.items.name(purchase.item).to_owned())
        };
        data.interactions.iter().map(pair).collect::<Vec<_>>()
    };
    let pairs =
        |list: [(&str, &str); 4]| list.map(|(user, item)| (user.to_owned(), item.to_owned())).to_vec();
    assert_eq!(names(&data), pairs([("1", "2"), ("1", "0"), ("0", "1"), ("0", "2")]));
    assert_eq!(data.catalogue[1].as_ref().unwrap().text().unwrap(), "Pen & Ink · one two");
    assert_eq!(data.catalogue.len(), 4);
    assert!(data.catalogue[2].is_none(), "an item without facts");

    write("item_index.json", r#"{"B00A": 0, "B00B": 1, "B00C": 2, "B00D": 3}"#);
    let data = sequences::read(folder.path()).unwrap();
    assert_eq!(names(&data)[0], ("1".to_owned(), "B00C".to_owned()));
    write("item_index.json", r#"{"B00A": 0, "B00B": 1}"#);
    assert!(matches!(sequences::read(folder.path()).unwrap_err(), Error::MissingField { .. }));
}
