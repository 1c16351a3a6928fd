//! Writing shards from a stream of triplets in any order, in bounded memory.
//!
//! Each triplet goes into two buckets on disk, that of its user's shard and that of its item's.
//! When the stream ends, bucket after bucket is sorted and becomes a shard.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::file;
use super::matrix::{INDEX, Index, ShardedMatrix, shard_path};
use crate::error::{Error, Result};
use crate::interactions::{Fingerprint, compress};
use crate::persist::io_error;
use crate::replace::replace_file;
use crate::solver::Side;

/// Rows that are turned, summed and judged together: shards hold whole numbers of them, so that
/// a sharded fit cuts the rows where the fit in memory cuts them.
pub(super) const ALIGNMENT: usize = 2048;

/// Rows of a shard; rounded up to a multiple of 2048.
///
/// A shard and the factors that its pairs touch are in memory at once, so this is what bounds a
/// fit: see [`WalsConfig::fit_shards`](crate::WalsConfig::fit_shards).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardPlan {
    /// At least 1.
    pub users_per_shard: usize,
    /// At least 1.
    pub items_per_shard: usize,
}

impl ShardPlan {
    pub(super) fn aligned(self) -> Self {
        let round = |rows: usize| rows.max(1).checked_next_multiple_of(ALIGNMENT).unwrap_or(usize::MAX);
        Self { users_per_shard: round(self.users_per_shard), items_per_shard: round(self.items_per_shard) }
    }

    fn rows(self, side: Side) -> usize {
        match side {
            Side::User => self.users_per_shard,
            Side::Item => self.items_per_shard,
        }
    }
}

/// Takes triplets in any order and makes a [`ShardedMatrix`] of them.
///
/// Memory: 64 KiB for each shard while triplets come in; then about 32 bytes a triplet of the
/// fullest shard. Disk: 24 bytes a triplet until the end, then 16 bytes a pair. A writer that is
/// dropped before the end removes its buckets.
#[derive(Debug)]
pub struct ShardWriter {
    folder: PathBuf,
    plan: ShardPlan,
    users: Buckets,
    items: Buckets,
    writing: Writing,
}

/// The folder of the buckets; gone when this is dropped.
#[derive(Debug)]
struct Writing(PathBuf);

