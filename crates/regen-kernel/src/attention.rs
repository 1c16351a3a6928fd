//! Attention of many queries of one text: both of its products are tiles.

use std::ops::Range;

use crate::level::{Level, Work};
use crate::math::exp;
use crate::panels::{Floats, Line, PANEL};
use crate::rows::{largest, sum};
use crate::tiles::{self, MOST_ROWS};

/// Which keys a query sees, by position: the whole text, or some of those before and after. Always itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sight {
    /// How far back; all of it if `None`.
    pub before: Option<usize>,
    /// How far ahead; all of it if `None`. A decoder sees 0 ahead.
    pub after: Option<usize>,
}

impl Sight {
    /// A decoder's: what was before, or the last `window` of it, the query itself counted.
    pub fn causal(window: Option<usize>) -> Self {
        Self { before: window.map(|window| window.saturating_sub(1)), after: Some(0) }
    }

    /// The positions that one at `position` of a text of `length` sees.
    pub fn of(self, position: usize, length: usize) -> Range<usize> {
        let first = self.before.map_or(0, |before| position.saturating_sub(before));
        let end = self.after.map_or(length, |after| (position + after + 1).min(length));
        first.min(end)..end
    }
}

/// How scores are made and what is seen: `softmax(cap(scale · QKᵀ) + bias) V`.
#[derive(Debug, Clone, Copy)]
pub struct Attention {
    /// Numbers of a head.
    pub head_dim: usize,
    /// What scores are multiplied by, above 0; most often 1/√`head_dim`.
    pub scale: f32,
    /// Scores become cap · tanh(score / cap) (Gemma 2).
    pub softcap: Option<f32>,
    /// What a query sees.
    pub sight: Sight,
}

/// Rows inside wider rows, such as those of one head: row i begins at `i · stride`.
#[derive(Debug, Clone, Copy)]
pub struct Strided<'a> {
    /// From the first row's first number on.
    pub rows: &'a [f32],
    /// From one row to the next.
    pub stride: usize,
}

impl<'a> Strided<'a> {
    /// One of the rows.
    #[inline(always)]
    pub(crate) fn row(self, at: usize, width: usize) -> &'a [f32] {
        &self.rows[at * self.stride..][..width]
    }
}

/// Memory that calls use again and again, and the keys and values of the last [`Attention::read`].
#[derive(Debug, Default)]
pub struct AttentionScratch {
    /// Panels of 32 keys, `[panels, head_dim, 32]`.
    keys: Vec<Floats>,
    /// Panels of 32 numbers of a head, `[panels, length, 32]`.
    values: Vec<Floats>,
    length: usize,
    /// `[12, length filled up]`.
    scores: Vec<f32>,
}

impl Attention {
    /// Packs the keys and values of one head of a text of `length` tokens, for every query that reads them.
    ///
    /// # Panics
    /// If they have fewer rows.
    pub fn read(
        &self,
        keys: Strided<'_>,
        values: Strided<'_>,
        length: usize,
        scratch: &mut AttentionScratch,
    ) {
        scratch.length = length;
        as_lanes(keys, length, self.head_dim, &mut scratch.keys);
        as_lines(values, length, self.head_dim, &mut scratch.values);
    }

    /// What `count` queries, the first at position `first` of the text, make of what was [`read`](Self::read). `bias`, if
    /// any, is added to scores: its row of the query's position, `[length]`.
    ///
    /// **Shapes** `queries: [count, head_dim]`, `out: [count, head_dim]`, each in rows `stride` apart.
    ///
    /// # Panics
    /// If there are fewer rows, or a query stands outside of the text.
    pub fn attend(
        &self,
        level: Level,
        queries: Strided<'_>,
        (first, count): (usize, usize),
        bias: Option<Strided<'_>>,
        out: (&mut [f32], usize),
        scratch: &mut AttentionScratch,
    ) {
        self.attend_noting(level, queries, (first, count), bias, out, None, scratch);
    }

