//! The card of a bundle: what a person who finds the folder should know, in the form that Hugging Face's hub reads.

use std::fmt::Write;

use crate::{BaseModel, ItemTable, Narrator};

/// A README.md for the bundle.
pub(super) fn card(narrator: &Narrator, base: Option<&BaseModel>) -> String {
    let config = narrator.config();
    let mut card = String::from("---\nlibrary_name: regen\npipeline_tag: text-generation\n");
    card += "tags: [recommender, narrative, soft-tokens]\n";
    if let Some(base) = base {
        // JSON's strings are YAML's.
        let _ = writeln!(card, "base_model: {}", serde_json::Value::from(base.name.as_str()));
    }
    card += "---\n\n# A narrator\n\nWrites what a person may want to read about what they bought, from the vectors of the items.\n\n";

    let mut row = |what: &str, value: String| {
        let _ = writeln!(card, "| {what} | {} |", value.replace('|', "\\|"));
    };
    row("what", "value".to_owned());
    row("---", "---".to_owned());
    row("kinds of narrative", config.kinds.join(", "));
    match &config.adapter {
        Some(adapter) => {
            row("reads", format!("up to {} purchases, {}", config.max_history, adapter.sources));
            row("adapter", adapter.kind.as_str().to_owned());
            if let Some(review) = &adapter.details.review {
                row(
                    "reviews of the user",
                    format!("vectors of {} numbers, given with the history", review.dim),
                );
                let made_by = match narrator.review_encoder() {
                    Some(encoder) => format!("{}, SHA-256 {}", encoder.name, encoder.sha256),
                    None => "not recorded".to_owned(),
                };
                row("encoder of reviews", made_by);
            }
            if let Some(injection) = &config.injection {
                let layers: Vec<String> = injection.layers.iter().map(usize::to_string).collect();
                row("soft tokens are also added before blocks", layers.join(", "));
            }
            row("items", narrator.item_ids().len().to_string());
            for (side, table) in narrator.tables.sides() {
                row(&format!("{side} vectors"), vectors(table));
            }
            let folds = if narrator.tables.fold_in().is_some() { "yes" } else { "no" };
            row("users can be folded in", folds.to_owned());
        }
        None => row("reads", "a passage of text, no items".to_owned()),
    }
    if let (Some(_), Some(passage)) = (&config.adapter, &config.passage) {
        row("and", format!("a passage of up to {} tokens", passage.max_tokens));
    }
    let decoder = &config.decoder;
    let size = format!("{} layers of width {}", decoder.layers, decoder.hidden);
    row("language model", format!("{:?}, {size}, {} tokens of vocabulary", decoder.family, decoder.vocab));
    row("narratives", format!("of up to {} tokens", config.max_narrative_tokens));
    row("trained numbers", narrator.parameters().to_string());
    row("written by", format!("regen-narrator {}", env!("CARGO_PKG_VERSION")));

    card += "\n## Training\n\n";
    match narrator.provenance() {
        None => card += "Nothing is recorded of it.\n",
        Some(from) => {
            let _ = write!(card, "{} updates on {}, seed {}", from.updates, from.data, from.seed);
            if let Some(loss) = from.validation_loss {
                let _ = write!(card, "; {loss:.4} nats a token on users held out for validation");
            }
            let _ = writeln!(
                card,
                ".\n\nUsers were divided before training; the division's hash is `{}`. Judge this narrator by the test users of that \
                 division: another may have users whom it was trained on.",
                from.split
            );
        }
    }
    card += USE;
    card
}

fn vectors(table: &ItemTable) -> String {
    let known = table.known();
    format!("{} of {} items, {} numbers each", known, table.items(), table.dim())
}

const USE: &str = "
## Use

    let narrator = regen_narrator::Narrator::open(\"THIS FOLDER\".as_ref(), tch::Device::Cpu)?;
    let texts = narrator.narrate(&requests, &Default::default(), 16, &mut |_| std::ops::ControlFlow::Continue(()))?;

or, from the command line of the repository, with one request in JSON a line:

    cargo run --release --example write_narratives -- --narrator \"THIS FOLDER\" --requests requests.jsonl

## Limits

It knows the items of its tables and no others. What it writes is likely, not checked: it can name features that an item does not
have, and reasons that a person did not have. Whoever shows narratives to people should say that a model wrote them.
";
