//! What damaged Parquet files do to their reader ends here.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::errors::ParquetError;

use crate::{Error, Result};

/// Runs a piece of the Parquet reader. It asserts what it expects of a file, so damaged bytes may panic in it; here
/// that is an error like others. What has panicked is not used again.
pub(crate) fn fenced<T>(
    path: &Path,
    read: impl FnOnce() -> std::result::Result<T, ParquetError>,
) -> Result<T> {
    let reason = match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(done)) => return Ok(done),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the file is damaged".to_owned(),
    };
    Err(Error::Parquet { path: path.to_owned(), reason })
}
