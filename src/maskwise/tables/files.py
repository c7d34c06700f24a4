"""Tables in files: text, Parquet, Feather and arrays; built in; as the theory takes them."""

import functools
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from scipy import sparse

from maskwise.columns.model import TabularModel
from maskwise.errors import UserError, option, require
from maskwise.files import atomic, stamp
from maskwise.measure.features import frozen, in_batches
from maskwise.modality import Features
from maskwise.outputs import Formulas
from maskwise.tables.frames import (
    MISSING,
    Columns,
    as_numbers,
    codes_of,
    columns_of,
    distinct,
    is_missing,
    no_column,
)
from maskwise.tables.gaps import F, Filled, put
from maskwise.tables.mending import Mendable, troubles_of
from maskwise.tables.table import Table
from maskwise.tables.texts import Dialect, filled_rows, read_text, write_rows
from maskwise.textio import arrow_errors, kind_of, readable, user_path

SUFFIXES = (".csv", ".tsv", ".parquet", ".feather", ".npy", ".npz")
_SPARSE = {"format", "shape", "data"}
Unused: TypeAlias = Callable[[str], bool]
Numbers: TypeAlias = np.ndarray | sparse.sparray | sparse.spmatrix


def read_table(
    source: str | Path, dialect: Dialect | None = None, unused: Unused = lambda name: False
) -> Columns:
    """Read all rows of a table, in order.

    The source is "breast-cancer", built in; a .csv or .tsv (also .gz, .xz) whose first line names
    the columns, a .parquet or .feather, a .npy with one array of two axes, or a .npz, where arrays
    of one axis are columns and those of two are columns x0, x1, ... What spells a text file is
    found, or said by `dialect`. Columns that are `unused` may hold anything; see `columns_of`.

    Raises:
        UserError: it cannot be read, or is no table; says where.
    """
    return _read(source, dialect or Dialect(), unused).columns


class Found(NamedTuple):
    """What a source holds."""

    columns: Columns
    dialect: Dialect | None = None
    """how a text file spells it"""
    names: Sequence[str] | None = None
    """of rows, which pandas wrote beside the columns"""


def _read(source: str | Path, dialect: Dialect, unused: Unused) -> Found:
    if source == "breast-cancer":
        return Found(breast_cancer())
    path, kind = _file(source)
    try:
        if kind in (".csv", ".tsv"):
            text = read_text(path, dialect)
            return Found(text.columns, text.dialect)
        missing = dialect.missing if dialect.missing != MISSING else None
        if kind in (".parquet", ".feather"):
            table, names = _without_index(_read_arrow(path))
            return Found(columns_of(table, missing, unused), names=names)
        # Arrays have no value for what is missing.
        return Found(columns_of(_arrays(path), missing or MISSING, unused))
    except UserError as error:
        if str(path) in str(error):
            raise
        troubles = (each._replace(text=f"{path}: {each.text}") for each in troubles_of(error))
        raise Mendable(*troubles) from None


def survey(source: str, dialect: Dialect, drop: tuple[str, ...] = ()) -> Found:
    """Return what `read_table` does, and what else a source says.

    The last table is remembered until `forget`, so that looking and loading read it once.
    """
    path = user_path(source)
    state = tuple(stamp(path)) if path.exists() else ()
    return _remembered(source, state, dialect, drop)


def forget() -> None:
    """Give the memory of the last table that was looked at free."""
    _remembered.cache_clear()


@functools.lru_cache(maxsize=1)
def _remembered(
    source: str, state: tuple[str | int, ...], dialect: Dialect, drop: tuple[str, ...]
) -> Found:
    return _read(source, dialect, lambda name: name in drop)


def write_table(path: Path, frame: object, formulas: Formulas = "escape") -> None:
    """Write a table: .csv with an empty text where a value is missing, or .parquet.

    What a spreadsheet would run begins with an apostrophe in a .csv, unless `formulas` are kept.

    Raises:
        UserError: another kind of file, or it cannot be written.
    """
    columns = columns_of(frame)
    if kind_of(path) == ".parquet":
        pyarrow = require("pyarrow", path, "data")
        masked = {name: pyarrow.array(v, mask=is_missing(v)) for name, v in columns.items()}
        return _write_parquet(path, pyarrow.table(masked))
    if path.suffix.lower() != ".csv":
        raise UserError(f"{path}: tables are written as .csv or .parquet")
    # The csv module writes nothing for None, and numbers so that they are read back the same.
    cells = [np.where(is_missing(v), np.array(None), v).tolist() for v in columns.values()]
    rows = [list(columns), *zip(*cells, strict=True)]
    write_rows(path, rows, Dialect(",", encoding="utf-8"), formulas)


