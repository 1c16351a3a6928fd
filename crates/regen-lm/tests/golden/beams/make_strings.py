"""Beam searches of transformers that strings end, on some of the tiny checkpoints in ../families.

    python make_strings.py            # after ../families/make.py

`tokenizer.json` gives the 61 ids letters, so that strings stand across tokens. `strings.json` lists cases as `expected.json` does,
each text with its ids, those of the string that ended it included, and its letters up to that string.
"""

import collections
import json
import pathlib
import string

import safetensors.torch
import tokenizers
import torch
import transformers

HERE = pathlib.Path(__file__).parent
NEW = 10

# `strings`: how many stop strings; `ids`: how many stop ids.
SETTINGS = [
    dict(family="llama", num_beams=3, length_penalty=1.0, early_stopping=False, strings=8),
    dict(family="llama", num_beams=4, length_penalty=2.0, early_stopping="never", strings=12),
    dict(family="qwen3", num_beams=5, length_penalty=0.0, early_stopping="never", strings=2),
    dict(family="gemma3", num_beams=2, length_penalty=0.6, early_stopping=True, strings=2),
    dict(family="gpt2", num_beams=4, length_penalty=0.8, early_stopping=False, strings=3, ids=1),
    dict(family="mistral", num_beams=3, length_penalty=1.0, early_stopping=False, strings=1, ids=2),
    dict(family="llama3", num_beams=6, length_penalty=1.0, early_stopping=False, strings=4),
    dict(family="phi3", num_beams=2, length_penalty=1.0, early_stopping=True, strings=2),
]


def tokenizer():
    letters = list(string.ascii_lowercase) + [" ", ".", "\n"]
    pairs = [letters[(7 * i) % 26] + letters[(11 * i + 3) % 29] for i in range(61)]
    vocab = list(dict.fromkeys(letters + pairs))[:61]
    assert len(vocab) == 61
    made = tokenizers.Tokenizer(tokenizers.models.BPE({text: id for id, text in enumerate(vocab)}, []))
    made.decoder = tokenizers.decoders.Fuse()
    made.save(str(HERE / "tokenizer.json"))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, clean_up_tokenization_spaces=False)


@torch.no_grad()
def frequent(model, tokenizer, embeds, mask, count):
    """Frequent ends of one token and beginnings of the next in free sampling, which beams will meet; and frequent ids."""
    torch.manual_seed(1)
    found = model.generate(
        inputs_embeds=embeds.repeat(60, 1, 1), attention_mask=mask.repeat(60, 1), do_sample=True, max_new_tokens=NEW,
        pad_token_id=0, eos_token_id=None,
    )
    letters = [tokenizer.decode([id]) for id in range(61)]
    parts = collections.Counter(
        letters[one][-1] + letters[next][0] for row in found.tolist() for one, next in zip(row, row[1:])
    )
    ids = found.flatten().bincount(minlength=61).argsort(descending=True)[6:].tolist()
    return [text for text, _ in parts.most_common(count)], ids


def first(text, strings):
    """Where the first of the strings begins; None without one."""
    return min((text.find(stop) for stop in strings if stop in text), default=None)


@torch.no_grad()
def main():
    words = tokenizer()
    cases = []
    for settings in SETTINGS:
        settings = dict(settings)
        family, count, stops = settings.pop("family"), settings.pop("strings"), settings.pop("ids", 0)
        folder = HERE.parent / "families" / family
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
        golden = safetensors.torch.load_file(folder / "golden.safetensors")
        embeds = model.get_input_embeddings()(golden["ids"])
        strings, ids = frequent(model, words, embeds, golden["left_mask"], count)
        stop = ids[:stops]
        found = model.generate(
            inputs_embeds=embeds, attention_mask=golden["left_mask"], do_sample=False, max_new_tokens=NEW, pad_token_id=0,
            eos_token_id=stop or None, num_return_sequences=settings["num_beams"], return_dict_in_generate=True,
            output_scores=True, stop_strings=strings, tokenizer=words, **settings,
        )
        rows = []
        for own, score in zip(found.sequences.tolist(), found.sequences_scores):
            own = [id for id in own if id >= 0]
            text = dict(ids=own[:NEW], text=words.decode(own[:NEW]), stopped=False, score=score.item())
            for end in range(1, len(own) + 1):
                if own[end - 1] in stop:
                    text |= dict(ids=own[: end - 1], text=words.decode(own[: end - 1]), stopped=True)
                    break
                written = words.decode(own[:end])
                if (cut := first(written, strings)) is not None:
                    text |= dict(ids=own[:end], text=written[:cut], stopped=True)
                    break
            rows.append(text)
        beams = settings["num_beams"]
        cases.append(dict(
            family=family, padded=True, stop=stop, strings=strings, **settings,
            rows=[rows[row : row + beams] for row in range(0, len(rows), beams)],
        ))
        across = sum(text["stopped"] and len(text["ids"]) > 1 and len(words.decode(text["ids"][-1:])) == 1 for text in rows)
        print(family, settings, strings, stop, "stopped", sum(text["stopped"] for text in rows), "of", len(rows), "across", across)
    provenance = (HERE / "PROVENANCE.toml").read_text()
    assert f'transformers {transformers.__version__}, torch {torch.__version__}' in provenance, provenance
    (HERE / "strings.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


main()
