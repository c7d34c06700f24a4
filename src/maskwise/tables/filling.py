"""Missing values of a table, filled in by a model; all else stays as it is."""

import csv
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from maskwise.errors import UserError
from maskwise.files import atomic
from maskwise.measure.features import frozen, in_batches
from maskwise.tables.files import read_table, write_table
from maskwise.tables.frames import Columns, columns_of, is_missing
from maskwise.tables.table import Table
from maskwise.textio import kind_of, table_rows

TEXTS: dict[str, Any] = {
    ".csv": {},
    ".tsv": {"delimiter": "\t", "quoting": csv.QUOTE_NONE, "quotechar": None},
}


class Filled(NamedTuple):
    """What stands in the gaps of a column."""

    rows: np.ndarray
    """which rows had no value, [n]"""
    values: list[Any]
    """theirs now: a number, the likeliest category"""


def fill(model: Any, frame: Any) -> Any:
    """Return a table of the same kind with its missing values filled in.

    Numbers are what they are expected to be given the rest of their row, rounded where the column
    holds whole numbers; categories are the most probable ones. What is there stays as it is, and
    so do columns that the model does not know and categories that it never saw.

    Args:
        model: of a table.
        frame: a pandas, polars or Arrow table, a mapping of columns, or an array.

    Raises:
        UserError: it is no table, or a column is missing or cannot be read.
    """
    gaps = found(model, frame)
    if isinstance(frame, np.ndarray):
        out = np.array(frame)
        for place, name in enumerate(columns_of(frame)):
            if name in gaps:
                out[gaps[name].rows, place] = gaps[name].values
        return out
    library = type(frame).__module__.partition(".")[0]
    if library == "pandas":
        return _pandas(frame, gaps)
    if library == "polars":
        import polars

        return polars.from_arrow(_arrow(frame.to_arrow(), gaps))
    if library == "pyarrow":
        return _arrow(frame, gaps)
    return _columns(columns_of(frame), gaps)


def found(model: Any, frame: Any) -> dict[str, Filled]:
    """Return what a model puts in the gaps of a table, by column; only of columns with gaps."""
    table = model.tokenizer
    if not isinstance(table, Table):
        raise UserError("tables are for models of tables, and this is none")
    samples = torch.from_numpy(table.encode(frame))
    nothing = torch.zeros(samples.shape, dtype=torch.bool)
    with frozen(model) as device:
        for part in in_batches(np.arange(len(samples))):
            full = model.reconstruct(samples[part].to(device), nothing[part].to(device))
            samples[part] = full.cpu()
    before, after = columns_of(frame), table.fill(frame, samples)
    gaps = {}
    for name, values in before.items():
        rows = np.flatnonzero(is_missing(values) & ~is_missing(after[name]))
        if len(rows):
            gaps[name] = Filled(rows, after[name][rows].tolist())
    return gaps


def fill_file(model: Any, source: Path, out: Path) -> dict[str, int]:
    """Write a table file with missing values filled in; return how many, by column.

    From .csv or .tsv to the same, all other values stay the texts that they are, and from .parquet
    to .parquet all columns keep their types. Between these, values are read and written anew.

    Args:
        model: of a table.
        source: as `read_table` takes it.
        out: a .csv or .parquet file; of a .tsv also a .tsv.

    Raises:
        UserError: a file that cannot be read or written, or as for `fill`.
    """
    kind = kind_of(source)
    if out.suffix not in (".csv", ".parquet", kind) or out.suffix not in (*TEXTS, ".parquet"):
        raise UserError(f"{out}: tables are written as .csv or .parquet, and a .tsv as .tsv")
    columns = read_table(source)
    gaps = found(model, columns)
    if out.exists() and out.samefile(source):
        raise UserError(f"{out} is what is read: choose another -o")
    if kind == out.suffix == ".parquet":
        from pyarrow import parquet

        filled = _arrow(parquet.read_table(source), gaps)
        with atomic(out) as temporary:
            parquet.write_table(filled, temporary)
    elif kind == out.suffix:
        _texts(source, gaps, out)
    else:
        write_table(out, _columns(columns, gaps))
    return {name: len(rows) for name, (rows, _) in gaps.items()}


def _texts(source: Path, gaps: dict[str, Filled], out: Path) -> None:
    """Write the rows of a text file with their gaps filled."""
    head, *rows = (list(row) for _, row in table_rows(source))
    for place, name in enumerate(head):
        if name.strip() in gaps:
            for row, value in zip(*gaps[name.strip()], strict=True):
                rows[row][place] = f"{value:.7g}" if isinstance(value, float) else str(value)
    with atomic(out) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n", **TEXTS[out.suffix]).writerows([head, *rows])


def _columns(columns: Columns, gaps: dict[str, Filled]) -> Columns:
    for name, (rows, values) in gaps.items():
        columns[name] = columns[name].copy()  # it may be the caller's
        columns[name][rows] = values
    return columns


def _pandas(frame: Any, gaps: dict[str, Filled]) -> Any:
    out = frame.copy()
    for place, name in enumerate(map(str, frame.columns)):
        if name in gaps:
            rows, values = gaps[name]
            whole = frame.dtypes.iloc[place].kind in "iu"
            out.iloc[rows, place] = _whole(values) if whole else values
    return out


def _arrow(table: Any, gaps: dict[str, Filled]) -> Any:
    import pyarrow

    for name, (rows, values) in gaps.items():
        place = table.column_names.index(name)
        field = table.schema.field(place)
        new = _whole(values) if pyarrow.types.is_integer(field.type) else values
        every = table.column(place).to_pylist()
        for row, value in zip(rows.tolist(), new, strict=True):
            every[row] = value
        table = table.set_column(place, field, pyarrow.array(every, type=field.type))
    return table


def _whole(values: list[Any]) -> list[int]:
    return [round(value) for value in values]
