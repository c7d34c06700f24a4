"""Rubin's rules: one answer from those of several completed tables."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from maskwise.checks import checked
from maskwise.errors import UserError
from maskwise.files import Entries

Array = NDArray[np.float64]


class WaldTest(NamedTuple):
    """Whether all estimates together are some values."""

    statistic: float
    """D₁, an F where they are"""
    dof: tuple[float, float]
    """its degrees of freedom"""
    pvalue: float
    """the probability of a larger one"""


@dataclass(frozen=True, eq=False)
class Pooled:
    """What m completed tables say together; each is a number, or an array [p].

    Args:
        estimate: the mean of the estimates.
        within: the mean of their variances, W.
        between: the variance of the estimates over the tables, B.
        variance: of the pooled estimate, T = W + (1 + 1/m) B.
        dof: degrees of freedom of its t distribution; infinite where the tables agree.
        low: end of the interval.
        high: other end.
        level: probability that the interval has the true value.
        num_draws: m.
        covariances: W and B as matrices [p, p], if covariances were given.
    """

    estimate: Array
    within: Array
    between: Array
    variance: Array
    dof: Array
    low: Array
    high: Array
    level: float
    num_draws: int
    covariances: tuple[Array, Array] | None = None

    @property
    def stderr(self) -> Array:
        """Standard error of the pooled estimate, √T."""
        return np.sqrt(self.variance)

    @property
    def relative_increase(self) -> Array:
        """How much the gaps add to the variance, r = (1 + 1/m) B / W."""
        added = (1 + 1 / self.num_draws) * self.between
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(added > 0, added / self.within, 0.0)[()]

    @property
    def missing_information(self) -> Array:
        """Share of the information that is missing, (r + 2 / (dof + 3)) / (r + 1)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(self.between > 0, 1 - self.within / self.variance, 0.0)
        # Where the tables agree the degrees of freedom may be infinite: nothing is added.
        return (share + (1 - share) * np.where(share > 0, 2 / (self.dof + 3), 0.0))[()]

    @property
    def efficiency(self) -> Array:
        """Of m tables against infinitely many, 1 / (1 + missing information / m), in variance."""
        return 1 / (1 + self.missing_information / self.num_draws)

    @property
    def pvalue(self) -> Array:
        """Of the true value being 0, two-sided."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(2 * stats.t.sf(np.abs(self.estimate) / self.stderr, self.dof))[()]

    def to_dict(self) -> Entries:
        """Return plain numbers, or lists of them."""
        names = (
            *("estimate", "stderr", "low", "high", "dof", "pvalue"),
            *("within", "between", "missing_information", "efficiency"),
        )
        return {name: np.asarray(getattr(self, name)).tolist() for name in names}

    def wald(self, null: ArrayLike = 0.0) -> WaldTest:
        """Test that all p estimates are `null`, with the covariances of the tables.

        D₁ = (q - null)' W⁻¹ (q - null) / (p (1 + r)), r = (1 + 1/m) tr(B W⁻¹) / p.

        Source: Li, Raghunathan and Rubin, Large-sample significance levels from multiply imputed
        data using moment-based statistics and an F reference distribution (JASA 86, 1991).

        Raises:
            UserError: `pool` was given variances, not covariances.
        """
        if self.covariances is None:
            raise UserError("the test needs covariances: give pool variances of shape [m, p, p]")
        within, between = self.covariances
        num, m = len(within), self.num_draws
        r = (1 + 1 / m) * float(np.trace(np.linalg.solve(within, between))) / num
        off = self.estimate - np.broadcast_to(np.asarray(null, dtype=np.float64), num)
        statistic = float(off @ np.linalg.solve(within, off)) / (num * (1 + r))
        t, dof = num * (m - 1), np.inf
        if r > 0:
            dof = t * (1 + 1 / num) * (1 + 1 / r) ** 2 / 2
            if t > 4:
                dof = 4 + (t - 4) * (1 + (1 - 2 / t) / r) ** 2
        tail = (
            stats.f.sf(statistic, num, dof)
            if np.isfinite(dof)
            else stats.chi2.sf(statistic * num, num)
        )
        return WaldTest(statistic, (float(num), float(dof)), float(tail))


@checked()
def pool(
    estimates: ArrayLike,
    variances: ArrayLike,
    *,
    dof: float | None = None,
    level: float = 0.95,
) -> Pooled:
    """Pool what was estimated on each of m completed tables, by Rubin's rules.

    The degrees of freedom are those of Barnard and Rubin if `dof` is given, else Rubin's, for
    large samples.

    Args:
        estimates: of each table, [m], or of p quantities [m, p].
        variances: the squared standard errors, of the same shape; or covariances [m, p, p].
        dof: degrees of freedom that the analysis would have of complete data, such as rows less
            coefficients of a regression.
        level: of the interval, in (0, 1).

    Raises:
        UserError: one table only, shapes that do not fit, or numbers that are none.

    Source: Rubin, Multiple imputation for nonresponse in surveys (1987), chapter 3; Barnard and
    Rubin, Small-sample degrees of freedom with multiple imputation (Biometrika 86, 1999).

    >>> found = pool([1.0, 2.0, 3.0], [0.5, 0.5, 0.5])
    >>> found.estimate.item(), round(found.variance.item(), 4), round(found.dof.item(), 4)
    (2.0, 1.8333, 3.7812)
    """
    q, u = np.asarray(estimates, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    full = u.ndim == 3 and q.ndim == 2
    if q.ndim not in (1, 2) or u.shape != (*q.shape, *q.shape[1:] * full):
        raise UserError(
            f"estimates {list(q.shape)} and variances {list(u.shape)}: give [m] and [m],"
            " [m, p] and [m, p], or [m, p] and [m, p, p]"
        )
    m = len(q)
    if m < 2:
        raise UserError(f"{m} completed tables do not vary: draw two or more, best 20")
    each = np.diagonal(u, axis1=1, axis2=2) if full else u
    if not np.isfinite(q).all() or not np.isfinite(u).all() or (each < 0).any():
        raise UserError("estimates and variances must be finite, and variances not below 0")
    if not 0 < level < 1 or (dof is not None and not dof > 0):
        raise UserError(f"level {level:g} must be in (0, 1), and dof {dof} above 0")
    estimate, within, between = q.mean(axis=0), each.mean(axis=0), q.var(axis=0, ddof=1)
    variance = within + (1 + 1 / m) * between
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(variance > 0, (1 + 1 / m) * between / variance, 0.0)
        free = (m - 1) / share**2
        if dof is not None:
            complete = (dof + 1) / (dof + 3) * dof * (1 - share)
            free = 1 / (1 / free + 1 / complete)
    half = stats.t.isf((1 - level) / 2, free) * np.sqrt(variance)
    matrices = (u.mean(axis=0), np.cov(q.T, ddof=1).reshape(u.shape[1:])) if full else None
    ends = estimate - half, estimate + half
    return Pooled(estimate, within, between, variance, free, *ends, level, m, matrices)
