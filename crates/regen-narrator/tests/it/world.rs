//! A miniature world: seven items, whose text names a colour that only the semantic vector tells and a room that only
//! the collaborative vector tells.

use std::ops::ControlFlow;

use regen_fusion::{AdapterConfig, AdapterKind, DetailInputs, Normalisation, Sources};
use regen_lm::{DecoderConfig, GenerateOptions, TextTokenizer, train_bpe};
use regen_narrator::{
    Example, ItemIds, ItemTable, ItemTables, Memory, Narrator, NarratorConfig, Request, TableRates,
    TrainConfig, TrainPrecision, TrainReport, Trains, special_tokens,
};
use tch::Device;

pub(crate) const ITEMS: usize = 7;
const COLOURS: [&str; ITEMS] = ["red", "blue", "green", "black", "white", "pink", "grey"];
const ROOMS: [&str; 3] = ["kitchen", "office", "garden"];

pub(crate) fn kinds() -> Vec<String> {
    vec!["purchase_reason".to_owned(), "user_summary_short".to_owned()]
}

pub(crate) fn example(history: &[u32], target: u32) -> Example {
    let (colour, room) = (COLOURS[target as usize], ROOMS[target as usize % ROOMS.len()]);
    Example {
        request: Request {
            kind: kinds()[0].clone(),
            history: history.to_vec(),
            target: Some(target),
            ..Request::default()
        },
        text: format!("You chose the {colour} lamp for your {room}."),
    }
}

/// Every item as target after histories of different lengths.
pub(crate) fn examples() -> Vec<Example> {
    let mut all = Vec::new();
    for target in 0..ITEMS as u32 {
        for length in 0..4u32 {
            let history: Vec<u32> = (1..=length).map(|step| (target + step) % ITEMS as u32).collect();
            all.push(example(&history, target));
        }
    }
    all
}

/// Narratives of histories alone, of which the last purchase is to be told from those before it.
pub(crate) fn summaries() -> Vec<Example> {
    let mut all = Vec::new();
    for first in 0..ITEMS as u32 {
        for last in (0..3).filter(|last| *last != first) {
            let between = (first + last) % ITEMS as u32;
            let history = if last % 2 == 0 { vec![first, between, last] } else { vec![first, last] };
            all.push(Example {
                request: Request { kind: kinds()[1].clone(), history, target: None, ..Request::default() },
                text: format!("You ended with the {} lamp.", COLOURS[last as usize]),
            });
        }
    }
    all
}

pub(crate) fn tables() -> ItemTables {
    tables_of(1.5)
}

/// Of the same shape, with another collaborative side.
pub(crate) fn other_tables() -> ItemTables {
    tables_of(1.25)
}

fn tables_of(strength: f32) -> ItemTables {
    let mut cf = vec![0.0; ITEMS * 3];
    let mut semantic = vec![0.0; ITEMS * ITEMS];
    for item in 0..ITEMS {
        cf[item * 3 + item % 3] = strength;
        semantic[item * ITEMS + item] = 0.7;
    }
    let present = [true; ITEMS];
    let cf = ItemTable::new(&cf, 3, &present).unwrap();
    ItemTables::new(Some(cf), Some(ItemTable::new(&semantic, ITEMS, &present).unwrap())).unwrap()
}

pub(crate) fn ids() -> ItemIds {
    ItemIds::new((0..ITEMS).map(|item| format!("item-{item}"))).unwrap()
}

/// A decoder that learns in seconds.
pub(crate) fn decoder(vocabulary: i64) -> DecoderConfig {
    let mut decoder = DecoderConfig::preset("1m", vocabulary).unwrap();
    (decoder.hidden, decoder.layers, decoder.intermediate) = (48, 2, 64);
    (decoder.heads, decoder.kv_heads, decoder.head_dim) = (3, 1, 16);
    decoder.query_scale = 0.25;
    if let regen_lm::Positions::Rotary(rope) = &mut decoder.positions {
        rope.rotary_dim = 16;
    }
    decoder
}

pub(crate) fn narrator(sources: Sources, seed: u64) -> Narrator {
    narrator_with(sources, AdapterKind::Projection, seed)
}

pub(crate) fn narrator_with(sources: Sources, kind: AdapterKind, seed: u64) -> Narrator {
    let (config, tokenizer) = config_with(sources, kind);
    Narrator::new(config, tables(), ids(), tokenizer, Device::Cpu, seed).unwrap()
}

pub(crate) fn config_with(sources: Sources, kind: AdapterKind) -> (NarratorConfig, TextTokenizer) {
    let special = special_tokens(&kinds());
    let special: Vec<&str> = special.iter().map(String::as_str).collect();
    let texts = examples();
    let tokenizer = train_bpe(texts.iter().map(|e| e.text.as_str()), 330, &special).unwrap();
    let decoder = decoder(tokenizer.vocab_size());
    let adapter = AdapterConfig {
        sources,
        kind,
        normalisation: Normalisation::L2,
        cf_dim: 3,
        semantic_dim: ITEMS as i64,
        hidden: 48,
        tokens_per_item: 2,
        initial_rms: 0.02,
        details: DetailInputs::default(),
        user: false,
    };
    let config = NarratorConfig {
        adapter: Some(adapter),
        decoder,
        next_item: false,
        kinds: kinds(),
        max_history: 3,
        max_narrative_tokens: 20,
        passage: None,
        words: None,
        lora: None,
        injection: None,
    };
    (config, tokenizer)
}

pub(crate) fn training(steps: u64) -> TrainConfig {
    TrainConfig {
        steps,
        batch: 8,
        learning_rate: 4e-3,
        adapter_learning_rate: 4e-3,
        warmup_steps: 10,
        final_rate: 0.1,
        weight_decay: 0.01,
        clip_norm: 1.0,
        evaluate_every: 20,
        seed: 3,
        next_item: None,
        trains: Trains::All,
        patience: None,
        tables: TableRates::default(),
        memory: Memory::default(),
        precision: TrainPrecision::default(),
    }
}

pub(crate) fn train(narrator: &mut Narrator, steps: u64) -> TrainReport {
    narrator
        .train(&examples(), &examples()[..5], &training(steps), &mut |_| ControlFlow::Continue(()))
        .unwrap()
}

pub(crate) fn write(narrator: &Narrator, requests: &[Request], batch: usize) -> Vec<String> {
    let options = GenerateOptions { max_new_tokens: 20, ..GenerateOptions::default() };
    let written = narrator.narrate(requests, &options, batch, &mut |_| ControlFlow::Continue(())).unwrap();
    written.into_iter().map(Option::unwrap).collect()
}
