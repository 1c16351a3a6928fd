"""Expected TER values of sacrebleu for the generated texts.

    python3 make.py        # needs sacrebleu 2.6.0; some minutes
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from common import columns, compact, pairs, write  # noqa: E402
from sacrebleu.metrics import TER  # noqa: E402

CASES = {
    "ter": dict(),
    "ter-norm-case": dict(normalized=True, case_sensitive=True),
    "ter-nopunct": dict(no_punct=True),
    "ter-all": dict(normalized=True, no_punct=True, asian_support=True),
    "ter-norm-asian": dict(normalized=True, asian_support=True),
}

hypotheses, references = pairs()
for name, options in CASES.items():
    metric = TER(**options)
    scores = [metric.sentence_score(h, r) for h, r in zip(hypotheses, references)]
    corpus = metric.corpus_score(hypotheses, columns(references))
    write("ter", name, {
        "options": options,
        "signature": str(metric.get_signature()),
        "corpus": compact(corpus.score),
        "edits": [s.num_edits for s in scores],
        "sentences": [compact(s.score) for s in scores],
    })
