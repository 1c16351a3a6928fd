//! Gives the linker LAPACK under its usual names, without letting the finished program export them.
//!
//! The pinned OpenBLAS carries every symbol with the prefix `scipy_`. For each entry point in `symbols.txt` one
//! jump is assembled: `dpotrf_` goes to `scipy_dpotrf_`. The jumps have hidden visibility: they satisfy the Rust
//! code that is linked beside them and are invisible to shared libraries, so that libtorch keeps calling its own
//! BLAS. See `docs/decisions/0001-lapack-without-collisions.md`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=symbols.txt");
    println!("cargo::rerun-if-env-changed=REGEN_OPENBLAS");
    if env::var_os("DOCS_RS").is_some() {
        // Documentation is built without linking.
        return Ok(());
    }

    let lib = openblas_lib()?;
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo did not set OUT_DIR")?);
    let architecture = env::var("CARGO_CFG_TARGET_ARCH")?;

    let source = out_dir.join("jumps.S");
    fs::write(&source, jumps(include_str!("symbols.txt"), &architecture)?)?;
    // The link line is printed below: cc knows neither `+whole-archive` nor `-bundle`.
    cc::Build::new().file(&source).cargo_metadata(false).try_compile("regen_lapack_jumps")?;

    // The whole archive: the names must be there for objects that come later on the linker's command line.
    println!("cargo::rustc-link-search=native={}", out_dir.display());
    println!("cargo::rustc-link-lib=static:+whole-archive,-bundle=regen_lapack_jumps");

    // Cargo puts a search folder into the loader path of run, test, bench and doc tests only if it lies in the
    // target folder, so a link in there leads to OpenBLAS.
    let link = out_dir.join("openblaslib");
    replace_link(&lib, &link)?;
    println!("cargo::rustc-link-search=native={}", link.display());
    println!("cargo::rustc-link-lib=dylib=scipy_openblas");
    Ok(())
}

/// The folder of `libscipy_openblas.so`.
fn openblas_lib() -> Result<PathBuf, String> {
    let advice = "run `cargo xtask setup` in the workspace, or set REGEN_OPENBLAS to a folder whose lib/ holds \
                  libscipy_openblas.so (the Python wheel scipy-openblas32 carries it)";
    let root = env::var_os("REGEN_OPENBLAS").ok_or(format!("REGEN_OPENBLAS is not set: {advice}"))?;
    let lib = Path::new(&root).join("lib");
    let library = lib.join("libscipy_openblas.so");
    if !library.is_file() {
        return Err(format!("{} is missing: {advice}", library.display()));
    }
    println!("cargo::rerun-if-changed={}", library.display());
    fs::canonicalize(&lib).map_err(|error| format!("{}: {error}", lib.display()))
}

/// The assembly text: one hidden jump for each name of `list` (`#` opens a comment).
fn jumps(list: &str, architecture: &str) -> Result<String, String> {
    // Position-independent jumps that leave every argument, also those on the stack, where it is.
    let jump = match architecture {
        "x86_64" => |name: &str| format!("jmp scipy_{name}@PLT"),
        "aarch64" => |name: &str| format!("b scipy_{name}"),
        other => {
            return Err(format!(
                "no jump instruction is known for {other}: add one in build.rs of regen-lapack"
            ));
        }
    };
    let mut text = String::from(".text\n");
    for name in list.lines().map(|line| line.split('#').next().unwrap_or("").trim()) {
        if !name.is_empty() {
            text += &format!(
                ".p2align 4\n.globl {name}\n.hidden {name}\n.type {name}, %function\n{name}:\n    {}\n.size {name}, .-{name}\n",
                jump(name)
            );
        }
    }
    // Without this note the linker would mark the whole program's stack executable.
    text += ".section .note.GNU-stack,\"\",%progbits\n";
    Ok(text)
}

fn replace_link(target: &Path, link: &Path) -> io::Result<()> {
    match fs::remove_file(link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink(target, link)?;
    #[cfg(not(unix))]
    let _ = target;
    Ok(())
}
