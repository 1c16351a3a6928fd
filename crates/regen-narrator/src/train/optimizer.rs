//! Which parameters move, at which rates.

use regen_fusion::Sources;
use regen_lm::train::{AdamW, AdamWConfig, ParameterGroup};

use super::config::{TrainConfig, Trains};
use crate::{Error, ItemTable, Narrator, Result};

impl Narrator {
    /// Lets what a stage moves take gradients, and nothing else of the language model.
    pub(super) fn thaw(&mut self, trains: Trains) {
        let all = trains == Trains::All;
        for (store, moves) in [
            (&mut self.lm_vs, all && self.config.lora.is_none()),
            (&mut self.lora_vs, all),
            (&mut self.copy_vs, all),
        ] {
            if moves { store.unfreeze() } else { store.freeze() }
        }
    }

    pub(super) fn optimizer(&self, config: &TrainConfig) -> Result<AdamW> {
        let mut groups = Vec::new();
        // Tables are data more than weights: nothing pulls them towards zero.
        for (prefix, learning_rate, weight_decay) in [
            ("adapter.", config.adapter_learning_rate, config.weight_decay),
            ("copy.", config.learning_rate, config.weight_decay),
            ("lm.", config.learning_rate, config.weight_decay),
            ("lora.", config.learning_rate, config.weight_decay),
            ("next.", config.learning_rate, config.weight_decay),
            ("tables.cf", config.tables.cf.unwrap_or_default(), 0.0),
            ("tables.semantic", config.tables.semantic.unwrap_or_default(), 0.0),
        ] {
            // Nothing flows back to what tells the next item where that is not learned.
            let moves = prefix != "next." || config.next_item.is_some();
            let named = self.trainable().into_iter();
            let tensors: Vec<_> = named.filter(|(name, _)| moves && name.starts_with(prefix)).collect();
            if !tensors.is_empty() {
                let name = prefix.trim_end_matches('.').to_owned();
                groups.push(ParameterGroup { name, tensors, learning_rate, weight_decay });
            }
        }
        Ok(AdamW::new(groups, AdamWConfig::default())?)
    }

    /// Lets the tables that have a rate take gradients.
    pub(super) fn move_tables(&self, config: &TrainConfig) -> Result<()> {
        let sources = self.adapter.as_ref().map(|adapter| adapter.config().sources);
        let sides = [
            ("tables.cf", config.tables.cf, sources.is_some_and(Sources::cf), self.tables.cf()),
            (
                "tables.semantic",
                config.tables.semantic,
                sources.is_some_and(Sources::semantic),
                self.tables.semantic(),
            ),
        ];
        for (field, rate, read, table) in sides {
            let stored = table.is_some_and(ItemTable::is_stored);
            let refuse = |expected| {
                let got = rate.map_or_else(String::new, |rate| rate.to_string());
                Err(Error::InvalidConfig { field, got, expected })
            };
            match rate {
                None => {}
                Some(_) if !read => return refuse("none, since the adapter does not read that side"),
                Some(_) if stored => {
                    return refuse("none, since tables on disk cannot change: open them in memory");
                }
                Some(_) if field == "tables.cf" && self.config.adapter.as_ref().is_some_and(|a| a.user) => {
                    return refuse("none, since users are folded in against the factors of that table");
                }
                Some(_) => {}
            }
        }
        if config.next_item.is_some() && self.next_item.is_none() {
            return Err(Error::NoNextItem);
        }
        for (side, table) in self.tables.sides() {
            let rate = if side == "cf" { config.tables.cf } else { config.tables.semantic };
            if let Some(vectors) = table.in_memory() {
                let _ = vectors.set_requires_grad(rate.is_some());
            }
        }
        Ok(())
    }

    pub(super) fn fix_tables(&self) {
        for (_, table) in self.tables.sides() {
            if let Some(vectors) = table.in_memory() {
                let _ = vectors.set_requires_grad(false);
            }
        }
    }
}
