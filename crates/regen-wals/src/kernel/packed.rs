//! The pairs of one row, packed by blocks of columns, and what block descent asks of a block: the
//! scores of the pairs, and the normal matrix with the gradient.
//!
//! Factors of pairs lie scattered in their table. Packed once, each block is then read twice from
//! a few consecutive pieces of memory.

use crate::kernel::product::{AHEAD, Panels, PanelsView, Start, Table, upper_product};
use crate::objective::Terms;
use crate::simd::{Lanes, flat};

/// See above. Block b is ⌈columns of it / WIDTH⌉ panels, padded with zeros.
pub(crate) struct PackedRow<L: Lanes> {
    panels: Panels<L>,
    /// Columns a block but the last, and panels a block including the last.
    size: usize,
    panels_a_block: usize,
    width: usize,
    pairs: usize,
    /// y·x of each pair, padded to a whole vector.
    scores: Vec<L::Block>,
    /// w p − c y·x of each pair.
    residuals: Vec<f32>,
    /// c y of some pairs.
    weighed: Panels<L>,
}

impl<L: Lanes> PackedRow<L> {
    pub(crate) fn new() -> Self {
        Self {
            panels: Panels::new(),
            size: 0,
            panels_a_block: 0,
            width: 0,
            pairs: 0,
            scores: Vec::new(),
            residuals: Vec::new(),
            weighed: Panels::new(),
        }
    }

    /// Begins a row: all scores are zero.
    #[inline(always)]
    pub(crate) fn begin(&mut self, pairs: usize) {
        self.pairs = pairs;
        self.scores.clear();
        self.scores.resize(pairs.div_ceil(L::WIDTH), L::Block::default());
    }

    /// Packs the given rows of a table, in place of what is packed, in blocks of `size` columns.
    #[inline(always)]
    pub(crate) fn pack(&mut self, l: L, table: Table<'_>, size: usize, columns: &[u32]) {
        debug_assert_eq!(columns.len(), self.pairs);
        let panels = size.div_ceil(L::WIDTH);
        (self.size, self.panels_a_block, self.width) = (size, panels, table.width);
        self.panels.reshape(table.width.div_ceil(size) * panels, columns.len());
        for (k, &column) in columns.iter().enumerate() {
            if let Some(&soon) = columns.get(k + AHEAD) {
                l.prefetch(table.row(soon));
            }
            for (b, block) in table.row(column).chunks(size).enumerate() {
                for (p, part) in block.chunks(L::WIDTH).enumerate() {
                    let to = self.panels.block_mut(b * panels + p, k);
                    if part.len() == L::WIDTH {
                        l.store(to, l.load_slice(part));
                    } else {
                        *to = L::Block::default();
                        to.as_mut()[..part.len()].copy_from_slice(part);
                    }
                }
            }
        }
    }

    /// Columns of a packed block.
    #[inline(always)]
    pub(crate) fn order(&self, block: usize) -> usize {
        self.size.min(self.width - block * self.size)
    }

    /// y·x of each pair.
    pub(crate) fn scores(&self) -> &[f32] {
        &flat(&self.scores)[..self.pairs]
    }

    /// Adds y·v over the columns of a block to the scores, as many pairs at once as a vector has
    /// lanes.
    ///
    /// **Shapes** `v`: the panels of the block.
    #[inline(always)]
    pub(crate) fn add_scores(&mut self, l: L, block: usize, v: &[L::Block]) {
        let first = block * self.panels_a_block;
        let rows = self.panels.part(first..first + v.len(), 0..self.pairs);
        for (first, score) in (0..rows.depth).step_by(L::WIDTH).zip(&mut self.scores) {
            let mut sum = l.load(score);
            l.transpose(
                #[inline(always)]
                |r| {
                    let mut products = l.splat(0.0);
                    if first + r < rows.depth {
                        for (p, v) in v.iter().enumerate() {
                            products = l.fma(l.load(&rows.panel(p)[first + r]), l.load(v), products);
                        }
                    }
                    products
                },
                #[inline(always)]
                |_, lane| sum = l.add(sum, lane),
            );
            l.store(score, sum);
        }
    }

    /// Σ c y yᵀ over the columns of a block into the upper triangle of `matrix`, and
    /// Σ (w p − c y·x) y into `gradient`.
    ///
    /// **Shapes** with the panels of the block: `matrix: [panels · WIDTH, panels]`,
    /// `gradient: [panels]`.
    #[inline(always)]
    pub(crate) fn normal(
        &mut self,
        l: L,
        block: usize,
        terms: &Terms,
        matrix: &mut [L::Block],
        gradient: &mut [L::Block],
    ) {
        let known = terms.pulls.iter().zip(&terms.excesses).zip(flat(&self.scores));
        self.residuals.clear();
        self.residuals.extend(known.map(|((pull, excess), score)| pull - excess * score));
        gradient.fill(L::Block::default());
        let order = self.order(block);
        let first = block * self.panels_a_block;
        let rows = self.panels.part(first..first + gradient.len(), 0..self.pairs);
        // As many pairs as stay in the first-level cache, weighed and bare.
        let depth = (256 / rows.panels).clamp(16, 128);
        let mut start = Start::Zero;
        for first in (0..rows.depth).step_by(depth) {
            let range = first..rows.depth.min(first + depth);
            let bare = rows.steps(range.clone());
            let (excesses, residuals) = (&terms.excesses[range.clone()], &self.residuals[range]);
            self.weighed.reshape(rows.panels, bare.depth);
            let mut panel = 0;
            while panel < rows.panels {
                if panel + 2 <= rows.panels {
                    weigh::<L, 2>(l, bare, excesses, residuals, panel, &mut self.weighed, gradient);
                    panel += 2;
                } else {
                    weigh::<L, 1>(l, bare, excesses, residuals, panel, &mut self.weighed, gradient);
                    panel += 1;
                }
            }
            upper_product(l, self.weighed.view(), bare, order, matrix, start);
            start = Start::Add;
        }
    }
}

/// N panels: c y into `weighed`, and r y added to the gradient, r being the residual.
#[inline(always)]
fn weigh<L: Lanes, const N: usize>(
    l: L,
    rows: PanelsView<'_, L>,
    excesses: &[f32],
    residuals: &[f32],
    first: usize,
    weighed: &mut Panels<L>,
    gradient: &mut [L::Block],
) {
    let mut sums = [l.splat(0.0); N];
    let mut panels: [&[L::Block]; N] = [&[]; N];
    for n in 0..N {
        sums[n] = l.load(&gradient[first + n]);
        panels[n] = rows.panel(first + n);
    }
    for (k, (&c, &r)) in excesses.iter().zip(residuals).enumerate() {
        let (c, r) = (l.splat(c), l.splat(r));
        for n in 0..N {
            let y = l.load(&panels[n][k]);
            l.store(weighed.block_mut(first + n, k), l.mul(y, c));
            sums[n] = l.fma(y, r, sums[n]);
        }
    }
    for n in 0..N {
        l.store(&mut gradient[first + n], sums[n]);
    }
}
