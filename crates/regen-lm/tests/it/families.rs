//! Every family computes what transformers computes, on tiny random checkpoints.

use regen_lm::{Decoder, GenerateOptions, PaddingMask, generate};
use regen_torch::Checkpoint;
use tch::{Kind, Tensor};

use crate::support::{FAMILIES, golden, load, masked_difference, stored};

const TOLERANCE: f64 = 1e-4;

struct Case {
    decoder: Decoder,
    file: Checkpoint,
    ids: Tensor,
    spliced: Tensor,
    full: PaddingMask,
}

fn open(family: &str) -> Case {
    let dir = golden("families").join(family);
    let decoder = load(&dir);
    let file = Checkpoint::open(&dir.join("golden.safetensors")).unwrap();
    let ids = stored(&file, "ids");
    let soft = stored(&file, "soft");
    let text = decoder.embed(&ids).unwrap();
    let (batch, seq) = ids.size2().unwrap();
    let kept = text.narrow(1, soft.size()[1], seq - soft.size()[1]);
    let spliced = Tensor::cat(&[&soft, &kept], 1);
    Case { decoder, file, ids, spliced, full: PaddingMask::full(batch, seq) }
}

fn check_logits(family: &str) {
    let case = open(family);
    let embeds = case.decoder.embed(&case.ids).unwrap();
    let left = PaddingMask::from_tensor(&stored(&case.file, "left_mask")).unwrap();
    let right = PaddingMask::from_tensor(&stored(&case.file, "right_mask")).unwrap();
    let runs = [
        ("logits_ids", &embeds, &case.full),
        ("logits_soft", &case.spliced, &case.full),
        ("logits_left", &embeds, &left),
        ("logits_right", &embeds, &right),
    ];
    for (name, embeds, mask) in runs {
        let logits = case.decoder.logits(&case.decoder.forward(embeds, mask, None).unwrap()).unwrap();
        let expected = stored(&case.file, name);
        assert!(expected.std(false).double_value(&[]) > 0.5, "{family} {name}: golden logits hardly vary");
        let difference = masked_difference(&logits, &expected, mask);
        assert!(difference <= TOLERANCE, "{family} {name}: {difference:e}");
    }
}

fn check_greedy(family: &str) {
    let case = open(family);
    let embeds = case.decoder.embed(&case.ids).unwrap();
    let left = PaddingMask::from_tensor(&stored(&case.file, "left_mask")).unwrap();
    let options = GenerateOptions { max_new_tokens: 9, ..GenerateOptions::default() };
    for (name, embeds, mask) in [("greedy_left", &embeds, &left), ("greedy_soft", &case.spliced, &case.full)]
    {
        let written = generate(&case.decoder, embeds, mask, &options).unwrap();
        let expected: Vec<Vec<i64>> = Vec::try_from(stored(&case.file, name).to_kind(Kind::Int64)).unwrap();
        assert_eq!(written, expected, "{family} {name}");
    }
}

fn check_round_trip(family: &str) {
    let case = open(family);
    let dir = tempfile::tempdir().unwrap();
    case.decoder.save(dir.path()).unwrap();
    let again = load(dir.path());
    assert_eq!(again.config(), case.decoder.config(), "{family}");
    for ((name, before), (_, after)) in case.decoder.parameters().iter().zip(again.parameters()) {
        assert_eq!(before, after, "{family} {name}");
    }
}

macro_rules! family {
    ($name:ident) => {
        mod $name {
            #[test]
            fn logits_equal_the_reference() {
                super::check_logits(stringify!($name));
            }

            #[test]
            fn greedy_ids_equal_the_reference() {
                super::check_greedy(stringify!($name));
            }

            #[test]
            fn saved_folder_loads_back_unchanged() {
                super::check_round_trip(stringify!($name));
            }
        }
    };
}

family!(llama);
family!(llama3);
family!(llama_linear);
family!(llama_yarn);
family!(mistral);
family!(qwen2);
family!(qwen3);
family!(gemma2);
family!(gemma3);
family!(phi3);
family!(gpt2);

#[test]
#[ignore = "writes folders for load_back.py, which needs transformers"]
fn write_folders_for_transformers() {
    for family in FAMILIES {
        let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("saved").join(family);
        open(family).decoder.save(&dir).unwrap();
    }
}
