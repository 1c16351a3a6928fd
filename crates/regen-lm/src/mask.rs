//! Which positions of a batch hold real tokens, and what attention may see because of it.
//!
//! The mask is kept on the host: the shapes it decides (is there any padding, on which side) choose the
//! fast path without asking the device.

use regen_torch::{Numbers, try_range};
use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};

/// Which positions of a padded batch are real; padding may stand on either side.
///
/// ```
/// let mask = regen_lm::PaddingMask::left(&[3, 1], 4)?;
/// assert_eq!(mask.real_tokens(1), 1);
/// assert!(!mask.is_full());
/// # Ok::<(), regen_lm::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaddingMask {
    batch: i64,
    seq: i64,
    /// Row-major `[batch, seq]`.
    real: Vec<bool>,
}

impl PaddingMask {
    /// No padding at all.
    pub fn full(batch: i64, seq: i64) -> Self {
        let positions = batch.max(0) * seq.max(0);
        Self { batch: batch.max(0), seq: seq.max(0), real: vec![true; positions as usize] }
    }

    /// Row `i` ends with padding after `lengths[i]` tokens.
    ///
    /// # Errors
    /// [`Error::Argument`] for a length outside `0..=seq`.
    pub fn right(lengths: &[i64], seq: i64) -> Result<Self> {
        Self::from_lengths(lengths, seq, |position, length| position < length)
    }

    /// Row `i` begins with padding and ends with `lengths[i]` tokens.
    ///
    /// # Errors
    /// [`Error::Argument`] for a length outside `0..=seq`.
    pub fn left(lengths: &[i64], seq: i64) -> Result<Self> {
        Self::from_lengths(lengths, seq, |position, length| position >= seq - length)
    }

    fn from_lengths(lengths: &[i64], seq: i64, is_real: impl Fn(i64, i64) -> bool) -> Result<Self> {
        let mut real = Vec::with_capacity(lengths.len() * seq.max(0) as usize);
        for &length in lengths {
            if !(0..=seq).contains(&length) {
                return Err(Error::Argument {
                    what: "row length",
                    expected: "between 0 and the padded length",
                    got: length.to_string(),
                });
            }
            real.extend((0..seq).map(|position| is_real(position, length)));
        }
        Ok(Self { batch: lengths.len() as i64, seq, real })
    }

    /// From a mask tensor, non-zero where real.
    ///
    /// **Shapes** `mask: [batch, seq]` bool or integer.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Kind`] for floating kinds, [`Error::Libtorch`].
    pub fn from_tensor(mask: &Tensor) -> Result<Self> {
        let size = mask.size();
        let [batch, seq] = size[..] else {
            return Err(Error::shape("padding mask", "[batch, seq]", &size));
        };
        if !matches!(mask.kind(), Kind::Bool | Kind::Uint8 | Kind::Int | Kind::Int64) {
            return Err(Error::Kind {
                what: "padding mask",
                expected: "bool or an integer",
                got: mask.kind(),
            });
        }
        let flat = mask.try_ne(0)?.f_to_device(Device::Cpu)?.f_contiguous()?.f_view([-1])?;
        let mut real = vec![false; (batch * seq) as usize];
        flat.f_copy_data(&mut real, (batch * seq) as usize)?;
        Ok(Self { batch, seq, real })
    }

    /// Rows.
    pub fn batch(&self) -> i64 {
        self.batch
    }

    /// Columns, padding included.
    pub fn seq(&self) -> i64 {
        self.seq
    }

    /// Whether no position is padding.
    pub fn is_full(&self) -> bool {
        self.real.iter().all(|real| *real)
    }

    /// How many real tokens row `row` holds.
    ///
    /// # Panics
    /// If `row` is not below [`batch`](Self::batch).
    pub fn real_tokens(&self, row: usize) -> i64 {
        self.row(row).iter().filter(|real| **real).count() as i64
    }

    /// Moves each row's real columns to its end, so that generation can continue them all from the last column.
    ///
    /// **Shapes** `embeds: [batch, seq, hidden]` → the same and its mask.
    ///
    /// # Errors
    /// [`Error::Shape`] if the embeddings have other rows or columns; [`Error::Libtorch`].
    pub fn pad_left(&self, embeds: &Tensor) -> Result<(Tensor, Self)> {
        let size = embeds.size();
        if size.len() != 3 || size[..2] != [self.batch, self.seq] {
            let expected = format!("[{}, {}, hidden]", self.batch, self.seq);
            return Err(Error::shape("embeddings", expected, &size));
        }
        let mut columns = Vec::with_capacity(self.real.len());
        let mut lengths = Vec::with_capacity(self.batch as usize);
        for row in 0..self.batch as usize {
            let at = |wanted: bool| {
                let row = self.row(row).iter().enumerate();
                row.filter(move |(_, real)| **real == wanted).map(|(column, _)| column as i64)
            };
            columns.extend(at(false).chain(at(true)));
            lengths.push(self.real_tokens(row));
        }
        let columns = Tensor::f_from_slice(&columns)?.f_view([self.batch, self.seq, 1])?;
        let columns = columns.f_to_device(embeds.device())?.f_expand(&size, false)?;
        Ok((embeds.f_gather(1, &columns, false)?, Self::left(&lengths, self.seq)?))
    }

