//! The item tables: one vector per item and side, and which of them exist.

use std::sync::Arc;

use regen_fusion::{Details, ItemVectors, Moments, Side, Whitening};
use regen_torch::{TensorRows, tensor_from_f32, tensor_to_vec_f32};
use tch::{Device, Kind, Tensor};

use crate::{Error, FoldIn, Result};

/// The vectors of one side for all items.
#[derive(Debug)]
pub struct ItemTable {
    vectors: Vectors,
    present: Tensor,
}

/// `[items, dim]`.
#[derive(Debug)]
enum Vectors {
    /// `f32`, on the device of `present`.
    Memory(Tensor),
    /// Of any float type, and not looked at yet.
    Stored(Arc<TensorRows>),
}

impl ItemTable {
    /// Makes a table of `present.len()` rows of width `dim` from row-major `vectors`.
    ///
    /// `present[row]` says whether the side knows the item. Values of absent rows are not read.
    ///
    /// # Errors
    /// [`Error::Torch`] if the number of values is not `present.len() · dim`; [`Error::Mismatch`] if a present
    /// row holds a value that is not finite.
    pub fn new(vectors: &[f32], dim: usize, present: &[bool]) -> Result<Self> {
        let tensor = tensor_from_f32(vectors, &[present.len() as i64, dim as i64])?;
        check_values(vectors, dim, present, 0, f32::MAX)?;
        Ok(Self::from_tensors(tensor, Tensor::f_from_slice(present)?))
    }

    pub(crate) fn from_tensors(vectors: Tensor, present: Tensor) -> Self {
        Self { vectors: Vectors::Memory(vectors), present }
    }

    pub(crate) fn stored(vectors: TensorRows, present: Tensor) -> Self {
        Self { vectors: Vectors::Stored(Arc::new(vectors)), present }
    }

    /// Rows.
    pub fn items(&self) -> usize {
        self.present.numel()
    }

    /// Rows that have a vector.
    pub fn known(&self) -> usize {
        self.present.sum(Kind::Int64).int64_value(&[]) as usize
    }

    /// Width of a vector.
    pub fn dim(&self) -> i64 {
        let size = match &self.vectors {
            Vectors::Memory(vectors) => vectors.size(),
            Vectors::Stored(rows) => rows.size(),
        };
        size.get(1).copied().unwrap_or(0)
    }

    /// Whether the vectors are left in their file, and so cannot be trained.
    pub fn is_stored(&self) -> bool {
        matches!(self.vectors, Vectors::Stored(_))
    }

    /// The vectors, where they are in memory.
    pub(crate) fn in_memory(&self) -> Option<&Tensor> {
        match &self.vectors {
            Vectors::Memory(vectors) => Some(vectors),
            Vectors::Stored(_) => None,
        }
    }

    fn device(&self) -> Device {
        self.present.device()
    }

    /// The number type of the vectors.
    pub(crate) fn kind(&self) -> Kind {
        match &self.vectors {
            Vectors::Memory(vectors) => vectors.kind(),
            Vectors::Stored(rows) => rows.kind(),
        }
    }

    /// Vectors and presence of consecutive rows, `[rows, dim]` and `[rows]`, as they are.
    pub(crate) fn block(&self, first: i64, rows: i64) -> Result<(Tensor, Tensor)> {
        let vectors = match &self.vectors {
            Vectors::Memory(vectors) => vectors.f_narrow(0, first, rows)?,
            Vectors::Stored(stored) => stored.gather(&(first..first + rows).collect::<Vec<_>>())?,
        };
        Ok((vectors, self.present.f_narrow(0, first, rows)?))
    }

    fn to_device(&self, device: Device) -> Result<Self> {
        let vectors = match &self.vectors {
            Vectors::Memory(vectors) => Vectors::Memory(vectors.f_to_device(device)?),
            Vectors::Stored(stored) => Vectors::Stored(Arc::clone(stored)),
        };
        Ok(Self { vectors, present: self.present.f_to_device(device)? })
    }

    /// The whitening of the rows that are there, read block by block.
    pub(crate) fn whitening(&self) -> Result<Whitening> {
        /// Rows that are looked at at once.
        const BLOCK: i64 = 1 << 16;
        let mut moments = Moments::new(self.dim());
        let items = self.items() as i64;
        for first in (0..items).step_by(BLOCK as usize) {
            let (vectors, present) = self.block(first, BLOCK.min(items - first))?;
            moments.add(&vectors, &present)?;
        }
        Ok(moments.whitening()?)
    }

