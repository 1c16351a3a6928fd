//! NumPy's arrays, read only as far as they go.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use tch::Tensor;

use crate::{Error, Result};

/// Longest header that is read: those of NumPy are near 100 bytes.
const LONGEST_HEADER: u64 = 1 << 16;

/// What a `.npy` file says of its array before the numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NpyHeader {
    /// The type of the numbers as NumPy names it, such as `<f4`.
    pub descr: String,
    /// Whether it is said that rows follow one another, and not columns.
    pub row_major: bool,
    /// The sizes of the dimensions.
    pub shape: Vec<u64>,
    /// Where the numbers begin, in bytes.
    pub offset: u64,
}

impl NpyHeader {
    /// Reads it from the beginning of a file; `path` is for what is said of that.
    ///
    /// **Source** NumPy's format description, versions 1.0 to 3.0.
    ///
    /// # Errors
    /// [`Error::Npy`] for a file that does not begin with one, or whose header names no type and sizes.
    pub fn read(file: &mut impl Read, path: &Path) -> Result<Self> {
        let refused = |reason: String| Error::Npy { path: path.to_owned(), reason };
        let mut begin = [0u8; 8];
        let short = |_| refused("its header is cut off".to_owned());
        file.read_exact(&mut begin).map_err(short)?;
        if &begin[..6] != b"\x93NUMPY" {
            return Err(refused("it does not begin as NumPy's arrays do".to_owned()));
        }
        let mut length = [0u8; 4];
        let width = if begin[6] == 1 { 2 } else { 4 };
        file.read_exact(&mut length[..width]).map_err(short)?;
        let length = u64::from(u32::from_le_bytes(length));
        if length > LONGEST_HEADER {
            return Err(refused(format!("its header claims to have {length} bytes")));
        }
        let mut header = vec![0u8; length as usize];
        file.read_exact(&mut header).map_err(short)?;
        let header = String::from_utf8_lossy(&header);
        let value = |key: &str| header.split_once(key).map(|(_, rest)| rest.trim_start());
        let descr = value("'descr':").and_then(|rest| rest.split('\'').nth(1));
        let shape = value("'shape':").and_then(|rest| rest.strip_prefix('(')?.split_once(')'));
        let (Some(descr), Some((shape, _))) = (descr, shape) else {
            return Err(refused("its header names no type and shape".to_owned()));
        };
        let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
        let sizes: Option<Vec<u64>> = sizes.map(|size| size.parse().ok()).collect();
        Ok(Self {
            descr: descr.to_owned(),
            row_major: value("'fortran_order':").is_some_and(|rest| rest.starts_with("False")),
            shape: sizes.ok_or_else(|| refused(no_shape(shape)))?,
            offset: 8 + width as u64 + length,
        })
    }

    /// Bytes of a whole file whose numbers have `size` bytes each; `None` where no file has as many.
    pub fn file_bytes(&self, size: u64) -> Option<u64> {
        let bytes = self.shape.iter().try_fold(size, |bytes, &count| bytes.checked_mul(count))?;
        bytes.checked_add(self.offset).filter(|&bytes| i64::try_from(bytes).is_ok())
    }
}

fn no_shape(shape: &str) -> String {
    format!("its shape ({shape}) is no shape of numbers that fit anywhere")
}

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
    let header = NpyHeader::read(&mut file, path)?;
    let size = header.descr.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<u64>();
    let size = size.map_err(|_| refused("its header names no type and shape".to_owned()))?;
    let expected =
        header.file_bytes(size).ok_or_else(|| refused(no_shape(&format!("{:?}", header.shape))))?;
    if got < expected {
        return Err(refused(format!("it should have {expected} bytes and has {got}: it was cut off")));
    }
    Tensor::read_npy(path).map_err(|error| refused(error.to_string()))
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
