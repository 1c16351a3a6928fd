//! The observed pairs, as compressed rows in both orientations: a sweep over users and a sweep
//! over items both read contiguous memory.

use crate::error::{Error, Result};

/// Observed (user, item) pairs with a value each, kept by user and by item.
///
/// Within a row the other side's numbers ascend. Memory: 16 bytes a pair and 8 a row.
#[derive(Debug, Clone, PartialEq)]
pub struct InteractionMatrix {
    by_user: Compressed,
    by_item: Compressed,
}

/// One orientation: row r holds `columns[starts[r]..starts[r + 1]]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Compressed {
    starts: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
    targets: Option<Vec<f32>>,
    width: usize,
}

/// The pairs of one row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) columns: &'a [u32],
    pub(crate) values: &'a [f32],
    pub(crate) targets: Option<&'a [f32]>,
}

impl<'a> Row<'a> {
    /// (column, value, target) of each pair; the target is 1 where none was given.
    pub(crate) fn entries(self) -> impl Iterator<Item = (usize, f32, f32)> + 'a {
        let Row { columns, values, targets } = self;
        (0..columns.len())
            .map(move |k| (columns[k] as usize, values[k], targets.map_or(1.0, |targets| targets[k])))
    }
}

impl Compressed {
    /// Rows without targets, whose parts were checked.
    pub(crate) fn new(starts: Vec<usize>, columns: Vec<u32>, values: Vec<f32>, width: usize) -> Self {
        Self { starts, columns, values, targets: None, width }
    }

    pub(crate) fn pairs(&self) -> usize {
        self.columns.len()
    }

    /// Values and, where pairs have their own, targets of all pairs.
    pub(crate) fn numbers(&self) -> (&[f32], Option<&[f32]>) {
        (&self.values, self.targets.as_deref())
    }

    pub(crate) fn has_targets(&self) -> bool {
        self.targets.is_some()
    }

    pub(crate) fn columns_mut(&mut self) -> &mut [u32] {
        &mut self.columns
    }

    pub(crate) fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// Size of the other side.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn length(&self, row: usize) -> usize {
        self.starts[row + 1] - self.starts[row]
    }

    pub(crate) fn row(&self, row: usize) -> Row<'_> {
        let range = self.starts[row]..self.starts[row + 1];
        Row {
            columns: &self.columns[range.clone()],
            values: &self.values[range.clone()],
            targets: self.targets.as_ref().map(|targets| &targets[range]),
        }
    }

    /// The same pairs seen from the other side: a stable counting sort by column, so that the
    /// new rows ascend as well.
    fn transposed(&self) -> Self {
        let mut starts = vec![0usize; self.width + 1];
        for &column in &self.columns {
            starts[column as usize + 1] += 1;
        }
        for k in 0..self.width {
            starts[k + 1] += starts[k];
        }
        let mut next = starts.clone();
        let mut columns = vec![0u32; self.columns.len()];
        let mut values = vec![0f32; self.columns.len()];
        let mut targets = self.targets.as_ref().map(|t| vec![0f32; t.len()]);
        for row in 0..self.rows() {
            for k in self.starts[row]..self.starts[row + 1] {
                let slot = &mut next[self.columns[k] as usize];
                columns[*slot] = row as u32;
                values[*slot] = self.values[k];
                if let (Some(to), Some(from)) = (&mut targets, &self.targets) {
                    to[*slot] = from[k];
                }
                *slot += 1;
            }
        }
        Self { starts, columns, values, targets, width: self.rows() }
    }
}

impl InteractionMatrix {
    /// Builds the matrix from (user, item, value) triplets in any order.
    ///
    /// A pair that occurs several times keeps the sum of its values: a repeated purchase counts.
    /// A value of zero is an observed pair of that value, not an absent one.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::UserOutOfRange`], [`Error::ItemOutOfRange`], and
    /// [`Error::InvalidValue`] for a value or sum that is NaN, infinite or negative.
    pub fn from_triplets(
        users: usize,
        items: usize,
        triplets: impl IntoIterator<Item = (u32, u32, f32)>,
    ) -> Result<Self> {
        let entries = triplets.into_iter().map(|(user, item, value)| (user, item, value, 1.0));
        let by_user = collect(users, items, entries, false)?;
        Ok(Self::from_by_user(by_user))
    }

