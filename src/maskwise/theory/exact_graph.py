"""Exact mask graphs of small discrete worlds, of which every sample is listed.

A mask cuts a sample into a visible part v and a hidden part m. The mask graph has visible parts on
one side, hidden parts on the other and edges of weight A(v, m) = P(v, m). With the sums of rows
and of columns on the diagonals D_v and D_m, its matrix is Ā = D_v^-½ A D_m^-½, and ĀĀᵀ joins
visible parts that share a hidden one (How Mask Matters, arXiv 2210.08344).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg

from maskwise.errors import UserError
from maskwise.theory.graph_curves import GraphCurve, MaskGraph, alignment, as_curve
from maskwise.theory.spectra import Array

# Bits of a world that is listed completely.
MOST_BITS = 16
# Visible times hidden parts of one graph, and positions of which every mask is looked at.
MOST_EDGES = 2**22
MOST_POSITIONS = 12


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
        weights = np.asarray(probability, dtype=np.float64)
        if weights.shape != (len(rows),):
            raise UserError(f"{len(rows)} samples and probabilities of shape {weights.shape}")
        _check_distribution("probabilities", weights)
        object.__setattr__(self, "samples", rows[weights > 0])
        object.__setattr__(self, "probability", weights[weights > 0])
        if posterior is not None:
            classes = _as_posterior(np.asarray(posterior), len(rows))
            object.__setattr__(self, "posterior", classes[weights > 0])

    @property
    def num_positions(self) -> int:
        return self.samples.shape[1]


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
    for name, value in (("flip", flip), ("unit_flip", unit_flip)):
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
    mask = _checked(hidden, world.num_positions)
    joint, visible, target = _parts(world, mask)
    p_visible, p_hidden = joint.sum(1), joint.sum(0)
    left, values, _ = linalg.svd(
        joint / np.sqrt(np.outer(p_visible, p_hidden)), full_matrices=False
    )
    measures = (np.nan, np.nan, np.nan)
    if world.posterior is not None:
        posterior = visible / p_visible[:, None]
        measures = (
            float(1 - ((target**2).sum(1) / p_hidden).sum()),
            float(1 - visible.max(1).sum()),
            alignment(left, values, posterior, p_visible),
        )
    return MaskGraph(values, *measures)


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
    nodes = []
    for columns in (~hidden, hidden):
        found, index = np.unique(world.samples[:, columns], axis=0, return_inverse=True)
        nodes.append((len(found), index.ravel()))
    (num_visible, v), (num_hidden, m) = nodes
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


def _checked(hidden: ArrayLike, length: int) -> np.ndarray:
    mask = np.asarray(hidden)
    if mask.shape != (length,) or mask.dtype != bool:
        raise UserError(
            f"a mask of shape {mask.shape}, {mask.dtype}: give {length} booleans, True if hidden"
        )
    if mask.all() or not mask.any():
        raise UserError(
            f"the mask hides {'everything' if mask.all() else 'nothing'}: a graph needs both"
        )
    return mask


def _as_posterior(values: np.ndarray, num_samples: int) -> Array:
    if values.ndim not in (1, 2) or len(values) != num_samples:
        raise UserError(f"{num_samples} samples, but classes of shape {values.shape}")
    if values.ndim == 1:
        classes, codes = np.unique(values, return_inverse=True)
        return np.eye(len(classes))[codes]
    values = values.astype(np.float64)
    _check_distribution("class probabilities of each sample", values)
    return values


def _check_distribution(what: str, values: Array) -> None:
    """Refuse what is negative or does not sum to 1 along the last axis."""
    total = values.sum(-1)
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise UserError(f"{what} must be finite and >= 0")
    if np.abs(total - 1).max() > 1e-8:
        wrong = np.ravel(total)[np.abs(np.ravel(total) - 1).argmax()]
        raise UserError(f"{what} sum to {wrong:.10g}, not to 1: divide them by their sum")
