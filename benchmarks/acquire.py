"""Accuracy by what was measured: the next by information gain, beside other orders; attribution.

    OMP_NUM_THREADS=1 python -m benchmarks.acquire [SET ...] [--seeds 5] [--rows 100]

A closed form of the columns and a logistic head are fitted to three quarters of the rows of each
set. Of the others, or the first --rows of them, nothing is there at first, and one column after
the other is measured and shown:

- gain: the one that is expected to tell most of the class, given what was measured of this row
  (`maskwise.predict.buying.curve`);
- information: one order for all rows, by each column's mutual information with the class in the
  training rows (scikit-learn's mutual_info_classif);
- permutation: one order for all, by what the accuracy in the training rows loses when the column
  is shuffled (20 times);
- random: another order for each row.

The head is the same for all. The area is the mean accuracy over numbers of measured columns, from
none to all; its interval is 95 %, of Student's t over seeds, which decide the split and the
random orders. With --costs half of the columns, drawn by the seed, cost 5, the others 1; the area
is over what may be spent, and orders are by what a column tells over its cost.
With --validation, the rows that are asked are a quarter of the training rows instead.

    OMP_NUM_THREADS=1 python -m benchmarks.acquire --attribute

times Shapley values of 100 rows of each set at a standard error of 2 %.
"""

import argparse
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.feature_selection import mutual_info_classif
from sklearn.model_selection import train_test_split

from maskwise.columns.asking import ClosedAsking
from maskwise.columns.closed_form import ClosedForm
from maskwise.measure.features import over_draws
from maskwise.predict import heads, masked_copies
from maskwise.predict.asking import asked_of
from maskwise.predict.attribute import attribute
from maskwise.predict.buying import Bought, curve

SETS: Mapping[str, Callable[..., Any]] = {
    "wine": load_wine,
    "breast cancer": load_breast_cancer,
    "digits": load_digits,
}
SHOWN = (1, 2, 4, 8, 16)  # columns
TIMES = 20  # that a column is shuffled


def fitted(x: np.ndarray, y: np.ndarray, seed: int) -> tuple[ClosedForm, heads.Head]:
    """Return the closed form of training rows, and a head on it."""
    closed = ClosedForm.learn(x, (0,) * x.shape[1], seed=seed)
    asking = ClosedAsking(closed, x)
    hidden = masked_copies.hide(asking.there, seed=seed)
    return closed, heads.fit(asking, y, hidden, classes=True, seed=seed)


def split(name: str, seed: int, validation: bool = False) -> tuple[np.ndarray, ...]:
    """Return training and other rows and their classes."""
    x, y = SETS[name](return_X_y=True)
    parts = train_test_split(x, y, test_size=0.25, random_state=seed, stratify=y)
    if validation:
        parts = train_test_split(
            parts[0], parts[2], test_size=0.25, random_state=seed, stratify=parts[2]
        )
    return tuple(parts)


def losses_of_shuffling(
    asking: ClosedAsking, head: heads.Head, y: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return the accuracy that is lost when a column is shuffled, [D]."""

    def right(x: np.ndarray) -> float:
        shuffled = ClosedAsking(asking.closed, x)
        said = asked_of(head, shuffled, np.arange(len(y)), np.zeros(x.shape, bool))
        return float((said.argmax(axis=1) == y).mean())

    found, whole = [], right(asking.samples)
    for column in range(asking.samples.shape[1]):
        lost = 0.0
        for _ in range(TIMES):
            x = asking.samples.copy()
            x[:, column] = rng.permutation(x[:, column])
            lost += whole - right(x)
        found.append(lost / TIMES)
    return np.array(found)


def curves(
    name: str, seed: int, rows: int, *, validation: bool = False, costs: bool = False
) -> dict[str, Bought]:
    """Return the curve of every order on one split."""
    train, test, train_y, test_y = split(name, seed, validation)
    test, test_y = test[:rows], test_y[:rows]
    closed, head = fitted(train, train_y, seed)
    asking, rng = ClosedAsking(closed, test), np.random.default_rng(seed)
    width = test.shape[1]
    cost = np.where(rng.permutation(width) < width // 2, 5.0, 1.0) if costs else np.ones(width)
    told = mutual_info_classif(train, train_y, random_state=seed)
    lost = losses_of_shuffling(ClosedAsking(closed, train), head, train_y, rng)
    orders: dict[str, Literal["gain"] | np.ndarray] = {
        "gain": "gain",
        "information": np.argsort(-told / cost, kind="stable"),
        "permutation": np.argsort(-lost / cost, kind="stable"),
        "random": np.stack([rng.permutation(width) for _ in test]),
    }
    return {
        order: curve(asking, head, test_y, order=plan, cost=cost) for order, plan in orders.items()
    }


def compare(names: list[str], seeds: int, rows: int, validation: bool, costs: bool) -> None:
    """Print the table of areas and accuracies."""
    spent = "spent" if costs else "columns"
    head = f"{'':<14} {'':<12} {'area':>5} {'95 %':>11} {'- gain':>15}  accuracy at {spent}"
    print(head + "\n" + " " * 63 + " ".join(f"{num:>6}" for num in SHOWN))
    for name in names:
        found = [
            curves(name, seed, rows, validation=validation, costs=costs) for seed in range(seeds)
        ]
        best = np.array([each["gain"].area for each in found])
        for order in found[0]:
            areas = np.array([each[order].area for each in found])
            mean, ends = _ends(areas)
            less = "" if order == "gain" else _difference(areas - best)
            at = np.mean([each[order].at(np.array(SHOWN)) for each in found], axis=0)
            shown = " ".join(f"{value:6.3f}" for value in at)
            print(f"{name:<14} {order:<12} {mean:.3f} {ends:>11} {less:>15}  {shown}")


def _ends(values: np.ndarray) -> tuple[float, str]:
    mean, low, high = over_draws(values.tolist())
    return mean, "" if low is None else f"{low:.3f}-{high:.3f}"


def _difference(values: np.ndarray) -> str:
    mean, _, high = over_draws(values.tolist())
    return f"{mean:+.3f}" + ("" if high is None else f" ± {high - mean:.3f}")


def attributed(names: list[str], rows: int) -> None:
    """Print how long Shapley values take."""
    print(
        f"{'':<14} {'of':<12} {'rows':>5} {'columns':>7} {'orders':>6} {'error':>6} {'seconds':>7}"
    )
    for name in names:
        train, test, train_y, _ = split(name, 0)
        closed, head = fitted(train, train_y, 0)
        asking = ClosedAsking(closed, test[:rows])
        for of in ("probability", "logit"):
            start = time.process_time()
            found = attribute(asking, head, of=of)
            took = time.process_time() - start
            scale = np.abs(found.answer - found.base).mean(axis=0).max()
            print(
                f"{name:<14} {of:<12} {len(found.values):>5} {test.shape[1]:>7}"
                f" {found.permutations:>6} {found.stderr.max() / scale:6.3f} {took:7.2f}"
            )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("sets", nargs="*", choices=[[], *SETS], default=[])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--validation", action="store_true")
    parser.add_argument("--costs", action="store_true")
    parser.add_argument("--attribute", action="store_true")
    options = parser.parse_args()
    names = options.sets or list(SETS)
    if options.attribute:
        attributed(names, options.rows)
        return
    compare(names, options.seeds, options.rows, options.validation, options.costs)


if __name__ == "__main__":
    main()
