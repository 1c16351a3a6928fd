//! The item tables: one vector per item and side, and which of them exist.

use regen_fusion::{ItemVectors, Side};
use regen_torch::tensor_from_f32;
use tch::{Device, Kind, Tensor};

use crate::{Error, Result};

/// The vectors of one side for all items.
#[derive(Debug)]
pub struct ItemTable {
    vectors: Tensor,
    present: Tensor,
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
        for (row, values) in vectors.chunks_exact(dim.max(1)).enumerate() {
            if present[row] && values.iter().any(|value| !value.is_finite()) {
                return Err(Error::Mismatch {
                    part: "an item table",
                    got: format!("a value that is not finite in row {row}"),
                    other: "the adapter",
                    expected: "finite vectors".into(),
                });
            }
        }
        Ok(Self { vectors: tensor, present: Tensor::from_slice(present) })
    }

    pub(crate) fn from_tensors(vectors: Tensor, present: Tensor) -> Self {
        Self { vectors, present }
    }

    /// Rows.
    pub fn items(&self) -> usize {
        self.present.numel()
    }

    /// Width of a vector.
    pub fn dim(&self) -> i64 {
        self.vectors.size().get(1).copied().unwrap_or(0)
    }

    pub(crate) fn tensors(&self) -> (&Tensor, &Tensor) {
        (&self.vectors, &self.present)
    }

    fn to_device(&self, device: Device) -> Self {
        Self { vectors: self.vectors.to_device(device), present: self.present.to_device(device) }
    }

    /// `rows: [batch, seq]` → the side of those items.
    fn gather(&self, rows: &Tensor) -> Side {
        let (batch, seq) = rows.size2().unwrap_or((0, 0));
        let flat = rows.reshape([-1]);
        Side {
            vectors: self.vectors.index_select(0, &flat).reshape([batch, seq, self.dim()]),
            present: self.present.index_select(0, &flat).reshape([batch, seq]),
        }
    }
}

/// Both sides. A side that an arm does not use may be absent.
#[derive(Debug)]
pub struct ItemTables {
    items: usize,
    cf: Option<ItemTable>,
    semantic: Option<ItemTable>,
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
        Ok(Self { items, cf, semantic })
    }

    /// No items at all: for a narrator that reads passages only.
    pub fn none() -> Self {
        Self { items: 0, cf: None, semantic: None }
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

    pub(crate) fn to_device(&self, device: Device) -> Self {
        let place = |table: &Option<ItemTable>| table.as_ref().map(|table| table.to_device(device));
        Self { items: self.items, cf: place(&self.cf), semantic: place(&self.semantic) }
    }

    /// The vectors of each side, by its name.
    pub(crate) fn vectors(&self) -> impl Iterator<Item = (&'static str, Tensor)> + '_ {
        let sides = [("cf", &self.cf), ("semantic", &self.semantic)];
        sides.into_iter().filter_map(|(name, table)| Some((name, table.as_ref()?.vectors.shallow_clone())))
    }

    /// `rows: [batch, seq]` i64, each inside the tables; `mask: [batch, seq]` bool.
    pub(crate) fn gather(&self, rows: &Tensor, mask: &Tensor) -> ItemVectors {
        ItemVectors {
            cf: self.cf.as_ref().map(|table| table.gather(rows)),
            semantic: self.semantic.as_ref().map(|table| table.gather(rows)),
            mask: mask.to_kind(Kind::Bool),
        }
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
        let gathered = tables.gather(&rows, &Tensor::ones([1, 3], (Kind::Bool, Device::Cpu)));
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
