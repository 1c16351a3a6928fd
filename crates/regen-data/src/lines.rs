//! Files of lines, plain or compressed, one borrowed line at a time: memory is bounded by the longest line.
//!
//! The compression is told by the file's first bytes, not by its name. A gzip file may hold several members (as
//! `cat a.gz b.gz` makes). A last line without a line feed is a line; a compressed stream that stops in its middle
//! is [`Error::TruncatedStream`], never a short file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Longer than the longest record of any public review file by two orders of magnitude.
const LONGEST_LINE: usize = 64 << 20;

/// The lines of one file.
///
/// ```no_run
/// let mut lines = regen_data::Lines::open("reviews.json.gz")?;
/// while let Some(line) = lines.next_line()? {
///     println!("{}", line.len());
/// }
/// # Ok::<(), regen_data::Error>(())
/// ```
pub struct Lines {
    path: PathBuf,
    reader: Box<dyn BufRead + Send>,
    compressed: bool,
    line: Vec<u8>,
    number: u64,
    finished: bool,
}

impl Lines {
    /// Opens a plain, gzip or zstd file.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be opened or read, [`Error::Utf16`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let Stream { compressed, reader } = open_stream(&path)?;
        Ok(Self { path, reader, compressed, line: Vec::new(), number: 0, finished: false })
    }

    /// The next line without its line end (`\n` or `\r\n`), or `None` after the last. A byte order mark before the
    /// first line is skipped. After an error of the stream there are no more lines.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::TruncatedStream`], [`Error::CorruptStream`] or [`Error::LineTooLong`].
    pub fn next_line(&mut self) -> Result<Option<&[u8]>> {
        if self.finished {
            return Ok(None);
        }
        self.line.clear();
        let read = self.reader.by_ref().take(LONGEST_LINE as u64 + 1).read_until(b'\n', &mut self.line);
        match read {
            Ok(0) => {
                self.finished = true;
                return Ok(None);
            }
            Ok(_) if self.line.len() > LONGEST_LINE => {
                self.finished = true;
                return Err(Error::LineTooLong {
                    path: self.path.clone(),
                    line: self.number + 1,
                    limit: LONGEST_LINE,
                });
            }
            Ok(_) => {}
            Err(source) => {
                self.finished = true;
                let path = self.path.clone();
                return Err(match self.compressed {
                    true => stream_error(path, self.number, source),
                    false => Error::Io { action: "read", path, source },
                });
            }
        }
        self.number += 1;
        let mut line = self.line.as_slice();
        line = line.strip_suffix(b"\n").unwrap_or(line);
        line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.number == 1 {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        Ok(Some(line))
    }

    /// The number of the line that was given last, counted from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A file's bytes, decompressed.
pub(crate) struct Stream {
    compressed: bool,
    pub(crate) reader: Box<dyn BufRead + Send>,
}

/// Opens a plain, gzip or zstd file. A byte order mark of UTF-16 is an error: its lines would be noise.
pub(crate) fn open_stream(path: &Path) -> Result<Stream> {
    let io = |action| move |source| Error::Io { action, path: path.to_owned(), source };
    let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(io("open"))?);
    let head = file.fill_buf().map_err(io("read"))?;
    if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
        return Err(Error::Utf16 { path: path.to_owned() });
    }
    Ok(if head.starts_with(&[0x1f, 0x8b]) {
        let decoder = flate2::bufread::MultiGzDecoder::new(file);
        Stream { compressed: true, reader: Box::new(BufReader::with_capacity(1 << 16, decoder)) }
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let decoder = zstd::stream::read::Decoder::with_buffer(file).map_err(io("open"))?;
        Stream { compressed: true, reader: Box::new(BufReader::with_capacity(1 << 16, decoder)) }
    } else {
        Stream { compressed: false, reader: Box::new(file) }
    })
}

/// What a decompressor's complaint means for the file. `line` is the last complete line.
pub(crate) fn stream_error(path: PathBuf, line: u64, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::UnexpectedEof => Error::TruncatedStream { path, line },
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::Other => {
            Error::CorruptStream { path, line, source }
        }
        _ => Error::Io { action: "read", path, source },
    }
}

/// The text of `line`, or where it stops being UTF-8.
pub(crate) fn utf8<'a>(line: &'a [u8], path: &Path, number: u64) -> Result<&'a str> {
    std::str::from_utf8(line).map_err(|error| Error::InvalidUtf8 {
        path: path.to_owned(),
        line: number,
        column: error.valid_up_to() as u64 + 1,
    })
}

