//! Symmetric products Σ_k a_k b_kᵀ of gathered rows: the flops of a half-sweep.
//!
//! Rows are packed into panels of one vector width: panel p holds, for each k, the numbers
//! `p·WIDTH..(p+1)·WIDTH` of row k. A tile of the product then reads its panels from front to
//! back, `TILE_ROWS` broadcasts and up to three vectors a step, and keeps its sums in registers.
//! Only tiles that touch the upper triangle are computed.

use std::ops::Range;

use crate::simd::Lanes;

/// Packed rows: `panels` × `depth` blocks, one spare block a panel so that panels of a power of
/// two do not compete for the same cache sets.
pub(crate) struct Panels<L: Lanes> {
    blocks: Vec<L::Block>,
    stride: usize,
    panels: usize,
    depth: usize,
}

impl<L: Lanes> Panels<L> {
    pub(crate) fn new() -> Self {
        Self { blocks: Vec::new(), stride: 0, panels: 0, depth: 0 }
    }

    /// Makes room for `depth` steps of `panels` panels; what they hold is unspecified.
    #[inline(always)]
    pub(crate) fn reshape(&mut self, panels: usize, depth: usize) {
        self.stride = depth | 1;
        self.panels = panels;
        self.depth = depth;
        let needed = panels * self.stride;
        if self.blocks.len() < needed {
            self.blocks.resize(needed, L::Block::default());
        }
    }

    #[inline(always)]
    pub(crate) fn view(&self) -> PanelsView<'_, L> {
        self.part(0..self.panels, 0..self.depth)
    }

    /// Some panels, and of them some steps.
    #[inline(always)]
    pub(crate) fn part(&self, panels: Range<usize>, steps: Range<usize>) -> PanelsView<'_, L> {
        let blocks = &self.blocks[panels.start * self.stride + steps.start..];
        PanelsView { blocks, stride: self.stride, panels: panels.len(), depth: steps.len() }
    }

    /// Step `step` of a panel.
    #[inline(always)]
    pub(crate) fn block_mut(&mut self, panel: usize, step: usize) -> &mut L::Block {
        debug_assert!(step < self.depth);
        &mut self.blocks[panel * self.stride + step]
    }

    #[inline(always)]
    pub(crate) fn panel_mut(&mut self, panel: usize) -> &mut [L::Block] {
        &mut self.blocks[panel * self.stride..][..self.depth]
    }
}

/// [`Panels`], or a part of them.
#[derive(Clone, Copy)]
pub(crate) struct PanelsView<'a, L: Lanes> {
    blocks: &'a [L::Block],
    stride: usize,
    pub(crate) panels: usize,
    pub(crate) depth: usize,
}

impl<'a, L: Lanes> PanelsView<'a, L> {
    #[inline(always)]
    pub(crate) fn panel(self, panel: usize) -> &'a [L::Block] {
        &self.blocks[panel * self.stride..][..self.depth]
    }

    /// The same panels, but only some of the steps.
    #[inline(always)]
    pub(crate) fn steps(self, steps: Range<usize>) -> Self {
        debug_assert!(steps.end <= self.depth);
        Self { blocks: &self.blocks[steps.start..], depth: steps.len(), ..self }
    }
}

/// Whether a product starts from zero or continues what the output holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    Zero,
    Add,
}

/// Adds left·rightᵀ to the tiles of `out` that touch its upper triangle.
///
/// `out`: row i, columns by block: `[panels · WIDTH, panels]`; of its rows only the first `rows`
/// are computed. Blocks left of the diagonal block of a tile are not touched.
#[inline(always)]
pub(crate) fn upper_product<L: Lanes>(
    l: L,
    left: PanelsView<'_, L>,
    right: PanelsView<'_, L>,
    rows: usize,
    out: &mut [L::Block],
    start: Start,
) {
    // Lengths of a tile are compile-time constants, so that its sums stay in registers.
    match L::TILE_ROWS {
        8 => upper_tiles::<L, 8>(l, left, right, rows, out, start),
        _ => upper_tiles::<L, 4>(l, left, right, rows, out, start),
    }
}

#[inline(always)]
fn upper_tiles<L: Lanes, const R: usize>(
    l: L,
    left: PanelsView<'_, L>,
    right: PanelsView<'_, L>,
    rows: usize,
    out: &mut [L::Block],
    start: Start,
) {
    let panels = right.panels;
    let mut row = 0;
    while row < rows {
        let broadcast = left.panel(row / L::WIDTH);
        let part = (row % L::WIDTH) / R;
        let out = &mut out[row * panels..][..R * panels];
        let mut panel = row / L::WIDTH;
        while panel < panels {
            // Four columns go as two and two: one alone would wait for its broadcasts.
            match panels - panel {
                1 => {
                    tile::<L, R, 1>(l, broadcast, part, right, panel, out, start);
                    panel += 1;
                }
                2 | 4 => {
                    tile::<L, R, 2>(l, broadcast, part, right, panel, out, start);
                    panel += 2;
                }
                _ => {
                    tile::<L, R, 3>(l, broadcast, part, right, panel, out, start);
                    panel += 3;
                }
            }
        }
        row += R;
    }
}

