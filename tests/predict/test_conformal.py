"""Limits of scores that a new one keeps so often."""

import numpy as np
import pytest
from scipy.stats import binom

from maskwise.predict.conformal import Calibration


def test_limits_are_the_right_order_statistics():
    rng = np.random.default_rng(0)
    scores, shares = rng.random(230), rng.random(230)
    found = Calibration.learn(scores, shares)
    assert len(found.edges) == 3  # four ranges of 50 and more
    for share in (0.05, 0.3, 0.6, 0.95):
        low, high = np.concatenate([[-1], found.edges, [2]])[
            np.searchsorted(found.edges, share) + np.array([0, 1])
        ]
        inside = np.sort(scores[(shares >= low) & (shares < high)])
        for coverage in (0.5, 0.8, 0.9):
            place = int(np.ceil((len(inside) + 1) * coverage - 1e-9))
            assert found.limits(np.array([share]), coverage)[0] == inside[place - 1]


def test_too_few_scores_have_no_limit():
    found = Calibration.learn(np.arange(8.0), np.ones(8))
    assert found.limits(np.ones(1), 0.9).tolist() == [np.inf]  # nine are needed
    assert Calibration.learn(np.arange(9.0), np.ones(9)).limits(np.ones(1), 0.9).tolist() == [8.0]


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_new_scores_are_covered_in_every_range_of_the_share(coverage):
    """Scores grow as less is visible; 400 times 200 of them and 40 new ones."""
    rng = np.random.default_rng(0)
    num, covered = np.zeros(4), np.zeros(4)
    for _ in range(400):
        shares = rng.random(240)
        scores = rng.exponential(size=240) / (0.1 + shares)
        limits = Calibration.learn(scores[:200], shares[:200]).limits(shares[200:], coverage)
        part = (4 * shares[200:]).astype(int)
        num += np.bincount(part, minlength=4)
        covered += np.bincount(part, scores[200:] <= limits, minlength=4)
    # Within a range scores depend on the share: edges, and 51 scores in place of infinitely many.
    assert (covered >= binom.ppf(1e-4, num.astype(int), coverage - 0.02)).all()
    assert (covered <= binom.ppf(1 - 1e-4, num.astype(int), coverage + 1 / 51 + 0.02)).all()
