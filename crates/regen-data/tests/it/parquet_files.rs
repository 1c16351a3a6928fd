//! Parquet files through a mapping, written here by the reference library's own writer; damaged ones are errors.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;
use regen_data::mapping::Mapping;
use regen_data::{Dataset, Error};

fn write(path: &Path) {
    let schema = "message orders {
        required binary customer (UTF8);
        required group product { required int64 sku; }
        optional double stars;
        required int64 bought (TIMESTAMP_MILLIS);
    }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let file = fs::File::create(path).unwrap();
    let compression = parquet::basic::Compression::SNAPPY;
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let mut writer = SerializedFileWriter::new(file, schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let names = [ByteArray::from("ann"), ByteArray::from("bo"), ByteArray::from("ann")];
    column.typed::<ByteArrayType>().write_batch(&names, None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&[7, 7, 8], None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<DoubleType>().write_batch(&[5.0, 4.0], Some(&[1, 0, 1]), None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let times = [1_529_193_600_000, 1_529_193_601_000, 1_529_193_602_999];
    column.typed::<Int64Type>().write_batch(&times, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
}

fn read(path: &Path, rating: &str) -> Result<Dataset, Error> {
    let text = format!(
        "[interactions]\nfiles = [{path:?}]\nuser = \"customer\"\nitem = \"product.sku\"\nrating = {rating:?}\ntime = \"bought\"\ntime_unit = \"days\"\n"
    );
    Ok(Mapping::parse(&text)?.read()?.0)
}

#[test]
fn rows_are_read_with_nested_columns_and_typed_times() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.parquet");
    write(&path);
    let data = read(&path, "stars").unwrap();
    assert_eq!(data.users.names().collect::<Vec<_>>(), ["ann", "bo"]);
    assert_eq!(data.items.names().collect::<Vec<_>>(), ["7", "8"]);
    // A typed time is what it is, whatever unit the mapping names for numbers.
    let times: Vec<_> = data.interactions.iter().filter_map(|one| one.time).collect();
    assert_eq!(times, [1_529_193_600, 1_529_193_601, 1_529_193_602]);
    let error = read(&path, "sterne").unwrap_err();
    assert!(
        error.to_string().ends_with("has no column \"sterne\", it has: customer, product, stars, bought"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn damaged_parquet_files_are_read_or_refused(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.parquet");
        write(&path);
        let mut bytes = fs::read(&path).unwrap();
        for (at, byte) in edits {
            // The magic number stays, or the file is another.
            let at = 4 + at.index(bytes.len() - 4);
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(4 + cut.index(bytes.len() - 4));
        }
        fs::write(&path, bytes).unwrap();
        let _ = read(&path, "stars");
    }
}