def _write_parquet(path: Path, table: object) -> None:
    from pyarrow import parquet

    with atomic(path) as temporary:
        parquet.write_table(table, temporary)


def _file(source: str | Path) -> tuple[Path, str]:
    """Return the path of a file and its kind."""
    path = user_path(source)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    kind = kind_of(path)
    if kind not in SUFFIXES:
        raise UserError(f"{path}: not a table; tables are {', '.join(SUFFIXES)}")
    return path, kind


def _without_index(table: Any) -> tuple[Any, list[str] | None]:
    """Return an Arrow table without the index that pandas wrote into it, and the names in that.

    An index of numbers from 0 is not written.
    """
    told = json.loads((table.schema.metadata or {}).get(b"pandas", b"{}"))
    index = [name for name in told.get("index_columns", ()) if isinstance(name, str)]
    index = [name for name in index if name in table.column_names]
    if not index:
        return table, None
    rows = zip(*(table[name].to_pylist() for name in index), strict=True)
    names = [", ".join("" if each is None else str(each) for each in row) for row in rows]
    return table.drop_columns(index), names


def _read_arrow(path: Path) -> Any:
    with arrow_errors(path):
        from pyarrow import feather, parquet

        return (parquet if kind_of(path) == ".parquet" else feather).read_table(path)


def _arrays(path: Path) -> np.ndarray | Columns:
    with readable(path):
        if path.suffix.lower() == ".npy":
            return np.load(path, allow_pickle=False)
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise ValueError("not an .npz archive")
            archive = np.load(file, allow_pickle=False)
            arrays = {key: archive[key] for key in archive.files}
    columns: dict[str, np.ndarray] = {}
    for key, values in arrays.items():
        # Other arrays are refused as columns.
        columns |= columns_of(values) if values.ndim == 2 else {key: values}
    return columns


def breast_cancer() -> dict[str, np.ndarray]:
    """Return the columns of scikit-learn's 569 tumours: 30 measurements and the diagnosis.

    Source: Street, Wolberg and Mangasarian, Nuclear feature extraction for breast tumor diagnosis
    (SPIE 1905, 1993).

    >>> columns = breast_cancer()
    >>> len(columns), len(columns["mean radius"]), columns["diagnosis"][0]
    (31, 569, 'malignant')
    """
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    columns = dict(zip(map(str, data.feature_names), data.data.T, strict=True))
    return columns | {"diagnosis": data.target_names[data.target].astype(object)}


def features_of_file(
    source: str,
    changes: Mapping[str, object],
    target: str | None = None,
    classes: bool = False,
    dialect: Dialect | None = None,
) -> Features | None:
    """Read a table; None where a source is none.

    Args:
        source: a `.csv`, `.tsv`, `.parquet` or `.feather` file with columns of numbers, a `.npy`
            or `.npz` file with one array of two axes, or a matrix as scipy.sparse saves it.
        changes: other settings, of which a table has none.
        target: name of a column, or its number from 0, to be predicted from the others.
        classes: the target holds classes, also texts, and becomes their numbers; NaN if missing.
        dialect: how a text file is read.
    """
    path, names = user_path(source), None
    if not path.is_file():
        return None
    values: Numbers | None
    if kind_of(path) in (".csv", ".tsv", ".parquet", ".feather"):
        values, names = _read_named(path, target if classes else None, dialect)
    else:
        values = _read_array(path)
    if values is None or values.ndim != 2:
        return None
    if changes:
        told = ", ".join(option(f"data.{name}") for name in changes)
        raise UserError(f"{source} is a table, for which there is no {told}")
    if target is None:
        return Features(values, None, "columns")
    index = _column(target, names, values.shape[1], source)
    rest = np.delete(np.arange(values.shape[1]), index)
    chosen = values[:, [index]]
    chosen = chosen if isinstance(chosen, np.ndarray) else chosen.toarray()
    return Features(values[:, rest], np.ravel(chosen), "columns")


def _read_array(path: Path) -> Numbers | None:
    """Return the array or the sparse matrix in a file, or None if there is none."""
    with readable(path):
        if path.suffix == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False)
        if path.suffix == ".npz" and zipfile.is_zipfile(path):
            with path.open("rb") as file:
                archive = np.load(file, allow_pickle=False)
                if set(archive.files) >= _SPARSE:
                    return sparse.load_npz(path)
                if len(archive.files) == 1:
                    return archive[archive.files[0]]
    return None


