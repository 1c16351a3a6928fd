//! The search of Tercom: repeat the block move that shortens the edit distance most, then add up.
//!
//! Which moves are tried, in what order, how ties are broken and where the search gives up decides the
//! score, so all of it follows sacrebleu.

/// Longest block that is moved.
const MAX_SHIFT_SIZE: usize = 10;
/// Furthest that a block is moved.
const MAX_SHIFT_DISTANCE: usize = 50;
/// Half the width of the band of the distance table that is filled.
const BEAM_WIDTH: usize = 25;
/// Moves tried per sentence before the search gives up.
const MAX_CANDIDATES: usize = 1000;

const INFINITY: u32 = 1 << 30;

/// Buffers of the search.
#[derive(Default)]
pub(super) struct EditSearch {
    /// Distance table of the current hypothesis, a row per hypothesis word.
    costs: Vec<u32>,
    row: Vec<u32>,
    previous: Vec<u32>,
    current: Vec<u32>,
    shifted: Vec<u32>,
    best: Vec<u32>,
    alignment: Alignment,
}

/// Where each reference word stands in the hypothesis, and which words are in error.
#[derive(Default)]
struct Alignment {
    /// Position of the hypothesis word that a reference word is aligned with or stands after; −1 before all.
    of_reference: Vec<isize>,
    hypothesis_errors: Vec<bool>,
    reference_errors: Vec<bool>,
}

impl EditSearch {
    /// The number of edits that turn the hypothesis into the reference.
    pub(super) fn edits(&mut self, hypothesis: &[u32], reference: &[u32]) -> usize {
        if reference.is_empty() {
            return hypothesis.len();
        }
        self.current.clear();
        self.current.extend_from_slice(hypothesis);
        let mut moves = 0;
        let mut tried = 0;
        loop {
            let distance = self.fill_table(reference);
            self.align(reference);
            let gain = self.find_best_move(distance, reference, &mut tried);
            if tried >= MAX_CANDIDATES || gain == 0 {
                return moves + distance as usize;
            }
            moves += 1;
            std::mem::swap(&mut self.current, &mut self.best);
        }
    }

    /// Fills the table for the current hypothesis and gives its edit distance.
    fn fill_table(&mut self, reference: &[u32]) -> u32 {
        let width = reference.len() + 1;
        self.costs.clear();
        self.costs.extend(0..width as u32);
        let band = Band::new(self.current.len(), reference.len());
        for (at, &word) in self.current.iter().enumerate() {
            let start = self.costs.len() - width;
            self.row.clear();
            self.row.resize(width, INFINITY);
            fill_row(&self.costs[start..], &mut self.row, word, reference, band.columns(at + 1));
            self.costs.extend_from_slice(&self.row);
        }
        self.costs[self.costs.len() - 1]
    }

    /// Reads the alignment off the table. Among equally cheap ways, keeping or replacing a word goes before
    /// deleting one, and that before inserting one.
    fn align(&mut self, reference: &[u32]) {
        let width = reference.len() + 1;
        let Alignment { of_reference, hypothesis_errors, reference_errors } = &mut self.alignment;
        of_reference.clear();
        of_reference.resize(reference.len(), -1);
        hypothesis_errors.clear();
        hypothesis_errors.resize(self.current.len(), true);
        reference_errors.clear();
        reference_errors.resize(reference.len(), true);
        let (mut row, mut column) = (self.current.len(), reference.len());
        while row > 0 || column > 0 {
            let cost = self.costs[row * width + column];
            if row > 0 && column > 0 {
                let same = self.current[row - 1] == reference[column - 1];
                if self.costs[(row - 1) * width + column - 1] + u32::from(!same) == cost {
                    row -= 1;
                    column -= 1;
                    of_reference[column] = row as isize;
                    if same {
                        hypothesis_errors[row] = false;
                        reference_errors[column] = false;
                    }
                    continue;
                }
            }
            if row > 0 && self.costs[(row - 1) * width + column] + 1 == cost {
                row -= 1;
            } else {
                column -= 1;
                of_reference[column] = row as isize - 1;
            }
        }
    }

    /// Puts the best move's result into `best` and gives what it gains, 0 if nothing does.
    fn find_best_move(&mut self, distance: u32, reference: &[u32], tried: &mut usize) -> u32 {
        let words = self.current.len();
        // Gain, then length, then earliest start, then earliest target.
        let mut best: Option<(i64, usize, isize, isize)> = None;
        for start in 0..words {
            for place in 0..reference.len() {
                if start.abs_diff(place) > MAX_SHIFT_DISTANCE {
                    continue;
                }
                let same = self.current[start..]
                    .iter()
                    .zip(&reference[place..])
                    .take(MAX_SHIFT_SIZE)
                    .take_while(|(a, b)| a == b)
                    .count();
                for length in 1..=same {
                    if self.worth_moving(start, place, length) {
                        self.try_targets(distance, reference, [start, place, length], &mut best, tried);
                    }
                    if *tried >= MAX_CANDIDATES {
                        return 0;
                    }
                }
            }
        }
        best.map_or(0, |(gain, ..)| u32::try_from(gain).unwrap_or(0))
    }

