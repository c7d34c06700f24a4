"""The imputer without an estimator: in closed form, refined where that helps."""

import numpy as np
import pytest

from maskwise.integrations import sklearn_closed
from maskwise.integrations.sklearn import MaskedImputer
from tests.integrations.sklearn_tables import linear_table, mixed_table
from tests.lazy import lazy

polars = lazy("polars")
skops = lazy("skops.io")
base = lazy("sklearn.base")
impute = lazy("sklearn.impute")


def holed(X, share=0.2):
    return np.where(np.random.default_rng(1).random(X.shape) < share, np.nan, X)


def left(X, holes, found):
    return np.sqrt(np.mean((found - X)[np.isnan(holes)] ** 2))


def test_no_worse_than_a_regression_of_each_column_on_small_tables():
    from sklearn.datasets import load_wine
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401

    X = load_wine().data
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    for share in (0.1, 0.3):
        holes = holed(X, share)
        ours, theirs = (
            left(X, holes, each.fit_transform(holes))
            for each in (MaskedImputer(random_state=0), impute.IterativeImputer(tol=0.1))
        )
        assert ours < 1.02 * theirs


def test_attributes_tell_what_was_chosen():
    X = linear_table(200, 6)
    imputer = MaskedImputer(random_state=0).fit(holed(X))
    assert (imputer.estimator_, imputer.transform_, imputer.refined_) == (None, "standard", False)
    skewed = MaskedImputer(random_state=0).fit(np.exp(2 * holed(X)))
    assert skewed.transform_ == "normal scores"


def test_what_is_not_missing_stays_and_two_calls_agree():
    X = holed(linear_table(80, 4)) * 1e6 + 0.1
    imputer = MaskedImputer(random_state=0).fit(X)
    found, kept = imputer.transform(X), ~np.isnan(X)
    assert np.array_equal(found[kept], X[kept])
    assert np.isfinite(found).all()
    assert np.array_equal(found, base.clone(imputer).fit(X).transform(X))
    np.testing.assert_allclose(imputer.transform(X[7:9]), found[7:9])


def test_corrections_are_added_where_columns_are_products():
    x = np.random.default_rng(0).normal(size=(1500, 2))
    X = np.column_stack([x, 5 * x[:, 0] * x[:, 1]])
    holes = X.copy()
    holes[:500, 2] = np.nan
    imputer = MaskedImputer(random_state=0).fit(holes)
    assert imputer.refined_
    found = imputer.transform(holes)
    assert left(X, holes, found) < 0.75 * X[:, 2].std()
    imputer.set_params(sample_posterior=True)
    off = left(X, holes, imputer.transform(holes)) / X[:, 2].std()
    imputer.state_ = imputer.state_ | {"refinement": {}}  # the closed form alone
    assert off < 0.9 * left(X, holes, imputer.transform(holes)) / X[:, 2].std()
    imputer.set_params(sample_posterior=False)
    assert left(X, holes, imputer.transform(holes)) > 0.9 * X[:, 2].std()


def test_draws_have_the_spread_and_the_correlation_of_what_is_missing():
    X = linear_table(300, 3)
    holes = X.copy()
    holes[:100, :2] = np.nan
    imputer = MaskedImputer(sample_posterior=True, random_state=0).fit(holes)
    draws = np.stack(
        [imputer.set_params(random_state=s).transform(holes)[:100, :2] for s in range(40)]
    )
    expected = imputer.set_params(sample_posterior=False).transform(holes)[:100, :2]
    np.testing.assert_allclose(draws.mean(axis=(0, 1)), expected.mean(axis=0), atol=0.05)
    off, true = (draws - expected).reshape(-1, 2), (X[:100, :2] - expected)
    np.testing.assert_allclose(off.std(axis=0), true.std(axis=0), rtol=0.2)
    correlations = [np.corrcoef(each.T)[0, 1] for each in (off, true)]
    assert correlations[0] == pytest.approx(correlations[1], abs=0.1)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("sample", [False, True])
