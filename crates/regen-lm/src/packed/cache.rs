//! Keys and values in memory of our own, without padding.

use regen_kernel::{Scratch, Spare};

use super::held::{CacheStorage, Numbers, Rows};
use super::memory::Memory;
use crate::config::DecoderConfig;

/// Keys and values of the tokens seen so far, for rows that may leave.
#[derive(Debug)]
pub(crate) struct PackedCache {
    layers: Vec<Store>,
    kv_heads: usize,
    head_dim: usize,
    capacity: usize,
    /// Tokens of each slot.
    lengths: Vec<usize>,
    /// The slot of each row that is still there.
    rows: Vec<usize>,
    /// What passes that write to it use again and again.
    memory: Box<Memory>,
}

/// One layer: `[slots, kv_heads, capacity, head_dim]` each.
#[derive(Debug)]
struct Store {
    keys: Numbers,
    values: Numbers,
}

impl PackedCache {
    /// Room for `capacity` tokens in each of `rows` rows.
    pub(super) fn new(config: &DecoderConfig, storage: CacheStorage, rows: usize, capacity: usize) -> Self {
        let (kv_heads, head_dim) = (config.kv_heads as usize, config.head_dim as usize);
        let size = rows * kv_heads * capacity * head_dim;
        let zeros = || Numbers::zeros(storage, size);
        let store = || Store { keys: zeros(), values: zeros() };
        let layers = (0..config.layers).map(|_| store()).collect();
        Self {
            layers,
            kv_heads,
            head_dim,
            capacity,
            lengths: vec![0; rows],
            rows: (0..rows).collect(),
            memory: Box::default(),
        }
    }

    /// The tokens of these rows, repeated where a row goes on in several ways, in a new cache with room for `more` of each.
    pub(crate) fn continued(&self, rows: &[usize], more: usize) -> Self {
        let longest = rows.iter().map(|row| self.length(*row)).max().unwrap_or(0);
        let (own, new) = (self.capacity * self.head_dim, (longest + more) * self.head_dim);
        let heads = rows.len() * self.kv_heads;
        let ranges: Vec<_> = (0..heads)
            .map(|place| {
                let row = rows[place / self.kv_heads];
                let from = (self.rows[row] * self.kv_heads + place % self.kv_heads) * own;
                (from..from + self.length(row) * self.head_dim, place * new)
            })
            .collect();
        let take = |held: &Numbers| held.taken(heads * new, &ranges);
        let layers = self.layers.iter();
        Self {
            layers: layers
                .map(|layer| Store { keys: take(&layer.keys), values: take(&layer.values) })
                .collect(),
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            capacity: longest + more,
            lengths: rows.iter().map(|row| self.length(*row)).collect(),
            rows: (0..rows.len()).collect(),
            memory: Box::default(),
        }
    }

    /// Lends the memory of passes.
    pub(crate) fn take_memory(&mut self) -> Box<Memory> {
        std::mem::take(&mut self.memory)
    }

    /// Takes it back, or that of another cache that is needed no more.
    pub(crate) fn put_memory(&mut self, memory: Box<Memory>) {
        self.memory = memory;
    }

    /// The memory of products.
    pub(super) fn products(&self) -> &Spare<Scratch> {
        &self.memory.products
    }

    /// Rows that are still there.
    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Tokens of a row, which is the position of the next one.
    pub(crate) fn length(&self, row: usize) -> usize {
        self.lengths[self.rows[row]]
    }

    /// Bytes of all places for keys and values, whether they are taken or not.
    pub(crate) fn bytes(&self) -> usize {
        self.layers.iter().map(|layer| layer.keys.bytes() + layer.values.bytes()).sum()
    }

    /// Keeps the rows at these places, in this order.
    pub(crate) fn keep(&mut self, places: &[usize]) {
        self.rows = places.iter().map(|place| self.rows[*place]).collect();
    }

    /// The rows at these places, in this order, apart from each other where a place is repeated. Slots come in groups of `group`
    /// that began alike and differ in their last `written` tokens only; of a group, all rows stay or none.
    pub(crate) fn fork(&mut self, places: &[usize], group: usize, written: usize) {
        let wanted: Vec<usize> = places.iter().map(|place| self.rows[*place]).collect();
        let mut free = vec![true; self.lengths.len()];
        wanted.iter().for_each(|slot| free[*slot] = false);
        let mut first = vec![true; self.lengths.len()];
        self.rows = wanted
            .iter()
            .map(|&slot| {
                if std::mem::replace(&mut first[slot], false) {
                    return slot;
                }
                // As many slots of a group are free as rows want a copy.
                let start = slot / group * group;
                let Some(own) = (start..start + group).find(|other| free[*other]) else {
                    unreachable!("a group has as many slots as rows");
                };
                free[own] = false;
                self.copy(slot, own, written);
                own
            })
            .collect();
    }

    /// Copies the last `written` tokens of a slot to another.
    fn copy(&mut self, from: usize, to: usize, written: usize) {
        let (length, width) = (self.lengths[from], self.head_dim);
        self.lengths[to] = length;
        for store in &mut self.layers {
            for own in [&mut store.keys, &mut store.values] {
                for head in 0..self.kv_heads {
                    let start =
                        |slot| ((slot * self.kv_heads + head) * self.capacity + length - written) * width;
                    own.copy_within(start(from)..start(from) + written * width, start(to));
                }
            }
        }
    }

    /// The tokens that were written to every layer, so many of each row, are now among those before.
    pub(super) fn advance(&mut self, counts: &[usize]) {
        for (&slot, count) in self.rows.iter().zip(counts) {
            self.lengths[slot] += count;
        }
    }

    /// All places for keys and values of each head of each row, row after row, whether they are taken or not. New tokens count once
    /// [`advance`](Self::advance) was called.
    ///
    /// **Shapes** `[capacity, head_dim]` each.
    pub(super) fn heads(&mut self, layer: usize) -> Vec<(Rows<'_>, Rows<'_>)> {
        let size = (self.capacity * self.head_dim).max(1);
        let store = &mut self.layers[layer];
        let all = store.keys.heads(size).into_iter().zip(store.values.heads(size));
        let mut all: Vec<Option<(Rows<'_>, Rows<'_>)>> = all.map(Some).collect();
        let heads = self.kv_heads;
        let places = self.rows.iter().flat_map(|slot| slot * heads..(slot + 1) * heads);
        places.filter_map(|place| all.get_mut(place)?.take()).collect()
    }
}
