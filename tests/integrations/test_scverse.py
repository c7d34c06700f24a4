import numpy as np
import pytest
import torch

from maskwise.cells.cells import Cells
from maskwise.cells.data import CellsDataSettings
from maskwise.errors import UserError
from maskwise.integrations import scverse
from tests.columns.small_samples import make_model, table_of
from tests.lazy import lazy

anndata = lazy("anndata")
h5py = lazy("h5py")
sparse = lazy("scipy.sparse")


GENES = tuple(f"g{i}" for i in range(12))
# In another order, without g11, and with genes that the model does not know.
OTHER = ["x", *reversed(GENES[:11]), "y"]
NUM = 300


@pytest.fixture(scope="module")
def model():
    return make_model(Cells(GENES, "nb", profile=(1 / 12,) * 12, target_sum=40.0))


@pytest.fixture
def adata():
    counts = np.random.default_rng(0).poisson(1.5, (NUM, len(OTHER))).astype(np.float32)
    made = anndata.AnnData(sparse.csr_matrix(counts))
    made.var_names, made.obs_names = OTHER, [f"c{i}" for i in range(NUM)]
    return made


def samples_of(adata):
    """Cells as the model reads them; g11 was not measured."""
    counts = torch.from_numpy(adata[:, list(GENES[:11])].X.toarray())
    return torch.cat([counts, torch.full((adata.n_obs, 1), torch.nan)], dim=1)


def test_features(model, adata):
    scverse.embed(model, adata)
    found = adata.obsm["X_maskwise"]
    assert (found.shape, found.dtype) == ((NUM, 6), np.float32)
    with torch.no_grad():
        want = model.encode(samples_of(adata)).numpy()
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-6)
    note = adata.uns["maskwise"]["X_maskwise"]
    assert note["genes"] == "array: 11 of 12 genes (11 by name)"
    scverse.embed(model, adata, "X_other", layer=0)
    assert set(adata.uns["maskwise"]) == {"X_maskwise", "X_other"}


def test_no_value_is_predicted_from_its_fold(model, adata, caplog):
    scverse.impute(model, adata, entries="all", folds=3, seed=4)
    found = adata.to_df("maskwise_imputed")
    samples = samples_of(adata)
    fold = np.random.default_rng(4).permutation(12) % 3
    # One gene at a time: what is hidden with it, and what the model then says of it.
    for place, gene in enumerate(GENES[:11]):
        blank = torch.from_numpy(fold == fold[place])
        shown = torch.where(blank, 99.0, samples)  # whatever was there
        with torch.no_grad():
            want = model.predict(shown, blank.expand(NUM, -1))[:, place]
        np.testing.assert_allclose(found[gene], want, rtol=1e-4)
    assert found[["x", "y"]].isna().all(axis=None)
    assert "2 of 13 genes are unknown to the model: NaN" in caplog.text


def test_what_was_measured_is_kept(model, adata):
    scverse.impute(model, adata, "every", entries="all")
    scverse.impute(model, adata)
    counts, kept, every = (
        each[:, 1:-1]
        for each in (adata.X.toarray(), adata.layers["maskwise_imputed"], adata.layers["every"])
    )
    np.testing.assert_array_equal(kept[counts > 0], counts[counts > 0])
    np.testing.assert_array_equal(kept[counts == 0], every[counts == 0])
    assert (every[counts > 0] != counts[counts > 0]).all()
    assert adata.uns["maskwise"]["maskwise_imputed"]["entries"] == "zeros"


def test_normalised_values(adata):
    """The layer is in the model's space: log1p of counts scaled to its library size."""
    scverse.impute(make_model(Cells(GENES, target_sum=40.0)), adata)
    counts = adata.X.toarray()
    logs = np.log1p(counts * 40 / counts.sum(axis=1, keepdims=True))
    found = adata.layers["maskwise_imputed"]
    there = counts[:, 1:-1] > 0
    np.testing.assert_allclose(found[:, 1:-1][there], logs[:, 1:-1][there], rtol=1e-5)


def test_raw_has_genes_of_its_own(model, adata):
    whole = adata.copy()
    adata.raw = adata
    few = adata[:, ["g2", "x", "g1"]].copy()
    scverse.impute(model, few, data=CellsDataSettings(layer="raw"))
    scverse.impute(model, whole)
    want = whole[:, ["g2", "x", "g1"]].layers["maskwise_imputed"]
    np.testing.assert_allclose(few.layers["maskwise_imputed"], want, rtol=1e-5)


