"""What a collator knows of samples: where words begin, and how often each was seen."""

import contextlib
import json
import os
import shutil
import sqlite3
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from maskwise.modality import Entries

if TYPE_CHECKING:  # it is an extra
    from tokenizers import Tokenizer

_SECONDS = 60  # to wait for other processes
_ONCE_MORE = "INSERT INTO seen VALUES (?, 1) ON CONFLICT (sample) DO UPDATE SET times = times + 1"
_TIMES = "SELECT times FROM seen WHERE sample = ?"
# What byte-level tokenizers write for a space, a tab and the ends of lines.
_SPACES = ("\u0120", "\u0109", "\u010a", "\u010d")


class WordMarks:
    """Where words begin, for any text of a tokenizer.

    Subword tokenizers mark their tokens: WordPiece those that continue a word (``##``), byte-level
    BPE and SentencePiece those that begin one (``Ġ``, ``▁``), some BPE those that end one
    (``</w>``); of word-level ones each token is a word. What carries no mark, such as a full stop
    in byte-level BPE, belongs to the word before it. `known` says whether words are marked at all.
    """

    def __init__(self, backend: "Tokenizer") -> None:
        described = json.loads(backend.to_str())
        tokens = backend.get_vocab(with_added_tokens=True)
        begins, ends = _marks(described, list(tokens))
        self.known = begins is not None
        num = max(tokens.values()) + 1
        self._begins, self._ends = torch.zeros(2, num, dtype=torch.bool)
        for token in begins or ():
            self._begins[tokens[token]] = True
        for token in ends:
            self._ends[tokens[token]] = True
        for added in described["added_tokens"]:
            self._begins[added["id"]] = self._ends[added["id"]] = True
        if described["model"]["type"] in ("BPE", "Unigram"):
            # There an unknown character is unknown, not a word.
            model, unigram = described["model"], described["model"]["type"] == "Unigram"
            unknown = model["unk_id"] if unigram else model["vocab"].get(model["unk_token"])
            if unknown is not None:
                self._begins[unknown] = self._ends[unknown] = False

    def starts(self, ids: Tensor) -> Tensor:
        """Return which tokens begin a word, bool like `ids`, int64 [B, L]."""
        before = torch.nn.functional.pad(self._ends[ids], (1, 0), value=True)[:, :-1]
        return self._begins[ids] | before


def _marks(described: Entries, tokens: list[str]) -> tuple[list[str] | None, list[str]]:
    """Return the tokens that begin a word (None: not known), and those that end one."""
    model = described["model"]
    if model["type"] == "WordLevel":
        return tokens, []
    if prefix := model.get("continuing_subword_prefix"):
        return [token for token in tokens if not token.startswith(prefix)], []
    if suffix := model.get("end_of_word_suffix"):
        return [], [token for token in tokens if token.endswith(suffix)]
    marks = tuple(_marks_of_spaces(described))
    begins = [token for token in tokens if token.startswith(marks)]
    # Where white space is dropped before, a vocabulary may still hold its marks, alone.
    return (begins if any(len(token) > 1 for token in begins) else None), []


def _marks_of_spaces(described: Entries) -> Iterator[str]:
    """Give what the tokenizer writes for white space."""
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        for step in _steps(described[part]):
            if step["type"] == "ByteLevel":
                yield from _SPACES
            elif step["type"] == "Metaspace":
                yield step["replacement"]
            elif step["type"] == "Replace" and part == "decoder" and step["content"] == " ":
                yield from step["pattern"].values()


def _steps(part: Entries | None) -> Iterator[Entries]:
    """Give the steps of a sequence, or the only one."""
    if part is None:
        return
    if part["type"] != "Sequence":
        yield part
    for inner in ("normalizers", "pretokenizers", "decoders"):
        for step in part.get(inner, []):
            yield from _steps(step)


class Sightings:
    """Counts how often each sample was seen, in all workers together.

    The counts are a table in a temporary file, 20 bytes for a sample: workers of any kind find it
    again by its name, be they forked or spawned, new in every epoch or not. It goes when this
    object does.

    Example:
        >>> sightings = Sightings()
        >>> sightings.count([7, 8, 7])
        [0, 0, 1]
        >>> sightings.count([8])
        [1]
    """

    def __init__(self) -> None:
        folder = tempfile.mkdtemp(prefix="maskwise-")
        self._path = Path(folder) / "seen"
        weakref.finalize(self, _remove, folder, os.getpid())
        with contextlib.closing(sqlite3.connect(self._path)) as table, table:
            table.execute("CREATE TABLE seen (sample INTEGER PRIMARY KEY, times INTEGER)")

    def count(self, samples: Sequence[int]) -> list[int]:
        """Return how often each was seen before, and count it; samples are 64-bit numbers."""
        # A connection must not outlive a fork, so there is one for each batch: 0.1 ms.
        connected = sqlite3.connect(self._path, timeout=_SECONDS, isolation_level="IMMEDIATE")
        with contextlib.closing(connected) as table, table:
            table.execute("PRAGMA synchronous = OFF")
            found = []
            for sample in samples:
                table.execute(_ONCE_MORE, (sample,))
                [times] = table.execute(_TIMES, (sample,)).fetchone()
                found.append(times - 1)
            return found


def _remove(folder: str, owner: int) -> None:
    """Remove the file, but not at the end of a forked worker."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
