//! The way back through what happens to rows between two products.

use crate::level::{Level, Work};
use crate::math::Activation;
use crate::rows::{NormKind, RowNorm, dot, sum, turn};

impl RowNorm {
    /// From the gradient `dy` of what [`apply`](Self::apply) made of `x`: adds that of `x` to `dx`, and those of the factor and of the bias to
    /// `factor` and `bias` where they are wanted.
    ///
    /// With x̂ the normed row before the factor, r what it was multiplied by and g = factor · dy: dx = r (g − x̂ mean(g x̂)), and for
    /// a layer norm less r mean(g).
    ///
    /// **Shapes** `x, dy, dx: [.., width]`, `factor, bias: [width]`.
    pub fn back(
        &self,
        level: Level,
        x: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        factor: Option<&mut [f32]>,
        bias: Option<&mut [f32]>,
    ) {
        level.run(NormBack { norm: self, x, dy, dx, factor, bias });
    }
}

struct NormBack<'a> {
    norm: &'a RowNorm,
    x: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
    factor: Option<&'a mut [f32]>,
    bias: Option<&'a mut [f32]>,
}

impl Work for NormBack<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { norm, x, dy, dx, mut factor, mut bias } = self;
        let width = norm.factor.len();
        let (mut normed, mut scaled) = (vec![0.0f32; width], vec![0.0f32; width]);
        let rows = x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(dx.chunks_exact_mut(width));
        for ((x, dy), dx) in rows {
            normed.copy_from_slice(x);
            if norm.kind == NormKind::Layer {
                let mean = sum(x) / width as f32;
                normed.iter_mut().for_each(|value| *value -= mean);
            }
            let scale = 1.0 / (dot(&normed, &normed) / width as f32 + norm.epsilon).sqrt();
            normed.iter_mut().for_each(|value| *value *= scale);
            for ((scaled, dy), own) in scaled.iter_mut().zip(dy).zip(&norm.factor) {
                *scaled = dy * own;
            }
            let along = dot(&scaled, &normed) / width as f32;
            let mean = if norm.kind == NormKind::Layer { sum(&scaled) / width as f32 } else { 0.0 };
            for ((dx, scaled), normed) in dx.iter_mut().zip(&scaled).zip(&normed) {
                *dx += scale * (scaled - mean - normed * along);
            }
            if let Some(factor) = &mut factor {
                for ((factor, dy), normed) in factor.iter_mut().zip(dy).zip(&normed) {
                    *factor = dy.mul_add(*normed, *factor);
                }
            }
            if let Some(bias) = &mut bias {
                bias.iter_mut().zip(dy).for_each(|(bias, dy)| *bias += dy);
            }
        }
    }
}

impl Activation {
    /// What a gated part makes of its products: `activation(gate) ⊙ up`.
    ///
    /// **Shapes** `both: [rows, gate then up of width]`, `inner: [rows, width]`.
    pub fn gate(self, level: Level, both: &[f32], width: usize, inner: &mut [f32]) {
        level.run(Gate { activation: self, both, width, inner });
    }

    /// The way back through [`gate`](Self::gate): from the gradient of its result, in `inner`, to that of gate and up, in the place of
    /// their values. `inner` becomes the result once more, which the gradient of the next weight needs.
    ///
    /// **Shapes** as [`gate`](Self::gate).
    pub fn gate_back(self, level: Level, both: &mut [f32], width: usize, inner: &mut [f32]) {
        level.run(GateBack { activation: self, both, width, inner });
    }

    /// The same without a gate: `x` becomes its gradient, `inner`, from the gradient of the result, the result.
    ///
    /// **Shapes** `[..]`, the same.
    pub fn back(self, level: Level, x: &mut [f32], inner: &mut [f32]) {
        level.run(Back { activation: self, x, inner });
    }
}

struct Gate<'a> {
    activation: Activation,
    both: &'a [f32],
    width: usize,
    inner: &'a mut [f32],
}

impl Work for Gate<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { activation, both, width, inner } = self;
        for (both, inner) in both.chunks_exact(2 * width).zip(inner.chunks_exact_mut(width)) {
            let (gate, up) = both.split_at(width);
            inner.copy_from_slice(gate);
            activation.inlined(inner);
            inner.iter_mut().zip(up).for_each(|(inner, up)| *inner *= up);
        }
    }
}

