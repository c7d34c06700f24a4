"""Greedy choices: what is chosen for what it adds and costs."""

import numpy as np

from maskwise.predict.choosing import greedy

SETS = [{1, 2, 3, 4}, {3, 4, 5}, {5, 6}, {1, 2, 3}, {7}]


def covered(taken):
    return len(set().union(*(SETS[each] for each in taken)))


def plainly(cost, limit, budget):
    """The same greedy choice, asking for all of what is left at every step."""
    taken, left = [], budget
    while len(taken) < limit:
        worth = {
            each: (covered([*taken, each]) - covered(taken)) / cost[each]
            for each in range(len(SETS))
            if each not in taken and cost[each] <= left
        }
        if not worth or (np.isfinite(budget) and taken and max(worth.values()) <= 0):
            break
        taken.append(max(worth, key=lambda each: (worth[each], -each)))
        left -= cost[taken[-1]]
    return taken


def test_few_are_asked_for_anew():
    asked = []

    def adds(taken, each):
        asked.append(each)
        return covered([*taken, each]) - covered(taken)

    first = {each: float(len(SETS[each])) for each in range(len(SETS))}
    assert greedy(adds, first, np.ones(5), 3) == plainly(np.ones(5), 3, np.inf) == [0, 2, 4]
    assert len(asked) == 5  # of 4 and then 3 that are left
    cost = np.array([2.0, 1, 3, 1, 1])
    for budget in (1, 2, 3, 4, 8):
        assert greedy(adds, first, cost, 5, budget) == plainly(cost, 5, budget)


def test_one_that_tells_more_than_all_that_are_cheaper():
    """Most for its cost is the small one, after which the large one cannot be paid."""
    gains = {0: 1.0, 1: 5.0}
    cost = np.array([1.0, 6.0])
    assert greedy(lambda taken, each: gains[each], gains, cost, 2, 6.0) == [1]
    assert greedy(lambda taken, each: gains[each], gains, cost, 2, 7.0) == [0, 1]
