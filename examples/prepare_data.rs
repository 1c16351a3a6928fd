//! From raw files to a prepared data folder with its data card; or a look at the fields of one file.
//!
//! ```text
//! cargo run --release --example prepare_data -- --reviews Gift_Cards_5.json --metadata meta_Gift_Cards.json --out out/gift_cards
//! cargo run --release --example prepare_data -- --data data/xrec --vertical google --out out/places
//! cargo run --release --example prepare_data -- --mapping shop.toml --out out/shop
//! cargo run --release --example prepare_data -- --inspect office.jsonl.gz
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{ArgGroup, Parser, ValueEnum};
use regen_data::mapping::Mapping;
use regen_data::prepared::TableFormat;
use regen_data::synthetic::SyntheticConfig;
use regen_data::xrec::{self, Vertical};
use regen_data::{
    BuildReport, DataCard, Dataset, Duplicates, Error, Inspection, Layout, OnError, Preference,
    ReviewsConfig, SourceFormat, detect, from_reviews, inspect, minionerec, prepared, recbole, sequences,
    training_interactions,
};
use regen_examples::cli::check_writable;
use regen_examples::pipeline;
use regen_examples::println;

/// Turns raw review files, or a folder of a known release, into a prepared data folder with a data card.
///
/// The folder holds users.txt, items.jsonl, interactions.csv, narratives.jsonl (or the same four as .parquet) and
/// dataset.json (with checksums), and card.html and card.json: what a person should know before using the data. Open
/// card.html in a browser.
#[derive(Parser)]
#[command(group = ArgGroup::new("input").required(true).args(["reviews", "mapping", "data", "synthetic", "inspect"]))]
struct Arguments {
    /// Amazon reviews (2014, 2018 or 2023; JSON lines; plain, gzip or zstd). Several files are read side by side.
    #[arg(long, num_args = 1..)]
    reviews: Vec<PathBuf>,
    /// Amazon product metadata for --reviews.
    #[arg(long, num_args = 1.., requires = "reviews")]
    metadata: Vec<PathBuf>,
    /// A TOML file that says which files hold your own catalogue and what their fields mean. It also says what the flags for
    /// reviews say (preference, duplicates, cores, bad records). See the README of regen-data.
    #[arg(long, conflicts_with_all = ["on_error", "min_stars", "stars_as_weight", "keep_duplicates", "user_core", "item_core"])]
    mapping: Option<PathBuf>,
    /// Folder of a known release: XRec, purchase sequences (NAME.inter.json), MiniOneRec (item.json), RecBole
    /// (NAME.inter), or a prepared folder.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Which vertical of the XRec release: amazon or google.
    #[arg(long, requires = "data")]
    vertical: Option<Vertical>,
    /// The synthetic office world, drawn from --seed; with a TOML file, one of other size, density or mixture (the fields of
    /// `SyntheticConfig`; a seed in the file counts). Its ground truth is written beside the data.
    #[arg(long, value_name = "FILE.toml")]
    synthetic: Option<Option<PathBuf>>,
    /// Show the fields of this file (JSON lines, JSON, CSV, TSV; plain or compressed) and stop.
    #[arg(long)]
    inspect: Option<PathBuf>,
    /// Records that --inspect looks at.
    #[arg(long, default_value_t = 10_000)]
    limit: u64,

    /// Lines that are no records: an error, or left out, counted and sampled in the card.
    #[arg(long, value_enum, default_value_t = BadLines::Fail)]
    on_error: BadLines,
    /// Fewest stars that count as a purchase; without it every review does.
    #[arg(long, conflicts_with = "stars_as_weight")]
    min_stars: Option<f32>,
    /// Weigh each purchase by its stars.
    #[arg(long)]
    stars_as_weight: bool,
    /// Keep repeated reviews of one item by one user; without it the latest stays.
    #[arg(long)]
    keep_duplicates: bool,
    /// Fewest distinct items of a user (k-core).
    #[arg(long, default_value_t = 1)]
    user_core: usize,
    /// Fewest distinct users of an item (k-core).
    #[arg(long, default_value_t = 1)]
    item_core: usize,

    /// Name of the data set [default: that of the release or of the output folder].
    #[arg(long)]
    name: Option<String>,
    /// Also divide the users (80, 10 and 10 % of those with narratives) with this seed, and write what a factorisation
    /// may see to training_interactions.csv and who stands where to split.json.
    #[arg(long, conflicts_with = "inspect")]
    split_seed: Option<u64>,
    /// Seed of --synthetic.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// How the tables are written: text, that everything reads, or parquet, columnar and compressed. The programs that take a
    /// prepared folder take either.
    #[arg(long, value_enum, default_value_t = Tables::Text)]
    format: Tables,
    /// Folder for the prepared data.
    #[arg(long, default_value = "out/data")]
    out: PathBuf,
    /// Print one JSON object as the last line of stdout.
    #[arg(long)]
    json: bool,
    /// No progress on stderr.
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Tables {
    Text,
    Parquet,
}

#[derive(Clone, Copy, ValueEnum)]
enum BadLines {
    Fail,
    Skip,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(path) = &arguments.inspect {
        let inspection = inspect(path, arguments.limit)?;
        print_fields(path, &inspection);
        if arguments.json {
            println!("{}", serde_json::to_string(&inspection)?);
        }
        return Ok(());
    }

