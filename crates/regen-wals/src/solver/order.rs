//! Which road each row takes to its solution, and in which order.
//!
//! The choice hangs on a row's own pairs and the configuration, never on the rows beside it: a
//! row comes out the same, bit for bit, in whatever part of a matrix it is solved.

use crate::config::{Solver, WalsConfig};
use crate::interactions::Compressed;
use crate::objective::{Objective, Terms};

/// A way to solve a row, see [`rows`](super::rows).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Road {
    /// By the iterative solver of the configuration.
    Iterative(Solver),
    /// Exactly, by the normal matrix.
    ByRank,
    /// Exactly, by the inner products of the pairs, one row after the other.
    ByManyPairs,
    /// Exactly, by the inner products of the pairs, as many rows at once as there are lanes.
    ByPairs,
}

/// The rows that are to be solved, grouped by road; within a group longest first, equal lengths by
/// number. The others have zero factors, see [`Objective::is_void`].
#[derive(Debug)]
pub(crate) struct Order {
    groups: Vec<(Road, Vec<u32>)>,
}

/// Systems up to this order are factored many at once: beyond it they no longer fit the cache
/// together, and a single one is large enough to keep the vector units busy.
pub(crate) const INTERLEAVED_ORDER: usize = 128;

impl Order {
    pub(crate) fn of(rows: &Compressed, config: &WalsConfig) -> Self {
        let objective = Objective::new(config);
        let mut terms = Terms::default();
        let mut groups: Vec<(Road, Vec<u32>)> = Vec::new();
        for row in 0..rows.rows() {
            if objective.is_void(rows, row) {
                continue;
            }
            let length = rows.length(row);
            let exactly = match config.solver {
                // A block as large as the whole is the exact solution.
                Solver::Block { size, .. } if size >= config.rank => true,
                solver => is_short(length, config.rank, solver),
            };
            let road = if !exactly {
                Road::Iterative(config.solver)
            } else if by_pairs(rows, row, config.rank, &objective, &mut terms) {
                if length <= INTERLEAVED_ORDER { Road::ByPairs } else { Road::ByManyPairs }
            } else {
                Road::ByRank
            };
            match groups.iter_mut().find(|(group, _)| *group == road) {
                Some((_, members)) => members.push(row as u32),
                None => groups.push((road, vec![row as u32])),
            }
        }
        for (_, members) in &mut groups {
            members.shrink_to_fit();
            members.sort_unstable_by_key(|&row| (std::cmp::Reverse(rows.length(row as usize)), row));
        }
        Self { groups }
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = (Road, &[u32])> {
        self.groups.iter().map(|(road, rows)| (*road, rows.as_slice()))
    }

    /// Rows that are to be solved.
    pub(crate) fn rows(&self) -> impl Iterator<Item = u32> {
        self.groups.iter().flat_map(|(_, rows)| rows.iter().copied())
    }

    pub(crate) fn longest_group(&self) -> usize {
        self.groups.iter().map(|(_, rows)| rows.len()).max().unwrap_or(0)
    }
}

/// Whether a row is solved exactly: with an iterative solver that is one with so few pairs that
/// their inner products, of many rows at once, cost no more than the solver's own steps.
pub(crate) fn is_short(length: usize, rank: usize, solver: Solver) -> bool {
    match solver {
        Solver::Cholesky => true,
        Solver::ConjugateGradient { .. } => length <= (rank / 2).min(INTERLEAVED_ORDER),
        Solver::Block { .. } => length <= (rank / 4).min(INTERLEAVED_ORDER),
    }
}

/// Whether the matrix of inner products is the shorter road and is open: it divides by √c and by
/// the ridge. Its panels are filled by transposing, hence a little before the rank.
fn by_pairs(rows: &Compressed, row: usize, rank: usize, objective: &Objective, terms: &mut Terms) -> bool {
    let length = rows.length(row);
    if length > rank * 3 / 4 || objective.ridge(length, rows.width()) as f32 <= 0.0 {
        return false;
    }
    objective.terms(rows.row(row), terms);
    terms.positive()
}