/// `TILE_ROWS` rows of left·rightᵀ from `row` on, all panels of `right`: `[TILE_ROWS, panels]`. Every number is summed over the
/// steps in their order, whatever stands beside it.
#[inline(always)]
pub(crate) fn strip<L: Lanes>(
    l: L,
    left: PanelsView<'_, L>,
    row: usize,
    right: PanelsView<'_, L>,
    out: &mut [L::Block],
) {
    match L::TILE_ROWS {
        8 => strip_tiles::<L, 8>(l, left, row, right, out),
        _ => strip_tiles::<L, 4>(l, left, row, right, out),
    }
}

#[inline(always)]
fn strip_tiles<L: Lanes, const R: usize>(
    l: L,
    left: PanelsView<'_, L>,
    row: usize,
    right: PanelsView<'_, L>,
    out: &mut [L::Block],
) {
    let (broadcast, part) = (left.panel(row / L::WIDTH), (row % L::WIDTH) / R);
    let mut panel = 0;
    while panel < right.panels {
        match right.panels - panel {
            1 => {
                tile::<L, R, 1>(l, broadcast, part, right, panel, out, Start::Zero);
                panel += 1;
            }
            2 | 4 => {
                tile::<L, R, 2>(l, broadcast, part, right, panel, out, Start::Zero);
                panel += 2;
            }
            _ => {
                tile::<L, R, 3>(l, broadcast, part, right, panel, out, Start::Zero);
                panel += 3;
            }
        }
    }
}

/// R rows by N blocks of the product.
#[inline(always)]
fn tile<L: Lanes, const R: usize, const N: usize>(
    l: L,
    broadcast: &[L::Block],
    part: usize,
    right: PanelsView<'_, L>,
    first: usize,
    out: &mut [L::Block],
    start: Start,
) {
    let stride = right.panels;
    let depth = broadcast.len();
    let mut columns: [&[L::Block]; N] = [&[]; N];
    for (n, column) in columns.iter_mut().enumerate() {
        *column = &right.panel(first + n)[..depth];
    }
    let mut sums = [[l.splat(0.0); N]; R];
    if start == Start::Add {
        for (r, sums) in sums.iter_mut().enumerate() {
            for (n, sum) in sums.iter_mut().enumerate() {
                *sum = l.load(&out[r * stride + first + n]);
            }
        }
    }
    for k in 0..depth {
        let (parts, _) = broadcast[k].as_ref().as_chunks::<R>();
        let scalars = &parts[part];
        let mut vectors = [l.splat(0.0); N];
        for n in 0..N {
            vectors[n] = l.load(&columns[n][k]);
        }
        for r in 0..R {
            let scalar = l.splat(scalars[r]);
            for n in 0..N {
                sums[r][n] = l.fma(scalar, vectors[n], sums[r][n]);
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        for (n, &sum) in sums.iter().enumerate() {
            l.store(&mut out[r * stride + first + n], sum);
        }
    }
}

/// Gathers rows of a table into panels: step k becomes `scales[k] * table[columns[k]]`, and adds
/// `Σ_k pulls[k] * table[columns[k]]` to `sum` (`panels` blocks). Numbers beyond the rank are 0.
///
/// **Shapes** `table: [_, rank]`, `columns, scales, pulls: [depth]`.
#[inline(always)]
pub(crate) fn gather<L: Lanes>(
    l: L,
    table: Table<'_>,
    columns: &[u32],
    scales: &[f32],
    pulls: &[f32],
    panels: &mut Panels<L>,
    sum: &mut [L::Block],
) {
    let count = table.width.div_ceil(L::WIDTH);
    panels.reshape(count, columns.len());
    let whole = table.width / L::WIDTH;
    let mut panel = 0;
    while panel + 4 <= whole {
        gather_panels::<L, 4>(l, table, columns, scales, pulls, panels, sum, panel);
        panel += 4;
    }
    while panel < whole {
        gather_panels::<L, 1>(l, table, columns, scales, pulls, panels, sum, panel);
        panel += 1;
    }
    if panel < count {
        // The last panel reaches beyond the rank: by way of a block padded with zeros.
        let tail = table.width % L::WIDTH;
        let mut padded = L::Block::default();
        let mut acc = l.load(&sum[panel]);
        let to = panels.panel_mut(panel);
        for (k, &column) in columns.iter().enumerate() {
            let row = &table.row(column)[panel * L::WIDTH..][..tail];
            padded.as_mut()[..tail].copy_from_slice(row);
            let y = l.load(&padded);
            l.store(&mut to[k], l.mul(y, l.splat(scales[k])));
            acc = l.fma(y, l.splat(pulls[k]), acc);
        }
        l.store(&mut sum[panel], acc);
    }
}

/// Rows between a prefetch and its use: some hundred nanoseconds.
pub(crate) const AHEAD: usize = 8;

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the inside of `gather`, split by width")]
fn gather_panels<L: Lanes, const N: usize>(
    l: L,
    table: Table<'_>,
    columns: &[u32],
    scales: &[f32],
    pulls: &[f32],
    panels: &mut Panels<L>,
    sum: &mut [L::Block],
    first: usize,
) {
    let stride = panels.stride;
    let to = &mut panels.blocks[first * stride..][..(N - 1) * stride + columns.len()];
    let mut acc = [l.splat(0.0); N];
    for n in 0..N {
        acc[n] = l.load(&sum[first + n]);
    }
    for (k, &column) in columns.iter().enumerate() {
        if let Some(&soon) = columns.get(k + AHEAD) {
            l.prefetch(&table.row(soon)[first * L::WIDTH..][..N * L::WIDTH]);
        }
        let row = &table.row(column)[first * L::WIDTH..][..N * L::WIDTH];
        let (scale, pull) = (l.splat(scales[k]), l.splat(pulls[k]));
        for n in 0..N {
            let y = l.load_slice(&row[n * L::WIDTH..]);
            l.store(&mut to[n * stride + k], l.mul(y, scale));
            acc[n] = l.fma(y, pull, acc[n]);
        }
    }
    for n in 0..N {
        l.store(&mut sum[first + n], acc[n]);
    }
}

/// Rows of numbers in memory, and the columns of them that a kernel is to see.
#[derive(Clone, Copy)]
pub(crate) struct Table<'a> {
    numbers: &'a [f32],
    stride: usize,
    offset: usize,
    pub(crate) width: usize,
}

impl<'a> Table<'a> {
    pub(crate) fn new(numbers: &'a [f32], rank: usize) -> Self {
        Self { numbers, stride: rank, offset: 0, width: rank }
    }

    /// The same rows, but only columns `offset..offset + width`.
    pub(crate) fn columns(self, offset: usize, width: usize) -> Self {
        debug_assert!(offset + width <= self.stride);
        Self { offset, width, ..self }
    }

    #[inline(always)]
    pub(crate) fn row(self, row: u32) -> &'a [f32] {
        &self.numbers[row as usize * self.stride + self.offset..][..self.width]
    }
}

