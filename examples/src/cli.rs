//! Flags that every program has, progress bars on stderr, and a clean end on Ctrl-C.

use std::fs;
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::builder::RangedU64ValueParser;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use regen_torch::{DeviceChoice, Placement, Precision, keep_freed_memory};

use crate::progress::LogLines;

/// Flags that every program has.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Seed of every random draw; the same seed gives the same results on the CPU.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Where to compute: auto, cpu, cuda or cuda:N. A CUDA device that cannot be used is an error.
    #[arg(long, default_value = "auto")]
    pub device: DeviceChoice,
    /// Threads to use [default: all cores].
    #[arg(long, value_parser = at_least_one())]
    pub threads: Option<usize>,
    /// Folder for results.
    #[arg(long, default_value = "out")]
    pub out: PathBuf,
    /// Print one JSON object as the last line of stdout.
    #[arg(long)]
    pub json: bool,
    /// No progress on stderr.
    #[arg(short, long)]
    pub quiet: bool,
    /// More on stderr: what is computed with.
    #[arg(short, long, conflicts_with = "quiet")]
    pub verbose: bool,
}

/// What the flags led to.
#[derive(Debug)]
pub struct Session {
    /// The device and precision to compute with.
    pub placement: Placement,
    /// Threads of libtorch and of the thread pool.
    pub threads: usize,
    quiet: bool,
    verbose: bool,
    interrupted: Arc<AtomicBool>,
}

impl Common {
    /// Chooses the device, sizes the thread pools and catches Ctrl-C.
    ///
    /// # Errors
    /// If the device cannot be used, with the reason.
    pub fn start(&self) -> Result<Session> {
        keep_freed_memory();
        let available = std::thread::available_parallelism().map_or(1, |n| n.get());
        let threads = self.threads.unwrap_or(available);
        tch::set_num_threads(i32::try_from(threads).context("--threads is too large")?);
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global()
            .context("cannot start the thread pool")?;
        let placement = Placement::choose(self.device, Precision::F32)?;
        let interrupted = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&interrupted);
        ctrlc::set_handler(move || {
            // The second Ctrl-C means now; 130 is the shell's code for it.
            if flag.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
        })
        .context("cannot catch Ctrl-C")?;
        let session = Session { placement, threads, quiet: self.quiet, verbose: self.verbose, interrupted };
        session.detail(&format!(
            "regen {}, libtorch {}, device {:?}, threads {threads}, seed {}, results in {}",
            env!("CARGO_PKG_VERSION"),
            crate::libtorch_version(),
            placement.device,
            self.seed,
            self.out.display()
        ));
        Ok(session)
    }
}

/// Makes a folder if it is absent and tries whether a file can be written there: better found out before hours of work
/// than after them.
///
/// # Errors
/// If not.
pub fn check_writable(folder: &Path) -> Result<()> {
    let probe = folder.join(format!("probe.{}.tmp", std::process::id()));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&probe, []))
        .and_then(|()| fs::remove_file(&probe))
        .with_context(|| format!("cannot write into {}: give --out another folder", folder.display()))
}

/// Reads a number above 0, for flags that take no other.
///
/// # Errors
/// If it is not one.
pub fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err("not a number above 0".to_owned()),
    }
}

/// Reads a share above 0 and up to 1.
///
/// # Errors
/// If it is none.
pub fn probability(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= 1.0 => Ok(number),
        _ => Err("not a number above 0 and up to 1".to_owned()),
    }
}

/// Reads a count that is not 0.
pub fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

/// Ends the program as clap does for flags that do not go together: with the usage, and exit code 2.
pub fn wrong_usage<Program: CommandFactory>(reason: &str) -> ! {
    Program::command().error(ErrorKind::ArgumentConflict, reason).exit()
}

impl Session {
    /// Whether the user asked to stop.
    pub fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }

    /// For progress callbacks of the libraries: break once the user asked to stop.
    pub fn flow(&self) -> ControlFlow<()> {
        if self.interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Ends the program between two stages if the user asked to stop.
    ///
    /// # Errors
    /// If so, naming `stage`, the one that was not finished.
    pub fn check(&self, stage: &str) -> Result<()> {
        if self.interrupted() {
            anyhow::bail!("stopped by the user during: {stage}");
        }
        Ok(())
    }

    /// A bar of `length` steps, labelled `label`; its message stands at the end of the line.
    pub fn bar(&self, label: &str, length: u64) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(length), self.target());
        let style = ProgressStyle::with_template("{prefix:<28} {bar:24} {pos:>6}/{len:<6} {eta:>5} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(label.to_owned());
        bar
    }

    /// A spinner for a stage whose length is not known.
    pub fn spinner(&self, label: &str) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(None, self.target());
        bar.set_style(
            ProgressStyle::with_template("{prefix:<28} {spinner} {elapsed} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        bar.set_prefix(label.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }

    /// A line on stderr, unless quiet.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            eprintln!("{text}");
        }
    }

    /// A line on stderr for who asked for more.
    pub fn detail(&self, text: &str) {
        if self.verbose {
            eprintln!("{text}");
        }
    }

    fn target(&self) -> ProgressDrawTarget {
        if self.quiet {
            ProgressDrawTarget::hidden()
        } else if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::term_like_with_hz(Box::new(LogLines::new()), 1)
        }
    }
}
