//! A journal answers what it knows, survives being cut off, and refuses to guess.

use std::cell::Cell;
use std::fs;
use std::io::Write;

use regen_chat::{
    ChatAnswer, ChatModel, ChatRequest, Error, Journal, Message, Prices, Result, Sampling, Stop, Usage,
};

/// Answers with the number of the question; fails from the `fails_at`th on.
struct Counter {
    name: &'static str,
    asked: Cell<u64>,
    fails_at: u64,
}

fn counter(fails_at: u64) -> Counter {
    Counter { name: "counter", asked: Cell::new(0), fails_at }
}

impl ChatModel for Counter {
    fn name(&self) -> &str {
        self.name
    }

    fn ask(&self, request: &ChatRequest) -> Result<ChatAnswer> {
        let asked = self.asked.get() + 1;
        if asked >= self.fails_at {
            return Err(Error::Model { model: self.name.into(), reason: "tired".into() });
        }
        self.asked.set(asked);
        Ok(ChatAnswer {
            text: format!("{} → {asked}", request.messages[0].content),
            stop: Stop::End,
            usage: Usage { prompt_tokens: 10, completion_tokens: asked },
        })
    }
}

fn question(content: &str) -> ChatRequest {
    ChatRequest::new(vec![Message::user(content)], Sampling::greedy(5))
}

#[test]
fn an_interrupted_run_goes_on_without_asking_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let first = Journal::open(counter(3), &path).unwrap();
    let answers: Vec<_> = ["a", "b", "c"].map(|text| first.ask(&question(text)).ok()).into();
    assert!(answers[1].is_some() && answers[2].is_none());
    drop(first);
    let second = Journal::open(counter(u64::MAX), &path).unwrap();
    let again: Vec<_> = ["a", "b", "c"].map(|text| second.ask(&question(text)).unwrap()).into();
    assert_eq!(again[..2], answers[..2].iter().flatten().cloned().collect::<Vec<_>>());
    assert_eq!(second.model().asked.get(), 1);
    let tally = second.tally();
    assert_eq!((tally.answers, tally.replayed_answers), (1, 2));
    assert_eq!(tally.replayed, Usage { prompt_tokens: 20, completion_tokens: 3 });
    assert_eq!(tally.asked.total(), 11);
}

#[test]
fn a_torn_last_line_is_dropped_wherever_it_was_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let journal = Journal::open(counter(u64::MAX), &path).unwrap();
    journal.ask(&question("a")).unwrap();
    let kept = fs::read(&path).unwrap().len();
    journal.ask(&question("b é")).unwrap();
    drop(journal);
    let whole = fs::read(&path).unwrap();
    for cut in kept..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let journal = Journal::open(counter(u64::MAX), &path).unwrap();
        assert_eq!(journal.len(), 1, "cut at {cut}");
        journal.ask(&question("b é")).unwrap();
        drop(journal);
        let mended = Journal::open(counter(u64::MAX), &path).unwrap();
        assert_eq!(mended.len(), 2, "cut at {cut}");
    }
}

#[test]
fn damage_in_the_middle_names_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let journal = Journal::open(counter(u64::MAX), &path).unwrap();
    journal.ask(&question("a")).unwrap();
    journal.ask(&question("b")).unwrap();
    drop(journal);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{{\"key\": 3}}\n{text}")).unwrap();
    let error = Journal::open(counter(1), &path).map(|journal| journal.len()).unwrap_err();
    assert!(matches!(error, Error::Journal { line: 1, .. }), "{error}");
}

#[test]
fn other_models_samples_and_settings_are_other_questions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let base = question("a");
    let mut variants = vec![base.clone(); 4];
    variants[1].sample = 1;
    variants[2].sampling.temperature = 0.5;
    variants[3].messages.push(Message::assistant("b"));
    let journal = Journal::open(counter(u64::MAX), &path).unwrap();
    for variant in &variants {
        journal.ask(variant).unwrap();
        journal.ask(variant).unwrap();
    }
    assert_eq!((journal.len(), journal.model().asked.get()), (4, 4));
    drop(journal);
    let other = Counter { name: "other", ..counter(u64::MAX) };
    let journal = Journal::open(other, &path).unwrap();
    journal.ask(&base).unwrap();
    assert_eq!(journal.len(), 5);
}

#[test]
fn keys_do_not_change_between_releases() {
    // A new key would make every journal of users worthless: change it only with a new format.
    // The digits are `sha256sum` of
    // ["m",{"messages":[{"role":"user","content":"a"}],"sampling":{"temperature":0.0,"top_p":1.0,"max_tokens":5,
    // "seed":null},"schema":null,"sample":0}], written without line breaks.
    let key = question("a").key("m");
    assert_eq!(key, "4aa58ce589ee23ffc5049718272dcbf8b5ed2ff9611a8cafbae7f415400a79f9");
}

#[test]
fn a_journal_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let _open = Journal::open(counter(1), &path).unwrap();
    assert!(matches!(Journal::open(counter(1), &path), Err(Error::JournalInUse { .. })));
    assert!(matches!(Journal::open(counter(1), folder.path()), Err(Error::Io { .. })));
}

#[test]
fn an_empty_line_at_the_end_is_torn_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    fs::File::create(&path).unwrap().write_all(b"\n").unwrap();
    assert!(Journal::open(counter(1), &path).unwrap().is_empty());
}

#[test]
fn tokens_have_a_price() {
    let prices = Prices { per_million_prompt: 2.0, per_million_completion: 10.0 };
    assert_eq!(prices.cost(Usage { prompt_tokens: 500_000, completion_tokens: 100_000 }), 2.0);
}
