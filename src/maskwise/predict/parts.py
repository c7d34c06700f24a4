"""Which part of test samples is visible: at random, a panel, neighbours, groups, and so on."""

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
import torch
from pydantic import Field

from maskwise import laws
from maskwise.errors import UserError
from maskwise.masks import draw
from maskwise.masks.missing import hide
from maskwise.measure.losses import fixed_mask
from maskwise.predict import masked_copies
from maskwise.rng import Keys, Stream
from maskwise.settings import settings

CONTIGUOUS = "contiguous"
# What a pattern of masks is called that says what is visible; others are called as in masks.
OF_MASKS = {"random": "scattered", "panel": "shared", CONTIGUOUS: "inverse-block"}
MECHANISMS = ("MAR", "MNAR")
GROUPS, OBSERVED = "groups", masked_copies.OBSERVED
CPU = torch.device("cpu")
log = logging.getLogger("maskwise")

Share = Annotated[float, Field(gt=0, le=1)]


@settings
class VisibleSettings:
    """How much of test samples is visible, and which part, where answers are measured by that."""

    axes: ClassVar[int] = 1
    """of the grid of positions"""
    numbers: ClassVar[bool] = True
    """whether positions hold numbers, on which gaps may depend"""
    named: ClassVar[bool] = False
    """whether positions have names, by which they are grouped"""

    visible: tuple[Share, ...] = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
    """Visible shares of labelled test samples at which the answers are measured; none = they are
    not."""
    visible_patterns: tuple[str, ...] = ("random", "contiguous")
    """What is visible then: random, panel (the same for all samples), contiguous, groups (whole
    groups by the beginnings of names, or those named: groups:lab_+vital_), MAR, MNAR, observed
    (what is missing of other samples), or what a pattern of `maskwise list` leaves."""

    def __post_init__(self) -> None:
        for pattern in self.visible_patterns:
            self._check(pattern)

    def _check(self, pattern: str) -> None:
        """Refuse a pattern that samples of this kind cannot have."""
        name = pattern.partition(":")[0]
        if (name == GROUPS and not self.named) or (pattern in MECHANISMS and not self.numbers):
            what = "names" if name == GROUPS else "numbers"
            raise UserError(
                f"evaluate.visible_patterns: '{pattern}' needs positions with {what}, which this"
                " kind of data has not: take random or contiguous"
            )
        if name == GROUPS or pattern in (*MECHANISMS, OBSERVED):
            return
        try:
            one = torch.zeros(1, dtype=torch.int64)
            draw("fixed:0.5", (4,) * self.axes, sample_ids=one, seed=0, pattern=of_masks(pattern))
        except UserError as error:
            known = ", ".join((*OF_MASKS, GROUPS, *MECHANISMS, OBSERVED))
            raise UserError(f"evaluate.visible_patterns: {error}; or {known}") from None


def of_masks(pattern: str) -> str:
    """Return what masks call a pattern."""
    return OF_MASKS.get(pattern, pattern)


class Part(NamedTuple):
    """What is visible of samples."""

    pattern: str
    share: float
    """that was asked for"""
    hidden: np.ndarray
    """bool [N, L], beside what is missing"""


@dataclass(frozen=True)
class Positions:
    """What is known of the positions of samples.

    Args:
        there: what of samples is there, bool [N, L].
        ids: their numbers, on which masks depend, int64 [N].
        grid: positions along each axis.
        names: what they are called, L of them.
        values: a number of each, [N, L], NaN where it is missing.
    """

    there: np.ndarray
    ids: np.ndarray
    grid: tuple[int, ...]
    names: Sequence[str] = ()
    values: np.ndarray | None = None


def parts_of(positions: Positions, config: VisibleSettings, seed: int) -> Iterator[Part]:
    """Give what is visible of samples, pattern by pattern, from little to much.

    Masks depend on the seed, and on a sample's number and what is there of it; under MAR and MNAR
    on all values. Where so few positions are there that two shares are the same masks, the larger
    of them is left out. A pattern that these samples cannot have has no parts, and is told.
    """
    for pattern in config.visible_patterns:
        last = None
        for share in sorted(config.visible):
            hidden = _hidden(positions, pattern, share, seed)
            if hidden is None:
                why = "nothing is missing" if pattern == OBSERVED else "there is one group only"
                log.warning("evaluate.visible_patterns '%s' is left out: %s", pattern, why)
                break
            if last is not None and np.array_equal(hidden, last):
                continue
            yield Part(pattern, share, hidden)
            last = hidden
            if pattern == OBSERVED:  # which has a share of its own
                break


def _hidden(at: Positions, pattern: str, share: float, seed: int) -> np.ndarray | None:
    """Return what is hidden so that a share is visible, bool [N, L]; None if nothing can be."""
    name, _, argument = pattern.partition(":")
    if pattern == OBSERVED:
        whole = bool(at.there.all())
        return None if whole else masked_copies.hide(at.there, OBSERVED, copies=2, seed=seed)[1]
    if name == GROUPS:
        of = groups_of(at.names, argument)
        return _groups(of, share, at.ids, seed) & at.there if of.max(initial=0) else None
    if share == 1:
        return np.zeros_like(at.there)
    if pattern in MECHANISMS:
        assert at.values is not None
        return hide(at.values, pattern, 1 - share, seed) & at.there
    if pattern == CONTIGUOUS and len(at.grid) == 1:
        return _beside(at, share, seed)
    mask = fixed_mask(
        *(at.grid, 1 - share, at.ids, of_masks(pattern), seed, CPU), torch.from_numpy(at.there)
    )
    return np.asarray(mask.hidden.numpy())


def _beside(at: Positions, share: float, seed: int) -> np.ndarray:
    """Leave one stretch of neighbours of what is there: on a line, unlike a box, it has ends."""
    num = at.there.sum(axis=1, keepdims=True)
    left = num - laws.num_hidden(laws.Fixed(1 - share), 0.5, num)
    start = Keys(seed, 0, torch.from_numpy(at.ids)).uniform(Stream.SHAPE, 1).double().numpy()
    place = at.there.cumsum(axis=1) - 1 - np.floor(start * (num - left + 1))
    return np.asarray(at.there & ((place < 0) | (place >= left)))


def groups_of(names: Sequence[str], told: str = "") -> np.ndarray:
    """Return the group of each name, int64 [L]: by what it begins with.

    That is all before a digit, a space or a mark, or one of the beginnings that are `told`, joined
    by +; what begins with none of them is one more group.

    >>> groups_of(["lab_a", "lab_b", "age", "x1", "x2"]).tolist()
    [1, 1, 0, 2, 2]
    >>> groups_of(["lab_a", "lab_b", "age", "x1", "x2"], "lab_").tolist()
    [1, 1, 0, 0, 0]
    """
    if told:
        begin = [next((each for each in told.split("+") if n.startswith(each)), "") for n in names]
    else:
        begin = [re.split(r"[\d\W_]", name, maxsplit=1)[0] for name in names]
    return np.unique(begin, return_inverse=True)[1]


def _groups(of: np.ndarray, share: float, ids: np.ndarray, seed: int) -> np.ndarray:
    """Hide whole groups, so many that the nearest number to a share of them is visible."""
    num = int(of.max()) + 1
    scores = Keys(seed, 0, torch.from_numpy(ids)).bits(Stream.SCORE, num).numpy()
    rank = scores.argsort(axis=1, kind="stable").argsort(axis=1)
    return np.asarray((rank >= max(round(share * num), 1))[:, of])
