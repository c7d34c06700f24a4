"""Columns of `obs`: labels, batches and groups of cells, and which of them are held out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maskwise.cells.anndata_files import Annotated
from maskwise.errors import UserError

_FEW = 20  # different values are no measurements


@dataclass(frozen=True, eq=False)
class Column:
    """A name for each cell: which of the different ones it has, int64 [N]; -1 = none."""

    names: tuple[str, ...]
    codes: np.ndarray

    def numbered(self, names: Sequence[str]) -> "Column":
        """Return the column with names numbered in another way; -1 for those that are not there.

        >>> Column(("a", "b"), np.array([0, 1, -1])).numbered(("b", "c")).codes
        array([-1,  0, -1])
        """
        number = {name: place for place, name in enumerate(names)}
        table = np.array([*(number.get(name, -1) for name in self.names), -1])
        return Column(tuple(names), table[self.codes])

    def names_of(self, cells: np.ndarray) -> tuple[str, ...]:
        """Return the names that some cells have."""
        found = np.unique(self.codes[cells])
        return tuple(self.names[code] for code in found if code >= 0)


def read_column(sets: Sequence[Annotated], name: str, what: str) -> Column:
    """Read a column of several data sets one after the other; `file`: the data set itself.

    Args:
        sets: the data sets.
        name: of the column.
        what: it is for, "labels", "batch" or "group".

    Raises:
        UserError: a data set has no such column, or it is of measurements rather than of names.
    """
    import pandas as pd

    if name == "file":
        codes = np.repeat(np.arange(len(sets)), [len(each.matrix) for each in sets])
        return Column(tuple(each.name for each in sets), codes)
    parts = [pd.Series(each.obs(name)).astype(object) for each in sets]
    values = pd.Categorical(pd.concat(parts))
    num, known = len(values.categories), int((values.codes >= 0).sum())
    if not num:
        raise UserError(f"{sets[0].name}: column '{name}' of obs is empty (--data.{what})")
    if num > max(known / 2, _FEW):
        raise UserError(
            f"{sets[0].name}: column '{name}' of obs has {num:,} values in {known:,} cells: give"
            f" one of names that cells share (--data.{what})"
        )
    return Column(tuple(map(str, values.categories)), values.codes.astype(np.int64))


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
