//! Which rows are solved together on a device.

use std::ops::Range;

use crate::interactions::Compressed;

/// Rows of a side that have pairs, longest first, and how many of them fit beside one another.
pub(super) struct Batches<'a> {
    rows: &'a Compressed,
    order: Vec<u32>,
    next: usize,
    rank: usize,
    most_numbers: usize,
}

/// Rows that are solved together, their pairs read piece by piece.
pub(super) struct Batch<'a> {
    pub(super) rows: &'a [u32],
    /// Pairs of the longest of them.
    pub(super) longest: usize,
    /// Pairs of a row that are gathered at once.
    piece: usize,
}

impl<'a> Batches<'a> {
    /// `most_numbers`: gathered factors at once, and normal matrices at once.
    pub(super) fn of(rows: &'a Compressed, rank: usize, most_numbers: usize) -> Self {
        let mut order: Vec<u32> =
            (0..rows.rows() as u32).filter(|&row| rows.length(row as usize) > 0).collect();
        order.sort_by_key(|&row| (std::cmp::Reverse(rows.length(row as usize)), row));
        Self { rows, order, next: 0, rank, most_numbers }
    }

    /// The next rows, or `None` after the last.
    pub(super) fn next(&mut self) -> Option<Batch<'_>> {
        let rest = &self.order[self.next..];
        let longest = self.rows.length(*rest.first()? as usize);
        // A row is filled up to the longest of its batch, to less than twice its own length.
        let similar = rest.partition_point(|&row| 2 * self.rows.length(row as usize) > longest);
        let numbers = self.rank * longest.min(self.most_numbers / self.rank).max(self.rank);
        let count = (self.most_numbers / numbers).clamp(1, similar);
        self.next += count;
        let piece = (self.most_numbers / (count * self.rank)).clamp(1, longest);
        Some(Batch { rows: &rest[..count], longest, piece })
    }
}

impl Batch<'_> {
    /// Ranges that cover the pairs of the longest row.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (longest, piece) = (self.longest, self.piece);
        (0..longest).step_by(piece).map(move |start| start..(start + piece).min(longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(lengths: &[usize]) -> Compressed {
        let mut starts = vec![0];
        starts.extend(lengths.iter().scan(0, |sum, length| {
            *sum += length;
            Some(*sum)
        }));
        let pairs: usize = lengths.iter().sum();
        Compressed::new(starts, vec![0; pairs], vec![1.0; pairs], 1)
    }

    #[test]
    fn every_row_with_pairs_is_in_one_batch_of_similar_lengths_within_the_limit() {
        let lengths = [3, 0, 900, 4, 4, 70, 5, 1, 0, 2, 1];
        let compressed = rows(&lengths);
        for (rank, most) in [(4, 64), (4, 1 << 20), (8, 1), (3, 200)] {
            let mut batches = Batches::of(&compressed, rank, most);
            let mut seen = Vec::new();
            while let Some(batch) = batches.next() {
                for &row in batch.rows {
                    let length = lengths[row as usize];
                    assert!(length > 0 && length <= batch.longest && 2 * length > batch.longest);
                    seen.push(row);
                }
                let count = batch.rows.len();
                assert!(count == 1 || count * rank * rank <= most);
                let mut covered = 0;
                for piece in batch.pieces() {
                    assert_eq!(piece.start, covered);
                    assert!(piece.len() == 1 || count * piece.len() * rank <= most);
                    covered = piece.end;
                }
                assert_eq!(covered, batch.longest);
            }
            seen.sort_unstable();
            assert_eq!(seen, [0, 2, 3, 4, 5, 6, 7, 9, 10], "rank {rank}, {most} numbers");
        }
    }
}
