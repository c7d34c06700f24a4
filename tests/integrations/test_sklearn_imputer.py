import numpy as np
import pytest

from maskwise.integrations.sklearn import MaskedAutoencoder, MaskedImputer
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

SMALL = MaskedAutoencoder(width=16, depth=1, code=3, batch_size=32, steps=5)


def holed(num=60, width=4):
    X = linear_table(num, width)
    X[::3, 0] = np.nan
    X[1::4, 2] = np.nan
    return X


def test_what_is_not_missing_stays_bit_for_bit():
    X = holed() * 1e6 + 0.1
    for kind in (np.float64, np.float32):
        given = X.astype(kind)
        found = MaskedImputer(SMALL, random_state=0).fit_transform(given)
        kept = ~np.isnan(given)
        assert found.dtype == kind
        assert np.array_equal(found[kept], given[kept])
        assert not np.isnan(found).any()
        assert np.isnan(given).any()  # what was given is not changed


def test_far_better_than_the_mean_by_default():
    X = linear_table(200, 6)
    hidden = np.random.default_rng(1).random(X.shape) < 0.2
    found = MaskedImputer(random_state=0).fit_transform(np.where(hidden, np.nan, X))
    left = np.mean((found - X)[hidden] ** 2) / np.mean((X - X.mean(0))[hidden] ** 2)
    assert left < 0.1


def test_empty_columns_are_left_out_or_zero_and_constant_ones_keep_their_constant():
    X = np.column_stack([holed(), np.full(60, np.nan), np.full(60, 7.0)])
    X[5, 5] = np.nan
    imputer = MaskedImputer(SMALL, random_state=0).fit(X)
    found = imputer.transform(X)
    assert found.shape == (60, 5)
    assert (found[:, 4] == 7).all()
    assert np.array_equal(imputer.score_samples(X), imputer.estimator_.score_samples(X))
    assert imputer.get_feature_names_out().tolist() == ["x0", "x1", "x2", "x3", "x5"]
    X[2, 4] = 3.0  # of a column without any value in `fit`
    assert imputer.transform(X).shape == (60, 5)
    kept = base.clone(imputer).set_params(keep_empty_features=True).fit(X[3:]).transform(X)
    assert kept[2, 4] == 3
    assert not np.delete(kept[:, 4], 2).any()


def test_one_row_and_nothing_at_all():
    imputer = MaskedImputer(SMALL).fit([[1.0, np.nan]])
    assert imputer.transform([[np.nan, 5.0]]).tolist() == [[1.0]]
    nothing = MaskedImputer(SMALL, keep_empty_features=True).fit_transform([[np.nan], [np.nan]])
    assert nothing.tolist() == [[0.0], [0.0]]


def test_indicators_tell_where_values_were_missing():
    X = holed()
    imputer = MaskedImputer(SMALL, add_indicator=True, random_state=0)
    found = imputer.fit_transform(X)
    assert np.array_equal(found[:, 4:], np.isnan(X)[:, [0, 2]])
    names = ["x0", "x1", "x2", "x3", "missingindicator_x0", "missingindicator_x2"]
    assert imputer.get_feature_names_out().tolist() == names


def test_another_value_can_stand_for_missing_ones():
    X = holed()
    plain = MaskedImputer(SMALL, random_state=0).fit_transform(X)
    marked = np.nan_to_num(X, nan=-1)
    imputer = MaskedImputer(SMALL, missing_values=-1, random_state=0)
    assert np.array_equal(imputer.fit_transform(marked), plain)
    with pytest.raises(ValueError, match="NaN"):
        imputer.transform(X)


def test_bounds():
    X = holed()
    bounds = np.array([0.0, 0.0, 0.1, 0.0])
    found = MaskedImputer(SMALL, min_value=bounds, max_value=0.2, random_state=0).fit_transform(X)
    gaps = np.isnan(X)
    assert (found[gaps[:, 0], 0] >= 0).all()
    assert (found[gaps[:, 2], 2] >= 0.1).all()
    assert (found[gaps] <= 0.2).all()
    with pytest.raises(ValueError, match="min_value 1 is above max_value 0"):
        MaskedImputer(SMALL, min_value=1, max_value=0).fit_transform(X)


