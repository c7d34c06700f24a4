"""What a mask graph says, for one mask, and averaged over masks of a size or under a law."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg

from maskwise import laws
from maskwise.errors import UserError
from maskwise.laws import Law
from maskwise.theory.advice import aligned, color_of, plain
from maskwise.theory.classes import TIMES
from maskwise.theory.spectra import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Uniforms that a law is asked for: each count's probability is off by at most twice its inverse.
DRAWS = 2**14
# Singular values this close to σ₂ are equal to it.
EQUAL = 1e-9
LEGEND = """\
gap: 1 - σ₂² of the mask graph, blurred over neighbours; compare it within one table only, and see
  nothing in it where it is close to the unrelated gap, that of shuffled parts"""
LEGEND_OF_CLASSES = """\
disagreement: how often samples with alike hidden parts differ in class; falls with the ratio
class error: how often the class cannot be told from what is visible; rises with the ratio
alignment: correlation of the second singular function with the class"""
MARKERS = "Ds^vPX"


@dataclass(frozen=True, eq=False)
class MaskGraph:
    """The mask graph of one mask; without classes three measures are NaN.

    Args:
        singular_values: of D_v^-½ A D_m^-½, largest first; the first is 1.
        disagreement: probability that two samples that share a hidden part differ in class.
        class_error: of the best guess of the class from the visible part (Bayes error).
        alignment: largest correlation between a singular function of σ₂ on visible parts and a
            combination of class probabilities given the visible part. Two classes: the absolute
            correlation with one of them; a σ₂ that several functions share: the best of them.
        unrelated_gap: what the gap would be if visible and hidden parts had nothing to do with
            each other: 1 in an exact graph, less in an estimate, which sees no gap above it.
    """

    singular_values: Array
    disagreement: float
    class_error: float
    alignment: float
    unrelated_gap: float = 1.0

    @property
    def gap(self) -> float:
        """The spectral gap 1 - σ₂²; 1 if a side has one node only."""
        return float(1 - self.singular_values[1:2].sum() ** 2)


@dataclass(frozen=True, eq=False)
class GraphCurve:
    """Measures of a `MaskGraph` against the number of hidden positions; means over masks.

    Args:
        num_positions: L.
        num_hidden: [K] numbers of hidden positions, rising.
        gap: [K], and so are the others.
    """

    num_positions: int
    num_hidden: np.ndarray
    gap: Array
    disagreement: Array
    class_error: Array
    alignment: Array
    unrelated_gap: Array

    @property
    def ratios(self) -> Array:
        """[K] shares of positions that are hidden."""
        return self.num_hidden / self.num_positions

    def under(self, law: Law | str | float) -> dict[str, float]:
        """Return the means of all measures, and of the "ratio", under a law of the ratio.

        The law's counts are those that masks have. Counts between those of the curve are read off
        a line. Hiding everything, which only `likelihood` does, leaves no graph and does not
        count. A scheduled law is the mixture of what is in force over time.

        Raises:
            UserError: the law hides more or fewer positions than the curve covers.
        """
        probability = _counts(law, self.num_positions)
        (counts,) = np.nonzero(probability)
        low, high = counts[0], counts[-1]
        if low < self.num_hidden[0] or high > self.num_hidden[-1]:
            raise UserError(
                f"law '{law}' hides {low} to {high} of {self.num_positions} positions: give ratios"
                f" from {low / self.num_positions:.4g} to {high / self.num_positions:.4g}"
            )
        curves = {"ratio": self.ratios} | {name: getattr(self, name) for name in MEASURES}
        return {
            name: float(probability[counts] @ np.interp(counts, self.num_hidden, values))
            for name, values in curves.items()
        }


MEASURES = tuple(field.name for field in dataclasses.fields(GraphCurve))[2:]


def as_text(curve: GraphCurve, laws: Sequence[str] = ()) -> str:
    """Return a table of the curve, a row for each number of hidden positions and each law."""
    columns = ["ratio", *(name for name in MEASURES if _is_known(curve, name))]
    rows = [["hidden", *(name.replace("_", " ") for name in columns)]]
    for index, num in enumerate(curve.num_hidden):
        cells = [f"{getattr(curve, name)[index]:.3f}" for name in columns[1:]]
        rows.append([f"{num} of {curve.num_positions}", f"{curve.ratios[index]:.3f}", *cells])
    for law in laws:
        means = curve.under(law)
        rows.append([law, *(f"{means[name]:.3f}" for name in columns)])
    return aligned(rows)


def _is_known(curve: GraphCurve, name: str) -> bool:
    return not np.isnan(getattr(curve, name)).all()


def as_curve(num_positions: int, graphs: Mapping[int, Sequence[MaskGraph]]) -> GraphCurve:
    """Return means over graphs, by the number of positions that they hide."""
    means = {
        name: np.array([np.mean([getattr(g, name) for g in each]) for each in graphs.values()])
        for name in MEASURES
    }
    return GraphCurve(num_positions, np.array(list(graphs)), **means)


def alignment(functions: Array, values: Array, posterior: Array, weights: Array) -> float:
    """Return the largest correlation of the functions of σ₂ with the class; NaN without either.

    Args:
        functions: [V, K] orthonormal singular vectors, which hold √weight times the function.
        values: [K] their singular values, largest first.
        posterior: [V, C] probability of each class.
        weights: [V] probability of each visible part.
    """
    centred = np.sqrt(weights)[:, None] * (posterior - weights @ posterior)
    # Rounding is not a class that varies.
    if len(values) < 2 or np.abs(centred).max() < EQUAL:
        return np.nan
    second = functions[:, np.abs(values - values[1]) < EQUAL]
    return float(linalg.norm(second.T @ linalg.orth(centred, rcond=EQUAL), 2))


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
    shown = [name for name in panels if any(_is_known(curve, name) for curve in curves.values())]
    figure = Figure(figsize=(max(4.8, 3.4 * len(shown)), 3.8), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        for index, (label, curve) in enumerate(curves.items()):
            color = color_of(index)
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
        axes.set(ylim=(0, 1.03), title=panels[name])
        plain(axes)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, frameon=False, fontsize=8)
    return figure


def _counts(law: Law | str | float, num_positions: int) -> Array:
    """Return the probability that 0..L-1 positions are hidden [L].

    >>> _counts("fixed:0.75", 4).tolist()
    [0.0, 0.0, 0.0, 1.0]
    >>> _counts("uniform:0,1", 4).round(3).tolist()
    [0.0, 0.375, 0.25, 0.375]
    """
    if not isinstance(law, Law):
        law = laws.parse(str(law))
    num = TIMES if isinstance(law, laws.Scheduled) else 1
    u = (np.arange(DRAWS) + 0.5) / DRAWS
    total = np.zeros(num_positions)
    for time in (np.arange(num) + 0.5) / num:
        counts = laws.num_hidden(law, u, num_positions, time)
        total += np.bincount(counts, minlength=num_positions)[:num_positions]
    return total / total.sum()
