"""Classify rows of which only a part is visible, beside what else one could do.

    OMP_NUM_THREADS=1 python -m benchmarks.partial [--data DIR] [--sets digits ...] [--seeds 5]
        [--labels 20 | all] [--masks random contiguous]
    OMP_NUM_THREADS=1 python -m benchmarks.partial --speed

The protocol: a fifth of the rows are for testing (500 at most), of the others a few a class are
labelled and all are there without labels; of each test row 2, 5, 10, 25, 50 or 100 % of the
columns are visible, at random, each row its own, or in a run with a random start. The score is the
macro-F1, and the mean over these shares; differences to the best baseline are paired by seed, with
95 % t-intervals. Seconds are those of the processor.

Baselines: the shares of the classes; means in the holes, or what a normal distribution of all rows
with a ridge of .1 expects, or IterativeImputer (of 64 columns or fewer, fitted to 300 rows), and
then a logistic regression of the labelled rows; boosted trees (scikit-learn's) trained on 8 copies
of these of which random shares are hidden; the five nearest labelled rows by what both have.

DIR holds covertype.csv and mfeat.csv, see `benchmarks.tabular_data`; the other sets are
scikit-learn's. With --speed it times `predict_proba` for 1,000 rows of 100 columns, each with its
own holes.
"""

import argparse
import csv
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from sklearn import datasets
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.metrics.pairwise import nan_euclidean_distances

from maskwise.integrations.sklearn import MaskedClassifier

SHARES = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
TESTED = 500
SHIPPED = {
    "wine": datasets.load_wine,
    "cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
}
FILES = ("covertype", "mfeat")

Answer = Callable[[np.ndarray], np.ndarray]
"""From rows with NaN in their holes, [n, F], to probabilities, [n, K]."""


