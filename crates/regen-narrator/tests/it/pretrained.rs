//! A narrator around a language model that was trained before: prompts in words, low-rank updates, a base that stays.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use regen_fusion::{AdapterKind, Sources};
use regen_lm::chat::ChatTemplate;
use regen_lm::{Decoder, DecoderConfig, LoraConfig, LoraTargets, Sampling, TextTokenizer, train_bpe};
use regen_narrator::{
    Error, Narrator, NarratorConfig, PromptWords, Request, Said, SaidBy, TablePlace, TrainConfig,
    TrainReport, Trains, WritingDefaults,
};
use regen_torch::Checkpoint;
use tch::{Device, nn};
use tempfile::{TempDir, tempdir};

use crate::world;

/// A tokenizer that knows none of a narrator's tokens, and a decoder for it.
fn folder() -> (TempDir, PathBuf) {
    let dir = tempdir().unwrap();
    let lm = dir.path().join("base");
    let texts = world::examples();
    let tokenizer = train_bpe(texts.iter().map(|e| e.text.as_str()), 330, &[]).unwrap();
    let vs = nn::VarStore::new(Device::Cpu);
    let config = world::decoder(tokenizer.vocab_size() + 6);
    let decoder = Decoder::new(&vs.root(), &config, &mut regen_torch::seed::rng(8, 1)).unwrap();
    decoder.save(&lm).unwrap();
    tokenizer.save(&lm).unwrap();
    (dir, lm)
}

fn config(lm: &Path, lora: Option<LoraConfig>) -> NarratorConfig {
    let (config, _) = world::config_with(Sources::Fusion, AdapterKind::Projection);
    let words = Some(PromptWords::plain(&config.kinds));
    NarratorConfig { decoder: DecoderConfig::from_hf(lm).unwrap(), words, lora, ..config }
}

fn lora() -> Option<LoraConfig> {
    Some(LoraConfig { rank: 4, alpha: 8.0, rank_stabilised: false, dropout: 0.0, targets: LoraTargets::All })
}

fn narrator(lm: &Path, lora: Option<LoraConfig>) -> Narrator {
    Narrator::on_lm(lm, config(lm, lora), world::tables(), world::ids(), Device::Cpu, 1).unwrap()
}

fn train(narrator: &mut Narrator, config: &TrainConfig) -> TrainReport {
    narrator
        .train(&world::examples(), &world::examples()[..5], config, &mut |_| ControlFlow::Continue(()))
        .unwrap()
}

/// Every number of a safetensors file or folder, by name.
fn stored(path: &Path) -> Vec<(String, Vec<f32>)> {
    let file = Checkpoint::open(path).unwrap();
    let values = |name: &str| {
        let tensor = file.tensor(name, file.shape(name).unwrap()).unwrap();
        (name.to_owned(), Vec::<f32>::try_from(tensor.reshape([-1])).unwrap())
    };
    file.names().map(values).collect()
}

#[test]
fn a_trained_language_model_is_taken_with_its_own_tokenizer_and_prompts_in_words() {
    let (dir, lm) = folder();
    let mut narrator = narrator(&lm, None);
    let before = stored(&lm);
    let (_, embeddings) = before.iter().find(|(name, _)| name.contains("embed_tokens")).unwrap();
    let squares: f64 = embeddings.iter().map(|v| f64::from(*v).powi(2)).sum();
    let rms = (squares / embeddings.len() as f64).sqrt();
    let adapter = narrator.config().adapter.unwrap();
    assert!((adapter.initial_rms / rms - 1.0).abs() < 1e-5, "{} {rms}", adapter.initial_rms);
    assert!(train(&mut narrator, &world::training(400)).validation.last().unwrap().loss < 0.1);
    let requests: Vec<Request> = world::examples().into_iter().map(|example| example.request).collect();
    let written = world::write(&narrator, &requests, 5);
    let right =
        written.iter().zip(world::examples()).filter(|(text, example)| **text == example.text).count();
    assert_eq!(right, written.len());

    let bundle = dir.path().join("bundle");
    narrator.save(&bundle).unwrap();
    assert_ne!(stored(&bundle.join("lm")), before);
    let opened = Narrator::open(&bundle, Device::Cpu).unwrap();
    assert_eq!(opened.config(), narrator.config());
    assert_eq!(world::write(&opened, &requests, 5), written);
}

