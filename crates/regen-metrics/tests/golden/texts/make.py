"""Writes the texts that all golden cases score: 1,200 hypotheses with up to three references.

Everything is generated: syllable words, a small list of English words that exercise the stemmer, numbers,
punctuation, several scripts, and the degenerate shapes (empty, one word, white space only, repeats, long).

    python3 make.py        # writes pairs-1.jsonl and pairs-2.jsonl
"""
import json
import pathlib
import random

rng = random.Random(20240607)

STEMS = """run hope fall plan happy relate condition rational valence digit radical different vile analog vietnam
predicate operate feudal decisive callous formal sensitive sensible triplicate form electric good revive allow
infer airline gyroscope adjust defense irritate replace depend adopt homolog commune activate angular effect
bowdler probate cease control roll geology theology archaeology enjoy fly die lie tie sky news inning proceed
exceed succeed agree bleed feed plaster motor size conflate trouble hop tan hiss fizz fail file cry say""".split()
ENDINGS = ["", "s", "es", "ed", "ing", "er", "ly", "ness", "ful", "fully", "ation", "ational", "izer", "ized",
           "ies", "ied", "ment", "ments", "able", "ibly", "ous", "ously", "ive", "iveness", "al", "ally",
           "ality", "ism", "ity", "ology", "logi", "ion", "y", "ying", "eed", "bli", "e"]
FUNCTION = "the a of and to in it is was that for on with as at by this be not from or an".split()
WIDE = ["naïve", "café", "Größe", "straße", "ÉCOLE", "İstanbul", "ΣΊΣΥΦΟΣ", "привет", "мир", "東京", "你好世界",
        "カタカナ", "ひらがな", "한국어", "مرحبا", "שלום", "नमस्ते", "👍🏽", "😀😀", "½", "①②", "١٢٣", "№5", "K", "ﬁne",
        "e\u0301clair", "\u200bzero", "a\u00adb", "¿qué?", "«oui»", "“quoted”", "it’s", "—", "…", "·", "€9", "5€"]
NUMBERS = ["3", "10", "1,000", "3.14", "2.", ".5", "1,2,3", "10-20", "5-", "-7", "1.2.3", "99%", "$4.99", "2024-01-31",
           "0.5,", "7..8", "8...", "1st", "3,,4", "6-.5", "(1.5)"]
MARKS = [".", ",", "!", "?", "...", "..", ";", ":", "-", "--", "(", ")", "'", "\"", "'s", "&amp;", "&lt;b&gt;",
         "&quot;hi&quot;", "a&amp;lt;b", "<skipped>", "x-\ny", "\n", "\t", "\u00a0", "\u3000", "\u001f", "\u0085",
         "_", "/", "~", "@", "#tag", "a.b", "U.S.A.", "e.g.,", "C++", "*d", "x*ded", "www.example.org/a-b?c=d&e=1"]


def word():
    kind = rng.random()
    if kind < 0.35:
        chosen = rng.choice(FUNCTION)
    elif kind < 0.75:
        chosen = rng.choice(STEMS) + rng.choice(ENDINGS)
    else:
        chosen = "".join(rng.choice("bcdfghklmnprstvy") + rng.choice("aeiouy") for _ in range(rng.randint(1, 4)))
    shape = rng.random()
    return chosen.capitalize() if shape < 0.1 else chosen.upper() if shape < 0.13 else chosen


def token():
    kind = rng.random()
    if kind < 0.78:
        return word()
    return rng.choice(WIDE if kind < 0.84 else NUMBERS if kind < 0.91 else MARKS)


def text(length):
    parts = []
    for _ in range(length):
        parts.append(token())
        parts.append(rng.choice([" ", " ", " ", " ", " ", " ", " ", "  ", "", ", ", ". ", "\n"]))
    return "".join(parts)


def vary(source):
    """Edits a text word by word, so that hypothesis and reference overlap as real ones do."""
    words = source.split(" ")
    out = []
    for piece in words:
        action = rng.random()
        if action < 0.72:
            out.append(piece)
        elif action < 0.80:
            out.append(token())
        elif action < 0.86:
            out.extend([piece, token()])
        elif action < 0.90:
            out.append(piece + rng.choice(ENDINGS))
        elif action < 0.92:
            out.extend([piece, piece])
    if len(out) > 4 and rng.random() < 0.4:
        cut, width = rng.randrange(len(out) - 2), rng.randint(1, 4)
        moved, out = out[cut:cut + width], out[:cut] + out[cut + width:]
        place = rng.randint(0, len(out))
        out[place:place] = moved
    return " ".join(out)


DEGENERATE = [("", [""]), ("", ["word"]), ("word", [""]), ("word", ["word"]), (" ", ["\n"]), ("...", ["..."]),
              ("the the the the the the the", ["the cat is on the mat"]), ("a b c d", ["d c b a"]),
              ("5.", ["5."]), (".5", ["5."]), ("a", ["a b c d e f g h"]), ("a b c d e f g h", ["a"]),
              ("x " * 150, ["x " * 149 + "y"]), ("?!", ["!?"]), ("你好", ["你 好"]), ("A", ["a"])]


def main():
    pairs = list(DEGENERATE)
    while len(pairs) < 1200:
        length = rng.choice([1, 2, 3, 4, 6, 8, 8, 10, 12]) if len(pairs) % 100 else 90
        reference = text(length)
        references = [reference]
        for _ in range(rng.choice([0, 0, 0, 1, 2])):
            references.append(vary(reference))
        hypothesis = vary(reference) if rng.random() < 0.85 else text(rng.randint(0, 12))
        pairs.append((hypothesis, references))
    lines = [json.dumps({"hyp": hypothesis, "refs": references}, ensure_ascii=False)
             for hypothesis, references in pairs]
    for part in (1, 2):
        half = lines[:600] if part == 1 else lines[600:]
        pathlib.Path(__file__).with_name(f"pairs-{part}.jsonl").write_text("\n".join(half) + "\n", encoding="utf-8")


main()
