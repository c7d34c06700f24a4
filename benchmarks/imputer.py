"""Time MaskedImputer beside scikit-learn's imputers, and compare what they fill in.

    OMP_NUM_THREADS=1 python -m benchmarks.imputer [--rows 20000] [--columns 100] [--seeds 1]

A fifth of the values of synthetic tables is hidden at random, and every imputer learns from the
table with the holes and fills them, with its defaults, on one thread; seconds are those of the
processor, so that other work on the machine does not count:

- linear: ten latent normal numbers, columns linear in them, noise;
- curved: five latent numbers through a random network with a hidden layer, noise;
- mixed: ten latent numbers; a third of the columns are skewed (log-normal), a third have five
  levels, a third are products of two latent numbers; noise;
- tumours: scikit-learn's breast cancer, standardised, 569 x 30 whatever is asked for.

R² is that of the hidden values, columns standardised: 0 = their mean, 1 = exact. Nearest
neighbours are searched among 2,000 rows and fill in 2,000; their time is scaled to the table.
"""

import argparse
import time
import warnings
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

from maskwise.integrations.sklearn import MaskedImputer

KINDS = ("linear", "curved", "mixed")
SHIPPED = "tumours"
HIDDEN = 0.2
SOME = 2000  # rows of the neighbours


def table(kind: str, rows: int, columns: int, seed: int) -> np.ndarray:
    """Return a table, [rows, columns], without holes."""
    if kind == SHIPPED:
        values = load_breast_cancer().data
        return (values - values.mean(axis=0)) / values.std(axis=0)
    generator = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return generator.normal(size=shape)

    num = 5 if kind == "curved" else 10
    latent = normal(rows, num)
    if kind == "curved":
        inner = np.tanh(latent @ normal(num, 64) * 1.5 / np.sqrt(num) + normal(64))
        signal = inner @ normal(64, columns)
        return signal / signal.std(axis=0) + 0.3 * normal(rows, columns)
    signal = latent @ normal(num, columns) / np.sqrt(num)
    if kind == "linear":
        return signal + 0.5 * normal(rows, columns)
    noisy = signal + 0.3 * normal(rows, columns)
    noisy[:, ::3] = np.exp(noisy[:, ::3])
    noisy[:, 1::3] = np.clip(np.rint(noisy[:, 1::3] * 1.5), -2, 2)
    pairs = generator.integers(0, num, (2, len(range(2, columns, 3))))
    noisy[:, 2::3] = latent[:, pairs[0]] * latent[:, pairs[1]] + 0.3 * normal(rows, pairs.shape[1])
    return noisy


def hide(values: np.ndarray, seed: int) -> np.ndarray:
    """Return a table with holes."""
    hidden = np.random.default_rng((seed, 1)).random(values.shape) < HIDDEN
    return np.where(hidden, np.nan, values)


def r2(values: np.ndarray, holes: np.ndarray, filled: np.ndarray) -> float:
    """Return R² of what fills the holes, columns standardised by what is not hidden.

    >>> values = np.array([[0.0], [2.0], [1.0], [3.0]])
    >>> holes = np.array([[0.0], [2.0], [1.0], [np.nan]])
    >>> r2(values, holes, values), r2(values, holes, np.array([[0.0], [2.0], [1.0], [1.0]]))
    (1.0, 0.0)
    """
    hidden = np.isnan(holes)
    mean, deviation = np.nanmean(holes, axis=0), np.nanstd(holes, axis=0)
    left, all_ = (
        np.square(((values - each) / deviation)[hidden]).sum() for each in (filled, mean)
    )
    return float(1 - left / all_)


def compare(kind: str, rows: int, columns: int, seed: int, imputers: dict[str, Any]) -> None:
    """Print the seconds and the R² of each imputer."""
    values = table(kind, rows, columns, seed)
    holes = hide(values, seed)
    seconds = {}
    for name, imputer in imputers.items():
        some = slice(SOME if name == "neighbours" else None)
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            filled = imputer.fit_transform(holes[some])
        seconds[name] = time.process_time() - start
        if name == "neighbours":
            seconds[name] *= max(len(values) / SOME, 1) ** 2
        ratio = seconds[name] / seconds["MaskedImputer"]
        found = r2(values[some], holes[some], filled)
        print(
            f"{kind:8} {name:16} {seconds[name]:8.1f} s {ratio:6.1f}x   R2 {found:.4f}", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", default=[*KINDS, SHIPPED], choices=[*KINDS, SHIPPED])
    arguments = parser.parse_args()
    print(f"{arguments.rows:,} x {arguments.columns}, {HIDDEN:.0%} hidden, one thread")
    torch.set_num_threads(1)
    for seed in range(arguments.seeds):
        imputers = {
            "MaskedImputer": MaskedImputer(random_state=seed),
            "IterativeImputer": IterativeImputer(random_state=seed),
            "neighbours": KNNImputer(),
            "mean": SimpleImputer(),
        }
        for kind in arguments.kinds:
            compare(kind, arguments.rows, arguments.columns, seed, imputers)


if __name__ == "__main__":
    main()