def test_draws_spread_around_what_is_expected():
    X = holed(200)
    imputer = MaskedImputer(SMALL, random_state=0).fit(X)
    expected, gaps = imputer.transform(X), np.isnan(X)
    imputer.set_params(sample_posterior=True)
    draws = [imputer.set_params(random_state=seed).transform(X) for seed in range(30)]
    assert np.array_equal(draws[3], imputer.set_params(random_state=3).transform(X))
    assert all(np.array_equal(draw[~gaps], X[~gaps]) for draw in draws)
    spread = np.std(draws, axis=0)[gaps]
    assert 0.2 < spread.mean() < 2 * np.nanstd(X)
    only = gaps.sum(axis=1) == 1  # where the expectation is that of the draws
    off = (np.mean(draws, axis=0) - expected)[only[:, None] & gaps]
    assert abs(off.mean()) < 0.15


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_with_categories_stay_frames(library):
    frame = mixed_table(60, holes=True)
    given = frame if library == "pandas" else polars.from_pandas(frame)
    imputer = MaskedImputer(SMALL, add_indicator=True, random_state=0)
    found = imputer.fit_transform(given)
    assert type(found) is type(given)
    assert list(found.columns) == imputer.get_feature_names_out().tolist()
    found = found[given.columns.tolist() if library == "pandas" else given.columns]
    assert list(found.dtypes) == list(given.dtypes)
    back = found if library == "pandas" else found.to_pandas()
    assert not back.isna().any().any()
    for name in frame:
        kept = frame[name].notna().to_numpy()
        assert back[name][kept].tolist() == frame[name][kept].tolist()
    assert set(back["city"]) == {"Bern", "Rome"}
    assert set(back["rooms"]) <= {1, 2, 3, 4}


def test_frames_of_numbers_become_arrays_as_elsewhere_in_scikit_learn():
    frame = pandas.DataFrame(holed(), columns=list("abcd"))
    imputer = MaskedImputer(SMALL, random_state=0)
    assert isinstance(imputer.fit_transform(frame), np.ndarray)
    for library, kind in (("pandas", pandas.DataFrame), ("polars", polars.DataFrame)):
        found = imputer.set_output(transform=library).transform(frame)
        assert isinstance(found, kind)
        assert list(found.columns) == list("abcd")


def test_skops_trusts_all_but_the_classes_themselves():
    X = holed()
    imputer = MaskedImputer(SMALL, random_state=0).fit(X)
    data = skops.dumps(imputer)
    unknown = skops.get_untrusted_types(data=data)
    assert unknown == [
        "maskwise.integrations.sklearn_autoencoder.MaskedAutoencoder",
        "maskwise.integrations.sklearn_imputer.MaskedImputer",
    ]
    assert np.array_equal(skops.loads(data, trusted=unknown).transform(X), imputer.transform(X))


def test_works_in_pipelines_and_searches():
    X, y = holed(), np.arange(60.0)
    columns = compose.ColumnTransformer(
        [("impute", MaskedImputer(SMALL), [0, 2])], remainder="passthrough"
    )
    pipeline = pipelines.make_pipeline(columns, linear.Ridge())
    grid = {"columntransformer__impute__estimator__width": [4, 8]}
    assert np.isfinite(selection.GridSearchCV(pipeline, grid, cv=2).fit(X, y).best_score_)


def test_arrays_of_objects_whose_categories_are_named():
    X = np.array([["Bern", 1.5], ["Rome", 7.5], [None, 1.0], ["Rome", np.nan]] * 9, dtype=object)
    imputer = MaskedImputer(base.clone(SMALL).set_params(categorical=[0]), random_state=0)
    found = imputer.fit_transform(X)
    assert set(found[:, 0]) == {"Bern", "Rome"}
    assert np.isfinite(found[:, 1].astype(float)).all()
    with pytest.raises(ValueError, match="could not convert string"):
        MaskedImputer(SMALL).fit(X)


