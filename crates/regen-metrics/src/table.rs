//! A hash table from small keys to numbers that is emptied by one addition, for counting within a segment.

/// A key, compared as a whole.
pub(crate) trait TableKey: Copy + Eq + Default {
    /// A hash whose upper bits depend on all of the key.
    fn spread(self) -> u64;
}

impl TableKey for u64 {
    #[inline]
    fn spread(self) -> u64 {
        fold(self ^ GOLDEN, SQUARE_ROOT)
    }
}

/// The two halves of the 128-bit product: each bit of a factor reaches every bit of the result.
#[inline]
pub(crate) fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// 2⁶⁴ divided by the golden ratio, and 2⁶⁴ times the fraction of √2: odd, and without pattern in their bits.
pub(crate) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
pub(crate) const SQUARE_ROOT: u64 = 0x6a09_e667_f3bc_c909;

/// A slot of the table; valid where `epoch` is the table's current one.
#[derive(Clone, Copy, Default)]
struct Slot<K> {
    key: K,
    epoch: u32,
    id: u32,
}

/// An open-addressing table from keys to numbers, at most half full.
pub(crate) struct Table<K> {
    slots: Vec<Slot<K>>,
    epoch: u32,
    /// What is left of 64 bits besides those of a slot's place.
    shift: u32,
}

impl<K: TableKey> Default for Table<K> {
    fn default() -> Self {
        Self::with_slots(256)
    }
}

impl<K: TableKey> Table<K> {
    /// `slots` is a power of two.
    fn with_slots(slots: usize) -> Self {
        Self { slots: vec![Slot::default(); slots], epoch: 1, shift: 64 - slots.ilog2() }
    }

    /// Forgets all entries and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.slots.fill(Slot::default());
            self.epoch = 1;
        }
    }

    /// Makes room for `entries` entries in all.
    #[inline]
    pub(crate) fn reserve(&mut self, entries: usize) {
        if 2 * entries > self.slots.len() {
            self.grow(entries);
        }
    }

    #[cold]
    fn grow(&mut self, entries: usize) {
        let mut larger = Self::with_slots((2 * entries).next_power_of_two());
        for slot in self.slots.iter().filter(|slot| slot.epoch == self.epoch) {
            let mut at = larger.home(slot.key);
            while larger.slots[at].epoch == larger.epoch {
                at = (at + 1) & (larger.slots.len() - 1);
            }
            larger.fill(at, slot.key, slot.id);
        }
        *self = larger;
    }

    /// The number of a key: its own, or `next` if it is new; and whether it is. There must be [room](Self::reserve) for it.
    ///
    /// Whether a word was seen before is as good as random, so that decides no branch here: a slot that is free or the
    /// key's own is written either way.
    #[inline]
    pub(crate) fn number(&mut self, key: K, next: u32) -> (u32, bool) {
        let mut at = self.home(key);
        loop {
            let slot = &mut self.slots[at];
            let free = slot.epoch != self.epoch;
            if free | (slot.key == key) {
                let id = if free { next } else { slot.id };
                *slot = Slot { key, epoch: self.epoch, id };
                return (id, free);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// The number of a key, or `absent`; without a branch, as [`number`](Self::number).
    #[inline]
    pub(crate) fn find_or(&self, key: K, absent: u32) -> u32 {
        let mut at = self.home(key);
        loop {
            let slot = &self.slots[at];
            let free = slot.epoch != self.epoch;
            if free | (slot.key == key) {
                return if free { absent } else { slot.id };
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// The number of the entry with this key that `is_it` accepts, or the free slot where it would go.
    #[inline]
    pub(crate) fn probe(&self, key: K, is_it: impl Fn(u32) -> bool) -> Result<u32, usize> {
        let mut at = self.home(key);
        loop {
            let slot = &self.slots[at];
            if slot.epoch != self.epoch {
                return Err(at);
            }
            if slot.key == key && is_it(slot.id) {
                return Ok(slot.id);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// Puts an entry into the free slot that [`probe`](Self::probe) named.
    pub(crate) fn fill(&mut self, at: usize, key: K, id: u32) {
        self.slots[at] = Slot { key, epoch: self.epoch, id };
    }

    #[inline]
    fn home(&self, key: K) -> usize {
        (key.spread() >> self.shift) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_outlive_growth_and_not_a_clearing() {
        let mut table = Table::<u64>::default();
        for round in 0..3u64 {
            for entry in 0..1_000u32 {
                table.reserve(entry as usize + 1);
                let key = u64::from(entry) * 7 + round;
                assert_eq!(table.number(key, entry), (entry, true));
                assert_eq!(table.number(key, 5_000), (entry, false));
            }
            for entry in 0..1_000u32 {
                let key = u64::from(entry) * 7 + round;
                assert_eq!((table.find_or(key, 5_000), table.find_or(key + 1, 5_000)), (entry, 5_000));
                assert_eq!(table.probe(key, |id| id == entry), Ok(entry));
                assert!(table.probe(key, |id| id != entry).is_err());
            }
            table.clear();
            assert_eq!(table.find_or(round, 5_000), 5_000);
        }
    }
}
