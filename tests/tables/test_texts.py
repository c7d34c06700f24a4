"""Text files as people have them: their words for what is missing, spaces, signs, encodings."""

import numpy as np
import pytest

import maskwise as mw
from maskwise.errors import UserError
from maskwise.tables.data import TableDataSettings, from_frame
from maskwise.tables.files import fill, fill_file, read_table
from maskwise.tables.frames import columns_of
from maskwise.tables.table import Table
from maskwise.tables.texts import Dialect
from tests.columns.small_samples import make_model
from tests.lazy import lazy

pandas = lazy("pandas")


def table(tmp_path, content, encoding="utf-8"):
    path = tmp_path / "a.csv"
    path.write_bytes(content.encode(encoding))
    return path


def model_of(columns):
    return make_model(Table.learn(columns_of(columns)))


def test_texts_of_a_data_frame_are_never_missing():
    where = ["EU", "NA", "AS", "?", "null", ""] * 5
    frame = pandas.DataFrame({"a": np.arange(30.0), "where": where})
    splits = from_frame(frame, TableDataSettings())
    assert splits.tokenizer.columns[1].categories == ("", "?", "AS", "EU", "NA", "null")
    found = fill(make_model(splits.tokenizer), frame)
    pandas.testing.assert_frame_equal(found, frame)


def test_in_a_file_a_list_of_texts_is_missing_and_told(tmp_path, caplog):
    path = table(tmp_path, "a,where\n1,EU\n-999,NA\n3,-\n4,\n")
    found = read_table(path)
    assert found["where"].tolist() == ["EU", None, "-", None]
    assert found["a"].tolist() == [1, -999, 3, 4]
    assert "texts count as missing (data={\"missing\": ...}): 1 'NA' in where" in caplog.text
    found = read_table(path, TableDataSettings(missing=("-", "-999")).dialect)
    assert found["where"].tolist() == ["EU", "NA", None, None]
    np.testing.assert_array_equal(found["a"], [1, np.nan, 3, 4])
    assert read_table(path, Dialect(missing=()))["where"].tolist() == ["EU", "NA", "-", None]
    with pytest.raises(UserError, match="missing is for files"):
        from_frame({"a": [1, 2]}, TableDataSettings(missing=("-",)))


def test_words_for_missing_values_are_a_setting(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"{n % 9}.5,{('EU', 'NA')[n % 2]}" for n in range(40)]
    table(tmp_path, "\n".join(["a,where", *rows, "1.5,-"]) + "\n")
    tiny = ["--train.steps", 2, "--train.batch_size", 8, "--evaluate.baselines", "false"]
    words = ["pretrain", "a.csv", *tiny, "--data.missing", "-", "--out", "run"]
    assert cli(*words)[0] == 0
    assert mw.Run("run").config.data.missing == ("-",)
    assert cli("impute", "run", "a.csv", "-o", "b.csv")[0] == 0
    lines = (tmp_path / "b.csv").read_text().splitlines()
    assert lines[:-1] == ["a,where", *rows]
    assert lines[-1] in ("1.5,EU", "1.5,NA")


def test_values_are_written_as_they_were_spelled(tmp_path):
    path = table(
        tmp_path,
        "a, job,flag,zip,n\n"
        + "1.50, Private,true,01,3.0\n2.25, Gov,false,02,4.0\n" * 3
        + "1,,,,\n2, ?,true,02,3.0\n3,Private,true,02,3.0\n",
    )
    columns = read_table(path)
    assert columns["job"].tolist()[:2] == [" Private", " Gov"]
    model = model_of(columns)
    assert model.tokenizer.columns[1].categories == (" Gov", " Private")  # once each
    assert fill_file(model, path, tmp_path / "b.csv") == {"job": 2, "flag": 1, "zip": 1, "n": 1}
    before, after = path.read_text().splitlines(), (tmp_path / "b.csv").read_text().splitlines()
    assert after[:7] + after[9:] == before[:7] + before[9:]
    _, job, flag, number, n = after[7].split(",")
    assert job in (" Private", " Gov")
    assert flag in ("true", "false")
    assert number in ("01", "02")
    assert n in ("3.0", "4.0")
    # Spaces make no other category, in a data frame either, which keeps its own spelling.
    frame = {"a": [1.5, 2.0], "job": ["Gov", None], "flag": [True, False], "zip": [1, 2]}
    for some in (["Gov", None], ["Private", None]):
        found = fill(model, frame | {"job": some, "n": [3, 4]})["job"]
        assert found[1] in (some[0], " Private", " Gov")
    spaced = {f" {name}": values for name, values in columns.items()}
    assert list(fill(model, spaced)) == list(spaced)
    assert (fill(model, spaced)[" job"] == fill(model, columns)["job"]).all()
    assert (model.tokenizer.encode(columns)[0] == model.tokenizer.encode(columns)[2]).all()


