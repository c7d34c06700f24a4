"""Matrices of 10x: the same cells, whichever tool wrote them."""

import gzip
import logging

import numpy as np
import pytest
from scipy import io, sparse

from maskwise.cells.anndata_files import files_of, open_file
from maskwise.cells.cells import Cells
from maskwise.cells.data import CellsDataSettings, load
from maskwise.cells.others import align
from maskwise.errors import UserError
from maskwise.modalities import config_of
from tests.cells.test_bad_input import TINY, refused
from tests.columns.test_command_impute import make_run
from tests.lazy import lazy

ad = lazy("anndata")
h5py = lazy("h5py")


COUNTS = np.random.default_rng(0).poisson(1.5, (30, 9)).astype(np.int32)
COUNTS[:, 0] += 1
IDS = [f"ENSG{n:011d}" for n in range(9)]
NAMES = ["CD3E", "TBCE", "LYZ", "TBCE", "ACTB", "GNLY", "MS4A1", "NKG7", "CD3"]
UNIQUE = ("CD3E", "TBCE", "LYZ", "TBCE-1", "ACTB", "GNLY", "MS4A1", "NKG7")
TYPES = ["Gene Expression"] * 8 + ["Antibody Capture"]
CELLS = [f"{'ACGT'[n % 4]}{n}-1" for n in range(30)]


def text(*lists):
    return "".join("\t".join(row) + "\n" for row in zip(*lists, strict=True))


def write_text(folder, names, *, types=True, matrix=COUNTS.T):
    """An .mtx and its lists, called so; what ends in .gz is compressed."""
    folder.mkdir(parents=True, exist_ok=True)
    io.mmwrite(folder / "written.mtx", sparse.coo_matrix(matrix))
    lists = (IDS, NAMES, TYPES) if types else (IDS[:8], NAMES[:8])
    contents = ((folder / "written.mtx").read_text(), text(*lists), text(CELLS))
    (folder / "written.mtx").unlink()
    for name, content in zip(names, contents, strict=True):
        data = content.encode()
        (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return folder


def write_h5(path, *, group="matrix", old=False, genome=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = sparse.csr_matrix(COUNTS[:, :8] if old else COUNTS)
    with h5py.File(path, "w") as file:
        made = file.create_group(group)
        for name in ("data", "indices", "indptr"):
            made[name] = getattr(rows, name)
        made["shape"], made["barcodes"] = np.array(rows.shape[::-1]), np.array(CELLS, "S20")
        if old:
            made["genes"], made["gene_names"] = np.array(IDS[:8], "S"), np.array(NAMES[:8], "S")
            return path
        lists = {"id": IDS, "name": NAMES, "feature_type": TYPES}
        for name, values in {**lists, **({"genome": ["GRCh38"] * 9} if genome else {})}.items():
            made[f"features/{name}"] = np.array(values, "S")
        made["features/_all_tag_keys"] = np.array(["genome"], "S")
    return path


NOW = ("matrix.mtx.gz", "features.tsv.gz", "barcodes.tsv.gz")
OLD = ("matrix.mtx", "genes.tsv", "barcodes.tsv")
FORMS = {
    "cell ranger": lambda at: write_text(at / "a", NOW),
    "cell ranger 2": lambda at: write_text(at / "a", OLD, types=False, matrix=COUNTS.T[:8]),
    "starsolo": lambda at: write_text(at / "a", ("matrix.mtx", "features.tsv", "barcodes.tsv")),
    "cells by genes": lambda at: write_text(at / "a", NOW, matrix=COUNTS),
    "geo": lambda at: write_text(at / "a", [f"GSM1_a_{name}" for name in NOW]),
    "the matrix itself": lambda at: write_text(at / "a", NOW) / NOW[0],
    "h5": lambda at: write_h5(at / "a.h5"),
    "h5 of cell ranger 2": lambda at: write_h5(at / "a.h5", group="GRCh38", old=True),
    "cellbender": lambda at: write_h5(at / "a.h5", genome=False),
    "a folder of h5": lambda at: write_h5(at / "a/b.h5").parent,
    "a pattern": lambda at: f"{write_h5(at / 'a/b.h5').parent}/*.h5",
    "folders by a pattern": lambda at: f"{write_text(at / 'a', NOW).parent}/a*",
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MASKWISE_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_cells(form, tmp_path, caplog):
    source = FORMS[form](tmp_path / "data")
    known = Cells(UNIQUE, "nb", profile=(1 / 8,) * 8)
    with caplog.at_level(logging.INFO, logger="maskwise"):
        rows, [matching], *_ = align(str(source), known, CellsDataSettings())
    np.testing.assert_array_equal(rows.get(range(30)), COUNTS[:, :8])
    assert matching.how["by name"] == 8
    assert "1 names of genes were there before and are numbered" in caplog.text
    assert ("1 features left out, no genes: Antibody Capture" in caplog.text) == ("2" not in form)
    # Also by their ids, and a second time, from what was kept.
    known = Cells(tuple(IDS[:8]), "nb", profile=(1 / 8,) * 8)
    for data in (CellsDataSettings(), CellsDataSettings(gene_ids="gene_ids")):
        rows, *_ = align(str(source), known, data)
        np.testing.assert_array_equal(rows.get(range(30)), COUNTS[:, :8])
    if form != "a pattern" and "by a" not in form:
        assert config_of(str(source), {}).modality == "cells"


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
@pytest.mark.parametrize("form", ["cell ranger", "h5"])
def test_as_scanpy_reads_them(form, tmp_path):
    scanpy = pytest.importorskip("scanpy")
    source = FORMS[form](tmp_path)
    if source.is_dir():
        read = scanpy.read_10x_mtx(source)
    else:
        read = scanpy.read_10x_h5(source)
        read.var_names_make_unique()
    [file] = files_of(str(source))
    found = open_file(file, None, None)
    assert found.genes.names == tuple(read.var_names)
    _, _, values = found.matrix.read(np.arange(30))
    assert values.tolist() == sparse.csr_matrix(read.X).sorted_indices().data.tolist()


def test_several_samples_of_a_folder(tmp_path):
    for sample in ("GSM1_", "GSM2_"):
        write_text(tmp_path / "a", [f"{sample}{name}" for name in NOW])
    splits = load(CellsDataSettings(source=str(tmp_path / "a"), num_genes=None, batch="file"))
    assert (len(splits.train) + len(splits.test), splits.batches) == (60, ("GSM1", "GSM2"))


def test_all_droplets_beside_the_cells_are_left_out(tmp_path, caplog):
    for name in ("raw_feature_bc_matrix.h5", "filtered_feature_bc_matrix.h5"):
        write_h5(tmp_path / "outs" / name)
    with h5py.File(tmp_path / "outs/molecule_info.h5", "w") as file:
        file["count"] = COUNTS
    (tmp_path / "outs/._hidden.h5").write_bytes(b"no")
    with caplog.at_level(logging.INFO, logger="maskwise"):
        [found] = files_of(str(tmp_path / "outs"))
    assert found.name == "filtered_feature_bc_matrix.h5"
    assert "raw_feature_bc_matrix.h5 is left out" in caplog.text


def test_a_file_that_changes_is_read_again(tmp_path):
    known = Cells(tuple(IDS[:8]), "nb", profile=(1 / 8,) * 8)
    for matrix in (COUNTS.T, COUNTS.T + 1):
        rows, *_ = align(
            write_text(tmp_path / "a", NOW, matrix=matrix), known, CellsDataSettings()
        )
        np.testing.assert_array_equal(rows.get(range(30)), matrix.T[:, :8])


def test_commands_take_them(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_text(tmp_path / "a", NOW)
    write_h5(tmp_path / "a.h5")
    assert cli("pretrain", "a", *TINY, "--out", "run")[0] == 0
    assert cli("embed", "run", "a", "-o", "z.npy")[0] == 0
    assert np.load("z.npy", allow_pickle=False).shape == (30, 4)
    for source in ("a", "a.h5"):
        assert cli("impute", "run", source, "-o", "out.h5ad")[0] == 0
        found = ad.read_h5ad("out.h5ad")
        assert (found.shape, list(found.obs_names)) == ((30, 8), CELLS)
        values, seen = found.layers["maskwise_imputed"], COUNTS[:, :8] > 0
        np.testing.assert_array_equal(found.X.toarray(), COUNTS[:, :8])
        assert np.isfinite(values).all()
        assert (values[seen] > 0).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda at: (at / NOW[1]).unlink(), "no features.tsv or genes.tsv (or .gz) beside it"),
        (lambda at: (at / NOW[2]).unlink(), "no barcodes.tsv (or .gz) beside it"),
        (
            lambda at: (at / NOW[2]).write_bytes(gzip.compress(b"A\nB\n")),
            "a/matrix.mtx.gz has 9 by 30 values, features.tsv.gz 9 genes and barcodes.tsv.gz 2",
        ),
        (lambda at: (at / NOW[0]).write_bytes(b"no"), "a/matrix.mtx.gz: cannot be read"),
        (
            lambda at: (at / NOW[0]).write_bytes(gzip.compress(b"%%MatrixMarket matrix\n")),
            "a/matrix.mtx.gz: cannot be read",
        ),
    ],
)
def test_what_is_not_whole_is_one_line(cli, tmp_path, monkeypatch, change, says):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "run", Cells(UNIQUE), "cells")
    change(write_text(tmp_path / "a", NOW))
    refused(cli, ["pretrain", "a", *TINY, "--out", "new"], says)
    refused(cli, ["embed", "run", "a", "-o", "z.npy"], says)
    assert {path.name for path in tmp_path.iterdir()} == {"a", "run"}