#[test]
fn low_rank_updates_leave_the_base_as_it_is_and_are_saved_beside_it() {
    let (dir, untrained) = folder();
    let mut taught = narrator(&untrained, None);
    train(&mut taught, &world::training(200));
    taught.save(&dir.path().join("taught")).unwrap();
    let lm = dir.path().join("taught/lm");
    let config = NarratorConfig { max_history: 2, ..config(&lm, lora()) };
    let mut narrator = Narrator::on_lm(&lm, config, world::tables(), world::ids(), Device::Cpu, 4).unwrap();
    let whole = DecoderConfig::from_hf(&lm).unwrap().parameters() as usize;
    assert!(narrator.parameters() < whole, "{} trainable", narrator.parameters());
    let first = narrator.loss(&world::examples(), 8).unwrap();

    // The adapter's stage does not touch the updates either: B stays at zero.
    train(&mut narrator, &TrainConfig { trains: Trains::Adapter, ..world::training(20) });
    let halfway = dir.path().join("halfway");
    narrator.save(&halfway).unwrap();
    let updates = stored(&halfway.join("lora/adapter_model.safetensors"));
    assert!(!updates.is_empty());
    let zero = |name: &str, values: &[f32]| !name.contains("lora_B") || values.iter().all(|v| *v == 0.0);
    assert!(updates.iter().all(|(name, values)| zero(name, values)));

    train(&mut narrator, &TrainConfig { learning_rate: 1e-2, ..world::training(120) });
    let last = narrator.loss(&world::examples(), 8).unwrap();
    assert!(last < 0.3 * first, "{first} {last}");
    let bundle = dir.path().join("bundle");
    narrator.save(&bundle).unwrap();
    assert_eq!(stored(&bundle.join("lm")), stored(&lm));
    let updates = stored(&bundle.join("lora/adapter_model.safetensors"));
    assert!(updates.iter().any(|(name, values)| !zero(name, values)));

    let opened = Narrator::open(&bundle, Device::Cpu).unwrap();
    assert_eq!(opened.loss(&world::examples(), 8).unwrap(), last);
    // Who knows PEFT can use the updates without us.
    let vs = nn::VarStore::new(Device::Cpu);
    let mut decoder = Decoder::load_under(&vs.root(), &lm, tch::Kind::Float).unwrap();
    assert_eq!(Some(decoder.load_lora(&vs.root(), &bundle.join("lora")).unwrap()), lora());
}

#[test]
fn updates_are_kept_beside_a_base_that_is_named_and_another_base_is_refused_by_name() {
    let (dir, lm) = folder();
    let mut narrator = narrator(&lm, lora());
    train(&mut narrator, &world::training(10));
    let (bundle, elsewhere) = (dir.path().join("bundle"), dir.path().join("elsewhere"));
    narrator.save_on_base(&bundle, lm.to_str().unwrap()).unwrap();
    assert!(!bundle.join("lm").exists());
    let loss = |narrator: &Narrator| narrator.loss(&world::examples(), 8).unwrap();
    let opened = Narrator::open(&bundle, Device::Cpu).unwrap();
    assert_eq!(loss(&opened), loss(&narrator));
    // One that was opened can be kept beside the base again, under the id of a repository as well, or with a copy.
    let (named, whole) = (dir.path().join("named"), dir.path().join("whole"));
    opened.save_on_base(&named, "regen-rs/tiny").unwrap();
    opened.save(&whole).unwrap();
    std::fs::rename(&lm, &elsewhere).unwrap();
    assert_eq!(loss(&Narrator::open(&whole, Device::Cpu).unwrap()), loss(&narrator));
    for (bundle, name) in [(&bundle, lm.to_str().unwrap()), (&named, "regen-rs/tiny")] {
        let lost = Narrator::open(bundle, Device::Cpu).unwrap_err();
        assert!(matches!(&lost, Error::BaseNotFound { .. }) && lost.to_string().contains(name), "{lost}");
        let on = |place| Narrator::open_on(bundle, &elsewhere, Device::Cpu, place).unwrap();
        assert_eq!(loss(&on(TablePlace::Memory)), loss(&narrator));
        assert_eq!(loss(&on(TablePlace::Disk)), loss(&narrator));
    }
    let on = || Narrator::open_on(&named, &elsewhere, Device::Cpu, TablePlace::Memory);
    let refused = |file: &str| {
        let error = on().unwrap_err();
        let told = error.to_string();
        assert!(matches!(error, Error::OtherBase { .. }) && told.contains(file), "{told}");
        assert!(told.contains("regen-rs/tiny") && told.contains("elsewhere"), "{told}");
    };
    std::fs::write(elsewhere.join("README.md"), "more is no harm").unwrap();
    on().unwrap();
    // One bit of one weight.
    let weights = elsewhere.join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, &bytes).unwrap();
    refused("model.safetensors has another content");
    std::fs::remove_file(&weights).unwrap();
    refused("model.safetensors is missing");
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, &bytes).unwrap();
    std::fs::write(elsewhere.join("more.safetensors"), &bytes).unwrap();
    refused("more.safetensors was not among its files");
    std::fs::remove_file(elsewhere.join("more.safetensors")).unwrap();
    on().unwrap();

    // Nothing to name: the whole is trained, or was made of nothing; nothing to look for: the bundle holds its own.
    let trained = self::narrator(&elsewhere, None).save_on_base(&dir.path().join("x"), "x").unwrap_err();
    assert!(matches!(trained, Error::NoBase), "{trained}");
    let fresh = world::narrator(Sources::Cf, 1).save_on_base(&dir.path().join("x"), "x").unwrap_err();
    assert!(matches!(fresh, Error::NoBase), "{fresh}");
    let own = Narrator::open_on(&whole, &elsewhere, Device::Cpu, TablePlace::Memory).unwrap_err();
    assert!(matches!(own, Error::HoldsBase { ref bundle } if *bundle == whole), "{own}");
}

