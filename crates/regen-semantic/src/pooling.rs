//! Token vectors to one vector per text. Neither padding nor an excluded prompt takes part.

use tch::{Kind, Tensor};

use crate::Pooling;

/// `tokens: [texts, seq, hidden]`, `lengths: [texts]` i64 real tokens if some texts are shorter than `seq` (padding on
/// the right), the first `skip` tokens of each text left out `→ [texts, hidden · modes]` f32.
pub(crate) fn pool(tokens: &Tensor, lengths: Option<&Tensor>, skip: i64, modes: &[Pooling]) -> Tensor {
    let tokens = tokens.to_kind(Kind::Float);
    let size = tokens.size();
    let (texts, seq) = (size[0], size[1]);
    let positions = Tensor::arange(seq, (Kind::Int64, tokens.device()));
    let lengths = match lengths {
        Some(lengths) => lengths.shallow_clone(),
        None => Tensor::full([texts], seq, (Kind::Int64, tokens.device())),
    };
    let pooled = positions.lt_tensor(&lengths.unsqueeze(1)).logical_and(&positions.ge(skip).unsqueeze(0));
    let weights = pooled.to_kind(Kind::Float);
    let count = weights.sum_dim_intlist([1i64].as_slice(), true, Kind::Float).clamp_min(1e-9);
    // Weighted sum over tokens as a product [texts, 1, seq] · [texts, seq, hidden].
    let sum = |weights: &Tensor| weights.unsqueeze(1).bmm(&tokens).squeeze_dim(1);
    // The one token at `index: [texts]`, zero if it is not pooled.
    let at = |index: &Tensor| {
        let index = index.reshape([-1, 1, 1]).expand([-1, 1, size[2]], false);
        tokens.gather(1, &index, false).squeeze_dim(1)
    };
    let vectors: Vec<Tensor> = modes
        .iter()
        .map(|mode| match mode {
            // The reference's choice if a cut left nothing but the prompt: the very first token.
            Pooling::Cls => at(&(lengths.gt(skip).to_kind(Kind::Int64) * skip)),
            Pooling::Mean => sum(&weights) / &count,
            Pooling::MeanSqrtLen => sum(&weights) / count.sqrt(),
            Pooling::Max => tokens
                .masked_fill(&pooled.logical_not().unsqueeze(-1), f64::NEG_INFINITY)
                .amax([1i64].as_slice(), false),
            Pooling::LastToken => at(&(&lengths - 1)),
            Pooling::WeightedMean => {
                let ranks = (&positions + 1).to_kind(Kind::Float).unsqueeze(0) * &weights;
                let total = ranks.sum_dim_intlist([1i64].as_slice(), true, Kind::Float).clamp_min(1e-9);
                sum(&ranks) / total
            }
        })
        .collect();
    Tensor::cat(&vectors, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use regen_torch::{tensor_from_f32, tensor_to_vec_f32};

    /// Two texts of 3 and 1 tokens; padding holds values that must not be seen.
    fn check(how: Pooling, expected: [f32; 4]) {
        let tokens =
            tensor_from_f32(&[1., 8., 5., 2., 3., 2., -4., 7., 99., 99., 99., 99.], &[2, 3, 2]).unwrap();
        let lengths = Tensor::from_slice(&[3i64, 1]);
        let got = tensor_to_vec_f32(&pool(&tokens, Some(&lengths), 0, &[how])).unwrap();
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

    #[test]
    fn a_skipped_prompt_is_not_pooled_but_keeps_its_place() {
        let tokens = tensor_from_f32(&[90., 1., 4., 2.], &[1, 4, 1]).unwrap();
        let modes = [Pooling::Cls, Pooling::Mean, Pooling::Max, Pooling::WeightedMean, Pooling::LastToken];
        let got = tensor_to_vec_f32(&pool(&tokens, None, 1, &modes)).unwrap();
        let expected = [1., 7. / 3., 4., (2. + 12. + 8.) / 9., 2.];
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-6, "{got} {expected}");
        }
    }
}
