import doctest
from itertools import combinations, product

import pytest

from tests import pairs as module
from tests.pairs import pairs


@pytest.mark.parametrize(
    "sizes", [(3, 2), (5, 4, 3), (14, 4, 4, 2), (2, 2, 2, 2, 2, 2), (1, 6, 1)]
)
def test_any_two_values_meet(sizes):
    axes = [[f"{axis}{value}" for value in range(size)] for axis, size in enumerate(sizes)]
    rows = pairs(*axes)
    met = {pair for row in rows for pair in combinations(row, 2)}
    assert met == {pair for a, b in combinations(axes, 2) for pair in product(a, b)}
    assert len(set(rows)) == len(rows)
    largest, second = sorted(sizes)[-1], sorted(sizes)[-2]
    assert len(rows) <= 1.5 * largest * second + 2
    assert pairs(*axes) == rows


def test_the_example():
    assert not doctest.testmod(module).failed
