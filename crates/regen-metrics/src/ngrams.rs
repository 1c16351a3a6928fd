//! Counting n-grams exactly and without allocating per n-gram.
//!
//! Words become small integers (equal words, equal integers: bytes are compared, not only hashes), and an
//! n-gram is the pair of its prefix's number and its last word's number. Such a pair fits one `u64`, so
//! a table keyed by it can never confuse two n-grams.

/// Numbers the distinct words of one segment.
#[derive(Default)]
pub(crate) struct Vocabulary {
    table: Table,
    bytes: Vec<u8>,
    /// End of word `id` in `bytes`.
    ends: Vec<usize>,
}

impl Vocabulary {
    /// Forgets all words and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.table.clear();
        self.bytes.clear();
        self.ends.clear();
    }

    /// How many distinct words there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The number of a word, new or known.
    pub(crate) fn intern(&mut self, word: &[u8]) -> u32 {
        self.table.reserve(self.ends.len() + 1);
        let hash = hash_bytes(word);
        match self.table.probe(hash, |id| word_at(&self.bytes, &self.ends, id) == word) {
            Ok(id) => id,
            Err(free) => {
                let id = self.ends.len() as u32;
                self.bytes.extend_from_slice(word);
                self.ends.push(self.bytes.len());
                self.table.fill(free, hash, id);
                id
            }
        }
    }

    /// The number of a word if it is known.
    pub(crate) fn find(&self, word: &[u8]) -> Option<u32> {
        self.table.probe(hash_bytes(word), |id| word_at(&self.bytes, &self.ends, id) == word).ok()
    }
}

fn word_at<'a>(bytes: &'a [u8], ends: &[usize], id: u32) -> &'a [u8] {
    let id = id as usize;
    let start = if id == 0 { 0 } else { ends[id - 1] };
    &bytes[start..ends[id]]
}

/// How often an n-gram occurs in the references.
#[derive(Clone, Copy, Default)]
struct Count {
    /// The reference that `current` counts in.
    reference: u32,
    current: u32,
    /// The most in any one reference, and while matching: how many are left to match.
    most: u32,
}

impl Count {
    fn bump(&mut self, reference: u32) {
        if self.reference != reference {
            self.reference = reference;
            self.current = 0;
        }
        self.current += 1;
        self.most = self.most.max(self.current);
    }

    fn take(&mut self) -> u64 {
        let taken = self.most.min(1);
        self.most -= taken;
        u64::from(taken)
    }
}

/// Clipped n-gram matches of one hypothesis with one or more references, for all orders up to a maximum.
#[derive(Default)]
pub(crate) struct NgramMatcher {
    table: Table,
    references: u32,
    /// By word, for order 1.
    words: Vec<Count>,
    /// By n-gram, for the higher orders.
    ngrams: Vec<Count>,
}

/// Marks a prefix that is a single word, so that it differs from every n-gram's number.
const WORD: u32 = 1 << 31;

