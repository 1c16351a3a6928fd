//! Factors of a table whose pairs do not fit in memory: pairs and factors stay on disk, in shards.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use regen_data::{Columns, IdMap, InteractionTable, ItemId, UserId};
use regen_wals::WalsConfig;
use regen_wals::persist::{ITEM_IDS, USER_IDS, save_ids};
use regen_wals::shards::{ShardPlan, ShardStep, ShardWriter, ShardedFit, ShardedMatrix};
use serde_json::{Value, json};

use crate::cli::Session;
use crate::run_log::peak_rss_bytes;
use crate::whole_file::write_whole;

/// Trains over shards below `out` and leaves factors, ids and configuration in it. Goes on with what an interrupted run
/// left there.
///
/// # Errors
/// If the table is damaged or empty, the folder belongs to another fit, or the user stopped the program.
pub fn train(
    table: &Path,
    out: &Path,
    config: &WalsConfig,
    rows_per_shard: usize,
    drop_zeros: bool,
    session: &Session,
) -> Result<Value> {
    let folder = out.join("shards");
    let matrix = if folder.join("shards.json").exists() {
        session.note(&format!("going on with the shards in {}", folder.display()));
        ShardedMatrix::open(&folder)?
    } else {
        shards(table, out, &folder, rows_per_shard, drop_zeros, session)?
    };
    session.note(&format!(
        "{} users and {} items in {} and {} shards, {} pairs",
        matrix.users(),
        matrix.items(),
        matrix.user_shards(),
        matrix.item_shards(),
        matrix.pairs()
    ));

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
    if let ShardedFit::Stopped { completed } = fitted {
        bail!("stopped after {completed} iterations; the same command goes on");
    }
    write_whole(&out.join("wals.json"), serde_json::to_string_pretty(config)? + "\n")?;
    println!(
        "factors: {} users, {} items, rank {}: {}",
        matrix.users(),
        matrix.items(),
        config.rank,
        out.display()
    );
    if let (Some(first), Some(last)) = (objective.first(), objective.last()) {
        println!("loss: {first:.6e} -> {last:.6e}");
    }
    Ok(json!({
        "users": matrix.users(),
        "items": matrix.items(),
        "pairs": matrix.pairs(),
        "user_shards": matrix.user_shards(),
        "item_shards": matrix.item_shards(),
        "seconds_per_iteration": seconds,
        "objective": objective,
        "peak_rss_bytes": peak_rss_bytes(),
    }))
}

/// Reads the table once. Of it only the ids are in memory.
fn shards(
    table: &Path,
    out: &Path,
    folder: &Path,
    rows: usize,
    drop_zeros: bool,
    session: &Session,
) -> Result<ShardedMatrix> {
    let spinner = session.spinner("sharding");
    let plan = ShardPlan { users_per_shard: rows, items_per_shard: rows };
    let mut writer = ShardWriter::create(folder, plan)?;
    let (mut users, mut items): (IdMap<UserId>, IdMap<ItemId>) = (IdMap::new(), IdMap::new());
    for row in InteractionTable::open(table, &Columns::default())? {
        let row = row?;
        let user = users.intern(&row.user)?.index() as u32;
        let item = items.intern(&row.item)?.index() as u32;
        let value = row.value.unwrap_or(1.0);
        if !(drop_zeros && value == 0.0) {
            writer.push(user, item, value)?;
        }
    }
    // Before the index of the shards, which says that all of this is done.
    save_ids(&out.join(USER_IDS), &users.names().collect::<Vec<_>>())?;
    save_ids(&out.join(ITEM_IDS), &items.names().collect::<Vec<_>>())?;
    let matrix = writer.finish(users.len(), items.len())?;
    spinner.finish_and_clear();
    Ok(matrix)
}
