//! Cholesky factorisation of as many small systems at once as a vector has lanes.
//!
//! Lane s of every vector belongs to system s, so the square roots, divisions and short inner
//! loops that starve a single small factorisation are paid once for all. The lower triangle is
//! kept as row panels of T rows: panel I holds, for each column k ≤ its last row, the T numbers
//! (I·T.., k). A left-looking sweep then reads two panels from front to back for each T × T
//! tile, T² sums in registers. T is `Lanes::TILE`.

#![expect(
    clippy::needless_range_loop,
    reason = "triangular loops over rows and columns read as the formulas they are"
)]

use crate::kernel::product::Start;
use crate::simd::Lanes;

/// Systems in the making and, after [`Systems::solve`], their solutions.
pub(crate) struct Systems<L: Lanes> {
    /// Row panels, see above.
    lower: Vec<L::Block>,
    /// Right sides, then solutions: one block a row.
    right: Vec<L::Block>,
    /// Diagonals before the factorisation, to judge the pivots by.
    diagonal: Vec<L::Block>,
    order: usize,
}

/// A pivot below this share of its diagonal number is noise: four units of f32 rounding.
pub(super) const SMALLEST_PIVOT: f32 = 4.0 * f32::EPSILON;

impl<L: Lanes> Systems<L> {
    pub(crate) fn new() -> Self {
        Self { lower: Vec::new(), right: Vec::new(), diagonal: Vec::new(), order: 0 }
    }

    /// Makes room for systems of `order` unknowns, padded with an identity to whole tiles.
    #[inline(always)]
    pub(crate) fn reshape(&mut self, order: usize) {
        let t = L::TILE;
        let tiles = order.div_ceil(t);
        self.order = order;
        let lower = base(tiles, t);
        if self.lower.len() < lower {
            self.lower.resize(lower, L::Block::default());
        }
        if self.right.len() < tiles * t {
            self.right.resize(tiles * t, L::Block::default());
            self.diagonal.resize(tiles * t, L::Block::default());
        }
        // The padding rows: zero but for a one on the diagonal.
        let mut one = L::Block::default();
        one.as_mut().fill(1.0);
        for row in order..tiles * t {
            for k in 0..=row {
                self.lower[at(row, k, t)] = if k == row { one } else { L::Block::default() };
            }
            self.right[row] = L::Block::default();
        }
    }

    /// Takes one matrix a lane: `staging[s * size..]` is system s, upper triangle by rows, row k
    /// of `panels` blocks; `diagonal(i)` is added to the diagonal numbers of row i.
    #[inline(always)]
    pub(crate) fn load(
        &mut self,
        l: L,
        staging: &[L::Block],
        size: usize,
        panels: usize,
        mut diagonal: impl FnMut(usize) -> L::V,
    ) {
        let t = L::TILE;
        let order = self.order;
        for k in 0..order {
            for panel in k / L::WIDTH..panels {
                let first = panel * L::WIDTH;
                let lower = &mut self.lower;
                l.transpose(
                    #[inline(always)]
                    |s| l.load(&staging[s * size + k * panels + panel]),
                    #[inline(always)]
                    |r, v| {
                        let row = first + r;
                        if row >= k && row < order {
                            l.store(&mut lower[at(row, k, t)], v);
                        }
                    },
                );
            }
            let corner = &mut self.lower[at(k, k, t)];
            let sum = l.add(l.load(corner), diagonal(k));
            l.store(corner, sum);
        }
    }

    /// Adds Σ_k v_ik v_jk to number (i, j) of every system.
    ///
    /// **Shapes** `vectors: [tiles, steps, TILE]`, zero beyond the order.
    #[inline(always)]
    pub(crate) fn add_products(&mut self, l: L, vectors: &[L::Block], steps: usize, start: Start) {
        match L::TILE {
            4 => self.add_product_tiles::<4>(l, vectors, steps, start),
            _ => self.add_product_tiles::<3>(l, vectors, steps, start),
        }
    }

    #[inline(always)]
    fn add_product_tiles<const T: usize>(&mut self, l: L, vectors: &[L::Block], steps: usize, start: Start) {
        let tiles = self.order.div_ceil(T);
        for i in 0..tiles {
            let rows = &vectors[i * steps * T..][..steps * T];
            for j in 0..=i {
                let columns = &vectors[j * steps * T..][..steps * T];
                let tile = &mut self.lower[base(i, T) + j * T * T..][..T * T];
                product_tile::<L, T>(l, tile, rows, columns, start);
            }
        }
    }