def test_a_copy_of_a_file(model, adata, tmp_path):
    source, out = tmp_path / "cells.h5ad", tmp_path / "out.h5ad"
    adata.uns["kept"] = {"a": 1}
    adata.obsm["X_pca"] = np.ones((NUM, 2))
    adata.write_h5ad(source)
    before = source.read_bytes()
    assert scverse.embed_file(model, source, out) == (NUM, 6)
    assert scverse.impute_file(model, out, tmp_path / "both.h5ad") == (NUM, 13)
    assert source.read_bytes() == before
    found = anndata.read_h5ad(tmp_path / "both.h5ad")
    scverse.embed(model, adata)
    scverse.impute(model, adata)
    np.testing.assert_allclose(found.obsm["X_maskwise"], adata.obsm["X_maskwise"], rtol=1e-5)
    want = adata.layers["maskwise_imputed"]
    np.testing.assert_allclose(found.layers["maskwise_imputed"], want, rtol=1e-5)
    assert set(found.uns["maskwise"]) == {"X_maskwise", "maskwise_imputed"}
    assert found.uns["kept"] == {"a": 1}
    assert (found.obsm["X_pca"] == 1).all()
    assert (found.X != adata.X).nnz == 0
    assert found.var_names.equals(adata.var_names)
    assert {path.name for path in tmp_path.iterdir()} == {"cells.h5ad", "out.h5ad", "both.h5ad"}


def test_backed_cells(model, adata, tmp_path):
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    scverse.embed(model, backed)
    scverse.embed(model, adata)
    np.testing.assert_allclose(backed.obsm["X_maskwise"], adata.obsm["X_maskwise"], rtol=1e-6)
    backed.file.close()


@pytest.mark.filterwarnings("ignore:Observation names are not unique")
@pytest.mark.parametrize("mode", ["r", "r+"])
@pytest.mark.parametrize("rows", [slice(3, 9), [7, 2, 2], np.arange(NUM) % 50 == 1])
def test_a_view_of_backed_cells(model, adata, tmp_path, rows, mode, caplog):
    scverse.embed(model, adata)
    scverse.impute(model, adata)
    whole = adata.copy()
    del adata.obsm["X_maskwise"], adata.layers["maskwise_imputed"]
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed=mode)
    try:
        some = backed[rows]
        with caplog.at_level("INFO", logger="maskwise"):
            scverse.embed(model, some)
        assert "this view of a file is copied into memory" in caplog.text
        scverse.impute(model, some)
        np.testing.assert_allclose(
            some.obsm["X_maskwise"], whole[rows].obsm["X_maskwise"], rtol=1e-5, atol=1e-6
        )
        np.testing.assert_allclose(
            some.layers["maskwise_imputed"], whole[rows].layers["maskwise_imputed"], rtol=1e-5
        )
        assert (some.obs_names == whole[rows].obs_names).all()
        assert not backed.obsm
        assert backed.n_obs == NUM
    finally:
        backed.file.close()


@pytest.mark.parametrize("what", ["cells", "genes"])
@pytest.mark.parametrize("how", ["view", "copy", "backed", "file"])
def test_nothing_to_read_is_told_before_all_else(model, adata, tmp_path, what, how, monkeypatch):
    monkeypatch.setattr(model, "encode", None)
    monkeypatch.setattr(model, "predict", None)
    monkeypatch.setenv("MASKWISE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "cells.h5ad"
    none = adata[:0] if what == "cells" else adata[:, :0]
    none.copy().write_h5ad(path)
    if how == "file":
        for write in (scverse.embed_file, scverse.impute_file):
            with pytest.raises(UserError, match=rf"cells.h5ad has no {what}: give data"):
                write(model, path, tmp_path / "out.h5ad")
        assert not (tmp_path / "out.h5ad").exists()
        return
    if how == "backed":
        adata.write_h5ad(path)
        backed = anndata.read_h5ad(path, backed="r")
        none = backed[:0] if what == "cells" else backed[:, :0]
    for write in (scverse.embed, scverse.impute):
        with pytest.raises(UserError, match=rf"array has no {what}: give data that have some"):
            write(model, none.copy() if how == "copy" else none)


def test_files_without_places_for_results(model, adata, tmp_path):
    source = tmp_path / "cells.h5ad"
    adata.write_h5ad(source)
    with h5py.File(source, "r+") as root:
        for name in ("obsm", "layers", "uns"):
            del root[name]
    scverse.embed_file(model, source, tmp_path / "out.h5ad")
    assert "X_maskwise" in anndata.read_h5ad(tmp_path / "out.h5ad").obsm


def test_what_cannot_be_done(model, adata, tmp_path):
    with pytest.raises(UserError, match="AnnData is for models of cells, and this is none"):
        scverse.embed(make_model(table_of((0, 0))), adata)
    with pytest.raises(UserError, match="folds 1 leave nothing visible"):
        scverse.impute(model, adata, folds=1)
    with pytest.raises(UserError, match="2 of 12 genes of the model are in array"):
        scverse.embed(model, adata[:, ["g1", "g2", "x"]].copy())
    source = tmp_path / "cells.h5ad"
    adata.write_h5ad(source)
    with pytest.raises(UserError, match=r"cells\.h5ad is what is read"):
        scverse.embed_file(model, source, source)
    with pytest.raises(UserError, match="annotated cells are written"):
        scverse.impute_file(model, source, tmp_path / "out.csv")
    with pytest.raises(UserError, match=r"none\.h5ad is no \.h5ad file"):
        scverse.embed_file(model, tmp_path / "none.h5ad", tmp_path / "out.h5ad")
    assert [path.name for path in tmp_path.iterdir()] == ["cells.h5ad"]
