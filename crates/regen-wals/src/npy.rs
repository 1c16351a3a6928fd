//! The `.npy` format (versions 1 and 2), for two-dimensional little-endian f32 arrays: the
//! format is a magic number, a Python dictionary literal and the bare numbers.
//!
//! **Source** NumPy Enhancement Proposal 1 and `numpy.lib.format`.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use ndarray::{Array2, ArrayView2};

use crate::error::{Error, Result};
use crate::persist::{io_error, replace_file};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Headers are padded so that the numbers begin at a multiple of this.
const ALIGNMENT: usize = 64;
/// Refuse headers beyond this: ours and NumPy's own are near 100 bytes.
const LONGEST_HEADER: usize = 1 << 16;

/// Writes `array` to `path` through a temporary file.
pub(crate) fn write(path: &Path, array: ArrayView2<'_, f32>) -> Result<()> {
    replace_file(path, |file| {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        let (rows, columns) = array.dim();
        let mut header =
            format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
        let unpadded = MAGIC.len() + 4 + header.len() + 1;
        let padding = unpadded.next_multiple_of(ALIGNMENT) - unpadded;
        header.extend(std::iter::repeat_n(' ', padding));
        header.push('\n');
        out.write_all(MAGIC)?;
        out.write_all(&[1, 0])?;
        out.write_all(&(header.len() as u16).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        for value in array {
            out.write_all(&value.to_le_bytes())?;
        }
        out.flush()
    })
}

/// Reads a two-dimensional f32 array in C order.
pub(crate) fn read(path: &Path) -> Result<Array2<f32>> {
    let format = |field, expected: &str, got: String| Error::Format {
        path: path.to_path_buf(),
        field,
        expected: expected.to_owned(),
        got,
    };
    let file = File::open(path).map_err(io_error("open", path))?;
    let size = file.metadata().map_err(io_error("inspect", path))?.len();
    let mut input = BufReader::with_capacity(1 << 20, file);
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
    let bytes = rows
        .checked_mul(columns)
        .and_then(|count| count.checked_mul(4))
        .filter(|&bytes| prefix + length as u64 + bytes as u64 == size);
    let Some(bytes) = bytes else {
        return Err(format(
            "file size",
            &format!("the header and {rows} × {columns} numbers of 4 bytes"),
            format!("{size} bytes"),
        ));
    };
    let mut values = Vec::with_capacity(bytes / 4);
    let mut buffer = vec![0u8; (1 << 20).min(bytes)];
    let mut left = bytes;
    while left > 0 {
        let part = &mut buffer[..left.min(1 << 20)];
        input.read_exact(part).map_err(io_error("read", path))?;
        let (numbers, _) = part.as_chunks::<4>();
        values.extend(numbers.iter().map(|&b| f32::from_le_bytes(b)));
        left -= part.len();
    }
    match Array2::from_shape_vec((rows, columns), values) {
        Ok(array) => Ok(array),
        Err(_) => unreachable!("as many numbers as the shape says"),
    }
}

/// The literal that stands for `key` in the header's dictionary.
fn field<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let rest = header.split_once(&format!("'{key}':"))?.1.trim_start();
    let end = if rest.starts_with('(') { rest.find(')')? + 1 } else { rest.find([',', '}'])? };
    Some(rest[..end].trim())
}
