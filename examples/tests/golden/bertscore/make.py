"""Expected values of `evaluate --bertscore`: bert-score's own, with the encoder of `cargo xtask setup`.

    python3 make.py ENCODER        # needs bert-score 0.3.13; writes expected.json beside this file
"""
import json
import pathlib
import sys

import bert_score

HERE = pathlib.Path(__file__).parent
pairs = [json.loads(line) for line in (HERE / "pairs.jsonl").read_text().splitlines()]
hypotheses = [pair["hyp"] for pair in pairs]
references = [pair.get("refs", [pair.get("ref")]) for pair in pairs]
expected = {}
for name, layer, idf in [("last", 6, False), ("last, idf", 6, True), ("third", 3, False)]:
    scores = bert_score.score(hypotheses, references, model_type=sys.argv[1], num_layers=layer, idf=idf,
                              batch_size=4, device="cpu")
    expected[name] = [[round(float(value), 7) for value in row] for row in zip(*scores)]
(HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
