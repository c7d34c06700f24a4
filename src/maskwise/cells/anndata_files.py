"""AnnData, in memory, in files or built in: its matrix, names of its genes, columns of `obs`."""

import difflib
import warnings
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from maskwise.cells.anndata_matrix import Element, counts_in_file, counts_in_memory, open_matrix
from maskwise.cells.csr import CSR, Matrix, in_memory
from maskwise.cells.genes import OTHER_NAMES, Genes
from maskwise.errors import UserError
from maskwise.files import Stamp, stamp

_SUFFIXES = (".h5ad", ".zarr")


class AnnData(Protocol):
    """What is asked of anndata.AnnData; obs and var are frames of pandas."""

    X: Matrix | None
    raw: Any
    obs: Any
    var: Any
    var_names: Any
    layers: MutableMapping[str, Matrix]
    obsm: MutableMapping[str, np.ndarray]
    uns: MutableMapping[str, Any]
    shape: tuple[int, int]
    isbacked: bool
    is_view: bool
    filename: Path

    def to_memory(self) -> "AnnData": ...


@dataclass(frozen=True, eq=False)
class Annotated:
    """Some annotated cells.

    Args:
        name: what messages and reports call them.
        matrix: the values.
        genes: of its columns.
        layer: what of the data the matrix is, as messages call it.
        column: returns a column of `obs`, a pandas Series or what it is made of.
        columns: the names of those.
        with_counts: returns the layers of the data that seem to hold counts.
        stamp: what tells this state of its file from another; None: it is in memory.
    """

    name: str
    matrix: CSR
    genes: Genes
    layer: str
    column: Callable[[str], object]
    columns: tuple[str, ...]
    with_counts: Callable[[], list[str]]
    stamp: Stamp | None = None

    def obs(self, name: str) -> object:
        """Return a column of `obs`.

        Raises:
            UserError: there is none of that name.
        """
        if name in self.columns:
            return self.column(name)
        raise UserError(f"{self.name}: obs has no column '{name}'{nearest(name, self.columns)}")


def nearest(name: str, known: tuple[str, ...]) -> str:
    """Return how to go on where a name is unknown.

    >>> nearest("celltype", ("cell_type", "batch"))
    "; did you mean 'cell_type'?"
    """
    found = difflib.get_close_matches(name, known, n=1)
    if found:
        return f"; did you mean '{found[0]}'?"
    return f"; it has {', '.join(known[:12]) or 'none'}"


def files_of(source: str) -> list[Path]:
    """Return the files that a source names: A.h5ad, A.zarr, a folder, a pattern or A+B.

    Raises:
        UserError: there is none.
    """
    path = Path(source).expanduser()
    if not path.exists() and "+" in source:
        return [file for part in source.split("+") for file in files_of(part)]
    if not path.exists() and any(letter in source for letter in "*?["):
        found = sorted(path.parent.glob(path.name))
    elif path.is_dir() and path.suffix != ".zarr":
        found = sorted(each for each in path.iterdir() if each.suffix in _SUFFIXES)
    elif path.exists():
        found = [path]
    else:
        beside = tuple(str(each) for each in path.parent.glob("*"))
        raise UserError(f"no file or folder '{source}'{nearest(str(path), beside)}")
    if not found:
        raise UserError(f"{source}: no cells here (looked for {' and '.join(_SUFFIXES)})")
    return found


def open_file(path: Path, layer: str | None, gene_ids: str | None) -> Annotated:
    """Open an .h5ad or .zarr file.

    Args:
        path: the file.
        layer: which matrix: None = X, "raw" = that of `raw`, else a layer.
        gene_ids: the column of `var` that names genes; None: its index.

    Raises:
        UserError: it cannot be read, is no AnnData, or lacks the layer or the column.
    """
    key, shown = _place(layer)
    with _opened(path) as root:
        element, stamped = _get(root, key, path), _stamp(path)
        var, obs = root["raw/var" if layer == "raw" else "var"], root["obs"]
        if not hasattr(var, "keys") or not hasattr(obs, "keys"):
            raise UserError(
                f"{path}: obs and var are of anndata before 0.7: read it with anndata and write it"
                " again"
            )
        columns = tuple(map(str, obs.attrs.get("column-order", ())))
        genes = _genes(_read(var), gene_ids, str(path))
        matrix = open_matrix(element, path, stamped)
    column, with_counts = partial(_column, path), partial(_layers_with_counts, path)
    name = path.name.removesuffix(path.suffix)
    return Annotated(name, matrix, genes, shown, column, columns, with_counts, stamped)


def of_anndata(adata: AnnData, layer: str | None, gene_ids: str | None) -> Annotated:
    """Return AnnData as it is; a backed one is read from its file.

    Raises:
        UserError: it is no AnnData, or lacks the layer or the column.
    """
    if not all(hasattr(adata, name) for name in ("X", "obs", "var", "layers")):
        raise UserError(f"cells are {type(adata).__name__}: give anndata.AnnData")
    columns = tuple(map(str, adata.obs.columns))
    if adata.isbacked and not adata.is_view:
        file = open_file(Path(adata.filename), layer, gene_ids)
        return replace(file, column=adata.obs.__getitem__, columns=columns)
    if adata.isbacked:
        adata = adata.to_memory()
    matrices = _matrices(adata)
    key, shown = _place(layer)
    if key not in matrices:
        raise UserError(_no_layer("array", key, tuple(matrices)))
    var = adata.raw.var if layer == "raw" else adata.var

    def with_counts() -> list[str]:
        return [_option(name) for name, matrix in matrices.items() if counts_in_memory(matrix)]

    genes = _genes(var, gene_ids, "array")
    matrix = in_memory(matrices[key])
    return Annotated("array", matrix, genes, shown, adata.obs.__getitem__, columns, with_counts)


