"""Rows of tokens by index: what training and evaluation read texts from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maskwise.text.corpus import Corpus
from maskwise.text.packing import PackedRows, expand


@dataclass(frozen=True, eq=False)
class TextSource:
    """Rows of tokens by index.

    Args:
        corpus: the tokens.
        rows: which pieces each row holds.
        starts: uint8 [n], where units begin; None where nobody asks for units.
    """

    corpus: Corpus
    rows: PackedRows
    starts: np.ndarray | None = None
    in_memory: bool = True

    def __len__(self) -> int:
        return len(self.rows)

    def get(self, indices: Sequence[int] | np.ndarray | Tensor) -> Tensor:
        """Return token ids, int64 [b, L], framed and padded, at `indices`."""
        text, rows = self.corpus.text, np.asarray(indices, dtype=np.int64)
        ids = np.full((len(rows), text.length), text.pad, dtype=np.int64)
        source, row, place = self.rows.tokens_of(rows)
        ids[row, place] = self.corpus.ids[source]
        begin, count = self.rows.begin[rows], self.rows.begin[rows + 1] - self.rows.begin[rows]
        piece, row = expand(begin, count)
        for back, token in enumerate(reversed(text.start), start=1):
            ids[row, self.rows.place[piece] - back] = token
        for on, token in enumerate(text.stop):
            ids[row, self.rows.place[piece] + self.rows.size[piece] + on] = token
        return torch.from_numpy(ids)

    def units(self, indices: Sequence[int] | np.ndarray | Tensor) -> Tensor | None:
        """Return the unit of each position, int64 [b, L], if units are asked for.

        Special tokens and the beginnings of pieces begin units too.
        """
        if self.starts is None:
            return None
        rows = np.asarray(indices, dtype=np.int64)
        begins = np.ones((len(rows), self.corpus.text.length), dtype=np.int64)
        source, row, place = self.rows.tokens_of(rows)
        begins[row, place] = self.starts[source]
        return torch.from_numpy(begins).cumsum(dim=1)

    @property
    def padding(self) -> float:
        """Share of positions that hold nothing."""
        frame = self.corpus.text.num_frame * len(self.rows.size)
        filled = int(self.rows.size.sum()) + frame
        return 1 - filled / (len(self) * self.corpus.text.length)


@dataclass(frozen=True, eq=False)
class TextSplits:
    """Texts ready for use: `train` to learn from, `test` to evaluate on."""

    train: TextSource
    test: TextSource
    name: str
