//! What several tests need: golden folders, small random models, comparisons.

use std::path::{Path, PathBuf};

use regen_lm::{Decoder, DecoderConfig, PaddingMask};
use regen_torch::{Checkpoint, Placement, seed};
use tch::{Device, Kind, Tensor, nn};

/// The folders of golden families, one for each way to compute.
pub(crate) const FAMILIES: [&str; 11] = [
    "llama",
    "llama3",
    "llama_linear",
    "llama_yarn",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma2",
    "gemma3",
    "phi3",
    "gpt2",
];

/// A folder of golden files.
pub(crate) fn golden(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(case)
}

/// A tensor of a golden file, whatever its shape.
pub(crate) fn stored(file: &Checkpoint, name: &str) -> Tensor {
    let shape = file.shape(name).unwrap_or_else(|| panic!("no golden tensor {name}")).to_vec();
    file.tensor(name, &shape).unwrap()
}

pub(crate) fn load(dir: &Path) -> Decoder {
    Decoder::load(dir, Placement::cpu()).unwrap().1
}

/// A small model with weights wide enough that its outputs depend on everything.
pub(crate) fn random_model(config: &DecoderConfig, seed: u64) -> (nn::VarStore, Decoder) {
    let vs = nn::VarStore::new(Device::Cpu);
    let decoder = Decoder::new(&vs.root(), config, &mut seed::rng(seed, 0)).unwrap();
    let mut rng = seed::rng(seed, 1);
    for (_, tensor) in decoder.parameters() {
        let noise = seed::normal(&mut rng, &tensor.size(), 0.3);
        tch::no_grad(|| {
            let _ = tensor.shallow_clone().g_add_(&noise);
        });
    }
    (vs, decoder)
}

/// A Llama with grouped heads whose sizes all differ.
pub(crate) fn small_config() -> DecoderConfig {
    let mut config = DecoderConfig::preset("1m", 53).unwrap();
    config.hidden = 20;
    config.layers = 2;
    config.heads = 6;
    config.kv_heads = 3;
    config.head_dim = 4;
    config.query_scale = 0.5;
    config.intermediate = 28;
    config.max_positions = 40;
    if let regen_lm::Positions::Rotary(rope) = &mut config.positions {
        rope.rotary_dim = 4;
    }
    config
}

pub(crate) fn max_difference(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a - b).abs().max().double_value(&[])
}

/// The largest difference where the mask is real; NaN anywhere there is infinite.
pub(crate) fn masked_difference(a: &Tensor, b: &Tensor, mask: &PaddingMask) -> f64 {
    assert_eq!(a.size(), b.size());
    let real = mask.to_tensor(Device::Cpu).unwrap().unsqueeze(-1).to_kind(Kind::Float);
    let difference = ((a - b).abs() * real).max().double_value(&[]);
    if difference.is_nan() { f64::INFINITY } else { difference }
}

/// Ids that differ from row to row and column to column.
pub(crate) fn ids(batch: i64, seq: i64, vocab: i64) -> Tensor {
    let values: Vec<i64> = (0..batch * seq).map(|i| (i * 7 + i / seq * 3 + 1) % vocab).collect();
    Tensor::from_slice(&values).view([batch, seq])
}
