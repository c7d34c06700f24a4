"""Which part of samples is visible."""

import numpy as np
import pytest
import torch

from maskwise.errors import UserError
from maskwise.masks import draw
from maskwise.predict.parts import Positions, VisibleSettings, groups_of, parts_of
from maskwise.settings import settings

NUM, WIDTH = 40, 12


@settings
class Named(VisibleSettings):
    named = True


@settings
class Pictures(VisibleSettings):
    axes = 2


def parts(pattern, shares=(0.25, 0.5, 1), there=None, ids=None, seed=0, **more):
    there = np.ones((NUM, WIDTH), bool) if there is None else there
    at = {"grid": (WIDTH,), "ids": np.arange(len(there)) if ids is None else ids} | more
    config = Named(visible=shares, visible_patterns=(pattern,))
    return [part.hidden for part in parts_of(Positions(there, **at), config, seed)]


def test_counts_are_exact_and_masks_nested():
    few, half, whole = parts("random")
    assert ((~few).sum(1) == 3).all()
    assert ((~half).sum(1) == 6).all()
    assert not whole.any()
    assert not (half & ~few).any()
    assert (few != few[0]).any()
    assert (parts("panel")[0] == parts("panel")[0][0]).all()


def test_masks_depend_on_the_number_of_a_sample_and_the_seed():
    [few] = parts("random", 0.25)
    some = np.array([7, 30])
    [found] = parts("random", 0.25, np.ones((2, WIDTH), bool), some)
    assert (found == few[some]).all()
    assert (parts("random", 0.25, seed=1)[0] != few).any()


def test_neighbours_are_one_stretch_of_a_ring_or_a_box():
    for hidden in parts("contiguous", (0.1, 0.25, 0.5)):
        assert (
            np.abs(np.diff(hidden.astype(int), axis=1, append=hidden[:, :1])).sum(1) == 2
        ).all()
    [found] = parts("contiguous", 0.25, np.ones((NUM, 16), bool), grid=(4, 4))
    same = draw(
        "fixed:0.75", (4, 4), sample_ids=torch.arange(NUM), seed=0, pattern="inverse-block"
    )
    assert (found == same.hidden.numpy()).all()
    # Four of sixteen about a centre: no row or column apart from the others.
    for picture in ~found.reshape(NUM, 4, 4):
        for axis in (0, 1):
            side = picture.any(axis=axis)
            assert (side != np.roll(side, 1)).sum() <= 2


def test_shares_that_are_the_same_masks_are_told_once():
    few = np.ones((5, 4), bool)
    assert len(parts("random", (0.02, 0.05, 0.1, 0.25, 0.5, 1.0), few, grid=(4,))) == 3


def test_what_is_missing_stays_out():
    there = np.random.default_rng(0).random((NUM, WIDTH)) < 0.7
    for pattern in ("random", "contiguous", "MNAR", "groups:a"):
        values = np.where(there, np.random.default_rng(1).normal(size=there.shape), np.nan)
        names = ["a"] * 5 + ["b"] * 7
        for hidden in parts(pattern, (0.25, 1), there, names=names, values=values):
            assert not (hidden & ~there).any()


def test_whole_groups(caplog):
    names = [f"lab_{n}" for n in range(5)] + [f"scan{n}" for n in range(4)] + ["age", "x1", "x2"]
    of = groups_of(names)
    assert len(set(of)) == 4
    for hidden, num in zip(parts("groups", (0.1, 0.5, 1), names=names), (1, 2, 4), strict=True):
        for group in range(4):
            inside = hidden[:, of == group]
            assert (inside == inside[:, :1]).all()
        seen = [len(set(of[~row])) for row in hidden]
        assert seen == [num] * NUM
    assert groups_of(names, "lab_+scan").tolist() == [1] * 5 + [2] * 4 + [0] * 3
    assert parts("groups", names=["a"] * WIDTH) == []
    assert caplog.messages == [
        "evaluate.visible_patterns 'groups' is left out: there is one group only"
    ]


def test_as_other_samples_lack_values():
    there = np.ones((NUM, WIDTH), bool)
    there[::2, :4] = False
    [hidden] = parts("observed", (0.1, 0.5), there)
    left = there & ~hidden
    assert {tuple(row) for row in left} == {tuple(row) for row in there}
    assert parts("observed") == []


def test_gaps_that_depend_on_values():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2000, WIDTH))
    there = np.ones_like(values, dtype=bool)
    [own] = parts("MNAR", 0.5, there, values=values)
    assert own.mean() == pytest.approx(0.5, abs=0.01)
    assert all(abs(np.corrcoef(own[:, n], values[:, n])[0, 1]) > 0.3 for n in range(WIDTH))
    [seen] = parts("MAR", 0.5, there, values=values)
    whole = ~seen.any(axis=0)
    assert whole.sum() == 4  # three in ten
    assert seen[:, ~whole].mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("cls", "values", "match"),
    [
        (
            Named,
            {"visible_patterns": ("sideways",)},
            "unknown pattern 'sideways'.*or random, panel",
        ),
        (Pictures, {"visible_patterns": ("spans",)}, "spans need positions along one axis"),
        (Pictures, {"visible_patterns": ("groups",)}, "'groups' needs positions with names"),
        (Named, {"visible_patterns": ("words",)}, "need units"),
        (Named, {"visible": (0.5, 0)}, "visible"),
        (Named, {"visible": 1.5}, "visible"),
    ],
)
def test_what_cannot_be_is_refused(cls, values, match):
    with pytest.raises(UserError, match=match):
        cls(**values)
