"""Small discrete worlds: every sample that there is, with its probability and its class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from maskwise.errors import UserError
from maskwise.theory.spectra import Array

# Bits of a world that is listed completely.
MOST_BITS = 16


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
