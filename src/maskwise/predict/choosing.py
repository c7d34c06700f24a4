"""Which positions to choose for what they add and what they cost."""

import heapq
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from maskwise.errors import UserError
from maskwise.textio import few

Costs = Mapping[str, float] | Sequence[float] | np.ndarray | None
"""one for each position, or by name; None: all cost 1; inf = not to be had"""


def greedy(
    adds: Callable[[Sequence[int], int], float],
    first: Mapping[int, float],
    cost: np.ndarray,
    limit: int,
    budget: float = np.inf,
) -> list[int]:
    """Return positions in the order in which they are chosen.

    Each is the one that adds most for its cost to those before; what one adds is taken to fall as
    others are chosen, so that few are asked for anew (lazily). Nothing that adds nothing is chosen
    beside another, unless a number of them is asked for. Of one position that tells more by itself
    than all these, and can be paid, that one.

    Args:
        adds: what a position adds to some others.
        first: what each tells by itself.
        cost: of each position, [L].
        limit: positions at most.
        budget: what they may cost together.

    Source: Minoux, Accelerated greedy algorithms (1978); Leskovec et al., Cost-effective outbreak
    detection (KDD 2007).

    >>> greedy(lambda taken, each: [3.0, 0.1, 2.0][each], {0: 3, 1: 2.9, 2: 2}, np.ones(3), 2)
    [0, 2]
    """
    left, total = budget, 0.0
    taken: list[int] = []
    heap = [(-gain / cost[each], each, 0) for each, gain in first.items() if cost[each] <= left]
    heapq.heapify(heap)
    while heap and len(taken) < limit:
        worth, each, known = heapq.heappop(heap)
        if cost[each] > left:
            continue
        if known < len(taken):
            heapq.heappush(heap, (-adds(taken, each) / cost[each], each, len(taken)))
            continue
        if taken and worth >= 0 and np.isfinite(budget):
            break
        taken.append(each)
        left -= cost[each]
        total -= worth * cost[each]
    can = {each: gain for each, gain in first.items() if cost[each] <= budget}
    alone = max(can, key=lambda each: can[each], default=None)
    if np.isfinite(budget) and alone is not None and can[alone] > total:
        return [alone]
    return taken


def costs_of(cost: Costs, names: Sequence[str]) -> np.ndarray:
    """Return the cost of each position, float64 [L].

    Raises:
        UserError: one that is not above 0 or is NaN, is lacking, or of a name that there is not.

    >>> costs_of({"b": 2, "a": 1}, ["a", "b"]).tolist()
    [1.0, 2.0]
    """
    if cost is None:
        return np.ones(len(names))
    if isinstance(cost, Mapping):
        if unknown := [name for name in cost if name not in names]:
            raise UserError(f"cost of {unknown[0]!r}: there is no such position; {_all(names)}")
        if lacking := [name for name in names if name not in cost]:
            raise UserError(
                f"cost: {few(lacking)} {'has' if len(lacking) == 1 else 'have'} none; name one for"
                " each, inf for what cannot be had"
            )
        cost = [cost[name] for name in names]
    try:
        found = np.asarray(cost, dtype=np.float64)
    except (TypeError, ValueError):
        raise UserError(f"cost {cost!r:.60} is no list of numbers") from None
    if found.shape != (len(names),):
        raise UserError(f"cost has shape {list(found.shape)}: give one for each of {len(names)}")
    for place in np.flatnonzero(~(found > 0)).tolist():
        raise UserError(f"cost of {names[place]!r} is {found[place]:g}: it must be above 0")
    return found


def _all(names: Sequence[str]) -> str:
    return f"they are {few(names)}"


def require_choice(
    blank: np.ndarray, cost: np.ndarray, names: Sequence[str], budget: float | None
) -> None:
    """Refuse samples of which nothing can be asked for.

    Args:
        blank: what is hidden of them, bool [N, L].
        cost: of each position, [L].
        names: of positions.
        budget: what may be spent.

    Raises:
        UserError: nothing is hidden or can be had, or it costs more.
    """
    if not blank.any():
        raise UserError("nothing is hidden, so there is nothing to measure next")
    at = np.flatnonzero(blank.any(axis=0))
    least = at[cost[at].argmin()]
    if not np.isfinite(cost[least]):
        raise UserError("nothing that is hidden can be had: each costs inf")
    if budget is not None and not budget >= cost[least]:
        raise UserError(
            f"budget {budget:g} buys nothing: {names[least]!r}, the cheapest that is hidden,"
            f" costs {cost[least]:g}"
        )