    /// Builds the matrix from unique (user, item, weight, target) entries: the general weighted
    /// least squares of TensorFlow's WALS, with [`Confidence::Given`](crate::Confidence::Given).
    ///
    /// # Errors
    /// As [`from_triplets`](Self::from_triplets), and [`Error::InvalidTarget`],
    /// [`Error::DuplicatePair`].
    pub fn from_weighted_targets(
        users: usize,
        items: usize,
        entries: impl IntoIterator<Item = (u32, u32, f32, f32)>,
    ) -> Result<Self> {
        let by_user = collect(users, items, entries, true)?;
        Ok(Self::from_by_user(by_user))
    }

    pub(crate) fn from_by_user(by_user: Compressed) -> Self {
        let by_item = by_user.transposed();
        Self { by_user, by_item }
    }

    /// Number of users (rows), those without pairs included.
    pub fn users(&self) -> usize {
        self.by_user.rows()
    }

    /// Number of items (columns), those without pairs included.
    pub fn items(&self) -> usize {
        self.by_item.rows()
    }

    /// Number of distinct observed pairs.
    pub fn pairs(&self) -> usize {
        self.by_user.columns.len()
    }

    /// The items of a user, ascending, and their values.
    ///
    /// # Panics
    /// If `user` is not below [`users`](Self::users).
    pub fn user_row(&self, user: usize) -> (&[u32], &[f32]) {
        let row = self.by_user.row(user);
        (row.columns, row.values)
    }

    /// The users of an item, ascending, and their values.
    ///
    /// # Panics
    /// If `item` is not below [`items`](Self::items).
    pub fn item_row(&self, item: usize) -> (&[u32], &[f32]) {
        let row = self.by_item.row(item);
        (row.columns, row.values)
    }

    /// The matrix without the given pairs, which ascend.
    pub(crate) fn without(&self, pairs: &[(u32, u32)]) -> Self {
        let from = &self.by_user;
        let mut starts = Vec::with_capacity(from.starts.len());
        starts.push(0);
        let mut kept = Vec::with_capacity(from.columns.len().saturating_sub(pairs.len()));
        let mut rest = pairs.iter().peekable();
        for row in 0..from.rows() {
            for k in from.starts[row]..from.starts[row + 1] {
                let pair = (row as u32, from.columns[k]);
                while rest.next_if(|&&gone| gone < pair).is_some() {}
                if rest.peek() != Some(&&pair) {
                    kept.push(k);
                }
            }
            starts.push(kept.len());
        }
        let by_user = Compressed {
            starts,
            columns: kept.iter().map(|&k| from.columns[k]).collect(),
            values: kept.iter().map(|&k| from.values[k]).collect(),
            targets: from.targets.as_ref().map(|targets| kept.iter().map(|&k| targets[k]).collect()),
            width: from.width,
        };
        Self::from_by_user(by_user)
    }

    /// A number that tells this matrix from others: FNV-1a over shape, pairs and values.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hash = Fingerprint::new();
        hash.add(&(self.users() as u64).to_le_bytes());
        hash.add(&(self.items() as u64).to_le_bytes());
        for user in 0..self.users() {
            let row = self.by_user.row(user);
            hash.add(&(row.columns.len() as u64).to_le_bytes());
            for (column, value, target) in row.entries() {
                hash.add(&(column as u32).to_le_bytes());
                hash.add(&value.to_le_bytes());
                hash.add(&target.to_le_bytes());
            }
        }
        hash.value()
    }

    pub(crate) fn by_user(&self) -> &Compressed {
        &self.by_user
    }

    pub(crate) fn by_item(&self) -> &Compressed {
        &self.by_item
    }
}

/// FNV-1a, 64 bits: the same in every release, and enough to notice that data changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(crate) fn value(self) -> u64 {
        self.0
    }
}

/// Rows from sorted triplets that are in range; repeated pairs are summed. A sum that is not
/// finite is given back.
pub(crate) fn compress(
    rows: usize,
    width: usize,
    triplets: impl ExactSizeIterator<Item = (u32, u32, f32)>,
) -> Result<Compressed, (u32, u32, f32)> {
    let mut starts = vec![0usize; rows + 1];
    let mut columns: Vec<u32> = Vec::with_capacity(triplets.len());
    let mut values: Vec<f32> = Vec::with_capacity(triplets.len());
    let mut last = None;
    for (row, column, value) in triplets {
        if last == Some((row, column)) {
            if let Some(sum) = values.last_mut() {
                *sum += value;
                if !sum.is_finite() {
                    return Err((row, column, *sum));
                }
            }
            continue;
        }
        last = Some((row, column));
        starts[row as usize + 1] += 1;
        columns.push(column);
        values.push(value);
    }
    for k in 0..rows {
        starts[k + 1] += starts[k];
    }
    columns.shrink_to_fit();
    values.shrink_to_fit();
    Ok(Compressed::new(starts, columns, values, width))
}

