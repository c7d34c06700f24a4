"""Sequences of data sets and streams from Python; streams are cut in windows as they pass."""

import itertools
import logging
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskwise.dna.bases import NUM_BASES
from maskwise.dna.data import WINDOW, DNADataSettings, DNASplits, tile, whole, windows
from maskwise.dna.fasta import genome_of
from maskwise.errors import UserError, option
from maskwise.given import Items, Streamed, head
from maskwise.inspection import quietly
from maskwise.textio import few
from maskwise.train.stream import StreamSource

log = logging.getLogger("maskwise")
SEQUENCE = ("sequence", "seq", "dna", "text")
"""usual keys of sequences"""
TOGETHER = 1 << 20  # bases that are looked at together, if the sequences are short
_WINDOWS = 4096  # that are read together


def sequence_of(data: Items | Streamed, item: Any, number: int) -> str:
    """Return the sequence of an item.

    Raises:
        UserError: it is something else.
    """
    sequence, _ = data.parts(item, number, SEQUENCE)
    if isinstance(sequence, (tuple, list)) and 1 <= len(sequence) <= 2:
        sequence = sequence[0]
    if isinstance(sequence, str):
        return sequence
    is_dict = isinstance(sequence, dict)
    keys = f" with the keys {few([str(key) for key in sequence])}" if is_dict else ""
    hint = f": name the one of the sequence, {option('data.x')}" if keys else ""
    raise UserError(f"{data.named(number)} is no str, but {type(sequence).__name__}{keys}{hint}")


def of_items(items: Items) -> list[str]:
    """Return the sequences of a data set, which are read once.

    Raises:
        UserError: an item that is no sequence.
    """
    return [sequence_of(items, item, number) for number, item in enumerate(items.every())]


def load_stream(stream: Streamed, data: DNADataSettings) -> DNASplits:
    """Return windows of the first sequences, and a stream of those after the ones to test on.

    Raises:
        UserError: it holds something else, or ends too soon, or settings name records or regions.
    """
    if data.heldout or data.regions is not None:
        name = "heldout" if data.heldout else "regions"
        raise UserError(
            f"data.{name} needs all sequences: leave it out for a stream, whose first are held"
            f" out ({option('data.stream_test')})"
        )
    num = data.stream_test
    first = head(stream, num, lambda item, number: sequence_of(stream, item, number))
    longest = max(map(len, first.train))
    width = data.window or min(WINDOW, max(longest, 1))
    stride = data.stride or max(width // 2, 1)
    parts = []
    for start, sequences, what in (
        (num, first.train, "looked at"),
        (0, first.test, "held out"),
    ):
        names = [f"sequence{start + place + 1}" for place in range(len(sequences))]
        genome = genome_of(sequences, names, data.broken)
        told = f"stream, {what}"
        parts.append(windows(genome, whole(genome), width=width, stride=stride, name=told))
    samples = partial(_samples, stream, data, width, stride)
    known = None if first.num is None else sum(1 for _ in samples())
    seconds = first.seconds * len(first.train) / len(parts[0])
    source = StreamSource(samples, _collate, data.buffer, known, seconds)
    return DNASplits(parts[0], parts[1], "stream", source)


def _samples(
    stream: Streamed, data: DNADataSettings, width: int, stride: int
) -> Iterator[np.ndarray]:
    """Give the windows with a base of a pass over the sequences to train on."""
    rest = itertools.islice(enumerate(stream), data.stream_test, None)
    waiting: dict[str, str] = {}
    size = 0
    for number, item in rest:
        waiting[f"sequence{number + 1}"] = sequence = sequence_of(stream, item, number)
        if (size := size + len(sequence)) >= TOGETHER:
            yield from _windows(waiting, data, width, stride)
            waiting, size = {}, 0
    yield from _windows(waiting, data, width, stride)


def _windows(
    sequences: dict[str, str], data: DNADataSettings, width: int, stride: int
) -> Iterator[np.ndarray]:
    if not any(sequences.values()):
        return
    with quietly():
        genome = genome_of([*sequences.values()], [*sequences], data.broken)
    if genome.left_out:
        told = [f"{name} ({why})" for name, why in genome.left_out.items()]
        log.warning("stream: %d records left out: %s", len(told), few(told))
    tiles, _ = tile(genome, whole(genome), None, width, stride)
    for start in range(0, len(tiles), _WINDOWS):
        codes = tiles.get(np.arange(start, min(start + _WINDOWS, len(tiles)))).numpy()
        for window in codes[(codes & 7 < NUM_BASES).any(axis=1)]:
            yield window.copy()  # so that one that waits does not keep all others


def _collate(some: Sequence[np.ndarray]) -> tuple[Tensor, None]:
    return torch.from_numpy(np.stack(some)), None
