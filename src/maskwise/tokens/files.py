"""Files of samples and labels, and tokenizer.json, as the library tokenizers writes it."""

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from maskwise.errors import UserError, require
from maskwise.files import atomic
from maskwise.rows import JSON, Wrong, columns, is_missing, names_of, rows_of, said_encoding
from maskwise.textio import few, files_below, kind_of, user_path
from maskwise.tokens.checked import calling, check_ids, check_patterns

if TYPE_CHECKING:  # it is an extra
    from tokenizers import Tokenizer

FILE = "tokenizer.json"
log = logging.getLogger("maskwise")


def files_of(source: str | Path, kinds: Sequence[str], what: str) -> list[Path]:
    """Return the files that a source names: itself, or those of some kinds in a folder, sorted.

    Others in the folder are counted, and the first three named.
    """
    found, others = find_files(source, kinds, what, deep=False)
    if others:
        log.warning("%s: %s", source, other_files([path.name for path in others]))
    return found


def other_files(names: Sequence[str]) -> str:
    """Return which files are left out, in words.

    >>> other_files(["a.pdf", "b.doc"])
    '2 files left out, of other kinds or links to nothing: a.pdf, b.doc'
    """
    return f"{len(names)} files left out, of other kinds or links to nothing: {few(names)}"


def find_files(
    source: str | Path, kinds: Sequence[str], what: str, *, deep: bool
) -> tuple[list[Path], list[Path]]:
    """Return the files of some kinds that a source names, and the others in a folder.

    Links to what is not there are among the others.

    Raises:
        UserError: no such file or folder, or none of these kinds in it.
    """
    path = user_path(source)
    if path.is_dir():
        others: list[Path] = []
        every = files_below(path, deep=deep, lost=others)
        found = [each for each in every if kind_of(each) in kinds]
        if not found:
            looked = f"(looked for {', '.join(kinds)})"
            raise UserError(f"{path}: no {what} here {looked}")
        return found, sorted([*others, *(each for each in every if kind_of(each) not in kinds)])
    if not path.is_file():
        raise UserError(f"{path}: no such file or folder")
    return [path], []


def labelled_rows(
    path: Path, samples: Sequence[str], labels: Sequence[str], encoding: str = "auto"
) -> Iterator[tuple[str, str, str, str]]:
    """Give where each row of a file of `maskwise.rows` is, its sample, its label and its group.

    They are in a column with one of the names in `samples`, in one of `labels`, and in "group",
    which is empty where there is none. Rows without a label are left out and counted.

    Raises:
        UserError: a file that cannot be read, has no such columns or no label; or a row without a
            sample.
    """
    if encoding == "auto" and kind_of(path) != ".parquet":
        encoding = said_encoding(path)
    rows = []
    for where, row in rows_of(path, encoding):
        if not isinstance(row, dict):
            told = row.why.removeprefix("no JSON: ") if isinstance(row, Wrong) else str(row)
            raise UserError(f"{path}: {where} is no JSON object: {told[:40]}")
        rows.append((where, row))
    names = list(dict.fromkeys(name for _, row in rows for name in row)) or names_of(
        path, encoding
    )
    if kind_of(path) not in JSON:  # whose names are spelled as one likes
        rows = [
            (at, {key.strip().lower(): value for key, value in row.items()}) for at, row in rows
        ]
        names = [name.strip().lower() for name in names]
    sample, label = columns(path, names, samples, labels)
    bare = [where for where, row in rows if is_missing(row.get(label))]
    if bare:
        log.warning("%s: %d rows without a label left out: %s", path, len(bare), few(bare))
    if rows and len(bare) == len(rows):
        raise UserError(f"{path}: no row has a label in '{label}'")
    without = set(bare)
    for where, row in rows:
        if where in without:
            continue
        if is_missing(row.get(sample)) and not isinstance(row.get(sample), str):
            raise UserError(f"{path}: {where} has no {sample}")
        group = "" if is_missing(row.get("group")) else row["group"]
        yield where, str(row[sample]), str(row[label]), str(group)


def read_tokenizer(path: Path) -> "Tokenizer":
    """Read a tokenizer.json.

    Raises:
        UserError: no such file, or none that can be used; see `check_ids`, `check_patterns`.
    """
    tokenizers = require("tokenizers", path, "text")
    try:
        described = path.read_text("utf-8")
        tokenizer: Tokenizer = calling(lambda: tokenizers.Tokenizer.from_str(described))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise UserError(f"{path} is no tokenizer.json: {error}") from None
    values = json.loads(described)
    try:
        check_ids(tokenizer, values["added_tokens"])
        check_patterns(values)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return tokenizer


def write_tokenizer(path: Path, tokenizer: "Tokenizer") -> None:
    """Write a tokenizer.json, which is complete or absent."""
    with atomic(path) as temporary:
        temporary.write_text(tokenizer.to_str(), "utf-8")
