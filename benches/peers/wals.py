"""Runs regen-wals and implicit side by side, in turns, on one matrix, from the same initial factors.

    cargo build --release -p regen-benches --bin wals_peer
    VENV/bin/python benches/peers/wals.py target/release/wals_peer [--rounds 3] [--solvers exact,cg] [--pairs FILE.csv] [--json OUT]

VENV holds numpy, scipy and implicit 0.7.3. Both sides use all cores (implicit's own threads, one BLAS thread each, as
its documentation asks). A round runs one fit of every line in turn; reported are the minimum and the median of all
iterations of all rounds, so that what else the machine does hits every line alike; and the processor time of all threads
over a whole fit, an iteration, which a busy machine disturbs less. The loss of both is computed by the same code, in f64.
Losses are those after the same number of iterations.

With --rank-lists, lists instead of fits: a fifth of every user's pairs is held out, both sides get the factors of one fit of
the rest, and in turns list the ten best items that each user does not have yet, and judge the held-out pairs by such lists.
Its floor are the flops of all scores, 2 × users × items × rank, at the rate of the machine's products.
"""

import argparse
import concurrent.futures
import json
import math
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
# For the Rust side, which has the device solver too: the libraries that it was linked with, as `cargo xtask setup` laid them.
os.environ.setdefault("LD_LIBRARY_PATH", str(pathlib.Path(__file__).parents[2] / ".regen/libtorch/torch/lib"))

import implicit
import numpy
import scipy.sparse
from implicit.cpu.als import AlternatingLeastSquares

ALPHA = 2.0
LAMBDA = 0.01


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

    def processor_seconds(self):
        """Of all threads so far, as Linux counts them."""
        threads = pathlib.Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def config(rank, iterations, solver):
    """Hu et al. with w = 1 + alpha r: what implicit minimises when it is given these weights."""
    return dict(
        rank=rank, iterations=iterations, regularization=LAMBDA, solver=solver,
        confidence={"hu": {"alpha": ALPHA}}, unobserved_weight=1.0, unobserved_scope="unobserved",
        frequency="count", frequency_exponent=0.0, init={"normal": {"standard_deviation": 0.1}},
        seed=1, arithmetic="f32",
    )


