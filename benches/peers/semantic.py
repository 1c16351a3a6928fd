"""Sentence embedding, regen beside sentence-transformers and ONNX Runtime: one run, interleaved, the same texts.

    cargo build --release --example embed_items
    python benches/peers/semantic.py --binary target/release/examples/embed_items --model .regen/encoder

Each round runs every contender once on each set; the table has the median and the best of the rounds. Loading is not
counted; tokenising is. The vectors are compared with sentence-transformers' in f32. The floor is what the encoder's products
take at the rate of the machine's best product of that precision (torch's or oneDNN's, square matrices), measured before and
after; its share is that of the best round.
"""

import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import tempfile
import time

PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--binary", required=True)
PARSER.add_argument("--model", required=True)
PARSER.add_argument("--rounds", type=int, default=5)
PARSER.add_argument("--threads", type=int, default=2)
PARSER.add_argument("--short", type=int, default=2000)
PARSER.add_argument("--long", type=int, default=500)
PARSER.add_argument("--skip-onnx", action="store_true")
PARSER.add_argument("--skip-bf16", action="store_true", help="for processors without bf16 instructions")
ARGS = PARSER.parse_args()
# For the Rust side: the libraries that it was linked with, as `cargo xtask setup` laid them.
os.environ.setdefault("LD_LIBRARY_PATH", str(pathlib.Path(__file__).parents[2] / ".regen/libtorch/torch/lib"))
os.environ["OMP_NUM_THREADS"] = str(ARGS.threads)
os.environ["TOKENIZERS_PARALLELISM"] = "true"

import numpy as np  # noqa: E402
import torch  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402

torch.set_num_threads(ARGS.threads)

WORDS = """pen paper ruled stapler desk chair folder label ink toner printer sticky note calendar binder clip marker
highlighter eraser ruler scissors tape glue envelope mailing stamp shredder laminator whiteboard magnet cable monitor stand
ergonomic gel blue red black fine medium point refill pack of 12 with for and the smooth writing recycled heavy duty small
large office school student teacher quiet wireless keyboard lamp drawer organizer tray hanging file card index""".split()


def texts(count, low, high, seed):
    rng = random.Random(seed)
    return [" ".join(rng.choice(WORDS) for _ in range(rng.randint(low, high))) for _ in range(count)]


SETS = {"short": texts(ARGS.short, 7, 16, 1), "long": texts(ARGS.long, 140, 200, 2)}


def flops(lengths, config):
    """Multiplications and additions of a BERT's products: projections and perceptron a token, scores and sums a pair of tokens."""
    hidden, inner = config.hidden_size, config.intermediate_size
    token = 2 * (4 * hidden * hidden + 2 * hidden * inner)
    return config.num_hidden_layers * sum(token * length + 4 * hidden * length * length for length in lengths)


def products():
    """Multiplications and additions a second in f32 and, where there are such instructions, bf16: the best of some."""

    def best(work, run):
        taken = []
        for _ in range(8):
            started = time.perf_counter()
            run()
            taken.append(time.perf_counter() - started)
            # Without instructions for it, one product takes a minute.
            if taken[-1] > 5:
                break
        return work / min(taken)

    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    rates = {"f32": best(2 * 2048**3, lambda: a @ b)}
    # oneDNN's product, which torch does not choose by itself and not every build of it has.
    left, right = a.to_mkldnn(), b.to_mkldnn()
    for product in (torch.matmul, torch.nn.functional.linear):
        try:
            rates["f32"] = max(rates["f32"], best(2 * 2048**3, lambda product=product: product(left, right)))
        except RuntimeError:
            continue
    if not ARGS.skip_bf16:
        a, b = a[:1024, :1024].bfloat16(), b[:1024, :1024].bfloat16()
        rates["bf16"] = best(2 * 1024**3, lambda: a @ b)
    return rates