/// Gathers rows as columns: up to `WIDTH` rows a panel, step k of which holds number k of each,
/// times `scales[row] * weights[k]`. Their product over the steps is the matrix of inner
/// products of the rows. Rows beyond the given ones, up to `count` panels, are zero.
///
/// **Shapes** `columns, scales: [rows]`, `weights: [rank]` padded with zeros to whole blocks.
#[inline(always)]
pub(crate) fn gather_transposed<L: Lanes>(
    l: L,
    table: Table<'_>,
    columns: &[u32],
    scales: &[f32],
    weights: &[L::Block],
    count: usize,
    panels: &mut Panels<L>,
) {
    panels.reshape(count, table.width);
    let whole = table.width / L::WIDTH;
    for panel in 0..count {
        let first = panel * L::WIDTH;
        let rows = L::WIDTH.min(columns.len().saturating_sub(first));
        for block in 0..whole {
            let weight = l.load(&weights[block]);
            let to = &mut panels.panel_mut(panel)[block * L::WIDTH..][..L::WIDTH];
            l.transpose(
                #[inline(always)]
                |r| {
                    if r < rows {
                        let row = table.row(columns[first + r]);
                        let y = l.load_slice(&row[block * L::WIDTH..]);
                        l.mul(l.mul(y, l.splat(scales[first + r])), weight)
                    } else {
                        l.splat(0.0)
                    }
                },
                #[inline(always)]
                |k, v| l.store(&mut to[k], v),
            );
        }
        for k in whole * L::WIDTH..table.width {
            let weight = weights[whole].as_ref()[k % L::WIDTH];
            let mut block = L::Block::default();
            for (r, value) in block.as_mut()[..rows].iter_mut().enumerate() {
                *value = table.row(columns[first + r])[k] * scales[first + r] * weight;
            }
            panels.panel_mut(panel)[k] = block;
        }
    }
}

/// x·y of two equally long rows of blocks.
#[inline(always)]
pub(crate) fn dot_blocks<L: Lanes>(l: L, x: &[L::Block], y: &[L::Block]) -> f32 {
    let mut sum = l.splat(0.0);
    for (a, b) in x.iter().zip(y) {
        sum = l.fma(l.load(a), l.load(b), sum);
    }
    l.sum(sum)
}
