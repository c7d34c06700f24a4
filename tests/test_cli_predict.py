"""`maskwise predict`: a row for each sample, from whatever of it is there."""

import csv
import dataclasses

import numpy as np
import pytest
from PIL import Image

import maskwise as mw
from maskwise.files import write_json
from maskwise.modalities import build, find
from maskwise.patches.model import PatchModelSettings
from maskwise.run import save_model
from maskwise.settings import override, to_dict
from maskwise.tables.data import from_frame
from tests.columns.test_command_impute import make_run

NUM = 60
rng = np.random.default_rng(0)
KIND = np.array(["ill", "well"])[np.arange(NUM) % 2]
FRAME = {f"x{i}": rng.normal(size=NUM).round(3) + 3 * (KIND == "ill") for i in range(3)} | {
    "kind": KIND.astype(object)
}


@pytest.fixture
def run(tmp_path):
    """An untrained run on a file of that table."""
    path = tmp_path / "a.csv"
    rows = zip(*FRAME.values(), strict=True)
    path.write_text("\n".join([",".join(FRAME), *(",".join(map(str, row)) for row in rows)]))
    settings = {"data.source": str(path), "data.labels": "kind", "data.holdout": 0.25}
    splits = from_frame(FRAME, override(find("tables").settings(), settings).data)
    run = mw.Run(make_run(tmp_path / "run", splits.tokenizer, "tables", **settings))
    run.predictor(copies=1)
    return run


@pytest.fixture
def holes(tmp_path):
    path = tmp_path / "holes.csv"
    path.write_text("id,x0,x1,x2\np1,3,4,3.5\np2,,-1,\n=p3,,,\n")
    return path


def rows_of(path):
    text = path.read_text()
    return list(
        csv.DictReader(text.splitlines(), delimiter="\t" if path.suffix == ".tsv" else ",")
    )


def test_a_row_for_each_sample(cli, run, holes, tmp_path, caplog):
    out = tmp_path / "out.csv"
    status, printed, err = cli("predict", run.path, holes, "-o", out, "--coverage", 0.8)
    assert (status, err) == (0, "")
    assert printed.startswith(f"{out}: kind of 3 samples, 3 answered, sets of ")
    rows = rows_of(out)
    assert list(rows[0]) == [
        *("name", "status", "visible", "predicted", "p_ill", "p_well", "set"),
    ]
    assert [row["name"] for row in rows] == ["p1", "p2", "'=p3"]
    nothing = "nothing visible: answered with the shares of the classes"
    assert [row["status"] for row in rows] == ["ok", "ok", nothing]
    assert [row["visible"] for row in rows] == ["1.0", "0.333333", "0.0"]
    assert [row["predicted"] for row in rows[:2]] == ["ill", "well"]
    assert all(float(row["p_ill"]) + float(row["p_well"]) == pytest.approx(1) for row in rows)
    assert set(rows[2]["set"].split("|")) <= {"ill", "well"}
    assert "predicts 'kind', learned earlier" in caplog.text
    assert f"1 samples have {nothing}: =p3" in caplog.text
    # What else is hidden.
    np.save(tmp_path / "hidden.npy", np.array([[True, True, True], [False] * 3, [False] * 3]))
    words = ("predict", run.path, holes, "-o", tmp_path / "out.tsv")
    assert cli(*words, "--hidden", tmp_path / "hidden.npy")[0] == 0
    again = rows_of(tmp_path / "out.tsv")
    assert [row["status"] for row in again] == [nothing, "ok", nothing]
    assert again[1]["p_ill"] == rows[1]["p_ill"]


