"""Times regen-metrics beside the Python originals in one run, single thread on both sides, interleaved.

    cargo build --release --example evaluate
    python3 benches/peers/metrics.py [--pairs 5000] [--rounds 3] [--evaluate target/release/examples/evaluate]

Needs sacrebleu 2.6.0, rouge-score 0.1.2 and nltk 3.10.4. Both sides start from texts in memory: reading the file is
not counted, tokenising is. Python's caches of tokenised lines are emptied before each round. Values are compared to
1e-9 before any time is reported. Prints a Markdown table with median and range.
"""
import argparse
import json
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


class NoSynonyms:
    def synsets(self, word):
        return []


def rouge(kind):
    def run(hypotheses, references):
        scorer = RougeScorer([kind], use_stemmer=True)
        scores = [scorer.score(r, h)[kind].fmeasure for h, r in zip(hypotheses, references)]
        return sum(scores) / len(scores)
    return run


def meteor(hypotheses, references):
    # Cut by sacrebleu's 13a, as `evaluate` does.
    cut = tokenizer_13a.Tokenizer13a()
    scores = [meteor_score([cut(r.rstrip()).split()], cut(h.rstrip()).split(), wordnet=NoSynonyms())
              for h, r in zip(hypotheses, references)]
    return sum(scores) / len(scores)


PEERS = {
    "bleu": ("sacrebleu", lambda h, r: BLEU().corpus_score(h, [r]).score),
    "chrf": ("sacrebleu", lambda h, r: CHRF().corpus_score(h, [r]).score),
    "chrf++": ("sacrebleu", lambda h, r: CHRF(word_order=2).corpus_score(h, [r]).score),
    "rouge_1": ("rouge-score, stemmer", rouge("rouge1")),
    "rouge_2": ("rouge-score, stemmer", rouge("rouge2")),
    "rouge_l": ("rouge-score, stemmer", rouge("rougeL")),
    "rouge_lsum": ("rouge-score, stemmer", rouge("rougeLsum")),
    "meteor": ("nltk", meteor),
    "ter": ("sacrebleu", lambda h, r: TER().corpus_score(h, [r]).score),
}
# TER takes Python minutes on 5,000 pairs: it is timed on a share of them, on both sides.
SHARE = {"ter": 20}


def empty_caches():
    for cached in (tokenizer_13a.Tokenizer13a.__call__, tokenizer_re.TokenizerRegexp.__call__):
        cached.cache_clear()


def ours(evaluate, pairs, metric):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        for hypothesis, reference in pairs:
            file.write(json.dumps({"hyp": hypothesis, "ref": reference}) + "\n")
        file.flush()
        output = subprocess.run(
            [evaluate, "--pairs", file.name, "--metrics", metric, "--stemmer", "--threads", "1", "--resamples", "2",
             "--quiet", "--json"], check=True, capture_output=True, text=True).stdout
    result = json.loads(output.splitlines()[-1])[metric]
    return result["score"], result["seconds"]


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--pairs", type=int, default=5000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--metrics", nargs="*", default=list(PEERS))
    arguments.add_argument("--evaluate", default="target/release/examples/evaluate")
    options = arguments.parse_args()

    everything = texts(options.pairs)
    print(f"| metric | pairs | reference | Python, s | regen, ms | times faster |\n| --- | --- | --- | --- | --- | --- |")
    for metric in options.metrics:
        name, peer = PEERS[metric]
        pairs = everything[:max(1, len(everything) // SHARE.get(metric, 1))]
        hypotheses, references = map(list, zip(*pairs))
        theirs, mine = [], []
        for _ in range(options.rounds):
            empty_caches()
            start = time.perf_counter()
            expected = peer(hypotheses, references)
            theirs.append(time.perf_counter() - start)
            for _ in range(3):
                value, seconds = ours(options.evaluate, pairs, metric)
                assert abs(value - expected) < 1e-9, (metric, value, expected)
                mine.append(seconds)
        ratio = statistics.median(theirs) / statistics.median(mine)
        print(f"| {metric} | {len(pairs)} | {name} | {statistics.median(theirs):.2f} ({min(theirs):.2f}–{max(theirs):.2f}) "
              f"| {1e3 * statistics.median(mine):.1f} ({1e3 * min(mine):.1f}–{1e3 * max(mine):.1f}) | {ratio:.0f} |", flush=True)


main()