    /// As [`attend`](Self::attend), noting for [`attend_back`](Self::attend_back) the logarithm of what each query's weights were divided
    /// by. **Shapes** `logs: [count]`.
    ///
    /// # Panics
    /// As [`attend`](Self::attend), and if there are fewer places.
    #[expect(clippy::too_many_arguments, reason = "one more than attend, which is at the limit")]
    pub fn attend_noting(
        &self,
        level: Level,
        queries: Strided<'_>,
        (first, count): (usize, usize),
        bias: Option<Strided<'_>>,
        (out, out_stride): (&mut [f32], usize),
        mut logs: Option<&mut [f32]>,
        scratch: &mut AttentionScratch,
    ) {
        let AttentionScratch { keys, values, length, scores } = scratch;
        let length = *length;
        assert!(first + count <= length, "queries {first} to {} of {length}", first + count);
        let width = self.head_dim;
        let padded = length.next_multiple_of(PANEL);
        scores.resize(MOST_ROWS * padded, 0.0);
        let tile = level.rows();
        let mut start = 0;
        while start < count {
            let rows = tile.min(count - start);
            let position = first + start;
            let seen = self.sight.of(position, length).start..self.sight.of(position + rows - 1, length).end;
            // Scores, panel by panel of keys; from whole panels on.
            let panels = seen.start / PANEL..seen.end.div_ceil(PANEL);
            let mut sums = [[0.0; PANEL]; MOST_ROWS];
            for panel in panels {
                let sums = &mut sums[..rows];
                sums.fill([0.0; PANEL]);
                let lines = &keys[panel * width * 2..][..width * 2];
                tiles::f32(level, lines, &queries.rows[start * queries.stride..], queries.stride, sums);
                for (row, sums) in sums.iter().enumerate() {
                    scores[row * padded + panel * PANEL..][..PANEL].copy_from_slice(sums);
                }
            }
            let mut shares = [0.0; MOST_ROWS];
            level.run(Weigh {
                attention: self,
                scores,
                padded,
                position,
                length,
                seen: seen.clone(),
                bias,
                shares: &mut shares[..rows],
                logs: logs.as_deref_mut().map(|logs| &mut logs[start..start + rows]),
            });
            for (panel, lines) in values.chunks_exact(length * 2).enumerate() {
                let sums = &mut sums[..rows];
                sums.fill([0.0; PANEL]);
                tiles::f32(level, &lines[seen.start * 2..seen.end * 2], &scores[seen.start..], padded, sums);
                let from = panel * PANEL;
                let own = PANEL.min(width - from);
                for (row, (sums, share)) in sums.iter().zip(&shares).enumerate() {
                    let out = &mut out[(start + row) * out_stride + from..][..own];
                    out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum * share);
                }
            }
            start += rows;
        }
    }
}

/// Rows as lanes of panels, `[panels of 32 rows, width, 32]`: to multiply others with each of them.
pub(crate) fn as_lanes(from: Strided<'_>, length: usize, width: usize, to: &mut Vec<Floats>) {
    to.clear();
    to.resize(length.div_ceil(PANEL) * width * 2, Line([0.0; 16]));
    for (half, first) in (0..length).step_by(16).enumerate() {
        // Sixteen rows are the lines of one half of a panel: each line is written once, as a whole.
        let rows: [&[f32]; 16] = std::array::from_fn(|lane| {
            let row = (first + lane).min(length - 1);
            &from.rows[row * from.stride..][..width]
        });
        let own = length.min(first + 16) - first;
        let panel = &mut to[half / 2 * width * 2..][..width * 2];
        for (number, pair) in panel.chunks_exact_mut(2).enumerate() {
            let line: [f32; 16] = std::array::from_fn(|lane| rows[lane][number]);
            pair[half % 2].0 = line;
            pair[half % 2].0[own..].fill(0.0);
        }
    }
}

/// Rows as lines of panels, `[panels of 32 numbers, length, 32]`: to sum them with weights.
pub(crate) fn as_lines(from: Strided<'_>, length: usize, width: usize, to: &mut Vec<Floats>) {
    to.clear();
    to.resize(width.div_ceil(PANEL) * length * 2, Line([0.0; 16]));
    for place in 0..length {
        let row = &from.rows[place * from.stride..][..width];
        for (part, numbers) in row.chunks(16).enumerate() {
            let line = &mut to[(part / 2 * length + place) * 2 + part % 2];
            line.0[..numbers.len()].copy_from_slice(numbers);
        }
    }
}

/// From scores to weights, zero where a query does not see, and what makes them sum to 1.
struct Weigh<'a> {
    attention: &'a Attention,
    scores: &'a mut [f32],
    padded: usize,
    position: usize,
    length: usize,
    /// What any of the rows sees.
    seen: Range<usize>,
    bias: Option<Strided<'a>>,
    /// One for each row.
    shares: &'a mut [f32],
    /// One for each row, if wanted.
    logs: Option<&'a mut [f32]>,
}

