//! The rows of one batch: which road each takes, and the exact solutions.

use crate::config::Solver;
use crate::kernel::inner::{LanePairs, Vectors};
use crate::kernel::interleaved::Systems;
use crate::kernel::packed::PackedRow;
use crate::kernel::product::{Panels, Start, gather, gather_transposed, upper_product};
use crate::objective::Terms;
use crate::simd::{Block, Kernel, Lanes, MOST_LANES, flat};
use crate::solver::block::Descent;
use crate::solver::conjugate_gradient;
use crate::solver::large::Large;
use crate::solver::order::{INTERLEAVED_ORDER, Road};
use crate::solver::rows::{RotatedSweep, Scratch};

/// Up to `WIDTH` rows of about the same length.
pub(crate) struct Batch<'a, 'b> {
    pub(crate) sweep: &'a RotatedSweep<'a>,
    pub(crate) road: Road,
    /// Longest first.
    pub(crate) rows: &'b [u32],
    /// All factors of the side as they were, `[rows, rank]`.
    pub(crate) start: &'b [f32],
    /// `[rows.len(), rank]`
    pub(crate) out: &'b mut [f32],
    pub(crate) scratch: &'b mut Scratch,
}

/// Working memory of a thread.
pub(crate) struct Workspace<L: Lanes> {
    pub(crate) terms: Terms,
    pub(crate) negated: Vec<f32>,
    /// √c z of the pairs of all rows of a batch, one row after the other.
    pub(crate) factors: Vec<f32>,
    pub(crate) packed: PackedRow<L>,
    /// Scores of a row's pairs as they were.
    pub(crate) first_scores: Vec<f32>,
    pub(crate) lanes: Vectors<L>,
    /// √c of the pairs of all rows of a batch, a row a lane.
    pub(crate) pair_scales: Vec<L::Block>,
    pub(crate) left: Panels<L>,
    pub(crate) right: Panels<L>,
    pub(crate) systems: Systems<L>,
    pub(crate) large: Large,
    /// One matrix a lane, or a single large one.
    pub(crate) staging: Vec<L::Block>,
    /// Right sides, `panels` blocks a lane.
    pub(crate) sums: Vec<L::Block>,
    /// D^-½ of the row at hand.
    pub(crate) weights: Vec<L::Block>,
    pub(crate) vectors: Vec<L::Block>,
}

impl<L: Lanes> Workspace<L> {
    pub(crate) fn new() -> Self {
        Self {
            terms: Terms::default(),
            negated: Vec::new(),
            factors: Vec::new(),
            packed: PackedRow::new(),
            first_scores: Vec::new(),
            lanes: Vectors::new(),
            pair_scales: Vec::new(),
            left: Panels::new(),
            right: Panels::new(),
            systems: Systems::new(),
            large: Large::default(),
            staging: Vec::new(),
            sums: Vec::new(),
            weights: Vec::new(),
            vectors: Vec::new(),
        }
    }
}

/// Gives a buffer at least that length.
#[inline(always)]
pub(crate) fn grow<B: Block>(blocks: &mut Vec<B>, length: usize) {
    if blocks.len() < length {
        blocks.resize(length, B::default());
    }
}

impl Kernel for Batch<'_, '_> {
    /// Positions within the batch whose factorisation was unsound.
    type Output = Vec<usize>;

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> Vec<usize> {
        let work = self.scratch.get(Workspace::<L>::new);
        let sweep = self.sweep;
        let longest = sweep.rows.length(self.rows[0] as usize);
        let exact = Exact { sweep, rows: self.rows };
        match self.road {
            Road::Iterative(Solver::ConjugateGradient { steps }) => {
                conjugate_gradient::solve(l, sweep, self.rows, self.start, self.out, steps, work);
                Vec::new()
            }
            Road::Iterative(Solver::Block { size, .. }) => {
                let descent = Descent { sweep, size };
                descent.solve(l, self.rows, self.start, self.out, work)
            }
            Road::ByPairs => exact.by_pairs(l, longest, self.out, work),
            Road::ByManyPairs => exact.each_by_pairs(l, self.out, work),
            Road::ByRank | Road::Iterative(Solver::Cholesky) => {
                if sweep.rank <= INTERLEAVED_ORDER {
                    exact.by_rank(l, self.out, work)
                } else {
                    exact.each_by_rank(l, self.out, work)
                }
            }
        }
    }
}

/// The exact solutions of a batch.
struct Exact<'a, 'b> {
    sweep: &'a RotatedSweep<'a>,
    rows: &'b [u32],
}

