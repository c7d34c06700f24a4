"""Answers from any part of a row: the teacher, the network, the voices together."""

import numpy as np
import pytest
from scipy.special import softmax

from maskwise.columns import partial, teacher
from maskwise.columns.answers import Answers
from maskwise.columns.partial import ClassModel, NumberModel, see
from maskwise.predict import heads
from maskwise.predict.heads import logistic


@pytest.fixture(scope="module")
def products():
    """The class is the sign of a product, which no line tells."""
    x = np.random.default_rng(0).normal(size=(3000, 2))
    return x, (x[:, 0] * x[:, 1] > 0).astype(int)


def test_a_network_learns_what_no_line_tells_and_shares_its_layers(products):
    x, y = products
    holes = np.zeros(x.shape, dtype=bool)
    goals = np.stack([np.eye(2)[y], np.eye(2)[1 - y]], axis=1)
    right, wrong = Answers.learn(x, holes, goals, classes=True, seed=0, steps=300)
    assert (right(x, holes).argmax(axis=1) == y).mean() > 0.95
    assert (wrong(x, holes).argmax(axis=1) == y).mean() < 0.05
    assert right.weights[0] is wrong.weights[0]
    [number] = Answers.learn(
        x, holes, 1000 + 50 * x.prod(axis=1)[:, None, None], classes=False, seed=0, steps=300
    )
    off = number(x, holes)[:, 0] - 1000 - 50 * x.prod(axis=1)
    assert off.std() < 15


def test_what_is_taught_without_a_fold_does_not_know_its_labels(monkeypatch):
    def trees(x, y, rows, num, seed):  # as the line, so that no mixture matters
        return softmax(logistic(x, y, 1.0, np.zeros(num))(rows), axis=1)

    monkeypatch.setattr(heads, "STRENGTHS", (1.0,))
    monkeypatch.setattr(teacher, "_trees", trees)
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    x, fold = rng.normal(size=(60, 3)) + 2 * y[:, None], np.arange(60) // 2 % 3
    others = rng.normal(size=(20, 3)) + 1
    first, *apart = teacher.taught(x, y, others, fold, seed=0)
    other = np.where(fold == 1, 1 - y, y)
    changed, *rest = teacher.taught(x, other, others, fold, seed=0)
    np.testing.assert_allclose(rest[1], apart[1])
    for each, before in ((changed, first), (rest[0], apart[0]), (rest[2], apart[2])):
        assert np.abs(each - before).max() > 0.05
    near = others.sum(axis=1) > 3
    assert (first.argmax(axis=1) == near).mean() > 0.8


def test_trees_teach_where_lines_do_not(products):
    x, y = products
    [first] = teacher.taught(x[:200], y[:200], x[200:300], np.arange(200) % 2, seed=0)[:1]
    assert (first.argmax(axis=1) == y[200:300]).mean() > 0.85


def test_left_out_rows_are_asked_by_who_does_not_know_them(monkeypatch):
    """Labels that are noise are never predicted better than by chance from other rows."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 5)), rng.integers(2, size=200)
    model = ClassModel.learn(x, y, (0,) * 5, copies=4)
    off = model.calibration.scores
    assert len(off) == 200  # one copy of each row
    assert np.mean(off) == pytest.approx(0.5, abs=0.03)
    assert model.voices.weights.max() < 0.6


def test_networks_are_of_many_rows_and_asked_for(products, monkeypatch):
    monkeypatch.setattr(partial, "ENOUGH", 300)
    monkeypatch.setattr("maskwise.columns.answers.STEPS", 20)
    monkeypatch.setattr(teacher, "TREES", 5)
    monkeypatch.setattr(heads, "STRENGTHS", (1.0,))
    monkeypatch.setattr(heads, "FOLDS", 2)
    x, y = products[0][:320], products[1][:320]
    assert ClassModel.learn(x, y, (0, 0), copies=2).network is not None
    assert ClassModel.learn(x, y, (0, 0), copies=2, network=False).network is None
    few = ClassModel.learn(x[:20], y[:20], (0, 0), others=x[20:], copies=2)
    assert few.network is not None
    number = NumberModel.learn(x, x.prod(axis=1), (0, 0), copies=2)
    assert number.network is not None
    assert np.isfinite(number.expected(see(number.closed, x))).all()


def test_of_many_labelled_rows_a_fifth_is_left_out_once(monkeypatch):
    monkeypatch.setattr(partial, "MANY", 100)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(150, 3)), rng.normal(size=150)
    model = NumberModel.learn(x, y, (0,) * 3, copies=2)
    assert len(model.calibration.scores) == 30


def test_many_labelled_rows_and_others(monkeypatch):
    monkeypatch.setattr(partial, "MANY", 100)
    monkeypatch.setattr(teacher, "TREES", 5)
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=200)
    x = rng.normal(size=(200, 3)) + 2 * y[:, None]
    model = ClassModel.learn(x[:150], y[:150], (0,) * 3, others=x[150:], copies=2)
    assert len(model.calibration.scores) == 30
    said = model.probabilities(see(model.closed, x[150:]))
    assert (said.argmax(axis=1) == y[150:]).mean() > 0.9
