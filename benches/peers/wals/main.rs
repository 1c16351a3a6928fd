//! The Rust side of `wals.py` and `wals_scale.py`: one process that answers one JSON command a line, so that its fits
//! can be interleaved with those of other libraries on the same matrix.

use std::io::{BufRead, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use regen_wals::evaluate::evaluate;
use regen_wals::persist::{load_npy, save_npy};
use regen_wals::shards::{ShardPlan, ShardStep, ShardWriter, ShardedFit, ShardedMatrix};
use regen_wals::{
    HoldOut, InitialFactors, InteractionMatrix, Objective, Recommendation, SeenItems, Stage, WalsConfig,
    WalsModel,
};
use serde::Deserialize;
use serde_json::{Value, json};

mod power_law;

/// What may stand on a line.
#[derive(Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
enum Command {
    /// Make the power-law matrix, with users of `least` pairs and more.
    Generate {
        users: usize,
        items: usize,
        seed: u64,
        #[serde(default = "eight")]
        least: f64,
    },
    /// Make the same on disk.
    Shard { users: usize, items: usize, seed: u64, least: f64, folder: PathBuf, rows_per_shard: usize },
    /// Fit over shards, and report seconds an iteration.
    FitShards { config: WalsConfig, folder: PathBuf, work: PathBuf },
    /// The highest resident memory since the last time this was asked, in bytes.
    PeakMemory,
    /// Read `user,item` lines with a header.
    Read { path: PathBuf },
    /// Write the matrix as three arrays of `[pairs, 1]` f32 numbers.
    WriteMatrix { folder: PathBuf },
    /// Write the initial factors of a configuration.
    WriteInitial { config: WalsConfig, folder: PathBuf },
    /// Fit, and report seconds an iteration, and if asked the loss at the start and after each.
    Fit { config: WalsConfig, losses: bool },
    /// Loss of factors that another library wrote.
    Loss { config: WalsConfig, folder: PathBuf },
    /// Hold out a fifth of every user's pairs, fit the rest, and write factors, what was learned from and what was held out.
    Rank { config: WalsConfig, folder: PathBuf },
    /// The best `k` items that they do not have yet for users `0..users` of that fit, written as `[users, k]` numbers if asked.
    Recommend { users: u32, k: usize, write: Option<PathBuf> },
    /// How well that fit ranks what was held out.
    Evaluate { k: usize },
    /// What the machine does in f32 products, GFlop/s on all threads, by faer.
    Sgemm,
}

/// What commands leave for the next.
#[derive(Default)]
struct State {
    matrix: Option<InteractionMatrix>,
    ranked: Option<Ranked>,
}

/// A fit that lists are asked of.
struct Ranked {
    model: WalsModel,
    train: InteractionMatrix,
    held_out: Vec<(u32, u32)>,
}

fn eight() -> f64 {
    8.0
}

fn main() -> Result<()> {
    let mut state = State::default();
    for line in std::io::stdin().lock().lines() {
        let command = serde_json::from_str(&line?).context("not a command")?;
        let reply = answer(command, &mut state)?;
        println!("{reply}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn answer(command: Command, state: &mut State) -> Result<Value> {
    let State { matrix, ranked } = state;
    if let Command::Generate { users, items, seed, least } = command {
        let triplets = power_law::triplets(users, items, least, seed);
        return describe(matrix.insert(InteractionMatrix::from_triplets(users, items, triplets)?));
    }
    if let Command::Shard { users, items, seed, least, folder, rows_per_shard } = &command {
        let (users, items) = (*users, *items);
        let plan = ShardPlan { users_per_shard: *rows_per_shard, items_per_shard: *rows_per_shard };
        let mut writer = ShardWriter::create(folder, plan)?;
        let mut failure = None;
        power_law::each(users, items, *least, *seed, &mut |(user, item, value)| {
            if failure.is_none() {
                failure = writer.push(user, item, value).err();
            }
        });
        if let Some(error) = failure {
            return Err(error.into());
        }
        let matrix = writer.finish(users, items)?;
        let shards = [matrix.user_shards(), matrix.item_shards()];
        return Ok(json!({ "users": users, "items": items, "pairs": matrix.pairs(), "shards": shards }));
    }
    if let Command::FitShards { config, folder, work } = &command {
        return fit_shards(config, &ShardedMatrix::open(folder)?, work);
    }
    if let Command::PeakMemory = command {
        return peak_memory();
    }
    if let Command::Read { path } = &command {
        return describe(matrix.insert(read_pairs(path)?));
    }
    if let Command::Sgemm = command {
        return Ok(json!({ "gflops": sgemm() }));
    }
    if let Command::Recommend { .. } | Command::Evaluate { .. } = command {
        return ask(&command, ranked.as_ref().context("rank first")?);
    }
    let matrix = matrix.as_ref().context("generate or read a matrix first")?;
    match command {
        Command::WriteMatrix { folder } => {
            write_triplets(&folder, matrix)?;
            Ok(json!({}))
        }
        Command::Rank { config, folder } => {
            let (train, held_out) = HoldOut { share: 0.2, users: None, seed: 1 }.split(matrix)?;
            let model = config.fit(&train)?;
            write_triplets(&folder, &train)?;
            save_npy(&folder.join("user_factors.npy"), model.user_factors())?;
            save_npy(&folder.join("item_factors.npy"), model.item_factors())?;
            let sides = held_out.iter().flat_map(|&(user, item)| [user as f32, item as f32]).collect();
            let sides = ndarray::Array2::from_shape_vec((held_out.len(), 2), sides)?;
            save_npy(&folder.join("held_out.npy"), sides.view())?;
            let reply = json!({ "train_pairs": train.pairs(), "held_out": held_out.len() });
            *ranked = Some(Ranked { model, train, held_out });
            Ok(reply)
        }
        Command::WriteInitial { config, folder } => {
            let start = WalsConfig { iterations: 0, ..config }.fit(matrix)?;
            save_npy(&folder.join("initial_users.npy"), start.user_factors())?;
            save_npy(&folder.join("initial_items.npy"), start.item_factors())?;
            Ok(json!({}))
        }
        Command::Fit { config, losses: wanted } => {
            let (mut seconds, mut losses) = (Vec::new(), Vec::new());
            let mut last = 0.0;
            config.fit_from(matrix, InitialFactors::default(), &mut |progress| {
                if progress.stage == Stage::IterationDone {
                    seconds.push(progress.seconds - last);
                    last = progress.seconds;
                }
                if wanted && progress.stage != Stage::UsersSolved {
                    losses.push(progress.objective());
                }
                ControlFlow::Continue(())
            })?;
            Ok(json!({ "seconds": seconds, "losses": losses }))
        }
        Command::Loss { config, folder } => {
            let users = load_npy(&folder.join("users.npy"))?;
            let items = load_npy(&folder.join("items.npy"))?;
            let loss = Objective::new(&config).evaluate(matrix, users.view(), items.view())?;
            Ok(json!({ "loss": loss }))
        }
        Command::Generate { .. }
        | Command::Shard { .. }
        | Command::FitShards { .. }
        | Command::PeakMemory
        | Command::Read { .. }
        | Command::Recommend { .. }
        | Command::Evaluate { .. }
        | Command::Sgemm => bail!("answered above"),
    }
}

/// Lists of a fit, or their quality, with the seconds that they take.
fn ask(command: &Command, ranked: &Ranked) -> Result<Value> {
    let Ranked { model, train, held_out } = ranked;
    match command {
        Command::Recommend { users, k, write } => {
            let users: Vec<u32> = (0..*users).collect();
            let begun = Instant::now();
            let lists = model.recommend(&users, *k, SeenItems::Exclude(train))?;
            let seconds = begun.elapsed().as_secs_f64();
            if let Some(path) = write {
                let number = |(list, place): (usize, usize)| {
                    lists[list].get(place).map_or(-1.0, |one: &Recommendation| one.item as f32)
                };
                save_npy(path, ndarray::Array2::from_shape_fn((lists.len(), *k), number).view())?;
            }
            Ok(json!({ "seconds": seconds }))
        }
        Command::Evaluate { k } => {
            let begun = Instant::now();
            let report = evaluate(model, train, held_out, *k)?;
            Ok(json!({ "seconds": begun.elapsed().as_secs_f64(), "report": report }))
        }
        _ => bail!("answered elsewhere"),
    }
}

/// The pairs as three arrays of `[pairs, 1]` f32 numbers.
fn write_triplets(folder: &Path, matrix: &InteractionMatrix) -> Result<()> {
    let mut columns = [Vec::new(), Vec::new(), Vec::new()];
    for user in 0..matrix.users() {
        let (items, values) = matrix.user_row(user);
        for (&item, &value) in items.iter().zip(values) {
            columns[0].push(user as f32);
            columns[1].push(item as f32);
            columns[2].push(value);
        }
    }
    for (name, column) in ["users", "items", "values"].into_iter().zip(columns) {
        let column = ndarray::Array1::from_vec(column).insert_axis(ndarray::Axis(1));
        save_npy(&folder.join(name).with_extension("npy"), column.view())?;
    }
    Ok(())
}

fn fit_shards(config: &WalsConfig, matrix: &ShardedMatrix, work: &Path) -> Result<Value> {
    let (mut seconds, mut begun) = (Vec::new(), Instant::now());
    let fitted = config.fit_shards(matrix, work, &mut |progress| {
        match progress.step {
            ShardStep::Begun => begun = Instant::now(),
            ShardStep::IterationDone => {
                seconds.push(begun.elapsed().as_secs_f64());
                begun = Instant::now();
            }
            ShardStep::UserShard(_) | ShardStep::UsersSolved | ShardStep::ItemShard(_) => {}
        }
        ControlFlow::Continue(())
    })?;
    match fitted {
        ShardedFit::Finished { .. } => Ok(json!({ "seconds": seconds })),
        ShardedFit::Stopped { .. } => bail!("nobody stopped it"),
    }
}

/// Reads the high-water mark of Linux's `/proc` and resets it; and what of the memory now is pages of the program and its libraries.
fn peak_memory() -> Result<Value> {
    let status = std::fs::read_to_string("/proc/self/status").context("only Linux tells")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kibibytes: u64 = line.split_whitespace().next().context("no number")?.parse()?;
    std::fs::write("/proc/self/clear_refs", "5").context("cannot reset the mark")?;
    Ok(json!({ "bytes": kibibytes * 1024, "program_bytes": program_bytes()? }))
}

/// Pages of the program and its libraries come into memory as they are first run, and are no part of what a fit holds.
fn program_bytes() -> Result<u64> {
    let program = std::env::current_exe()?;
    let maps = std::fs::read_to_string("/proc/self/smaps").context("only Linux tells")?;
    let (mut inside, mut kibibytes) = (false, 0u64);
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if first == "Rss:" && inside {
            kibibytes += words.next().context("no number")?.parse::<u64>()?;
        } else if !first.ends_with(':') {
            // A mapping: addresses, rights, offset, device, inode, and the file if there is one.
            let file = Path::new(words.nth(4).unwrap_or_default());
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            inside = file == program || name.contains(".so");
        }
    }
    Ok(kibibytes * 1024)
}

fn describe(matrix: &InteractionMatrix) -> Result<Value> {
    let quantiles = |mut lengths: Vec<usize>| {
        lengths.sort_unstable();
        [0.1, 0.5, 0.9, 0.99, 1.0].map(|q| lengths[((lengths.len() - 1) as f64 * q) as usize])
    };
    let users = (0..matrix.users()).map(|u| matrix.user_row(u).0.len());
    let items = (0..matrix.items()).map(|i| matrix.item_row(i).0.len());
    Ok(json!({
        "users": matrix.users(),
        "items": matrix.items(),
        "pairs": matrix.pairs(),
        "user_lengths_10_50_90_99_100": quantiles(users.collect()),
        "item_lengths_10_50_90_99_100": quantiles(items.collect()),
    }))
}

fn read_pairs(path: &Path) -> Result<InteractionMatrix> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut triplets = Vec::new();
    for line in text.lines().skip(1) {
        let (user, item) = line.split_once(',').context("two columns")?;
        triplets.push((user.trim().parse()?, item.trim().parse()?, 1.0f32));
    }
    let users = triplets.iter().map(|t: &(u32, u32, f32)| t.0 + 1).max();
    let items = triplets.iter().map(|t| t.1 + 1).max();
    let (users, items) = (users.unwrap_or(0) as usize, items.unwrap_or(0) as usize);
    // Pairs seen twice count once, for libraries that cannot tell.
    triplets.sort_by_key(|t| (t.0, t.1));
    triplets.dedup_by_key(|t| (t.0, t.1));
    Ok(InteractionMatrix::from_triplets(users, items, triplets)?)
}

/// The best of five products of 1024 × 1024 matrices on every thread at once.
fn sgemm() -> f64 {
    use faer::linalg::matmul::matmul;
    use faer::{Accum, Mat, Par};
    const SIZE: usize = 1024;
    let threads = rayon::current_num_threads();
    let best = (0..5)
        .map(|_| {
            let begun = Instant::now();
            rayon::broadcast(|_| {
                let a = Mat::<f32>::full(SIZE, SIZE, 0.5);
                let b = Mat::<f32>::full(SIZE, SIZE, 0.25);
                let mut c = Mat::<f32>::zeros(SIZE, SIZE);
                for _ in 0..4 {
                    matmul(&mut c, Accum::Replace, &a, &b, 1.0, Par::Seq);
                }
                assert_eq!(c[(1, 2)], SIZE as f32 / 8.0);
            });
            begun.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    2.0 * (SIZE as f64).powi(3) * 4.0 * threads as f64 / best / 1e9
}
