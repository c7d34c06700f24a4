"""Corrections of filled rows with jumps and corners: extremely randomised trees."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.random import Generator
from sklearn.tree import ExtraTreeRegressor

from maskwise.columns.left_over import LeftOver

GROUPS, TREES = 4, 3  # of the rows; as many trees learn from all rows but those of one group
LEAF, FEATURES = 5, 16  # fewest rows of a leaf; columns that a split looks at, at most


@dataclass(frozen=True)
class Forest:
    """Trees for each column, a quarter of which does not know each quarter of the rows.

    They are learned by scikit-learn and kept as arrays: a row goes from a node to the first of its
    two followers where its `feature` is at most the `threshold`, else to the second, until it
    comes to a leaf.

    Source: Geurts, Ernst and Wehenkel, Extremely randomized trees (Machine Learning 63, 2006).

    Args:
        feature: the column that each node of all trees looks at, int64 [n]; negative = a leaf.
        threshold: of it, [n].
        follow: where rows go on, int64 [n, 2].
        value: what a leaf says, [n].
        roots: where the trees of each column begin, int64 [D, T]; -1 where they say nothing.
    """

    feature: np.ndarray
    threshold: np.ndarray
    follow: np.ndarray
    value: np.ndarray
    roots: np.ndarray

    @classmethod
    def fit(cls, over: LeftOver, others: np.ndarray, rng: Generator) -> tuple[Self, np.ndarray]:
        """Return what predicts what is left over, and what it says of each known value, [N, D].

        The latter is what trees say that do not know the row; 0 for columns of which the trees of
        the first group do not predict more than `others` do, [N, D], and NaN where nothing is
        known.
        """
        group, trees, said = rng.integers(GROUPS, size=len(over.left)), [], over.left * 0
        for column in range(over.left.shape[1]):
            rows = over.rows(column)
            learned, said[rows, column] = _grown(
                over.shown(column, rows).astype(np.float32),
                *(over.left[rows, column], others[rows, column], group[rows], rng),
            )
            trees.append(learned)
        return cls(*_packed(trees)), said

    def predict(self, filled: np.ndarray, holes: np.ndarray) -> np.ndarray:
        """Return what to add to filled columns with holes, [N, D] each."""
        filled, found = filled.astype(np.float32), np.zeros(filled.shape)
        for column in np.flatnonzero(self.roots[:, 0] >= 0).tolist():
            rows = np.flatnonzero(holes[:, column])
            node = np.repeat(self.roots[column][:, None], len(rows), axis=1)
            while (inner := self.feature[node] >= 0).any():
                high = filled[rows, self.feature[node]] > self.threshold[node]
                node = np.where(inner, self.follow[node, high.astype(int)], node)
            found[rows, column] = self.value[node].mean(axis=0)
        return found


def _packed(trees: list[list[ExtraTreeRegressor]]) -> tuple[np.ndarray, ...]:
    """Return the arrays of a `Forest` of the trees of each column."""
    every = [each.tree_ for column in trees for each in column]
    starts = np.cumsum([0, *(each.node_count for each in every)])
    roots, begun = np.full((len(trees), GROUPS * TREES), -1), iter(starts.tolist())
    for column, learned in enumerate(trees):
        if learned:
            roots[column] = [next(begun) for _ in learned]
    follow = [
        np.column_stack([each.children_left, each.children_right]) + start
        for each, start in zip(every, starts[:-1], strict=True)
    ]
    return (
        np.concatenate([each.feature for each in every] or [np.zeros(0, dtype=int)]),
        np.concatenate([each.threshold for each in every] or [np.zeros(0)]),
        np.concatenate(follow or [np.zeros((0, 2), dtype=int)]),
        np.concatenate([each.value[:, 0, 0] for each in every] or [np.zeros(0)]),
        roots,
    )


def _grown(
    x: np.ndarray, y: np.ndarray, known: np.ndarray, group: np.ndarray, rng: Generator
) -> tuple[list[ExtraTreeRegressor], np.ndarray]:
    """Return trees that predict y [n] from x [n, D], and what those say that do not know a row."""
    learned: list[ExtraTreeRegressor] = []
    said, nothing = np.zeros(len(y)), np.zeros(len(y))
    for each in range(GROUPS):
        own = group == each
        if min(np.count_nonzero(own), np.count_nonzero(~own)) < LEAF:
            return [], nothing
        new = [_tree(x[~own], y[~own], rng) for _ in range(TREES)]
        learned, said[own] = learned + new, _mean(new, x[own])
        if each == 0 and not adds(said[own], known[own], y[own]):
            return [], nothing
    return learned, said


def adds(new: np.ndarray, known: np.ndarray, y: np.ndarray) -> bool:
    """Return whether a prediction of y [n] explains more than chance of what another leaves over.

    >>> y = np.arange(100.0) - 49.5
    >>> adds(y, 0 * y, y), adds(y, y, y), adds(np.cos(y * 9), 0 * y, y)
    (True, False, False)
    """
    left = y - known
    power = float(new @ new)
    if not power:
        return False
    slope = float(new @ left) / power
    return bool(slope > 0 and slope * (new @ left) > 4 / len(y) * (left @ left))


def _tree(x: np.ndarray, y: np.ndarray, rng: Generator) -> ExtraTreeRegressor:
    tree = ExtraTreeRegressor(
        min_samples_leaf=LEAF,
        max_features=min(FEATURES, x.shape[1]),
        random_state=int(rng.integers(2**31)),
    )
    return tree.fit(x, y, check_input=False)


def _mean(trees: list[ExtraTreeRegressor], x: np.ndarray) -> np.ndarray:
    return np.mean([each.predict(x, check_input=False) for each in trees], axis=0)
