"""The estimators that answer from whatever part of a row is there."""

import pickle

import numpy as np
import pytest
from scipy.stats import binom

from maskwise.columns import class_normals, closed_form, partial, teacher
from maskwise.integrations.sklearn import MaskedAutoencoder, MaskedClassifier, MaskedRegressor
from maskwise.predict import heads
from tests.integrations.sklearn_tables import mixed_table
from tests.lazy import lazy

pandas = lazy("pandas")
polars = lazy("polars")
skops = lazy("skops.io")
NAN = np.nan


@pytest.fixture
def quick(monkeypatch):
    """What is learned does not matter."""
    monkeypatch.setattr(heads, "STRENGTHS", (1.0,))
    monkeypatch.setattr(heads, "RIDGES", (1.0,))
    monkeypatch.setattr(heads, "FOLDS", 2)
    monkeypatch.setattr(teacher, "TREES", 5)
    monkeypatch.setattr(class_normals, "ITERATIONS", 1)
    monkeypatch.setattr(closed_form, "SHRINKAGES", (0.1,))
    monkeypatch.setattr(closed_form, "ROUNDS", 1)
    monkeypatch.setattr(closed_form, "TIMES", 1)
    monkeypatch.setattr(closed_form, "LAST", 1)


def two_classes(num, seed=0):
    """Classes whose means of six columns are 1.5 apart; columns have a latent number in common."""
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=num)
    latent = rng.normal(size=(num, 1))
    return 1.5 * y[:, None] + 0.7 * latent + rng.normal(size=(num, 6)), np.array(["no", "yes"])[y]


def hidden(X, seed=0):
    """Hide a share of each row, uniform in 0 to 1, but not all of it."""
    rng = np.random.default_rng([seed, 1])
    gone = rng.random(X.shape) < rng.random((len(X), 1))
    gone[gone.all(axis=1), 0] = False
    return np.where(gone, NAN, X), 1 - gone.mean(axis=1)


@pytest.fixture(scope="module")
def fitted():
    X, y = two_classes(600)
    return MaskedClassifier(copies=4, random_state=0).fit(X, y)


@pytest.mark.parametrize(
    "kind", [pytest.param(MaskedClassifier, marks=pytest.mark.slow), MaskedRegressor]
)
def test_all_checks_of_scikit_learn_pass(kind, quick):
    from sklearn.utils.estimator_checks import check_estimator

    done = check_estimator(kind(copies=2), on_skip=None, on_fail="raise")
    assert sum(each["status"] == "passed" for each in done) > 45


def test_probabilities_are_near_the_true_ones_and_as_sure_as_they_are_right(fitted):
    X, y = two_classes(3000, seed=1)
    holes, share = hidden(X)
    found = fitted.predict_proba(holes)[:, 1]
    true = np.empty(len(X))
    covariance = np.eye(6) + 0.49
    for place, row in enumerate(holes):
        seen = ~np.isnan(row)
        weight = np.linalg.solve(covariance[np.ix_(seen, seen)], np.full(seen.sum(), 1.5))
        true[place] = 1 / (1 + np.exp(-weight @ (row[seen] - 0.75)))
    assert np.abs(found - true).mean() < 0.06
    for low in (0, 0.25, 0.5, 0.75):
        part = (share > low) & (share <= low + 0.25)
        sure = np.maximum(found, 1 - found)[part].mean()
        right = ((found > 0.5) == (y == "yes"))[part].mean()
        assert sure == pytest.approx(right, abs=0.05)


@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_sets_cover_at_every_visible_share(fitted, coverage):
    X, y = two_classes(3000, seed=2)
    holes, share = hidden(X, seed=2)
    sets = fitted.predict_set(holes, coverage)
    assert sets.any(axis=1).all()
    right = sets[np.arange(len(y)), (y == "yes").astype(int)]
    sizes = []
    for low in (0, 0.25, 0.5, 0.75):
        part = (share > low) & (share <= low + 0.25)
        sizes.append(sets[part].sum(axis=1).mean())
        # Of 600 rows a range of the share has 50 or more: its limit is a beta variable.
        least = coverage - 3 * np.sqrt(coverage * (1 - coverage) / 100)
        assert right[part].sum() >= binom.ppf(1e-3, part.sum(), least)
    assert sizes[0] > sizes[-1]  # less is said where less is seen
    assert right.sum() >= binom.ppf(1e-3, len(y), coverage - 0.02)


