"""Advice from a user's own data: what a ratio costs, which is best, and how much it matters."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

import numpy as np
from numpy.typing import ArrayLike

from maskwise.checks import checked
from maskwise.errors import UserError
from maskwise.laws import Law
from maskwise.theory.estimation import FeatureSpectrum, Table, estimate, read_columns
from maskwise.theory.optimise import Best, best_interval, best_ratio, cost_of
from maskwise.theory.risks import Masks, RiskOptions
from maskwise.theory.spectra import Array, Covariance, Model, Spectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RATIOS = np.linspace(0.01, 0.99, 99)
# A smaller gain is none: it is below what the search for an interval resolves.
SMALLEST_GAIN = 5e-4
COLORS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9")
STYLES = ("--", ":", "-.", (0, (1, 4)))


@dataclass(frozen=True)
class AdviceRow:
    """What the theory says for one number of samples and one kind of masks.

    Args:
        num_samples: n.
        masks: "static", one mask per sample, or "fresh".
        best: the best fixed ratio, its risk, and the ratios within 1 % of that.
        interval: the uniform law that is better still, if one is.
        gain: share of the risk that the interval saves.
        curve: [99] risk of the fixed ratios `RATIOS`; NaN where it is infinite.
    """

    num_samples: int
    masks: Masks
    best: Best
    interval: Law | None
    gain: float
    curve: Array


@dataclass(frozen=True)
class Advice:
    """Which ratio to hide, by the theory.

    Args:
        model: the spectrum that all of it is about.
        rows: what was found, for every number of samples and kind of masks.
        sentence: the advice.
        assumptions: what it rests on, a line each.
    """

    model: Model
    rows: tuple[AdviceRow, ...]
    sentence: str
    assumptions: tuple[str, ...]

    @property
    def baseline(self) -> float:
        """The risk of predicting the mean."""
        return self.model.variance + self.model.noise

    def __str__(self) -> str:
        table = [["samples", "masks", "best ratio", "within 1 %", "risk", "best interval", "gain"]]
        for row in self.rows:
            none = "any law is as one fixed ratio" if row.masks == "fresh" else "none is better"
            interval = none if row.interval is None else _bounds(row.interval)
            risk = f"{row.best.risk.total:.4g}"
            gain = f"{row.gain:.1%}" if row.gain else "0"
            ratio = f"{row.best.law.mean():.2f}"
            cells = [ratio, _flat(row.best), risk, interval, gain]
            table.append([f"{row.num_samples:,}", row.masks, *cells])
        notes = [f"- {line}" for line in self.assumptions]
        return "\n".join([aligned(table), "", self.sentence, "", "This rests on:", *notes])


@checked()
def advise(
    data: Table | Model,
    target: ArrayLike | None = None,
    *,
    num_samples: Sequence[int] | int | None = None,
    **options: Unpack[RiskOptions],
) -> Advice:
    """Return what the theory advises for data, with one mask per sample and with fresh masks.

    Args:
        data: [n, d] samples by features, dense or sparse; columns that never vary are left out.
            Or a model of the data.
        target: [n] numbers to be predicted; by default every feature is predicted from the
            others when it is hidden.
        num_samples: numbers of samples to look at; by default n, and half and twice as many as
            features, so that both sides of n = d are seen.
        options: those of `risk`, but for `masks`.

    Raises:
        UserError: the data cannot be used, or a model comes without numbers of samples.

    >>> x = np.random.default_rng(0).standard_normal((500, 20)) @ np.triu(np.ones((20, 20)))
    >>> [row.masks for row in advise(x, num_samples=500).rows]
    ['static', 'fresh']
    """
    notes: list[str] = []
    if isinstance(data, (Spectrum, Covariance, FeatureSpectrum)):
        model: Model = data
        own = getattr(data, "num_samples", 0)
    else:
        model, own = _estimated(data, target, notes)
    options.setdefault("target_hidden", isinstance(model, FeatureSpectrum))
    if num_samples is None and not own:
        raise UserError("a model does not tell how many samples there are: give num_samples")
    if num_samples is None:
        sizes = list(dict.fromkeys([own, max(model.dim // 2, 1), 2 * model.dim]))
        if not options["target_hidden"] and model.dim in sizes:
            # Without ridge the risk is infinite where as many rows count as there are features.
            sizes.remove(model.dim)
    else:
        sizes = np.atleast_1d(num_samples).tolist()
    if not sizes:
        raise UserError(f"num_samples={num_samples}: give one number of samples, or several")
    kinds: tuple[Masks, Masks] = ("static", "fresh")
    rows = tuple(_row(model, size, masks, options) for size in sizes for masks in kinds)
    return Advice(model, rows, _sentence(model, rows), (*_assumptions(model, options), *notes))


def _estimated(data: Table, target: ArrayLike | None, notes: list[str]) -> tuple[Model, int]:
    """Return what the data say, and how many samples there are; add to the notes."""
    everything = read_columns(data)
    columns, num_still = everything.varying(), len(everything.still)
    if num_still:
        notes.append(f"{num_still} columns that never vary were left out")
    n, d = columns.shape
    if d < 2:
        raise UserError(f"{d} columns vary: advice needs at least 2")
    model: Model = estimate(columns, target)
    rough = ": few, so that they are rough" if n < 5 * d else ""
    notes.append(
        f"correlations and noise ({model.noise:.2g} of a variance of 1) were estimated on {n:,} "
        f"samples of {d:,} features{rough}"
    )
    return model, n


def _row(model: Model, num_samples: int, masks: Masks, options: RiskOptions) -> AdviceRow:
    options = {**options, "masks": masks}
    best = best_ratio(model, num_samples, **options)
    interval, gain = None, 0.0
    if masks == "static":
        found = best_interval(model, num_samples, **options)
        saved = 1 - float(found.risk.total) / float(best.risk.total)
        if saved > SMALLEST_GAIN:
            interval, gain = found.law, saved
    totals = curve(model, num_samples, **options)
    return AdviceRow(num_samples, masks, best, interval, gain, totals)


def curve(model: Model, num_samples: float, **options: Unpack[RiskOptions]) -> Array:
    """Return the risk of the fixed ratios `RATIOS` [99], NaN where it is infinite."""
    cost = cost_of(model, num_samples, None, options)
    totals = np.array([cost(float(ratio)) for ratio in RATIOS])
    return np.where(np.isinf(totals), np.nan, totals)


def _sentence(model: Model, rows: Sequence[AdviceRow]) -> str:
    mean = model.variance + model.noise
    static, fresh = rows[:2]
    saved = "no interval is better"
    if static.interval is not None:
        interval = _bounds(static.interval)
        saved = f"the best interval, {interval}, saves {static.gain:.1%} of the risk"
    text = (
        f"With {static.num_samples:,} samples and one mask for each, the best fixed ratio is "
        f"{_ratio(static.best, mean)}, its risk within 1 % from {_flat(static.best)}, and {saved}."
        " With fresh masks in many epochs any law is worth exactly as much as some fixed ratio, "
        f"of which the best is {_ratio(fresh.best, mean)}, within 1 % from {_flat(fresh.best)}."
    )
    for static, fresh in zip(rows[2::2], rows[3::2], strict=True):
        more = static.num_samples - model.dim
        side = "fewer than" if more < 0 else "more than" if more else "as many as"
        text += (
            f" With {static.num_samples:,} samples, {side} the {model.dim:,} weights, the best "
            f"are {_ratio(static.best, mean)} and {_ratio(fresh.best, mean)}."
        )
    return text


def _ratio(best: Best, mean: float) -> str:
    ratio = best.law.mean()
    text = f"{ratio:.2f}"
    if ratio <= RATIOS[0] or ratio >= RATIOS[-1]:
        text += " or less" if ratio < 0.5 else " or more"
    return text + " (no better than predicting the mean)" * (float(best.risk.total) >= mean)


def _flat(best: Best) -> str:
    low, high = best.flat or (np.nan, np.nan)
    return f"{low:.2f} to {high:.2f}"


def _bounds(law: Law) -> str:
    low, high = law.support()
    return f"uniform:{low:.2f},{high:.2f}"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return a table as text, each column as wide as its widest cell.

    >>> print(aligned([["law", "risk"], ["fixed:0.3", "1.2"]]))
    law        risk
    fixed:0.3  1.2
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _assumptions(model: Model, options: RiskOptions) -> list[str]:
    task = "the target is predicted from the features"
    if isinstance(model, FeatureSpectrum):
        task = "every feature in turn, when hidden, is predicted from the others"
    tested = options.get("test_ratio")
    samples = f"masked at {tested}" if tested else "of which nothing else is hidden"
    return [
        f"a linear model, fitted by least squares: {task}, {model.dim:,} weights; a network with "
        "more weights than samples is in the position of rows with fewer samples than weights",
        f"the risk is the squared error on new samples {samples}",
        "entries are hidden independently of each other, and of features only the correlations "
        "matter",
        "whether networks follow differs by data and network: take this as where to start, and "
        "compare laws in short runs",
    ]


def risk_figure(
    curves: Mapping[int, Array], laws: Mapping[str, Sequence[float]], baseline: float
) -> "Figure":
    """Draw the risk of `RATIOS` for each number of samples, that of each law as lines there."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for index, (num, totals) in enumerate(curves.items()):
        axes.plot(RATIOS, totals, color=color_of(index), label=f"fixed ratio, n = {num:,}")
    for (law, risks), style in zip(laws.items(), itertools.cycle(STYLES), strict=False):
        for index, total in enumerate(risks):
            label = None if index else law
            axes.axhline(total, color=color_of(index), linestyle=style, label=label)
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
            color, best = color_of(index), row.best
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
    axes.set(ylim=(0, 2 * max(lowest, baseline)))
    plain(axes)
    axes.legend(frameon=False, fontsize=8)


def plain(axes: "Axes") -> None:
    """Make a panel against the ratio look like all of them."""
    axes.set(xlim=(0, 1), xlabel="ratio hidden")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def color_of(index: int) -> str:
    """Return the color of a curve."""
    return COLORS[index % len(COLORS)]
