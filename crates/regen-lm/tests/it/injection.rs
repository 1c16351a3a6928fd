//! Vectors added to the states that enter some blocks: the same whether activations are kept or computed again, whether prompts are
//! read at once or before, by libtorch or with packed weights.

use std::ops::ControlFlow;

use regen_lm::generate::Generated;
use regen_lm::{
    BeamOptions, Decoder, DecoderInputs, Error, GenerateOptions, Injected, PaddingMask, Writer, masked_loss,
};
use regen_torch::seed;
use tch::{Device, Kind, Tensor};

use crate::support::{FAMILIES, golden, ids, load, masked_difference, max_difference};

fn family(name: &str) -> Decoder {
    load(&golden("families").join(name))
}

/// Soft tokens at the first positions of each row that are no padding, zeros elsewhere, for the first and the last block.
fn injected(decoder: &Decoder, mask: &PaddingMask, soft: i64) -> Vec<(usize, Tensor)> {
    let blocks = usize::try_from(decoder.config().layers).unwrap();
    let [batch, seq, hidden] = [mask.batch(), mask.seq(), decoder.config().hidden()];
    let real = mask.to_tensor(Device::Cpu).unwrap().to_kind(Kind::Int64);
    let among = real.cumsum(1, Kind::Int64).le(soft) * &real;
    let there = among.to_kind(Kind::Float).unsqueeze(-1);
    let vectors = |stream| seed::normal(&mut seed::rng(5, stream), &[batch, seq, hidden], 0.7) * &there;
    // Not in the order of blocks.
    vec![(blocks - 1, vectors(1)), (0, vectors(0))]
}

fn both<'a>(embeds: &'a Tensor, injected: &'a Injected) -> DecoderInputs<'a> {
    DecoderInputs { embeds, injected: Some(injected) }
}

#[test]
fn zeros_change_no_bit_and_what_is_added_before_the_first_block_is_added_to_the_embeddings() {
    for name in FAMILIES {
        let decoder = family(name);
        let mask = PaddingMask::left(&[7, 4], 7).unwrap();
        let embeds = decoder.embed(&ids(2, 7, decoder.config().vocab())).unwrap();
        let plain = decoder.forward(&embeds, &mask, None).unwrap();
        let mut added = injected(&decoder, &mask, 3);
        let with = |added: Vec<(usize, Tensor)>| {
            decoder.forward(both(&embeds, &Injected::new(added)), &mask, None).unwrap()
        };
        assert!(
            with(added.iter().map(|(at, one)| (*at, one.zeros_like())).collect()).equal(&plain),
            "{name}"
        );
        let (_, first) = added.pop().unwrap();
        let higher = &embeds + &first;
        let moved = decoder.forward(&higher, &mask, None).unwrap();
        assert!(masked_difference(&with(vec![(0, first)]), &moved, &mask) < 1e-6, "{name}");
        assert!(
            masked_difference(&with(added), &plain, &mask) > 1e-3,
            "{name}: the last block was not reached"
        );
    }
}

#[test]
fn reading_in_pieces_through_a_cache_equals_the_full_forward() {
    for name in FAMILIES {
        let decoder = family(name);
        for mask in [PaddingMask::left(&[9, 5], 9).unwrap(), PaddingMask::right(&[6, 9], 9).unwrap()] {
            let embeds = decoder.embed(&ids(2, 9, decoder.config().vocab())).unwrap();
            let added = Injected::new(injected(&decoder, &mask, 3));
            let whole = decoder.forward(both(&embeds, &added), &mask, None).unwrap();
            let real = mask.to_tensor(Device::Cpu).unwrap();
            let mut cache = decoder.new_cache(2, 9).unwrap();
            let (mut outputs, mut start) = (Vec::new(), 0);
            for piece in [2, 5, 1, 1] {
                let part = PaddingMask::from_tensor(&real.narrow(1, start, piece)).unwrap();
                let some = added.added().iter().map(|(at, one)| (*at, one.narrow(1, start, piece)));
                let (some, embeds) = (Injected::new(some.collect()), embeds.narrow(1, start, piece));
                outputs.push(decoder.forward(both(&embeds, &some), &part, Some(&mut cache)).unwrap());
                start += piece;
            }
            let difference = masked_difference(&Tensor::cat(&outputs, 1), &whole, &mask);
            assert!(difference < 1e-5, "{name}: {difference:e}");
        }
    }
}

fn options() -> GenerateOptions {
    GenerateOptions { max_new_tokens: 6, ..GenerateOptions::default() }
}