/// Reads one JSON record of a line file.
pub(crate) fn json<'a, T: serde::Deserialize<'a>>(line: &'a [u8], path: &Path, number: u64) -> Result<T> {
    serde_json::from_slice(line).map_err(|error| {
        // serde_json finds bad UTF-8 only inside strings and calls it by another name: say what it is.
        match utf8(line, path, number) {
            Err(error) => error,
            Ok(_) => json_error(&error, path, number - 1),
        }
    })
}

/// A JSON error with its place in the file; `lines_before` is what precedes the text that was parsed.
pub(crate) fn json_error(error: &serde_json::Error, path: &Path, lines_before: u64) -> Error {
    let reason = error.to_string();
    // serde_json appends its own "at line 1 column 7", which is given better beside the path.
    let reason = reason.rsplit_once(" at line ").map_or(reason.as_str(), |(reason, _)| reason).to_owned();
    Error::Json {
        path: path.to_owned(),
        line: lines_before + error.line().max(1) as u64,
        column: error.column().max(1) as u64,
        reason,
    }
}

/// The whole of a (possibly compressed) JSON document.
pub(crate) fn json_document<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let mut lines = Lines::open(path)?;
    let mut bytes = Vec::new();
    while let Some(line) = lines.next_line()? {
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
    }
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        Error::InvalidUtf8 {
            path: path.to_owned(),
            line: before.iter().filter(|&&byte| byte == b'\n').count() as u64 + 1,
            column: (before.len() - line_start) as u64 + 1,
        }
    })?;
    serde_json::from_str(text).map_err(|error| json_error(&error, path, 0))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file.flush().unwrap();
        file
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Vec<String>> {
        let file = file(bytes);
        let mut lines = Lines::open(file.path())?;
        let mut found = Vec::new();
        while let Some(line) = lines.next_line()? {
            found.push(String::from_utf8_lossy(line).into_owned());
        }
        Ok(found)
    }

    #[test]
    fn text_in_utf_16_is_called_so_and_not_read_as_noise() {
        for text in [&b"\xff\xfeu\0s\0e\0r\0"[..], b"\xfe\xff\0u\0s\0e\0r"] {
            let error = read(text).unwrap_err();
            assert!(matches!(error, Error::Utf16 { .. }), "{error}");
        }
    }

    #[test]
    fn lines_are_the_same_plain_gzip_zstd_and_in_several_gzip_members() {
        let text = b"\xef\xbb\xbfone\r\n\ntwo \nthree";
        let expected = ["one", "", "two ", "three"];
        assert_eq!(read(text).unwrap(), expected);
        assert_eq!(read(&gzip(text)).unwrap(), expected);
        assert_eq!(read(&zstd::encode_all(&text[..], 1).unwrap()).unwrap(), expected);
        let members = [gzip(&text[..6]), gzip(&text[6..])].concat();
        assert_eq!(read(&members).unwrap(), expected);
        assert_eq!(read(b"").unwrap(), [""; 0]);
    }

    #[test]
    fn a_compressed_file_that_was_cut_is_an_error_and_not_a_short_file() {
        let text: Vec<u8> = (0..100_000u32)
            .flat_map(|i| format!("{}\n", i.wrapping_mul(2_654_435_761)).into_bytes())
            .collect();
        for whole in [gzip(&text), zstd::encode_all(&text[..], 1).unwrap()] {
            let error = read(&whole[..whole.len() / 2]).unwrap_err();
            assert!(matches!(error, Error::TruncatedStream { line: 1.., .. }), "{error}");
        }
    }

    #[test]
    fn a_damaged_compressed_file_is_an_error() {
        let text: Vec<u8> =
            (0..5_000u32).flat_map(|i| format!("{}\n", i.wrapping_mul(2_654_435_761)).into_bytes()).collect();
        let mut damaged = gzip(&text);
        let middle = damaged.len() / 2;
        damaged[middle..middle + 64].fill(0x55);
        assert!(matches!(
            read(&damaged).unwrap_err(),
            Error::CorruptStream { .. } | Error::TruncatedStream { .. }
        ));
    }

    #[test]
    fn a_bad_byte_is_found_by_line_and_column() {
        let path = Path::new("f");
        assert!(matches!(utf8(b"ab\xffc", path, 9), Err(Error::InvalidUtf8 { line: 9, column: 3, .. })));
        let error = json::<serde_json::Value>(b"{\"a\":\"b\xff\"}", path, 2).unwrap_err();
        assert!(matches!(error, Error::InvalidUtf8 { line: 2, column: 8, .. }), "{error}");
        let error = json::<serde_json::Value>(b"{\"a\": nul}", path, 4).unwrap_err();
        assert_eq!(error.to_string(), "f:4:10: expected ident");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Lines::open("no/such/file.json").err().unwrap();
        assert_eq!(error.to_string(), "cannot open no/such/file.json");
    }
}
