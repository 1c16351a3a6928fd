"""The whole narrator and an equal PyTorch + transformers script in turns, one process each, two threads each.

    cargo bench --bench narrator --no-run    # prints the path of the binary
    python benches/peers/narrator.py BINARY [--rounds N] [--threads N]

Both train on batches of 8: 16 items looked up in tables of 20,000 × (64 + 384), scaled to unit length, projected and added,
put before 56 tokens of text of which 53 are learned, through a 26 M Llama, with AdamW and clipping; and both write 64 texts of
48 tokens in batches of 16. In bf16 ours has the language model's weights in bf16 with f32 copies for the optimiser, the peer what
its users run: f32 weights under autocast. The adapter's line is its forward and backward pass beside the whole step. Medians, smallest and
largest.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import time

parser = argparse.ArgumentParser()
parser.add_argument("binary")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--threads", type=int, default=2)
args = parser.parse_args()
os.environ.setdefault("LD_LIBRARY_PATH", str(pathlib.Path(__file__).parents[2] / ".regen/libtorch/torch/lib"))
os.environ["OMP_NUM_THREADS"] = os.environ["RAYON_NUM_THREADS"] = str(args.threads)

import torch  # noqa: E402  (after the thread count)
import transformers  # noqa: E402

torch.set_num_threads(args.threads)
ITEMS, CF, SEMANTIC, VOCAB, SOFT, TEXT, LEARNED = 20_000, 64, 384, 8192, 16, 56, 53
normalise = torch.nn.functional.normalize


class Narrator(torch.nn.Module):
    def __init__(self):
        super().__init__()
        config = transformers.LlamaConfig(
            vocab_size=VOCAB, hidden_size=512, num_hidden_layers=8, num_attention_heads=8, num_key_value_heads=4,
            intermediate_size=1280, tie_word_embeddings=True, max_position_embeddings=2048,
        )  # fmt: skip
        self.lm = transformers.LlamaForCausalLM._from_config(config, attn_implementation="sdpa")
        self.cf = torch.nn.Linear(CF, 512, bias=False)
        self.semantic = torch.nn.Linear(SEMANTIC, 512, bias=False)
        self.register_buffer("cf_table", torch.rand(ITEMS, CF) * 2 - 1)
        self.register_buffer("semantic_table", torch.rand(ITEMS, SEMANTIC) * 2 - 1)

    def embeddings(self, items, ids):
        soft = self.cf(normalise(self.cf_table[items], dim=-1)) + self.semantic(
            normalise(self.semantic_table[items], dim=-1)
        )
        return torch.cat([soft, self.lm.get_input_embeddings()(ids)], 1)


def training(dtype):
    model = Narrator().train()
    parameters = list(model.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1)

    def step():
        items, ids = torch.randint(ITEMS, (8, SOFT)), torch.randint(VOCAB, (8, TEXT))
        labels = torch.full((8, SOFT + TEXT), -100)
        labels[:, -LEARNED:] = ids[:, -LEARNED:]
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = model.lm(inputs_embeds=model.embeddings(items, ids), labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        return loss.item()

    def run():
        seconds = []
        for _ in range(6):
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds[1:])

    return run


def writing():
    model = Narrator().eval()

    @torch.no_grad()
    def run():
        start = time.perf_counter()
        for _ in range(4):
            embeds = model.embeddings(torch.randint(ITEMS, (16, SOFT)), torch.randint(VOCAB, (16, 3)))
            out = model.lm.generate(
                inputs_embeds=embeds, attention_mask=torch.ones(embeds.shape[:2], dtype=torch.long), do_sample=False,
                max_new_tokens=48, min_new_tokens=48, pad_token_id=0, eos_token_id=None,
            )  # fmt: skip
            assert out.shape == (16, 48)
        return time.perf_counter() - start

    return run


def main():
    server = subprocess.Popen([args.binary, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    ready = json.loads(server.stdout.readline())
    print(f"threads {ready['threads']}, transformers {transformers.__version__}, torch {torch.__version__}")
    print("| case | regen, ms | PyTorch + transformers, ms | ratio |")
    print("| --- | --- | --- | --- |")

    def ours(case):
        server.stdin.write(case + "\n")
        server.stdin.flush()
        return json.loads(server.stdout.readline())["seconds"]

    medians = {}
    show = lambda s: f"{statistics.median(s) * 1e3:.1f} ({min(s) * 1e3:.1f}–{max(s) * 1e3:.1f})"
    step = training(torch.float32)
    for case, peer in [
        ("train_f32/8x72", step),
        ("train_f32_kernels/8x72", step),
        ("train_bf16/8x72", training(torch.bfloat16)),
        ("write_f32/64x48", writing()),
        ("adapter_f32/8x16", None),
    ]:
        mine, theirs = [], []
        for round_ in range(args.rounds + 1):
            own = ours(case)
            other = peer() if peer else None
            if round_ > 0:
                mine.append(own)
                theirs.append(other)
        medians[case] = statistics.median(mine)
        if peer:
            ratio = statistics.median(theirs) / statistics.median(mine)
            print(f"| {case} | {show(mine)} | {show(theirs)} | {ratio:.2f} |", flush=True)
        else:
            share = medians[case] / medians["train_f32/8x72"]
            print(f"| {case} | {show(mine)} | {100 * share:.1f} % of the step | |", flush=True)
    server.stdin.close()
    server.wait()


main()
