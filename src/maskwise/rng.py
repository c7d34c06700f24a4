"""Counter-based randomness: every number is a pure function of named keys.

Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3",
SC 2011) written as tensor integer arithmetic, so that it gives the same bits on any device. A
number depends on (seed, stream, epoch, sample, position) and on nothing else: not on the batch,
the worker, the rank, the device or what was drawn before.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import torch
from torch import Tensor

_MASK32 = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_CHUNK = 1 << 16  # samples whose keys are made at once


class Stream(IntEnum):
    """What a number is for; two uses never share a stream."""

    RATIO = 1
    SCORE = 2
    SHAPE = 3
    ORDER = 4
    CROP = 5
    FLIP = 6
    STRATUM = 7
    PREDICT = 8
    SAMPLE = 9
    CORRUPT = 10
    REPLACEMENT = 11
    STRAND = 12
    ZEROS = 13
    PERMUTE = 14
    SHARED = 15
    DONOR = 16
    BUFFER = 17
    TRANSFORM = 18


def philox(counter: Tensor, key: tuple[int, int]) -> Tensor:
    """Return Philox4x32-10 of each counter: four 32-bit words in, four out.

    Args:
        counter: int64 [..., 4], each entry a 32-bit word in [0, 2**32).
        key: two 32-bit words.

    Returns:
        int64 [..., 4], each entry a 32-bit word.

    >>> words = philox(torch.zeros(4, dtype=torch.int64), (0, 0))
    >>> [f"{int(word):08x}" for word in words]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    if counter.device.type == "cpu":
        # NumPy's operators cost a third of PyTorch's, which is all of it where tensors are small.
        words = _mixed(counter.reshape(-1, 4).numpy().T, key)
        return torch.from_numpy(np.stack(words, axis=-1)).view(counter.shape)
    return torch.stack(_mixed(counter.unbind(-1), key), dim=-1)


def _mixed(words: Any, key: tuple[int, int]) -> tuple[Any, ...]:
    """Return four words after all rounds; they are int64 arrays or tensors."""
    c0, c1, c2, c3 = words
    k0, k1 = key
    for _ in range(_ROUNDS):
        # int64 products wrap modulo 2**64, which leaves both 32-bit halves right.
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        high0, low0 = (p0 >> 32) & _MASK32, p0 & _MASK32
        high1, low1 = (p1 >> 32) & _MASK32, p1 & _MASK32
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + _KEY_STEPS[0]) & _MASK32, (k1 + _KEY_STEPS[1]) & _MASK32
    return c0, c1, c2, c3


@dataclass(frozen=True)
class Keys:
    """Whose numbers: a seed, an epoch and the samples of a batch.

    Args:
        seed: any integer (64 bits are used).
        epoch: which pass over the data, 32 bits.
        sample_ids: int64 [B], which samples, 56 bits each; its device is where numbers are made.

    Example:
        >>> keys = Keys(seed=0, epoch=0, sample_ids=torch.tensor([3, 7]))
        >>> alone = Keys(seed=0, epoch=0, sample_ids=torch.tensor([7]))
        >>> torch.equal(keys.bits(Stream.SCORE, 5)[1:], alone.bits(Stream.SCORE, 5))
        True
    """

    seed: int
    epoch: int
    sample_ids: Tensor

    def __getitem__(self, rows: slice) -> "Keys":
        """Return the keys of some samples of the batch."""
        return Keys(self.seed, self.epoch, self.sample_ids[rows])

    def bits(self, stream: Stream, num: int) -> Tensor:
        """Return `num` 32-bit words per sample, int64 [B, num]."""
        ids = self.sample_ids.to(torch.int64)
        blocks = torch.arange((num + 3) // 4, dtype=torch.int64, device=ids.device)
        counter = torch.empty((len(ids), len(blocks), 4), dtype=torch.int64, device=ids.device)
        counter[..., 0] = blocks
        counter[..., 1] = (ids & _MASK32)[:, None]
        counter[..., 2] = self.epoch & _MASK32
        # The stream takes the low byte of the last word, the high bits of the sample id the rest.
        counter[..., 3] = (((ids >> 32) << 8) | int(stream))[:, None] & _MASK32
        words = philox(counter, (self.seed & _MASK32, (self.seed >> 32) & _MASK32))
        return words.flatten(1)[:, :num]

    def uniform(self, stream: Stream, num: int) -> Tensor:
        """Return `num` float32 uniforms on [0, 1) per sample, [B, num] (24 random bits each)."""
        return (self.bits(stream, num) >> 8).to(torch.float32) * 2.0**-24

    def open_uniform(self, stream: Stream, num: int) -> Tensor:
        """Return `num` float64 uniforms on (0, 1) per sample, [B, num] (32 random bits each).

        Never 0 or 1, so that any quantile function is finite there.
        """
        return (self.bits(stream, num).to(torch.float64) + 0.5) * 2.0**-32


def uniforms(seed: int, stream: Stream, *, epoch: int = 0, sample_ids: Tensor) -> Tensor:
    """Return one float64 uniform on (0, 1) per sample, [B], on the CPU, where laws need them."""
    return Keys(seed, epoch, sample_ids.cpu()).open_uniform(stream, 1)[:, 0]


def shuffled(num: int, *, seed: int, epoch: int) -> Tensor:
    """Return the order in which an epoch visits `num` samples, int64 [num], on the CPU.

    >>> sorted(shuffled(5, seed=0, epoch=1).tolist())
    [0, 1, 2, 3, 4]
    """
    # One word holds the key of a sample and its number, so that a sort in place gives the order
    # and a genome's many millions of samples need no more memory than that.
    order = np.empty(num, dtype=np.int64)
    for start in range(0, num, _CHUNK):
        ids = torch.arange(start, min(start + _CHUNK, num))
        words = Keys(seed, epoch, ids).bits(Stream.ORDER, 1)[:, 0]
        order[start : start + len(ids)] = (words - 2**31) << 32 | ids
    order.sort()
    order &= _MASK32
    return torch.from_numpy(order)
