//! Scaling of item vectors before the adapter, vector by vector. Whitening, which needs the whole table, is beside it.

use regen_torch::Numbers;
use tch::{Kind, Tensor};

use crate::Normalisation;
use crate::error::Torch;

/// Small enough not to move a real vector, large enough that an all-zero one stays zero instead of NaN.
const EPSILON: f64 = 1e-12;

/// `vectors [.., dim]` → the same shape in f32, normalised over the last dimension; what is to be whitened stays as it is.
pub(crate) fn normalise(vectors: &Tensor, how: Normalisation) -> Torch<Tensor> {
    let vectors = vectors.f_to_kind(Kind::Float)?;
    match how {
        Normalisation::None | Normalisation::Whiten => Ok(vectors),
        Normalisation::L2 => vectors.try_unit(EPSILON),
        Normalisation::LayerNorm => {
            let centred = vectors.f_sub(&vectors.f_mean_dim([-1i64].as_slice(), true, Kind::Float)?)?;
            let variance = centred.f_square()?.f_mean_dim([-1i64].as_slice(), true, Kind::Float)?;
            centred.f_mul(&variance.try_add(EPSILON)?.f_rsqrt()?)
        }
    }
}

/// The root mean square of a component of a normalised vector of width `dim`, used to scale initial weights.
pub(crate) fn component_rms(how: Normalisation, dim: i64) -> f64 {
    match how {
        Normalisation::L2 => 1.0 / (dim as f64).sqrt(),
        // Nothing is known of vectors that are taken as given; unit components are the usual assumption.
        Normalisation::None | Normalisation::LayerNorm | Normalisation::Whiten => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Tensor {
        Tensor::from_slice(&[3f32, 4.0, 0.0, 0.0, 0.0, 0.0, -1.0, 5.0, 2.0]).reshape([3, 3])
    }

    #[test]
    fn l2_gives_unit_norm_and_leaves_a_zero_vector_zero() {
        let normalised = normalise(&rows(), Normalisation::L2).unwrap();
        assert!((normalised.get(0).norm().double_value(&[]) - 1.0).abs() < 1e-6);
        assert_eq!(normalised.get(1).abs().sum(Kind::Float).double_value(&[]), 0.0);
        assert!((normalised.double_value(&[0, 0]) - 0.6).abs() < 1e-6);
    }

    #[test]
    fn layer_norm_gives_mean_zero_and_variance_one() {
        let normalised = normalise(&rows(), Normalisation::LayerNorm).unwrap().get(2);
        assert!(normalised.mean(Kind::Double).double_value(&[]).abs() < 1e-6);
        assert!((normalised.square().mean(Kind::Double).double_value(&[]) - 1.0).abs() < 1e-6);
    }
}
