"""Mask graphs: of small discrete worlds exactly, and what they say about a ratio or a law.

A mask cuts a sample into a visible part v and a hidden part m. The mask graph has visible parts on
one side, hidden parts on the other and edges of weight A(v, m) = P(v, m). With the sums of rows
and of columns on the diagonals D_v and D_m, its matrix is Ā = D_v^-½ A D_m^-½, and ĀĀᵀ joins
visible parts that share a hidden one (How Mask Matters, arXiv 2210.08344).
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg

from maskwise.checks import checked
from maskwise.errors import UserError
from maskwise.laws import Law
from maskwise.theory.advice import aligned, color_of, plain
from maskwise.theory.risks import counts_of
from maskwise.theory.spectra import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Bits of a world that is listed completely.
MOST_BITS = 16
# Visible times hidden parts of one graph, and positions of which every mask is looked at.
MOST_EDGES = 2**22
MOST_POSITIONS = 12
# Singular values this close to σ₂ are equal to it.
EQUAL = 1e-9
MARKERS = "Ds^vPX"
PANELS = {
    "gap": "spectral gap",
    "disagreement": "label disagreement of views\nthat share a hidden part",
    "class_error": "class error from what is visible",
    "alignment": "correlation of σ₂'s function\nwith the class",
}


@dataclass(frozen=True, eq=False)
class World:
    """A distribution over sequences of symbols.

    Args:
        samples: [S, L] symbols at L positions, any numbers; a sample is a row.
        probability: [S] of each sample; they sum to 1.
        posterior: [S, C] probabilities of C classes given the sample, or None. Labels [S] are
            taken too: the class is then certain.

    Raises:
        UserError: shapes that do not fit, or probabilities that are none or do not sum to 1.

    >>> coin = World([[0, 0], [1, 1]], [0.5, 0.5], posterior=[0, 1])
    >>> coin.num_positions, coin.posterior.tolist()
    (2, [[1.0, 0.0], [0.0, 1.0]])
    """

    samples: np.ndarray
    probability: Array
    posterior: Array | None = None

    def __init__(
        self, samples: ArrayLike, probability: ArrayLike, posterior: ArrayLike | None = None
    ) -> None:
        rows = np.asarray(samples)
        if rows.ndim != 2 or len(rows) < 2 or rows.shape[1] < 2:
            raise UserError(
                f"samples of shape {rows.shape} must be [samples, positions], at least 2 of each"
            )
        weights = np.asarray(probability)
        if weights.shape != (len(rows),):
            raise UserError(f"{len(rows)} samples and probabilities of shape {weights.shape}")
        weights = _distribution("probabilities", weights)
        seen = weights > 0
        classes = None if posterior is None else _as_posterior(posterior, len(rows))[seen]
        vars(self).update(samples=rows[seen], probability=weights[seen], posterior=classes)

    @property
    def num_positions(self) -> int:
        return self.samples.shape[1]


@checked()
def bit_world(
    prototypes: Sequence[str], flip: float, *, unit: int = 1, unit_flip: float = 0.0
) -> World:
    """Return a world of bits: each class is a prototype, of which bits are flipped.

    Neighbours in a unit share a flip of their own, which is local structure that the class does
    not explain.

    Args:
        prototypes: one string of 0 and 1 for each class; classes are equally likely.
        flip: probability that a bit is flipped, independently.
        unit: bits of a unit.
        unit_flip: probability that all bits of a unit are flipped, before single ones are.

    Raises:
        UserError: prototypes of different lengths or too long, a unit that does not divide them,
            or probabilities outside [0, 1].

    >>> world = bit_world(["00", "11"], flip=0.1)
    >>> world.samples.tolist(), world.probability.round(2).tolist()
    ([[0, 0], [0, 1], [1, 0], [1, 1]], [0.41, 0.09, 0.09, 0.41])
    """
    length = len(prototypes[0]) if prototypes else 0
    if any(len(bits) != length or set(bits) - {"0", "1"} for bits in prototypes):
        raise UserError(f"prototypes {list(prototypes)} must be strings of 0 and 1 of one length")
    if not 2 <= length <= MOST_BITS:
        raise UserError(f"{length} bits: give 2 to {MOST_BITS}, because every sample is listed")
    if unit < 1 or length % unit:
        raise UserError(f"unit {unit} does not divide {length} bits")
    for name, value in {"flip": flip, "unit_flip": unit_flip}.items():
        if not 0 <= value <= 1:
            raise UserError(f"{name} {value:g} is no probability")
    samples = np.arange(2**length)[:, None] >> np.arange(length)[::-1] & 1
    joint = np.empty((2**length, len(prototypes)))
    for index, bits in enumerate(prototypes):
        flipped = samples != np.array(list(bits), dtype=int)
        chances = [
            np.where(flipped == shared, 1 - flip, flip).reshape(len(samples), -1, unit).prod(-1)
            for shared in (False, True)
        ]
        joint[:, index] = ((1 - unit_flip) * chances[0] + unit_flip * chances[1]).prod(-1)
    joint /= len(prototypes)
    probability = joint.sum(1)
    seen = probability > 0
    posterior = joint[seen] / probability[seen, None]
    return World(samples[seen], probability[seen], posterior)


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
    disagreement: float = np.nan
    class_error: float = np.nan
    alignment: float = np.nan
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

    @property
    def series(self) -> dict[str, Array]:
        """The ratios and all measures by their names."""
        return {"ratio": self.ratios} | {name: getattr(self, name) for name in MEASURES}

    def under(self, law: Law | str | float) -> dict[str, float]:
        """Return the means of all measures, and of the "ratio", under a law of the ratio.

        The law's counts are those that masks have. Counts between those of the curve are read off
        a line. Hiding everything, which only `likelihood` does, leaves no graph and does not
        count. A scheduled law is the mixture of what is in force over time.

        Raises:
            UserError: the law hides more or fewer positions than the curve covers.
        """
        probability = counts_of(law, self.num_positions)
        (counts,) = np.nonzero(probability)
        low, high = counts[0], counts[-1]
        if low < self.num_hidden[0] or high > self.num_hidden[-1]:
            raise UserError(
                f"law '{law}' hides {low} to {high} of {self.num_positions} positions: give ratios"
                f" from {low / self.num_positions:.4g} to {high / self.num_positions:.4g}"
            )
        return {
            name: float(probability[counts] @ np.interp(counts, self.num_hidden, values))
            for name, values in self.series.items()
        }


MEASURES = tuple(field.name for field in fields(GraphCurve))[2:]


@checked()
def mask_graph(world: World, hidden: ArrayLike) -> MaskGraph:
    """Return the mask graph of one mask.

    Args:
        world: all samples and their probabilities.
        hidden: [L] bool, True where hidden.

    Raises:
        UserError: a mask that hides nothing or everything or has another length, or a graph that
            is too large to decompose.

    >>> from maskwise.theory import bit_world
    >>> graph = mask_graph(bit_world(["00", "11"], flip=0.1), [False, True])
    >>> graph.singular_values.round(3).tolist(), round(graph.gap, 3), round(graph.disagreement, 3)
    ([1.0, 0.64], 0.59, 0.18)
    """
    mask, length = np.asarray(hidden), world.num_positions
    if mask.shape != (length,) or mask.dtype != bool:
        raise UserError(
            f"a mask of shape {mask.shape}, {mask.dtype}: give {length} booleans, True if hidden"
        )
    if mask.all() or not mask.any():
        what = "everything" if mask.all() else "nothing"
        raise UserError(f"the mask hides {what}: a graph needs both")
    joint, visible, target = _parts(world, mask)
    p_visible, p_hidden = joint.sum(1), joint.sum(0)
    normalised = joint / np.sqrt(np.outer(p_visible, p_hidden))
    left, values, _ = linalg.svd(normalised, full_matrices=False)
    if world.posterior is None:
        return MaskGraph(values)
    return MaskGraph(
        values,
        disagreement=float(1 - ((target**2).sum(1) / p_hidden).sum()),
        class_error=float(1 - visible.max(1).sum()),
        alignment=alignment(left, values, visible / p_visible[:, None], p_visible),
    )


@checked()
def mask_graphs(world: World) -> GraphCurve:
    """Return the means over all masks of each size, from 1 hidden position to L - 1.

    Means, because visible parts know which positions they are: graphs of different masks have no
    edge in common, and the graph of all masks together has σ₂ = 1, whatever the world.

    Raises:
        UserError: more than 12 positions (2^L - 2 masks would be decomposed), or as `mask_graph`.

    >>> from maskwise.theory import bit_world
    >>> curve = mask_graphs(bit_world(["0000", "1111"], flip=0.15))
    >>> curve.gap.round(3).tolist(), curve.disagreement.round(3).tolist()
    ([0.612, 0.567, 0.612], [0.255, 0.171, 0.104])
    """
    length = world.num_positions
    if length > MOST_POSITIONS:
        raise UserError(
            f"{length} positions have {2**length - 2:,} masks; {MOST_POSITIONS} are the most: "
            "give single masks to mask_graph, or samples to estimate_mask_graphs"
        )
    graphs = {
        num: [
            mask_graph(world, np.isin(np.arange(length), chosen))
            for chosen in itertools.combinations(range(length), num)
        ]
        for num in range(1, length)
    }
    return as_curve(length, graphs)


def _parts(world: World, hidden: np.ndarray) -> tuple[Array, Array, Array]:
    """Return P(v, m) [V, M], and P(v, class) [V, C] and P(m, class) [M, C]."""
    parts = (world.samples[:, columns] for columns in (~hidden, hidden))
    v, m = (np.unique(part, axis=0, return_inverse=True)[1].ravel() for part in parts)
    num_visible, num_hidden = v.max() + 1, m.max() + 1
    if num_visible * num_hidden > MOST_EDGES:
        raise UserError(
            f"{num_visible:,} visible and {num_hidden:,} hidden parts make a graph too large to "
            f"decompose (at most {MOST_EDGES:,} pairs): give samples to estimate_mask_graph"
        )
    joint = np.zeros((num_visible, num_hidden))
    np.add.at(joint, (v, m), world.probability)
    posterior = np.ones((len(v), 1)) if world.posterior is None else world.posterior
    classes = world.probability[:, None] * posterior
    visible, target = (np.zeros((num, classes.shape[1])) for num in joint.shape)
    np.add.at(visible, v, classes)
    np.add.at(target, m, classes)
    return joint, visible, target


def _as_posterior(posterior: ArrayLike, num_samples: int) -> Array:
    values = np.asarray(posterior)
    if values.ndim not in (1, 2) or len(values) != num_samples:
        raise UserError(f"{num_samples} samples, but classes of shape {values.shape}")
    if values.ndim == 1:
        classes, codes = np.unique(values, return_inverse=True)
        return np.eye(len(classes))[codes]
    return _distribution("class probabilities of each sample", values)


def _distribution(what: str, given: np.ndarray) -> Array:
    """Return probabilities, which are not negative and sum to 1 along the last axis."""
    values = given.astype(np.float64)
    total = values.sum(-1)
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise UserError(f"{what} must be finite and >= 0")
    if np.abs(total - 1).max() > 1e-8:
        wrong = np.ravel(total)[np.abs(np.ravel(total) - 1).argmax()]
        raise UserError(f"{what} sum to {wrong:.10g}, not to 1: divide them by their sum")
    return values


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


def _known(curve: GraphCurve) -> dict[str, Array]:
    return {name: each for name, each in curve.series.items() if not np.isnan(each).all()}


def as_text(curve: GraphCurve, laws: Sequence[str] = ()) -> str:
    """Return a table of the curve, a row for each number of hidden positions and each law."""
    series = _known(curve)
    rows = [["hidden", *(name.replace("_", " ") for name in series)]]
    for index, num in enumerate(curve.num_hidden):
        cells = [f"{values[index]:.3f}" for values in series.values()]
        rows.append([f"{num} of {curve.num_positions}", *cells])
    for law in laws:
        means = curve.under(law)
        rows.append([law, *(f"{means[name]:.3f}" for name in series)])
    return aligned(rows)


def graph_figure(curves: Mapping[str, GraphCurve], laws: Sequence[str] = ()) -> "Figure":
    """Draw what mask graphs say against the ratio, a color for each curve.

    Args:
        curves: by name; dotted is the gap of unrelated parts, where it is not 1.
        laws: drawn as markers at their mean ratio.
    """
    from matplotlib.figure import Figure

    shown = [name for name in PANELS if any(name in _known(each) for each in curves.values())]
    figure = Figure(figsize=(max(4.8, 3.4 * len(shown)), 3.8), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        for index, (label, curve) in enumerate(curves.items()):
            color, values = color_of(index), curve.series[name]
            axes.plot(curve.ratios, values, ".-", color=color, label=label)
            if name == "gap" and curve.unrelated_gap.min() < 1:
                axes.plot(curve.ratios, curve.unrelated_gap, ":", color=color, label="unrelated")
            for law, marker in zip(laws, itertools.cycle(MARKERS), strict=False):
                means = curve.under(law)
                [point] = axes.plot(means["ratio"], means[name], marker, color=color)
                point.set(markerfacecolor="none", label=None if index else law)
        axes.set(ylim=(0, 1.03), title=PANELS[name])
        plain(axes)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, frameon=False, fontsize=8)
    return figure
