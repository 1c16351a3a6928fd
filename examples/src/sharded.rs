//! Factors of a table whose pairs do not fit in memory: pairs and factors stay on disk, in shards.
//!
//! ```text
//! OUT/shards/               the pairs
//! OUT/shards/source.json    the table they were made of; written last, so where it stands the shards are whole
//! OUT/user_ids.txt          beside the factors, as of a fit in memory
//! ```

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use regen_data::{Columns, InteractionTable};
use regen_semantic::hash_file;
use regen_wals::persist::{ITEM_IDS, USER_IDS, load_ids, save_ids};
use regen_wals::shards::{ShardPlan, ShardStep, ShardWriter, ShardedFit, ShardedMatrix};
use regen_wals::{InteractionMatrix, StoredFactors, WalsConfig};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cli::Session;
use crate::pairs::{Pairs, check_unseen, each_row, print_fit, print_ranking};
use crate::run_log::peak_rss_bytes;
use crate::whole_file::write_whole;

/// A fit over shards.
#[derive(Debug)]
pub struct Sharded<'a> {
    /// The interactions.
    pub table: &'a Path,
    /// The folder of shards, fit and factors.
    pub out: &'a Path,
    /// The settings.
    pub config: &'a WalsConfig,
    /// About so many rows a shard has.
    pub rows_per_shard: usize,
    /// Whether pairs of value 0 count as unobserved.
    pub drop_zeros: bool,
    /// Held-out pairs to report on.
    pub test: Option<&'a Path>,
}

/// What shards were made of. All of it decides what they hold, but for the path, which is for people.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    table: PathBuf,
    bytes: u64,
    sha256: String,
    zeros_dropped: bool,
    rows_per_shard: usize,
    /// Another fit into the same folder would replace the id lists.
    user_ids_sha256: String,
    item_ids_sha256: String,
}

const SOURCE: &str = "source.json";
/// What the library calls its own index.
const INDEX: &str = "shards.json";

/// Held-out pairs with what ranking for them needs: of the training table only the rows of their users.
struct Judged {
    /// The users, ascending; they are numbered by their places here.
    users: Vec<u32>,
    held_out: Vec<(u32, u32)>,
    train: InteractionMatrix,
    unknown: usize,
}