def test_names_dates_and_texts_pass_through_and_are_told_once(caplog):
    rows = np.arange(60)
    frame = pandas.DataFrame(
        {
            "id": [f"p{n:04}" for n in rows],
            "day": pandas.date_range("2024-01-01", periods=60),
            "note": [f"seen {n} times, felt {n % 7}" for n in rows],
            "a": np.sin(rows),
            "stars": np.clip(np.round(3 + 2 * np.sin(rows)), 1, 5),
        }
    )
    frame.loc[3, ["id", "day", "note", "a"]] = None
    frame.loc[5::9, "stars"] = np.nan
    found = MaskedImputer(SMALL, random_state=0).fit_transform(frame)
    for name in ("id", "day", "note"):
        pandas.testing.assert_series_equal(found[name], frame[name])
    assert found[["a", "stars"]].notna().all(axis=None)
    assert set(found["stars"]) <= {1, 2, 3, 4, 5}
    assert caplog.text.count("left as they are: id, day, note") == 1
    loose = MaskedImputer(SMALL, round=False, clip=False, random_state=0).fit_transform(frame)
    assert (loose["stars"] % 1).any()
    frame["a"] = [f"{n}" for n in rows[:-1]] + ["heavy"]
    wide = pandas.concat([frame, frame.assign(a=[str(n) for n in 60 + rows])])
    with pytest.raises(ValueError, match=r"'heavy' in data row 60 is no number") as caught:
        MaskedImputer(SMALL).fit(wide)
    assert "--" not in str(caught.value)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_texts_of_a_frame_are_what_they_say(library):
    where = np.array(["EU", "NA", "AS"], dtype=object)[np.arange(60) % 3]
    frame = (pandas if library == "pandas" else polars).DataFrame({"a": holed()[:, 0], "w": where})
    found = MaskedImputer(SMALL, random_state=0).fit_transform(frame)
    assert list(found["w"]) == where.tolist()


@pytest.mark.parametrize("nothing", [None, np.nan, "pandas"])
def test_every_word_for_nothing_is_one(nothing):
    nothing = pandas.NA if nothing == "pandas" else nothing
    X = holed()
    plain = MaskedImputer(SMALL, random_state=0).fit_transform(X)
    imputer = MaskedImputer(SMALL, missing_values=nothing, random_state=0)
    assert np.array_equal(imputer.fit_transform(X), plain)
    objects = np.where(np.isnan(X), np.array(nothing, dtype=object), X.astype(object))
    assert np.array_equal(imputer.fit_transform(objects).astype(float), plain)
    frame = pandas.DataFrame(X).convert_dtypes()
    assert np.array_equal(imputer.fit_transform(frame), plain)


def test_a_text_can_stand_for_missing_ones():
    X = np.array([["Bern", 1.5], ["Rome", 7.5], ["?", 1.0], ["Rome", 2.5]] * 9, dtype=object)
    imputer = MaskedImputer(SMALL, missing_values="?", add_indicator=True, random_state=0)
    found = imputer.fit_transform(X)
    assert set(found[:, 0]) == {"Bern", "Rome"}
    assert (found[:, 1] == X[:, 1]).all()
    assert found[:, 2].astype(int).tolist() == [0, 0, 1, 0] * 9
    frame = imputer.fit_transform(pandas.DataFrame(X, columns=["city", "n"]))
    assert frame["city"].tolist() == found[:, 0].tolist()


def test_numbers_of_an_array_stay_numbers(caplog):
    X = holed()
    X[:, 1] = np.arange(60) % 2
    imputer = MaskedImputer(SMALL, random_state=0).fit(X)
    kinds = [column["kind"] for column in imputer.estimator_.state_["table"]["columns"]]
    assert kinds == ["number"] * 4
    X[:, 1] = 0.5  # no unseen category
    before = imputer.transform(X)
    X[:, 1] = 0.75
    assert not np.array_equal(imputer.transform(X)[:, 0], before[:, 0])
    assert "never saw" not in caplog.text
    X[:, 1] = np.where(np.arange(60) % 4 == 3, np.nan, np.arange(60) % 2)
    assert set(imputer.transform(X)[:, 1]) == {0, 1}
    named = base.clone(SMALL).set_params(categorical=[1])
    table = MaskedImputer(named, random_state=0).fit(X).estimator_.state_["table"]
    assert table["columns"][1]["kind"] == "category"
