//! What the programs read: the synthetic world, or a folder of real data in a known format.

use std::path::Path;

use anyhow::{Result, bail};
use regen_data::synthetic::{GroundTruth, SyntheticConfig};
use regen_data::xrec::{self, PublishedOutput, Vertical};
use regen_data::{Dataset, SourceFormat, detect, sequences};

/// One data set and what is known beside it.
#[derive(Debug)]
pub struct Input {
    /// Users, items, purchases, texts.
    pub dataset: Dataset,
    /// What the generator of a synthetic world knew.
    pub truth: Option<GroundTruth>,
    /// What a published model wrote for the same narratives.
    pub published: Vec<PublishedOutput>,
    /// Plain sentences that a reader of results needs.
    pub remarks: Vec<String>,
}

/// Reads every data set that `dir` holds, or only `vertical` of it.
///
/// # Errors
/// If the folder holds no known format, or a file is damaged.
pub fn load(dir: &Path, vertical: Option<Vertical>) -> Result<Vec<Input>> {
    match detect(dir)? {
        SourceFormat::Xrec(found) => {
            let wanted: Vec<Vertical> = match vertical {
                Some(vertical) if !found.contains(&vertical) => {
                    bail!("{} does not hold the vertical {vertical}", dir.display())
                }
                Some(vertical) => vec![vertical],
                None => found,
            };
            wanted.into_iter().map(|vertical| published(dir, vertical)).collect()
        }
        SourceFormat::Sequences(_) => {
            let dataset = sequences::read(dir)?;
            Ok(vec![Input { dataset, truth: None, published: Vec::new(), remarks: Vec::new() }])
        }
        other => bail!(
            "the quickstart reads the XRec release and purchase sequences, and {} holds another format ({other:?}), which \
             prepare_data and the programs of the stages take",
            dir.display()
        ),
    }
}

/// A synthetic world with its truth.
///
/// # Errors
/// If the configuration is refused.
pub fn synthetic(config: &SyntheticConfig) -> Result<Input> {
    let world = config.generate()?;
    let remarks = vec![
        "This is a made-up world: the text of an item shows its colour, brand and category, and nothing of the \
         kind of work it is bought for; that only co-purchase reveals. Narratives speak of both. So fusion can win \
         here by construction: the run demonstrates the mechanism, not the paper's finding."
            .to_owned(),
    ];
    Ok(Input { dataset: world.dataset, truth: Some(world.truth), published: Vec::new(), remarks })
}

fn published(dir: &Path, vertical: Vertical) -> Result<Input> {
    let remarks = vec![
        "Real data: purchase reasons that a language model wrote from real reviews (the XRec release). Only items \
         of the pairs have text, so most of a history is known by its collaborative vector alone, and the learned \
         \u{201c}absent\u{201d} vector stands for the rest."
            .to_owned(),
        "The language model is small and trained from scratch on these few texts. The line \u{201c}published \
         XRec\u{201d} is what its authors' model, a Llama-2-7B with an adapter, wrote for the same held-out pairs; \
         their split is another one than ours."
            .to_owned(),
    ];
    Ok(Input {
        dataset: xrec::read(dir, vertical)?,
        truth: None,
        published: xrec::published_outputs(dir, vertical)?,
        remarks,
    })
}