    check_writable(&arguments.out)?;
    let start = Instant::now();
    let progress = |text: &str| {
        if !arguments.quiet {
            eprintln!("[{:6.2} s] {text}", start.elapsed().as_secs_f64());
        }
    };
    progress("reading");
    let (mut dataset, report) = read(&arguments)?;
    if let Some(name) = &arguments.name {
        dataset.name.clone_from(name);
    }
    check_not_empty(&dataset, report.as_ref())?;
    progress("counting");
    let card = DataCard::new(&dataset, report);
    progress("writing");
    let format = match arguments.format {
        Tables::Text => TableFormat::Text,
        Tables::Parquet => TableFormat::Parquet,
    };
    // Before anything is replaced: there may be too few users.
    let split = arguments.split_seed.map(|seed| pipeline::split(&dataset, seed)).transpose()?;
    // Of an older data set, they would be taken for those of this one.
    for stale in [pipeline::SPLIT, pipeline::TRAINING_INTERACTIONS].map(|name| arguments.out.join(name)) {
        if stale.exists() {
            fs::remove_file(&stale).with_context(|| format!("cannot replace {}", stale.display()))?;
            if split.is_none() {
                progress(&format!("removed {}, which divided older data", stale.display()));
            }
        }
    }
    prepared::write_as(&arguments.out, &dataset, Some(&card), format)?;
    if let (Some(split), Some(seed)) = (&split, arguments.split_seed) {
        let training = training_interactions(&dataset, split);
        prepared::write_interactions(
            arguments.out.join(pipeline::TRAINING_INTERACTIONS),
            &dataset,
            &training,
        )?;
        pipeline::write_split(&arguments.out, &dataset, split, seed)?;
    }
    progress("done");

