import numpy as np
import pytest

from maskwise.ties import descending, largest, nearest, smallest

TYPES = [(np.float64, 2e-15), (np.float32, 5e-7)]


def disturbed(values, size, seed):
    """The same numbers as another CPU may have added them."""
    noise = np.random.default_rng(seed).uniform(-size, size, np.shape(values))
    return (values * (1 + noise)).astype(values.dtype)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("dtype", "size"), TYPES)
def test_last_bits_choose_nothing(dtype, size, seed):
    values = (np.array([5, 7, 1, 7, 0, 5, 7, 2]) / 3).astype(dtype)
    found = disturbed(values, size, seed)
    assert largest(found) == 1
    assert smallest(-found) == 1
    assert descending(found).tolist() == [1, 3, 6, 0, 5, 7, 2, 4]


@pytest.mark.parametrize(("dtype", "more"), [(np.float64, 1e-10), (np.float32, 1e-4)])
def test_what_differs_by_more_is_not_equal(dtype, more):
    values = np.array([1.0, 1.0 + more, 1.0 - more], dtype=dtype)
    assert descending(values).tolist() == [1, 0, 2]
    assert (largest(values), smallest(values)) == (1, 2)


def test_each_row_has_a_size_of_its_own():
    values = np.array([[1e20, 0.0], [1.0, 2.0], [-np.inf, -3.0], [0.0, 0.0], [5e-324, 0.0]])
    assert largest(values, axis=1).tolist() == [0, 1, 1, 0, 0]
    assert largest(values) == 0


def test_what_is_not_finite_keeps_its_place():
    values = np.array([np.nan, 1.0, np.inf, -np.inf, np.nan, 1.0])
    assert descending(values).tolist() == [2, 1, 5, 3, 0, 4]
    assert largest(np.array([-np.inf, -np.inf])) == 0
    assert smallest(np.array([np.inf, 2.0, np.inf])) == 1
    assert descending(np.empty(0)).tolist() == []


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("dtype", "size"), TYPES)
def test_the_nearest_do_not_hang_on_the_last_bit(dtype, size, seed):
    exact = np.array([[4, 2, 1, 2, 2, 0, 1], [1, 1, 1, 1, 1, 1, 1]], dtype=dtype) / 3
    distances = disturbed(exact, size, seed)
    found = np.argpartition(distances, 3, axis=1)[:, :4]
    found = nearest(distances, found, scale=1.0)
    assert sorted(found[0].tolist()) == [1, 2, 5, 6]
    assert found[1].tolist() == [0, 1, 2, 3]


def test_the_nearest_without_equals_are_left_as_they_are():
    distances = np.random.default_rng(0).random((5, 40))
    found = np.argpartition(distances, 3, axis=1)[:, :4]
    assert nearest(distances, found, scale=1.0) is found


def test_equally_far_are_the_unreachable():
    distances = np.array([[np.inf, 1.0, np.inf, 0.0], [np.inf] * 4, [0.0] * 4])
    found = nearest(distances, np.array([[3, 1, 2]] * 3), scale=0.0)
    assert [sorted(row) for row in found.tolist()] == [[0, 1, 3], [0, 1, 2], [0, 1, 2]]
