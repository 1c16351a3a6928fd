//! The Rust side of `peers/data.py`: writes a file of reviews, or reads one in one of several ways and says what it found.
//!
//! `data_peer generate RECORDS` writes to stdout; `data_peer read interactions|reviews|lines FILE` answers one JSON line. One
//! thread; the script measures time and memory from outside.

use std::io::{BufWriter, Write};

use anyhow::{Context, Result, bail};
use regen_data::amazon::Reviews;
use regen_data::{Lines, OnError};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["generate", records] => {
            let mut out = BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
            regen_benches::reviews::write_reviews(
                &mut out,
                records.parse().context("a number of records")?,
                7,
            )?;
            out.flush()?;
        }
        ["read", what, path] => {
            let (mut records, mut bytes) = (0u64, 0u64);
            match what {
                // Constant memory, so that the reader alone is seen: a data set would keep 32 bytes an interaction.
                "interactions" => Reviews::open(path, OnError::Fail)?.visit_purchases(|review| {
                    records += 1;
                    bytes +=
                        (review.user.len() + review.item.len()) as u64 + u64::from(review.time.is_some());
                    Ok(())
                })?,
                "reviews" => Reviews::open(path, OnError::Fail)?.visit(|review| {
                    records += 1;
                    bytes += review.text.map_or(0, |text| text.len() as u64);
                    Ok(())
                })?,
                "lines" => {
                    let mut lines = Lines::open(path)?;
                    while let Some(line) = lines.next_line()? {
                        records += 1;
                        bytes += line.len() as u64 + 1;
                    }
                }
                other => bail!("cannot read {other}"),
            }
            println!("{{\"records\": {records}, \"bytes\": {bytes}}}");
        }
        _ => bail!("generate RECORDS, or read interactions|reviews|lines FILE"),
    }
    Ok(())
}
