"""Simulated gaps: their shares, and what they depend on."""

import numpy as np
import pytest
from scipy.stats import norm

from maskwise import UserError
from maskwise.masks import MECHANISMS, hide
from maskwise.masks.missing import offset

rng = np.random.default_rng(0)
VALUES = rng.normal(size=(6000, 1)) + rng.lognormal(size=(6000, 10)) * np.arange(1, 11)
GIVEN = {
    "groups": {"share": 0.3, "groups": [0, 0, 0, 1, 1, 1, 2, 2, 2, 2]},
    "copied": {"masks": np.eye(10) > 0},
}


def gaps(mechanism: str, seed: int = 0, share: float = 0.3) -> np.ndarray:
    return hide(VALUES, mechanism, **GIVEN.get(mechanism, {"share": share}), seed=seed)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_shares_are_exact_in_expectation(mechanism: str) -> None:
    hidden = gaps(mechanism)
    share = 0.1 if mechanism == "copied" else 0.3
    columns = hidden.mean(axis=0)
    if mechanism == "MAR":
        assert (columns == 0).sum() == 3
        columns = columns[columns > 0]
    bound = norm.isf(1e-6) * np.sqrt(share * (1 - share) / len(hidden))
    assert np.abs(columns - share).max() < bound
    assert np.array_equal(hidden, gaps(mechanism))
    assert not np.array_equal(hidden, gaps(mechanism, seed=1))


def test_masks_of_published_figures_stay_the_same() -> None:
    """They are part of docs/results.md."""
    values = np.random.default_rng(0).normal(size=(50, 8))
    sums = [int((hide(values, each, 0.3, 7) @ 3 ** np.arange(8)).sum()) for each in MECHANISMS[:3]]
    assert sums == [43029, 5518, 58230]


def test_mar_depends_on_whole_columns_only() -> None:
    hidden = gaps("MAR")
    whole = ~hidden.any(axis=0)
    column = int(np.flatnonzero(~whole)[0])
    changed = VALUES.copy()
    changed[:, ~whole] = changed[::-1][:, ~whole]
    assert np.array_equal(hide(changed, "MAR", 0.3), hidden)
    x = np.column_stack([VALUES[:, whole], np.ones(len(VALUES))])
    told = x @ np.linalg.lstsq(x, hidden[:, column].astype(float), rcond=None)[0]
    assert np.corrcoef(told, hidden[:, column])[0, 1] > 0.1


@pytest.mark.parametrize("mechanism", ["MNAR", "quantile"])
def test_mnar_hides_large_or_small_values(mechanism: str) -> None:
    hidden, z = gaps(mechanism), (VALUES - VALUES.mean(axis=0)) / VALUES.std(axis=0)
    off = [z[of, place].mean() for place, of in enumerate(hidden.T)]
    assert min(map(abs, off)) > 0.2
    assert min(off) < 0 < max(off)
    if mechanism == "quantile":
        for place, of in enumerate(hidden.T):
            low, high = z[of, place], z[~of, place]
            assert low.max() < high.min() or low.min() > high.max()


def test_blocks_are_runs_of_neighbours() -> None:
    hidden = hide(VALUES, "block", 0.25)
    begins = (hidden & ~np.roll(hidden, 1, axis=1)).sum(axis=1)
    assert (begins == 1).all()
    assert sorted(set(hidden.sum(axis=1))) == [2, 3]


def test_groups_are_whole_and_copies_are_rows() -> None:
    hidden = gaps("groups")
    for first, stop in ((0, 3), (3, 6), (6, 10)):
        part = hidden[:, first:stop]
        assert (part.all(axis=1) == part.any(axis=1)).all()
    assert (gaps("copied").sum(axis=1) == 1).all()


def test_what_is_missing_is_never_hidden() -> None:
    holes = VALUES.copy()
    holes[:, 1] = np.nan
    holes[::2, 0] = np.nan
    holes[:, 2] = 5.0  # and a constant has nothing to depend on
    for mechanism in MECHANISMS:
        hidden = hide(holes, mechanism, **GIVEN.get(mechanism, {"share": 0.3}))
        assert not (hidden & np.isnan(holes)).any()
        assert hidden.any()


def test_the_offset() -> None:
    score = np.random.default_rng(1).normal(size=100) * 100
    assert (1 / (1 + np.exp(-score - offset(score, 0.01)))).mean() == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("mcar", 0.3), "unknown mechanism 'mcar'; known: MCAR, MAR"),
        (("MCAR",), "mechanism MCAR, share None: give a share"),
        (("MCAR", 1.0), r"share 1 is outside \(0, 1\)"),
        (("copied", 0.3), "leave it out"),
        (("copied",), "mechanism copied needs masks: give masks="),
        (("groups", 0.3), "mechanism groups needs groups: give groups="),
        (("MCAR", 0.3, -1), "seed=-1: it must be 0 or more"),
    ],
)
def test_what_cannot_be(arguments, text: str) -> None:
    with pytest.raises(UserError, match=text):
        hide(VALUES[:5], *arguments)


def test_shapes_that_do_not_fit() -> None:
    for more, text in (
        ({"groups": [1, 2]}, "give one for each of 10"),
        ({"groups": None}, "needs groups"),
    ):
        with pytest.raises(UserError, match=text):
            hide(VALUES[:5], "groups", 0.3, **more)
    for masks in (np.eye(10), np.eye(9) > 0, np.zeros((0, 10)) > 0):
        with pytest.raises(UserError, match=r"give bool \[M, 10\]"):
            hide(VALUES[:5], "copied", masks=masks)
    with pytest.raises(UserError, match="single column"):
        hide(VALUES[:5, :1], "MAR", 0.3)
    with pytest.raises(UserError, match=r"give \[N, D\]"):
        hide(VALUES[0], "MCAR", 0.3)
