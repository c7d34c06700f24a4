"""AnnData, where scverse users look: features in `obsm`, imputed expression in `layers`."""

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from maskwise import __version__
from maskwise.cells.anndata_files import AnnData, files_of
from maskwise.cells.cells import Cells
from maskwise.cells.data import CellsDataSettings
from maskwise.cells.genes import Matching
from maskwise.cells.others import EMPTY, Aligned, align
from maskwise.cells.tenx import as_h5ad, is_matrix
from maskwise.columns.evaluation import embed_rows
from maskwise.columns.model import TabularModel
from maskwise.columns.tabular import TabularRows
from maskwise.errors import UserError, option
from maskwise.files import atomic
from maskwise.measure.features import frozen, in_batches
from maskwise.modality import Blanks, MaskedModel, Pool
from maskwise.outputs import spread
from maskwise.textio import few

log = logging.getLogger("maskwise")

KEY = "X_maskwise"
LAYER = "maskwise_imputed"
NOTES = "maskwise"
LARGE = 4.0  # GiB of a layer that is worth a warning

CellsRun: TypeAlias = Any
"""a run on cells, which has `config` and `model()`"""


def embed(
    run: CellsRun | MaskedModel,
    adata: AnnData,
    key: str = KEY,
    *,
    layer: int = -1,
    data: CellsDataSettings | None = None,
) -> None:
    """Write features of cells to ``adata.obsm[key]``, float32 [N, D]; nothing is hidden.

    Those of a cell without any count are NaN. ``adata.uns["maskwise"][key]`` says how they were
    made.

    Args:
        run: a run on cells, or its model.
        adata: AnnData, in memory or backed; read some cells at a time.
        key: where features go.
        layer: which layer of the model, -1 = the last.
        data: how to read the cells; default: as the run read its own.

    Raises:
        UserError: no model of cells, or fewer than half of its genes are among the data's.

    Example:
        >>> import anndata
        >>> from maskwise.columns.model import TabularModelSettings
        >>> shape = TabularModelSettings(width=8, depth=1, code=4)
        >>> model = TabularModel(Cells(("CD3E", "LYZ")), shape)
        >>> adata = anndata.AnnData(np.array([[3.0, 0, 1], [0, 2, 0]], dtype=np.float32))
        >>> adata.var_names = ["LYZ", "CD3E", "GNLY"]
        >>> embed(model, adata)
        >>> adata.obsm["X_maskwise"].shape
        (2, 4)
    """
    model, cells, _ = _aligned(run, adata, data)
    adata.obsm[key] = features_of(model, cells, layer)
    _note(adata, key, cells.matchings[0], {"layer": layer})


def impute(
    run: CellsRun | MaskedModel,
    adata: AnnData,
    layer: str = LAYER,
    *,
    entries: Blanks = "zeros",
    folds: int = 5,
    seed: int = 0,
    data: CellsDataSettings | None = None,
) -> None:
    """Write what a model expects of each gene to ``adata.layers[layer]``, float32 [N, genes].

    Genes are split into folds at random; those of a fold are hidden from the model together, so
    that no value is predicted from itself. Values are those that the model works with:
    log1p-normalised expression, or counts where its loss is of counts. A normalised value knows
    of the hidden ones through the library size of its cell; counts do not.

    Genes that the model does not know are NaN, and the log says how many.

    Args:
        run: a run on cells, or its model.
        adata: AnnData, in memory or backed; read some cells at a time.
        layer: where values go.
        entries: "zeros" keeps what was measured above zero; "all" replaces it, too.
        folds: how many; in each, 1/folds of the genes are hidden.
        seed: of the folds.
        data: how to read the cells; default: as the run read its own.

    Raises:
        UserError: fewer than two folds, or as for `embed`.
    """
    if folds < 2:
        raise UserError(f"folds {folds} leave nothing visible: give at least 2")
    model, cells, data = _aligned(run, adata, data)
    rows, [matching] = cells.rows, cells.matchings
    if len(cells.empty):
        log.warning("%d cells without any count are imputed from nothing", len(cells.empty))
    places = matching.columns
    if data.layer == "raw":  # whose genes are others than those of layers
        places = np.append(adata.var_names.get_indexer(adata.raw.var_names), -1)[places]
    known = places >= 0
    num, width = adata.shape
    size = num * width * 4 / 2**30
    if size > LARGE:
        log.warning("layer '%s' takes %.0f GiB: choose some genes of adata first", layer, size)
    out = np.full(adata.shape, np.nan, dtype=np.float32)
    for part, given, values in _predicted(model, rows, folds, seed):
        if entries == "zeros":
            values = np.where(given > 0, given, values)
        out[np.ix_(part, places[known])] = values[:, known]
    unknown = width - int(known.sum())
    if unknown:
        log.warning("%d of %d genes are unknown to the model: NaN", unknown, width)
    adata.layers[layer] = out
    _note(adata, layer, matching, {"entries": entries, "folds": folds, "seed": seed})


