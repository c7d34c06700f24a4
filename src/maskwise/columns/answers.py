"""A network that answers from filled columns and where they have holes."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from maskwise.columns.residual_network import AdamW, network

STEPS, MOST, BATCH, WEIGHT_DECAY = 1500, 4500, 256, 0.3
WIDTH, WIDE, MANY = 128, 256, 4000  # of the layers; and where more rows than these are labelled


@dataclass(frozen=True)
class Answers:
    """Two hidden layers of a network that says logits of classes, or a number.

    Args:
        weights: of the layers, a matrix and a bias each, float32.
        mean: of the columns that it reads, [D].
        std: the same.
        scale: what it says is multiplied by.
        middle: what is added to that.
    """

    weights: tuple[np.ndarray, ...]
    mean: np.ndarray
    std: np.ndarray
    scale: float = 1.0
    middle: float = 0.0

    @classmethod
    def learn(
        cls,
        filled: np.ndarray,
        holes: np.ndarray,
        y: np.ndarray,
        *,
        classes: bool,
        seed: int,
        rows: int = 0,
        steps: int | None = None,
    ) -> list[Self]:
        """Return networks of rows of which parts are hidden; all but their last layer they share.

        Args:
            filled: columns whose holes are filled, [n, D].
            holes: which they were, bool [n, H].
            y: what each network is to say, probabilities of classes, [n, G, K], or numbers
                [n, G, 1].
            classes: whether these are classes.
            seed: of weights and the order of rows.
            rows: with labels of their own; many are worth a larger network, and more steps.
            steps: of the optimiser.
        """
        rng, hidden = np.random.default_rng([seed, 5]), WIDE if rows > MANY else WIDTH
        steps = steps or min(max(STEPS * rows // MANY, STEPS), MOST)
        mean, std = filled.mean(axis=0), filled.std(axis=0)
        std = np.where(std > 1e-9, std, 1.0)
        middle, scale = (0.0, 1.0) if classes else (float(y.mean()), float(y.std()) or 1.0)
        x = torch.from_numpy(np.hstack([(filled - mean) / std, holes]).astype(np.float32))
        target = torch.from_numpy(((y - middle) / scale).astype(np.float32))
        num, width = y.shape[1:]
        weights = _initial((x.shape[1], hidden, hidden, num * width), rng)
        update, order = AdamW(weights, WEIGHT_DECAY), np.zeros(0, dtype=int)
        size = min(BATCH, len(x))
        for step in range(steps):
            if len(order) < size:
                order = rng.permutation(len(x))
            batch, order = torch.from_numpy(order[:size]), order[size:]
            said = network(weights, x[batch]).view(size, num, width)
            if classes:
                loss = -(target[batch] * log_softmax(said, dim=2)).sum(dim=2).mean()
            else:
                loss = (said - target[batch]).square().mean()
            update(torch.autograd.grad(loss, weights), step / steps)
        *first, matrix, bias = (each.detach().numpy() for each in weights)
        last = zip(np.split(matrix, num), np.split(bias, num), strict=True)
        return [cls((*first, *each), mean, std, scale, middle) for each in last]

    @torch.no_grad()
    def __call__(self, filled: np.ndarray, holes: np.ndarray) -> np.ndarray:
        """Return logits, [N, K], or numbers [N, 1], float64.

        It is computed in double precision, so that no row depends on its batch by rounding.
        """
        x = torch.from_numpy(np.hstack([(filled - self.mean) / self.std, holes]))
        said = network([torch.from_numpy(each).double() for each in self.weights], x)
        return np.asarray(said.numpy() * self.scale + self.middle)


def _initial(widths: tuple[int, ...], rng: np.random.Generator) -> list[Tensor]:
    """Return a matrix and a bias of each layer; the last says little at first."""
    found = []
    for place, (low, high) in enumerate(pairwise(widths), 2):
        last = place == len(widths)
        matrix = rng.standard_normal((high, low)) * (0.1 if last else math.sqrt(2)) / low**0.5
        found += [matrix, np.zeros(high)]
    return [torch.from_numpy(each.astype(np.float32)).requires_grad_() for each in found]
