"""What hidden positions tell: closed forms, their twins by draws, and what is chosen."""

import numpy as np
import pytest
import torch

from maskwise.columns.asking import ClosedAsking
from maskwise.columns.closed_form import ClosedForm
from maskwise.errors import UserError
from maskwise.modality import Incomplete
from maskwise.predict.acquire import acquire
from maskwise.predict.asked import ModelAsked
from maskwise.predict.asking import Held, ModelAsking
from maskwise.predict.hiding import without
from tests.predict.gaussians import (
    Normal,
    both,
    class_head,
    closed_of,
    covariance_of,
    given,
    number_head,
)

HIDDEN = np.array([False, True, True, False, True])
X = np.array([[0.5, 0.0, 0.0, -1.0, 0.0]])
SIGMA = covariance_of(5)
HEAD = class_head(np.random.default_rng(1).normal(size=(5, 3)))


def test_what_a_normal_column_tells_of_the_others_is_a_ratio_of_variances():
    found = acquire(both(SIGMA, X)[0], about="everything", hidden=HIDDEN)
    for each in (1, 2, 4):
        alone = np.arange(5) == each
        ratio = given(SIGMA, HIDDEN, [each]) / given(SIGMA, alone, [each])
        assert found.gain[0, each] == pytest.approx(np.log(ratio.item()) / 2, rel=1e-9)
    assert np.isnan(found.gain[0, [0, 3]]).all()
    assert (found.stderr[0, HIDDEN] == 0).all()
    assert found.best == [str(1 + int(np.nanargmax(found.gain)))]


def test_columns_together_tell_what_their_determinants_say():
    found = acquire(both(SIGMA, X)[0], about="everything", hidden=HIDDEN, batch=2)
    [pair], rest = found.chosen, np.array([0, 3])
    assert len(pair) == 2
    kept = np.ones(5, bool)
    kept[np.setdiff1d(np.arange(5), [*rest, *pair])] = False
    marginal = given(SIGMA, HIDDEN, pair)
    conditional = given(SIGMA, np.isin(np.arange(5), pair), pair)
    told = (np.linalg.slogdet(marginal)[1] - np.linalg.slogdet(conditional)[1]) / 2
    assert found.joint[0] == pytest.approx(told, rel=1e-9)


def test_draws_of_a_model_tell_the_same_of_everything():
    closed, model = both(SIGMA, X)
    for batch in (1, 2):
        how = {"about": "everything", "hidden": HIDDEN, "batch": batch}
        exact, drawn = acquire(closed, **how), acquire(model, **how, draws=400)
        off = (exact.gain - drawn.gain)[0, HIDDEN]
        error = drawn.stderr[0, HIDDEN]
        assert (np.abs(off) < 4 * error).all()
        assert (error > 0).all()
        assert (error < 0.1).all()
    assert drawn.chosen[0].tolist() == exact.chosen[0].tolist()
    assert abs(drawn.joint[0] - exact.joint[0]) < 4 * drawn.joint_stderr[0]


def test_information_of_a_label_is_that_of_many_draws():
    closed, model = both(SIGMA, X)
    exact = acquire(closed, HEAD, hidden=HIDDEN).gain[0]
    draws = np.random.default_rng(2).normal(size=20_000)
    for each in (1, 2, 4):
        x = np.tile(np.where(HIDDEN, np.nan, X), (len(draws), 1))
        mean, variance = (m[0, each] for m in closed.closed.gaussian.conditional(x[:1]))
        x[:, each] = mean + np.sqrt(variance) * draws
        p = HEAD.probabilities(closed.closed.fill(x), np.full(len(x), 0.6))
        mixed = p.mean(axis=0)
        told = (p * np.log(p)).sum(axis=1).mean() - (mixed * np.log(mixed)).sum()
        assert exact[each] == pytest.approx(told, abs=0.004)
    drawn = acquire(model, HEAD, hidden=HIDDEN, draws=400)
    assert (np.abs(drawn.gain[0] - exact)[HIDDEN] < 4 * drawn.stderr[0, HIDDEN]).all()


def test_what_a_column_tells_of_a_number_is_a_ratio_of_its_variances():
    weights = np.array([1.0, -2.0, 0.5, 1.0, 3.0])

    def left(hidden):
        of = np.flatnonzero(hidden)
        return 0.3 + weights[of] @ given(SIGMA, hidden, of) @ weights[of]

    head = number_head(weights, left(HIDDEN))
    found = acquire(both(SIGMA, X)[0], head, hidden=HIDDEN).gain[0]
    for each in (1, 2, 4):
        after = left(HIDDEN & (np.arange(5) != each))
        assert found[each] == pytest.approx(np.log(left(HIDDEN) / after) / 2, rel=1e-6)


def test_a_copy_of_what_is_asked_for_is_not_asked_for_too():
    """Both tell most by themselves, and nothing beside each other."""
    sigma = np.eye(3)
    sigma[0, 1] = sigma[1, 0] = 0.999
    head = class_head([[2.0, -2.0], [2.0, -2.0], [2.0, -2.0]])
    asking = ClosedAsking(closed_of(sigma), np.full((1, 3), np.nan), ["a", "a again", "b"])
    alone = acquire(asking, head)
    assert set(alone.ranked()[:2]) == {"a", "a again"}
    chosen = acquire(asking, head, batch=2, draws=64).chosen[0].tolist()
    assert chosen[1] == 2
    assert chosen[0] in (0, 1)


