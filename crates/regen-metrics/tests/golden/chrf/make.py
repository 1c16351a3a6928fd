"""Expected chrF values of sacrebleu for the generated texts.

    python3 make.py        # needs sacrebleu 2.6.0
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from common import columns, compact, pairs, write  # noqa: E402
from sacrebleu.metrics import CHRF  # noqa: E402

CASES = {
    "chrf": dict(),
    "chrf++": dict(word_order=2),
    "chrf++-lc": dict(word_order=2, lowercase=True),
    "chrf-eps": dict(eps_smoothing=True),
    "chrf-space-order4-beta3": dict(whitespace=True, char_order=4, beta=3),
    "chrf+-eps-order3": dict(word_order=1, char_order=3, eps_smoothing=True),
}

hypotheses, references = pairs()
for name, options in CASES.items():
    metric = CHRF(**options)
    sentences = [metric.sentence_score(h, r).score for h, r in zip(hypotheses, references)]
    corpus = metric.corpus_score(hypotheses, columns(references))
    write("chrf", name, {
        "options": options,
        "name": corpus.name,
        "signature": str(metric.get_signature()),
        "corpus": compact(corpus.score),
        "first_reference_corpus": compact(CHRF(**options).corpus_score(hypotheses, [[r[0] for r in references]]).score),
        "sentences": [compact(s) for s in sentences],
    })
