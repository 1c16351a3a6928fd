//! Clipping by the global norm, which is also where a broken step is noticed.

use tch::{Kind, Tensor};

use crate::error::{Error, Result};

/// Scales all gradients so that their common norm is at most `max_norm`; returns the norm before. Tensors
/// without a gradient are passed over.
///
/// **Source** Pascanu et al. 2013, "On the difficulty of training recurrent neural networks", algorithm 1.
///
/// # Errors
/// [`Error::NonFiniteGradient`] with the five tensors of the largest norms, gradients left as they are;
/// `step` names the update in that message. [`Error::Argument`] for a `max_norm` that is not above 0.
pub fn clip_gradients<'a>(
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
    max_norm: f64,
    step: u64,
) -> Result<f64> {
    if max_norm.is_nan() || max_norm <= 0.0 {
        return Err(Error::Argument {
            what: "maximal gradient norm",
            expected: "above 0",
            got: max_norm.to_string(),
        });
    }
    let gradients: Vec<(&str, Tensor)> = tensors
        .into_iter()
        .map(|(name, tensor)| (name, tensor.grad()))
        .filter(|(_, gradient)| gradient.defined())
        .collect();
    if gradients.is_empty() {
        return Ok(0.0);
    }
    tch::no_grad(|| {
        let norms = gradients
            .iter()
            .map(|(_, gradient)| Ok(gradient.f_to_kind(Kind::Float)?.f_norm()?))
            .collect::<Result<Vec<_>>>()?;
        let norms = Tensor::f_stack(&norms, 0)?;
        let total = norms.f_norm()?.f_double_value(&[])?;
        if !total.is_finite() {
            return Err(Error::NonFiniteGradient { step, largest: largest(&gradients, &norms)? });
        }
        if total > max_norm {
            for (_, mut gradient) in gradients {
                let _ = gradient.f_mul_scalar_(max_norm / (total + 1e-6))?;
            }
        }
        Ok(total)
    })
}

/// Names and norms of the five largest gradients, NaN first: what to look at when a loss is not finite. Tensors without a gradient
/// are passed over.
///
/// # Errors
/// [`Error::Libtorch`].
pub fn largest_gradients<'a>(tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>) -> Result<String> {
    let gradients: Vec<(&str, Tensor)> = tensors
        .into_iter()
        .map(|(name, tensor)| (name, tensor.grad()))
        .filter(|(_, gradient)| gradient.defined())
        .collect();
    tch::no_grad(|| {
        let norms = gradients
            .iter()
            .map(|(_, gradient)| Ok(gradient.f_to_kind(Kind::Float)?.f_norm()?))
            .collect::<Result<Vec<_>>>()?;
        if norms.is_empty() {
            return Ok(String::new());
        }
        largest(&gradients, &Tensor::f_stack(&norms, 0)?)
    })
}

fn largest(gradients: &[(&str, Tensor)], norms: &Tensor) -> Result<String> {
    let mut ranked = gradients
        .iter()
        .enumerate()
        .map(|(index, (name, _))| Ok((*name, norms.f_double_value(&[index as i64])?)))
        .collect::<Result<Vec<_>>>()?;
    // NaN first, then by size.
    ranked.sort_by(|a, b| b.1.is_nan().cmp(&a.1.is_nan()).then(b.1.total_cmp(&a.1)));
    let worst: Vec<String> = ranked.iter().take(5).map(|(name, norm)| format!("{name} {norm:.3e}")).collect();
    Ok(worst.join(", "))
}
