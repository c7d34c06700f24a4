"""Trees correct jumps, and say of each row what those say that do not know it."""

import numpy as np

from maskwise.columns import forest
from maskwise.columns.forest import GROUPS, TREES, Forest
from maskwise.columns.left_over import LeftOver


def fitted(num=400, others=None):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(num, 2))
    left = np.column_stack([np.where(x[:, 1] > 0, 1.0, -1.0), rng.normal(size=num)])
    left[::6, 0] = np.nan
    over = LeftOver(x[None], np.zeros(left.shape, dtype=int), left)
    others = np.zeros_like(left) if others is None else np.where(others, left, 0)
    return x, left, *Forest.fit(over, others, np.random.default_rng(3))


def test_a_jump_is_found_and_noise_has_no_trees():
    x, left, found, said = fitted()
    assert found.roots.shape == (2, GROUPS * TREES)
    assert ((found.roots >= 0) == [[True], [False]]).all()
    known = ~np.isnan(left[:, 0])
    assert np.array_equal(np.isnan(said[:, 0]), ~known)
    assert 0.05 < np.mean(np.square(said - left)[known, 0]) < 0.3  # of rows they do not know
    assert not said[:, 1].any()
    holes = np.zeros(x.shape, dtype=bool)
    holes[::6] = True
    more = found.predict(x, holes)
    assert np.mean(np.square(more[::6, 0] - np.sign(x[::6, 1]))) < 0.2
    assert not more[~holes].any()


def test_what_others_say_already_needs_no_trees():
    *_, found, said = fitted(others=np.array([True, False]))
    assert (found.roots == -1).all()
    assert not found.predict(np.ones((2, 2)), np.ones((2, 2), dtype=bool)).any()
    assert not np.nan_to_num(said).any()


def test_few_rows_have_no_trees():
    *_, found, _ = fitted(num=12)
    assert (found.roots == -1).all()
    assert not found.predict(np.ones((2, 2)), np.ones((2, 2), dtype=bool)).any()


def test_trees_as_arrays_say_what_scikit_learns_say():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 3)).astype(np.float32), rng.normal(size=(2, 200))
    trees = [[forest._tree(x, each, rng) for _ in range(GROUPS * TREES)] for each in y]
    found = Forest(*forest._packed([trees[0], [], trees[1]]))
    new = rng.normal(size=(50, 3))
    said = found.predict(new, np.ones((50, 3), dtype=bool))
    for column, learned in ((0, trees[0]), (2, trees[1])):
        np.testing.assert_allclose(
            said[:, column], np.mean([each.predict(new) for each in learned], axis=0)
        )
    assert not said[:, 1].any()
