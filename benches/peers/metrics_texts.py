"""Generated pairs of about 40 words for timing metrics: Zipf-distributed English-like words with inflections,
capitals, numbers and punctuation; hypotheses are edited references.

    python3 metrics_texts.py 5000 > pairs.jsonl
"""
import json
import random
import sys

SYLLABLES = [c + v + e for c in ["b", "br", "c", "d", "f", "g", "l", "m", "n", "p", "pl", "r", "s", "st", "t", "tr", "v", "w"]
             for v in "aeiou" for e in ["", "n", "r", "st", "l", "ck"]]
ENDINGS = ["", "", "", "", "s", "ed", "ing", "ly", "ness", "ation", "er", "ful", "able", "ment", "ity", "ies"]
FUNCTION = "the a of and to in it is was that for on with as at by this be not from or an you your i my they".split()


def texts(count, seed=11):
    rng = random.Random(seed)
    vocabulary = ["".join(rng.choices(SYLLABLES, k=rng.choice([1, 1, 2, 2, 3]))) + rng.choice(ENDINGS)
                  for _ in range(8000)]
    weights = [1 / (rank + 10) for rank in range(len(vocabulary))]

    def word():
        kind = rng.random()
        if kind < 0.42:
            return rng.choice(FUNCTION)
        if kind < 0.95:
            return rng.choices(vocabulary, weights)[0]
        return rng.choice([str(rng.randint(1, 2024)), f"{rng.random() * 100:.2f}", f"{rng.randint(1, 9)},{rng.randint(100, 999)}"])

    def sentence_marks(words):
        out, start = [], True
        for index, piece in enumerate(words):
            piece = piece.capitalize() if start else piece
            start = False
            kind = rng.random()
            if kind < 0.06:
                piece += rng.choice([".", ".", "!", "?"])
                start = True
            elif kind < 0.13:
                piece += rng.choice([",", ",", ",", ";", ":"])
            elif kind < 0.15:
                piece = rng.choice(["({})", "\"{}\"", "{}'s", "well-{}"]).format(piece)
            out.append(piece)
        return " ".join(out) + "."

    pairs = []
    for _ in range(count):
        reference = [word() for _ in range(max(5, round(rng.gauss(40, 10))))]
        hypothesis = []
        for piece in reference:
            kind = rng.random()
            if kind < 0.55:
                hypothesis.append(piece)
            elif kind < 0.85:
                hypothesis.append(word())
            elif kind < 0.92:
                hypothesis.extend([piece, word()])
        pairs.append((sentence_marks(hypothesis or ["nothing"]), sentence_marks(reference)))
    return pairs


if __name__ == "__main__":
    for hypothesis, reference in texts(int(sys.argv[1])):
        print(json.dumps({"hyp": hypothesis, "ref": reference}))
