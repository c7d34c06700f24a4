"""A tokenized corpus, kept on disk: written a part at a time, read through a memory map."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskwise.errors import UserError
from maskwise.files import read_json, write_json
from maskwise.modality import Entries
from maskwise.text.sources import Part
from maskwise.text.text import Encoded, Text

_BATCH = 1 << 22  # characters tokenized at once


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