def run_implicit(weights, folder, rank, iterations, use_cg):
    model = AlternatingLeastSquares(
        factors=rank, regularization=LAMBDA, iterations=iterations, use_cg=use_cg, num_threads=0
    )
    model.user_factors = numpy.load(folder / "initial_users.npy")
    model.item_factors = numpy.load(folder / "initial_items.npy")
    seconds = []
    model.fit(weights, show_progress=False, callback=lambda _, elapsed, __: seconds.append(elapsed))
    numpy.save(folder / "users.npy", model.user_factors)
    numpy.save(folder / "items.npy", model.item_factors)
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--users", type=int, default=50_000, help="of the power-law matrix")
    parser.add_argument("--items", type=int, default=20_000, help="of the power-law matrix")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--ranks", default="64,128")
    parser.add_argument("--solvers", default="exact,cg")
    parser.add_argument("--block-ranks", default="256,512", help="ranks of the race to the fifth exact iteration; blocks and exact in turns")
    parser.add_argument("--pairs", help="`user,item` lines with a header instead of the power-law matrix")
    parser.add_argument("--rank-lists", type=int, metavar="RANK", help="lists and their quality at this rank, instead of fits")
    parser.add_argument("--json", help="write all numbers here")
    args = parser.parse_args()

    regen = Regen(args.binary)
    if args.pairs:
        matrix = regen.ask(command="read", path=args.pairs)
    else:
        matrix = regen.ask(command="generate", users=args.users, items=args.items, seed=1)
    print(f"implicit {implicit.__version__}; matrix {matrix}")
    if args.rank_lists:
        report = rank_lists(regen, matrix, args.rank_lists, args.rounds)
        if args.json:
            pathlib.Path(args.json).write_text(json.dumps(report, indent=1))
        return
    report = {"matrix": matrix, "sgemm_gflops": [], "lines": [], "races": []}
    ranks = [int(rank) for rank in args.ranks.split(",") if rank]
    exact, cg = "cholesky", {"conjugate_gradient": {"steps": 3}}
    solvers = [
        (name, solver, use_cg)
        for name, solver, use_cg in (("exact", exact, False), ("cg 3", cg, True))
        if name.split()[0] in args.solvers.split(",")
    ]

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        regen.ask(command="write_matrix", folder=str(folder))
        users, items, values = (numpy.load(folder / f"{name}.npy")[:, 0] for name in ("users", "items", "values"))
        weights = scipy.sparse.csr_matrix(
            ((1 + ALPHA * values).astype(numpy.float32), (users.astype(int), items.astype(int))),
            shape=(matrix["users"], matrix["items"]),
        )
        times, processor, losses = {}, {}, {}
        for turn in range(args.rounds):
            report["sgemm_gflops"].append(regen.ask(command="sgemm")["gflops"])
            for rank in ranks:
                regen.ask(command="write_initial", config=config(rank, 0, exact), folder=str(folder))
                for name, solver, use_cg in solvers:
                    settings = config(rank, args.iterations, solver)
                    begun = regen.processor_seconds()
                    fit = regen.ask(command="fit", config=settings, losses=False)
                    spent = regen.processor_seconds() - begun
                    times.setdefault((rank, name, "regen"), []).extend(fit["seconds"])
                    processor.setdefault((rank, name, "regen"), []).append(spent / args.iterations)
                    begun = time.process_time()
                    seconds = run_implicit(weights, folder, rank, args.iterations, use_cg)
                    spent = time.process_time() - begun
                    times.setdefault((rank, name, "implicit"), []).extend(seconds)
                    processor.setdefault((rank, name, "implicit"), []).append(spent / args.iterations)
                    if turn == 0:
                        fit = regen.ask(command="fit", config=settings, losses=True)
                        losses[rank, name, "regen"] = fit["losses"][-1]
                        theirs = regen.ask(command="loss", config=config(rank, 0, exact), folder=str(folder))
                        losses[rank, name, "implicit"] = theirs["loss"]

        best_sgemm = max(report["sgemm_gflops"])
        print(f"sgemm (faer, 1024, all threads): {best_sgemm:.0f} GFlop/s at best, all: "
              + ", ".join(f"{g:.0f}" for g in report["sgemm_gflops"]))
        print(f"{'rank':>5} {'solver':<6} {'side':<9} {'min s':>8} {'median s':>9} {'max s':>8} {'processor s':>12}  loss")
        for (rank, name, side), seconds in times.items():
            spent = processor[rank, name, side]
            line = dict(rank=rank, solver=name, side=side, seconds=seconds, processor_seconds=spent,
                        loss=losses[rank, name, side])
            report["lines"].append(line)
            print(f"{rank:>5} {name:<6} {side:<9} {min(seconds):>8.3f} {statistics.median(seconds):>9.3f} "
                  f"{max(seconds):>8.3f} {statistics.median(spent):>12.3f}  {line['loss']:.8g}")
        for rank in ranks:
            for name, _, _ in solvers:
                ours, theirs = (times[rank, name, side] for side in ("regen", "implicit"))
                spent, theirs_spent = (statistics.median(processor[rank, name, side]) for side in ("regen", "implicit"))
                print(f"rank {rank} {name}: regen is {statistics.median(theirs) / statistics.median(ours):.2f} x as fast"
                      f" (medians; {min(theirs) / min(ours):.2f} x by minima; {theirs_spent / spent:.2f} x by processor time)")
            if (rank, "exact", "regen") not in times:
                continue
            floor = floor_flops(users, items, matrix, rank)
            print(f"rank {rank}: syrk + Cholesky {floor / 1e9:.1f} GFlop an iteration: floor {floor / best_sgemm / 1e9:.3f} s;"
                  f" the exact solver's best takes {min(times[rank, 'exact', 'regen']) / (floor / best_sgemm / 1e9):.2f} of it"
                  " (below 1: fewer flops than the normal equations need)")
            once, gathered = floor_bytes(users, items, matrix, rank)
            rate = reading()
            print(f"rank {rank}: {once / 1e6:.0f} MB an iteration if every number is read once: floor {once / rate:.3f} s at"
                  f" {rate / 1e9:.1f} GB/s; factors gathered pair by pair {gathered / 1e9:.2f} GB: {gathered / rate:.3f} s where"
                  " no cache holds any")

        for rank in (int(rank) for rank in args.block_ranks.split(",") if rank):
            report["races"].append(race(regen, rank, args.rounds))
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(report, indent=1))