def test_frames_with_categories_stay_frames(library, sample):
    frame = mixed_table(60, holes=True)
    given = frame if library == "pandas" else polars.from_pandas(frame)
    found = MaskedImputer(sample_posterior=sample, random_state=0).fit_transform(given)
    assert type(found) is type(given)
    assert list(found.dtypes) == list(given.dtypes)
    back = found if library == "pandas" else found.to_pandas()
    assert not back.isna().any().any()
    assert set(back["city"]) == {"Bern", "Rome"}
    assert set(back["rooms"]) <= {1, 2, 3, 4}


def test_rows_are_filled_in_parts(monkeypatch):
    X = holed(linear_table(80, 4))
    imputer = MaskedImputer(random_state=0).fit(X)
    whole = imputer.transform(X)
    monkeypatch.setattr(sklearn_closed, "ROWS", 30)
    np.testing.assert_allclose(imputer.transform(X), whole)
    drawn = imputer.set_params(sample_posterior=True).transform(
        np.tile(np.full(4, np.nan), (60, 1))
    )
    assert len(np.unique(drawn[:, 0])) == 60  # parts have draws of their own


def test_nothing_varies_one_row_and_new_columns_of_holes():
    imputer = MaskedImputer().fit([[1.0, np.nan]])
    assert imputer.transform([[np.nan, 5.0]]).tolist() == [[1.0]]
    assert (imputer.transform_, imputer.refined_) == ("standard", False)
    X = linear_table(50, 3)
    found = MaskedImputer(random_state=0).fit(X).transform(np.full((2, 3), np.nan))
    np.testing.assert_allclose(found, np.tile(X.mean(axis=0), (2, 1)), atol=1e-6)


def test_skops_trusts_all_but_the_class_itself():
    x = np.random.default_rng(0).normal(size=(1500, 2))
    X = holed(np.column_stack([x, x[:, 0] * x[:, 1], x[:, 0] > x[:, 1] + 0.5]), 0.1)
    imputer = MaskedImputer(random_state=0).fit(X)
    assert set(imputer.state_["refinement"]["parts"]) == {"kernel", "forest"}
    data = skops.dumps(imputer)
    unknown = skops.get_untrusted_types(data=data)
    assert unknown == ["maskwise.integrations.sklearn_imputer.MaskedImputer"]
    assert np.array_equal(skops.loads(data, trusted=unknown).transform(X), imputer.transform(X))


def test_likelihoods_of_numbers_are_those_of_a_normal_distribution_in_their_units():
    from scipy.stats import multivariate_normal

    X = linear_table(300, 3) * [1.0, 10.0, 0.1] + [0.0, 5.0, -2.0]
    imputer = MaskedImputer(random_state=0).fit(X)
    true = multivariate_normal(X.mean(axis=0), np.cov(X.T, ddof=0)).logpdf(X)
    found = imputer.score_samples(X)
    np.testing.assert_allclose(found, true, atol=0.3)  # shrunk a little
    assert imputer.score(X) == pytest.approx(true.mean(), abs=0.02)
    assert imputer.score(X * 3) < imputer.score(X) - 1
    holes = X.copy()
    holes[:, 1] = np.nan
    part = multivariate_normal(X.mean(axis=0)[[0, 2]], np.cov(X[:, [0, 2]].T, ddof=0))
    np.testing.assert_allclose(imputer.score_samples(holes), part.logpdf(X[:, [0, 2]]), atol=0.3)
    assert imputer.score_samples(np.full((2, 3), np.nan)).tolist() == [0, 0]
    assert MaskedImputer().fit([[1.0]]).score_samples([[1.0], [2.0]]).tolist() == [0, 0]


def test_whole_numbers_and_categories_have_probabilities():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {"stars": rng.integers(1, 6, 500), "city": rng.choice(["a", "b"], 500)}
    )
    imputer = MaskedImputer(random_state=0).fit(frame)
    every = pandas.DataFrame({"stars": [1, 2, 3, 4, 5] * 2, "city": ["a"] * 5 + ["b"] * 5})
    found = np.exp(imputer.score_samples(every))
    assert found.sum() == pytest.approx(1)
    np.testing.assert_allclose(found, 0.1, atol=0.03)
    unseen = pandas.DataFrame({"stars": [5, 9], "city": ["a", None]})
    told = np.exp(imputer.score_samples(unseen))
    assert told[1] == pytest.approx((frame.stars == 5).mean(), abs=0.01)
