"""PEFT loads the adapters that this crate wrote, with and without dropout, and computes the logits that this crate computed.

    cargo test -p regen-lm --test it -- --ignored write_adapters_for_peft
    python load_back.py TARGET/tmp/saved_lora        # the last output stands in LOAD_BACK.txt
"""

import pathlib
import sys

import peft
import safetensors.torch
import torch
import transformers

HERE = pathlib.Path(__file__).parent
lines = [f"peft {peft.__version__}, transformers {transformers.__version__}, torch {torch.__version__}"]
for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    family, dropout = folder.name.rsplit("-", 1)
    base = transformers.AutoModelForCausalLM.from_pretrained(HERE.parent / "families" / family, attn_implementation="eager")
    computed = safetensors.torch.load_file(folder / "computed.safetensors")
    with torch.no_grad():
        without = base.eval()(input_ids=computed["ids"]).logits
        model = peft.PeftModel.from_pretrained(base, folder)
        logits = model.eval()(input_ids=computed["ids"]).logits
        # The same twice: what is dropped while training is drawn anew in each pass, and nothing where there is no dropout.
        drawn = [model.train()(input_ids=computed["ids"]).logits for _ in range(2)]
    settings = model.peft_config["default"]
    assert settings.lora_dropout == float(dropout), settings.lora_dropout
    stored = set(safetensors.torch.load_file(folder / "adapter_model.safetensors"))
    held = {name.replace(".default", "") for name in dict(model.named_parameters()) if "lora_" in name}
    assert stored == held, stored ^ held
    difference = (logits - computed["logits"]).abs().max().item()
    effect = (without - logits).abs().max().item()
    noise = (drawn[0] - drawn[1]).abs().max().item()
    lines.append(
        f"{folder.name}: {type(base).__name__}, {len(stored)} tensors, dropout {settings.lora_dropout}, largest logit difference "
        f"{difference:.1e}; the adapter moves logits by up to {effect:.1f}, training passes differ by up to {noise:.1f}"
    )
    assert difference < 1e-4 and effect > 0.5 and (noise > 0) == (float(dropout) > 0), lines[-1]
(HERE / "LOAD_BACK.txt").write_text("\n".join(lines) + "\n")
print("\n".join(lines))
