"""regen-lm's writers and llama.cpp in turns on the same weights, two threads each.

    cargo bench --bench lm --no-run          # prints the path of the binary
    pip install llama-cpp-python gguf        # builds llama.cpp for this processor
    python benches/peers/llama.py BINARY [--rounds N] [--threads N]

The model is the 26 M Llama of `lm.py`, written as GGUF in f32, bf16 and q8_0 without a tokenizer. Both sides write greedily
from the same ids; llama.cpp keeps keys and values in f32 unless the case says f16. Medians and the smallest and largest
throughput, as a Markdown table; in f32 the ids are compared.
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
args = parser.parse_args()
os.environ.setdefault("LD_LIBRARY_PATH", str(pathlib.Path(__file__).parents[2] / ".regen/libtorch/torch/lib"))
os.environ["OMP_NUM_THREADS"] = os.environ["RAYON_NUM_THREADS"] = str(args.threads)

import gguf  # noqa: E402  (after the thread count)
import llama_cpp  # noqa: E402
import numpy as np  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402

VOCAB = 8192
TYPES = {"f32": gguf.GGMLQuantizationType.F32, "bf16": gguf.GGMLQuantizationType.BF16, "q8_0": gguf.GGMLQuantizationType.Q8_0}


def ids(batch, seq):
    i = np.arange(batch * seq)
    return ((i * 7919 + i // seq * 104_729 + 3) % VOCAB).reshape(batch, seq)


def write_gguf(folder, kind):
    config = json.load(open(f"{folder}/config.json"))
    weights = load_file(f"{folder}/model.safetensors")
    path = f"{folder}/{kind}.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(config.get("rope_theta") or config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("no_vocab")

    def turned(weight, count):
        """llama.cpp turns neighbouring numbers of a head, Hugging Face its halves."""
        return weight.reshape(count, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)

    names = {
        "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "input_layernorm": "attn_norm",
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    }  # fmt: skip
    for name, weight in weights.items():
        base = name.removesuffix(".weight")
        if base.startswith("model.layers."):
            layer, part = base.removeprefix("model.layers.").split(".", 1)
            target = f"blk.{layer}.{names[part]}.weight"
            if part == "self_attn.q_proj":
                weight = turned(weight, heads)
            if part == "self_attn.k_proj":
                weight = turned(weight, kv_heads)
        else:
            target = f"{names[base]}.weight"
        own = TYPES[kind] if weight.ndim == 2 else TYPES["f32"]
        data = gguf.quants.quantize(np.ascontiguousarray(weight, dtype=np.float32), own)
        writer.add_tensor(target, data, raw_dtype=own)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


class Llama:
    """A model and a context with room for `rows` texts of `length` tokens."""

    def __init__(self, path, rows, length, cache):
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), llama_cpp.llama_model_default_params())
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = rows * length
        params.n_batch = params.n_ubatch = max(512, rows * 64)
        params.n_seq_max = rows
        params.n_threads = params.n_threads_batch = args.threads
        params.type_k = params.type_v = {"f32": 0, "f16": 1}[cache]
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        assert self.context, "llama.cpp made no context"
        self.batch = llama_cpp.llama_batch_init(max(512, rows * 64), 0, rows)

    def decode(self, tokens, last_only):
        """`tokens`: of each row, `(ids, first position)`. Greedy ids of each row's last token."""
        count, ends = 0, []
        for row, (own, first) in enumerate(tokens):
            for at, token in enumerate(own):
                self.batch.token[count], self.batch.pos[count] = int(token), first + at
                self.batch.n_seq_id[count], self.batch.seq_id[count][0] = 1, row
                self.batch.logits[count] = at == len(own) - 1
                count += 1
            ends.append(count - 1)
        self.batch.n_tokens = count
        assert llama_cpp.llama_decode(self.context, self.batch) == 0
        best = []
        for end in ends:
            logits = llama_cpp.llama_get_logits_ith(self.context, end)
            best.append(int(np.ctypeslib.as_array(logits, shape=(VOCAB,)).argmax()))
        return best

    def generate(self, prompts, new):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)
        start = prompts.shape[1]
        best = self.decode([(row, 0) for row in prompts], True)
        total = sum(best)
        for step in range(new - 1):
            best = self.decode([([token], start + step) for token in best], True)
            total += sum(best)
        return float(total)


def timed(run):
    start = time.perf_counter()
    check = run()
    return time.perf_counter() - start, check


def main():
    @llama_cpp.llama_log_callback
    def silent(level, text, data):
        pass

    llama_cpp.llama_log_set(silent, None)
    folder = tempfile.mkdtemp(prefix="regen-llama-")
    server = subprocess.Popen(
        [args.binary, "--serve", folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    server.stdout.readline()
    paths = {kind: write_gguf(f"{folder}/26m", kind) for kind in TYPES}
    print(f"llama-cpp-python {llama_cpp.__version__}, {args.threads} threads")
    print("| case | regen-lm, tokens/s | llama.cpp, tokens/s | ratio | same ids |")
    print("| --- | --- | --- | --- | --- |")
    for ours, kind, cache, rows, seq, new in [
        ("generate_f32_packed/1x64+64", "f32", "f32", 1, 64, 64),
        ("generate_f32_packed/1x64+64", "f32", "f16", 1, 64, 64),
        ("generate_bf16_packed/1x64+64", "bf16", "f32", 1, 64, 64),
        ("generate_int8_packed/1x64+64", "q8_0", "f32", 1, 64, 64),
        ("generate_f32_packed/16x64+64", "f32", "f32", 16, 64, 64),
        ("generate_f32_packed/16x64+64", "f32", "f16", 16, 64, 64),
        ("generate_bf16_packed/16x64+64", "bf16", "f32", 16, 64, 64),
        ("generate_int8_packed/16x64+64", "q8_0", "f32", 16, 64, 64),
        ("prefill_f32_packed/1x512", "f32", "f32", 1, 512, 1),
        ("prefill_bf16_packed/1x512", "bf16", "f32", 1, 512, 1),
        ("prefill_int8_packed/1x512", "q8_0", "f32", 1, 512, 1),
    ]:
        peer = Llama(paths[kind], rows, seq + new, cache)
        prompts = ids(rows, seq)
        mine, theirs, checks = [], [], None
        for round_ in range(args.rounds + 1):
            server.stdin.write(ours + "\n")
            server.stdin.flush()
            answer = json.loads(server.stdout.readline())
            seconds, check = timed(lambda: peer.generate(prompts, new))
            if round_ == 0:
                checks = (answer["check"], check)
            else:
                mine.append(answer["seconds"])
                theirs.append(seconds)
        tokens = rows * new if new > 1 else seq
        spread = lambda s: f"{tokens / statistics.median(s):.0f} ({tokens / max(s):.0f}–{tokens / min(s):.0f})"
        note = ("yes" if checks[0] == checks[1] else "no") if kind == "f32" else ""
        ratio = statistics.median(theirs) / statistics.median(mine)
        print(f"| {ours}, {kind}, cache {cache} | {spread(mine)} | {spread(theirs)} | {ratio:.2f} | {note} |", flush=True)
    server.stdin.close()
    server.wait()


main()
