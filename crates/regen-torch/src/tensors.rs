//! The border between `tch::Tensor` and plain slices, for callers whose `ndarray` version differs from tch's.

use crate::{Error, Result};
use tch::{Kind, Tensor};

/// Copies a tensor of any device and number type into a row-major vector of `f32`.
///
/// # Errors
/// [`Error::Torch`] if libtorch cannot convert or copy it.
pub fn tensor_to_vec_f32(tensor: &Tensor) -> Result<Vec<f32>> {
    let torch = |source| Error::Torch { action: "copy a tensor to the host", source };
    let host = tensor
        .detach()
        .f_to_device(tch::Device::Cpu)
        .and_then(|t| t.f_to_kind(Kind::Float))
        .and_then(|t| t.f_contiguous())
        .map_err(torch)?;
    let mut values = vec![0f32; host.numel()];
    let count = values.len();
    host.f_copy_data(&mut values, count).map_err(torch)?;
    Ok(values)
}

/// Makes an `f32` CPU tensor of `shape` from row-major `values`.
///
/// # Errors
/// [`Error::ElementCount`] if the product of `shape` is not the number of values.
pub fn tensor_from_f32(values: &[f32], shape: &[i64]) -> Result<Tensor> {
    let fits = shape.iter().all(|&n| n >= 0)
        && shape.iter().map(|&n| n as u128).product::<u128>() == values.len() as u128;
    if !fits {
        return Err(Error::ElementCount { shape: shape.to_vec(), got: values.len() });
    }
    Tensor::f_from_slice(values)
        .and_then(|t| t.f_reshape(shape))
        .map_err(|source| Error::Torch { action: "copy values into a tensor", source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_the_way_there_and_back() {
        let values: Vec<f32> = (0..6).map(|v| v as f32 * 0.5 - 1.0).collect();
        let tensor = tensor_from_f32(&values, &[2, 3]).unwrap();
        assert_eq!(tensor.size(), [2, 3]);
        assert_eq!(tensor_to_vec_f32(&tensor).unwrap(), values);
        assert_eq!(tensor_to_vec_f32(&tensor.tr()).unwrap(), [-1.0, 0.5, -0.5, 1.0, 0.0, 1.5]);
    }

    #[test]
    fn a_shape_that_the_values_do_not_fill_is_refused() {
        for shape in [&[2i64, 2][..], &[-1, 6], &[7], &[]] {
            assert!(matches!(tensor_from_f32(&[0.0; 6], shape), Err(Error::ElementCount { got: 6, .. })));
        }
        assert_eq!(tensor_from_f32(&[], &[0, 4]).unwrap().size(), [0, 4]);
    }
}
