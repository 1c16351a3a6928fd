//! What a program that links libtorch finds on this machine, and whether each part works. `cargo xtask doctor` runs
//! this after its own look at tools and cache.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use regen_examples::encoder::tell_doubts;
use regen_examples::health::{complex_inner_product_error, mapped_libraries, product_gflops};
use regen_examples::println;
use regen_semantic::{EncodeOptions, SentenceEncoder};
use regen_torch::{CudaStatus, DeviceChoice, Placement, Precision, cuda_status};
use serde_json::json;
use tch::Kind;

/// Say what was found: libtorch, CUDA, BLAS, encoder, threads, and whether each works.
#[derive(Debug, Parser)]
struct Arguments {
    /// The device to examine: auto, cpu, cuda or cuda:N. A CUDA device that cannot be used is an error.
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Threads of libtorch [default: all cores].
    #[arg(long)]
    threads: Option<i32>,
    /// Folder of the sentence encoder.
    #[arg(long, env = "REGEN_ENCODER", default_value = ".regen/encoder")]
    encoder: PathBuf,
    /// Print one JSON object as the last line of stdout.
    #[arg(long)]
    json: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(threads) = arguments.threads {
        tch::set_num_threads(threads.max(1));
    }
    let mut problems = Vec::new();

    // CUDA first: looking for it loads what the rest of the report is about.
    let cuda = cuda_status();
    let libraries = mapped_libraries();
    let libtorch = libraries.iter().find(|path| path.ends_with("libtorch_cpu.so"));
    let version = libtorch.and_then(|path| version_beside(Path::new(path)));
    println!("libtorch  {} from {}", version.as_deref().unwrap_or("of unknown version"), named(libtorch));

    match cuda {
        CudaStatus::Available { devices } => println!("cuda      {devices} device(s) usable"),
        CudaStatus::Unavailable { reason } => println!("cuda      not usable: {reason}"),
    }

    let threads = tch::get_num_threads();
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    println!("threads   libtorch {threads}, cores {cores}");

    // libtorch carries MKL inside libtorch_cpu: any BLAS in this list is a second one.
    let second: Vec<_> = libraries
        .iter()
        .filter(|path| {
            path.rsplit('/').next().is_some_and(|name| name.contains("blas") || name.contains("mkl"))
        })
        .collect();
    let single = complex_inner_product_error(Kind::Float);
    let double = complex_inner_product_error(Kind::Double);
    let sound = single < 1e-4 && double < 1e-12;
    println!(
        "blas      MKL inside libtorch: {}; others in the process: {}; complex inner product off by {double:.0e}: {}",
        tch::utils::has_mkl(),
        if second.is_empty() { "none".into() } else { format!("{second:?}") },
        if sound { "right" } else { "WRONG" }
    );
    if !sound {
        problems.push(format!("another BLAS answers in place of libtorch's: {second:?}"));
    }

    // The device that was asked for, or an error with the reason; never another one.
    let placement = Placement::choose(arguments.device, Precision::F32)?;
    let gflops = product_gflops(placement.device, Duration::from_secs(1));
    println!("products  {gflops:.0} GFlop/s in f32 on {:?}", placement.device);

    let encoder = examine_encoder(&arguments.encoder, placement);
    match &encoder {
        Ok(width) => println!(
            "encoder   {} gives vectors of {width} that tell texts apart",
            arguments.encoder.display()
        ),
        Err(error) => {
            println!("encoder   does not work: {error:#}");
            problems.push(format!("{error:#}"));
        }
    }

    if arguments.json {
        let report = json!({
            "libtorch": { "version": version, "path": libtorch },
            "cuda": match cuda {
                CudaStatus::Available { devices } => json!({ "devices": devices }),
                CudaStatus::Unavailable { reason } => json!({ "devices": 0, "reason": reason }),
            },
            "libraries": libraries,
            "complex_inner_product_error": { "f32": single, "f64": double },
            "device": format!("{:?}", placement.device),
            "gflops_f32": gflops,
            "threads": threads,
            "cores": cores,
            "encoder": { "path": arguments.encoder, "dim": encoder.as_ref().ok() },
            "problems": problems,
        });
        println!("{report}");
    }
    if !problems.is_empty() {
        bail!("{}", problems.join("; "));
    }
    Ok(())
}

/// The version that libtorch's folder states, of a libtorch archive or of what set-up made.
fn version_beside(library: &Path) -> Option<String> {
    let root = library.parent()?.parent()?;
    if let Ok(text) = std::fs::read_to_string(root.join("build-version")) {
        return Some(text.trim().to_owned());
    }
    // A Python installation of PyTorch.
    let text = std::fs::read_to_string(root.join("version.py")).ok()?;
    Some(
        text.lines()
            .find_map(|line| line.strip_prefix("__version__ = "))?
            .trim_matches(['\'', '"'])
            .to_owned(),
    )
}

fn named(path: Option<&String>) -> &str {
    path.map_or("an unknown place", String::as_str)
}

/// Loads the encoder and encodes three texts: related ones must be closer than unrelated ones.
fn examine_encoder(folder: &Path, placement: Placement) -> Result<i64> {
    if !folder.is_dir() {
        bail!("{} is not there: run `cargo xtask setup`, or name a folder with --encoder", folder.display());
    }
    let encoder = SentenceEncoder::load(folder, placement)?;
    tell_doubts(&encoder, folder);
    let texts = ["a red gel pen for writing", "ballpoint pens, blue ink", "a steel filing cabinet"];
    let vectors = encoder
        .encode(&texts, &EncodeOptions { normalize: true, ..EncodeOptions::default() })
        .context("the encoder cannot encode")?;
    let similarity = vectors.matmul(&vectors.transpose(0, 1));
    let (near, far) = (similarity.double_value(&[0, 1]), similarity.double_value(&[0, 2]));
    if near.is_nan() || near <= far {
        bail!("two pens ({near:.2}) are no closer to each other than a pen and a cabinet ({far:.2})");
    }
    Ok(encoder.dim())
}