    /// Adds a number to the diagonals, and makes an identity of the padding.
    #[inline(always)]
    pub(crate) fn add_to_diagonal(&mut self, l: L, number: f32) {
        let t = L::TILE;
        for row in 0..self.order.next_multiple_of(t) {
            let corner = &mut self.lower[at(row, row, t)];
            let added = if row < self.order { number } else { 1.0 };
            let sum = l.add(l.load(corner), l.splat(added));
            l.store(corner, sum);
        }
    }

    /// The right sides, one block a row, to be filled before [`solve`](Self::solve) and read
    /// after it.
    #[inline(always)]
    pub(crate) fn right_mut(&mut self) -> &mut [L::Block] {
        &mut self.right[..self.order]
    }

    /// Factors and solves all systems. Returns a block whose lanes are positive where every
    /// pivot was sound.
    #[inline(always)]
    pub(crate) fn solve(&mut self, l: L) -> L::Block {
        match L::TILE {
            4 => self.solve_tiles::<4>(l),
            _ => self.solve_tiles::<3>(l),
        }
    }

    #[inline(always)]
    fn solve_tiles<const T: usize>(&mut self, l: L) -> L::Block {
        let tiles = self.order.div_ceil(T);
        let mut soundness = l.splat(1.0);
        for j in 0..tiles {
            let (before, from_j) = self.lower.split_at_mut(base(j, T));
            debug_assert_eq!(before.len(), base(j, T));
            let (panel_j, mut rest) = from_j.split_at_mut((j + 1) * T * T);
            let z = &mut self.right[..(j + 1) * T];
            soundness = l.min(diagonal_tile::<L, T>(l, panel_j, z, j), soundness);
            for i in j + 1..tiles {
                let (panel_i, next) = rest.split_at_mut((i + 1) * T * T);
                lower_tile::<L, T>(l, panel_i, panel_j, j);
                rest = next;
            }
        }
        for j in (0..tiles).rev() {
            let panel = &self.lower[base(j, T)..][..(j + 1) * T * T];
            back_substitute::<L, T>(l, panel, &mut self.right[..(j + 1) * T], j);
        }
        let mut sound = L::Block::default();
        l.store(&mut sound, soundness);
        sound
    }
}

/// Blocks before row panel `panel`.
#[inline(always)]
fn base(panel: usize, t: usize) -> usize {
    t * t * panel * (panel + 1) / 2
}

/// Where number (row, k) of the lower triangle stands.
#[inline(always)]
fn at(row: usize, k: usize, t: usize) -> usize {
    base(row / t, t) + k * t + row % t
}

/// T × T inner products of T vectors and T others.
#[inline(always)]
fn product_tile<L: Lanes, const T: usize>(
    l: L,
    tile: &mut [L::Block],
    rows: &[L::Block],
    columns: &[L::Block],
    start: Start,
) {
    let mut a = [[l.splat(0.0); T]; T];
    if start == Start::Add {
        for c in 0..T {
            for r in 0..T {
                a[c][r] = l.load(&tile[c * T + r]);
            }
        }
    }
    let (rows, _) = rows.as_chunks::<T>();
    let (columns, _) = columns.as_chunks::<T>();
    for (rows, columns) in rows.iter().zip(columns) {
        let mut v = [l.splat(0.0); T];
        for r in 0..T {
            v[r] = l.load(&rows[r]);
        }
        for c in 0..T {
            let column = l.load(&columns[c]);
            for r in 0..T {
                a[c][r] = l.fma(v[r], column, a[c][r]);
            }
        }
    }
    for c in 0..T {
        for r in 0..T {
            l.store(&mut tile[c * T + r], a[c][r]);
        }
    }
}

