"""Figures against the ratio; matplotlib is needed here only."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from maskwise.theory.advice import RATIOS, Advice
from maskwise.theory.graph_curves import GraphCurve
from maskwise.theory.spectra import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9")
STYLES = ("--", ":", "-.", (0, (1, 4)))
MARKERS = "Ds^vPX"


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


def graph_figure(curves: Mapping[str, GraphCurve], laws: Sequence[str] = ()) -> "Figure":
    """Draw what mask graphs say against the ratio, a color for each curve.

    Args:
        curves: by name; dotted is the gap of unrelated parts, where it is not 1.
        laws: drawn as markers at their mean ratio.
    """
    from matplotlib.figure import Figure

    panels = {
        "gap": "spectral gap",
        "disagreement": "label disagreement of views\nthat share a hidden part",
        "class_error": "class error from what is visible",
        "alignment": "correlation of σ₂'s function\nwith the class",
    }
    known = {name for curve in curves.values() for name in panels if _known(curve, name)}
    shown = [name for name in panels if name in known]
    figure = Figure(figsize=(max(4.8, 3.4 * len(shown)), 3.8), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        for index, (label, curve) in enumerate(curves.items()):
            color = _color(index)
            values = getattr(curve, name)
            axes.plot(curve.ratios, values, ".-", color=color, label=label)
            if name == "gap" and curve.unrelated_gap.min() < 1:
                axes.plot(curve.ratios, curve.unrelated_gap, ":", color=color, label="unrelated")
            for number, law in enumerate(laws):
                means = curve.under(law)
                axes.plot(
                    means["ratio"],
                    means[name],
                    MARKERS[number % len(MARKERS)],
                    color=color,
                    markerfacecolor="none",
                    label=None if index else law,
                )
        axes.set(xlim=(0, 1), ylim=(0, 1.03), xlabel="ratio hidden", title=panels[name])
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, frameon=False, fontsize=8)
    return figure


def _known(curve: GraphCurve, name: str) -> bool:
    return not np.isnan(getattr(curve, name)).all()


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
