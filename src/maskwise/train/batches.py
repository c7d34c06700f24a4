"""Which samples a step sees: the batches of a run, by step."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from maskwise.borrowed import drawing
from maskwise.errors import UserError, option
from maskwise.modality import Source
from maskwise.rng import shuffled

_order = lru_cache(maxsize=1)(shuffled)


@dataclass(frozen=True)
class Batch:
    """One rank's share of a step, counted from 0."""

    step: int
    epoch: int
    ids: Tensor
    """this rank's samples, int64 [B / ranks]"""
    peers: Tensor
    """those of all ranks, int64 [B]"""
    samples: Tensor
    units: Tensor | None
    """positions to be hidden together, int64 [B / ranks, L]"""


class Batches(Dataset[Batch | UserError]):
    """The batches of a run by step. Each epoch is a fresh shuffle without its last, partial batch.

    Nothing but (seed, step) decides which samples a step sees, so resuming is starting to read at
    a later step, and the number of ranks or workers does not matter.
    """

    def __init__(
        self, source: Source, *, batch_size: int, seed: int, rank: int = 0, ranks: int = 1
    ) -> None:
        if len(source) < batch_size:
            raise UserError(
                f"{len(source)} training samples are fewer than a batch of {batch_size}:"
                f" lower {option('train.batch_size')}"
            )
        self.source, self.batch_size, self.seed = source, batch_size, seed
        self.rank, self.ranks = rank, ranks
        self.per_epoch = len(source) // batch_size

    def __getitem__(self, step: int) -> Batch | UserError:
        """Return a batch, or the error that reading it met (a worker process cannot raise it)."""
        epoch, index = divmod(step, self.per_epoch)
        order = _order(len(self.source), seed=self.seed, epoch=epoch)
        peers = order[index * self.batch_size : (index + 1) * self.batch_size]
        ids = peers.chunk(self.ranks)[self.rank]
        try:
            with drawing(self.seed, epoch):
                samples = self.source.get(ids)
            return Batch(step, epoch, ids, peers, samples, self.source.units(ids))
        except UserError as error:
            return error

    def num_workers(self, asked: int | None) -> int:
        """Return how many processes read, where so many are asked for."""
        usual = 0 if self.source.in_memory else os.cpu_count() or 1
        return usual if asked is None else asked

    def read(self, start: int, stop: int, workers: int | None = None) -> Iterator[Batch]:
        """Yield the batches of steps start..stop-1 in order, read by `workers` processes."""
        workers = self.num_workers(workers)
        steps = range(start, stop)
        loader: Iterable[Batch | UserError] = map(self.__getitem__, steps)
        if workers:
            # The loader's own generator keeps it from drawing on the global one.
            generator = torch.Generator()
            loader = DataLoader(
                self, batch_size=None, sampler=steps, num_workers=workers, generator=generator
            )
        for batch in loader:
            if isinstance(batch, UserError):
                raise batch
            yield batch
