"""Shapley values: brute force, models fitted anew, and the axioms."""

from itertools import combinations, permutations

import numpy as np
import pytest

from maskwise.columns.asking import ClosedAsking
from maskwise.errors import UserError
from maskwise.predict.attribute import attribute
from maskwise.predict.shapley import exact, sampled
from tests.predict.gaussians import both, class_head, closed_of, covariance_of, number_head

RNG = np.random.default_rng(0)
SIGMA = covariance_of(5)
HEAD = class_head(RNG.normal(size=(5, 3)))
X = RNG.multivariate_normal(np.zeros(5), SIGMA, size=6)


def table_of(num, seed=0):
    """Return answers to two samples of one class under every mask of `num` positions."""
    answers = np.random.default_rng(seed).normal(size=(2**num, 2, 1))
    return lambda hidden: answers[(~hidden) @ (1 << np.arange(num))]


def test_all_subsets_are_all_orders():
    """What a position adds to those before it, over all orders; and over a uniform number of
    others and then a subset of so many, as under the law `likelihood`."""
    value, num = table_of(4), 4

    def of(seen):
        return value(~np.isin(np.arange(num), seen)[None])[0]

    found = exact(value, num)
    for each in range(num):
        orders = list(permutations(range(num)))
        added = [of(o[: o.index(each) + 1]) - of(o[: o.index(each)]) for o in orders]
        assert found[:, each] == pytest.approx(np.mean(added, axis=0), abs=1e-12)
        others = [other for other in range(num) if other != each]
        by_size = [
            np.mean([of([*s, each]) - of(s) for s in combinations(others, size)], axis=0)
            for size in range(num)
        ]
        assert found[:, each] == pytest.approx(np.mean(by_size, axis=0), abs=1e-12)


def test_a_linear_model_is_all_the_models_that_it_is_retrained_to():
    """v(S) of least squares through a normal distribution's conditionals is least squares on S."""
    x = RNG.multivariate_normal(np.zeros(5), SIGMA, size=60)
    y = x @ [1.0, -2.0, 0.5, 0.0, 1.5] + RNG.normal(size=60)
    x, y = x - x.mean(axis=0), y - y.mean()

    def fitted(kept):
        return np.linalg.lstsq(x[:, kept], y, rcond=None)[0]

    asking = ClosedAsking(closed_of(x.T @ x / 60), x[:4])
    found = attribute(asking, number_head(fitted(range(5))))

    def retrained(hidden):
        kept = np.flatnonzero(~hidden[0])
        return (x[:4, kept] @ fitted(kept))[None, :, None]

    again = np.zeros((4, 5, 1))
    for order in permutations(range(5)):
        for place, each in enumerate(order):
            before, after = np.ones((2, 1, 5), bool)
            before[0, list(order[:place])] = after[0, list(order[: place + 1])] = False
            again[:, each] += (retrained(after) - retrained(before))[0] / 120
    assert np.abs(found.values - again).max() < 1e-8
    assert found.of == "number"


@pytest.mark.parametrize("of", ["probability", "logit"])
def test_values_sum_to_what_they_explain(of):
    found = attribute(both(SIGMA, X)[0], HEAD, of=of)
    assert found.values.sum(axis=1) == pytest.approx(found.answer - found.base, abs=1e-9)
    said = HEAD.probabilities(X, np.ones(6))
    expected = said if of == "probability" else np.log(said / (1 - said))
    assert found.answer == pytest.approx(expected)
    assert (found.permutations, found.stderr.max()) == (0, 0)


def test_equal_columns_have_equal_values_and_idle_ones_none():
    """Two that are exchangeable and equal; one that is independent and that the head ignores."""
    sigma = np.eye(3)
    sigma[0, 1] = sigma[1, 0] = 0.5
    head = class_head([[1.0, -1.0], [1.0, -1.0], [0.0, 0.0]])
    found = attribute(ClosedAsking(closed_of(sigma), np.array([[0.7, 0.7, 3.0]])), head)
    assert found.values[0, 0] == pytest.approx(found.values[0, 1])
    assert abs(found.values[0, 0, 0]) > 0.1
    assert found.values[0, 2] == pytest.approx(0, abs=1e-12)


