"""Held-out samples of a table or cells: a map of their features, and hidden values filled in."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from maskwise.report import figures
from maskwise.report.blocks import Figure, Section, number, unmade
from maskwise.report.folder import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = ("o", "^", "s")
MOST = 18  # classes that have a look of their own
Values = Mapping[str, Any]


def section(run: Run) -> Section:
    """Return the section of one run's page."""
    empty = Section("samples", "Features and predictions")
    if not run.samples:
        return unmade(empty, "samples.json", run.evaluate_command)
    drawn = [
        Figure(
            _map(f"{name}: two principal components", points, run.samples),
            _share(run.samples["explained"][name]),
            f"{name[0].upper()}{name[1:]}",
        )
        for name, points in run.samples["points"].items()
    ]
    found = run.samples["rows"]
    return Section(empty.slug, empty.title, figures=(*drawn, _filled(found)))


def _share(explained: Sequence[float]) -> str:
    first, second = (f"{100 * share:.0f} %" for share in explained)
    return f"Principal components of held-out samples: {first} and {second} of the variance."


def _map(label: str, points: Sequence[Sequence[float]], found: Values) -> Markup:
    """Draw samples at two coordinates, with a colour and a mark for each class."""
    places = np.array(points, float).reshape(-1, 2)
    classes, labels = found["classes"], np.array(found["labels"] or [-1] * len(places))
    counts = np.bincount(labels[labels >= 0], minlength=1)
    common = np.sort(np.argsort(-counts, kind="stable")[:MOST])
    common = common[counts[common] > 0]
    groups = [
        (_short(str(classes[of])), labels == of, figures.CYCLE[place % 6], MARKERS[place // 6])
        for place, of in enumerate(common)
    ]
    if (rest := ~np.isin(labels, common)).any():
        groups.insert(0, ("other", rest, figures.INK if groups else figures.BLUE, "."))

    def plot(axes: "Axes") -> None:
        for name, at, color, marker in groups:
            axes.plot(
                *places[at].T,
                linestyle="none",
                marker=marker,
                color=color,
                alpha=0.75,
                markersize=3,
                markeredgewidth=0,
                label=figures.plain(name),
            )
        axes.set(xlabel="first", ylabel="second", xticks=[], yticks=[])
        if len(groups) > 1:
            widest = max(len(name) for name, *_ in groups)
            columns = 4 if widest < 10 else 3 if widest < 16 else 2
            axes.legend(
                loc="lower center",
                bbox_to_anchor=(0.5, 1.0),
                ncols=columns,
                markerscale=2,
                fontsize=8,
                columnspacing=1,
                handletextpad=0.2,
            )

    return figures.svg(label, plot, size=(5.0, 4.6))


def _short(name: str) -> str:
    """Cut a name that would make the legend wider than the figure.

    >>> _short("CD8+/CD45RA+ naive cytotoxic T cells of blood")
    'CD8+/CD45RA+ naive cytot…'
    """
    return name if len(name) <= 25 else f"{name[:24]}…"


def _filled(found: Values) -> Figure:
    """Draw rows of samples as they are, as they are seen and as they are filled in."""
    true = np.array(found["true"], float)  # None = not measured = NaN
    hidden = np.array(found["hidden"], bool)
    filled = np.where(hidden, np.array(found["predicted"], float), true)
    low = np.nanmin(true, axis=0, initial=np.inf, where=~np.isnan(true))
    high = np.nanmax(true, axis=0, initial=-np.inf, where=~np.isnan(true))
    parts = [("true", true), ("visible", np.where(hidden, np.nan, true)), ("filled in", filled)]
    num, gap = len(true), 1
    sheet = np.full((3 * num + 2 * gap, true.shape[1]), np.nan)
    for place, (_, part) in enumerate(parts):
        start = place * (num + gap)
        sheet[start : start + num] = (part - low) / np.maximum(high - low, 1e-12)
    sheet = np.ma.masked_invalid(np.clip(sheet, 0, 1))

    def plot(axes: "Axes") -> None:
        axes.pcolormesh(sheet, cmap="viridis", vmin=0, vmax=1)
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        names = [figures.plain(_short(name)) for name in found["names"]]
        axes.set_xticks(np.arange(len(names)) + 0.5, names, rotation=40, ha="right", fontsize=8)
        middles = [place * (num + gap) + num / 2 for place in range(3)]
        axes.set_yticks(middles, [name for name, _ in parts])

    label = f"{num} held-out samples by {true.shape[1]} features: true, visible and filled in"
    caption = (
        f"{num} held-out samples (a row each) and {true.shape[1]} of"
        f" {number(found['num_features'])} features; ratio {found['ratio']:g}. Colour: from the"
        " least true value of a feature here (dark) to its largest (light). Blank: hidden from the"
        " model, or not measured."
    )
    height = 0.9 + 0.12 * len(sheet)
    return Figure(figures.svg(label, plot, size=(5.0, height)), caption, "Hidden values")
