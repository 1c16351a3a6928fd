"""Expected self-BLEU: sacrebleu's sentence BLEU of each of 150 texts with all others as references.

    python3 make.py        # needs sacrebleu 2.6.0
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from common import compact, pairs, write  # noqa: E402
from sacrebleu.metrics import BLEU  # noqa: E402

texts = pairs()[0][20:170]
metric = BLEU(effective_order=True)
values = [metric.sentence_score(text, texts[:own] + texts[own + 1:]).score for own, text in enumerate(texts)]
write("self_bleu", "self_bleu", {"mean": compact(sum(values) / len(values)), "texts": [compact(v) for v in values],
                                 "signature": str(metric.get_signature())})
