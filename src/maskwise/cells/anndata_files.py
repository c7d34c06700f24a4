"""AnnData, in memory, in files or built in: its matrix, names of its genes, columns of `obs`."""

import difflib
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from maskwise.cells.matrix import (
    CSR,
    Element,
    counts_in_file,
    counts_in_memory,
    in_memory,
    open_matrix,
)
from maskwise.cells.tenx import as_h5ad, is_matrix, matrices_in
from maskwise.errors import UserError, option
from maskwise.files import Stamp, stamp
from maskwise.textio import is_data, user_path

AnnData: TypeAlias = Any
"""anndata.AnnData, of a package that is imported where it is needed"""

_SUFFIXES = (".h5ad", ".zarr")
_OTHER_NAMES = (  # columns in which `var` names genes in another way
    *("gene_ids", "gene_id", "ensembl_id", "ensembl_ids", "ensembl", "feature_id"),
    *("gene_symbols", "gene_symbol", "symbol", "gene_names", "gene_name", "feature_name"),
)
_FEW = 20  # different values are no measurements


@dataclass(frozen=True, eq=False)
class Genes:
    """The genes of a data set, which messages call `where`: names and, in lists, further names.

    Raises:
        UserError: a name that occurs twice.
    """

    names: tuple[str, ...]
    others: tuple[tuple[str, ...], ...] = ()
    where: str = "array"

    def __post_init__(self) -> None:
        twice = [name for name, count in Counter(self.names).items() if count > 1]
        if twice:
            raise UserError(
                f"{self.where}: {len(twice):,} gene names occur more than once"
                f" ({', '.join(twice[:3])}{', ...' * (len(twice) > 3)}): run"
                " adata.var_names_make_unique(), or name genes by a column of var:"
                f" {option('data.gene_ids')}"
            )