    print_card(&card);
    if let Some(split) = &split {
        println!(
            "{:>12} users held out for validation, {} for test",
            split.validation().len(),
            split.test().len()
        );
    }
    println!("\nprepared folder  {}", arguments.out.display());
    println!("data card        {}", arguments.out.join("card.html").display());
    if split.is_some() {
        println!("for train_wals   {}", arguments.out.join(pipeline::TRAINING_INTERACTIONS).display());
    }
    if arguments.json {
        println!("{}", serde_json::to_string(&card)?);
    }
    Ok(())
}

fn read(arguments: &Arguments) -> Result<(Dataset, Option<BuildReport>)> {
    if let Some(file) = &arguments.synthetic {
        let config = synthetic_config(file.as_deref(), arguments.seed)?;
        let world = config.generate()?;
        fs::create_dir_all(&arguments.out)
            .with_context(|| format!("cannot create {}", arguments.out.display()))?;
        world.write_truth(&arguments.out, &config)?;
        return Ok((world.dataset, None));
    }
    if let Some(path) = &arguments.mapping {
        let mut mapping = Mapping::load(path)?;
        if mapping.name.is_none() {
            mapping.name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
        }
        let (dataset, report) = mapping.read()?;
        return Ok((dataset, Some(report)));
    }
    if let Some(folder) = &arguments.data {
        let found = detect(folder).map_err(|error| match error {
            Error::UnknownFormat { .. } => anyhow::Error::from(error).context(
                "raw Amazon files are given by --reviews and --metadata, tables of your own by --mapping",
            ),
            other => other.into(),
        })?;
        let dataset = match (found, arguments.vertical) {
            (SourceFormat::Xrec(found), Some(vertical)) if found.contains(&vertical) => {
                xrec::read(folder, vertical)?
            }
            (SourceFormat::Xrec(found), None) if found.len() == 1 => xrec::read(folder, found[0])?,
            (SourceFormat::Xrec(found), _) => {
                let found: Vec<_> = found.iter().map(|vertical| vertical.as_str()).collect();
                bail!("choose with --vertical one of those that the folder holds: {}", found.join(", "))
            }
            (_, Some(_)) => bail!("--vertical is for the XRec release, which {} is not", folder.display()),
            (SourceFormat::Sequences(_), None) => sequences::read(folder)?,
            (SourceFormat::MiniOneRec, None) => minionerec::read(folder)?,
            (SourceFormat::Recbole(_), None) => {
                let (dataset, report) = recbole::mapping(folder)?.read()?;
                return Ok((dataset, Some(report)));
            }
            (SourceFormat::Prepared, None) => prepared::read(folder)?,
            (other, None) => bail!("prepare_data does not read {other:?}"),
        };
        return Ok((dataset, None));
    }
    let config = ReviewsConfig {
        on_error: match arguments.on_error {
            BadLines::Fail => OnError::Fail,
            BadLines::Skip => OnError::Skip,
        },
        preference: match arguments.min_stars {
            Some(stars) => Preference::AtLeast(stars),
            None if arguments.stars_as_weight => Preference::Stars,
            None => Preference::Every,
        },
        duplicates: if arguments.keep_duplicates { Duplicates::Keep } else { Duplicates::Latest },
        user_core: arguments.user_core,
        item_core: arguments.item_core,
    };
    let name = arguments.out.file_name().map_or_else(|| "reviews".into(), |name| name.to_string_lossy());
    let (dataset, report) =
        from_reviews(&name, &arguments.reviews, &arguments.metadata, &config).map_err(in_words)?;
    if !arguments.metadata.is_empty() && dataset.catalogue.iter().all(Option::is_none) {
        eprintln!(
            "warning: --metadata knows none of the items that were reviewed: is it the products' own file?"
        );
    }
    Ok((dataset, Some(report)))
}

/// A line that is no review, with what can be done about it; other failures as they are.
fn in_words(error: Error) -> anyhow::Error {
    let advice = match &error {
        // The format is known by these fields: other files lack them in every line.
        Error::MissingField { .. } | Error::Json { .. } => {
            "a line is no Amazon review or product; --inspect FILE shows what fields a file has, --mapping reads tables and JSON lines \
             of any other, and --on-error skip leaves single bad lines out and counts them"
        }
        Error::InvalidField { .. } | Error::InvalidUtf8 { .. } | Error::LineTooLong { .. } => {
            "a bad line ends the reading; --on-error skip leaves such lines out and counts them"
        }
        _ => return error.into(),
    };
    anyhow::Error::from(error).context(advice)
}

/// A data set without purchases is a mistake in what was given, and none of the later stages can use it.
fn check_not_empty(dataset: &Dataset, report: Option<&BuildReport>) -> Result<()> {
    if !dataset.interactions.is_empty() {
        return Ok(());
    }
    let Some(report) = report else { bail!("the data hold no purchases") };
    let records: u64 = report.review_files.iter().map(|file| file.records).sum();
    let skipped: u64 = report.review_files.iter().map(|file| file.skipped.lines).sum();
    bail!(
        "no purchase is left of {records} records: {skipped} lines were bad, {} reviews had too few stars, and the cores removed \
         what else there was; --inspect FILE shows what fields a file has",
        report.not_preferred
    )
}

/// The world that a file describes; of no file, the default one.
fn synthetic_config(file: Option<&Path>, seed: u64) -> Result<SyntheticConfig> {
    let Some(file) = file else { return Ok(SyntheticConfig { seed, ..SyntheticConfig::default() }) };
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let no_world = || format!("{} does not describe a world", file.display());
    // From the text itself: what a table has become no longer knows in which line a mistake stands.
    let config: SyntheticConfig = toml::from_str(&text).with_context(no_world)?;
    let seeded = toml::from_str::<toml::Table>(&text).with_context(no_world)?.contains_key("seed");
    Ok(if seeded { config } else { SyntheticConfig { seed, ..config } })
}

fn print_card(card: &DataCard) {
    println!("{}", card.name);
    println!("{:>12} users", card.users);
    println!(
        "{:>12} items, {} with a title, {} with a price",
        card.items, card.catalogue.with_title, card.catalogue.with_price
    );
    println!("{:>12} interactions, density {:.4} %", card.interactions, 100.0 * card.density);
    let lengths = &card.history_lengths;
    println!(
        "{:>12} interactions of a user in the median, {:.1} in the mean, {} at most",
        lengths.median, lengths.mean, lengths.max
    );
    for narratives in &card.narratives {
        println!(
            "{:>12} {} of {} words in the median",
            narratives.words.count, narratives.kind, narratives.words.median
        );
    }
    if let Some(build) = &card.build {
        let skipped: u64 =
            build.review_files.iter().chain(&build.metadata_files).map(|file| file.skipped.lines).sum();
        println!(
            "{:>12} lines left out, {} repeated reviews, {} unreadable prices",
            skipped, build.duplicates, build.prices.unreadable
        );
    }
}

fn print_fields(path: &Path, inspection: &Inspection) {
    let more = if inspection.truncated { " (there are more)" } else { "" };
    println!("{}: {:?}, {} records{more}\n", path.display(), inspection.layout, inspection.records);
    // Real field names hold line breaks.
    let shown = |path: &str| path.split_whitespace().collect::<Vec<_>>().join(" ");
    let width =
        inspection.fields.iter().map(|field| shown(&field.path).chars().count()).max().unwrap_or(0).max(5);
    println!("{:width$}  missing  types", "field");
    for field in &inspection.fields {
        let types: Vec<String> = field.types.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let example = field.example.as_ref().map(|example| format!("  e.g. {example:?}")).unwrap_or_default();
        println!(
            "{:width$}  {:5.1} %  {}{example}",
            shown(&field.path),
            100.0 * field.missing_share(),
            types.join(", ")
        );
    }
    if let ([field], Layout::Csv) = (inspection.fields.as_slice(), inspection.layout)
        && let Some(separator) = [';', '|'].into_iter().find(|&separator| field.path.contains(separator))
    {
        println!(
            "\none column: if `{separator}` separates them, a mapping says table = {{ separator = \"{separator}\" }}"
        );
    }
}