#[test]
fn a_folder_that_is_not_what_the_configuration_says_is_refused() {
    let (dir, lm) = folder();
    let on = |config: NarratorConfig| {
        Narrator::on_lm(&lm, config, world::tables(), world::ids(), Device::Cpu, 1).unwrap_err()
    };
    let mut other = config(&lm, None);
    other.decoder.norm_epsilon *= 2.0;
    assert!(matches!(on(other), Error::Mismatch { part: "the language model's folder", .. }));
    let mut kinds = config(&lm, None);
    kinds.words.as_mut().unwrap().kinds.remove("purchase_reason");
    assert!(matches!(on(kinds), Error::Mismatch { part: "words.kinds", .. }));
    assert!(matches!(on(NarratorConfig { words: None, ..config(&lm, None) }), Error::MissingToken { .. }));
    let long = NarratorConfig { max_history: 100_000, ..config(&lm, None) };
    assert!(matches!(on(long), Error::Mismatch { part: "the longest prompt with its narrative", .. }));

    let bundle = dir.path().join("bundle");
    narrator(&lm, lora()).save(&bundle).unwrap();
    let path = bundle.join("lora/adapter_config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"lora_alpha\": 8.0", "\"lora_alpha\": 9.0")).unwrap();
    regen_narrator::reseal(&bundle).unwrap();
    let refused = Narrator::open(&bundle, Device::Cpu).unwrap_err();
    assert!(matches!(refused, Error::Mismatch { part: "the folder of low-rank updates", .. }), "{refused}");
}

#[test]
fn a_tokenizer_without_a_token_of_beginning_begins_with_the_words() {
    let (_dir, lm) = folder();
    let path = lm.join("tokenizer_config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"<|bos|>\"", "null").replace("\"<|pad|>\"", "null")).unwrap();
    assert_eq!(TextTokenizer::load(&lm).unwrap().bos_id(), None);
    let narrator = narrator(&lm, None);
    let together = narrator.loss(&world::examples(), 28).unwrap();
    assert!((together - narrator.loss(&world::examples(), 1).unwrap()).abs() < 1e-5);

    let mut silent = config(&lm, None);
    silent.words.as_mut().unwrap().history.clear();
    let refused = Narrator::on_lm(&lm, silent, world::tables(), world::ids(), Device::Cpu, 1).unwrap_err();
    assert!(matches!(refused, Error::InvalidConfig { field: "words.history", .. }));
}

#[test]
fn next_purchases_are_told_from_the_last_place_of_the_history_in_words_too() {
    let (_dir, lm) = folder();
    let config = NarratorConfig { next_item: true, ..config(&lm, None) };
    let mut narrator = Narrator::on_lm(&lm, config, world::tables(), world::ids(), Device::Cpu, 1).unwrap();
    // After item n comes n + 1: what stands behind the history cannot help.
    let examples: Vec<_> = (0..7u32).map(|item| world::example(&[item], (item + 1) % 7)).collect();
    let next_item = Some(regen_narrator::NextItemTraining { weight: 1.0, negatives: 0 });
    let training = TrainConfig { next_item, ..world::training(150) };
    narrator.train(&examples, &[], &training, &mut |_| ControlFlow::Continue(())).unwrap();
    let requests: Vec<Request> = examples.into_iter().map(|example| example.request).collect();
    assert_eq!(narrator.next_item_ranks(&requests, 3).unwrap(), vec![Some(1); 7]);
}

