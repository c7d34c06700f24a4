"""Rows of data sets, streams and memory maps from Python."""

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

import maskwise as mw
from maskwise.errors import UserError
from maskwise.given import Items
from maskwise.modalities import config_of, find
from maskwise.preparing import loaded
from maskwise.settings import override
from maskwise.tables.given_rows import of_items
from maskwise.train.stream import StreamBatches

TABLES = find("tables")
CONFIG = override(
    TABLES.own("array"), {"data.stream_test": 20, "data.buffer": 15, "train.batch_size": 10}
)
X = np.random.default_rng(0).normal(size=(90, 3)) @ [[1, 1, 0], [0, 1, 1], [0, 0, 1]]


def row(number):
    a, b, _ = X[number].tolist()
    return {"a": a, "b": b if number % 7 else None, "c": "xyz"[number % 3], "y": number % 2}


def rows(num=90):
    return (row(number) for number in range(num))


class Rows:
    def __init__(self, make=row):
        self.make = make

    def __len__(self):
        return 90

    def __getitem__(self, index):
        return self.make(index)


def test_data_sets_of_rows_are_read_as_tables_are():
    columns = of_items(Items(Rows()))
    assert columns["a"].tolist() == X[:, 0].tolist()
    assert columns["c"].tolist() == ["x", "y", "z"] * 30
    named, labels = of_items(Items(Rows(), y="y"))
    assert (list(named), labels) == (["a", "b", "c"], [0, 1] * 45)
    for data in (
        TensorDataset(torch.tensor(X), torch.arange(90) % 2),
        Rows(lambda n: (X[n], n % 2)),
        Rows(lambda n: [X[n], np.int64(n % 2)]),
    ):
        columns, labels = of_items(Items(data))
        np.testing.assert_array_equal(np.stack(list(columns.values()), axis=1), X)
        assert (list(columns), labels) == (["x0", "x1", "x2"], [0, 1] * 45)
        assert config_of(data, {}).modality == "tables"
    columns, labels = of_items(Items(Rows(lambda n: {"v": X[n], "k": "ab"[n % 2]}), "v", "k"))
    assert (len(columns), labels) == (3, ["a", "b"] * 45)
    assert not mw.inspect(Rows(), **{"train.batch_size": 8, "data.y": "y"}).problems


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda n: X[n, : 2 + (n < 5)], "sample 6 of 90 has 2 values and sample 1 of 90 3: give"),
        (
            lambda n: {"a": n, **({"d": 1} if n == 4 else {})},
            "sample 5 of 90 has a column 'd', wh",
        ),
        (lambda n: {"a": n, "b": [n]}, "sample 1 of 90: column 'b' is list, no value"),
        (lambda n: X[:2], r"sample 1 of 90 is no row, but ndarray of shape \(2, 3\)"),
        (lambda n: X[n] if n != 3 else None, "sample 4 of 90 is None"),
    ],
)
def test_rows_that_are_none_are_named(make, told):
    [problem] = mw.inspect(Rows(make), modality="tables").problems
    with pytest.raises(UserError, match=f"^{told}"):
        raise UserError(problem.text)


def test_a_stream_of_rows():
    config = override(CONFIG, {"data.y": "y"})
    splits = loaded(TABLES, rows, config)
    table = splits.tokenizer
    assert [column.name for column in table.columns] == ["a", "b", "c"]
    assert table.columns[0].mean == pytest.approx(X[20:40, 0].mean())
    assert splits.test.labels.tolist() == [0, 1] * 10
    assert splits.train.get(range(20)).shape == (20, 3)
    whole = table.encode({name: [each[name] for each in rows()] for name in "abc"})
    batches = list(StreamBatches(splits.stream, batch_size=14, seed=0).read(0, 5))
    seen = torch.cat([batch.samples for batch in batches])[
        torch.cat([b.ids for b in batches]).argsort()
    ]
    np.testing.assert_array_equal(seen, whole[20:])
    np.testing.assert_array_equal(splits.test.get(range(20)), whole[:20])


