"""Experiments on masked prediction as marginal likelihood (arXiv 2306.00520), on PPCA.

    python -m benchmarks.likelihood_paper all --out runs/likelihood

runs four experiments, or give the name of one; each prints a table and writes a figure. Loadings
and latent variables are standard normal, the noise has variance 0.2; every seed has a model,
samples and masks of its own. A number after ± is half of a 95 % interval over seeds; errors and
log-likelihoods are in nats per sample.

- convergence: error of the estimate against masks per size, and a fixed ratio beside its bias;
- area: score against ratio, and what is read from it;
- training: see `benchmarks.likelihood_training`;
- blocks: what decoding in few blocks costs, in equal blocks and in the best ones.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.likelihood_curves import area, blocks
from benchmarks.likelihood_ppca import expected_log_prob, expected_score, panels, problem, shown
from benchmarks.likelihood_training import training
from maskwise.likelihood import Method, log_likelihood, score_at_size
from maskwise.report.figures import BLUE, INK, RED, run_style

Array = NDArray[np.float64]
METHODS: tuple[Method, ...] = ("per_size", "systematic", "bernoulli")
MASKS = (1, 2, 3, 5, 10, 20, 50, 100)


def errors(dim: int, per_size: Sequence[int], seeds: int, num: int) -> dict[str, Array]:
    """Return estimate - truth by method, [S, P], at equal passes for all methods."""
    found: dict[str, Array] = {}
    for method in METHODS:
        rows = []
        for seed in range(seeds):
            model, x = problem(num, dim, 2, seed)
            exact = float(model.log_prob(x).sum())
            passes = [each * dim for each in per_size]
            values = [log_likelihood(model, x, method, each, seed).value for each in passes]
            rows.append([(value - exact) / num for value in values])
        found[method] = np.array(rows)
    return found


class FixedRatio(NamedTuple):
    """D S(M) - log p(x), from samples by number of masks [S, P], and expected of the model [S]."""

    measured: Array
    expected: Array


def fixed_ratio(
    per_size: Sequence[int], seeds: int, num: int, dim: int = 512, size: int = 76
) -> FixedRatio:
    """Return the bias of the estimate from one size, by default 15 % of 512 positions."""
    measured, expected = [], []
    for seed in range(seeds):
        model, x = problem(num, dim, 2, seed)
        exact = model.log_prob(x).mean()
        scores = [score_at_size(model, x, size, num_masks=p, seed=seed).mean() for p in per_size]
        measured.append([float(dim * score - exact) for score in scores])
        expected.append(dim * expected_score(model, size) - expected_log_prob(model))
    return FixedRatio(np.array(measured), np.array(expected))


def convergence(
    out: Path,
    seeds: int = 10,
    dims: Sequence[int] = (5, 50),
    per_size: Sequence[int] = MASKS,
    num: int = 100,
) -> str:
    found = {dim: errors(dim, per_size, seeds, num) for dim in dims}
    biased = fixed_ratio(per_size, seeds, num)
    lines = [
        f"| D | masks per size | passes | {' | '.join(METHODS)} |",
        "|---" * (3 + len(METHODS)) + "|",
    ]
    for dim, by_method in found.items():
        for place, each in enumerate(per_size):
            cells = []
            for method in METHODS:
                off = by_method[method][:, place]
                cells.append(f"{shown(abs(off), 4)} (sd {off.std(ddof=1):.4f})")
            lines.append(f"| {dim} | {each} | {each * dim} | {' | '.join(cells)} |")
    lines += [
        "",
        "Mean absolute error over seeds, and the errors' standard deviation.",
        "",
        "| masks of 76 out of 512 | 512 S(76) - log p(x) |",
        "|---|---|",
    ]
    lines += [
        f"| {each} | {shown(biased.measured[:, place])} |" for place, each in enumerate(per_size)
    ]
    lines.append(f"| expected of the models | {shown(biased.expected)} |")
    panels(out / "convergence.png", [*found, "fixed"], _plot_convergence(found, biased, per_size))
    return "\n".join(lines)


def _plot_convergence(
    found: Any, biased: FixedRatio, per_size: Sequence[int]
) -> Callable[..., None]:
    def plot(axes: Any, panel: int | str) -> None:
        axes.set(xlabel="masks per size", xscale="log")
        if panel == "fixed":
            middle, spread = biased.measured.mean(axis=0), biased.measured.std(axis=0)
            axes.errorbar(per_size, middle, spread, color=BLUE, marker=".", label="estimate")
            axes.axhline(biased.expected.mean(), color=RED, linestyle="--", label="bias")
            axes.axhline(0, color=INK, linestyle=":", label="log p(x)")
            axes.set(title="15 % of D = 512", ylabel="512 S(76) - log p(x), nats")
        else:
            for place, (method, off) in enumerate(found[panel].items()):
                axes.plot(per_size, abs(off).mean(axis=0), label=method, **run_style(place))
            axes.set(title=f"D = {panel}", ylabel="mean |error|, nats per sample", yscale="log")

    return plot


EXPERIMENTS: dict[str, Callable[..., str]] = {
    "convergence": convergence,
    "area": area,
    "training": training,
    "blocks": blocks,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", choices=[*EXPERIMENTS, "all"])
    parser.add_argument("--out", type=Path, required=True, help="a folder for figures")
    arguments = parser.parse_args()
    for name, run in EXPERIMENTS.items():
        if arguments.experiment in (name, "all"):
            print(f"## {name}\n\n{run(arguments.out)}\n", flush=True)


if __name__ == "__main__":
    main()
