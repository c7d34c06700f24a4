"""Matrices as 10x, and tools that follow it, write them: an .h5, or an .mtx with two lists."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import io, sparse

from maskwise.errors import UserError, require
from maskwise.files import atomic, cached, stamp
from maskwise.textio import is_data, kind_of, read_lines, readable

log = logging.getLogger("maskwise")

_MATRIX = "matrix.mtx"
_GENES, _CELLS = ("features.tsv", "genes.tsv"), ("barcodes.tsv",)
_GROUP = {"barcodes", "data", "indices", "indptr", "shape"}
_EXPRESSION = "Gene Expression"  # in Cell Ranger's words, beside antibodies, guides and peaks


def matrices_in(folder: Path) -> list[Path]:
    """Return the matrices of a folder: those called ``matrix.mtx``, or else .mtx, or else .h5.

    Of an .h5 with all droplets and its twin with cells the twin is meant.
    """
    inside = sorted(filter(is_data, folder.iterdir()))
    texts = [each for each in inside if kind_of(each) == ".mtx"]
    if texts:
        return [each for each in texts if _MATRIX in each.name] or texts
    found = [each for each in inside if each.suffix == ".h5" and _groups(each)]
    names = [each.name for each in found]
    twins = {name.replace("filtered", "raw") for name in names if "filtered" in name}
    raw = [each for each in found if each.name in twins]
    for each in raw:
        log.info("%s is left out: the cells in it are in a filtered file beside it", each)
    return [each for each in found if each not in raw]


def is_matrix(path: Path) -> bool:
    """Return whether a file is such a matrix."""
    return path.is_file() and (kind_of(path) == ".mtx" or bool(_groups(path)))


def as_h5ad(path: Path) -> Path:
    """Return a matrix as an .h5ad, which is kept; genes are named by symbols, then by their ids.

    Raises:
        UserError: it cannot be read, or its lists are not there or of another length.
    """
    anndata = require("anndata", path, "cells")
    import pandas as pd

    text = kind_of(path) == ".mtx"
    sources = [path, *(_beside(path, of) for of in (_GENES, _CELLS))] if text else [path]
    prefix = path.name.split(_MATRIX)[0].strip("._-") if _MATRIX in path.name else path.stem
    folder = cached("tenx", [1, *map(stamp, sources)])
    kept = folder / f"{prefix or path.absolute().parent.name}.h5ad"
    if kept.is_file():
        return kept
    matrix, genes, cells = _read_text(*sources) if text else _read_h5(path)
    # A line may lack the type, and the name.
    ids, names, types = ([row[min(at, len(row) - 1)] for row in genes] for at in range(3))
    adata = anndata.AnnData(sparse.csr_matrix(matrix))
    adata.obs_names = cells
    adata.var["gene_ids"] = np.array(ids, dtype=object)
    adata.var_names = anndata.utils.make_index_unique(pd.Index(names, dtype=object))
    if twice := len(names) - len(set(names)):
        log.info("%s: %d names of genes were there before and are numbered", path, twice)
    if _EXPRESSION in types:
        others = Counter(each for each in types if each != _EXPRESSION)
        for what, num in others.items():
            log.info("%s: %d features left out, no genes: %s", path, num, what)
        adata = adata[:, [each == _EXPRESSION for each in types]].copy()
    with atomic(kept) as temporary:
        adata.write_h5ad(temporary)
    return kept


def _beside(path: Path, names: Sequence[str]) -> Path:
    """Return the list of that name, with the prefix of a matrix or none, also compressed."""
    prefix = path.name.split(_MATRIX)[0] if _MATRIX in path.name else ""
    for name in (prefix + each for each in names):
        for ending in ("", ".gz"):
            if (found := path.with_name(name + ending)).is_file():
                return found
    raise UserError(
        f"{path}: no {' or '.join(prefix + each for each in names)} (or .gz) beside it, which"
        " names what is in the matrix: put it there"
    )


def _read_text(path: Path, genes: Path, cells: Path) -> tuple[Any, list[list[str]], list[str]]:
    """Return a matrix of cells by genes, [id, name, type] of genes, and names of cells."""
    with readable(path):
        matrix = io.mmread(path)
    features = [line.rstrip("\r\n").split("\t") for line in read_lines(genes) if line.strip()]
    barcodes = [line.strip() for line in read_lines(cells) if line.strip()]
    shape = len(features), len(barcodes)
    if matrix.shape == shape:
        matrix = matrix.T
    elif matrix.shape != shape[::-1]:
        raise UserError(
            f"{path} has {matrix.shape[0]:,} by {matrix.shape[1]:,} values, {genes.name}"
            f" {shape[0]:,} genes and {cells.name} {shape[1]:,} cells: give files of one data set"
        )
    return matrix, features, barcodes


def _groups(path: Path) -> list[str]:
    """Return the groups of an HDF5 file that hold such a matrix: "matrix", or a genome."""
    try:
        import h5py

        with h5py.File(path, "r") as file:
            groups = {name: each for name, each in file.items() if isinstance(each, h5py.Group)}
            return [name for name, each in groups.items() if each.keys() >= _GROUP]
    except (ImportError, OSError):
        return []


def _read_h5(path: Path) -> tuple[Any, list[list[str]], list[str]]:
    """Return what `_read_text` does."""
    import h5py

    names = _groups(path)
    if len(names) > 1:
        raise UserError(f"{path} has several genomes, {', '.join(names)}: write a file of each")
    with readable(path), h5py.File(path, "r") as file:
        group = file[names[0]]
        features = group.get("features", group)
        known = [name for name in ("name", "gene_names", "id", "genes") if name in features]
        if not known:
            raise UserError(f"{path}: its genes have no names: write it again")
        lists = [features[name].asstr()[:] for name in (known[-1], known[0])]
        if "feature_type" in features:
            lists.append(features["feature_type"].asstr()[:])
        genes = [list(row) for row in zip(*lists, strict=True)]
        cells = list(group["barcodes"].asstr()[:])
        values = group["data"][:], group["indices"][:], group["indptr"][:]
        return sparse.csr_matrix(values, shape=(len(cells), len(genes))), genes, cells
