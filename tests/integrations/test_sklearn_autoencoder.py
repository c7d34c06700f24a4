import itertools
import pickle

import numpy as np
import pytest
import torch

from maskwise.integrations import sklearn_network
from maskwise.integrations.sklearn import MaskedAutoencoder
from tests.integrations.sklearn_tables import linear_table, mixed_table
from tests.lazy import lazy

pandas = lazy("pandas")
polars = lazy("polars")
skops = lazy("skops.io")
base = lazy("sklearn.base")
compose = lazy("sklearn.compose")
linear = lazy("sklearn.linear_model")
selection = lazy("sklearn.model_selection")
pipelines = lazy("sklearn.pipeline")

SMALL = {"width": 16, "depth": 1, "code": 3, "batch_size": 32, "random_state": 0}


@pytest.fixture(scope="module")
def fitted():
    X = linear_table(200, 5)
    return MaskedAutoencoder(steps=60, **SMALL).fit(X), X


def plain(value):
    """Whether a value holds nothing but plain values and arrays."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and plain(each) for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return all(plain(each) for each in value)
    return value is None or isinstance(value, (str, int, float, bool, np.ndarray))


def test_the_state_is_plain_values_and_arrays(fitted):
    model, _ = fitted
    assert plain(model.__getstate__())
    assert plain(model.state_["weights"])
    assert "log_variance" in model.state_["weights"]


def test_skops_trusts_all_but_the_class_itself(fitted):
    model, X = fitted
    data = skops.dumps(model)
    unknown = skops.get_untrusted_types(data=data)
    assert unknown == ["maskwise.integrations.sklearn_autoencoder.MaskedAutoencoder"]
    again = skops.loads(data, trusted=unknown)
    assert np.array_equal(again.transform(X), model.transform(X))
    assert np.array_equal(again.score_samples(X), model.score_samples(X))


def test_pickles_and_clones(fitted):
    model, X = fitted
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.impute(X), model.impute(X))
    fresh = base.clone(model)
    assert not hasattr(fresh, "state_")
    assert np.array_equal(fresh.fit(X).transform(X), model.transform(X))


def test_no_global_generator_is_touched():
    X = linear_table(50, 4)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    MaskedAutoencoder(steps=3, **SMALL).fit(X).score_samples(X)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_random_state_means_what_it_does_in_scikit_learn():
    X = linear_table(50, 4)
    options = {**SMALL, "steps": 3}

    def codes(state):
        return MaskedAutoencoder(**{**options, "random_state": state}).fit_transform(X)

    generator = np.random.RandomState(0)
    assert np.array_equal(codes(1), codes(1))
    assert not np.array_equal(codes(1), codes(2))
    assert not np.array_equal(codes(generator), codes(generator))
    assert np.array_equal(codes(np.random.RandomState(3)), codes(3))


def test_impute_finds_the_linear_rule():
    X = linear_table(400, 5)
    holes = X.copy()
    holes[::2, 1] = np.nan
    model = MaskedAutoencoder(lr=1e-2, steps=150, **SMALL).fit(holes)
    found = model.impute(holes)
    kept = ~np.isnan(holes)
    assert np.array_equal(found[kept], X[kept])
    error = np.mean((found - X)[~kept] ** 2)
    assert error < 0.5 * X[:, 1].var()


def test_inverse_transform_is_the_network_s_own_decoder(fitted):
    model, X = fitted
    rows = model.inverse_transform(model.transform(X))
    assert rows.shape == X.shape
    assert isinstance(rows, np.ndarray)
    network = sklearn_network.model_of(model.state_)
    samples = torch.from_numpy((X - X.mean(0)) / X.std(0))
    own = network.predict(samples, torch.zeros(X.shape, dtype=torch.bool)).detach().numpy()
    assert np.allclose(rows, own * X.std(0) + X.mean(0), atol=1e-5)


def test_inverse_transform_returns_the_frame_that_was_fitted():
    frame = mixed_table(60)
    model = MaskedAutoencoder(steps=5, **SMALL).fit(frame)
    rows = model.inverse_transform(model.transform(frame))
    assert list(rows.columns) == list(frame.columns)
    assert set(rows["city"]) <= {"Bern", "Rome"}
    again = MaskedAutoencoder(steps=5, **SMALL).fit(polars.from_pandas(frame))
    assert isinstance(again.inverse_transform(np.zeros((2, 3))), polars.DataFrame)
    assert not hasattr(MaskedAutoencoder(kind="transformer"), "inverse_transform")


def test_partial_fit_goes_on_from_where_it_was():
    X = linear_table(300, 5)
    model = MaskedAutoencoder(lr=3e-3, **SMALL)
    model.partial_fit(X)
    table, first = model.state_["table"], model.score(X)
    assert model.n_steps_ == 10
    for _ in range(15):
        model.partial_fit(X[:150])
    assert model.state_["table"] == table
    assert model.n_steps_ == 10 + 15 * 5
    assert model.score(X) > first + 0.5


def test_scores_are_bounds_near_the_likelihood_of_independent_normals():
    """Independent columns leave nothing to learn: the bound is their log-likelihood, in units."""
    X = np.random.default_rng(0).normal(5.0, [10.0, 0.1], (500, 2))
    model = MaskedAutoencoder(steps=100, **SMALL).fit(X)
    z = (X - X.mean(0)) / X.std(0)
    exact = -0.5 * (z**2 + np.log(2 * np.pi)).sum(1) - np.log(X.std(0)).sum()
    assert abs(model.score(X) - exact.mean()) < 0.1
    assert np.corrcoef(model.score_samples(X), exact)[0, 1] > 0.85
    assert model.score(X * [2, 1]) < model.score(X)


def test_scores_do_not_depend_on_other_rows_or_on_missing_ones(fitted):
    model, X = fitted
    holes = np.vstack([X[:3], np.full(5, np.nan)])
    holes[0, :4] = np.nan
    found = model.score_samples(holes)
    assert found[3] == 0
    assert np.allclose(found[1:3], model.score_samples(X[1:3]), rtol=1e-9)
    assert np.isfinite(found).all()


def test_columns_of_codes_are_named_and_framed(fitted):
    model, X = fitted
    names = ["maskedautoencoder0", "maskedautoencoder1", "maskedautoencoder2"]
    assert model.get_feature_names_out().tolist() == names
    for library, kind in (("pandas", pandas.DataFrame), ("polars", polars.DataFrame)):
        found = base.clone(model).set_output(transform=library).fit_transform(X)
        assert isinstance(found, kind)
        assert list(found.columns) == names


def test_works_in_pipelines_and_searches():
    frame = mixed_table(90)
    y = np.arange(90) % 2
    columns = compose.ColumnTransformer(
        [("codes", MaskedAutoencoder(steps=3, **SMALL), ["age", "city"])]
    )
    pipeline = pipelines.make_pipeline(columns, linear.LogisticRegression())
    grid = {"columntransformer__codes__law": ["fixed:0.3", "uniform:0.1,0.9"]}
    assert selection.GridSearchCV(pipeline, grid, cv=2).fit(frame, y).best_score_ > 0
    search = selection.GridSearchCV(
        MaskedAutoencoder(steps=3, **SMALL), {"lr": [1e-9, 1e-2]}, cv=2
    )
    assert search.fit(linear_table(90, 5)).best_params_ == {"lr": 1e-2}


def test_columns_that_do_not_vary_are_no_features():
    X = linear_table(60, 3)
    X[:, 1] = 7.0
    X[0, 1] = np.nan
    model = MaskedAutoencoder(steps=3, **SMALL).fit(X)
    assert model.impute(X)[0, 1] == 7
    one = MaskedAutoencoder(**SMALL).fit(X[5:6])  # nothing varies
    assert not one.transform(X).any()
    assert not one.score_samples(X).any()
    assert one.impute(X[:1])[0, 1] == 7
    assert np.array_equal(one.inverse_transform(np.zeros((1, 3))), X[5:6])


def test_categories_by_number_in_an_array():
    X = np.array(list(itertools.product([1.0, 2.0, 3.0], [0.5, 1.5, 2.5]))).repeat(5, axis=0)
    model = MaskedAutoencoder(steps=3, categorical=[0], **SMALL).fit(X)
    assert [each["kind"] for each in model.state_["table"]["columns"]] == ["category", "number"]
    holes = X.copy()
    holes[:, 0] = np.nan
    assert set(model.impute(holes)[:, 0]) <= {1.0, 2.0, 3.0}
    quantile = MaskedAutoencoder(steps=3, scale="quantile", **SMALL).fit(X)
    assert np.isfinite(quantile.score(X))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"law": "uniform:0.9,0.1"}, "uniform"),
        ({"width": 0}, "width"),
        ({"scale": "log"}, "neither 'standard' nor"),
        ({"categorical": "x"}, "neither 'infer' nor"),
        ({"categorical": [9]}, "no column 9"),
        ({"steps": 0}, "steps"),
        ({"lr": -1.0}, "lr"),
    ],
)
def test_bad_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        MaskedAutoencoder(**{**SMALL, **options}).fit(linear_table(40, 3))


def test_bad_tables_are_refused():
    X = linear_table(40, 3)
    model = MaskedAutoencoder(steps=3, **SMALL)
    for value, message in ((np.inf, "infinity"), ("a", "could not convert string")):
        bad = X.astype(object)
        bad[3, 1] = value
        with pytest.raises(ValueError, match=message):
            model.fit(bad)
    frame = pandas.DataFrame(X, columns=list("abc"))
    with pytest.raises(ValueError, match="0 sample"):
        model.fit(frame[:0])
    frame.loc[3, "b"] = np.inf
    with pytest.raises(ValueError, match=r"'b'.*inf"):
        model.fit(frame)


def test_a_linear_path_is_better_on_linear_data():
    X = linear_table(400, 8)
    holes = np.where(np.random.default_rng(0).random(X.shape) < 0.2, np.nan, X)
    gaps = np.isnan(holes)
    errors = []
    for linear in (0, 8):
        model = MaskedAutoencoder(**SMALL, linear=linear, lr=1e-2, steps=150).fit(holes)
        assert hasattr(model, "inverse_transform") == (linear == 0)
        errors.append(np.mean((model.impute(holes) - X)[gaps] ** 2))
    assert errors[1] < 0.7 * errors[0]


def test_only_some_networks_have_a_linear_path():
    with pytest.raises(ValueError, match="linear 2: only an mlp"):
        MaskedAutoencoder(kind="transformer", width=16, linear=2).fit(linear_table(40, 3))


def test_rows_of_numbers_and_categories_have_scores():
    frame = mixed_table(60, holes=True)
    model = MaskedAutoencoder(steps=60, **{**SMALL, "lr": 1e-2}).fit(frame)
    odd = frame.assign(city=np.where(frame["city"] == "Bern", "Rome", "Bern"))  # owners' is other
    assert np.isfinite(model.score_samples(frame)).all()
    assert model.score(odd) < model.score(frame) - 1


def test_masks_are_copied_from_the_first_rows():
    X = linear_table(120, 5)
    X[::3, 1:3] = np.nan
    X[1::3, 4] = np.nan
    options = {"law": "observed", "pattern": "copied", **SMALL}
    model = MaskedAutoencoder(steps=4, **options).fit(X)
    gaps = np.unique(model.state_["observed"], axis=0)
    assert gaps.astype(int).tolist() == [[0, 0, 0, 0, 1], [0, 1, 1, 0, 0]]
    assert plain(model.state_)
    assert len(model.impute(X)) == 120
    parts = MaskedAutoencoder(**options).partial_fit(X).partial_fit(np.nan_to_num(X))
    assert np.array_equal(parts.state_["observed"], model.state_["observed"])
    other = MaskedAutoencoder(steps=4, **options | {"pattern": "proportional"}).fit(X)
    assert not np.array_equal(other.transform(X), model.transform(X))
    assert "observed" not in MaskedAutoencoder(steps=4, **SMALL).fit(X).state_
    with pytest.raises(ValueError, match=r'X: no row lacks .* give pattern="scattered" and law='):
        MaskedAutoencoder(steps=4, **options).fit(np.nan_to_num(X))
    with pytest.raises(ValueError, match="pattern words is not for features"):
        MaskedAutoencoder(pattern="words").fit(X)


@pytest.mark.parametrize("corruption", ["zero", "permute"])
@pytest.mark.parametrize("kind", ["mlp", "transformer"])
def test_every_network_and_corruption(kind, corruption):
    frame = mixed_table(40, holes=True)
    options = {**SMALL, "steps": 3, "kind": kind, "corruption": corruption}
    model = MaskedAutoencoder(**options).fit(frame)
    assert model.transform(frame).shape == (40, 3 if kind == "mlp" else 16)
    assert np.isfinite(model.score(frame))
    assert not model.impute(frame).isna().any().any()
