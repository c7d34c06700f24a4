"""Numbers and categories in closed form: what is chosen, expected and drawn."""

import numpy as np
import pytest

from maskwise.columns import closed_form
from maskwise.columns.closed_form import ClosedForm, columns_of, features_of
from maskwise.columns.factors import Factors
from maskwise.columns.gaussian import Gaussian


def latent(num, width, seed=0):
    """Two latent numbers, columns linear in them, a little noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(num, 2)) @ rng.normal(size=(2, width)) + 0.3 * rng.normal(
        size=(num, width)
    )
    return x / x.std(axis=0)


def holed(x, share=0.3, seed=1):
    return np.where(np.random.default_rng(seed).random(x.shape) < share, np.nan, x)


def left(model, x, holes):
    hidden = np.isnan(holes)
    return np.sqrt(np.mean((model.expected(holes) - x)[hidden] ** 2))


def test_numbers_and_categories_become_columns_and_return():
    samples = np.array([[0.5, 2.0, 1.0], [-1.0, 0.0, 0.0], [2.0, 1.0, 1.0]])
    columns = columns_of(samples, (0, 3, 2))
    assert columns.tolist() == [[0.5, 0, 0, 0], [-1, 1, 0, 1], [2, 0, 1, 0]]
    assert np.array_equal(features_of(columns, (0, 3, 2)), samples)


def test_linear_columns_are_predicted_as_by_the_true_distribution():
    x = latent(600, 6)
    truth = Gaussian(x.mean(axis=0), np.cov(x.T))
    holes = holed(x)
    hidden = np.isnan(holes)
    best = np.sqrt(np.mean((truth.conditional(holes)[0] - x)[hidden] ** 2))
    model = ClosedForm.learn(holes, (0,) * 6)
    assert not model.knots
    assert best < left(model, x, holes) < 1.05 * best
    assert np.array_equal(model.expected(holes)[~hidden], x[~hidden])


def test_skewed_columns_become_normal_scores():
    x = np.exp(1.5 * latent(600, 6))
    x = x / x.std(axis=0)
    holes = holed(x)
    model = ClosedForm.learn(holes, (0,) * 6)
    assert sorted(model.knots) == list(range(6))
    plain = ClosedForm(model.sizes, model.mean, model.std, {}, Gaussian.fit(model.columns(holes)))
    assert left(model, x, holes) < 0.8 * left(plain, x, holes)


def test_what_is_expected_of_a_skewed_column_is_its_mean_not_its_median():
    scores = np.linspace(-8, 8, 4001)
    covariance = np.array([[1.0, 0.6], [0.6, 1.0]])
    knots = {1: (np.exp(scores), scores)}
    model = ClosedForm((0, 0), np.zeros(2), np.ones(2), knots, Gaussian(np.zeros(2), covariance))
    found = model.expected(np.array([[1.0, np.nan]]))[0, 1]
    assert found == pytest.approx(np.exp(0.6 + 0.64 / 2), rel=1e-3)
    drawn = model.draw(np.tile([1.0, np.nan], (20_000, 1)), seed=0)[:, 1]
    assert np.median(drawn) == pytest.approx(np.exp(0.6), rel=0.03)
    assert np.log(drawn).std() == pytest.approx(0.8, rel=0.03)


def kinds(num=3000, seed=0):
    """A number around 0, 3 or 6, and of which of three kinds it is."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(3, size=num)
    return np.column_stack([3 * kind + rng.normal(size=num), kind]).astype(float)


def test_categories_are_guessed_from_numbers_and_numbers_from_categories():
    x = kinds()
    model = ClosedForm.learn(holed(x), (0, 3))
    asked = np.array([[-1.0, np.nan], [7.0, np.nan], [np.nan, 0], [np.nan, 2]])
    found = model.expected(asked)
    assert found[:2, 1].tolist() == [0, 2]
    np.testing.assert_allclose(found[2:, 0], [0, 6], atol=0.3)


def test_draws_of_categories_and_numbers_hang_together():
    x = kinds()
    model = ClosedForm.learn(x, (0, 3))
    drawn = model.draw(np.full((6000, 2), np.nan), seed=0)
    assert np.array_equal(drawn, model.draw(np.full((6000, 2), np.nan), seed=0))
    shares = np.bincount(drawn[:, 1].astype(int), minlength=3) / 6000
    np.testing.assert_allclose(shares, 1 / 3, atol=0.03)
    means = [drawn[drawn[:, 1] == kind, 0].mean() for kind in range(3)]
    np.testing.assert_allclose(means, [0, 3, 6], atol=0.2)
    middle = model.draw(np.tile([3.0, np.nan], (6000, 1)), seed=1)[:, 1]
    expected = model.fill(model.columns(np.array([[3.0, np.nan]]))) * model.std + model.mean
    assert (middle == 0).mean() == pytest.approx(expected[0, 1], abs=0.03)


def test_more_and_spread_move_and_narrow_the_draws():
    x = latent(400, 3)
    model = ClosedForm.learn(x, (0, 0, 0))
    one = np.tile([np.nan, x[0, 1], x[0, 2]], (4000, 1))
    plain, moved = model.draw(one, 0), model.draw(one, 0, np.array([[2.0, 0, 0]]), np.full(3, 0.5))
    expected = model.expected(one[:1])[0, 0]
    assert moved[:, 0].mean() - 2 * model.std[0] == pytest.approx(expected, abs=0.02)
    assert moved[:, 0].std() == pytest.approx(plain[:, 0].std() / 2)


def test_wide_tables_have_factors(monkeypatch):
    monkeypatch.setattr(closed_form, "WIDE", 10)
    x = latent(300, 30)
    holes = holed(x)
    model = ClosedForm.learn(holes, (0,) * 30)
    assert isinstance(model.gaussian, Factors)
    assert left(model, x, holes) < 0.4


def test_few_rows_columns_without_values_and_nothing_to_hold_out():
    nan = np.nan
    for samples in ([[1.0, nan]], [[nan, nan]], [[1.0, 2.0], [nan, 2.0]]):
        found = ClosedForm.learn(np.array(samples), (0, 0)).expected(np.array(samples))
        assert np.isfinite(found).all()
    assert ClosedForm.learn(np.array([[1.0], [3.0], [nan]]), (0,)).expected(
        np.array([[nan]])
    ) == pytest.approx(2.0)


def test_what_is_held_out_is_no_mask_that_users_draw():
    x = latent(100, 5)
    holes = np.where(np.random.default_rng(0).random(x.shape) < 0.3, np.nan, x)
    rng = np.random.default_rng([0, 1])
    parts = list(closed_form._held_out(holes, (0,) * 5, rng))
    assert all(20 < part.sum() < 60 for part in parts)
