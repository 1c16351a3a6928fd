//! Several processes on one experiment: each takes cells that no other holds.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::memory::{available_bytes, more_fit, resident_bytes};
use super::plan::Plan;
use super::run::finished;
use crate::arms::SCALARS;
use crate::cli::Session;

/// A process in training whose memory has not grown for so long has shown what a cell needs.
const SETTLED: Duration = Duration::from_secs(30);
/// Growth by less than this share is none.
const GROWTH: f64 = 0.02;

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
    /// One job begins; the others follow once it has shown how much memory a cell takes, as many as what is free has room for
    /// besides, and those that have none when there is. Where the system does not tell its memory, all begin at once. Each job writes
    /// its messages into `out/logs`.
    ///
    /// # Errors
    /// If a job fails, with the end of what it said, or the user stops the run.
    pub fn run(self, arguments: &[String], plan: &Plan, out: &Path, session: &Session) -> Result<()> {
        let logs = out.join("logs");
        fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
        let mut running = Running::default();
        let mut room = Room::new(plan, out);
        let total = plan.cells().len();
        let bar = session.bar(&format!("{} jobs", self.jobs), total as u64);
        loop {
            let done = finished(plan, out);
            bar.set_position(done as u64);
            let states =
                running.0.iter_mut().map(|(_, child)| child.try_wait()).collect::<Result<Vec<_>, _>>()?;
            for ((log, _), state) in running.0.iter().zip(&states) {
                failed(log, state.as_ref())?;
            }
            session.check("the experiment")?;
            let alive = running.0.iter().zip(&states).filter(|(_, state)| state.is_none());
            let alive: Vec<u32> = alive.map(|((_, child), _)| child.id()).collect();
            if alive.is_empty() && !running.0.is_empty() {
                bar.finish();
                return Ok(());
            }
            let waiting = self.jobs - running.0.len();
            let more = room.for_more(&alive, waiting, done, |said| bar.suspend(|| session.note(said)));
            for _ in 0..more {
                running.0.push(self.start(running.0.len(), arguments, &logs)?);
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

/// What is known of the memory that a cell takes.
struct Room {
    /// Highest so far of any process on the experiment, in bytes.
    peak: u64,
    /// Whether that is of a cell as a whole, or has stayed so for long enough.
    known: bool,
    grown: Instant,
    /// Cells that were finished at the beginning.
    begun_with: usize,
    out: PathBuf,
    told: Option<usize>,
}

impl Room {
    fn new(plan: &Plan, out: &Path) -> Self {
        let peak = peak_of_finished(plan, out);
        Self {
            peak: peak.unwrap_or(0),
            known: peak.is_some(),
            grown: Instant::now(),
            begun_with: finished(plan, out),
            out: out.to_owned(),
            told: None,
        }
    }

    /// How many of the waiting jobs there is room for beside those that are `alive`; what holds others back is said.
    fn for_more(&mut self, alive: &[u32], waiting: usize, done: usize, say: impl Fn(&str)) -> usize {
        if waiting == 0 {
            return 0;
        }
        if alive.is_empty() {
            // Without one there is nothing to be measured, and less than one is no experiment.
            return 1;
        }
        let found = alive.iter().map(|&process| resident_bytes(process)).collect::<Option<Vec<_>>>();
        let (Some(resident), Some(available)) = (found, available_bytes()) else {
            // One has just ended, or the system does not tell.
            return if cfg!(target_os = "linux") { 0 } else { waiting };
        };
        let highest = resident.iter().map(|[_, highest]| *highest).max().unwrap_or(0);
        if highest as f64 > self.peak as f64 * (1.0 + GROWTH) {
            self.grown = Instant::now();
        }
        self.peak = self.peak.max(highest);
        let settled = self.grown.elapsed() >= SETTLED && in_training(&self.out);
        self.known |= done > self.begun_with || settled;
        if !self.known {
            return 0;
        }
        let now: Vec<u64> = resident.iter().map(|[now, _]| *now).collect();
        let fit = more_fit(&now, self.peak, available).min(waiting);
        if fit < waiting && self.told != Some(fit + alive.len()) {
            self.told = Some(fit + alive.len());
            let gib = |bytes: u64| bytes as f64 / (1u64 << 30) as f64;
            say(&format!(
                "a cell takes up to {:.2} GiB of memory and {:.2} GiB are free: {} of {} jobs run, the others wait for room",
                gib(self.peak),
                gib(available),
                fit + alive.len(),
                waiting + alive.len()
            ));
        }
        fit
    }
}

/// Whether a cell has come to its updates.
fn in_training(out: &Path) -> bool {
    let Ok(entries) = fs::read_dir(out.join("cells")) else { return false };
    entries.flatten().any(|entry| entry.path().join(SCALARS).exists())
}

/// The highest memory that a finished cell of the plan has told, in bytes.
fn peak_of_finished(plan: &Plan, out: &Path) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Peak {
        peak_rss_bytes: Option<u64>,
    }
    let peak = |name: String| {
        let text = fs::read_to_string(out.join("cells").join(name + ".json")).ok()?;
        serde_json::from_str::<Peak>(&text).ok()?.peak_rss_bytes
    };
    plan.cells().iter().filter_map(|cell| peak(cell.name())).max()
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
    use std::cell::RefCell;

    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn one_job_begins_and_others_wait_until_it_has_shown_what_a_cell_takes_and_for_room() {
        let out = tempfile::tempdir().unwrap();
        let plan = Plan::parse(super::super::plan::tests::PLAN).unwrap();
        let mut room = Room::new(&plan, out.path());
        let said = RefCell::new(Vec::new());
        let ask = |room: &mut Room, alive: &[u32], waiting, done| {
            room.for_more(alive, waiting, done, |text| said.borrow_mut().push(text.to_owned()))
        };
        let own = [std::process::id()];
        assert_eq!(ask(&mut room, &[], 3, 0), 1);
        assert_eq!(ask(&mut room, &own, 2, 0), 0, "no cell has shown what it takes");
        assert_eq!(ask(&mut room, &own, 2, 1), 2, "this process is small");
        // No machine has room for two of these.
        room.peak = 1 << 60;
        assert_eq!(ask(&mut room, &own, 2, 1), 0);
        assert_eq!(ask(&mut room, &own, 2, 1), 0);
        assert_eq!(said.borrow().len(), 1, "it is said once");
        assert!(said.borrow()[0].contains("1 of 3 jobs run"), "{said:?}");
        assert_eq!(ask(&mut room, &own, 0, 1), 0);
    }

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
