"""Figures of risk against ratio; matplotlib is needed here only."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from maskwise.theory.advice import RATIOS, Advice
from maskwise.theory.spectra import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9")
STYLES = ("--", ":", "-.", (0, (1, 4)))


def risk_figure(
    curves: Mapping[int, Array], laws: Mapping[str, Sequence[float]], baseline: float
) -> "Figure":
    """Draw the risk of fixed ratios, and of laws as horizontal lines.

    Args:
        curves: for each number of samples, the risk of `RATIOS`.
        laws: for each law, its risk at these numbers of samples.
        baseline: risk of predicting the mean.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for index, (num, totals) in enumerate(curves.items()):
        axes.plot(RATIOS, totals, color=_color(index), label=f"fixed ratio, n = {num:,}")
    for style, (law, risks) in enumerate(laws.items()):
        for index, total in enumerate(risks):
            label = law if index == 0 else None
            axes.axhline(
                total, color=_color(index), linestyle=STYLES[style % len(STYLES)], label=label
            )
    axes.set_ylabel("risk")
    _finish(axes, baseline, [*curves.values(), *map(np.array, laws.values())])
    return figure


def advice_figure(advice: Advice) -> "Figure":
    """Draw risk against ratio, one panel for each kind of masks; a dot is the best ratio."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    for axes, masks in zip(figure.subplots(1, 2, sharey=True), ("static", "fresh"), strict=True):
        rows = [row for row in advice.rows if row.masks == masks]
        for index, row in enumerate(rows):
            color, best = _color(index), row.best
            axes.plot(RATIOS, row.curve, color=color, label=f"{row.num_samples:,} samples")
            axes.plot(best.law.mean(), best.risk.total, "o", color=color)
            if row.interval is not None:
                low, high = row.interval.support()
                total = (1 - row.gain) * float(best.risk.total)
                axes.plot([low, high], [total, total], color=color, linewidth=4, alpha=0.5)
        axes.set_title("one mask per sample" if masks == "static" else "fresh masks")
        _finish(axes, advice.baseline, [row.curve for row in advice.rows])
    figure.axes[0].set_ylabel("risk")
    return figure


def _finish(axes: "Axes", baseline: float, totals: Sequence[Array]) -> None:
    axes.axhline(baseline, color="grey", linewidth=0.8, label="predicting the mean")
    lowest = min(float(np.nanmin(part)) for part in totals)
    # Risks are infinite here and there; what is worse than this is not worth seeing.
    axes.set(xlim=(0, 1), ylim=(0, 2 * max(lowest, baseline)), xlabel="ratio hidden")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8)


def _color(index: int) -> str:
    return COLORS[index % len(COLORS)]
