"""transformers loads the folders that this crate wrote and computes the golden logits from them.

    cargo test -p regen-lm --test it -- --ignored write_folders_for_transformers
    python load_back.py TARGET/tmp/saved        # the last output stands in LOAD_BACK.txt
"""

import pathlib
import sys

import safetensors.torch
import torch
import transformers

HERE = pathlib.Path(__file__).parent
lines = [f"transformers {transformers.__version__}, torch {torch.__version__}"]
for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager", output_loading_info=True
    )
    golden = safetensors.torch.load_file(HERE / folder.name / "golden.safetensors")
    with torch.no_grad():
        logits = model.eval()(input_ids=golden["ids"]).logits
    difference = (logits - golden["logits_ids"]).abs().max().item()
    problems = {key: sorted(value) for key, value in report.items() if value}
    lines.append(f"{folder.name}: {type(model).__name__}, largest logit difference {difference:.1e}, {problems or 'all tensors matched'}")
    assert difference < 1e-6, lines[-1]
(HERE / "LOAD_BACK.txt").write_text("\n".join(lines) + "\n")
print("\n".join(lines))
