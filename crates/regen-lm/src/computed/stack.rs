//! Projections of the same rows as one product, on the way there and back.

use regen_kernel::{ColumnScratch, Level, Matrix, Spare, Storage, Strided, column_sums};
use regen_torch::tensor_to_vec_f32;
use tch::Tensor;

use super::gradient::add_gradient;
use super::layout::fit;
use crate::error::Result;
use crate::layers::{LowRank, Projection};

/// Weights of one or several projections, packed twice.
#[derive(Debug)]
pub(super) struct Stack {
    /// y = x Wᵀ + b.
    pub(super) there: Matrix,
    /// dx = dy W.
    pub(super) back: Matrix,
    low_rank: Option<LowRanks>,
    /// Whether the weights may have moved since they were packed.
    stale: bool,
}

/// The low-rank updates of a stack, as if there was one: A below A, B in blocks of their own.
#[derive(Debug)]
struct LowRanks {
    /// x ↦ [x Aᵀ, ..].
    a: Matrix,
    /// dy ↦ [dy B, ..].
    b: Matrix,
    rank: usize,
}

/// Weights on their way into a stack.
pub(super) struct Renewal<'a> {
    stack: &'a mut Stack,
    weights: Vec<Tensor>,
    /// Whether the one weight is `[in, out]`.
    by_input: bool,
    bias: Option<Vec<f32>>,
    low_rank: Option<[Vec<Vec<f32>>; 2]>,
}

/// Memory that gradients of weights are computed in.
#[derive(Debug)]
pub(super) struct GradientMemory {
    rows: Matrix,
    narrow: Matrix,
    columns: Spare<ColumnScratch>,
    products: Spare<regen_kernel::Scratch>,
    out: Vec<f32>,
    narrowed: Vec<f32>,
}

impl GradientMemory {
    /// dyᵀ x, added to `out` or in its place. **Shapes** `x: [tokens, in]`, `dy: [tokens, out]`, `out: [out, in]`.
    pub(super) fn outer(&mut self, x: &[f32], inputs: usize, dy: Strided<'_>, out: &mut [f32], add: bool) {
        self.rows.pack_transposed(&x.chunks_exact(inputs).collect::<Vec<_>>());
        if add {
            self.rows.add_product_over_rows(dy, out, &self.columns);
        } else {
            self.rows.product_over_rows(dy, out, &self.columns);
        }
    }

    pub(super) fn new(level: Level, storage: Storage) -> Self {
        let room = || Matrix::with_room(level, storage, 1, 1);
        Self {
            rows: room(),
            narrow: room(),
            columns: Spare::default(),
            products: Spare::default(),
            out: Vec::new(),
            narrowed: Vec::new(),
        }
    }
}

impl Stack {
    pub(super) fn new(level: Level, storage: Storage) -> Self {
        let room = || Matrix::with_room(level, storage, 1, 1);
        Self { there: room(), back: room(), low_rank: None, stale: true }
    }

    /// Bytes of the packed weights.
    pub(super) fn bytes(&self) -> usize {
        self.there.bytes() + self.back.bytes()
    }

