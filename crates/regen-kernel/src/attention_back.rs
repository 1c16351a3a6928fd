//! The way back through attention, one head at a time, with its weights computed again from what the way there noted.
//!
//! **Source** Dao et al. 2022, "FlashAttention", algorithm 4, with queries in the outer loop.

use std::ops::Range;

use crate::attention::{Attention, Strided, as_lanes, as_lines};
use crate::level::{Level, Work};
use crate::math::exp;
use crate::outer::Columns;
use crate::panels::{Floats, PANEL};
use crate::rows::dot;
use crate::tiles::{self, MOST_ROWS, Sums};

/// Queries at a time: whole tiles at every level, and whole vectors.
const QUERIES_AT_ONCE: usize = 48;

/// Memory that calls use again and again, with the keys and values of the last [`Attention::read_back`] and the sums of their gradients.
#[derive(Debug, Default)]
pub struct AttentionBackScratch {
    length: usize,
    key_lanes: Vec<Floats>,
    key_lines: Vec<Floats>,
    value_lanes: Vec<Floats>,
    query_lines: Vec<Floats>,
    gradient_lines: Vec<Floats>,
    /// `[panels of a head's numbers, length]` each.
    key_sums: Vec<Sums>,
    value_sums: Vec<Sums>,
    /// Of some queries: weights, and gradients of scores; `[queries, length filled up]`, then the other way round.
    weights: Vec<f32>,
    slopes: Vec<f32>,
    turned: Vec<f32>,
}

impl Attention {
    /// Packs the keys and values of one head for the queries whose gradients come back through them.
    ///
    /// # Panics
    /// If they have fewer than `length` rows.
    pub fn read_back(
        &self,
        keys: Strided<'_>,
        values: Strided<'_>,
        length: usize,
        scratch: &mut AttentionBackScratch,
    ) {
        let width = self.head_dim;
        scratch.length = length;
        as_lanes(keys, length, width, &mut scratch.key_lanes);
        as_lines(keys, length, width, &mut scratch.key_lines);
        as_lanes(values, length, width, &mut scratch.value_lanes);
        for sums in [&mut scratch.key_sums, &mut scratch.value_sums] {
            sums.clear();
            sums.resize(width.div_ceil(PANEL) * length, [0.0; PANEL]);
        }
    }

    /// From the gradient of what [`attend_noting`](Self::attend_noting) made of the queries of one head, all of the text's, with its result and what it
    /// noted: their gradient, into `into`. Those of keys and values are added up in `scratch` until [`take_back`](Self::take_back).
    ///
    /// **Shapes** `queries, result, gradient, into: [length, head_dim]`, each in rows `stride` apart, `logs: [length]`.
    ///
    /// # Panics
    /// If there are fewer rows.
    #[expect(
        clippy::too_many_arguments,
        reason = "what the way there read, gave and noted, and where the result goes"
    )]
    pub fn attend_back(
        &self,
        level: Level,
        queries: Strided<'_>,
        result: Strided<'_>,
        gradient: Strided<'_>,
        logs: &[f32],
        (into, into_stride): (&mut [f32], usize),
        scratch: &mut AttentionBackScratch,
    ) {
        let (width, length, tile) = (self.head_dim, scratch.length, level.rows());
        let padded = length.next_multiple_of(PANEL);
        as_lines(queries, length, width, &mut scratch.query_lines);
        as_lines(gradient, length, width, &mut scratch.gradient_lines);
        let AttentionBackScratch { weights, slopes, turned, .. } = scratch;
        weights.resize(QUERIES_AT_ONCE * padded, 0.0);
        slopes.resize(QUERIES_AT_ONCE * padded, 0.0);
        turned.resize(QUERIES_AT_ONCE * padded, 0.0);
        for block in (0..length).step_by(QUERIES_AT_ONCE) {
            let count = QUERIES_AT_ONCE.min(length - block);
            let seen = self.sight.of(block, length).start..self.sight.of(block + count - 1, length).end;
            for first in (block..block + count).step_by(tile) {
                let rows = tile.min(block + count - first);
                let at = (first - block) * padded;
                // Scores, and what a weight's growth would do, panel by panel of keys.
                for (from, lanes, to) in [
                    (queries, &scratch.key_lanes, &mut *weights),
                    (gradient, &scratch.value_lanes, &mut *slopes),
                ] {
                    let rows = Rows { numbers: &from.rows[first * from.stride..], stride: from.stride, rows };
                    rows.times(level, lanes, width, &seen, &mut to[at..], padded);
                }
                level.run(Slopes {
                    attention: self,
                    weights: &mut weights[at..],
                    slopes: &mut slopes[at..],
                    padded,
                    first,
                    rows,
                    length,
                    seen: seen.clone(),
                    result,
                    gradient,
                    logs,
                });
                for (panel, lines) in scratch.key_lines.chunks_exact(length * 2).enumerate() {
                    let mut sums = [[0.0; PANEL]; MOST_ROWS];
                    let lines = &lines[seen.start * 2..seen.end * 2];
                    tiles::f32(level, lines, &slopes[at + seen.start..], padded, &mut sums[..rows]);
                    let own = PANEL.min(width - panel * PANEL);
                    for (row, sums) in sums[..rows].iter().enumerate() {
                        into[(first + row) * into_stride + panel * PANEL..][..own]
                            .copy_from_slice(&sums[..own]);
                    }
                }
            }
            for (from, lines, sums) in [
                (&*weights, &scratch.gradient_lines, &mut scratch.value_sums),
                (&*slopes, &scratch.query_lines, &mut scratch.key_sums),
            ] {
                let a = Strided { rows: from, stride: padded };
                let columns = &mut turned[..seen.len() * count];
                level.run(Columns { a, first: seen.start, count: seen.len(), rows: count, columns });
                for (lines, sums) in lines.chunks_exact(length * 2).zip(sums.chunks_exact_mut(length)) {
                    let lines = &lines[block * 2..(block + count) * 2];
                    let tiles = turned.chunks(tile * count).zip(sums[seen.clone()].chunks_mut(tile));
                    tiles.for_each(|(turned, sums)| tiles::f32(level, lines, turned, count, sums));
                }
            }
        }
    }

    /// The gradients of keys and values that were added up since [`read_back`](Self::read_back), side by side.
    ///
    /// **Shapes** `into: [length, head_dim of a key then of a value]` in rows `stride` apart.
    ///
    /// # Panics
    /// If there are fewer rows.
    pub fn take_back(&self, (into, stride): (&mut [f32], usize), scratch: &AttentionBackScratch) {
        let width = self.head_dim;
        for (sums, from) in [(&scratch.key_sums, 0), (&scratch.value_sums, width)] {
            for (panel, sums) in sums.chunks_exact(scratch.length.max(1)).enumerate() {
                let own = PANEL.min(width - panel * PANEL);
                for (row, sums) in sums.iter().enumerate() {
                    into[row * stride + from + panel * PANEL..][..own].copy_from_slice(&sums[..own]);
                }
            }
        }
    }
}