def test_numbers_may_be_names(tmp_path):
    path = table(tmp_path, "country,2019,2020\nc1,1.5,2\nc2,3,4\n")
    assert list(read_table(path)) == ["country", "2019", "2020"]
    for content in ("2019,2020\n1,2\n", "c1,2,3\nc2,3,4\nc1,1,2\n"):
        path = table(tmp_path, content)
        with pytest.raises(UserError, match="the first line must name the columns"):
            read_table(path)
        names = [text.strip() for text in content.split("\n")[0].split(",")]
        assert list(read_table(path, Dialect(header=True))) == names
        found = read_table(path, Dialect(header=False))
        assert list(found) == [f"x{place}" for place in range(len(names))]
        assert str(found["x0"][0]) == names[0]


def test_a_file_without_names_is_filled_as_one(tmp_path):
    path = table(tmp_path, "1.5,x\n2.5,y\n,x\n")
    dialect = Dialect(header=False)
    columns = read_table(path, dialect)
    assert fill_file(model_of(columns), path, tmp_path / "b.csv", dialect) == {"x0": 1}
    lines = (tmp_path / "b.csv").read_text().splitlines()
    assert lines[:2] == ["1.5,x", "2.5,y"]
    assert 0 < float(lines[2].split(",")[0]) < 4


EXPECTED = {"a": [0.5, -1.25, 30.0], "b": [1, 2, 3], "städte": ["Zürich", "Genève", "Zürich"]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252"])
@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
def test_separators_decimals_and_encodings_are_found(tmp_path, caplog, encoding, sign):
    comma = sign in ";\t"
    rows = [["a", "b", "städte"], ["0,5", "1", "Zürich"], ["-1,25", "2", "Genève"]]
    rows += [["3e1" if comma else "30.", "3", "Zürich"]]
    content = "\n".join(sign.join(row) for row in rows) + "\n"
    content = content if comma else content.replace("0,5", "0.5").replace("-1,25", "-1.25")
    path = table(tmp_path, content, encoding)
    found = read_table(path)
    assert {name: values.tolist() for name, values in found.items()} == EXPECTED
    assert ('data={"delimiter"' in caplog.text) == (sign != ",")
    assert ("decimals have a comma, such as 0,5" in caplog.text) == comma
    assert ("not UTF-8, read as cp1252" in caplog.text) == (encoding in ("latin-1", "cp1252"))
    # What is written is read, and all that was there are the same bytes.
    path.write_bytes((content + sign.join(["", "", "Genève"]) + "\n").encode(encoding))
    fill_file(model_of(found), path, tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_bytes().startswith(content.encode(encoding))
    again = read_table(tmp_path / "b.csv")
    assert again["a"].tolist()[:3] == EXPECTED["a"]
    assert np.isfinite(again["a"]).all()


def test_dialects_may_be_given(tmp_path):
    path = table(tmp_path, "a;b\n1,234;x\n2,345;y\n")
    assert read_table(path)["a"].tolist() == [1.234, 2.345]
    found = read_table(path, Dialect(delimiter=";", decimal="."))
    assert found["a"].tolist() == ["1,234", "2,345"]
    path = table(tmp_path, 'a,b\n"1,234",x\n"2,345",y\n')
    with pytest.raises(
        UserError, match=r"column 'a': 1,234 is 1\.234 or 1234: say data=..decimal.: ...."
    ):
        read_table(path)
    path = table(tmp_path, "a,b\nЖ,1\n", "cp1251")
    assert read_table(path, Dialect(encoding="cp1251"))["a"].tolist() == ["Ж"]
    with pytest.raises(UserError, match="not in the encoding utf-8"):
        read_table(path, Dialect(encoding="utf-8"))
    assert TableDataSettings(delimiter="tab").dialect.delimiter == "\t"
    with pytest.raises(UserError, match="'tabs' must be one character, or tab"):
        TableDataSettings(delimiter="tabs")
    with pytest.raises(UserError, match="encoding 'klingon' is not known"):
        TableDataSettings(encoding="klingon")


def test_commas_within_texts_are_no_decimals(tmp_path):
    path = table(tmp_path, 'a,b\n"1,5 and 2",0.5\n"x, y",1.5\n"7",2\n')
    assert read_table(path)["a"].tolist() == ["1,5 and 2", "x, y", "7"]
    path = table(tmp_path, "".join(f"{n}.5,a;b\n" for n in range(300)))
    assert list(read_table(path, Dialect(header=False))) == ["x0", "x1"]


def test_a_header_that_is_a_switch(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table(tmp_path, "".join(f"{n % 7},{n % 5}.5\n" for n in range(40)))
    tiny = ["--train.steps", 2, "--train.batch_size", 8, "--evaluate.baselines", "false"]
    words = ["pretrain", "a.csv", *tiny, "--out", "run"]
    status, _, err = cli(*words)
    assert (status, "--data.header false" in err, (tmp_path / "run").exists()) == (2, True, False)
    assert cli(*words, "--data.header", "false")[0] == 0
    assert mw.Run("run").config.data.header is False
