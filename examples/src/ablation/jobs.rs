//! Several processes on one experiment: each takes cells that no other holds.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::plan::Plan;
use super::run::finished;
use crate::cli::Session;

/// A cell or a world that this process works on. The lock ends with the process, however it ends.
pub(super) struct Claim {
    path: PathBuf,
    _lock: File,
}

impl Claim {
    /// Claims the record at `path` if no other process holds it.
    pub(super) fn take(path: &Path) -> Result<Option<Self>> {
        let lock = path.with_extension("lock");
        let at = || format!("cannot lock {}", lock.display());
        let file = OpenOptions::new().create(true).append(true).open(&lock).with_context(at)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { path: lock, _lock: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).with_context(at),
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // What stays behind is an empty file that the next claim takes over.
        fs::remove_file(&self.path).ok();
    }
}

/// How a plan is divided among processes of this program.
#[derive(Debug, Clone, Copy)]
pub struct Jobs {
    /// Processes at the same time.
    pub jobs: usize,
    /// Threads of each.
    pub threads: usize,
}

impl Jobs {
    /// Starts this program again with `arguments`, as often as there are jobs, and waits until all cells are trained.
    ///
    /// Each job writes its messages into `out/logs`.
    ///
    /// # Errors
    /// If a job fails, with the end of what it said, or the user stops the run.
    pub fn run(self, arguments: &[String], plan: &Plan, out: &Path, session: &Session) -> Result<()> {
        let logs = out.join("logs");
        fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
        let mut running = Running::default();
        for job in 0..self.jobs {
            running.0.push(self.start(job, arguments, &logs)?);
        }
        let total = plan.cells().len();
        let bar = session.bar(&format!("{} jobs", self.jobs), total as u64);
        loop {
            bar.set_position(finished(plan, out) as u64);
            let states =
                running.0.iter_mut().map(|(_, child)| child.try_wait()).collect::<Result<Vec<_>, _>>()?;
            for ((log, _), state) in running.0.iter().zip(&states) {
                failed(log, state.as_ref())?;
            }
            session.check("the experiment")?;
            if states.iter().all(Option::is_some) {
                bar.finish();
                return Ok(());
            }
            sleep(Duration::from_millis(200));
        }
    }

    fn start(self, job: usize, arguments: &[String], logs: &Path) -> Result<(PathBuf, Child)> {
        let log = logs.join(format!("job-{}.log", job + 1));
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let program = std::env::current_exe().context("cannot find this program again")?;
        let child = Command::new(program)
            .args(arguments)
            .args(["--threads", &self.threads.to_string(), "--worker", &format!("{}/{}", job + 1, self.jobs)])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start job {}", job + 1))?;
        Ok((log, child))
    }
}

/// Jobs that end with the process that started them.
#[derive(Default)]
struct Running(Vec<(PathBuf, Child)>);

impl Drop for Running {
    fn drop(&mut self) {
        for (_, child) in &mut self.0 {
            // Ended already, most likely; what it kept stays.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

fn failed(log: &Path, status: Option<&ExitStatus>) -> Result<()> {
    let Some(status) = status.filter(|status| !status.success()) else { return Ok(()) };
    let said = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = said.lines().collect();
    let end = lines[lines.len().saturating_sub(12)..].join("\n");
    bail!("a job ended with {status}; finished cells are kept. Its last words ({}):\n{end}", log.display());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_claimed_once_until_it_is_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cell.json");
        let first = Claim::take(&path).unwrap();
        assert!(first.is_some());
        assert!(Claim::take(&path).unwrap().is_none());
        drop(first);
        assert!(Claim::take(&path).unwrap().is_some());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
