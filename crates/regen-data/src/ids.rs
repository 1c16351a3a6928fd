//! Dense ids. Every matrix of the pipeline has one row per user or item, so ids are row numbers (`u32`), and the
//! names that files use (`A2IBPI20UZIR0U`, `B004W7IOV4`) are kept once, in an [`IdMap`].

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A row number that knows what its rows are. Implemented by [`UserId`] and [`ItemId`].
pub trait DenseId: Copy + Ord + Hash + fmt::Debug + Send + Sync + 'static {
    /// The row.
    fn index(self) -> usize;
    /// The id of a row.
    ///
    /// # Panics
    /// If `index` exceeds `u32::MAX`; an [`IdMap`] never hands out such an index.
    fn from_index(index: usize) -> Self;
}

macro_rules! dense_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(u32);

        impl $name {
            /// The row of this id.
            pub fn index(self) -> usize {
                self.0 as usize
            }

            /// The id of row `index`.
            ///
            /// # Panics
            /// If `index` exceeds `u32::MAX`.
            pub fn from_index(index: usize) -> Self {
                Self(u32::try_from(index).expect("dense ids are 32-bit"))
            }
        }

        impl DenseId for $name {
            fn index(self) -> usize {
                self.index()
            }
            fn from_index(index: usize) -> Self {
                Self::from_index(index)
            }
        }
    };
}

dense_id! {
    /// A user: row of the user factors.
    UserId
}
dense_id! {
    /// An item: row of the item factors, of the embeddings, and of [`Dataset::catalogue`](crate::Dataset::catalogue).
    ItemId
}

/// Names ↔ dense ids, in order of first appearance.
///
/// ```
/// use regen_data::{IdMap, ItemId};
/// let mut items: IdMap<ItemId> = IdMap::new();
/// let pen = items.intern("B004W7IOV4")?;
/// assert_eq!(items.intern("B004W7IOV4")?, pen);
/// assert_eq!(items.name(pen), "B004W7IOV4");
/// assert_eq!(items.get("unseen"), None);
/// # Ok::<(), regen_data::Error>(())
/// ```
#[derive(Clone)]
pub struct IdMap<Id> {
    names: Vec<Arc<str>>,
    index: HashMap<Arc<str>, u32>,
    id: PhantomData<Id>,
}

impl<Id: DenseId> IdMap<Id> {
    /// A map without ids.
    pub fn new() -> Self {
        Self { names: Vec::new(), index: HashMap::new(), id: PhantomData }
    }

    /// The id of `name`, which is added if it is new.
    ///
    /// # Errors
    /// [`Error::TooManyIds`] when 2³² − 1 names are known already.
    pub fn intern(&mut self, name: &str) -> Result<Id> {
        if let Some(&index) = self.index.get(name) {
            return Ok(Id::from_index(index as usize));
        }
        let index = u32::try_from(self.names.len())
            .ok()
            .filter(|&index| index < u32::MAX)
            .ok_or(Error::TooManyIds { limit: u32::MAX })?;
        let name: Arc<str> = Arc::from(name);
        self.names.push(Arc::clone(&name));
        self.index.insert(name, index);
        Ok(Id::from_index(index as usize))
    }

    /// The id of `name`, if it is known.
    pub fn get(&self, name: &str) -> Option<Id> {
        self.index.get(name).map(|&index| Id::from_index(index as usize))
    }

    /// The name of `id`.
    ///
    /// # Panics
    /// If `id` is not from this map.
    pub fn name(&self, id: Id) -> &str {
        &self.names[id.index()]
    }

    /// How many ids there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no id.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Every id with its name, in order of the ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Id, &str)> {
        self.names.iter().enumerate().map(|(index, name)| (Id::from_index(index), &**name))
    }

    /// Every id, in order.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = Id> + use<Id> {
        (0..self.names.len()).map(Id::from_index)
    }

    /// Every name, in order of the ids: the lines of the id list that stands beside a matrix.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }
}

impl<Id: DenseId> Default for IdMap<Id> {
    fn default() -> Self {
        Self::new()
    }
}

impl<Id> fmt::Debug for IdMap<Id> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdMap({} names)", self.names.len())
    }
}

impl<Id> PartialEq for IdMap<Id> {
    fn eq(&self, other: &Self) -> bool {
        self.names == other.names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_count_in_order_of_first_appearance() {
        let mut users: IdMap<UserId> = IdMap::new();
        let given: Vec<usize> =
            ["b", "a", "b", "", "a"].iter().map(|name| users.intern(name).unwrap().index()).collect();
        assert_eq!(given, [0, 1, 0, 2, 1]);
        assert_eq!(users.names().collect::<Vec<_>>(), ["b", "a", ""]);
        assert_eq!(users.len(), 3);
    }
}
