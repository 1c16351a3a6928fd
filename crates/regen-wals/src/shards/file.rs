//! One shard on disk: consecutive rows of one orientation.
//!
//! Little-endian: the magic number, rows and pairs as u64, then the pairs of each row (u32 each),
//! all columns (u32), all values (f32). Columns ascend within a row.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use crate::error::{Error, Result};
use crate::interactions::Compressed;
use crate::persist::io_error;
use crate::replace::replace_file;

const MAGIC: &[u8; 8] = b"RGNSHRD1";
const HEAD: u64 = 24;

pub(super) fn write(path: &Path, rows: &Compressed) -> Result<()> {
    replace_file(path, |file| {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        out.write_all(MAGIC)?;
        out.write_all(&(rows.rows() as u64).to_le_bytes())?;
        out.write_all(&(rows.pairs() as u64).to_le_bytes())?;
        for row in 0..rows.rows() {
            // At most one pair a column, and columns are numbered by u32.
            out.write_all(&(rows.length(row) as u32).to_le_bytes())?;
        }
        for row in 0..rows.rows() {
            for column in rows.row(row).columns {
                out.write_all(&column.to_le_bytes())?;
            }
        }
        for row in 0..rows.rows() {
            for value in rows.row(row).values {
                out.write_all(&value.to_le_bytes())?;
            }
        }
        out.flush()
    })
}

/// Reads a shard that is to have so many rows and pairs, with columns below `width`.
pub(super) fn read(path: &Path, rows: usize, pairs: usize, width: usize) -> Result<Compressed> {
    let format = |field, expected: String, got: String| Error::Format {
        path: path.to_path_buf(),
        field,
        expected,
        got,
    };
    let mut file = File::open(path).map_err(io_error("open", path))?;
    let size = file.metadata().map_err(io_error("inspect", path))?.len();
    let expected = (4 * rows as u64).checked_add(HEAD).zip((pairs as u64).checked_mul(8));
    if expected.and_then(|(rows, pairs)| rows.checked_add(pairs)) != Some(size) {
        let expected = format!("that of {rows} rows and {pairs} pairs");
        return Err(format("file size", expected, format!("{size} bytes")));
    }
    let mut head = [0u8; HEAD as usize];
    file.read_exact(&mut head).map_err(io_error("read", path))?;
    if &head[..8] != MAGIC {
        let expected = "that of a shard".to_owned();
        return Err(format("magic number", expected, format!("{:02x?}", &head[..8])));
    }
    let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|k| head[at + k]));
    if (number(8), number(16)) != (rows as u64, pairs as u64) {
        let got = format!("{} rows, {} pairs", number(8), number(16));
        return Err(format("shape", format!("{rows} rows, {pairs} pairs"), got));
    }

    let mut starts = Vec::with_capacity(rows + 1);
    starts.push(0usize);
    let mut sum = 0usize;
    numbers(&mut file, path, rows, |bytes| {
        sum += u32::from_le_bytes(bytes) as usize;
        starts.push(sum);
    })?;
    if sum != pairs {
        return Err(format("pairs of all rows", pairs.to_string(), sum.to_string()));
    }
    let mut columns = Vec::with_capacity(pairs);
    numbers(&mut file, path, pairs, |bytes| columns.push(u32::from_le_bytes(bytes)))?;
    for range in starts.windows(2) {
        let row = &columns[range[0]..range[1]];
        let ascending = row.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascending || row.last().is_some_and(|&last| last as usize >= width) {
            let expected = format!("ascending numbers below {width}");
            return Err(format("columns of a row", expected, "others".to_owned()));
        }
    }
    let mut values = Vec::with_capacity(pairs);
    numbers(&mut file, path, pairs, |bytes| values.push(f32::from_le_bytes(bytes)))?;
    if let Some(value) = values.iter().find(|value| !(value.is_finite() && **value >= 0.0)) {
        return Err(format("a value", "finite and not negative".to_owned(), value.to_string()));
    }
    Ok(Compressed::new(starts, columns, values, width))
}

/// Hands out numbers of four bytes, through a buffer that does not grow with their number.
fn numbers(file: &mut File, path: &Path, count: usize, mut take: impl FnMut([u8; 4])) -> Result<()> {
    let mut buffer = vec![0u8; (4 * count).min(1 << 20)];
    let mut left = 4 * count;
    while left > 0 {
        let part = &mut buffer[..left.min(1 << 20)];
        file.read_exact(part).map_err(io_error("read", path))?;
        part.as_chunks::<4>().0.iter().for_each(|&bytes| take(bytes));
        left -= part.len();
    }
    Ok(())
}
