import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwise import laws
from maskwise.laws import Fixed, LikelihoodUniform, Uniform, effective, num_hidden

RATIO = st.floats(1e-9, 1 - 1e-9)


def count(ratio: float, n: int) -> int:
    return int(num_hidden(Fixed(ratio), 0.5, n))


@pytest.mark.parametrize(
    ("ratio", "n", "expected"),
    [
        (0.75, 196, 147),  # MAE at 224 / 16
        (0.75, 64, 48),
        (0.15, 128, 19),
        (0.15, 512, 77),
        (0.9, 1568, 1411),  # VideoMAE: 1411.2
        (0.5, 5, 3),  # half up
        (0.7, 45, 32),  # 31.5, but 31.499999999999996 in binary
        (0.001, 10, 1),
        (0.999, 10, 9),
        (0.5, 1, 1),
        (0.5, 0, 0),
        (0.99, 2, 1),
    ],
)
def test_known_counts(ratio: float, n: int, expected: int) -> None:
    assert count(ratio, n) == expected


@given(RATIO, st.integers(2, 10_000))
def test_both_sides_keep_one_and_rounding_is_nearest(ratio: float, n: int) -> None:
    hidden = count(ratio, n)
    assert 1 <= hidden <= n - 1
    if hidden not in (1, n - 1):
        assert abs(hidden - ratio * n) <= 0.5 + 1e-6
    elif hidden == 1:
        assert n == 2 or ratio * n <= 1.5
    else:
        assert ratio * n >= n - 1.5 - 1e-6


@given(st.lists(RATIO, min_size=2, max_size=2), st.integers(0, 5000))
def test_a_larger_ratio_never_hides_fewer(ratios: list[float], n: int) -> None:
    low, high = sorted(ratios)
    assert count(low, n) <= count(high, n)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=8), st.floats(1e-9, 1 - 1e-9))
def test_counts_are_elementwise(eligible: list[int], u: float) -> None:
    for law in (Fixed(0.3), Uniform(0.1, 0.9), LikelihoodUniform(), laws.parse("beta:2,5")):
        together = num_hidden(law, u, eligible)
        assert together.dtype == np.int64
        assert together.tolist() == [int(num_hidden(law, u, n)) for n in eligible]
        spread = num_hidden(law, [u] * len(eligible), eligible)
        assert together.tolist() == spread.tolist()


@pytest.mark.parametrize("n", [1, 2, 5, 16, 64])
def test_likelihood_counts_are_exactly_uniform(n: int) -> None:
    """Every count of 1..n, all of them included, comes equally often from an even grid."""
    u = (np.arange(n * 100) + 0.5) / (n * 100)
    values, times = np.unique(num_hidden(LikelihoodUniform(), u, n), return_counts=True)
    assert values.tolist() == list(range(1, n + 1))
    assert set(times.tolist()) == {100}


def test_likelihood_counts_at_the_ends() -> None:
    ends = np.array([2.0**-33, 1 - 2.0**-33])
    assert num_hidden(LikelihoodUniform(), ends, 2**20).tolist() == [1, 2**20]
    assert num_hidden(LikelihoodUniform(), 0.5, [0, 1]).tolist() == [0, 1]


@pytest.mark.parametrize(
    "name",
    ["uniform:0.1,0.9", "beta:3,9", "cosine", "choice:0.2*0.15,0.8*0.6", "fixed:0.4",
     "mixture:0.5*uniform:0,1+0.5*fixed:0.9", "truncnormal:0.55,0.25,0.5,1"],
)  # fmt: skip
def test_effective_law_is_that_of_token_weighted_draws(name: str) -> None:
    """Samples of 1000 tokens: the average of ratio^k over all hidden tokens."""
    law, n, total = laws.parse(name), 1000, 40_000
    u = (np.arange(total) + 0.5) / total
    hidden = num_hidden(law, u, n)
    ratio_of_token = np.repeat(hidden / n, hidden)
    ratios, weights = effective(law, "token_mean", "sample")
    assert weights.sum() == pytest.approx(1)
    for power in (1, 2):
        brute = (ratio_of_token**power).mean()
        assert ratios**power @ weights == pytest.approx(brute, abs=1e-3)


def test_effective_law_in_closed_form() -> None:
    ratios, weights = effective(Uniform(0.4, 0.9), "token_mean", "sample")
    expected = (0.9**3 - 0.4**3) / 3 / ((0.9**2 - 0.4**2) / 2)
    assert ratios @ weights == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("reduction", "scope"),
    [("token_mean", "step"), ("sample_mean", "sample"), ("inverse_ratio", "sample")],
)
def test_other_reductions_see_the_law_itself(reduction: str, scope: str) -> None:
    for name in ("beta:3,9", "scheduled:linear,0.2..0.6"):
        law = laws.parse(name)
        ratios, weights = effective(law, reduction, scope, progress=0.25)
        own, own_weights = law.quadrature(64, 0.25)
        assert ratios.tolist() == own.tolist()
        assert weights.tolist() == own_weights.tolist()
    assert math.isclose(ratios @ weights, 0.3)
