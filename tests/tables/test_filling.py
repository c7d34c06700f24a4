import numpy as np
import pytest
import torch

from maskwise.cells.cells import Cells
from maskwise.errors import UserError
from maskwise.tables.files import fill, fill_file
from maskwise.tables.table import Column, Table
from tests.columns.small_samples import make_model

TABLE = Table(
    (
        Column("age", "number", 40.0, 10.0),
        Column("num", "number", 3.0, 1.0, whole=True),
        Column("sex", "category", categories=("f", "m")),
        Column("ok", "category", categories=(False, True)),
    )
)
TABLE_NAMES = [column.name for column in TABLE.columns]
# Columns that the model does not know, categories that it never saw.
DATA = {
    "id": ["a", "b", "c", "d"],
    "age": [50.125, None, 1 / 3, 20.0],
    "num": [1, None, 3, 4],
    "sex": ["m", None, "f", "x"],
    "ok": [True, False, None, True],
    "other": [None, "q", None, None],
}


@pytest.fixture(scope="module")
def model():
    return make_model(TABLE)


def expected(model):
    """What the model says of the gaps, one row at a time."""
    samples = torch.tensor([[np.nan, np.nan, np.nan, 0.0], [(1 / 3 - 40) / 10, 0.0, 0.0, np.nan]])
    with torch.no_grad():
        second, third = (
            model.predict(row[None], torch.zeros(1, 4, dtype=torch.bool))[0] for row in samples
        )
    return {
        "age": float(second[0]) * 10 + 40,
        "num": round(float(second[1]) + 3),
        "sex": "fm"[int(second[2])],
        "ok": bool(third[3]),
    }


def check(columns, model):
    want = expected(model)
    assert columns["age"][1] == pytest.approx(want["age"], rel=1e-5)
    assert (columns["num"][1], columns["sex"][1]) == (want["num"], want["sex"])
    assert columns["ok"][2] == want["ok"]
    for name, values in DATA.items():
        for row, value in enumerate(values):
            if value is not None:
                assert columns[name][row] == value
    assert [each for each in columns["other"] if each is not None] == ["q"]
    assert list(columns) == list(DATA)


def test_columns(model):
    given = {name: list(values) for name, values in DATA.items()}
    check({name: list(values) for name, values in fill(model, given).items()}, model)
    assert given == DATA


def test_pandas(model):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        DATA | {"num": pandas.array(DATA["num"], dtype="Int64")}, index=list("wxyz")
    )
    frame["sex"] = frame["sex"].astype("category")
    frame["ok"] = frame["ok"].astype("boolean")
    before = frame.copy()
    found = fill(model, frame)
    pandas.testing.assert_frame_equal(frame, before)
    assert (found.dtypes == frame.dtypes).all()
    assert found.index.equals(frame.index)
    assert (found["age"].iloc[[0, 2, 3]] == frame["age"].iloc[[0, 2, 3]]).all()
    check({name: found[name].to_list() for name in found}, model)


def test_pandas_keeps_narrow_numbers_and_learns_categories(model):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({name: DATA[name] for name in TABLE_NAMES})
    frame["age"] = frame["age"].astype("float32")
    frame["sex"] = pandas.Categorical([None, None, None, None], categories=["other"])
    found = fill(model, frame)
    assert found["age"].dtype == "float32"
    assert found["age"].notna().all()
    assert found["sex"].cat.categories[0] == "other"
    assert set(found["sex"]) <= {"f", "m"}


def test_polars_and_arrow(model):
    polars = pytest.importorskip("polars")
    pytest.importorskip("pyarrow")
    frame = polars.DataFrame(DATA).with_columns(polars.col("sex").cast(polars.Categorical))
    found = fill(model, frame)
    assert found.schema == frame.schema
    check(found.to_dict(as_series=False), model)
    table = frame.with_columns(polars.col("num").cast(polars.Int16)).to_arrow()
    found = fill(model, table)
    assert found.schema == table.schema
    check(found.to_pydict(), model)


def test_arrays_by_place(model):
    array = np.array([[50.0, 1.0, 0.0, 1.0], [np.nan, 1.0, 1.0, np.nan]])
    numbers = make_model(
        Table((*TABLE.columns[:2], *(Column(f"x{i}", "number", 0.0, 1.0) for i in (2, 3))))
    )
    found = fill(numbers, array)
    known = ~np.isnan(array)
    assert (found[known] == array[known]).all()
    assert np.isfinite(found).all()
    assert np.isnan(array).any()


