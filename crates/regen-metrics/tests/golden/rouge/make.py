"""Expected ROUGE values of rouge-score for the generated texts.

    python3 make.py        # needs rouge-score 0.1.2 and nltk
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from common import compact, pairs, write  # noqa: E402
from rouge_score.rouge_scorer import RougeScorer  # noqa: E402

TYPES = ["rouge1", "rouge2", "rouge3", "rougeL", "rougeLsum"]

hypotheses, references = pairs()
for stemmer in (False, True):
    scorer = RougeScorer(TYPES, use_stemmer=stemmer)
    scores = [scorer.score_multi(r, h) for h, r in zip(hypotheses, references)]
    for kind in TYPES:
        values = [s[kind] for s in scores]
        mean = [sum(v[part] for v in values) / len(values) for part in range(3)]
        write("rouge", f"{kind}{'-stem' if stemmer else ''}", {
            "mean": [compact(m) for m in mean],
            "sentences": [[compact(part) for part in v] for v in values],
        })
