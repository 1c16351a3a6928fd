"""What the makers of expected values share: the texts, and one way of writing results."""
import json
import pathlib

HERE = pathlib.Path(__file__).parent


def pairs():
    """Hypotheses, and a list of references for each."""
    rows = []
    for part in (1, 2):
        for line in (HERE / "texts" / f"pairs-{part}.jsonl").read_text(encoding="utf-8").strip("\n").split("\n"):
            rows.append(json.loads(line))
    return [row["hyp"] for row in rows], [row["refs"] for row in rows]


def columns(references):
    """sacrebleu's shape: one list per reference number, None where a segment has fewer."""
    most = max(map(len, references))
    return [[refs[k] if k < len(refs) else None for refs in references] for k in range(most)]


def compact(value):
    """Eleven decimals: two more than the tolerance of the tests."""
    return round(float(value), 11)


def write(case, name, value):
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n"
    assert len(text.encode()) < 100_000, (name, len(text))
    (HERE / case / f"{name}.json").write_text(text, encoding="utf-8")
