//! Narratives piece by piece, at random, and by a writer that is kept.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;

use regen_fusion::Sources;
use regen_lm::{BeamOptions, CacheStorage, Ending, GenerateOptions, Sampling, Storage};
use regen_narrator::{Error, Narrative, NarrativeWriter, Narrator, Request, Withheld};

use crate::world;

fn trained() -> Narrator {
    let mut narrator = world::narrator(Sources::Fusion, 1);
    world::train(&mut narrator, 30);
    narrator
}

fn requests() -> Vec<Request> {
    let all = world::examples().into_iter().chain(world::summaries());
    all.map(|example| example.request).step_by(3).collect()
}

fn options() -> GenerateOptions {
    GenerateOptions { max_new_tokens: 20, ..GenerateOptions::default() }
}

fn whole(writer: &NarrativeWriter<'_>, options: &GenerateOptions, batch: usize) -> Vec<Narrative> {
    let written = writer.narrate(&requests(), options, batch, &mut |_| ControlFlow::Continue(())).unwrap();
    written.into_iter().map(Option::unwrap).collect()
}

#[test]
fn the_pieces_of_a_narrative_add_up_to_its_text() {
    let narrator = trained();
    let writer = narrator.writer().unwrap();
    let texts = narrator.narrate(&requests(), &options(), 4, &mut |_| ControlFlow::Continue(())).unwrap();
    for batch in [1, 5, 100] {
        let mut pieces = vec![Vec::new(); requests().len()];
        let narratives = writer
            .stream(&requests(), &options(), batch, &mut |request, piece| {
                pieces[request].push(piece.to_owned());
                ControlFlow::Continue(())
            })
            .unwrap();
        for ((narrative, pieces), text) in narratives.iter().zip(pieces).zip(&texts) {
            assert_eq!(pieces.concat(), narrative.text);
            assert_eq!(Some(&narrative.text), text.as_ref());
            assert!(pieces.len() > 3 || narrative.tokens < 6, "{pieces:?} came at once");
        }
        assert!(narratives.iter().any(|narrative| narrative.ending.is_own()));
        assert!(narratives.iter().all(|narrative| narrative.mean_log_probability < 0.0));
    }
}