impl Work for Weigh<'_> {
    #[inline(always)]
    fn run(mut self) {
        let Attention { mut scale, softcap, sight, .. } = *self.attention;
        for (row, share) in self.shares.iter_mut().enumerate() {
            let scores = &mut self.scores[row * self.padded..][..self.padded];
            let position = self.position + row;
            let own = sight.of(position, self.length);
            scores[self.seen.start..own.start].fill(0.0);
            scores[own.end..self.seen.end].fill(0.0);
            let seen = &mut scores[own.clone()];
            if softcap.is_some() || self.bias.is_some() {
                seen.iter_mut().for_each(|score| *score *= self.attention.scale);
                scale = 1.0;
            }
            if let Some(cap) = softcap {
                seen.iter_mut().for_each(|score| *score = (*score / cap).tanh() * cap);
            }
            if let Some(bias) = self.bias {
                let bias = &bias.rows[position * bias.stride..][own];
                seen.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
            }
            // Scores that have not been scaled yet are here: a positive scale keeps the largest the largest.
            let top = largest(seen);
            seen.iter_mut().for_each(|score| *score = exp((*score - top) * scale));
            let total = sum(seen);
            *share = 1.0 / total;
            if let Some(logs) = &mut self.logs {
                logs[row] = top * scale + total.ln();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In f64, one number at a time.
    fn plain(
        attention: &Attention,
        [queries, keys, values]: [&[f32]; 3],
        (first, count, length): (usize, usize, usize),
        bias: Option<&[f32]>,
    ) -> Vec<f64> {
        let width = attention.head_dim;
        let row = |all: &[f32], at: usize| -> Vec<f64> {
            all[at * width..][..width].iter().map(|x| f64::from(*x)).collect()
        };
        let mut out = Vec::new();
        for query in 0..count {
            let own = row(queries, query);
            let seen = attention.sight.of(first + query, length);
            let score = |key: usize| {
                let dot: f64 = own.iter().zip(row(keys, key)).map(|(a, b)| a * b).sum();
                let mut score = dot * f64::from(attention.scale);
                if let Some(cap) = attention.softcap {
                    score = (score / f64::from(cap)).tanh() * f64::from(cap);
                }
                score + bias.map_or(0.0, |bias| f64::from(bias[(first + query) * length + key]))
            };
            let weights: Vec<f64> = seen.clone().map(|key| score(key).exp()).collect();
            let total: f64 = weights.iter().sum();
            let mut mixed = vec![0.0; width];
            for (key, weight) in seen.zip(weights) {
                for (mixed, value) in mixed.iter_mut().zip(row(values, key)) {
                    *mixed += value * weight / total;
                }
            }
            out.extend(mixed);
        }
        out
    }

    #[test]
    fn attention_is_its_formula_for_every_sight_and_level() {
        let number = |i: usize, step: usize| ((i * step) % 97) as f32 / 48.0 - 1.0;
        for (length, first, width) in [(1, 0, 5), (33, 0, 32), (50, 29, 64), (131, 100, 40)] {
            let count = length - first;
            let queries: Vec<f32> = (0..count * width).map(|i| number(i, 31)).collect();
            let keys: Vec<f32> = (0..length * width).map(|i| number(i, 57)).collect();
            let values: Vec<f32> = (0..length * width).map(|i| number(i, 23)).collect();
            let bias: Vec<f32> = (0..length * length).map(|i| number(i, 11)).collect();
            for sight in [
                Sight::default(),
                Sight::causal(None),
                Sight::causal(Some(7)),
                Sight { before: Some(3), after: Some(3) },
            ] {
                for (softcap, bias) in [(None, None), (Some(2.0), None), (None, Some(bias.as_slice()))] {
                    let attention = Attention { head_dim: width, scale: 0.4, softcap, sight };
                    let rows = [queries.as_slice(), &keys, &values];
                    let expected = plain(&attention, rows, (first, count, length), bias);
                    for level in Level::available() {
                        let mut scratch = AttentionScratch::default();
                        let heads = |rows| Strided { rows, stride: width };
                        // Twice, so that what the first call left behind is seen to do no harm.
                        for _ in 0..2 {
                            let mut out = vec![f32::NAN; count * width];
                            attention.read(heads(&keys), heads(&values), length, &mut scratch);
                            let place = (first, count);
                            let to = (out.as_mut_slice(), width);
                            let bias = bias.map(|rows| Strided { rows, stride: length });
                            attention.attend(level, heads(&queries), place, bias, to, &mut scratch);
                            for (got, expected) in out.iter().zip(&expected) {
                                assert!((f64::from(*got) - expected).abs() < 2e-6, "{attention:?} {length}");
                            }
                        }
                    }
                }
            }
        }
    }
}