def test_a_masked_model_says_the_same_as_its_closed_form():
    closed, model = both(SIGMA, X)
    one, other = attribute(closed, HEAD), attribute(model, HEAD)
    assert other.values == pytest.approx(one.values, abs=1e-5)


def test_what_is_missing_or_hidden_did_nothing():
    x = X[:2].copy()
    x[0, 1] = np.nan
    hidden = np.array([False, False, False, True, False])
    found = attribute(ClosedAsking(closed_of(SIGMA), x), HEAD, hidden=np.tile(hidden, (2, 1)))
    assert (found.values[0, [1, 3]] == 0).all()
    assert (found.values[1, [0, 1, 2, 4]] != 0).all()
    alone = attribute(ClosedAsking(closed_of(SIGMA), np.where(hidden, np.nan, x)[1:]), HEAD)
    assert found.values[1] == pytest.approx(alone.values[0])


def test_orders_that_are_drawn_are_right_within_their_errors():
    value = table_of(7, seed=3)
    base, answer = value(np.array([[True], [False]]).repeat(7, axis=1))

    def along(order):
        return value(np.argsort(order)[None] >= np.arange(1, 7)[:, None])

    found, error, drawn = sampled(along, base, answer, 7, 0.05, 2000, 0)
    off = (found - exact(value, 7)) / error
    assert np.abs(off).max() < 4
    assert 0.3 < np.sqrt(np.square(off).mean()) < 2
    assert error.max() <= 0.05 * np.abs(answer - base).mean()
    assert 16 < drawn < 2000
    assert found.sum(axis=1) == pytest.approx(answer - base)


def test_more_than_twelve_columns_are_drawn_and_say_so(caplog):
    sigma = covariance_of(14)
    asking = ClosedAsking(closed_of(sigma), np.random.default_rng(1).normal(size=(3, 14)))
    head = class_head(np.random.default_rng(2).normal(size=(14, 2)))
    found = attribute(asking, head, se=0.2)
    assert found.values.sum(axis=1) == pytest.approx(found.answer - found.base)
    assert found.permutations >= 16
    assert not caplog.records
    some = attribute(asking, head, se=1e-6, max_permutations=20)
    assert some.permutations == 20
    assert "of 20 orders have a standard error of up to" in caplog.text
    assert "1e-06 was asked for: raise max_permutations" in caplog.text


def test_a_picture_and_a_table_of_what_moved_the_answer():
    asking = ClosedAsking(closed_of(SIGMA), X, ["a", "b", "c", "d", "$e"])
    found = attribute(asking, HEAD, classes=("x", "y", "z"))
    of = int(found.answer[2].argmax())
    axes = found.figure(2, most=3).axes[0]
    widths = [bar.get_width() for bar in axes.patches]
    top = np.argsort(-np.abs(found.values[2, :, of]))[:3]
    assert widths == pytest.approx(found.values[2, top, of])
    assert found.ranked(2)[:3] == [found.names[each] for each in top]
    assert "xyz"[of] in axes.get_xlabel()
    assert str(found).splitlines()[1].split()[0] == found.ranked(0)[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"se": 0.0}, "give an error above 0"),
        ({"max_permutations": 1}, "2 or more"),
        ({"hidden": np.ones((6, 5), bool)}, "nothing is visible"),
    ],
)
def test_what_cannot_be_attributed_is_said_in_a_line(options, message):
    with pytest.raises(UserError, match=message):
        attribute(both(SIGMA, X)[0], HEAD, **options)
    with pytest.raises(UserError, match="of=3: there are classes 0 to 2"):
        attribute(both(SIGMA, X)[0], HEAD).figure(of=3)
