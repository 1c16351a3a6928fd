//! A sharded matrix, as the folder that [`ShardWriter`](super::ShardWriter) made.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::file;
use super::writer::{ShardPlan, ShardWriter};
use crate::error::{Error, Result};
use crate::interactions::{Compressed, InteractionMatrix};
use crate::persist::io_error;
use crate::solver::Side;

/// Name of the file that says what the others are; it is written last.
pub(super) const INDEX: &str = "shards.json";

/// What a folder of shards holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Index {
    pub(super) users: usize,
    pub(super) items: usize,
    pub(super) pairs: usize,
    /// Rows of every shard but the last.
    pub(super) plan: ShardPlan,
    /// Pairs of each shard.
    pub(super) user_shards: Vec<usize>,
    pub(super) item_shards: Vec<usize>,
    /// Tells this matrix from others.
    pub(super) fingerprint: String,
}

/// Observed pairs in shards of rows on disk, in both orientations. Only the index is in memory.
#[derive(Debug, Clone)]
pub struct ShardedMatrix {
    folder: PathBuf,
    index: Index,
}

impl ShardedMatrix {
    /// Opens a folder of shards; each shard is checked when it is read.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Format`].
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(INDEX);
        let text = fs::read(&path).map_err(io_error("read", &path))?;
        let index: Index = serde_json::from_slice(&text).map_err(|error| Error::Format {
            path: path.clone(),
            field: "content",
            expected: "an index of shards".to_owned(),
            got: error.to_string(),
        })?;
        let format = |field, expected: String, got: String| {
            Err(Error::Format { path: path.clone(), field, expected, got })
        };
        for (field, rows) in [("users", index.users), ("items", index.items)] {
            if rows > u32::MAX as usize {
                return format(field, format!("at most {}", u32::MAX), rows.to_string());
            }
        }
        let plan = index.plan;
        let aligned = plan.aligned();
        for (field, expected, got) in [
            ("users_per_shard", aligned.users_per_shard, plan.users_per_shard),
            ("items_per_shard", aligned.items_per_shard, plan.items_per_shard),
        ] {
            if expected != got {
                return format(field, expected.to_string(), got.to_string());
            }
        }
        for (field, rows, each, shards) in [
            ("user_shards", index.users, plan.users_per_shard, &index.user_shards),
            ("item_shards", index.items, plan.items_per_shard, &index.item_shards),
        ] {
            if shards.len() != rows.div_ceil(each) {
                let expected = format!("{} shards", rows.div_ceil(each));
                return format(field, expected, format!("{} shards", shards.len()));
            }
            let pairs = shards.iter().try_fold(0usize, |sum, &pairs| sum.checked_add(pairs));
            if pairs != Some(index.pairs) {
                let got = pairs.map_or("too many to count".to_owned(), |pairs| pairs.to_string());
                return format(field, format!("{} pairs in all", index.pairs), got);
            }
        }
        Ok(Self { folder: folder.to_path_buf(), index })
    }

    /// Writes a matrix that is in memory as shards.
    ///
    /// # Errors
    /// As [`ShardWriter`]; [`Error::ShardedTargets`] for a matrix with targets of its own.
    pub fn write(folder: &Path, matrix: &InteractionMatrix, plan: ShardPlan) -> Result<Self> {
        if matrix.by_user().has_targets() {
            return Err(Error::ShardedTargets);
        }
        let mut writer = ShardWriter::create(folder, plan)?;
        for user in 0..matrix.users() {
            let (items, values) = matrix.user_row(user);
            for (&item, &value) in items.iter().zip(values) {
                writer.push(user as u32, item, value)?;
            }
        }
        writer.finish(matrix.users(), matrix.items())
    }

    /// Number of users, those without pairs included.
    pub fn users(&self) -> usize {
        self.index.users
    }

    /// Number of items, those without pairs included.
    pub fn items(&self) -> usize {
        self.index.items
    }

    /// Number of distinct observed pairs.
    pub fn pairs(&self) -> usize {
        self.index.pairs
    }

    /// Number of shards of users.
    pub fn user_shards(&self) -> usize {
        self.index.user_shards.len()
    }

    /// Number of shards of items.
    pub fn item_shards(&self) -> usize {
        self.index.item_shards.len()
    }

    pub(super) fn fingerprint(&self) -> &str {
        &self.index.fingerprint
    }

    pub(super) fn shards(&self, side: Side) -> usize {
        match side {
            Side::User => self.user_shards(),
            Side::Item => self.item_shards(),
        }
    }

    pub(super) fn rows(&self, side: Side) -> usize {
        match side {
            Side::User => self.users(),
            Side::Item => self.items(),
        }
    }

    pub(super) fn rows_per_shard(&self, side: Side) -> usize {
        match side {
            Side::User => self.index.plan.users_per_shard,
            Side::Item => self.index.plan.items_per_shard,
        }
    }

    /// Reads one shard.
    pub(super) fn shard(&self, side: Side, shard: usize) -> Result<Compressed> {
        let pairs = match side {
            Side::User => self.index.user_shards[shard],
            Side::Item => self.index.item_shards[shard],
        };
        let (all, each) = (self.rows(side), self.rows_per_shard(side));
        let rows = each.min(all - shard * each);
        file::read(&shard_path(&self.folder, side, shard), rows, pairs, self.rows(side.opposite()))
    }
}

pub(super) fn shard_path(folder: &Path, side: Side, shard: usize) -> PathBuf {
    folder.join(format!("{}s", side.name())).join(format!("{shard:05}.shard"))
}
