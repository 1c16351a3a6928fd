//! Reading reviews: plain and compressed, whole and interactions only, through the Amazon reader and through a column mapping.
//!
//! `cargo bench --bench data` measures generated files of [`RECORDS`] lines; `cargo bench --bench data -- --test` runs each
//! once. `peers/data.py` compares a file of a gigabyte with `gzip -dc`.

use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};

use criterion::{Criterion, Throughput};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regen_benches::reviews::write_reviews;
use regen_data::amazon::Reviews;
use regen_data::mapping::Mapping;
use regen_data::{InteractionTable, OnError, ReviewsConfig, from_reviews};

/// Lines of each file: about 12 MB of reviews.
const RECORDS: u64 = 20_000;

const MAPPING: &str = "[interactions]\nfiles = [\"FILE\"]\nuser = \"reviewerID\"\nitem = \"asin\"\nrating = \"overall\"\n\
    time = \"unixReviewTime\"\n";

/// The files of a run, removed behind it.
struct Files {
    folder: PathBuf,
}

impl Files {
    fn make() -> Self {
        let files =
            Self { folder: std::env::temp_dir().join(format!("regen-data-bench-{}", std::process::id())) };
        std::fs::create_dir_all(&files.folder).expect("a folder");
        let mut text = Vec::new();
        write_reviews(&mut text, RECORDS, 7).expect("reviews");
        std::fs::write(files.path("plain"), &text).expect("a file");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&text).expect("compressed reviews");
        std::fs::write(files.path("gzip"), gzip.finish().expect("compressed reviews")).expect("a file");
        std::fs::write(files.path("zstd"), zstd::encode_all(&text[..], 3).expect("compressed reviews"))
            .expect("a file");
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut table = "user,item,value,timestamp\n".to_owned();
        for _ in 0..RECORDS {
            let (user, item) = (rng.random_range(0..5_000), rng.random_range(0..2_000));
            table.push_str(&format!("u{user},i{item},1,{}\n", 1_500_000_000 + user));
        }
        std::fs::write(files.path("table"), table).expect("a file");
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

fn interactions(path: &Path) -> usize {
    let (data, _) =
        from_reviews("bench", &[path.to_owned()], &[], &ReviewsConfig::default()).expect("reviews");
    data.interactions.len()
}

fn reviews(path: &Path) -> usize {
    let mut letters = 0;
    let mut reviews = Reviews::open(path, OnError::Fail).expect("a file");
    let read = reviews.visit(|review| {
        letters += review.text.as_ref().map_or(0, |text| text.len());
        Ok(())
    });
    read.expect("reviews");
    letters
}

fn mapped(path: &Path) -> usize {
    let mut mapping = Mapping::parse(MAPPING).expect("a mapping");
    mapping.interactions.files = vec![path.to_owned()];
    mapping.read().expect("reviews").0.interactions.len()
}

fn table(path: &Path) -> usize {
    let table = InteractionTable::open(path, &regen_data::Columns::default()).expect("a file");
    table.map(|row| row.expect("a row").user.len()).sum()
}

type Read = fn(&Path) -> usize;

fn main() {
    let files = Files::make();
    let plain = std::fs::metadata(files.path("plain")).expect("a file").len();
    let rows = std::fs::metadata(files.path("table")).expect("a file").len();
    let cases: [(&str, &str, Read, u64); 7] = [
        ("interactions", "plain", interactions, plain),
        ("interactions", "gzip", interactions, plain),
        ("interactions", "zstd", interactions, plain),
        ("reviews", "plain", reviews, plain),
        ("reviews", "gzip", reviews, plain),
        ("mapped", "plain", mapped, plain),
        ("rows", "table", table, rows),
    ];
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let mut group = criterion.benchmark_group("data");
    for (operation, file, read, bytes) in cases {
        let path = files.path(file);
        assert!(read(&path) > 0, "{operation} of {file} reads nothing");
        // Of decompressed bytes, whatever the file holds.
        group.throughput(Throughput::Bytes(bytes));
        group.bench_function(format!("{operation}_{file}/{RECORDS}"), |bencher| {
            bencher.iter(|| black_box(read(&path)));
        });
    }
    group.finish();
    criterion.final_summary();
}
