//! The loss of factors on disk, summed in the order in which it is summed in memory.

use ndarray::Array2;

use super::blocks::Blocks;
use super::fit::renumber;
use super::matrix::ShardedMatrix;
use super::state::Generation;
use crate::error::Result;
use crate::objective::{Objective, add_gram};
use crate::solver::Side;

pub(super) fn evaluate(objective: &Objective, matrix: &ShardedMatrix, factors: &Generation) -> Result<f64> {
    let rank = factors.users.rank;
    let all = if objective.unobserved_weight() == 0.0 {
        0.0
    } else {
        let (left, right) = (gram(&factors.users)?, gram(&factors.items)?);
        left.iter().zip(&right).map(|(a, b)| a * b).sum()
    };
    let (mut observed, mut users, mut items) = (Vec::new(), Vec::new(), Vec::new());
    for shard in 0..matrix.shards(Side::User) {
        let mut rows = matrix.shard(Side::User, shard)?;
        let own = factors.users.read(shard)?;
        let others = factors.items.gather(&renumber(&mut rows))?;
        observed.extend(objective.observed_parts(&rows, &own, &others, rank));
        users.extend(objective.penalty_parts(&rows, &own, rank));
    }
    for shard in 0..matrix.shards(Side::Item) {
        let rows = matrix.shard(Side::Item, shard)?;
        items.extend(objective.penalty_parts(&rows, &factors.items.read(shard)?, rank));
    }
    Ok(objective.total(&observed, all, &users, &items))
}

fn gram(blocks: &Blocks) -> Result<Array2<f64>> {
    let mut sum = Array2::zeros((blocks.rank, blocks.rank));
    for block in 0..blocks.count() {
        add_gram(&mut sum, &blocks.read(block)?);
    }
    Ok(sum)
}
