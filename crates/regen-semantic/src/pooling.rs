//! Token vectors to one vector per text. Neither padding nor an excluded prompt takes part.

use regen_torch::{Numbers, try_range};
use tch::{Kind, Tensor};

use crate::Pooling;
use crate::transformer::Torch;

/// `tokens: [texts, seq, hidden]`, `lengths: [texts]` i64 real tokens if some texts are shorter than `seq` (padding on
/// the right), the first `skip` tokens of each text left out `→ [texts, hidden · modes]` f32.
///
/// # Errors
/// What libtorch says, above all that memory ran out.
pub(crate) fn pool(tokens: &Tensor, lengths: Option<&Tensor>, skip: i64, modes: &[Pooling]) -> Torch<Tensor> {
    let tokens = tokens.f_to_kind(Kind::Float)?;
    let size = tokens.size();
    let (texts, seq) = (size[0], size[1]);
    let positions = try_range(0, seq, tokens.device())?;
    let lengths = match lengths {
        Some(lengths) => lengths.shallow_clone(),
        None => Tensor::f_from_slice(&vec![seq; texts as usize])?.f_to_device(tokens.device())?,
    };
    let behind_prompt = positions.try_ge(skip)?.f_unsqueeze(0)?;
    let pooled = positions.f_lt_tensor(&lengths.f_unsqueeze(1)?)?.f_logical_and(&behind_prompt)?;
    let weights = pooled.f_to_kind(Kind::Float)?;
    let total = |weights: &Tensor| {
        weights.f_sum_dim_intlist([1i64].as_slice(), true, Kind::Float)?.try_clamp_min(1e-9)
    };
    // Weighted sum over tokens as a product [texts, 1, seq] · [texts, seq, hidden].
    let sum = |weights: &Tensor| weights.f_unsqueeze(1)?.f_bmm(&tokens)?.f_squeeze_dim(1);
    // The one token at `index: [texts]`, zero if it is not pooled.
    let at = |index: &Tensor| {
        let index = index.f_reshape([-1, 1, 1])?.f_expand([-1, 1, size[2]], false)?;
        tokens.f_gather(1, &index, false)?.f_squeeze_dim(1)
    };
    let vectors = modes
        .iter()
        .map(|mode| match mode {
            // The reference's choice if a cut left nothing but the prompt: the very first token.
            Pooling::Cls => at(&lengths.try_gt(skip)?.f_to_kind(Kind::Int64)?.try_mul(skip)?),
            Pooling::Mean => sum(&weights)?.f_div(&total(&weights)?),
            Pooling::MeanSqrtLen => sum(&weights)?.f_div(&total(&weights)?.f_sqrt()?),
            Pooling::Max => {
                let left_out = pooled.f_logical_not()?.f_unsqueeze(-1)?;
                tokens.try_masked_fill(&left_out, f64::NEG_INFINITY)?.f_amax([1i64].as_slice(), false)
            }
            Pooling::LastToken => at(&lengths.try_add(-1)?),
            Pooling::WeightedMean => {
                let ranks = positions.try_add(1)?.f_to_kind(Kind::Float)?.f_unsqueeze(0)?.f_mul(&weights)?;
                sum(&ranks)?.f_div(&total(&ranks)?)
            }
        })
        .collect::<Torch<Vec<Tensor>>>()?;
    Tensor::f_cat(&vectors, 1)
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
        let got = tensor_to_vec_f32(&pool(&tokens, Some(&lengths), 0, &[how]).unwrap()).unwrap();
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
        let got = tensor_to_vec_f32(&pool(&tokens, None, 1, &modes).unwrap()).unwrap();
        let expected = [1., 7. / 3., 4., (2. + 12. + 8.) / 9., 2.];
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-6, "{got} {expected}");
        }
    }

    /// An exabyte of places, which take no memory until something is computed of them.
    #[test]
    fn memory_that_runs_out_is_an_error_that_tells_so() {
        let tokens = Tensor::zeros([1, 1, 1], (Kind::Float, tch::Device::Cpu)).expand([1, 1 << 57, 1], false);
        let error = pool(&tokens, None, 0, &[Pooling::Mean]).unwrap_err();
        assert!(crate::memory::is_out_of_memory(&error), "{error}");
    }
}
