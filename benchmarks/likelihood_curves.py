"""Score curves of PPCA: what is read from them, and what decoding in blocks costs.

python -m benchmarks.likelihood_paper area --out runs/likelihood
python -m benchmarks.likelihood_paper blocks --out runs/likelihood
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.likelihood_ppca import expected_score, panels, problem, shown
from maskwise.likelihood import (
    ScoreCurve,
    best_blocks,
    block_bound,
    crossing_ratio,
    fixed_ratio_bias,
    score_curve,
)
from maskwise.report.figures import BLUE, INK

Array = NDArray[np.float64]
RATIOS = (0.01, 0.15, 0.5, 0.85, 0.95, 0.99, 1.0)
BLOCKS = (1, 2, 4, 8, 16, 32, 64)


def curves(width: int, seeds: int, num: int, dim: int) -> list[tuple[ScoreCurve, float]]:
    """Return the curve through all sizes, one mask each, and the exact log-likelihood, by seed."""
    found = []
    for seed in range(seeds):
        model, x = problem(num, dim, width, seed)
        curve = score_curve(model, x, num_masks=1, seed=seed)
        found.append((curve, float(model.log_prob(x).mean())))
    return found


def area(
    out: Path, seeds: int = 5, widths: Sequence[int] = (5, 50), num: int = 1000, dim: int = 200
) -> str:
    found = {width: curves(width, seeds, num, dim) for width in widths}
    sizes = [max(1, round(ratio * dim)) for ratio in RATIOS]
    lines = [
        "| K | log p(x) | area - log p(x) | bias at 15 % | crossing ratio | "
        + " | ".join(f"S({ratio:.0%})" for ratio in RATIOS)
        + " |",
        "|---" * (5 + len(RATIOS)) + "|",
    ]
    for width, each in found.items():
        columns = [
            [exact for _, exact in each],
            [curve.area - exact for curve, exact in each],
            [fixed_ratio_bias(curve)[round(0.15 * dim) - 1] for curve, _ in each],
            [crossing_ratio(curve) for curve, _ in each],
        ]
        columns += [[curve.scores[size - 1] for curve, _ in each] for size in sizes]
        cells = [shown(np.array(column)) for column in columns]
        lines.append(f"| {width} | {' | '.join(cells)} |")

    def plot(axes: Any, width: int) -> None:
        for place, (curve, _) in enumerate(found[width]):
            label = "S" if place == 0 else None
            axes.plot(curve.ratios, curve.scores, color=BLUE, linewidth=1, label=label)
        level = np.mean([exact / dim for _, exact in found[width]])
        axes.axhline(level, color=INK, linestyle=":", label="log p(x) / D, mean of seeds")
        axes.set(title=f"D = {dim}, K = {width}", xlabel="hidden ratio", ylabel="S, nats")

    panels(out / "area.png", widths, plot)
    return "\n".join(lines)


def equal_blocks(length: int, num_blocks: int) -> list[int]:
    """Return blocks whose sizes differ by at most one.

    >>> equal_blocks(10, 4)
    [2, 3, 2, 3]
    """
    return np.diff(np.arange(num_blocks + 1) * length // num_blocks).tolist()


def losses(
    num_blocks: Sequence[int], seeds: int, num: int, dim: int
) -> tuple[Array, list[list[int]]]:
    """Return what equal and best blocks lose [blocks, 2, S], and the best ones of the last seed.

    The best blocks are chosen on a curve measured from samples; what they lose is told by the
    scores that the model itself expects.
    """
    lost = np.empty((len(num_blocks), 2, seeds))
    for seed in range(seeds):
        model, x = problem(num, dim, 5, seed)
        measured = score_curve(model, x, num_masks=1, seed=seed)
        expected = [expected_score(model, size) for size in range(1, dim + 1)]
        best = [best_blocks(measured, number) for number in num_blocks]
        for place, number in enumerate(num_blocks):
            chosen = equal_blocks(dim, number), best[place]
            lost[place, :, seed] = [sum(expected) - block_bound(expected, g) for g in chosen]
    return lost, best


def blocks(
    out: Path,
    seeds: int = 5,
    num_blocks: Sequence[int] = BLOCKS,
    num: int = 1000,
    dim: int = 200,
) -> str:
    lost, schedules = losses(num_blocks, seeds, num, dim)
    lines = [
        "| blocks | equal: loss, nats | best: loss, nats | equal - best | best of one seed |",
        "|---" * 5 + "|",
    ]
    for number, (equal, best), schedule in zip(num_blocks, lost, schedules, strict=True):
        told = ", ".join(map(str, schedule[:8])) + (", ..." if number > 8 else "")
        cells = [shown(values, 2) for values in (equal, best, equal - best)]
        lines.append(f"| {number} | {' | '.join(cells)} | {told} |")

    def plot(axes: Any, title: str) -> None:
        for name, values in zip(("equal", "best"), lost.mean(axis=2).T, strict=True):
            axes.plot(num_blocks, values, marker=".", label=name)
        axes.set(xlabel="blocks", ylabel="loss, nats per sample", xscale="log", yscale="log")
        axes.set_title(title)

    panels(out / "blocks.png", [f"D = {dim}, K = 5"], plot)
    return "\n".join(lines)