impl Sharded<'_> {
    /// Trains over shards below the folder and leaves factors, ids and configuration in it. Goes on with what an
    /// interrupted run left there.
    ///
    /// # Errors
    /// If a table is damaged or empty, the folder belongs to another table or fit, or the user stopped the program.
    pub fn train(&self, session: &Session) -> Result<Value> {
        let Self { out, config, .. } = *self;
        if let Some(path) = self.test {
            // Its users have numbers only after the sharding, which is long; that it can be read is known now.
            InteractionTable::open(path, &Columns::default())?;
        }
        let matrix = self.matrix(session)?;
        session.note(&format!(
            "{} users and {} items in {} and {} shards, {} pairs",
            matrix.users(),
            matrix.items(),
            matrix.user_shards(),
            matrix.item_shards(),
            matrix.pairs()
        ));
        let judged = self.test.map(|path| self.judged(path)).transpose()?;

        let per_iteration = matrix.user_shards() + matrix.item_shards();
        let bar = session.bar("shards", (per_iteration * config.iterations) as u64);
        let (mut seconds, mut objective) = (Vec::new(), Vec::new());
        let (mut begun, mut failure) = (Instant::now(), None);
        let fitted = config.fit_shards(&matrix, out, &mut |progress| {
            let solved = match progress.step {
                ShardStep::UserShard(solved) => solved,
                ShardStep::ItemShard(solved) => matrix.user_shards() + solved,
                ShardStep::UsersSolved => return ControlFlow::Continue(()),
                ShardStep::Begun | ShardStep::IterationDone => {
                    if progress.step == ShardStep::IterationDone {
                        seconds.push(begun.elapsed().as_secs_f64());
                    }
                    match progress.objective() {
                        Ok(loss) => {
                            objective.push(loss);
                            bar.set_message(format!("loss {loss:.6e}"));
                        }
                        Err(error) => {
                            failure = Some(error);
                            return ControlFlow::Break(());
                        }
                    }
                    begun = Instant::now();
                    return session.flow();
                }
            };
            bar.set_position((per_iteration * (progress.iteration - 1) + solved) as u64);
            session.flow()
        })?;
        bar.finish();
        if let Some(error) = failure {
            return Err(error).context("the loss could not be computed");
        }
        let (user_factors, item_factors) = match fitted {
            ShardedFit::Finished { user_factors, item_factors } => (user_factors, item_factors),
            ShardedFit::Stopped { completed } => {
                bail!("stopped after {completed} iterations; the same command goes on")
            }
        };
        write_whole(&out.join("wals.json"), serde_json::to_string_pretty(config)? + "\n")?;
        print_fit(matrix.users(), matrix.items(), config.rank, out, &objective);
        let mut report = json!({
            "users": matrix.users(),
            "items": matrix.items(),
            "pairs": matrix.pairs(),
            "user_shards": matrix.user_shards(),
            "item_shards": matrix.item_shards(),
            "seconds_per_iteration": seconds,
            "objective": objective,
            "peak_rss_bytes": peak_rss_bytes(),
        });
        if let Some(judged) = judged {
            // Of the factors, those of the held-out users are read, and those of the items in parts.
            let factors = StoredFactors::new(user_factors, item_factors)?;
            let ours = factors.evaluate_some(&judged.users, &judged.train, &judged.held_out, 20)?;
            print_ranking(&mut report, &ours, None, judged.unknown);
        }
        Ok(report)
    }

    /// The shards of an earlier run if they are whole and of this table, or new ones.
    fn matrix(&self, session: &Session) -> Result<ShardedMatrix> {
        let folder = self.out.join("shards");
        let source = folder.join(SOURCE);
        if source.exists() {
            self.check(&folder, &source)?;
            session.note(&format!("going on with the shards in {}", folder.display()));
            return Ok(ShardedMatrix::open(&folder)?);
        }
        if folder.join(INDEX).exists() {
            session.note(&format!("{} does not say what it was made of: made anew", folder.display()));
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        self.shards(&folder, session)
    }

    /// Refuses shards of another table, and id lists that are not theirs.
    fn check(&self, folder: &Path, source: &Path) -> Result<()> {
        let text = fs::read_to_string(source).with_context(|| format!("cannot read {}", source.display()))?;
        let made: Source =
            serde_json::from_str(&text).with_context(|| format!("{} is damaged", source.display()))?;
        let (shards, table) = (folder.display(), self.table.display());
        // A state of the fit without its factors, or these without it, would be taken for one of the new shards.
        let instead = format!(
            "choose another --out, or delete {shards} with fit.json and the folders factors-… beside it to begin anew"
        );
        ensure!(
            made.rows_per_shard == self.rows_per_shard,
            "{shards} was made with --rows-per-shard {}, not {}: {instead}",
            made.rows_per_shard,
            self.rows_per_shard
        );
        let zeros = |dropped: bool| if dropped { "without" } else { "with" };
        ensure!(
            made.zeros_dropped == self.drop_zeros,
            "{shards} was made {} the pairs of value 0, and this --confidence asks for shards {} them: {instead}",
            zeros(made.zeros_dropped),
            zeros(self.drop_zeros)
        );
        let bytes = length(self.table)?;
        let was = made.table.display();
        ensure!(
            made.bytes == bytes,
            "{shards} was made of {was} of {} bytes, and {table} has {bytes}: {instead}",
            made.bytes
        );
        let sha256 = hash_file(self.table)?;
        ensure!(
            made.sha256 == sha256,
            "{shards} was made of {was} of SHA-256 {}, and {table} has {sha256}: {instead}",
            made.sha256
        );
        for (name, expected) in [(USER_IDS, &made.user_ids_sha256), (ITEM_IDS, &made.item_ids_sha256)] {
            let path = self.out.join(name);
            let got = hash_file(&path)
                .with_context(|| format!("the ids of {shards} are gone: put them back, or {instead}"))?;
            ensure!(
                got == *expected,
                "{} is not the list that was written beside {shards}: put it back, or {instead}",
                path.display()
            );
        }
        Ok(())
    }

    /// Reads the table once. Of it only the ids are in memory.
    fn shards(&self, folder: &Path, session: &Session) -> Result<ShardedMatrix> {
        let spinner = session.spinner("sharding");
        let (bytes, sha256) = (length(self.table)?, hash_file(self.table)?);
        let rows = self.rows_per_shard;
        let plan = ShardPlan { users_per_shard: rows, items_per_shard: rows };
        let mut writer = ShardWriter::create(folder, plan)?;
        let mut ids = Pairs::of_ids(&[], &[])?;
        each_row(self.table, |user, item, value| {
            let user = ids.users.intern(user)?.index() as u32;
            let item = ids.items.intern(item)?.index() as u32;
            if !(self.drop_zeros && value == 0.0) {
                writer.push(user, item, value)?;
            }
            session.check("sharding")
        })?;
        ensure!(!ids.users.is_empty(), "{} holds no pair", self.table.display());
        let (users, items) = (self.out.join(USER_IDS), self.out.join(ITEM_IDS));
        save_ids(&users, &ids.users.names().collect::<Vec<_>>())?;
        save_ids(&items, &ids.items.names().collect::<Vec<_>>())?;
        let matrix = writer.finish(ids.users.len(), ids.items.len()).map_err(|error| ids.in_names(error))?;
        let source = Source {
            table: self.table.to_owned(),
            bytes,
            sha256,
            zeros_dropped: self.drop_zeros,
            rows_per_shard: rows,
            user_ids_sha256: hash_file(&users)?,
            item_ids_sha256: hash_file(&items)?,
        };
        write_whole(&folder.join(SOURCE), serde_json::to_string_pretty(&source)? + "\n")?;
        spinner.finish_and_clear();
        Ok(matrix)
    }

    /// Reads the held-out pairs, and the table again for what their users have already.
    fn judged(&self, path: &Path) -> Result<Judged> {
        let ids = Pairs::of_ids(&load_ids(&self.out.join(USER_IDS))?, &load_ids(&self.out.join(ITEM_IDS))?)?;
        let held_out = ids.read_known(path)?;
        let mut users: Vec<u32> = held_out.known.iter().map(|&(user, _)| user).collect();
        users.sort_unstable();
        users.dedup();
        let place = |user: u32| users.binary_search(&user).ok().map(|place| place as u32);
        let mut seen = Vec::new();
        each_row(self.table, |user, item, value| {
            let known =
                (ids.users.get(user).and_then(|user| place(user.index() as u32)), ids.items.get(item));
            if let (Some(user), Some(item)) = known
                && !(self.drop_zeros && value == 0.0)
            {
                // What the pair is worth makes no difference to who has it.
                seen.push((user, item.index() as u32, 1.0));
            }
            Ok(())
        })?;
        let train = InteractionMatrix::from_triplets(users.len(), ids.items.len(), seen)?;
        let known = held_out.known.iter().filter_map(|&(user, item)| place(user).map(|user| (user, item)));
        let known: Vec<(u32, u32)> = known.collect();
        check_unseen(path, &known, &train)?;
        Ok(Judged { held_out: known, train, unknown: held_out.unknown, users })
    }
}

fn length(table: &Path) -> Result<u64> {
    Ok(fs::metadata(table).with_context(|| format!("cannot read {}", table.display()))?.len())
}
