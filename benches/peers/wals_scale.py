"""Cost of regen-wals against size: seconds and memory for growing matrices, in memory and over shards on disk.

    cargo build --release -p regen-benches --bin wals_peer
    python3 benches/peers/wals_scale.py target/release/wals_peer [--pairs 1e6,1e7,1e8] [--rank 64] [--out DIR]

As many users as items, about ten pairs each, power-law on both sides, and before them the matrix of wals.py, in memory.
Every line has a process of its own; its first iteration is not counted. Peak memory is the matrix and the fit: without
making the matrix, and without what the process held before, nor pages of the program and its libraries that came in since. At the end stands what the
rates of the largest matrix of each kind give for 1 M to 1 B items, as the tables of docs/scale.md, and a plot is
written beside the numbers. Needs nothing but Python; shards are written below DIR and removed.

    python3 benches/peers/wals_scale.py --redraw docs/scale.md docs/scale.svg

draws the plot of docs/scale.md from the table of measurements on that page, so that the two cannot differ.
"""

import argparse
import json
import math
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

# For the Rust side, which has the device solver too: the libraries that it was linked with, as `cargo xtask setup` laid them.
os.environ.setdefault("LD_LIBRARY_PATH", str(pathlib.Path(__file__).parents[2] / ".regen/libtorch/torch/lib"))

PAIRS_A_ROW = 10
# Users of the generator begin with this many pairs; about ten on average.
LEAST = 2.1
MATRIX_OF_WALS_PY = dict(users=50_000, items=20_000, seed=1, least=8.0)


class Regen:
    """The Rust side, one command a line."""

    def __init__(self, binary):
        self.process = subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        reply = self.process.stdout.readline()
        if not reply:
            raise SystemExit("the Rust side ended; see its message above")
        return json.loads(reply)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


def config(rank, iterations):
    return dict(
        rank=rank, iterations=iterations, regularization=0.01, solver="cholesky",
        confidence={"hu": {"alpha": 2.0}}, unobserved_weight=1.0, unobserved_scope="unobserved",
        frequency="count", frequency_exponent=0.0, init={"normal": {"standard_deviation": 0.1}},
        seed=1, arithmetic="f32",
    )


def factors_bytes(rows, rank):
    return 4 * rank * rows


def matrix_bytes(rows, pairs):
    """Both orientations: a column and a value a pair, a start a row."""
    return 16 * pairs + 8 * (rows + 2)


def shards_bytes(rows, pairs):
    return 16 * pairs + 4 * rows


def measure(args, shape, kind, folder):
    with Regen(args.binary) as regen:
        before = regen.ask(command="peak_memory")
        if kind == "memory":
            matrix = regen.ask(command="generate", **shape)
            regen.ask(command="peak_memory")
            fit = regen.ask(command="fit", config=config(args.rank, args.iterations + 1), losses=False)
        else:
            shards, work = folder / "shards", folder / "fit"
            matrix = regen.ask(command="shard", folder=str(shards), rows_per_shard=args.rows_per_shard, **shape)
            regen.ask(command="peak_memory")
            fit = regen.ask(
                command="fit_shards", config=config(args.rank, args.iterations + 1), folder=str(shards), work=str(work)
            )
            shutil.rmtree(folder)
        after = regen.ask(command="peak_memory")
        peak = after["bytes"] - before["bytes"] - (after["program_bytes"] - before["program_bytes"])
    both = shape["users"] + shape["items"]
    return dict(
        kind=kind, pairs=matrix["pairs"], rows=both, seconds=fit["seconds"][1:], peak_bytes=peak,
        held_bytes=factors_bytes(both, args.rank) + matrix_bytes(both, matrix["pairs"]),
    )


def human(bytes_):
    for unit in ("B", "kB", "MB", "GB"):
        if bytes_ < 1000:
            return f"{bytes_:.3g} {unit}"
        bytes_ /= 1000
    return f"{bytes_:.3g} TB"


def duration(seconds):
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"


def show(line):
    seconds = line["seconds"]
    median = statistics.median(seconds)
    print(f"{line['pairs']:>12} {line['rows']:>11} {line['kind']:<7} {min(seconds):>8.3f} {median:>9.3f} "
          f"{max(seconds):>8.3f} {line['pairs'] / median:>10.3g} {human(line['peak_bytes']):>8} "
          f"{human(line['held_bytes']):>16} {line['peak_bytes'] / line['held_bytes']:>12.3f}", flush=True)


