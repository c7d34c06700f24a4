"""All figures at once are those of the functions; what cannot be read is refused everywhere."""

import json

import numpy as np
import pytest

from maskwise import diagnostics
from maskwise.diagnostics import describe
from maskwise.errors import UserError
from tests.diagnostics.features import gaussian


def test_the_figures_are_those_of_the_functions():
    z = gaussian(100, 20) * np.arange(1, 21) + 3
    found = json.loads(json.dumps(describe(z)))
    values = np.array(found.pop("spectrum"))
    np.testing.assert_allclose(values, diagnostics.spectrum(z) / diagnostics.spectrum(z)[0])
    assert (found.pop("num_samples"), found.pop("dim"), found.pop("notes")) == (100, 20, [])
    uncentred = found.pop("effective_rank_uncentred")
    assert uncentred == diagnostics.effective_rank(z, center=False) == found["rankme"]
    assert found == {name: getattr(diagnostics, name)(z) for name in found}
    assert len(found) == 8


def test_notes_instead_of_warnings():
    found = describe(gaussian(30, 9))
    assert found["alpha_req"] is None
    assert ["30 samples" in found["notes"][0], "alpha-ReQ" in found["notes"][1]] == [True, True]
    assert len(describe(gaussian(36, 9))["notes"]) == 1


PAIRS, VIEWS = ("cka", "drift"), ("alignment", "lidar")


def call(name, z):
    figure = getattr(diagnostics, name)
    if name in VIEWS:
        return figure(np.asarray(z)[:, None])
    return figure(z, z) if name in PAIRS else figure(z)


BAD = [
    (np.ones((1, 5)), "one sample"),
    (np.ones((0, 5)), "no features"),
    (np.ones((5, 0)), "no features"),
    (np.ones(5), "shape"),
    (np.where(np.eye(50, 3) > 0, np.nan, 1.0), "3 of 150 values"),
    (np.where(np.eye(50, 3) > 0, -np.inf, 1.0), "3 of 150 values"),
    (np.where(np.eye(50, 3) > 0, 1e200, 1.0), "3 of 150 values"),
    (np.full((50, 3), "a"), "of numbers"),
]


@pytest.mark.parametrize(("z", "message"), BAD, ids=[message for _, message in BAD])
@pytest.mark.parametrize("name", diagnostics.__all__)
def test_what_no_figure_takes(name, z, message):
    with pytest.raises(UserError, match=message) as caught:
        call(name, z)
    assert "\n" not in str(caught.value)


def test_collapse_is_refused():
    with pytest.raises(UserError, match="complete collapse"):
        describe(np.full((50, 3), 0.1))