def test_lists_of_other_systems_and_of_nothing(tmp_path):
    folder = write_text(tmp_path / "a", OLD, types=False, matrix=COUNTS.T[:8])
    (folder / OLD[1]).write_bytes("".join(f"{name}\r\n" for name in UNIQUE).encode())
    (folder / OLD[2]).write_bytes(b"same\r\n" * 30)
    known = Cells(UNIQUE, "nb", profile=(1 / 8,) * 8)
    rows, *_ = align(folder, known, CellsDataSettings())
    np.testing.assert_array_equal(rows.get(range(30)), COUNTS[:, :8])
    write_text(folder, OLD, types=False, matrix=COUNTS.T[:8, :0])
    (folder / OLD[2]).write_text("")
    with pytest.raises(UserError, match=r"a/matrix.mtx has no cells: give data that have some"):
        align(folder, known, CellsDataSettings())


def test_h5_files_that_are_not_whole(tmp_path):
    path = write_h5(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        file.copy("matrix", "mm10")
    with pytest.raises(UserError, match="several genomes, matrix, mm10: write a file of each"):
        open_file(path, None, None)
    with h5py.File(path, "r+") as file:
        del file["mm10"], file["matrix/features"]
    with pytest.raises(UserError, match="its genes have no names"):
        open_file(path, None, None)
    write_h5(path)
    with h5py.File(path, "r+") as file:
        del file["matrix/barcodes"]
        file["matrix/barcodes"] = np.array(CELLS[:3], "S")
    with pytest.raises(UserError, match=r"a.h5: cannot be read as an array"):
        open_file(path, None, None)
