"""Missing values of a table, filled in by a model; all else stays as it is."""

import csv
from pathlib import Path

import numpy as np
import torch

from maskwise.columns.model import TabularModel
from maskwise.errors import UserError
from maskwise.files import atomic
from maskwise.measure.features import frozen, in_batches
from maskwise.tables.files import read_table, write_table
from maskwise.tables.frames import F, Filled, put
from maskwise.tables.table import Table
from maskwise.textio import kind_of, table_rows


class _Commas(csv.excel):
    lineterminator = "\n"


class _Tabs(_Commas):
    delimiter, quoting, quotechar = "\t", csv.QUOTE_NONE, None


def fill(model: TabularModel, frame: F) -> F:
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
    return put(frame, found(model, frame))


def found(model: TabularModel, frame: object) -> dict[str, Filled]:
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
    return table.fill(frame, samples)


def fill_file(model: TabularModel, source: Path, out: Path) -> dict[str, int]:
    """Write a table file with missing values filled in; return how many, by column.

    From .csv or .tsv to the same, all other values stay the texts that they are, and from .parquet
    to .parquet all columns keep their types. Between these, values are read and written anew. The
    source is what `read_table` takes.

    Raises:
        UserError: a file that cannot be read or written, or as for `fill`.
    """
    kind = kind_of(source)
    if out.suffix not in {".csv", ".parquet", kind} & {".csv", ".tsv", ".parquet"}:
        raise UserError(f"{out}: tables are written as .csv or .parquet, and a .tsv as .tsv")
    columns = read_table(source)
    gaps = found(model, columns)
    if out.exists() and out.samefile(source):
        raise UserError(f"{out} is what is read: choose another -o")
    if kind == out.suffix == ".parquet":
        from pyarrow import parquet

        filled = put(parquet.read_table(source), gaps)
        with atomic(out) as temporary:
            parquet.write_table(filled, temporary)
    elif kind == out.suffix:
        _texts(source, gaps, out)
    else:
        write_table(out, put(columns, gaps))
    return {name: len(rows) for name, (rows, _) in gaps.items()}


def _texts(source: Path, gaps: dict[str, Filled], out: Path) -> None:
    """Write the rows of a text file with their gaps filled."""
    head, *rows = (list(row) for _, row in table_rows(source))
    for place, name in enumerate(head):
        if name.strip() in gaps:
            for row, value in zip(*gaps[name.strip()], strict=True):
                rows[row][place] = f"{value:.7g}" if isinstance(value, float) else str(value)
    with atomic(out) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, _Tabs if out.suffix == ".tsv" else _Commas).writerows([head, *rows])