fn written(writer: &Writer<'_>, inputs: DecoderInputs<'_>, mask: &PaddingMask) -> Vec<Generated> {
    writer.generate_with(inputs, mask, &options(), |_, _| ControlFlow::Continue(())).unwrap()
}

fn same(got: &[Generated], expected: &[Generated], what: &str) {
    for (got, expected) in got.iter().zip(expected) {
        assert_eq!(got.ids, expected.ids, "{what}");
        for (got, expected) in got.log_probabilities.iter().zip(&expected.log_probabilities) {
            assert!((got - expected).abs() < 1e-4, "{what}: {got} {expected}");
        }
    }
}

/// The most probable continuation by whole passes: what was written before gets nothing added.
fn by_whole_passes(
    decoder: &Decoder,
    embeds: &Tensor,
    added: &Injected,
    mask: &PaddingMask,
) -> Vec<Vec<i64>> {
    let (batch, mut embeds) = (mask.batch(), embeds.shallow_clone());
    let mut real = mask.to_tensor(Device::Cpu).unwrap();
    let mut all: Vec<Vec<i64>> = vec![Vec::new(); batch as usize];
    for _ in 0..options().max_new_tokens {
        let seq = embeds.size()[1];
        let longer = |one: &Tensor| one.constant_pad_nd([0, 0, 0, seq - one.size()[1]]);
        let added = Injected::new(added.added().iter().map(|(at, one)| (*at, longer(one))).collect());
        let mask = PaddingMask::from_tensor(&real).unwrap();
        let hidden = decoder.forward(both(&embeds, &added), &mask, None).unwrap();
        let next = decoder.logits(&hidden.narrow(1, seq - 1, 1)).unwrap().argmax(-1, false);
        for (row, ids) in all.iter_mut().enumerate() {
            ids.push(next.int64_value(&[row as i64, 0]));
        }
        embeds = Tensor::cat(&[&embeds, &decoder.embed(&next).unwrap()], 1);
        real = Tensor::cat(&[&real, &Tensor::ones([batch, 1], (Kind::Bool, Device::Cpu))], 1);
    }
    all
}

#[test]
fn what_is_written_is_what_whole_passes_give_plain_or_packed_at_once_or_after_a_prefix() {
    for name in FAMILIES {
        let decoder = family(name);
        let mask = PaddingMask::left(&[8, 6], 8).unwrap();
        let embeds = decoder.embed(&ids(2, 8, decoder.config().vocab())).unwrap();
        let added = Injected::new(injected(&decoder, &mask, 3));
        let expected = by_whole_passes(&decoder, &embeds, &added, &mask);
        let plain = written(&Writer::plain(&decoder), both(&embeds, &added), &mask);
        let without = written(&Writer::plain(&decoder), (&embeds).into(), &mask);
        assert_ne!(plain, without, "{name}: what is added changes nothing");
        assert_eq!(plain.iter().map(|row| row.ids.clone()).collect::<Vec<_>>(), expected, "{name}");
        let writer = Writer::new(&decoder).unwrap();
        same(&written(&writer, both(&embeds, &added), &mask), &plain, name);

        // Everything that is added stands in the first six columns, which are read before.
        let real = mask.to_tensor(Device::Cpu).unwrap();
        let part = |start, columns| {
            let some = added.added().iter().map(|(at, one)| (*at, one.narrow(1, start, columns)));
            let mask = PaddingMask::from_tensor(&real.narrow(1, start, columns)).unwrap();
            (embeds.narrow(1, start, columns), Injected::new(some.collect()), mask)
        };
        let ((begin, some, before), (end, nothing, after)) = (part(0, 6), part(6, 2));
        assert!(nothing.added().iter().all(|(_, one)| one.abs().max().double_value(&[]) == 0.0));
        for writer in [&Writer::plain(&decoder), &writer] {
            let prefix = writer.read_prefix(both(&begin, &some), &before).unwrap();
            same(&written(&writer.after(&prefix, &[0, 1]), (&end).into(), &after), &plain, name);
            let beam = BeamOptions::best_of(2);
            let found = writer.beam_search(both(&embeds, &added), &mask, &options(), &beam, None).unwrap();
            let other = Writer::plain(&decoder);
            let whole = other.beam_search(both(&embeds, &added), &mask, &options(), &beam, None).unwrap();
            for (found, whole) in found.iter().zip(&whole) {
                assert_eq!(found[0].ids, whole[0].ids, "{name}");
            }
        }
    }
}