/// Checks, sorts and merges entries into rows by user.
fn collect(
    users: usize,
    items: usize,
    entries: impl IntoIterator<Item = (u32, u32, f32, f32)>,
    with_targets: bool,
) -> Result<Compressed> {
    for (axis, size) in [("users", users), ("items", items)] {
        if size > u32::MAX as usize {
            return Err(Error::TooLarge { axis, size });
        }
    }
    let mut sorted: Vec<(u32, u32, f32, f32)> = Vec::new();
    for entry in entries {
        let (user, item, value, target) = entry;
        if user as usize >= users {
            return Err(Error::UserOutOfRange { user: user as usize, users });
        }
        if item as usize >= items {
            return Err(Error::ItemOutOfRange { item: item as usize, items });
        }
        if !(value.is_finite() && value >= 0.0) {
            return Err(Error::InvalidValue { user, item, value });
        }
        if !target.is_finite() {
            return Err(Error::InvalidTarget { user, item, target });
        }
        sorted.push(entry);
    }
    // Stable, so that equal pairs are summed in the order given.
    sorted.sort_by_key(|&(user, item, ..)| (user, item));

    if with_targets
        && let Some(pair) = sorted.windows(2).find(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1))
    {
        return Err(Error::DuplicatePair { user: pair[0].0, item: pair[0].1 });
    }
    let triplets = sorted.iter().map(|&(user, item, value, _)| (user, item, value));
    let mut rows = compress(users, items, triplets).map_err(|(user, item, value)| Error::InvalidValue {
        user,
        item,
        value,
    })?;
    if with_targets {
        rows.targets = Some(sorted.iter().map(|&(.., target)| target).collect());
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> InteractionMatrix {
        InteractionMatrix::from_triplets(3, 4, [(2, 1, 5.0), (0, 3, 1.0), (0, 1, 2.0), (2, 1, 0.5)]).unwrap()
    }

    #[test]
    fn rows_ascend_and_duplicates_are_summed_in_both_orientations() {
        let m = small();
        assert_eq!((m.users(), m.items(), m.pairs()), (3, 4, 3));
        assert_eq!(m.user_row(0), (&[1u32, 3][..], &[2.0f32, 1.0][..]));
        assert_eq!(m.user_row(1), (&[][..], &[][..]));
        assert_eq!(m.user_row(2), (&[1u32][..], &[5.5f32][..]));
        assert_eq!(m.item_row(1), (&[0u32, 2][..], &[2.0f32, 5.5][..]));
        assert_eq!(m.item_row(2), (&[][..], &[][..]));
    }

    #[test]
    fn bad_triplets_are_refused_by_name() {
        let build = |t| InteractionMatrix::from_triplets(3, 4, [t]);
        assert!(matches!(build((3, 0, 1.0)), Err(Error::UserOutOfRange { user: 3, users: 3 })));
        assert!(matches!(build((0, 4, 1.0)), Err(Error::ItemOutOfRange { item: 4, items: 4 })));
        for value in [f32::NAN, f32::INFINITY, -0.5] {
            assert!(matches!(build((1, 2, value)), Err(Error::InvalidValue { user: 1, item: 2, .. })));
        }
        let twice = [(0, 0, 3e38), (0, 0, 3e38)];
        assert!(matches!(InteractionMatrix::from_triplets(1, 1, twice), Err(Error::InvalidValue { .. })));
    }

    #[test]
    fn targets_must_be_unique_and_finite() {
        let build =
            |e: &[(u32, u32, f32, f32)]| InteractionMatrix::from_weighted_targets(2, 2, e.iter().copied());
        assert!(build(&[(0, 1, 1.0, -2.0), (1, 0, 1.0, 3.0)]).is_ok());
        assert!(matches!(build(&[(0, 1, 1.0, f32::NAN)]), Err(Error::InvalidTarget { .. })));
        assert!(matches!(
            build(&[(0, 1, 1.0, 1.0), (0, 1, 1.0, 1.0)]),
            Err(Error::DuplicatePair { user: 0, item: 1 })
        ));
    }
}