def run_regen(name, dtype, folder):
    path = os.path.join(folder, f"{name}.txt")
    with open(path, "w") as file:
        file.write("".join(text + "\n" for text in SETS[name]))
    out = os.path.join(folder, f"{name}-{dtype}")
    command = [ARGS.binary, "--model", ARGS.model, "--input", path, "--dtype", dtype, "--out", out, "--json", "--quiet",
               "--threads", str(ARGS.threads), "--device", "cpu"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    return report["seconds"], np.load(os.path.join(out, "embeddings.npy"))


def reference_runner(dtype):
    encoder = SentenceTransformer(ARGS.model, device="cpu", model_kwargs={"dtype": dtype})

    def run(name):
        started = time.perf_counter()
        vectors = encoder.encode(SETS[name], batch_size=32)
        return time.perf_counter() - started, vectors

    return run


def onnx_runner(folder):
    import onnxruntime
    from transformers import AutoModel, AutoTokenizer

    class Tokens(torch.nn.Module):
        """Token vectors from three tensors by place, as the exporter calls it."""

        def __init__(self):
            super().__init__()
            self.model = AutoModel.from_pretrained(ARGS.model, attn_implementation="eager").eval()

        def forward(self, ids, mask, types):
            return self.model(input_ids=ids, attention_mask=mask, token_type_ids=types).last_hidden_state

    model = Tokens().eval()
    tokenizer = AutoTokenizer.from_pretrained(ARGS.model)
    path = os.path.join(folder, "model.onnx")
    example = tokenizer(["a pen", "a red pen"], padding=True, return_tensors="pt")
    axes = {0: "batch", 1: "seq"}
    torch.onnx.export(model, (example["input_ids"], example["attention_mask"], example["token_type_ids"]), path,
                      input_names=["ids", "mask", "types"], output_names=["tokens"],
                      dynamic_axes={"ids": axes, "mask": axes, "types": axes, "tokens": axes}, dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = ARGS.threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(name, batch):
        started = time.perf_counter()
        found = SETS[name]
        order = sorted(range(len(found)), key=lambda index: -len(found[index]))
        vectors = np.empty((len(found), 384), dtype=np.float32)
        for start in range(0, len(order), batch):
            rows = order[start:start + batch]
            inputs = tokenizer([found[row] for row in rows], padding=True, truncation=True, max_length=256,
                               return_tensors="np")
            tokens = session.run(["tokens"], {"ids": inputs["input_ids"], "mask": inputs["attention_mask"],
                                              "types": inputs["token_type_ids"]})[0]
            mask = inputs["attention_mask"][..., None].astype(np.float32)
            pooled = (tokens * mask).sum(1) / mask.sum(1)
            vectors[rows] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return time.perf_counter() - started, vectors

    return run


def main():
    with tempfile.TemporaryDirectory() as folder:
        plain, half = reference_runner(torch.float32), reference_runner(torch.bfloat16)
        contenders = {
            "sentence-transformers f32": plain,
            "sentence-transformers bf16": half,
            "regen f32": lambda name: run_regen(name, "f32", folder),
            "regen bf16": lambda name: run_regen(name, "bf16", folder),
        }
        if ARGS.skip_bf16:
            contenders = {label: run for label, run in contenders.items() if "bf16" not in label}
        if not ARGS.skip_onnx:
            onnx = onnx_runner(folder)
            for batches in [{"short": 16, "long": 1}, {"short": 32, "long": 4}, {"short": 64, "long": 8}]:
                label = f"ONNX Runtime f32, batch {batches['short']} short, {batches['long']} long"
                contenders[label] = lambda name, batches=batches: onnx(name, batches[name])
        loaded = SentenceTransformer(ARGS.model, device="cpu")
        tokens, config = loaded.tokenizer, loaded[0].auto_model.config
        for name, found in SETS.items():
            lengths = [len(ids) for ids in tokens(found, truncation=True, max_length=256)["input_ids"]]
            print(f"{name}: {len(found)} texts of {statistics.mean(lengths):.1f} tokens", flush=True)
            work = flops(lengths, config)
            rates = products()
            reference = plain(name)[1]
            seconds = {label: [] for label in contenders}
            closeness = {}
            for _ in range(ARGS.rounds):
                for label, run in contenders.items():
                    taken, vectors = run(name)
                    seconds[label].append(taken)
                    vectors = vectors.astype(np.float64)
                    cosines = (vectors * reference).sum(1) / np.linalg.norm(vectors, axis=1)
                    closeness[label] = (np.abs(vectors - reference).max(), cosines.min())
            rates = {dtype: max(rate, rates[dtype]) for dtype, rate in products().items()}
            for dtype, rate in rates.items():
                print(f"floor in {dtype}: {work / len(found) / 1e6:.0f} MFlop a text at {rate / 1e9:.0f} GFlop/s are "
                      f"{rate / work * len(found):.0f} texts/s")
            base = statistics.median(seconds["sentence-transformers f32"])
            print("| contender | texts/s, median (best) | × sentence-transformers | share of the floor | max difference | least cosine |")
            print("| --- | --- | --- | --- | --- | --- |")
            for label, taken in seconds.items():
                middle, count = statistics.median(taken), len(found)
                share = work / rates["bf16" if "bf16" in label else "f32"] / min(taken)
                print(f"| {label} | {count / middle:.0f} ({count / min(taken):.0f}) | {base / middle:.2f} | {share:.0%} | "
                      f"{closeness[label][0]:.1e} | {closeness[label][1]:.6f} |")


main()
