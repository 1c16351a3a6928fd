//! NumPy's arrays, read only as far as they go.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use tch::Tensor;

use crate::{Error, Result};

/// The array of a `.npy` file, on the CPU. libtorch's own reader believes the header of a file and reads past the end of one that is
/// shorter; this one looks first.
///
/// # Errors
/// [`Error::Io`] for a file that cannot be read, [`Error::Npy`] for one that is no array, of a type that tensors do not have, or that
/// ends before its last number.
pub fn read_npy(path: &Path) -> Result<Tensor> {
    let io = |source| Error::Io { action: "read", path: path.to_owned(), source };
    let refused = |reason| Error::Npy { path: path.to_owned(), reason };
    let mut file = File::open(path).map_err(io)?;
    let got = file.metadata().map_err(io)?.len();
    let expected = promised(&mut file).map_err(refused)?;
    if got < expected {
        return Err(refused(format!("it should have {expected} bytes and has {got}: it was cut off")));
    }
    Tensor::read_npy(path).map_err(|error| refused(error.to_string()))
}

/// Bytes of a whole file whose header stands at its beginning, or what is wrong with that.
///
/// **Source** NumPy's format description, versions 1.0 to 3.0.
fn promised(file: &mut impl Read) -> std::result::Result<u64, String> {
    let mut begin = [0u8; 8];
    let short = |_| "its header is cut off".to_owned();
    file.read_exact(&mut begin).map_err(short)?;
    if &begin[..6] != b"\x93NUMPY" {
        return Err("it does not begin as NumPy's arrays do".to_owned());
    }
    let mut length = [0u8; 4];
    let width = if begin[6] == 1 { 2 } else { 4 };
    file.read_exact(&mut length[..width]).map_err(short)?;
    let length = u64::from(u32::from_le_bytes(length));
    let mut header = String::new();
    let taken = file.take(length).read_to_string(&mut header).map_err(short)?;
    if taken as u64 != length {
        return Err("its header is cut off".to_owned());
    }
    let value = |key: &str| header.split_once(key).map(|(_, rest)| rest);
    let size = value("'descr':").and_then(|rest| rest.split('\'').nth(1)).and_then(|descr| {
        let digits = descr.trim_start_matches(|c: char| !c.is_ascii_digit());
        digits.parse::<u64>().ok()
    });
    let shape =
        value("'shape':").and_then(|rest| rest.split_once('(')?.1.split_once(')')).map(|(shape, _)| shape);
    let (Some(size), Some(shape)) = (size, shape) else {
        return Err("its header names no type and shape".to_owned());
    };
    let numbers = shape.split(',').map(str::trim).filter(|number| !number.is_empty());
    numbers
        .map(|number| number.parse::<u64>().ok())
        .try_fold(size, |bytes, number| bytes.checked_mul(number?))
        .and_then(|bytes| bytes.checked_add(8 + width as u64 + length))
        .filter(|&bytes| i64::try_from(bytes).is_ok())
        .ok_or_else(|| format!("its shape ({shape}) is no shape of numbers that fit anywhere"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_comes_back_and_one_that_is_cut_off_or_lies_is_refused_with_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npy");
        let tensor = Tensor::from_slice(&[1f32, 2., 3., 4., 5., 6.]).reshape([2, 3]);
        tensor.write_npy(&path).unwrap();
        assert!(read_npy(&path).unwrap().equal(&tensor));
        let whole = std::fs::read(&path).unwrap();
        for length in (0..whole.len()).step_by(3) {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = read_npy(&path).unwrap_err();
            assert!(matches!(&error, Error::Npy { .. }) && error.to_string().contains("a.npy"), "{error}");
        }
        let text = String::from_utf8_lossy(&whole[10..]).into_owned();
        let at = 10 + text.find("(2,3,)").unwrap();
        for shape in ["(9,3,)", "(2,-3)", "(x,3,)"] {
            let mut lying = whole.clone();
            lying[at..at + 6].copy_from_slice(shape.as_bytes());
            std::fs::write(&path, lying).unwrap();
            assert!(matches!(read_npy(&path), Err(Error::Npy { .. })), "{shape}");
        }
        assert!(matches!(read_npy(&dir.path().join("none.npy")), Err(Error::Io { .. })));
    }
}
