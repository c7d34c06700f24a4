"""Mask graphs estimated from samples.

The samples are n nodes on each side, and parts that are alike are joined by a kernel. With S_v and
S_m the kernels of visible and of hidden parts, symmetric and scaled so that all rows and columns
sum to 1, draw a sample k, a visible node i near k and a hidden node j near k:

    P(i, j) = (1/n) Σ_k S_v(i, k) S_m(k, j),        so that  Ā = S_v S_m.

That is an exact mask graph, of data that are blurred. With kernels that join equal parts only,
S_v and S_m are projections and the singular values those of the graph of the observed frequencies.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg
from scipy.spatial.distance import cdist

from maskwise import laws
from maskwise.checks import checked
from maskwise.errors import UserError
from maskwise.theory.estimation import Table, read_columns
from maskwise.theory.graphs import GraphCurve, MaskGraph, alignment, as_curve
from maskwise.theory.spectra import Array
from maskwise.ties import largest

NEIGHBOURS = 10.0
# Numbers of hidden positions that are looked at, if there are as many.
MOST_COUNTS = 15
# Halvings of a bandwidth's logarithm, over this range.
HALVINGS, RANGE = 24, 16.0
# Row sums of the scaled kernels are this close to 1.
CLOSE = 1e-8


@checked("labels")
def estimate_mask_graph(
    visible: ArrayLike,
    hidden: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    neighbours: float = NEIGHBOURS,
) -> MaskGraph:
    """Return the mask graph of one mask, estimated from samples of both parts.

    Args:
        visible: [n, a] what is visible of each sample. Distances are Euclidean.
        hidden: [n, b] what is hidden of it.
        labels: [n] classes, numbers or texts.
        neighbours: samples that a node joins, itself included: the bandwidth of sample i is the
            τ_i with Σ_j exp(-|x_i - x_j|²/τ_i) = neighbours. 1 joins equal parts only.

    Raises:
        UserError: fewer than 2 samples, not more than `neighbours`, parts of different lengths,
            not finite or constant, or labels that do not fit.

    >>> bits = np.array([[0, 0], [0, 0], [0, 1], [1, 0], [1, 1], [1, 1]])
    >>> graph = estimate_mask_graph(bits[:, :1], bits[:, 1:], neighbours=1)
    >>> graph.singular_values[:3].round(3).tolist()
    [1.0, 0.333, 0.0]
    """
    parts = [_as_part(visible, "visible"), _as_part(hidden, "hidden")]
    num = len(parts[0])
    if num != len(parts[1]):
        raise UserError(f"{num} visible and {len(parts[1])} hidden parts: give both of a sample")
    if not 1 <= neighbours < num:
        raise UserError(
            f"neighbours={neighbours:g} must be at least 1 and below the {num} samples"
        )
    joins_visible, joins_hidden = (_kernel(part, neighbours) for part in parts)
    squares, functions = linalg.eigh(_two_hops(joins_visible, joins_hidden))
    values = np.sqrt(np.maximum(squares[::-1], 0))
    other = np.random.default_rng(0).permutation(num)
    unrelated = linalg.eigvalsh(
        _two_hops(joins_visible, joins_hidden[np.ix_(other, other)]),
        subset_by_index=[num - 2, num - 2],
    )
    unrelated_gap = float(1 - unrelated[0])
    if labels is None:
        return MaskGraph(values, unrelated_gap=unrelated_gap)
    codes = _as_codes(labels, num)
    classes = np.eye(codes.max() + 1)[codes]
    # A sample's own class would make both of these too small.
    others = 1 - np.eye(num)
    disagreement = _disagreement(joins_hidden * others, classes)
    class_error = _class_error(joins_visible * others, classes)
    posterior = joins_visible @ classes
    aligned = alignment(functions[:, ::-1], values, posterior, np.full(num, 1 / num))
    return MaskGraph(values, disagreement, class_error, aligned, unrelated_gap)


@checked("labels", seed=0)
def estimate_mask_graphs(
    data: Table,
    labels: ArrayLike | None = None,
    *,
    ratios: Sequence[float] | None = None,
    neighbours: float = NEIGHBOURS,
    num_samples: int = 500,
    num_masks: int = 4,
    seed: int = 0,
) -> GraphCurve:
    """Return measures against the number of hidden positions, means over random masks.

    Masks are nested: each order of positions is hidden from its start, up to every number.

    Args:
        data: [n, L] samples by positions, dense or sparse; columns are standardised, and those
            that never vary are left out.
        labels: [n] classes, numbers or texts.
        ratios: shares of positions to hide; by default up to 15 numbers from 1 to L - 1.
        neighbours: as for `estimate_mask_graph`.
        num_samples: samples to use, drawn at random if there are more. Time grows with the cube.
        num_masks: masks of each size.
        seed: decides samples and masks.

    Raises:
        UserError: data or labels that cannot be used, fewer than 2 columns that vary, no mask, or
            as `estimate_mask_graph`.

    >>> x = np.random.default_rng(0).standard_normal((60, 4)).cumsum(1)
    >>> estimate_mask_graphs(x, num_masks=1).num_hidden.tolist()
    [1, 2, 3]
    """
    everything = read_columns(data)
    num = everything.shape[0]
    codes = None if labels is None else _as_codes(labels, num)
    for name, value, least in (("num_samples", num_samples, 2), ("num_masks", num_masks, 1)):
        if value < least:
            raise UserError(f"{name}={value} must be at least {least}")
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(num)[:num_samples])
    columns = read_columns(everything.values[rows]).varying()
    length = columns.shape[1]
    if length < 2:
        raise UserError(f"{length} columns vary: a mask graph needs at least 2")
    values = np.concatenate([block for _, block in columns.blocks(axis=0)])
    orders = [rng.permutation(length) for _ in range(num_masks)]
    graphs = {
        count: [
            estimate_mask_graph(
                values[:, order[count:]],
                values[:, order[:count]],
                None if codes is None else codes[rows],
                neighbours=neighbours,
            )
            for order in orders
        ]
        for count in _numbers(ratios, length)
    }
    return as_curve(length, graphs)


def _two_hops(joins_visible: Array, joins_hidden: Array) -> Array:
    """Return ĀĀᵀ, whose eigenvalues are the squared singular values: the quickest way to them."""
    adjacency = joins_visible @ joins_hidden
    return adjacency @ adjacency.T


def _kernel(part: Array, neighbours: float) -> Array:
    """Return the kernel S [n, n]: symmetric, not negative, rows sum to 1."""
    distance = cdist(part, part, "sqeuclidean")
    if neighbours == 1:
        kernel = (distance == 0).astype(np.float64)
    else:
        kernel = np.exp(-distance / _bandwidths(distance, neighbours)[:, None])
        # A sample far from the rest, which have small bandwidths, is still joined from its side:
        # a part of the graph on its own would make σ₂ = 1.
        kernel = (kernel + kernel.T) / 2
    return _scaled(kernel)


def _bandwidths(distance: Array, neighbours: float) -> Array:
    """Return τ [n] with Σ_j exp(-distance_ij / τ_i) = neighbours; where more are equal, tiny ones.

    >>> distance = np.array([[0.0, 1.0, 4.0], [1.0, 0.0, 1.0], [4.0, 1.0, 0.0]])
    >>> np.exp(-distance / _bandwidths(distance, 1.5)[:, None]).sum(1).round(4).tolist()
    [1.5, 1.5, 1.5]
    """
    # With the first of these bandwidths, each of the `num` nearest weighs neighbours / num.
    num = min(int(np.ceil(2 * neighbours)), len(distance))
    high = np.partition(distance, num - 1, axis=1)[:, num - 1] / np.log(num / neighbours)
    high = np.log(np.where(high > 0, high, distance[distance > 0].min()))
    low = high - RANGE
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        above = np.exp(-distance / np.exp(middle)[:, None]).sum(1) > neighbours
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.exp(high)


def _scaled(kernel: Array) -> Array:
    """Scale rows and columns alike until they sum to 1 (Sinkhorn, in its symmetric form)."""
    scale = 1 / np.sqrt(kernel.sum(1))
    for _ in range(1000):
        sums = scale * (kernel @ scale)
        if np.abs(sums - 1).max() < CLOSE:
            break
        scale = scale / np.sqrt(sums)
    return kernel * np.outer(scale, scale)


def _disagreement(others: Array, classes: Array) -> float:
    """Return how often classes differ in pairs of different samples, weighted by a kernel."""
    total = others.sum()
    if total == 0:
        raise UserError("no two samples have the same hidden part: give neighbours above 1")
    return float(1 - (classes * (others @ classes)).sum() / total)


def _class_error(others: Array, classes: Array) -> float:
    """Return how often the most likely class among the others that a kernel joins is wrong."""
    votes = others @ classes
    # Where no other sample is joined the most frequent class decides.
    votes[others.sum(1) == 0] = classes.mean(0)
    return float(1 - classes[np.arange(len(classes)), largest(votes, axis=1)].mean())


def _numbers(ratios: Sequence[float] | None, length: int) -> list[int]:
    """Return the numbers of positions to hide, rising."""
    if ratios is None:
        numbers = np.rint(np.linspace(1, length - 1, min(length - 1, MOST_COUNTS)))
        return numbers.astype(int).tolist()
    for ratio in ratios:
        if not 0 < ratio < 1:
            raise UserError(f"ratio {ratio:g} is outside (0, 1)")
    return np.unique([laws.num_hidden(laws.Fixed(x), 0.5, length) for x in ratios]).tolist()


def _as_part(part: ArrayLike, side: str) -> Array:
    values = np.asarray(part, dtype=np.float64)
    if values.ndim != 2 or len(values) < 2 or not values.shape[1]:
        raise UserError(
            f"{side} parts of shape {values.shape} must be [samples, numbers], at least 2 samples"
        )
    if not np.isfinite(values).all():
        row = np.argwhere(~np.isfinite(values))[0, 0]
        raise UserError(f"the {side} part of row {row} is not finite: leave the row out")
    if (values == values[0]).all():
        raise UserError(f"the {side} part never varies: leave its columns out")
    return values


def _as_codes(labels: ArrayLike, num_samples: int) -> np.ndarray:
    """Return class numbers [n] for labels of any kind."""
    values = np.asarray(labels)
    if values.shape != (num_samples,):
        raise UserError(f"labels of shape {values.shape} for {num_samples} samples: give one each")
    for row, value in enumerate(values.tolist()):
        if value is None or value != value:
            raise UserError(f"the label of row {row} is missing: leave the row out")
    classes, codes = np.unique(
        values.astype(str) if values.dtype == object else values, return_inverse=True
    )
    if len(classes) > num_samples / 2:
        raise UserError(
            f"labels have {len(classes)} different values in {num_samples} samples: give classes"
        )
    return codes
