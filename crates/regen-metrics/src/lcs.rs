//! Longest common subsequences of word numbers.

/// Length of the longest common subsequence, 64 cells of the table at a time.
///
/// A column of the dynamic-programming table rises by 0 or 1 from row to row, so that it fits one bit per
/// row; one addition with carry then advances a whole column. **Source** Hyyrö 2004, *Bit-parallel LCS-length
/// computation revisited*.
#[derive(Default)]
pub(crate) struct LcsLength {
    /// For each word number, the positions where the first sequence has it.
    positions: Vec<u64>,
    column: Vec<u64>,
}

impl LcsLength {
    /// Both hold numbers below `vocabulary`.
    pub(crate) fn length(&mut self, first: &[u32], second: &[u32], vocabulary: usize) -> usize {
        let lanes = first.len().div_ceil(64);
        self.positions.clear();
        self.positions.resize(vocabulary * lanes, 0);
        for (at, &word) in first.iter().enumerate() {
            self.positions[word as usize * lanes + at / 64] |= 1 << (at % 64);
        }
        // Bits that are 0 mark the rows where the column rises.
        self.column.clear();
        self.column.resize(lanes, u64::MAX);
        for word in second {
            let start = *word as usize * lanes;
            let mut carry = false;
            for (lane, &matches) in self.column.iter_mut().zip(&self.positions[start..]) {
                let hits = *lane & matches;
                let (sum, first_carry) = lane.overflowing_add(hits);
                let (sum, second_carry) = sum.overflowing_add(u64::from(carry));
                carry = first_carry | second_carry;
                *lane = sum | (*lane & !matches);
            }
        }
        let rises: u32 = self.column.iter().map(|lane| lane.count_zeros()).sum();
        rises as usize
    }
}

/// Marks in `used` the positions of `reference` that one longest common subsequence with `candidate` uses.
///
/// Which one, where there are several, follows rouge-score's walk through the table; ROUGE-Lsum depends
/// on it.
pub(crate) fn mark_lcs(reference: &[u32], candidate: &[u32], table: &mut Vec<u32>, used: &mut [bool]) {
    let width = candidate.len() + 1;
    table.clear();
    table.resize((reference.len() + 1) * width, 0);
    for (row, word) in reference.iter().enumerate() {
        for (column, other) in candidate.iter().enumerate() {
            table[(row + 1) * width + column + 1] = if word == other {
                table[row * width + column] + 1
            } else {
                table[row * width + column + 1].max(table[(row + 1) * width + column])
            };
        }
    }
    let (mut row, mut column) = (reference.len(), candidate.len());
    while row > 0 && column > 0 {
        if reference[row - 1] == candidate[column - 1] {
            row -= 1;
            column -= 1;
            used[row] = true;
        } else if table[row * width + column - 1] > table[(row - 1) * width + column] {
            column -= 1;
        } else {
            row -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table_length(first: &[u32], second: &[u32]) -> usize {
        let mut used = vec![false; first.len()];
        mark_lcs(first, second, &mut Vec::new(), &mut used);
        used.iter().filter(|&&used| used).count()
    }

    proptest! {
        #[test]
        fn the_bit_parallel_length_equals_that_of_the_table(
            first in prop::collection::vec(0u32..9, 0..200),
            second in prop::collection::vec(0u32..12, 0..150),
        ) {
            prop_assert_eq!(
                LcsLength::default().length(&first, &second, 12),
                table_length(&first, &second)
            );
        }
    }
}
