"""Random numbers that code of others draws from generators which all share: keyed, for a while."""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import torch

from maskwise.rng import Keys, Stream

_key: ContextVar[tuple[int, int]] = ContextVar("key", default=(0, 0))
_lock = threading.RLock()


@contextmanager
def drawing(seed: int, epoch: int) -> Iterator[None]:
    """Key by a seed and an epoch what `keyed` lets others draw within the block."""
    token = _key.set((seed, epoch))
    try:
        yield
    finally:
        _key.reset(token)


@contextmanager
def keyed(samples: Sequence[int]) -> Iterator[Callable[[int], None]]:
    """Give what seeds the generators that all share for one of some samples, by its place there.

    Those of torch (on the CPU), NumPy and Python, from which transforms of others draw; they are
    put back at the end. What is drawn then depends on (seed, epoch, sample) and nothing else, as
    all that is drawn here does: not on workers, ranks, or where a run was resumed. Other threads
    wait meanwhile.

    >>> with keyed([7, 8]) as begin:
    ...     begin(0)
    ...     first = random.random()
    ...     begin(0)
    ...     first == random.random()
    True
    """
    seed, epoch = _key.get()
    ids = torch.tensor(samples, dtype=torch.int64)
    words = Keys(seed, epoch, ids).bits(Stream.TRANSFORM, 1)[:, 0].tolist()

    def begin(place: int) -> None:
        torch.default_generator.manual_seed(words[place])
        np.random.seed(words[place])
        random.seed(words[place])

    with _lock:
        states = torch.default_generator.get_state(), np.random.get_state(), random.getstate()
        try:
            yield begin
        finally:
            torch.default_generator.set_state(states[0])
            np.random.set_state(states[1])
            random.setstate(states[2])