/// Finishes the tile on the diagonal and the forward substitution of its rows. The diagonal is
/// left inverted, which is how it is used from here on.
#[inline(always)]
fn diagonal_tile<L: Lanes, const T: usize>(
    l: L,
    panel: &mut [L::Block],
    z: &mut [L::Block],
    j: usize,
) -> L::V {
    let (done, tile) = panel.split_at_mut(j * T * T);
    let (solved, z) = z.split_at_mut(j * T);
    // a[c][r]: column c, row r of the tile.
    let mut a = [[l.splat(0.0); T]; T];
    let mut b = [l.splat(0.0); T];
    for c in 0..T {
        b[c] = l.load(&z[c]);
        for r in c..T {
            a[c][r] = l.load(&tile[c * T + r]);
        }
    }
    let mut limit = [l.splat(0.0); T];
    for c in 0..T {
        limit[c] = l.mul(a[c][c], l.splat(SMALLEST_PIVOT));
    }
    let (steps, _) = done.as_chunks::<T>();
    for (step, z) in steps.iter().zip(solved.iter()) {
        let mut column = [l.splat(0.0); T];
        for r in 0..T {
            column[r] = l.load(&step[r]);
        }
        let z = l.load(z);
        for c in 0..T {
            b[c] = l.fnma(column[c], z, b[c]);
            for r in c..T {
                a[c][r] = l.fnma(column[r], column[c], a[c][r]);
            }
        }
    }
    let mut sound = l.splat(1.0);
    for c in 0..T {
        sound = l.min(l.sub(a[c][c], limit[c]), sound);
        let inverse = l.div(l.splat(1.0), l.sqrt(a[c][c]));
        l.store(&mut tile[c * T + c], inverse);
        b[c] = l.mul(b[c], inverse);
        l.store(&mut z[c], b[c]);
        for r in c + 1..T {
            a[c][r] = l.mul(a[c][r], inverse);
            l.store(&mut tile[c * T + r], a[c][r]);
            b[r] = l.fnma(a[c][r], b[c], b[r]);
        }
        for c2 in c + 1..T {
            for r in c2..T {
                a[c2][r] = l.fnma(a[c][r], a[c][c2], a[c2][r]);
            }
        }
    }
    sound
}

/// Finishes tile j of a panel below the diagonal.
#[inline(always)]
fn lower_tile<L: Lanes, const T: usize>(l: L, panel: &mut [L::Block], panel_j: &[L::Block], j: usize) {
    let (done, rest) = panel.split_at_mut(j * T * T);
    let (done_j, tile_j) = panel_j.split_at(j * T * T);
    let tile = &mut rest[..T * T];
    let mut a = [[l.splat(0.0); T]; T];
    for c in 0..T {
        for r in 0..T {
            a[c][r] = l.load(&tile[c * T + r]);
        }
    }
    let (steps, _) = done.as_chunks::<T>();
    let (steps_j, _) = done_j.as_chunks::<T>();
    for (step, step_j) in steps.iter().zip(steps_j) {
        let mut rows = [l.splat(0.0); T];
        for r in 0..T {
            rows[r] = l.load(&step[r]);
        }
        for c in 0..T {
            let column = l.load(&step_j[c]);
            for r in 0..T {
                a[c][r] = l.fnma(rows[r], column, a[c][r]);
            }
        }
    }
    for c in 0..T {
        let inverse = l.load(&tile_j[c * T + c]);
        for r in 0..T {
            a[c][r] = l.mul(a[c][r], inverse);
            l.store(&mut tile[c * T + r], a[c][r]);
        }
        for c2 in c + 1..T {
            let factor = l.load(&tile_j[c * T + c2]);
            for r in 0..T {
                a[c2][r] = l.fnma(a[c][r], factor, a[c2][r]);
            }
        }
    }
}

/// Solves the rows of panel j of Lᵀ x = z, and takes their share from the rows above.
#[inline(always)]
fn back_substitute<L: Lanes, const T: usize>(l: L, panel: &[L::Block], x: &mut [L::Block], j: usize) {
    let (done, tile) = panel.split_at(j * T * T);
    let (above, own) = x.split_at_mut(j * T);
    let mut b = [l.splat(0.0); T];
    for r in 0..T {
        b[r] = l.load(&own[r]);
    }
    for r in (0..T).rev() {
        // Row r of Lᵀ is column r of L.
        for below in r + 1..T {
            b[r] = l.fnma(l.load(&tile[r * T + below]), b[below], b[r]);
        }
        b[r] = l.mul(b[r], l.load(&tile[r * T + r]));
        l.store(&mut own[r], b[r]);
    }
    let (steps, _) = done.as_chunks::<T>();
    for (step, x) in steps.iter().zip(above) {
        let mut sum = l.load(x);
        for r in 0..T {
            sum = l.fnma(l.load(&step[r]), b[r], sum);
        }
        l.store(x, sum);
    }
}