def test_values_that_the_first_rows_do_not_have(caplog):
    def later(value):
        return lambda: (row(n) | ({"c": value} if n == 60 else {}) for n in range(90))

    splits = loaded(TABLES, later("w"), CONFIG)
    found = [splits.stream.collate([each])[0] for each in splits.stream.samples()]
    assert torch.cat(found)[40, 2].isnan()
    assert caplog.text.count("column 'c' has values that its first rows do not") == 1
    for name, value, told in (
        ("a", float("inf"), "sample 61 of the stream: column 'a': inf: leave the value empty"),
        ("a", "much", "sample 61 of the stream: column 'a': 'much' is no number"),
        ("d", 1, "sample 61 of the stream has a column 'd', which sample 1 of the stream lacks"),
    ):
        stream = loaded(
            TABLES,
            lambda name=name, value=value: (
                row(n) | ({name: value} if n == 60 else {}) for n in range(90)
            ),
            CONFIG,
        ).stream
        with pytest.raises(UserError, match=f"^{told}"):
            list(StreamBatches(stream, batch_size=10, seed=0).read(0, 7))


def test_a_run_on_a_stream_of_rows(tmp_path):
    run = mw.pretrain(
        rows,
        out=tmp_path / "run",
        data={"stream_test": 20, "buffer": 15, "y": "y"},
        model={"width": 8, "depth": 1, "code": 4},
        train={"steps": 3, "batch_size": 16, "log_every": 1},
        evaluate={"ratios": 0.5, "impute": (), "baselines": False, "visible": (), "few": ()},
        diagnose={"num_samples": 16},
    )
    assert len(run.metrics) == 3
    assert run.result["probes"]
    assert run.embed(Rows()).shape == (90, 4)
    filled = run.impute(Rows())
    assert np.isfinite(np.asarray(filled["b"], float)).all()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"data.lags": 2}, "data.lags needs all rows in memory: leave it out for a stream"),
        ({"data.group": "c"}, "data.group needs all rows in memory"),
        ({"data.stream_test": 90}, "the stream ended after 90 samples"),
        ({"data.drop": ["q"]}, "no column 'q'"),
        ({"data.drop": ["a", "b", "y"]}, "1 columns that vary"),
        ({"pattern": "block"}, "pattern block is not for features"),
        ({"data.x": "a"}, "sample 1 of the stream is no row, but float"),
    ],
)
def test_streams_that_cannot_be_used_are_one_line(changes, told, tmp_path):
    with pytest.raises(UserError, match=told):
        mw.pretrain(
            rows, modality="tables", out=tmp_path / "run", **{"data.stream_test": 20, **changes}
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_a_memory_map_of_a_table_stays_where_it_is(dtype, tmp_path):
    np.save(tmp_path / "x.npy", (10 * X).astype(dtype))
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    splits = loaded(TABLES, (x, [0, 1] * 45), CONFIG)
    assert splits.train.read.__closure__ is not None
    held = [cell.cell_contents for cell in splits.train.read.__closure__]
    assert any(each is x for each in held)
    assert not any(isinstance(each, np.ndarray) and each is not x for each in held)
    assert (len(splits.train), len(splits.test)) == (81, 9)
    assert not set(splits.train.index) & set(splits.test.index)
    found = splits.train.get([4, 2])
    np.testing.assert_array_equal(
        found, splits.tokenizer.encode(np.array(x)[splits.train.index[[4, 2]]])
    )
    assert splits.train.labels.tolist() == (splits.train.index % 2).tolist()
    named = loaded(TABLES, x, override(CONFIG, {"data.drop": ["x1"]}))
    assert named.train.get([0]).shape == (1, 2)
    looked = mw.inspect(x, **{"train.batch_size": 8})
    assert (looked.num_train, looked.found) == (81, {"rows": 90, "rows held out": 9})
    [problem] = mw.inspect(x, **{"data.lags": 3}).problems
    assert problem.text == "data.lags needs all rows in memory: leave it out for a memory map"


def test_a_value_of_a_memory_map_that_is_infinite_is_named(tmp_path):
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float64, (90, 3))
    x[:] = X
    splits = loaded(TABLES, x, CONFIG)
    x[splits.train.index[7], 1] = np.inf
    with pytest.raises(UserError, match=rf"^row {splits.train.index[7] + 1}: column 'x1': inf"):
        splits.train.get(range(20))