@dataclass(frozen=True, eq=False)
class Annotated:
    """Some annotated cells.

    Args:
        name: what messages and reports call them.
        matrix: the values.
        genes: of its columns.
        layer: what messages call the matrix.
        column: returns a column of `obs`, a pandas Series or what it is made of.
        columns: the names of those.
        with_counts: returns the layers of the data that seem to hold counts.
        cells: returns the names of the cells, the index of `obs`.
        stamp: what tells this state of its file from another; None: it is in memory.
        surveys: what `survey.survey` found of cells in memory.
    """

    name: str
    matrix: CSR
    genes: Genes
    layer: str
    column: Callable[[str], object]
    columns: tuple[str, ...]
    with_counts: Callable[[], list[str]]
    cells: Callable[[], list[str]]
    stamp: Stamp | None = None
    surveys: dict[tuple[str, str], Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Column:
    """A name for each cell: which of the different ones it has, int64 [N]; -1 = none."""

    names: tuple[str, ...]
    codes: np.ndarray

    def numbered(self, names: Sequence[str]) -> "Column":
        """Return the column with names numbered in another way; -1 for those that are not there.

        >>> Column(("a", "b"), np.array([0, 1, -1])).numbered(("b", "c")).codes
        array([-1,  0, -1])
        """
        number = {name: place for place, name in enumerate(names)}
        table = np.array([*(number.get(name, -1) for name in self.names), -1])
        return Column(tuple(names), table[self.codes])


def read_column(sets: Sequence[Annotated], name: str, what: str) -> Column:
    """Read a column of `obs` (for "labels", "batch" or "group") of one data set after the other.

    The column "file" is the data set itself. What is missing, empty or, among labels, a negative
    number, is none.

    Raises:
        UserError: a data set has no such column, or it is of measurements rather than of names.
    """
    import pandas as pd

    if name == "file":
        codes = np.repeat(np.arange(len(sets)), [len(each.matrix) for each in sets])
        return Column(tuple(each.name for each in sets), codes)
    for each in sets:
        if name not in each.columns:
            told = f"{each.name}: obs has no column '{name}'"
            raise unknown(told, name, each.columns, f"data.{what}")
    parts = [pd.Series(each.column(name)).astype(object) for each in sets]
    column = pd.concat(parts, ignore_index=True)
    column[column.map(lambda value: isinstance(value, str) and not value.strip())] = None
    if what == "labels":
        numbers = (int, float, np.number)
        column[column.map(lambda value: isinstance(value, numbers) and value < 0)] = None
    values = pd.Categorical(column)
    num, known = len(values.categories), int((values.codes >= 0).sum())
    given = option(f"data.{what}", name)
    if not num:
        told = f"{sets[0].name}: column '{name}' of obs is empty ({given})"
        raise UserError(told, {f"data.{what}": "none"})
    if num > max(known / 2, _FEW):
        raise UserError(
            f"{sets[0].name}: column '{name}' of obs has {num:,} values in {known:,} cells: give"
            f" one of names that cells share ({given})",
            {f"data.{what}": "none"},
        )
    return Column(tuple(map(str, values.categories)), values.codes.astype(np.int64))


def unknown(told: str, name: str, known: Sequence[str], key: str) -> UserError:
    """Return an error on a setting that names what there is not, and what mends it."""
    found = difflib.get_close_matches(name, known, n=1)
    return UserError(told + _nearest(name, known), {key: found[0] if found else "none"})


def _nearest(name: str, known: Sequence[str]) -> str:
    """Return how to go on where a name is unknown."""
    found = difflib.get_close_matches(name, known, n=1)
    return (
        f"; did you mean '{found[0]}'?" if found else f"; it has {', '.join(known[:12]) or 'none'}"
    )


def files_of(source: str) -> list[Path]:
    """Return the files that a source names: A.h5ad, A.zarr, A.h5, a folder, a pattern or A+B.

    Raises:
        UserError: there is none.
    """
    path = user_path(source)
    if not path.exists() and "+" in source:
        return [file for part in source.split("+") for file in files_of(part)]
    if not path.exists() and any(letter in source for letter in "*?["):
        globbed = sorted(path.parent.glob(path.name))
        found = [file for each in globbed for file in files_of(str(each))]
    elif path.is_dir() and path.suffix != ".zarr":
        inside = sorted(filter(is_data, path.iterdir()))
        found = [each for each in inside if each.suffix in _SUFFIXES] or matrices_in(path)
    elif path.exists():
        found = [path]
    else:
        beside = tuple(str(each) for each in path.parent.glob("*"))
        raise UserError(f"no file or folder '{source}'{_nearest(str(path), beside)}")
    if not found:
        raise UserError(f"{source}: no cells here (looked for .h5ad, .zarr, .mtx and 10x .h5)")
    return found


def open_file(path: Path, layer: str | None, gene_ids: str | None) -> Annotated:
    """Open a matrix of an .h5ad, .zarr or 10x file: a layer, None = X, "raw" = that of `raw`.

    Genes are named by the column `gene_ids` of `var`; None: by its index.

    Raises:
        UserError: it cannot be read, is no AnnData, or lacks the layer or the column.
    """
    given, path = path, as_h5ad(path) if is_matrix(path) else path
    with _opened(path) as root:
        (element, shown), stamped = _chosen(_in_file(root), layer, str(given)), _stamp(path)
        var, obs = root["raw/var" if layer == "raw" else "var"], root["obs"]
        if not hasattr(var, "keys") or not hasattr(obs, "keys"):
            raise UserError(
                f"{path}: obs and var are of anndata before 0.7: read it with anndata and write it"
                " again"
            )
        columns = tuple(map(str, obs.attrs.get("column-order", ())))
        genes = _genes(_read(var), gene_ids, str(given))
        matrix = open_matrix(element, path, stamped)
    told = partial(_column, path), columns, partial(_layers_with_counts, path)
    name = path.name.removesuffix(path.suffix)
    return Annotated(name, matrix, genes, shown, *told, partial(_names, path), stamped)


def of_anndata(adata: AnnData, layer: str | None, gene_ids: str | None) -> Annotated:
    """Return AnnData as it is, a backed one read from its file; arguments as for `open_file`."""
    if not all(hasattr(adata, name) for name in ("X", "obs", "var", "layers")):
        raise UserError(f"cells are {type(adata).__name__}: give anndata.AnnData")
    columns = tuple(map(str, adata.obs.columns))
    if adata.isbacked and not adata.is_view:
        file = open_file(Path(adata.filename), layer, gene_ids)
        return replace(file, column=adata.obs.__getitem__, columns=columns)
    if adata.isbacked:
        adata = adata.to_memory()
    matrices = _matrices(adata.X, getattr(adata.raw, "X", None), adata.layers)
    matrix, shown = _chosen(matrices, layer, "array")

    def with_counts() -> list[str]:
        return [name for name, matrix in matrices.items() if counts_in_memory(matrix)]

    genes = _genes((adata.raw if layer == "raw" else adata).var, gene_ids, "array")
    told = adata.obs.__getitem__, columns, with_counts, lambda: list(map(str, adata.obs_names))
    return Annotated("array", in_memory(matrix), genes, shown, *told)


def _matrices(x: Any, raw: Any, layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the matrices that there are, by the values of the setting `layer`."""
    found = {name: layers[name] for name in layers} | {"X": x, "raw": raw}
    return {name: matrix for name, matrix in found.items() if matrix is not None}


def _chosen(matrices: Mapping[str, Any], layer: str | None, where: str) -> tuple[Any, str]:
    """Return a matrix, and what messages call it."""
    name = layer or "X"
    shown = {"X": "X", "raw": "raw.X"}.get(name, f"layer '{name}'")
    if name not in matrices:
        found = difflib.get_close_matches(name, list(matrices), n=1)
        raise UserError(
            f"{where}: no {shown}{_nearest(name, list(matrices))} ({option('data.layer')})",
            {"data.layer": found[0] if found else "none"},
        )
    return matrices[name], shown


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
            file: Any = nullcontext(zarr.open_group(path, mode="r"))
        except (FileNotFoundError, zarr.errors.GroupNotFoundError):
            raise UserError(f"{path}: no zarr folder that anndata wrote") from None
    else:
        try:
            file = h5py.File(path, "r")
        except OSError as error:
            known = "" if h5py.is_hdf5(path) else "no HDF5 file; "
            reason = str(error).split("(")[-1].rstrip(")")
            raise UserError(f"cannot read {path}: {known}{reason}") from None
    with file as root:
        if "obs" not in root or "var" not in root:
            found = ", ".join(sorted(root)[:8]) or "nothing"
            raise UserError(
                f"{path}: no AnnData: it has {found}, not obs and var: make one, as"
                " anndata.AnnData(X).write_h5ad(FILE)"
            )
        yield root


def _in_file(root: Mapping[str, Element]) -> dict[str, Element]:
    return _matrices(root.get("X"), root.get("raw/X"), root.get("layers", {}))


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


def _names(path: Path) -> list[str]:
    with _opened(path) as root:
        obs = root["obs"]
        index = str(obs.attrs.get("_index", "_index"))
        return list(map(str, _read(obs[index])))


def _layers_with_counts(path: Path) -> list[str]:
    with _opened(path) as root:
        return [name for name, matrix in _in_file(root).items() if counts_in_file(matrix, path)]


def _genes(var: Any, gene_ids: str | None, where: str) -> Genes:
    if not hasattr(var, "columns"):
        raise UserError(f"{where}: var is no table: the file is not whole, write it again")
    columns = tuple(map(str, var.columns))
    if gene_ids is not None and gene_ids not in columns:
        told = f"{where}: var has no column '{gene_ids}'"
        raise unknown(told, gene_ids, columns, "data.gene_ids")
    names = var.index if gene_ids is None else var[gene_ids]
    others = [var[name] for name in _OTHER_NAMES if name in columns and name != gene_ids]
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
    """
    try:
        import scanpy
    except ImportError:
        raise UserError('pbmc68k comes with scanpy: pip install "maskwise[cells]"') from None
    return scanpy.datasets.pbmc68k_reduced()
