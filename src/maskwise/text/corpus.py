"""A corpus as tokens on disk: written once, a part at a time, then read through memory maps."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskwise.errors import UserError
from maskwise.files import atomic_folder, read_json, write_json
from maskwise.text.files import Part
from maskwise.text.text import Text

_BATCH = 1 << 22  # characters tokenized at once


@dataclass(frozen=True, eq=False)
class Corpus:
    """A tokenized corpus.

    Args:
        text: how texts become tokens.
        ids: uint16 or uint32 [n], all documents one after the other, without special tokens.
        starts: uint8 [n], 1 where a token begins a word.
        documents: int64 [documents, 2], where each begins and ends.
        counts: what was read, kept and dropped, and a digest of the tokens.
    """

    text: Text
    ids: np.ndarray
    starts: np.ndarray
    documents: np.ndarray
    counts: dict[str, Any]


def open_corpus(folder: Path) -> Corpus | None:
    """Return the corpus in a folder, or None where there is none.

    Raises:
        UserError: it is damaged.
    """
    if not (folder / "meta.json").is_file():
        return None
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


def write_corpus(folder: Path, text: Text, parts: Iterable[Part]) -> Corpus:
    """Tokenize documents into a folder, which is complete or absent; memory stays flat.

    Documents with fewer than two tokens are left out, and counted.

    Args:
        folder: where to.
        text: how texts become tokens.
        parts: the documents.

    Raises:
        UserError: no document is left, or the disk is full.
    """
    with atomic_folder(folder) as work:
        _write(work, text, parts)
    corpus = open_corpus(folder)
    assert corpus is not None
    return corpus


def _write(folder: Path, text: Text, parts: Iterable[Part]) -> None:
    dtype = np.dtype(np.uint16 if text.num_tokens <= 1 << 16 else np.uint32)
    digest = hashlib.sha256()
    bounds: list[tuple[int, int]] = []
    counts = {"documents": 0, "dropped_documents": 0, "characters": 0, "tokens": 0}
    begin = end = 0
    with (folder / "ids.bin").open("wb") as ids, (folder / "starts.bin").open("wb") as starts:

        def close() -> None:
            nonlocal end
            if end - begin >= 2:
                bounds.append((begin, end))
                return
            counts["dropped_documents"] += 1
            end = begin
            ids.seek(begin * dtype.itemsize)
            starts.seek(begin)

        for part, encoded in _encoded(text, parts):
            if part.first and counts["documents"]:
                close()
            if part.first:
                counts["documents"] += 1
                begin = end
            counts["characters"] += len(part.text)
            ids.write(encoded.ids.astype(dtype).tobytes())
            starts.write(encoded.starts.astype(np.uint8).tobytes())
            end += len(encoded.ids)
        if counts["documents"]:
            close()
        for file, size in ((ids, dtype.itemsize), (starts, 1)):
            file.truncate(end * size)
    if not bounds:
        raise UserError(f"no text: {counts['documents']} documents, none of two tokens or more")
    documents = np.array(bounds, dtype=np.int64)
    np.save(folder / "documents.npy", documents)
    for values in (np.memmap(folder / "ids.bin", dtype=dtype, mode="r"), documents):
        for start in range(0, len(values), _BATCH):
            digest.update(np.ascontiguousarray(values[start : start + _BATCH]).tobytes())
    counts["tokens"] = end
    write_json(
        folder / "meta.json",
        {
            "counts": {**counts, "sha256": digest.hexdigest()},
            "dtype": dtype.name,
            "text": text.save(folder),
        },
    )


def _encoded(text: Text, parts: Iterable[Part]) -> Iterator[tuple[Part, Any]]:
    waiting: list[Part] = []
    size = 0
    for part in parts:
        waiting.append(part)
        size += len(part.text)
        if size >= _BATCH:
            yield from zip(waiting, text.encode([p.text for p in waiting]), strict=True)
            waiting, size = [], 0
    yield from zip(waiting, text.encode([p.text for p in waiting]), strict=True)
