"""Few combinations in which any two values of two axes meet, instead of all combinations."""

from collections.abc import Sequence
from itertools import combinations, product
from typing import Any


def pairs(*axes: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return combinations, one value of each axis, that hold every pair of values.

    Each starts with a pair that has not met yet and takes, axis by axis, the value that makes most
    new pairs; of equals the one that was used least, then the first. Nothing is random.

    >>> pairs("ab", "xy", "12")
    [('a', 'x', '1'), ('a', 'y', '2'), ('b', 'x', '2'), ('b', 'y', '1')]
    """
    missing = {
        ((i, a), (j, b))
        for i, j in combinations(range(len(axes)), 2)
        for a, b in product(range(len(axes[i])), range(len(axes[j])))
    }
    used = {(axis, value): 0 for axis, values in enumerate(axes) for value in range(len(values))}
    found = []
    while missing:
        row = dict(min(missing))
        for axis in range(len(axes)):
            if axis in row:
                continue
            best = max(
                range(len(axes[axis])),
                key=lambda value: (
                    sum(tuple(sorted([(axis, value), each])) in missing for each in row.items()),
                    -used[axis, value],
                    -value,
                ),
            )
            row[axis] = best
        cells = sorted(row.items())
        missing -= set(combinations(cells, 2))
        for cell in cells:
            used[cell] += 1
        found.append(tuple(axes[axis][value] for axis, value in cells))
    return found
