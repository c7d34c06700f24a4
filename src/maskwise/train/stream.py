"""Batches of a stream: shuffled in a buffer, numbered as they come, and read again to resume."""

import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from maskwise.errors import UserError, option
from maskwise.rng import Keys, Stream, shuffled
from maskwise.train.batches import Batch

log = logging.getLogger("maskwise")
_CHUNK = 4096  # places that are drawn at once


@dataclass(frozen=True, eq=False)
class StreamSource:
    """Samples to train on that come one after the other.

    Args:
        samples: begins a pass over them: the same ones in the same order each time. What it gives
            of a sample is the kind's own.
        collate: makes of some of them a batch [b, ...], and which positions are hidden together,
            int64 [b, L], or None.
        buffer: among how many training shuffles.
        num: how many there are, if that is known.
        seconds: what reading one takes.
    """

    samples: Callable[[], Iterator[Any]]
    collate: Callable[[Sequence[Any]], tuple[Tensor, Tensor | None]]
    buffer: int
    num: int | None = None
    seconds: float = 0.0


class StreamBatches:
    """The batches of a run on a stream, by step.

    A pass over the stream is an epoch, without its last, partial batch. A sample's id is its
    number in the pass, so masks and order follow from the seed and the stream: resuming reads the
    stream again up to its place, but for whole passes after the first. Each device reads all, and
    makes samples of its own share only.
    """

    def __init__(
        self, source: StreamSource, *, batch_size: int, seed: int, rank: int = 0, ranks: int = 1
    ) -> None:
        if source.num is not None and source.num < batch_size:
            raise _too_short(source.num, batch_size)
        self.source, self.batch_size, self.seed = source, batch_size, seed
        self.rank, self.ranks = rank, ranks

    def read(self, start: int, stop: int, workers: int | None = None) -> Iterator[Batch]:
        """Yield the batches of steps start..stop-1 in order; no process helps to read a stream."""
        step, per_epoch = 0, 0
        for epoch in itertools.count():
            if per_epoch and step + per_epoch <= start:
                step += per_epoch
                continue
            begun, total = step, 0
            for num, group in self._groups(epoch):
                if not group:
                    total = num
                    break
                if step >= start:
                    yield self._batch(step, epoch, group)
                step += 1
                if step >= stop:
                    return
            if step == begun:
                raise _too_short(total, self.batch_size)
            if per_epoch not in (0, step - begun):
                log.warning(
                    "the stream gave %d batches in its pass %d, and %d before: a run that was"
                    " stopped will not continue in the same place",
                    *(step - begun, epoch + 1, per_epoch),
                )
            per_epoch = step - begun

    def _groups(self, epoch: int) -> Iterator[tuple[int, list[tuple[int, Any]]]]:
        """Give the number of samples so far and each batch of a pass; last all, and no batch."""
        num, group = 0, list[tuple[int, Any]]()
        for num, each in enumerate(in_buffer(self.source, self.seed, epoch), start=1):
            group.append(each)
            if len(group) == self.batch_size:
                yield num, group
                group = []
        yield num, []

    def _batch(self, step: int, epoch: int, group: list[tuple[int, Any]]) -> Batch:
        peers = torch.tensor([number for number, _ in group])
        own = torch.arange(len(group)).chunk(self.ranks)[self.rank]
        samples, units = self.source.collate([group[place][1] for place in own.tolist()])
        return Batch(step, epoch, peers[own], peers, samples, units)


def in_buffer(source: StreamSource, seed: int, epoch: int) -> Iterator[tuple[int, Any]]:
    """Give the samples of a pass with their numbers, shuffled in a buffer by (seed, epoch).

    Each sample that comes takes the place of one that waits, which is chosen at random and goes
    out; at the end those that wait go out in a random order.

    >>> source = StreamSource(lambda: iter("abcdef"), collate=None, buffer=2)
    >>> found = list(in_buffer(source, seed=0, epoch=0))
    >>> sorted(found) == list(enumerate("abcdef")) != found
    True
    """
    waiting: list[tuple[int, Any]] = []
    words: list[int] = []
    for number, sample in enumerate(source.samples()):
        if number % _CHUNK == 0:
            ids = torch.arange(number, number + _CHUNK)
            words = Keys(seed, epoch, ids).bits(Stream.BUFFER, 1)[:, 0].tolist()
        if len(waiting) < source.buffer:
            waiting.append((number, sample))
            continue
        place = words[number % _CHUNK] * source.buffer >> 32
        gone, waiting[place] = waiting[place], (number, sample)
        yield gone
    for place in shuffled(len(waiting), seed=seed, epoch=epoch).tolist():
        yield waiting[place]


def _too_short(num: int, batch_size: int) -> UserError:
    return UserError(
        f"the stream ends after {num} samples to train on, before a batch of {batch_size} is full:"
        f" lower {option('train.batch_size')} or {option('data.stream_test')}"
    )
