import gzip
import lzma
import sys

import numpy as np
import pytest

from maskwise.errors import UserError
from maskwise.tables.files import read_table, write_table
from tests.lazy import lazy

pandas = lazy("pandas")
feather = lazy("pyarrow.feather")

TEXT = 'a,"b, c",d\n1,x,0.5\n2,"y ""z""",\n3,?,-1e-3\n'
EXPECTED = {
    "a": np.array([1, 2, 3]),
    "b, c": np.array(["x", 'y "z"', None], dtype=object),
    "d": np.array([0.5, np.nan, -1e-3]),
}


def same(found, expected=EXPECTED):
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert found[name].dtype == values.dtype, name
        np.testing.assert_array_equal(found[name], values)


def test_text_files_compressed_or_not(tmp_path):
    for name, opener in (("t.csv", open), ("t.csv.gz", gzip.open), ("T.CSV.xz", lzma.open)):
        with opener(tmp_path / name, "wt", encoding="utf-8-sig") as file:
            file.write(TEXT)
        same(read_table(tmp_path / name))
    (tmp_path / "t.tsv").write_text("a\t b\n1\tx\n2\t y\n")
    same(
        read_table(tmp_path / "t.tsv"), {"a": np.array([1, 2]), "b": np.array(["x", " y"], object)}
    )


def test_binary_tables(tmp_path):
    frame = pandas.DataFrame(EXPECTED)
    frame.to_parquet(tmp_path / "t.parquet")
    feather.write_feather(frame, str(tmp_path / "t.feather"))
    same(read_table(tmp_path / "t.parquet"))
    same(read_table(tmp_path / "t.feather"))


def test_arrays(tmp_path):
    array = np.arange(6.0).reshape(3, 2)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", features=array, y=np.array(["p", "q", "p"]))
    numbers = {"x0": array[:, 0], "x1": array[:, 1]}
    same(read_table(tmp_path / "a.npy"), numbers)
    same(read_table(tmp_path / "a.npz"), numbers | {"y": np.array(["p", "q", "p"], object)})


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_what_is_written_is_read(tmp_path, name):
    extra = {"e": np.array([True, False, True]), "f": np.array([0.1 + 0.2, 1e300, 5e-324])}
    write_table(tmp_path / name, pandas.DataFrame(EXPECTED | extra))
    same(read_table(tmp_path / name), EXPECTED | extra)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("t.csv", b"a,b\n1,2\n3\n", "row 3 has 1 columns, not 2"),
        ("t.csv", b"1.5,2\n3,4\n", "the first line must name the columns"),
        ("t.csv", b"", "the first line must name the columns"),
        ("t.csv", b"a,b,a\n1,2,3\n", "two columns are called 'a'"),
        ("t.csv", b",a,b\n0,1,2\n", "column 1 has no name"),
        ("t.csv.gz", b"a,b\n1,2\n", "cannot read"),
        ("t.parquet", b"nothing", "cannot read"),
        ("t.feather", b"nothing", "cannot read"),
        ("t.npy", b"nothing", "cannot be read as an array"),
        ("t.npz", b"nothing", "cannot be read as an array"),
        ("t.xlsx", b"nothing", "not a table; tables are .csv, .tsv"),
        ("t", b"nothing", "not a table"),
    ],
)
def test_broken_files_are_named(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=says) as caught:
        read_table(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_arrays_must_have_rows_and_columns(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(3))
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 2)), y=np.zeros(2))
    np.savez(tmp_path / "b.npz", x=np.zeros((3, 2, 2)))
    np.savez(tmp_path / "c.npz", x=np.array([{}], dtype=object))
    for name, says in [
        ("a.npy", r"a.npy: ndarray of shape \(3,\) is no table"),
        ("a.npz", "a.npz: column 'y' has 2 rows and 'x0' has 3"),
        ("b.npz", r"b.npz: column 'x': a column has shape \(3, 2, 2\)"),
        ("c.npz", "c.npz: cannot be read"),
        ("d.csv", "no such file"),
    ]:
        with pytest.raises(UserError, match=says):
            read_table(tmp_path / name)


def test_tables_are_written_as_text_or_parquet(tmp_path):
    with pytest.raises(UserError, match=r"tables are written as \.csv or \.parquet"):
        write_table(tmp_path / "t.xlsx", EXPECTED)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        write_table(tmp_path / "file" / "t.csv", EXPECTED)


def test_binary_tables_need_pyarrow(tmp_path, monkeypatch):
    pandas.DataFrame(EXPECTED).to_parquet(tmp_path / "t.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for use in (read_table, lambda path: write_table(path, EXPECTED)):
        with pytest.raises(UserError, match=r'pip install "maskwise\[data\]"'):
            use(tmp_path / "t.parquet")


def test_only_names(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n")
    assert [len(values) for values in read_table(tmp_path / "t.csv").values()] == [0, 0]
