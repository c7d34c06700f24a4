"""The comparison of imputers hides what it says, and measures all on the same values."""

import numpy as np
import pytest

from benchmarks.imputation import masks, methods, sets
from benchmarks.imputation.__main__ import compare
from tests.lazy import lazy

pandas = lazy("pandas")


@pytest.mark.parametrize("share", [0.1, 0.7])
def test_mechanisms_hide_a_share_by_what_they_say(share):
    values = np.random.default_rng(0).normal(size=(4000, 10))
    hidden = {each: masks.hide(values, each, share, 0) for each in masks.MECHANISMS}
    for each in ("MCAR", "MNAR"):
        np.testing.assert_allclose(hidden[each].mean(axis=0), share, atol=0.03)
    whole = ~hidden["MAR"].any(axis=0)
    assert whole.sum() == 3
    np.testing.assert_allclose(hidden["MAR"][:, ~whole].mean(axis=0), share, atol=0.03)
    # What is hidden differs from the rest by its own value in MNAR, by others in MAR.
    gaps = {
        name: [abs(column[held].mean() - column[~held].mean()) for column, held in pairs]
        for name, pairs in (
            ("MCAR", zip(values.T, hidden["MCAR"].T, strict=True)),
            ("MAR", zip(values[:, ~whole].T, hidden["MAR"][:, ~whole].T, strict=True)),
            ("MNAR", zip(values.T, hidden["MNAR"].T, strict=True)),
        )
    }
    assert max(gaps["MCAR"]) < 0.2
    assert max(gaps["MAR"]) < 0.2
    assert min(gaps["MNAR"]) > 0.5
    row = hidden["MAR"][:, ~whole][:, 0]
    assert max(abs(values[row].mean(axis=0) - values[~row].mean(axis=0))[whole]) > 0.3


@pytest.mark.parametrize("name", ["mean", "neighbours", "ordinal", "IterativeImputer"])
def test_imputers_keep_what_is_there_and_fill_the_rest_with_known_kinds(name):
    frame = sets.table("iris+class")
    holes = frame.mask(np.random.default_rng(0).random(frame.shape) < 0.2)
    filled = methods.METHODS[name](holes, 0)
    kept = holes.notna()
    assert filled.notna().all(axis=None)
    np.testing.assert_allclose(
        filled.iloc[:, :4].to_numpy()[kept.iloc[:, :4]],
        frame.iloc[:, :4].to_numpy()[kept.iloc[:, :4]],
    )
    assert (filled["kind"] == frame["kind"])[kept["kind"]].all()
    wrong = (filled["kind"] != frame["kind"])[~kept["kind"]].mean()
    assert wrong < (0.8 if name == "mean" else 0.25)


def test_errors_are_in_standard_deviations_of_the_whole_table():
    frame = sets.table("iris")
    found = compare(frame, "MCAR", 0.3, 1, ["mean", "MaskedImputer"])
    assert found["mean"].standard == pytest.approx(1, abs=0.1)
    assert found["MaskedImputer"].standard < 0.8
    assert 0.15 < found["mean"].range < 0.3  # four columns whose deviation is a quarter of that
    assert sets.table("etth1") is None
