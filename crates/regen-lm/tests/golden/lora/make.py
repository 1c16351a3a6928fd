"""PEFT adapters for two of the tiny checkpoints in ../families, with golden logits.

    python make.py            # after ../families/make.py
"""

import datetime
import pathlib

import peft
import safetensors.torch
import torch
import transformers

HERE = pathlib.Path(__file__).parent
SEED = 31
CASES = {
    "llama": dict(r=3, lora_alpha=12, target_modules=["q_proj", "v_proj", "down_proj"]),
    "gpt2": dict(r=2, lora_alpha=3, target_modules=["c_attn"], fan_in_fan_out=True, use_rslora=True),
}

for name, settings in CASES.items():
    generator = torch.Generator().manual_seed(SEED)
    model = transformers.AutoModelForCausalLM.from_pretrained(HERE.parent / "families" / name).eval()
    config = peft.LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.1, **settings)
    model = peft.get_peft_model(model, config).eval()
    for key, parameter in model.named_parameters():
        if "lora_" in key:
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    ids = safetensors.torch.load_file(HERE.parent / "families" / name / "golden.safetensors")["ids"]
    with torch.no_grad():
        logits = model(input_ids=ids).logits
    folder = HERE / name
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    safetensors.torch.save_file(dict(ids=ids, logits=logits.contiguous()), folder / "golden.safetensors")
    (folder / "PROVENANCE.toml").write_text(
        f'reference = "peft {peft.__version__}, transformers {transformers.__version__}, torch {torch.__version__}"\n'
        'command = "python make.py"\n'
        f"seed = {SEED}\n"
        f"date = {datetime.date.today().isoformat()}\n"
        "tolerance = 1e-4\n"
        'reason = "f32 sums in another order; logits are of order 10"\n'
    )
