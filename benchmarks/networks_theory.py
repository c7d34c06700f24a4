"""Compare what `benchmarks.networks` measured with what the theory predicts for the same data.

    python -m benchmarks.networks_theory results.jsonl --images cifar10.npz --text corpus.txt \
        [--figure networks.png]

The theory's linear model predicts every number of a sample from the others, as the networks do:
the target itself is hidden in every row that counts. Four predictions are made, none of them
fitted to what was measured:

- "linear": the data's own covariance and number of samples, no ridge;
- "shared": every position of a sample counts as a sample, for networks that use the same weights
  at every position (for the MLP, it is "linear");
- "ridge": "linear" with the ridge that is best at each ratio, since networks trained for a limited
  time are regularised;
- "width": no ridge, and the number of samples that makes d / n equal to the network's
  over-parameterisation, parameters / (samples x numbers predicted in a sample).

The control knows nothing of the data: "nearest", the distance of the training from the test ratio.

A curve is the test error at the training ratios; curves are compared by Spearman's correlation.
For text the error is the squared error of the predicted probabilities.
"""

import argparse
import itertools
import math
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from benchmarks.compare_laws import interval
from benchmarks.networks import NUM_TRAIN, RATIOS, SEEDS, TEST_RATIOS
from benchmarks.networks_data import Data, load
from maskwise import theory
from maskwise.files import read_json_lines
from maskwise.theory.spectra import Model

# The symbol that the theory predicts from all others, in the middle of a window.
TARGET = 16
# Variance of a feature, to which a ridge is relative.
SCALE = {"images": 1.0, "text": 1 / 27}
PREDICTIONS = ("linear", "shared", "ridge", "width", "nearest")
RIDGES = np.geomspace(1e-3, 10, 9)


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

    def correlation(self, prediction: str) -> list[float]:
        """Return the rank correlation of the prediction with the measurement of each seed."""
        expected = self.predicted[prediction]
        return [float(stats.spearmanr(expected, row).statistic) for row in self.measured]

    def best(self, prediction: str) -> float:
        """Return the ratio at which the predicted error is least."""
        return RATIOS[int(np.argmin(self.predicted[prediction]))]

    def measured_best(self) -> list[float]:
        """Return the ratio at which the error is least, in each seed."""
        return [RATIOS[index] for index in self.measured.argmin(axis=1)]


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
    """Return all curves of which every run is there, with their predictions."""
    models = {name: model_of(one) for name, one in data.items()}

    @cache
    def predict(name: str, masks: str, num_samples: float, tested: str, tuned: bool) -> np.ndarray:
        length = math.prod(data[name].grid)
        realised = np.round(np.array(RATIOS) * length) / length
        totals = [
            theory.risk(
                models[name],
                realised,
                num_samples,
                test_ratio=TEST_RATIOS[tested],
                target_hidden=True,
                ridge=ridge,
                masks=masks,  # type: ignore[arg-type]
            ).total
            for ridge in (RIDGES * SCALE[name] if tuned else [0.0])
        ]
        return np.asarray(totals).min(axis=0)

    measured: dict[Curve, dict[tuple[int, float], float]] = defaultdict(dict)
    parameters = {}
    for row in rows:
        for tested in TEST_RATIOS:
            keys = ("data", "network", "masks", "num_train", "width")
            curve = Curve(**{key: row[key] for key in keys}, tested=tested)
            losses = row["test_squared"] or row["test"]
            measured[curve][row["seed"], row["ratio"]] = losses[tested]
            parameters[curve] = row["num_parameters"]
    found = []
    for curve, losses in sorted(measured.items()):
        one = data[curve.data]
        numbers = math.prod(one.grid) * one.channels
        excess = parameters[curve] / (curve.num_train * numbers)
        if len(losses) < len(SEEDS) * len(RATIOS):
            continue
        own = float(curve.num_train)
        shared = own if curve.network == "mlp" else own * math.prod(one.grid)
        matched = max(models[curve.data].dim / excess, 1.0)
        predicted = {
            name: predict(curve.data, curve.masks, samples, curve.tested, name == "ridge")
            for name, samples in zip(PREDICTIONS[:-1], (own, shared, own, matched), strict=True)
        }
        predicted["nearest"] = np.abs(np.array(RATIOS) - TEST_RATIOS[curve.tested])
        errors = np.array([[losses[seed, ratio] for ratio in RATIOS] for seed in SEEDS])
        found.append(Comparison(curve, excess, errors, predicted))
    return found


def _kind(one: Comparison) -> tuple[str, ...]:
    return one.curve.data, one.curve.network, one.curve.masks


def shown(values: np.ndarray) -> str:
    """Return a mean and the half-width of its 95 % t-interval over seeds."""
    return "{:.2f} ± {:.2f}".format(*interval(values))


def summary(found: Sequence[Comparison]) -> str:
    """Return a table: rank correlations by data and masks, and what they gain on the control."""
    lines = [
        f"| data | masks | {' | '.join(PREDICTIONS)} |",
        "|---" * (2 + len(PREDICTIONS)) + "|",
    ]
    kinds = sorted({(one.curve.data, one.curve.masks) for one in found})
    for data, masks in kinds:
        chosen = [one for one in found if (one.curve.data, one.curve.masks) == (data, masks)]
        cells = [shown(mean_correlation(chosen, name)) for name in PREDICTIONS]
        lines.append(f"| {data} | {masks} | {' | '.join(cells)} |")
    cells = [shown(mean_correlation(found, name)) for name in PREDICTIONS]
    lines.append(f"| all | | {' | '.join(cells)} |")
    control = mean_correlation(found, PREDICTIONS[-1])
    cells = [shown(mean_correlation(found, name) - control) for name in PREDICTIONS[:-1]]
    lines.append(f"| all, more than the control | | {' | '.join(cells)} | |")
    return "\n".join(lines)


