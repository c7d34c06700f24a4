"""How often intervals of a regression on imputed tables have the true coefficients.

`python -m benchmarks.imputation.coverage`, some two minutes on one core.

Of y = x + z / 2 + e, x is missing in two of five rows and z in one of five, where y tells (MAR).
Compared are `MaskedImputer.draws` pooled by `maskwise.pool`, one of the completed tables by
itself, and the rows that lack nothing.
"""

import argparse
from collections.abc import Mapping

import numpy as np
from scipy import stats
from scipy.special import expit

from maskwise import pool
from maskwise.integrations.sklearn import MaskedImputer

TRUTH = np.array([0.0, 1.0, 0.5])


def table(num: int, seed: int) -> np.ndarray:
    """Return rows of y, x and z, [num, 3], with NaN where x or z are missing."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=num)
    z = 0.5 * x + rng.normal(size=num)
    y = x + 0.5 * z + rng.normal(size=num)
    found, score = np.column_stack([y, x, z]), (y - y.mean()) / y.std()
    found[rng.random(num) < expit(1.5 * score - 0.5), 1] = np.nan
    found[rng.random(num) < expit(score - 1.5), 2] = np.nan
    return found


def regression(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients of the first column on the others, and their variances, [3] each."""
    x = np.column_stack([np.ones(len(rows)), rows[:, 1:]])
    inverse = np.linalg.inv(x.T @ x)
    found = inverse @ x.T @ rows[:, 0]
    left = rows[:, 0] - x @ found
    return found, left @ left / (len(x) - 3) * np.diag(inverse)


def coverage(num: int, times: int, m: int) -> Mapping[str, np.ndarray]:
    """Return the share of 95 % intervals that have each coefficient, [3], by what they are of."""
    names = "pooled draws", "one completed table", "complete rows"
    found = {name: np.zeros(3) for name in names}
    for seed in range(times):
        rows = table(num, seed)
        draws = MaskedImputer(random_state=seed).fit(rows).draws(rows, m=m)
        estimates, variances = zip(*map(regression, draws), strict=True)
        pooled = pool(np.array(estimates), np.array(variances), dof=num - 3)
        found[names[0]] += (pooled.low < TRUTH) & (pooled.high > TRUTH)
        for name, part in ((names[1], draws[0]), (names[2], rows[~np.isnan(rows).any(axis=1)])):
            estimate, variance = regression(part)
            half = stats.t.isf(0.025, len(part) - 3) * np.sqrt(variance)
            found[name] += np.abs(estimate - TRUTH) < half
    return {name: each / times for name, each in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--times", type=int, default=300)
    parser.add_argument("--draws", type=int, default=10)
    given = parser.parse_args()
    print(f"{given.times} tables of {given.rows} rows, {given.draws} draws: intercept, x, z")
    for name, shares in coverage(given.rows, given.times, given.draws).items():
        print(f"{name:20}  {'  '.join(f'{share:.3f}' for share in shares)}")


if __name__ == "__main__":
    main()
