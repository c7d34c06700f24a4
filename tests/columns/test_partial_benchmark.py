"""The benchmark of answers from part of a row."""

import numpy as np
import pytest

from benchmarks import partial


@pytest.mark.parametrize("mask", ["random", "contiguous"])
def test_as_much_is_visible_as_is_said(mask):
    hidden = partial.hide((50, 20), 0.25, mask, np.random.default_rng(0))
    assert (~hidden).sum(axis=1).tolist() == [5] * 50
    assert (~hidden).any(axis=0).all()
    if mask == "contiguous":  # a run, which may go on at the start
        assert (np.diff(hidden, axis=1).sum(axis=1) <= 2).all()
    least = partial.hide((50, 20), 0.01, mask, np.random.default_rng(0))
    assert (~least).sum(axis=1).tolist() == [1] * 50


def test_baselines_answer_what_they_should():
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    x = rng.normal(size=(40, 3)) + 4 * y[:, None]
    rows = np.array([[np.nan, 4.0, np.nan], [0.0, np.nan, np.nan], [np.nan, 0.0, 0.0]])
    for method in (partial.normal, partial.neighbours, partial.means):
        assert method(x, y, x[:0], 0)(rows).argmax(axis=1).tolist() == [1, 0, 0]
    assert partial.frequencies(x, y, x[:0], 0)(rows).tolist() == [[0.5, 0.5]] * 3


def test_differences_are_paired_by_seed(capsys):
    shares = len(partial.SHARES)
    runs = [
        {"ours": [at + gain] * shares + [1.0, 2.0], "theirs": [at] * shares + [0.0, 0.0]}
        for at, gain in ((0.2, 0.1), (0.8, 0.3))
    ]
    partial.report("toy", "random", runs)
    # The mean of .1 and .3, and 12.706 (t of one degree of freedom) times .1.
    assert "minus theirs: +0.200 ± 1.271" in capsys.readouterr().out
