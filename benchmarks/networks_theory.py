"""Compare what `benchmarks.networks` measured with what the theory predicts for the same data.

    python -m benchmarks.networks_theory results.jsonl --images cifar10.npz --text corpus.txt \
        [--figure networks.png]

The theory's linear model predicts every number of a sample from the others, as the networks do:
the target itself is hidden in every row that counts. Two predictions are made, neither fitted:

- "data": the data's own covariance and number of samples. It knows nothing of the network.
- "width": the data's covariance, and the number of samples that makes d / n equal to the network's
  over-parameterisation, parameters / (samples x numbers predicted in a sample).

A curve is the test loss at the training ratios; curves are compared by Spearman's correlation.
"""

import argparse
import itertools
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from benchmarks.networks import RATIOS, SEEDS, TEST_RATIOS
from benchmarks.networks_data import Data, load
from maskwise import theory
from maskwise.theory.spectra import Model

# The symbol that the theory predicts from all others, in the middle of a window.
TARGET = 16
PREDICTIONS = ("data", "width")


class Curve(NamedTuple):
    """What a curve of losses over training ratios belongs to."""

    data: str
    network: str
    masks: str
    num_train: int
    width: int
    tested: str


class Comparison(NamedTuple):
    """A measured curve [S, K] of S seeds and K ratios, and predicted ones [K]."""

    curve: Curve
    excess: float
    measured: np.ndarray
    predicted: dict[str, np.ndarray]

    def correlation(self, prediction: str) -> float:
        """Return the rank correlation of the prediction with the mean over seeds."""
        return float(
            stats.spearmanr(self.predicted[prediction], self.measured.mean(axis=0)).statistic
        )

    def best(self, prediction: str | None = None) -> float:
        """Return the ratio of least loss: predicted, or measured (of the mean over seeds)."""
        curve = self.predicted[prediction] if prediction else self.measured.mean(axis=0)
        return RATIOS[int(np.argmin(curve))]


def model_of(data: Data) -> Model:
    """Return the linear model's view of the data, from the whole training pool."""
    pool = data.pool.numpy()
    if data.channels == 1:
        return theory.estimate(pool)
    # One-hot without the last symbol, which the others determine; a symbol is hidden as a whole.
    one_hot = (pool[:, :, None] == np.arange(data.channels)).astype(np.float32)
    targets = one_hot[:, TARGET] - one_hot[:, TARGET].mean(axis=0)
    others = np.delete(one_hot[:, :, :-1], TARGET, axis=1).reshape(len(pool), -1)
    others -= others.mean(axis=0)
    matrix = (others.T @ others / len(pool)).astype(np.float64)
    cross = (others.T @ targets / len(pool)).astype(np.float64)
    beta = np.linalg.solve(matrix, cross)
    noise = float(np.mean(targets**2, axis=0).sum() - np.sum(beta * cross))
    units = np.repeat(np.arange(pool.shape[1] - 1), data.channels - 1)
    return theory.Covariance(matrix, beta, noise, units)


def compare(rows: Sequence[dict[str, Any]], data: dict[str, Data]) -> list[Comparison]:
    """Return all complete curves with their predictions."""
    models = {name: model_of(one) for name, one in data.items()}

    @cache
    def predict(name: str, masks: str, num_samples: float, tested: str) -> np.ndarray:
        length = math.prod(data[name].grid)
        realised = np.round(np.array(RATIOS) * length) / length
        risk = theory.risk(
            models[name],
            realised,
            num_samples,
            test_ratio=TEST_RATIOS[tested],
            target_hidden=True,
            masks=masks,  # type: ignore[arg-type]
        )
        return np.asarray(risk.total)

    measured: dict[Curve, dict[tuple[int, float], float]] = defaultdict(dict)
    parameters = {}
    for row in rows:
        for tested in TEST_RATIOS:
            keys = ("data", "network", "masks", "num_train", "width")
            curve = Curve(*(row[key] for key in keys), tested)
            losses = row["test_squared"] or row["test"]
            measured[curve][row["seed"], row["ratio"]] = losses[tested]
            parameters[curve] = row["num_parameters"]
    found = []
    for curve, losses in sorted(measured.items()):
        one = data[curve.data]
        numbers = math.prod(one.grid) * one.channels
        excess = parameters[curve] / (curve.num_train * numbers)
        seeds = [seed for seed in SEEDS if all((seed, ratio) in losses for ratio in RATIOS)]
        if not seeds:
            continue
        samples = {"data": curve.num_train, "width": max(models[curve.data].dim / excess, 1.0)}
        found.append(
            Comparison(
                curve,
                excess,
                np.array([[losses[seed, ratio] for ratio in RATIOS] for seed in seeds]),
                {
                    name: predict(curve.data, curve.masks, samples[name], curve.tested)
                    for name in PREDICTIONS
                },
            )
        )
    return found


