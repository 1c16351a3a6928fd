//! BLEU, chrF and ROUGE on one thread, and the bootstrap, over 5,000 generated pairs of about 40 words.
//!
//! Comparisons with the Python originals are in `benches/peers/metrics.py`, which runs both in turns.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regen_metrics::{Bleu, Bootstrap, Chrf, Metric, Rouge, RougeVariant, Scored, measure};

const PAIRS: usize = 5_000;
const WORDS: usize = 40;

/// Words of Zipf-like frequency with endings that a stemmer takes off; hypotheses are edited references.
fn texts() -> (Vec<String>, Vec<String>) {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let endings = ["", "", "s", "ed", "ing", "ly", "ation", "ful", "ies"];
    let vocabulary: Vec<String> = (0..8_000)
        .map(|_| {
            let stem: String = (0..rng.random_range(2..7)).map(|_| rng.random_range('a'..='z')).collect();
            stem + endings[rng.random_range(0..endings.len())]
        })
        .collect();
    let word = |rng: &mut ChaCha8Rng| {
        let rank = (8_000f64.powf(rng.random::<f64>()) - 1.0) as usize;
        vocabulary[rank.min(vocabulary.len() - 1)].clone()
    };
    let sentence = |words: &[String]| {
        let mut text = words.join(" ");
        text.push('.');
        text
    };
    (0..PAIRS)
        .map(|_| {
            let reference: Vec<String> = (0..WORDS).map(|_| word(&mut rng)).collect();
            let hypothesis: Vec<String> = reference
                .iter()
                .map(|known| if rng.random_bool(0.6) { known.clone() } else { word(&mut rng) })
                .collect();
            (sentence(&hypothesis), sentence(&reference))
        })
        .unzip()
}

fn corpus(criterion: &mut Criterion) {
    let (hypotheses, references) = texts();
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let mut group = criterion.benchmark_group("metrics/corpus");
    group.throughput(Throughput::Elements(PAIRS as u64)).sample_size(20);
    fn add<M: Metric>(
        group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
        pool: &rayon::ThreadPool,
        texts: (&[String], &[String]),
        id: &str,
        metric: &M,
    ) {
        group.bench_function(format!("{id}/{PAIRS}x{WORDS}"), |bencher| {
            bencher.iter(|| {
                let measured = pool.install(|| measure(metric, texts.0, texts.1)).unwrap();
                assert!(measured.score().value() > 0.0);
            });
        });
    }
    let both = (hypotheses.as_slice(), references.as_slice());
    add(&mut group, &one, both, "bleu", &Bleu::default());
    add(&mut group, &one, both, "chrf", &Chrf::default());
    for (id, variant) in
        [("rouge1", RougeVariant::N(1)), ("rouge2", RougeVariant::N(2)), ("rougeL", RougeVariant::L)]
    {
        add(&mut group, &one, both, id, &Rouge::new(variant, false).unwrap());
        add(&mut group, &one, both, &format!("{id}-stemmer"), &Rouge::new(variant, true).unwrap());
    }
    group.finish();
}

fn bootstrap(criterion: &mut Criterion) {
    let (hypotheses, references) = texts();
    let measured = measure(&Bleu::default(), &hypotheses, &references).unwrap();
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let mut group = criterion.benchmark_group("metrics/bootstrap");
    group.sample_size(20).bench_function(format!("bleu/1000x{PAIRS}"), |bencher| {
        bencher.iter(|| {
            let interval = one.install(|| measured.interval(&Bootstrap::seeded(7))).unwrap();
            assert!(interval.low < interval.high);
        });
    });
    group.finish();
}

criterion_group!(benches, corpus, bootstrap);
criterion_main!(benches);
