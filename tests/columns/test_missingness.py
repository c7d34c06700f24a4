"""Whether gaps depend on what is there: on simulated gaps of every kind, and by hand."""

import numpy as np
import pytest
from scipy import stats

from maskwise.columns.missingness import little, missingness, normal_scores
from maskwise.masks import hide


def correlated(num: int, width: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(num, 1)) + rng.normal(size=(num, width))


def holed(mechanism: str, seed: int, share: float = 0.3, num: int = 400, width: int = 4):
    x = correlated(num, width, seed)
    x[hide(x, mechanism, share, seed)] = np.nan
    return x


def look(x: np.ndarray):
    return missingness(x, (0,) * x.shape[1], [f"x{place}" for place in range(x.shape[1])])


def test_little_by_hand_where_the_likelihood_has_a_closed_form() -> None:
    """Monotone gaps: the mean and variance of x, and a regression of y on it."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=60)
    y = 1 + 2 * x + rng.normal(size=60)
    known = rng.random(60) < 0.6
    slope = np.cov(x[known], y[known], bias=True)[0, 1] / x[known].var()
    level = y[known].mean() - slope * x[known].mean()
    left = (y[known] - level - slope * x[known]).var()
    mean = np.array([x.mean(), level + slope * x.mean()])
    both = np.array([[1, slope], [slope, slope**2]]) * x.var() + np.diag([0, left])
    off = np.array([x[known].mean(), y[known].mean()]) - mean
    expected = known.sum() * off @ np.linalg.inv(both) @ off
    expected += (~known).sum() * (x[~known].mean() - x.mean()) ** 2 / x.var()
    found = little(np.column_stack([x, np.where(known, y, np.nan)]))
    assert found is not None
    assert found.statistic == pytest.approx(expected, rel=1e-3)
    assert found.dof == 1
    assert found.pvalue == pytest.approx(stats.chi2.sf(expected, 1), rel=1e-3)


def test_little_does_not_depend_on_units_and_needs_two_patterns() -> None:
    x = holed("MAR", 0)
    scaled = little(x * [1, 10, 100, 0.1] + [0, 5, -3, 1])
    assert scaled is not None
    first = little(x)
    assert first is not None
    assert scaled.statistic == pytest.approx(first.statistic, rel=1e-3)
    assert scaled.dof == first.dof
    assert little(correlated(50, 3, 0)) is None
    empty = np.vstack([correlated(50, 3, 0), np.full((5, 3), np.nan)])
    assert little(empty) is None


def test_gaps_completely_at_random_pass_and_others_are_found() -> None:
    """The test has a level of 5 % on skewed numbers too, and power where gaps depend on others."""
    found = {"MCAR": 0, "MAR": 0}
    for seed in range(20):
        for mechanism in found:
            x = np.exp(holed(mechanism, seed, share=0.2, num=200))
            test = little(normal_scores(x))
            assert test is not None
            found[mechanism] += test.pvalue < 0.05
    assert found["MCAR"] <= stats.binom.isf(1e-4, 20, 0.05)
    assert found["MAR"] >= 18


def test_columns_whose_gaps_depend_on_others_are_named() -> None:
    at_random, by_others = look(holed("MCAR", 1)), look(holed("MAR", 1))
    assert not at_random.depends
    assert "nothing speaks against gaps completely at random" in at_random.text()
    assert by_others.depends
    assert len(by_others.told) == len(by_others.columns) == 3
    assert "not MCAR, so MAR at least" in by_others.text()
    for each in by_others.columns:
        assert each.share == pytest.approx(0.3, abs=0.1)
        assert each.auroc is not None
        assert each.auroc > 0.65
    assert by_others.to_dict()["depends"] is True


def test_what_depends_on_the_missing_values_alone_cannot_be_told() -> None:
    """MNAR of independent columns: the values that would tell are those that are gone."""
    x = np.random.default_rng(3).normal(size=(400, 4))
    x[hide(x, "quantile", 0.2, 0)] = np.nan
    found = look(x)
    assert not found.depends
    assert "no data can tell" in found.text()


def test_blocks_are_told_from_gaps_and_not_from_values() -> None:
    found = look(holed("block", 2, width=6))
    assert not found.told
    assert min(each.auroc_gaps or 0 for each in found.columns) > 0.9


def test_counts_categories_and_too_few_gaps() -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=200), rng.integers(3, size=200)])
    x[:100:2, 0] = np.nan
    x[3, 1] = np.nan
    found = missingness(x, (0, 3), ["number", "kind"])
    assert (found.num_rows, found.complete_rows, found.num_patterns) == (200, 149, 3)
    assert [each.name for each in found.columns] == ["number", "kind"]
    assert found.columns[1].auroc is None
    assert look(correlated(30, 2, 0)).text().endswith("nothing is missing")


def test_normal_scores_share_ranks() -> None:
    x = np.array([[1.0, 2.0], [1.0, np.nan], [3.0, 5.0]])
    found = normal_scores(x)
    assert found[0, 0] == found[1, 0] == stats.norm.ppf(1 / 3)
    assert np.isnan(found[1, 1])
    assert found[2, 1] == stats.norm.ppf(0.75)
