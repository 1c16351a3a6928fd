//! What the same numbers twice need beside a seed.

use tch::Tensor;

use crate::{Error, Result};

/// Lets libtorch's vector functions choose their code path before several threads ask for it at once.
///
/// On x86 these functions (cos, exp, tanh …) are MKL's, which looks at the processor when the first of them is called.
/// Where two threads of one tensor operation make that first call together, one of them may compute by another path,
/// a last bit away: with two threads, the first table of cosines of a decoder differed in 5 of 205 processes, and with
/// it everything after. A first call on one number is made by one thread. Whoever builds a model calls this first; it
/// costs a microsecond.
///
/// # Errors
/// [`crate::Error::Torch`] if libtorch refuses.
pub fn settle_vector_math() -> Result<()> {
    let failed = |source| Error::Torch { action: "compute a cosine", source };
    let _ = Tensor::f_from_slice(&[0f32]).and_then(|one| one.f_cos()).map_err(failed)?;
    Ok(())
}
