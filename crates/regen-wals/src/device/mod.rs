//! The exact solver on a libtorch device (feature `torch`): rows of similar length side by side, their normal matrices
//! and Cholesky factors computed together.

mod batches;
mod sweep;

pub use sweep::OnDevice;