    /// `rows: [batch, seq]` → the side of those items.
    fn gather(&self, rows: &Tensor) -> Result<Side> {
        let (batch, seq) = rows.size2().unwrap_or((0, 0));
        let flat = rows.f_reshape([-1])?;
        let present = self.present.f_index_select(0, &flat)?;
        let vectors = match &self.vectors {
            Vectors::Memory(vectors) => vectors.f_index_select(0, &flat)?,
            Vectors::Stored(stored) => {
                let wanted = Vec::<i64>::try_from(&flat)?;
                let vectors = stored.gather(&wanted)?.f_to_kind(Kind::Float)?;
                check_rows(&vectors, &present.f_to_device(Device::Cpu)?, &wanted)?;
                vectors.f_to_device(present.device())?
            }
        };
        Ok(Side {
            vectors: vectors.f_reshape([batch, seq, self.dim()])?,
            present: present.f_reshape([batch, seq])?,
        })
    }
}

/// The stored name of what says which rows of a side are there.
pub(crate) fn present_name(side: &str) -> String {
    format!("{side}_present")
}

fn not_finite(row: usize) -> Error {
    Error::Mismatch {
        part: "an item table",
        got: format!("a value in row {row} that is not finite, or too large for its numbers"),
        other: "the adapter",
        expected: "finite vectors".into(),
    }
}

/// Refuses values of present rows beyond `largest`; `vectors` begins with row `first`.
pub(crate) fn check_values(
    vectors: &[f32],
    dim: usize,
    present: &[bool],
    first: usize,
    largest: f32,
) -> Result<()> {
    let mut rows = vectors.chunks_exact(dim.max(1)).zip(present);
    // A comparison with NaN is false.
    let fits = |value: &f32| value.abs() <= largest;
    match rows.position(|(values, present)| *present && !values.iter().all(fits)) {
        Some(row) => Err(not_finite(first + row)),
        None => Ok(()),
    }
}

/// Refuses gathered values that nobody looked at before. `vectors: [n, dim]`, `present`: `[n]`.
fn check_rows(vectors: &Tensor, present: &Tensor, rows: &[i64]) -> Result<()> {
    let fits = vectors.f_isfinite()?.f_all_dim(1, false)?.f_logical_or(&present.f_logical_not()?)?;
    if fits.f_all()?.f_int64_value(&[])? == 1 {
        return Ok(());
    }
    let place = fits.f_to_kind(Kind::Int64)?.f_argmin(0, false)?.f_int64_value(&[])?;
    Err(not_finite(rows[place as usize] as usize))
}

/// Both sides. A side that an arm does not use may be absent.
#[derive(Debug)]
pub struct ItemTables {
    items: usize,
    cf: Option<ItemTable>,
    semantic: Option<ItemTable>,
    fold_in: Option<FoldIn>,
}

impl ItemTables {
    /// Puts the sides together.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if they have different numbers of rows, or if neither is given.
    pub fn new(cf: Option<ItemTable>, semantic: Option<ItemTable>) -> Result<Self> {
        let items = match (&cf, &semantic) {
            (Some(cf), Some(semantic)) if cf.items() != semantic.items() => {
                return Err(Error::Mismatch {
                    part: "the semantic table",
                    got: format!("{} items", semantic.items()),
                    other: "the cf table",
                    expected: format!("{} items", cf.items()),
                });
            }
            (Some(table), _) | (None, Some(table)) => table.items(),
            (None, None) => {
                return Err(Error::Mismatch {
                    part: "the item tables",
                    got: "no side".into(),
                    other: "an adapter",
                    expected: "cf, semantic or both".into(),
                });
            }
        };
        Ok(Self { items, cf, semantic, fold_in: None })
    }

    /// With what makes users' vectors of histories.
    ///
    /// # Errors
    /// [`Error::Mismatch`] unless it is of the width of the collaborative side.
    pub fn with_fold_in(self, fold_in: FoldIn) -> Result<Self> {
        let got = self.cf.as_ref().map_or(0, ItemTable::dim);
        if got != fold_in.rank() as i64 {
            return Err(Error::Mismatch {
                part: "the cf table",
                got: format!("width {got}"),
                other: "the fold-in",
                expected: format!("width {}", fold_in.rank()),
            });
        }
        Ok(Self { fold_in: Some(fold_in), ..self })
    }

    /// What makes users' vectors of histories, where there is such.
    pub fn fold_in(&self) -> Option<&FoldIn> {
        self.fold_in.as_ref()
    }

