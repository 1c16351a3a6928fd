"""Stems of NLTK's Porter stemmer for generated words: every stem with every ending, and random letters.

    python3 make.py > stems.tsv        # needs nltk
"""
import itertools
import random

from nltk.stem.porter import PorterStemmer

rng = random.Random(7)
STEMS = """run hope fall plan relate condition rational digit radical vile analog predicate operate feudal decisive
formal sensible triplic electric good infer adjust replac adopt homolog angular effect bowdler cease roll geo theo
archaeo enjo fl d l t sk n inning outing canning how proc exc succ agr bl tan hiss fizz fil c sa y yy oy by tr
naïv caf straß é 日本 x*d *d w3 b2b""".split()
ENDINGS = """s es ed ing er ly ness ful fully ation ational izer ized ies ied ment ments able ably ous ously ive iveness
al ally alli alliall ality aliti ism ity iti ology logi ion sion tion y ying eed eeds bli abli bility biliti e ee ll
lle fulness fulli ousness ousli icate ative alize iciti ical ance ence ement ent ou ate ize eli entli enci anci ator
alism iviti sses ss yed aying""".split()
IRREGULAR = """sky skies dying lying tying news inning innings outing outings canning cannings howe proceed exceed
succeed ies ied s ed ing y a be see agreed feed skis""".split()

words = set(IRREGULAR)
words.update(stem + ending for stem, ending in itertools.product(STEMS, ENDINGS))
words.update("".join(rng.choice("aeiouybdlstz") for _ in range(rng.randint(1, 9))) for _ in range(700))
stemmer = PorterStemmer()
for word in sorted(words):
    print(f"{word}\t{stemmer.stem(word)}")
