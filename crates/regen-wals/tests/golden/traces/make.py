"""Traces of weighted alternating least squares, cell by cell in NumPy's f64, and factors of implicit.

    python3 make.py        # needs numpy 1.26 or later, scipy and implicit 0.7; a second

Nothing is shared with the crate but the formula: every normal matrix is summed over all cells of the dense matrix.
Beside it stand the factors that implicit's own exact solver gives, from the same start.
"""
import json
import os
import pathlib

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import scipy.sparse
from implicit.cpu.als import AlternatingLeastSquares

HERE = pathlib.Path(__file__).parent
USERS, ITEMS, RANK, ITERATIONS = 41, 27, 5, 3
# What WalsConfig keeps in f32 is an f32 here too.
f32 = lambda x: float(np.float32(x))  # noqa: E731


def data(rng):
    """Popular items, a user and an item without pairs, a user with all others."""
    values = np.zeros((USERS, ITEMS))
    for user in range(USERS):
        for item in range(ITEMS):
            if rng.random() < 0.55 / (1 + 0.25 * item) or (user == 3):
                values[user, item] = rng.integers(1, 6)
    values[7, :] = 0
    values[:, 11] = 0
    return values


def weights(case, values):
    confidence = case["confidence"]
    if "hu" in confidence:
        raw = 1 + f32(confidence["hu"]["alpha"]) * values
    elif "constant" in confidence:
        raw = np.full_like(values, f32(confidence["constant"]["weight"]))
    elif "proportional" in confidence:
        raw = f32(confidence["proportional"]["alpha"]) * values
    elif "logarithmic" in confidence:
        raw = 1 + f32(confidence["logarithmic"]["alpha"]) * np.log1p(values / f32(confidence["logarithmic"]["epsilon"]))
    return np.where(values > 0, raw, 0.0)


def trace(case, observed, w, p, x, y):
    """The loss at the start and after each half-sweep, and the factors at the end."""
    alpha = f32(case["unobserved_weight"])
    # Weight of the square of a score.
    c = np.where(observed, w + (alpha if case["unobserved_scope"] == "all" else 0.0), alpha)

    def ridge(side_observed):
        n = side_observed.sum(axis=1)
        frequency = n + (alpha * side_observed.shape[1] if case["frequency"] == "ials" else 0.0)
        power = np.where(frequency == 0, 1.0, frequency) ** f32(case["frequency_exponent"])
        return f32(case["regularization"]) * power

    def solve(c, w, p, observed, fixed):
        out = np.zeros((c.shape[0], RANK))
        for row, r in enumerate(ridge(observed)):
            if observed[row].any():
                normal = sum(c[row, k] * np.outer(fixed[k], fixed[k]) for k in range(len(fixed))) + r * np.eye(RANK)
                right = sum(w[row, k] * p[row, k] * fixed[k] for k in range(len(fixed)))
                out[row] = np.linalg.solve(normal, right)
        return out

    def loss(x, y):
        s = x @ y.T
        total = np.where(observed, w * (p - s) ** 2 + (c - w) * s * s, c * s * s).sum()
        return total + (ridge(observed) * (x**2).sum(1)).sum() + (ridge(observed.T) * (y**2).sum(1)).sum()

    losses = [loss(x, y)]
    for _ in range(ITERATIONS):
        x = solve(c, w, p, observed, y)
        losses.append(loss(x, y))
        y = solve(c.T, w.T, p.T, observed.T, x)
        losses.append(loss(x, y))
    return losses, x, y


CASES = {
    "hu": dict(confidence={"hu": {"alpha": 2.0}}, unobserved_weight=0.3, unobserved_scope="unobserved",
               regularization=0.05, frequency="ials", frequency_exponent=0.7),
    "ials": dict(confidence={"constant": {"weight": 1.0}}, unobserved_weight=0.1, unobserved_scope="all",
                 regularization=0.01, frequency="ials", frequency_exponent=1.0),
    "lighter_than_unobserved": dict(confidence={"proportional": {"alpha": 0.1}}, unobserved_weight=0.3,
                                    unobserved_scope="unobserved", regularization=0.2, frequency="count",
                                    frequency_exponent=0.5),
    "logarithmic": dict(confidence={"logarithmic": {"alpha": 3.0, "epsilon": 0.5}}, unobserved_weight=1.0,
                        unobserved_scope="all", regularization=0.7, frequency="count", frequency_exponent=0.0),
    "nothing_unobserved": dict(confidence={"constant": {"weight": 2.0}}, unobserved_weight=0.0,
                               unobserved_scope="unobserved", regularization=0.3, frequency="count",
                               frequency_exponent=1.0),
}


def rounded(array):
    return [[float(f"{v:.9g}") for v in row] for row in array]


def main():
    rng = np.random.default_rng(20261123)
    values = data(rng)
    observed = values > 0
    x = rng.normal(0, 0.3, (USERS, RANK)).astype(np.float32).astype(float)
    y = rng.normal(0, 0.3, (ITEMS, RANK)).astype(np.float32).astype(float)
    row_weights = np.round(rng.uniform(0.5, 2, USERS) * 8) / 8
    column_weights = np.round(rng.uniform(0.5, 2, ITEMS) * 8) / 8
    targets = np.where(observed, values - 2.5, 0.0)

    given = {
        "users": USERS, "items": ITEMS, "rank": RANK, "iterations": ITERATIONS,
        "pairs": [[int(u), int(i), float(values[u, i])] for u, i in zip(*np.nonzero(observed))],
        "targets": [[int(u), int(i), float(targets[u, i])] for u, i in zip(*np.nonzero(observed))],
        "row_weights": row_weights.tolist(), "column_weights": column_weights.tolist(),
        "user_factors": rounded(x), "item_factors": rounded(y),
    }
    # Nine digits name an f32.
    assert np.array_equal(np.float32(given["user_factors"]), np.float32(x))
    (HERE / "inputs.json").write_text(json.dumps(given) + "\n")

    expected = {}
    for name, case in CASES.items():
        losses, users, items = trace(case, observed, weights(case, values), observed.astype(float), x, y)
        expected[name] = dict(config=case, losses=losses, user_factors=rounded(users), item_factors=rounded(items))
    # TensorFlow's WALS: a weight a row, a weight a column, targets of either sign.
    case = dict(confidence="given", unobserved_weight=0.2, unobserved_scope="unobserved", regularization=0.4,
                frequency="count", frequency_exponent=0.0)
    w = np.where(observed, row_weights[:, None] * column_weights[None, :], 0.0)
    losses, users, items = trace(case, observed, w, targets, x, y)
    expected["row_and_column_weights"] = dict(
        config=case, losses=losses, user_factors=rounded(users), item_factors=rounded(items))

    case = dict(confidence={"hu": {"alpha": 2.0}}, unobserved_weight=1.0, unobserved_scope="unobserved",
                regularization=0.5, frequency="count", frequency_exponent=0.0)
    model = AlternatingLeastSquares(factors=RANK, regularization=0.5, iterations=ITERATIONS, use_cg=False,
                                    dtype=np.float64, num_threads=1)
    model.user_factors, model.item_factors = x.copy(), y.copy()
    model.fit(scipy.sparse.csr_matrix(weights(case, values)), show_progress=False)
    expected["implicit"] = dict(
        config=case, losses=None, user_factors=rounded(model.user_factors), item_factors=rounded(model.item_factors))
    (HERE / "expected.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    main()