    /// The vector of the user who bought `rows`; `None` without a fold-in, and where the collaborative side knows none of them.
    pub(crate) fn user(&self, rows: &[i64]) -> Result<Option<Vec<f32>>> {
        let (Some(fold_in), Some(cf)) = (&self.fold_in, &self.cf) else { return Ok(None) };
        // An item that was bought again is one pair of a higher value, as in the factorisation.
        let mut counts = std::collections::BTreeMap::new();
        rows.iter().for_each(|&row| *counts.entry(row).or_insert(0u32) += 1);
        let distinct: Vec<i64> = counts.keys().copied().collect();
        if distinct.is_empty() {
            return Ok(None);
        }
        let rows = Tensor::f_from_slice(&distinct)?.f_unsqueeze(0)?.f_to_device(cf.device())?;
        let side = tch::no_grad(|| cf.gather(&rows))?;
        let present = tensor_to_vec_f32(&side.present)?;
        let all = tensor_to_vec_f32(&side.vectors)?;
        let (mut vectors, mut values) = (Vec::with_capacity(all.len()), Vec::with_capacity(distinct.len()));
        for ((vector, there), &count) in all.chunks_exact(fold_in.rank()).zip(present).zip(counts.values()) {
            if there != 0.0 {
                vectors.extend_from_slice(vector);
                values.push(count as f32);
            }
        }
        fold_in.solve(&vectors, &values)
    }

    /// No items at all: for a narrator that reads passages only.
    pub fn none() -> Self {
        Self { items: 0, cf: None, semantic: None, fold_in: None }
    }

    /// Number of items.
    pub fn items(&self) -> usize {
        self.items
    }

    /// The collaborative side.
    pub fn cf(&self) -> Option<&ItemTable> {
        self.cf.as_ref()
    }

    /// The semantic side.
    pub fn semantic(&self) -> Option<&ItemTable> {
        self.semantic.as_ref()
    }

    pub(crate) fn to_device(&self, device: Device) -> Result<Self> {
        let place =
            |table: &Option<ItemTable>| table.as_ref().map(|table| table.to_device(device)).transpose();
        Ok(Self {
            items: self.items,
            cf: place(&self.cf)?,
            semantic: place(&self.semantic)?,
            fold_in: self.fold_in.clone(),
        })
    }

    /// The tables of each side, by its name.
    pub(crate) fn sides(&self) -> impl Iterator<Item = (&'static str, &ItemTable)> {
        let sides = [("cf", &self.cf), ("semantic", &self.semantic)];
        sides.into_iter().filter_map(|(name, table)| Some((name, table.as_ref()?)))
    }

    /// `rows: [batch, seq]` i64, each inside the tables; `mask: [batch, seq]` bool.
    pub(crate) fn gather(&self, rows: &Tensor, mask: &Tensor) -> Result<ItemVectors> {
        let side = |table: &Option<ItemTable>| table.as_ref().map(|table| table.gather(rows)).transpose();
        Ok(ItemVectors {
            cf: side(&self.cf)?,
            semantic: side(&self.semantic)?,
            mask: mask.f_to_kind(Kind::Bool)?,
            details: Details::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_gathered_in_order_with_their_presence() {
        let table = ItemTable::new(&[1., 2., f32::NAN, 4., 5., 6.], 2, &[true, false, true]).unwrap();
        let tables = ItemTables::new(Some(table), None).unwrap();
        let rows = Tensor::from_slice(&[2i64, 0, 1]).reshape([1, 3]);
        let gathered = tables.gather(&rows, &Tensor::ones([1, 3], (Kind::Bool, Device::Cpu))).unwrap();
        let cf = gathered.cf.unwrap();
        assert_eq!(cf.vectors.double_value(&[0, 0, 1]), 6.0);
        assert_eq!(Vec::<bool>::try_from(cf.present.reshape([-1])).unwrap(), [true, true, false]);
        assert!(gathered.semantic.is_none());
    }

    #[test]
    fn tables_that_do_not_fit_are_refused() {
        assert!(matches!(ItemTable::new(&[1.0; 5], 2, &[true; 3]), Err(Error::Torch(_))));
        assert!(matches!(ItemTable::new(&[f32::NAN; 2], 2, &[true]), Err(Error::Mismatch { .. })));
        let table = |rows: usize| Some(ItemTable::new(&vec![0.5; rows * 2], 2, &vec![true; rows]).unwrap());
        assert!(matches!(ItemTables::new(table(2), table(3)), Err(Error::Mismatch { .. })));
        assert!(matches!(ItemTables::new(None, None), Err(Error::Mismatch { .. })));
    }
}