impl NgramMatcher {
    /// Forgets all references and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.table.clear();
        self.references = 0;
        self.words.clear();
        self.ngrams.clear();
    }

    /// Adds a reference whose words are numbered below `vocabulary`.
    pub(crate) fn add_reference(&mut self, words: &[u32], vocabulary: usize, max_order: usize) {
        self.references += 1;
        self.words.resize(vocabulary.max(self.words.len()), Count::default());
        for (start, &first) in words.iter().enumerate() {
            self.words[first as usize].bump(self.references);
            let mut prefix = first | WORD;
            for &word in words.iter().skip(start + 1).take(max_order - 1) {
                prefix = self.intern(prefix, word);
                self.ngrams[prefix as usize].bump(self.references);
            }
        }
    }

    /// Adds the number of matched n-grams of each order to `matches`, whose length is the highest order.
    ///
    /// Uses the counts up: call once after the references were added. `None` is a word that no
    /// reference has.
    pub(crate) fn take_matches(&mut self, hypothesis: &[Option<u32>], matches: &mut [u64]) {
        for (start, &first) in hypothesis.iter().enumerate() {
            let Some(first) = first else { continue };
            matches[0] += self.words[first as usize].take();
            let mut prefix = first | WORD;
            for (word, matched) in hypothesis[start + 1..].iter().zip(&mut matches[1..]) {
                let Some(ngram) = word.and_then(|word| self.find(prefix, word)) else { break };
                *matched += self.ngrams[ngram as usize].take();
                prefix = ngram;
            }
        }
    }

    fn intern(&mut self, prefix: u32, word: u32) -> u32 {
        self.table.reserve(self.ngrams.len() + 1);
        let key = pair(prefix, word);
        match self.table.probe(key, |_| true) {
            Ok(id) => id,
            Err(free) => {
                let id = self.ngrams.len() as u32;
                self.ngrams.push(Count::default());
                self.table.fill(free, key, id);
                id
            }
        }
    }

    fn find(&self, prefix: u32, word: u32) -> Option<u32> {
        self.table.probe(pair(prefix, word), |_| true).ok()
    }
}

fn pair(prefix: u32, word: u32) -> u64 {
    u64::from(prefix) << 32 | u64::from(word)
}

/// A slot of the table; valid where `epoch` is the table's current one, so that emptying the table is
/// one addition.
#[derive(Clone, Copy, Default)]
struct Slot {
    key: u64,
    epoch: u32,
    id: u32,
}

/// An open-addressing table from 64-bit keys to numbers, at most half full.
struct Table {
    slots: Vec<Slot>,
    epoch: u32,
}

impl Default for Table {
    fn default() -> Self {
        Self { slots: vec![Slot::default(); 256], epoch: 1 }
    }
}

impl Table {
    fn clear(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.slots.fill(Slot::default());
            self.epoch = 1;
        }
    }

    /// Makes room for `entries` entries in all.
    fn reserve(&mut self, entries: usize) {
        if 2 * entries <= self.slots.len() {
            return;
        }
        let doubled = vec![Slot::default(); 2 * self.slots.len()];
        let old = std::mem::replace(&mut self.slots, doubled);
        for slot in old.into_iter().filter(|slot| slot.epoch == self.epoch) {
            let mut at = self.home(slot.key);
            while self.slots[at].epoch == self.epoch {
                at = (at + 1) & (self.slots.len() - 1);
            }
            self.slots[at] = slot;
        }
    }

    /// The number of the entry with this key that `is_it` accepts, or the free slot where it would go.
    fn probe(&self, key: u64, is_it: impl Fn(u32) -> bool) -> Result<u32, usize> {
        let mut at = self.home(key);
        loop {
            let slot = self.slots[at];
            if slot.epoch != self.epoch {
                return Err(at);
            }
            if slot.key == key && is_it(slot.id) {
                return Ok(slot.id);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    fn fill(&mut self, at: usize, key: u64, id: u32) {
        self.slots[at] = Slot { key, epoch: self.epoch, id };
    }

    fn home(&self, key: u64) -> usize {
        let product = key.wrapping_mul(GOLDEN);
        (product ^ (product >> 32)) as usize & (self.slots.len() - 1)
    }
}

/// 2⁶⁴ divided by the golden ratio: multiplying by it spreads nearby keys.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn hash_bytes(word: &[u8]) -> u64 {
    let mut hash = word.len() as u64;
    let mut add = |lane: u64| hash = (hash.rotate_left(5) ^ lane).wrapping_mul(GOLDEN);
    let mut chunks = word.chunks_exact(8);
    for chunk in &mut chunks {
        let mut lane = [0; 8];
        lane.copy_from_slice(chunk);
        add(u64::from_le_bytes(lane));
    }
    let rest = chunks.remainder();
    let mut lane = [0; 8];
    lane[..rest.len()].copy_from_slice(rest);
    add(u64::from_le_bytes(lane));
    hash
}
