//! Keys and values in memory of our own, without padding.

use regen_torch::tensor_to_vec_f32;

use crate::cache::KvCache;
use crate::config::DecoderConfig;
use crate::error::Result;

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
}

/// One layer: `[slots, kv_heads, capacity, head_dim]` each.
#[derive(Debug)]
struct Store {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl PackedCache {
    /// Takes over what a forward pass of libtorch left, and has room for `more` tokens of each row.
    pub(super) fn new(config: &DecoderConfig, from: &KvCache, more: usize) -> Result<Self> {
        let slots = from.batch() as usize;
        let (kv_heads, head_dim) = (config.kv_heads as usize, config.head_dim as usize);
        let columns = from.len() as usize;
        let lengths: Vec<usize> = (0..slots).map(|slot| from.seen.real_tokens(slot) as usize).collect();
        let capacity = lengths.iter().copied().max().unwrap_or(0) + more;
        let take = |tensor: &tch::Tensor| -> Result<Vec<f32>> {
            let held = tensor_to_vec_f32(&tensor.f_narrow(2, 0, columns as i64)?)?;
            let mut own = vec![0.0; slots * kv_heads * capacity * head_dim];
            let pairs = own.chunks_exact_mut(capacity * head_dim).zip(held.chunks_exact(columns * head_dim));
            for (pair, (to, from_columns)) in pairs.enumerate() {
                let real = from.seen.row(pair / kv_heads);
                let kept = from_columns.chunks_exact(head_dim).zip(real).filter(|(_, real)| **real);
                for (to, (column, _)) in to.chunks_exact_mut(head_dim).zip(kept) {
                    to.copy_from_slice(column);
                }
            }
            Ok(own)
        };
        let layers = from.layers.iter().map(|layer| {
            let (keys, values) = layer.tensors();
            Ok(Store { keys: take(keys)?, values: take(values)? })
        });
        let layers = layers.collect::<Result<_>>()?;
        Ok(Self { layers, kv_heads, head_dim, capacity, lengths, rows: (0..slots).collect() })
    }

    /// Rows that are still there.
    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Tokens of a row, which is the position of the next one.
    pub(super) fn length(&self, row: usize) -> usize {
        self.lengths[self.rows[row]]
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

    /// Writes the keys and values of the next token of a row. They count once [`advance`](Self::advance) was called.
    ///
    /// **Shapes** `keys, values: [kv_heads, head_dim]`.
    pub(super) fn write(&mut self, layer: usize, row: usize, keys: &[f32], values: &[f32]) {
        let (slot, width) = (self.rows[row], self.head_dim);
        let store = &mut self.layers[layer];
        for (own, new) in [(&mut store.keys, keys), (&mut store.values, values)] {
            for (head, new) in new.chunks_exact(width).enumerate() {
                let start = ((slot * self.kv_heads + head) * self.capacity + self.lengths[slot]) * width;
                own[start..start + width].copy_from_slice(new);
            }
        }
    }

    /// The token that was written to every layer is now one of those before.
    pub(super) fn advance(&mut self) {
        for &slot in &self.rows {
            self.lengths[slot] += 1;
        }
    }

    /// Keys and values that the token just written may see, itself included: all, or the last `window`.
    ///
    /// **Shapes** `[len, head_dim]` each.
    pub(super) fn seen(
        &self,
        layer: usize,
        row: usize,
        head: usize,
        window: Option<usize>,
    ) -> (&[f32], &[f32]) {
        let slot = self.rows[row];
        let end = self.lengths[slot] + 1;
        let start = window.map_or(0, |window| end.saturating_sub(window));
        let base = (slot * self.kv_heads + head) * self.capacity;
        let range = (base + start) * self.head_dim..(base + end) * self.head_dim;
        let store = &self.layers[layer];
        (&store.keys[range.clone()], &store.values[range])
    }
}