    /// A block is moved only if it holds an error, its place in the reference does too, and the place is
    /// not within the block.
    fn worth_moving(&self, start: usize, place: usize, length: usize) -> bool {
        let Alignment { of_reference, hypothesis_errors, reference_errors } = &self.alignment;
        let target = of_reference[place];
        hypothesis_errors[start..start + length].contains(&true)
            && reference_errors[place..place + length].contains(&true)
            && !(start as isize <= target && target < (start + length) as isize)
    }

    fn try_targets(
        &mut self,
        distance: u32,
        reference: &[u32],
        [start, place, length]: [usize; 3],
        best: &mut Option<(i64, usize, isize, isize)>,
        tried: &mut usize,
    ) {
        let mut last = None;
        for offset in 0..=length {
            // Before the word aligned with the place, then after each word of the block.
            let target = match (place + offset).checked_sub(1) {
                None => 0,
                Some(before) => match self.alignment.of_reference.get(before) {
                    Some(&aligned) => (aligned + 1) as usize,
                    None => break,
                },
            };
            if last == Some(target) {
                continue;
            }
            last = Some(target);
            let unchanged = shift(&self.current, start, length, target, &mut self.shifted);
            let gain = i64::from(distance) - i64::from(self.shifted_distance(unchanged, reference));
            *tried += 1;
            let candidate = (gain, length, -(start as isize), -(target as isize));
            if best.is_none_or(|best| candidate > best) {
                *best = Some(candidate);
                self.best.clear();
                self.best.extend_from_slice(&self.shifted);
            }
        }
    }

    /// Edit distance of `shifted`, whose first `unchanged` words are those that the table was filled for.
    fn shifted_distance(&mut self, unchanged: usize, reference: &[u32]) -> u32 {
        let width = reference.len() + 1;
        let band = Band::new(self.shifted.len(), reference.len());
        self.previous.clear();
        self.previous.extend_from_slice(&self.costs[unchanged * width..(unchanged + 1) * width]);
        for (at, &word) in self.shifted.iter().enumerate().skip(unchanged) {
            self.row.clear();
            self.row.resize(width, INFINITY);
            fill_row(&self.previous, &mut self.row, word, reference, band.columns(at + 1));
            std::mem::swap(&mut self.previous, &mut self.row);
        }
        self.previous[reference.len()]
    }
}

/// One row of the distance table from the row above it.
fn fill_row(above: &[u32], row: &mut [u32], word: u32, reference: &[u32], columns: std::ops::Range<usize>) {
    for column in columns {
        row[column] = if column == 0 {
            above[0] + 1
        } else {
            let replaced = above[column - 1] + u32::from(word != reference[column - 1]);
            replaced.min(above[column] + 1).min(row[column - 1] + 1).min(INFINITY)
        };
    }
}

/// The cells around the diagonal, scaled to the ratio of the lengths.
struct Band {
    rows: usize,
    columns: usize,
    ratio: f64,
    width: usize,
}

impl Band {
    fn new(rows: usize, columns: usize) -> Self {
        let ratio = if rows > 0 { columns as f64 / rows as f64 } else { 1.0 };
        let width = if (BEAM_WIDTH as f64) < ratio / 2.0 {
            (ratio / 2.0 + BEAM_WIDTH as f64).ceil() as usize
        } else {
            BEAM_WIDTH
        };
        Self { rows, columns, ratio, width }
    }

    fn columns(&self, row: usize) -> std::ops::Range<usize> {
        let diagonal = (row as f64 * self.ratio).floor() as usize;
        let end = if row == self.rows { usize::MAX } else { diagonal + self.width };
        diagonal.saturating_sub(self.width)..end.min(self.columns + 1)
    }
}

/// Writes `words` with a block moved and gives the number of leading words that stay as they are.
fn shift(words: &[u32], start: usize, length: usize, target: usize, into: &mut Vec<u32>) -> usize {
    let end = start + length;
    let (block, rest) = (&words[start..end], &words[end..]);
    into.clear();
    if target < start {
        into.extend_from_slice(&words[..target]);
        into.extend_from_slice(block);
        into.extend_from_slice(&words[target..start]);
        into.extend_from_slice(rest);
        target
    } else {
        // A target within the block counts on from the block's end, as in the script.
        let behind = if target > end { target } else { length + target };
        let behind = behind.min(words.len());
        into.extend_from_slice(&words[..start]);
        into.extend_from_slice(&words[end..behind]);
        into.extend_from_slice(block);
        into.extend_from_slice(&words[behind..]);
        start
    }
}
