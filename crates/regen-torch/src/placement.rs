//! Where tensors live and in which precision: a value that the caller chooses once and passes down.

use std::fmt;
use std::str::FromStr;

use crate::{CudaStatus, Error, Result, cuda_status};
use tch::{Device, Kind};

/// What a user may ask for; `--device` of the programs parses into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceChoice {
    /// The first CUDA device if one can be used, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// This CUDA device or an error; never the CPU instead.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(given: &str) -> Result<Self> {
        let unknown = || Error::UnknownDevice { given: given.to_owned() };
        match given {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            other => {
                let index = other.strip_prefix("cuda:").ok_or_else(unknown)?;
                index.parse().map(Self::Cuda).map_err(|_| unknown())
            }
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

/// The number type of weights and activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats with the exponent range of `f32`.
    Bf16,
    /// IEEE 16-bit floats.
    F16,
}

impl Precision {
    /// libtorch's name for it.
    pub fn kind(self) -> Kind {
        match self {
            Self::F32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
            Self::F16 => Kind::Half,
        }
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(given: &str) -> Result<Self> {
        match given {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            "f16" => Ok(Self::F16),
            _ => Err(Error::UnknownPrecision { given: given.to_owned() }),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        })
    }
}

/// A device and a precision that were found usable.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// Where tensors live.
    pub device: Device,
    /// The number type of weights and activations.
    pub precision: Precision,
}

impl Placement {
    /// The CPU in `f32`: always usable, and the reference for every other placement.
    pub fn cpu() -> Self {
        Self { device: Device::Cpu, precision: Precision::F32 }
    }

    /// Turns a wish into a placement, opening libtorch's CUDA half if the wish may need it.
    ///
    /// # Errors
    /// [`Error::CudaUnavailable`] if a CUDA device was named and cannot be used, with the reason.
    pub fn choose(choice: DeviceChoice, precision: Precision) -> Result<Self> {
        let device = match choice {
            DeviceChoice::Cpu => Device::Cpu,
            DeviceChoice::Auto => match cuda_status() {
                CudaStatus::Available { .. } => Device::Cuda(0),
                CudaStatus::Unavailable { .. } => Device::Cpu,
            },
            DeviceChoice::Cuda(index) => match cuda_status() {
                CudaStatus::Available { devices } if index < *devices => Device::Cuda(index),
                CudaStatus::Available { devices } => {
                    let reason = format!("this machine has {devices} CUDA device(s), numbered from 0");
                    return Err(Error::CudaUnavailable { index, reason });
                }
                CudaStatus::Unavailable { reason } => {
                    return Err(Error::CudaUnavailable { index, reason: reason.clone() });
                }
            },
        };
        Ok(Self { device, precision })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_parse_and_print_alike() {
        for name in ["auto", "cpu", "cuda:0", "cuda:13"] {
            assert_eq!(name.parse::<DeviceChoice>().unwrap().to_string(), name);
        }
        assert_eq!("cuda".parse::<DeviceChoice>().unwrap(), DeviceChoice::Cuda(0));
    }

    #[test]
    fn a_device_name_that_means_nothing_is_refused() {
        for name in ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "CPU"] {
            assert!(matches!(name.parse::<DeviceChoice>(), Err(Error::UnknownDevice { .. })), "{name}");
        }
    }

    #[test]
    fn asking_for_a_cuda_device_that_is_not_there_is_an_error_with_the_reason() {
        // No machine has device 4096, so this holds with and without a GPU.
        let error = Placement::choose(DeviceChoice::Cuda(4096), Precision::F32).unwrap_err();
        let Error::CudaUnavailable { index: 4096, reason } = error else { panic!("{error}") };
        assert!(!reason.is_empty());
    }
}
