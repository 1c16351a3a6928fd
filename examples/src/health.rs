//! Whether the libraries under a program work together: which are mapped, whether they compute what they should, and
//! how fast.

use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};

/// Files mapped into this process whose names tell of linear algebra, threads or a GPU. Empty where the system has no
/// `/proc`.
pub fn mapped_libraries() -> Vec<String> {
    libraries_in(&std::fs::read_to_string("/proc/self/maps").unwrap_or_default())
}

fn libraries_in(maps: &str) -> Vec<String> {
    let telling = ["torch", "c10", "blas", "lapack", "mkl", "gomp", "omp", "cuda", "cudart", "cupti"];
    let mut found: Vec<String> = maps
        .lines()
        .filter_map(|line| line.get(line.find('/')?..))
        .filter(|path| {
            let name = path.rsplit('/').next().unwrap_or(path);
            name.contains(".so") && telling.iter().any(|word| name.contains(word))
        })
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    found
}

/// How far libtorch's complex inner product is from the sum computed here, relative to its size.
///
/// A foreign BLAS that answers in place of libtorch's own returns complex results by another convention: this number is
/// then of the order of one, without any error.
pub fn complex_inner_product_error(kind: Kind) -> f64 {
    // Different in every component, so that a swapped, conjugated or dropped one shows.
    let count = 1_237u32;
    let part = |step: f64| -> Vec<f64> { (0..count).map(|k| (f64::from(k) * step).sin() + 0.1).collect() };
    let (a_real, a_imag, b_real, b_imag) = (part(0.7), part(1.3), part(0.3), part(2.1));
    let tensor = |real: &[f64], imag: &[f64]| {
        Tensor::complex(&Tensor::from_slice(real).to_kind(kind), &Tensor::from_slice(imag).to_kind(kind))
    };
    let computed = tensor(&a_real, &a_imag).vdot(&tensor(&b_real, &b_imag));
    let (mut real, mut imag) = (0.0, 0.0);
    for k in 0..count as usize {
        // The first factor is conjugated.
        real += a_real[k] * b_real[k] + a_imag[k] * b_imag[k];
        imag += a_real[k] * b_imag[k] - a_imag[k] * b_real[k];
    }
    let off = (computed.real().double_value(&[]) - real).hypot(computed.imag().double_value(&[]) - imag);
    off / real.hypot(imag)
}

/// Floating-point operations per second, in 10⁹, of square `f32` products on `device`, measured for `at_least`.
pub fn product_gflops(device: Device, at_least: Duration) -> f64 {
    let side = 1024i64;
    let left = Tensor::ones([side, side], (Kind::Float, device));
    let right = Tensor::full([side, side], 0.5, (Kind::Float, device));
    // Reading one number makes the device finish.
    let run = || left.matmul(&right).get(0).get(0).double_value(&[]);
    run();
    let start = Instant::now();
    let mut products = 0u32;
    while start.elapsed() < at_least {
        assert_eq!(run(), 0.5 * side as f64, "a product of known matrices");
        products += 1;
    }
    2.0 * (side as f64).powi(3) * f64::from(products) / start.elapsed().as_secs_f64() / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telling_libraries_are_listed_once() {
        let maps = "1-2 r-xp 0 fe:00 1 /opt/torch/lib/libtorch_cpu.so\n\
                    2-3 r--p 0 fe:00 1 /opt/torch/lib/libtorch_cpu.so\n\
                    3-4 r--p 0 fe:00 2 /lib/libopenblas.so.0\n\
                    4-5 r--p 0 fe:00 3 /lib/libm.so.6\n\
                    5-6 rw-p 0 00:00 0 [heap]\n";
        assert_eq!(libraries_in(maps), ["/lib/libopenblas.so.0", "/opt/torch/lib/libtorch_cpu.so"]);
    }

    #[test]
    fn the_inner_product_of_libtorch_is_right() {
        assert!(complex_inner_product_error(Kind::Double) < 1e-12);
        assert!(complex_inner_product_error(Kind::Float) < 1e-4);
    }
}