def test_intervals_cover_at_every_visible_share_and_narrow_as_more_is_seen():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3600, 5)) + rng.normal(size=(3600, 1))
    y = X.sum(axis=1) + rng.normal(size=3600)
    model = MaskedRegressor(copies=4, random_state=0).fit(X[:600], y[:600])
    holes, share = hidden(X[600:])
    found = model.predict_interval(holes, 0.9)
    right = (found[:, 0] <= y[600:]) & (y[600:] <= found[:, 1])
    width = []
    for low in (0, 0.25, 0.5, 0.75):
        part = (share > low) & (share <= low + 0.25)
        width.append(np.diff(found[part]).mean())
        assert right[part].sum() >= binom.ppf(1e-3, part.sum(), 0.9 - 3 * 0.3 / 10)
    assert (np.diff(width) < 0).all()
    assert right.sum() >= binom.ppf(1e-3, 3000, 0.88)
    whole = model.predict(X[600:])
    assert np.sqrt(np.square(whole - y[600:]).mean()) < 1.1  # 1 is the noise
    one = model.predict(np.column_stack([X[600:, :1], np.full((3000, 4), NAN)]))
    slope = one @ X[600:, 0] / np.square(X[600:, 0]).sum()
    assert slope == pytest.approx(3, abs=0.4)  # each of the four others is half of it


def test_rows_without_labels_help(monkeypatch):
    """A latent number makes classes and all columns: columns say much of each other."""
    rng = np.random.default_rng(0)
    monkeypatch.setattr(teacher, "TREES", 20)
    latent = rng.normal(size=(1200, 2))
    X = latent @ rng.normal(size=(2, 12)) + 0.8 * rng.normal(size=(1200, 12))
    y = (latent[:, 0] > 0).astype(int)
    holes, _ = hidden(X[600:])
    model = MaskedClassifier(copies=4, random_state=0)
    alone = model.fit(X[:16], y[:16]).predict_proba(holes)[np.arange(600), y[600:]]
    more = model.fit(X[:16], y[:16], unlabelled=X[16:600]).predict_proba(holes)
    more = more[np.arange(600), y[600:]]
    assert np.log(more).mean() > np.log(alone).mean() + 0.03


def test_rows_without_numbers_help():
    """The other rows say what the columns have to do with each other."""
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(1200, 2))
    X = latent @ rng.normal(size=(2, 12)) + 0.8 * rng.normal(size=(1200, 12))
    holes, _ = hidden(X[600:])
    model = MaskedRegressor(copies=4, random_state=0)
    alone = model.fit(X[:20], latent[:20, 0]).predict(holes) - latent[600:, 0]
    more = model.fit(X[:20], latent[:20, 0], unlabelled=X[20:600]).predict(holes)
    assert np.square(more - latent[600:, 0]).mean() < 0.9 * np.square(alone).mean()


def test_nothing_visible_is_answered_by_the_marginal_and_counted(fitted, caplog):
    rows = np.full((6, 6), NAN)
    rows[1] = 0.0
    found = fitted.predict_proba(rows)
    y = two_classes(600)[1]
    assert found[0].tolist() == pytest.approx([(y == "no").mean(), (y == "yes").mean()])
    assert "5 of 6 rows have no value" in caplog.text
    assert "row 1, 3, 4, ..." in caplog.text
    X = np.arange(40.0).reshape(20, 2)
    number = MaskedRegressor(copies=2).fit(X, X[:, 0])
    assert number.predict([[NAN, NAN]]).tolist() == [19.0]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_with_texts_and_categories(library, quick):
    frame = mixed_table(90, holes=True)
    y = np.where(np.arange(90) % 2, "south", "north")  # as the city
    given = frame if library == "pandas" else polars.from_pandas(frame)
    model = MaskedClassifier(copies=2, random_state=0).fit(given[:60], y[:60], given[60:])
    assert model.law_ == "observed"
    assert model.feature_names_in_.tolist() == list(frame.columns)
    known = frame["city"].notna().to_numpy()
    assert (model.predict(given) == y)[known].mean() > 0.9
    sets = model.predict_set(given)
    assert sets.shape == (90, 2)
    number = MaskedRegressor(copies=2, random_state=0).fit(given, (y == "south") * 2.0)
    assert np.abs(number.predict(given) - 2 * (y == "south"))[known].mean() < 0.5


