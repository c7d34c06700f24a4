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
        edges = torch.zeros(2, max(tokens.values()) + 1, dtype=torch.bool)
        self._begins, self._ends = edges
        self._begins[[tokens[token] for token in begins or ()]] = True
        self._ends[[tokens[token] for token in ends]] = True
        edges[:, [added["id"] for added in described["added_tokens"]]] = True
        model = described["model"]
        if model["type"] in ("BPE", "Unigram"):
            # There an unknown character is unknown, not a word.
            unigram = model["type"] == "Unigram"
            unknown = model["unk_id"] if unigram else model["vocab"].get(model["unk_token"])
            if unknown is not None:
                edges[:, unknown] = False

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
    parts = [(described[part] or {}, part) for part in ("normalizer", "pre_tokenizer", "decoder")]
    marks = tuple(mark for part in parts for mark in _marks_of_spaces(*part))
    begins = [token for token in tokens if token.startswith(marks)]
    # Where white space is dropped before, a vocabulary may still hold its marks, alone.
    return (begins if any(len(token) > 1 for token in begins) else None), []


def _marks_of_spaces(step: Entries, part: str) -> Iterator[str]:
    """Give what a step of a part, or those of a sequence, write for white space."""
    kind = step.get("type")
    if kind == "ByteLevel":
        yield from _SPACES
    elif kind == "Metaspace":
        yield step["replacement"]
    elif kind == "Replace" and part == "decoder" and step["content"] == " ":
        yield from step["pattern"].values()
    for steps in ("normalizers", "pretokenizers", "decoders"):
        for inner in step.get(steps, []):
            yield from _marks_of_spaces(inner, part)


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
