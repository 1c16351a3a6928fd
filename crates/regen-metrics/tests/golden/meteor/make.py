"""Expected METEOR values of NLTK, without synonyms, for the generated texts.

    python3 make.py        # needs nltk 3.10.4, sacrebleu 2.6.0 for the 13a words
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from common import compact, pairs, write  # noqa: E402
from nltk.translate.meteor_score import meteor_score  # noqa: E402
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a  # noqa: E402


class NoSynonyms:
    def synsets(self, word):
        return []


CASES = {
    "split": (str.split, {}),
    "13a": (lambda text: Tokenizer13a()(text.rstrip()).split(), {}),
    "weights": (str.split, dict(alpha=0.5, beta=1.5, gamma=0.25)),
}

hypotheses, references = pairs()
for name, (cut, options) in CASES.items():
    values = [meteor_score([cut(r) for r in refs], cut(h), wordnet=NoSynonyms(), **options)
              for h, refs in zip(hypotheses, references)]
    write("meteor", name, {"mean": compact(sum(values) / len(values)), "sentences": [compact(v) for v in values]})