def test_an_encoder_s_codes_are_further_columns(quick):
    X, y = two_classes(80)
    encoder = MaskedAutoencoder(width=16, depth=1, code=3, batch_size=32, steps=5)
    model = MaskedClassifier(encoder, copies=2, random_state=0).fit(X, y)
    assert model.state_["linear"]["mean"].shape == (6 + 3,)
    assert encoder.get_params()["random_state"] is None  # the one that was given is not fitted
    holes, _ = hidden(X)
    assert (model.predict(holes) == y).mean() > 0.6
    codes = model.estimator_.transform(X)
    np.testing.assert_allclose(model.state_["linear"]["mean"].shape, (9,))
    assert codes.shape == (80, 3)


def test_kept_as_plain_arrays(quick, monkeypatch):
    monkeypatch.setattr(partial, "ENOUGH", 50)
    monkeypatch.setattr("maskwise.columns.answers.STEPS", 3)
    X, y = two_classes(80)
    holes, _ = hidden(X)
    model = MaskedClassifier(copies=2, random_state=0).fit(X, y)
    assert model.state_["network"]
    data = skops.dumps(model)
    unknown = skops.get_untrusted_types(data=data)
    assert unknown == ["maskwise.integrations.sklearn_predict.MaskedClassifier"]
    for again in (skops.loads(data, trusted=unknown), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(again.predict_proba(holes), model.predict_proba(holes))
    once_more = MaskedClassifier(copies=2, random_state=0).fit(X, y)
    assert np.array_equal(once_more.predict_proba(holes), model.predict_proba(holes))


def test_columns_that_hold_nothing_or_one_value(caplog, quick):
    X, y = two_classes(60)
    X = np.column_stack([X, np.full(60, NAN), np.full(60, 3.0)])
    model = MaskedClassifier(copies=2, random_state=0).fit(X, y)
    X[:, 6] = 1.0
    model.predict(X)
    assert "1 columns had no value in fit and count for nothing: x6" in caplog.text
    nothing = MaskedClassifier(copies=2).fit(np.ones((6, 2)), list("aabbbb"))
    assert nothing.predict_proba([[1.0, 1.0]])[0].tolist() == pytest.approx(
        [1 / 3, 2 / 3], abs=0.2
    )


@pytest.mark.parametrize(
    ("change", "y", "message"),
    [
        ({}, ["a"] * 6, "all 6 labels are of one class, 'a'"),
        ({}, ["a", "b", None, "a", None, "b"], "2 labels are missing .* first in row 3"),
        ({}, [0, 1, NAN, 1, 0, 1], "1 labels are missing .* first in row 3"),
        ({"law": "uniform:2"}, [0, 1] * 3, "uniform"),
        ({"law": "observed"}, [0, 1] * 3, "nothing is missing"),
        ({"copies": 1}, [0, 1] * 3, "copies 1 must be a whole number from 2"),
        ({"network": "big"}, [0, 1] * 3, "network 'big' is neither"),
        ({}, [0, 1], "inconsistent"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(change, y, message):
    X = np.arange(12.0).reshape(6, 2)
    with pytest.raises(ValueError, match=message):
        MaskedClassifier(**change).fit(X, np.array(y, dtype=object) if None in y else y)


@pytest.mark.parametrize("coverage", [0, 1, 1.5, -0.1, NAN])
def test_coverage_is_between_0_and_1(fitted, coverage):
    with pytest.raises(ValueError, match=r"coverage .* must be between 0 and 1"):
        fitted.predict_set(np.zeros((1, 6)), coverage)


def test_tables_of_other_columns_are_refused(fitted, quick):
    with pytest.raises(ValueError, match="6 features"):
        fitted.predict(np.zeros((1, 5)))
    frame = pandas.DataFrame(two_classes(30)[0], columns=list("abcdef"))
    model = MaskedClassifier(copies=2).fit(frame, two_classes(30)[1])
    with pytest.raises(ValueError, match="unseen at fit time"):
        model.predict(frame.rename(columns={"a": "g"}))
    with pytest.raises(ValueError, match="unseen at fit time"):
        model.fit(frame, two_classes(30)[1], unlabelled=frame.rename(columns={"a": "g"}))
