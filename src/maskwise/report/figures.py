"""Figures as inline SVG, and the one that most sections draw: a value by hidden ratio.

Colours are the Okabe-Ito palette, which stays apart under colour-blind sight, written as CSS
variables so that the page can lighten them on a dark background.
"""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from markupsafe import Markup

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

Axes: TypeAlias = "matplotlib.axes.Axes"
Picture: TypeAlias = "matplotlib.figure.Figure"
Plot = Callable[[Axes], None]
BLUE, ORANGE, GREEN, RED = "#0072b2", "#e69f00", "#009e73", "#d55e00"
PURPLE, SKY, YELLOW = "#cc79a7", "#56b4e9", "#f0e442"
INK, RULE = "#1d1f24", "#d7dae0"
CYCLE = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY)
STYLES = ("-", "--", ":", "-.")
CSS_NAMES = {
    **{BLUE: "blue", ORANGE: "orange", GREEN: "green", RED: "red", PURPLE: "purple"},
    **{SKY: "sky", YELLOW: "yellow", INK: "ink", RULE: "rule"},
}
WIDE = (6.4, 3.7)  # inches; wider ones would be too small to read on a phone
# Text stays text (selectable, in the page's font); ids come from the content, so equal input
# gives an equal page.
RC: dict[Any, Any] = {
    **{"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10},
    **dict.fromkeys(("text.color", "xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("axes.labelcolor", "axes.edgecolor"), INK),
    **{"axes.linewidth": 0.8, "axes.spines.top": False, "axes.spines.right": False},
    **{"axes.grid": True, "axes.axisbelow": True, "axes.formatter.limits": (-4, 7)},
    **{"grid.color": RULE, "grid.linewidth": 0.7},
    **{"lines.linewidth": 1.8, "lines.solid_capstyle": "round"},
    **{"legend.frameon": False, "legend.fontsize": 9},
    **{"figure.facecolor": "none", "axes.facecolor": "none"},
}


def draw(plot: Plot, size: tuple[float, float]) -> Picture:
    """Draw on fresh axes of `size` inches, in the style of the page."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(RC):
        figure = Figure(figsize=size, layout="constrained")
        plot(figure.subplots())
    return figure


def svg(label: str, plot: Plot, size: tuple[float, float] = (5.0, 3.0)) -> Markup:
    """Draw on fresh axes of `size` inches and return the figure as an `<svg>` element.

    A reader who cannot see it is told the label; the page scales it to its column.
    """
    import matplotlib

    with matplotlib.rc_context({**RC, "svg.hashsalt": label}):
        text = io.StringIO()
        none = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        draw(plot, size).savefig(text, format="svg", metadata=none)
    body = text.getvalue()
    body = body[body.index("<svg") :]
    # Group ids repeat from figure to figure and nothing refers to them.
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(r"font: [^;\"]*?(\d+(?:\.\d+)?)px [^;\"]*", r"font-size: \1px", body)
    for color, name in CSS_NAMES.items():
        body = body.replace(color, f"var(--{name})")
    body = re.sub(r' width="[\d.]+pt" height="[\d.]+pt"', "", body, count=1)
    opening = Markup('<svg role="img" aria-label="{}" style="max-width: {}px"')
    return Markup(body.replace("<svg", opening.format(label, round(100 * size[0])), 1))


def run_style(index: int) -> dict[str, Any]:
    """Colour and line style of the `index`-th run of a comparison."""
    return {
        "color": CYCLE[index % len(CYCLE)],
        "linestyle": STYLES[index // len(CYCLE) % len(STYLES)],
    }


def curve(
    axes: Axes,
    index: int,
    name: str,
    x: Sequence[float],
    y: Sequence[float],
    low: Sequence[float] = (),
    high: Sequence[float] = (),
) -> None:
    """Draw the `index`-th curve of a figure, over the band of its intervals if they are known."""
    style = run_style(index)
    if low and high:
        axes.fill_between(x, low, high, color=style["color"], alpha=0.2, linewidth=0)
    axes.plot(x, y, marker="o", markersize=3.5, clip_on=False, label=plain(name), **style)


def by_ratio(
    curves: Mapping[str, Sequence[Mapping[str, float]]],
    key: str,
    ylabel: str,
    *,
    support: tuple[float, float] | None = None,
    baselines: Mapping[str, Sequence[Mapping[str, float]]] = {},
) -> Plot:
    """Return what draws the values of `key` by hidden ratio, with their intervals.

    The points of a curve have ratio, `key`, low, high and, where whole positions made it another
    one, the realised ratio. Ratios met in training are shaded, baselines dashed.
    """

    def plot(axes: Axes) -> None:
        if support:
            low, high = min(support[0], support[1] - 0.01), support[1]
            axes.axvspan(low, high, color=ORANGE, alpha=0.18, linewidth=0, label="in training")
        for index, (name, points) in enumerate(curves.items()):
            columns = ([point[each] for point in points] for each in (key, "low", "high"))
            curve(axes, index, name, _ratios(points), *columns)
        for index, (name, points) in enumerate(baselines.items()):
            x, y, style = _ratios(points), [point[key] for point in points], STYLES[1 + index % 3]
            axes.plot(x, y, color=INK, linestyle=style, linewidth=1.2, label=plain(name))
        axes.set(xlabel="hidden ratio", ylabel=plain(ylabel), xlim=(0, 1))
        legend(axes, len(curves) + len(baselines) + bool(support))

    return plot


def _ratios(points: Sequence[Mapping[str, float]]) -> list[float]:
    return [point.get("realised", point["ratio"]) for point in points]


def plain(name: str) -> str:
    """Keep a name out of mathtext and out of the labels that a legend leaves out."""
    return name.replace("$", r"\$").lstrip("_") or "run"


def legend(axes: Axes, entries: int, columns: int = 3, **look: Any) -> None:
    """Put the legend above the axes, where it hides nothing, unless there is one entry only."""
    if entries > 1:
        look |= {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.0}
        axes.legend(ncols=min(entries, columns), **look)
