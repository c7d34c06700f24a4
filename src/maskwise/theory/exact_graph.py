"""Exact mask graphs of small discrete worlds.

A mask cuts a sample into a visible part v and a hidden part m. The mask graph has visible parts on
one side, hidden parts on the other and edges of weight A(v, m) = P(v, m). With the sums of rows
and of columns on the diagonals D_v and D_m, its matrix is Ā = D_v^-½ A D_m^-½, and ĀĀᵀ joins
visible parts that share a hidden one (How Mask Matters, arXiv 2210.08344).
"""

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg

from maskwise.errors import UserError
from maskwise.theory.graph_curves import GraphCurve, MaskGraph, as_curve
from maskwise.theory.spectra import Array
from maskwise.theory.worlds import World

# Visible times hidden parts of one graph, and positions of which every mask is looked at.
MOST_EDGES = 2**22
MOST_POSITIONS = 12
# Singular values this close to σ₂ are equal to it.
EQUAL = 1e-9


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
        num: [mask_graph(world, mask) for mask in _masks(length, num)] for num in range(1, length)
    }
    return as_curve(length, graphs)


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


def _masks(length: int, num_hidden: int) -> Iterator[np.ndarray]:
    for chosen in itertools.combinations(range(length), num_hidden):
        mask = np.zeros(length, dtype=bool)
        mask[list(chosen)] = True
        yield mask


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
