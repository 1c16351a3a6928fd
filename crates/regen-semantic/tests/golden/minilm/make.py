"""The real all-MiniLM-L6-v2 on varied texts: numbers that every dimension of each vector takes part in.

Run in this folder: python make.py ENCODER_FOLDER

With a file as a second argument, python make.py ENCODER_FOLDER VECTORS.npy, nothing here is written, but the whole vectors of
texts.json into that file: with its path in REGEN_ENCODER_VECTORS, the ignored test of minilm.rs compares every number.
"""

import json
import random
import sys

import numpy as np
from sentence_transformers import SentenceTransformer

SEED = 7
WORDS = """pen paper ruled stapler desk chair folder label ink toner printer sticky note calendar binder clip marker
highlighter eraser ruler scissors tape glue envelope mailing stamp shredder laminator whiteboard magnet cable monitor stand
ergonomic gel blue red black fine medium point refill pack of 12 with for and the smooth writing recycled heavy duty small
large office school student teacher quiet wireless keyboard lamp drawer organizer tray hanging file card index""".split()


def texts():
    rng = random.Random(SEED)
    found = [
        "", " ", "a", "Z", "7", "?", "...", "!!! ??? ;;; --- ((()))", "\u00e9", "\U0001f58a", "\U0001f58a\ufe0f\U0001f4d3 \U0001f600\U0001f600",
        "\u4e2d\u6587\u7b14\u8bb0\u672c", "\u9ad8\u8d28\u91cf\u7684\u84dd\u8272\u5706\u73e0\u7b14\uff0c\u9002\u5408\u529e\u516c\u5ba4\u4f7f\u7528\u3002", "\u6d88\u3057\u30b4\u30e0\u4ed8\u304d\u925b\u7b46", "\ud544\uae30\uad6c \uc138\ud2b8",
        "\u0420\u0443\u0447\u043a\u0430 \u0433\u0435\u043b\u0435\u0432\u0430\u044f", "\u0642\u0644\u0645 \u0623\u0632\u0631\u0642", "\u0928\u0940\u0932\u093e \u092a\u0947\u0928", "na\u00efve caf\u00e9 r\u00e9sum\u00e9", "CAPITALS ONLY", "mixedCASE Words",
        "tab\tand\nnewline\r\nand  many   blanks ", "\u200bzero\u200bwidth", "\u0000control\u0007", "[CLS] literal [SEP] [PAD] [MASK]",
        "https://example.com/pens?id=12&x=%20", "12.5 x 30 cm, 3-pack (#4711)", "a" * 150, "supercalifragilisticexpialidocious " * 3,
        "x " * 600, " ".join(rng.choice(WORDS) for _ in range(5000)),
    ]
    for length in list(range(1, 40)) + [60, 90, 120, 150, 200, 240, 250, 252, 253, 254, 255, 256, 257, 260, 300]:
        for _ in range(3 if length < 40 else 1):
            found.append(" ".join(rng.choice(WORDS) for _ in range(length)))
    for _ in range(90):
        title = " ".join(rng.choice(WORDS) for _ in range(rng.randint(4, 18))).title()
        unit = rng.choice(["Count", "Pack", "x", '"'])
        found.append(f"{title}, {rng.randint(1, 99)} {unit} - {rng.choice(WORDS).upper()}")
    return found


def main():
    if len(sys.argv) > 2:
        with open("texts.json") as file:
            inputs = json.load(file)
        vectors = SentenceTransformer(sys.argv[1], device="cpu").encode(inputs, batch_size=16)
        np.save(sys.argv[2], vectors.astype(np.float32))
        print(vectors.shape)
        return
    inputs = texts()
    vectors = SentenceTransformer(sys.argv[1], device="cpu").encode(inputs, batch_size=16).astype(np.float64)
    signs = np.array([[(-1) ** bin(row & column).count("1") for column in range(384)] for row in range(1, 9)])
    sketch = np.concatenate([vectors[:, :6], vectors @ signs.T / np.sqrt(384)], axis=1)
    with open("texts.json", "w") as file:
        json.dump(inputs, file, indent=0)
    with open("expected.json", "w") as file:
        json.dump([[float(f"{value:.8g}") for value in row] for row in sketch.tolist()], file)
    print(len(inputs), sketch.shape)


main()
