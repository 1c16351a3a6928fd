//! Nested users: REGEN and its kin.

use regen_data::regen::{RegenFields, RegenRecords, read};
use regen_data::{Error, HistoryConfig, NarrativeKind, OnError, Preference, examples};

use crate::amazon::file;

const LINE: &str = r#"{"reviewer_id":"A1","zeta":{"unknown":[1,2.50,null]},"purchase_history":[{"item":{"asin":"B1","title":"Pen &amp; Ink","category":" Office - Pens","price":3.5,"extra":true},"review":{"summary":"s","rating":5,"text":"t","unix_time":20}},{"item":{"asin":"B2","title":"Pad","price":"$2.00"},"review":{"rating":2,"unix_time":10}}],"user":{"profile":"likes pens","long_summary":""},"last_purchase":{"item":{"asin":"B3"},"review":{"unix_time":30},"purchase_reason":"it was there"}}"#;

#[test]
fn a_regen_user_becomes_purchases_and_narratives() {
    let file = file(LINE.as_bytes());
    let fields = RegenFields::default();
    let (data, files) =
        read("office", &[file.path().to_owned()], &fields, Preference::Every, OnError::Fail).unwrap();
    assert_eq!(files[0].records, 1);
    assert_eq!(data.items.names().collect::<Vec<_>>(), ["B1", "B2", "B3"]);
    let pen = data.catalogue[0].as_ref().unwrap();
    assert_eq!((pen.text().unwrap().as_str(), pen.price), ("Pen & Ink · Office, Pens", Some(3.5)));
    assert_eq!(data.catalogue[1].as_ref().unwrap().price, Some(2.0));
    assert!(data.catalogue[2].is_none(), "nothing is known of the last purchase but its name");
    let kinds: Vec<_> = data.narratives.iter().map(|one| (one.kind, one.item.is_some())).collect();
    assert_eq!(kinds, [(NarrativeKind::UserSummaryShort, false), (NarrativeKind::PurchaseReason, true)]);
    let made = examples(&data, &HistoryConfig::default()).unwrap();
    let history: Vec<_> = made[1].history.iter().map(|&item| data.items.name(item)).collect();
    assert_eq!(history, ["B2", "B1"], "by time");
}

#[test]
fn unknown_fields_are_written_back_and_texts_can_be_added() {
    let file = file(LINE.as_bytes());
    let mut record = RegenRecords::open(file.path(), &RegenFields::default(), OnError::Fail)
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(record.to_line(), LINE.replace("2.50", "2.5"), "fields keep their order and their values");
    record.set("last_purchase.endorsement_short", "you will like it");
    record.set("zeta", "replaced");
    record.set("new.inner.text", "made");
    let line = record.to_line();
    for part in [
        r#""purchase_reason":"it was there","endorsement_short":"you will like it"}"#,
        r#""zeta":"replaced""#,
        r#""new":{"inner":{"text":"made"}}"#,
        r#""extra":true"#,
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[test]
fn a_last_purchase_that_repeats_the_end_of_the_history_is_counted_once() {
    let purchase = r#"{"item":{"asin":"B1"},"review":{"unix_time":5}}"#;
    let line =
        |last: &str| format!(r#"{{"reviewer_id":7,"purchase_history":[{purchase}],"last_purchase":{last}}}"#);
    let purchases = |line: String| {
        let file = file(line.as_bytes());
        let record = RegenRecords::open(file.path(), &RegenFields::default(), OnError::Fail)
            .unwrap()
            .next()
            .unwrap()
            .unwrap();
        assert_eq!(record.user, "7", "a name may be written as a number");
        record.purchases.len()
    };
    assert_eq!(purchases(line(purchase)), 1);
    assert_eq!(purchases(line(r#"{"item":{"asin":"B1"}}"#)), 1);
    assert_eq!(purchases(line(r#"{"item":{"asin":"B1"},"review":{"unix_time":6}}"#)), 2, "bought again");
    assert_eq!(purchases(line(r#"{"purchase_reason":"only text"}"#)), 1);
}

#[test]
fn what_a_record_must_have_is_named_when_it_is_missing() {
    let cases = [
        (r#"{"purchase_history":[]}"#, "no reviewer_id"),
        (r#"{"reviewer_id":"A","purchase_history":{}}"#, "no list purchase_history"),
        (r#"{"reviewer_id":"A","purchase_history":[{"item":{}}]}"#, "no item.asin in purchase_history[0]"),
        ("[]", "invalid type: sequence, expected a map"),
    ];
    for (line, expected) in cases {
        let file = file(line.as_bytes());
        let error = RegenRecords::open(file.path(), &RegenFields::default(), OnError::Fail)
            .unwrap()
            .next()
            .unwrap()
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(matches!(error, Error::MissingField { line: 1, .. } | Error::Json { line: 1, .. }));
    }
}
