//! Token vectors to one vector per text. Padding never takes part.

use tch::{Kind, Tensor};

use crate::Pooling;

/// `tokens: [batch, seq, dim]`, `lengths: [batch]` i64 real tokens (padding on the right) `→ [batch, dim]` f32.
pub(crate) fn pool(tokens: &Tensor, lengths: &Tensor, how: Pooling) -> Tensor {
    let tokens = tokens.to_kind(Kind::Float);
    let seq = tokens.size()[1];
    if how == Pooling::Cls {
        return tokens.select(1, 0);
    }
    let positions = Tensor::arange(seq, (Kind::Int64, tokens.device()));
    let real = positions.unsqueeze(0).lt_tensor(&lengths.unsqueeze(1)).unsqueeze(-1);
    let weights = real.to_kind(Kind::Float);
    let count = lengths.to_kind(Kind::Float).unsqueeze(1);
    let sum = |weights: &Tensor| (&tokens * weights).sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
    match how {
        Pooling::Cls => tokens.select(1, 0),
        Pooling::Mean => sum(&weights) / count.clamp_min(1e-9),
        Pooling::MeanSqrtLen => sum(&weights) / count.clamp_min(1e-9).sqrt(),
        Pooling::Max => {
            tokens.masked_fill(&real.logical_not(), f64::NEG_INFINITY).amax([1i64].as_slice(), false)
        }
        Pooling::LastToken => {
            let last = (lengths - 1).reshape([-1, 1, 1]).expand([-1, 1, tokens.size()[2]], false);
            tokens.gather(1, &last, false).squeeze_dim(1)
        }
        Pooling::WeightedMean => {
            let ranks = (&positions + 1).to_kind(Kind::Float).reshape([1, seq, 1]) * &weights;
            let total = ranks.sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
            sum(&ranks) / total
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regen_torch::{tensor_from_f32, tensor_to_vec_f32};

    /// Two texts of 3 and 1 tokens; padding holds values that must not be seen.
    fn check(how: Pooling, expected: [f32; 4]) {
        let tokens =
            tensor_from_f32(&[1., 8., 5., 2., 3., 2., -4., 7., 99., 99., 99., 99.], &[2, 3, 2]).unwrap();
        let got = tensor_to_vec_f32(&pool(&tokens, &Tensor::from_slice(&[3i64, 1]), how)).unwrap();
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-6, "{how:?}: {got} {expected}");
        }
    }

    #[test]
    fn each_mode_reads_real_tokens_only() {
        let root = 3f32.sqrt();
        check(Pooling::Cls, [1., 8., -4., 7.]);
        check(Pooling::Mean, [3., 4., -4., 7.]);
        check(Pooling::MeanSqrtLen, [9. / root, 12. / root, -4., 7.]);
        check(Pooling::Max, [5., 8., -4., 7.]);
        check(Pooling::LastToken, [3., 2., -4., 7.]);
        check(Pooling::WeightedMean, [20. / 6., 18. / 6., -4., 7.]);
    }
}