def test_more_rows_than_fit_at_once(model):
    rng = np.random.default_rng(0)
    columns = {"age": rng.normal(size=600), "num": rng.normal(size=600)}
    columns |= {"sex": ["m"] * 600, "ok": [True] * 600}
    columns["age"][rng.random(600) < 0.3] = np.nan
    found = fill(model, columns)["age"]
    [gap] = np.flatnonzero(np.isnan(columns["age"]))[-1:]
    alone = {name: list(values[gap : gap + 1]) for name, values in columns.items()}
    assert found[gap] == pytest.approx(fill(model, alone)["age"][0], rel=1e-5)


def test_texts_stay_as_they_are(model, tmp_path):
    source, out = tmp_path / "a.csv", tmp_path / "b.csv"
    source.write_text(
        'id,age , num,sex,ok,other\n"a, b",50.1250,1,m,True,\nb,NA,,,False,"say ""x"""\n\n'
        "c,.33333333,03,f,?, q\n"
    )
    assert fill_file(model, source, out) == {"age": 1, "num": 1, "sex": 1, "ok": 1}
    want = expected(model)
    # Texts that are not numbers are no reason to round: training saw whole numbers alone.
    lines = out.read_text().splitlines()
    assert lines[0] == "id,age , num,sex,ok,other"
    assert lines[1] == '"a, b",50.1250,1,m,True,'
    found = lines[2].split(",")
    assert float(found[1]) == pytest.approx(want["age"], rel=1e-4)
    assert (found[0], float(found[2]), found[3]) == ("b", want["num"], want["sex"])
    assert lines[2].endswith(',False,"say ""x"""')
    assert lines[3] == f"c,.33333333,03,f,{want['ok']}, q"


def test_parquet_keeps_its_types(model, tmp_path):
    pandas = pytest.importorskip("pandas")
    parquet = pytest.importorskip("pyarrow.parquet")
    frame = pandas.DataFrame(DATA | {"num": pandas.array(DATA["num"], dtype="Int64")})
    source, out = tmp_path / "a.parquet", tmp_path / "b.parquet"
    frame.to_parquet(source)
    assert fill_file(model, source, out) == {"age": 1, "num": 1, "sex": 1, "ok": 1}
    assert parquet.read_schema(out) == parquet.read_schema(source)
    check(parquet.read_table(out).to_pydict(), model)
    # And to text.
    fill_file(model, source, tmp_path / "c.csv")
    assert (tmp_path / "c.csv").read_text().splitlines()[1].startswith("a,50.125,1")


FORMULAS = ["=HYPERLINK(1)", "+1+2", "@x", "-2-3"]
HARMLESS = ["-1.5", "+41 44 1", "-", "a=b"]


@pytest.mark.parametrize(("name", "sign"), [("a.csv", ","), ("a.tsv", "\t")])
def test_spreadsheets_run_nothing_that_is_written(model, tmp_path, caplog, name, sign):
    source, out = tmp_path / name, tmp_path / f"out{name[1:]}"
    cells = [*FORMULAS, *HARMLESS]
    rows = [["age", "num", "sex", "ok", "=sum"], *([50, 1, "m", True, cell] for cell in cells)]
    source.write_text("".join(sign.join(map(str, row)) + "\n" for row in rows))
    fill_file(model, source, out)
    found = [line.split(sign)[4] for line in out.read_text().splitlines()]
    assert found == ["'=sum", *(f"'{cell}" for cell in FORMULAS), *HARMLESS]
    told = (
        "5 cells that a spreadsheet would run begin with an apostrophe: =sum, =HYPERLINK(1), +1+2"
    )
    assert f'{told}, ... (as they are: data={{"formulas": "keep"}})' in caplog.text
    fill_file(model, source, out, formulas="keep")
    assert out.read_text() == source.read_text()
    frame = {**dict.fromkeys(TABLE_NAMES, [None] * len(cells)), "text": cells}
    assert list(fill(model, frame)["text"]) == cells


def test_what_cannot_be_filled(model, tmp_path):
    source = tmp_path / "a.csv"
    source.write_text("age,num,sex,ok\n,1,m,True\n")
    for out, says in (("b.txt", "tables are written as"), ("b.tsv", "tables are written as")):
        with pytest.raises(UserError, match=says):
            fill_file(model, source, tmp_path / out)
    with pytest.raises(UserError, match="is what is read"):
        fill_file(model, source, source)
    with pytest.raises(UserError, match="lacks column 'ok'"):
        fill(model, {"age": [1.0], "num": [1], "sex": ["m"]})
    with pytest.raises(UserError, match="this is none"):
        fill(make_model(Cells(("a", "b"))), {"a": [1.0]})
    assert source.read_text() == "age,num,sex,ok\n,1,m,True\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
