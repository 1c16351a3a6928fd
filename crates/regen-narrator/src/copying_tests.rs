//! The mixture is one distribution: while training over a whole narrative, and while writing step by step.

use regen_lm::{DecoderConfig, PaddingMask, train_bpe};
use tch::Device;

use super::*;
use crate::prompt::Padding;
use crate::{Example, ItemIds, ItemTables, Narrator, NarratorConfig, PassageConfig, Request, special_tokens};

fn narrator() -> Narrator {
    let kinds = vec!["purchase_reason".to_owned()];
    let special = special_tokens(&kinds);
    let special: Vec<&str> = special.iter().map(String::as_str).collect();
    let tokenizer = train_bpe(["You chose the lamp."].into_iter(), 280, &special).unwrap();
    let decoder = DecoderConfig::preset("1m", tokenizer.vocab_size()).unwrap();
    let passage = Some(PassageConfig { max_tokens: 16, copy_width: 8 });
    let config = NarratorConfig {
        adapter: None,
        decoder,
        next_item: false,
        kinds,
        max_history: 1,
        max_narrative_tokens: 20,
        passage,
        words: None,
        lora: None,
        injection: None,
    };
    Narrator::new(config, ItemTables::none(), ItemIds::default(), tokenizer, Device::Cpu, 5).unwrap()
}

fn example(passage: &[&str], text: &str) -> Example {
    let passage = passage.iter().map(|&phrase| phrase.to_owned()).collect();
    let request = Request {
        kind: "purchase_reason".into(),
        history: Vec::new(),
        target: None,
        passage,
        ..Request::default()
    };
    Example { request, text: text.to_owned() }
}

/// The log-probability of each token of an answer, one step after the other, as it is when narratives are written.
fn stepwise(narrator: &Narrator, example: &Example, beside: &Example) -> Vec<f64> {
    let answer = narrator.tokenizer.encode(&example.text).unwrap();
    let prompts = narrator.prompts(&[beside.request.clone(), example.request.clone()]).unwrap();
    let batch = narrator.batch(&prompts.iter().collect::<Vec<_>>(), Padding::Left).unwrap();
    let (decoder, head) = (&narrator.decoder, narrator.copying.as_ref().unwrap());
    let mut copying = Copying::new(head, &batch);
    let capacity = batch.mask.seq() + answer.len() as i64 + 1;
    let mut cache = decoder.new_cache(2, capacity).unwrap();
    let hidden = decoder
        .forward(
            &narrator.embeddings(&batch, crate::Withheld::Nothing).unwrap(),
            &batch.mask,
            Some(&mut cache),
        )
        .unwrap();
    copying.prompt(&hidden).unwrap();
    let mut last = hidden.narrow(1, batch.mask.seq() - 1, 1);
    let mut row = 1;
    let mut found = Vec::new();
    for (step, &id) in answer.iter().chain([&narrator.tokens.eos]).enumerate() {
        let scores =
            copying.scores(&last, decoder.logits(&last).unwrap()).unwrap().log_softmax(-1, Kind::Double);
        found.push(scores.double_value(&[row, 0, id]));
        if step == 0 {
            // The row beside it ends at once.
            copying.chosen(&[1], &[id]).unwrap();
            cache.select_rows(&[1]).unwrap();
            row = 0;
        } else {
            copying.chosen(&[0], &[id]).unwrap();
        }
        let embeds = decoder.embed(&Tensor::from_slice(&[id]).reshape([1, 1])).unwrap();
        last = decoder.forward(&embeds, &PaddingMask::full(1, 1), Some(&mut cache)).unwrap();
    }
    found
}

#[test]
fn narratives_are_written_with_the_probabilities_that_were_trained() {
    let _guard = tch::no_grad_guard();
    let narrator = narrator();
    let beside = example(&["a", "much longer passage than that"], "lamp");
    for passage in [&["zebra", "red lamp zebra"][..], &[]] {
        // A word of the passage twice, so that what was written before counts.
        let example = example(passage, "zebra, zebra");
        let trained = narrator.loss(std::slice::from_ref(&example), 1).unwrap();
        let steps = stepwise(&narrator, &example, &beside);
        let written = -steps.iter().sum::<f64>() / steps.len() as f64;
        assert!((trained - written).abs() < 1e-5, "{trained} in training, {written} step by step");
    }
}

#[test]
fn what_was_written_is_known_from_the_next_position_on() {
    let ids = Tensor::from_slice(&[9i64, 7, 9, 8, 7]).reshape([1, 5]);
    // The narrative is the last three ids.
    let loss_mask = Tensor::from_slice(&[false, true, true, true, false]).reshape([1, 5]);
    let again = written_before(&ids, &loss_mask).unwrap();
    let expected = [[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [1, 0, 1, 0, 0], [1, 0, 1, 1, 0], [1, 1, 1, 1, 1]];
    for (position, row) in expected.into_iter().enumerate() {
        let found = Vec::<bool>::try_from(again.get(0).get(position as i64)).unwrap();
        assert_eq!(found, row.map(|seen| seen == 1), "position {position}");
    }
}

#[test]
fn without_a_passage_nothing_is_copied() {
    let _guard = tch::no_grad_guard();
    let narrator = narrator();
    let head = narrator.copying.as_ref().unwrap();
    let hidden = Tensor::ones([2, 3, narrator.config.decoder.hidden()], (Kind::Float, Device::Cpu));
    let any = Tensor::from_slice(&[true, false]).reshape([2, 1]);
    let (copy, write) = head.gates(&hidden, &any.expand([2, 3], false)).unwrap();
    assert!(copy.exp().get(0).double_value(&[0]) > 0.0);
    assert_eq!((copy.exp().get(1).double_value(&[0]), write.get(1).double_value(&[0])), (0.0, 0.0));
}
