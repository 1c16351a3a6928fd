"""A tiny random checkpoint in llama2.c's version 0 layout with a tokenizer, and what run.c would compute.

    python make.py

The forward pass below rotates neighbouring pairs and encodes by best-scoring merge, as run.c does; it shares nothing
with the Hugging Face layout.
"""

import datetime
import json
import math
import pathlib
import struct

import numpy as np

HERE = pathlib.Path(__file__).parent
SEED = 77
DIM, HIDDEN, LAYERS, HEADS, KV, SEQ = 16, 20, 2, 4, 2, 32
PIECES = ["\u2581t", "he", "\u2581the", "\u2581", "t", "h", "e", "p", "n", "\u2581p", "en", "\u2581pen", "in"]
SCORES = [0.0, -1.0, -2.0, -9.0, -9.0, -9.0, -9.0, -9.0, -9.0, -3.0, -4.0, -5.0, -6.0]
VOCAB = 259 + len(PIECES)
TEXTS = ["the pen", "the  then in", "nine \u00e9"]
HEAD = DIM // HEADS

rng = np.random.default_rng(SEED)


def draw(*shape):
    return (0.35 * rng.standard_normal(shape)).astype(np.float32)


w = dict(
    emb=draw(VOCAB, DIM),
    rms_att=1 + draw(LAYERS, DIM),
    wq=draw(LAYERS, DIM, DIM),
    wk=draw(LAYERS, KV * HEAD, DIM),
    wv=draw(LAYERS, KV * HEAD, DIM),
    wo=draw(LAYERS, DIM, DIM),
    rms_ffn=1 + draw(LAYERS, DIM),
    w1=draw(LAYERS, HIDDEN, DIM),
    w2=draw(LAYERS, DIM, HIDDEN),
    w3=draw(LAYERS, HIDDEN, DIM),
    rms_final=1 + draw(DIM),
)
freq = 1.0 / 10000 ** (np.arange(0, HEAD, 2) / HEAD)
angles = np.outer(np.arange(SEQ), freq)
with open(HERE / "model.bin", "wb") as f:
    f.write(struct.pack("7i", DIM, HIDDEN, LAYERS, HEADS, KV, VOCAB, SEQ))
    for value in w.values():
        f.write(value.astype("<f4").tobytes())
    f.write(np.cos(angles).astype("<f4").tobytes())
    f.write(np.sin(angles).astype("<f4").tobytes())
pieces = ["<unk>", "\n<s>\n", "\n</s>\n"] + [f"<0x{b:02X}>" for b in range(256)] + PIECES
scores = [0.0] * 259 + SCORES
with open(HERE / "tokenizer.bin", "wb") as f:
    f.write(struct.pack("i", max(len(p.encode()) for p in pieces)))
    for piece, score in zip(pieces, scores):
        raw = piece.replace("\u2581", " ").encode()
        f.write(struct.pack("fi", score, len(raw)) + raw)


def encode(text):
    lookup = {p.replace("\u2581", " "): i for i, p in enumerate(pieces)}
    ids = []
    for char in " " + text:
        ids += [lookup[char]] if char in lookup else [b + 3 for b in char.encode()]
    while True:
        best = None
        for at in range(len(ids) - 1):
            merged = pieces[ids[at]].replace("\u2581", " ") + pieces[ids[at + 1]].replace("\u2581", " ")
            if merged in lookup and (best is None or scores[lookup[merged]] > best[0]):
                best = (scores[lookup[merged]], at, lookup[merged])
        if best is None:
            return [1] + ids
        ids[best[1] : best[1] + 2] = [best[2]]


def norm(x, weight):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * weight


def turn(x):
    pairs = x.reshape(len(x), -1, HEAD // 2, 2)
    cos, sin = np.cos(angles[: len(x)])[:, None], np.sin(angles[: len(x)])[:, None]
    a, b = pairs[..., 0], pairs[..., 1]
    return np.stack([a * cos - b * sin, a * sin + b * cos], -1).reshape(x.shape)


def forward(ids):
    x = w["emb"][ids].astype(np.float64)
    for l in range(LAYERS):
        h = norm(x, w["rms_att"][l])
        q, k, v = turn(h @ w["wq"][l].T), turn(h @ w["wk"][l].T), h @ w["wv"][l].T
        out = np.zeros_like(x)
        for head in range(HEADS):
            kv = head // (HEADS // KV)
            own, shared = slice(head * HEAD, (head + 1) * HEAD), slice(kv * HEAD, (kv + 1) * HEAD)
            scores_ = q[:, own] @ k[:, shared].T / math.sqrt(HEAD)
            scores_[np.triu_indices(len(ids), 1)] = -np.inf
            share = np.exp(scores_ - scores_.max(-1, keepdims=True))
            out[:, own] = share / share.sum(-1, keepdims=True) @ v[:, shared]
        x = x + out @ w["wo"][l].T
        h = norm(x, w["rms_ffn"][l])
        gate = h @ w["w1"][l].T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ w["w3"][l].T)) @ w["w2"][l].T
    return norm(x, w["rms_final"]) @ w["emb"].T


expected = []
for text in TEXTS:
    ids = encode(text)
    expected.append(dict(text=text, ids=ids, logits=[round(float(v), 6) for v in forward(ids)[-1]]))
(HERE / "expected.json").write_text(json.dumps(expected))
(HERE / "PROVENANCE.toml").write_text(
    'reference = "numpy transcription of the computation of run.c (llama2.c), f64"\n'
    'command = "python make.py"\n'
    f"seed = {SEED}\n"
    f"date = {datetime.date.today().isoformat()}\n"
    "tolerance = 1e-4\n"
    'reason = "f32 against f64; logits are of order 10"\n'
)
