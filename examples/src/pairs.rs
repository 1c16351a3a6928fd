//! A table of interactions as numbers, with the names they stand for.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Result, ensure};
use regen_data::{Columns, IdMap, InteractionTable, ItemId, UserId};
use regen_wals::InteractionMatrix;

/// Ids in order of first appearance, and pairs of their numbers.
#[derive(Debug)]
pub struct Pairs {
    /// Line k names user k.
    pub users: IdMap<UserId>,
    /// Line k names item k.
    pub items: IdMap<ItemId>,
    /// (user, item, value); pairs may occur several times.
    pub triplets: Vec<(u32, u32, f32)>,
}

impl Pairs {
    /// Reads a whole table; without a value column every value is 1.
    ///
    /// # Errors
    /// If the table is damaged or empty.
    pub fn read(path: &Path) -> Result<Self> {
        let mut pairs = Self { users: IdMap::new(), items: IdMap::new(), triplets: Vec::new() };
        for row in InteractionTable::open(path, &Columns::default())? {
            let row = row?;
            let user = pairs.users.intern(&row.user)?.index() as u32;
            let item = pairs.items.intern(&row.item)?.index() as u32;
            pairs.triplets.push((user, item, row.value.unwrap_or(1.0)));
        }
        ensure!(!pairs.triplets.is_empty(), "{} holds no pair", path.display());
        Ok(pairs)
    }

    /// Pairs of a table whose user and item this one knows, and how many it does not.
    ///
    /// # Errors
    /// If the table is damaged.
    pub fn read_known(&self, path: &Path) -> Result<(Vec<(u32, u32)>, usize)> {
        let mut known = Vec::new();
        let mut unknown = HashSet::new();
        for row in InteractionTable::open(path, &Columns::default())? {
            let row = row?;
            match (self.users.get(&row.user), self.items.get(&row.item)) {
                (Some(user), Some(item)) => known.push((user.index() as u32, item.index() as u32)),
                _ => {
                    unknown.insert((row.user, row.item));
                }
            }
        }
        Ok((known, unknown.len()))
    }

    /// The matrix, without pairs of value 0 if they are to count as unobserved. Takes the
    /// triplets; the names stay.
    ///
    /// # Errors
    /// If a value is refused.
    pub fn matrix(&mut self, drop_zeros: bool) -> Result<InteractionMatrix> {
        let mut triplets = std::mem::take(&mut self.triplets);
        if drop_zeros {
            triplets.retain(|&(_, _, value)| value != 0.0);
        }
        Ok(InteractionMatrix::from_triplets(self.users.len(), self.items.len(), triplets)?)
    }
}
