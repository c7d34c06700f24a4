"""The benchmark of masks to train with: all methods see one set of gaps, and it prints them."""

import numpy as np
import pytest

from benchmarks.imputation import training_masks
from maskwise.masks import hide
from tests.integrations.sklearn_tables import linear_table


def test_errors_are_of_what_was_hidden():
    values = linear_table(80, 4)
    values = (values - values.mean(axis=0)) / values.std(axis=0)
    found = training_masks.errors(values, "MAR", ["mean", "closed form", "copied observed"], 1, 3)
    hidden = hide(values, "MAR", training_masks.SHARE, 1)
    mean = np.nanmean(np.where(hidden, np.nan, values), axis=0)
    expected = np.sqrt(np.mean(np.square(values - mean)[hidden]))
    assert found["mean"] == pytest.approx(expected)
    assert found["closed form"] < 0.5 * expected
    assert np.isfinite(found["copied observed"])


def test_it_prints_all_methods(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["training_masks", "--sets", "wine", "--seeds", "2"])
    monkeypatch.setattr(training_masks, "MECHANISMS", ("MCAR", "block"))
    monkeypatch.setattr(training_masks, "filled", lambda method, holes, *_: np.nan_to_num(holes))
    training_masks.main()
    lines = capsys.readouterr().out.splitlines()
    names = [line[:32].strip() for line in lines if "±" in line]
    assert names[:2] == ["mean", "closed form"]
    assert len(names) == 8
    assert lines[-1].split()[-2:] == ["1.00", "1.00"]
