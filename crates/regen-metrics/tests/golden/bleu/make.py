"""Expected BLEU values of sacrebleu for the generated texts.

    python3 make.py        # needs sacrebleu 2.6.0
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from common import columns, compact, pairs, write  # noqa: E402
from sacrebleu.metrics import BLEU  # noqa: E402

CASES = {
    "13a": dict(),
    "13a-effective": dict(effective_order=True),
    "13a-lc-floor": dict(lowercase=True, smooth_method="floor", effective_order=True),
    "13a-addk": dict(smooth_method="add-k", smooth_value=0.7),
    "13a-none-effective": dict(smooth_method="none", effective_order=True),
    "13a-order2": dict(max_ngram_order=2),
    "intl": dict(tokenize="intl", effective_order=True),
    "intl-lc-order1": dict(tokenize="intl", lowercase=True, max_ngram_order=1),
    "char": dict(tokenize="char", effective_order=True),
    "zh": dict(tokenize="zh", effective_order=True),
    "none": dict(tokenize="none", smooth_method="floor", smooth_value=0.01),
}

hypotheses, references = pairs()
for name, options in CASES.items():
    metric = BLEU(**options)
    sentences = [metric.sentence_score(h, r).score for h, r in zip(hypotheses, references)]
    corpus = metric.corpus_score(hypotheses, columns(references))
    signature = str(metric.get_signature())
    single = BLEU(**options)
    write("bleu", name, {
        "options": options,
        "signature": signature,
        "corpus": compact(corpus.score),
        "precisions": [compact(p) for p in corpus.precisions],
        "brevity_penalty": compact(corpus.bp),
        "hypothesis_words": corpus.sys_len,
        "reference_words": corpus.ref_len,
        "first_reference_corpus": compact(single.corpus_score(hypotheses, [[r[0] for r in references]]).score),
        "first_reference_signature": str(single.get_signature()),
        "sentences": [compact(s) for s in sentences],
    })