def test_costs_decide_between_columns():
    asking = ClosedAsking(closed_of(np.eye(3)), np.full((1, 3), np.nan), ["a", "b", "c"])
    head = class_head([[3.0, -3.0], [2.0, -2.0], [1.0, -1.0]])
    assert acquire(asking, head).best == ["a"]
    costs = {"a": 10, "b": 1, "c": 1}
    assert acquire(asking, head, cost=costs).best == ["b"]
    assert acquire(asking, head, cost=costs, budget=2).chosen[0].tolist() == [1, 2]
    assert acquire(asking, head, cost=costs, budget=1.5).chosen[0].tolist() == [1]
    found = acquire(asking, head, cost={"a": np.inf, "b": 2, "c": 1.5})
    assert found.per_cost[0, 1] == pytest.approx(found.gain[0, 1] / 2)
    assert found.best == ["b"]
    assert np.isnan(found.gain[0, 0])


def test_samples_are_answered_one_by_one():
    """Each by what is there of it; one of which all is there is asked for nothing."""
    x = np.array([[np.nan, 1.0, 2.0], [0.0, 1.0, 2.0], [0.0, np.nan, np.nan]])
    head = class_head(np.random.default_rng(0).normal(size=(3, 2)))
    found = acquire(ClosedAsking(closed_of(covariance_of(3)), x), head)
    assert found.best[0] == "1"
    assert found.best[1] is None
    alone = acquire(ClosedAsking(closed_of(covariance_of(3)), x[2:]), head)
    assert found.gain[2] == pytest.approx(alone.gain[0], nan_ok=True)
    assert "sample 2: nothing is hidden" in str(found)


def test_what_holds_the_label_is_not_asked_for_nor_shown():
    """Position 4 is hidden from the encoder in the sample, and in all that is drawn of it."""
    x = np.where(HIDDEN, 7.0, X)
    asked = without(Normal(SIGMA).eval(), Incomplete(Held(torch.from_numpy(x))), [4])
    hidden = np.array([[False, True, False, False, False]])
    asked = asked._replace(hidden=asked.hidden | hidden)
    asking = ModelAsking(ModelAsked(Normal(SIGMA).eval(), asked), own=[4])
    assert asking.missing.tolist() == hidden.tolist()
    assert asking.names == ("1", "2", "3", "4", "5")
    copies, rows = asking.drawn(0, np.zeros(5, bool), 3, 0), np.arange(3)
    assert copies.there.tolist() == [[True] * 4 + [False]] * 3
    features = copies.features(rows, np.zeros((3, 5), bool))
    weights = np.linalg.solve(SIGMA[:4, :4], SIGMA[:4, 4])
    assert features[:, 4] == pytest.approx(features[:, :4] @ weights, abs=1e-5)
    assert len(set(features[:, 1])) == 3
    assert (features[:, [0, 2, 3]] == x[0, [0, 2, 3]].astype(np.float32)).all()
    found = acquire(asking, HEAD, draws=8)
    assert np.flatnonzero(~np.isnan(found.gain[0])).tolist() == [1]


def test_a_table_says_what_to_ask_for():
    asking = ClosedAsking(closed_of(np.eye(2)), np.full((1, 2), np.nan), ["age", "dose"])
    text = str(acquire(asking, class_head([[3.0, -3.0], [1.0, -1.0]]), cost=[1, 4], batch=2))
    first, second = text.splitlines()[2:4]
    assert first.startswith("age ")
    assert first.endswith("*")
    assert second.split()[0] == "dose"
    assert second.split()[3] == "4"
    assert text.splitlines()[-1].endswith("nats: age, dose")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cost": [1, 0]}, "cost of 'dose' is 0: it must be above 0"),
        ({"cost": {"age": 1, "dose": -2}}, "cost of 'dose' is -2"),
        ({"cost": [1, np.nan]}, "cost of 'dose' is nan"),
        ({"cost": {"age": 1}}, "cost: dose has none; name one for each"),
        ({"cost": {"age": 1, "does": 1}}, "cost of 'does': there is no such position"),
        ({"cost": [1, 2, 3]}, "cost has shape [3]: give one for each of 2"),
        ({"cost": [4, 3], "budget": 2}, "budget 2 buys nothing: 'dose', the cheapest"),
        ({"cost": [np.inf, np.inf]}, "nothing that is hidden can be had"),
        ({"batch": 0}, "batch 0: ask for at least 1"),
        ({"about": "label", "head": None}, "needs a head that says it"),
    ],
)
def test_what_cannot_be_asked_is_said_in_a_line(options, message):
    asking = ClosedAsking(closed_of(np.eye(2)), np.full((1, 2), np.nan), ["age", "dose"])
    head = options.pop("head", class_head(np.eye(2)))
    with pytest.raises(UserError) as error:
        acquire(asking, head, **options)
    assert message in str(error.value)


def test_nothing_hidden_is_nothing_to_measure():
    with pytest.raises(UserError, match="nothing is hidden"):
        acquire(ClosedAsking(closed_of(np.eye(2)), np.ones((1, 2))), class_head(np.eye(2)))
    closed = ClosedForm.learn(np.random.default_rng(0).normal(size=(40, 2)), (0, 0))
    assert acquire(ClosedAsking(closed, np.full((1, 2), np.nan)), about="everything").best[0]
