//! Makes libtorch findable at run time for every crate that depends on this one.
//!
//! Cargo adds link-search folders to the loader path of `run`, `test`, `bench` and doc tests, but only those
//! inside the target folder. So a link inside `OUT_DIR` points at libtorch's folder, and that link is announced.

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    // Absent when torch-sys is built for documentation only; then there is nothing to find.
    let Some(libtorch_lib) = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from) else {
        return Ok(());
    };
    let libtorch_lib = fs::canonicalize(&libtorch_lib).unwrap_or(libtorch_lib);
    println!("cargo::metadata=libtorch_lib={}", libtorch_lib.display());

    let out_dir = env::var_os("OUT_DIR").map(PathBuf::from);
    let Some(out_dir) = out_dir else {
        return Err(io::Error::other("cargo did not set OUT_DIR"));
    };
    let link = out_dir.join("torchlib");
    match fs::remove_file(&link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink(&libtorch_lib, &link)?;
    println!("cargo::rustc-link-search=native={}", link.display());
    Ok(())
}
