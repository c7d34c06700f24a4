"""Say a number from rows of which only a part is visible, beside what else one could do.

    OMP_NUM_THREADS=1 python -m benchmarks.partial_numbers [--data DIR] [--sets diabetes ...]
        [--seeds 5] [--labels 100 | all]

The protocol of `benchmarks.partial`, with numbers for classes: the score is R² on the test rows,
and the mean over the shares that are visible. Baselines: the mean; means in the holes, or what a
normal distribution expects, and then a ridge regression; the normal distribution of columns and
number together, which answers by itself; boosted trees with feature dropout; the nearest labelled
rows. Below, how often intervals of 90 % cover, at each share.

DIR holds the series of `--sets etth1`, see `benchmarks.imputation`; other sets are scikit-learn's.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from sklearn.datasets import load_diabetes
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.metrics.pairwise import nan_euclidean_distances

from benchmarks.imputation import sets
from benchmarks.partial import SHARES, TESTED, expected, hide, with_dropout
from maskwise.integrations.sklearn import MaskedRegressor

Answer = Callable[[np.ndarray], np.ndarray]
"""From rows with NaN in their holes, [n, F], to numbers, [n]."""


def mean(x: np.ndarray, y: np.ndarray, others: np.ndarray, seed: int) -> Answer:
    """Answer with the mean."""
    return lambda rows: np.full(len(rows), y.mean())


def scaled(x: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means and standard deviations of all rows."""
    every = np.concatenate([x, others])
    std = every.std(axis=0)
    return every.mean(axis=0), np.where(std > 0, std, 1)


def filled(x: np.ndarray, y: np.ndarray, others: np.ndarray, fill: Answer) -> Answer:
    """Answer by a ridge regression on standardised, filled rows."""
    middle, std = scaled(x, others)
    model = RidgeCV(np.logspace(-3, 3, 13)).fit((x - middle) / std, y)
    return lambda rows: model.predict(fill((rows - middle) / std))


def mean_ridge(x: np.ndarray, y: np.ndarray, others: np.ndarray, seed: int) -> Answer:
    """Answer with means in the holes."""
    return filled(x, y, others, np.nan_to_num)


def normal_ridge(x: np.ndarray, y: np.ndarray, others: np.ndarray, seed: int) -> Answer:
    """Answer with what a normal distribution expects in the holes."""
    middle, std = scaled(x, others)
    covariance = np.cov(((np.concatenate([x, others]) - middle) / std).T)
    covariance += 0.1 * np.eye(len(covariance))
    return filled(x, y, others, lambda rows: expected(rows, covariance))


def normal(x: np.ndarray, y: np.ndarray, others: np.ndarray, seed: int) -> Answer:
    """Answer with what a normal distribution of the labelled rows and their number expects."""
    rows = np.column_stack([x, y])
    middle, std = scaled(rows, rows[:0])
    covariance = np.cov(((rows - middle) / std).T) + 0.1 * np.eye(rows.shape[1])

    def answer(asked: np.ndarray) -> np.ndarray:
        asked = np.column_stack([asked, np.full(len(asked), np.nan)])
        return expected((asked - middle) / std, covariance)[:, -1] * std[-1] + middle[-1]

    return answer


def trees(x: np.ndarray, y: np.ndarray, others: np.ndarray, seed: int) -> Answer:
    """Answer by boosted trees with feature dropout."""
    rows, every = with_dropout(x, seed)
    return HistGradientBoostingRegressor(random_state=seed).fit(rows, y[every]).predict


def neighbours(x: np.ndarray, y: np.ndarray, others: np.ndarray, seed: int) -> Answer:
    """Answer by the ten nearest labelled rows, of visible columns."""
    std = scaled(x, others)[1]

    def answer(rows: np.ndarray) -> np.ndarray:
        distance = np.nan_to_num(nan_euclidean_distances(rows / std, x / std), nan=np.inf)
        return y[np.argsort(distance, axis=1, kind="stable")[:, :10]].mean(axis=1)

    return answer


METHODS = {
    "normal + ridge": normal_ridge,
    "normal of both": normal,
    "mean + ridge": mean_ridge,
    "boosted trees": trees,
    "neighbours": neighbours,
    "mean": mean,
}


def table(name: str, folder: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Return rows [N, F] and a number for each, [N]: the last column."""
    if name == "diabetes":
        values = np.column_stack(load_diabetes(return_X_y=True))
    else:
        frame = sets.table(name, folder)
        if frame is None:
            raise SystemExit(f"{name}: give --data")
        values = frame.to_numpy(dtype=float)
    return values[:, :-1], values[:, -1]


def compare(
    values: np.ndarray, numbers: np.ndarray, few: int | None, seed: int
) -> tuple[dict[str, list[float]], list[float]]:
    """Return R² at each share by method, and how often intervals of 90 % cover."""
    order = np.random.default_rng([seed, 7]).permutation(len(values))
    test, train = np.split(order, [len(values) // 5])
    test, labelled = test[:TESTED], train[:few]
    others = values[train[len(labelled) :]]
    given = values[labelled], numbers[labelled]
    model = MaskedRegressor(random_state=seed)
    model.fit(*given, unlabelled=others if len(others) else None)
    answers: dict[str, Answer] = {"MaskedRegressor": model.predict}
    answers |= {name: make(*given, others, seed) for name, make in METHODS.items()}
    found: dict[str, list[float]] = {name: [] for name in answers}
    covered = []
    for share in SHARES:
        keys = np.random.default_rng([seed, int(share * 1000)])
        hidden = hide((len(test), values.shape[1]), share, "random", keys)
        rows, truth = np.where(hidden, np.nan, values[test]), numbers[test]
        for name, answer in answers.items():
            found[name].append(float(r2_score(truth, answer(rows))))
        low, high = model.predict_interval(rows, 0.9).T
        covered.append(float(np.mean((low <= truth) & (truth <= high))))
    return found, covered


def report(name: str, runs: list[tuple[dict[str, list[float]], list[float]]]) -> None:
    """Print a row for each method, and how far the first is ahead of the best of the others."""
    every = {each: np.array([run[each] for run, _ in runs]) for each in runs[0][0]}
    means = {each: scores.mean(axis=1) for each, scores in every.items()}
    first, *rest = means
    best = max(rest, key=lambda each: means[each].mean())
    for each, scores in every.items():
        cells = " ".join(f"{score:6.3f}" for score in scores.mean(axis=0))
        print(f"{name:10} {each:16} {cells} | {means[each].mean():6.3f}")
    cells = " ".join(f"{share:6.3f}" for share in np.mean([run for _, run in runs], axis=0))
    print(f"{name:10} {'covered of .9':16} {cells}")
    off = means[first] - means[best]
    half = stats.t.ppf(0.975, len(off) - 1) * off.std(ddof=1) / np.sqrt(len(off))
    print(f"{name:10} minus {best}: {off.mean():+.3f} ± {half:.3f}\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--sets", nargs="+", default=["diabetes", "friedman1", "friedman2"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--labels", default="100", help="a number, or 'all'")
    given = parser.parse_args()
    torch.set_num_threads(1)
    few = None if given.labels == "all" else int(given.labels)
    print("R² at 2, 5, 10, 25, 50 and 100 % visible | mean\n")
    for name in given.sets:
        values, numbers = table(name, given.data)
        report(name, [compare(values, numbers, few, seed) for seed in range(given.seeds)])


if __name__ == "__main__":
    main()
