"""Which cells are held out."""

import numpy as np

from maskwise.errors import UserError


def held_out(num: int, holdout: float, groups: np.ndarray | None = None) -> np.ndarray:
    """Return which cells to evaluate on, bool [num]: at random, or whole groups at random.

    Args:
        num: how many cells there are.
        holdout: share of the cells; of groups, as many as do not exceed it, and at least one.
        groups: the group of each cell, int64 [num]; -1 = of its own.

    Raises:
        UserError: fewer than two cells or groups.

    >>> bool(held_out(4, 0.5, np.array([0, 1, 0, 1]))[:2].all())  # not of both groups
    False
    """
    units = np.arange(num) if groups is None else _alone(groups)
    sizes = np.bincount(units, minlength=1)
    if len(sizes) < 2:
        what = (
            f"{num} cells are" if groups is None else "all cells are in one group (--data.group)"
        )
        raise UserError(f"{what}{' too few' * (groups is None)}: none can be held out")
    order = np.random.default_rng(0).permutation(len(sizes))
    total = sizes[order].cumsum()
    chosen = order[total <= holdout * num]
    if not len(chosen):
        chosen = order[[sizes[order].argmin()]]
    return np.isin(units, chosen)


def _alone(groups: np.ndarray) -> np.ndarray:
    """Give each cell without a group one of its own, and number groups from 0."""
    own = groups.max(initial=0) + 1 + np.arange(len(groups))
    return np.unique(np.where(groups < 0, own, groups), return_inverse=True)[1]
