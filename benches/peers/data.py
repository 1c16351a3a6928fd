"""Reading reviews beside `gzip -dc FILE > /dev/null`, in turns, on a generated file of at least a gigabyte.

    cargo build --release -p regen-benches --bin data_peer
    python3 benches/peers/data.py [--gigabytes 1] [--repeats 5] [--file REAL.json.gz] [--folder DIR]

Needs nothing but Python's own library and gzip. Prints, for each way of reading, seconds (median and spread), decompressed
MB/s, the ratio to `gzip -dc` of the same round (median) and the peak memory of the process; the last line is JSON.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BYTES_PER_RECORD = 560


def run(command):
    """Seconds and peak bytes of a command whose output goes nowhere or is small."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(command, stdout=out if "read" in command else subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        if status != 0:
            raise SystemExit(f"{command} failed")
        out.seek(0)
        said = out.read().decode()
    return seconds, usage.ru_maxrss * 1024, json.loads(said) if said else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--file", type=Path, help="a gzip file of reviews instead of a generated one")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--peer", default=str(ROOT / "target/release/data_peer"))
    arguments = parser.parse_args()

    made = []
    if arguments.file:
        gzip = arguments.file
        plain = arguments.folder / "regen_reviews_plain.json"
        with open(plain, "wb") as out:
            subprocess.run(["gzip", "-dc", str(gzip)], stdout=out, check=True)
        made = [plain]
    else:
        plain = arguments.folder / "regen_reviews.json"
        gzip = arguments.folder / "regen_reviews.json.gz"
        records = int(arguments.gigabytes * 1e9 / BYTES_PER_RECORD * 1.05)
        with open(plain, "wb") as out:
            subprocess.run([arguments.peer, "generate", str(records)], stdout=out, check=True)
        with open(gzip, "wb") as out:
            subprocess.run(["gzip", "-6", "-c", str(plain)], stdout=out, check=True)
        made = [plain, gzip]

    size = plain.stat().st_size
    ways = {"gzip -dc": ["gzip", "-dc", str(gzip)], "cat plain": ["cat", str(plain)]}
    for what in ["lines", "interactions", "reviews"]:
        for name, path in [("gzip", gzip), ("plain", plain)]:
            ways[f"{what} {name}"] = [arguments.peer, "read", what, str(path)]
    seconds = {way: [] for way in ways}
    peak = {way: 0 for way in ways}
    found = {}
    for round_ in range(arguments.repeats + 1):
        for way, command in ways.items():
            took, memory, said = run(command)
            # The first round fills the page cache.
            if round_ > 0:
                seconds[way].append(took)
            peak[way] = max(peak[way], memory)
            if said:
                found.setdefault(way.split()[0], set()).add((said["records"], said["bytes"]))
    for what, answers in found.items():
        if len(answers) != 1:
            raise SystemExit(f"plain and gzip differ: {what} {answers}")

    print(f"{size / 1e9:.2f} GB plain, {gzip.stat().st_size / 1e9:.2f} GB gzip, {arguments.repeats} rounds")
    result = {"bytes": size, "ways": {}}
    for way in ways:
        median = statistics.median(seconds[way])
        ratio = statistics.median(a / b for a, b in zip(seconds[way], seconds["gzip -dc"]))
        print(f"{way:20} {median:7.2f} s ({min(seconds[way]):.2f} to {max(seconds[way]):.2f})"
              f" {size / median / 1e6:7.0f} MB/s  {ratio:5.2f} x gzip -dc  {peak[way] / 2**20:6.1f} MiB")
        result["ways"][way] = {"seconds": median, "min": min(seconds[way]), "max": max(seconds[way]),
                               "mb_per_s": size / median / 1e6, "ratio_to_gzip": ratio, "peak_bytes": peak[way]}
    print(json.dumps(result))
    for path in made:
        path.unlink()


if __name__ == "__main__":
    main()
