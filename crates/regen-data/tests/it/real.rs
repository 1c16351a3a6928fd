//! Counts on the real public files. They are not part of the project; name the folder that holds them:
//!
//! `REGEN_DATA_DIR=path/to/data cargo test -p regen-data -- --ignored`

use std::path::PathBuf;

use regen_data::xrec::{self, Vertical};
use regen_data::{
    HistoryConfig, SourceFormat, SplitRule, audit_leaks, detect, examples, sequences, training_interactions,
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