def embed_file(
    run: CellsRun | MaskedModel,
    source: Path,
    out: Path,
    *,
    layer: int = -1,
    data: CellsDataSettings | None = None,
) -> tuple[int, int]:
    """Write a copy of an .h5ad (or 10x) with features in obsm; return their shape. As `embed`."""
    with _copied(source, out, "obsm", KEY) as adata:
        embed(run, adata, layer=layer, data=data)
    return adata.obsm[KEY].shape


def impute_file(
    run: CellsRun | MaskedModel,
    source: Path,
    out: Path,
    *,
    entries: Blanks = "zeros",
    data: CellsDataSettings | None = None,
) -> tuple[int, int]:
    """Write a copy of an .h5ad (or 10x) with an imputed layer; return its shape. As `impute`."""
    with _copied(source, out, "layers", LAYER) as adata:
        impute(run, adata, entries=entries, data=data)
    return adata.shape


def _aligned(
    run: CellsRun | MaskedModel, adata: AnnData, data: CellsDataSettings | None
) -> tuple[TabularModel, Aligned, CellsDataSettings]:
    """Return the model, the cells as it reads them, and how they are read."""
    model = run if isinstance(run, MaskedModel) else run.model()
    if not isinstance(model, TabularModel) or not isinstance(model.tokenizer, Cells):
        raise UserError("AnnData is for models of cells, and this is none")
    data = data or (CellsDataSettings() if isinstance(run, MaskedModel) else run.config.data)
    if getattr(adata, "isbacked", False) and adata.is_view:
        # As anndata does with views in memory when something is written to them.
        log.info("this view of a file is copied into memory, where what is made is written")
        adata._init_as_actual(adata.to_memory())
    return model, align(adata, model.tokenizer, data), data


def features_of(
    model: TabularModel, cells: Aligned, layer: int = -1, pool: Pool = "mean"
) -> np.ndarray:
    """Return features of cells, float32 [N, D]; NaN of those without any count.

    Raises:
        UserError: no cell has a count.
    """
    kept = np.setdiff1d(np.arange(len(cells.rows)), cells.empty)
    if not len(kept):
        raise UserError(f"none of {len(cells.rows):,} cells has a count: nothing to embed")
    if len(cells.empty):
        names = [cells.names()[row] for row in cells.empty[:4]]
        what = "%d cells have no features (NaN), without counts or with no numbers: %s"
        log.warning(what, len(cells.empty), few(names))
    broken = dict.fromkeys(cells.empty.tolist(), EMPTY)
    return spread(embed_rows(model, cells.rows, kept, layer, pool), None, broken).features


def _predicted(
    model: TabularModel, rows: TabularRows, folds: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Give numbers of cells [b], their genes and what is expected of each while hidden, [b, F]."""
    order = np.random.default_rng(seed).permutation(model.length)
    fold_of = torch.from_numpy(order % folds)
    with frozen(model) as device:
        for part in in_batches(np.arange(len(rows))):
            samples = rows.get(part)
            values = torch.empty(len(part), model.length)
            for fold in range(folds):
                hidden = fold_of == fold
                each = hidden.expand(len(part), -1).to(device)
                values[:, hidden] = model.predict(samples.to(device), each).cpu()[:, hidden]
            yield part, samples[:, : model.length].numpy(), values.numpy()


def _note(adata: AnnData, key: str, matching: Matching, settings: dict[str, str | int]) -> None:
    """Say how something was made."""
    made = {"version": __version__, "genes": str(matching), **settings}
    adata.uns[NOTES] = {**adata.uns.get(NOTES, {}), key: made}


def _one_h5ad(source: Path) -> Path:
    """Return the .h5ad that a source is, or that a matrix of 10x becomes."""
    files = files_of(str(source)) if source.exists() else []
    if len(files) == 1 and is_matrix(files[0]):
        return as_h5ad(files[0])
    if source.suffix != ".h5ad" or not source.is_file():
        raise UserError(
            f"{source} is no .h5ad file and no matrix of 10x: only of one can a copy be written;"
            f" otherwise give {option('out', 'FILE.npy')}, or use maskwise.integrations.scverse"
        )
    return source


@contextmanager
def _copied(source: Path, out: Path, group: str, key: str) -> Iterator[AnnData]:
    """Give AnnData backed by a file; an element that it gets is written to a copy of that file."""
    import anndata
    import h5py
    from anndata.io import write_elem

    source = _one_h5ad(source)
    if out.suffix != ".h5ad":
        raise UserError(f"{out}: annotated cells are written as .h5ad")
    if out.exists() and out.samefile(source):
        raise UserError(f"{out} is what is read: choose another {option('out')}")
    adata = anndata.read_h5ad(source, backed="r")
    try:
        yield adata
        found = ((group, key, getattr(adata, group)[key]), ("uns", NOTES, adata.uns[NOTES]))
    finally:
        adata.file.close()
    with atomic(out) as temporary:
        shutil.copyfile(source, temporary)
        with h5py.File(temporary, "r+") as root:
            for place, name, value in found:
                if place not in root:
                    write_elem(root, place, {})
                write_elem(root[place], name, value)