impl Exact<'_, '_> {
    fn ridge(&self, row: u32) -> f32 {
        let length = self.sweep.rows.length(row as usize);
        self.sweep.objective.ridge(length, self.sweep.rows.width()) as f32
    }

    /// Σ c ŷ ŷᵀ into `staging[at..]` and Σ w p ŷ into `sums[sum_at..]`.
    #[inline(always)]
    fn normal<L: Lanes>(&self, l: L, row: u32, at: usize, sum_at: usize, work: &mut Workspace<L>) {
        let sweep = self.sweep;
        let panels = sweep.rank.div_ceil(L::WIDTH);
        let pairs = sweep.rows.row(row as usize);
        sweep.objective.terms(pairs, &mut work.terms);
        let Workspace { terms, negated, left, right, staging, sums, .. } = work;
        let signed = terms.negative();
        if signed {
            terms.negated_scales(negated);
        }
        let sum = &mut sums[sum_at..][..panels];
        sum.fill(L::Block::default());
        // As much as stays in the first-level cache.
        let depth = (512 / panels).clamp(32, 256);
        let size = panels * L::WIDTH * panels;
        let mut start = Start::Zero;
        for first in (0..pairs.columns.len()).step_by(depth) {
            let range = first..pairs.columns.len().min(first + depth);
            let columns = &pairs.columns[range.clone()];
            let (scales, pulls) = (&terms.scales[range.clone()], &terms.pulls[range.clone()]);
            gather(l, sweep.table, columns, scales, pulls, right, sum);
            let out = &mut staging[at..][..size];
            if signed {
                // The other factor carries the sign; its sums are added to nothing.
                let mut nothing = vec![L::Block::default(); panels];
                let negated = &negated[range];
                gather(l, sweep.table, columns, negated, pulls, left, &mut nothing);
                upper_product(l, left.view(), right.view(), sweep.rank, out, start);
            } else {
                upper_product(l, right.view(), right.view(), sweep.rank, out, start);
            }
            start = Start::Add;
        }
    }

    /// Normal matrices, factored together.
    #[inline(always)]
    fn by_rank<L: Lanes>(&self, l: L, out: &mut [f32], work: &mut Workspace<L>) -> Vec<usize> {
        let rank = self.sweep.rank;
        let panels = rank.div_ceil(L::WIDTH);
        let size = panels * L::WIDTH * panels;
        grow(&mut work.staging, L::WIDTH * size);
        grow(&mut work.sums, L::WIDTH * panels);
        let mut ridges = L::Block::default();
        for s in 0..L::WIDTH {
            ridges.as_mut()[s] = match self.rows.get(s) {
                Some(&row) => {
                    self.normal(l, row, s * size, s * panels, work);
                    self.ridge(row)
                }
                None => {
                    // Lanes without a row solve 1 x = 0.
                    work.staging[s * size..][..size].fill(L::Block::default());
                    work.sums[s * panels..][..panels].fill(L::Block::default());
                    1.0
                }
            };
        }
        let ridges = l.load(&ridges);
        let Workspace { systems, staging, sums, .. } = work;
        systems.reshape(rank);
        systems.load(
            l,
            staging,
            size,
            panels,
            #[inline(always)]
            |k| l.add(l.splat(self.sweep.spectrum[k]), ridges),
        );
        let right = systems.right_mut();
        for panel in 0..panels {
            l.transpose(
                #[inline(always)]
                |s| l.load(&sums[s * panels + panel]),
                #[inline(always)]
                |r, v| {
                    if let Some(right) = right.get_mut(panel * L::WIDTH + r) {
                        l.store(right, v);
                    }
                },
            );
        }
        let sound = systems.solve(l);
        // Back to one solution a row.
        let right = systems.right_mut();
        for panel in 0..panels {
            l.transpose(
                #[inline(always)]
                |r| match right.get(panel * L::WIDTH + r) {
                    Some(right) => l.load(right),
                    None => l.splat(0.0),
                },
                #[inline(always)]
                |s, v| l.store(&mut sums[s * panels + panel], v),
            );
        }
        for (s, out) in out.chunks_exact_mut(rank).enumerate() {
            out.copy_from_slice(&flat(&sums[s * panels..][..panels])[..rank]);
        }
        unsound::<L>(sound, out, rank)
    }

