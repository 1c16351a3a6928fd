//! Products of rows with a packed weight, on one thread, beside libtorch's own on one thread. Throughput is in floating point
//! operations; the share of the floor follows from what the processor's registers can do.
//!
//! Shapes are those of MiniLM's layers for a batch of 1,024 tokens, and of a 26 M Llama's for a prompt of 512, sixteen rows and one.

use criterion::{BenchmarkId, Criterion, Throughput};
use regen_kernel::{Level, Linear, Matrix, Scratch, Storage};
use regen_torch::{seed, tensor_to_vec_f32};
use tch::Kind;

/// Rows, inputs, outputs.
const SHAPES: [(usize, usize, usize); 6] = [
    (1024, 384, 1152),
    (1024, 384, 1536),
    (1024, 1536, 384),
    (512, 512, 1280),
    (16, 512, 1280),
    (1, 512, 1280),
];

fn main() {
    let Some(level) = Level::best() else {
        eprintln!("this processor has no kernel");
        return;
    };
    tch::set_num_threads(1);
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    let mut group = criterion.benchmark_group(format!("kernel/{level:?}"));
    for (rows, inputs, outputs) in SHAPES {
        let shape = format!("{rows}x{inputs}x{outputs}");
        let x = seed::normal(&mut seed::rng(1, 0), &[rows as i64, inputs as i64], 1.0);
        let weight = seed::normal(&mut seed::rng(1, 1), &[outputs as i64, inputs as i64], 1.0);
        let expected = tensor_to_vec_f32(&x.linear(&weight, None::<&tch::Tensor>)).expect("a product");
        let (numbers, weights) =
            (tensor_to_vec_f32(&x).expect("rows"), tensor_to_vec_f32(&weight).expect("weights"));
        group.throughput(Throughput::Elements((2 * rows * inputs * outputs) as u64));
        for (storage, allowed) in [(Storage::F32, 1e-3), (Storage::Bf16, 0.5), (Storage::Int8, 1.0)] {
            let linear = Linear { weight: &weights, bias: None, outputs, inputs };
            let matrix = Matrix::new(level, storage, &[linear]);
            let (mut out, mut scratch) = (vec![0.0; rows * outputs], Scratch::default());
            group.bench_function(BenchmarkId::new(format!("{storage:?}"), &shape), |bencher| {
                bencher.iter(|| matrix.multiply(&numbers, &mut out, &mut scratch));
            });
            let off = out.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max);
            assert!(off < allowed || out.iter().all(|value| *value == 0.0), "{storage:?} {shape}: {off}");
        }
        for kind in [Kind::Float, Kind::BFloat16] {
            let (x, weight) = (x.to_kind(kind), weight.to_kind(kind));
            group.bench_function(BenchmarkId::new(format!("libtorch {kind:?}"), &shape), |bencher| {
                bencher.iter(|| x.linear(&weight, None::<&tch::Tensor>));
            });
        }
    }
    group.finish();
    criterion.final_summary();
}
