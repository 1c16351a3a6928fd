//! Keys and values in bfloat16: half the memory, and nearly the same probabilities, however the writer writes.

use std::ops::ControlFlow;

use regen_lm::{BeamOptions, CacheStorage, Decoder, GenerateOptions, PaddingMask, Writer};
use tch::Tensor;

use crate::support::{golden, ids, load, random_model, small_config};

/// Three prompts, padded on the left.
fn prompts(decoder: &Decoder, seq: i64) -> (Tensor, PaddingMask) {
    let embeds = decoder.embed(&ids(3, seq, decoder.config().vocab())).unwrap();
    (embeds, PaddingMask::left(&[seq, 2, seq - 1], seq).unwrap())
}

/// Both kinds of cache, with the same weights; nothing where there are no packed weights.
fn writers(decoder: &Decoder) -> Option<[Writer<'_>; 2]> {
    let make = |cache| Writer::new(decoder).unwrap().with_cache(cache);
    Some([CacheStorage::F32, CacheStorage::Bf16].map(make)).filter(|[writer, _]| writer.is_packed())
}

/// Largest difference of log-probabilities, as long as both write alike.
fn error(decoder: &Decoder, seq: i64) -> Option<f32> {
    let (embeds, mask) = prompts(decoder, seq);
    let options = GenerateOptions { max_new_tokens: 12, ..GenerateOptions::default() };
    let go_on = |_, _| ControlFlow::Continue(());
    let [whole, light] =
        writers(decoder)?.map(|writer| writer.generate_with(&embeds, &mask, &options, go_on).unwrap());
    let rows = whole.iter().zip(&light).map(|(whole, light)| {
        let same = whole.ids.iter().zip(&light.ids).take_while(|(whole, light)| whole == light).count();
        let pairs = whole.log_probabilities.iter().zip(&light.log_probabilities).take(same);
        pairs.map(|(whole, light)| (whole - light).abs()).fold(0.0f32, f32::max)
    });
    Some(rows.fold(0.0, f32::max))
}

#[test]
fn probabilities_stay_nearly_the_same_in_every_family() {
    for family in ["llama", "gemma2", "gemma3", "gpt2", "mistral", "phi3", "qwen3"] {
        let decoder = load(&golden("families").join(family));
        // Few tokens, which go through attention one by one, and many, which go through tiles.
        for seq in [6, 24] {
            let Some(error) = error(&decoder, seq) else { return };
            assert!(error > 0.0 && error < 0.05, "{family} {seq}: {error}");
        }
    }
}

#[test]
fn keys_and_values_take_half_the_memory() {
    let (_vs, decoder) = random_model(&small_config(), 5);
    let Some(both) = writers(&decoder) else { return };
    let (embeds, mask) = prompts(&decoder, 7);
    let [whole, light] = both.map(|writer| {
        let bytes = writer.read_prefix(&embeds, &mask).unwrap().packed_bytes().unwrap();
        assert_eq!(writer.cache_bytes(3, 7), bytes, "what it says beforehand");
        bytes
    });
    // Rows of 7 tokens, 2 layers of 3 key heads of 4 numbers, keys and values.
    assert_eq!((whole, light), (3 * 7 * 2 * 3 * 4 * 2 * 4, 3 * 7 * 2 * 3 * 4 * 2 * 2));
}

#[test]
fn what_was_read_before_and_what_leaves_change_nothing() {
    let (_vs, decoder) = random_model(&small_config(), 5);
    let Some([_, light]) = writers(&decoder) else { return };
    let (embeds, mask) = prompts(&decoder, 8);
    // Rows that end at different steps, and beams that are copied.
    let options =
        GenerateOptions { max_new_tokens: 10, stop: vec![3, 11, 17, 40], ..GenerateOptions::default() };
    let whole = light.generate(&embeds, &mask, &options).unwrap();
    for row in 0..3i64 {
        let seq = mask.real_tokens(row as usize);
        let own = embeds.narrow(0, row, 1).narrow(1, 8 - seq, seq);
        let alone = light.generate(&own, &PaddingMask::full(1, seq), &options).unwrap();
        assert_eq!(alone[0], whole[row as usize], "row {row} alone");
        let begin = light.read_prefix(&own.narrow(1, 0, seq - 1), &PaddingMask::full(1, seq - 1)).unwrap();
        let rest = own.narrow(1, seq - 1, 1);
        let after = light.after(&begin, &[0]);
        assert_eq!(
            after.generate(&rest, &PaddingMask::full(1, 1), &options).unwrap()[0],
            whole[row as usize]
        );
        let beams = BeamOptions::best_of(3);
        let options = GenerateOptions { max_new_tokens: 6, ..GenerateOptions::default() };
        let together = light.beam_search(&embeds, &mask, &options, &beams, None).unwrap();
        let alone = after.beam_search(&rest, &PaddingMask::full(1, 1), &options, &beams, None).unwrap();
        let ids =
            |found: &[regen_lm::Hypothesis]| found.iter().map(|text| text.ids.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&alone[0]), ids(&together[row as usize]), "beams of row {row}");
    }
}

#[test]
fn a_writer_without_packed_weights_writes_as_before() {
    let (_vs, decoder) = random_model(&small_config(), 5);
    let (embeds, mask) = prompts(&decoder, 7);
    let options = GenerateOptions { max_new_tokens: 8, ..GenerateOptions::default() };
    let plain = Writer::plain(&decoder).generate(&embeds, &mask, &options).unwrap();
    let light = Writer::plain(&decoder).with_cache(CacheStorage::Bf16);
    assert_eq!(light.generate(&embeds, &mask, &options).unwrap(), plain);
    assert_eq!(light.read_prefix(&embeds, &mask).unwrap().packed_bytes(), None);
    assert_eq!(light.cache_bytes(3, 7), 3 * 7 * 2 * 3 * 4 * 2 * 4);
}
