//! What this processor can do, asked once and carried as a value.

/// A set of vector instructions that this processor has.
///
/// One can only be had from [`Level::available`], so to hold one is the proof that its instructions may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level(pub(crate) Set);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Never made; it lets the crate compile for processors that have no kernel.
    #[cfg(not(target_arch = "x86_64"))]
    None(std::convert::Infallible),
}

/// Work in plain loops that is compiled once for each level. `run` must be inlined, or it is compiled for none.
pub trait Work {
    /// Does it.
    fn run(self);
}

impl Level {
    /// The levels of this processor, best first; empty where there is no kernel.
    pub fn available() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "nothing to add"))]
        let mut levels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            if std::arch::is_x86_feature_detected!("avx512f")
                && std::arch::is_x86_feature_detected!("avx512bw")
            {
                if std::arch::is_x86_feature_detected!("avx512bf16") {
                    levels.push(Self(Set::Avx512Bf16));
                }
                levels.push(Self(Set::Avx512));
            }
            levels.push(Self(Set::Avx2));
        }
        levels
    }

    /// The best level of this processor.
    pub fn best() -> Option<Self> {
        Self::available().into_iter().next()
    }

    /// Whether products of bfloat16 numbers are instructions here. Where they are not, [`Storage::Bf16`](crate::Storage::Bf16) saves memory
    /// but not arithmetic.
    pub fn multiplies_bf16(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Bf16 => true,
            _ => false,
        }
    }

    /// Does `work` with the instructions of this level.
    pub fn run(self, work: impl Work) {
        crate::tiles::run(self, work);
    }
}
