//! One thread that writes for many that ask.

use std::ops::ControlFlow;
use std::sync::mpsc::channel;
use std::thread;

use regen_fusion::Sources;
use regen_lm::GenerateOptions;
use regen_narrator::{Detail, Error, Narrative, Narrator, Request};

use crate::world;

/// What a service moves about: the narrator to the thread that writes, the others between that and those that ask.
const _: () = {
    const fn moves<T: Send>() {}
    const fn is_shared<T: Send + Sync>() {}
    moves::<Narrator>();
    is_shared::<Request>();
    is_shared::<Narrative>();
    is_shared::<GenerateOptions>();
    is_shared::<Error>();
};

fn requests() -> Vec<Request> {
    world::examples().into_iter().step_by(5).map(|example| example.request).collect()
}

fn texts(narrator: &Narrator, requests: &[Request], batch: usize) -> Vec<String> {
    let options = GenerateOptions { max_new_tokens: 20, ..GenerateOptions::default() };
    let mut texts = vec![String::new(); requests.len()];
    let writer = narrator.writer().unwrap();
    let mut hear = |request: usize, piece: &str| {
        texts[request].push_str(piece);
        ControlFlow::Continue(())
    };
    writer.stream(requests, &options, batch, &mut hear).unwrap();
    texts
}

#[test]
fn a_narrator_that_moved_to_another_thread_writes_the_same_in_whatever_batches_requests_come() {
    let mut narrator = world::narrator(Sources::Fusion, 1);
    world::train(&mut narrator, 30);
    let here = texts(&narrator, &requests(), 100);
    let (ask, asked) = channel::<(Vec<Request>, std::sync::mpsc::Sender<Vec<String>>)>();
    let writing = thread::spawn(move || {
        for (requests, answer) in asked {
            answer.send(texts(&narrator, &requests, 100)).unwrap();
        }
    });
    let mut there = Vec::new();
    for some in requests().chunks(2) {
        let (answer, written) = channel();
        ask.send((some.to_vec(), answer)).unwrap();
        there.extend(written.recv().unwrap());
    }
    drop(ask);
    writing.join().unwrap();
    assert_eq!(there, here);
}

#[test]
fn a_request_that_would_have_its_batch_refused_is_found_before() {
    let narrator = world::narrator(Sources::Fusion, 1);
    let good = requests()[1].clone();
    let batch_of = |request: &Request| {
        let requests = [good.clone(), request.clone()];
        let options = GenerateOptions { max_new_tokens: 1, ..GenerateOptions::default() };
        narrator.narrate(&requests, &options, 2, &mut |_| ControlFlow::Continue(()))
    };
    let wrong = [
        Request { kind: "poem".into(), ..good.clone() },
        Request { target: Some(world::ITEMS as u32), ..good.clone() },
        Request { history: Vec::new(), target: None, ..good.clone() },
        Request { passage: vec!["a phrase".into()], ..good.clone() },
        Request { details: vec![Detail::default(); good.history.len() + 1], ..good.clone() },
    ];
    for request in &wrong {
        let (alone, beside) = (narrator.check_request(request).unwrap_err(), batch_of(request).unwrap_err());
        // People count from 1.
        assert_eq!(alone.to_string().replace("request 1 ", "request 2 "), beside.to_string());
    }
    narrator.check_request(&good).unwrap();
    assert_eq!(batch_of(&good).unwrap().len(), 2);
}
