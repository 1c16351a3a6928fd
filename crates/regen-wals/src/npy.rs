//! The `.npy` format (versions 1 and 2), for two-dimensional little-endian f32 arrays: the
//! format is a magic number, a Python dictionary literal and the bare numbers.
//!
//! **Source** NumPy Enhancement Proposal 1 and `numpy.lib.format`.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use ndarray::ArrayView2;

use crate::error::{Error, Result};
use crate::persist::io_error;
use crate::replace::Staged;

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Headers are padded so that the numbers begin at a multiple of this.
const ALIGNMENT: usize = 64;
/// Refuse headers beyond this: ours and NumPy's own are near 100 bytes.
const LONGEST_HEADER: usize = 1 << 16;

/// Writes `array`, to stand at `path`.
pub(crate) fn stage(path: &Path, array: ArrayView2<'_, f32>) -> Result<Staged> {
    let (rows, columns) = array.dim();
    Staged::write(path, |file| {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        out.write_all(&header(rows, columns))?;
        for value in array {
            out.write_all(&value.to_le_bytes())?;
        }
        out.flush()
    })
}

/// All that stands before the numbers of a `rows × columns` matrix.
pub(crate) fn header(rows: usize, columns: usize) -> Vec<u8> {
    let mut dictionary =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    let unpadded = MAGIC.len() + 4 + dictionary.len() + 1;
    let padding = unpadded.next_multiple_of(ALIGNMENT) - unpadded;
    dictionary.extend(std::iter::repeat_n(' ', padding));
    dictionary.push('\n');
    let mut header = MAGIC.to_vec();
    header.extend([1, 0]);
    header.extend((dictionary.len() as u16).to_le_bytes());
    header.extend(dictionary.bytes());
    header
}

/// Where the numbers of a file stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Bytes before the first number.
    pub(crate) offset: u64,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

/// Opens a two-dimensional f32 array in C order and checks all but its numbers.
pub(crate) fn open(path: &Path) -> Result<(File, Layout)> {
    let format = |field, expected: &str, got: String| Error::Format {
        path: path.to_path_buf(),
        field,
        expected: expected.to_owned(),
        got,
    };
    let file = File::open(path).map_err(io_error("open", path))?;
    let size = file.metadata().map_err(io_error("inspect", path))?.len();
    let mut input = &file;
    let truncated = |_| format("file size", "a whole header", format!("{size} bytes"));

    let mut start = [0u8; 8];
    input.read_exact(&mut start).map_err(truncated)?;
    if &start[..6] != MAGIC {
        return Err(format("magic number", "that of an .npy file", format!("{:02x?}", &start[..6])));
    }
    let (length, prefix) = match start[6] {
        1 => {
            let mut bytes = [0u8; 2];
            input.read_exact(&mut bytes).map_err(truncated)?;
            (usize::from(u16::from_le_bytes(bytes)), 10u64)
        }
        2 | 3 => {
            let mut bytes = [0u8; 4];
            input.read_exact(&mut bytes).map_err(truncated)?;
            (u32::from_le_bytes(bytes) as usize, 12u64)
        }
        other => return Err(format("format version", "1, 2 or 3", other.to_string())),
    };
    if length > LONGEST_HEADER {
        return Err(format("header length", "at most 65536", length.to_string()));
    }
    let mut header = vec![0u8; length];
    input.read_exact(&mut header).map_err(truncated)?;
    let header = String::from_utf8_lossy(&header);

    let descr = field(&header, "descr");
    if descr != Some("'<f4'") {
        return Err(format(
            "element type",
            "'<f4' (little-endian f32)",
            descr.unwrap_or("missing").to_owned(),
        ));
    }
    let order = field(&header, "fortran_order");
    if order != Some("False") {
        return Err(format("fortran_order", "False", order.unwrap_or("missing").to_owned()));
    }
    let shape = field(&header, "shape").unwrap_or("missing");
    let sizes: Option<Vec<usize>> = shape
        .trim_matches(['(', ')'])
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().ok())
        .collect();
    let Some(&[rows, columns]) = sizes.as_deref() else {
        return Err(format("shape", "two dimensions", shape.to_owned()));
    };
    let Some(bytes) = bytes_of(rows, columns) else {
        return Err(format("shape", MOST_NUMBERS, shape.to_owned()));
    };
    let offset = prefix + length as u64;
    if offset.checked_add(bytes) != Some(size) {
        return Err(format(
            "file size",
            &format!("the header and {rows} × {columns} numbers of 4 bytes"),
            format!("{size} bytes"),
        ));
    }
    Ok((file, Layout { offset, rows, columns }))
}

/// What [`bytes_of`] holds a shape to.
pub(crate) const MOST_NUMBERS: &str = "at most 2^61 numbers, sizes of 0 counted as 1";

/// Bytes of `rows × columns` numbers, or `None` for a shape that no array in memory may have. Sizes of 0 count as 1
/// there: an array without numbers is still asked how wide it is.
pub(crate) fn bytes_of(rows: usize, columns: usize) -> Option<u64> {
    const MOST: usize = isize::MAX as usize / 4;
    rows.max(1).checked_mul(columns.max(1)).filter(|&count| count <= MOST)?;
    Some(4 * (rows * columns) as u64)
}

/// The literal that stands for `key` in the header's dictionary.
fn field<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let rest = header.split_once(&format!("'{key}':"))?.1.trim_start();
    let end = if rest.starts_with('(') { rest.find(')')? + 1 } else { rest.find([',', '}'])? };
    Some(rest[..end].trim())
}
