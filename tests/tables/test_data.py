import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwise.errors import UserError
from maskwise.modalities import find
from maskwise.tables.data import TableDataSettings, from_frame, load
from maskwise.tables.record import RECORD, TableRunSettings
from maskwise.tables.splits import at_random, in_time
from tests.lazy import lazy

pandas = lazy("pandas")


def frame(num=40, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "id": np.array([f"row {i}" for i in range(num)], dtype=object),
        "a": rng.normal(size=num),
        "b": np.where(rng.uniform(size=num) < 0.3, np.nan, rng.normal(5, 3, size=num)),
        "c": np.array(list("xyz"), dtype=object)[rng.integers(3, size=num)],
        "who": rng.integers(8, size=num),
        "kind": np.array(["cat", "dog", None], dtype=object)[rng.integers(3, size=num)],
    }


DATA = TableDataSettings(labels="kind", drop=("id",))


def test_tables_are_split_and_encoded():
    columns = frame()
    splits = from_frame(columns, DATA)
    assert (len(splits.train), len(splits.test)) == (36, 4)
    assert splits.tokenizer is RECORD.describe(splits, TableRunSettings())[0]
    assert splits.tokenizer.names == ("a", "b", "c", "who")
    # Statistics are those of the training rows.
    np.testing.assert_allclose(splits.train.get(range(36))[:, 0].mean(), 0, atol=1e-6)
    mean = columns["a"][splits.train.index].mean()
    assert splits.tokenizer.columns[0].mean == pytest.approx(mean)
    every = np.concatenate([splits.train.index, splits.test.index])
    assert sorted(every) == list(range(40))
    samples = np.concatenate([part.get(range(len(part))) for part in (splits.train, splits.test)])
    np.testing.assert_array_equal(samples, splits.tokenizer.encode(columns)[every])


def test_labels_and_classes():
    columns = frame()
    splits = from_frame(columns, DATA)
    assert (splits.classes, splits.batches) == (("cat", "dog"), None)
    for part in (splits.train, splits.test):
        named = [None if i < 0 else splits.classes[i] for i in part.labels]
        assert named == columns["kind"][part.index].tolist()
    pair = from_frame(
        (np.arange(20.0).reshape(10, 2) ** 2, np.arange(10) % 3), TableDataSettings()
    )
    assert pair.classes == ("0", "1", "2")
    assert (pair.train.labels == pair.train.index % 3).all()
    assert from_frame(np.arange(20.0).reshape(10, 2), TableDataSettings()).train.labels is None


def test_a_file_gives_what_its_frame_gives(tmp_path):
    pandas.DataFrame(frame()).to_csv(tmp_path / "t.v1.csv", index=False)
    found = load(TableDataSettings(source=str(tmp_path / "t.v1.csv"), labels="kind", drop=("id",)))
    expected = from_frame(frame(), DATA)
    assert found.fingerprint == expected.fingerprint
    assert found.tokenizer == expected.tokenizer
    assert (found.name, expected.name) == ("t", "table")
    assert from_frame(frame(seed=1), DATA).fingerprint != expected.fingerprint


def test_groups_are_held_out_whole():
    columns = frame(200)
    splits = from_frame(columns, TableDataSettings(drop=("id", "kind"), group="who", holdout=0.3))
    assert splits.tokenizer.names == ("a", "b", "c")
    train, test = (set(columns["who"][part.index]) for part in (splits.train, splits.test))
    assert len(train | test) == 8
    assert not train & test
    assert 30 <= len(splits.test) <= 60


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["a", None])), min_size=1),
    st.floats(0.05, 0.95),
)
def test_equal_rows_are_never_on_both_sides(rows, holdout):
    numbers = np.array([number or np.nan for number, _ in rows])
    texts = np.array([text for _, text in rows], dtype=object)
    known = {(n, t) for n, t in rows if n or t}
    if len(known) < 2:
        with pytest.raises(UserError, match="different rows: a split needs two"):
            at_random({"a": numbers, "b": texts}, None, holdout)
        return
    parts = at_random({"a": numbers, "b": texts}, None, holdout)
    train, test = ({rows[i] for i in part} for part in parts)
    assert not train & test
    assert train
    assert test
    assert sorted(np.concatenate(parts)) == [i for i, (n, t) in enumerate(rows) if n or t]


def test_every_zero_is_equal_and_every_nan():
    other = np.array([0x7FF8000000000001, 0x7FF8000000000000]).view(np.float64)
    columns = {"a": np.array([0.0, -0.0, 1, 1]), "b": np.array([5.0, 5.0, *other])}
    train, test = at_random(columns, None, 0.25)  # a row, alone, if there were one
    assert sorted([train.tolist(), test.tolist()]) == [[0, 1], [2, 3]]


