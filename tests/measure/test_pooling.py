"""Rubin's rules by hand, and on samples where the truth is known."""

import json

import numpy as np
import pytest
from scipy import stats

from maskwise import UserError, pool


def test_a_number_by_hand() -> None:
    found = pool([1.0, 2.0, 3.0], [0.5, 0.6, 0.4])
    within, between = 0.5, 1.0
    total = within + 4 / 3 * between
    share = 4 / 3 / total
    dof = 2 / share**2
    assert (found.estimate, found.within, found.between) == (2.0, 0.5, 1.0)
    assert found.variance == pytest.approx(total)
    assert found.stderr == pytest.approx(total**0.5)
    assert found.dof == pytest.approx(dof)
    assert found.relative_increase == pytest.approx(8 / 3)
    information = (8 / 3 + 2 / (dof + 3)) / (8 / 3 + 1)
    assert found.missing_information == pytest.approx(information)
    assert found.efficiency == pytest.approx(1 / (1 + information / 3))
    half = stats.t.ppf(0.975, dof) * total**0.5
    assert (found.low, found.high) == (pytest.approx(2 - half), pytest.approx(2 + half))
    assert found.pvalue == pytest.approx(2 * stats.t.cdf(-2 / total**0.5, dof))
    json.dumps(found.to_dict(), allow_nan=False)
    narrow = pool([1.0, 2.0, 3.0], [0.5, 0.6, 0.4], level=0.5)
    assert found.low < narrow.low < 2 < narrow.high < found.high


def test_degrees_of_freedom_of_small_samples_by_hand() -> None:
    found = pool([1.0, 2.0, 3.0], [0.5, 0.5, 0.5], dof=20)
    share = 8 / 11
    of_gaps, of_rows = 2 / share**2, 21 / 23 * 20 * (1 - share)
    assert found.dof == pytest.approx(of_gaps * of_rows / (of_gaps + of_rows))
    assert found.dof < pool([1.0, 2.0, 3.0], [0.5, 0.5, 0.5]).dof
    # Where little is missing they are nearly those of complete data.
    assert pool([1.0, 1.001], [1.0, 1.0], dof=20).dof == pytest.approx(21 / 23 * 20, rel=1e-3)


def test_tables_that_agree_are_one() -> None:
    found = pool([1.0, 1.0], [4.0, 4.0])
    assert (found.variance, found.dof, found.missing_information) == (4.0, np.inf, 0.0)
    assert (found.efficiency, found.relative_increase) == (1.0, 0.0)
    assert found.high == pytest.approx(1 + 2 * stats.norm.ppf(0.975))
    exact = pool([1.0, 2.0], [0.0, 0.0])  # and of the complete data nothing is uncertain
    assert (exact.missing_information, exact.dof) == (1.0, 1.0)


def test_vectors_are_numbers_side_by_side() -> None:
    rng = np.random.default_rng(0)
    q, u = rng.normal(size=(5, 3)), rng.random((5, 3))
    found = pool(q, u, dof=30)
    for place in range(3):
        alone = pool(q[:, place], u[:, place], dof=30)
        for name, value in alone.to_dict().items():
            assert found.to_dict()[name][place] == pytest.approx(value), name


def test_covariances_and_the_test_of_all_by_hand() -> None:
    q = np.array([[1.0, 0.0], [2.0, 1.0], [3.0, -1.0]])
    u = np.stack([np.array([[1.0, 0.3], [0.3, 2.0]])] * 3)
    found = pool(q, u)
    assert found.within.tolist() == [1.0, 2.0]
    assert found.variance.tolist() == pytest.approx([1 + 4 / 3, 2 + 4 / 3])
    between = np.array([[1.0, -0.5], [-0.5, 1.0]])
    r = 4 / 3 * np.trace(between @ np.linalg.inv(u[0])) / 2
    off = np.array([2.0, 0.0]) - [1.0, 1.0]
    expected = off @ np.linalg.inv(u[0]) @ off / 2 / (1 + r)
    test = found.wald([1.0, 1.0])
    assert test.statistic == pytest.approx(expected)
    dof = 4 * (1 + 1 / 2) * (1 + 1 / r) ** 2 / 2  # of four
    assert test.dof == (2.0, pytest.approx(dof))
    assert test.pvalue == pytest.approx(stats.f.sf(expected, 2, dof))
    more = pool(np.vstack([q, q]), np.concatenate([u, u])).wald()
    assert more.dof[1] > 4
    one = pool(q[:, :1], u[:, :1, :1])
    r = one.relative_increase[0]
    assert one.wald().statistic == pytest.approx(one.estimate[0] ** 2 / (1 + r))
    same = pool(q[[0, 0]], u[:2]).wald()
    assert same.pvalue == pytest.approx(stats.chi2.sf(same.statistic * 2, 2))


def test_the_test_of_all_has_its_level() -> None:
    """Of 600 experiments in which nothing is there, one in twenty is found."""
    rng = np.random.default_rng(0)
    m, p, found = 10, 3, 0
    for _ in range(600):
        center = rng.normal(size=p) * np.sqrt(1 + 0.5)
        q = center + rng.normal(size=(m, p)) * np.sqrt(0.5)
        found += pool(q, np.stack([np.eye(p)] * m)).wald().pvalue < 0.05
    assert abs(found - 30) < stats.norm.isf(1e-4) * np.sqrt(600 * 0.05 * 0.95)


@pytest.mark.parametrize(
    ("estimates", "variances", "more", "text"),
    [
        ([1.0], [1.0], {}, "1 completed tables do not vary: draw two or more"),
        ([1.0, 2.0], [1.0], {}, r"estimates \[2\] and variances \[1\]"),
        ([1.0, 2.0], [[1.0], [1.0]], {}, r"give \[m\] and \[m\]"),
        ([1.0, np.nan], [1.0, 1.0], {}, "must be finite"),
        ([1.0, 2.0], [1.0, -1.0], {}, "not below 0"),
        ([1.0, 2.0], [1.0, 1.0], {"level": 95.0}, "level 95 must be in"),
        ([1.0, 2.0], [1.0, 1.0], {"dof": 0.0}, "dof 0.0 above 0"),
    ],
)
def test_what_cannot_be_pooled(estimates, variances, more, text) -> None:
    with pytest.raises(UserError, match=text):
        pool(estimates, variances, **more)


def test_variances_alone_have_no_test_of_all() -> None:
    with pytest.raises(UserError, match="needs covariances"):
        pool([[1.0], [2.0]], [[1.0], [1.0]]).wald()