    /// D^-½ of a row into `work.weights`, zero beyond the rank.
    #[inline(always)]
    fn weights<L: Lanes>(&self, ridge: f32, weights: &mut Vec<L::Block>) {
        let rank = self.sweep.rank;
        grow(weights, rank.div_ceil(L::WIDTH));
        for (block, spectrum) in weights.iter_mut().zip(self.sweep.spectrum.chunks(L::WIDTH)) {
            for (w, s) in block.as_mut().iter_mut().zip(spectrum) {
                *w = 1.0 / (s + ridge).sqrt();
            }
        }
    }

    /// x = D^-1 Σ √c z ŷ
    #[inline(always)]
    fn combine<L: Lanes>(
        &self,
        l: L,
        row: u32,
        factors: &[f32],
        weights: &[L::Block],
        sums: &mut [L::Block],
        out: &mut [f32],
    ) {
        let rank = self.sweep.rank;
        let columns = self.sweep.rows.row(row as usize).columns;
        let panels = rank.div_ceil(L::WIDTH);
        let sums = &mut sums[..panels];
        accumulate(l, self.sweep.table, columns, factors, sums);
        for (sum, weight) in sums.iter_mut().zip(weights) {
            let w = l.load(weight);
            let v = l.mul(l.load(sum), l.mul(w, w));
            l.store(sum, v);
        }
        out.copy_from_slice(&flat(sums)[..rank]);
    }

    /// Matrices of inner products, factored together. Every coefficient and ridge is above zero.
    #[inline(always)]
    fn by_pairs<L: Lanes>(
        &self,
        l: L,
        longest: usize,
        out: &mut [f32],
        work: &mut Workspace<L>,
    ) -> Vec<usize> {
        let sweep = self.sweep;
        let rank = sweep.rank;
        grow(&mut work.sums, rank.div_ceil(L::WIDTH));
        let Workspace { terms, factors, lanes, vectors, systems, sums, weights, pair_scales, .. } = work;
        factors.clear();
        systems.reshape(longest);
        systems.right_mut().fill(L::Block::default());
        grow(pair_scales, longest);
        let pair_scales = &mut pair_scales[..longest];
        pair_scales.fill(L::Block::default());
        let mut ridges = L::Block::default();
        // Lanes without a row are given a ridge that divides.
        ridges.as_mut().fill(1.0);
        let mut columns: [&[u32]; MOST_LANES] = [&[]; MOST_LANES];
        for (s, (&row, columns)) in self.rows.iter().zip(&mut columns).enumerate() {
            let pairs = sweep.rows.row(row as usize);
            sweep.objective.terms(pairs, terms);
            *columns = pairs.columns;
            ridges.as_mut()[s] = self.ridge(row);
            factors.extend_from_slice(&terms.scales);
            for (k, right) in systems.right_mut()[..columns.len()].iter_mut().enumerate() {
                right.as_mut()[s] = terms.pulls[k] / terms.scales[k];
                pair_scales[k].as_mut()[s] = terms.scales[k];
            }
        }
        // D^-½, a vector a column.
        grow(vectors, rank);
        let (one, ridges) = (l.splat(1.0), l.load(&ridges));
        for (weight, &spectrum) in vectors.iter_mut().zip(sweep.spectrum) {
            let root = l.sqrt(l.add(l.splat(spectrum), ridges));
            l.store(weight, l.div(one, root));
        }
        let pairs = LanePairs { columns: &columns[..self.rows.len()], scales: pair_scales, weights: vectors };
        lanes.fill(l, sweep.table, pairs, systems);
        let mut last_ridge = f32::NAN;
        let sound = systems.solve(l);
        let mut rest = &mut factors[..];
        for (s, (&row, out)) in self.rows.iter().zip(out.chunks_exact_mut(rank)).enumerate() {
            let (own, later) = std::mem::take(&mut rest).split_at_mut(self.sweep.rows.length(row as usize));
            rest = later;
            let ridge = self.ridge(row);
            if ridge != last_ridge {
                self.weights::<L>(ridge, weights);
                last_ridge = ridge;
            }
            for (scale, z) in own.iter_mut().zip(systems.right_mut().iter()) {
                *scale *= z.as_ref()[s];
            }
            self.combine(l, row, own, weights, sums, out);
        }
        unsound::<L>(sound, out, rank)
    }

