//! What a narrator asks of its parts before it is put together.

use std::path::Path;

use regen_fusion::{AdapterConfig, Normalisation, Whitening};
use regen_lm::{Decoder, DecoderConfig, TextTokenizer};
use tch::{Kind, nn};

use crate::prompt::PromptTokens;
use crate::{Error, ItemIds, ItemTable, ItemTables, NarratorConfig, Result};

/// The whitening of the sides that `config` reads, where it is asked for; maps that change nothing if they are about to be
/// loaded.
pub(crate) fn whitening_maps(
    config: &AdapterConfig,
    tables: &ItemTables,
    opened: bool,
) -> Result<[Option<Whitening>; 2]> {
    let map = |read: bool, table: Option<&ItemTable>, dim: i64| match table {
        Some(table) if read && config.normalisation == Normalisation::Whiten => {
            if opened {
                Ok(Some(Whitening::identity(dim)))
            } else {
                table.whitening().map(Some)
            }
        }
        _ => Ok(None),
    };
    Ok([
        map(config.sources.cf(), tables.cf(), config.cf_dim)?,
        map(config.sources.semantic(), tables.semantic(), config.semantic_dim)?,
    ])
}

pub(crate) fn load_lm(vs: &nn::VarStore, dir: &Path, expected: &DecoderConfig) -> Result<Decoder> {
    let decoder = Decoder::load_under(&vs.root(), dir, Kind::Float)?;
    let got = decoder.config().differences(expected);
    if got.is_empty() {
        return Ok(decoder);
    }
    let expected = expected.differences(decoder.config()).join(", ");
    let part = "the language model's folder";
    Err(Error::Mismatch { part, got: got.join(", "), other: "the configuration", expected })
}

/// Refuses a part whose own description is not that of the configuration.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(part: &'static str, got: &T, expected: &T) -> Result<()> {
    if got == expected {
        return Ok(());
    }
    let (got, expected) = (format!("{got:?}"), format!("{expected:?}"));
    Err(Error::Mismatch { part, got, other: "the configuration", expected })
}

/// Refuses parts that do not belong together, before anything is allocated.
pub(crate) fn check(
    config: &NarratorConfig,
    tables: &ItemTables,
    item_ids: &ItemIds,
    tokenizer: &TextTokenizer,
    tokens: &PromptTokens,
) -> Result<()> {
    let mismatch = |part, got: String, other, expected: String| {
        if got == expected { Ok(()) } else { Err(Error::Mismatch { part, got, other, expected }) }
    };
    let width = |hidden: i64| format!("width {hidden}");
    tokenizer.check_fits(config.decoder.vocab())?;
    let names = |count: usize| format!("{count} items");
    mismatch("the list of item ids", names(item_ids.len()), "the item tables", names(tables.items()))?;
    if let Some(adapter) = &config.adapter {
        mismatch("the adapter", width(adapter.hidden), "the decoder", width(config.decoder.hidden()))?;
        let sides = [
            (adapter.sources.cf(), "the cf table", tables.cf(), adapter.cf_dim),
            (adapter.sources.semantic(), "the semantic table", tables.semantic(), adapter.semantic_dim),
        ];
        for (read, part, table, dim) in sides {
            if read {
                let got = table.map_or("no vectors".to_owned(), |table| width(table.dim()));
                mismatch(part, got, "the adapter", width(dim))?;
            }
        }
        if adapter.user && tables.fold_in().is_none() {
            return Err(Error::Mismatch {
                part: "the item tables",
                got: "no fold-in".into(),
                other: "an adapter that reads the user's vector",
                expected: "one: ItemTables::with_fold_in".into(),
            });
        }
        if let Some(injection) = &config.injection {
            injection.validate(config.decoder.layers)?;
        }
    } else if config.next_item || config.injection.is_some() {
        return Err(Error::NoAdapter);
    } else {
        mismatch("the item tables", names(tables.items()), "a narrator without an adapter", names(0))?;
    }
    for (field, value) in
        [("max_history", config.max_history), ("max_narrative_tokens", config.max_narrative_tokens)]
    {
        if value == 0 {
            return Err(Error::InvalidConfig { field, got: "0".into(), expected: "at least 1" });
        }
    }
    if let Some(passage) = &config.passage {
        if passage.max_tokens == 0 {
            let field = "passage.max_tokens";
            return Err(Error::InvalidConfig { field, got: "0".into(), expected: "at least 1" });
        }
        if passage.copy_width < 0 {
            let (field, got) = ("passage.copy_width", passage.copy_width.to_string());
            return Err(Error::InvalidConfig { field, got, expected: "at least 0" });
        }
    }
    let passage = config.passage.as_ref().map_or(0, |passage| passage.max_tokens);
    let places = config.places();
    let items = config
        .adapter
        .as_ref()
        .map_or(0, |_| places.of_history(config.max_history) + places.per_user + places.per_item);
    let longest = items + tokens.longest() + passage + config.max_narrative_tokens;
    if longest as i64 > config.decoder.max_positions() {
        return Err(Error::Mismatch {
            part: "the longest prompt with its narrative",
            got: format!("{longest} positions"),
            other: "the decoder",
            expected: format!(
                "at most {}: lower max_history or max_narrative_tokens",
                config.decoder.max_positions()
            ),
        });
    }
    Ok(())
}
