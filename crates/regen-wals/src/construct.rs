//! Building the matrix from what other programs and libraries have in hand.

use std::fmt::Display;

use ndarray::ArrayView2;

use crate::error::{Error, Result};
use crate::interactions::InteractionMatrix;

impl InteractionMatrix {
    /// Builds the matrix from a stream of triplets that may fail, for example rows of a file as
    /// they are read. The first failure ends the stream and is returned.
    ///
    /// # Errors
    /// Those of the stream, and of [`from_triplets`](Self::from_triplets) as the stream's kind.
    pub fn from_stream<E: From<Error>>(
        users: usize,
        items: usize,
        triplets: impl IntoIterator<Item = Result<(u32, u32, f32), E>>,
    ) -> Result<Self, E> {
        let mut failure = None;
        let sound = triplets.into_iter().map_while(|triplet| match triplet {
            Ok(triplet) => Some(triplet),
            Err(error) => {
                failure = Some(error);
                None
            }
        });
        let matrix = Self::from_triplets(users, items, sound);
        match failure {
            Some(error) => Err(error),
            None => Ok(matrix?),
        }
    }

    /// Builds the matrix from compressed rows by user (CSR), as SciPy and `sprs` hold them: row u
    /// is `columns[starts[u]..starts[u + 1]]`. The columns of a row may stand in any order; those
    /// that occur several times keep the sum of their values.
    ///
    /// With `sprs`, for a matrix `m` by rows:
    /// `from_compressed(m.cols(), m.indptr().raw_storage(), m.indices(), m.data())`. A matrix by
    /// columns is given as it is with users and items exchanged, or turned by `to_csr` first.
    ///
    /// **Shapes** `starts: [users + 1]`, `columns, values: [pairs]`.
    ///
    /// # Errors
    /// [`Error::CompressedRows`] when the parts do not belong together, and as
    /// [`from_triplets`](Self::from_triplets).
    pub fn from_compressed<I: Copy + TryInto<usize> + Display, J: Copy + TryInto<usize> + Display>(
        items: usize,
        starts: &[I],
        columns: &[J],
        values: &[f32],
    ) -> Result<Self> {
        let unfit = |field, expected: String, got: String| Error::CompressedRows { field, expected, got };
        if values.len() != columns.len() {
            let expected = format!("{}, one a column", columns.len());
            return Err(unfit("the number of values", expected, values.len().to_string()));
        }
        let no_count = |start: I| unfit("a start", "a number of pairs".to_owned(), start.to_string());
        let starts: Vec<usize> = starts
            .iter()
            .map(|&start| start.try_into().map_err(|_| no_count(start)))
            .collect::<Result<_>>()?;
        let (Some(&first), Some(&last)) = (starts.first(), starts.last()) else {
            return Err(unfit("the number of starts", "at least 1".to_owned(), "0".to_owned()));
        };
        for (name, got, expected) in [("the first start", first, 0), ("the last start", last, columns.len())]
        {
            if got != expected {
                return Err(unfit(name, expected.to_string(), got.to_string()));
            }
        }
        if let Some(pair) = starts.windows(2).find(|pair| pair[0] > pair[1]) {
            return Err(unfit("a start", format!("at least {}", pair[0]), pair[1].to_string()));
        }
        let no_item = |column: J| unfit("a column", format!("an item below {items}"), column.to_string());
        let columns: Vec<u32> = columns
            .iter()
            .map(|&column| {
                let item: usize = column.try_into().map_err(|_| no_item(column))?;
                u32::try_from(item).map_err(|_| Error::ItemOutOfRange { item, items })
            })
            .collect::<Result<_>>()?;
        let users = starts.len() - 1;
        let triplets = starts.windows(2).enumerate().flat_map(|(user, range)| {
            let columns = &columns;
            (range[0]..range[1]).map(move |k| (user as u32, columns[k], values[k]))
        });
        Self::from_triplets(users, items, triplets)
    }

    /// Builds the matrix from a dense one, `[users, items]`: numbers other than zero are pairs.
    ///
    /// # Errors
    /// As [`from_triplets`](Self::from_triplets).
    pub fn from_dense(values: ArrayView2<'_, f32>) -> Result<Self> {
        let (users, items) = values.dim();
        let pairs = values.indexed_iter().filter(|(_, value)| **value != 0.0);
        let triplets = pairs.map(|((user, item), &value)| (user as u32, item as u32, value));
        Self::from_triplets(users, items, triplets)
    }

    /// Builds the matrix of TensorFlow's WALS: an entry weighs the product of the weights of its
    /// row and its column, and is to become its target. To be fitted with
    /// [`Confidence::Given`](crate::Confidence::Given).
    ///
    /// TensorFlow minimises Σ w₀ (x·y)² over the unobserved pairs beside it, with w₀ =
    /// `unobserved_weight` that knows no row or column.
    ///
    /// **Shapes** `row_weights: [users]`, `column_weights: [items]`.
    ///
    /// # Errors
    /// [`Error::InvalidWeight`] for a weight that is NaN, infinite or negative, whether an entry
    /// uses it or not, and as [`from_weighted_targets`](Self::from_weighted_targets).
    pub fn from_row_and_column_weights(
        row_weights: &[f32],
        column_weights: &[f32],
        targets: impl IntoIterator<Item = (u32, u32, f32)>,
    ) -> Result<Self> {
        // Here, for two negative weights make a product that looks sound.
        for (side, weights) in [("user", row_weights), ("item", column_weights)] {
            let unsound = |value: &f32| !(value.is_finite() && *value >= 0.0);
            if let Some(index) = weights.iter().position(unsound) {
                return Err(Error::InvalidWeight { side, index, value: weights[index] });
            }
        }
        let entries = targets.into_iter().map(|(user, item, target)| {
            let weight = |weights: &[f32], k: u32| weights.get(k as usize).copied();
            // Without a weight the pair is out of range, which is said below.
            let weight = weight(row_weights, user).zip(weight(column_weights, item));
            (user, item, weight.map_or(0.0, |(row, column)| row * column), target)
        });
        Self::from_weighted_targets(row_weights.len(), column_weights.len(), entries)
    }
}
