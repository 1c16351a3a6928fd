"""Folders whose `add_prefix_space` asks for something else than `tokenizer.json` does, loaded by transformers' AutoTokenizer.

    python make.py

Two small vocabularies, of pieces with `▁` for a space and of bytes. `expected.json` holds them, and cases: parts that are put into
`tokenizer.json`, what stands beside it, and the ids of the texts, with what they are decoded to.
"""

import datetime
import json
import os
import pathlib
import tempfile

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
import tokenizers
import transformers

HERE = pathlib.Path(__file__).parent
TEXTS = {
    "pieces": ["a pen", " a", "  a", "a</s>b", "a </s> b", "▁a", ""],
    "bytes": ["a pen", " a", "a<|endoftext|>b", ""],
}


def vocabulary(own, merges, special):
    tokens = special + own + ["".join(merge) for merge in merges]
    model = {
        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
        "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
        "vocab": {token: index for index, token in enumerate(tokens)}, "merges": [" ".join(merge) for merge in merges],
    }
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "pre_tokenizer": None,
        "added_tokens": [{"id": index, "content": token, **flags} for index, token in enumerate(special)],
        "post_processor": None, "decoder": None, "model": model,
    }


def pieces():
    merges = [("▁", "a"), ("▁", "b"), ("e", "n"), ("p", "en"), ("▁", "pen"), ("▁", "▁")]
    own = [f"<0x{byte:02X}>" for byte in range(256)] + ["▁", "a", "b", "p", "e", "n"]
    whole = vocabulary(own, merges, ["<unk>", "<s>", "</s>"])
    whole["model"].update(unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    steps = [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ]
    whole["decoder"] = {"type": "Sequence", "decoders": steps}
    return whole


def byte_level(space, regex=True):
    return {"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": True, "use_regex": regex}


def bytes_():
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    whole = vocabulary(alphabet, [("Ġ", "a"), ("e", "n"), ("p", "en"), ("Ġ", "pen")], ["<|endoftext|>"])
    whole["decoder"] = byte_level(True)
    return whole


REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}


def metaspace(scheme):
    return {"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": False}}


# Parts, and whether they put a space before a text.
PARTS = {
    "pieces": [
        ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, REPLACE]}}, True),
        (metaspace("first"), True), (metaspace("always"), True),
        (metaspace("never"), False), ({"normalizer": REPLACE}, False),
    ],
    "bytes": [({"pre_tokenizer": byte_level(space)}, space) for space in (True, False)],
}
# Model type and class.
KINDS = {
    "pieces": [
        ("llama", "LlamaTokenizer"), ("llama", "LlamaTokenizerFast"), ("llama", "PreTrainedTokenizerFast"), ("llama", None),
        ("llama", "TokenizersBackend"), (None, "LlamaTokenizer"), (None, None), ("qwen3", "LlamaTokenizer"),
        ("mistral", "LlamaTokenizer"), ("mistral", None), ("phi3", "LlamaTokenizerFast"), ("phi3", None),
    ],
    "bytes": [
        ("gpt2", None), ("gpt2", "GPT2Tokenizer"), ("gpt2", "TokenizersBackend"), ("llama", "GPT2TokenizerFast"),
        ("llama", "LlamaTokenizerFast"), ("llama", "PreTrainedTokenizerFast"), ("llama", None), ("qwen2", "Qwen2Tokenizer"),
        ("qwen2", None), ("qwen3", "Qwen2TokenizerFast"), ("qwen3", None), ("qwen3", "PreTrainedTokenizerFast"),
        ("mistral", "GPT2Tokenizer"), ("phi3", "GPT2Tokenizer"),
    ],
}


def load(whole, config, model_type):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "tokenizer.json").write_text(json.dumps(whole))
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        if model_type:
            (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
        return transformers.AutoTokenizer.from_pretrained(folder)


def main():
    vocabularies = {"pieces": pieces(), "bytes": bytes_()}
    roles = {
        "pieces": {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
        "bytes": {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"},
    }
    cases = []
    for name, whole in vocabularies.items():
        for parts, does in PARTS[name]:
            for model_type, kind in KINDS[name]:
                for legacy in ["absent", None, True, False] if (model_type, kind) == ("llama", "LlamaTokenizer") else ["absent"]:
                    config = {**roles[name], "add_prefix_space": not does}
                    config.update({} if kind is None else {"tokenizer_class": kind})
                    config.update({} if legacy == "absent" else {"legacy": legacy})
                    tokenizer = load({**whole, **parts}, config, model_type)
                    ids = [tokenizer.encode(text, add_special_tokens=False) for text in TEXTS[name]]
                    decoded = [tokenizer.decode(row, skip_special_tokens=True) for row in ids]
                    cases.append({
                        "vocabulary": name, "parts": parts, "model_type": model_type, "config": config,
                        "class": type(tokenizer).__name__, "ids": ids, "decoded": decoded,
                    })
    lines = ",\n".join("  " + json.dumps(case, ensure_ascii=False) for case in cases)
    head = json.dumps({"vocabularies": vocabularies, "texts": TEXTS}, ensure_ascii=False)
    (HERE / "expected.json").write_text(f'{head[:-1]}, "cases": [\n{lines}\n]}}\n')
    (HERE / "PROVENANCE.toml").write_text(
        f'reference = "transformers {transformers.__version__}, tokenizers {tokenizers.__version__}"\n'
        f'command = "python make.py"\ndate = {datetime.date.today()}\ntolerance = 0\n'
        'reason = "ids and texts are compared exactly"\n'
    )


main()
