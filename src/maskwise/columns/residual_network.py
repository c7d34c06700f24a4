"""Corrections of filled rows by a network that learns what the closed form leaves over."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn.functional import gelu, linear

from maskwise.columns.closed_form import ClosedForm, owners, weights_of

# Steps take about as long as ten rounds of regressions of each column on all others, or half a
# second where that is less.
FEWEST, MOST = 600, 1500
HELD_OUT, HELD_ROWS = 0.1, 5000  # share of the values that decide, and of how many rows
HIDDEN = (0.1, 0.5)  # share of a row that is hidden in training
MASKED, WORK = 60_000, 4e8  # masked rows; at most, and times the square of the columns
LOOKS = 5  # at held-out values
WIDTHS, WIDE = (64, 128), 10_000  # of the network: for fewer rows than these, and for more
BATCH, LR, WEIGHT_DECAY, WARMUP = 256, 3e-3, 1.0, 20


class Masked(NamedTuple):
    """Rows of which more is hidden."""

    shown: Tensor
    """columns filled in closed form, and where they have holes, float32 [N, 2 D]"""
    left: Tensor
    """what that leaves over where a value is hidden that is known, float32 [N, D], else 0"""
    wanted: Tensor
    """where this is, times how much the column counts, float32 [N, D]"""


@dataclass(frozen=True)
class ResidualNetwork:
    """A network of two hidden layers: from filled columns, and where they have holes, corrections.

    Args:
        weights: of the layers, a matrix and a bias each, float32.
    """

    weights: tuple[np.ndarray, ...]

    @torch.no_grad()
    def predict(self, filled: np.ndarray, holes: np.ndarray) -> np.ndarray:
        """Return what to add to filled columns with holes, float64 [N, D]."""
        weights = [torch.from_numpy(each).double() for each in self.weights]
        return np.asarray(network(weights, torch.from_numpy(np.hstack([filled, holes]))).numpy())


def num_steps(rows: int, columns: int) -> int:
    """Return how many steps of training a table is worth.

    >>> num_steps(4000, 80), num_steps(20_000, 100)
    (1500, 1500)
    """
    steps = int(2.5 * columns * (1.5 + 4.5e-5 * rows * columns))
    return min(max(steps, FEWEST), MOST)


def train(
    closed: ClosedForm, samples: np.ndarray, rng: Generator
) -> tuple[ResidualNetwork, np.ndarray, np.ndarray]:
    """Return a network, what it says of some known values it was not shown, and what is left.

    In training more of each row of samples [N, F] is hidden and filled in closed form, and the
    network predicts the difference. A tenth of the values of some rows are held out, which tell
    when to end; of these it says what the closed form leaves over, [n, D] each, NaN elsewhere.
    """
    steps = num_steps(len(samples), len(closed.mean))
    few = rng.permutation(len(samples))[:HELD_ROWS]
    held = np.zeros(samples.shape, dtype=bool)
    held[few] = ~np.isnan(samples[few]) & (rng.random(samples[few].shape) < HELD_OUT)
    asked = _masked(closed, samples[few], held[few])
    samples = np.where(held, np.nan, samples)
    weights = _initial(len(closed.mean), WIDTHS[len(samples) >= WIDE], rng)
    update = AdamW(weights)
    least, best, pool = _error(asked, torch.zeros_like(asked.left)).sum(), weights, []
    for _ in range(LOOKS):
        pool.append(_some(closed, samples, rng))
        rows = Masked(*(torch.cat(parts) for parts in zip(*pool, strict=True)))
        for batch in _batches(rows, steps // LOOKS, rng):
            off = _error(batch, network(weights, batch.shown)).sum() / batch.wanted.sum()
            update(torch.autograd.grad(off, weights), update.num / steps)
        with torch.no_grad():
            found = _error(asked, network(weights, asked.shown)).sum()
        if found < least:
            least, best = found, [each.detach().clone() for each in weights]
        elif len(pool) > 1:
            break
    with torch.no_grad():
        said = network(best, asked.shown)
    told, left = (
        torch.where(asked.wanted > 0, each, torch.nan).double().numpy()
        for each in (said, asked.left)
    )
    return ResidualNetwork(tuple(each.detach().numpy() for each in best)), told, left


def _masked(closed: ClosedForm, samples: np.ndarray, hidden: np.ndarray) -> Masked:
    """Return samples [N, F], of which known values are hidden, bool [N, F]."""
    shown = closed.columns(np.where(hidden, np.nan, samples))
    filled, wanted = closed.fill(shown), hidden[:, owners(closed.sizes)]
    left = np.where(wanted, closed.columns(samples) - filled, 0)
    counts = wanted * weights_of(closed.sizes, closed.std)
    every = np.hstack([filled, np.isnan(shown)]), left, counts
    return Masked(*(torch.from_numpy(each.astype(np.float32)) for each in every))


def _some(closed: ClosedForm, samples: np.ndarray, rng: Generator) -> Masked:
    """Return rows at random, a share of what is known of them hidden."""
    num = int(min(MASKED, WORK / len(closed.mean) ** 2)) // LOOKS
    some = samples[rng.integers(len(samples), size=num)]
    share = rng.uniform(*HIDDEN, size=(num, 1))
    return _masked(closed, some, ~np.isnan(some) & (rng.random(some.shape) < share))


def _batches(rows: Masked, num: int, rng: Generator) -> Iterator[Masked]:
    """Give batches of rows, each row once in every pass."""
    order = np.concatenate(
        [rng.permutation(len(rows.shown)) for _ in range(1 + num * BATCH // len(rows.shown))]
    )
    for start in range(0, num * BATCH, BATCH):
        index = torch.from_numpy(order[start : start + BATCH])
        yield Masked(*(each[index] for each in rows))


def _error(rows: Masked, said: Tensor) -> Tensor:
    """Return weighted squared errors, [N, D]."""
    return (rows.left - said).square() * rows.wanted


class AdamW:
    """The optimiser, by hand: that of torch takes two seconds to import.

    Source: Loshchilov and Hutter, Decoupled weight decay regularization (arXiv 1711.05101).
    """

    def __init__(self, weights: Sequence[Tensor], decay: float = WEIGHT_DECAY) -> None:
        self.num, self.decay = 0, decay
        self._kept = [(each, torch.zeros_like(each), torch.zeros_like(each)) for each in weights]

    @torch.no_grad()
    def __call__(self, gradients: Sequence[Tensor], done: float) -> None:
        """Update the weights, `done` of the training being over: the rate falls as a cosine."""
        self.num += 1
        lr = LR * min(1.0, self.num / WARMUP) * (1 + math.cos(math.pi * done)) / 2
        for (weight, first, second), gradient in zip(self._kept, gradients, strict=True):
            first.lerp_(gradient, 0.1)
            second.lerp_(gradient.square(), 0.001)
            scale = (second / (1 - 0.999**self.num)).sqrt_().add_(1e-8)
            weight.mul_(1 - lr * self.decay)
            weight.addcdiv_(first, scale, value=-lr / (1 - 0.9**self.num))


def _initial(columns: int, width: int, rng: Generator) -> list[Tensor]:
    """Return weights of a network that says 0 at first."""
    found = []
    for last, low, high in ((0, 2 * columns, width), (0, width, width), (1, width, columns)):
        matrix = rng.standard_normal((high, low)) * (0 if last else low**-0.5)
        found += [matrix, np.zeros(high)]
    return [torch.from_numpy(each.astype(np.float32)).requires_grad_() for each in found]


def network(weights: Sequence[Tensor], x: Tensor) -> Tensor:
    """Return what the network says, [N, D]."""
    for place in range(0, len(weights) - 2, 2):
        x = gelu(linear(x, *weights[place : place + 2]))
    return linear(x, *weights[-2:])
