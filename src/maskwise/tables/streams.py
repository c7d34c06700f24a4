"""Rows that are encoded when they are asked for: streams of rows, and memory maps of tables."""

import hashlib
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskwise.columns.tabular import TabularRows, TabularSplits
from maskwise.errors import UserError
from maskwise.given import Streamed, head
from maskwise.tables.data import TableDataSettings, check_names, classes_of, table_of
from maskwise.tables.frames import Columns, columns_of
from maskwise.tables.given_rows import Row, check_columns, columns_of_rows, row_of, vector_of
from maskwise.tables.mending import Mendable, Trouble
from maskwise.tables.table import Table
from maskwise.train.stream import StreamSource

log = logging.getLogger("maskwise")
LEARNED = 100_000  # rows of a memory map that columns are learned from, at most


def load_stream(stream: Streamed, data: TableDataSettings) -> TabularSplits:
    """Return the first rows of a stream, and the stream of those after the ones to test on.

    What columns are is learned from the first rows to train on.

    Raises:
        UserError: it holds something else, ends too soon, or settings need all rows.
    """
    _check(data, "a stream")
    num = data.stream_test
    first = head(stream, num, partial(_kept, stream))
    rows = [*first.test, *first.train]
    found, given = columns_of_rows(stream, rows)
    columns = columns_of(found, unused=lambda name: name in data.drop)
    labels = None if given is None else columns_of({"labels": given})["labels"]
    table, classes, labels = _learned(columns, labels, data, np.arange(num, len(rows)))
    samples = torch.from_numpy(table.encode_rows(columns))
    every = TabularRows(lambda index: samples[index], np.arange(len(rows)), labels)
    parts = every.some(np.arange(num, len(rows))), every.some(np.arange(num))
    encode = Encoder(table, lambda number: stream.named(number))
    source = StreamSource(
        partial(_samples, stream, num),
        partial(_collate, stream, list(columns), encode),
        data.buffer,
        first.num,
        first.seconds,
    )
    fingerprint = {"stream": _digest(samples.numpy())}
    return TabularSplits(*(*parts, "stream", classes, None, fingerprint, table), stream=source)


def load_map(x: np.memmap[Any, Any], labels: Any, data: TableDataSettings) -> TabularSplits:
    """Return the rows of a memory map [N, F], which stays where it is; held out at random.

    What columns are is learned from 100,000 rows at most. Equal rows may be on both sides.

    Raises:
        UserError: it has too few rows, or settings need all of them in memory.
    """
    _check(data, "a memory map")
    num = len(x)
    if num < 2:
        raise UserError(f"{num} rows: a split needs two")
    order = np.random.default_rng(0).permutation(num)
    held = min(max(round(data.holdout * num), 1), num - 1)
    test, train = np.sort(order[:held]), np.sort(order[held:])
    some = np.sort(order[held : held + LEARNED])
    names = [f"x{place}" for place in range(x.shape[1])]
    if data.labels in names:
        labels = np.array(x[:, names.index(data.labels)])
    if labels is not None:
        labels = columns_of({"labels": labels})["labels"]
        if len(labels) != num:
            raise UserError(f"{len(labels)} labels for {num} rows")
        classes, labels = classes_of(labels, data)
    else:
        classes = None
    columns = columns_of(np.array(x[some]))
    table, _, _ = _learned(columns, None, data, slice(None))
    log.info(
        "table: a memory map of %d rows is read as training asks for it; its columns are learned"
        " from %d rows, and equal rows may be held out and trained on",
        *(num, len(some)),
    )
    encode = Encoder(table, lambda number: f"row {number + 1}")

    def read(index: np.ndarray) -> Tensor:
        rows = np.array(x[index])
        return encode(dict(zip(names, rows.T, strict=True)), index)

    every = TabularRows(read, np.arange(num), labels)
    fingerprint = {"rows": num, "columns": len(names), "sha256": _digest(np.array(x[some[:1000]]))}
    return TabularSplits(
        *(every.some(train), every.some(test), "table", classes, None, fingerprint, table)
    )


class Encoder:
    """Makes samples of rows; of categories that nobody knew, which are missing, it tells once.

    Args:
        table: what the columns are.
        named: says which row a number is.
    """

    def __init__(self, table: Table, named: Callable[[int], str]) -> None:
        self.table, self.named = table, named
        self._told: set[str] = set()

    def __call__(self, columns: Columns, numbers: Sequence[int] | np.ndarray) -> Tensor:
        """Return rows as samples, float32 [b, F].

        Raises:
            UserError: a value that its column cannot have, with the row.
        """
        rows = np.empty((len(numbers), len(self.table.varying)), np.float32)
        for place, column in enumerate(self.table.varying):
            try:
                rows[:, place], unseen = column.encode(columns[column.name])
            except UserError as error:
                raise self._located(column.name, columns, numbers, error) from None
            if unseen and column.name not in self._told:
                self._told.add(column.name)
                log.warning(
                    "column '%s' has values that its first rows do not, which count as missing",
                    column.name,
                )
        return torch.from_numpy(rows)

    def _located(
        self, name: str, columns: Columns, numbers: Sequence[int] | np.ndarray, error: UserError
    ) -> UserError:
        [column] = [each for each in self.table.varying if each.name == name]
        for number, value in zip(numbers, columns[name], strict=True):
            try:
                column.encode(columns_of({name: [value]})[name])
            except UserError as found:
                return UserError(
                    f"{self.named(int(number))}: {found}".replace(" in data row 1", "")
                )
        return error


def _learned(
    columns: Columns,
    labels: np.ndarray | None,
    data: TableDataSettings,
    rows: np.ndarray | slice,
) -> tuple[Table, tuple[str, ...] | None, np.ndarray | None]:
    """Return what columns are, the classes, and the number of each label."""
    check_names(columns, data, ("labels",), ("drop",))
    labels = columns[data.labels] if data.labels is not None else labels
    classes = None
    if labels is not None:
        classes, labels = classes_of(labels, data)
    apart = {data.labels, *data.drop}
    table = table_of({k: v for k, v in columns.items() if k not in apart}, data, rows)
    if len(table.names) < 2:
        text = f"{len(table.names)} columns that vary; a model learns one from others"
        raise Mendable(Trouble(text, {}))
    return table, classes, labels


def _check(data: TableDataSettings, what: str) -> None:
    for name in ("lags", "group"):
        if getattr(data, name):
            raise UserError(f"data.{name} needs all rows in memory: leave it out for {what}")


def _kept(stream: Streamed, item: Any, number: int) -> Row:
    return row_of(stream, item, number)


def _samples(stream: Streamed, start: int) -> Iterator[tuple[int, Any]]:
    return itertools.islice(enumerate(stream), start, None)


def _collate(
    stream: Streamed, names: list[str], encode: Encoder, some: Sequence[tuple[int, Any]]
) -> tuple[Tensor, None]:
    numbers = [number for number, _ in some]
    vectors = [vector_of(item) for _, item in some] if stream.x is None else [None]
    if all(each is not None and each.shape == (len(names),) for each in vectors):
        rows = np.stack([each for each in vectors if each is not None])
        return encode(columns_of(dict(zip(names, rows.T, strict=True))), numbers), None
    read = [row_of(stream, item, number) for number, item in some]
    for number, row in zip(numbers, read, strict=True):
        check_columns(stream, row, number, names)
    varying = [column.name for column in encode.table.varying]
    found = {name: [row.values.get(name) for row in read] for name in varying}
    return encode(columns_of(found), numbers), None


def _digest(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