    /// What must be packed anew, if anything: weights that gradients move, and those that they moved until now.
    pub(super) fn renewal(&mut self, members: &[&Projection]) -> Result<Option<Renewal<'_>>> {
        let moving = members.iter().any(|member| tensors(member).any(Tensor::requires_grad));
        if !moving && !self.stale {
            return Ok(None);
        }
        self.stale = moving;
        let by_input = matches!(members, [one] if one.transposed && one.lora.is_none());
        let weights = members
            .iter()
            .map(|member| {
                let weight = if by_input { member.weight.detach() } else { member.dense()?.0.detach() };
                Ok(weight.f_contiguous()?)
            })
            .collect::<Result<Vec<_>>>()?;
        let bias =
            members.iter().any(|member| member.bias.is_some()).then(|| bias_of(members)).transpose()?;
        let low_rank = members.iter().any(|member| member.lora.is_some()).then(|| low_ranks(members));
        Ok(Some(Renewal { stack: self, weights, by_input, bias, low_rank: low_rank.transpose()? }))
    }

    /// Adds the gradients of the projections' parameters from what entered, `x: [tokens, in]`, and the gradient of what left,
    /// `dy: [tokens, out]`.
    pub(super) fn gradients(
        &self,
        members: &[&Projection],
        x: &[f32],
        dy: &[f32],
        memory: &mut GradientMemory,
    ) -> Result<()> {
        let (inputs, outputs) = (self.there.inputs(), self.there.outputs());
        let level = self.there.level();
        let mut first = 0;
        let mut packed = false;
        let tokens = x.len() / inputs;
        // Neighbours that move are one product.
        for run in
            members.chunk_by(|a, b| !a.transposed && a.weight.requires_grad() == b.weight.requires_grad())
        {
            let width: usize = run.iter().map(|member| member.widths().1 as usize).sum();
            let own = Strided { rows: &dy[first.min(dy.len())..], stride: outputs };
            if run[0].weight.requires_grad() {
                if run[0].transposed {
                    let rows: Vec<&[f32]> =
                        dy.chunks_exact(outputs).map(|row| &row[first..first + width]).collect();
                    memory.rows.pack_transposed(&rows);
                    packed = false;
                    let x = Strided { rows: x, stride: inputs };
                    memory.rows.product_over_rows(x, fit(&mut memory.out, inputs * width), &memory.columns);
                    add_gradient(&run[0].weight, &memory.out)?;
                } else {
                    if !packed {
                        memory.rows.pack_transposed(&x.chunks_exact(inputs).collect::<Vec<_>>());
                        packed = true;
                    }
                    memory.rows.product_over_rows(own, fit(&mut memory.out, width * inputs), &memory.columns);
                    let mut rest = memory.out.as_slice();
                    for member in run {
                        let (values, after) = rest.split_at(member.widths().1 as usize * inputs);
                        add_gradient(&member.weight, values)?;
                        rest = after;
                    }
                }
            }
            let mut column = first;
            for member in run {
                let width = member.widths().1 as usize;
                if let Some(bias) = member.bias.as_ref().filter(|bias| bias.requires_grad()) {
                    let own = Strided { rows: &dy[column..], stride: outputs };
                    column_sums(level, own, tokens, fit(&mut memory.out, width));
                    add_gradient(bias, &memory.out)?;
                }
                column += width;
            }
            first += width;
        }
        match &self.low_rank {
            Some(low_rank) => low_rank.gradients(members, x, dy, packed, memory),
            None => Ok(()),
        }
    }
}

impl LowRanks {
    /// With n = x Aᵀ: dB = s dyᵀ n, dA = s (dy B)ᵀ x.
    fn gradients(
        &self,
        members: &[&Projection],
        x: &[f32],
        dy: &[f32],
        packed: bool,
        memory: &mut GradientMemory,
    ) -> Result<()> {
        let (inputs, outputs, rank) = (self.a.inputs(), self.b.inputs(), self.rank);
        let scaled = |values: &[f32], scale: f64| values.iter().map(|x| x * scale as f32).collect::<Vec<_>>();
        self.a.multiply_shared(x, fit(&mut memory.narrowed, x.len() / inputs * rank), &memory.products);
        memory.narrow.pack_transposed(&memory.narrowed.chunks_exact(rank).collect::<Vec<_>>());
        let all = Strided { rows: dy, stride: outputs };
        memory.narrow.product_over_rows(all, fit(&mut memory.out, outputs * rank), &memory.columns);
        for (member, lora, row, column) in places(members) {
            if let Some(LowRank { b, scale, .. }) = lora {
                let own = b.size()[1] as usize;
                let rows = memory.out.chunks_exact(rank).skip(row).take(member.widths().1 as usize);
                let block: Vec<f32> = rows.flat_map(|row| &row[column..column + own]).copied().collect();
                add_gradient(b, &scaled(&block, *scale))?;
            }
        }
        self.b.multiply_shared(dy, fit(&mut memory.narrowed, dy.len() / outputs * rank), &memory.products);
        if !packed {
            memory.rows.pack_transposed(&x.chunks_exact(inputs).collect::<Vec<_>>());
        }
        let narrow = Strided { rows: &memory.narrowed, stride: rank };
        memory.rows.product_over_rows(narrow, fit(&mut memory.out, rank * inputs), &memory.columns);
        for (_, lora, _, column) in places(members) {
            if let Some(LowRank { a, scale, .. }) = lora {
                let own = a.size()[0] as usize;
                add_gradient(a, &scaled(&memory.out[column * inputs..][..own * inputs], *scale))?;
            }
        }
        Ok(())
    }
}

