//! Small studies that several tests share.

use regen_human::{Design, Study, StudyCase, StudyConfig};
use regen_metrics::rubric::{NarrativeKind, Rubric};

/// A text that must never become markup.
pub(crate) const MARKUP: &str =
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script> & co";

/// Names that must never reach a page.
pub(crate) const SYSTEMS: [&str; 2] = ["SECRET-ALPHA", "SECRET-BETA"];

pub(crate) fn cases(count: usize) -> Vec<StudyCase> {
    (0..count)
        .map(|case| StudyCase {
            item: Some(format!("item-{case}")),
            kind: Some(NarrativeKind::EndorsementShort),
            item_text: Some(format!("Kestrel Gel Pen {case}, Teal, 12-Pack {MARKUP}")),
            history: vec!["Halden Stapler, Black".into(), "Orla Notebook, Dotted".into()],
            context: (case % 2 == 0).then(|| "Something that does not smear.".into()),
            texts: vec![
                Some(format!(
                    "alpha writes {case}: you wrote a lot, so a fine line that dries at once helps. {MARKUP}"
                )),
                Some(format!("beta writes {case}: twelve teal pens that match your black stapler. {MARKUP}")),
            ],
            ..StudyCase::default()
        })
        .collect()
}

pub(crate) fn config(design: Design) -> StudyConfig {
    StudyConfig { design, rubric: Rubric::standard(), seed: 11, cases: None, per_rater: None }
}

pub(crate) fn study(design: Design, count: usize) -> Study {
    Study::new(SYSTEMS.map(str::to_owned).into(), cases(count), config(design)).unwrap()
}
