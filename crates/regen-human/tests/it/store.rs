//! The store: one study per file, answers replaced, other files refused.

use std::fs;

use regen_human::{Answer, Design, Error, Store, Study, export, order_of};

use crate::studies::study;

#[test]
fn a_store_keeps_its_study_and_refuses_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.sqlite");
    let ours = study(Design::Pairs, 3);
    drop(Store::create(&path, &ours).unwrap());
    drop(Store::create(&path, &ours).unwrap());
    assert_eq!(Store::open(&path).unwrap().1, ours);
    for other in [study(Design::Single, 3), study(Design::Pairs, 2), Study { seed: 12, ..ours }] {
        assert!(matches!(Store::create(&path, &other), Err(Error::OtherStudy { .. })));
    }
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent.sqlite");
    assert!(matches!(Store::open(&absent), Err(Error::NoStudy { .. })));
    assert!(!absent.exists(), "looking makes no file");
    let text = folder.path().join("notes.txt");
    fs::write(
        &text,
        "a shopping list that is longer than a header of SQLite, which has a hundred bytes or so in all",
    )
    .unwrap();
    assert!(matches!(Store::create(&text, &study(Design::Single, 1)), Err(Error::Store { .. })));
    assert!(fs::read_to_string(&text).unwrap().starts_with("a shopping list"));
    let foreign = folder.path().join("foreign.sqlite");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE mine (x)").unwrap();
    assert!(matches!(Store::create(&foreign, &study(Design::Single, 1)), Err(Error::Layout { got: 0, .. })));
    assert!(matches!(Store::open(&foreign), Err(Error::Layout { got: 0, .. })));
}

#[test]
fn a_second_answer_replaces_the_first_and_damage_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.sqlite");
    let study = study(Design::Single, 1);
    let mut store = Store::create(&path, &study).unwrap();
    let rater = store.join("Ada").unwrap().number;
    let task = order_of(&study, rater)[0].task;
    for score in [2, 5] {
        store.put(rater, task, "fluency", Answer::Score(score), false, 1.0).unwrap();
    }
    let answers = store.answers(&study, None).unwrap();
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].answer, Answer::Score(5));
    assert!(answers[0].at.ends_with('Z') && answers[0].at.len() == 20, "{}", answers[0].at);
    rusqlite::Connection::open(&path).unwrap().execute("UPDATE answers SET answer = 'nine'", []).unwrap();
    let damaged = store.answers(&study, None).unwrap_err();
    assert!(damaged.to_string().ends_with("is damaged: an answer reads `nine`"), "{damaged}");
}

#[test]
fn raters_are_numbered_in_the_order_of_joining() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::create(folder.path().join("s"), &study(Design::Single, 1)).unwrap();
    let numbers: Vec<usize> =
        ["Ada", "Grace", "ada", "Émilie"].map(|name| store.join(name).unwrap().number).into();
    assert_eq!(numbers, [0, 1, 0, 2]);
}

#[test]
fn the_export_has_a_row_for_each_answer_with_system_and_side() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(Design::Pairs, 4);
    let mut store = Store::create(folder.path().join("s"), &study).unwrap();
    let rater = store.join("Ada").unwrap().number;
    let order = order_of(&study, rater);
    for assigned in &order {
        store.put(rater, assigned.task, "fluency", Answer::Second, assigned.swapped, 3.25).unwrap();
    }
    let path = folder.path().join("answers.csv");
    assert_eq!(export(&study, &mut store, &path).unwrap(), 4);
    let mut reader = csv::Reader::from_path(&path).unwrap();
    let header = reader.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let field = |row: &csv::StringRecord, name: &str| {
        row[header.iter().position(|column| column == name).unwrap()].to_owned()
    };
    assert_eq!(rows.len(), 4);
    for row in &rows {
        assert_eq!(field(row, "rater"), "Ada");
        assert_eq!(field(row, "answer"), "second");
        assert_eq!(field(row, "other_system"), "SECRET-BETA");
        assert_eq!(field(row, "kind"), "endorsement_short");
        assert!(field(row, "text").starts_with("alpha writes"));
    }
    let left = rows.iter().filter(|row| field(row, "shown_left") == "SECRET-BETA").count();
    assert_eq!(left, order.iter().filter(|assigned| assigned.swapped).count());
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "no temporary file stays: {names:?}");
}
