"""AnnData in memory and in files: every way of storing it gives the same rows."""

import os
import warnings

import numpy as np
import pytest
from scipy import sparse

from maskwise.cells.anndata_files import files_of, of_anndata, open_file, read_column
from maskwise.errors import UserError
from tests.lazy import lazy

ad = lazy("anndata")
pd = lazy("pandas")
h5py = lazy("h5py")


NAMES = [f"GENE{n}" for n in range(12)]


def counts(num=30, seed=0):
    generator = np.random.default_rng(seed)
    return generator.poisson(1.0, (num, len(NAMES))).astype(np.float32)


def annotated(matrix, **columns):
    obs = pd.DataFrame(columns, index=[f"cell{n}" for n in range(matrix.shape[0])])
    return ad.AnnData(matrix, obs=obs, var=pd.DataFrame(index=NAMES))


def write(adata, path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr's formats
        (adata.write_zarr if path.suffix == ".zarr" else adata.write_h5ad)(path, **options)
    return path


def dense(matrix, rows):
    sizes, columns, values = matrix.read(np.asarray(rows))
    found = np.zeros((len(rows), matrix.num_columns), dtype=np.float32)
    found[np.repeat(np.arange(len(rows)), sizes), columns] = values
    return found


STORED = {
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "dense": np.asarray,
    "int64": lambda x: sparse.csr_matrix(x.astype(np.int64)),
    "big-endian": lambda x: x.astype(">f4"),
}


@pytest.mark.parametrize(
    ("name", "compression"),
    [("a.h5ad", None), ("a.h5ad", "gzip"), ("a.h5ad", "lzf"), ("a.zarr", None)],
)
@pytest.mark.parametrize("kind", STORED)
def test_every_way_of_storing_gives_the_same_rows(tmp_path, monkeypatch, name, compression, kind):
    monkeypatch.setenv("MASKWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("maskwise.cells.matrix._PART", 40)  # several parts
    values = counts()
    values[4] = 0
    options = {"compression": compression} if compression else {}
    path = write(annotated(STORED[kind](values)), tmp_path / name, **options)
    rows = np.random.default_rng(1).permutation(30)[:17]
    for _ in range(2):  # unpacked, and from the cache
        found = open_file(path, None, None)
        assert found.genes.names == tuple(NAMES)
        np.testing.assert_array_equal(dense(found.matrix, rows), values[rows])
    in_place = not compression and kind in ("csr", "int64") and name.endswith("h5ad")
    assert (tmp_path / "cache").exists() == (not in_place)
    np.testing.assert_array_equal(
        dense(of_anndata(annotated(STORED[kind](values)), None, None).matrix, rows), values[rows]
    )


@pytest.mark.parametrize("kind", ["csr", "csc", "dense"])
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_cells_without_a_single_count(tmp_path, monkeypatch, kind, compression):
    monkeypatch.setenv("MASKWISE_CACHE", str(tmp_path / "cache"))
    adata = annotated(STORED[kind](np.zeros((3, 12), np.float32)))
    path = write(adata, tmp_path / "none.h5ad", compression=compression)
    assert not dense(open_file(path, None, None).matrix, [2, 0]).any()


def test_a_file_of_many_chunks_is_read_where_it_lies(tmp_path, monkeypatch):
    monkeypatch.setenv("MASKWISE_CACHE", str(tmp_path / "cache"))
    generator = np.random.default_rng(0)
    values = generator.poisson(0.3, (4000, 12)).astype(np.float32)
    path = write(annotated(sparse.csr_matrix(values)), tmp_path / "cells.h5ad")
    with h5py.File(path) as file:
        assert file["X/data"].chunks[0] < len(file["X/data"])
    rows = generator.permutation(4000)
    np.testing.assert_array_equal(dense(open_file(path, None, None).matrix, rows), values[rows])
    assert not (tmp_path / "cache").exists()


def test_a_file_that_changes_is_unpacked_again(tmp_path, monkeypatch):
    monkeypatch.setenv("MASKWISE_CACHE", str(tmp_path / "cache"))
    for seed in (0, 1):
        for name in ("cells.h5ad", "cells.zarr"):
            path = write(annotated(counts(seed=seed)), tmp_path / name)
            os.utime(path, (seed, seed))
            np.testing.assert_array_equal(
                dense(open_file(path, None, None).matrix, range(30)), counts(seed=seed)
            )


def layered():
    adata = annotated(np.log1p(counts()), kind=["a", "b"] * 15)
    adata.layers["counts"] = sparse.csr_matrix(counts(seed=1))
    adata.raw = annotated(counts(seed=2))
    adata.var["gene_ids"] = [f"ENSG{n:011d}.1" for n in range(12)]
    return adata


@pytest.mark.parametrize("how", ["memory", "backed", "view", "h5ad", "zarr"])
def test_layers_genes_and_columns(tmp_path, how):
    adata = layered()
    expected = {None: np.log1p(counts()), "counts": counts(seed=1), "raw": counts(seed=2)}
    rows = np.arange(30)
    if how in ("h5ad", "zarr"):
        path = write(adata, tmp_path / f"cells.{how}")
    else:
        if how == "backed":
            adata = ad.read_h5ad(write(adata, tmp_path / "cells.h5ad"), backed="r")
        rows = np.arange(3, 30) if how == "view" else rows
        adata = adata[rows] if how == "view" else adata
    for layer, values in expected.items():
        if how in ("h5ad", "zarr"):
            found = open_file(path, layer, "gene_ids" if layer is None else None)
        else:
            found = of_anndata(adata, layer, "gene_ids" if layer is None else None)
        np.testing.assert_array_equal(
            dense(found.matrix, range(len(rows))), values[rows].astype(np.float32)
        )
        assert list(found.column("kind")) == [["a", "b"][row % 2] for row in rows]
        assert sorted(found.with_counts()) == ["counts", "raw"]
        if layer is None:
            assert found.genes.names[1] == "ENSG00000000001.1"
            assert found.genes.others == (tuple(NAMES),)
        elif layer == "counts":
            assert found.genes.others[0][1] == "ENSG00000000001.1"


@pytest.mark.parametrize(
    ("layer", "gene_ids", "message"),
    [
        ("count", None, "no layer 'count'; did you mean 'counts'.*data=..layer"),
        (None, "gene_id", "var has no column 'gene_id'; did you mean 'gene_ids'"),
    ],
)
def test_a_layer_or_column_that_is_not_there(tmp_path, layer, gene_ids, message):
    path = write(layered(), tmp_path / "cells.h5ad")
    for read in (lambda *a: open_file(path, *a), lambda *a: of_anndata(layered(), *a)):
        with pytest.raises(UserError, match=message):
            read(layer, gene_ids)
    with pytest.raises(UserError, match="obs has no column 'kinds'; did you mean 'kind'"):
        read_column([open_file(path, None, None)], "kinds", "labels")
    without = annotated(counts())
    sets = [open_file(write(without, tmp_path / "b.h5ad"), None, None)]
    with pytest.raises(UserError, match="obs has no column 'kind'; it has none"):
        read_column(sets, "kind", "labels")
    with pytest.raises(UserError, match=r"array: no raw.X; it has X"):
        of_anndata(without, "raw", None)


def test_files_that_are_no_anndata(tmp_path):
    (tmp_path / "text.h5ad").write_text("no")
    with pytest.raises(UserError, match=r"cannot read .*text.h5ad: no HDF5 file"):
        open_file(tmp_path / "text.h5ad", None, None)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["X"], file["Y"] = counts(), np.arange(30)
    with pytest.raises(UserError, match=r"other.h5: no AnnData: it has X, Y, not obs and var"):
        open_file(tmp_path / "other.h5", None, None)
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(UserError, match=r"empty.zarr: no zarr folder"):
        open_file(tmp_path / "empty.zarr", None, None)
    with pytest.raises(UserError, match=r"cells are ndarray: give anndata.AnnData"):
        of_anndata(counts(), None, None)


def test_files_of_before_anndata_0_7(tmp_path):
    with h5py.File(tmp_path / "old.h5ad", "w") as file:
        table = np.array([(b"a", 1)], dtype=[("index", "S4"), ("n", "i4")])
        file["X"], file["obs"], file["var"] = counts(1)[:, :1], table, table
        group = file.create_group("raw.X")
        group.attrs["h5sparse_format"] = "csr"
    with pytest.raises(UserError, match=r"old.h5ad: obs and var are of anndata before 0.7"):
        open_file(tmp_path / "old.h5ad", None, None)


def test_sources(tmp_path):
    for name in ("b.h5ad", "a.h5ad", "c.zarr", "notes.txt"):
        (tmp_path / name).touch()
    names = lambda source: [path.name for path in files_of(source)]  # noqa: E731
    assert names(str(tmp_path)) == ["a.h5ad", "b.h5ad", "c.zarr"]
    assert names(f"{tmp_path}/*.h5ad") == ["a.h5ad", "b.h5ad"]
    assert names(f"{tmp_path}/b.h5ad+{tmp_path}/a.h5ad") == ["b.h5ad", "a.h5ad"]
    with pytest.raises(UserError, match=r"did you mean '.*a.h5ad'"):
        files_of(f"{tmp_path}/a.h5d")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty: no cells here"):
        files_of(str(tmp_path / "empty"))


def test_columns_of_files_of_anndata_0_7(tmp_path):
    path = write(annotated(counts(4)), tmp_path / "cells.h5ad")
    with h5py.File(path, "a") as file:
        obs = file["obs"]
        obs.attrs["encoding-version"] = "0.1.0"
        obs.attrs["column-order"] = np.array(["kind"], dtype=object)
        obs["__categories/kind"] = np.array(["x", "y"], dtype=object)
        obs["kind"] = np.array([1, 0, -1, 1], dtype=np.int8)
        obs["kind"].attrs["categories"] = obs["__categories/kind"].ref
    found = open_file(path, None, None).column("kind")
    assert found.astype(object).where(found.notna(), None).tolist() == ["y", "x", None, "y"]