    /// Normal matrices, one after the other.
    #[inline(always)]
    fn each_by_rank<L: Lanes>(&self, l: L, out: &mut [f32], work: &mut Workspace<L>) -> Vec<usize> {
        let rank = self.sweep.rank;
        let panels = rank.div_ceil(L::WIDTH);
        let size = panels * L::WIDTH * panels;
        grow(&mut work.staging, size);
        grow(&mut work.sums, panels);
        let mut failed = Vec::new();
        for (s, (&row, out)) in self.rows.iter().zip(out.chunks_exact_mut(rank)).enumerate() {
            self.normal(l, row, 0, 0, work);
            let ridge = self.ridge(row);
            for (k, spectrum) in self.sweep.spectrum.iter().enumerate() {
                let block = &mut work.staging[k * panels + k / L::WIDTH];
                block.as_mut()[k % L::WIDTH] += spectrum + ridge;
            }
            out.copy_from_slice(&flat(&work.sums[..panels])[..rank]);
            let matrix = crate::simd::flat_mut(&mut work.staging[..size]);
            if !work.large.solve(matrix, panels * L::WIDTH, out) {
                failed.push(s);
            }
        }
        failed
    }

    /// Matrices of inner products, one after the other.
    #[inline(always)]
    fn each_by_pairs<L: Lanes>(&self, l: L, out: &mut [f32], work: &mut Workspace<L>) -> Vec<usize> {
        let rank = self.sweep.rank;
        grow(&mut work.sums, rank.div_ceil(L::WIDTH));
        let Workspace { terms, factors: solution, right, large, staging, sums, weights, .. } = work;
        let mut failed = Vec::new();
        for (s, (&row, out)) in self.rows.iter().zip(out.chunks_exact_mut(rank)).enumerate() {
            let pairs = self.sweep.rows.row(row as usize);
            let count = pairs.columns.len();
            let panels = count.div_ceil(L::WIDTH);
            let size = panels * L::WIDTH * panels;
            grow(staging, size);
            self.sweep.objective.terms(pairs, terms);
            self.weights::<L>(self.ridge(row), weights);
            let (columns, scales) = (pairs.columns, &terms.scales[..]);
            gather_transposed(l, self.sweep.table, columns, scales, weights, panels, right);
            upper_product(l, right.view(), right.view(), count, staging, Start::Zero);
            solution.clear();
            for k in 0..count {
                staging[k * panels + k / L::WIDTH].as_mut()[k % L::WIDTH] += 1.0;
                solution.push(terms.pulls[k] / terms.scales[k]);
            }
            let matrix = crate::simd::flat_mut(&mut staging[..size]);
            if !large.solve(matrix, panels * L::WIDTH, solution) {
                failed.push(s);
                continue;
            }
            for (z, scale) in solution.iter_mut().zip(&terms.scales) {
                *z *= scale;
            }
            self.combine(l, row, solution, weights, sums, out);
        }
        failed
    }
}

/// sums = Σ_k factors[k] * table[columns[k]], zero beyond the rank.
#[inline(always)]
pub(crate) fn accumulate<L: Lanes>(
    l: L,
    table: crate::kernel::product::Table<'_>,
    columns: &[u32],
    factors: &[f32],
    sums: &mut [L::Block],
) {
    let whole = table.width / L::WIDTH;
    let mut panel = 0;
    while panel < whole {
        let two = panel + 1 < whole;
        let (mut a, mut b) = (l.splat(0.0), l.splat(0.0));
        for (&column, &factor) in columns.iter().zip(factors) {
            let row = &table.row(column)[panel * L::WIDTH..];
            let factor = l.splat(factor);
            a = l.fma(l.load_slice(row), factor, a);
            if two {
                b = l.fma(l.load_slice(&row[L::WIDTH..]), factor, b);
            }
        }
        l.store(&mut sums[panel], a);
        if two {
            l.store(&mut sums[panel + 1], b);
        }
        panel += 1 + usize::from(two);
    }
    if panel < sums.len() {
        let mut sum = L::Block::default();
        for (&column, &factor) in columns.iter().zip(factors) {
            let row = &table.row(column)[panel * L::WIDTH..];
            for (sum, y) in sum.as_mut().iter_mut().zip(row) {
                *sum += factor * y;
            }
        }
        sums[panel] = sum;
    }
}

/// The lanes with a bad pivot, or a solution that is not finite.
pub(crate) fn unsound<L: Lanes>(sound: L::Block, out: &[f32], rank: usize) -> Vec<usize> {
    out.chunks_exact(rank)
        .zip(sound.as_ref())
        .enumerate()
        .filter(|(_, (out, pivot))| {
            let finite = out.iter().map(|v| v * 0.0).sum::<f32>() == 0.0;
            !(**pivot > 0.0 && finite)
        })
        .map(|(s, _)| s)
        .collect()
}