impl Renewal<'_> {
    /// Packs. Any thread may.
    pub(super) fn pack(self, spare: &Spare<Vec<f32>>) -> Result<()> {
        let Self { stack, weights, by_input, bias, low_rank } = self;
        spare.with(|host| {
            let mut lengths = Vec::new();
            host.resize(weights.iter().map(Tensor::numel).sum(), 0.0);
            let mut rest = host.as_mut_slice();
            for weight in &weights {
                let count = weight.numel();
                let (own, after) = rest.split_at_mut(count);
                weight.f_copy_data(own, count)?;
                lengths.push((count, weight.size2()?.1 as usize));
                rest = after;
            }
            let mut all = host.as_slice();
            let mut rows = Vec::new();
            for (count, length) in lengths {
                let (own, after) = all.split_at(count);
                rows.extend(own.chunks_exact(length.max(1)));
                all = after;
            }
            if by_input {
                stack.there.pack_transposed(&rows);
                stack.back.pack(&rows);
            } else {
                stack.there.pack(&rows);
                stack.back.pack_transposed(&rows);
            }
            Ok::<_, crate::Error>(())
        })?;
        stack.there.set_bias(bias.as_deref());
        stack.low_rank = low_rank.map(|[a, b]| {
            let level = stack.there.level();
            // Always in f32: they are narrow, and what they learn is small.
            let mut ranks = LowRanks {
                a: Matrix::with_room(level, Storage::F32, 1, 1),
                b: Matrix::with_room(level, Storage::F32, 1, 1),
                rank: a.len(),
            };
            ranks.a.pack(&a.iter().map(Vec::as_slice).collect::<Vec<_>>());
            ranks.b.pack_transposed(&b.iter().map(Vec::as_slice).collect::<Vec<_>>());
            ranks
        });
        Ok(())
    }
}

/// Every tensor of a projection.
fn tensors(member: &Projection) -> impl Iterator<Item = &Tensor> {
    let lora = member.lora.as_deref().into_iter().flat_map(|lora| [&lora.a, &lora.b]);
    std::iter::once(&member.weight).chain(&member.bias).chain(lora)
}

/// Whether any parameter of these moves.
pub(super) fn any_moves(members: &[&Projection]) -> bool {
    members.iter().any(|member| tensors(member).any(Tensor::requires_grad))
}

fn bias_of(members: &[&Projection]) -> Result<Vec<f32>> {
    let mut all = Vec::new();
    for member in members {
        match &member.bias {
            Some(bias) => all.extend(tensor_to_vec_f32(bias)?),
            None => all.resize(all.len() + member.widths().1 as usize, 0.0),
        }
    }
    Ok(all)
}

/// Members with their updates, the first output of each, and the first rank of its update.
fn places<'a>(
    members: &[&'a Projection],
) -> impl Iterator<Item = (&'a Projection, Option<&'a LowRank>, usize, usize)> {
    let (mut row, mut column) = (0, 0);
    members.iter().map(move |member| {
        let lora = member.lora.as_deref();
        let place = (*member, lora, row, column);
        row += member.widths().1 as usize;
        column += lora.map_or(0, |lora| lora.a.size()[0] as usize);
        place
    })
}

/// The rows of all A, `[ranks][in]`, and of all B, `[outputs][ranks]`, each in its own columns.
fn low_ranks(members: &[&Projection]) -> Result<[Vec<Vec<f32>>; 2]> {
    let ranks = members.iter().filter_map(|member| member.lora.as_deref());
    let ranks: usize = ranks.map(|lora| lora.a.size()[0] as usize).sum();
    let (mut all_a, mut all_b) = (Vec::new(), Vec::new());
    for (member, lora, _, column) in places(members) {
        let (inputs, outputs) = member.widths();
        let Some(LowRank { a, b, .. }) = lora else {
            all_b.resize(all_b.len() + outputs as usize, vec![0.0; ranks]);
            continue;
        };
        all_a.extend(tensor_to_vec_f32(a)?.chunks(inputs as usize).map(<[f32]>::to_vec));
        let own = b.size()[1] as usize;
        for row in tensor_to_vec_f32(b)?.chunks(own) {
            let mut wide = vec![0.0; ranks];
            wide[column..column + own].copy_from_slice(row);
            all_b.push(wide);
        }
    }
    Ok([all_a, all_b])
}
