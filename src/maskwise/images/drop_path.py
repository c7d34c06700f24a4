"""Drop path: samples skip the residual branches of blocks at random."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from maskwise.layers.transformer import Block


@contextmanager
def dropped_paths(
    blocks: Sequence[Block], rate: float, rng: np.random.Generator
) -> Iterator[None]:
    """Drop both residual branches of blocks, each sample for itself, for a while.

    A branch f(x) becomes b / (1 - p) f(x) with b ~ Bernoulli(1 - p) for each sample; p rises
    linearly from 0 at the first block to `rate` at the last.

    Args:
        blocks: the blocks, from the input on.
        rate: p of the last block, below 1.
        rng: what is drawn.

    Source: Huang et al., Deep Networks with Stochastic Depth (arXiv 1603.09382).

    >>> blocks, x = [Block(4, 1, 1.0, "plain") for _ in range(2)], torch.ones(64, 3, 4)
    >>> with dropped_paths(blocks, 0.5, np.random.default_rng(0)):
    ...     same = (blocks[1](x) == x).all(2).all(1)  # neither branch of a sample
    >>> 0 < same.sum() < 64
    tensor(True)
    """
    rates = np.linspace(0, rate, len(blocks))
    hooks = [
        branch.register_forward_hook(_hook(float(each), rng))
        for block, each in zip(blocks, rates, strict=True)
        for branch in (block.project, block.mlp)
        if each > 0
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _hook(rate: float, rng: np.random.Generator) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    def drop(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        kept = torch.from_numpy(rng.random(len(output)) >= rate).to(output)
        return output * (kept / (1 - rate)).view(-1, 1, 1)

    return drop