def rank_lists(regen, matrix, rank, rounds, k=10):
    """Lists of all users and ranking metrics, in turns, by the same factors."""
    from implicit.evaluation import ranking_metrics_at_k

    count, items = matrix["users"], matrix["items"]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        regen.ask(command="rank", config=config(rank, 3, "cholesky"), folder=str(folder))

        def pairs(rows, columns, values):
            entries = (values.astype(numpy.float32), (rows.astype(int), columns.astype(int)))
            return scipy.sparse.csr_matrix(entries, shape=(count, items))

        train = pairs(*(numpy.load(folder / f"{name}.npy")[:, 0] for name in ("users", "items", "values")))
        held = numpy.load(folder / "held_out.npy")
        test = pairs(held[:, 0], held[:, 1], numpy.ones(len(held)))
        model = AlternatingLeastSquares(factors=rank, num_threads=0)
        model.user_factors, model.item_factors = (numpy.load(folder / f"{side}_factors.npy") for side in ("user", "item"))
        users = numpy.arange(count)
        # The batch that suits it best.
        batches = {}
        for size in (100, 1000, count):
            begun = time.perf_counter()
            for start in range(0, min(count, 10_000), size):
                some = users[start:min(start + size, 10_000)]
                model.recommend(some, train[some], N=k, filter_already_liked_items=True)
            batches[size] = time.perf_counter() - begun
        size = min(batches, key=batches.get)

        def theirs():
            return numpy.concatenate([
                model.recommend(users[start:start + size], train[start:start + size], N=k)[0]
                for start in range(0, count, size)
            ])

        times = {(what, side): [] for what in ("lists", "quality") for side in ("regen", "implicit")}
        rates = []
        for _ in range(rounds):
            rates.append(regen.ask(command="sgemm")["gflops"])
            reply = regen.ask(command="recommend", users=count, k=k, write=str(folder / "lists.npy"))
            times["lists", "regen"].append(reply["seconds"])
            begun = time.perf_counter()
            listed = theirs()
            times["lists", "implicit"].append(time.perf_counter() - begun)
            quality = regen.ask(command="evaluate", k=k)
            times["quality", "regen"].append(quality["seconds"])
            begun = time.perf_counter()
            metrics = ranking_metrics_at_k(model, train, test, K=k, show_progress=False)
            times["quality", "implicit"].append(time.perf_counter() - begun)
        same = (numpy.load(folder / "lists.npy").astype(int) == listed).mean()
        flops = 2 * count * items * rank
        floor = flops / max(rates) / 1e9
        print(f"lists of {k} for {count} users, rank {rank}; implicit in batches of {size}; {same:.2%} of places hold the same item")
        print(f"floor: {flops / 1e9:.0f} GFlop at {max(rates):.0f} GFlop/s are {floor:.2f} s")
        for what in ("lists", "quality"):
            ours, peer = times[what, "regen"], times[what, "implicit"]
            print(f"{what}: regen {statistics.median(ours):.2f} s ({min(ours):.2f} to {max(ours):.2f}), {floor / min(ours):.0%} of the floor; "
                  f"implicit {statistics.median(peer):.2f} s ({min(peer):.2f} to {max(peer):.2f}): "
                  f"{statistics.median(peer) / statistics.median(ours):.2f} x (minima {min(peer) / min(ours):.2f} x)")
        print(f"regen: {quality['report']}")
        print(f"implicit: {metrics}")
        return {"matrix": matrix, "rank": rank, "k": k, "sgemm_gflops": rates, "floor_seconds": floor, "same": same,
                "batch": size, "seconds": {f"{what} {side}": taken for (what, side), taken in times.items()}}


def race(regen, rank, rounds):
    """Time to the loss of the fifth exact iteration, exact and by blocks in turns, from the same initial factors."""
    lines = {"exact": (5, "cholesky")}
    for size, relaxation in ((32, 1.4), (64, 1.4), (32, 1.0)):
        lines[f"block {size}, relaxation {relaxation}"] = (7, {"block": {"size": size, "relaxation": relaxation}})
    seconds, losses = {name: [] for name in lines}, {}
    for turn in range(rounds):
        for name, (iterations, solver) in lines.items():
            fit = regen.ask(command="fit", config=config(rank, iterations, solver), losses=turn == 0)
            seconds[name].append(fit["seconds"])
            losses.setdefault(name, fit["losses"])
    goal = losses["exact"][5]
    exact = statistics.median(sum(one) for one in seconds["exact"])
    print(f"rank {rank}: five exact iterations {exact:.2f} s, loss {goal:.8g}")
    result = {"rank": rank, "exact_seconds": exact, "goal": goal}
    for name in list(lines)[1:]:
        reached = next((k for k, loss in enumerate(losses[name]) if loss <= goal), None)
        taken = statistics.median(sum(one[:reached]) for one in seconds[name]) if reached else None
        result[name] = {"iterations": reached, "seconds": taken, "losses": losses[name]}
        print(f"  {name}: " + (f"there after {reached} iterations, {taken:.2f} s, {taken / exact:.2f} of the time"
                               if reached else "not there"))
    return result


def floor_flops(users, items, matrix, rank):
    """Multiplications and additions of the normal equations by rank: syrk of every row and its Cholesky factor."""
    rows = len(numpy.unique(users)) + len(numpy.unique(items))
    return 2 * matrix["pairs"] * rank * (rank + 1) + rows * rank**3 / 3


def floor_bytes(users, items, matrix, rank):
    """Bytes of both orientations of the pairs and of both sides' factors, read and written once; and of a factor for every pair."""
    rows = len(numpy.unique(users)) + len(numpy.unique(items))
    return 16 * matrix["pairs"] + 2 * 4 * rank * rows, 2 * 4 * rank * matrix["pairs"]


def reading():
    """Bytes a second that all threads read together, from 256 MB each; the best of five."""
    threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count()))
    blocks = [numpy.ones(1 << 25) for _ in range(threads)]
    best = math.inf
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for _ in range(5):
            started = time.perf_counter()
            list(pool.map(numpy.max, blocks))
            best = min(best, time.perf_counter() - started)
    return sum(block.nbytes for block in blocks) / best


if __name__ == "__main__":
    main()