def table(name: str, folder: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Return rows [N, F] and their classes from 0, [N]."""
    if name in SHIPPED:
        values, classes = SHIPPED[name](return_X_y=True)
        return values.astype(float), classes
    if folder is None:
        raise SystemExit(f"{name}: give --data")
    with (folder / f"{name}.csv").open(encoding="utf-8") as file:
        _, *rows = csv.reader(file)
    values = np.array([row[:-1] for row in rows], dtype=float)
    return values, np.unique([row[-1] for row in rows], return_inverse=True)[1]


def hide(shape: tuple[int, int], share: float, mask: str, rng: np.random.Generator) -> np.ndarray:
    """Return what is hidden, bool [n, F], all but a share of each row.

    >>> hide((2, 4), 0.5, "contiguous", np.random.default_rng(0)).sum(axis=1).tolist()
    [2, 2]
    """
    num = max(round(share * shape[1]), 1)
    if mask == "random":
        return rng.random(shape).argsort(axis=1) >= num
    start = rng.integers(shape[1], size=(shape[0], 1))
    return (np.arange(shape[1]) - start) % shape[1] >= num


def frequencies(x: np.ndarray, y: np.ndarray, others: np.ndarray, seed: int) -> Answer:
    """Answer with the shares of the classes."""
    return lambda rows: np.tile(np.bincount(y) / len(y), (len(rows), 1))


def on_filled(fill: Answer, x: np.ndarray, y: np.ndarray, every: np.ndarray) -> Answer:
    """Answer by a logistic regression on standardised, filled rows."""
    mean, std = every.mean(axis=0), every.std(axis=0)
    std = np.where(std > 0, std, 1)
    model = LogisticRegression(max_iter=1000).fit((x - mean) / std, y)
    return lambda rows: model.predict_proba(fill((rows - mean) / std))


def means(x: np.ndarray, y: np.ndarray, others: np.ndarray, seed: int) -> Answer:
    """Answer with means in the holes."""
    return on_filled(lambda rows: np.nan_to_num(rows), x, y, np.concatenate([x, others]))


def normal(x: np.ndarray, y: np.ndarray, others: np.ndarray, seed: int) -> Answer:
    """Answer with what a normal distribution expects."""
    every = np.concatenate([x, others])
    std = every.std(axis=0)
    covariance = np.cov(((every - every.mean(axis=0)) / np.where(std > 0, std, 1)).T)
    covariance += 0.1 * np.eye(len(covariance))

    return on_filled(lambda rows: expected(rows, covariance), x, y, every)


def expected(rows: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Return standardised rows with what a normal distribution expects in their holes."""
    rows = rows.copy()
    for row in rows:
        gap = np.isnan(row)
        if gap.any():
            inner = np.linalg.solve(covariance[np.ix_(~gap, ~gap)], row[~gap])
            row[gap] = covariance[np.ix_(gap, ~gap)] @ inner
    return rows


def with_dropout(x: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and copies of which random shares are hidden, and the row of each."""
    rng = np.random.default_rng([seed, 98])
    every = np.tile(np.arange(len(x)), max(min(8, 40_000 // len(x)), 1))
    hidden = rng.random((len(every), x.shape[1])) < rng.random((len(every), 1))
    hidden[: len(x)] = False
    return np.where(hidden, np.nan, x[every]), every


def iterative(x: np.ndarray, y: np.ndarray, others: np.ndarray, seed: int) -> Answer | None:
    """Answer with what IterativeImputer fills in."""
    every = np.concatenate([x, others])
    if x.shape[1] > 64:
        return None
    mean, std = every.mean(axis=0), every.std(axis=0)
    some = np.random.default_rng(seed).permutation(len(every))[:300]
    imputer = IterativeImputer(random_state=seed, keep_empty_features=True)
    imputer.fit((every[some] - mean) / np.where(std > 0, std, 1))
    return on_filled(imputer.transform, x, y, every)


def trees(x: np.ndarray, y: np.ndarray, others: np.ndarray, seed: int) -> Answer:
    """Answer by boosted trees with feature dropout."""
    rows, every = with_dropout(x, seed)
    return HistGradientBoostingClassifier(random_state=seed).fit(rows, y[every]).predict_proba


def neighbours(x: np.ndarray, y: np.ndarray, others: np.ndarray, seed: int) -> Answer:
    """Answer by the nearest labelled rows, of visible columns."""
    every = np.concatenate([x, others])
    std = every.std(axis=0)
    std = np.where(std > 0, std, 1)
    near, known = x[:5000] / std, np.eye(y.max() + 1)[y[:5000]]

    def answer(rows: np.ndarray) -> np.ndarray:
        distance = np.nan_to_num(nan_euclidean_distances(rows / std, near), nan=np.inf)
        return known[np.argsort(distance, axis=1, kind="stable")[:, :5]].mean(axis=1)

    return answer


def masked(x: np.ndarray, y: np.ndarray, others: np.ndarray, seed: int) -> Answer:
    """Answer by MaskedClassifier with its defaults."""
    model = MaskedClassifier(random_state=seed)
    return model.fit(x, y, unlabelled=others if len(others) else None).predict_proba


METHODS = {
    "MaskedClassifier": masked,
    "normal + logistic": normal,
    "mean + logistic": means,
    "iterative + logistic": iterative,
    "boosted trees": trees,
    "neighbours": neighbours,
    "frequencies": frequencies,
}


def compare(
    values: np.ndarray, classes: np.ndarray, few: int | None, masks: list[str], seed: int
) -> dict[str, dict[str, list[float]]]:
    """Return the macro-F1 at each share, and seconds to fit and to predict, by mask and method."""
    rng = np.random.default_rng([seed, 7])
    order = rng.permutation(len(values))
    test, train = np.split(order, [len(values) // 5])
    test = test[:TESTED]
    labelled = train
    if few is not None:
        kinds = range(classes.max() + 1)
        labelled = np.concatenate(
            [rng.permutation(train[classes[train] == k])[:few] for k in kinds]
        )
    others = values[np.setdiff1d(train, labelled)]
    found: dict[str, dict[str, list[float]]] = {mask: {} for mask in masks}
    for name, method in METHODS.items():
        start = time.process_time()
        answer = method(values[labelled], classes[labelled], others, seed)
        fitted = time.process_time() - start
        if answer is None:
            continue
        for mask in masks:
            scores, start = [], time.process_time()
            for share in SHARES:
                keys = np.random.default_rng([seed, int(share * 1000)])
                hidden = hide((len(test), values.shape[1]), share, mask, keys)
                said = answer(np.where(hidden, np.nan, values[test])).argmax(axis=1)
                scores.append(float(f1_score(classes[test], said, average="macro")))
            found[mask][name] = [*scores, fitted, time.process_time() - start]
    return found


def report(name: str, mask: str, runs: list[dict[str, list[float]]]) -> None:
    """Print a row for each method, and how far the first is ahead of the best of the others."""
    every = {method: np.array([run[method] for run in runs]) for method in runs[0]}
    means = {method: each[:, : len(SHARES)].mean(axis=1) for method, each in every.items()}
    first, *rest = means
    best = max(rest, key=lambda method: means[method].mean())
    for method, each in every.items():
        *scores, fitted, predicted = each.mean(axis=0)
        cells = " ".join(f"{score:.3f}" for score in scores)
        print(
            f"{name:10} {mask:10} {method:20} {cells} | {means[method].mean():.3f}"
            f" | {fitted:6.1f} s {predicted:6.1f} s"
        )
    off = means[first] - means[best]
    half = stats.t.ppf(0.975, len(off) - 1) * off.std(ddof=1) / np.sqrt(len(off))
    print(f"{name:10} {mask:10} minus {best}: {off.mean():+.3f} ± {half:.3f}\n", flush=True)


def speed() -> None:
    """Print how long 1,000 rows of 100 columns take, each with its own holes."""
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(3000, 10))
    values = latent @ rng.normal(size=(10, 100)) + rng.normal(size=(3000, 100))
    model = MaskedClassifier(random_state=0).fit(values[:2000], latent[:2000, 0] > 0)
    for share in ("uniform:0,1", 0.1, 0.5, 0.9):
        ratio = rng.random((1000, 1)) if isinstance(share, str) else share
        rows = np.where(rng.random((1000, 100)) < ratio, np.nan, values[2000:])
        seconds = []
        for _ in range(9):
            start = time.process_time()
            model.predict_proba(rows)
            seconds.append(time.process_time() - start)
        print(f"hidden {share}: {1000 * np.median(seconds):.0f} ms for 1,000 rows of 100 columns")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--sets", nargs="+", default=list(SHIPPED), choices=(*SHIPPED, *FILES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--labels", default="20", help="a class, or 'all'")
    parser.add_argument("--masks", nargs="+", default=["random", "contiguous"])
    parser.add_argument("--speed", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.speed:
        speed()
        return
    few = None if given.labels == "all" else int(given.labels)
    print("macro-F1 at 2, 5, 10, 25, 50 and 100 % visible | mean | seconds to fit, to predict\n")
    for name in given.sets:
        values, classes = table(name, given.data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            runs = [
                compare(values, classes, few, given.masks, seed) for seed in range(given.seeds)
            ]
        for mask in given.masks:
            report(name, mask, [run[mask] for run in runs])


if __name__ == "__main__":
    main()