def mean_correlation(found: Sequence[Comparison], prediction: str) -> np.ndarray:
    """Return, for each seed, the mean over curves of the rank correlation."""
    return np.mean([one.correlation(prediction) for one in found], axis=0)


def correlations(found: Sequence[Comparison]) -> str:
    """Return a table: how well curves agree, and how often the best ratio is the same."""
    lines = [
        "| data | network | masks | curves | rank correlation: "
        + " | ".join(PREDICTIONS)
        + " | same best ratio: "
        + " | ".join(PREDICTIONS)
        + " |",
        "|---" * (4 + 2 * len(PREDICTIONS)) + "|",
    ]
    for group, members in itertools.groupby(sorted(found, key=_kind), _kind):
        curves = list(members)
        cells = [shown(mean_correlation(curves, name)) for name in PREDICTIONS]
        for name in PREDICTIONS:
            same = [one.best(name) == best for one in curves for best in one.measured_best()]
            cells.append(f"{np.mean(same):.0%}")
        lines.append(f"| {' | '.join(group)} | {len(curves)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def movement(found: Sequence[Comparison], tested: str) -> str:
    """Return a table: the best ratio by over-parameterisation, measured and predicted."""
    lines = [
        "| data | network | masks | samples | width | parameters per number "
        f"| best ratio, each seed | predicted: {' | '.join(PREDICTIONS)} |",
        "|---" * (7 + len(PREDICTIONS)) + "|",
    ]
    for one in found:
        if one.curve.tested == tested:
            seeds = ", ".join(f"{best:g}" for best in one.measured_best())
            data, network, masks, num, width, _ = one.curve
            expected = " | ".join(f"{one.best(name):g}" for name in PREDICTIONS)
            lines.append(
                f"| {data} | {network} | {masks} | {num} | {width} | {one.excess:.2g} | {seeds} "
                f"| {expected} |"
            )
    return "\n".join(lines)


def trend(found: Sequence[Comparison], tested: str) -> str:
    """Return a table: does the best ratio rise with width, and is that predicted?"""
    lines = [
        "| data | network | masks | Kendall's correlation of width and best ratio | predicted |",
        "|---" * 5 + "|",
    ]
    full = [
        one
        for one in found
        if one.curve.tested == tested and one.curve.num_train == max(NUM_TRAIN[one.curve.data])
    ]
    for group, members in itertools.groupby(sorted(full, key=_kind), _kind):
        curves = sorted(members, key=lambda one: one.curve.width)
        widths = [one.curve.width for one in curves]
        measured = np.array([one.measured_best() for one in curves])
        seeds = [rank(widths, best) for best in measured.T]
        predicted = rank(widths, [one.best("width") for one in curves])
        lines.append(f"| {' | '.join(group)} | {shown(np.array(seeds))} | {predicted:.2f} |")
    return "\n".join(lines)


def rank(widths: Sequence[float], best: Sequence[float] | np.ndarray) -> float:
    """Return Kendall's correlation; 0 when the best ratio does not move."""
    return 0.0 if len(set(best)) == 1 else float(stats.kendalltau(widths, best).statistic)


def draw(found: Sequence[Comparison], tested: str, path: Path) -> None:
    """Draw measured curves (one line a width, mean over seeds) beside predicted ones."""
    from matplotlib.figure import Figure

    kinds = sorted({(one.curve.data, one.curve.masks) for one in found})
    networks = sorted({one.curve.network for one in found})
    figure = Figure(figsize=(3.2 * len(kinds), 2.6 * (1 + len(networks))), layout="constrained")
    grid = figure.subplots(1 + len(networks), len(kinds), squeeze=False, sharex=True)
    for column, (data, masks) in enumerate(kinds):
        for row, network in enumerate(networks):
            axis = grid[row, column]
            curves = [
                one
                for one in found
                if (one.curve.data, one.curve.masks) == (data, masks)
                and (one.curve.network, one.curve.tested) == (network, tested)
                and one.curve.num_train == max(NUM_TRAIN[data])
            ]
            for shade, one in enumerate(sorted(curves, key=lambda one: one.curve.width)):
                blue = (0.75 - 0.22 * shade, 0.8 - 0.15 * shade, 0.95 - 0.1 * shade)
                mean, spread = one.measured.mean(axis=0), one.measured.std(axis=0)
                axis.errorbar(RATIOS, mean, spread, color=blue, label=f"width {one.curve.width}")
            axis.set_title(f"{network}, {data}, {masks}", fontsize=9)
            axis.set_yscale("log")
            axis.legend(frameon=False, fontsize=6)
        axis = grid[-1, column]
        for name, color in (
            ("linear", "tab:orange"),
            ("shared", "tab:red"),
            ("ridge", "tab:green"),
        ):
            # The last network of the column shares weights over positions.
            axis.plot(RATIOS, curves[0].predicted[name], "o-", color=color, label=name)
        axis.set_title(f"theory, {data}, {masks}", fontsize=9)
        axis.set(yscale="log", xlabel="mask ratio in training")
        axis.legend(frameon=False, fontsize=6)
    figure.savefig(path, dpi=110)
    print(f"figure: {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--figure", type=Path, help="a .png file")
    arguments = parser.parse_args()
    rows = read_json_lines(arguments.results)
    found = compare(rows, load(arguments.images, arguments.text))
    tables = summary(found), correlations(found), trend(found, "one"), movement(found, "one")
    print(*tables, sep="\n\n")
    if arguments.figure:
        draw(found, "one", arguments.figure)


if __name__ == "__main__":
    main()