def plot(lines, path):
    """Seconds an iteration over pairs, both logarithmic, as a bare SVG."""
    width, height, left, bottom = 640, 360, 70, 50
    xs = [line["pairs"] for line in lines]
    ys = [statistics.median(line["seconds"]) for line in lines]
    bounds = lambda v: (math.floor(math.log10(min(v))), math.ceil(math.log10(max(v)) + 1e-9))  # noqa: E731
    (x0, x1), (y0, y1) = bounds(xs), bounds(ys)
    x = lambda v: left + (math.log10(v) - x0) / max(x1 - x0, 1) * (width - left - 20)  # noqa: E731
    y = lambda v: height - bottom - (math.log10(v) - y0) / max(y1 - y0, 1) * (height - bottom - 20)  # noqa: E731
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
           'font-size="12">']
    for power in range(x0, x1 + 1):
        out.append(f'<text x="{x(10**power):.1f}" y="{height - bottom + 18}" text-anchor="middle">1e{power}</text>')
    for power in range(y0, y1 + 1):
        out.append(f'<line x1="{left}" x2="{width - 20}" y1="{y(10**power):.1f}" y2="{y(10**power):.1f}" stroke="#ddd"/>'
                   f'<text x="{left - 8}" y="{y(10**power) + 4:.1f}" text-anchor="end">1e{power}</text>')
    for kind, colour in (("memory", "#0072b2"), ("shards", "#d55e00")):
        own = [(x(line["pairs"]), y(statistics.median(line["seconds"]))) for line in lines if line["kind"] == kind]
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in own)
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4" fill="{colour}"/>' for a, b in own]
        if own:
            out.append(f'<text x="{own[-1][0] - 8:.1f}" y="{own[-1][1] - 8:.1f}" text-anchor="end" fill="{colour}">{kind}</text>')
    out.append(f'<text x="{(left + width) / 2}" y="{height - 10}" text-anchor="middle">pairs</text>'
               f'<text transform="translate(16 {height / 2}) rotate(-90)" text-anchor="middle">seconds an iteration</text></svg>')
    path.write_text("\n".join(out) + "\n")


def measured(page):
    """The lines of a page's table of measurements: | pairs | rows | memory or shards | median (...) | ..."""
    scale = {"k": 1e3, "M": 1e6}
    lines = []
    for row in page.read_text().splitlines():
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        if len(cells) > 3 and cells[2] in ("memory", "shards"):
            number, unit = cells[0].split()
            lines.append(dict(kind=cells[2], pairs=float(number) * scale[unit], seconds=[float(cells[3].split()[0])]))
    return lines


def main():
    if sys.argv[1:2] == ["--redraw"]:
        page, picture = sys.argv[2:]
        plot(measured(pathlib.Path(page)), pathlib.Path(picture))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--pairs", default="1e6,1e7,1e8")
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=3, help="that are counted")
    parser.add_argument("--rows-per-shard", type=int, default=1_000_000)
    parser.add_argument("--most-memory", type=float, default=16e9, help="bytes that a fit in memory may hold")
    parser.add_argument("--out", default="out/wals_scale")
    args = parser.parse_args()
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)

    lines = []
    print(f"rank {args.rank}, exact, {args.iterations} iterations, {args.rows_per_shard} rows a shard")
    print(f"{'pairs':>12} {'rows':>11} {'kind':<7} {'min s':>8} {'median s':>9} {'max s':>8} {'pairs/s':>10} "
          f"{'peak':>8} {'factors + matrix':>16} {'peak / those':>12}")
    show(measure(args, MATRIX_OF_WALS_PY, "memory", out / "scratch"))
    for pairs in (float(text) for text in args.pairs.split(",")):
        side = int(pairs / PAIRS_A_ROW)
        for kind in ("memory", "shards"):
            if kind == "memory" and factors_bytes(2 * side, args.rank) + matrix_bytes(2 * side, pairs) > args.most_memory:
                print(f"{pairs:>12.3g} {2 * side:>11} memory: left out, more than --most-memory")
                continue
            lines.append(measure(args, dict(users=side, items=side, seed=1, least=LEAST), kind, out / "scratch"))
            show(lines[-1])
    (out / "scale.json").write_text(json.dumps(dict(rank=args.rank, lines=lines), indent=1) + "\n")
    plot(lines, out / "scale.svg")

    print(f"\nFrom these rates, rank {args.rank}, as many users as items, {PAIRS_A_ROW} pairs each:\n")
    print("| items | factors | matrix | disk of a sharded fit | iteration in memory | iteration over shards |")
    print("| --- | --- | --- | --- | --- | --- |")
    for items in (10**6, 10**7, 10**8, 10**9):
        rows, pairs = 2 * items, PAIRS_A_ROW * items
        cells = [f"{items:.0e}".replace("e+0", "e"), human(factors_bytes(rows, args.rank)), human(matrix_bytes(rows, pairs)),
                 human(shards_bytes(rows, pairs) + 3 * factors_bytes(rows, args.rank))]
        for kind in ("memory", "shards"):
            own = [line for line in lines if line["kind"] == kind]
            if own:
                rate = own[-1]["pairs"] / statistics.median(own[-1]["seconds"])
                cells.append(duration(pairs / rate))
            else:
                cells.append("not measured")
        print("| " + " | ".join(cells) + " |")
    print(f"\nwritten: {out / 'scale.json'}, {out / 'scale.svg'}")


if __name__ == "__main__":
    main()