def test_parquet_holds_the_same(cli, run, holes, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    for name in ("out.csv", "out.parquet"):
        assert cli("predict", run.path, holes, "-o", tmp_path / name)[0] == 0
    found, rows = parquet.read_table(tmp_path / "out.parquet"), rows_of(tmp_path / "out.csv")
    assert found.column_names == list(rows[0])
    assert found["name"].to_pylist()[2] == "=p3"  # which no spreadsheet runs here
    assert found["p_ill"].to_pylist() == [float(row["p_ill"]) for row in rows]


def test_another_label_is_learned_and_said(cli, run, holes, tmp_path, caplog):
    out = tmp_path / "out.csv"
    status, printed, _ = cli("predict", run.path, holes, "-o", out, "--labels", "x1")
    assert status == 0
    assert "x1 of 3 samples, 3 answered, intervals as wide as" in printed
    assert "x1: numbers from" in caplog.text
    assert "(else --task classes)" in caplog.text
    first, _, last = rows_of(out)
    assert float(first["low"]) < float(first["predicted"]) < float(first["high"])
    assert last["status"] == "nothing visible: answered with the mean"
    caplog.clear()
    assert cli("predict", run.path, holes, "-o", out)[0] == 0  # which stays
    assert "predicts 'x1', learned earlier" in caplog.text


def test_labels_of_a_file(cli, run, holes, tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("row,label\n" + "".join(f"{i + 1},{'ab'[i % 2]}\n" for i in range(40)))
    words = ("predict", run.path, holes, "-o", tmp_path / "out.csv", "--labels", path)
    status, printed, _ = cli(*words)
    assert status == 0
    assert "labels of 3 samples" in printed
    assert [row["predicted"] for row in rows_of(tmp_path / "out.csv")][:2] == ["a", "b"]


def test_labelled_samples_of_another_file(cli, run, holes, tmp_path):
    path = tmp_path / "other.csv"
    path.write_text(
        "x0,x2,grade\n" + "".join(f"{3 * (i % 2)},{i % 7},{'ab'[i % 2]}\n" for i in range(40))
    )
    words = ("--train", path, "--labels", "grade", "--law", "fixed:0.5")
    status, _, err = cli("predict", run.path, holes, "-o", tmp_path / "out.csv", *words)
    assert status == 0, err
    assert "p_a" in rows_of(tmp_path / "out.csv")[0]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["-o", "out.txt"], "out.txt: predictions are written as .csv, .tsv, .parquet"),
        (["-o", "o.csv", "--coverage", 1], "--coverage 1 must lie between 0 and 1"),
        (["-o", "o.csv", "--labels", "kidn"], "no column 'kidn'; did you mean kind?"),
        (["-o", "o.csv", "--train.steps", 1], "predicting cannot change 'train.steps'"),
        (["-o", "o.csv", "--law", "uniform:2"], "law"),
        (["-o", "o.csv", "--hidden", "none.npy"], "cannot be read as an array"),
        (["-o", "o.csv", "--hidden", "hidden.npy"], "hidden has the shape (9, 2): give (3, 3)"),
        (["-o", "o.csv", "--fasta", "a.fa"], "--fasta is for models of DNA"),
        (["-o", "o.csv", "--labels", "kind", "--task", "numbers"], "kind: 'ill' is no number"),
    ],
)
def test_what_is_refused_leaves_nothing(cli, run, holes, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    np.save("hidden.npy", np.zeros((9, 2), dtype=bool))
    before = sorted(tmp_path.rglob("*"))
    status, out, err = cli("predict", run.path, holes, *words)
    assert (status, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_data_without_a_column_of_the_model(cli, run, tmp_path):
    (tmp_path / "b.csv").write_text("a,b\n1,2\n")
    status, _, err = cli("predict", run.path, tmp_path / "b.csv", "-o", tmp_path / "o.csv")
    assert status == 2
    assert "the table has none of the 3 columns that the model knows, such as x0, x1, x2" in err
    assert not (tmp_path / "o.csv").exists()


def test_pictures_of_folders(cli, tmp_path):
    """A folder for each class tells what is learned; transparent pixels are not there."""
    from maskwise.images.images import Images

    pixels = rng.integers(0, 60, (40, 4, 4, 3)).astype(np.uint8)
    pixels[20:] += 180
    for row, picture in enumerate(pixels):
        place = tmp_path / "in" / ("dark" if row < 20 else "light")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(place / f"{row:02}.png")
    (tmp_path / "new").mkdir()
    glass = np.zeros((4, 4, 4), np.uint8)
    Image.fromarray(glass).save(tmp_path / "new/a.png")
    glass[:, :2] = (230, 230, 230, 255)
    Image.fromarray(glass).save(tmp_path / "new/b.png")
    shape = PatchModelSettings(width=8, depth=1, heads=2, decoder_width=8, decoder_heads=2)
    images = Images(
        patch=(2, 2), channels=3, height=4, width=4, mean=(120,) * 3, std=(90,) * 3, target="raw"
    )
    save_model(tmp_path / "run/model", build(images, shape, seed=0))
    config = dataclasses.replace(find("images").settings(), model=shape)
    config = override(config, {"data.source": str(tmp_path / "in")})
    write_json(tmp_path / "run/config.json", to_dict(config))
    mw.Run(tmp_path / "run").predictor(copies=1)
    words = ("predict", tmp_path / "run", tmp_path / "new", "-o", tmp_path / "out.csv")
    assert cli(*words)[0] == 0
    glassy, half = rows_of(tmp_path / "out.csv")
    assert (glassy["name"], glassy["visible"], half["visible"]) == ("a.png", "0.0", "0.5")
    assert glassy["status"].startswith("nothing visible")
    assert half["predicted"] == "light"
