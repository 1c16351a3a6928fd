//! Which tokens a pass computes: the real ones of a batch, row after row, without padding.

use regen_kernel::{Level, Spare};
use regen_torch::tensor_from_f32;
use tch::{Device, Kind, Tensor};

use crate::error::Result;
use crate::layers::Rotary;
use crate::mask::PaddingMask;
use crate::packed::{Frequencies, Turn};

/// Tokens that a core takes through a block at a time: whole tiles at every level, their numbers at home in a core's cache.
pub(super) const TOKENS_AT_ONCE: usize = 96;

/// Widths of a decoder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) hidden: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
}

impl Sizes {
    /// Queries of one token.
    pub(super) fn queries(self) -> usize {
        self.heads * self.head_dim
    }

    /// Keys of one token, or values.
    pub(super) fn keys(self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Queries, keys and values of one token.
    pub(super) fn width(self) -> usize {
        self.queries() + 2 * self.keys()
    }

    /// Query heads that share a key head.
    pub(super) fn group(self) -> usize {
        self.heads / self.kv_heads
    }
}

/// Where the real tokens of a batch stand.
#[derive(Debug, Default)]
pub(super) struct Layout {
    batch: i64,
    seq: i64,
    /// How many each row has.
    pub(super) counts: Vec<usize>,
    /// Before each row.
    pub(super) starts: Vec<usize>,
    /// The row of each, and how many of the row stand before it.
    pub(super) places: Vec<(usize, usize)>,
    /// Where each stands in `[batch · seq]`.
    columns: Vec<usize>,
}

impl Layout {
    pub(super) fn new(mask: &PaddingMask) -> Self {
        let mut layout = Self { batch: mask.batch(), seq: mask.seq(), ..Self::default() };
        for row in 0..mask.batch() as usize {
            layout.starts.push(layout.places.len());
            let mut count = 0;
            for (column, _) in mask.row(row).iter().enumerate().filter(|(_, real)| **real) {
                layout.places.push((row, count));
                layout.columns.push(row * mask.seq() as usize + column);
                count += 1;
            }
            layout.counts.push(count);
        }
        layout
    }

    pub(super) fn tokens(&self) -> usize {
        self.places.len()
    }

    /// The places of the tokens, [`TOKENS_AT_ONCE`] at a time.
    pub(super) fn pieces(&self) -> impl ExactSizeIterator<Item = &[(usize, usize)]> {
        self.places.chunks(TOKENS_AT_ONCE)
    }

    /// The numbers of the real tokens. **Shapes** `all: [batch, seq, width] → into: [tokens, width]`.
    pub(super) fn gather(
        &self,
        all: &Tensor,
        width: usize,
        spare: &mut Vec<f32>,
        into: &mut Vec<f32>,
    ) -> Result<()> {
        let all = all.detach().f_to_kind(Kind::Float)?.f_contiguous()?;
        let count = all.numel();
        into.resize(self.tokens() * width, 0.0);
        if count == into.len() {
            all.f_copy_data(into, count)?;
            return Ok(());
        }
        spare.resize(count, 0.0);
        all.f_copy_data(spare, count)?;
        for (column, to) in self.columns.iter().zip(into.chunks_exact_mut(width)) {
            to.copy_from_slice(&spare[column * width..][..width]);
        }
        Ok(())
    }

    /// The way back, 0 at padding. **Shapes** `from: [tokens, width] → [batch, seq, width]`.
    pub(super) fn spread(&self, from: &[f32], width: usize, spare: &mut Vec<f32>) -> Result<Tensor> {
        let shape = [self.batch, self.seq, width as i64];
        let count = (self.batch * self.seq) as usize * width;
        if count == from.len() {
            return Ok(tensor_from_f32(from, &shape)?);
        }
        spare.clear();
        spare.resize(count, 0.0);
        for (column, from) in self.columns.iter().zip(from.chunks_exact(width)) {
            spare[column * width..][..width].copy_from_slice(from);
        }
        Ok(tensor_from_f32(spare, &shape)?)
    }
}

/// The rotations of a decoder's positions, as many as were ever needed.
#[derive(Debug)]
pub(super) struct Turns {
    frequencies: Option<Frequencies>,
    turns: Vec<Turn>,
}

impl Turns {
    pub(super) fn new(rotary: Option<&Rotary>) -> Result<Self> {
        Ok(Self { frequencies: rotary.map(Frequencies::new).transpose()?, turns: Vec::new() })
    }

    /// Makes room for rows of that length.
    pub(super) fn reach(&mut self, length: usize) {
        if let Some(frequencies) = &self.frequencies {
            let missing = self.turns.len()..length.max(self.turns.len());
            self.turns.extend(missing.map(|position| frequencies.at(position)));
        }
    }

    /// What turns a head at that position, if heads are turned.
    pub(super) fn at(&self, position: usize) -> Option<&[(f32, f32)]> {
        self.turns.get(position).map(Turn::pairs)
    }
}

/// What the phases of a pass share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pass<'a> {
    pub(super) level: Level,
    pub(super) sizes: Sizes,
    pub(super) layout: &'a Layout,
    /// Of the block at hand.
    pub(super) turns: &'a Turns,
    pub(super) spare: &'a Spare<Scratch>,
}

/// What a task needs while it runs.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) product: regen_kernel::Scratch,
    pub(super) attention: regen_kernel::AttentionScratch,
    pub(super) attention_back: regen_kernel::AttentionBackScratch,
    pub(super) normed: Vec<f32>,
    pub(super) inner: Vec<f32>,
    pub(super) branch: Vec<f32>,
}

/// Hands out a buffer in pieces; empty ones where the buffer is empty.
pub(super) struct Pieces<'a>(std::slice::ChunksMut<'a, f32>);

impl<'a> Pieces<'a> {
    pub(super) fn of(all: &'a mut [f32], size: usize) -> Self {
        Self(all.chunks_mut(size.max(1)))
    }

    pub(super) fn take(&mut self) -> &'a mut [f32] {
        self.0.next().unwrap_or_default()
    }
}

/// The same, to read.
pub(super) struct Views<'a>(std::slice::Chunks<'a, f32>);

impl<'a> Views<'a> {
    pub(super) fn take(&mut self) -> &'a [f32] {
        self.0.next().unwrap_or_default()
    }
}

/// The numbers of [`TOKENS_AT_ONCE`].
pub(super) fn pieces(all: &mut [f32], width: usize) -> Pieces<'_> {
    Pieces::of(all, TOKENS_AT_ONCE * width)
}

/// The same, to read.
pub(super) fn views(all: &[f32], width: usize) -> Views<'_> {
    Views(all.chunks((TOKENS_AT_ONCE * width).max(1)))
}

/// As long as wanted; what is in it means nothing.
pub(super) fn fit(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    buffer.resize(length, 0.0);
    buffer
}

/// Whether a decoder's numbers are on the host, in f32.
pub(super) fn is_host_f32(device: Device, kind: Kind) -> bool {
    device == Device::Cpu && kind == Kind::Float
}
