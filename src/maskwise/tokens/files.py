"""Files of samples and labels, and tokenizer.json, as the library tokenizers writes it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from maskwise.errors import UserError, require
from maskwise.files import atomic
from maskwise.textio import columns, is_data, json_rows, kind_of, table_rows, user_path

if TYPE_CHECKING:  # it is an extra
    from tokenizers import Tokenizer

FILE = "tokenizer.json"


def files_of(
    source: str | Path, kinds: Sequence[str], what: str, *, deep: bool = False
) -> list[Path]:
    """Return the files that a source names: itself, or those of some kinds in a folder, sorted."""
    path = user_path(source)
    if path.is_dir():
        within = path.rglob("*") if deep else path.iterdir()
        found = sorted(
            each for each in within if is_data(each) and kind_of(each) in kinds and each.is_file()
        )
        if not found:
            raise UserError(f"{path}: no {what} here (looked for {', '.join(kinds)})")
        return found
    if not path.is_file():
        raise UserError(f"{path}: no such file or folder")
    return [path]


def labelled_rows(
    path: Path, samples: Sequence[str], labels: Sequence[str]
) -> Iterator[tuple[str, str, str, str]]:
    """Give where each row of a .csv, .tsv or .jsonl is, its sample, its label and its group.

    They are in a column with one of the names in `samples`, in one of `labels`, and in "group",
    which is empty where there is none.
    """
    if kind_of(path) == ".jsonl":
        for where, values in json_rows(path):
            sample, label = columns(path, list(values), samples, labels)
            group = "" if values.get("group") is None else values["group"]
            yield where, str(values[sample]), str(values[label]), str(group)
        return
    rows = table_rows(path)
    _, first = next(rows, ("", []))
    names = [name.strip().lower() for name in first]
    at, of = (names.index(name) for name in columns(path, names, samples, labels))
    groups = names.index("group") if "group" in names else None
    for where, row in rows:
        yield where, row[at], row[of], "" if groups is None else row[groups]


def read_tokenizer(path: Path) -> "Tokenizer":
    """Read a tokenizer.json."""
    tokenizers = require("tokenizers", path, "text")
    try:
        return tokenizers.Tokenizer.from_str(path.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:  # tokenizers raises nothing more specific
        reason = str(error).split("\n")[0]
        raise UserError(f"{path} is no tokenizer.json: {reason}") from None


def write_tokenizer(path: Path, tokenizer: "Tokenizer") -> None:
    """Write a tokenizer.json, which is complete or absent."""
    with atomic(path) as temporary:
        temporary.write_text(tokenizer.to_str(), "utf-8")
