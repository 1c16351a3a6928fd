"""Expected agreement of seeded ratings: alpha with gaps, kappa with weights, rho with ties.

    python3 make.py        # needs krippendorff 0.9.0, scikit-learn 1.9.1, scipy 1.17.1
"""
import pathlib
import random
import sys

import krippendorff
import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from common import compact, write  # noqa: E402

rng = random.Random(20261123)


def ratings(raters, units, values, gaps, noise):
    """Per unit one rating of each rater around a common truth, some of them missing."""
    rows = []
    for _ in range(units):
        truth = rng.randrange(len(values))
        row = []
        for _ in range(raters):
            place = truth if rng.random() > noise else rng.randrange(len(values))
            row.append(None if rng.random() < gaps else values[place])
        rows.append(row)
    return rows


alpha = []
for raters, units, values, gaps, noise in [
    (2, 12, [1, 2, 3, 4, 5], 0.0, 0.3), (3, 40, [1, 2, 3, 4, 5], 0.2, 0.4), (5, 25, [1, 2, 3, 4, 5], 0.5, 0.2),
    (4, 30, [0, 1], 0.1, 0.5), (3, 30, [1, 2, 4, 8, 16, 32], 0.3, 0.5), (6, 17, [-2.5, -1, 0, 0.25, 7], 0.4, 0.9),
    (2, 60, [k / 7 for k in range(40)], 0.1, 0.2), (3, 50, [1, 5], 0.6, 0.1), (2, 8, [1, 2, 3], 0.0, 1.0),
    (3, 20, [1e6 + k for k in range(5)], 0.2, 0.3),
]:
    rows = ratings(raters, units, values, gaps, noise)
    table = np.array([[np.nan if x is None else x for x in row] for row in rows], dtype=float).T
    alpha.append({"units": rows, **{
        scale: compact(krippendorff.alpha(reliability_data=table, level_of_measurement=scale))
        for scale in ("nominal", "ordinal", "interval")}})
write("agreement", "alpha", alpha)

kappa = []
for units, categories, noise in [(10, 2, 0.3), (50, 5, 0.4), (200, 5, 0.8), (30, 7, 0.2), (25, 3, 1.0), (6, 5, 0.5)]:
    rows = ratings(2, units, list(range(categories)), 0.0, noise)
    first, second = map(list, zip(*rows))
    score = lambda weights: compact(cohen_kappa_score(  # noqa: E731
        first, second, labels=list(range(categories)), weights=weights))
    kappa.append({"first": first, "second": second, "categories": categories, "plain": score(None),
                  "linear": score("linear"), "quadratic": score("quadratic")})
write("agreement", "kappa", kappa)

rho = []
for units, values, noise in [(10, [1, 2, 3, 4, 5], 0.3), (80, [1, 2, 3, 4, 5], 0.6), (40, [k / 3 for k in range(200)], 0.4),
                             (3, [1, 2, 3], 0.5), (150, [0, 1], 0.3), (25, [-1e9, 0, 1e-9, 5], 1.0)]:
    rows = ratings(2, units, values, 0.0, noise)
    first, second = map(list, zip(*rows))
    rho.append({"first": first, "second": second, "rho": compact(spearmanr(first, second).statistic)})
write("agreement", "spearman", rho)