/// Numbers that go through a nonlinearity together, so that they do in vectors.
const TOGETHER: usize = 16;

/// Writes a body once for each activation, so that it knows which.
macro_rules! by_activation {
    ($activation:expr, $known:ident => $body:expr) => {
        by_activation!($activation, $known => $body; Gelu, GeluTanh, Silu, Relu)
    };
    ($activation:expr, $known:ident => $body:expr; $($name:ident),*) => {
        match $activation {
            $(Activation::$name => {
                let $known = Activation::$name;
                $body
            })*
        }
    };
}

struct GateBack<'a> {
    activation: Activation,
    both: &'a mut [f32],
    width: usize,
    inner: &'a mut [f32],
}

impl Work for GateBack<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { activation, both, width, inner } = self;
        for (both, inner) in both.chunks_exact_mut(2 * width).zip(inner.chunks_exact_mut(width)) {
            let (gate, up) = both.split_at_mut(width);
            by_activation!(activation, known => {
                let (gates, gate) = gate.as_chunks_mut::<TOGETHER>();
                let (ups, up) = up.as_chunks_mut::<TOGETHER>();
                let (inners, inner) = inner.as_chunks_mut::<TOGETHER>();
                for ((gate, up), inner) in gates.iter_mut().zip(ups).zip(inners) {
                    (*gate, *up, *inner) = gated(known, *gate, *up, *inner);
                }
                for ((gate, up), inner) in gate.iter_mut().zip(up).zip(inner) {
                    ([*gate], [*up], [*inner]) = gated(known, [*gate], [*up], [*inner]);
                }
            });
        }
    }
}

/// Gate, up and the gradient of their result; to their gradients and the result.
#[inline(always)]
fn gated<const N: usize>(
    activation: Activation,
    gate: [f32; N],
    up: [f32; N],
    gradient: [f32; N],
) -> ([f32; N], [f32; N], [f32; N]) {
    let (mut of_gate, mut of_up, mut result) = ([0.0; N], [0.0; N], [0.0; N]);
    for at in 0..N {
        let (value, slope) = activation.with_slope(gate[at]);
        result[at] = value * up[at];
        of_gate[at] = gradient[at] * up[at] * slope;
        of_up[at] = gradient[at] * value;
    }
    (of_gate, of_up, result)
}

struct Back<'a> {
    activation: Activation,
    x: &'a mut [f32],
    inner: &'a mut [f32],
}

impl Work for Back<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { activation, x, inner } = self;
        by_activation!(activation, known => {
            let (xs, x) = x.as_chunks_mut::<TOGETHER>();
            let (inners, inner) = inner.as_chunks_mut::<TOGETHER>();
            // With 1 for what multiplies it: the same without a gate.
            for (x, inner) in xs.iter_mut().zip(inners) {
                (*x, _, *inner) = gated(known, *x, [1.0; TOGETHER], *inner);
            }
            for (x, inner) in x.iter_mut().zip(inner) {
                ([*x], _, [*inner]) = gated(known, [*x], [1.0], [*inner]);
            }
        });
    }
}

/// The way back through [`turn`], which is its transpose: the angles the other way round, lengths as they were.
///
/// **Shapes** as [`turn`].
pub fn turn_back(heads: &mut [f32], head_dim: usize, turns: &[(f32, f32)]) {
    for head in heads.chunks_exact_mut(head_dim) {
        let (low, high) = head[..2 * turns.len()].split_at_mut(turns.len());
        for ((low, high), (cos, sin)) in low.iter_mut().zip(high).zip(turns) {
            (*low, *high) = (*low * cos + *high * sin, *high * cos - *low * sin);
        }
    }
}

/// [`turn`] and [`turn_back`] with the instructions of a level.
pub fn turn_with(level: Level, heads: &mut [f32], head_dim: usize, turns: &[(f32, f32)], back: bool) {
    level.run(TurnWith { heads, head_dim, turns, back });
}

struct TurnWith<'a> {
    heads: &'a mut [f32],
    head_dim: usize,
    turns: &'a [(f32, f32)],
    back: bool,
}

impl Work for TurnWith<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { heads, head_dim, turns, back } = self;
        if back { turn_back(heads, head_dim, turns) } else { turn(heads, head_dim, turns) }
    }
}
