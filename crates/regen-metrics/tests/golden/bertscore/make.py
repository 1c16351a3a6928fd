"""Expected BERTScore values of bert-score's matching for vectors that both sides compute from integers.

    python3 make.py        # needs bert-score 0.3.13 and torch
"""
import pathlib
import sys
from collections import Counter, defaultdict
from math import log

import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from bert_score.utils import greedy_cos_idf  # noqa: E402
from common import write  # noqa: E402

DIM = 7
BASELINE = (0.31, 0.27, 0.29)


def tokens(pair, side):
    """Token ids, [CLS] = 1 and [SEP] = 2 around them; every 50th text is empty."""
    count = 0 if pair % 50 == 7 + side else 1 + (pair * (5 + side) + side) % 9
    return [1] + [3 + (pair * 31 + at * (7 + side) + side * 3) % 23 for at in range(count)] + [2]


def vector(pair, side, at, token):
    return [((pair * 7919 + side * 104729 + at * 613 + token * 15013 + k * 1299709 + token * k * 97) % 2003) / 1001.5 - 1.0
            for k in range(DIM)]


def idf_of(documents):
    """get_idf_dict, which itself wants a tokenizer and texts, on ids."""
    counts = Counter(token for document in documents for token in set(document))
    idf = defaultdict(lambda: log(len(documents) + 1))
    idf.update({token: log((len(documents) + 1) / (count + 1)) for token, count in counts.items()})
    return idf


def score(pair, idf):
    sides = []
    for side in (1, 0):
        ids = tokens(pair, side)
        vectors = torch.tensor([[vector(pair, side, at, token) for at, token in enumerate(ids)]])
        weights = torch.tensor([[0.0 if token in (1, 2) else idf[token] for token in ids]])
        sides += [vectors, torch.ones(1, len(ids), dtype=torch.bool), weights]
    return [float(x[0]) for x in greedy_cos_idf(*sides)]


PAIRS = range(1000)
idf = idf_of([tokens(pair, 1) for pair in PAIRS])
plain = [score(pair, {token: 1.0 for token in range(30)}) for pair in PAIRS]
weighted = [score(pair, idf) for pair in PAIRS]
short = lambda rows: [[round(x, 7) for x in row] for row in rows]  # noqa: E731
write("bertscore", "plain", {"scores": short(plain)})
write("bertscore", "idf", {"scores": short(weighted), "idf": [round(idf[token], 9) for token in range(30)]})
write("bertscore", "rescaled", {"baseline": BASELINE, "scores": short(
    [[(x - b) / (1 - b) for x, b in zip(row, BASELINE)] for row in plain])})
