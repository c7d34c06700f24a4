"""What is left over of a known value is told without that value."""

import numpy as np

from maskwise.columns.closed_form import ClosedForm
from maskwise.columns.left_over import PARTS, LeftOver


def test_each_known_value_is_hidden_once_and_compared_to_what_fills_it():
    rng = np.random.default_rng(0)
    samples = np.column_stack([rng.normal(size=(40, 2)), rng.integers(3, size=40)])
    samples[::7, 0] = np.nan
    closed = ClosedForm.learn(samples, (0, 0, 3))
    over = LeftOver.of(closed, samples, np.random.default_rng(1))
    assert over.fills.shape == (PARTS, 40, 4)
    assert not np.isnan(over.fills).any()
    columns = closed.columns(samples)
    for row, column in ((1, 0), (2, 1), (3, 2), (3, 3)):
        alone = samples[row].copy()
        owner = [0, 1, 2, 2]
        same = {owner[each] for each in np.flatnonzero(over.part[row] == over.part[row, column])}
        alone[list(same)] = np.nan
        filled = closed.fill(closed.columns(alone[None]))[0]
        np.testing.assert_allclose(over.shown(column, np.array([row]))[0], filled)
        np.testing.assert_allclose(over.left[row, column], columns[row, column] - filled[column])
    assert np.array_equal(np.isnan(over.left), np.isnan(columns))
    assert over.rows(0).tolist() == [row for row in range(40) if row % 7]
    assert np.array_equal(over.part[:, 2], over.part[:, 3])  # a category's columns go together