impl Drop for Writing {
    fn drop(&mut self) {
        // A leftover costs disk space until the next writer begins there.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The folder of unfinished buckets within that of the shards.
const WRITING: &str = "writing.tmp";
/// Bytes of a bucket that are kept back before they are appended to its file.
const BUFFER: usize = 1 << 16;
/// Row, column, value.
const RECORD: usize = 12;

impl ShardWriter {
    /// Begins a matrix in a folder, which is made if it does not exist. Buckets that an
    /// interrupted writer left there are removed.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for shards without rows, [`Error::AlreadyThere`] when the folder
    /// holds a sharded matrix, [`Error::Io`].
    pub fn create(folder: &Path, plan: ShardPlan) -> Result<Self> {
        for (field, rows) in
            [("users_per_shard", plan.users_per_shard), ("items_per_shard", plan.items_per_shard)]
        {
            if rows == 0 {
                return Err(Error::InvalidSetting { field, expected: "at least 1", got: 0.0 });
            }
        }
        if folder.join(INDEX).exists() {
            return Err(Error::AlreadyThere { path: folder.join(INDEX) });
        }
        let writing = folder.join(WRITING);
        if writing.exists() {
            fs::remove_dir_all(&writing).map_err(io_error("remove", &writing))?;
        }
        fs::create_dir_all(&writing).map_err(io_error("create", &writing))?;
        let plan = plan.aligned();
        let buckets = |side: Side| Buckets {
            side,
            rows_per_shard: plan.rows(side),
            writing: writing.clone(),
            buckets: Vec::new(),
            last: 0,
        };
        let (users, items) = (buckets(Side::User), buckets(Side::Item));
        let writing = Writing(writing);
        Ok(Self { folder: folder.to_path_buf(), plan, users, items, writing })
    }

    /// Takes one triplet. A pair that occurs several times keeps the sum of its values.
    ///
    /// # Errors
    /// [`Error::InvalidValue`], and [`Error::Io`], on a full disk say. The latter loses nothing: the
    /// triplet is taken, and what could not be written is tried again with the next one.
    pub fn push(&mut self, user: u32, item: u32, value: f32) -> Result<()> {
        if !(value.is_finite() && value >= 0.0) {
            return Err(Error::InvalidValue { user, item, value });
        }
        let shards = [self.users.take_in(user, item, value), self.items.take_in(item, user, value)];
        self.users.flush_full(shards[0])?;
        self.items.flush_full(shards[1])
    }

    /// Sorts the buckets into shards and opens the matrix. What the folder held of an unfinished
    /// one is replaced.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::UserOutOfRange`] and [`Error::ItemOutOfRange`] for triplets
    /// beyond the given numbers, [`Error::InvalidValue`] for a sum that is not finite,
    /// [`Error::Io`].
    pub fn finish(self, users: usize, items: usize) -> Result<ShardedMatrix> {
        for (axis, size) in [("users", users), ("items", items)] {
            if size > u32::MAX as usize {
                return Err(Error::TooLarge { axis, size });
            }
        }
        let seen = |buckets: &Buckets| !buckets.buckets.is_empty();
        if seen(&self.users) && self.users.last as usize >= users {
            return Err(Error::UserOutOfRange { user: self.users.last as usize, users });
        }
        if seen(&self.items) && self.items.last as usize >= items {
            return Err(Error::ItemOutOfRange { item: self.items.last as usize, items });
        }
        let Self { folder, plan, users: user_buckets, items: item_buckets, writing } = self;
        let mut fingerprint = Fingerprint::new();
        fingerprint.add(&(users as u64).to_le_bytes());
        fingerprint.add(&(items as u64).to_le_bytes());
        let user_shards = user_buckets.finish(&folder, users, items, Some(&mut fingerprint))?;
        let item_shards = item_buckets.finish(&folder, items, users, None)?;
        let index = Index {
            users,
            items,
            pairs: user_shards.iter().sum(),
            plan,
            user_shards,
            item_shards,
            fingerprint: format!("{:016x}", fingerprint.value()),
        };
        replace_file(&folder.join(INDEX), |file| file.write_all(&serde_json::to_vec_pretty(&index)?))?;
        drop(writing);
        ShardedMatrix::open(&folder)
    }
}

/// Triplets by shard of one side, appended to files as buffers fill up. The files are opened for
/// each append: there may be more of them than a process may hold open.
#[derive(Debug)]
struct Buckets {
    side: Side,
    rows_per_shard: usize,
    writing: PathBuf,
    buckets: Vec<Bucket>,
    /// The highest row so far.
    last: u32,
}

/// The triplets of one shard: the whole records at the front of its file, and those kept back.
#[derive(Debug, Clone, Default)]
struct Bucket {
    written: usize,
    buffer: Vec<u8>,
    /// An append failed: beyond `written` the file may hold a part of it.
    torn: bool,
}

impl Buckets {
    fn path(&self, shard: usize) -> PathBuf {
        self.writing.join(format!("{}s-{shard:05}", self.side.name()))
    }

    /// Keeps a triplet in memory; its shard.
    fn take_in(&mut self, row: u32, column: u32, value: f32) -> usize {
        let shard = row as usize / self.rows_per_shard;
        if shard >= self.buckets.len() {
            self.buckets.resize(shard + 1, Bucket::default());
        }
        self.last = self.last.max(row);
        let buffer = &mut self.buckets[shard].buffer;
        buffer.extend(row.to_le_bytes());
        buffer.extend(column.to_le_bytes());
        buffer.extend(value.to_le_bytes());
        shard
    }

    /// Appends what is kept of a shard to its file, once that is much.
    fn flush_full(&mut self, shard: usize) -> Result<()> {
        if self.buckets[shard].buffer.len() < BUFFER {
            return Ok(());
        }
        let path = self.path(shard);
        let Bucket { written, buffer, torn } = &mut self.buckets[shard];
        let was_torn = std::mem::replace(torn, true);
        let append = || {
            let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
            if was_torn {
                file.set_len(*written as u64)?;
            }
            file.write_all(buffer)
        };
        append().map_err(io_error("write", &path))?;
        *written += buffer.len();
        *torn = false;
        buffer.clear();
        Ok(())
    }

    /// Writes the shards; the pairs of each.
    fn finish(
        mut self,
        folder: &Path,
        rows: usize,
        width: usize,
        mut fingerprint: Option<&mut Fingerprint>,
    ) -> Result<Vec<usize>> {
        let mut pairs = Vec::new();
        for shard in 0..rows.div_ceil(self.rows_per_shard) {
            let first = shard * self.rows_per_shard;
            let count = self.rows_per_shard.min(rows - first);
            let triplets = self.take(shard)?;
            let compressed = compress(
                count,
                width,
                triplets.iter().map(|&(row, column, value)| (row - first as u32, column, value)),
            )
            .map_err(|(row, column, value)| {
                let row = row + first as u32;
                let (user, item) = match self.side {
                    Side::User => (row, column),
                    Side::Item => (column, row),
                };
                Error::InvalidValue { user, item, value }
            })?;
            if let Some(fingerprint) = &mut fingerprint {
                for row in 0..count {
                    for (column, value, _) in compressed.row(row).entries() {
                        fingerprint.add(&((first + row) as u32).to_le_bytes());
                        fingerprint.add(&(column as u32).to_le_bytes());
                        fingerprint.add(&value.to_le_bytes());
                    }
                }
            }
            let path = shard_path(folder, self.side, shard);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(io_error("create", parent))?;
            }
            file::write(&path, &compressed)?;
            pairs.push(compressed.pairs());
        }
        Ok(pairs)
    }

    /// The triplets of a shard, sorted; equal pairs stay in the order in which they came.
    fn take(&mut self, shard: usize) -> Result<Vec<(u32, u32, f32)>> {
        let path = self.path(shard);
        let mut triplets = Vec::new();
        let mut decode = |bytes: &[u8]| {
            triplets.extend(bytes.chunks_exact(RECORD).map(|record| {
                let word = |at: usize| std::array::from_fn(|k| record[at + k]);
                (u32::from_le_bytes(word(0)), u32::from_le_bytes(word(4)), f32::from_le_bytes(word(8)))
            }));
        };
        let Bucket { written, buffer, .. } =
            self.buckets.get_mut(shard).map(std::mem::take).unwrap_or_default();
        if written > 0 {
            let bytes = fs::read(&path).map_err(io_error("read", &path))?;
            let Some(whole) = bytes.get(..written) else {
                let (expected, got) = (format!("{written} bytes or more"), format!("{} bytes", bytes.len()));
                return Err(Error::Format { path, field: "file size", expected, got });
            };
            decode(whole);
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
        decode(&buffer);
        triplets.sort_by_key(|&(row, column, _)| (row, column));
        Ok(triplets)
    }
}