def _kind(one: Comparison) -> tuple[str, ...]:
    return one.curve.data, one.curve.network, one.curve.masks, one.curve.tested


def interval(values: Sequence[float]) -> str:
    """Return a mean and the half-width of its 95 % t-interval."""
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values) if len(values) > 1 else math.nan
    return f"{np.mean(values):.2f} ± {half:.2f}"


def correlations(found: Sequence[Comparison]) -> str:
    """Return a table: how well curves agree, and how often the best ratio is the same."""
    lines = [
        "| data | network | masks | tested | curves | rank correlation, data | width "
        "| same best ratio, data | width |",
        "|---" * 9 + "|",
    ]
    for group, members in itertools.groupby(sorted(found, key=_kind), _kind):
        curves = list(members)
        cells = [f"{np.mean([c.correlation(p) for c in curves]):.2f}" for p in PREDICTIONS]
        cells += [f"{np.mean([c.best(p) == c.best() for c in curves]):.0%}" for p in PREDICTIONS]
        lines.append(f"| {' | '.join(group)} | {len(curves)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def movement(found: Sequence[Comparison], tested: str) -> str:
    """Return a table: the best ratio by over-parameterisation, measured and predicted."""
    lines = [
        "| data | network | masks | samples | width | parameters per number | measured best, "
        "each seed | predicted, data | width |",
        "|---" * 9 + "|",
    ]
    for one in found:
        if one.curve.tested == tested:
            seeds = ", ".join(f"{RATIOS[index]:g}" for index in one.measured.argmin(axis=1))
            data, network, masks, num, width, _ = one.curve
            lines.append(
                f"| {data} | {network} | {masks} | {num} | {width} | {one.excess:.2g} | {seeds} "
                f"| {one.best('data'):g} | {one.best('width'):g} |"
            )
    return "\n".join(lines)


def trend(found: Sequence[Comparison]) -> str:
    """Return a table: does the best ratio rise with width, and is that predicted?"""
    lines = [
        "| data | network | masks | tested | measured: correlation of best ratio and width "
        "| predicted |",
        "|---" * 6 + "|",
    ]
    full = [
        one
        for one in found
        if one.curve.num_train
        == max(other.curve.num_train for other in found if other.curve.data == one.curve.data)
    ]
    for group, members in itertools.groupby(sorted(full, key=_kind), _kind):
        curves = sorted(members, key=lambda one: one.curve.width)
        widths = [one.curve.width for one in curves]
        seeds = [
            rank(widths, [RATIOS[int(one.measured[seed].argmin())] for one in curves])
            for seed in range(min(len(one.measured) for one in curves))
        ]
        predicted = rank(widths, [one.best("width") for one in curves])
        lines.append(f"| {' | '.join(group)} | {interval(seeds)} | {predicted:.2f} |")
    return "\n".join(lines)


def rank(widths: Sequence[float], best: Sequence[float]) -> float:
    """Return Kendall's correlation; 0 when the best ratio does not move."""
    return 0.0 if len(set(best)) == 1 else float(stats.kendalltau(widths, best).statistic)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--text", type=Path, required=True)
    arguments = parser.parse_args()
    rows = [json.loads(line) for line in arguments.results.read_text().splitlines()]
    found = compare(rows, load(arguments.images, arguments.text))
    print(correlations(found), trend(found), movement(found, "one"), sep="\n\n")


if __name__ == "__main__":
    main()
