"""Documents of files and data sets, read a part at a time; and their tokens, kept on disk."""

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from maskwise.errors import UserError, require
from maskwise.files import read_json, write_json
from maskwise.modality import Entries
from maskwise.text.text import Encoded, Text
from maskwise.textio import json_rows, kind_of, open_parquet, read_lines
from maskwise.tokens.files import files_of

log = logging.getLogger("maskwise")

Document = Literal["file", "paragraph", "line"]

SUFFIXES = (".txt", ".md", ".jsonl", ".parquet")
_PART = 1 << 20  # characters read at once, so that no document need fit in memory
_BATCH = 1 << 22  # characters tokenized at once
_TEST = ("test", "validation", "valid", "val")


class Part(NamedTuple):
    """A document, or a part of a long one."""

    text: str
    first: bool  # Whether a document begins here.


def text_files(source: str) -> list[Path]:
    """Return the text files that a source names."""
    return files_of(source, SUFFIXES, "text files", deep=True)


def read_parts(source: str, column: str, document: Document) -> Iterator[Part]:
    """Give the documents of a source (hf:NAME[:SPLIT] too) in order, long ones in parts."""
    if source == "pydoc":
        from pydoc_data.topics import topics

        yield from (Part(topics[key], True) for key in sorted(topics))
        return
    if source.startswith("hf:"):
        yield from _rows(hub_split(source, column)[column], source, column)
        return
    for path in text_files(source):
        rows = {".jsonl": _json_column, ".parquet": _parquet_column}.get(kind_of(path))
        if rows is None:
            yield from _documents(path, document)
        else:
            yield from _rows(rows(path, column), str(path), column)


def documents(source: str, column: str, document: Document) -> list[str]:
    """Return the documents of a source, all in memory; empty ones are left out, and counted."""
    found: list[str] = []
    for part in read_parts(source, column, document):
        if part.first:
            found.append(part.text)
        else:
            found[-1] += part.text
    kept = [text.strip() for text in found if text.strip()]
    if not kept:
        raise UserError(f"{source}: no text")
    if num_empty := len(found) - len(kept):
        log.warning("%s: %d empty texts left out, %d kept", source, num_empty, len(kept))
    return kept


def hub_split(source: str, column: str) -> Any:
    """Return a split of hf:NAME[:SPLIT], by default the one named train."""
    wanted = source.removeprefix("hf:").partition(":")[2] or "train"
    splits = _hub(source)
    if wanted not in splits:
        raise UserError(f"{source}: no split named {wanted}; found {', '.join(splits)}")
    _check_column(source, column, splits[wanted].column_names)
    return splits[wanted]


def _check_column(where: object, column: str, names: Sequence[str]) -> None:
    if column not in names:
        raise UserError(
            f"{where}: no column '{column}'; found {', '.join(names)}: give --data.column"
        )


def hub_test_split(source: str) -> str | None:
    """Return the source that is the test split of hf:NAME, if it has one."""
    found = [key for key in _TEST if key in _hub(source)]
    return f"{source}:{found[0]}" if found and source.count(":") == 1 else None


def hub_columns(source: str) -> set[str]:
    """Return the kinds of the columns of hf:NAME: "Image", "string", ..."""
    features = next(iter(_hub(source).values())).features.values()
    kinds = [(str(getattr(each, "dtype", "")), type(each).__name__) for each in features]
    return {name for each in kinds for name in each}


def _hub(source: str) -> Mapping[str, Any]:
    datasets = require("datasets", source, "data")
    try:
        return datasets.load_dataset(source.split(":")[1])
    except Exception as error:  # whatever hub, network, cache and file formats raise
        reason = str(error).split("\n")[0]
        raise UserError(f"{source}: cannot be loaded ({reason})") from error


def _rows(values: Iterable[object], where: str, column: str) -> Iterator[Part]:
    for number, text in enumerate(values):
        if not isinstance(text, str):
            raise UserError(f"{where}: row {number}: '{column}' holds {text!r:.40}, not a text")
        # Short parts keep a tokenizer from seeing a whole book at once.
        for start in range(0, max(len(text), 1), _PART):
            yield Part(text[start : start + _PART], start == 0)


