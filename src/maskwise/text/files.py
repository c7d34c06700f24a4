"""Documents of text files, folders, tables and data sets, read a part at a time."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from maskwise.errors import UserError, require
from maskwise.textio import kind_of, open_parquet, read_lines

Document = Literal["file", "paragraph", "line"]

PLAIN, LINES, TABLES = (".txt", ".md"), (".jsonl",), (".parquet",)
SUFFIXES = {*PLAIN, *LINES, *TABLES}
_PART = 1 << 20  # characters read at once, so that no document need fit in memory
_TEST = ("test", "validation", "valid", "val")


class Part(NamedTuple):
    """A document, or a part of a long one."""

    text: str
    first: bool
    """Whether a document begins here."""


def text_files(source: str) -> list[Path]:
    """Return the text files that a source names: itself, or those below a folder, sorted.

    Raises:
        UserError: there is none.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.is_file() and kind_of(p) in SUFFIXES)
        if not found:
            known = ", ".join((*PLAIN, *LINES, *TABLES))
            raise UserError(f"{path}: no text files here (looked for {known})")
        return found
    if not path.is_file():
        raise UserError(f"{path}: no such file or folder")
    return [path]


def read_parts(source: str, column: str, document: Document) -> Iterator[Part]:
    """Give the documents of a source in order, long ones in parts.

    Args:
        source: a text file (.gz, .xz too), .jsonl, .parquet, a folder of these, hf:NAME[:SPLIT],
            or "pydoc".
        column: where the text is, in tables.
        document: what a document is in a text file; a row is one in a table.

    Raises:
        UserError: a file that cannot be read, is not UTF-8, or lacks the column.
    """
    if source == "pydoc":
        from pydoc_data.topics import topics

        yield from (Part(topics[key], True) for key in sorted(topics))
        return
    if source.startswith("hf:"):
        yield from _rows(hub_split(source, column)[column], source, column)
        return
    for path in text_files(source):
        if kind_of(path) in LINES:
            yield from _rows(_json_column(path, column), str(path), column)
        elif kind_of(path) in TABLES:
            yield from _rows(_parquet_column(path, column), str(path), column)
        else:
            yield from _documents(path, document)


def hub_split(source: str, column: str) -> Any:
    """Return a split of hf:NAME[:SPLIT], by default the one named train.

    Raises:
        UserError: `datasets` is missing, or there is no such data set, split or column.
    """
    _, _, wanted = source.removeprefix("hf:").partition(":")
    wanted = wanted or "train"
    splits = _hub(source)
    if wanted not in splits:
        raise UserError(f"{source}: no split named {wanted}; found {', '.join(splits)}")
    columns = splits[wanted].column_names
    if column not in columns:
        raise UserError(
            f"{source}: no column '{column}'; found {', '.join(columns)}: give --data.column"
        )
    return splits[wanted]


def hub_test_split(source: str) -> str | None:
    """Return the source that is the test split of hf:NAME, if it has one."""
    found = [key for key in _TEST if key in _hub(source)]
    return f"{source}:{found[0]}" if found and source.count(":") == 1 else None


def hub_columns(source: str) -> set[str]:
    """Return the kinds of the columns of hf:NAME: "Image", "string", ..."""
    features = next(iter(_hub(source).values())).features
    return {str(getattr(value, "dtype", "")) for value in features.values()} | {
        type(value).__name__ for value in features.values()
    }


def _hub(source: str) -> Any:
    datasets = require("datasets", source, "data")
    try:
        return datasets.load_dataset(source.split(":")[1])
    except Exception as error:  # whatever hub, network, cache and file formats raise
        reason = str(error).split("\n")[0]
        raise UserError(f"{source}: cannot be loaded ({reason})") from error


def _rows(values: Any, where: str, column: str) -> Iterator[Part]:
    for number, text in enumerate(values):
        if not isinstance(text, str):
            raise UserError(f"{where}: row {number}: '{column}' holds {text!r:.40}, not a text")
        # Short parts keep a tokenizer from seeing a whole book at once.
        for start in range(0, max(len(text), 1), _PART):
            yield Part(text[start : start + _PART], start == 0)


def _documents(path: Path, document: Document) -> Iterator[Part]:
    lines: list[str] = []
    size, first = 0, True
    for line in read_lines(path, most=_PART):
        blank = not line.strip()
        if document != "file" and (document == "line" or blank):
            if document == "line":
                lines.append(line)
            if lines:
                # Texts that are asked about later have no line break at their end.
                yield Part("".join(lines).rstrip("\n"), first)
            lines, size, first = [], 0, True
            continue
        lines.append(line)
        size += len(line)
        if size >= _PART:
            yield Part("".join(lines), first)
            lines, size, first = [], 0, False
    if lines or (document == "file" and first):
        text = "".join(lines)
        yield Part(text if document == "file" else text.rstrip("\n"), first)


def _json_column(path: Path, column: str) -> Iterator[Any]:
    for number, line in enumerate(read_lines(path), start=1):
        try:
            row = json.loads(line)
        except ValueError:
            raise UserError(f"{path}: line {number} is no JSON: {line.strip()[:40]}") from None
        if not isinstance(row, dict) or column not in row:
            known = ", ".join(row) if isinstance(row, dict) else type(row).__name__
            raise UserError(
                f"{path}: line {number} has no '{column}'; found {known}: give --data.column"
            )
        yield row[column]


def _parquet_column(path: Path, column: str) -> Iterator[Any]:
    with open_parquet(path) as file:
        if column not in file.schema_arrow.names:
            known = ", ".join(file.schema_arrow.names)
            raise UserError(f"{path}: no column '{column}'; found {known}: give --data.column")
        for batch in file.iter_batches(batch_size=1024, columns=[column]):
            yield from batch.column(0).to_pylist()
