#![doc = include_str!("../README.md")]

mod checkpoint;
mod cuda;
mod error;
mod memory;
mod npy;
mod numbers;
mod placement;
mod rows;
mod save;
pub mod seed;
mod tensors;
mod vector_math;

pub use checkpoint::{Checkpoint, Surplus};
pub use cuda::{CudaStatus, cuda_status};
pub use error::{Error, Result};
pub use memory::keep_freed_memory;
pub use npy::{NpyHeader, read_npy};
pub use numbers::{Numbers, try_range};
pub use placement::{DeviceChoice, Placement, Precision};
pub use rows::TensorRows;
pub use save::{TensorWriter, save_tensors};
pub use tensors::{tensor_from_f32, tensor_to_vec_f32};
pub use vector_math::settle_vector_math;
