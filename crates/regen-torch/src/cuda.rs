//! Finding libtorch's CUDA half at run time.
//!
//! torch-sys links only the CPU libraries, and libtorch registers CUDA when `libtorch_cuda.so` is loaded. So the
//! file beside the loaded `libtorch_cpu` is opened once and kept open: the same binary then runs on a CPU-only
//! installation and uses the GPU on a full one. See `docs/decisions/0002-one-binary-for-cpu-and-gpu.md`.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Whether CUDA can be used in this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CudaStatus {
    /// libtorch sees this many devices, numbered from 0.
    Available {
        /// At least 1.
        devices: usize,
    },
    /// It cannot be used.
    Unavailable {
        /// Why, and what to do.
        reason: String,
    },
}

/// Opens libtorch's CUDA half if it lies beside the loaded libtorch, and says whether a device can be used.
///
/// The answer is found once per process. Call this, or [`crate::Placement::choose`], before asking
/// `tch::Cuda` anything: libtorch remembers the first answer it gave.
pub fn cuda_status() -> &'static CudaStatus {
    static STATUS: OnceLock<CudaStatus> = OnceLock::new();
    STATUS.get_or_init(probe)
}

fn probe() -> CudaStatus {
    let unavailable = |reason: String| CudaStatus::Unavailable { reason };
    // Any call into libtorch makes sure that its libraries are mapped.
    let _ = tch::get_num_threads();
    let Some(folder) = loaded_libtorch_folder() else {
        return unavailable("the folder of the loaded libtorch_cpu cannot be determined".into());
    };
    let library = folder.join("libtorch_cuda.so");
    if !library.exists() {
        return unavailable(format!(
            "libtorch at {} has no libtorch_cuda.so: it is a CPU-only installation; run with \
             LD_LIBRARY_PATH set to the torch/lib folder of a CUDA installation of the same version",
            folder.display()
        ));
    }
    if let Err(error) = keep_open::open(&library) {
        return unavailable(format!("{} cannot be loaded: {error}", library.display()));
    }
    let devices = if tch::Cuda::is_available() { tch::Cuda::device_count() } else { 0 };
    match usize::try_from(devices) {
        Ok(devices) if devices > 0 => CudaStatus::Available { devices },
        _ => unavailable(
            "libtorch_cuda is loaded but sees no device: check the driver with nvidia-smi, and CUDA_VISIBLE_DEVICES"
                .into(),
        ),
    }
}

/// The folder from which the running process mapped `libtorch_cpu`, or `None` where that cannot be asked.
pub(crate) fn loaded_libtorch_folder() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    folder_in_maps(&maps)
}

fn folder_in_maps(maps: &str) -> Option<PathBuf> {
    maps.lines().find_map(|line| {
        let path = Path::new(line.get(line.find('/')?..)?);
        (path.file_name()? == "libtorch_cpu.so").then(|| path.parent().map(Path::to_owned))?
    })
}

#[allow(unsafe_code)]
mod keep_open {
    //! The one `unsafe` corner: loading a shared library runs its initialisers.

    use std::path::Path;

    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

    /// Opens `library` for the rest of the process.
    pub(super) fn open(library: &Path) -> Result<(), libloading::Error> {
        // SAFETY: the file is libtorch's own CUDA library from the folder of the libtorch_cpu that is already
        // running here, so its initialisers are those that libtorch itself would run had it been linked; they
        // register the CUDA backend and touch nothing of ours. The handle is never closed, so no finaliser runs
        // while tensors live. RTLD_GLOBAL is needed for libtorch_cuda_linalg, which libtorch opens later.
        let handle = unsafe { Library::open(Some(library), RTLD_NOW | RTLD_GLOBAL) }?;
        std::mem::forget(handle);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_read_from_the_process_map() {
        let maps = "55d0-55d1 r-xp 00000000 fe:00 1 /usr/bin/prog\n\
                    7f00-7f01 r--p 00000000 fe:00 2 /opt/a b/torch/lib/libtorch_cpu.so\n\
                    7f02-7f03 rw-p 00000000 00:00 0 [heap]\n";
        assert_eq!(folder_in_maps(maps), Some(PathBuf::from("/opt/a b/torch/lib")));
        assert_eq!(folder_in_maps("7f02-7f03 rw-p 00000000 00:00 0 [heap]\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_loaded_libtorch_is_found() {
        let _ = tch::get_num_threads();
        let folder = loaded_libtorch_folder().expect("libtorch_cpu is mapped");
        assert!(folder.join("libtorch_cpu.so").exists());
    }

    #[test]
    fn an_unusable_cuda_names_its_reason() {
        match cuda_status() {
            CudaStatus::Available { devices } => assert!(*devices > 0),
            CudaStatus::Unavailable { reason } => assert!(reason.len() > 20, "{reason}"),
        }
    }
}