def test_a_share_is_held_out():
    columns = {"a": np.random.default_rng(0).normal(size=1000)}
    for holdout in (0.001, 0.1, 0.5, 0.9):
        assert len(at_random(columns, None, holdout)[1]) == round(1000 * holdout)
    # A group larger than the share is learned from.
    columns["a"][:700] = 0
    train, test = at_random(columns, None, 0.2)
    assert (len(test), set(range(700)) - set(train)) == (200, set())


def test_series_are_split_in_time_with_a_gap():
    columns = {"a": np.arange(100.0), "b": np.arange(100.0) % 7}
    splits = from_frame(columns, TableDataSettings(lags=5, holdout=0.2))
    train, test = (part.get(range(len(part))).numpy() for part in (splits.train, splits.test))
    column = splits.tokenizer.columns[0]
    raw = [column.decode(part[:, :6]).round().astype(int) for part in (train, test)]
    assert sorted(set(raw[0].ravel())) == list(range(75))
    assert sorted(set(raw[1].ravel())) == list(range(75, 100))
    assert splits.tokenizer.columns[0].mean == 37  # of rows 0 to 74
    every = splits.tokenizer.encode(columns)
    np.testing.assert_array_equal(train, every[splits.train.index])
    np.testing.assert_array_equal(test, every[splits.test.index])
    assert not np.isnan(train).any()


def test_rows_and_columns_without_values_are_left_out(caplog):
    columns = frame() | {"same": np.ones(40), "never": np.full(40, np.nan)}
    for name in ("a", "b", "c", "who", "same"):
        columns[name] = (
            pandas.Series(columns[name]).astype(object).where(np.arange(40) % 10 > 0, None)
        )
    splits = from_frame({name: list(values) for name, values in columns.items()}, DATA)
    assert len(splits.train) + len(splits.test) == 36
    assert "4 of 40 rows hold no value and are left out" in caplog.text
    assert (
        "2 of 6 columns hold one value only, or none, and are left out: same, never" in caplog.text
    )
    assert splits.tokenizer.names == ("a", "b", "c", "who")
    back = splits.tokenizer.arrays(splits.test.get([0]))
    assert back["same"].tolist() == [1]
    assert np.isnan(back["never"]).all()
    # New rows without values stay.
    assert np.isnan(splits.tokenizer.encode(columns)).all(axis=1).sum() == 4


@pytest.mark.parametrize(
    ("change", "settings", "says"),
    [
        ({}, {"labels": "kid"}, "no column 'kid'; did you mean kind?"),
        ({}, {"group": "woh"}, "no column 'woh'; did you mean who?"),
        ({}, {"drop": ("id", "bb")}, "no column 'bb'; did you mean"),
        ({}, {"categorical": ("hwo",)}, "no column 'hwo'; did you mean who?"),
        ({}, {"labels": "a"}, "labels 'a' have 40 different values; classes are at most 30"),
        ({}, {"labels": "id"}, "labels 'id' have 40 different values"),
        ({}, {"lags": 20}, "40 rows are too few for 20 lags"),
        ({}, {"lags": 1, "group": "who"}, "group=who with lags=1"),
        ({}, {"drop": ("id", "b", "c", "who")}, "1 columns that vary; a model learns one from"),
        ({}, {"drop": ("id", "a", "b", "c", "who")}, "40 rows of 0 columns: no data"),
        ({"who": np.full(40, 7)}, {"group": "who"}, "1 groups: a split needs two"),
        ({"b": np.full(40, np.inf)}, {}, "column 'b': inf in data row 1"),
    ],
)
def test_settings_that_do_not_fit(change, settings, says):
    data = {"labels": "kind", "drop": ("id",), "max_categories": 30} | settings
    with pytest.raises(UserError, match=says):
        from_frame(frame() | change, TableDataSettings(**data))


def test_tables_without_rows(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n")
    with pytest.raises(UserError, match=r"t\.csv: 0 rows of 2 columns: no data"):
        load(TableDataSettings(source=str(tmp_path / "t.csv")))
    with pytest.raises(UserError, match="3 labels for 4 rows"):
        from_frame((np.eye(4), [0, 1, 2]), TableDataSettings())


def test_a_whole_table_of_one_column_is_a_series():
    splits = from_frame({"a": np.sin(np.arange(50.0))}, TableDataSettings(lags=3))
    assert splits.tokenizer.names == ("a@-3", "a@-2", "a@-1", "a")


def test_training_sees_samples_as_they_are():
    assert find("tables").augment is None


def test_series_need_rows_of_both_parts():
    with pytest.raises(UserError, match="6 rows are too few"):
        in_time({"a": np.arange(6)}, 3, 0.1)
    values = np.arange(40.0)
    values[-10:] = np.nan
    with pytest.raises(UserError, match="40 rows are too few"):
        in_time({"a": values}, 3, 0.1)
    with pytest.raises(UserError, match="0 columns that vary"):
        from_frame({"a": np.ones(40)}, TableDataSettings(lags=3))
