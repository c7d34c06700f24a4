"""Sums and rows over all ranks, with the gradients of a single process.

A value that every rank computes from `total` or `gathered` is the same on every rank, and the mean
over ranks that distributed training takes of its gradients is the gradient that one process with
all samples would have.
"""

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


def num_ranks() -> int:
    """Return how many processes train together: 1 where nothing is distributed.

    >>> num_ranks()
    1
    """
    return dist.get_world_size() if _distributed() else 1


def rank() -> int:
    """Return which of them this process is, counted from 0.

    >>> rank()
    0
    """
    return dist.get_rank() if _distributed() else 0


def _summed(x: Tensor) -> Tensor:
    everything = x.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(everything)
    return everything


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, exact: bool) -> Tensor:
        ctx.exact = exact
        return _summed(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        # What this rank adds to the sum moves the loss of every rank, not only its own.
        return _summed(grad) if ctx.exact else grad, None


def total(x: Tensor, exact: bool = True) -> Tensor:
    """Return sum_r x_r over ranks r, on every rank.

    Args:
        x: this rank's, of one shape on all ranks.
        exact: the gradient is the sum over ranks of theirs, so that their mean is that of a single
            process. False = this rank's own gradient only, whose mean over ranks is too small by
            the number of ranks.

    >>> total(torch.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """
    if num_ranks() == 1:
        return x
    return _Total.apply(x, exact)


def gathered(x: Tensor) -> Tensor:
    """Return the rows of all ranks in the order of ranks, on every rank.

    Args:
        x: this rank's rows [N, d], as many on every rank.

    >>> gathered(torch.ones(2, 3)).shape
    torch.Size([2, 3])
    """
    before, after = rank() * len(x), (num_ranks() - rank() - 1) * len(x)
    return total(torch.nn.functional.pad(x, (0, 0, before, after)))
