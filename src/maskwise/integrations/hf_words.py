"""Which tokens begin a word, by how a tokenizer marks them."""

import json
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

# What byte-level tokenizers write for a space, a tab and the ends of lines.
_SPACES = ("\u0120", "\u0109", "\u010a", "\u010d")


class WordMarks:
    """Where words begin, for any text of a tokenizer.

    Subword tokenizers mark their tokens: WordPiece those that continue a word (``##``), byte-level
    BPE and SentencePiece those that begin one (``Ġ``, ``▁``), some BPE those that end one
    (``</w>``); of word-level ones each token is a word. What carries no mark, such as a full stop
    in byte-level BPE, belongs to the word before it.

    Args:
        backend: a `tokenizers.Tokenizer`.

    Attributes:
        known: whether the tokenizer marks words at all.
    """

    def __init__(self, backend: Any) -> None:
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
            unknown = _unknown(described["model"])
            self._begins[unknown] = self._ends[unknown] = False

    def starts(self, ids: Tensor) -> Tensor:
        """Return which tokens begin a word, bool like `ids`, int64 [B, L]."""
        before = torch.nn.functional.pad(self._ends[ids], (1, 0), value=True)[:, :-1]
        return self._begins[ids] | before


def _marks(described: dict[str, Any], tokens: list[str]) -> tuple[list[str] | None, list[str]]:
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


def _unknown(model: dict[str, Any]) -> list[int]:
    """Return the id of the token for what is unknown, if there is one."""
    if model["type"] == "Unigram":
        place = model["unk_id"]
    else:
        place = model["vocab"].get(model["unk_token"])
    return [] if place is None else [place]


def _marks_of_spaces(described: dict[str, Any]) -> Iterator[str]:
    """Give what the tokenizer writes for white space."""
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        for step in _steps(described[part]):
            if step["type"] == "ByteLevel":
                yield from _SPACES
            elif step["type"] == "Metaspace":
                yield step["replacement"]
            elif step["type"] == "Replace" and part == "decoder" and step["content"] == " ":
                yield from step["pattern"].values()


def _steps(part: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """Give the steps of a sequence, or the only one."""
    if part is None:
        return
    if part["type"] != "Sequence":
        yield part
    for inner in ("normalizers", "pretokenizers", "decoders"):
        for step in part.get(inner, []):
            yield from _steps(step)
