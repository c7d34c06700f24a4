"""Multiple imputation: tables that differ as much as is not known."""

import pickle

import numpy as np
import pytest
from scipy import stats

from benchmarks.imputation import coverage
from maskwise import UserError, pool
from maskwise.columns.closed_form import ClosedForm
from maskwise.integrations.sklearn import MaskedAutoencoder, MaskedImputer
from tests.integrations.sklearn_tables import linear_table, mixed_table
from tests.lazy import lazy

pandas = lazy("pandas")


def holed(X, share=0.2, seed=1):
    return np.where(np.random.default_rng(seed).random(X.shape) < share, np.nan, X)


def test_tables_differ_in_gaps_only_and_come_again():
    X = holed(linear_table(80, 4))
    imputer = MaskedImputer(random_state=0).fit(X)
    draws, gaps = imputer.draws(X, m=3), np.isnan(X)
    assert len(draws) == 3
    for draw in draws:
        assert np.array_equal(draw[~gaps], X[~gaps])
        assert np.isfinite(draw).all()
    for first, second in ((0, 1), (1, 2)):
        assert (draws[first] != draws[second])[gaps].mean() > 0.99
    again = pickle.loads(pickle.dumps(imputer)).draws(X, m=5)
    assert all(np.array_equal(*pair) for pair in zip(draws, again, strict=False))
    assert len(imputer.draws(X)) == 20


def test_what_is_not_known_of_a_column_is_part_of_the_spread():
    """Half of the values of a column that depends on no other: T is what their number says.

    With fixed parameters the means would vary by s² (n_missing / n²), half as much.
    """
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    X[:100, 1] = np.nan
    seen = X[100:, 1]
    draws = MaskedImputer(random_state=0).fit(X).draws(X, m=200)
    found = pool([d[:, 1].mean() for d in draws], [d[:, 1].var(ddof=1) / 200 for d in draws])
    expected = seen.var(ddof=1) / 100
    # A variance of 200 draws has a relative error of √(2 / 199), of which T has half.
    assert found.variance == pytest.approx(expected, rel=0.25)
    assert found.between > 1.5 * seen.var(ddof=1) * 100 / 200**2
    assert found.estimate == pytest.approx(seen.mean(), abs=3 * np.sqrt(found.between / 200))
    assert found.missing_information == pytest.approx(0.5, abs=0.15)


def test_what_is_missing_in_a_row_is_drawn_together():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 1))
    X = np.hstack([x, x + 0.1 * rng.normal(size=(300, 1)), rng.normal(size=(300, 1))])
    X[:60, :2] = np.nan
    for draw in MaskedImputer(random_state=0).fit(X).draws(X, m=3):
        assert np.corrcoef(draw[:60, 0], draw[:60, 1])[0, 1] > 0.95


def test_frames_with_categories_and_columns_that_do_not_vary():
    frame = mixed_table(90, holes=True)
    draws = MaskedImputer(random_state=0).fit(frame).draws(frame, m=2)
    assert [type(each) for each in draws] == [pandas.DataFrame] * 2
    assert not draws[0].isna().any().any()
    assert not draws[0].equals(draws[1])
    X = np.array([[1.0, np.nan], [1.0, np.nan], [np.nan, np.nan]])
    imputer = MaskedImputer(keep_empty_features=True).fit(X)
    for draw in imputer.draws(X, m=2):
        assert draw.tolist() == [[1.0, 0.0]] * 3


def test_indicators_and_bounds_are_as_in_transform():
    X = holed(linear_table(60, 3))
    imputer = MaskedImputer(add_indicator=True, max_value=0.5, random_state=0).fit(X)
    draw = imputer.draws(X, m=2)[0]
    assert draw.shape == imputer.transform(X).shape
    assert draw[:, :3][np.isnan(X)].max() <= 0.5
    assert np.array_equal(draw[:, 3:], np.isnan(X))


def test_a_network_draws_one_value_after_the_other():
    X = holed(linear_table(120, 3))
    network = MaskedAutoencoder(steps=20, width=16, depth=1, code=3, batch_size=32)
    imputer = MaskedImputer(network, random_state=0).fit(X)
    first, second = imputer.draws(X, m=2)
    assert np.array_equal(first[~np.isnan(X)], X[~np.isnan(X)])
    assert (first != second)[np.isnan(X)].mean() > 0.99


def test_one_table_is_no_multiple_imputation():
    X = holed(linear_table(40, 3))
    imputer = MaskedImputer(random_state=0).fit(X)
    for m in (1, 2.0, True):
        with pytest.raises(UserError, match="must be a whole number from 2"):
            imputer.draws(X, m=m)


def test_a_refit_climbs_the_likelihood_and_keeps_what_was_chosen():
    X = holed(linear_table(60, 6), 0.3)
    form = ClosedForm.learn(X, (0,) * 6)
    again = form.again(X)
    x = form.columns(X)
    assert again.gaussian.log_likelihood(x) > form.gaussian.log_likelihood(x)
    assert (again.setting, again.knots, again.sizes) == (form.setting, form.knots, form.sizes)
    skewed = ClosedForm.learn(np.exp(2 * holed(linear_table(300, 3))), (0,) * 3)
    rows = np.exp(2 * linear_table(50, 3, seed=1))
    assert skewed.again(rows).knots.keys() == skewed.knots.keys() != set()
    assert skewed.again(rows).knots[0][0][-1] != skewed.knots[0][0][-1]


@pytest.mark.slow
def test_intervals_of_coefficients_cover_them():
    """Pooled ones do in 95 of 100 tables; of one completed table, or of complete rows, fewer."""
    times = 150
    found = {name: times * each for name, each in coverage.coverage(200, times, 10).items()}
    pooled, single, complete = found.values()
    assert (pooled >= stats.binom.isf(1 - 1e-3, times, 0.95)).all()
    assert (single < pooled).all()
    assert single.mean() < 0.88 * times
    assert complete.min() < 0.2 * times


def test_its_benchmark_prints_coverage(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["coverage", "--times", "2", "--draws", "2"])
    coverage.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert {float(share) for line in lines[1:] for share in line[20:].split()} <= {0.0, 0.5, 1.0}
    rows = coverage.table(4000, 0)
    assert np.isnan(rows).mean(axis=0) == pytest.approx([0, 0.4, 0.2], abs=0.05)
    # The regression of 4,000 rows without gaps finds its coefficients.
    x = np.random.default_rng(0).normal(size=(4000, 3))
    x[:, 0] += x[:, 1:] @ [1, 0.5]
    beta, variance = coverage.regression(x)
    assert np.abs(beta - coverage.TRUTH).max() < 4 / np.sqrt(4000)
    assert variance == pytest.approx(np.full(3, 1 / 4000), rel=0.1)