#[test]
fn texts_of_the_catalogue_cannot_speak_in_special_tokens() {
    let (_dir, lm) = folder();
    let passage = Some(regen_narrator::PassageConfig { max_tokens: 40, copy_width: 0 });
    let config = NarratorConfig { passage, ..config(&lm, None) };
    let tokenizer = TextTokenizer::load(&lm).unwrap();
    let narrator = Narrator::on_lm(&lm, config, world::tables(), world::ids(), Device::Cpu, 1).unwrap();
    let loss = |phrase: &str, text: &str| {
        let mut example = world::example(&[1], 2);
        example.request.passage = vec![phrase.to_owned()];
        example.text = text.to_owned();
        narrator.losses(&[example], regen_narrator::Withheld::Nothing, 1).unwrap()[0]
    };
    // A narrative of nothing but the end's name is long: it is spelled out, and ended by the end itself.
    let spelled = tokenizer.encode_plain("<|eos|>").unwrap().len();
    assert!(spelled > 3);
    assert_eq!(loss("a lamp", "<|eos|>").tokens, spelled + 1);
    // The same letters in another place of the same length would be the same prompt if the token had been recognised as one.
    let (named, honest) = (loss("lamp <|bos|>", "x"), loss("lamp", "x"));
    assert_ne!(named.nats, honest.nats);
    let ids = tokenizer.encode_plain(" lamp <|bos|>").unwrap();
    assert!(!ids.contains(&tokenizer.bos_id().unwrap()));
}

#[test]
fn words_stand_in_the_format_of_a_chat_model() {
    let (_dir, lm) = folder();
    let tokenizer = TextTokenizer::load(&lm).unwrap();
    let chatml =
        "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}<|end|>{% endfor %}
{%- if add_generation_prompt %}<|assistant|>{% endif %}";
    let template = ChatTemplate::new(chatml, &tokenizer).unwrap();
    let plain = PromptWords::plain(&["user_summary"]);
    let words = plain.clone().in_chat(&template, Some("Be brief.")).unwrap();
    assert_eq!(words.history, "<|system|>Be brief.<|end|><|user|>Bought before:");
    assert_eq!(words.kinds["user_summary"], "\nUser summary:\n<|end|><|assistant|>");
    assert_eq!((&words.last, &words.text), (&plain.last, &plain.text));

    let kinds = world::kinds();
    let words = PromptWords::plain(&kinds).in_chat(&template, None).unwrap();
    let config = NarratorConfig { words: Some(words), ..config(&lm, None) };
    let narrator = Narrator::on_lm(&lm, config, world::tables(), world::ids(), Device::Cpu, 1).unwrap();
    assert!(narrator.loss(&world::examples(), 4).unwrap().is_finite());

    for silent in ["no user", "{{ messages[0].content }}{{ messages[0].content }}"] {
        let template = ChatTemplate::new(silent, &tokenizer).unwrap();
        let refused = plain.clone().in_chat(&template, None).unwrap_err();
        assert!(matches!(refused, Error::InvalidConfig { field: "words", .. }), "{refused}");
    }
}

/// What the makers of a model that draws put beside it.
fn draws(lm: &Path) {
    let file = serde_json::json!({
        "do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "repetition_penalty": 1.1, "max_length": 4,
        "eos_token_id": [2, 7], "pad_token_id": 0,
    });
    std::fs::write(lm.join("generation_config.json"), file.to_string()).unwrap();
}

