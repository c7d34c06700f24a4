"""A network learns what the closed form leaves over, and says how much of it."""

import numpy as np

from maskwise.columns import residual_network
from maskwise.columns.closed_form import ClosedForm
from maskwise.columns.residual_network import num_steps, train


def test_a_product_is_learned(monkeypatch):
    monkeypatch.setattr(residual_network, "num_steps", lambda rows, columns: 200)
    monkeypatch.setattr(residual_network, "MASKED", 10_000)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1500, 2))
    x = np.column_stack([x, x[:, 0] * x[:, 1]])
    holes = np.where(rng.random(x.shape) < 0.2, np.nan, x)
    closed = ClosedForm.learn(holes, (0, 0, 0))
    network, said, left = train(closed, holes, np.random.default_rng(1))
    known = ~np.isnan(left)
    assert np.array_equal(np.isnan(said), ~known)
    assert 0.05 < known.mean() < 0.12  # a tenth of four fifths
    off = [np.mean(np.square(each)[known[:, 2], 2]) for each in (left - said, left)]
    assert off[0] < 0.6 * off[1]
    asked = closed.columns(np.column_stack([x[:, :2], np.full(len(x), np.nan)]))
    filled, true = closed.fill(asked), closed.columns(x)
    after = true - filled - network.predict(filled, np.isnan(asked))
    assert np.mean(np.square(after[:, 2])) < 0.5 * np.mean(np.square((true - filled)[:, 2]))
    again, _, _ = train(closed, holes, np.random.default_rng(1))
    assert all(np.array_equal(*each) for each in zip(network.weights, again.weights, strict=True))


def test_larger_tables_have_more_steps():
    assert num_steps(4000, 4) == residual_network.FEWEST
    assert num_steps(20_000, 100) == residual_network.MOST
    assert residual_network.FEWEST < num_steps(5000, 40) < residual_network.MOST