def _read_named(
    path: Path, classes: str | None, dialect: Dialect | None
) -> tuple[np.ndarray, list[str]]:
    columns = read_table(path, dialect)
    if classes is not None:
        name = list(columns)[_column(classes, list(columns), len(columns), str(path))]
        codes = codes_of(columns[name], distinct(columns[name]))
        columns[name] = np.where(codes < 0, np.nan, codes)
    try:
        values = np.stack([as_numbers(*column) for column in columns.items()], axis=1)
    except UserError as error:
        raise UserError(f"{path}: {error}; a table must hold numbers only") from None
    if not len(values):
        raise UserError(f"{path}: there are no rows below the names of columns")
    return values, list(columns)


def _column(target: str, names: list[str] | None, num: int, where: str) -> int:
    """Return the index of a column by its name or number."""
    if names is not None and target in names:
        return names.index(target)
    if target.isdecimal() and int(target) < num:
        return int(target)
    if names is None:
        raise UserError(f"{where}: no column '{target}'; columns are numbered 0 to {num - 1}")
    raise UserError(f"{where}: {no_column(target, names)}")


def fill(model: TabularModel, frame: F, *, round: bool = True, clip: bool = True) -> F:
    """Return a table of the same kind with its missing values filled in.

    Numbers are what they are expected to be given the rest of their row; where training saw whole
    numbers only, they are rounded, and no less or more than some that it saw; categories are the
    most probable ones. What is there stays as it is, and so do columns that the model does not
    know and categories that it never saw.

    Args:
        model: of a table.
        frame: a pandas, polars or Arrow table, a mapping of columns, or an array.
        round: make whole numbers where training saw nothing else.
        clip: keep to what training saw, there.

    Raises:
        UserError: it is no table, or a column is missing or cannot be read.
    """
    return put(frame, _found(model, frame, round, clip))


def _found(model: TabularModel, frame: object, round: bool, clip: bool) -> dict[str, Filled]:
    """Return what a model puts in the gaps of a table, by column; only of columns with gaps."""
    table = model.tokenizer
    if not isinstance(table, Table):
        raise UserError("tables are for models of tables, and this is none")
    samples = torch.from_numpy(table.encode(frame))
    with frozen(model) as device:
        for part in in_batches(np.arange(len(samples))):
            some = samples[part].to(device)
            samples[part] = model.reconstruct(some, torch.zeros_like(some) > 0).cpu()
    return table.fill(frame, samples, round=round, clip=clip)


def fill_file(
    model: TabularModel,
    source: Path,
    out: Path,
    dialect: Dialect | None = None,
    *,
    round: bool = True,
    clip: bool = True,
    formulas: Formulas = "escape",
) -> dict[str, int]:
    """Write a table file with missing values filled in; return how many, by column.

    From .csv or .tsv to the same, all other values stay the texts that they are, and from .parquet
    to .parquet all columns keep their types. Between these, values are read and written anew. The
    source is what `read_table` takes. In text files, `formulas` of spreadsheets are made harmless,
    or kept; see `write_table`.

    Raises:
        UserError: a file that cannot be read or written, or as for `fill`.
    """
    kind = kind_of(source)
    if out.suffix not in {".csv", ".parquet", kind} & {".csv", ".tsv", ".parquet"}:
        raise UserError(f"{out}: tables are written as .csv or .parquet, and a .tsv as .tsv")
    text = None
    if kind in (".csv", ".tsv"):
        text = read_text(_file(source)[0], dialect or Dialect())
    table = model.tokenizer
    unused = table.unused if isinstance(table, Table) else lambda name: False
    columns = text.columns if text else read_table(source, dialect, unused)
    gaps = _found(model, columns, round, clip)
    if out.exists() and out.samefile(source):
        raise UserError(f"{out} is what is read: choose another -o")
    if kind == out.suffix == ".parquet":
        _write_parquet(out, put(_read_arrow(source), gaps))
    elif text and kind == out.suffix:
        write_rows(out, filled_rows(text, gaps), text.dialect, formulas)
    else:
        everything = columns if kind != ".parquet" else columns_of(_read_arrow(source))
        write_table(out, put(everything, gaps), formulas)
    return {name: len(rows) for name, (rows, _) in gaps.items()}