#[test]
fn a_setting_is_that_of_the_caller_or_the_bundle_or_the_folder_or_the_library() {
    let (dir, lm) = folder();
    draws(&lm);
    let mut narrator = narrator(&lm, None);
    let drawn = Sampling::Sample {
        temperature: 0.6,
        top_k: std::num::NonZeroUsize::new(20),
        top_p: Some(0.95),
        min_p: None,
    };
    let silent = WritingDefaults::default();
    let settings = narrator.writing_settings(&silent);
    assert_eq!(settings.sampling, Said { value: drawn.clone(), by: SaidBy::Folder });
    assert_eq!(settings.repetition_penalty, Said { value: 1.1, by: SaidBy::Folder });
    assert_eq!(settings.no_repeat_ngram, Said { value: 0, by: SaidBy::Library });
    // Lengths are the narrator's own, and whatever ends a text for the makers ends a narrative.
    let options = narrator.generate_options();
    assert_eq!(
        (options.max_new_tokens, &options.stop),
        (narrator.config().max_narrative_tokens, &vec![2, 7])
    );
    assert_eq!((options.sampling, options.repetition_penalty), (drawn.clone(), 1.1));

    narrator.set_writing(WritingDefaults { sampling: Some(Sampling::Greedy), ..silent.clone() });
    let settings = narrator.writing_settings(&silent);
    assert_eq!((settings.sampling.by, settings.repetition_penalty.by), (SaidBy::Bundle, SaidBy::Folder));
    let asked = WritingDefaults { repetition_penalty: Some(1.0), ..silent.clone() };
    let settings = narrator.writing_settings(&asked);
    assert_eq!(settings.repetition_penalty, Said { value: 1.0, by: SaidBy::Caller });
    narrator.set_writing(WritingDefaults::greedy());
    let options = narrator.generate_options();
    assert_eq!((options.sampling, options.repetition_penalty), (Sampling::Greedy, 1.0));

    // A bundle that holds the language model holds what its folder says; of the format before, greedy was meant.
    narrator.set_writing(silent.clone());
    let bundle = dir.path().join("bundle");
    narrator.save(&bundle).unwrap();
    let open = || Narrator::open(&bundle, Device::Cpu).unwrap().writing_settings(&silent).sampling;
    assert_eq!(open(), Said { value: drawn, by: SaidBy::Folder });
    let manifest = bundle.join("narrator.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("\"format\": 6", "\"format\": 5")).unwrap();
    assert_eq!(open(), Said { value: Sampling::Greedy, by: SaidBy::Bundle });
    regen_narrator::reseal(&bundle).unwrap();
    assert_eq!(open(), Said { value: Sampling::Greedy, by: SaidBy::Bundle });
}

#[test]
fn a_bundle_without_its_language_model_has_the_word_of_the_folder_that_it_names() {
    let (dir, lm) = folder();
    draws(&lm);
    let bundle = dir.path().join("bundle");
    narrator(&lm, lora()).save_on_base(&bundle, &lm.to_string_lossy()).unwrap();
    let opened = Narrator::open(&bundle, Device::Cpu).unwrap();
    assert_eq!(opened.writing_settings(&WritingDefaults::default()).sampling.by, SaidBy::Folder);
    // PEFT finds the base as well.
    let adapter = std::fs::read_to_string(bundle.join("lora/adapter_config.json")).unwrap();
    assert!(adapter.contains(&*lm.to_string_lossy()), "{adapter}");
}

/// Whoever gets a base anew may get files that were not there before.
#[test]
fn a_word_that_came_after_the_bundle_was_saved_does_not_change_what_it_writes() {
    let (dir, lm) = folder();
    let (on_base, whole) = (dir.path().join("on_base"), dir.path().join("whole"));
    let narrator = narrator(&lm, lora());
    narrator.save_on_base(&on_base, &lm.to_string_lossy()).unwrap();
    narrator.save(&whole).unwrap();
    for lm in [lm, whole.join("lm")] {
        std::fs::write(lm.join("generation_config.json"), "{\"do_sample\": true}").unwrap();
    }
    for bundle in [on_base, whole] {
        let opened = Narrator::open(&bundle, Device::Cpu).unwrap();
        assert_eq!(opened.folder_writing().unwrap(), None, "{}", bundle.display());
        assert_eq!(opened.generate_options(), narrator.generate_options());
    }
}

#[test]
fn a_folder_that_says_another_end_than_the_bundle_is_refused_by_that_setting_alone() {
    let (dir, lm) = folder();
    let bundle = dir.path().join("bundle");
    narrator(&lm, lora()).save(&bundle).unwrap();
    std::fs::write(bundle.join("lm/generation_config.json"), "{\"eos_token_id\": 5}").unwrap();
    let error = Narrator::open(&bundle, Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("`special`") && error.contains('5') && !error.contains("`hidden`"), "{error}");
}

/// Training does not wait for how somebody else would write.
#[test]
fn a_folder_that_asks_for_what_is_not_done_is_refused_to_who_asks_and_says_nothing_else() {
    let (dir, lm) = folder();
    let path = lm.join("generation_config.json");
    std::fs::write(&path, "{\"do_sample\": true, \"guidance_scale\": 1.5}").unwrap();
    let narrator = narrator(&lm, None);
    let error = narrator.folder_writing().unwrap_err().to_string();
    assert!(error.contains("guidance_scale") && error.contains("generation_config.json"), "{error}");
    assert_eq!(narrator.generate_options().sampling, Sampling::Greedy);
    let bundle = dir.path().join("bundle");
    narrator.save(&bundle).unwrap();
    assert!(Narrator::open(&bundle, Device::Cpu).unwrap().folder_writing().is_err());
}
