"""regen-lm and transformers in turns on the same weights, one process each, two threads each.

    cargo bench --bench lm --no-run          # prints the path of the binary
    python benches/peers/lm.py BINARY [--rounds N] [--threads N] [--only PREFIX]

Each round runs every case once on each side; medians and the smallest and largest times are printed as a Markdown
table, with the floors of the machine (matrix products, reading memory) measured in the same run. Where both sides
compute in f32, losses and greedy ids are compared.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

parser = argparse.ArgumentParser()
parser.add_argument("binary")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--only", default="", help="cases whose name begins like this")
args = parser.parse_args()
# For the Rust side: the libraries that it was linked with, as `cargo xtask setup` laid them.
os.environ.setdefault("LD_LIBRARY_PATH", str(pathlib.Path(__file__).parents[2] / ".regen/libtorch/torch/lib"))
os.environ["OMP_NUM_THREADS"] = os.environ["RAYON_NUM_THREADS"] = str(args.threads)

import torch  # noqa: E402  (after the thread count)
import transformers  # noqa: E402

torch.set_num_threads(args.threads)
VOCAB = 8192


def ids(batch, seq, vocab):
    i = torch.arange(batch * seq)
    return ((i * 7919 + i // seq * 104_729 + 3) % vocab).view(batch, seq)


def load(folder, dtype):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa")


def training(folder, dtype, batch, seq, vocab, lora=False):
    # bf16 is what transformers users run: f32 weights under autocast.
    model = load(folder, torch.float32).train()
    if lora:
        import peft

        config = peft.LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"])
        model = peft.get_peft_model(model, config)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1)
    tokens = ids(batch, seq + 1, vocab)

    def run():
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            logits = model(input_ids=tokens[:, :-1]).logits
            loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        return loss.item()

    return run


def generation(folder, dtype, batch):
    model = load(folder, dtype).eval()
    prompt = ids(batch, 64, VOCAB)

    @torch.no_grad()
    def run():
        out = model.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=False,
            max_new_tokens=64,
            min_new_tokens=64,
            pad_token_id=0,
            eos_token_id=None,
        )
        return float(out[:, 64:].sum())

    return run


def prefill(folder, dtype):
    model = load(folder, dtype).eval()
    prompt = ids(1, 512, VOCAB)

    @torch.no_grad()
    def run():
        return float(model(input_ids=prompt, use_cache=True, logits_to_keep=1).logits[0, -1].argmax())

    return run


def floors():
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    big = torch.randn(64 * 1024 * 1024)
    rows = []
    for name, work, unit, run in [
        ("sgemm 2048³ (MKL)", 2 * 2048**3 / 1e9, "GFlop/s", lambda: a @ b),
        ("f32 2048³ (oneDNN)", 2 * 2048**3 / 1e9, "GFlop/s", lambda: (a.to_mkldnn() @ b.to_mkldnn()).to_dense()),
        ("bf16 1024³ (oneDNN)", 2 * 1024**3 / 1e9, "GFlop/s", lambda a=a[:1024, :1024].bfloat16(), b=b[:1024, :1024].bfloat16(): a @ b),
        ("reading 256 MiB", big.numel() * 4 / 1e9, "GB/s", lambda: big.sum()),
    ]:
        # Some processors have no such product, some one that takes a minute: then once is enough to tell.
        try:
            best, _ = timed(run)
        except RuntimeError:
            continue
        if best < 5:
            best = min(timed(run)[0] for _ in range(8))
        rows.append(f"{name} {work / best:.0f} {unit}")
    return "; ".join(rows)


def timed(run):
    start = time.perf_counter()
    check = run()
    return time.perf_counter() - start, check


def main():
    folder = tempfile.mkdtemp(prefix="regen-lm-peers-")
    server = subprocess.Popen(
        [args.binary, "--serve", folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    ready = json.loads(server.stdout.readline())
    big, small = f"{folder}/26m", f"{folder}/2m"
    f32, bf16 = torch.float32, torch.bfloat16
    cases = [
        (8 * 256, lambda: training(big, f32, 8, 256, VOCAB), ["train_f32/8x256", "train_f32_kernels/8x256"]),
        (8 * 256, lambda: training(big, bf16, 8, 256, VOCAB), ["train_bf16/8x256"]),
        (8 * 256, lambda: training(big, f32, 8, 256, VOCAB, lora=True), ["train_lora_f32/8x256", "train_lora_f32_kernels/8x256"]),
        (32 * 68, lambda: training(small, f32, 32, 68, 2048), ["train_2m_f32/32x68", "train_2m_f32_kernels/32x68"]),
        (64, lambda: generation(big, f32, 1), ["generate_f32/1x64+64", "generate_f32_packed/1x64+64"]),
        (64, lambda: generation(big, bf16, 1), ["generate_bf16/1x64+64", "generate_bf16_packed/1x64+64", "generate_int8_packed/1x64+64"]),
        (16 * 64, lambda: generation(big, f32, 16), ["generate_f32/16x64+64", "generate_f32_packed/16x64+64"]),
        (16 * 64, lambda: generation(big, bf16, 16), ["generate_bf16/16x64+64", "generate_bf16_packed/16x64+64", "generate_int8_packed/16x64+64"]),
        (512, lambda: prefill(big, f32), ["prefill_f32/1x512", "prefill_f32_packed/1x512"]),
        (512, lambda: prefill(big, bf16), ["prefill_bf16/1x512", "prefill_bf16_packed/1x512"]),
    ]
    print(f"threads {ready['threads']}, transformers {transformers.__version__}, torch {torch.__version__}")
    print(f"floors: {floors()}\n")
    print("| case | regen-lm, tokens/s | transformers, tokens/s | ratio | same result |")
    print("| --- | --- | --- | --- | --- |")
    for tokens, build, names in cases:
        if not names[0].startswith(args.only):
            continue
        peer = build()
        ours, theirs = {name: [] for name in names}, []
        for round_ in range(args.rounds + 1):
            for name in names:
                server.stdin.write(name + "\n")
                server.stdin.flush()
                answer = json.loads(server.stdout.readline())
                if round_ == 0:
                    ours[name + "/check"] = answer["check"]
                else:
                    ours[name].append(answer["seconds"])
            seconds, check = timed(peer)
            if round_ == 0:
                first = check
            else:
                theirs.append(seconds)
        for name in names:
            spread = lambda s: f"{tokens / statistics.median(s):.0f} ({tokens / max(s):.0f}–{tokens / min(s):.0f})"
            mine = ours[name + "/check"]
            same = abs(mine - first) <= 1e-4 * abs(first)
            note = "yes" if same else f"{mine:.4g} / {first:.4g}"
            ratio = statistics.median(theirs) / statistics.median(ours[name])
            print(f"| {name} | {spread(ours[name])} | {spread(theirs)} | {ratio:.2f} | {note} |", flush=True)
    server.stdin.close()
    server.wait()


main()
