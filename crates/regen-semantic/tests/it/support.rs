//! Golden folders, their copies, and comparisons.

use std::path::{Path, PathBuf};

use regen_semantic::{EncodeOptions, SentenceEncoder};
use regen_torch::{Placement, tensor_to_vec_f32};

pub(crate) fn golden(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(case)
}

pub(crate) fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

pub(crate) fn family(name: &str) -> SentenceEncoder {
    SentenceEncoder::load(&golden("families").join(name), Placement::cpu()).unwrap()
}

pub(crate) fn texts() -> Vec<String> {
    read(&golden("families/texts.json"))
}

pub(crate) fn encode(
    encoder: &SentenceEncoder,
    texts: &[impl AsRef<str>],
    options: &EncodeOptions,
) -> Vec<Vec<f32>> {
    let vectors = encoder.encode(texts, options).unwrap();
    assert_eq!(vectors.size(), [texts.len() as i64, encoder.dim()]);
    tensor_to_vec_f32(&vectors).unwrap().chunks(encoder.dim() as usize).map(<[f32]>::to_vec).collect()
}

pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Largest difference of two numbers at the same place.
pub(crate) fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// A copy of a family's folder that a test may damage.
pub(crate) fn copy(name: &str) -> tempfile::TempDir {
    let target = tempfile::tempdir().unwrap();
    copy_into(&golden("families").join(name), target.path());
    target
}

fn copy_into(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_into(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Replaces `from` in a file of a copy; it must occur.
pub(crate) fn edit(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{} has no {from}", file.display());
    std::fs::write(file, text.replacen(from, to, 1)).unwrap();
}
