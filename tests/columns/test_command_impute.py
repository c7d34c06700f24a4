import csv

import numpy as np
import pytest

from maskwise.cells.cells import Cells
from maskwise.columns.model import TabularModelSettings
from maskwise.files import write_json
from maskwise.modalities import build, find
from maskwise.run import Run, save_model
from maskwise.settings import override, to_dict
from maskwise.tables.table import Column, Table

SHAPE = TabularModelSettings(width=8, depth=1, code=4)
GENES = tuple(f"g{i}" for i in range(6))


def make_run(folder, modality, kind, **changes):
    save_model(folder / "model", build(modality, SHAPE, seed=0))
    write_json(
        folder / "config.json", to_dict(override(find(kind).settings(model=SHAPE), changes))
    )
    return folder


@pytest.fixture
def table_run(tmp_path):
    """The folder of a run on a table, with initial weights."""
    columns = Column("age", "number", 40.0, 10.0), Column("sex", "category", categories=("f", "m"))
    return make_run(tmp_path / "run", Table(columns), "tables")


@pytest.fixture
def cells_run(tmp_path):
    """The folder of a run on counts of cells, with initial weights."""
    cells = Cells(GENES, "nb", profile=(1 / 6,) * 6, target_sum=12.0)
    return make_run(tmp_path / "run", cells, "cells", **{"data.loss": "nb"})


@pytest.fixture
def h5ad(tmp_path):
    anndata = pytest.importorskip("anndata")
    counts = np.random.default_rng(0).poisson(2, (5, 6)).astype(np.float32)
    adata = anndata.AnnData(counts, layers={"other": counts * 0 + 1})
    adata.var_names = GENES
    adata.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


def test_a_table(cli, table_run, tmp_path):
    source, out = tmp_path / "holes.csv", tmp_path / "full.csv"
    source.write_text("age,sex,name\n41.50,,ann\n,m,\n30,f,eve\n")
    status, printed, err = cli("impute", table_run, source, "-o", out)
    assert (status, err) == (0, "")
    assert printed == f"{out}: 2 missing values filled in, 2 columns\n"
    with out.open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["age", "sex", "name"]
    assert (rows[1][0], rows[1][2], rows[2][1:], rows[3]) == (
        *("41.50", "ann", ["m", ""], ["30", "f", "eve"]),
    )
    assert rows[1][1] in ("f", "m")
    found = Run(table_run).impute({"age": [None], "sex": ["m"]})
    assert float(rows[2][0]) == pytest.approx(found["age"][0], rel=1e-5)


def test_features_of_a_table(cli, table_run, tmp_path):
    source, out = tmp_path / "holes.csv", tmp_path / "z.npy"
    source.write_text("age,sex\n41.50,\n,m\n")
    status, printed, _ = cli("embed", table_run, source, "-o", out)
    assert (status, printed) == (0, f"{out}: 2 x 4, float32\n")
    assert np.load(out, allow_pickle=False).shape == (2, 4)


def test_cells(cli, cells_run, h5ad, tmp_path):
    anndata = pytest.importorskip("anndata")
    out, array = tmp_path / "out.h5ad", tmp_path / "z.npy"
    status, printed, _ = cli("impute", cells_run, h5ad, "-o", out)
    assert (status, printed) == (0, f"{out}: layers['maskwise_imputed'], 5 x 6, float32\n")
    status, printed, _ = cli("embed", cells_run, out, "-o", out.with_name("both.h5ad"))
    assert printed.endswith("both.h5ad: obsm['X_maskwise'], 5 x 4, float32\n")
    assert cli("embed", cells_run, h5ad, "-o", array)[0] == 0
    found = anndata.read_h5ad(tmp_path / "both.h5ad")
    np.testing.assert_array_equal(found.obsm["X_maskwise"], np.load(array, allow_pickle=False))
    given = anndata.read_h5ad(h5ad)
    counts = given.X
    kept = found.layers["maskwise_imputed"]
    np.testing.assert_array_equal(kept[counts > 0], counts[counts > 0])
    assert Run(cells_run).impute(given) is given
    np.testing.assert_array_equal(given.layers["maskwise_imputed"], kept)
    assert cli("impute", cells_run, h5ad, "-o", out, "--entries", "all")[0] == 0
    assert (anndata.read_h5ad(out).layers["maskwise_imputed"] != kept)[counts > 0].all()


def test_another_layer_is_read(cli, cells_run, h5ad, tmp_path):
    out = tmp_path / "z.npy"
    assert cli("embed", cells_run, h5ad, "-o", out, "--data.layer", "other")[0] == 0
    found = np.load(out, allow_pickle=False)
    # All cells are the same there.
    np.testing.assert_allclose(found, np.broadcast_to(found[:1], found.shape), rtol=1e-5)
    annotated = tmp_path / "out.h5ad"
    assert cli("embed", cells_run, h5ad, "-o", annotated, "--data.layer", "other")[0] == 0
    anndata = pytest.importorskip("anndata")
    np.testing.assert_array_equal(anndata.read_h5ad(annotated).obsm["X_maskwise"], found)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("impute {h5ad} -o out.csv", "out.csv: annotated cells are written as .h5ad"),
        ("impute none.h5ad -o out.h5ad", "none.h5ad is no .h5ad file"),
        ("impute {h5ad} -o {h5ad}", "cells.h5ad is what is read: choose another --out"),
        ("impute {h5ad} -o out.h5ad --train.steps 3", "imputing cannot change 'train.steps'"),
        ("impute {h5ad} -o out.h5ad --data.layer wrong", "no layer 'wrong'"),
        ("embed {h5ad} -o out.txt", "features are written as .npy, .npz, .csv, .tsv, .parquet"),
        ("embed {h5ad} -o out.h5ad --layer 7", "layer 7 is outside"),
    ],
)
def test_bad_words(cli, cells_run, h5ad, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    verb, *rest = words.format(h5ad=h5ad).split()
    before = h5ad.read_bytes()
    status, out, err = cli(verb, cells_run, *rest)
    assert (status, out) == (2, "")
    assert says in err.splitlines()[-1]
    assert h5ad.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"run", "cells.h5ad"}


def test_other_data(cli, table_run, h5ad, tmp_path):
    out = tmp_path / "out.h5ad"
    status, _, err = cli("embed", table_run, h5ad, "-o", out)
    assert (status, err) == (2, "maskwise: AnnData is for models of cells, and this is none\n")
    write_json(table_run / "config.json", to_dict(find("text").settings()))
    status, _, err = cli("impute", table_run, h5ad, "-o", out)
    assert (status, err) == (
        2,
        f"maskwise: {table_run} is a run on text: impute cells or tables\n",
    )
    assert not out.exists()
