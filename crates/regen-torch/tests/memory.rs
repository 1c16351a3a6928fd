//! Freed memory serves the next tensor. A program of its own, since the setting is for a whole process and for what its main
//! thread frees, and a test of the usual kind runs on another thread.

use regen_torch::keep_freed_memory;
use tch::{Device, Kind, Tensor};

fn main() {
    let kept = keep_freed_memory();
    assert_eq!(kept, cfg!(all(target_os = "linux", target_env = "gnu")));
    if kept {
        let fill = || drop(Tensor::ones([12 << 20], (Kind::Float, Device::Cpu)));
        fill();
        let before = page_faults();
        (0..60).for_each(|_| fill());
        // 60 tensors of 12,288 pages each, larger than glibc keeps by itself. What was kept is not faulted in again, but small
        // blocks between large ones make the heap grow a few times until a place fits.
        let faults = page_faults() - before;
        assert!(faults < 60 * 12_288 / 3, "{faults}");
    }
    println!("freed memory serves the next tensor: ok");
}

/// Pages that the system had to provide to this process so far.
fn page_faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux tells");
    // Fields after the name in parentheses: state, parent, …; minor faults are the eighth.
    let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
    fields.split(' ').nth(7).and_then(|field| field.parse().ok()).expect("a number")
}
