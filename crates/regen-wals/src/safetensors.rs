//! The safetensors format, for two-dimensional f32 matrices: the length of a JSON header, the
//! header, the bare numbers.
//!
//! Written out here because a matrix is to be opened without reading it whole; the reference
//! library takes the whole file as one slice. The tests hold both against each other.
//!
//! **Source** the format's description in the repository huggingface/safetensors, `README.md`.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use ndarray::ArrayView2;
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::npy::{Layout, MOST_NUMBERS, bytes_of};
use crate::persist::io_error;
use crate::replace::Staged;

/// The reference library refuses longer headers too.
const LONGEST_HEADER: u64 = 100_000_000;

/// Writes named matrices, to stand at `path`.
pub(crate) fn stage(path: &Path, tensors: &[(&str, ArrayView2<'_, f32>)]) -> Result<Staged> {
    let mut header = Map::new();
    let mut end = 0usize;
    for (name, tensor) in tensors {
        let begin = end;
        end += 4 * tensor.len();
        let (rows, columns) = tensor.dim();
        header.insert(
            (*name).to_owned(),
            json!({ "dtype": "F32", "shape": [rows, columns], "data_offsets": [begin, end] }),
        );
    }
    let mut header = Value::Object(header).to_string();
    // The numbers begin at a multiple of eight bytes.
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    Staged::write(path, |file| {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        for (_, tensor) in tensors {
            for value in tensor {
                out.write_all(&value.to_le_bytes())?;
            }
        }
        out.flush()
    })
}

/// Opens a matrix of a file and checks all but its numbers.
pub(crate) fn open(path: &Path, name: &str) -> Result<(File, Layout)> {
    let format = |field, expected: String, got: String| Error::Format {
        path: path.to_path_buf(),
        field,
        expected,
        got,
    };
    let file = File::open(path).map_err(io_error("open", path))?;
    let size = file.metadata().map_err(io_error("inspect", path))?.len();
    let whole = || "a whole header".to_owned();
    let short = |_| format("file size", whole(), format!("{size} bytes"));
    let mut length = [0u8; 8];
    (&file).read_exact(&mut length).map_err(short)?;
    let length = u64::from_le_bytes(length);
    if length > LONGEST_HEADER {
        return Err(format("header length", format!("at most {LONGEST_HEADER}"), length.to_string()));
    }
    let Some(room) = size.checked_sub(8).and_then(|rest| rest.checked_sub(length)) else {
        return Err(format("file size", whole(), format!("{size} bytes")));
    };
    let mut header = vec![0u8; length as usize];
    (&file).read_exact(&mut header).map_err(short)?;
    let header: Map<String, Value> = serde_json::from_slice(&header)
        .map_err(|error| format("header", "a JSON object".to_owned(), error.to_string()))?;
    let Some(tensor) = header.get(name) else {
        let names: Vec<&str> =
            header.keys().map(String::as_str).filter(|name| *name != "__metadata__").collect();
        return Err(format("content", format!("a tensor named {name}"), names.join(", ")));
    };
    let dtype = tensor["dtype"].as_str().unwrap_or("missing");
    if dtype != "F32" {
        return Err(format("element type", "F32".to_owned(), dtype.to_owned()));
    }
    let numbers = |key: &str| -> Option<[u64; 2]> {
        let list = tensor[key].as_array()?;
        let [a, b] = list.as_slice() else { return None };
        Some([a.as_u64()?, b.as_u64()?])
    };
    let Some([rows, columns]) = numbers("shape") else {
        return Err(format("shape", "two dimensions".to_owned(), tensor["shape"].to_string()));
    };
    let sizes = usize::try_from(rows).ok().zip(usize::try_from(columns).ok());
    let Some((rows, columns, bytes)) =
        sizes.and_then(|(rows, columns)| Some((rows, columns, bytes_of(rows, columns)?)))
    else {
        return Err(format("shape", MOST_NUMBERS.to_owned(), tensor["shape"].to_string()));
    };
    let offsets = numbers("data_offsets").filter(|[begin, end]| end.checked_sub(*begin) == Some(bytes));
    let Some([begin, end]) = offsets else {
        let expected = format!("those of {rows} × {columns} numbers");
        return Err(format("data_offsets", expected, tensor["data_offsets"].to_string()));
    };
    if end > room {
        let (expected, got) = (format!("{end} bytes of numbers or more"), format!("{room} bytes of them"));
        return Err(format("file size", expected, got));
    }
    Ok((file, Layout { offset: 8 + length + begin, rows, columns }))
}
