//! Narrators that read text: words that training never saw come from the passage.

use std::ops::ControlFlow;

use regen_lm::{BeamOptions, DecoderConfig, GenerateOptions, train_bpe};
use regen_narrator::{
    Error, Example, ItemIds, ItemTables, Narrator, NarratorConfig, PassageConfig, Request, special_tokens,
};
use tch::Device;

use crate::world;

/// Made-up names: no two share their syllables in the same order.
fn name(index: usize) -> String {
    const SYLLABLES: [&str; 12] =
        ["ba", "ko", "ri", "ten", "lu", "mos", "fi", "gar", "vel", "zu", "pen", "do"];
    let (first, second) = (index / 11, index % 11);
    // The second is never the first, so that no name is a repetition.
    format!("{}{}", SYLLABLES[first % 12], SYLLABLES[(first + 1 + second) % 12])
}

fn example(index: usize) -> Example {
    let request = Request {
        kind: world::kinds()[0].clone(),
        history: Vec::new(),
        target: None,
        passage: vec!["sold out".to_owned(), name(index)],
        ..Request::default()
    };
    Example { request, text: format!("You chose the {} lamp.", name(index)) }
}

fn narrator(passage: Option<PassageConfig>) -> Narrator {
    let special = special_tokens(&world::kinds());
    let special: Vec<&str> = special.iter().map(String::as_str).collect();
    let texts: Vec<String> = (0..120).map(|index| example(index).text).collect();
    let tokenizer = train_bpe(texts.iter().map(String::as_str), 320, &special).unwrap();
    let decoder = DecoderConfig { max_positions: 64, ..world::decoder(tokenizer.vocab_size()) };
    let config = NarratorConfig {
        adapter: None,
        decoder,
        next_item: false,
        kinds: world::kinds(),
        max_history: 1,
        max_narrative_tokens: 20,
        passage,
        words: None,
        lora: None,
        injection: None,
    };
    Narrator::new(config, ItemTables::none(), ItemIds::default(), tokenizer, Device::Cpu, 1).unwrap()
}

const READS: PassageConfig = PassageConfig { max_tokens: 24, copy_width: 16 };

fn trained() -> Narrator {
    let mut narrator = narrator(Some(READS));
    let training: Vec<Example> = (0..120).filter(|index| index % 6 != 0).map(example).collect();
    narrator.train(&training, &[], &world::training(220), &mut |_| ControlFlow::Continue(())).unwrap();
    narrator
}

#[test]
fn a_name_that_training_never_saw_is_copied_from_the_passage_and_survives_saving() {
    let narrator = trained();
    let unseen: Vec<Example> = (0..120).step_by(6).map(example).collect();
    let requests: Vec<Request> = unseen.iter().map(|example| example.request.clone()).collect();
    let written = world::write(&narrator, &requests, 7);
    let right = written.iter().zip(&unseen).filter(|(text, example)| **text == example.text).count();
    assert!(right >= 18, "{right} of 20 names are copied: {written:?}");
    // A beam takes its words along.
    let options = GenerateOptions { max_new_tokens: 20, ..GenerateOptions::default() };
    let best = narrator
        .writer()
        .unwrap()
        .search(&requests, &options, &BeamOptions::best_of(3), 7, &mut |_| ControlFlow::Continue(()))
        .unwrap();
    let found =
        best.iter().zip(&unseen).filter(|(best, example)| best.as_ref().unwrap()[0].text == example.text);
    assert!(found.count() >= right, "{best:?}");

    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("narrator");
    narrator.save(&folder).unwrap();
    assert!(!folder.join("items.safetensors").exists() && !folder.join("adapter.safetensors").exists());
    let opened = Narrator::open(&folder, Device::Cpu).unwrap();
    assert_eq!(world::write(&opened, &requests, 7), written);
}

#[test]
fn a_passage_is_cut_and_may_be_empty() {
    let narrator = narrator(Some(READS));
    let long = Request { passage: vec!["word".repeat(400); 3], ..example(0).request };
    let empty = Request { passage: Vec::new(), ..example(0).request };
    let blank = Request { passage: vec![String::new()], ..example(0).request };
    assert_eq!(world::write(&narrator, &[long, empty, blank], 3).len(), 3);
}

#[test]
fn passages_and_items_that_a_narrator_cannot_read_are_refused() {
    let vectors_only = world::narrator(regen_fusion::Sources::Fusion, 1);
    let with_text = Request { passage: vec!["a".into()], ..world::example(&[1], 2).request };
    let refused =
        vectors_only.narrate(&[with_text], &Default::default(), 1, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(refused, Err(Error::UnreadPassage { request: 0 })));

    let text_only = narrator(Some(READS));
    let with_item = Request { target: Some(0), ..example(0).request };
    let refused = text_only.loss(&[Example { request: with_item, text: "x".into() }], 1);
    assert!(matches!(refused, Err(Error::UnknownItem { items: 0, .. })));
    assert!(matches!(text_only.attribution(&[example(0).request]), Err(Error::NoAdapter)));
}

#[test]
fn a_narrator_without_items_and_text_is_refused_per_request() {
    let refused = narrator(None).loss(
        &[Example { request: Request { passage: Vec::new(), ..example(0).request }, text: "x".into() }],
        1,
    );
    assert!(matches!(refused, Err(Error::EmptyRequest { request: 0 })));
}