/// Embeddings and what is added come from the same numbers, as those of an adapter do.
#[test]
fn gradients_of_what_is_added_flow_and_are_the_same_when_activations_are_computed_again() {
    for name in FAMILIES {
        for frozen in [false, true] {
            let mut decoder = family(name);
            decoder.set_trainable(!frozen);
            let (vocab, hidden) = (decoder.config().vocab(), decoder.config().hidden());
            let mask = PaddingMask::right(&[8, 5], 8).unwrap();
            let tokens = ids(2, 9, vocab);
            let targets = tokens.narrow(1, 1, 8);
            let chosen = mask.to_tensor(Device::Cpu).unwrap();
            let blocks = usize::try_from(decoder.config().layers).unwrap();
            let leaf = |stream, shape: &[i64], scale| {
                seed::normal(&mut seed::rng(3, stream), shape, scale).set_requires_grad(true)
            };
            let mut leaves = [
                ("source", leaf(1, &[2, 2, hidden], 0.5)),
                ("first", leaf(2, &[hidden, hidden], 0.1)),
                ("last", leaf(3, &[hidden, hidden], 0.1)),
            ];
            let mut run = |recompute: bool| {
                leaves.iter_mut().for_each(|(_, leaf)| leaf.zero_grad());
                for (_, tensor) in decoder.parameters() {
                    tensor.shallow_clone().zero_grad();
                }
                let soft = leaves[0].1.tanh();
                let text = decoder.embed(&tokens.narrow(1, 2, 6)).unwrap();
                let embeds = Tensor::cat(&[&soft, &text], 1);
                let wide =
                    |weight: &Tensor| soft.linear(weight, None::<&Tensor>).constant_pad_nd([0, 0, 0, 6]);
                let added = Injected::new(vec![(0, wide(&leaves[1].1)), (blocks - 1, wide(&leaves[2].1))]);
                let inputs = both(&embeds, &added);
                let loss_of = |hidden: &Tensor| masked_loss(&decoder, hidden, &targets, &chosen).unwrap();
                if recompute {
                    let pass = decoder.forward_recomputed(inputs, &mask, None).unwrap();
                    let loss = loss_of(pass.hidden());
                    pass.backward(&loss).unwrap();
                } else {
                    loss_of(&decoder.forward_training(inputs, &mask, None).unwrap()).backward();
                }
                let own = leaves.iter().map(|(name, leaf)| ((*name).to_owned(), leaf.grad()));
                let of_decoder = decoder.parameters().iter().map(|(name, one)| (name.clone(), one.grad()));
                let all = own.chain(of_decoder).filter(|(_, grad)| grad.defined());
                all.map(|(name, grad)| (name, grad.copy())).collect::<Vec<_>>()
            };
            let (plain, again) = (run(false), run(true));
            assert_eq!(plain.len(), again.len(), "{name}");
            assert_eq!(plain.len(), if frozen { 3 } else { 3 + decoder.parameters().len() }, "{name}");
            for ((part, plain), (_, again)) in plain.iter().zip(&again) {
                let size = plain.abs().max().double_value(&[]);
                let difference = max_difference(plain, again);
                assert!(difference <= 1e-5 * size.max(1e-6), "{name} {part}: {difference:e} of {size:e}");
                assert!(size > 0.0 || !["source", "first", "last"].contains(&part.as_str()), "{name} {part}");
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let decoder = family("llama3");
    let embeds = decoder.embed(&ids(2, 4, 61)).unwrap();
    let mask = PaddingMask::full(2, 4);
    let writer = Writer::new(&decoder).unwrap();
    let refuse = |added: Vec<(usize, Tensor)>| {
        let added = Injected::new(added);
        let error = decoder.forward(both(&embeds, &added), &mask, None).unwrap_err();
        let written = writer.generate(both(&embeds, &added), &mask, &options()).unwrap_err();
        assert_eq!(written.to_string(), error.to_string());
        error
    };
    let fits = || embeds.zeros_like();
    for added in [vec![(99, fits())], vec![(1, fits()), (1, fits())]] {
        assert!(matches!(refuse(added), Error::Argument { what: "injected block", .. }));
    }
    let error = refuse(vec![(0, fits().narrow(1, 0, 3))]);
    assert!(error.to_string().contains("injected vectors"), "{error}");
    assert!(matches!(refuse(vec![(0, fits().to_kind(Kind::Double))]), Error::Kind { .. }));
}
