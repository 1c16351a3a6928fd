//! Block coordinate descent: exact minima over `size` coordinates at a time.
//!
//! **Source** Rendle, Krichene, Zhang, Koren (2021), "iALS++".
//!
//! DIFFERENCE: blocks are of principal directions of the fixed factors, strongest first, not of
//! raw coordinates. There the unobserved pairs couple no two blocks, so each pass goes further.

use crate::kernel::product::{Start, gather, upper_product};
use crate::simd::{Lanes, flat, flat_mut};
use crate::solver::batch::{Workspace, grow, unsound};
use crate::solver::order::INTERLEAVED_ORDER;
use crate::solver::rows::RotatedSweep;

/// Passes once over the blocks of every row of a batch. Returns the positions of rows whose
/// factorisation was unsound.
#[inline(always)]
pub(crate) fn solve<L: Lanes>(
    l: L,
    sweep: &RotatedSweep<'_>,
    rows: &[u32],
    start: &[f32],
    out: &mut [f32],
    size: usize,
    work: &mut Workspace<L>,
) -> Vec<usize> {
    let rank = sweep.rank;
    for (&row, out) in rows.iter().zip(out.chunks_exact_mut(rank)) {
        out.copy_from_slice(&start[row as usize * rank..][..rank]);
    }
    let longest = sweep.rows.length(rows[0] as usize);
    // ŷ·x of every pair, kept up to date: `longest` numbers a row.
    let mut scores = vec![0f32; rows.len() * longest];
    for ((&row, out), scores) in rows.iter().zip(out.chunks_exact(rank)).zip(scores.chunks_exact_mut(longest))
    {
        add_scores(l, sweep, row, 0, out, &mut work.vectors, scores);
    }
    let mut failed = Vec::new();
    for first in (0..rank).step_by(size) {
        let size = size.min(rank - first);
        if size <= INTERLEAVED_ORDER {
            together(l, sweep, rows, first, size, longest, &mut scores, out, work, &mut failed);
        } else {
            one_by_one(l, sweep, rows, first, size, longest, &mut scores, out, work, &mut failed);
        }
    }
    failed.sort_unstable();
    failed.dedup();
    failed
}

/// Σ c ŷ ŷᵀ of a block into `staging[at..]`, and the gradient without D into `sums[sum_at..]`.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the shared inside of both roads")]
fn normal<L: Lanes>(
    l: L,
    sweep: &RotatedSweep<'_>,
    row: u32,
    first: usize,
    size: usize,
    scores: &[f32],
    at: usize,
    sum_at: usize,
    work: &mut Workspace<L>,
) {
    let panels = size.div_ceil(L::WIDTH);
    let pairs = sweep.rows.row(row as usize);
    let Workspace { terms, negated, left, right, staging, sums, .. } = work;
    sweep.objective.terms(pairs, terms);
    let signed = terms.negative();
    if signed {
        terms.negated_scales(negated);
    }
    for ((pull, excess), score) in terms.pulls.iter_mut().zip(&terms.excesses).zip(scores) {
        *pull -= excess * score;
    }
    let table = sweep.table.columns(first, size);
    let sum = &mut sums[sum_at..][..panels];
    sum.fill(L::Block::default());
    let out = &mut staging[at..][..panels * L::WIDTH * panels];
    let depth = (512 / panels).clamp(32, 256);
    let mut start = Start::Zero;
    for first in (0..pairs.columns.len()).step_by(depth) {
        let range = first..pairs.columns.len().min(first + depth);
        let columns = &pairs.columns[range.clone()];
        let (scales, pulls) = (&terms.scales[range.clone()], &terms.pulls[range.clone()]);
        gather(l, table, columns, scales, pulls, right, sum);
        if signed {
            let mut nothing = vec![L::Block::default(); panels];
            gather(l, table, columns, &negated[range], pulls, left, &mut nothing);
            upper_product(l, left, right, size, out, start);
        } else {
            upper_product(l, right, right, size, out, start);
        }
        start = Start::Add;
    }
}

