"""How right answers are by what is visible, on data for which the best answer is known."""

import numpy as np
import pytest
from scipy.stats import norm

from maskwise.measure.probes import Judge
from maskwise.predict import baselines, curve
from maskwise.predict.baselines import Filled
from maskwise.predict.curve import Labelled
from maskwise.predict.parts import Positions, VisibleSettings, parts_of

WIDTH, SHIFT, NUM = 8, 0.7, 600
SHARES = (0.125, 0.25, 0.5, 1.0)


class Known:
    """Samples all of whose positions are there, without features."""

    def __init__(self, num, width=WIDTH):
        self.there, self.whole = np.ones((num, width), dtype=bool), np.full(num, width)


def labelled(x, y, fill=lambda visible: np.nan_to_num(visible)):
    """Samples whose features are their values, 0 where nothing is visible."""

    def read(rows, hidden):
        return np.where(hidden, np.nan, x[rows])

    return Labelled({"encoder": Filled(Known(*x.shape), read, fill)}, y, read)


def parts(num, **settings):
    config = VisibleSettings(**{"visible": SHARES, "visible_patterns": ("random",)} | settings)
    at = Positions(np.ones((num, WIDTH), bool), np.arange(num), (WIDTH,))
    return list(parts_of(at, config, 0))


def draw(num, seed):
    """Two classes, whose eight independent columns are 2 SHIFT apart in the mean."""
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=num)
    return rng.normal(size=(num, WIDTH)) + SHIFT * (2 * y[:, None] - 1), y


@pytest.fixture(scope="module", autouse=True)
def little():
    """Few copies, trees and draws of the bootstrap."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curve, "MOST_COPIES", 4)
        patch.setattr(curve, "DRAWS", 50)
        patch.setattr(baselines, "TREES", 10)
        yield


@pytest.fixture(scope="module")
def rows(little):
    return curve.curve(labelled(*draw(300, 0)), labelled(*draw(NUM, 1)), parts(NUM))


def test_answers_are_as_right_as_they_can_be(rows):
    """With k of the columns visible the best classifier is right with probability Φ(d √k)."""
    assert len(rows) == 4 * 6
    for row in rows:
        best = norm.cdf(SHIFT * np.sqrt(WIDTH * row["share"]))
        off = 3.5 * np.sqrt(best * (1 - best) / NUM)
        assert row["accuracy"]["value"] < best + off
        assert row["visible"] == row["share"]
        if row["method"] in ("encoder", "mean fill", "Gaussian"):
            assert row["accuracy"]["value"] > best - off - 0.01, row
        elif row["method"] != "class frequencies":
            assert row["accuracy"]["value"] > best - 0.07, row
        for key in ("accuracy", "macro_f1"):
            assert row[key]["low"] <= row[key]["value"] <= row[key]["high"]
    assert {(row["num_train"], row["num_test"]) for row in rows} == {(300, NUM)}
    assert rows[0]["note"] == "4 copies of each training sample"


def test_a_model_changes_no_baseline(rows):
    """Copies, masks and the bootstrap are the same, whatever is compared."""
    x, y = draw(NUM, 1)
    bad = labelled(*draw(300, 0), lambda visible: np.ones((len(visible), 1)))
    other = labelled(x, y, lambda visible: np.ones((len(visible), 1)))
    again = curve.curve(bad, other, parts(NUM))
    assert [row for row in again if row["method"] != "encoder"] == [
        row for row in rows if row["method"] != "encoder"
    ]
    ours = [row["accuracy"]["value"] for row in again if row["method"] == "encoder"]
    assert max(ours) < 0.55


def test_numbers_have_r2_and_errors():
    """x_1 + ... + x_8, of which k are known: R² = k / 8."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(700, WIDTH))
    train, test = labelled(x[:200], x[:200].sum(1)), labelled(x[200:], x[200:].sum(1))
    found = curve.curve(train, test, parts(500, visible=(0.5, 1)), classes=False)
    ours = {row["share"]: row for row in found if row["method"] == "encoder"}
    assert ours[0.5]["r2"]["value"] == pytest.approx(0.5, abs=0.08)
    # The error is normal, of variance 4.
    assert ours[0.5]["mae"]["value"] == pytest.approx(2 * np.sqrt(2 / np.pi), rel=0.1)
    assert ours[1.0]["r2"]["value"] > 0.99
    assert {row["method"] for row in found} == {
        *("encoder", "Gaussian", "mean fill", "boosted trees"),
        *("nearest neighbours", "class frequencies"),
    }
    nothing = [row["r2"]["value"] for row in found if row["method"] == "class frequencies"]
    assert nothing == pytest.approx([0, 0], abs=0.02)


def test_measures_are_those_of_probes():
    rng = np.random.default_rng(0)
    said, y = rng.integers(4, size=60), rng.integers(1, 5, size=60)  # one class is never said
    found = curve._of_classes(said, y, rng.integers(60, size=(200, 60)))
    judge = Judge(np.eye(5)[said], y)()
    assert found["accuracy"]["value"] == pytest.approx(judge.accuracy)
    assert found["macro_f1"]["value"] == pytest.approx(judge.macro_f1)
    assert found["accuracy"]["low"] < judge.accuracy < found["accuracy"]["high"]


def test_what_costs_too_much_is_left_out_and_said(monkeypatch):
    monkeypatch.setattr(curve, "MOST_TREES", 10)
    monkeypatch.setattr(curve, "MOST_LINEAR", 10)
    monkeypatch.setattr(baselines, "NUM_COMPONENTS", 3)
    x, y = draw(60, 0)
    y[:5] = 2
    test = labelled(*draw(30, 1))
    test.y[:2] = 9  # as no training sample is
    found = curve.curve(labelled(x, y), test, parts(30, visible=(0.5,)))
    assert [row["method"] for row in found] == [
        *("encoder", "Gaussian", "mean fill", "nearest neighbours", "class frequencies")
    ]
    assert found[0]["note"] == (
        "4 copies of each training sample; 2 test samples of classes without training samples;"
        " baselines: 3 principal components of 8 columns;"
        " no boosted trees: 5,760 copies x columns x classes are too many"
    )
    assert {row["note"] for row in found[1:]} == {""}


def test_without_values_there_are_no_baselines_but_one():
    train, test = labelled(*draw(60, 0)), labelled(*draw(30, 1))
    plain = (Labelled(each.said, each.y) for each in (train, test))
    found = curve.curve(*plain, parts(30, visible=(0.5,)))
    assert [row["method"] for row in found] == ["encoder", "class frequencies"]
