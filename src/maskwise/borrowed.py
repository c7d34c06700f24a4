"""Random numbers that code of others draws from generators which all share: keyed, for a while."""

import random
import threading
from collections.abc import Callable, Iterator
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
def keyed() -> Iterator[Callable[[int], None]]:
    """Give what seeds the generators that all share for a sample; they are put back at the end.

    Those of torch (on the CPU), NumPy and Python, from which transforms of others draw. What they
    draw then depends on (seed, epoch, sample) and nothing else, as all that is drawn here does:
    not on workers, ranks, or where a run was resumed. Other threads wait meanwhile.

    >>> with keyed() as begin:
    ...     begin(7)
    ...     first = random.random()
    ...     begin(7)
    ...     first == random.random()
    True
    """
    seed, epoch = _key.get()

    def begin(sample: int) -> None:
        bits = Keys(seed, epoch, torch.tensor([sample])).bits(Stream.TRANSFORM, 1)
        word = int(bits[0, 0])
        torch.default_generator.manual_seed(word)
        np.random.seed(word)
        random.seed(word)

    with _lock:
        states = torch.default_generator.get_state(), np.random.get_state(), random.getstate()
        try:
            yield begin
        finally:
            torch.default_generator.set_state(states[0])
            np.random.set_state(states[1])
            random.setstate(states[2])