def _matrices(adata: AnnData) -> dict[str, Matrix]:
    found: dict[str, Matrix | None] = {"X": adata.X} | {
        f"layers/{name}": adata.layers[name] for name in adata.layers
    }
    if adata.raw is not None:
        found["raw/X"] = adata.raw.X
    return {name: matrix for name, matrix in found.items() if matrix is not None}


def _place(layer: str | None) -> tuple[str, str]:
    """Return where a layer is, and what messages call it."""
    if layer in (None, "X"):
        return "X", "X"
    return ("raw/X", "raw.X") if layer == "raw" else (f"layers/{layer}", f"layer '{layer}'")


def _option(key: str) -> str:
    """Return the value of the setting `layer` for a place."""
    return {"X": "X", "raw/X": "raw"}.get(key, key.removeprefix("layers/"))


def _no_layer(where: str, key: str, known: tuple[str, ...]) -> str:
    layers = tuple(_option(name) for name in known)
    return f"{where}: no {_place(_option(key))[1]}{nearest(_option(key), layers)} (--data.layer)"


@contextmanager
def _opened(path: Path) -> Iterator[Mapping[str, Element]]:
    """Open the root of a file."""
    try:
        import anndata  # noqa: F401  registers how columns are stored
        import h5py
    except ImportError:
        raise UserError(f'{path} needs anndata: pip install "maskwise[cells]"') from None
    if path.is_dir():
        import zarr

        try:
            group: Any = zarr.open_group(path, mode="r")
            yield group
        except (FileNotFoundError, zarr.errors.GroupNotFoundError):
            raise UserError(f"{path}: no zarr folder that anndata wrote") from None
        return
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        known = "" if h5py.is_hdf5(path) else "no HDF5 file; "
        reason = str(error).split("(")[-1].rstrip(")")
        raise UserError(f"cannot read {path}: {known}{reason}") from None
    with file:
        yield file


def _get(root: Mapping[str, Element], key: str, path: Path) -> Element:
    if "obs" not in root or "var" not in root:
        found = ", ".join(sorted(root)[:8]) or "nothing"
        raise UserError(
            f"{path}: no AnnData: it has {found}, not obs and var: make one, as"
            " anndata.AnnData(X).write_h5ad(FILE)"
        )
    if key not in root:
        known = [f"layers/{name}" for name in root.get("layers", ())]
        known += [name for name in ("X", "raw/X") if name in root]
        raise UserError(_no_layer(str(path), key, tuple(known)))
    return root[key]


def _read(element: Element) -> Any:
    """Read a table or a column into memory."""
    from anndata import OldFormatWarning
    from anndata.io import read_elem

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OldFormatWarning)
        return read_elem(element)


def _column(path: Path, name: str) -> object:
    with _opened(path) as root:
        obs = root["obs"]
        # Files of anndata 0.7 keep categories apart, which reading all columns puts together.
        return _read(obs)[name] if "__categories" in obs else _read(obs[name])


def _layers_with_counts(path: Path) -> list[str]:
    with _opened(path) as root:
        keys = ["X", "raw/X", *(f"layers/{name}" for name in root.get("layers", ()))]
        return [_option(key) for key in keys if key in root and counts_in_file(root[key], path)]


def _genes(var: Any, gene_ids: str | None, where: str) -> Genes:
    if not hasattr(var, "columns"):
        raise UserError(f"{where}: var is no table: the file is not whole, write it again")
    columns = tuple(map(str, var.columns))
    if gene_ids is not None and gene_ids not in columns:
        raise UserError(f"{where}: var has no column '{gene_ids}'{nearest(gene_ids, columns)}")
    names = var.index if gene_ids is None else var[gene_ids]
    others = [var[name] for name in OTHER_NAMES if name in columns and name != gene_ids]
    if gene_ids is not None:
        others.append(var.index.to_series())
    known = [tuple(each.astype(object).where(each.notna(), "").map(str)) for each in others]
    return Genes(tuple(map(str, names)), tuple(known), where)


def _stamp(path: Path) -> Stamp:
    if path.is_file():
        return stamp(path)
    stamps = [stamp(each)[1:] for each in path.rglob("*") if each.is_file()]
    return [str(path.resolve()), *map(int, np.array(stamps, dtype=np.int64).sum(axis=0))]


def pbmc68k() -> AnnData:
    """Return scanpy's 700 blood cells as AnnData: `raw` holds log-normalised expression.

    Source: Zheng et al., Massively parallel digital transcriptional profiling of single cells
    (Nature Communications 8, 2017).

    Raises:
        UserError: scanpy is not installed.
    """
    try:
        import scanpy
    except ImportError:
        raise UserError('pbmc68k comes with scanpy: pip install "maskwise[cells]"') from None
    return scanpy.datasets.pbmc68k_reduced()
