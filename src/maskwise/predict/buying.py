"""How right answers are by what was bought: best by gain, or in an order that is fixed."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from maskwise.errors import UserError
from maskwise.predict.acquire import acquire
from maskwise.predict.asking import Asking, Says, SaysClasses, asked_of
from maskwise.predict.choosing import Costs, costs_of


@dataclass(frozen=True, eq=False)
class Bought:
    """How right answers to samples were as more of each was bought.

    Args:
        spent: by each sample until then, rising from 0, [N, T + 1].
        right: whether the likeliest class was the true one, 1 or 0; of a number minus the squared
            error, [N, T + 1].
        total: what all costs.
    """

    spent: np.ndarray
    right: np.ndarray
    total: float

    def at(self, spent: np.ndarray) -> np.ndarray:
        """Return how right answers are, the mean over samples, with so much spent, [S]."""
        place = (self.spent[:, :, None] <= np.asarray(spent) + 1e-9).sum(axis=1) - 1
        return np.asarray(np.take_along_axis(self.right, place, axis=1).mean(axis=0))

    @property
    def areas(self) -> np.ndarray:
        """How right answers to each sample are, the mean over what may be spent, [N]."""
        ends = np.hstack([self.spent[:, 1:], np.full((len(self.spent), 1), self.total)])
        return np.asarray(((ends - self.spent) * self.right).sum(axis=1) / self.total)

    @property
    def area(self) -> float:
        """The mean of `areas`: 1 = always right."""
        return float(self.areas.mean())


def curve(
    asking: Asking,
    head: Says,
    y: np.ndarray,
    *,
    order: Literal["gain"] | np.ndarray = "gain",
    cost: Costs = None,
    most: int | None = None,
    draws: int = 32,
    seed: int = 0,
) -> Bought:
    """Return how right answers are as positions of samples are bought, from nothing on.

    Args:
        asking: samples, N of them, from which nothing need be missing.
        head: what says their labels.
        y: what is true of each, [N].
        order: "gain": the position that is expected to tell most of the label for its cost, given
            what was bought before; or positions in the order in which they are bought, of all
            samples [L] or of each [N, L].
        cost: of positions, see `acquire`.
        most: positions that are bought at most; default: all.
        draws: see `acquire`.
        seed: the same.

    Raises:
        UserError: a sample of which nothing is there, or see `acquire`.
    """
    num, length = asking.there.shape
    costs, y = costs_of(cost, asking.names), np.asarray(y)
    if not asking.there.any(axis=1).all():
        row = int(np.flatnonzero(~asking.there.any(axis=1))[0])
        raise UserError(f"nothing of sample {row + 1} is there, so nothing of it can be bought")
    plan = None if isinstance(order, str) else np.broadcast_to(order, (num, length))
    hidden, rows = asking.there.copy(), np.arange(num)
    spent, right = [np.zeros(num)], [_right(head, asking, y, hidden)]
    for _ in range(length if most is None else most):
        if not hidden.any():
            break
        if plan is None:
            bought = _next(asking, head, hidden, costs, draws, seed)
        else:
            left = np.take_along_axis(hidden, plan, axis=1)
            bought = np.where(left.any(axis=1), plan[rows, left.argmax(axis=1)], -1)
        some = np.flatnonzero(bought >= 0)
        hidden[some, bought[some]] = False
        spent.append(spent[-1] + np.where(bought >= 0, costs[bought], 0))
        right.append(_right(head, asking, y, hidden))
    total = float(costs[np.isfinite(costs)].sum())
    return Bought(np.stack(spent, axis=1), np.stack(right, axis=1), total)


def _next(
    asking: Asking, head: Says, hidden: np.ndarray, costs: np.ndarray, draws: int, seed: int
) -> np.ndarray:
    """Return which position of each sample is best bought next, -1 = none, int64 [N].

    What is missing cannot be bought.
    """
    found = acquire(asking, head, hidden=hidden, cost=costs, draws=draws, seed=seed)
    worth = np.where(hidden, found.per_cost, -np.inf)
    return np.where(hidden.any(axis=1), worth.argmax(axis=1), -1)


def _right(head: Says, asking: Asking, y: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    said = asked_of(head, asking, np.arange(len(y)), hidden)
    if isinstance(head, SaysClasses):
        return np.asarray(said.argmax(axis=1) == y, dtype=np.float64)
    return -np.square(said[:, 0] - y)
