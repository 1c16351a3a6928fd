"""Times regen-metrics beside the Python originals in one run, single thread on both sides, interleaved.

    cargo build --release --example evaluate
    python3 benches/peers/metrics.py [--pairs 5000] [--rounds 3] [--evaluate target/release/examples/evaluate]
    python3 benches/peers/metrics.py --parity FILE.jsonl     # hyp (or pred) and ref; every sentence and the corpus, untimed

Needs sacrebleu 2.6.0, rouge-score 0.1.2 and nltk 3.10.4. Both sides start from texts in memory: reading the file is
not counted, tokenising is. Python's caches of tokenised lines are emptied before each round. Values are compared to
1e-9 before any time is reported. Prints a Markdown table with median and range, then the bootstrap: 1,000 resamples of
BLEU over all pairs, where sacrebleu's time is that of a score with interval less that of one without.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from metrics_texts import texts  # noqa: E402
from nltk.translate.meteor_score import meteor_score  # noqa: E402
from rouge_score.rouge_scorer import RougeScorer  # noqa: E402
from sacrebleu.metrics import BLEU, CHRF, TER  # noqa: E402
from sacrebleu.tokenizers import tokenizer_13a, tokenizer_re  # noqa: E402


# The libraries that the Rust side was linked with, as `cargo xtask setup` laid them.
os.environ.setdefault("LD_LIBRARY_PATH", str(pathlib.Path(__file__).parents[2] / ".regen/libtorch/torch/lib"))


class NoSynonyms:
    def synsets(self, word):
        return []


def rouge(kind, stemmer):
    def run(hypotheses, references):
        scorer = RougeScorer([kind], use_stemmer=stemmer)
        scores = [scorer.score(r, h)[kind].fmeasure for h, r in zip(hypotheses, references)]
        return sum(scores) / len(scores)
    return run


def meteor(hypotheses, references):
    # Cut by sacrebleu's 13a, as `evaluate` does.
    cut = tokenizer_13a.Tokenizer13a()
    scores = [meteor_score([cut(r.rstrip()).split()], cut(h.rstrip()).split(), wordnet=NoSynonyms())
              for h, r in zip(hypotheses, references)]
    return sum(scores) / len(scores)


# Metric of `evaluate`, whether it stems, the other side.
PEERS = {
    "bleu": ("bleu", False, "sacrebleu", lambda h, r: BLEU().corpus_score(h, [r]).score),
    "chrf": ("chrf", False, "sacrebleu", lambda h, r: CHRF().corpus_score(h, [r]).score),
    "chrf++": ("chrf++", False, "sacrebleu", lambda h, r: CHRF(word_order=2).corpus_score(h, [r]).score),
    **{f"{ours}{', stemmer' if stemmer else ''}": (ours, stemmer, "rouge-score", rouge(theirs, stemmer))
       for ours, theirs in [("rouge_1", "rouge1"), ("rouge_2", "rouge2"), ("rouge_l", "rougeL"), ("rouge_lsum", "rougeLsum")]
       for stemmer in (True, False)},
    "meteor": ("meteor", False, "nltk", meteor),
    "ter": ("ter", False, "sacrebleu", lambda h, r: TER().corpus_score(h, [r]).score),
}
# TER takes Python minutes on 5,000 pairs: it is timed on a share of them, on both sides.
SHARE = {"ter": 20}


def empty_caches():
    for cached in (tokenizer_13a.Tokenizer13a.__call__, tokenizer_re.TokenizerRegexp.__call__):
        cached.cache_clear()


def ours(evaluate, pairs, metric, stemmer=False, resamples=2, more=()):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        for hypothesis, reference in pairs:
            file.write(json.dumps({"hyp": hypothesis, "ref": reference}) + "\n")
        file.flush()
        output = subprocess.run(
            [evaluate, "--pairs", file.name, "--metrics", metric, "--threads", "1", "--resamples", str(resamples),
             "--quiet", "--json", *more] + ["--stemmer"] * stemmer, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])[metric]


# Sentence values, as `evaluate --segments` writes them.
SENTENCES = {
    "bleu": lambda h, r: BLEU(effective_order=True).sentence_score(h, [r]).score,
    "chrf": lambda h, r: CHRF().sentence_score(h, [r]).score,
    "chrf++": lambda h, r: CHRF(word_order=2).sentence_score(h, [r]).score,
    "ter": lambda h, r: TER().sentence_score(h, [r]).score,
}


def parity(evaluate, path):
    """Compares every sentence and the corpus; prints the largest differences, and fails above 1e-9."""
    lines = [json.loads(line) for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines()]
    pairs = [(line.get("hyp", line.get("pred")), line["ref"]) for line in lines]
    hypotheses, references = map(list, zip(*pairs))
    print("| metric | pairs | reference | corpus differs by | sentences differ by at most |\n| --- | --- | --- | --- | --- |")
    for label, (metric, stemmer, name, peer) in PEERS.items():
        with tempfile.NamedTemporaryFile("w+", suffix=".jsonl") as segments:
            found = ours(evaluate, pairs, metric, stemmer, more=["--segments", segments.name])
            values = [json.loads(line)[metric] for line in pathlib.Path(segments.name).read_text().splitlines()]
        one = SENTENCES.get(label, lambda h, r: peer([h], [r]))
        worst = max(abs(one(h, r) - value) for (h, r), value in zip(pairs, values, strict=True))
        corpus = abs(peer(hypotheses, references) - found["score"])
        print(f"| {label} | {len(pairs)} | {name} | {corpus:.1e} | {worst:.1e} |", flush=True)
        assert max(worst, corpus) < 1e-9, label


def timed(work):
    empty_caches()
    start = time.perf_counter()
    value = work()
    return value, time.perf_counter() - start


def row(label, pairs, name, theirs, mine, digits=1):
    ratio = statistics.median(theirs) / statistics.median(mine)
    print(f"| {label} | {pairs} | {name} | {statistics.median(theirs):.2f} ({min(theirs):.2f}–{max(theirs):.2f}) "
          f"| {1e3 * statistics.median(mine):.{digits}f} ({1e3 * min(mine):.{digits}f}–{1e3 * max(mine):.{digits}f}) "
          f"| {ratio:.0f} |", flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--pairs", type=int, default=5000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--metrics", nargs="*", default=list(PEERS) + ["bootstrap"])
    arguments.add_argument("--evaluate", default="target/release/examples/evaluate")
    arguments.add_argument("--parity", metavar="FILE")
    options = arguments.parse_args()
    if options.parity:
        return parity(options.evaluate, options.parity)

    everything = texts(options.pairs)
    print("| metric | pairs | reference | Python, s | regen, ms | times faster |\n| --- | --- | --- | --- | --- | --- |")
    for label in options.metrics:
        if label == "bootstrap":
            continue
        metric, stemmer, name, peer = PEERS[label]
        pairs = everything[:max(1, len(everything) // SHARE.get(label, 1))]
        hypotheses, references = map(list, zip(*pairs))
        theirs, mine = [], []
        for _ in range(options.rounds):
            expected, seconds = timed(lambda: peer(hypotheses, references))
            theirs.append(seconds)
            for _ in range(3):
                found = ours(options.evaluate, pairs, metric, stemmer)
                assert abs(found["score"] - expected) < 1e-9, (label, found["score"], expected)
                mine.append(found["seconds"])
        row(label, len(pairs), name, theirs, mine)
    if "bootstrap" in options.metrics:
        hypotheses, references = map(list, zip(*everything))
        theirs, mine = [], []
        for _ in range(options.rounds):
            _, plain = timed(lambda: BLEU().corpus_score(hypotheses, [references]))
            _, both = timed(lambda: BLEU().corpus_score(hypotheses, [references], n_bootstrap=1000))
            theirs.append(max(both - plain, 1e-9))
            for _ in range(3):
                mine.append(ours(options.evaluate, everything, "bleu", resamples=1000)["interval_seconds"])
        row("BLEU, 1,000 resamples", len(everything), "sacrebleu", theirs, mine)


main()
