"""What estimators of rows with holes ask for, and what their answers are due to."""

import numpy as np
import pandas as pd
import pytest

from maskwise.errors import UserError
from maskwise.integrations.sklearn import MaskedClassifier, MaskedRegressor

NAN = np.nan


@pytest.fixture(scope="module")
def rows():
    """Three columns: the first is the answer with noise, the second a worse one, and noise."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=300)
    noise = rng.normal(size=(300, 3)) * [0.2, 1.0, 1.0]
    return pd.DataFrame(noise + np.outer(signal, [1, 1, 0]), columns=["a", "b", "c"]), signal


@pytest.fixture(scope="module")
def classifier(rows):
    return MaskedClassifier(copies=4, random_state=0).fit(
        rows[0], np.where(rows[1] > 0, "yes", "no")
    )


def test_the_column_that_tells_most_is_asked_for(classifier):
    nothing = pd.DataFrame({"a": [NAN], "b": [NAN], "c": [NAN]})
    found = classifier.acquire(nothing)
    assert found.best == ["a"]
    a, b, c = found.gain[0]
    assert np.log(2) > a > 1.2 * b > 10 * c
    dear = classifier.acquire(nothing, cost={"a": 50.0, "b": 1.0, "c": 1.0})
    assert dear.best == ["b"]
    both = classifier.acquire(nothing, cost=[1.0, 1.0, 1.0], budget=1)
    assert both.best == ["a"]
    with pytest.raises(UserError, match="cost"):
        classifier.acquire(nothing, cost={"a": -1.0})


def test_what_answers_are_due_to_sums_to_them(classifier):
    row = pd.DataFrame({"a": [1.5], "b": [0.5], "c": [0.3]})
    found = classifier.attribute(row)
    said = classifier.predict_proba(row) - classifier.predict_proba(row * NAN)
    assert found.values.sum(axis=1) == pytest.approx(said)
    assert found.values[0, 0, 1] > 2 * abs(found.values[0, 1:, 1]).max()


def test_a_regressor_asks_too(rows):
    model = MaskedRegressor(copies=4, random_state=0).fit(*rows)
    row = pd.DataFrame({"a": [NAN], "b": [0.5], "c": [NAN]})
    assert model.acquire(row).best == ["a"]
    found = model.attribute(row.assign(a=1.0))
    said = model.predict(row.assign(a=1.0)) - model.predict(row * NAN)
    assert found.values.sum() == pytest.approx(said[0])
