//! Clipping by the global norm, which is also where a broken step is noticed.

use rayon::prelude::*;
use tch::{Kind, Tensor};

use super::pieces::{norm, pieces_of_gradient};
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
    let gradients: Vec<(&str, Tensor, Option<Vec<Tensor>>)> = tensors
        .into_iter()
        .map(|(name, tensor)| (name, tensor.grad(), pieces_of_gradient(tensor)))
        .filter(|(_, gradient, _)| gradient.defined())
        .collect();
    if gradients.is_empty() {
        return Ok(0.0);
    }
    tch::no_grad(|| {
        let norms = gradients
            .iter()
            .map(|(_, gradient, pieces)| match pieces {
                Some(pieces) => norm(pieces.iter().map(Tensor::shallow_clone).collect()),
                None => Ok(gradient.f_to_kind(Kind::Float)?.f_norm()?.f_double_value(&[])?),
            })
            .collect::<Result<Vec<_>>>()?;
        let total = norms.iter().map(|norm| norm * norm).sum::<f64>().sqrt();
        if !total.is_finite() {
            let names = gradients.iter().map(|(name, _, _)| *name);
            return Err(Error::NonFiniteGradient { step, largest: largest(names.zip(norms).collect()) });
        }
        if total > max_norm {
            let factor = max_norm / (total + 1e-6);
            let mut all = Vec::new();
            for (_, mut gradient, pieces) in gradients {
                match pieces {
                    Some(pieces) => all.extend(pieces),
                    None => {
                        let _ = gradient.f_mul_scalar_(factor)?;
                    }
                }
            }
            all.into_par_iter().with_min_len(4).try_for_each(|mut piece| {
                let _ = piece.f_mul_scalar_(factor)?;
                Ok::<_, Error>(())
            })?;
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
            .map(|(name, gradient)| {
                Ok((*name, gradient.f_to_kind(Kind::Float)?.f_norm()?.f_double_value(&[])?))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(largest(norms))
    })
}

fn largest(mut ranked: Vec<(&str, f64)>) -> String {
    // NaN first, then by size.
    ranked.sort_by(|a, b| b.1.is_nan().cmp(&a.1.is_nan()).then(b.1.total_cmp(&a.1)));
    let worst: Vec<String> = ranked.iter().take(5).map(|(name, norm)| format!("{name} {norm:.3e}")).collect();
    worst.join(", ")
}