/// One block of all rows, factored together.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the inside of `solve`, split by size")]
fn together<L: Lanes>(
    l: L,
    sweep: &RotatedSweep<'_>,
    rows: &[u32],
    first: usize,
    size: usize,
    longest: usize,
    scores: &mut [f32],
    out: &mut [f32],
    work: &mut Workspace<L>,
    failed: &mut Vec<usize>,
) {
    let rank = sweep.rank;
    let panels = size.div_ceil(L::WIDTH);
    let matrix = panels * L::WIDTH * panels;
    grow(&mut work.staging, L::WIDTH * matrix);
    grow(&mut work.sums, panels);
    let spectrum = &sweep.spectrum[first..][..size];
    let mut ridges = L::Block::default();
    ridges.as_mut().fill(1.0);
    work.systems.reshape(size);
    work.systems.right_mut().fill(L::Block::default());
    for s in 0..L::WIDTH {
        let Some(&row) = rows.get(s) else {
            work.staging[s * matrix..][..matrix].fill(L::Block::default());
            continue;
        };
        let count = sweep.rows.length(row as usize);
        let own = &scores[s * longest..][..count];
        normal(l, sweep, row, first, size, own, s * matrix, 0, work);
        let ridge = sweep.objective.ridge(count, sweep.rows.width()) as f32;
        ridges.as_mut()[s] = ridge;
        let x = &out[s * rank + first..][..size];
        let gradient = &flat(&work.sums)[..size];
        for (k, right) in work.systems.right_mut().iter_mut().enumerate() {
            right.as_mut()[s] = gradient[k] - (spectrum[k] + ridge) * x[k];
        }
    }
    let ridges = l.load(&ridges);
    work.systems.load(
        l,
        &work.staging,
        matrix,
        panels,
        #[inline(always)]
        |k| l.add(l.splat(spectrum[k]), ridges),
    );
    let sound = work.systems.solve(l);
    let mut steps = vec![0f32; rows.len() * size];
    for (s, step) in steps.chunks_exact_mut(size).enumerate() {
        for (step, right) in step.iter_mut().zip(work.systems.right_mut().iter()) {
            *step = right.as_ref()[s];
        }
    }
    let bad = unsound::<L>(sound, &steps, size);
    for (s, step) in steps.chunks_exact(size).enumerate() {
        if bad.contains(&s) {
            failed.push(s);
            continue;
        }
        for (x, step) in out[s * rank + first..][..size].iter_mut().zip(step) {
            *x += step;
        }
        let own = &mut scores[s * longest..][..longest];
        add_scores(l, sweep, rows[s], first, step, &mut work.vectors, own);
    }
}

/// One block of one row after the other, for blocks too large to factor together.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the inside of `solve`, split by size")]
fn one_by_one<L: Lanes>(
    l: L,
    sweep: &RotatedSweep<'_>,
    rows: &[u32],
    first: usize,
    size: usize,
    longest: usize,
    scores: &mut [f32],
    out: &mut [f32],
    work: &mut Workspace<L>,
    failed: &mut Vec<usize>,
) {
    let rank = sweep.rank;
    let panels = size.div_ceil(L::WIDTH);
    let matrix = panels * L::WIDTH * panels;
    grow(&mut work.staging, matrix);
    grow(&mut work.sums, panels);
    let spectrum = &sweep.spectrum[first..][..size];
    let mut step = vec![0f32; size];
    for (s, &row) in rows.iter().enumerate() {
        let count = sweep.rows.length(row as usize);
        let own = &mut scores[s * longest..][..count];
        normal(l, sweep, row, first, size, own, 0, 0, work);
        let ridge = sweep.objective.ridge(count, sweep.rows.width()) as f32;
        let x = &mut out[s * rank + first..][..size];
        let gradient = &flat(&work.sums)[..size];
        for k in 0..size {
            let diagonal = spectrum[k] + ridge;
            step[k] = gradient[k] - diagonal * x[k];
            let block = &mut work.staging[k * panels + k / L::WIDTH];
            block.as_mut()[k % L::WIDTH] += diagonal;
        }
        let numbers = flat_mut(&mut work.staging[..matrix]);
        if !work.large.solve(numbers, panels * L::WIDTH, &mut step) {
            failed.push(s);
            continue;
        }
        for (x, step) in x.iter_mut().zip(&step) {
            *x += step;
        }
        add_scores(l, sweep, row, first, &step, &mut work.vectors, own);
    }
}

/// Adds ŷ·v over the columns that v spans to the scores of a row's pairs.
#[inline(always)]
fn add_scores<L: Lanes>(
    l: L,
    sweep: &RotatedSweep<'_>,
    row: u32,
    first: usize,
    v: &[f32],
    padded: &mut Vec<L::Block>,
    scores: &mut [f32],
) {
    let table = sweep.table.columns(first, v.len());
    let panels = v.len().div_ceil(L::WIDTH);
    let whole = v.len() / L::WIDTH;
    grow(padded, panels);
    flat_mut(padded)[..v.len()].copy_from_slice(v);
    let columns = sweep.rows.row(row as usize).columns;
    for (score, &column) in scores.iter_mut().zip(columns) {
        let y = table.row(column);
        let mut sum = l.splat(0.0);
        for (p, block) in padded[..whole].iter().enumerate() {
            sum = l.fma(l.load_slice(&y[p * L::WIDTH..]), l.load(block), sum);
        }
        let rest = whole * L::WIDTH;
        let tail: f32 = y[rest..].iter().zip(&v[rest..]).map(|(a, b)| a * b).sum();
        *score += l.sum(sum) + tail;
    }
}