    /// The mask for a device.
    ///
    /// **Shapes** → `[batch, seq]` bool.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::Libtorch`].
    pub fn to_tensor(&self, device: Device) -> Result<Tensor> {
        Ok(Tensor::f_from_slice(&self.real)?.f_view([self.batch, self.seq])?.f_to_device(device)?)
    }

    pub(crate) fn row(&self, row: usize) -> &[bool] {
        let seq = self.seq as usize;
        &self.real[row * seq..(row + 1) * seq]
    }

    /// Whether every row is real tokens first, padding after.
    pub(crate) fn right_padded(&self) -> bool {
        (0..self.batch as usize).all(|row| self.row(row).windows(2).all(|pair| pair[0] || !pair[1]))
    }

    /// The mask of some rows, in the order given.
    pub(crate) fn select(&self, rows: &[usize]) -> Self {
        Self {
            batch: rows.len() as i64,
            seq: self.seq,
            real: rows.iter().flat_map(|row| self.row(*row).to_vec()).collect(),
        }
    }

    /// The first `len` columns.
    pub(crate) fn first_columns(&self, len: i64) -> Self {
        Self {
            batch: self.batch,
            seq: len,
            real: (0..self.batch as usize).flat_map(|row| self.row(row)[..len as usize].to_vec()).collect(),
        }
    }

    /// These columns, then those of `next`.
    pub(crate) fn append(&self, next: &Self) -> Self {
        let mut real = Vec::with_capacity(self.real.len() + next.real.len());
        for row in 0..self.batch as usize {
            real.extend_from_slice(self.row(row));
            real.extend_from_slice(next.row(row));
        }
        Self { batch: self.batch, seq: self.seq + next.seq, real }
    }
}

/// What the queries of one forward pass may see.
#[derive(Debug)]
pub(crate) enum Visible {
    /// Key `k` for query `q` when `k ≤ q`; queries and keys are the same positions.
    Causal,
    /// Every key: a single query at the end.
    All,
    /// An additive bias `[batch or 1, 1, queries, keys]`, 0 or −∞.
    Bias(Tensor),
}

/// Visibility for layers that see everything and, where it differs, for windowed layers.
#[derive(Debug)]
pub(crate) struct Visibility {
    pub(crate) global: Visible,
    pub(crate) windowed: Option<Visible>,
}

impl Visibility {
    /// Plans attention of the last `new.seq()` columns over all columns of `keys` (past and new).
    ///
    /// A right-padded batch needs no mask: real tokens never look ahead into the padding behind
    /// them, and what padding itself computes is never read.
    pub(crate) fn plan(
        keys: &PaddingMask,
        queries: i64,
        window: Option<i64>,
        device: Device,
        kind: Kind,
    ) -> Result<Self> {
        let past = keys.seq - queries;
        let full = keys.is_full();
        let global = if past == 0 && (full || keys.right_padded()) {
            Visible::Causal
        } else if queries == 1 && full {
            Visible::All
        } else {
            Visible::Bias(bias(keys, queries, None, device, kind)?)
        };
        let windowed = match window.filter(|window| *window < keys.seq) {
            Some(window) => Some(Visible::Bias(bias(keys, queries, Some(window), device, kind)?)),
            None => None,
        };
        Ok(Self { global, windowed })
    }
}

fn bias(keys: &PaddingMask, queries: i64, window: Option<i64>, device: Device, kind: Kind) -> Result<Tensor> {
    let total = keys.seq;
    let key = try_range(0, total, device)?;
    let query = key.f_narrow(0, total - queries, queries)?.f_unsqueeze(1)?;
    let mut allowed = key.f_le_tensor(&query)?;
    if let Some(window) = window {
        let oldest = query.try_add(-window)?;
        allowed = allowed.f_logical_and(&key.f_gt_tensor(&oldest)?)?;
    }
    let mut allowed = allowed.f_view([1, 1, queries, total])?;
    if !keys.is_full() {
        let real = keys.to_tensor(device)?.f_view([keys.batch, 1, 1, total])?;
        allowed = allowed.f_logical_and(&real)?;
        // A padding query sees itself, so that no row of the softmax is empty.
        let own = key.f_eq_tensor(&query)?;
        allowed = allowed.f_logical_or(&own)?;
    }
    let zeros = Tensor::f_zeros(allowed.size(), (kind, device))?;
    Ok(zeros.try_masked_fill(&allowed.f_logical_not()?, f64::NEG_INFINITY)?)
}
