"""Four steps of torch.optim.AdamW on a matrix and a bias, the bias without decay.

    python make.py
"""

import datetime
import pathlib

import safetensors.torch
import torch

HERE = pathlib.Path(__file__).parent
SEED = 5
FACTORS = [1.0, 0.5, 1.0, 0.25]

generator = torch.Generator().manual_seed(SEED)
matrix = torch.nn.Parameter(torch.randn(5, 3, generator=generator))
bias = torch.nn.Parameter(torch.randn(3, generator=generator))
golden = {"matrix.before": matrix.detach().clone(), "bias.before": bias.detach().clone()}
optimiser = torch.optim.AdamW(
    [dict(params=[matrix], weight_decay=0.1), dict(params=[bias], weight_decay=0.0)],
    lr=0.05,
    betas=(0.9, 0.97),
    eps=1e-6,
)
for step, factor in enumerate(FACTORS):
    inputs = torch.randn(4, 5, generator=generator)
    golden[f"inputs.{step}"] = inputs
    optimiser.zero_grad()
    (inputs @ matrix + bias).square().mean().backward()
    for group in optimiser.param_groups:
        group["lr"] = 0.05 * factor
    optimiser.step()
golden["matrix.after"] = matrix.detach().clone()
golden["bias.after"] = bias.detach().clone()
safetensors.torch.save_file(golden, HERE / "golden.safetensors")
(HERE / "PROVENANCE.toml").write_text(
    f'reference = "torch {torch.__version__}, torch.optim.AdamW"\n'
    'command = "python make.py"\n'
    f"seed = {SEED}\n"
    f"date = {datetime.date.today().isoformat()}\n"
    "tolerance = 1e-6\n"
    'reason = "f32 rounding of values of order 1, another order of operations"\n'
)
