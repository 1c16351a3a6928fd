//! What padding costs, and what packing several narratives into a row could save at most.
//!
//! The same examples of varying length go through training passes in three ways: in random batches, in batches of similar length
//! as the narrator's trainer makes them (sorted by length within a pool of batches), and as rows without any padding under a plain causal
//! mask. The last is more than packing could reach: it would also need a mask that keeps examples apart, and attention with a mask of
//! one's own is slower than causal attention.
//!
//! `cargo bench --bench padding`

use regen_lm::{Decoder, DecoderConfig, PaddingMask, masked_loss};
use regen_torch::seed;
use tch::{Device, Tensor, nn};

const VOCAB: i64 = 2048;
const EXAMPLES: usize = 256;
const BATCH: usize = 16;
const POOL: usize = 16;
const ROUNDS: usize = 2;
/// Tokens of a packed row, about the longest example.
const ROW: i64 = 256;

/// Prompts of 24 tokens before narratives whose lengths are log-normal with a median of 45 tokens.
fn lengths() -> Vec<i64> {
    let draws = seed::normal(&mut seed::rng(1, 0), &[EXAMPLES as i64], 0.6);
    let draws = Vec::<f32>::try_from(draws).expect("numbers");
    draws.iter().map(|z| (24.0 + 45.0 * f64::from(*z).exp()).min(ROW as f64) as i64).collect()
}

/// One forward and backward pass over rows of these lengths.
fn pass(decoder: &Decoder, lengths: &[i64]) {
    let seq = *lengths.iter().max().expect("rows");
    let all: Vec<i64> = (0..lengths.len() as i64 * (seq + 1)).map(|i| (i * 7919 + 3) % VOCAB).collect();
    let tokens = Tensor::from_slice(&all).view([lengths.len() as i64, seq + 1]);
    let mask = PaddingMask::right(lengths, seq).expect("a mask");
    let embeds = decoder.embed(&tokens.narrow(1, 0, seq)).expect("embeddings");
    let hidden = decoder.forward(&embeds, &mask, None).expect("hidden states");
    let chosen = mask.to_tensor(Device::Cpu).unwrap();
    masked_loss(decoder, &hidden, &tokens.narrow(1, 1, seq), &chosen).expect("a loss").backward();
}

/// Seconds that the processor worked for this process: what other programs on the machine do hardly moves them.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let after = stat.rsplit(')').next().expect("fields after the name");
    let ticks: f64 =
        after.split_whitespace().skip(11).take(2).map(|field| field.parse::<f64>().expect("a number")).sum();
    ticks / 100.0
}

fn main() {
    let vs = nn::VarStore::new(Device::Cpu);
    let config = DecoderConfig::preset("1m", VOCAB).expect("a preset");
    let decoder = Decoder::new(&vs.root(), &config, &mut seed::rng(1, 1)).expect("a model");
    let random = lengths();
    let tokens: i64 = random.iter().sum();
    let mut sorted = random.clone();
    sorted.chunks_mut(BATCH * POOL).for_each(|pool| pool.sort_unstable());
    let rows = vec![ROW; (tokens / ROW) as usize];
    let per_batch = (BATCH as i64 * tokens / EXAMPLES as i64 / ROW).max(1) as usize;
    let ways: [(&str, &[i64], usize); 3] = [
        ("random batches", &random, BATCH),
        ("batches of similar length", &sorted, BATCH),
        ("no padding, causal mask", &rows, per_batch),
    ];
    let mut seconds = [(); 3].map(|()| Vec::new());
    for _ in 0..ROUNDS {
        for ((_, lengths, batch), seconds) in ways.iter().zip(&mut seconds) {
            let start = processor_seconds();
            lengths.chunks(*batch).for_each(|rows| pass(&decoder, rows));
            seconds.push(processor_seconds() - start);
        }
    }
    println!("{EXAMPLES} examples, {tokens} tokens, of {} to {}", random.iter().min().expect("some"), ROW);
    for ((name, lengths, batch), mut seconds) in ways.into_iter().zip(seconds) {
        let computed: i64 =
            lengths.chunks(batch).map(|rows| rows.len() as i64 * rows.iter().max().expect("rows")).sum();
        let real: i64 = lengths.iter().sum();
        seconds.sort_by(f64::total_cmp);
        println!(
            "{name}: padding {:.1} %, {:.0} real tokens a second of the processor's ({:.2}-{:.2} s)",
            100.0 * (1.0 - real as f64 / computed as f64),
            real as f64 / seconds[ROUNDS / 2],
            seconds[0],
            seconds[ROUNDS - 1]
        );
    }
}
