"""What a head says of samples, as a table."""

import numpy as np
import pytest

from maskwise.errors import UserError
from maskwise.predict import heads
from maskwise.predict.answers import Answers, check_coverage


@pytest.fixture(scope="module")
def class_head():
    """Heads of one feature that is the class, with noise."""
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2

    class Asked:
        there, whole = np.ones((200, 2), dtype=bool), np.full(200, 2)

        def features(self, rows, hidden):
            return (y[rows] + 0.2 * rng.normal(size=len(rows)))[:, None].astype(np.float32)

    hidden = np.zeros((1, 200, 2), dtype=bool)
    of_numbers = heads.fit(Asked(), y.astype(float), hidden, classes=False)
    return heads.fit(Asked(), y, hidden, classes=True), of_numbers


@pytest.fixture
def answers(class_head):
    said = np.array([[0.98, 0.02], [np.nan, np.nan], [0.5, 0.5]])
    shares = np.array([1.0, np.nan, 0.0])
    return Answers(class_head[0], ("a", "b"), said, shares, None, {1: "empty"})


def test_a_row_for_each_sample(answers, caplog):
    found = answers.columns(0.9)
    assert list(found) == ["name", "status", "visible", "predicted", "p_a", "p_b", "set"]
    assert found["name"] == ["1", "2", "3"]
    nothing = "nothing visible: answered with the shares of the classes"
    assert found["status"] == ["ok", "empty", nothing]
    assert found["predicted"] == ["a", "", "a"]
    np.testing.assert_array_equal(found["visible"], [1, np.nan, 0])
    np.testing.assert_array_equal(found["p_b"], [0.02, np.nan, 0.5])
    assert found["set"][:2] == ["a", ""]
    assert answers.sets(0.9)[1].tolist() == [False, False]
    answers.tell()
    assert "1 samples cannot be read and have no answer: 2: empty" in caplog.text
    assert f"1 samples have {nothing}: 3" in caplog.text
    assert answers.told().startswith("2 answered, sets of 1.")


def test_numbers_have_intervals(class_head, caplog):
    said, shares = np.array([0.123456789, np.nan]), np.array([1.0, np.nan])
    answers = Answers(class_head[1], None, said, shares, ["x", "y"], {1: "empty"})
    found = answers.columns(0.5)
    assert list(found) == ["name", "status", "visible", "predicted", "low", "high"]
    assert found["predicted"][0] == 0.1234568
    low, high = answers.intervals(0.5)[0]
    assert low < 0.1234 < high
    assert (low + high) / 2 == pytest.approx(said[0])
    assert np.isnan(answers.intervals(0.5)[1]).all()
    assert answers.predicted()[0] == said[0]
    with pytest.raises(UserError, match="numbers have intervals, not sets"):
        answers.sets()


def test_classes_have_no_intervals(answers):
    with pytest.raises(UserError, match="classes have sets, not intervals"):
        answers.intervals()


@pytest.mark.parametrize("coverage", [0, 1, -0.5, 90, float("nan")])
def test_a_coverage_is_a_share(coverage, answers):
    with pytest.raises(UserError, match="must lie between 0 and 1"):
        check_coverage(coverage)
    with pytest.raises(UserError, match="must lie between 0 and 1"):
        answers.sets(coverage)
