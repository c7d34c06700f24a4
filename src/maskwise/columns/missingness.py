"""Do gaps depend on what is there: patterns, Little's test, and how well gaps are told."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.special import ndtri
from scipy.stats import chi2, norm, rankdata

from maskwise.columns.closed_form import columns_of, owners
from maskwise.columns.gaussian import Gaussian
from maskwise.columns.tabular import column_means
from maskwise.files import Entries
from maskwise.measure.features import random_subset

ROWS = 5000  # that are looked at, at most, chosen at random
FOLDS, LEAST = 5, 10  # of the cross-validation; gaps, and values, of a column that has one
LEVEL, STRICT = 0.05, 0.01  # of Little's test, and of all columns together
PRECISE = 1e-5  # of the moments, and iterations of EM
ITERATIONS = 500


@dataclass(frozen=True)
class LittleTest:
    """Little's test that values are missing completely at random.

    Args:
        statistic: d², chi-squared where they are.
        dof: its degrees of freedom.
        pvalue: the probability of a larger one.
    """

    statistic: float
    dof: int
    pvalue: float


@dataclass(frozen=True)
class ColumnGaps:
    """The gaps of a column.

    Args:
        name: of the column.
        share: of its values that are missing.
        auroc: how well its gaps are told from the values of the other columns, cross-validated;
            .5 = not at all; None: too few gaps, or values, to say.
        auroc_gaps: how well from where the others have gaps.
        stderr: of both where they are .5.
    """

    name: str
    share: float
    auroc: float | None = None
    auroc_gaps: float | None = None
    stderr: float | None = None


@dataclass(frozen=True, eq=False)
class Missingness:
    """How the values of a table are missing.

    Args:
        num_rows: rows.
        complete_rows: of these that lack nothing.
        num_patterns: different sets of columns that rows lack, the empty one too.
        little: the test, of numbers that became normal scores, so that it holds for skewed ones
            too; None: nothing, or all of a column, is missing.
        columns: those with gaps.
    """

    num_rows: int
    complete_rows: int
    num_patterns: int
    little: LittleTest | None
    columns: Sequence[ColumnGaps]

    @property
    def told(self) -> list[ColumnGaps]:
        """Columns whose gaps are told from the values of others; by chance one in 1 of 100."""
        known = [each for each in self.columns if each.auroc is not None and each.stderr]
        most = norm.isf(STRICT / max(len(known), 1))
        return [e for e in known if ((e.auroc or 0) - 0.5) / (e.stderr or 1) > most]

    @property
    def depends(self) -> bool:
        """Whether something speaks against missing completely at random."""
        return bool(self.told) or (self.little is not None and self.little.pvalue < LEVEL)

    def to_dict(self) -> Entries:
        """Return plain values."""
        return asdict(self) | {"depends": self.depends}

    def text(self) -> str:
        """Return what was found, in lines."""
        lines = [
            f"{self.num_rows:,} rows, {self.complete_rows:,} of them complete;"
            f" {self.num_patterns:,} patterns of gaps"
        ]
        if self.little is not None:
            test = self.little
            lines.append(
                f"Little's test of missing completely at random: d² = {test.statistic:.1f},"
                f" {test.dof} degrees of freedom, p = {test.pvalue:.2g}"
            )
        if self.columns:
            lines.append("column, share missing, AUROC of its gaps from others' values, and gaps")
        width = max((len(each.name) for each in self.columns), default=0)
        for each in self.columns:
            parts = [f"{'-' if e is None else f'{e:.2f}'}" for e in (each.auroc, each.auroc_gaps)]
            lines.append(f"  {each.name:{width}}  {each.share:6.1%}  {'  '.join(parts)}")
        return "\n".join([*lines, self._verdict()])

    def _verdict(self) -> str:
        if not self.columns:
            return "nothing is missing"
        never = "whether they depend on what is missing itself (MNAR), no data can tell"
        if not self.depends:
            return f"nothing speaks against gaps completely at random (MCAR); {never}"
        names = ", ".join(each.name for each in self.told[:3])
        which = f" (of {names})" if names else ""
        return f"gaps{which} depend on what is there: not MCAR, so MAR at least; {never}"


def missingness(
    samples: np.ndarray, sizes: tuple[int, ...], names: Sequence[str], *, seed: int = 0
) -> Missingness:
    """Return how values of samples [N, F] are missing, NaN; see `Missingness`.

    Args:
        samples: numbers, standardised or nearly so, and codes of categories.
        sizes: categories of each feature, 0 = a number.
        names: what the features are called.
        seed: of the folds, and of the choice of 5,000 rows where there are more.
    """
    gaps = np.isnan(samples)
    some = samples[random_subset(len(samples), ROWS, seed)]
    columns, owner = columns_of(some, sizes), owners(sizes)
    found = [
        _of_column(name, place, gaps[:, place].mean().item(), columns, owner, seed)
        for place, name in enumerate(names)
        if gaps[:, place].any()
    ]
    is_number = np.array(sizes)[owner] == 0
    columns[:, is_number] = normal_scores(columns[:, is_number])
    test = little(columns) if gaps.any() and not np.isnan(columns).all(axis=0).any() else None
    patterns = len(np.unique(gaps, axis=0))
    return Missingness(len(samples), int((~gaps.any(axis=1)).sum()), patterns, test, found)


def little(x: np.ndarray) -> LittleTest | None:
    """Return Little's test of rows [N, D] with NaN where nothing is known; None: one pattern only.

    For each pattern of gaps, the mean of what its n rows hold is compared with what all rows say,
    the maximum of the likelihood of a normal distribution:

        d² = Σ n (m - μ)' Σ⁻¹ (m - μ), of the columns that the pattern has.

    Its degrees of freedom are those columns, counted over patterns, less D. It supposes numbers
    that are normal, or many rows of each pattern.

    Source: Little, A test of missing completely at random for multivariate data with missing
    values (JASA 83, 1988).

    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(500, 2))
    >>> x[x[:, 0] > 1, 1] = np.nan
    >>> little(x).pvalue < 1e-9
    True
    """
    x = x[~np.isnan(x).all(axis=1)]
    mean = column_means(x)
    deviation = np.sqrt(column_means(np.square(x - mean)))
    x = (x - mean) / np.where(deviation > 0, deviation, 1)
    patterns, place = np.unique(np.isnan(x), axis=0, return_inverse=True)
    dof = int((~patterns).sum()) - x.shape[1]
    if len(patterns) < 2 or dof < 1:
        return None
    model = Gaussian.fit(x, iterations=ITERATIONS, tol=PRECISE)
    total = 0.0
    for number, hidden in enumerate(patterns):
        rows = x[place.reshape(-1) == number][:, ~hidden]
        off = rows.mean(axis=0) - model.mean[~hidden]
        part = model.covariance[np.ix_(~hidden, ~hidden)]
        total += len(rows) * float(off @ np.linalg.solve(part, off))
    return LittleTest(total, dof, float(chi2.sf(total, dof)))


def normal_scores(x: np.ndarray) -> np.ndarray:
    """Return columns [N, D] as normal quantiles of their ranks; NaN stays NaN.

    >>> normal_scores(np.array([[5.0], [np.nan], [9.0]])).round(3).ravel().tolist()
    [-0.674, nan, 0.674]
    """
    ranks = rankdata(x, axis=0, nan_policy="omit")
    return np.asarray(ndtri((ranks - 0.5) / (~np.isnan(x)).sum(axis=0).clip(1)))


def _of_column(
    name: str, feature: int, share: float, columns: np.ndarray, owner: np.ndarray, seed: int
) -> ColumnGaps:
    """Return what is known of the gaps of a feature, from columns [n, D] and whose they are."""
    gap = np.isnan(columns[:, np.flatnonzero(owner == feature)[0]])
    num = int(gap.sum()), int((~gap).sum())
    others = columns[:, owner != feature]
    if min(num) < LEAST or not others.shape[1]:
        return ColumnGaps(name, share)
    holes = np.isnan(others)
    values = np.where(holes, 0, others - column_means(others))
    deviation = values.std(axis=0)
    values = values / np.where(deviation > 0, deviation, 1)
    stderr = math.sqrt((sum(num) + 1) / (12 * num[0] * num[1]))
    of_gaps = _told(np.unique(holes, axis=1).astype(float), gap, seed)
    return ColumnGaps(name, share, _told(values, gap, seed), of_gaps, stderr)


def _told(x: np.ndarray, y: np.ndarray, seed: int) -> float:
    """Return the area under the ROC curve of a logistic regression, the mean over folds."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    found = []
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(x, y):
        model = LogisticRegression(max_iter=1000).fit(x[train], y[train])
        found.append(roc_auc_score(y[test], model.decision_function(x[test])))
    return float(np.mean(found))