def _documents(path: Path, document: Document) -> Iterator[Part]:
    text, first = "", True
    for line in read_lines(path, most=_PART):
        # Texts that are asked about later have no line break at their end.
        if document == "line":
            yield Part(line.rstrip("\n"), True)
        elif document == "paragraph" and not line.strip():
            if text:
                yield Part(text.rstrip("\n"), first)
            text, first = "", True
        else:
            text += line
            if len(text) >= _PART:
                yield Part(text, first)
                text, first = "", False
    if text or (document == "file" and first):
        yield Part(text if document == "file" else text.rstrip("\n"), first)


def _json_column(path: Path, column: str) -> Iterator[object]:
    for where, row in json_rows(path):
        if column not in row:
            raise UserError(
                f"{path}: {where} has no '{column}'; found {', '.join(row)}: give --data.column"
            )
        yield row[column]


def _parquet_column(path: Path, column: str) -> Iterator[object]:
    with open_parquet(path) as file:
        _check_column(path, column, file.schema_arrow.names)
        for batch in file.iter_batches(batch_size=1024, columns=[column]):
            yield from batch.column(0).to_pylist()


@dataclass(frozen=True, eq=False)
class Corpus:
    """A tokenized corpus."""

    text: Text
    ids: np.ndarray  # uint16 or uint32 [n], of all documents, without special tokens
    starts: np.ndarray  # uint8 [n], 1 where a token begins a word
    documents: np.ndarray  # int64 [documents, 2], where each begins and ends
    counts: Entries  # what was read, kept and dropped, and a digest of the tokens


def open_corpus(folder: Path) -> Corpus:
    """Return the corpus in a folder."""
    meta = read_json(folder / "meta.json")
    try:
        text = Text.load(folder, meta["text"])
        num = meta["counts"]["tokens"]
        ids = np.memmap(folder / "ids.bin", dtype=meta["dtype"], mode="r", shape=num)
        starts = np.memmap(folder / "starts.bin", dtype=np.uint8, mode="r", shape=num)
        documents = np.load(folder / "documents.npy", allow_pickle=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"tokens in {folder} are damaged ({error}): delete that folder") from None
    return Corpus(text, ids, starts, documents, meta["counts"])


def write_corpus(folder: Path, text: Text, parts: Iterable[Part]) -> None:
    """Tokenize documents into a folder; memory stays flat."""
    dtype = np.dtype(np.uint16 if text.num_tokens <= 1 << 16 else np.uint32)
    bounds: dict[int, int] = {}
    counts = {"documents": 0, "dropped_documents": 0, "characters": 0, "tokens": 0}
    begin = end = kept = 0
    with (folder / "ids.bin").open("wb") as ids, (folder / "starts.bin").open("wb") as starts:
        for part, encoded in _encoded(text, parts):
            if part.first:
                counts["documents"] += 1
                if end > kept:  # a document too short, which is written over
                    ids.seek(kept * dtype.itemsize)
                    starts.seek(kept)
                begin = end = kept
            counts["characters"] += len(part.text)
            ids.write(encoded.ids.astype(dtype).tobytes())
            starts.write(encoded.starts.astype(np.uint8).tobytes())
            end += len(encoded.ids)
            if end - begin >= 2:
                bounds[begin] = kept = end
        ids.truncate(kept * dtype.itemsize)
        starts.truncate(kept)
    if not bounds:
        raise UserError(f"no text: {counts['documents']} documents, none of two tokens or more")
    documents = np.array(list(bounds.items()), dtype=np.int64)
    np.save(folder / "documents.npy", documents)
    with (folder / "ids.bin").open("rb") as ids:
        digest = hashlib.file_digest(ids, "sha256")
    digest.update(documents.tobytes())
    counts |= {"dropped_documents": counts["documents"] - len(bounds), "tokens": kept}
    counted = {**counts, "sha256": digest.hexdigest()}
    meta = {"counts": counted, "dtype": dtype.name, "text": text.save(folder)}
    write_json(folder / "meta.json", meta)


def _encoded(text: Text, parts: Iterable[Part]) -> Iterator[tuple[Part, Encoded]]:
    waiting: list[Part] = []
    size = 0
    for part in parts:
        waiting.append(part)
        size += len(part.text)
        if size >= _BATCH:
            yield from zip(waiting, text.encode([p.text for p in waiting]), strict=True)
            waiting, size = [], 0
    yield from zip(waiting, text.encode([p.text for p in waiting]), strict=True)