/// Rows of one tile.
struct Rows<'a> {
    numbers: &'a [f32],
    stride: usize,
    rows: usize,
}

impl Rows<'_> {
    /// Their products with what stands in the panels that hold `seen`, into rows of `padded`.
    fn times(
        &self,
        level: Level,
        lanes: &[Floats],
        width: usize,
        seen: &Range<usize>,
        to: &mut [f32],
        padded: usize,
    ) {
        for panel in seen.start / PANEL..seen.end.div_ceil(PANEL) {
            let mut sums = [[0.0; PANEL]; MOST_ROWS];
            let lines = &lanes[panel * width * 2..][..width * 2];
            tiles::f32(level, lines, self.numbers, self.stride, &mut sums[..self.rows]);
            for (row, sums) in sums[..self.rows].iter().enumerate() {
                to[row * padded + panel * PANEL..][..PANEL].copy_from_slice(sums);
            }
        }
    }
}

/// From scores and what weights are worth to weights and the gradients of scores, zero where a query does not see.
struct Slopes<'a> {
    attention: &'a Attention,
    weights: &'a mut [f32],
    slopes: &'a mut [f32],
    padded: usize,
    first: usize,
    rows: usize,
    length: usize,
    /// What any of the rows of the block sees.
    seen: Range<usize>,
    result: Strided<'a>,
    gradient: Strided<'a>,
    logs: &'a [f32],
}

impl Work for Slopes<'_> {
    #[inline(always)]
    fn run(self) {
        let Attention { head_dim, scale, softcap, sight } = *self.attention;
        for row in 0..self.rows {
            let position = self.first + row;
            let mean = dot(self.result.row(position, head_dim), self.gradient.row(position, head_dim));
            let log = self.logs[position];
            let own = sight.of(position, self.length);
            let weights = &mut self.weights[row * self.padded..][..self.padded];
            let slopes = &mut self.slopes[row * self.padded..][..self.padded];
            for rest in [self.seen.start..own.start, own.end..self.seen.end] {
                weights[rest.clone()].fill(0.0);
                slopes[rest].fill(0.0);
            }
            let way = Way { scale, softcap, log, mean };
            let (whole_weights, weights) = weights[own.clone()].as_chunks_mut::<16>();
            let (whole_slopes, slopes) = slopes[own].as_chunks_mut::<16>();
            for (weights, slopes) in whole_weights.iter_mut().zip(whole_slopes) {
                way.through(weights, slopes);
            }
            way.through(weights, slopes);
        }
    }
}

/// What is the same for all keys that a query sees.
#[derive(Clone, Copy)]
struct Way {
    scale: f32,
    softcap: Option<f32>,
    log: f32,
    mean: f32,
}

impl Way {
    #[inline(always)]
    fn through(self, weights: &mut [f32], slopes: &mut [f32]) {
        let Self { scale, softcap, log, mean } = self;
        let Some(cap) = softcap else {
            for (weight, slope) in weights.iter_mut().zip(slopes) {
                *weight = exp(*weight * scale - log);
                *slope = *weight * (*slope - mean) * scale;
            }
            return;
        };
        for (weight, slope) in weights.iter_mut().zip(slopes) {
            let bounded = (*weight * scale / cap).tanh();
            *weight = exp(bounded * cap - log);
            *slope = *weight * (*slope - mean) * scale * (1.0 - bounded * bounded);
        }
    }
}
