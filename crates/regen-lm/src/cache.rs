//! Keys and values of the tokens seen so far. A cache belongs to a generation; the model stays `&self`.

use tch::{Device, Kind, Tensor};

use crate::config::DecoderConfig;
use crate::error::{Error, Result};
use crate::mask::PaddingMask;

/// Keys and values for a batch, allocated once and written in place.
#[derive(Debug)]
pub struct KvCache {
    /// Per layer `[batch, kv_heads, capacity, head_dim]`.
    pub(crate) layers: Vec<LayerCache>,
    capacity: i64,
    /// Which of the columns written so far hold real tokens.
    pub(crate) seen: PaddingMask,
}

/// One layer's keys and values.
#[derive(Debug)]
pub(crate) struct LayerCache {
    keys: Tensor,
    values: Tensor,
}

impl KvCache {
    /// Room for `capacity` columns of `batch` rows, padding included.
    ///
    /// # Errors
    /// [`Error::Argument`] for a batch or capacity below 1; [`Error::OutOfMemory`].
    pub fn new(
        config: &DecoderConfig,
        batch: i64,
        capacity: i64,
        device: Device,
        kind: Kind,
    ) -> Result<Self> {
        for (what, value) in [("cache batch", batch), ("cache capacity", capacity)] {
            if value < 1 {
                return Err(Error::Argument { what, expected: "at least 1", got: value.to_string() });
            }
        }
        let shape = [batch, config.kv_heads, capacity, config.head_dim];
        let layers = (0..config.layers)
            .map(|_| {
                // Zeros, not whatever memory held: columns that are masked out still enter a product.
                Ok(LayerCache {
                    keys: Tensor::f_zeros(shape, (kind, device))?,
                    values: Tensor::f_zeros(shape, (kind, device))?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self { layers, capacity, seen: PaddingMask::full(batch, 0) })
    }

    /// Rows.
    pub fn batch(&self) -> i64 {
        self.seen.batch()
    }

    /// Columns written so far, padding included.
    pub fn len(&self) -> i64 {
        self.seen.seq()
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Columns that can be written in all.
    pub fn capacity(&self) -> i64 {
        self.capacity
    }

    /// Keeps only the given rows, in the given order; a row may be repeated, so that one prefix can
    /// be continued in several ways.
    ///
    /// # Errors
    /// [`Error::Argument`] for a row that does not exist; [`Error::Libtorch`].
    pub fn select_rows(&mut self, rows: &[usize]) -> Result<()> {
        if let Some(row) = rows.iter().find(|row| **row as i64 >= self.batch()) {
            return Err(Error::Argument {
                what: "cache row",
                expected: "a row of the cache",
                got: row.to_string(),
            });
        }
        let indices: Vec<i64> = rows.iter().map(|row| *row as i64).collect();
        for layer in &mut self.layers {
            let index = Tensor::f_from_slice(&indices)?.f_to_device(layer.keys.device())?;
            layer.keys = layer.keys.f_index_select(0, &index)?;
            layer.values = layer.values.f_index_select(0, &index)?;
        }
        self.seen = self.seen.select(rows);
        Ok(())
    }

    /// Row `i` becomes what row `rows[i]` was, in place. Only columns from `from` on are copied: before them, the rows that change
    /// places must be the same.
    pub(crate) fn reorder(&mut self, rows: &[usize], from: i64) -> Result<()> {
        let moved = || rows.iter().enumerate().filter(|(to, source)| to != *source);
        let sources: Vec<i64> = moved().map(|(_, source)| *source as i64).collect();
        let targets: Vec<i64> = moved().map(|(to, _)| to as i64).collect();
        let columns = self.len() - from;
        if sources.is_empty() || columns == 0 {
            return Ok(());
        }
        for layer in &mut self.layers {
            let device = layer.keys.device();
            let sources = Tensor::f_from_slice(&sources)?.f_to_device(device)?;
            let targets = Tensor::f_from_slice(&targets)?.f_to_device(device)?;
            for tensor in [&layer.keys, &layer.values] {
                let mut written = tensor.f_narrow(2, from, columns)?;
                // Read before anything is overwritten: rows may change places with each other.
                let taken = written.f_index_select(0, &sources)?;
                let _ = written.f_index_copy_(0, &targets, &taken)?;
            }
        }
        self.seen = self.seen.select(rows);
        Ok(())
    }

    /// Copies of some rows, in a cache with room for `more` columns behind them.
    pub(crate) fn continued(&self, rows: &[usize], more: i64) -> Result<Self> {
        let indices: Vec<i64> = rows.iter().map(|row| *row as i64).collect();
        let len = self.len();
        let extend = |tensor: &Tensor| -> Result<Tensor> {
            let size = tensor.size();
            let shape = [indices.len() as i64, size[1], len + more, size[3]];
            let longer = Tensor::f_zeros(shape, (tensor.kind(), tensor.device()))?;
            let index = Tensor::f_from_slice(&indices)?.f_to_device(tensor.device())?;
            let held = tensor.f_narrow(2, 0, len)?.f_index_select(0, &index)?;
            longer.f_narrow(2, 0, len)?.f_copy_(&held)?;
            Ok(longer)
        };
        let layers = self
            .layers
            .iter()
            .map(|layer| Ok(LayerCache { keys: extend(&layer.keys)?, values: extend(&layer.values)? }))
            .collect::<Result<_>>()?;
        Ok(Self { layers, capacity: len + more, seen: self.seen.select(rows) })
    }

    /// Forgets every column from `len` on.
    ///
    /// # Errors
    /// [`Error::Argument`] if fewer columns are held.
    pub fn truncate(&mut self, len: i64) -> Result<()> {
        if !(0..=self.len()).contains(&len) {
            return Err(Error::Argument {
                what: "cache length",
                expected: "at most what is held",
                got: len.to_string(),
            });
        }
        self.seen = self.seen.first_columns(len);
        Ok(())
    }
}

impl LayerCache {
    /// Writes the new columns and returns views of all columns up to them.
    ///
    /// **Shapes** `keys, values: [batch, kv_heads, new, head_dim] → [batch, kv_heads, past + new, head_dim]`.
    pub(crate) fn extend(&mut self, past: i64, keys: &Tensor, values: &Tensor) -> Result<(Tensor, Tensor)> {
        let new = keys.size()[2];
        self.keys.f_narrow(2, past, new)?.f_copy_(keys)?;
        self.values.f_narrow(2, past, new)?.f_copy_(values)?;
        Ok((self.keys.f_narrow(2, 0, past + new)?, self.values.f_narrow(2, 0, past + new)?))
    }
}
