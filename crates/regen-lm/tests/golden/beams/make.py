"""Beam searches of transformers on some of the tiny checkpoints in ../families.

    python make.py            # after ../families/make.py

`expected.json` lists cases: the family, the settings, and for each row of the left-padded golden batch the texts best first,
as ids without the stop id, whether a stop id ended them, and their scores. The prompts are given as embeddings, so that
penalties know nothing of the prompt.
"""

import datetime
import json
import pathlib

import safetensors.torch
import torch
import transformers

HERE = pathlib.Path(__file__).parent
NEW = 10

# Stop ids are frequent tokens of each model, so that beams end at different steps.
SETTINGS = [
    dict(family="llama", num_beams=3, length_penalty=1.0, early_stopping=False),
    dict(family="llama", num_beams=3, length_penalty=1.0, early_stopping=True),
    dict(family="llama", num_beams=4, length_penalty=2.0, early_stopping="never"),
    dict(family="llama", num_beams=4, length_penalty=-0.5, early_stopping=False),
    dict(family="llama", num_beams=1, length_penalty=1.0, early_stopping=False),
    dict(family="qwen3", num_beams=5, length_penalty=0.0, early_stopping="never"),
    dict(family="qwen3", num_beams=2, length_penalty=0.6, early_stopping=True),
    dict(family="gemma3", num_beams=3, length_penalty=1.0, early_stopping=False),
    dict(family="gemma2", num_beams=3, length_penalty=1.0, early_stopping=True),
    dict(family="gpt2", num_beams=4, length_penalty=0.8, early_stopping=False),
    dict(family="gpt2", num_beams=3, length_penalty=1.0, early_stopping="never", repetition_penalty=1.4),
    dict(family="mistral", num_beams=3, length_penalty=1.0, early_stopping=False, no_repeat_ngram_size=2),
    dict(family="llama3", num_beams=6, length_penalty=1.0, early_stopping=False),
    dict(family="phi3", num_beams=2, length_penalty=1.0, early_stopping=True),
]


@torch.no_grad()
def stops(model, embeds, mask):
    """The most frequent ids of free sampling, which beams will meet."""
    torch.manual_seed(1)
    ids = model.generate(
        inputs_embeds=embeds.repeat(40, 1, 1), attention_mask=mask.repeat(40, 1), do_sample=True, max_new_tokens=NEW,
        pad_token_id=0, eos_token_id=[60],
    )
    return ids.flatten().bincount(minlength=61).argsort(descending=True)[1:4].tolist()


@torch.no_grad()
def main():
    cases = []
    for settings in SETTINGS:
        settings = dict(settings)
        family = settings.pop("family")
        folder = HERE.parent / "families" / family
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
        golden = safetensors.torch.load_file(folder / "golden.safetensors")
        # With embeddings and padding, transformers' penalty passes over as many new ids as there is padding (its
        # `prompt_ignore_length` counts columns of a prompt that is not there), so that case goes without padding.
        padded = "repetition_penalty" not in settings
        mask = golden["left_mask"] if padded else torch.ones_like(golden["left_mask"])
        embeds = model.get_input_embeddings()(golden["ids"])
        stop = stops(model, embeds, mask)[: 1 if settings["num_beams"] == 5 else 2]
        found = model.generate(
            inputs_embeds=embeds, attention_mask=mask, do_sample=False, max_new_tokens=NEW, pad_token_id=0,
            eos_token_id=stop, num_return_sequences=settings["num_beams"], return_dict_in_generate=True,
            output_scores=True, **settings,
        )
        scores = getattr(found, "sequences_scores", None)
        rows = []
        for index, ids in enumerate(found.sequences.tolist()):
            end = next((place for place, id in enumerate(ids) if id in stop), None)
            rows.append(dict(
                ids=ids[:NEW] if end is None else ids[:end],
                stopped=end is not None,
                score=None if scores is None else scores[index].item(),
            ))
        beams = settings["num_beams"]
        cases.append(dict(
            family=family, padded=padded, stop=stop, **settings, rows=[rows[row : row + beams] for row in range(0, len(rows), beams)]
        ))
        ends = sorted({len(text["ids"]) for text in rows})
        print(family, settings, "lengths", ends, "stopped", sum(text["stopped"] for text in rows), "of", len(rows))
    (HERE / "expected.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
    (HERE / "PROVENANCE.toml").write_text(
        f'reference = "transformers {transformers.__version__}, torch {torch.__version__}, eager attention"\n'
        'command = "python make.py; python make_strings.py"\n'
        "seed = 1\n"
        f"date = {datetime.date.today().isoformat()}\n"
        "tolerance = 1e-4\n"
        'reason = "ids are compared exactly; scores are means of f32 log-probabilities summed in another order"\n'
    )


main()