#[test]
fn a_narrative_ends_where_its_reader_has_enough_and_the_others_go_on() {
    let narrator = trained();
    let writer = narrator.writer().unwrap();
    let full = whole(&writer, &options(), 4);
    let mut read = 0;
    let cut = writer
        .stream(&requests(), &options(), 4, &mut |request, _| {
            read += usize::from(request == 2);
            if request == 2 && read == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    for (request, (cut, full)) in cut.iter().zip(&full).enumerate() {
        assert_eq!(cut == full, request != 2);
        assert_eq!(cut.ending == Ending::Caller, request == 2);
        assert!(full.text.starts_with(&cut.text));
    }
    assert_eq!(read, 2);
}

/// Requests are put into another order for the sake of their lengths, which must not move their draws.
#[test]
fn random_draws_of_a_request_do_not_depend_on_those_beside_it() {
    let narrator = trained();
    let writer = narrator.writer().unwrap();
    let sampling =
        Sampling::Sample { temperature: 1.5, top_k: NonZeroUsize::new(50), top_p: None, min_p: None };
    let options = GenerateOptions { sampling, seed: 5, ..options() };
    let together = whole(&writer, &options, 100);
    assert_eq!(whole(&writer, &options, 3), together);
    for (index, request) in requests().into_iter().enumerate() {
        let alone = GenerateOptions { row_streams: Some(vec![index as u64]), ..options.clone() };
        let written = writer.narrate(&[request], &alone, 1, &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(written[0].as_ref().unwrap().text, together[index].text);
    }
    let other = GenerateOptions { seed: 6, ..options.clone() };
    assert_ne!(whole(&writer, &other, 100), together);
    let streams = GenerateOptions { row_streams: Some(vec![1]), ..options };
    let error = writer.narrate(&requests(), &streams, 4, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, Error::Lm(regen_lm::Error::Argument { what: "row_streams", .. })), "{error}");
}

#[test]
fn a_writer_with_rounded_weights_writes_nearly_the_same() {
    let narrator = trained();
    let exact = whole(&narrator.writer().unwrap(), &options(), 8);
    for (storage, tolerance) in [(Storage::F32, 1e-5), (Storage::Bf16, 0.05), (Storage::Int8, 0.05)] {
        let rounded = whole(&narrator.writer_with(storage).unwrap(), &options(), 8);
        let same = exact.iter().zip(&rounded).filter(|(a, b)| a.text == b.text);
        let near = same.filter(|(a, b)| (a.mean_log_probability - b.mean_log_probability).abs() < tolerance);
        assert!(near.count() * 4 >= exact.len() * 3, "{storage:?}");
    }
}

#[test]
fn a_search_gives_the_best_narratives_first_and_one_beam_is_the_greedy_one() {
    let narrator = trained();
    let writer = narrator.writer().unwrap();
    let search = |beam: &BeamOptions, batch| {
        let found = writer.search(&requests(), &options(), beam, batch, &mut |_| ControlFlow::Continue(()));
        found.unwrap().into_iter().map(Option::unwrap).collect::<Vec<_>>()
    };
    let greedy = whole(&writer, &options(), 4);
    for (found, greedy) in search(&BeamOptions::best_of(1), 4).iter().zip(&greedy) {
        assert_eq!(found[0].text, greedy.text);
    }
    let beam = BeamOptions { keep: 3, ..BeamOptions::best_of(4) };
    let found = search(&beam, 5);
    assert_eq!(search(&beam, 100), found);
    for narratives in &found {
        assert_eq!(narratives.len(), 3);
        let texts: std::collections::HashSet<&str> = narratives.iter().map(|one| one.text.as_str()).collect();
        assert!(texts.len() > 1, "{narratives:?}");
    }
    let none = BeamOptions { beams: 0, ..beam };
    let error = writer.search(&requests(), &options(), &none, 4, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(error.unwrap_err(), Error::Lm(regen_lm::Error::Argument { .. })));
}

#[test]
fn nothing_asked_for_is_nothing_written() {
    let narrator = world::narrator(Sources::Cf, 1);
    let mut go_on = |_| ControlFlow::Continue(());
    assert!(narrator.narrate(&[], &options(), 4, &mut go_on).unwrap().is_empty());
    let stream = narrator.writer().unwrap().stream(&[], &options(), 4, &mut |_, _| ControlFlow::Continue(()));
    assert!(stream.unwrap().is_empty());
}

#[test]
fn what_is_withheld_changes_narratives() {
    let narrator = trained();
    let plain = whole(&narrator.writer().unwrap(), &options(), 4);
    let without = |withheld| whole(&narrator.writer().unwrap().without(withheld), &options(), 4);
    assert_eq!(without(Withheld::Nothing), plain);
    for withheld in [Withheld::Cf, Withheld::Semantic, Withheld::Vectors] {
        assert_ne!(without(withheld), plain, "{withheld:?}");
    }
}

#[test]
fn a_writer_tells_beforehand_what_keys_and_values_will_take_and_halves_it_in_bfloat16() {
    let narrator = trained();
    let writer = narrator.writer().unwrap();
    let whole = writer.cache_bytes(&requests(), &options(), 4).unwrap();
    assert_eq!(writer.cache_bytes(&requests(), &options(), 8).unwrap(), 2 * whole);
    let narratives = self::whole(&writer, &options(), 4);
    let light = narrator.writer().unwrap().with_cache(CacheStorage::Bf16);
    let bytes = light.cache_bytes(&requests(), &options(), 4).unwrap();
    assert_eq!(bytes, if light.is_packed() { whole / 2 } else { whole });
    // Rounding moves what is written little.
    let close = self::whole(&light, &options(), 4);
    let moved = |(a, b): (&Narrative, &Narrative)| (a.mean_log_probability - b.mean_log_probability).abs();
    assert!(narratives.iter().zip(&close).all(|pair| moved(pair) < 0.5), "{narratives:?} {close:?}");
    if light.is_packed() {
        assert_ne!(narratives, close, "keys and values are rounded");
    }
}
